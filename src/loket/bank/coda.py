"""CODA 2, the form of Belgian banks (Febelfin): lines of 128 characters, read by `febelfin-coda`.

What that library asserts is checked here again: assertions are gone under `python -O`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby

import coda  # type: ignore[import-untyped]  # it ships no types

from loket.bank import statement
from loket.bank.statement import BadStatement, Movement, Statement

WIDTH = 128
_FIRST = re.compile(rb"0000[0 ][0-9]{6}")
_FAULTS = (ValueError, AssertionError, ArithmeticError, LookupError, AttributeError, TypeError)
"""How the library says that something is not as it should be."""
_TOTAL_OF_DETAILS = {"1", "2"}
"""Kinds of movement that stand for the several in their details."""
_DETAIL_OF_DETAIL = "9"
"""Below a detail that is a total itself; the library does not take it."""
_BACK = re.compile("[1-5][A-Z]{2}[A-Z0-9]{2}")
"""A rejection, return, refund, reversal or cancellation, and its reason."""
_UNKNOWN_DAY = "000000"


def looks_so(content: bytes) -> bool:
    return _FIRST.match(content) is not None


def read(content: bytes) -> list[Statement]:
    """Raises `BadStatement`."""
    if b"\x00" in content:
        raise BadStatement("not CODA: it holds what is no text")
    lines = _Lines(content.decode("windows-1252", errors="replace"))
    try:
        found = coda.CODA(lines).statements
        lines.close()
        return [_checked(one, frame) for one, frame in zip(found, lines.frames, strict=True)]
    except BadStatement:
        raise
    except _FAULTS as fault:
        raise BadStatement(f"line {lines.number}: {_said(fault)}") from fault


@dataclass
class _Frame:
    """What our own count says of one statement."""

    line: int
    records: int = 0
    account: str = ""
    is_open: bool = True
    deeper: set[str] = field(default_factory=set)
    """The numbers of its details of details."""


class _Lines:
    """The lines for the library, with what it does not look at checked."""

    def __init__(self, text: str) -> None:
        self._lines = text.rstrip("\x1a\r\n ").split("\n")
        self.number = 0
        self.frames: list[_Frame] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number += 1
            whole = line.rstrip("\r")
            if whole.strip():
                if len(whole) > WIDTH:
                    raise self._bad(f"{len(whole)} characters, not {WIDTH}")
                yield self._looked_at(whole.ljust(WIDTH))

    def close(self) -> None:
        """Raises `BadStatement` when the last statement has no end."""
        if not self.frames or self.frames[-1].is_open:
            raise self._bad("the file ends in the middle of a statement")

    def _looked_at(self, line: str) -> str:
        kind = line[0]
        if kind == "0":
            if self.frames and self.frames[-1].is_open:
                raise self._bad("a statement begins before the one above has ended")
            self.frames.append(_Frame(self.number))
            return line
        if not self.frames or not self.frames[-1].is_open:
            raise self._bad("this belongs to no statement")
        frame = self.frames[-1]
        match kind:
            case "1":
                frame.account = line[5:42]
            case "8":
                if line[4:41] != frame.account:
                    raise self._bad("the closing balance is of another account")
            case "2" if line[1] == "1":
                line = _movement(line, frame)
            case "9":
                frame.is_open = False
            case "2" | "3" | "4":
                pass
            case _:
                raise self._bad(f"no record has number {kind!r}")
        frame.records += kind in "1238"
        return line

    def _bad(self, why: str) -> BadStatement:
        return BadStatement(f"line {self.number}: {why}")


def _movement(line: str, frame: _Frame) -> str:
    """A movement as the library takes it: with a day of value, and no detail below a detail."""
    if line[47:53] == _UNKNOWN_DAY:
        line = line[:47] + line[115:121] + line[53:]
    if line[53] == _DETAIL_OF_DETAIL:
        frame.deeper.add(line[2:10])
        line = line[:53] + "8" + line[54:]
    return line


def _said(fault: Exception) -> str:
    if isinstance(fault, AssertionError):
        return "balances, totals or numbers of the statement do not agree"
    return f"not CODA: {fault}"[:200]


def _checked(found: coda.Statement, frame: _Frame) -> Statement:
    at = f"statement at line {frame.line}"
    if found.version != 2 or found.old_balance is None or found.number_records is None:
        raise BadStatement(f"{at}: no opening balance, no end, or another version than 2")
    came = sum((one.amount for one in found.moves if one.amount > 0), Decimal(0))
    went = -sum((one.amount for one in found.moves if one.amount < 0), Decimal(0))
    if (came, went) != (found.total_credit, found.total_debit):
        raise BadStatement(f"{at}: its movements add up to other totals than its last line says")
    if found.number_records != frame.records:
        raise BadStatement(f"{at}: {frame.records} records, not {found.number_records}")
    if found.account_currency.strip() not in {"EUR", ""}:
        raise BadStatement(f"{at}: an account in {found.account_currency}, not in EUR")
    parts = [part for one in found.moves for part in _parts(one, frame)]
    return statement.checked(
        Statement(
            iban=_iban(found.account),
            key=_key(found),
            starts_on=found.old_balance_date,
            ends_on=found.new_balance_date,
            opening=statement.cents(found.old_balance),
            closing=statement.cents(found.new_balance),
            movements=tuple(_movement_of(one) for one in parts if one.amount),
            line=frame.line,
        )
    )


def _key(found: coda.Statement) -> str:
    """Year and number: the bank counts an account's statements from 1 January. Without a number the day."""
    number = found.coda_sequence.strip()
    day = found.new_balance_date
    return f"{day.year}-{number}" if number.strip("0") else day.isoformat()


def _parts(move: coda.Move, frame: _Frame) -> list[coda.Move]:
    """The movements that one stands for: a total is split where its details are all there."""
    for one in move.moves:
        if one.sequence != move.sequence:
            raise BadStatement(f"statement at line {frame.line}: detail {one} follows movement {move}")
    if move.transaction_type not in _TOTAL_OF_DETAILS:
        return [move]
    details: list[coda.Move] = []
    for is_deeper, group in groupby(move.moves, key=lambda one: str(one) in frame.deeper):
        found = list(group)
        if is_deeper and details and _sum(found) == details[-1].amount:
            details[-1:] = found
        elif not is_deeper:
            details += found
    return details if _sum(details) == move.amount else [move]


def _sum(moves: list[coda.Move]) -> Decimal:
    return sum((one.amount for one in moves), Decimal(0))


def _movement_of(move: coda.Move) -> Movement:
    said = statement.plain(move.communication)
    is_structured = move.communication_type in {"101", "102"}
    return Movement(
        amount=statement.cents(move.amount),
        booked_on=move.entry_date,
        value_on=move.value_date,
        bank_reference=statement.plain(move.bank_reference, statement.LONGEST_REFERENCE),
        end_to_end_id=statement.end_to_end(move.customer_reference),
        references=statement.structured([said]) if is_structured else statement.in_text(said),
        remittance=said,
        counterparty_name=statement.plain(move.counterparty_name, statement.LONGEST_NAME),
        counterparty_iban=_iban(move.counterparty_account or ""),
        return_code=move.r_reason
        if _BACK.fullmatch((move.r_transaction or "") + (move.r_reason or ""))
        else "",
    )


def _iban(account: str) -> str:
    """A Belgian number of before IBAN as an IBAN; behind a number may stand its currency."""
    number = (account.split() or [""])[0]
    if not number.strip("0"):
        return ""
    if re.fullmatch("[0-9]{12}", number) is None:
        return number[:34]
    return f"BE{98 - int(number + '111400') % 97:02d}{number}"
