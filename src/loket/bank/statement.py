"""A statement as every form has it: an account, two balances, and the movements between them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from loket.numbers import find_references, valid_structured_reference

LARGEST_BYTES = 20 * 1024 * 1024
LONGEST_TEXT = 1_000
"""Characters of a communication."""
LONGEST_NAME = 140
LONGEST_REFERENCE = 35
_CENT = Decimal("0.01")
_HIGHEST = Decimal(10) ** 10
_SAID = str.maketrans("", "", "+*/. -")


class BadStatement(ValueError):
    """A file that cannot be taken; the message says why, and on which line where that is known."""


class Form(StrEnum):
    CODA = "CODA"
    CAMT = "CAMT_053"


@dataclass(frozen=True)
class Movement:
    """Money that came (`amount` above zero, in EUR) or went."""

    amount: Decimal
    booked_on: date
    value_on: date
    bank_reference: str = ""
    end_to_end_id: str = ""
    """What the payer's bank was told: of our own transfers, what we called them."""
    references: tuple[str, ...] = ()
    """The valid structured communications, 12 bare digits each: as such, or else in the text."""
    remittance: str = ""
    counterparty_name: str = ""
    counterparty_iban: str = ""
    """Also an account number that is no IBAN, from far away."""
    return_code: str = ""
    """Why it came back (ISO 20022); empty when it did not."""


@dataclass(frozen=True)
class Statement:
    iban: str
    key: str
    """The bank's own number of it, among those of the account."""
    starts_on: date
    ends_on: date
    opening: Decimal
    closing: Decimal
    movements: tuple[Movement, ...]
    line: int = 0
    """Where it begins in the file."""


def checked(statement: Statement) -> Statement:
    """`statement`, whose balances agree with its movements.

    Raises:
        BadStatement: they do not.
    """
    found = statement.opening + sum((one.amount for one in statement.movements), Decimal(0))
    if found != statement.closing:
        raise BadStatement(
            f"statement {statement.key} (line {statement.line}): its movements lead from"
            f" {statement.opening} to {found}, not to the closing balance {statement.closing}"
        )
    return statement


def cents(amount: Decimal) -> Decimal:
    """`amount` in whole cents.

    Raises:
        BadStatement: it has parts of a cent, or is too large for any account of ours.
    """
    if not amount.is_finite() or abs(amount) >= _HIGHEST:
        raise BadStatement(f"no amount: {amount}")
    exact = amount.quantize(_CENT)
    if exact != amount:
        raise BadStatement(f"parts of a cent: {amount}")
    return exact


def plain(text: str | None, most: int = LONGEST_TEXT) -> str:
    """`text` on one line, without control characters or spaces to fill, at most so long."""
    if not text:
        return ""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:most].rstrip()


def structured(texts: Iterable[str]) -> tuple[str, ...]:
    """Those of what was given as a structured communication that are valid."""
    digits = (text.translate(_SAID) for text in texts)
    return tuple(dict.fromkeys(one for one in digits if valid_structured_reference(one)))


def in_text(*texts: str) -> tuple[str, ...]:
    """The structured communications in the first of the texts that holds any."""
    for text in texts:
        found = find_references(text)
        if found:
            return tuple(dict.fromkeys(found))
    return ()


def end_to_end(text: str | None) -> str:
    """What stands for nothing is nothing."""
    said = plain(text, LONGEST_REFERENCE)
    return "" if said.upper() in {"NOTPROVIDED", "NOT PROVIDED", "NONREF"} else said


def same_movements(one: Iterable[Movement], other: Iterable[Movement]) -> bool:
    """Whether these are the same movements of money, whatever is said about them."""
    return sorted((m.value_on, m.amount) for m in one) == sorted((m.value_on, m.amount) for m in other)
