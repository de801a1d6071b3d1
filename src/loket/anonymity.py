"""Whom words name, where they must name nobody: an agenda and its decisions are read by everybody.

What was published stays so, and a handler can put it otherwise; yet only what is sure counts. A family name
alone does where it stands as a name: with a capital within a sentence, or behind "mevrouw".
Whom Loket does not know by name, such as who else lives in the house, it cannot find.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loket import sepa

LONGEST_WINDOW = 9
"""Words that one name, or a street with its number, can have."""
_WORD = re.compile(r"\w+")
_NATIONAL_NUMBER = re.compile(r"(?<!\d)(?:\d{2}[ ./-]?){3}[ -]?\d{3}[ ./-]?\d{2}(?!\d)")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]+){1,9}", re.IGNORECASE)
_NUMBERS = re.compile(r"(?<!\w)\+?\d(?:[ ./()-]{0,3}\d)+")
# fmt: off
_BEFORE_A_NAME = frozenset((
    "mevrouw", "mevr", "mw", "mejuffrouw", "meneer", "mijnheer", "heer", "dhr", "familie", "gezin",
    "echtpaar", "weduwe", "weduwnaar", "aanvrager", "aanvraagster",
))
_OF_ACTS = frozenset((
    "artikel", "wet", "decreet", "besluit", "reglement", "college", "comite", "raad", "bureau",
    "burgemeester", "schepen", "schepenen", "voorzitter", "gemeente", "stad", "dienst", "vlaams", "vlaamse",
    "vlaanderen", "belgie", "koning", "kamer", "staat", "bijlage", "dossier", "toelage", "premie",
    "de", "den", "der", "het", "een", "van", "ten", "ter", "la", "le", "el",
))
# fmt: on
"""Words that acts write with a capital, and that are somebody's name too."""
_LONG_ENOUGH = 3
"""Letters of a family name that says something alone."""
_PHONE_DIGITS = 8
"""At the end of a telephone number: enough to be one subscriber's, within one country."""


@dataclass(frozen=True)
class Somebody:
    """What is known of a person. `address` has street and number."""

    given_name: str = ""
    family_name: str = ""
    address: str = ""
    email: str = ""
    phone: str = ""

    @property
    def name(self) -> str:
        return f"{self.given_name} {self.family_name}".strip()

    @classmethod
    def of(cls, person: Any) -> "Somebody":  # noqa: ANN401  # the record, or what is like it
        home: Mapping[str, str | None] = person.address or {}
        street, number = home.get("street") or "", home.get("number") or ""
        return cls(
            given_name=person.given_name,
            family_name=person.family_name,
            address=f"{street} {number}" if street and number else "",
            email=person.email or "",
            phone=person.phone or "",
        )


@dataclass(frozen=True)
class Named:
    """What names somebody: which kind of thing, and its first letter, for whoever must put it otherwise."""

    kind: str
    piece: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.piece})"


@dataclass(frozen=True)
class _Word:
    """A word, bare, and whether it stands as a name where it is written."""

    bare: str
    as_name: bool


def named_in(text: str, somebody: Somebody, *, ours: Iterable[str] = ()) -> Named | None:
    """What in `text` names `somebody`, or anybody by a number; `ours` are the municipality's own words."""
    text = unicodedata.normalize("NFKC", text)
    ours = [unicodedata.normalize("NFKC", one) for one in ours]
    words = list(_words(text))
    full = _full_names(somebody)
    for spoken, _ in _windows(words):
        if spoken in full:
            return Named("NAME", _masked(spoken))
    for found, kind in (
        (_address_in(words, somebody, ours), "ADDRESS"),
        (_family_name_in(words, somebody, ours), "FAMILY_NAME"),
        (somebody.email if somebody.email and somebody.email.casefold() in text.casefold() else "", "EMAIL"),
        (_phone_in(text, somebody), "PHONE"),
        (_national_number_in(text), "NATIONAL_NUMBER"),
        (_account_in(text, ours), "ACCOUNT"),
    ):
        if found:
            return Named(kind, _masked(found))
    return None


def _masked(piece: str) -> str:
    return f"{piece.strip()[:1].upper()}…"


