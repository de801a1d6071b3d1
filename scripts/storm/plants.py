"""Ways to break a town: each something that a storm might do to it, with the group that must find it."""

import base64
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
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
    """As if its clients had written down what they were told: of one case all, of the others a little."""
    case = min((one for one in evidence.cases.values() if one.status == "COMPLETED"), key=lambda one: one.id)
    name = {"caseId": named("Case", case.id)}
    lines = [_line("begun", seed=0, workers=1)]
    calls = count(1)
    for one in evidence.rows("SELECT case_id, kind FROM timer WHERE state = 'FIRED' AND ended_at < due_at"):
        # what was fired by hand was wished by somebody
        wish = {"caseId": named("Case", one.case_id), "kind": one.kind}
        lines += _wished(next(calls), "timerFire", wish)
    for number, one in enumerate(evidence.rows("SELECT key FROM idempotentrequest ORDER BY key LIMIT 100")):
        told = _wished(next(calls), "applicationSubmit", {"idempotencyKey": one.key}, case={"id": "1"})
        lines += [*told, told[-1]] if number == 0 else told
    (draft,) = evidence.rows("SELECT answers, cart FROM application WHERE id = %s", case.application_id)
    form = {"id": named("Application", case.application_id)}
    lines += _wished(next(calls), "applicationSetAnswers", form | {"input": draft.answers})
    lines += _wished(next(calls), "applicationSetCart", form | {"input": {"lines": draft.cart}})
    if any(one.type == "PLANNED" for one in evidence.history[case.id]):
        lines += _wished(next(calls), "deliveryBookSlot", name)
    lines.append(_line("raced", race="decisions", asked=20, won=1, told=[], case=case.reference))
    lines.append(_line("case", reference=case.reference, procedure=case.procedure_key, who="an"))
    lines.append(_line("connected", subscriber="one", about=f"case {case.reference}", connection=1))
    feed = (
        "SELECT id, xid::text::bigint AS xid, seq, type FROM event e WHERE case_id = %s ORDER BY e.xid, seq"
    )
    for one in evidence.rows(feed, case.id):
        cursor = base64.urlsafe_b64encode(f"1.{one.xid}.{one.seq}".encode()).decode().rstrip("=")
        event = {"id": named("CaseEvent", one.id), "cursor": cursor, "type": one.type}
        lines.append(_line("seen", subscriber="one", connection=1, event=event))
    return lines


def _wished(call: int, field: str, variables: Json, **data: object) -> Lines:
    told: Json = {"call": call, "who": "an", "field": field, "key": variables.get("idempotencyKey")}
    return [_line("asked", **told, variables=variables), _line("answered", **told, data=data, codes=[])]


def _line(kind: str, **facts: object) -> Line:
    return Line(datetime.now(UTC), kind, facts)


def _rewritten(field: str, **given: object) -> Callable[[Lines], int]:
    """What was wished was something else."""

    def change(lines: Lines) -> int:
        of = [one for one in lines if one.kind == "asked" and one["field"] == field]
        for one in of[:1]:
            wish = one.facts | {"variables": one["variables"] | given}
            lines[lines.index(one)] = Line(one.at, "asked", wish)
        return len(of)

    return change


def _once_more(lines: Lines) -> int:
    """A slot that was never booked, and acknowledged nevertheless."""
    wish = next((one["variables"] for one in lines if one.get("field") == "deliveryBookSlot"), None)
    if wish is not None:
        lines += _wished(-1, "deliveryBookSlot", wish)
    return int(wish is not None)


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


def _changed(kind: str, field: str | None, **facts: object) -> Callable[[Lines], int]:
    def change(lines: Lines) -> int:
        at = next(n for n, one in enumerate(lines) if one.kind == kind and one.get("field") == field)
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
          ledger=_changed("answered", "applicationSubmit", data={"case": {"id": "2"}})),
    Plant("whole", "a case that somebody was told of is gone", "a case that a citizen was told of is gone",
          ledger=_changed("case", None, reference="CB-2026-000000-0")),
    Plant("whole", "an answer of the form was lost", "answers that were acknowledged are not there",
          ledger=_rewritten("applicationSetAnswers", input={"remark": "Bel eerst aan."})),
    Plant("whole", "a line of the cart was lost", "a cart that was acknowledged is another",
          ledger=_rewritten("applicationSetCart", input={"lines": [{"product": "vat", "quantity": 9}]})),
    Plant("whole", "a slot was acknowledged and never booked", "acknowledged, and it did not happen",
          ledger=_once_more),
    Plant("whole", "two of twenty handlers were heard", "a race that not one won",
          ledger=_changed("raced", None, won=2)),
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
