"""What an invoice or a credit note says, on paper and for machines: out of what was kept when it was issued.

Titles and reasons come from the definition that the case stays on, so that they are in the buyer's language;
the UBL speaks Dutch, the language of the administration. No I/O.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from loket import invoices, paper, pricing
from loket.definition import Definition, Product, VatCategory
from loket.lifecycle import InvoiceStatus
from loket.orders import with_less, with_vat
from loket.records import Case, CreditNote, Invoice, Json, PaymentMethod, Person
from loket.settings import Municipality

DUTCH = "nl"
_WHY = {
    "withdrawn by the applicant": "reason_withdrawn",
    "cancelled": "reason_cancelled",
    "declared inadmissible": "reason_inadmissible",
    "rejected": "reason_rejected",
}
"""The ends of a case for which its invoice is taken back; a person writes a reason in words."""


@dataclass(frozen=True)
class Bill:
    """An invoice with what it belongs to."""

    invoice: Invoice
    case: Case
    person: Person
    definition: Definition

    @property
    def buyer(self) -> Mapping[str, Any]:
        """As it was issued; an invoice of before that was kept has the person as known now."""
        known = f"{self.person.given_name} {self.person.family_name}".strip()
        now = {"name": known, "address": self.person.address or {}, "language": self.person.language}
        return now | self.invoice.buyer


@dataclass(frozen=True)
class MoneyBack:
    """What goes back (EUR), and how it had come."""

    amount: Decimal
    methods: frozenset[PaymentMethod]


@dataclass(frozen=True)
class Taken:
    """A credit note, with the invoice that it takes back and what goes back. `last`: none came after it."""

    bill: Bill
    note: CreditNote
    back: MoneyBack
    last: bool


# --- on paper ----------------------------------------------------------------------------------


def invoice_paper(municipality: Municipality, bill: Bill, ubl: bytes) -> paper.InvoicePaper:
    invoice, definition, language = bill.invoice, bill.definition, bill.buyer["language"]
    remark = definition.payment.remark if definition.payment else None
    lines = with_vat(invoice.lines)
    return paper.InvoicePaper(
        municipality=municipality,
        addressee=_addressee(bill.buyer),
        number=invoice.number,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        case_reference=bill.case.reference,
        title=definition.title.get(language),
        lines=_printed(definition, lines, language),
        total=invoice.amount,
        vat_note=_vat_note(definition, lines, language),
        structured_reference=invoice.reference,
        remark=remark.get(language) if remark else "",
        contact_name=definition.department.get(language),
        language=language,
        extras=_extras(municipality, bill, lines, ubl),
    )


def credit_note_paper(municipality: Municipality, taken: Taken, ubl: bytes) -> paper.CreditNotePaper:
    bill, note = taken.bill, taken.note
    definition, language = bill.definition, bill.buyer["language"]
    lines = with_vat(note.lines)
    whole = taken.last and bill.invoice.status is InvoiceStatus.CREDITED
    alone = note.amount >= bill.invoice.credited
    return paper.CreditNotePaper(
        municipality=municipality,
        addressee=_addressee(bill.buyer),
        number=note.number,
        issued_on=note.issued_on,
        invoice_number=bill.invoice.number,
        invoice_issued_on=bill.invoice.issued_on,
        case_reference=bill.case.reference,
        title=definition.title.get(language),
        lines=_printed(definition, lines, language),
        costs=note.amount - sum((Decimal(line["amount"]) for line in lines), Decimal(0)),
        total=note.amount,
        vat_note=_vat_note(definition, lines, language),
        extent=(paper.Extent.WHOLE if alone else paper.Extent.REST) if whole else paper.Extent.PART,
        reason=_reason(note.reason, language),
        refunded=min(taken.back.amount, note.amount),
        goes_back=_way(taken.back.methods),
        settled=invoices.outstanding(bill.invoice) <= 0,
        contact_name=definition.department.get(language),
        language=language,
        extras=_extras(municipality, bill, lines, ubl),
    )


def _addressee(buyer: Mapping[str, Any]) -> paper.Addressee:
    home: Json = buyer["address"]
    box = f" bus {home['box']}" if home.get("box") else ""
    street = f"{home.get('street') or ''} {home.get('number') or ''}{box}".strip()
    town = f"{home.get('postal_code') or ''} {home.get('city') or ''}".strip()
    return paper.Addressee(buyer["name"], tuple(one for one in (street, town) if one))


def _printed(definition: Definition, lines: Sequence[Json], language: str) -> tuple[paper.BillLine, ...]:
    return tuple(
        paper.BillLine(
            description=_title(definition, line, language),
            quantity=line["quantity"],
            unit_price=Decimal(line["unit_amount"]),
            amount=Decimal(line["amount"]),
        )
        for line in lines
    )


def _title(definition: Definition, line: Json, language: str) -> str:
    product = _product(definition, line)
    if product is None:
        return str(line["description"])
    if line["kind"] == pricing.LineKind.DISCOUNT:
        return pricing.discount_text(product).get(language)
    named = next((one for one in product.options if one.key == line["option"]), product)
    if line["kind"] == pricing.LineKind.FREE:
        exemptions = definition.catalogue.free if definition.catalogue else ()
        exemption = next(one for one in exemptions if one.key == line["free"])
        return pricing.free_text(exemption, named.title).get(language)
    return named.title.get(language)


def _product(definition: Definition, line: Json) -> Product | None:
    return definition.catalogue.find(line["product"]) if definition.catalogue else None


def _vat_note(definition: Definition, lines: Sequence[Json], language: str) -> str:
    """Why there is no VAT, each reason once."""
    notes: dict[str, None] = {}
    for line in lines:
        product = _product(definition, line)
        reason = product.vat.exemption_reason if product else None
        note = reason.get(language) if reason and line.get("vat_note") else line.get("vat_note")
        if note:
            notes[note.rstrip(".")] = None
    return f"{'. '.join(notes)}." if notes else ""


def _extras(municipality: Municipality, bill: Bill, lines: Sequence[Json], ubl: bytes) -> paper.BillExtras:
    taxed = any(line["vat_category"] == VatCategory.STANDARD for line in lines)
    in_scope = any(line["vat_category"] != VatCategory.OUTSIDE_SCOPE for line in lines)
    return paper.BillExtras(
        vat=_vat_parts(lines) if taxed else (),
        vat_number=municipality.vat_number if in_scope else "",
        buyer_name=bill.buyer["name"],
        buyer_number=bill.buyer.get("enterprise_number") or "",
        ubl=ubl,
    )


def _vat_parts(lines: Sequence[Json]) -> tuple[paper.VatPart, ...]:
    parts: dict[Decimal, tuple[Decimal, Decimal]] = {}
    for line in lines:
        rate, vat = Decimal(line["vat_rate"]), Decimal(line["vat_amount"])
        net_before, vat_before = parts.get(rate, (Decimal(0), Decimal(0)))
        parts[rate] = net_before + Decimal(line["amount"]) - vat, vat_before + vat
    return tuple(paper.VatPart(rate, *parts[rate]) for rate in sorted(parts, reverse=True))


def _reason(reason: str, language: str) -> str:
    words = paper.BILL_WORDS.get(language) or paper.BILL_WORDS[DUTCH]
    return words[_WHY[reason]] if reason in _WHY else reason


def _way(methods: frozenset[PaymentMethod]) -> paper.GoesBack:
    return paper.GoesBack(next(iter(methods))) if len(methods) == 1 else paper.GoesBack.MIXED


# --- for machines ------------------------------------------------------------------------------


def claim(bill: Bill) -> paper.Claim:
    invoice = bill.invoice
    return paper.Claim(
        number=invoice.number,
        issued_on=invoice.issued_on,
        case_reference=bill.case.reference,
        buyer=_buyer(bill.buyer),
        lines=_of_machines(invoice.lines),
        due_on=invoice.due_on,
        structured_reference=invoice.reference,
    )


def correction(taken: Taken) -> paper.Correction:
    bill, note = taken.bill, taken.note
    return paper.Correction(
        number=note.number,
        issued_on=note.issued_on,
        case_reference=bill.case.reference,
        buyer=_buyer(bill.buyer),
        lines=_of_machines(note.lines),
        invoice_number=bill.invoice.number,
        invoice_issued_on=bill.invoice.issued_on,
        reason=_reason(note.reason, DUTCH),
    )


def _buyer(buyer: Mapping[str, Any]) -> paper.Buyer:
    home: Json = buyer["address"]
    return paper.Buyer(
        name=buyer["name"],
        street=f"{home.get('street') or ''} {home.get('number') or ''}".strip(),
        box=home.get("box") or "",
        postal_code=home.get("postal_code") or "",
        city=home.get("city") or "",
        enterprise_number=buyer.get("enterprise_number"),
    )


def _of_machines(lines: Sequence[Json]) -> tuple[paper.UblLine, ...]:
    """What is taken off belongs to the line that it is taken off."""
    return tuple(_ubl_line(line, less) for line, less in with_less(with_vat(lines)))


def _ubl_line(line: Json, discounts: Sequence[Json]) -> paper.UblLine:
    discount = -sum((Decimal(one["amount"]) for one in discounts), Decimal(0))
    vat = sum((Decimal(one["vat_amount"]) for one in (line, *discounts)), Decimal(0))
    return paper.UblLine(
        description=line["description"],
        quantity=line["quantity"],
        amount=Decimal(line["amount"]) - discount,
        vat_amount=vat,
        category=VatCategory(line["vat_category"]),
        rate=Decimal(line["vat_rate"]),
        reason=line.get("vat_note") or "",
        reason_code=line.get("vat_code"),
        discount=discount,
        discount_reason=", ".join(one["description"] for one in discounts),
    )
