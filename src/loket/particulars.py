"""What can be said of a case: the particulars that its texts name, such as an amount, a day or a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlmodel import col

from loket import co_applicants, deposits, invoices, notation, orders, renewals, wording
from loket.definition import Benefit, Definition, Rule
from loket.letterhead import Picture
from loket.lifecycle import FINAL, INVOICE, EventType, PartAction, RefundStatus, TimerKind
from loket.numbers import printed_reference
from loket.records import Case, Decision, Delivery, Event, Invoice, Person, Refund, Timer, TimerState
from loket.rules import Outcome, Verdict
from loket.work import Work

QR = "betaalcode"
"""Content id of the payment code in an e-mail."""
_MONEY_CAME = frozenset({EventType.PAID, EventType.PAYMENT_RECEIVED})


@dataclass(frozen=True)
class Matter:
    """A case with what happened to it in one work, and what hangs on it."""

    case: Case
    person: Person
    definition: Definition
    events: list[Event]
    invoice: Invoice | None
    delivery: Delivery | None


async def of(work: Work, matter: Matter) -> dict[str, wording.Value]:
    """Each that is known, by the name that texts have for it, in the language of the person."""
    case, person, definition, events = matter.case, matter.person, matter.definition, matter.events
    invoice, delivery, municipality = matter.invoice, matter.delivery, work.settings.municipality
    data: dict[str, Any] = {}
    for event in events:
        data |= event.data
    adviser = definition.adviser(data.get("adviser") or "")
    values: dict[str, wording.Value] = {
        "applicant": f"{person.given_name} {person.family_name}".strip(),
        "reference": case.reference,
        "submitted_on": case.submitted_at,
        "decide_by": case.due_on,
        "items": _items(matter),
        "question": data.get("question"),
        "answer_by": _day(data.get("answer_by")),
        "adviser": adviser.title.get(person.language) if adviser else None,
    }
    values |= {name: link(work, case, name) for name in wording.PAGES if name != "link_pay"}
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
            values["slot"] = notation.Window(delivery.starts_at, delivery.ends_at)
        values["choose_by"] = await _choose_by(work, case)
    values["previous_slot"] = _window(data.get("previous"))
    if definition.decision is not None:
        values |= await _decided(work, matter, data)
    values["refund"] = await _refund(work, case, events)
    values |= deposits.said(events)
    values |= renewals.said(work, case, events)
    values |= await co_applicants.said_of(work, events)
    values |= _motivation(work, matter, data, values)
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


async def _decided(work: Work, matter: Matter, data: dict[str, Any]) -> dict[str, wording.Value]:
    """Who decides and when; and once it is decided, what."""
    case, definition, language = matter.case, matter.definition, matter.person.language
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


def _items(matter: Matter) -> list[str]:
    items: list[str] = []
    catalogue = matter.definition.catalogue
    for line in orders.goods(matter.case):
        product = catalogue.find(line["product"]) if catalogue else None
        if product is None:
            continue
        named = next((one for one in product.options if one.key == line["option"]), product)
        items.append(f"{line['quantity']} × {named.title.get(matter.person.language)}")
    return items


def _motivation(
    work: Work, matter: Matter, data: dict[str, Any], values: dict[str, wording.Value]
) -> dict[str, wording.Value]:
    """The reasons of the rules that said no, in the citizen's language; else what a person wrote."""
    definition, language = matter.definition, matter.person.language
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


def _window(told: dict[str, str] | None) -> notation.Window | None:
    if not told:
        return None
    return notation.Window(datetime.fromisoformat(told["starts_at"]), datetime.fromisoformat(told["ends_at"]))


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def address_line(address: dict[str, Any]) -> str:
    """Dorpsplein 1 bus 2, 2999 Lindebeke."""
    box = f" bus {address['box']}" if address.get("box") else ""
    street = f"{address.get('street', '')} {address.get('number', '')}{box}".strip()
    return f"{street}, {address.get('postal_code', '')} {address.get('city', '')}".strip(", ")


def link(work: Work, case: Case, name: str) -> str:
    """A page of the municipality's website about this case."""
    return f"{work.settings.website_url}/dossiers/{case.reference}{wording.PAGES[name]}"