def without_numbers(text: str) -> str:
    """`text` with national numbers and account numbers masked: of each what one knows one's own by."""
    text = _NATIONAL_NUMBER.sub(_number_masked, text)
    return _IBAN.sub(_account_masked, text)


def _number_masked(found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found.group())
    return f"{digits[:2]}.**.**-***.{digits[-2:]}" if _is_insz(digits) else found.group()


def _account_masked(found: re.Match[str]) -> str:
    account, words = _account_of(found.group())
    return sepa.masked_iban(account) + words if account else found.group()


# --- words ------------------------------------------------------------------------------------


def _words(text: str) -> Iterator[_Word]:
    before = ""
    end = 0
    for found in _WORD.finditer(text):
        word = found.group()
        begins = not before or bool(re.search(r"[.!?:;\n•]", text[end : found.start()]))
        titled = before in _BEFORE_A_NAME
        yield _Word(_bare(word), word[0].isupper() and (titled or not begins))
        before, end = _bare(word), found.end()


def _bare(text: str) -> str:
    """Letters and digits alone: no accents, capitals, hyphens or spaces."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in apart if one.isalnum())


def _windows(words: list[_Word]) -> Iterator[tuple[str, list[_Word]]]:
    """Each run of words, spoken as one."""
    for start in range(len(words)):
        spoken = ""
        for end in range(start, min(start + LONGEST_WINDOW, len(words))):
            spoken += words[end].bare
            yield spoken, words[start : end + 1]


def _full_names(somebody: Somebody) -> set[str]:
    """The names that somebody goes by: either order, each given name, and its first letter."""
    family, given = _bare(somebody.family_name), _bare(somebody.given_name)
    if not family or not given:
        return set()
    each = [bare for one in somebody.given_name.split() if (bare := _bare(one))]
    goes_by = {given, *each}
    if len(family) >= _LONG_ENOUGH:
        goes_by.add(each[0][0])
    return {one + family for one in goes_by} | {family + one for one in goes_by}


def _family_name_in(words: list[_Word], somebody: Somebody, ours: Iterable[str]) -> str:
    family = _bare(somebody.family_name)
    parts = {_bare(one) for one in _WORD.findall(somebody.family_name)}
    known = _OF_ACTS | {_bare(word) for one in ours for word in _WORD.findall(one)}
    if len(family) < _LONG_ENOUGH or parts <= known:
        return ""
    for spoken, run in _windows(words):
        if spoken == family and run[-1].as_name:
            return family
    return ""


def _address_in(words: list[_Word], somebody: Somebody, ours: Iterable[str]) -> str:
    home = _bare(somebody.address)
    if not home or any(home == _bare(one) for one in ours):
        return ""
    without = [one for one in words if one.bare not in ("nr", "nummer", "huisnummer")]
    return next((home for spoken, _ in _windows(without) if spoken == home), "")


# --- numbers ----------------------------------------------------------------------------------


def _phone_in(text: str, somebody: Somebody) -> str:
    end = re.sub(r"\D", "", somebody.phone)[-_PHONE_DIGITS:]
    told = (re.sub(r"\D", "", one) for one in _NUMBERS.findall(text))
    return end if len(end) == _PHONE_DIGITS and any(one.endswith(end) for one in told) else ""


def _national_number_in(text: str) -> str:
    return next((one for one in _NATIONAL_NUMBER.findall(text) if _is_insz(re.sub(r"\D", "", one))), "")


def _is_insz(digits: str) -> bool:
    """Eleven digits of which the last two check the others, for a birth before or from 2000 on."""
    return int(digits[9:]) in (97 - int(digits[:9]) % 97, 97 - int("2" + digits[:9]) % 97)


def _account_in(text: str, ours: Iterable[str]) -> str:
    own = {_bare(one) for one in ours}
    accounts = (_account_of(one)[0] for one in _IBAN.findall(text))
    return next((one for one in accounts if one and _bare(one) not in own), "")


def _account_of(found: str) -> tuple[str, str]:
    """The account that this begins with, and what follows it: words may."""
    parts = found.split(" ")
    for end in range(1, len(parts) + 1):
        account = "".join(parts[:end])
        if _is_iban(account):
            return account, "".join(f" {one}" for one in parts[end:])
    return "", ""


def _is_iban(text: str) -> bool:
    try:
        sepa.check_iban(text)
    except ValueError:
        return False
    return True
