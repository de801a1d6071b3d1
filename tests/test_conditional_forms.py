"""Parts of a form that are asked only sometimes: found and checked where they are, left out where not."""

from pathlib import Path
from typing import Any

import pytest

from loket import publishing
from loket.app import SHIPPED
from loket.definition import Form
from loket.formfields import all_fields, field
from loket.forms import asked, validate_answers
from loket.proofreading.factcheck import faults_in
from loket.proofreading.factkinds import Names
from loket.publishing import DefinitionError
from premiums import Json, written

SCHEMA: Json = {
    "type": "object",
    "$defs": {"name": {"type": "string", "minLength": 1, "maxLength": 80}},
    "properties": {
        "kind": {"enum": ["person", "club"], "title": "Wie?"},
        "partner": {"type": "boolean"},
        "phone": {"type": "string", "format": "phone"},
        "colour": {"oneOf": [{"const": "green", "title": "Groen"}, {"const": "red", "title": "Rood"}]},
        "children": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"school": {"type": "boolean"}},
                "if": {"properties": {"school": {"const": True}}, "required": ["school"]},
                "then": {"properties": {"which": {"$ref": "#/$defs/name"}}, "required": ["which"]},
                "unevaluatedProperties": False,
            },
        },
    },
    "required": ["kind"],
    "oneOf": [
        {
            "properties": {"kind": {"const": "person"}, "birth": {"type": "string", "format": "date"}},
            "required": ["birth"],
        },
        {
            "properties": {"kind": {"const": "club"}, "club": {"$ref": "#/$defs/club"}},
            "required": ["club"],
        },
    ],
    "allOf": [
        {
            "if": {"properties": {"partner": {"const": True}}, "required": ["partner"]},
            "then": {
                "properties": {
                    "other": {
                        "type": "object",
                        "title": "Uw partner",
                        "properties": {
                            "name": {"$ref": "#/$defs/name"},
                            "income": {"type": "integer", "minimum": 0},
                        },
                        "required": ["name"],
                        "additionalProperties": False,
                    }
                },
                "required": ["other"],
            },
            "else": {"properties": {"alone_since": {"type": "string", "format": "date"}}},
        }
    ],
    "dependentSchemas": {
        "phone": {"properties": {"call_after": {"enum": ["noon", "evening"]}}, "required": ["call_after"]}
    },
    "unevaluatedProperties": False,
}
SCHEMA["$defs"]["club"] = {
    "type": "object",
    "properties": {"number": {"type": "string", "format": "enterprise-number"}},
    "required": ["number"],
    "additionalProperties": False,
}
FORM = Form.model_validate({"schema": SCHEMA})
(_SHIPPED,) = SHIPPED.glob("compost-bin.yaml")
DEFINITION = publishing.load(_SHIPPED).model_copy(update={"form": FORM, "payment": None})
PERSON: Json = {"kind": "person", "birth": "1990-01-31"}
CLUB: Json = {"kind": "club", "club": {"number": "0207500123"}}


def faults(answers: Json, language: str = "nl", *, complete: bool = True) -> list[tuple[str, str, str]]:
    found = validate_answers(DEFINITION, answers, language, complete=complete)
    return [("/".join(one.path), str(one.code), one.message) for one in found]


@pytest.mark.parametrize(
    "answers",
    [
        PERSON,
        CLUB,
        PERSON | {"partner": True, "other": {"name": "Bo", "income": 0}},
        PERSON | {"partner": False, "alone_since": "2020-02-02"},
        PERSON | {"phone": "+32470123456", "call_after": "noon"},
        PERSON | {"children": [{"school": True, "which": "De Wilg"}, {"school": False}, {}]},
        PERSON | {"colour": "green"},
    ],
)
def test_what_is_asked_is_taken(answers: Json) -> None:
    assert faults(answers) == []
    assert asked(FORM, answers) == answers


