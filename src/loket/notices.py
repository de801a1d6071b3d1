"""What events make us say: a status to DOSIS for each that is mapped, and few messages to the citizen.

One event row feeds all: subscribers read it from the feed, and here it leaves the effects for DOSIS,
Mijn Burgerprofiel, e-mail and SMS. Texts are put together in the same transaction, so a message says
what was true when it was caused, whenever it arrives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col
from uuid_utils.compat import uuid7

from loket import co_applicants, deliveries, deposits, invoices, letters, orders, post, renewals, wording
from loket.cases import open_task
from loket.co_applicants import Addressee
from loket.definition import Benefit, Definition, Rule
from loket.definition import MessageChannel as Channel
from loket.letterhead import Picture
from loket.lifecycle import (
    FINAL,
    INVOICE,
    EventType,
    MessageStatus,
    PartAction,
    RefundStatus,
    TimerKind,
)
from loket.numbers import printed_reference
from loket.records import (
    EVERY_EFFECT,
    Case,
    CreditNote,
    Decision,
    Delivery,
    Dunning,
    EffectKind,
    Event,
    Invoice,
    Message,
    MessageChannel,
    Person,
    Refund,
    Timer,
    TimerState,
)
from loket.rules import Outcome, Verdict
from loket.work import Work, the_system

QR = "betaalcode"
"""Content id of the payment code in an e-mail."""
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
_MONEY_CAME = frozenset({EventType.PAID, EventType.PAYMENT_RECEIVED})
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
class _Telling:
    """A case with what happened to it in this work, and all that can be said of it."""

    case: Case
    person: Person
    definition: Definition
    events: list[Event]
    invoice: Invoice | None
    delivery: Delivery | None
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
    values = await _values(work, case, person, definition, events, invoice, delivery)
    telling = _Telling(case, person, definition, events, invoice, delivery, values)
    for number, event in enumerate(mapped):
        await _report(work, telling, event, number)
    for message in due:
        await _write_to(work, telling, message, _cause(events, message))
    addressee = await co_applicants.addressee(work, case) if asked else None
    if addressee is not None:
        own = values | co_applicants.said_to(work, case)
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
        "url": link(work, case, "link_case"),
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
        effect_id=None if skipped or channel is MessageChannel.LETTER else uuid7(),
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
                "location": address_line(delivery.address),
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


# --- what can be said -------------------------------------------------------------------------


async def _values(
    work: Work,
    case: Case,
    person: Person,
    definition: Definition,
    events: Sequence[Event],
    invoice: Invoice | None,
    delivery: Delivery | None,
) -> dict[str, wording.Value]:
    municipality = work.settings.municipality
    data: dict[str, Any] = {}
    for event in events:
        data |= event.data
    adviser = definition.adviser(data.get("adviser") or "")
    values: dict[str, wording.Value] = {
        "applicant": f"{person.given_name} {person.family_name}".strip(),
        "reference": case.reference,
        "submitted_on": case.submitted_at,
        "decide_by": case.due_on,
        "items": _items(definition, case, person.language),
        "question": data.get("question"),
        "answer_by": _day(data.get("answer_by")),
        "adviser": adviser.title.get(person.language) if adviser else None,
    }
    values |= {name: link(work, case, name) for name in _PAGES if name != "link_pay"}
    if invoice is not None:
        values |= {"amount": invoice.amount, "invoice_number": invoice.number, "due_on": invoice.due_on}
        values |= {"paid": invoice.paid or None, "costs": invoice.costs or None}
    values |= _of_dunning(events, data)
    owed = invoice is not None and INVOICE.find(invoice.status, PartAction.PAY_FULL) is not None
    came = [
        Decimal(event.data["amount"])
        for event in events
        if event.type in _MONEY_CAME and "amount" in event.data
    ]
    if came and not owed:  # the last of it, or more than was due
        values["paid"] = came[-1]
    if invoice is not None and owed:
        values |= {
            "outstanding": invoices.outstanding(invoice) or None,
            "structured_reference": printed_reference(invoice.reference),
            "iban": " ".join(municipality.iban[at : at + 4] for at in range(0, len(municipality.iban), 4)),
            "payee": municipality.name,
            "qr": Picture(QR, "QR"),
            "link_pay": link(work, case, "link_pay"),
        }
    if delivery is not None:
        values["address"] = address_line(delivery.address)
        if delivery.starts_at and delivery.ends_at:
            values["slot"] = wording.Window(delivery.starts_at, delivery.ends_at)
        values["choose_by"] = await _choose_by(work, case)
    values["previous_slot"] = _window(data.get("previous"))
    if definition.decision is not None:
        values |= await _decided(work, case, definition, person.language, data)
    values["refund"] = await _refund(work, case, events)
    values |= deposits.said(events)
    values |= renewals.said(work, case, events)
    values |= await co_applicants.said_of(work, events)
    values |= _motivation(work, case, definition, person.language, data, values)
    return {name: value for name, value in values.items() if value is not None}


def _of_dunning(events: Sequence[Event], data: dict[str, Any]) -> dict[str, wording.Value]:
    """What a reminder or a notice costs and asks, and what was taken off or back."""
    values: dict[str, wording.Value] = {"pay_by": _day(data.get("pay_by"))}
    values |= {name: Decimal(data[name]) for name in ("cost", "open_before") if name in data}
    for event in events:
        if event.type is EventType.INVOICE_CREDITED:
            values |= {"credited": Decimal(event.data["amount"]), "invoice_number": event.data["invoice"]}
        if event.type is EventType.CHARGED_BACK:
            values["charged_back"] = Decimal(event.data["amount"])
    return values


async def _decided(
    work: Work, case: Case, definition: Definition, language: str, data: dict[str, Any]
) -> dict[str, wording.Value]:
    """Who decides and when; and once it is decided, what."""
    values: dict[str, wording.Value] = {
        "body": definition.deciding_body.get(language),
        "meeting_on": _day(data.get("meeting_on")),
        "account": (case.facts.get("account") or {}).get("masked"),
        "paid_on": _day(data.get("paid_on")),
    }
    found = await work.session.scalars(
        select(Decision).where(col(Decision.case_id) == case.id, col(Decision.round) == case.round)
    )
    decision = found.one_or_none()
    if decision is None or decision.decided_at is None or decision.withdrawn_at is not None:
        return values
    titles = {one.key: one.title.get(language) for one in definition.benefits}
    for name, granted in (("benefits", True), ("refused_benefits", False)):
        values[name] = [
            titles.get(one["key"]) or one["title"] for one in decision.benefits if one["granted"] is granted
        ]
    return values | {"granted": decision.amount, "conditions": decision.conditions.splitlines()}


def _items(definition: Definition, case: Case, language: str) -> list[str]:
    items: list[str] = []
    for line in orders.goods(case):
        product = definition.catalogue.find(line["product"]) if definition.catalogue else None
        if product is None:
            continue
        named = next((one for one in product.options if one.key == line["option"]), product)
        items.append(f"{line['quantity']} × {named.title.get(language)}")
    return items


def _motivation(
    work: Work,
    case: Case,
    definition: Definition,
    language: str,
    data: dict[str, Any],
    values: dict[str, wording.Value],
) -> dict[str, wording.Value]:
    """The reasons of the rules that said no, in the citizen's language; else what a person wrote."""
    keys = data.get("rules") or []
    stated: list[Rule | Benefit] = [*definition.rules.screening, *definition.rules.approval]
    rules = [one for one in (*stated, *definition.benefits) if one.key in keys]
    if rules and data.get("reasons"):
        verdicts = [
            Verdict(Outcome.NOT_MET, rule.key, rule.title, rule.message, rule.fact, rule.legal)
            for rule in rules
        ]
        return dict(
            wording.motivation(
                definition, verdicts, language, values, municipality=work.settings.municipality
            )
        )
    return {
        "reason": data.get("reasons") or ([data["reason"]] if data.get("reason") else None),
        "fact": data.get("facts"),
        "legal": data.get("legal"),
    }


