"""Letters to citizens and the proof that they were sent: a decision reaches its citizen by legal delivery.

Who has an eBox gets it there; for all others it lies ready for the day's print batch, as a registered letter.
What goes over Mijn Burgerprofiel, e-mail and SMS only announces.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket import cases, filing, validity
from loket.lifecycle import MESSAGE, DecisionStatus, EventType, MessageStatus, PartAction, TimerKind
from loket.records import (
    Case,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    Event,
    Letter,
    LetterStatus,
    LetterWay,
    Message,
    MessageChannel,
    Person,
    Timer,
    TimerState,
)
from loket.terms import BRUSSELS, morning_of, next_post
from loket.work import Work, the_system

GONE = frozenset({LetterStatus.SENT, LetterStatus.DELIVERED})
POLL_FIRST, POLL_LONGEST = timedelta(hours=1), timedelta(days=1)
"""How long after it was sent the eBox is asked of a letter, then after twice as long each time."""
POLLED_FOR = timedelta(days=30)
"""After that nobody asks any more: it lies there, and counts as sent."""
BATCHES = UUID("5a5c2f0e-8d0b-4c53-9f0e-3a6d2f1b7c41")
"""With a day it names that day's batch: so whoever arms its timer, there is one."""
BATCH_CLOSES = timedelta(minutes=5)
"""A letter that is ready so shortly before may miss the batch that is being made: it arms the next one."""
LANGUAGE = "nl"
"""The language of the acts of a Flemish municipality."""
RESULTS = {
    DecisionStatus.GRANTED: "toegekend",
    DecisionStatus.PARTLY_GRANTED: "gedeeltelijk toegekend",
    DecisionStatus.REFUSED: "geweigerd",
}


# --- one letter -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """A demand for money in words. `outstanding` in EUR; `reference`: 12 bare digits."""

    subject: str
    text: str
    outstanding: Decimal
    reference: str


async def queue_decision(work: Work, case: Case, decision: Decision, event: Event) -> None:
    """Write the letter with a decision, where the procedure asks for legal delivery."""
    definition = work.definition(case)
    if definition.decision is None or not definition.decision.legal_delivery:
        return
    person = await work.session.get_one(Person, case.person_id)
    if person.deceased_on is not None:
        await cases.open_task(work, case, "NOT_REACHED", {"about": event.type})
        return
    await _write(
        work,
        case,
        person,
        event,
        subject=f"Beslissing over uw aanvraag {case.reference}",
        text=f"{definition.title.nl}: {RESULTS[decision.status]}. De beslissing staat in de brief.",
        legal=True,
        content=await _content(work, case, person, decision),
        decision=decision,
    )
    await watch(work, case)


async def queue_notice(
    work: Work, case: Case, person: Person, event: Event, *, said: Said, registered: bool
) -> Letter:
    """Write the letter with a notice of default (ingebrekestelling), on the way of decisions if it must be.

    What follows on it may only follow once it left: `sent` has the proof.
    """
    content = {
        "name": f"{person.given_name} {person.family_name}".strip(),
        "lines": address_lines(person.address or {}),
        "text": said.text,
        "language": LANGUAGE,
        "outstanding": str(said.outstanding),
        "reference": said.reference,
    }
    return await _write(
        work, case, person, event, subject=said.subject, text=said.text, legal=registered, content=content
    )


async def _write(
    work: Work,
    case: Case,
    person: Person,
    event: Event,
    *,
    subject: str,
    text: str,
    legal: bool,
    content: dict[str, Any],
    decision: Decision | None = None,
) -> Letter:
    """Keep the letter and what is told of it; its paper is made later. `legal`: by the way of decisions."""
    legally = LetterWay.EBOX if person.insz_sealed else LetterWay.REGISTERED
    message = Message(
        case_id=case.id,
        person_id=person.id,
        event_seq=event.seq or 0,
        about=event.type,
        channel=MessageChannel.LETTER,
        language=LANGUAGE,
        subject=subject,
        body=text,
        legal_value=legal,
        queued_at=work.now,
    )
    letter = Letter(
        case_id=case.id,
        person_id=person.id,
        decision_id=decision.id if decision else None,
        message_id=message.id,
        way=legally if legal else LetterWay.NORMAL,
        subject=subject,
        content=content,
        created_at=work.now,
    )
    work.session.add(message)
    await work.session.flush()
    work.session.add(letter)
    await work.session.flush()
    await work.leave(EffectKind.LETTER_PDF, {"letter_id": str(letter.id)}, case=case, event_seq=event.seq)
    return letter


