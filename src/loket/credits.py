"""Taking an invoice back, whole or in part (creditnota)."""

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import select
from sqlmodel import col

from loket import bookkeeping, cases, invoices, refunds
from loket.errors import ErrorCode, Refused
from loket.lifecycle import INVOICE, Action, EventType, InvoiceStatus, PartAction, PaymentStatus, Status
from loket.numbers import shared
from loket.orders import net_lines
from loket.records import Case, CreditNote, EffectKind, EntryType, Invoice, Json, LedgerAccount
from loket.work import Work, the_system

JOURNAL_SUFFIX = "C"
"""Credit notes are numbered in a journal of their own."""
CENT = Decimal("0.01")


async def of_ended_case(work: Work, case: Case, reason: str) -> None:
    """Take the invoice of an ended case back, and give back what came in on it."""
    invoice = await invoices.live(work, case)
    if invoice is None or INVOICE.find(invoice.status, PartAction.CREDIT) is None:
        return
    if creditable(invoice) > 0:
        await credit(work.as_actor(the_system()), case, invoice, creditable(invoice), reason)


def creditable(invoice: Invoice) -> Decimal:
    """What can be taken back of it still, costs included, in EUR."""
    return invoice.amount + invoice.costs - invoice.credited - invoice.written_off


async def credit(
    work: Work,
    case: Case,
    invoice: Invoice,
    amount: Decimal,
    reason: str,
    *,
    of: frozenset[int] | None = None,
) -> CreditNote:
    """Take back `amount` (EUR) of an invoice; what was paid on it and is not due any more goes back.

    `of`: only of these lines, as `left` counts them from 0; the caller sees that they hold as much.

    A case that waits for the money goes on when nothing is due any more, as one that costs nothing does:
    who wants it stopped cancels the case, which takes its invoice back by itself.

    Raises:
        Refused: VALIDATION for more than can be taken back, or a part of a cent; TRANSITION_NOT_ALLOWED for
            an invoice of which nothing is left to take back.
    """
    if INVOICE.find(invoice.status, PartAction.CREDIT) is None or creditable(invoice) == 0:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=invoice.status)
    if not 0 < amount <= creditable(invoice) or amount != amount.quantize(CENT):
        limit = f"in whole cents, at most {creditable(invoice)}"
        raise Refused(ErrorCode.VALIDATION, path=["input", "amount"], reason=limit)
    whole = amount == creditable(invoice)
    cases.move(work, INVOICE, invoice, PartAction.CREDIT if whole else PartAction.CREDIT_PART)
    note = await _note(work, case, invoice, amount, reason, of)
    invoice.credited += amount
    # at once: more than was due is never paid and credited together
    surplus = max(-invoices.outstanding(invoice), Decimal(0))
    invoice.paid -= surplus
    told = {"amount": str(amount), "number": note.number, "invoice": invoice.number, "reason": reason}
    await cases.record(work, case, EventType.INVOICE_CREDITED, data=told)
    if surplus:
        await _give_back(work, case, invoice, surplus, reason)
    if not whole and invoices.is_open(invoice) and not invoices.outstanding(invoice) + invoice.written_off:
        cases.move(work, INVOICE, invoice, PartAction.PAY_FULL)
    if case.status is Status.AWAITING_PAYMENT and invoice.status not in invoices.AWAITED:
        await invoices.end_dunning(work, case)
        paid = invoice.status is InvoiceStatus.PAID
        await cases.advance(work.as_actor(the_system()), case, Action.PAY if paid else Action.PASS)
    return note


async def _note(
    work: Work, case: Case, invoice: Invoice, amount: Decimal, reason: str, of: frozenset[int] | None
) -> CreditNote:
    there = await left(work, invoice)
    of_lines = min(amount, sum((Decimal(line["amount"]) for line in there), Decimal(0)))
    lines = taken(there, of_lines, of) if of_lines else []  # of costs alone there are none
    costs = amount - of_lines
    journal = invoice.journal + JOURNAL_SUFFIX
    sequence, number = await invoices.next_number(work, journal)
    note = CreditNote(
        invoice_id=invoice.id,
        case_id=case.id,
        journal=journal,
        year=work.today.year,
        sequence=sequence,
        number=number,
        amount=amount,
        lines=lines,
        issued_on=work.today,
        reason=reason,
    )
    work.session.add(note)
    await work.session.flush()
    debit = [
        *bookkeeping.reversed_(bookkeeping.of_lines(lines)),
        bookkeeping.Posting(LedgerAccount.COSTS, costs),
    ]
    await bookkeeping.book(
        work,
        case,
        EntryType.CREDIT_NOTE,
        note.id,
        [*debit, bookkeeping.Posting(LedgerAccount.RECEIVABLE, -amount)],
        document_number=number,
        journal=journal,
        invoice=invoice,
    )
    await work.leave(EffectKind.CREDIT_NOTE_PDF, {"credit_note_id": str(note.id)}, case=case)
    return note


async def left(work: Work, invoice: Invoice) -> list[Json]:
    """The invoice's lines, discounts taken off, less what was credited of each."""
    lines = net_lines(invoice.lines)
    notes = await work.session.scalars(
        select(CreditNote).where(col(CreditNote.invoice_id) == invoice.id).order_by(col(CreditNote.sequence))
    )
    for note in notes:
        before = {line["line"]: line for line in note.lines if "line" in line}
        for index, line in enumerate(lines):
            if index in before:
                for name in ("amount", "vat_amount"):
                    line[name] = str(Decimal(line.get(name) or 0) - Decimal(before[index].get(name) or 0))
    return lines


def taken(lines: Sequence[Json], amount: Decimal, of: frozenset[int] | None = None) -> list[Json]:
    """`amount` (EUR) of these lines, or of some `of` them, of each in proportion, with the VAT in it, to the
    cent.

    `line` says of which line each is, counted from 0.
    """
    amounts = {index: Decimal(line["amount"]) for index, line in enumerate(lines)}
    parts = shared(amount, {index: one for index, one in amounts.items() if of is None or index in of})
    credited: list[Json] = []
    for index, part in sorted(parts.items()):
        line = lines[index]
        whole = Decimal(line["amount"])
        vat = Decimal(line.get("vat_amount") or 0)
        vat = vat if part == whole else (vat * part / whole).quantize(CENT)
        of_all = {"quantity": line["quantity"], "unit_amount": line["unit_amount"]}
        of_part = {"quantity": 1, "unit_amount": str(part)}
        credited.append(
            {
                **line,
                **(of_all if Decimal(line["unit_amount"]) * line["quantity"] == part else of_part),
                "line": index,
                "amount": str(part),
                "vat_amount": str(vat),
            }
        )
    return credited


async def _give_back(work: Work, case: Case, invoice: Invoice, surplus: Decimal, reason: str) -> None:
    """From what was paid last."""
    for payment in reversed(await invoices.payments(work, invoice, PaymentStatus.CAPTURED)):
        refund = await refunds.give_back(work, case, payment, surplus, reason) if surplus > 0 else None
        surplus -= refund.amount if refund else Decimal(0)
