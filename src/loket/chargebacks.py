"""Money that the payer's bank took back (terugboeking), and what becomes of the invoice that it paid.

A chargeback is a fact: it is never refused, and it is written down once, in whatever order it is heard.
"""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from loket import bookkeeping, cases, dunning, payments, refunds
from loket.lifecycle import INVOICE, EventType, InvoiceStatus, PartAction, PaymentStatus
from loket.records import Case, Chargeback, EntryType, Invoice, LedgerAccount, Payment
from loket.systems.payments import ChargebackState, CheckoutState, CheckoutStatus
from loket.work import Work, the_system


async def heard(work: Work, payment_id: UUID, state: ChargebackState) -> Chargeback:
    """The bank took money of a payment back, or gave it back when `state.reversed`."""
    payment = await work.session.get_one(Payment, payment_id)
    case = await cases.get(work, payment.case_id)
    await work.session.refresh(payment, with_for_update={"key_share": True})
    if payment.status is not PaymentStatus.CAPTURED:
        # what was taken back had come in: that notice is late
        was = CheckoutState(CheckoutStatus.CAPTURED, state.payment_id, None, "charged back")
        await payments.heard(work, payment.id, was)
    invoice = await work.session.get_one(
        Invoice, payment.invoice_id, with_for_update={"key_share": True}, populate_existing=True
    )
    taken = await _known(work, payment, state)
    if taken is None:
        taken = await _taken(work, case, invoice, payment, state)
    if state.reversed and taken.reversed_on is None:
        await _reversed(work, case, invoice, payment, taken, state)
    return taken


async def _known(work: Work, payment: Payment, state: ChargebackState) -> Chargeback | None:
    found = await work.session.scalars(
        select(Chargeback).where(
            col(Chargeback.module) == payment.module, col(Chargeback.provider_id) == state.id
        )
    )
    return found.one_or_none()


async def _taken(
    work: Work, case: Case, invoice: Invoice, payment: Payment, state: ChargebackState
) -> Chargeback:
    counted = min(state.amount, await _counted(work, payment), invoice.paid)
    taken = Chargeback(
        payment_id=payment.id,
        case_id=case.id,
        module=payment.module,
        provider_id=state.id,
        amount=state.amount,
        counted=counted,
        taken_on=state.on,
        reason=state.reason[:500],
    )
    work.session.add(taken)
    await work.session.flush()
    await bookkeeping.book(
        work,
        case,
        EntryType.CHARGEBACK,
        taken.id,
        bookkeeping.moved(LedgerAccount.RECEIVABLE, LedgerAccount.MODULE, taken.amount),
        document_number=taken.provider_id,
        invoice=invoice,
    )
    if counted:
        invoice.paid -= counted
        was = invoice.status
        cases.move(work.as_actor(the_system()), INVOICE, invoice, PartAction.CHARGE_BACK)
        if invoice.status is InvoiceStatus.HANDED_OVER and was is not InvoiceStatus.HANDED_OVER:
            await dunning.hand_over(work, case, invoice)
    await cases.record(work, case, EventType.CHARGED_BACK, data={"amount": str(taken.amount)})
    await _ask_a_person(work, case, taken)
    return taken


async def _counted(work: Work, payment: Payment) -> Decimal:
    """What of a payment its invoice still counts: not what went back, or was taken back, before."""
    return max(payment.amount - await refunds.given_back(work, payment), Decimal(0))


async def _ask_a_person(work: Work, case: Case, taken: Chargeback) -> None:
    told = {"chargeback_id": str(taken.id), "amount": str(taken.amount), "why": taken.reason}
    twice = taken.amount - taken.counted
    if twice:
        told["paid_back_twice"] = str(twice)
    await cases.open_task(work, case, "CHARGED_BACK", {name: value for name, value in told.items() if value})


async def _reversed(
    work: Work, case: Case, invoice: Invoice, payment: Payment, taken: Chargeback, state: ChargebackState
) -> None:
    """The dispute was won: the invoice is paid again, and what is not due any more goes back."""
    taken.reversed_on = state.on
    await bookkeeping.book(
        work,
        case,
        EntryType.CHARGEBACK_REVERSED,
        taken.id,
        bookkeeping.moved(LedgerAccount.MODULE, LedgerAccount.RECEIVABLE, taken.amount),
        document_number=taken.provider_id,
        invoice=invoice,
    )
    await cases.record(work, case, EventType.CHARGEBACK_REVERSED, data={"amount": str(taken.amount)})
    if not await _is_open(work, case):
        await cases.complete_tasks(work, case, "CHARGED_BACK")
    usable = await payments.count(work, case, invoice, taken.counted)
    told = {"amount": str(taken.counted), "method": payment.method}
    await payments.go_on(work.as_actor(the_system(work.actor.name)), case, invoice, told)
    if taken.counted > usable:
        await refunds.give_back(work, case, payment, taken.counted - usable, "paid again meanwhile")


async def _is_open(work: Work, case: Case) -> bool:
    """Whether another chargeback of the case stands."""
    found = await work.session.scalar(
        select(func.count())
        .select_from(Chargeback)
        .where(col(Chargeback.case_id) == case.id, col(Chargeback.reversed_on).is_(None))
    )
    return bool(found)
