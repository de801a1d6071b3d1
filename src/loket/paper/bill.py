"""What invoices and credit notes have in common on paper: lines, the VAT in them, and whom they are for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from loket.notation import amount
from loket.paper.bill_words import BILL_WORDS
from loket.paper.sheet import fit, grouped_number


@dataclass(frozen=True)
class BillLine:
    """What is charged or taken back, in EUR, VAT included; a discount has a negative `amount`."""

    description: str
    quantity: int
    unit_price: Decimal
    amount: Decimal


@dataclass(frozen=True)
class VatPart:
    """What is taxed at one rate (per cent), in EUR; a rate of 0 stands for what is exempt beside it."""

    rate: Decimal
    net: Decimal
    vat: Decimal


@dataclass(frozen=True)
class BillExtras:
    """What not every bill has: VAT, an organisation as buyer, and the same bill for machines (`ubl`)."""

    vat: tuple[VatPart, ...] = ()
    vat_number: str = ""
    """The municipality's; empty where none of it is within the scope of VAT."""
    buyer_name: str = ""
    buyer_number: str = ""
    """Ten bare digits; empty for a person."""
    ubl: bytes = b""


NOTHING_MORE = BillExtras()


def printed_lines(lines: Sequence[BillLine], language: str) -> list[dict[str, str]]:
    return [
        {
            "description": fit(line.description),
            "quantity": str(line.quantity),
            "unit_price": amount(line.unit_price, language),
            "amount": amount(line.amount, language),
        }
        for line in lines
    ]


def printed_extras(extras: BillExtras, language: str) -> dict[str, object]:
    words = BILL_WORDS[language]
    customer = ""
    if extras.buyer_number:
        number = grouped_number(extras.buyer_number)
        customer = words["customer"].format(name=fit(extras.buyer_name), number=number)
    return {
        "bill": words,
        "customer": customer,
        "vat": [_vat_row(part, words, language) for part in extras.vat],
        "vat_number": _vat_number(extras.vat_number),
        "ubl": extras.ubl.decode(),
    }


def _vat_row(part: VatPart, words: Mapping[str, str], language: str) -> dict[str, str]:
    rate = f"{part.rate.normalize():f}".replace(".", "." if language == "en" else ",")
    return {
        "rate": f"{rate}\N{NO-BREAK SPACE}%" if part.rate else words["vat_exempt"],
        "net": amount(part.net, language),
        "vat": amount(part.vat, language),
        "gross": amount(part.net + part.vat, language),
    }


def _vat_number(number: str) -> str:
    """BE 0207.500.123."""
    return f"{number[:2]}\N{NO-BREAK SPACE}{grouped_number(number[2:])}" if number else ""
