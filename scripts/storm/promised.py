"""What clients were told, beside what is there: nothing acknowledged may be lost, or be done twice."""

import json
from collections import Counter, defaultdict
from typing import Any
from uuid import UUID

from storm.evidence import Evidence, Row, uuid_of
from storm.findings import Bench
from storm.ledger import Line

Json = dict[str, Any]


def judge(evidence: Evidence, bench: Bench) -> None:
    _keys(evidence, bench)
    _same_answer(evidence, bench)
    _cases(evidence, bench)
    _drafts(evidence, bench)
    _wishes(evidence, bench)
    _races(evidence, bench)


def _keys(evidence: Evidence, bench: Bench) -> None:
    """What was acknowledged under a key was kept with its answer: both are of one transaction."""
    kept = {
        one.key: one.answered
        for one in evidence.rows("SELECT key, answer IS NOT NULL AS answered FROM idempotentrequest")
    }
    acknowledged = [one for one in evidence.journal.acknowledged() if one.get("key")]
    bench.checked("acknowledged wishes", len(acknowledged))
    for one in acknowledged:
        if one["key"] not in kept:
            bench.wrong("acknowledged, and nothing is kept of it", one["field"], key=one["key"], at=one.at)
        elif not kept[one["key"]]:
            bench.wrong("acknowledged, and kept without its answer", one["field"], key=one["key"], at=one.at)
    for one in evidence.rows(
        "SELECT key, count(*) AS times FROM idempotentrequest GROUP BY 1 HAVING count(*) > 1"
    ):
        bench.wrong("one key of two actors", one.key, times=one.times)


def _same_answer(evidence: Evidence, bench: Bench) -> None:
    """One key has one result, however often it was asked."""
    answers: dict[str, list[Line]] = defaultdict(list)
    for one in evidence.journal.acknowledged():
        if one.get("key"):
            answers[one["key"]].append(one)
    again = {key: of for key, of in answers.items() if len(of) > 1}
    bench.checked("keys that were answered more than once", len(again))
    for key, of in again.items():
        named = {json.dumps(sorted(_ids(one["data"]))) for one in of}
        bench.unless(len(named) == 1, "one key, two results", of[0]["field"], key=key, results=sorted(named))


def _ids(data: Any) -> set[str]:  # noqa: ANN401  # any JSON
    """Whatever in an answer names something."""
    if isinstance(data, list):
        return set().union(*(_ids(one) for one in data))
    if not isinstance(data, dict):
        return set()
    own = {
        f"{name} {data[name]}" for name in ("id", "reference", "number") if isinstance(data.get(name), str)
    }
    return own.union(*(_ids(one) for one in data.values()))


def _cases(evidence: Evidence, bench: Bench) -> None:
    """Each case that a citizen was told of is there, theirs, and of that procedure."""
    told = evidence.journal.of("case")
    bench.checked("cases that citizens were told of", len(told))
    for one in told:
        case = evidence.references.get(one["reference"])
        if case is None:
            bench.wrong("a case that a citizen was told of is gone", one["reference"], at=one.at)
        elif case.procedure_key != one["procedure"]:
            bench.wrong("a case of another procedure", one["reference"], is_=case.procedure_key)


def _drafts(evidence: Evidence, bench: Bench) -> None:
    """What was filled in, and acknowledged, is what the application says: nothing of it is lost."""
    answers: dict[UUID | None, Json] = defaultdict(dict)
    carts: dict[UUID | None, list[Json]] = {}
    asked = {one["call"]: one for one in evidence.journal.of("asked")}
    for one in evidence.journal.acknowledged():
        given = asked[one["call"]]["variables"] if one["call"] in asked else {}
        if one["field"] == "applicationSetAnswers" and given:
            answers[uuid_of(given["id"])] |= given["input"]
        if one["field"] == "applicationSetCart" and given:
            carts[uuid_of(given["id"])] = given["input"]["lines"]
    kept = {one.id: one for one in evidence.rows("SELECT id, answers, cart FROM application")}
    bench.checked("forms that were acknowledged", len(answers))
    for id, filled in answers.items():
        there = kept[id].answers if id in kept else {}
        lost = [name for name, value in filled.items() if not _holds(there.get(name), value)]
        bench.unless(not lost, "answers that were acknowledged are not there", id, lost=lost)
    bench.checked("carts that were acknowledged", len(carts))
    for id, lines in carts.items():
        cart = sorted((one["product"], one["quantity"]) for one in kept[id].cart) if id in kept else []
        wanted = sorted((one["product"], one["quantity"]) for one in lines)
        bench.unless(wanted == cart, "a cart that was acknowledged is another", id, wanted=wanted, cart=cart)


