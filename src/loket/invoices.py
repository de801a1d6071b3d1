"""What a citizen owes, what came in, and what goes back.

Money is a fact: whatever is told about it is written down, by webhook, by return, by poll, by the
accounting package, in any order and any number of times, with one result.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket import cases
from loket.errors import ErrorCode, Refused
from loket.lifecycle import (
    INVOICE,
    PAYMENT,
    REFUND,
    Action,
    EventType,
    InvoiceStatus,
    PartAction,
    PaymentStatus,
    RefundStatus,
    Role,
    Stage,
    Status,
    TimerKind,
)
from loket.numbers import structured_reference
from loket.orders import net_lines
from loket.records import (
    Case,
    CreditNote,
    Delivery,
    EffectKind,
    Invoice,
    Journal,
    Payment,
    PaymentMethod,
    Person,
    Refund,
)
from loket.settings import is_ours
from loket.systems import accounting
from loket.systems.contract import Address
from loket.systems.payments import Checkout, CheckoutState, CheckoutStatus, RefundState
from loket.systems.payments import RefundStatus as ProviderRefundStatus
from loket.terms import BRUSSELS, end_of, morning_of
from loket.work import Work, the_system

POLL_FIRST = timedelta(minutes=2)
POLL_LONGEST = timedelta(minutes=30)
CHECKOUT_LIFE = timedelta(hours=2)
"""How long a checkout page may be paid on; after it the payment module says EXPIRED."""
CREDIT_JOURNAL_SUFFIX = "C"
REFERENCES = "OGM"
"""Counts structured references: invoices of two journals may have one number, but are paid on one account."""

_ENTRY = TypeAdapter(accounting.Entry)


# --- the invoice ------------------------------------------------------------------------------


async def issue(work: Work, case: Case) -> None:
    """Ask for the money. Where nothing is due, or this round was paid before, the stage passes."""
    settings = work.definition(case).payment
    invoice = await live(work, case)
    if settings is None or total(case) == 0 or (invoice and invoice.status is InvoiceStatus.PAID):
        await cases.advance(work, case, Action.PASS)
        return
    at_application = work.definition(case).stages[0] is Stage.PAYMENT
    due_on = work.today + timedelta(days=settings.term_days)
    if at_application:
        due_on = (work.now + timedelta(hours=settings.checkout_hours)).astimezone(BRUSSELS).date()
    if invoice is None:
        invoice = await _new_invoice(work, case, settings.journal, due_on)
    if at_application:
        # the citizen was told a day, so the whole day counts
        await work.arm(TimerKind.PAYMENT_END, end_of(invoice.due_on), case=case)
        return
    await work.arm(
        TimerKind.PAYMENT_END,
        morning_of(invoice.due_on + timedelta(days=settings.unpaid_after_days)),
        case=case,
    )
    if settings.reminders_days:
        first = morning_of(invoice.due_on + timedelta(days=settings.reminders_days[0]))
        await work.arm(TimerKind.PAYMENT_REMINDER, first, case=case)


async def live(work: Work, case: Case) -> Invoice | None:
    """The invoice of the case that is not credited."""
    found = await work.session.scalars(
        select(Invoice).where(col(Invoice.case_id) == case.id, col(Invoice.status) != InvoiceStatus.CREDITED)
    )
    return found.one_or_none()


def total(case: Case) -> Decimal:
    return sum((Decimal(line["amount"]) for line in case.facts.get("order", [])), Decimal(0))


async def remind(work: Work, case: Case, number: int) -> None:
    """A due date has passed: say it again, kindly, as often as the definition lists."""
    settings = work.definition(case).payment
    invoice = await live(work, case)
    if settings is None or invoice is None or case.status is not Status.AWAITING_PAYMENT:
        return
    await cases.advance(work, case, Action.REMIND, data={"number": number})
    if number < len(settings.reminders_days):
        due_at = morning_of(invoice.due_on + timedelta(days=settings.reminders_days[number]))
        await work.arm(TimerKind.PAYMENT_REMINDER, due_at, case=case, number=number + 1)


async def end_unpaid(work: Work, case: Case) -> None:
    """It was never paid: cancelled, or handed over for recovery where the goods are delivered."""
    settings = work.definition(case).payment
    if settings is None or case.status is not Status.AWAITING_PAYMENT:
        return
    if settings.unpaid == "hand_over" or await _is_delivered(work, case):
        invoice = await live(work, case)
        if invoice is not None:
            _move(invoice, PartAction.HAND_OVER)
        await cases.advance(work, case, Action.HAND_OVER)
    else:
        reason = "Wij ontvingen uw betaling niet op tijd."
        await cases.advance(work, case, Action.GIVE_UP, data={"why": "unpaid", "reasons": [reason]})


async def _is_delivered(work: Work, case: Case) -> bool:
    """Whether the goods are with the citizen: by the order of stages, or before their turn."""
    stages = work.definition(case).stages
    if Stage.DELIVERY in stages and stages.index(Stage.DELIVERY) < stages.index(Stage.PAYMENT):
        return True
    found = await work.session.scalar(
        select(col(Delivery.delivered_at)).where(
            col(Delivery.case_id) == case.id, col(Delivery.round) == case.round
        )
    )
    return found is not None


async def credit(work: Work, case: Case, reason: str) -> None:
    """Take the invoice of an ended case back, and give back what came in on it."""
    invoice = await live(work, case)
    if invoice is None or INVOICE.find(invoice.status, PartAction.CREDIT) is None:
        return
    journal = invoice.journal + CREDIT_JOURNAL_SUFFIX
    _, number = await _next_number(work, journal)
    note = CreditNote(
        invoice_id=invoice.id, number=number, amount=invoice.amount, issued_on=work.today, reason=reason
    )
    work.session.add(note)
    _move(invoice, PartAction.CREDIT)
    await _book(
        work,
        case,
        invoice,
        accounting.EntryType.CREDIT_NOTE,
        note.id,
        note.number,
        note.amount,
        journal=journal,
    )
    for payment in await _payments(work, invoice, PaymentStatus.CAPTURED):
        await give_back(work, case, payment, payment.amount, reason)


async def _new_invoice(work: Work, case: Case, journal: str, due_on: date) -> Invoice:
    await work.session.flush()
    sequence, number = await _next_number(work, journal)
    of_all_journals, _ = await _next_number(work, REFERENCES)
    invoice = Invoice(
        case_id=case.id,
        person_id=case.person_id,
        round=case.round,
        journal=journal,
        year=work.today.year,
        sequence=sequence,
        number=number,
        reference=structured_reference(_reference_number(work.today.year, of_all_journals)),
        amount=total(case),
        lines=case.facts["order"],
        issued_on=work.today,
        due_on=due_on,
    )
    work.session.add(invoice)
    await work.session.flush()
    await _book(work, case, invoice, accounting.EntryType.INVOICE, invoice.id, number, invoice.amount)
    await work.leave(EffectKind.INVOICE_PDF, {"invoice_id": str(invoice.id)}, case=case)
    return invoice


def _reference_number(year: int, sequence: int) -> int:
    """Ten digits for the structured reference: two of the year, eight of the invoice among all of it."""
    return (year % 100) * 10**8 + sequence


async def _next_number(work: Work, journal: str) -> tuple[int, str]:
    """The next number of a journal: no gaps, so the row stays locked until the commit."""
    row = insert(Journal).values(journal=journal, year=work.today.year, last=1)
    sequence: int = (
        await work.session.execute(
            row.on_conflict_do_update(
                index_elements=["journal", "year"], set_={"last": Journal.last + 1}
            ).returning(col(Journal.last))
        )
    ).scalar_one()
    return sequence, f"{journal}-{work.today.year}-{sequence:06d}"


# --- paying -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckoutOrder:
    """What the payment module must be asked, outside any transaction; `url` when it was asked before."""

    payment_id: UUID
    case_id: UUID
    reference: str
    amount: Decimal
    expires_in: timedelta
    url: str | None


async def start_payment(work: Work, invoice_id: UUID, return_url: str | None = None) -> CheckoutOrder:
    """Begin an online payment of what is still open; an attempt that can still be paid is used again.

    Raises:
        Refused: NOT_FOUND; NOTHING_DUE when the invoice is paid or taken back; VALIDATION for a
            `return_url` that is not on the municipality's website; TRANSITION_NOT_ALLOWED for whoever is
            not the applicant.
    """
    if return_url is not None and not is_ours(work.settings, return_url):
        raise Refused(ErrorCode.VALIDATION, path=["returnUrl"], reason="not on our website")
    invoice = await get_locked(work, invoice_id)
    case = await work.session.get_one(Case, invoice.case_id)
    if not {Role.APPLICANT, Role.SYSTEM} & cases.roles_in(work, case):
        raise cases.not_allowed(work, case)
    if not _is_open(invoice):
        raise Refused(ErrorCode.NOTHING_DUE)
    outstanding = invoice.amount - invoice.paid
    for payment in await _payments(work, invoice, PaymentStatus.STARTED):
        usable = payment.expires_at is not None and payment.expires_at > work.now + timedelta(minutes=5)
        if usable and payment.amount == outstanding:
            if payment.checkout_url is None:
                # another click waits for its page, or got none: asked with the same key it is the same page
                payment.expires_at = work.now + CHECKOUT_LIFE
            return CheckoutOrder(
                payment.id, case.id, case.reference, outstanding, CHECKOUT_LIFE, payment.checkout_url
            )
    payment = Payment(
        invoice_id=invoice.id,
        case_id=case.id,
        method=PaymentMethod.ONLINE,
        module="worldline",
        amount=outstanding,
        return_url=return_url,
        started_at=work.now,
        expires_at=work.now + CHECKOUT_LIFE,
    )
    work.session.add(payment)
    await work.session.flush()
    await work.arm(TimerKind.CHECKOUT_POLL, work.now + POLL_FIRST, case=case, subject=payment.id)
    return CheckoutOrder(payment.id, case.id, case.reference, outstanding, CHECKOUT_LIFE, None)


async def checkout_opened(work: Work, payment_id: UUID, checkout: Checkout) -> Payment:
    """The payment module gave a page for this payment."""
    payment = await work.session.get_one(Payment, payment_id)
    case = await cases.get(work, payment.case_id)
    payment.checkout_id, payment.checkout_url = checkout.id, checkout.url
    payment.return_mac = checkout.return_mac
    if not _is_open(await work.session.get_one(Invoice, payment.invoice_id)):
        await void_checkouts(work, case)
    return payment


async def poll(work: Work, payment_id: UUID, number: int) -> None:
    """Ask the payment module what became of a checkout; a worker does the asking."""
    payment = await work.session.get(Payment, payment_id)
    if payment is None or payment.status not in (PaymentStatus.STARTED, PaymentStatus.PENDING):
        return
    if payment.checkout_id is None:
        await _fail(work, payment, "no checkout was opened")
        return
    case = await work.session.get_one(Case, payment.case_id)
    await work.leave(EffectKind.PAYMENT_POLL, {"payment_id": str(payment.id), "number": number}, case=case)


async def heard(work: Work, payment_id: UUID, state: CheckoutState, *, number: int = 1) -> None:
    """What the payment module says of a checkout, however we came to hear it.

    A second time, late or in another order it changes nothing more.
    """
    payment = await work.session.get_one(Payment, payment_id)
    case = await cases.get(work, payment.case_id)
    await work.session.refresh(payment, with_for_update={"key_share": True})
    if payment.status is PaymentStatus.CAPTURED:
        return
    match state.status:
        case CheckoutStatus.CAPTURED:
            payment.provider_payment_id = state.payment_id or payment.checkout_id
            payment.amount = state.amount or payment.amount
            await _captured(work, case, payment)
        case CheckoutStatus.FAILED | CheckoutStatus.EXPIRED | CheckoutStatus.CANCELLED:
            await _fail(work, payment, state.raw_status)
        case CheckoutStatus.PENDING | CheckoutStatus.OPEN:
            if state.status is CheckoutStatus.PENDING and payment.status is PaymentStatus.STARTED:
                payment.status = PaymentStatus.PENDING
            wait = min(POLL_FIRST * 2 ** min(number, 8), POLL_LONGEST)
            if payment.status in (PaymentStatus.STARTED, PaymentStatus.PENDING):
                await work.arm(
                    TimerKind.CHECKOUT_POLL, work.now + wait, case=case, subject=payment.id, number=number + 1
                )
            elif state.status is CheckoutStatus.PENDING:
                await _look_again(work, case, payment, work.now + wait, number=number + 1)


async def _look_again(work: Work, case: Case, payment: Payment, at: datetime, *, number: int) -> None:
    payload = {"payment_id": str(payment.id), "number": number}
    await work.leave(EffectKind.PAYMENT_POLL, payload, case=case, delay=max(at - work.now, timedelta(0)))


async def register(
    work: Work,
    invoice: Invoice,
    *,
    amount: Decimal,
    method: PaymentMethod,
    module: str,
    provider_payment_id: str,
    value_on: date,
    payer_name: str = "",
) -> Payment:
    """Money came by transfer or at the counter. The same `provider_payment_id` is one payment.

    Raises:
        Refused: VALIDATION when that name was given before to other money.
    """
    case = await cases.get(work, invoice.case_id)
    # whoever writes down the same money for another case at the same time waits here
    name = func.hashtextextended(f"{module} {provider_payment_id}", 0)
    await work.session.execute(select(func.pg_advisory_xact_lock(name)))
    found = await work.session.scalars(
        select(Payment).where(
            col(Payment.module) == module, col(Payment.provider_payment_id) == provider_payment_id
        )
    )
    known = found.one_or_none()
    if known is not None and (known.invoice_id, known.amount) != (invoice.id, amount):
        raise Refused(
            ErrorCode.VALIDATION,
            path=["input", "reference"],
            reason="this reference was given to another payment before",
        )
    if known is not None:
        return known
    payment = Payment(
        invoice_id=invoice.id,
        case_id=invoice.case_id,
        method=method,
        module=module,
        amount=amount,
        provider_payment_id=provider_payment_id,
        payer_name=payer_name,
        value_on=value_on,
        started_at=work.now,
    )
    work.session.add(payment)
    await work.session.flush()
    await _captured(work, case, payment)
    return payment


async def _captured(work: Work, case: Case, payment: Payment) -> None:
    # read again under the lock: whoever tells of this money looked it up before
    invoice = await work.session.get_one(
        Invoice, payment.invoice_id, with_for_update={"key_share": True}, populate_existing=True
    )
    step = PAYMENT.find(payment.status, PartAction.CAPTURE)
    if step is None:
        return
    payment.status = step.to
    payment.ended_at = work.now
    payment.value_on = payment.value_on or work.today
    await work.disarm(TimerKind.CHECKOUT_POLL, subject=payment.id)
    if payment.method is not PaymentMethod.TRANSFER:
        await _book(
            work, case, invoice, accounting.EntryType.PAYMENT, payment.id,
            payment.provider_payment_id or str(payment.id), payment.amount, method=payment.method,
        )  # fmt: skip
    data = {"amount": str(payment.amount), "method": payment.method}
    outstanding = invoice.amount - invoice.paid
    usable = min(payment.amount, outstanding)
    if _is_open(invoice) and usable > 0:
        invoice.paid += usable
        full = invoice.paid >= invoice.amount
        _move(invoice, PartAction.PAY_FULL if full else PartAction.PAY_PART)
        if full and case.status is Status.AWAITING_PAYMENT:
            await work.disarm(TimerKind.PAYMENT_END, TimerKind.PAYMENT_REMINDER, case=case)
            await cases.advance(work, case, Action.PAY, data=data)
        else:
            await cases.record(work, case, EventType.PAID if full else EventType.PAYMENT_RECEIVED, data=data)
    else:
        usable = Decimal(0)
        await cases.record(work, case, EventType.PAYMENT_RECEIVED, data=data)
    if payment.amount > usable:
        await give_back(work, case, payment, payment.amount - usable, "more was paid than was due")


async def _fail(work: Work, payment: Payment, reason: str) -> None:
    step = PAYMENT.find(payment.status, PartAction.FAIL)
    if step is not None:
        payment.status = step.to
        payment.reason = reason
        payment.ended_at = work.now
        await work.disarm(TimerKind.CHECKOUT_POLL, subject=payment.id)


async def void_checkouts(work: Work, case: Case) -> None:
    """Nobody needs to pay any more; money that comes nevertheless is given back.

    The payment module has no way to close a page before its time, so once it is past we ask whether
    somebody paid on it.
    """
    found = await work.session.scalars(
        select(Payment).where(
            col(Payment.case_id) == case.id,
            col(Payment.status).in_((PaymentStatus.STARTED, PaymentStatus.PENDING)),
        )
    )
    for payment in found:
        await _fail(work, payment, "voided: the case ended")
        if payment.checkout_id and payment.expires_at:
            await _look_again(work, case, payment, payment.expires_at + timedelta(minutes=5), number=1)


# --- giving back ------------------------------------------------------------------------------


async def give_back(work: Work, case: Case, payment: Payment, amount: Decimal, reason: str) -> Refund | None:
    """Money goes back over the way it came: online by itself, otherwise a person sees to it."""
    already = await work.session.scalar(
        select(func.coalesce(func.sum(Refund.amount), 0)).where(
            col(Refund.payment_id) == payment.id, col(Refund.status) != RefundStatus.FAILED
        )
    )
    amount = min(amount, payment.amount - (already or Decimal(0)))
    if amount <= 0:
        return None
    refund = Refund(payment_id=payment.id, case_id=case.id, amount=amount, reason=reason)
    work.session.add(refund)
    await work.session.flush()
    await cases.record(
        work,
        case,
        EventType.REFUND_DUE,
        data={"amount": str(amount), "refund_id": str(refund.id), "why": reason},
    )
    await order_refund(work.as_actor(the_system()), refund)
    if payment.method is not PaymentMethod.ONLINE:
        await cases.open_task(work, case, "REFUND_DUE", {"refund_id": str(refund.id), "amount": str(amount)})
    return refund


async def order_refund(work: Work, refund: Refund) -> None:
    """Have it paid back: by the payment module, or by the financial service, which finds it in the books.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when it was ordered or done before.
    """
    step = REFUND.find(refund.status, PartAction.ORDER)
    if step is None or not step.by & work.actor.roles:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=refund.status)
    refund.status = step.to
    refund.ordered_at = work.now
    refund.provider_refund_id = None  # ordered again it is another one there
    case = await work.session.get_one(Case, refund.case_id)
    payment = await work.session.get_one(Payment, refund.payment_id)
    if payment.method is PaymentMethod.ONLINE:
        await work.leave(EffectKind.PAYMENT_REFUND, {"refund_id": str(refund.id)}, case=case)
    else:
        await _book_refund(work, case, refund, payment)


async def refund_heard(work: Work, refund_id: UUID, state: RefundState) -> None:
    """What the payment module says of a refund."""
    refund = await work.session.get_one(Refund, refund_id)
    case = await cases.get(work, refund.case_id)
    await work.session.refresh(refund, with_for_update={"key_share": True})
    refund.provider_refund_id = state.id
    match state.status:
        case ProviderRefundStatus.DONE:
            await refund_done(work, case, refund)
        case ProviderRefundStatus.FAILED:
            await refund_failed(work, case, refund, state.raw_status)
        case ProviderRefundStatus.PENDING:
            pass


async def refund_done(work: Work, case: Case, refund: Refund) -> None:
    step = REFUND.find(refund.status, PartAction.COMPLETE)
    if step is None:
        return
    refund.status = step.to
    refund.ended_at = work.now
    await cases.record(work, case, EventType.REFUNDED, data={"amount": str(refund.amount)})
    payment = await work.session.get_one(Payment, refund.payment_id)
    if payment.method is PaymentMethod.ONLINE:
        await _book_refund(work, case, refund, payment)
    if not await _waits_for_a_person(work, case):
        await cases.complete_tasks(work, case, "REFUND_DUE")


async def _waits_for_a_person(work: Work, case: Case) -> bool:
    """Whether another refund of the case is still to be paid back by hand."""
    found = await work.session.scalar(
        select(col(Refund.id))
        .join(Payment, col(Payment.id) == col(Refund.payment_id))
        .where(
            col(Refund.case_id) == case.id,
            (col(Refund.status) == RefundStatus.FAILED)
            | ((col(Refund.status) == RefundStatus.ORDERED) & (col(Payment.method) != PaymentMethod.ONLINE)),
        )
        .limit(1)
    )
    return found is not None


async def _book_refund(work: Work, case: Case, refund: Refund, payment: Payment) -> None:
    """Books that see it before it was paid back pay it back themselves (`refund.executed`)."""
    invoice = await work.session.get_one(Invoice, payment.invoice_id)
    await _book(
        work, case, invoice, accounting.EntryType.REFUND, refund.id,
        refund.provider_refund_id or str(refund.id), refund.amount, method=payment.method,
    )  # fmt: skip


async def refund_failed(
    work: Work, case: Case, refund: Refund, reason: str, *, came_back: bool = False
) -> None:
    """The module will not pay back, or a transfer came back: a person finds another way."""
    step = REFUND.find(refund.status, PartAction.FAIL)
    if step is None and came_back:
        step = REFUND.find(refund.status, PartAction.RETURN)
    if step is not None:
        refund.status = step.to
        await cases.open_task(
            work,
            case,
            "REFUND_DUE",
            {"refund_id": str(refund.id), "amount": str(refund.amount), "why": reason},
        )


# --- small things -----------------------------------------------------------------------------


async def get_locked(work: Work, invoice_id: UUID) -> Invoice:
    """The invoice, with its case locked. Raises `Refused` NOT_FOUND as `cases.get` does."""
    invoice = await work.session.get(Invoice, invoice_id)
    if invoice is None:
        raise Refused(ErrorCode.NOT_FOUND)
    await cases.get(work, invoice.case_id)
    await work.session.refresh(invoice, with_for_update={"key_share": True})
    return invoice


async def _payments(work: Work, invoice: Invoice, status: PaymentStatus) -> list[Payment]:
    found = await work.session.scalars(
        select(Payment)
        .where(col(Payment.invoice_id) == invoice.id, col(Payment.status) == status)
        .order_by(col(Payment.started_at))
    )
    return list(found)


def _is_open(invoice: Invoice) -> bool:
    """Whether money is still due on it; also on one that was handed over when its case ended."""
    return INVOICE.find(invoice.status, PartAction.PAY_FULL) is not None


def _move(invoice: Invoice, action: PartAction) -> None:
    step = INVOICE.find(invoice.status, action)
    if step is None:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=invoice.status)
    invoice.status = step.to
    invoice.version += 1


async def _book(
    work: Work,
    case: Case,
    invoice: Invoice,
    type: accounting.EntryType,
    id: UUID,
    number: str,
    amount: Decimal,
    *,
    journal: str | None = None,
    method: PaymentMethod | None = None,
) -> None:
    """Leave an entry for the accounting package, as it stands now."""
    person = await work.session.get_one(Person, invoice.person_id)
    home: dict[str, Any] = person.address or {}
    documents = (accounting.EntryType.INVOICE, accounting.EntryType.CREDIT_NOTE)
    entry = accounting.Entry(
        id=id,
        type=type,
        journal=journal or invoice.journal,
        number=number[:35],
        reference=invoice.reference,
        booked_on=work.today,
        due_on=invoice.due_on if type is accounting.EntryType.INVOICE else None,
        amount=amount,
        counterparty=accounting.Counterparty(
            name=f"{person.given_name} {person.family_name}".strip() or "onbekend",
            address=Address(
                street=home["street"],
                house_number=home.get("number"),
                box_number=home.get("box"),
                postal_code=home.get("postal_code") or "",
                municipality=home.get("city") or "",
                country=_country(home.get("country")),
            )
            if home.get("street")
            else None,
        ),
        invoice_number=None if type is accounting.EntryType.INVOICE else invoice.number,
        lines=tuple(_line(line) for line in net_lines(invoice.lines)) if type in documents else (),
        payment_method={
            PaymentMethod.ONLINE: accounting.PaymentMethod.ONLINE,
            PaymentMethod.TRANSFER: accounting.PaymentMethod.TRANSFER,
            PaymentMethod.COUNTER: accounting.PaymentMethod.CASH,
        }[method]
        if method
        else None,
    )
    await work.leave(
        EffectKind.ACCOUNTING_ENTRY, _ENTRY.dump_python(entry, mode="json", by_alias=True), case=case
    )


def _country(name: str | None) -> str:
    """ISO 3166 in two letters; the National Register writes names, and of Belgium only in Dutch."""
    return name if name and len(name) == 2 else "BE"


def _line(line: dict[str, Any]) -> accounting.Line:
    return accounting.Line(
        description=line["description"][:140],
        quantity=line["quantity"],
        amount=Decimal(line["amount"]),
        budget_key=line["budget_key"],
    )
