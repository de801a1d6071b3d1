"""Ways to break a town: each something that a storm might do to it, with the group that must find it."""

import base64
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from storm.evidence import Evidence, named
from storm.ledger import Line

Json = dict[str, Any]
Lines = list[Line]
NOBODY = UUID(int=0)
WORD = re.compile(r"{(\w+)(?:\s+(\w+))?}")
NAMES = ("group", "what", "finds", "rows", "system", "records")
FILE = Path(__file__).with_name("plants.toml")


@dataclass(frozen=True)
class Plant:
    group: str
    what: str
    finds: str
    """What the judge must say of it."""
    rows: str = ""
    """Done to Loket's database."""
    system: str = ""
    records: str = ""
    """Done to the records of a system of the sandbox."""
    ledger: Callable[[Lines], int] | None = None
    """Done to what the clients wrote down; how many lines it changed."""


# --- a ledger of a town that had none ---------------------------------------------------------


def made_up(evidence: Evidence) -> Lines:
    """As if somebody had listened to one case from its beginning, and had kept every answer."""
    now = datetime.now(UTC)
    lines = [Line(now, "begun", {"seed": 0, "workers": 1})]
    lines += [
        # what was fired by hand was wished by somebody
        Line(
            now,
            "asked",
            {
                "field": "timerFire",
                "variables": {"caseId": named("Case", one.case_id), "kind": one.kind},
            },
        )
        for one in evidence.rows(
            "SELECT case_id, kind FROM timer WHERE state = 'FIRED' AND ended_at < due_at"
        )
    ]
    for number, one in enumerate(evidence.rows("SELECT key FROM idempotentrequest ORDER BY key LIMIT 100")):
        told = {
            "call": number,
            "who": "an",
            "field": "applicationSubmit",
            "key": one.key,
        }
        lines += [Line(now, "answered", told | {"data": {"case": {"id": "1"}}, "codes": []})] * (
            1 + (number == 0)
        )
    case = min(evidence.cases.values(), key=lambda one: one.id)
    lines.append(
        Line(
            now,
            "case",
            {"reference": case.reference, "procedure": case.procedure_key, "who": "an"},
        )
    )
    lines.append(
        Line(
            now,
            "connected",
            {"subscriber": "one", "about": f"case {case.reference}", "connection": 1},
        )
    )
    for event in evidence.rows(
        "SELECT id, xid::text::bigint AS xid, seq, type, status FROM event WHERE case_id = %s"
        " ORDER BY event.xid, seq",
        case.id,
    ):
        cursor = base64.urlsafe_b64encode(f"1.{event.xid}.{event.seq}".encode()).decode().rstrip("=")
        told = {
            "id": named("CaseEvent", event.id),
            "cursor": cursor,
            "type": event.type,
            "status": event.status,
        }
        lines.append(Line(now, "seen", {"subscriber": "one", "connection": 1, "event": told}))
    return lines


def _without(kind: str) -> Callable[[Lines], int]:
    """One line in the middle is gone."""

    def change(lines: Lines) -> int:
        of = [one for one in lines if one.kind == kind]
        if len(of) < 3:
            return 0
        lines.remove(of[len(of) // 2])
        return 1

    return change


def _again(lines: Lines) -> int:
    lines.append(next(one for one in lines if one.kind == "seen"))
    return 1


def _turned(lines: Lines) -> int:
    at = [number for number, one in enumerate(lines) if one.kind == "seen"][:2]
    lines[at[0]], lines[at[1]] = lines[at[1]], lines[at[0]]
    return len(at)


def _changed(kind: str, **facts: object) -> Callable[[Lines], int]:
    def change(lines: Lines) -> int:
        at = next(number for number, one in enumerate(lines) if one.kind == kind)
        lines[at] = Line(lines[at].at, kind, lines[at].facts | facts)
        return 1

    return change


def _strange(lines: Lines) -> int:
    seen = next(one for one in lines if one.kind == "seen")
    strange = seen["event"] | {"id": named("CaseEvent", NOBODY)}
    lines.insert(lines.index(seen) + 1, Line(seen.at, "seen", seen.facts | {"event": strange}))
    return 1


# --- what is broken ---------------------------------------------------------------------------

# fmt: off
IN_THE_LEDGER = (
    Plant("whole", "one key has two results", "one key, two results",
          ledger=_changed("answered", data={"case": {"id": "2"}})),
    Plant("whole", "a case that somebody was told of is gone", "a case that a citizen was told of is gone",
          ledger=_changed("case", reference="CB-2026-000000-0")),
    Plant("seen", "a subscriber missed an event", "events that a subscriber never saw",
          ledger=_without("seen")),
    Plant("seen", "a subscriber saw an event twice", "an event that a subscriber saw twice", ledger=_again),
    Plant("seen", "a subscriber saw two in the wrong order", "an event out of order", ledger=_turned),
    Plant("seen", "a subscriber saw what did not happen", "events that were not theirs", ledger=_strange),
)
# fmt: on


def plants() -> list[Plant]:
    told = tomllib.loads(FILE.read_text("utf-8"))
    words: dict[str, str] = told["words"]

    def spelt_out(word: re.Match[str]) -> str:
        return words[word[1]].replace("…", word[2] or "")

    found = []
    for one in told["plant"]:
        group, what, finds, *done = (WORD.sub(spelt_out, one.get(name, "")) for name in NAMES)
        found.append(Plant(group, what, finds, rows=done[0], system=done[1], records=done[2]))
    return [*found, *IN_THE_LEDGER]
