"""A credit note on paper: what is taken back of which invoice, why, and what becomes of the money."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from loket.notation import amount
from loket.paper.bill import NOTHING_MORE, BillExtras, BillLine, printed_extras, printed_lines
from loket.paper.bill_words import BILL_WORDS
from loket.paper.sheet import Addressee, compiled, fit, sheet, spoken, written_day
from loket.paper.words import WORDS
from loket.settings import Municipality


class Extent(StrEnum):
    """How much of the invoice is taken back."""

    WHOLE = "whole"
    PART = "part"
    REST = "rest"
    """All that earlier credit notes left."""


class GoesBack(StrEnum):
    """Over which way money goes back."""

    ONLINE = "ONLINE"
    TRANSFER = "TRANSFER"
    COUNTER = "COUNTER"
    MIXED = "MIXED"


@dataclass(frozen=True)
class CreditNotePaper:
    """Amounts in EUR. `costs` are of reminders, taken back too; `total` is all of it."""

    municipality: Municipality
    addressee: Addressee
    number: str
    issued_on: date
    invoice_number: str
    invoice_issued_on: date
    case_reference: str
    title: str
    lines: tuple[BillLine, ...]
    costs: Decimal
    total: Decimal
    vat_note: str
    extent: Extent
    reason: str
    refunded: Decimal
    """What of it was paid, and goes back."""
    goes_back: GoesBack
    settled: bool
    """Whether nothing is due on the invoice any more."""
    contact_name: str
    language: str
    extras: BillExtras = NOTHING_MORE


async def credit_note_pdf(paper: CreditNotePaper) -> bytes:
    """The credit note, as it is kept and read aloud.

    Raises:
        ValueError: nothing is taken back, or more goes back than that; an amount is not in whole cents.
    """
    if paper.total <= 0 or not 0 <= paper.refunded <= paper.total:
        raise ValueError("a credit note takes something back, and gives no more back than that")
    return await compiled("credit_note.typ", paper.issued_on, _credit_note(paper))


def _credit_note(paper: CreditNotePaper) -> dict[str, object]:
    language = spoken(paper.language)
    words, own = WORDS[language], BILL_WORDS[language]
    lines = list(paper.lines)
    if paper.costs:
        lines.append(BillLine(own["credit_costs"], 1, paper.costs, paper.costs))
    day = written_day(paper.invoice_issued_on, language)
    of_a_business = bool(paper.extras.buyer_number) and any(part.vat for part in paper.extras.vat)
    notes = (paper.vat_note, own["credit_vat_back"] if of_a_business else "")
    return {
        **sheet(paper.municipality, paper.addressee, paper.issued_on, paper.contact_name, language),
        "number": paper.number,
        "title": fit(paper.title),
        "facts": [
            (own["credit_number"], paper.number),
            (own["credit_date"], written_day(paper.issued_on, language)),
            (own["credit_of"], paper.invoice_number),
            (words["case"], paper.case_reference),
        ],
        "said": own[f"credit_{paper.extent}"].format(number=paper.invoice_number, date=day),
        "reason": fit(paper.reason),
        "lines": printed_lines(lines, language),
        "total": amount(paper.total, language),
        "vat_note": fit(" ".join(one for one in notes if one)),
        "settled": _settled(paper, language),
        **printed_extras(paper.extras, language),
    }


def _settled(paper: CreditNotePaper, language: str) -> list[str]:
    own = BILL_WORDS[language]
    told: list[str] = []
    less = paper.total - paper.refunded
    if paper.refunded:
        told.append(own[f"refund_{paper.goes_back}"].format(amount=amount(paper.refunded, language)))
    if paper.settled:
        told.append(own["credit_settled"])
    elif less:
        told.append(own["credit_less"].format(amount=amount(less, language)))
    return told
