"""Papers of a case: made once, kept, and found again."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from loket import bills, paper
from loket.app import Loket
from loket.lifecycle import EventType
from loket.records import (
    Case,
    CreditNote,
    Document,
    DocumentContent,
    Event,
    Invoice,
    Payment,
    Person,
    Refund,
)

PDF, XML = "application/pdf", "application/xml"
Billed = Invoice | CreditNote


@dataclass(frozen=True)
class _Made:
    """A bill as PDF with its UBL inside; `peppol` where an organisation gets the UBL by itself too."""

    pdf: bytes
    ubl: bytes
    peppol: bool


async def invoice_content(loket: Loket, invoice_id: UUID) -> tuple[Invoice, bytes]:
    """An invoice with its PDF; made now when nobody asked for it before. The same bytes every time."""
    async with loket.database.transaction() as session:
        invoice = await session.get_one(Invoice, invoice_id)
        kept = await _content(session, invoice)
        bill = await _bill(loket, session, invoice)
    if kept is None:
        kept = await _make_invoice(loket, bill)
    return invoice, kept


async def invoice_document(loket: Loket, invoice_id: UUID) -> UUID:
    """The id of the document that holds the invoice's PDF."""
    await invoice_content(loket, invoice_id)
    return await _document_id(loket, Invoice, invoice_id)


async def credit_note_content(loket: Loket, credit_note_id: UUID) -> tuple[CreditNote, bytes]:
    """A credit note with its PDF, as `invoice_content`."""
    async with loket.database.transaction() as session:
        note = await session.get_one(CreditNote, credit_note_id)
        kept = await _content(session, note)
        bill = await _bill(loket, session, await session.get_one(Invoice, note.invoice_id))
        back = await _money_back(session, note)
        last = await _is_last(session, note)
    if kept is None:
        kept = await _make_credit_note(loket, bills.Taken(bill, note, back, last))
    return note, kept


async def credit_note_document(loket: Loket, credit_note_id: UUID) -> UUID:
    """The id of the document that holds the credit note's PDF."""
    await credit_note_content(loket, credit_note_id)
    return await _document_id(loket, CreditNote, credit_note_id)


def payment_code(loket: Loket, invoice: Invoice, amount: Decimal) -> bytes:
    """The EPC QR to pay `amount` (EUR) of an invoice, as PNG."""
    municipality = loket.settings.municipality
    return paper.epc_qr_png(
        name=municipality.name,
        iban=municipality.iban,
        bic=municipality.bic,
        amount=amount,
        reference=invoice.reference,
        line=municipality.reference_line,
    )


# --- made --------------------------------------------------------------------------------------


async def _make_invoice(loket: Loket, bill: bills.Bill) -> bytes:
    municipality, invoice = loket.settings.municipality, bill.invoice
    ubl = paper.invoice_ubl(municipality, bills.claim(bill))
    pdf = await paper.invoice_pdf(bills.invoice_paper(municipality, bill, ubl))
    made = _Made(pdf, ubl, "enterprise_number" in invoice.buyer)
    await _keep(loket, Invoice, invoice.id, made, bill.case, "INVOICE", f"factuur-{invoice.number}")
    return pdf


async def _make_credit_note(loket: Loket, taken: bills.Taken) -> bytes:
    municipality, note = loket.settings.municipality, taken.note
    # what only takes costs back takes nothing of the invoice back, so there is nothing for a machine to read
    ubl = paper.credit_note_ubl(municipality, bills.correction(taken)) if note.lines else b""
    pdf = await paper.credit_note_pdf(bills.credit_note_paper(municipality, taken, ubl))
    made = _Made(pdf, ubl, bool(ubl) and "enterprise_number" in taken.bill.invoice.buyer)
    await _keep(loket, CreditNote, note.id, made, taken.bill.case, "CREDIT_NOTE", f"creditnota-{note.number}")
    return pdf


# --- kept --------------------------------------------------------------------------------------


async def _keep(
    loket: Loket, kind: type[Billed], id: UUID, made: _Made, case: Case, name: str, filename: str
) -> None:
    async with loket.database.transaction() as session:
        billed: Billed = await session.get_one(kind, id, with_for_update={"key_share": True})
        if billed.document_id is not None:
            return
        billed.document_id = await _store(session, case, name, f"{filename}.pdf", PDF, made.pdf)
        if made.peppol:
            billed.ubl_document_id = await _store(
                session, case, f"{name}_UBL", f"{filename}.xml", XML, made.ubl
            )


async def _store(
    session: AsyncSession, case: Case, kind: str, filename: str, media_type: str, content: bytes
) -> UUID:
    now = datetime.now(UTC)
    document = Document(
        person_id=case.person_id,
        case_id=case.id,
        kind=kind,
        filename=filename,
        media_type=media_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=now,
        stored_at=now,
    )
    session.add(document)
    await session.flush()
    session.add(DocumentContent(document_id=document.id, content=content))
    return document.id


# --- read --------------------------------------------------------------------------------------


async def _bill(loket: Loket, session: AsyncSession, invoice: Invoice) -> bills.Bill:
    case = await session.get_one(Case, invoice.case_id)
    return bills.Bill(
        invoice=invoice,
        case=case,
        person=await session.get_one(Person, invoice.person_id),
        definition=loket.procedures[case.procedure_key, case.procedure_version],
    )


async def _content(session: AsyncSession, billed: Billed) -> bytes | None:
    if billed.document_id is None:
        return None
    return await session.scalar(
        select(col(DocumentContent.content)).where(col(DocumentContent.document_id) == billed.document_id)
    )


async def _document_id(loket: Loket, kind: type[Billed], id: UUID) -> UUID:
    async with loket.database.transaction() as session:
        billed: Billed = await session.get_one(kind, id)
    assert billed.document_id is not None
    return billed.document_id


async def _is_last(session: AsyncSession, note: CreditNote) -> bool:
    """Whether no other credit note of the invoice came after it."""
    last: Any = await session.scalar(
        select(col(CreditNote.id))
        .where(col(CreditNote.invoice_id) == note.invoice_id)
        .order_by(col(CreditNote.year).desc(), col(CreditNote.sequence).desc())
        .limit(1)
    )
    return bool(last == note.id)


async def _money_back(session: AsyncSession, note: CreditNote) -> bills.MoneyBack:
    """What goes back because of it: what became due in the same moment (events of one work share it)."""
    credited = (
        select(col(Event.occurred_at))
        .where(
            col(Event.case_id) == note.case_id,
            col(Event.type) == EventType.INVOICE_CREDITED,
            col(Event.data)["number"].astext == note.number,
        )
        .scalar_subquery()
    )
    due = await session.scalars(
        select(col(Event.data)["refund_id"].astext).where(
            col(Event.case_id) == note.case_id,
            col(Event.type) == EventType.REFUND_DUE,
            col(Event.occurred_at) == credited,
        )
    )
    refunds = await session.execute(
        select(Refund, col(Payment.method))
        .join(Payment, col(Payment.id) == col(Refund.payment_id))
        .where(col(Refund.id).in_([UUID(one) for one in due if one]))
    )
    rows = refunds.all()
    amount = sum((refund.amount for refund, _ in rows), Decimal(0))
    return bills.MoneyBack(amount, frozenset(method for _, method in rows))
