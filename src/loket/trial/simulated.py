"""What became of a case that was tried dry: read back out of its own records, for people and for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from loket import cases, decisions, invoices
from loket.definition import Definition, Text
from loket.lifecycle import FINAL, EventType, Stage, Status, TaskStatus, TimerKind
from loket.records import (
    ActorKind,
    Advice,
    Case,
    Check,
    Decision,
    Effect,
    EffectKind,
    Event,
    Message,
    MessageChannel,
    Task,
    Timer,
    TimerState,
)
from loket.rules import Outcome
from loket.segments import Dear, Segments, dear, segments
from loket.work import Work

# fmt: off
THEN: dict[TimerKind, str] = {
    TimerKind.ANSWER:                "a handler decides on what there is",
    TimerKind.ANSWER_REMINDER:       "the applicant is reminded of the question",
    TimerKind.CO_APPLICANT_REMINDER: "the co-applicant is reminded",
    TimerKind.CO_APPLICANT_END:      "it counts as not confirmed",
    TimerKind.ADVICE_REMINDER:       "the adviser is reminded",
    TimerKind.ADVICE_END:            "no reaction; the case goes on without it",
    TimerKind.MINUTES_POLL:          "the minutes system is asked",
    TimerKind.SUCCESSOR_END:         "task: on which agenda does it come back?",
    TimerKind.NOTIFY_END:            "task: the letter did not leave in time",
    TimerKind.EBOX_POLL:             "the eBox is asked",
    TimerKind.LETTER_BATCH:          "the day's letters are printed",
    TimerKind.PAYOUT_POLL:           "accounting is asked",
    TimerKind.PAYOUT_END:            "task: it must be paid out",
    TimerKind.TERM:                  "lapsed; a handler decides",
    TimerKind.TERM_ALARM:            "task: the term is about to lapse",
    TimerKind.PAYMENT_REMINDER:      "the applicant is reminded to pay",
    TimerKind.DEFAULT_NOTICE:        "notice of default",
    TimerKind.PAYMENT_END:           "cancelled or handed over",
    TimerKind.CHECKOUT_POLL:         "the payment module is asked",
    TimerKind.SLOT_REMINDER:         "the applicant is reminded to choose",
    TimerKind.SLOT_END:              "the first free slot is planned",
    TimerKind.HOLD_END:              "the slot is let go",
    TimerKind.DELIVERY_UNCONFIRMED:  "task: was it delivered?",
    TimerKind.VALIDITY_REMINDER:     "the applicant hears that it ends soon",
    TimerKind.VALIDITY_END:          "it does not hold any more",
    TimerKind.RENEWAL:               "a draft is opened and the applicant is asked",
    TimerKind.DEPOSIT_END:           "task: what becomes of the deposit?",
    TimerKind.DRAFT_END:             "the draft is thrown away",
    TimerKind.RECONCILIATION:        "the books are compared",
}
# fmt: on
"""What happens when a deadline comes."""


@dataclass(frozen=True)
class Step:
    """Something that happened. `by`: a person, a system, or Loket itself by a rule or a timer."""

    at: datetime
    stage: Stage
    status: Status
    event: EventType
    by: str
    by_kind: ActorKind
    rules: tuple[str, ...]
    """Keys of the rules that made it so."""
    data: dict[str, Any]


@dataclass(frozen=True)
class RuleValue:
    """What a condition of the definition came to, when it was last asked."""

    kind: str
    """SCREENING, APPROVAL, BENEFIT, ASKED (of a benefit), CHECK (whether it is asked), or another part."""
    key: str
    title: Text
    when: str
    outcome: Outcome
    why: str
    """With REFER: what kept it from answering."""
    at: datetime
    times: int
    """How often it was asked."""


@dataclass(frozen=True)
class Assumption:
    """What a source or an adviser was assumed to say."""

    kind: str
    """CHECK or ADVICE."""
    key: str
    title: Text
    said: str


@dataclass(frozen=True)
class Line:
    description: str
    quantity: int
    amount: Decimal


@dataclass(frozen=True)
class Granted:
    """A benefit that was asked."""

    key: str
    title: str
    granted: bool
    amount: Decimal


@dataclass(frozen=True)
class Said:
    """A message that would go out. `skipped`: why not after all. `html` for e-mail, `segments` for SMS."""

    at: datetime
    event: EventType
    channel: MessageChannel
    language: str
    subject: str
    text: str
    html: str | None
    link: str | None
    skipped: str
    segments: Segments | None
    dear: tuple[Dear, ...]
    """What makes a text message dear."""


@dataclass(frozen=True)
class Reported:
    """A status that DOSIS would get."""

    at: datetime
    event: EventType
    code: str
    phase: str
    details: tuple[str, ...]
    action: str | None
    skipped: str


@dataclass(frozen=True)
class Deadline:
    """A timer, and what became of it: ARMED still, FIRED, or CANCELLED because it was not needed any more."""

    at: datetime
    kind: TimerKind
    state: TimerState
    then: str


@dataclass(frozen=True)
class Waiting:
    """For what it waits, until when, and what then happens; `tasks` are those of people."""

    status: Status
    tasks: tuple[str, ...]
    until: datetime | None
    then: str


@dataclass(frozen=True)
class Path:
    """The path of a case."""

    definition: Definition
    reference: str
    outcome: Status
    is_final: bool
    amount: Decimal | None
    """EUR: what is granted, else what is to be paid; None where neither is."""
    lines: tuple[Line, ...]
    benefits: tuple[Granted, ...]
    steps: tuple[Step, ...]
    rules: tuple[RuleValue, ...]
    assumptions: tuple[Assumption, ...]
    messages: tuple[Said, ...]
    dosis: tuple[Reported, ...]
    deadlines: tuple[Deadline, ...]
    waiting: Waiting | None
    stopped: str = ""
    """What was wished and refused, so that it went no further."""
    statuses: tuple[Status, ...] = field(default=())
    """Through which it went, in order."""


# --- reading ----------------------------------------------------------------------------------


async def path_of(
    work: Work, case: Case, rules: Sequence[RuleValue], stopped: str, ended_at: datetime
) -> Path:
    """What stands in the records of `case` at `ended_at`."""
    definition = work.definition(case)
    happened = await _events(work, case)
    decision = await decisions.of(work, case)
    return Path(
        definition=definition,
        reference=case.reference,
        outcome=case.status,
        is_final=case.status in FINAL,
        amount=_amount(case, decision),
        lines=_lines(case),
        benefits=_benefits(decision),
        steps=tuple(_step(one) for one in happened),
        rules=tuple(rules),
        assumptions=await _assumptions(work, case, definition),
        messages=await _messages(work, case),
        dosis=await _dosis(work, case, happened),
        deadlines=await _deadlines(work, case),
        waiting=await _waiting(work, case),
        stopped=stopped,
        statuses=_statuses(happened),
    )


async def _events(work: Work, case: Case) -> list[Event]:
    found = await work.session.scalars(
        select(Event).where(col(Event.case_id) == case.id).order_by(col(Event.seq))
    )
    return list(found)


def _statuses(happened: Sequence[Event]) -> tuple[Status, ...]:
    statuses: list[Status] = []
    for event in happened:
        if not statuses or statuses[-1] is not event.status:
            statuses.append(event.status)
    return tuple(statuses)


def _step(event: Event) -> Step:
    return Step(
        at=event.occurred_at,
        stage=event.stage,
        status=event.status,
        event=event.type,
        by=event.actor_name,
        by_kind=event.actor_kind,
        rules=tuple(event.data.get("rules") or ()),
        data=event.data,
    )


def _amount(case: Case, decision: Decision | None) -> Decimal | None:
    if decision is not None and decision.amount is not None:
        return decision.amount
    return invoices.total(case) if case.facts.get("order") else None


def _lines(case: Case) -> tuple[Line, ...]:
    return tuple(
        Line(one["description"], int(one["quantity"]), Decimal(one["amount"]))
        for one in case.facts.get("order", [])
    )


def _benefits(decision: Decision | None) -> tuple[Granted, ...]:
    return tuple(
        Granted(one["key"], one["title"], bool(one["granted"]), Decimal(one["amount"]))
        for one in (decision.benefits if decision else [])
    )


async def _assumptions(work: Work, case: Case, definition: Definition) -> tuple[Assumption, ...]:
    asked = await work.session.scalars(
        select(Check).where(col(Check.case_id) == case.id).order_by(col(Check.id))
    )
    advised = await work.session.scalars(
        select(Advice).where(col(Advice.case_id) == case.id).order_by(col(Advice.id))
    )
    looked_up = [
        Assumption("CHECK", one.kind, spec.title, one.status)
        for one in asked
        if (spec := definition.check(one.kind)) is not None
    ]
    thought = [
        Assumption("ADVICE", one.adviser, adviser.title, one.status)
        for one in advised
        if (adviser := definition.adviser(one.adviser)) is not None
    ]
    return (*looked_up, *thought)


async def _messages(work: Work, case: Case) -> tuple[Said, ...]:
    written = await work.session.scalars(
        select(Message)
        .where(col(Message.case_id) == case.id)
        .order_by(col(Message.event_seq), col(Message.id))
    )
    payloads = {one.id: one.payload for one in await _effects(work, case)}
    return tuple(_said(one, payloads.get(one.effect_id, {}) if one.effect_id else {}) for one in written)


def _said(message: Message, payload: dict[str, Any]) -> Said:
    by_sms = message.channel is MessageChannel.SMS
    return Said(
        at=message.queued_at,
        event=EventType(message.about),
        channel=message.channel,
        language=message.language,
        subject=message.subject,
        text=message.body,
        html=payload.get("html"),
        link=payload.get("link"),
        skipped=message.reason,
        segments=segments(message.body) if by_sms else None,
        dear=dear(message.body) if by_sms else (),
    )


async def _effects(work: Work, case: Case) -> Sequence[Effect]:
    found = await work.session.scalars(
        select(Effect).where(col(Effect.case_id) == case.id).order_by(col(Effect.seq))
    )
    return found.all()


async def _dosis(work: Work, case: Case, happened: Sequence[Event]) -> tuple[Reported, ...]:
    types = {event.seq: event.type for event in happened}
    return tuple(
        Reported(
            at=datetime.fromisoformat(one.payload["changed_at"]),
            event=types[one.event_seq],
            code=one.payload["code"],
            phase=one.payload["phase"],
            details=tuple(one.payload["details"]),
            action=one.payload["action"],
            skipped=one.last_error,
        )
        for one in await _effects(work, case)
        if one.kind is EffectKind.DOSIS_STATUS
    )


async def _deadlines(work: Work, case: Case) -> tuple[Deadline, ...]:
    found = await work.session.scalars(
        select(Timer).where(col(Timer.case_id) == case.id).order_by(col(Timer.due_at), col(Timer.kind))
    )
    return tuple(Deadline(one.due_at, one.kind, one.state, THEN[one.kind]) for one in found)


async def _waiting(work: Work, case: Case) -> Waiting | None:
    if case.status in FINAL:
        return None
    found = await work.session.scalars(
        select(col(Task.kind))
        .where(col(Task.case_id) == case.id, col(Task.status) == TaskStatus.OPEN)
        .order_by(col(Task.opened_at), col(Task.kind))
    )
    table = cases.machine(work.definition(case))
    end = next((one for one in table.waits if one.state == (case.stage, case.status)), None)
    until = (
        await work.session.scalar(
            select(col(Timer.due_at))
            .where(
                col(Timer.case_id) == case.id,
                col(Timer.kind) == end.timer,
                col(Timer.state) == TimerState.ARMED,
            )
            .order_by(col(Timer.due_at))
            .limit(1)
        )
        if end is not None
        else None
    )
    return Waiting(case.status, tuple(found), until, end.then if end else "")
