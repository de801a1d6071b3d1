"""Telling accounting of a journal entry, as our published contract wants it."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import chart, vouchers
from loket.app import Loket
from loket.errors import Declined
from loket.orders import net_lines
from loket.outcome import Done
from loket.records import (
    Case,
    CreditNote,
    Effect,
    EntryState,
    EntryType,
    Invoice,
    JournalEntry,
    JournalLine,
    Json,
    Payment,
    PaymentMethod,
    Refund,
)
from loket.settings import Ledger
from loket.systems import accounting
from loket.systems.contract import Address
from loket.work import Work

_METHOD = {
    PaymentMethod.ONLINE: accounting.PaymentMethod.ONLINE,
    PaymentMethod.TRANSFER: accounting.PaymentMethod.TRANSFER,
    PaymentMethod.COUNTER: accounting.PaymentMethod.CASH,
}


async def send(loket: Loket, effect: Effect) -> Done:
    """Have an entry booked; what the package answers is kept with it.

    Raises:
        Unavailable: not now.
        Declined: the package will not have it.
    """
    entry_id = UUID(effect.payload["entry_id"])
    async with loket.database.transaction() as session:
        entry = await session.get_one(JournalEntry, entry_id)
        lines = list(
            await session.scalars(
                select(JournalLine)
                .where(col(JournalLine.entry_id) == entry_id)
                .order_by(col(JournalLine.position))
            )
        )
        invoice = await session.get_one(Invoice, entry.invoice_id) if entry.invoice_id else None
        payment = await session.get(Payment, entry.subject_id) if entry.type is EntryType.PAYMENT else None
        if entry.type in (EntryType.REFUND, EntryType.REFUND_DUE):
            refund = await session.get_one(Refund, entry.subject_id)
            payment = await session.get_one(Payment, refund.payment_id)
        note = await session.get(CreditNote, entry.subject_id)
    if invoice is None or entry.state is EntryState.BOOKED:
        return Done({"skipped": "accounting has it"})
    try:
        wanted = _entry(entry, lines, invoice, note, payment, loket.settings.ledger)
    except ValueError as fault:
        raise Declined("accounting", f"not to be told by the contract: {fault}") from fault
    booked = await loket.systems.accounting.book(wanted, key=effect.id)

    async def write(work: Work) -> None:
        await vouchers.booked(work, entry_id, effect.id, booked.voucher or "")

    return Done({"voucher": booked.voucher}, write)


async def given_up(work: Work, case: Case, effect: Effect) -> None:
    """Accounting will not have it, or could not be reached for too long: the financial service must look."""
    said = await work.session.get_one(Effect, effect.id, populate_existing=True)  # of the last attempt too
    await vouchers.not_told(work, case, effect, said.last_error)


def _entry(
    entry: JournalEntry,
    lines: list[JournalLine],
    invoice: Invoice,
    note: CreditNote | None,
    payment: Payment | None,
    ledger: Ledger,
) -> accounting.Entry:
    documents = {EntryType.INVOICE: invoice.lines, EntryType.CREDIT_NOTE: note.lines if note else []}
    home: Json = invoice.buyer.get("address") or {}
    return accounting.Entry(
        id=entry.id,
        type=accounting.EntryType(entry.type),
        journal=entry.journal,
        number=entry.document_number,
        reference=invoice.reference,
        booked_on=entry.booked_on,
        due_on=invoice.due_on if entry.type is EntryType.INVOICE else None,
        amount=entry.amount,
        counterparty=accounting.Counterparty(
            name=invoice.buyer.get("name") or "onbekend",
            enterprise_number=invoice.buyer.get("enterprise_number"),
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
        invoice_number=None if entry.type is EntryType.INVOICE else invoice.number,
        lines=tuple(_line(line) for line in net_lines(documents.get(entry.type, []))),
        postings=tuple(_posting(line, ledger) for line in lines),
        payment_method=_METHOD[payment.method] if payment else None,
    )


def _country(name: str | None) -> str:
    """ISO 3166 in two letters; the National Register writes names, and of Belgium only in Dutch."""
    return name if name and len(name) == 2 else "BE"


def _line(line: dict[str, Any]) -> accounting.Line:
    return accounting.Line(
        description=line["description"][:140],
        quantity=line["quantity"],
        amount=Decimal(line["amount"]),
        budget_key=_wire(line["budget_key"]),
        vat=accounting.Vat(line["vat_category"], Decimal(line["vat_rate"]), Decimal(line["vat_amount"]))
        if "vat_category" in line
        else None,
    )


def _wire(key: Json) -> dict[str, str]:
    """A budget key with the contract's names for its parts."""
    return {_PARTS.get(name, name): value for name, value in key.items() if value}


_PARTS = {"policy_item": "policyItem"}


def _posting(line: JournalLine, ledger: Ledger) -> accounting.Posting:
    return accounting.Posting(
        account=accounting.Account(line.account),
        code=chart.code(ledger, line.account, line.budget_key),
        debit=line.debit or None,
        credit=line.credit or None,
        budget_key=_wire(line.budget_key) if line.budget_key else None,
        description=line.description or None,
    )