async def _content(work: Work, case: Case, person: Person, decision: Decision) -> dict[str, Any]:
    """What stands in the letter, as it is now: what happens later does not change a letter."""
    definition = work.definition(case)
    payout = definition.payout if decision.amount else None
    account = case.facts.get("account") or {}
    refused = decision.status is DecisionStatus.REFUSED
    period = None if refused else await validity.expected(work, case, decided=True)
    return {
        "name": f"{person.given_name} {person.family_name}".strip(),
        "lines": address_lines(person.address or {}),
        "result": decision.status,
        "body": decision.body,
        "amount": str(decision.amount) if decision.amount else None,
        "account": account.get("masked") if payout else None,
        "payout_days": payout.within_days if payout else None,
        "decided_on": (decision.decided_on or work.today).isoformat(),
        "legal": decision.motivation_legal.splitlines(),
        "facts": decision.motivation_factual.splitlines(),
        "conditions": [*([validity.sentence(period)] if period else []), *decision.conditions.splitlines()],
        "signatories": decision.signatories,
    }


def address_lines(address: dict[str, Any]) -> list[str]:
    """As in the window of an envelope; empty where nobody knows it."""
    if not str(address.get("street") or "").strip():
        return []
    box = f" bus {address['box']}" if address.get("box") else ""
    lines = (
        f"{address['street']} {address.get('number') or ''}{box}".strip(),
        f"{address.get('postal_code') or ''} {address.get('city') or ''}".strip(),
    )
    return [one for one in lines if one]


async def watch(work: Work, case: Case) -> None:
    """Have somebody asked when the letter with a decision is not on its way in time, ended case or not.

    Those that are on their way to the eBox are followed still.
    """
    for under_way in await _in_ebox(work, case):
        await _look_again(work, case, under_way, 1)
    letter = await _unsent(work, case)
    definition = work.definition(case)
    if letter is None or definition.decision is None:
        return
    decided_on = letter.created_at.astimezone(BRUSSELS).date()
    last = decided_on + timedelta(days=definition.decision.notify_within_days)
    # in the morning of that day: it can leave still
    await work.arm(TimerKind.NOTIFY_END, morning_of(last), case=case)


async def late(work: Work, case: Case) -> None:
    letter = await _unsent(work, case)
    if letter is not None:
        await cases.open_task(work, case, "NOTIFY_LATE", {"letter": str(letter.id), "way": letter.way})


async def paper_made(work: Work, letter_id: UUID, filename: str, content: bytes) -> None:
    """Keep a letter's paper; it goes to the eBox, or waits for the day's batch."""
    letter = await _locked(work, letter_id)
    if letter.document_id is not None or letter.status is not LetterStatus.QUEUED:
        return
    document = await filing.keep(
        work, "LETTER", filename, content, case_id=letter.case_id, person_id=letter.person_id
    )
    letter.document_id = document.id
    case = await work.session.get_one(Case, letter.case_id)
    if letter.way is LetterWay.EBOX:
        await work.leave(EffectKind.LETTER_EBOX, {"letter_id": str(letter.id)}, case=case)
    else:
        await _by_post(work, case, letter)


async def taken_by_ebox(work: Work, letter_id: UUID, notification: str) -> None:
    """It is on its way to the citizen's eBox: whether it gets there is asked."""
    letter = await _locked(work, letter_id)
    letter.ebox_id = notification
    await sent(work, letter, work.now)
    await _look_again(work, await work.session.get_one(Case, letter.case_id), letter, 1)


async def poll(work: Work, case: Case, letter_id: UUID, number: int) -> None:
    """Ask the eBox what became of a letter, and again later; it tells nothing by itself."""
    letter = await _locked(work, letter_id)
    if not _is_under_way(letter) or letter.sent_at is None or work.now > letter.sent_at + POLLED_FOR:
        return
    await _look_again(work, case, letter, number + 1)
    asked = await work.session.scalar(
        select(col(Effect.id)).where(
            col(Effect.case_id) == case.id,
            col(Effect.kind) == EffectKind.EBOX_READ,
            col(Effect.state) == EffectState.PENDING,
            col(Effect.payload)["letter_id"].astext == str(letter.id),
        )
    )
    if asked is None:
        await work.leave(EffectKind.EBOX_READ, {"letter_id": str(letter.id)}, case=case)


async def _look_again(work: Work, case: Case, letter: Letter, number: int) -> None:
    wait = min(POLL_FIRST * 2 ** min(number - 1, 10), POLL_LONGEST)
    await work.arm(TimerKind.EBOX_POLL, work.now + wait, case=case, subject=letter.id, number=number)


async def arrived_in_ebox(work: Work, letter_id: UUID, at: datetime) -> None:
    """It lies in the eBox, read or not: delivered for the law."""
    letter = await _locked(work, letter_id)
    if not _is_under_way(letter):
        return
    letter.status, letter.delivered_at = LetterStatus.DELIVERED, at
    message = await work.session.get(Message, letter.message_id) if letter.message_id else None
    if message is not None and (step := MESSAGE.find(message.status, PartAction.DELIVER)):
        message.status, message.delivered_at = step.to, at
    await work.disarm(TimerKind.EBOX_POLL, subject=letter.id)


