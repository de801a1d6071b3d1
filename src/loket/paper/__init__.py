"""What the municipality puts on paper: invoices and letters, as PDF that is archived and read aloud.

Every PDF is PDF/A-3a (kept for decades) and PDF/UA-1 (read by a screen reader) at once, and the same
paper gives the same bytes on every run: its hash can stand for it. The templates only lay out; what
they print arrives as data and is never read as markup.
"""

import asyncio
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import typst

from loket.numbers import printed_reference
from loket.paper.epc import epc_qr_payload, epc_qr_png, epc_qr_svg
from loket.paper.words import WORDS
from loket.settings import Municipality
from loket.wording import amount, day, phone

__all__ = [
    "Addressee",
    "InvoiceLine",
    "InvoicePaper",
    "LetterPaper",
    "Signatory",
    "epc_qr_payload",
    "epc_qr_png",
    "epc_qr_svg",
    "invoice_pdf",
    "letter_pdf",
]

_HERE = Path(__file__).parent
_FONTS = typst.Fonts(
    include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(_HERE / "fonts")]
)
_STANDARDS: list[Any] = ["a-3a", "ua-1"]
_LONGEST_WORD = 24
"""Characters after which a word may be broken: nothing that a person typed runs off the paper."""
_BREAK = "\N{ZERO WIDTH SPACE}"
_ENDLESS = re.compile(rf"[^\s-]{{{_LONGEST_WORD + 1},}}")
_UNSEEN = {"Cc", "Cf", "Zl", "Zp"}
_UNDRAWN = re.compile(
    "[^\\n -~\xa0-\u0148\u014a-\u01c3\u01c5-\u031e\u038e-\u03a1\u03a3-\u03e1\u03f0-\u049d\u04a0-\u04ff"
    "\u1e00-\u1eff\u2010-\u2027\u202f-\u205f\u20a0-\u20bf\u2116\u2122\u2190-\u2199\u2212\u2260\u2264\u2265\u25a1]"
)
"""What the font has no shape for: Latin, Greek and Cyrillic it has. One such character in a name would
keep the whole paper from being made, since an archived PDF may not show what it does not name."""


