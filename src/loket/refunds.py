"""What goes back: over the way that it came, or else by a payout that two people agree to."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from loket import bookkeeping, cases, recoveries
from loket.errors import ErrorCode, Refused
from loket.lifecycle import REFUND, EventType, PartAction, RefundStatus
from loket.records import (
    Case,
    Chargeback,
    Effect,
    EffectKind,
    EntryType,
    Invoice,
    LedgerAccount,
    Payment,
    PaymentMethod,
    Refund,
)
from loket.systems.payments import RefundState
from loket.systems.payments import RefundStatus as ProviderRefundStatus
from loket.work import Work, the_system


async def give_back(work: Work, case: Case, payment: Payment, amount: Decimal, reason: str) -> Refund | None:
    """Money goes back: what came online by itself, otherwise a person sees to it."""
    amount = min(amount, payment.amount - await given_back(work, payment))
    if amount <= 0:
        return None
    refund = Refund(payment_id=payment.id, case_id=case.id, amount=amount, reason=reason, due_on=work.today)
    work.session.add(refund)
    await work.session.flush()
    invoice = await work.session.get_one(Invoice, payment.invoice_id)
    await bookkeeping.book(
        work,
        case,
        EntryType.REFUND_DUE,
        refund.id,
        bookkeeping.moved(LedgerAccount.RECEIVABLE, LedgerAccount.REFUNDABLE, amount),
        document_number=str(refund.id),
        invoice=invoice,
    )
    await cases.record(
        work,
        case,
        EventType.REFUND_DUE,
        data={"amount": str(amount), "refund_id": str(refund.id), "why": reason},
    )
    if payment.method is PaymentMethod.ONLINE:
        await order(work.as_actor(the_system()), case, refund)
    else:
        await _ask_a_person(work, case, refund, payment.payer_iban_masked)
    return refund


async def given_back(work: Work, payment: Payment) -> Decimal:
    """What of a payment goes back, or went back, in EUR. A refund that failed is to be paid still.

    What the payer's bank took back went back too.
    """
    by_us = await work.session.scalar(
        select(func.coalesce(func.sum(Refund.amount), 0)).where(col(Refund.payment_id) == payment.id)
    )
    by_the_bank = await work.session.scalar(
        select(func.coalesce(func.sum(Chargeback.counted), 0)).where(
            col(Chargeback.payment_id) == payment.id, col(Chargeback.reversed_on).is_(None)
        )
    )
    return (by_us or Decimal(0)) + (by_the_bank or Decimal(0))


async def accepted(session: AsyncSession, payment_id: UUID, *, but: UUID) -> Decimal:
    """What the payment module took on to give back of a payment by refunds other than `but`, in EUR."""
    found = await session.scalar(
        select(func.coalesce(func.sum(Refund.amount), 0)).where(
            col(Refund.payment_id) == payment_id,
            col(Refund.id) != but,
            col(Refund.provider_refund_id).is_not(None),
            col(Refund.status).in_((RefundStatus.ORDERED, RefundStatus.DONE)),
        )
    )
    return found or Decimal(0)


async def _ask_a_person(work: Work, case: Case, refund: Refund, account: str = "", why: str = "") -> None:
    told = {"refund_id": str(refund.id), "amount": str(refund.amount), "account": account, "why": why}
    await cases.open_task(work, case, "REFUND_DUE", {name: value for name, value in told.items() if value})


async def order(work: Work, case: Case, refund: Refund) -> None:
    """Have it paid back over the way that it came: by the payment module, or out of the till.

    What came by transfer goes back by a payout (`payouts.order_refund`).

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when it was ordered or done before; VALIDATION for a transfer.
    """
    payment = await work.session.get_one(Payment, refund.payment_id)
    if payment.method is PaymentMethod.TRANSFER:
        raise Refused(ErrorCode.VALIDATION, path=["input", "iban"], reason="to which account?")
    cases.move(work, REFUND, refund, PartAction.ORDER)
    refund.ordered_at = work.now
    refund.provider_refund_id = None  # ordered again it is another one there
    if payment.method is PaymentMethod.ONLINE:
        await work.leave(EffectKind.PAYMENT_REFUND, {"refund_id": str(refund.id)}, case=case)
    else:
        await done(work, case, refund)


async def heard(work: Work, refund_id: UUID, state: RefundState) -> None:
    """What the payment module says of a refund."""
    refund = await work.session.get_one(Refund, refund_id)
    case = await cases.get(work, refund.case_id)
    await work.session.refresh(refund, with_for_update={"key_share": True})
    refund.provider_refund_id = state.id
    match state.status:
        case ProviderRefundStatus.DONE if refund.status is RefundStatus.DONE:
            await _done_again(work, case, refund)
        case ProviderRefundStatus.DONE:
            await done(work, case, refund)
        case ProviderRefundStatus.FAILED:
            await failed(work, case, refund, state.raw_status)
        case ProviderRefundStatus.PENDING:
            pass


async def done(
    work: Work, case: Case, refund: Refund, *, out_of: LedgerAccount | None = None, known: bool = False
) -> None:
    """The payer has it back. `out_of`: where the money came from, when not from where it had come to."""
    step = REFUND.find(refund.status, PartAction.COMPLETE)
    if step is None:
        return
    refund.status = step.to
    refund.ended_at = work.now
    payment = await work.session.get_one(Payment, refund.payment_id)
    await bookkeeping.book(
        work,
        case,
        EntryType.REFUND,
        refund.id,
        bookkeeping.moved(
            LedgerAccount.REFUNDABLE, out_of or bookkeeping.MONEY_AT[payment.method], refund.amount
        ),
        document_number=refund.provider_refund_id or str(refund.id),
        invoice=await work.session.get_one(Invoice, payment.invoice_id),
        known=known,
    )
    await cases.record(work, case, EventType.REFUNDED, data={"amount": str(refund.amount)})
    if not await _waits_for_a_person(work, case):
        await cases.complete_tasks(work, case, "REFUND_DUE")


async def _done_again(work: Work, case: Case, refund: Refund) -> None:
    """The module paid back what somebody paid back by hand meanwhile: whoever has it owes it to us."""
    paid = await bookkeeping.postings_of(work, EntryType.REFUND, refund.id)
    by_hand = any(one.account is LedgerAccount.BANK for one in paid)
    if not by_hand or await bookkeeping.postings_of(work, EntryType.PAYOUT, refund.id):
        return
    payment = await work.session.get_one(Payment, refund.payment_id)
    await bookkeeping.book(
        work,
        case,
        EntryType.PAYOUT,
        refund.id,
        bookkeeping.moved(LedgerAccount.RECEIVABLE, LedgerAccount.MODULE, refund.amount),
        document_number=refund.provider_refund_id or str(refund.id),
        invoice=await work.session.get_one(Invoice, payment.invoice_id),
        known=True,
    )
    await recoveries.ask_back(work, case, refund.amount, "paid back twice")


async def _waits_for_a_person(work: Work, case: Case) -> bool:
    """Whether another refund of the case is still to be paid back by hand."""
    found = await work.session.scalar(
        select(col(Refund.id))
        .join(Payment, col(Payment.id) == col(Refund.payment_id))
        .where(
            col(Refund.case_id) == case.id,
            (col(Refund.status) == RefundStatus.FAILED)
            | (
                col(Refund.status).in_((RefundStatus.DUE, RefundStatus.ORDERED))
                & (col(Payment.method) != PaymentMethod.ONLINE)
            ),
        )
        .limit(1)
    )
    return found is not None


async def failed(work: Work, case: Case, refund: Refund, reason: str, *, came_back: bool = False) -> None:
    """The module will not pay back, or a transfer came back: a person finds another way."""
    step = REFUND.find(refund.status, PartAction.FAIL)
    if step is None and came_back:
        step = REFUND.find(refund.status, PartAction.RETURN)
        if step is not None:
            payment = await work.session.get_one(Payment, refund.payment_id)
            await bookkeeping.book(
                work,
                case,
                EntryType.REFUND_RETURNED,
                refund.id,
                bookkeeping.moved(LedgerAccount.BANK, LedgerAccount.REFUNDABLE, refund.amount),
                document_number=str(refund.id),
                invoice=await work.session.get_one(Invoice, payment.invoice_id),
                known=True,
            )
    if step is not None:
        refund.status = step.to
        await _ask_a_person(work, case, refund, why=reason)


async def given_up(work: Work, case: Case, effect: Effect) -> None:
    """The payment module could not be asked for too long, or will not say.

    A refund that it took on before may be paid: nobody pays it another way. Who tries the effect again asks
    what became of it.
    """
    refund = await work.session.get_one(Refund, UUID(effect.payload["refund_id"]))
    await work.session.refresh(refund, with_for_update={"key_share": True})
    if refund.provider_refund_id is None:
        await failed(work, case, refund, effect.last_error)
