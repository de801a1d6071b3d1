"""An invoice on paper, with a code that a banking app reads."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from loket.notation import amount
from loket.numbers import printed_reference
from loket.paper.bill import NOTHING_MORE, BillExtras, BillLine, printed_extras, printed_lines
from loket.paper.epc import epc_qr_svg
from loket.paper.sheet import Addressee, compiled, fit, grouped, sheet, spoken, written_day
from loket.paper.words import WORDS
from loket.settings import Municipality


@dataclass(frozen=True)
class InvoicePaper:
    municipality: Municipality
    addressee: Addressee
    number: str
    issued_on: date
    due_on: date
    case_reference: str
    title: str
    lines: tuple[BillLine, ...]
    total: Decimal
    """EUR, what has to be paid. At 0 or less there is nothing to transfer, so no code to pay with."""
    vat_note: str
    structured_reference: str
    """12 bare digits."""
    remark: str
    contact_name: str
    language: str
    extras: BillExtras = NOTHING_MORE


async def invoice_pdf(paper: InvoicePaper) -> bytes:
    """The invoice, with a code that a banking app reads.

    Raises:
        ValueError: there are no lines, an amount is not in whole cents, or what is due cannot be transferred.
    """
    if not paper.lines:
        raise ValueError("an invoice without lines")
    return await compiled("invoice.typ", paper.issued_on, _invoice(paper))


def _invoice(paper: InvoicePaper) -> dict[str, object]:
    language = spoken(paper.language)
    words = WORDS[language]
    owed = paper.total > 0
    return {
        **sheet(paper.municipality, paper.addressee, paper.issued_on, paper.contact_name, language),
        "number": paper.number,
        "title": fit(paper.title),
        "facts": [
            (words["number"], paper.number),
            (words["issued_on"], written_day(paper.issued_on, language)),
            *([(words["due_on"], written_day(paper.due_on, language))] if owed else []),
            (words["case"], paper.case_reference),
        ],
        "lines": printed_lines(paper.lines, language),
        **printed_extras(paper.extras, language),
        "total": amount(paper.total, language),
        "vat_note": fit(paper.vat_note),
        "remark": fit(paper.remark),
        "payment": _payment(paper, language) if owed else None,
    }


def _payment(paper: InvoicePaper, language: str) -> dict[str, object]:
    municipality, words = paper.municipality, WORDS[language]
    reference = printed_reference(paper.structured_reference)
    total = amount(paper.total, language)
    return {
        "request": words["request"].format(amount=total, due=written_day(paper.due_on, language)),
        "facts": [
            (words["amount"], total),
            (words["account"], grouped(municipality.iban)),
            ("BIC", municipality.bic),
            (words["beneficiary"], fit(municipality.name)),
            (words["communication"], reference),
        ],
        "code": epc_qr_svg(
            name=municipality.name,
            iban=municipality.iban,
            bic=municipality.bic,
            amount=paper.total,
            reference=paper.structured_reference,
            line=municipality.reference_line,
        ),
        "code_says": words["code_says"].format(
            amount=total, name=municipality.name, iban=grouped(municipality.iban), reference=reference
        ),
    }