@dataclass(frozen=True)
class Addressee:
    """Who reads it: stands in the window of the envelope, `lines` under the name."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class InvoiceLine:
    """What is charged, in EUR; a discount has a negative `amount`."""

    description: str
    quantity: int
    unit_price: Decimal
    amount: Decimal


@dataclass(frozen=True)
class InvoicePaper:
    municipality: Municipality
    addressee: Addressee
    number: str
    issued_on: date
    due_on: date
    case_reference: str
    title: str
    lines: tuple[InvoiceLine, ...]
    total: Decimal
    """EUR, what has to be paid. At 0 or less there is nothing to transfer, so no code to pay with."""
    vat_note: str
    structured_reference: str
    """12 bare digits."""
    remark: str
    contact_name: str
    language: str


@dataclass(frozen=True)
class Signatory:
    name: str
    role: str


@dataclass(frozen=True)
class LetterPaper:
    """A receipt, a decision, any letter. `appeal` is how to object to it; empty where nobody can."""

    municipality: Municipality
    addressee: Addressee
    dated_on: date
    reference: str
    subject: str
    paragraphs: tuple[str, ...]
    appeal: str
    signatories: tuple[Signatory, ...]
    contact_name: str
    language: str


async def invoice_pdf(paper: InvoicePaper) -> bytes:
    """The invoice, with a code that a banking app reads.

    Raises:
        ValueError: there are no lines, an amount is not in whole cents, or what is due cannot be transferred.
    """
    if not paper.lines:
        raise ValueError("an invoice without lines")
    return await _compile("invoice.typ", paper.issued_on, _invoice(paper))


async def letter_pdf(paper: LetterPaper) -> bytes:
    """The letter, with how to appeal and who signed under it."""
    return await _compile("letter.typ", paper.dated_on, _letter(paper))


async def _compile(template: str, on: date, data: Mapping[str, object]) -> bytes:
    at = datetime.combine(on, time(), UTC)
    return await asyncio.to_thread(
        typst.compile,
        str(_HERE / template),
        root=str(_HERE),
        font_paths=_FONTS,
        sys_inputs={"data": orjson.dumps(data).decode()},
        pdf_standards=_STANDARDS,
        timestamp=at,
    )


def _invoice(paper: InvoicePaper) -> dict[str, object]:
    language = _spoken(paper.language)
    words = WORDS[language]
    owed = paper.total > 0
    return {
        **_sheet(paper.municipality, paper.addressee, paper.issued_on, paper.contact_name, language),
        "number": paper.number,
        "title": _fit(paper.title),
        "facts": [
            (words["number"], paper.number),
            (words["issued_on"], _date(paper.issued_on, language)),
            *([(words["due_on"], _date(paper.due_on, language))] if owed else []),
            (words["case"], paper.case_reference),
        ],
        "lines": [
            {
                "description": _fit(line.description),
                "quantity": str(line.quantity),
                "unit_price": amount(line.unit_price, language),
                "amount": amount(line.amount, language),
            }
            for line in paper.lines
        ],
        "total": amount(paper.total, language),
        "vat_note": _fit(paper.vat_note),
        "remark": _fit(paper.remark),
        "payment": _payment(paper, language) if owed else None,
    }


def _payment(paper: InvoicePaper, language: str) -> dict[str, object]:
    municipality, words = paper.municipality, WORDS[language]
    reference = printed_reference(paper.structured_reference)
    total = amount(paper.total, language)
    return {
        "request": words["request"].format(amount=total, due=_date(paper.due_on, language)),
        "facts": [
            (words["amount"], total),
            (words["account"], _groups(municipality.iban)),
            ("BIC", municipality.bic),
            (words["beneficiary"], _fit(municipality.name)),
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
            amount=total, name=municipality.name, iban=_groups(municipality.iban), reference=reference
        ),
    }


def _letter(paper: LetterPaper) -> dict[str, object]:
    language = _spoken(paper.language)
    words = WORDS[language]
    return {
        **_sheet(paper.municipality, paper.addressee, paper.dated_on, paper.contact_name, language),
        "subject": _fit(paper.subject),
        "facts": [
            (words["date"], _date(paper.dated_on, language)),
            (words["reference"], _fit(paper.reference)),
        ],
        "paragraphs": [_fit(one) for one in paper.paragraphs],
        "appeal": _fit(paper.appeal),
        "signatories": [{"name": _fit(one.name), "role": _fit(one.role)} for one in paper.signatories],
    }


def _sheet(
    municipality: Municipality, addressee: Addressee, on: date, contact_name: str, language: str
) -> dict[str, object]:
    """What every paper of the municipality carries."""
    return {
        "language": language,
        "words": WORDS[language],
        "on": (on.year, on.month, on.day),
        "municipality": {
            "name": _fit(municipality.name),
            "address": f"{municipality.street}, {municipality.postal_code} {municipality.city}",
            "kbo": _kbo(municipality.kbo),
            "iban": _groups(municipality.iban),
        },
        "sender": [
            _fit(one)
            for one in (
                contact_name,
                municipality.street,
                f"{municipality.postal_code} {municipality.city}",
                phone(municipality.phone),
                municipality.email,
                municipality.website.removeprefix("https://").removeprefix("http://").rstrip("/"),
            )
            if one.strip()
        ],
        "addressee": [_fit(one) for one in (addressee.name, *addressee.lines) if one.strip()],
    }


def _spoken(language: str) -> str:
    return language if language in WORDS else "nl"


def _date(on: date, language: str) -> str:
    """27 november 2026, without the day of the week."""
    return day(on, language).partition(" ")[2]


def _groups(iban: str) -> str:
    """BE71 0961 2345 6769, and no line breaks in between."""
    bare = "".join(iban.split())
    return "\N{NO-BREAK SPACE}".join(bare[at : at + 4] for at in range(0, len(bare), 4))


def _kbo(number: str) -> str:
    """0207.500.123."""
    return f"{number[:4]}.{number[4:7]}.{number[7:]}"


def _fit(text: str) -> str:
    """Text that the font can draw, with places where an endless word may be broken."""
    composed = unicodedata.normalize("NFC", text)
    seen = (one for one in composed if one == "\n" or unicodedata.category(one) not in _UNSEEN)
    drawn = _UNDRAWN.sub("\N{WHITE SQUARE}", "".join(seen).strip())
    return _ENDLESS.sub(_breakable, drawn)


def _breakable(word: re.Match[str]) -> str:
    letters = word.group()
    return _BREAK.join(
        letters[at : at + _LONGEST_WORD // 2] for at in range(0, len(letters), _LONGEST_WORD // 2)
    )
