"""Answers against the form: every fault at once, in its place, in the language of who reads it."""

import time
from pathlib import Path
from typing import Any

import pytest

from loket import publishing
from loket.definition import Definition
from loket.errors import ErrorCode
from loket.forms import FieldFault, form_in, is_email, is_iban, is_phone, matches, validate_answers

FILE = Path(__file__).parents[1] / "src" / "loket" / "procedures" / "compost-bin.yaml"


@pytest.fixture(scope="module")
def definition() -> Definition:
    return publishing.load(FILE)


def answers(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  # answers are any JSON
    address = {"street": "Dorpsstraat", "number": "12", "postal_code": "2999", "city": "Lindebeke"}
    return {
        "applicant": {"name": "An Peeters", "address": address},
        "contact": {"email": "an@example.be", "phone": "+32470123456"},
        "delivery": {"place": "home"},
        "declaration": True,
    } | changes


def paths(faults: list[FieldFault]) -> list[str]:
    return ["/".join(fault.path) for fault in faults]


def test_a_complete_form_has_no_faults(definition: Definition) -> None:
    assert validate_answers(definition, answers(), "nl") == []


def test_every_fault_comes_at_once_in_the_order_of_the_form(definition: Definition) -> None:
    wrong = answers(
        contact={"email": "an", "phone": "0470"},
        delivery={"place": "other", "remark": "x" * 301},
        declaration=False,
        colour="blue",
    )
    del wrong["applicant"]["name"]
    faults = validate_answers(definition, wrong, "nl")
    assert paths(faults) == [
        "applicant/name",
        "contact/email",
        "contact/phone",
        "delivery/address",
        "delivery/remark",
        "declaration",
        "colour",
    ]
    said = {"/".join(fault.path): fault.message for fault in faults}
    assert said["applicant/name"] == "Vul dit in."
    assert said["contact/email"] == "Dit is geen e-mailadres. Voorbeeld: an@voorbeeld.be."
    assert said["delivery/remark"] == "Gebruik hoogstens 300 tekens (nu 301)."
    assert said["declaration"] == "Vink dit aan om verder te gaan."
    assert said["colour"] == "Het formulier kent dit veld niet."
    assert {fault.code for fault in faults[:1]} == {ErrorCode.REQUIRED}
    assert faults[1].code is ErrorCode.VALIDATION


def test_faults_are_told_in_english_to_who_reads_english(definition: Definition) -> None:
    [fault] = validate_answers(definition, answers(declaration=False), "en")
    assert fault.message == "Tick this to go on."
    [fault] = validate_answers(definition, answers(declaration=False), "fr")
    assert fault.message == "Vink dit aan om verder te gaan."


def test_a_field_may_have_a_message_of_its_own(definition: Definition) -> None:
    wrong = answers()
    wrong["applicant"]["address"]["postal_code"] = "29990"
    [fault] = validate_answers(definition, wrong, "nl")
    assert fault.path == ["applicant", "address", "postal_code"]
    assert fault.message == "Een postcode heeft vier cijfers, zoals 2999."


def test_an_empty_text_is_a_missing_answer(definition: Definition) -> None:
    wrong = answers()
    wrong["applicant"]["name"] = ""
    [fault] = validate_answers(definition, wrong, "nl")
    assert (fault.path, fault.code) == (["applicant", "name"], ErrorCode.REQUIRED)


def test_a_draft_may_be_incomplete_but_not_wrong(definition: Definition) -> None:
    draft = {"contact": {"email": "an"}, "delivery": {"place": "other"}}
    assert paths(validate_answers(definition, draft, "nl", complete=False)) == ["contact/email"]


@pytest.mark.parametrize("nothing", [None, [], "x", 3, True])
def test_answers_that_are_no_form_are_refused(definition: Definition, nothing: object) -> None:
    [fault] = validate_answers(definition, nothing, "nl")
    assert (fault.path, fault.message) == ([], "Dit moet een groep velden zijn.")


def nested(depth: int) -> dict[str, Any]:
    deep: dict[str, Any] = {}
    for _ in range(depth):
        deep = {"a": deep}
    return deep


@pytest.mark.parametrize(
    "huge",
    [
        {"contact": {"email": "x" * 5_001}},
        {"applicant": nested(5_000)},
        {"applicant": [0] * 2_000},
        {f"field{number}": 1 for number in range(2_000)},
        {"x" * 5_001: 1},
    ],
)
def test_huge_input_is_refused_at_once_and_never_repeated(definition: Definition, huge: object) -> None:
    started = time.monotonic()
    [fault] = validate_answers(definition, huge, "nl")
    assert time.monotonic() - started < 1
    assert fault.code is ErrorCode.TOO_LARGE
    assert len(fault.message) < 200
    assert all(len(step) <= 60 for step in fault.path)


def test_what_was_typed_is_not_repeated(definition: Definition) -> None:
    secret = "85073003328"
    wrong = answers(contact={"email": secret, "phone": secret}, **{"y" * 500: secret})
    faults = validate_answers(definition, wrong, "nl")
    assert len(faults) == 3
    assert not any(secret in fault.message or len("/".join(fault.path)) > 80 for fault in faults)


def test_the_form_can_be_shown_in_english(definition: Definition) -> None:
    english = form_in(definition.form, "en")
    assert english["properties"]["contact"]["title"] == "How do we reach you?"
    assert form_in(definition.form, "nl") == definition.form.json_schema
    assert definition.form.json_schema["properties"]["contact"]["title"] == "Hoe bereiken wij u?"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("an@example.be", True),
        ("an.peeters+bin@post.example.co.uk", True),
        ("an@example", False),
        ("an example.be", False),
        ("an@exa mple.be", False),
        ("an@@example.be", False),
        ("an..p@example.be", False),
        ("an@example.be\nBcc: all@example.be", False),
    ],
)
def test_email_addresses(text: str, good: bool) -> None:
    assert is_email(text) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("+32470123456", True),
        ("+3214000000", True),
        ("0470123456", False),
        ("+32 470 12 34 56", False),
        ("+3247", False),
    ],
)
def test_phone_numbers_are_e164(text: str, good: bool) -> None:
    assert is_phone(text) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("BE71096123456769", True),
        ("BE71 0961 2345 6769", True),
        ("BE72096123456769", False),
        ("BE68539007547034", True),
        ("NL91ABNA0417164300", True),
        ("BE7109612345676", False),
        ("x", False),
    ],
)
def test_account_numbers(text: str, good: bool) -> None:
    assert is_iban(text) is good


def test_a_belgian_account_must_check_inside_too() -> None:
    inside = "096123456768"  # its own check digits are wrong
    check = 98 - int(f"{inside}111400") % 97
    assert not is_iban(f"BE{check:02}{inside}")


def test_a_pattern_takes_linear_time() -> None:
    started = time.monotonic()
    assert not matches("a" * 5_000 + "!", "^(a+)+$")
    assert time.monotonic() - started < 1
    with pytest.raises(ValueError, match="not a valid regex"):
        matches("", "(?=x)")
