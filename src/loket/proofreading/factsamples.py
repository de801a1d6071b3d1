"""Facts to try a condition on before any case meets it: complete, of the right types, with several values."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from loket.formfields import fields_of
from loket.proofreading.factkinds import Asked, Names
from loket.rules import (
    Address,
    Answer,
    Applicant,
    CartLine,
    Child,
    Facts,
    HandicapAnswer,
    Household,
    Municipality,
    Quota,
    SocialStatusAnswer,
    TaxAnswer,
    as_seen,
)


def samples(form: Mapping[str, Any], names: Names) -> list[Facts]:
    """Complete facts of the right types, several times with other values, to try rules on."""
    ordered = dict.fromkeys(names.products, 1)
    reference, figures = date(2026, 1, 1), dict.fromkeys(names.tables, 1000.0)
    resident = Facts(
        municipality=Municipality("13999", "Gemeente Lindebeke", "2999"),
        today=date(2026, 11, 27),
        channel="ONLINE",
        application=_filled_in(form, yes=True),
        applicant=Applicant(
            True, 40, False, Address("Dorpsstraat", "1", "A", "2999", "Lindebeke", "13999"), reference, True
        ),
        household=Household(True, 3, ordered, ordered, (Child(9, 8),), 1.0),
        cart=tuple(CartLine(product, 1) for product in names.products),
        quota=Quota(True, True),
        sources_complete=True,
        reference_date=reference,
        window_open=True,
        tables=figures,
        checks=dict.fromkeys(names.checks, "MET"),
        advices=dict.fromkeys(names.advisers, "POSITIVE"),
        claims=dict.fromkeys(names.benefits, "FREE"),
        co_applicant="CONFIRMED",
        duplicates=dict.fromkeys(names.duplicates, False),
        documents=dict.fromkeys(names.documents, 1),
    )
    elsewhere = replace(
        resident,
        channel="COUNTER",
        application=_filled_in(form, yes=False),
        applicant=Applicant(
            True, 17, True, Address("Markt", "2", "B", "2400", "Mol", "13025"), reference, False
        ),
        household=Household(True, 1, ordered, ordered, (), 0.0),
        quota=Quota(True, False),
        sources_complete=False,
        window_open=False,
        checks=dict.fromkeys(names.checks, "NOT_MET"),
        advices=dict.fromkeys(names.advisers, "NEGATIVE"),
        claims=dict.fromkeys(names.benefits, "TAKEN"),
        co_applicant="REFUSED",
        duplicates=dict.fromkeys(names.duplicates, True),
        documents=dict.fromkeys(names.documents, 0),
    )
    return [resident, elsewhere, replace(resident, cart=()), replace(elsewhere, applicant=resident.applicant)]


def answered(asked: Asked) -> list[dict[str, Any]]:
    """What a source can say, as a condition sees it: with all that it has, and with nothing."""
    found: dict[str, list[Answer]] = {
        "social_status": [
            SocialStatusAnswer(dict.fromkeys(asked.statuses, value)) for value in (True, False)
        ],
        "tax_assessment": [TaxAnswer(True, 2024, 30_000.0, 20_000.0, 10_000.0), TaxAnswer(False, 2024)],
        "handicap_file": [HandicapAnswer(True, 9, 9, True, 5, 1, 2, 8), HandicapAnswer(False, 9)],
    }
    return [as_seen(one) for one in found[asked.service]]


def _filled_in(form: Mapping[str, Any], *, yes: bool) -> Mapping[str, Any]:
    answers = _answers(form, form, yes=yes)
    return answers if isinstance(answers, Mapping) else {}


def _answers(schema: Mapping[str, Any], root: Mapping[str, Any], *, yes: bool, depth: int = 0) -> object:
    """Something of the types of `schema`: every field, also what is asked only sometimes; booleans `yes`."""
    if depth > 8:
        return {}
    if isinstance(schema.get("$ref"), str):
        target: Any = root
        for step in str(schema["$ref"]).lstrip("#/").split("/"):
            target = target.get(step, {}) if isinstance(target, Mapping) else {}
        return _answers(target, root, yes=yes, depth=depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0 if yes else -1]
    for branch in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        if "const" in branch:
            return branch["const"]
    fields = fields_of(root, schema)
    if fields:
        return {
            name: _answers(several[0 if yes else -1], root, yes=yes, depth=depth + 1)
            for name, several in fields.items()
        }
    match schema.get("type"):
        case "boolean":
            return yes
        case "integer":
            return int(schema.get("minimum", 1))
        case "number":
            return float(schema.get("minimum", 1))
        case "array":
            return [_answers(schema.get("items", {}), root, yes=yes, depth=depth + 1)]
        case "object":
            return {}
        case _:
            return "2026-07-01" if schema.get("format") == "date" else "x"
