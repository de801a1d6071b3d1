"""Booking what moved and was left out of the journal: by the entry it should have had, dated today."""

from typing import TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlmodel import SQLModel, col

from loket import bookkeeping, payout_lines
from loket.bookkeeping import Posting, moved
from loket.errors import ErrorCode, Refused
from loket.lifecycle import PayoutStatus
from loket.orders import net_lines
from loket.records import (
    Case,
    Chargeback,
    CreditNote,
    EntryType,
    Invoice,
    LedgerAccount,
    Payment,
    Payout,
    Refund,
)
from loket.work import Work

Row = TypeVar("Row", bound=SQLModel)


async def book(work: Work, case: Case, type: str, subject_id: UUID) -> None:
    """Write the missing entry of a movement.

    Raises:
        Refused: NOT_FOUND for what is no movement of ours; TRANSITION_NOT_ALLOWED when it is booked by now.
    """
    kind = EntryType(type)
    if await bookkeeping.postings_of(work, kind, subject_id):
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=kind)
    match kind:
        case EntryType.INVOICE:
            invoice = await _get(work, Invoice, subject_id)
            debt = Posting(LedgerAccount.RECEIVABLE, invoice.amount)
            postings = [debt, *bookkeeping.of_lines(net_lines(invoice.lines))]
            await _write(work, case, kind, subject_id, postings, invoice, invoice.number)
        case EntryType.CREDIT_NOTE:
            note = await _get(work, CreditNote, subject_id)
            lines = bookkeeping.reversed_(bookkeeping.of_lines(net_lines(note.lines)))
            costs = note.amount - sum(one.amount for one in lines)
            rest = [Posting(LedgerAccount.COSTS, costs), Posting(LedgerAccount.RECEIVABLE, -note.amount)]
            invoice = await _get(work, Invoice, note.invoice_id)
            await _write(
                work, case, kind, subject_id, [*lines, *rest], invoice, note.number, journal=note.journal
            )
        case EntryType.PAYMENT:
            payment = await _get(work, Payment, subject_id)
            to = bookkeeping.MONEY_AT[payment.method]
            postings = moved(to, LedgerAccount.RECEIVABLE, payment.amount)
            name = payment.provider_payment_id or str(payment.id)
            await _write(work, case, kind, subject_id, postings, await _invoice(work, payment.id), name)
        case EntryType.REFUND_DUE:
            refund = await _get(work, Refund, subject_id)
            postings = moved(LedgerAccount.RECEIVABLE, LedgerAccount.REFUNDABLE, refund.amount)
            invoice = await _invoice(work, refund.payment_id)
            await _write(work, case, kind, subject_id, postings, invoice, str(refund.id))
        case EntryType.REFUND:
            refund = await _get(work, Refund, subject_id)
            payment = await _get(work, Payment, refund.payment_id)
            # a payout left the bank whatever way the money had come, and accounting carried it out itself
            by_payout = await _went_by_payout(work, refund)
            out_of = LedgerAccount.BANK if by_payout else bookkeeping.MONEY_AT[payment.method]
            await bookkeeping.book(
                work,
                case,
                kind,
                subject_id,
                moved(LedgerAccount.REFUNDABLE, out_of, refund.amount),
                document_number=refund.provider_refund_id or str(refund.id),
                invoice=await _invoice(work, payment.id),
                known=by_payout,
            )
        case EntryType.CHARGEBACK:
            taken = await _get(work, Chargeback, subject_id)
            postings = moved(LedgerAccount.RECEIVABLE, LedgerAccount.MODULE, taken.amount)
            await _write(
                work,
                case,
                kind,
                subject_id,
                postings,
                await _invoice(work, taken.payment_id),
                taken.provider_id,
            )
        case EntryType.PAYOUT:
            await payout_lines.book_paid(work, case, await _get(work, Payout, subject_id))
        case _:
            raise Refused(ErrorCode.NOT_FOUND)


async def _write(
    work: Work,
    case: Case,
    kind: EntryType,
    subject_id: UUID,
    postings: list[Posting],
    invoice: Invoice,
    number: str,
    *,
    journal: str = "",
) -> None:
    await bookkeeping.book(
        work, case, kind, subject_id, postings, document_number=number, invoice=invoice, journal=journal
    )


async def _went_by_payout(work: Work, refund: Refund) -> bool:
    found = await work.session.scalar(
        select(col(Payout.id))
        .where(col(Payout.refund_id) == refund.id, col(Payout.status) == PayoutStatus.EXECUTED)
        .limit(1)
    )
    return found is not None


async def _invoice(work: Work, payment_id: UUID) -> Invoice:
    payment = await _get(work, Payment, payment_id)
    return await _get(work, Invoice, payment.invoice_id)


async def _get(work: Work, kind: type[Row], id: UUID) -> Row:
    found = await work.session.get(kind, id)
    if found is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return found