def _holds(kept: Any, given: Any) -> bool:  # noqa: ANN401  # any JSON
    """Whether what is kept has all that was given; what the form adds by itself is no loss."""
    if isinstance(given, dict):
        return isinstance(kept, dict) and all(_holds(kept.get(name), one) for name, one in given.items())
    if isinstance(given, str) and isinstance(kept, str) and "*" in kept:  # of an account, what may be shown
        shown, whole = kept.replace(" ", ""), given.replace(" ", "")
        return len(shown) == len(whole) and all(
            sign in ("*", of) for sign, of in zip(shown, whole, strict=True)
        )
    return bool(kept == given)


CAUSES: dict[str, tuple[str, ...]] = {
    "caseDeclareAdmissible": ("ADMISSIBLE",),
    "caseWithdraw": ("WITHDRAWN",),
    "adviceRequest": ("ADVICE_REQUESTED",),
    "decisionTake": ("APPROVED", "PARTLY_APPROVED", "REJECTED"),
    "decisionPrepare": ("DECISION_PREPARED",),
    "decisionSendToMinutes": ("DECISION_SENT",),
    "deliveryBookSlot": ("PLANNED",),
    "deliveryReschedule": ("RESCHEDULED",),
    "payoutOrder": ("PAYOUT_ORDERED",),
}
"""What must have happened to a case once a wish of this name was acknowledged: as often at least; and never
oftener than it was wished, but for what happens `BY_ITSELF`."""
BY_ITSELF = frozenset(
    {"PLANNED", "ADMISSIBLE", "APPROVED", "PARTLY_APPROVED", "REJECTED", "ADVICE_REQUESTED"}
)


def _wishes(evidence: Evidence, bench: Bench) -> None:
    cases = {one["call"]: _cases_of(one) for one in evidence.journal.of("asked") if one["field"] in CAUSES}
    asked: Counter[tuple[UUID | None, str]] = Counter()
    for one in evidence.journal.of("asked"):
        asked.update((case_id, one["field"]) for case_id in cases.get(one["call"], ()))
    done: dict[tuple[UUID | None, str], set[object]] = defaultdict(set)
    for one in evidence.journal.acknowledged():
        refused = _refused(one)
        for case_id in cases.get(one["call"], ()):
            if case_id not in refused:
                done[case_id, one["field"]].add(one.get("key") or one["call"])
    bench.checked("wishes with a consequence", sum(map(len, done.values())))
    for (case_id, field), keys in done.items():
        happened = _happened(evidence, case_id, CAUSES[field])
        if happened < len(keys):
            bench.wrong("acknowledged, and it did not happen", evidence.name(case_id),
                        wish=field, acknowledged=len(keys), happened=happened)  # fmt: skip
    for (case_id, field), times in asked.items():
        happened = _happened(evidence, case_id, CAUSES[field])
        if happened > times and not BY_ITSELF & set(CAUSES[field]):
            bench.wrong("it happened oftener than it was wished", evidence.name(case_id),
                        wish=field, wished=times, happened=happened)  # fmt: skip


def _cases_of(asked: Line) -> list[UUID | None]:
    told = asked["variables"]
    return [uuid_of(one) for one in told.get("caseIds") or [told.get("caseId") or told["id"]]]


def _refused(answer: Line) -> set[UUID | None]:
    """Of a wish for a list of cases, those with which it was not done."""
    return {uuid_of(one["caseId"]) for one in answer["data"].get("results") or () if one["errors"]}


def _happened(evidence: Evidence, case_id: UUID | None, types: tuple[str, ...]) -> int:
    events = evidence.history.get(case_id, []) if case_id else []
    return sum(one.type in types for one in events)


DECIDED = ("APPROVED", "PARTLY_APPROVED", "REJECTED")


def _races(evidence: Evidence, bench: Bench) -> None:
    """Of many who want the same of one case at once, one is heard; and a case is decided once a round."""
    races = [one for one in evidence.journal.of("raced") if one["race"] in ("submissions", "decisions")]
    bench.checked("races for one case", len(races))
    for one in races:
        bench.unless(
            one["won"] == 1, "a race that not one won", one["case"], race=one["race"], won=one["won"]
        )
    bench.checked("cases that were decided", sum(_decided(of) > 0 for of in evidence.history.values()))
    for case_id, events in evidence.history.items():
        again = sum(one.type in ("REOPENED", "DECISION_WITHDRAWN") for one in events)
        if _decided(events) > 1 + again:
            bench.wrong("a case that was decided twice", evidence.name(case_id), times=_decided(events))


def _decided(events: list[Row]) -> int:
    return sum(one.type in DECIDED for one in events)
