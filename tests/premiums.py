"""A premium of the tests' own: the shipped bin's file, with the stages and parts of a premium in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from loket.app import SHIPPED

Json = dict[str, Any]
STAGES = ["screening", "assessment", "decision"]
_SAID = {"message": "Dit is niet voldaan.", "fact": "Dit werd nagekeken.", "legal": "Reglement, artikel 2"}
_FORM: Json = {
    "schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "benefits": {"type": "array", "items": {"type": "string", "enum": ["home", "own", "child"]}}
        },
    },
}


def rule(key: str, when: str) -> Json:
    return {"key": key, "title": key, "when": when} | _SAID


def check(key: str, service: str, met: str, **parts: object) -> Json:
    return {"key": key, "title": key, "service": service, "met": met, "purpose": f"Of {key} waar is."} | parts


def benefit(key: str, per: str, when: str, **parts: object) -> Json:
    amounts = [{"from": "2026-01-01", "amount": 70.5}]
    budget_key = {"account": "6480000", "policy_item": "0909-00"}
    told = {"amounts": amounts, "budget_key": budget_key, "granted_fact": "Dit werd nagekeken."}
    asked = {"asked": f"'{key}' in application.benefits"}
    return {"key": key, "title": key, "per": per, "when": when} | told | asked | _SAID | parts


def written(folder: Path, key: str, changed: Callable[[Json], None] | None = None) -> None:
    """Put a premium into `folder`, under `key`; `changed` makes it another than the plain one.

    The plain one asks MAGDA for the increased allowance, screens by rule with a handler's last word, and is
    given once a year to an address, an applicant and a child.
    """
    yaml = YAML(typ="safe", pure=True)
    (shipped,) = SHIPPED.glob("compost-bin.yaml")
    told: Json = yaml.load(shipped.read_text("utf-8"))
    for part in ("catalogue", "payment", "planning", "delivery", "decision"):
        told.pop(part)
    phases = [one for one in told["phases"] if not {"payment", "delivery"} & set(one.get("stages", ()))]
    phases[-1]["stages"] = STAGES
    kept = {"SUBMITTED", "INADMISSIBLE", "REJECTED", "APPROVED", "CANCELLED"}
    kept |= {"INFORMATION_REQUESTED", "INFORMATION_REMINDED"}
    messages = {name: one for name, one in told["texts"]["messages"].items() if name in kept}
    for one in messages.values():
        one.pop("joins", None), one.pop("replaces", None), one.pop("joined_subject", None)
    messages["PARTLY_APPROVED"] = messages["REJECTED"]
    told |= {
        "key": key,
        "stages": STAGES,
        "phases": phases,
        "form": _FORM,
        "screening": {"by": "rule_then_handler"},
        "assessment": {"by": "handler"},
        "decision": {"by": "handler"},
        "information": {"answer_within_days": 14, "reminder_days": [7, 12]},
        "rules": {"screening": [rule("here", "applicant.address.nis == municipality.nis")]},
        "checks": [
            check("increased", "social_status", "answer.statuses.BIM_BVT", statuses=["BIM_BVT"])
            | {"documents": ["certificate"]}
        ],
        "documents": [{"key": "certificate", "title": "Attest"}],
        "benefits": [
            benefit("home", "address", "checks.increased == 'MET' && claims.home == 'FREE'"),
            benefit("own", "applicant", "checks.increased == 'MET' && claims.own == 'FREE'"),
        ],
        "texts": told["texts"] | {"messages": messages},
        "dosis": {"SUBMITTED": {"code": "Ingediend", "phase": "Samenstelling"}},
    }
    if changed is not None:
        changed(told)
    yaml.representer.ignore_aliases = lambda *_: True
    with (folder / f"{key}.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(told, file)
