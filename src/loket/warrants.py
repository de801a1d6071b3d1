"""What the financial director gets of an invoice that nobody paid, to issue a warrant (dwangbevel).

A warrant names the debtor, the regulation, what the debt is of, its amount, the day of the invoice and that
of the registered letter with the notice of default, which must come before it: Decreet over het lokaal
bestuur, artikel 177, 2°.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import filing, invoices, paper
from loket.app import Loket
from loket.definition import Definition
from loket.lifecycle import PaymentStatus
from loket.notation import amount
from loket.numbers import printed_reference
from loket.outcome import Done
from loket.particulars import address_line
from loket.records import (
    Case,
    CreditNote,
    Dunning,
    DunningKind,
    Effect,
    Invoice,
    Letter,
    LetterStatus,
    LetterWay,
    Payment,
)
from loket.terms import BRUSSELS
from loket.work import Work, the_system

DIRECTOR = "Aan de financieel directeur"
LEGAL_BASIS = "Decreet over het lokaal bestuur, artikel 177, 2°"
_KINDS = {
    DunningKind.REMINDER: "Herinnering",
    DunningKind.DEFAULT_NOTICE: "Ingebrekestelling",
    DunningKind.HANDED_OVER: "Overgedragen",
    DunningKind.WRITTEN_OFF: "Buiten invordering gesteld",
}
_WAYS = {
    LetterWay.EBOX: "in de eBox",
    LetterWay.REGISTERED: "met een aangetekende brief",
    LetterWay.NORMAL: "met een gewone brief",
}


@dataclass(frozen=True)
class _File:
    """All of one invoice, oldest first."""

    invoice: Invoice
    case: Case
    definition: Definition
    steps: Sequence[tuple[Dunning, Letter | None]]
    payments: Sequence[Payment]
    notes: Sequence[CreditNote]
    today: date


async def make(loket: Loket, effect: Effect) -> Done:
    """Put on paper what a warrant needs, and keep it with the case."""
    dunning_id = UUID(effect.payload["dunning_id"])
    async with loket.work(the_system()) as work:
        found = await _read(work, dunning_id)
    content = await paper.letter_pdf(_paper(loket, found))
    name = f"invordering-{found.invoice.number}.pdf"

    async def write(work: Work) -> None:
        step = await work.session.get_one(Dunning, dunning_id, with_for_update={"key_share": True})
        if step.document_id is None:
            document = await filing.keep(work, "WARRANT", name, content, case_id=step.case_id)
            step.document_id = document.id

    return Done({"bytes": len(content)}, write)


async def _read(work: Work, dunning_id: UUID) -> _File:
    step = await work.session.get_one(Dunning, dunning_id)
    invoice = await work.session.get_one(Invoice, step.invoice_id)
    case = await work.session.get_one(Case, invoice.case_id)
    steps = await work.session.execute(
        select(Dunning, Letter)
        .outerjoin(Letter, col(Letter.id) == col(Dunning.letter_id))
        .where(col(Dunning.invoice_id) == invoice.id)
        .order_by(col(Dunning.taken_on), col(Dunning.id))
    )
    notes = await work.session.scalars(
        select(CreditNote).where(col(CreditNote.invoice_id) == invoice.id).order_by(col(CreditNote.sequence))
    )
    return _File(
        invoice=invoice,
        case=case,
        definition=work.definition(case),
        steps=[(one, letter) for one, letter in steps],
        payments=await invoices.payments(work, invoice, PaymentStatus.CAPTURED),
        notes=list(notes),
        today=work.today,
    )


# --- in words ---------------------------------------------------------------------------------


def _paper(loket: Loket, found: _File) -> paper.LetterPaper:
    municipality = loket.settings.municipality
    return paper.LetterPaper(
        municipality=municipality,
        addressee=paper.Addressee(
            DIRECTOR,
            (
                municipality.name,
                municipality.street,
                f"{municipality.postal_code} {municipality.city}",
            ),
        ),
        dated_on=found.today,
        reference=found.case.reference,
        subject=f"Over te nemen voor invordering: factuur {found.invoice.number}",
        paragraphs=tuple(_paragraphs(found)),
        appeal="",
        signatories=(),
        contact_name=found.definition.department.nl,
        language="nl",
    )


def _paragraphs(found: _File) -> Iterator[str]:
    invoice, definition = found.invoice, found.definition
    yield (
        f"Deze factuur is niet (volledig) betaald. Wij dragen ze aan u over. {LEGAL_BASIS}, laat een "
        "dwangbevel toe als de schuld zeker, vaststaand en opeisbaar is, niet betwist wordt, en de "
        "schuldenaar met een aangetekende brief in gebreke werd gesteld."
    )
    yield "Schuldenaar"
    yield _list(_debtor(invoice))
    yield "Schuld"
    yield _list(
        (
            f"Waarvoor: {definition.title.nl}, dossier {found.case.reference}",
            *(f"Reglement: {one}" for one in definition.legal_basis),
            f"Factuur {invoice.number} van {_day(invoice.issued_on)}, te betalen op {_day(invoice.due_on)}",
            *(f"{line['description']}: {_eur(Decimal(line['amount']))}" for line in invoice.lines),
            f"Gestructureerde mededeling: {printed_reference(invoice.reference)}",
        )
    )
    yield "Wat er gebeurde"
    yield _list(_happened(found))
    yield "Te vorderen"
    yield _list(_sums(found))
    basis = definition.payment.costs_legal_basis if definition.payment else None
    if invoice.costs and basis:
        yield f"De kosten steunen op: {basis}"


def _debtor(invoice: Invoice) -> Iterator[str]:
    yield f"Naam: {invoice.buyer.get('name') or 'onbekend'}"
    if number := invoice.buyer.get("enterprise_number"):
        yield f"Ondernemingsnummer: {number}"
    yield f"Adres: {address_line(invoice.buyer.get('address') or {}) or 'niet bekend'}"


def _happened(found: _File) -> list[str]:
    """Each step with its proof, each payment and each credit note, by day."""
    told = [(one.taken_on, _step(one, letter)) for one, letter in found.steps]
    told += [
        (one.value_on or found.today, f"Betaling ontvangen: {_eur(one.amount)}") for one in found.payments
    ]
    told += [
        (one.issued_on, f"Creditnota {one.number}: {_eur(one.amount)} ({one.reason})") for one in found.notes
    ]
    return [f"{_day(on)}: {line}" for on, line in sorted(told, key=lambda one: one[0])]


def _step(step: Dunning, letter: Letter | None) -> str:
    line = _KINDS[step.kind] + (f" {step.number}" if step.kind is DunningKind.REMINDER else "")
    if letter is not None:
        line += f" {_WAYS[letter.way]}, {_proof(letter)}"
    return line + (f"; aangerekende kosten {_eur(step.cost)}" if step.cost else "")


def _proof(letter: Letter) -> str:
    if letter.sent_at is None:
        failed = letter.status is LetterStatus.FAILED
        return f"niet verzonden: {letter.reason}" if failed else "nog zonder bewijs van verzending"
    proof = f"verzonden op {_day(letter.sent_at.astimezone(BRUSSELS).date())}"
    if letter.registered_number:
        proof += f", nummer {letter.registered_number}"
    if letter.ebox_id:
        proof += f", bericht {letter.ebox_id}"
    return proof


def _sums(found: _File) -> Iterator[str]:
    invoice = found.invoice
    yield f"Factuur: {_eur(invoice.amount)}"
    for label, part in (
        ("Kosten van herinneringen en ingebrekestelling", invoice.costs),
        ("Gecrediteerd", -invoice.credited),
        ("Betaald", -invoice.paid),
        ("Buiten invordering gesteld", -invoice.written_off),
    ):
        if part:
            yield f"{label}: {_eur(part)}"
    yield f"Openstaand: {_eur(invoices.outstanding(invoice))}"


def _list(lines: Sequence[str] | Iterator[str]) -> str:
    """What people typed stays on its own line: none of it looks like a sum or a step of ours."""
    return "\n".join(f"- {' '.join(one.split())}" for one in lines)


def _eur(value: Decimal) -> str:
    return amount(value, "nl")


def _day(on: date) -> str:
    return f"{on:%d/%m/%Y}"
