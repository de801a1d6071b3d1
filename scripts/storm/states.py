"""Is everything in a state that it may be in: cases, what hangs on ended ones, places, timers, chains?"""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import cache
from uuid import UUID

import orjson

from loket.lifecycle import ENTRY, FINAL, Action, EventType, Stage, Status, case_machine
from storm.evidence import Evidence, Row, uuid_of
from storm.findings import Bench

State = tuple[str, str]
"""Stage and status."""
OUTLIVES = frozenset(
    {"CHECKOUT_POLL", "PAYOUT_POLL", "NOTIFY_END", "EBOX_POLL", "DEPOSIT_END"}
    | {"VALIDITY_REMINDER", "VALIDITY_END", "RENEWAL"}
)
"""Deadlines of an ended case: money and letters are followed to their end, and what was granted holds on."""
LATE = timedelta(seconds=90)
"""A deadline that passed longer ago should have been acted on."""


def judge(evidence: Evidence, bench: Bench) -> None:
    _steps(evidence, bench)
    _chains(evidence, bench)
    _slots(evidence, bench)
    _bookings(evidence, bench)
    _ended(evidence, bench)
    _registrations(evidence, bench)
    _timers(evidence, bench)


# --- cases ------------------------------------------------------------------------------------


def _steps(evidence: Evidence, bench: Bench) -> None:
    """Each event of a case is a step of the published machine from where the case was."""
    walked = 0
    for case in evidence.cases.values():
        definition = evidence.definitions.get((case.procedure_key, case.procedure_version))
        if definition is None:
            continue
        table = Table.of(tuple(definition["stages"]))
        if (case.stage, case.status) not in table.reached:
            bench.wrong(
                "a state that the machine does not reach", case.reference, is_=f"{case.stage}/{case.status}"
            )
        if (case.closed_at is not None) != (case.status in FINAL):
            bench.wrong("closed and not ended, or the reverse", case.reference, is_=case.status)
        at = table.first
        for event in evidence.history.get(case.id, []):
            to = (event.stage, event.status)
            walked += 1
            if at != to and to not in table.steps.get((at, event.type), ()):
                bench.wrong(
                    "a step that the machine does not have", case.reference,
                    version=event.case_version, event=event.type, before="/".join(at), after="/".join(to),
                )  # fmt: skip
            at = to
    bench.checked("steps of the machines", walked)


@dataclass(frozen=True)
class Table:
    """The published machine of a procedure, as the judge asks it."""

    first: State
    steps: dict[tuple[State, str], set[State]]
    """Where an event may lead to from a state."""
    reached: set[State]

    @staticmethod
    @cache
    def of(stages: tuple[str, ...]) -> "Table":
        machine = case_machine(tuple(Stage(one) for one in stages))
        first: State = (stages[0], str(Status.RECEIVED))
        # the table says RECEIVED of a reopened case; in the same step it is put where a stage begins
        anew = {(stage, str(ENTRY[Stage(stage)][0])) for stage in stages}
        steps: dict[tuple[State, str], set[State]] = defaultdict(set)
        for one in machine.steps:
            at, to = (str(one.state[0]), str(one.state[1])), (str(one.to[0]), str(one.to[1]))
            event = str(one.event or EventType.STAGE_PASSED)
            steps[at, event] |= anew if one.action is Action.REOPEN else {to}
        reached = {first}
        while more := {to for (at, _), of in steps.items() if at in reached for to in of} - reached:
            reached |= more
        return Table(first, dict(steps), reached)


def _chains(evidence: Evidence, bench: Bench) -> None:
    """Each event's chain is the SHA-256 of the one before and of itself: nothing was changed or left out."""
    linked = 0
    for case_id, events in evidence.history.items():
        before = b""
        for one in events:
            linked += 1
            due = _link(before, one)
            if due != one.chain:
                bench.wrong(
                    "a chain that is broken", evidence.name(case_id), version=one.case_version, event=one.type
                )
                break
            before = one.chain
    bench.checked("links of the audit chain", linked)