@pytest.mark.parametrize(
    ("answers", "where", "code"),
    [
        ({"kind": "person"}, "birth", "REQUIRED"),
        ({"kind": "club"}, "club", "REQUIRED"),
        ({"kind": "club", "club": {}}, "club/number", "REQUIRED"),
        ({"kind": "club", "club": {"number": "123"}}, "club/number", "VALIDATION"),
        (PERSON | {"birth": "31/1/1990"}, "birth", "VALIDATION"),
        (PERSON | {"partner": True}, "other", "REQUIRED"),
        (PERSON | {"partner": True, "other": {"income": 3}}, "other/name", "REQUIRED"),
        (PERSON | {"partner": True, "other": {"name": ""}}, "other/name", "REQUIRED"),
        (PERSON | {"partner": True, "other": {"name": "Bo", "income": -1}}, "other/income", "VALIDATION"),
        (PERSON | {"partner": True, "other": {"name": "Bo", "age": 3}}, "other/age", "VALIDATION"),
        (PERSON | {"phone": "+32470123456"}, "call_after", "REQUIRED"),
        (PERSON | {"phone": "+32470123456", "call_after": "night"}, "call_after", "VALIDATION"),
        (PERSON | {"children": [{"school": True}]}, "children/0/which", "REQUIRED"),
        (PERSON | {"children": [{"school": False, "age": 3}]}, "children/0/age", "VALIDATION"),
        (PERSON | {"nobody_asked": 1}, "nobody_asked", "VALIDATION"),
        (PERSON | {"colour": "blue"}, "colour", "VALIDATION"),
    ],
)
def test_each_fault_leads_to_its_own_field_and_there_is_no_other(
    answers: Json, where: str, code: str
) -> None:
    assert [one[:2] for one in faults(answers)] == [(where, code)]


def test_the_words_are_those_of_any_field() -> None:
    answers = PERSON | {"partner": True, "other": {"name": "Bo", "income": -1}, "colour": "blue"}
    assert [one[2] for one in faults(answers)] == [
        "Kies een van deze: green, red.",
        "Dit moet minstens 0 zijn.",
    ]
    assert [one[2] for one in faults(answers, "en")] == [
        "Choose one of these: green, red.",
        "This must be at least 0.",
    ]


def test_a_draft_may_be_half_filled_in_wherever_it_is() -> None:
    for half in ({}, {"kind": "club"}, {"partner": True}, {"partner": True, "other": {"income": 3}}):
        assert faults(half, complete=False) == [], half
    assert [one[0] for one in faults({"partner": True, "other": {"income": "x"}}, complete=False)] == [
        "other/income"
    ]
    assert [one[0] for one in faults({"nobody_asked": 1}, complete=False)] == ["nobody_asked"]


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        (PERSON | {"partner": False, "other": {"name": "Bo"}}, PERSON | {"partner": False}),
        (PERSON | {"other": {"income": "half a"}}, PERSON),
        (PERSON | {"partner": True, "other": {"name": "Bo"}, "alone_since": "2020-02-02"},
         PERSON | {"partner": True, "other": {"name": "Bo"}}),
        (PERSON | {"club": {"number": "wrong"}}, PERSON),
        (CLUB | {"birth": "1990-01-31"}, CLUB),
        (PERSON | {"call_after": "noon"}, PERSON),
        (PERSON | {"children": [{"school": False, "which": "De Wilg"}]},
         PERSON | {"children": [{"school": False}]}),
    ],
)  # fmt: skip
def test_what_is_not_asked_any_more_stands_in_nobodys_way(answers: Json, kept: Json) -> None:
    assert faults(answers) == []
    assert asked(FORM, answers) == kept


def test_an_answer_that_falls_away_takes_along_what_hung_on_it() -> None:
    chain: Json = {"properties": {"a": {"type": "boolean"}}, "allOf": []}
    for one, other in (("a", "b"), ("b", "c"), ("c", "d")):
        condition = {"properties": {one: {"const": True}}, "required": [one]}
        chain["allOf"].append({"if": condition, "then": {"properties": {other: {"type": "boolean"}}}})
    form = Form.model_validate({"schema": chain})
    assert asked(form, dict.fromkeys("abcd", True)) == dict.fromkeys("abcd", True)
    assert asked(form, {"a": False, "b": True, "c": True, "d": True}) == {"a": False}


