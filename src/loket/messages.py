"""Sending one message over its channel, and what became of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import documents
from loket.app import Loket
from loket.channels.email import CalendarEvent, Mail
from loket.errors import Declined, ErrorCode, Refused
from loket.lifecycle import MESSAGE, MessageStatus, PartAction
from loket.outcome import Done
from loket.particulars import QR
from loket.records import (
    EVERY_EFFECT,
    Case,
    Effect,
    EffectKind,
    EffectState,
    Message,
    MessageChannel,
    Person,
)
from loket.work import Work


@dataclass(frozen=True)
class _Addressed:
    message: Message
    person: Person
    case: Case


async def send_to_mbp(loket: Loket, effect: Effect) -> Done:
    """To Mijn Burgerprofiel: subject and what DOSIS heard, with the way to the case."""
    one = await _read(loket, effect)
    if one.person.insz_sealed is None:
        raise Declined("mbp", "the applicant has no national number")
    definition = loket.procedures[one.case.procedure_key, one.case.procedure_version]
    said = effect.payload
    await loket.systems.mbp.notify(
        id=effect.id,
        insz=loket.vault.open(one.person.insz_sealed),
        case_number=one.case.reference,
        case_name=definition.title.nl,
        code=said["code"],
        phase=said["phase"],
        status=one.message.subject,
        detail=one.message.body,
        product_id=definition.ipdc_product_id,
        link=said.get("link"),
        link_name=one.message.subject,
    )
    return Done({}, _sent(one.message.id, None))


async def send_email(loket: Loket, effect: Effect) -> Done:
    """As an e-mail, with the invoice and its payment code, credit notes, and the appointment."""
    one = await _read(loket, effect)
    said = effect.payload
    address = said.get("to") or one.person.email
    if address is None:
        raise Declined("email", "no e-mail address is known")
    attachments: list[tuple[str, str, bytes]] = []
    pictures: dict[str, bytes] = {}
    if said.get("invoice_id"):
        invoice_id = UUID(said["invoice_id"])
        invoice, content = await documents.invoice_content(loket, invoice_id)
        attachments.append((f"factuur-{invoice.number}.pdf", "application/pdf", content))
        # of what was due when it was written, whatever came in since: the text says that amount too
        pictures[QR] = documents.payment_code(loket, invoice, Decimal(said["outstanding"]))
    for credit_note_id in said.get("credit_note_ids", ()):
        note, content = await documents.credit_note_content(loket, UUID(credit_note_id))
        attachments.append((f"creditnota-{note.number}.pdf", "application/pdf", content))
    mail = Mail(
        id=effect.id,
        to=address,
        subject=one.message.subject,
        text=one.message.body,
        html=said["html"],
        language=one.message.language,
        attachments=tuple(attachments),
        pictures=pictures,
        calendar=_calendar(said.get("calendar"), one.message.body, loket),
        in_reply_to_case=one.case.reference,
    )
    receipt = await loket.systems.email.send(mail)
    return Done(
        {"message_id": receipt.message_id, "answer": receipt.answer},
        _sent(one.message.id, receipt.message_id),
    )


async def send_sms(loket: Loket, effect: Effect) -> Done:
    one = await _read(loket, effect)
    if one.person.phone is None:
        raise Declined("sms", "no phone number is known")
    sent = await loket.systems.sms.send(id=one.message.id, to=one.person.phone, body=one.message.body)
    return Done({"sid": sent.sid}, _sent(one.message.id, sent.sid))


async def send_code(loket: Loket, effect: Effect) -> Done:
    """The code that proves a contact point; it stands sealed in the payload until it is used."""
    said = effect.payload
    code = loket.vault.open(bytes.fromhex(said["code"]))
    text = f"{code} is uw code voor {loket.settings.municipality.name}. Geef ze aan niemand anders."
    if said["channel"] == MessageChannel.SMS:
        sent = await loket.systems.sms.send(id=effect.id, to=said["address"], body=text)
        return Done({"sid": sent.sid})
    receipt = await loket.systems.email.send(
        Mail(
            id=effect.id,
            to=said["address"],
            subject=f"Uw code is {code}",
            text=text,
            html=f"<p>{text}</p>",
            language="nl",
        )
    )
    return Done({"message_id": receipt.message_id})


# --- what became of it ------------------------------------------------------------------------


async def receipt(work: Work, message_id: UUID, *, delivered: bool | None, reason: str) -> None:
    """What the provider says of an SMS; receipts come late and out of order, a final word stands."""
    message = await work.session.get(Message, message_id, with_for_update={"key_share": True})
    if message is None or delivered is None:
        return
    step = MESSAGE.find(message.status, PartAction.DELIVER if delivered else PartAction.FAIL)
    if step is not None:
        message.status = step.to
        message.reason = "" if delivered else reason
        message.delivered_at = work.now if delivered else None


async def failed(work: Work, effect: Effect, reason: str) -> None:
    """The channel will never deliver this one: visible on the message."""
    found = await work.session.scalars(select(Message).where(col(Message.effect_id) == effect.id))
    message = found.one_or_none()
    if message is not None and (step := MESSAGE.find(message.status, PartAction.FAIL)):
        message.status, message.reason = step.to, reason[:500]


async def resend(work: Work, message: Message, case: Case) -> Message:
    """Say it again, deliberately, as a new message.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED while the first is still on its way.
    """
    if message.status is MessageStatus.QUEUED or message.effect_id is None:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=message.status)
    told = (
        await work.session.execute(select(EVERY_EFFECT).where(EVERY_EFFECT.c.id == message.effect_id))
    ).one()
    again = Message(
        **message.model_dump(exclude={"id", "status", "reason", "effect_id", "sent_at", "delivered_at"})
    )
    again.queued_at = work.now
    work.session.add(again)
    await work.session.flush()
    sent = await work.leave(
        EffectKind(told.kind),
        told.payload | {"message_id": str(again.id)},
        case=case,
        event_seq=told.event_seq,
        resend_of=told.id,
    )
    again.effect_id = sent.id
    if told.state in (EffectState.PARKED, EffectState.IN_DOUBT):
        effect = await work.session.get_one(Effect, told.id)
        await work.wake_lane(effect.lane, effect.system)  # a worker clears it away
        effect.state, effect.done_at = EffectState.SKIPPED, work.now
    return again


def _sent(message_id: UUID, provider_id: str | None) -> Callable[[Work], Awaitable[None]]:
    async def write(work: Work) -> None:
        message = await work.session.get_one(Message, message_id, with_for_update={"key_share": True})
        step = MESSAGE.find(message.status, PartAction.SEND)
        if step is not None:
            message.status = step.to
        message.sent_at = work.now
        message.provider_id = provider_id

    return write


def _calendar(said: dict[str, Any] | None, description: str, loket: Loket) -> CalendarEvent | None:
    if said is None:
        return None
    return CalendarEvent(
        uid=f"{said['uid']}@{loket.settings.smtp.bounce_domain}",
        sequence=said["sequence"],
        starts_at=datetime.fromisoformat(said["starts_at"]),
        ends_at=datetime.fromisoformat(said["ends_at"]),
        summary=said["summary"],
        location=said["location"],
        description=description,
        cancelled=said["cancelled"],
    )


async def _read(loket: Loket, effect: Effect) -> _Addressed:
    async with loket.database.transaction() as session:
        message = await session.get_one(Message, UUID(effect.payload["message_id"]))
        return _Addressed(
            message,
            await session.get_one(Person, message.person_id),
            await session.get_one(Case, message.case_id),
        )