def _link(before: bytes, one: Row) -> bytes:
    content = [
        str(one.id), str(one.case_id), one.case_version, one.type, one.stage, one.status, one.previous_status,
        one.occurred_at.astimezone(UTC).isoformat(), one.actor_kind, str(one.actor_id), one.actor_name,
        one.data,
    ]  # fmt: skip
    return hashlib.sha256(before + orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()


# --- places in slots --------------------------------------------------------------------------


def _slots(evidence: Evidence, bench: Bench) -> None:
    """No slot holds more than its capacity, by the planning tool's own count and by ours."""
    capacity = {
        key: (most, status)
        for key, most, status in evidence.outside.parts("planning", "slot", "capacity", "status")
    }
    places = evidence.outside.places("planning", "place:")
    bench.checked("slots of the planning tool", len(capacity))
    bench.checked("places taken there", sum(map(len, places.values())))
    for slot, taken in places.items():
        most, _ = capacity.get(slot, (0, ""))
        if len(taken) > most:
            bench.wrong("a slot above its capacity", slot, taken=len(taken), capacity=most)
    ours = evidence.rows("""
        SELECT s.external_id, s.taken, s.capacity, count(b.id) AS live
          FROM slot s LEFT JOIN booking b ON b.slot_id = s.id AND b.status IN ('HELD', 'BOOKED') GROUP BY s.id
    """)
    bench.checked("slots here", len(ours))
    for one in ours:
        if one.taken > one.capacity or one.live > one.capacity:
            bench.wrong(
                "a slot above its capacity here",
                one.external_id,
                taken=one.taken,
                live=one.live,
                capacity=one.capacity,
            )
        if one.taken != one.live:
            bench.wrong(
                "places of a slot that were miscounted", one.external_id, says=one.taken, live=one.live
            )


def _bookings(evidence: Evidence, bench: Bench) -> None:
    """What is agreed here is booked at the tool, in the same slot; what is booked there is agreed here."""
    theirs = {
        key: (slot, status, reference)
        for key, slot, status, reference in evidence.outside.parts(
            "planning", "booking", "slotId", "status", "reference"
        )
    }
    ours = evidence.rows("""
        SELECT d.id, d.case_id, d.status, s.external_id AS slot, d.round = c.round AS present
          FROM delivery d JOIN "case" c ON c.id = d.case_id
          LEFT JOIN booking b ON b.delivery_id = d.id AND b.status = 'BOOKED'
          LEFT JOIN slot s ON s.id = b.slot_id
    """)
    bench.checked("deliveries", len(ours))
    for one in ours:
        case = evidence.name(one.case_id)
        slot, status, _ = theirs.get(str(one.id), ("", "none", ""))
        if one.status == "PLANNED" and (status, slot) != ("BOOKED", one.slot):
            bench.wrong("agreed here, and not so at the tool", case, ours=one.slot, theirs=f"{slot} {status}")
        if one.status in ("TO_PLAN", "CANCELLED") and status == "BOOKED":
            bench.wrong("booked at the tool, and not agreed here", case, ours=one.status, theirs=slot)
        if one.status == "DELIVERED" and status not in ("DELIVERED", "none"):
            bench.wrong("delivered here, and not at the tool", case, theirs=status)
        if one.status != "DELIVERED" and status == "DELIVERED":
            bench.wrong("delivered at the tool, and not here", case, ours=one.status)
    for id in theirs.keys() - {str(one.id) for one in ours}:
        bench.wrong("a booking that is not here", theirs[id][2], booking=id)
    for slot, taken in evidence.outside.places("planning", "place:").items():
        for id in taken:
            if theirs.get(id, ("", "", ""))[0] != slot:
                bench.wrong("a place that belongs to no booking", slot, booking=id)


# --- what hangs on an ended case --------------------------------------------------------------


# fmt: off
LEFT_OPEN = (
    # what                          table            its name         while it is
    ("an open invoice",             "invoice",       "number",        ("ISSUED", "PARTLY_PAID")),
    ("an open advice",              "advice",        "adviser",       ("REQUESTED", "REMINDED")),
    ("an open checkout",            "payment",       "checkout_id",   ("STARTED", "PENDING")),
    ("a question to somebody",      "coapplication", "id::text",      ("ASKED",)),
    ("a check under way",           "check",         "kind",          ("RUNNING",)),
    ("a place that is held",        "booking",       "slot_id::text", ("HELD",)),
    ("a payout to order",           "payout",        "id::text",      ("ORDERED", "APPROVED")),
)
# fmt: on
"""What an ended case may not have."""


def _ended(evidence: Evidence, bench: Bench) -> None:
    ended = {id for id, one in evidence.cases.items() if one.status in FINAL}
    bench.checked("ended cases", len(ended))
    for what, table, name, states in LEFT_OPEN:
        for one in evidence.rows(
            f'SELECT case_id, {name} AS name, status FROM "{table}" WHERE status = ANY(%s)',  # noqa: S608  # ours
            list(states),
        ):
            if one.case_id in ended:
                bench.wrong(
                    f"an ended case with {what}", evidence.name(one.case_id),
                    ended=evidence.cases[one.case_id].status, name=one.name, is_=one.status,
                )  # fmt: skip
    for one in evidence.rows("SELECT case_id, kind, due_at FROM timer WHERE state = 'ARMED'"):
        if one.case_id in ended and one.kind not in OUTLIVES:
            bench.wrong(
                "an ended case with a timer", evidence.name(one.case_id), kind=one.kind, due=one.due_at
            )
    for one in evidence.rows("""
        SELECT b.case_id, s.external_id, c.status FROM booking b JOIN slot s ON s.id = b.slot_id
          JOIN delivery d ON d.id = b.delivery_id JOIN "case" c ON c.id = b.case_id
         WHERE b.status = 'BOOKED' AND d.status <> 'DELIVERED' AND c.closed_at IS NOT NULL
    """):
        bench.wrong(
            "an ended case with a place in a slot",
            evidence.name(one.case_id),
            is_=one.status,
            slot=one.external_id,
        )
    for one in evidence.rows("""
        SELECT c.reference, q.product FROM quotaclaim q JOIN "case" c ON c.id = q.case_id
         WHERE NOT q.released AND c.closed_at IS NOT NULL AND c.status <> 'COMPLETED'
    """):
        bench.wrong("an ended case that keeps its share", one.reference, product=one.product)


def _registrations(evidence: Evidence, bench: Bench) -> None:
    """Whom MAGDA tells us of is somebody with something open here; an ended case needs nobody."""
    ended = {id for id, one in evidence.cases.items() if one.status in FINAL}
    uses = evidence.rows("""
        SELECT u.subject_id, r.state, r.person_id, r.purpose FROM magdause u
          JOIN magdaregistration r ON r.id = u.registration_id
    """)
    renewing = {
        one.case_id
        for one in evidence.rows("SELECT case_id FROM timer WHERE kind = 'RENEWAL' AND state = 'ARMED'")
    }
    for one in uses:
        if one.subject_id in ended and one.subject_id not in renewing:
            bench.wrong(
                "an ended case that keeps its registration",
                evidence.name(one.subject_id),
                purpose=one.purpose,
            )
        if one.state == "ENDED":
            bench.wrong(
                "a registration that ended while it is needed",
                evidence.name(one.subject_id),
                purpose=one.purpose,
            )
    followed = {
        one.person_id
        for one in evidence.rows("SELECT person_id FROM magdaregistration WHERE state <> 'ENDED'")
    }
    kept = {
        one.person_id
        for one in evidence.rows("SELECT person_id FROM magdaregistration WHERE state = 'REGISTERED'")
    }
    people: dict[str, set[UUID]] = defaultdict(set)
    for _, insz, number in evidence.outside.parts(
        "dosis", "upload", "dossier.Agenten[0].Identificatie", "dossier.Identificatie.DossierNummer"
    ):
        case = evidence.references.get(number)
        if case is not None:
            people[insz].add(case.person_id)
    registered = [insz for _, insz in evidence.outside.parts("magda", "registration", "insz")]
    bench.checked("people known to DOSIS", len(people))
    bench.checked("registrations at MAGDA", len(registered))
    for insz, persons in people.items():
        if persons & kept and insz not in registered:
            bench.wrong("registered here, and not at MAGDA", insz, people=len(persons))
    for insz in registered:
        if insz in people and not people[insz] & followed:
            names = [one.reference for one in evidence.cases.values() if one.person_id in people[insz]]
            bench.wrong("registered at MAGDA, and nothing is open", names[0], cases=names[:4])


# --- deadlines --------------------------------------------------------------------------------


def _timers(evidence: Evidence, bench: Bench) -> None:
    """A timer fires once and not before its time, or as a person wished; what it causes is there once."""
    now = evidence.now
    found = evidence.rows("SELECT id, case_id, subject_id, kind, due_at, state, ended_at FROM timer")
    bench.checked("timers", len(found))
    wished = Counter(
        (uuid_of(one["variables"]["caseId"]), one["variables"]["kind"])
        for one in evidence.journal.of("asked")
        if one["field"] == "timerFire"
    )
    fired: Counter[tuple[object, str, object]] = Counter()
    for one in found:
        case = evidence.name(one.case_id) or one.subject_id
        if (one.state == "ARMED") != (one.ended_at is None):
            bench.wrong(
                "a timer that ended and is armed, or the reverse", case, kind=one.kind, state=one.state
            )
        if one.state == "ARMED" and one.due_at < now - LATE:
            bench.wrong("a deadline that passed, and nothing happened", case, kind=one.kind, due=one.due_at)
        if one.state == "FIRED":
            fired[one.case_id, one.kind, one.ended_at] += 1
            if one.ended_at < one.due_at:
                _early(evidence, bench, one, wished)
    armed = Counter((one.subject_id, one.kind) for one in found if one.state == "ARMED")
    for (subject, kind), times in armed.items():
        bench.unless(times == 1, "two timers for one deadline", subject, kind=kind, times=times)
    bench.checked("timers that fired", sum(fired.values()))
    for kind, type in CAUSES.items():
        caused = Counter(
            (case_id, kind, one.occurred_at)
            for case_id, events in evidence.history.items() for one in events if one.type == type
        )  # fmt: skip
        for key, times in caused.items():
            if fired[key] < times:
                bench.wrong(
                    "what a deadline causes, without it",
                    evidence.name(key[0]),
                    event=type,
                    fired=fired[key],
                    times=times,
                )


CAUSES = {
    "PAYMENT_REMINDER": "PAYMENT_REMINDED",
    "SLOT_REMINDER": "SLOT_REMINDED",
    "ANSWER_REMINDER": "INFORMATION_REMINDED",
    "TERM": "TERM_LAPSED",
    "VALIDITY_REMINDER": "VALIDITY_ENDING",
}
"""Events that nothing but their deadline causes, in the same instant."""


def _early(evidence: Evidence, bench: Bench, one: Row, wished: Counter[tuple[UUID | None, str]]) -> None:
    """Before its time only where an operator had it come now; without a ledger nobody knows."""
    if not evidence.journal.of("begun"):
        bench.checked("timers that fired early, of which no ledger tells")
        return
    if not wished[one.case_id, one.kind]:
        bench.wrong(
            "a timer that fired before its time",
            evidence.name(one.case_id),
            kind=one.kind,
            due=one.due_at,
            fired=one.ended_at,
        )
