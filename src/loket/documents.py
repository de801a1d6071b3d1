"""Papers of a case: made once, kept, and found again."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import paper
from loket.app import Loket
from loket.notices import address_line
from loket.records import Case, Document, DocumentContent, Invoice, Person


@dataclass(frozen=True)
class _Invoiced:
    invoice: Invoice
    case: Case
    person: Person
    content: bytes | None


async def invoice_content(loket: Loket, invoice_id: UUID) -> tuple[Invoice, bytes]:
    """An invoice with its PDF; made now when nobody asked for it before. The same bytes every time."""
    found = await _read(loket, invoice_id)
    if found.content is not None:
        return found.invoice, found.content
    content = await paper.invoice_pdf(_paper(loket, found))
    await _keep(loket, found, content)
    return found.invoice, content


async def invoice_document(loket: Loket, invoice_id: UUID) -> UUID:
    """The id of the document that holds the invoice's PDF."""
    await invoice_content(loket, invoice_id)
    found = await _read(loket, invoice_id)
    assert found.invoice.document_id is not None
    return found.invoice.document_id


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


def _paper(loket: Loket, found: _Invoiced) -> paper.InvoicePaper:
    invoice, case, person = found.invoice, found.case, found.person
    definition = loket.procedures[case.procedure_key, case.procedure_version]
    home = person.address or {}
    notes = dict.fromkeys(line["vat_note"] for line in invoice.lines if line.get("vat_note"))
    remark = definition.payment.remark if definition.payment else None
    return paper.InvoicePaper(
        municipality=loket.settings.municipality,
        addressee=paper.Addressee(
            name=f"{person.given_name} {person.family_name}".strip(),
            lines=tuple(one for one in address_line(home).split(", ") if one),
        ),
        number=invoice.number,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        case_reference=case.reference,
        title=definition.title.get(person.language),
        lines=tuple(
            paper.InvoiceLine(
                description=line["description"],
                quantity=line["quantity"],
                unit_price=Decimal(line["unit_amount"]),
                amount=Decimal(line["amount"]),
            )
            for line in invoice.lines
        ),
        total=invoice.amount,
        vat_note=" ".join(notes),
        structured_reference=invoice.reference,
        remark=remark.get(person.language) if remark else "",
        contact_name=definition.department.get(person.language),
        language=person.language,
    )


async def _keep(loket: Loket, found: _Invoiced, content: bytes) -> None:
    async with loket.database.transaction() as session:
        invoice = await session.get_one(Invoice, found.invoice.id, with_for_update={"key_share": True})
        if invoice.document_id is not None:
            return
        document = Document(
            person_id=invoice.person_id,
            case_id=invoice.case_id,
            kind="INVOICE",
            filename=f"factuur-{invoice.number}.pdf",
            media_type="application/pdf",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            created_at=datetime.now(UTC),
            stored_at=datetime.now(UTC),
        )
        session.add(document)
        await session.flush()
        session.add(DocumentContent(document_id=document.id, content=content))
        invoice.document_id = document.id


async def _read(loket: Loket, invoice_id: UUID) -> _Invoiced:
    async with loket.database.transaction() as session:
        invoice = await session.get_one(Invoice, invoice_id)
        content = None
        if invoice.document_id is not None:
            found = await session.scalars(
                select(col(DocumentContent.content)).where(
                    col(DocumentContent.document_id) == invoice.document_id
                )
            )
            content = found.one_or_none()
        return _Invoiced(
            invoice,
            await session.get_one(Case, invoice.case_id),
            await session.get_one(Person, invoice.person_id),
            content,
        )