async def _refund(work: Work, case: Case, events: Sequence[Event]) -> Decimal | None:
    """What is paid back: what just went back, what is to go back now, or all that is on its way."""
    for type in (EventType.REFUNDED, EventType.REFUND_DUE):
        told = [Decimal(event.data["amount"]) for event in events if event.type is type]
        if told:
            return sum(told, Decimal(0))
    amount = await work.session.scalar(
        select(func.sum(Refund.amount)).where(
            col(Refund.case_id) == case.id,
            col(Refund.status).in_((RefundStatus.DUE, RefundStatus.ORDERED)),
        )
    )
    return amount if isinstance(amount, Decimal) and amount > 0 else None


async def _choose_by(work: Work, case: Case) -> date | None:
    if case.status in FINAL:
        return None
    return await work.session.scalar(
        select(col(Timer.due_at)).where(
            col(Timer.case_id) == case.id,
            col(Timer.kind) == TimerKind.SLOT_END,
            col(Timer.state) == TimerState.ARMED,
        )
    )


def _window(told: dict[str, str] | None) -> wording.Window | None:
    if not told:
        return None
    return wording.Window(datetime.fromisoformat(told["starts_at"]), datetime.fromisoformat(told["ends_at"]))


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def address_line(address: dict[str, Any]) -> str:
    """Dorpsplein 1 bus 2, 2999 Lindebeke."""
    box = f" bus {address['box']}" if address.get("box") else ""
    street = f"{address.get('street', '')} {address.get('number', '')}{box}".strip()
    return f"{street}, {address.get('postal_code', '')} {address.get('city', '')}".strip(", ")


_PAGES = {
    "link_case": "",
    "link_pay": "/betalen",
    "link_slots": "/levering",
    "link_answer": "/antwoord",
    "link_review": "/herziening",
    "link_account": "/rekening",
    "link_experience": "/beleving",
}


def link(work: Work, case: Case, name: str) -> str:
    """A page of the municipality's website about this case."""
    return f"{work.settings.website_url}/dossiers/{case.reference}{_PAGES[name]}"
