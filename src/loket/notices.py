"""What events make us say: a status to DOSIS for each that is mapped, and few messages to the citizen.

One event row feeds all: subscribers read it from the feed, and here it leaves the effects for DOSIS,
Mijn Burgerprofiel, e-mail and SMS. Texts are put together in the same transaction, so a message says
what was true when it was caused, whenever it arrives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import co_applicants, deliveries, invoices, letters, particulars, post, wording
from loket.cases import open_task
from loket.co_applicants import Addressee
from loket.definition import MessageChannel as Channel
from loket.lifecycle import FINAL, EventType, MessageStatus
from loket.months import not_before
from loket.particulars import Matter
from loket.records import (
    EVERY_EFFECT,
    Case,
    CreditNote,
    Dunning,
    EffectKind,
    Event,
    Message,
    MessageChannel,
    Person,
)
from loket.work import Work, the_system

_ABOUT_MONEY = frozenset(
    {
        EventType.PAYMENT_DUE,
        EventType.PAYMENT_REMINDED,
        EventType.DEFAULT_NOTICE_SENT,
        EventType.HANDED_OVER,
        EventType.CHARGED_BACK,
    }
)
_ABOUT_SLOT = frozenset(
    {
        EventType.PLANNED,
        EventType.RESCHEDULED,
        EventType.SLOT_MOVED,
        EventType.SLOT_LOST,
        EventType.MISSED,
        EventType.WITHDRAWN,
        EventType.CANCELLED,
    }
)
_ON_THE_SLIP = frozenset({"iban", "payee", "structured_reference", "link_pay"})
"""What stands beside the payment code of a letter, and need not stand in its text."""
_SLOT_GONE = frozenset({EventType.SLOT_LOST, EventType.MISSED, EventType.WITHDRAWN, EventType.CANCELLED})
_GOES_ON = frozenset(
    {
        EventType.COMPLETED,
        EventType.VALIDITY_ENDING,
        EventType.VALIDITY_ENDED,
        EventType.RENEWAL_OFFERED,
    }
)
_DIGITAL = frozenset({Channel.EMAIL, Channel.SMS})
"""What a letter takes the place of, for who asked for letters."""
_KINDS = {
    MessageChannel.MBP: EffectKind.MESSAGE_MBP,
    MessageChannel.EMAIL: EffectKind.MESSAGE_EMAIL,
    MessageChannel.SMS: EffectKind.MESSAGE_SMS,
}


@dataclass(frozen=True)
class _Telling(Matter):
    """All that can be said of what happened, and to whom."""

    values: dict[str, wording.Value]
    addressee: Addressee | None = None
    """Who is asked to confirm; None where it goes to the applicant."""

    @property
    def email(self) -> str | None:
        return self.addressee.email if self.addressee else self.person.email


async def tell(work: Work) -> None:
    """Leave word of what happened in this work; each event is told once."""
    work = work.as_actor(the_system())
    while work.happened:
        happened, work.happened[:] = list(work.happened), []
        cases = {case.id: case for case, _ in happened}
        for case in cases.values():
            await _tell_of(work, case, [event for one, event in happened if one.id == case.id])


async def _tell_of(work: Work, case: Case, events: list[Event]) -> None:
    definition = work.definition(case)
    events = await _due(work, case, events)
    # who applied hears what is decided, not why a proposal is put otherwise
    types = [event.type for event in events if not event.data.get("draft")]
    mapped = [event for event in events if event.type in definition.dosis and not _is_epilogue(event)]
    due = wording.messages_due(definition, [one for one in types if one not in co_applicants.TOLD])
    asked = wording.messages_due(definition, [one for one in types if one in co_applicants.TOLD])
    if not mapped and not due and not asked:
        return
    person = await work.session.get_one(Person, case.person_id)
    invoice = await invoices.live(work, case)
    delivery = await deliveries.of(work, case)
    matter = Matter(case, person, definition, events, invoice, delivery)
    telling = _Telling(**vars(matter), values=await particulars.of(work, matter))
    for number, event in enumerate(mapped):
        await _report(work, telling, event, number)
    for message in due:
        await _write_to(work, telling, message, _cause(events, message))
    addressee = await co_applicants.addressee(work, case) if asked else None
    if addressee is not None:
        own = telling.values | co_applicants.said_to(work, case)
        telling = replace(telling, person=addressee.person, addressee=addressee, values=own, events=[])
        for message in asked:
            await _write_to(work, telling, message, _cause(events, message))


def _cause(events: Sequence[Event], due: wording.DueMessage) -> Event:
    return next(event for event in reversed(events) if event.type is due.event)


async def _due(work: Work, case: Case, events: list[Event]) -> list[Event]:
    """Without the invoice of who has nothing to pay: the stage is entered, and passes at once."""
    if not any(event.type is EventType.PAYMENT_DUE for event in events):
        return events
    invoice = await invoices.live(work, case)
    if invoice is not None and invoices.is_open(invoice):
        return events
    return [event for event in events if event.type is not EventType.PAYMENT_DUE]


# --- DOSIS ------------------------------------------------------------------------------------


def _is_epilogue(event: Event) -> bool:
    """Whether it happened to an ended case: there the end stays the last that DOSIS shows.

    What was granted goes on, and ends: that is shown.
    """
    ended_before = event.status in FINAL and event.previous_status == event.status
    return ended_before and event.type not in _GOES_ON


async def _report(work: Work, telling: _Telling, event: Event, number: int) -> None:
    case, definition = telling.case, telling.definition
    row = definition.dosis[event.type]
    municipality = work.settings.municipality
    details = [row.detail] if row.detail else []
    said = [wording.line(text, "nl", telling.values) for text in details]
    action = wording.line(row.action, "nl", telling.values) if row.action else None
    payload = {
        "person_id": str(case.person_id),
        "number": case.reference,
        "name": definition.title.nl,
        # events of one transaction share an instant; DOSIS orders by this date
        "changed_at": (event.occurred_at + timedelta(milliseconds=number)).isoformat(),
        "code": row.code,
        "phase": row.phase,
        "details": [one for one in said if one],
        "action": action,
        "url": particulars.link(work, case, "link_case"),
        "product_id": definition.ipdc_product_id,
        "manager": {
            "name": municipality.name,
            "service": definition.department.nl,
            "phone": definition.contact.phone or municipality.phone,
            "email": definition.contact.email or municipality.email,
            "website": definition.contact.website or municipality.website,
        },
    }
    skipped = "" if telling.person.insz_sealed else "the applicant has no national number"
    await work.leave(EffectKind.DOSIS_STATUS, payload, case=case, event_seq=event.seq, skipped=skipped)


# --- messages ---------------------------------------------------------------------------------


async def _write_to(work: Work, telling: _Telling, due: wording.DueMessage, cause: Event) -> None:
    channels = telling.definition.texts.messages[due.event].channels
    person = telling.person
    by_letter = due.event is EventType.DEFAULT_NOTICE_SENT and await _give_notice(work, telling, cause)
    by_letter = by_letter or await post.goes_already(work, cause)
    wanted: list[tuple[MessageChannel, str]] = []
    if Channel.MBP in channels:
        reason = "" if person.insz_sealed else "the applicant has no national number"
        wanted.append((MessageChannel.MBP, reason))
    on_paper = person.by_letter and post.can_reach(person)
    if Channel.EMAIL in channels and person.by_email and not on_paper:
        wanted.append((MessageChannel.EMAIL, "" if telling.email else "no e-mail address is known"))
    if Channel.SMS in channels and person.by_sms and not on_paper:
        wanted.append((MessageChannel.SMS, "" if person.phone else "no phone number is known"))
    if person.deceased_on is not None:
        wanted = [(channel, "the applicant is deceased") for channel, _ in wanted]
    elif not by_letter and ((on_paper and _DIGITAL & set(channels)) or all(skipped for _, skipped in wanted)):
        wanted.append((MessageChannel.LETTER, "" if post.can_reach(person) else "no address is known"))
    for channel, skipped in wanted:
        await _queue(work, telling, due, cause, channel, skipped)
    reached = any(not skipped for _, skipped in wanted) or by_letter
    if not reached:
        await open_task(work, telling.case, "NOT_REACHED", {"about": due.event})


async def _give_notice(work: Work, telling: _Telling, cause: Event) -> bool:
    """Leave the letter with a notice of default: messages only announce it. False for who is deceased."""
    payment, invoice, person = telling.definition.payment, telling.invoice, telling.person
    if payment is None or payment.default_notice is None or invoice is None or person.deceased_on is not None:
        return False
    words = wording.render(
        telling.definition,
        cause.type,
        MessageChannel.LETTER,
        letters.LANGUAGE,
        {name: value for name, value in telling.values.items() if name not in _ON_THE_SLIP},
        municipality=work.settings.municipality,
    )
    said = letters.Said(words.subject, words.text, invoices.outstanding(invoice), invoice.reference)
    registered = payment.default_notice.registered
    letter = await letters.queue_notice(work, telling.case, person, cause, said=said, registered=registered)
    step = await work.session.get_one(Dunning, UUID(cause.data["dunning"]))
    step.letter_id = letter.id
    return True


async def _queue(
    work: Work,
    telling: _Telling,
    due: wording.DueMessage,
    cause: Event,
    channel: MessageChannel,
    skipped: str,
) -> None:
    name = telling.addressee.named_over(channel) if telling.addressee else None
    said = wording.render(
        telling.definition,
        due.event,
        channel,
        telling.person.language,
        telling.values if name is None else telling.values | {"co_applicant": name or None},
        municipality=work.settings.municipality,
        joined=due.joined,
        addressee=name,
    )
    message = Message(
        case_id=telling.case.id,
        person_id=telling.person.id,
        event_seq=cause.seq or 0,
        about=due.event,
        channel=channel,
        status=MessageStatus.SKIPPED if skipped else MessageStatus.QUEUED,
        reason=skipped,
        language=said.language,
        subject=said.subject,
        body=said.text,
        queued_at=work.now,
        effect_id=None if skipped or channel is MessageChannel.LETTER else not_before(telling.case.id),
    )
    work.session.add(message)
    if skipped:
        return
    if channel is MessageChannel.LETTER:
        await post.send(work, telling.case, telling.person, message)
        return
    payload: dict[str, Any] = {"message_id": str(message.id), "link": said.link}
    if channel is MessageChannel.EMAIL:
        about = {due.event, *due.joined}
        payload |= {"html": said.html} | _enclosed(telling, about, cause)
        if telling.email != telling.person.email:
            payload["to"] = telling.email
        payload |= await _credit_notes(work, telling, about)
    if channel is MessageChannel.MBP:
        payload |= await _dosis_words(work, telling, due)
    await work.leave(_KINDS[channel], payload, case=telling.case, event_seq=cause.seq, id=message.effect_id)


def _enclosed(telling: _Telling, about: set[EventType], cause: Event) -> dict[str, Any]:
    """What goes with an e-mail: the invoice with its code, the appointment for the calendar."""
    enclosed: dict[str, Any] = {}
    language = telling.person.language
    if about & _ABOUT_MONEY and telling.invoice is not None:
        outstanding = invoices.outstanding(telling.invoice)
        if outstanding > 0:
            enclosed |= {"invoice_id": str(telling.invoice.id), "outstanding": str(outstanding)}
    delivery = telling.delivery
    if about & _ABOUT_SLOT and delivery is not None:
        gone = bool(about & _SLOT_GONE)
        window = cause.data.get("previous") if gone else None
        starts_at = window["starts_at"] if window else delivery.starts_at and delivery.starts_at.isoformat()
        ends_at = window["ends_at"] if window else delivery.ends_at and delivery.ends_at.isoformat()
        if starts_at and ends_at:
            enclosed["calendar"] = {
                "uid": f"{delivery.id}",
                "sequence": delivery.calendar_sequence,
                "starts_at": starts_at,
                "ends_at": ends_at,
                "summary": f"{telling.definition.title.get(language)} ({telling.case.reference})",
                "location": particulars.address_line(delivery.address),
                "cancelled": gone,
            }
    return enclosed


async def _credit_notes(work: Work, telling: _Telling, about: set[EventType]) -> dict[str, Any]:
    """The credit notes, with the message of that; where there is none, with what else was told then."""
    told = EventType.INVOICE_CREDITED
    due = wording.messages_due(telling.definition, [event.type for event in telling.events])
    if told not in about and any(told in (one.event, *one.joined) for one in due):
        return {}
    numbers = [event.data["number"] for event in telling.events if event.type is told]
    found = await work.session.scalars(
        select(col(CreditNote.id)).where(col(CreditNote.number).in_(numbers)).order_by(col(CreditNote.id))
    )
    notes = [str(one) for one in found] if numbers else []
    return {"credit_note_ids": notes} if notes else {}


async def _dosis_words(work: Work, telling: _Telling, due: wording.DueMessage) -> dict[str, Any]:
    """The code and phase that go with a message in Mijn Burgerprofiel: those that DOSIS heard last."""
    rows = telling.definition.dosis
    for event in (*reversed(due.joined), due.event):
        if event in rows:
            return {"code": rows[event].code, "phase": rows[event].phase}
    last = await work.session.scalar(
        select(EVERY_EFFECT.c.payload)
        .where(EVERY_EFFECT.c.case_id == telling.case.id, EVERY_EFFECT.c.kind == EffectKind.DOSIS_STATUS)
        .order_by(EVERY_EFFECT.c.seq.desc())
        .limit(1)
    )
    return (
        {"code": last["code"], "phase": last["phase"]}
        if last
        else {"code": "InBehandeling", "phase": "Behandeling"}
    )