def test_a_part_can_also_be_forbidden_under_a_condition() -> None:
    schema = {
        "properties": {"yes": {"type": "boolean"}, "why": {"type": "string"}},
        "if": {"properties": {"yes": {"const": True}}, "required": ["yes"]},
        "else": {"properties": {"why": False}},
    }
    form = Form.model_validate({"schema": schema})
    assert asked(form, {"yes": False, "why": "x"}) == {"yes": False}
    assert asked(form, {"yes": True, "why": "x"}) == {"yes": True, "why": "x"}


def test_a_field_is_found_wherever_it_stands() -> None:
    for pointer, word in (
        ("/birth", "date"),
        ("/club/number", "enterprise-number"),
        ("/alone_since", "date"),
        ("/phone", "phone"),
    ):
        found = field(SCHEMA, pointer)
        assert found is not None
        assert found["format"] == word
    assert (field(SCHEMA, "/other/name") or {})["maxLength"] == 80
    assert (field(SCHEMA, "/call_after") or {})["enum"] == ["noon", "evening"]
    assert field(SCHEMA, "/other/phone") is None
    assert {"/other", "/other/name", "/club/number", "/call_after"} <= {one for one, _ in all_fields(SCHEMA)}


@pytest.mark.parametrize(
    ("when", "fault"),
    [
        ("has(application.other) && application.other.income > 3", ""),
        ("has(application.birth) && application.birth < '2000-01-01'", ""),
        ("has(application.club) && application.club.number != ''", ""),
        ("has(application.call_after) && application.call_after == 'noon'", ""),
        ("has(application.other) && application.other.income == 'x'", "income"),
        ("has(application.other) && application.other.incom > 3", "has no 'incom'"),
        ("has(application.othr)", "has no 'othr'"),
    ],
)
def test_rules_know_the_fields_that_are_asked_only_sometimes(when: str, fault: str) -> None:
    found = faults_in(when, SCHEMA, Names())
    assert (fault in "; ".join(found)) if fault else found == [], found


# --- what an author forgets -------------------------------------------------------------------


def published(folder: Path, form: Json, **parts: Any) -> list[str]:  # noqa: ANN401  # parts of a form
    """What publishing says of a procedure with this form."""
    written(folder, "soms", lambda told: told.update({"form": {"schema": form} | parts, "benefits": []}))
    try:
        publishing.load(folder / "soms.yaml")
    except DefinitionError as error:
        return [str(one) for one in error.faults]
    return []


def test_what_stands_there_sometimes_can_be_prefilled_translated_and_laid_out(tmp_path: Path) -> None:
    prefill: Json = {"prefill": [{"field": "/other/name", "source": "acmidm.name"}]}
    ui: Json = {"ui": {"other": {"name": {"ui:autofocus": True}}, "call_after": {"ui:widget": "radio"}}}
    translations: Json = {"translations": {"en": {"/allOf/0/then/properties/other/title": "Your partner"}}}
    assert not [
        one for one in published(tmp_path, SCHEMA, **prefill, **ui, **translations) if "form" in one
    ]  # fmt: skip
    wrong: Json = {"prefill": [{"field": "/other/nam", "source": "acmidm.name"}], "ui": {"othr": {}}}
    said = " ".join(published(tmp_path, SCHEMA, **wrong))
    assert "the form has no field /other/nam" in said
    assert "the form has no field 'othr' here" in said


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"unevaluatedProperties": None, "additionalProperties": False}, "write unevaluatedProperties"),
        ({"if": {"properties": {"partner": {"const": True}}}, "then": {}}, "add required: [partner]"),
        (
            {"properties": SCHEMA["properties"]
             | {"family": {"type": "array", "items": {"type": "string", "format": "national-number"}}}},
            "a national number is kept sealed",
        ),
    ],
)  # fmt: skip
def test_what_would_never_work_is_said_before_it_is_published(
    tmp_path: Path, changed: Json, reason: str
) -> None:
    form = {word: value for word, value in (SCHEMA | changed).items() if value is not None}
    assert any(reason in one for one in published(tmp_path, form)), published(tmp_path, form)
