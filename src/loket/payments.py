"""What comes in: online, by transfer, at the counter.

Money is a fact: whatever is told about it is written down, by webhook, by return, by poll, by the bank, by
the accounting package, by a clerk, in any order and any number of times, with one result.
"""

import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from loket import bookkeeping, cases, invoices, refunds
from loket.errors import ErrorCode, Refused
from loket.lifecycle import (
    INVOICE,
    PAYMENT,
    Action,
    EventType,
    InvoiceStatus,
    PartAction,
    PaymentStatus,
    Role,
    Status,
    TimerKind,
)
from loket.records import (
    Case,
    EffectKind,
    EntryType,
    Invoice,
    Json,
    LedgerAccount,
    Payment,
    PaymentMethod,
    PaymentName,
)
from loket.sepa import masked_iban
from loket.settings import is_ours
from loket.systems.payments import Checkout, CheckoutState, CheckoutStatus
from loket.work import Work, the_system

POLL_FIRST = timedelta(minutes=2)
POLL_LONGEST = timedelta(minutes=30)
CHECKOUT_LIFE = timedelta(hours=2)
"""How long a checkout page may be paid on; after it the payment module says EXPIRED."""
SETTLING = timedelta(minutes=30)
"""How long after its end a page may still turn out to be paid on: the payer may be at the bank."""
SAME_TRANSFER = timedelta(days=5)
"""Two sources may name another day for one transfer: of sending, of booking, of value."""
ACCOUNTING = "accounting"


# --- online -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckoutOrder:
    """What the payment module must be asked, outside any transaction; `url` when it was asked before."""

    payment_id: UUID
    module: str
    reference: str
    amount: Decimal
    expires_in: timedelta
    url: str | None


async def start(work: Work, invoice_id: UUID, return_url: str | None = None) -> CheckoutOrder:
    """Begin an online payment of what is still open; an attempt that can still be paid is used again.

    Raises:
        Refused: NOT_FOUND; NOTHING_DUE when the invoice is paid or taken back; VALIDATION for a
            `return_url` that is not on the municipality's website; TRANSITION_NOT_ALLOWED for whoever is
            not the applicant.
    """
    if return_url is not None and not is_ours(work.settings, return_url):
        raise Refused(ErrorCode.VALIDATION, path=["returnUrl"], reason="not on our website")
    invoice = await invoices.get_locked(work, invoice_id)
    case = await work.session.get_one(Case, invoice.case_id)
    if not {Role.APPLICANT, Role.SYSTEM} & cases.roles_in(work, case):
        raise cases.not_allowed(work, case)
    outstanding = invoices.outstanding(invoice)
    if not invoices.is_open(invoice) or outstanding <= 0:  # what is written off is asked of nobody
        raise Refused(ErrorCode.NOTHING_DUE)
    for payment in await invoices.payments(work, invoice, PaymentStatus.STARTED):
        usable = payment.expires_at is not None and payment.expires_at > work.now + timedelta(minutes=5)
        if usable and payment.amount == outstanding:
            if payment.checkout_url is None:
                # another click waits for its page, or got none: asked with the same key it is the same page
                payment.expires_at = work.now + CHECKOUT_LIFE
            return ordered(payment, case)
    payment = Payment(
        invoice_id=invoice.id,
        case_id=case.id,
        method=PaymentMethod.ONLINE,
        module=work.settings.payment_module,
        amount=outstanding,
        return_url=return_url,
        started_at=work.now,
        expires_at=work.now + CHECKOUT_LIFE,
    )
    work.session.add(payment)
    await work.session.flush()
    await work.arm(TimerKind.CHECKOUT_POLL, work.now + POLL_FIRST, case=case, subject=payment.id)
    return ordered(payment, case)


def ordered(payment: Payment, case: Case) -> CheckoutOrder:
    return CheckoutOrder(
        payment_id=payment.id,
        module=payment.module,
        reference=case.reference,
        amount=payment.amount,
        expires_in=CHECKOUT_LIFE,
        url=payment.checkout_url,
    )


