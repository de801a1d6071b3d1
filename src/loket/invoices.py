"""What a citizen owes: the invoice (factuur), its number, and what is open on it."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket import bookkeeping, cases, forms, orders
from loket.definition import Payment as Terms
from loket.errors import ErrorCode, Refused
from loket.lifecycle import INVOICE, Action, InvoiceStatus, PartAction, PaymentStatus, Stage, TimerKind
from loket.numbers import structured_reference
from loket.orders import net_lines, with_vat
from loket.records import (
    Application,
    Case,
    EffectKind,
    EntryType,
    Invoice,
    Journal,
    Json,
    LedgerAccount,
    Payment,
    Person,
)
from loket.terms import BRUSSELS, end_of, morning_of
from loket.work import Work

AWAITED = frozenset({InvoiceStatus.ISSUED, InvoiceStatus.PARTLY_PAID})
"""The case waits for its money still; of others it was paid, or another has it in hand."""
REFERENCES = "OGM"
"""Counts structured references: invoices of two journals may have one number, but are paid on one account."""


async def issue(work: Work, case: Case) -> None:
    """Ask for the money. Where nothing is due, or this round was paid before, the stage passes."""
    settings = work.definition(case).payment
    await orders.weigh_again(work, case)
    invoice = await live(work, case)
    if settings is None or total(case) == 0 or (invoice and invoice.status not in AWAITED):
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
    await plan(work, case, invoice, settings)


async def plan(
    work: Work, case: Case, invoice: Invoice, settings: Terms, *, reminded: int = 0, slip: int = 0
) -> None:
    """Set the deadlines of what is still to be done to have it paid, after so many reminders.

    `slip`: so many days later than the definition says, because what went before was late too.
    """

    def at(after_days: int) -> datetime:
        return morning_of(invoice.due_on + timedelta(days=after_days + slip))

    await work.arm(TimerKind.PAYMENT_END, at(settings.unpaid_after_days), case=case)
    if settings.default_notice is not None:
        await work.arm(TimerKind.DEFAULT_NOTICE, at(settings.default_notice.after_days), case=case)
    if reminded < len(settings.reminders):
        due_at = at(settings.reminders[reminded].after_days)
        await work.arm(TimerKind.PAYMENT_REMINDER, due_at, case=case, number=reminded + 1)


async def end_dunning(work: Work, case: Case) -> None:
    """Nothing is awaited any more: no reminder goes out, and nothing ends for want of money."""
    await work.disarm(TimerKind.PAYMENT_END, TimerKind.PAYMENT_REMINDER, TimerKind.DEFAULT_NOTICE, case=case)


async def live(work: Work, case: Case) -> Invoice | None:
    """The invoice of the case that is not credited."""
    found = await work.session.scalars(
        select(Invoice).where(col(Invoice.case_id) == case.id, col(Invoice.status) != InvoiceStatus.CREDITED)
    )
    return found.one_or_none()


def total(case: Case) -> Decimal:
    return sum((Decimal(line["amount"]) for line in case.facts.get("order", [])), Decimal(0))


def outstanding(invoice: Invoice) -> Decimal:
    """What is open on it, in EUR."""
    return invoice.amount + invoice.costs - invoice.credited - invoice.paid - invoice.written_off


def is_open(invoice: Invoice) -> bool:
    """Whether money is still due on it; also on one that was handed over when its case ended."""
    return INVOICE.find(invoice.status, PartAction.PAY_FULL) is not None


async def get_locked(work: Work, invoice_id: UUID, *, expected_version: int | None = None) -> Invoice:
    """The invoice, with its case locked.

    Raises:
        Refused: NOT_FOUND as `cases.get` does; VERSION_CONFLICT when it changed since `expected_version`.
    """
    invoice = await work.session.get(Invoice, invoice_id)
    if invoice is None:
        raise Refused(ErrorCode.NOT_FOUND)
    await cases.get(work, invoice.case_id)
    await work.session.refresh(invoice, with_for_update={"key_share": True})
    if expected_version is not None and expected_version != invoice.version:
        raise Refused(ErrorCode.VERSION_CONFLICT, current=invoice.version, extra={"current": invoice.version})
    return invoice


async def payments(work: Work, invoice: Invoice, status: PaymentStatus) -> list[Payment]:
    """Those of an invoice in this state, oldest first."""
    found = await work.session.scalars(
        select(Payment)
        .where(col(Payment.invoice_id) == invoice.id, col(Payment.status) == status)
        .order_by(col(Payment.started_at), col(Payment.id))
    )
    return list(found)


async def next_number(work: Work, journal: str) -> tuple[int, str]:
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


async def _new_invoice(work: Work, case: Case, journal: str, due_on: date) -> Invoice:
    await work.session.flush()
    sequence, number = await next_number(work, journal)
    of_all_journals, _ = await next_number(work, REFERENCES)
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
        buyer=await _buyer(work, case),
        lines=with_vat(case.facts["order"]),
        issued_on=work.today,
        due_on=due_on,
    )
    work.session.add(invoice)
    await work.session.flush()
    debt = bookkeeping.Posting(LedgerAccount.RECEIVABLE, invoice.amount)
    await bookkeeping.book(
        work,
        case,
        EntryType.INVOICE,
        invoice.id,
        [debt, *bookkeeping.of_lines(net_lines(invoice.lines))],
        document_number=number,
        invoice=invoice,
    )
    await work.leave(EffectKind.INVOICE_PDF, {"invoice_id": str(invoice.id)}, case=case)
    return invoice


async def _buyer(work: Work, case: Case) -> Json:
    """Whom the invoice is for, as known today: it stays as it was issued."""
    person = await work.session.get_one(Person, case.person_id)
    name = f"{person.given_name} {person.family_name}".strip()
    buyer = {"name": name or "onbekend", "address": person.address or {}, "language": person.language}
    return buyer | await _organisation(work, case)


async def _organisation(work: Work, case: Case) -> Json:
    """The organisation that buys, where the answers name one by its number."""
    payment = work.definition(case).payment
    if payment is None or payment.buyer is None:
        return {}
    answers = (await work.session.get_one(Application, case.application_id)).answers
    number = forms.enterprise_number(str(forms.answered(answers, payment.buyer.enterprise_number) or ""))
    if number is None:
        return {}
    address = forms.answered(answers, payment.buyer.address) if payment.buyer.address else None
    return {
        "name": str(forms.answered(answers, payment.buyer.name)).strip(),
        "enterprise_number": number,
        **({"address": address} if address else {}),
    }


def _reference_number(year: int, sequence: int) -> int:
    """Ten digits for the structured reference: two of the year, eight of the invoice among all of it."""
    return (year % 100) * 10**8 + sequence