async def refused_by_ebox(work: Work, letter_id: UUID, reason: str) -> None:
    """The citizen takes no registered mail there: it goes by post, and counts as sent when that leaves."""
    letter = await _locked(work, letter_id)
    if not _is_under_way(letter):
        return
    case = await work.session.get_one(Case, letter.case_id)
    letter.status, letter.way, letter.sent_at = LetterStatus.QUEUED, LetterWay.REGISTERED, None
    letter.reason = f"refused in the eBox: {reason}"[:500]
    await work.disarm(TimerKind.EBOX_POLL, subject=letter.id)
    await _by_post(work, case, letter)
    await watch(work, case)


def _is_under_way(letter: Letter) -> bool:
    return letter.status is LetterStatus.SENT and letter.way is LetterWay.EBOX


async def no_ebox(work: Work, letter_id: UUID) -> None:
    """The citizen has no eBox: it goes by post, registered."""
    letter = await _locked(work, letter_id)
    if letter.status is LetterStatus.QUEUED:
        letter.way = LetterWay.REGISTERED
        await _by_post(work, await work.session.get_one(Case, letter.case_id), letter)


async def hold_back(work: Work, decision: Decision) -> None:
    """A decision does not hold any more: its letter does not leave, where it did not yet."""
    found = await work.session.scalars(
        select(Letter).where(
            col(Letter.decision_id) == decision.id, col(Letter.status) == LetterStatus.QUEUED
        )
    )
    for letter in found:
        letter.status, letter.reason = LetterStatus.FAILED, "the decision was withdrawn"
        message = await work.session.get(Message, letter.message_id) if letter.message_id else None
        if message is not None and (step := MESSAGE.find(message.status, PartAction.SKIP)):
            message.status, message.reason = step.to, letter.reason


async def not_made(work: Work, letter_id: UUID) -> None:
    """Its paper could not be made: somebody must look, before the last day to send it."""
    letter = await _locked(work, letter_id)
    if letter.status is LetterStatus.QUEUED:
        case = await work.session.get_one(Case, letter.case_id)
        await cases.open_task(work, case, "LETTER_NOT_MADE", {"letter": str(letter.id)})


async def _by_post(work: Work, case: Case, letter: Letter) -> None:
    """It waits for the day's batch; which is made by itself, on days on which a letter waits."""
    if not letter.content.get("lines"):
        letter.status, letter.reason = LetterStatus.FAILED, "no address is known"
        await cases.open_task(work, case, "NO_ADDRESS", {"letter": str(letter.id)})
        return
    due_at = next_post(work.now + BATCH_CLOSES)
    day = uuid5(BATCHES, due_at.date().isoformat())
    timer = insert(Timer).values(
        id=day, subject_id=day, kind=TimerKind.LETTER_BATCH, due_at=due_at, state=TimerState.ARMED, number=1
    )
    await work.session.execute(timer.on_conflict_do_nothing(index_elements=["id"]))


async def sent(work: Work, letter: Letter, at: datetime) -> None:
    """It left, by whatever way: the case hears it once."""
    if letter.status in GONE:
        return
    letter.status, letter.sent_at = LetterStatus.SENT, at
    message = await work.session.get(Message, letter.message_id) if letter.message_id else None
    if message is not None and (step := MESSAGE.find(message.status, PartAction.SEND)):
        message.status, message.sent_at = step.to, at
        assert message.status is MessageStatus.SENT
    case = await work.session.get_one(Case, letter.case_id)
    if letter.way is LetterWay.NORMAL:
        return
    data = {"letter": str(letter.id), "way": letter.way, "number": letter.registered_number}
    told = {name: value for name, value in data.items() if value}
    await cases.record(work.as_actor(the_system(work.actor.name)), case, EventType.LETTER_SENT, data=told)
    await cases.complete_tasks(work, case, "NOTIFY_LATE")
    if await _unsent(work, case) is None:
        await work.disarm(TimerKind.NOTIFY_END, case=case)


# --- reading ----------------------------------------------------------------------------------


async def _unsent(work: Work, case: Case) -> Letter | None:
    found = await work.session.scalars(
        select(Letter)
        .where(
            col(Letter.case_id) == case.id,
            col(Letter.decision_id).is_not(None),
            col(Letter.status).in_((LetterStatus.QUEUED, LetterStatus.BATCHED)),
        )
        .order_by(col(Letter.created_at))
        .limit(1)
    )
    return found.one_or_none()


async def _in_ebox(work: Work, case: Case) -> list[Letter]:
    """On their way to it, as far as we know."""
    found = await work.session.scalars(
        select(Letter).where(
            col(Letter.case_id) == case.id,
            col(Letter.way) == LetterWay.EBOX,
            col(Letter.status) == LetterStatus.SENT,
        )
    )
    return list(found)


async def _locked(work: Work, letter_id: UUID) -> Letter:
    """The letter behind the lock of its case: the order in which every verb locks them."""
    ahead = await work.session.get_one(Letter, letter_id)
    await cases.get(work, ahead.case_id)
    await work.session.refresh(ahead, with_for_update={"key_share": True})
    return ahead