async def checkout_opened(work: Work, payment_id: UUID, checkout: Checkout) -> Payment:
    """The payment module gave a page for this payment; a second page for it is shown to nobody."""
    payment = await work.session.get_one(Payment, payment_id)
    case = await cases.get(work, payment.case_id)
    await work.session.refresh(payment, with_for_update={"key_share": True})
    if payment.checkout_url is not None:
        return payment
    payment.checkout_id, payment.checkout_url = checkout.id, checkout.url
    payment.return_mac = checkout.return_mac
    if checkout.form:
        # only a form of ours leads there; its address must be known to the payer alone
        payment.return_mac = secrets.token_urlsafe(32)
        payment.checkout_form = {"action": checkout.url, "fields": dict(checkout.form)}
        payment.checkout_url = (
            f"{work.settings.public_url}/hooks/payments/go/{checkout.id}.{payment.return_mac}"
        )
    if not invoices.is_open(await work.session.get_one(Invoice, payment.invoice_id)):
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
            await _name(work, payment, payment.module, payment.provider_payment_id or str(payment.id))
            await _captured(work, case, payment)
        case CheckoutStatus.FAILED | CheckoutStatus.EXPIRED | CheckoutStatus.CANCELLED:
            await _fail(work, payment, state.raw_status)
        case CheckoutStatus.OPEN if _is_past(work, payment):
            await _fail(work, payment, f"expired: {state.raw_status}")
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


def _is_past(work: Work, payment: Payment) -> bool:
    """Nobody paid while the page was open; not every module says by itself that it is closed."""
    return payment.expires_at is not None and payment.expires_at + SETTLING < work.now


async def _look_again(work: Work, case: Case, payment: Payment, at: datetime, *, number: int) -> None:
    payload = {"payment_id": str(payment.id), "number": number}
    await work.leave(EffectKind.PAYMENT_POLL, payload, case=case, delay=max(at - work.now, timedelta(0)))


# --- by transfer, at the counter --------------------------------------------------------------


@dataclass(frozen=True)
class Received:
    """Money that somebody says came in. `name` is what that `source` calls it; `amount` in EUR."""

    source: str
    name: str
    amount: Decimal
    method: PaymentMethod
    value_on: date
    payer_name: str = ""
    payer_iban: str = ""


async def register(work: Work, invoice: Invoice, received: Received) -> Payment:
    """Money came by transfer or at the counter: the same name of the same source is one payment.

    Of one transfer the bank, accounting and a clerk may each tell. One source names a payment once, so what
    another source tells of as much money on the same invoice, within days, is the same payment when this
    source has not named it yet.

    Raises:
        Refused: VALIDATION when the source gave that name before to other money.
    """
    case = await cases.get(work, invoice.case_id)
    # whoever writes down the same money for another case at the same time waits here
    name = func.hashtextextended(f"{received.source} {received.name}", 0)
    await work.session.execute(select(func.pg_advisory_xact_lock(name)))
    known = await _named(work, received.source, received.name)
    if known is not None:
        if (known.invoice_id, known.amount) != (invoice.id, received.amount):
            raise Refused(
                ErrorCode.VALIDATION,
                path=["input", "reference"],
                reason="this reference was given to another payment before",
            )
        return known
    payment = await _told_by_another(work, invoice, received)
    if payment is not None:
        _complete(work, payment, received)
        await _name(work, payment, received.source, received.name)
        return payment
    payment = Payment(
        invoice_id=invoice.id,
        case_id=invoice.case_id,
        method=received.method,
        module=received.source,
        amount=received.amount,
        provider_payment_id=received.name,
        value_on=received.value_on,
        started_at=work.now,
    )
    _complete(work, payment, received)
    work.session.add(payment)
    await work.session.flush()
    await _name(work, payment, received.source, received.name)
    await _captured(work, case, payment)
    return payment


