"""The sheet that every paper of the municipality is printed on: archived, read aloud, the same every time."""

import asyncio
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import orjson
import typst

from loket.notation import day, phone
from loket.paper.words import WORDS
from loket.settings import Municipality

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


async def compiled(template: str, on: date, data: Mapping[str, object]) -> bytes:
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


def sheet(
    municipality: Municipality, addressee: Addressee, on: date, contact_name: str, language: str
) -> dict[str, object]:
    """What every paper of the municipality carries."""
    return {
        "language": language,
        "words": WORDS[language],
        "on": (on.year, on.month, on.day),
        "municipality": {
            "name": fit(municipality.name),
            "address": f"{municipality.street}, {municipality.postal_code} {municipality.city}",
            "kbo": grouped_number(municipality.kbo),
            "iban": grouped(municipality.iban),
        },
        "sender": [
            fit(one)
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
        "addressee": [fit(one) for one in (addressee.name, *addressee.lines) if one.strip()],
    }


def spoken(language: str) -> str:
    return language if language in WORDS else "nl"


def written_day(on: date, language: str) -> str:
    """27 november 2026, without the day of the week."""
    return day(on, language).partition(" ")[2]


def grouped(iban: str) -> str:
    """BE71 0961 2345 6769, and no line breaks in between."""
    bare = "".join(iban.split())
    return "\N{NO-BREAK SPACE}".join(bare[at : at + 4] for at in range(0, len(bare), 4))


def grouped_number(number: str) -> str:
    """An enterprise number as people write it: 0207.500.123."""
    return f"{number[:4]}.{number[4:7]}.{number[7:]}"


def fit(text: str) -> str:
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
