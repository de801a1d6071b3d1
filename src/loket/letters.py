"""Letters to citizens and the proof that they were sent: a decision reaches its citizen by legal delivery.

Who has an eBox gets it there; for all others it lies ready for the day's print batch, as a registered letter.
What goes over Mijn Burgerprofiel, e-mail and SMS only announces.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from loket import cases, paper
from loket.errors import ErrorCode, ManyRefused, Refused
from loket.lifecycle import (
    MESSAGE,
    DecisionStatus,
    EventType,
    MessageStatus,
    PartAction,
    TimerKind,
)
from loket.records import (
    Case,
    Decision,
    Document,
    DocumentContent,
    EffectKind,
    Event,
    Letter,
    LetterBatch,
    LetterStatus,
    LetterWay,
    Message,
    MessageChannel,
    Person,
)
from loket.terms import BRUSSELS, morning_of
from loket.work import Work, the_system

LARGEST_BATCH = 500
"""Letters; more wait for the next batch of the day."""
GONE = frozenset({LetterStatus.SENT, LetterStatus.DELIVERED})
LANGUAGE = "nl"
"""The language of the acts of a Flemish municipality."""
RESULTS = {
    DecisionStatus.GRANTED: "toegekend",
    DecisionStatus.PARTLY_GRANTED: "gedeeltelijk toegekend",
    DecisionStatus.REFUSED: "geweigerd",
}


# --- one letter -------------------------------------------------------------------------------


async def queue_decision(work: Work, case: Case, decision: Decision, event: Event) -> None:
    """Write the letter with a decision, where the procedure asks for legal delivery."""
    definition = work.definition(case)
    if definition.decision is None or not definition.decision.legal_delivery:
        return
    person = await work.session.get_one(Person, case.person_id)
    if person.deceased_on is not None:
        await cases.open_task(work, case, "NOT_REACHED", {"about": event.type})
        return
    subject = f"Beslissing over uw aanvraag {case.reference}"
    message = Message(
        case_id=case.id,
        person_id=person.id,
        event_seq=event.seq or 0,
        about=event.type,
        channel=MessageChannel.LETTER,
        language=LANGUAGE,
        subject=subject,
        body=f"{definition.title.nl}: {RESULTS[decision.status]}. De beslissing staat in de brief.",
        legal_value=True,
        queued_at=work.now,
    )
    letter = Letter(
        case_id=case.id,
        person_id=person.id,
        decision_id=decision.id,
        message_id=message.id,
        way=LetterWay.EBOX if person.insz_sealed else LetterWay.REGISTERED,
        subject=subject,
        content=_content(work, case, person, decision),
        created_at=work.now,
    )
    work.session.add(message)
    await work.session.flush()
    work.session.add(letter)
    await work.session.flush()
    await work.leave(EffectKind.LETTER_PDF, {"letter_id": str(letter.id)}, case=case, event_seq=event.seq)
    await watch(work, case)


def _content(work: Work, case: Case, person: Person, decision: Decision) -> dict[str, Any]:
    """What stands in the letter, as it is now: what happens later does not change a letter."""
    definition = work.definition(case)
    payout = definition.payout if decision.amount else None
    account = case.facts.get("account") or {}
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
        "conditions": decision.conditions.splitlines(),
        "signatories": decision.signatories,
    }


def address_lines(address: dict[str, Any]) -> list[str]:
    """As in the window of an envelope; empty where nobody knows it."""
    if not address.get("street"):
        return []
    box = f" bus {address['box']}" if address.get("box") else ""
    return [
        f"{address['street']} {address.get('number') or ''}{box}".strip(),
        f"{address.get('postal_code') or ''} {address.get('city') or ''}".strip(),
    ]


async def watch(work: Work, case: Case) -> None:
    """Have somebody asked when the letter with a decision is not on its way in time, ended case or not."""
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
    document = await keep(
        work, "LETTER", filename, content, case_id=letter.case_id, person_id=letter.person_id
    )
    letter.document_id = document.id
    case = await work.session.get_one(Case, letter.case_id)
    if letter.way is LetterWay.EBOX:
        await work.leave(EffectKind.LETTER_EBOX, {"letter_id": str(letter.id)}, case=case)
    else:
        await _by_post(work, case, letter)


async def delivered_to_ebox(work: Work, letter_id: UUID, notification: str) -> None:
    letter = await _locked(work, letter_id)
    letter.ebox_id = notification
    await _sent(work, letter, work.now)


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
    if not letter.content.get("lines"):
        letter.status, letter.reason = LetterStatus.FAILED, "no address is known"
        await cases.open_task(work, case, "NO_ADDRESS", {"letter": str(letter.id)})


async def _sent(work: Work, letter: Letter, at: datetime) -> None:
    if letter.status in GONE:
        return
    letter.status, letter.sent_at = LetterStatus.SENT, at
    message = await work.session.get(Message, letter.message_id) if letter.message_id else None
    if message is not None and (step := MESSAGE.find(message.status, PartAction.SEND)):
        message.status, message.sent_at = step.to, at
        assert message.status is MessageStatus.SENT
    case = await work.session.get_one(Case, letter.case_id)
    if letter.decision_id is None:
        return
    data = {"letter": str(letter.id), "way": letter.way, "number": letter.registered_number}
    told = {name: value for name, value in data.items() if value}
    await cases.record(work.as_actor(the_system(work.actor.name)), case, EventType.LETTER_SENT, data=told)
    await cases.complete_tasks(work, case, "NOTIFY_LATE")
    if await _unsent(work, case) is None:
        await work.disarm(TimerKind.NOTIFY_END, case=case)


# --- the day's batch --------------------------------------------------------------------------


async def make_batch(work: Work) -> LetterBatch | None:
    """Hand all letters that wait to the printer, in one file; None when there are none."""
    await work.session.execute(select(func.pg_advisory_xact_lock(func.hashtext("letterbatch"))))
    found = await work.session.execute(
        select(Letter, DocumentContent, col(Case.reference))
        .join(DocumentContent, col(DocumentContent.document_id) == col(Letter.document_id))
        .join(Case, col(Case.id) == col(Letter.case_id))
        .where(col(Letter.status) == LetterStatus.QUEUED, col(Letter.way) != LetterWay.EBOX)
        .order_by(col(Letter.created_at), col(Letter.id))
        .limit(LARGEST_BATCH)
        .with_for_update(of=Letter, key_share=True)
    )
    waiting = [(letter, content.content, reference) for letter, content, reference in found]
    if not waiting:
        return None
    printed = [
        paper.PrintLetter(
            reference=reference,
            addressee=paper.Addressee(letter.content["name"], tuple(letter.content["lines"])),
            content=content,
            service=_SERVICES[letter.way],
        )
        for letter, content, reference in waiting
    ]
    made = await asyncio.to_thread(paper.batch, printed)
    number = await _next_number(work)
    document = await keep(
        work, "LETTER_BATCH", f"brieven-{work.today:%Y%m%d}-{number}.zip", made, media_type="application/zip"
    )
    batch = LetterBatch(
        made_on=work.today,
        number=number,
        letters=len(waiting),
        document_id=document.id,
        created_at=work.now,
    )
    work.session.add(batch)
    await work.session.flush()
    for sequence, (letter, _, _) in enumerate(waiting, start=1):
        letter.status, letter.batch_id, letter.sequence = LetterStatus.BATCHED, batch.id, sequence
    await work.session.flush()
    return batch


_SERVICES = {
    LetterWay.REGISTERED: paper.Service.REGISTERED,
    LetterWay.NORMAL: paper.Service.NORMAL,
}


async def _next_number(work: Work) -> int:
    last = await work.session.scalar(
        select(func.max(col(LetterBatch.number))).where(col(LetterBatch.made_on) == work.today)
    )
    return int(last or 0) + 1


async def prove(work: Work, batch_id: UUID, csv: str) -> LetterBatch:
    """Take over what was posted of a batch: number and day of each registered letter; the others went along.

    Raises:
        Refused: NOT_FOUND; VALIDATION for each line that is wrong: then nothing of it is taken over.
    """
    batch = await work.session.get(LetterBatch, batch_id, with_for_update={"key_share": True})
    if batch is None:
        raise Refused(ErrorCode.NOT_FOUND)
    found = await work.session.execute(
        select(Letter, col(Case.reference))
        .join(Case, col(Case.id) == col(Letter.case_id))
        .where(col(Letter.batch_id) == batch.id)
        .order_by(col(Letter.case_id), col(Letter.id))
    )
    letters = {(letter.sequence or 0, reference): letter for letter, reference in found}
    registered = any(letter.way is LetterWay.REGISTERED for letter in letters.values())
    try:
        posted = paper.proof(csv.encode(), today=work.today, registered=registered)
    except paper.ProofRefused as fault:
        raise _refused(fault.faults) from fault
    unknown = [
        f"{one.sequence} {one.reference} is no registered letter of this batch"
        for one in posted
        if (letter := letters.get((one.sequence, one.reference))) is None
        or letter.way is not LetterWay.REGISTERED
    ]
    if unknown:
        raise _refused(unknown)
    proofs = {(one.sequence, one.reference): one for one in posted}
    for key, letter in letters.items():
        proof = proofs.get(key)
        if proof is None and letter.way is LetterWay.REGISTERED:
            continue
        await cases.get(work, letter.case_id)
        if proof is not None:
            letter.registered_number = letter.registered_number or proof.registered_number
        await _sent(
            work, letter, datetime.combine(proof.posted_on if proof else work.today, time(12), BRUSSELS)
        )
    if all(letter.status in GONE for letter in letters.values()):
        batch.posted_at = work.now
    return batch


def _refused(faults: Sequence[str]) -> ManyRefused:
    return ManyRefused([Refused(ErrorCode.VALIDATION, path=["csv"], reason=fault) for fault in faults[:20]])


# --- reading and keeping ----------------------------------------------------------------------


async def keep(
    work: Work,
    kind: str,
    filename: str,
    content: bytes,
    *,
    case_id: UUID | None = None,
    person_id: UUID | None = None,
    media_type: str = "application/pdf",
) -> Document:
    """Keep a paper; without `person_id` it is for staff alone."""
    document = Document(
        person_id=person_id,
        case_id=case_id,
        kind=kind,
        filename=filename,
        media_type=media_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=work.now,
        stored_at=work.now,
    )
    work.session.add(document)
    await work.session.flush()
    work.session.add(DocumentContent(document_id=document.id, content=content))
    await work.session.flush()
    return document


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


async def _locked(work: Work, letter_id: UUID) -> Letter:
    """The letter behind the lock of its case: the order in which every verb locks them."""
    ahead = await work.session.get_one(Letter, letter_id)
    await cases.get(work, ahead.case_id)
    await work.session.refresh(ahead, with_for_update={"key_share": True})
    return ahead