def _complete(work: Work, payment: Payment, received: Received) -> None:
    """Who paid, as far as nobody told before."""
    payment.payer_name = payment.payer_name or received.payer_name[:140]
    if received.payer_iban and payment.payer_iban_sealed is None:
        payment.payer_iban_sealed = work.vault.seal(received.payer_iban)
        payment.payer_iban_masked = masked_iban(received.payer_iban)


async def _named(work: Work, source: str, name: str) -> Payment | None:
    found = await work.session.scalars(
        select(Payment)
        .join(PaymentName, col(PaymentName.payment_id) == col(Payment.id))
        .where(col(PaymentName.source) == source, col(PaymentName.name) == name)
    )
    return found.one_or_none()


async def _told_by_another(work: Work, invoice: Invoice, received: Received) -> Payment | None:
    """The same transfer, told before by a source other than this one."""
    if received.method is not PaymentMethod.TRANSFER:
        return None
    named = select(col(PaymentName.payment_id)).where(col(PaymentName.source) == received.source)
    found = await work.session.scalars(
        select(Payment)
        .where(
            col(Payment.invoice_id) == invoice.id,
            col(Payment.method) == PaymentMethod.TRANSFER,
            col(Payment.status) == PaymentStatus.CAPTURED,
            col(Payment.amount) == received.amount,
            func.abs(col(Payment.value_on) - received.value_on) <= SAME_TRANSFER.days,
            col(Payment.id).not_in(named),
        )
        .order_by(func.abs(col(Payment.value_on) - received.value_on), col(Payment.id))
        .limit(1)
    )
    return found.one_or_none()


async def _name(work: Work, payment: Payment, source: str, name: str) -> None:
    work.session.add(PaymentName(source=source, name=name, payment_id=payment.id))
    await work.session.flush()


# --- what it does -----------------------------------------------------------------------------


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
    await bookkeeping.book(
        work,
        case,
        EntryType.PAYMENT,
        payment.id,
        bookkeeping.moved(bookkeeping.MONEY_AT[payment.method], LedgerAccount.RECEIVABLE, payment.amount),
        document_number=payment.provider_payment_id or str(payment.id),
        invoice=invoice,
        known=payment.module == ACCOUNTING,
    )
    data = {"amount": str(payment.amount), "method": payment.method}
    usable = await count(work, case, invoice, payment.amount)
    if invoice.status is InvoiceStatus.PAID and usable > 0:
        if not await go_on(work, case, invoice, data):
            await cases.record(work, case, EventType.PAID, data=data)
    else:
        await cases.record(work, case, EventType.PAYMENT_RECEIVED, data=data)
    if payment.amount > usable:
        await refunds.give_back(work, case, payment, payment.amount - usable, "more was paid than was due")


async def count(work: Work, case: Case, invoice: Invoice, amount: Decimal) -> Decimal:
    """Take `amount` (EUR) that is ours from what is due, and answer how much of it is; the rest goes back."""
    if not invoices.is_open(invoice):
        return Decimal(0)
    revived = min(amount, invoice.written_off)
    usable = min(amount, invoices.outstanding(invoice) + revived)
    if usable <= 0:
        return Decimal(0)
    if revived:
        invoice.written_off -= revived
        await bookkeeping.book(
            work,
            case,
            EntryType.WRITE_OFF_REVERSED,
            invoice.id,
            bookkeeping.moved(LedgerAccount.RECEIVABLE, LedgerAccount.LOSS, revived),
            document_number=invoice.number,
            invoice=invoice,
        )
    invoice.paid += usable
    full = invoices.outstanding(invoice) + invoice.written_off == 0
    cases.move(
        work.as_actor(the_system()), INVOICE, invoice, PartAction.PAY_FULL if full else PartAction.PAY_PART
    )
    return usable


async def go_on(work: Work, case: Case, invoice: Invoice, data: Json) -> bool:
    """A case that waited for its money goes on once that is there; whether it did."""
    if (case.status, invoice.status) != (Status.AWAITING_PAYMENT, InvoiceStatus.PAID):
        return False
    await invoices.end_dunning(work, case)
    await cases.advance(work, case, Action.PAY, data=data)
    return True


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
