"""camt.053, the statement of ISO 20022: versions .02 and .08, as banks really write them.

Only booked entries are money. A batch that the bank details is split; amounts, parties and communications
are where each version has them, and where that is empty, one level higher.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import cast

from lxml import etree
from lxml.etree import _Element

from loket.bank import statement
from loket.bank.statement import BadStatement, Movement, Statement

VERSIONS = ("02", "08")
_SPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
_START = re.compile(rb"(\xef\xbb\xbf)?\s*<")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,5})?")
_NO_REASON = "MS03"
"""Not specified: the bank gave none."""


def looks_so(content: bytes) -> bool:
    return _START.match(content) is not None or content.startswith(_UTF16)


def read(content: bytes) -> list[Statement]:
    """Raises `BadStatement`."""
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as fault:
        raise BadStatement(f"no XML: {fault}"[:200]) from fault
    if root.getroottree().docinfo.internalDTD is not None:
        raise BadStatement("a statement has no document type of its own")
    space = etree.QName(root).namespace or ""
    if not space.startswith(_SPACE) or space.removeprefix(_SPACE) not in VERSIONS:
        raise BadStatement(f"camt.053.001.02 and .08 are read, not {space.rpartition(':')[2][:40] or 'this'}")
    found = [_Node(one, space) for one in root.iterfind(f"{{{space}}}BkToCstmrStmt/{{{space}}}Stmt")]
    if not found:
        raise BadStatement("the file holds no statement")
    return [_statement(one) for one in found]


@dataclass(frozen=True)
class _Node:
    """An element, and how its children are found: `a/b|c/b` is the first path that leads anywhere."""

    element: _Element
    space: str

    def all(self, paths: str) -> list["_Node"]:
        for path in paths.split("|"):
            steps = "/".join(f"{{{self.space}}}{step}" for step in path.split("/"))
            found = self.element.findall(steps)
            if found:
                return [_Node(one, self.space) for one in found]
        return []

    def one(self, paths: str) -> "_Node | None":
        return next(iter(self.all(paths)), None)

    def text(self, paths: str) -> str:
        found = self.one(paths)
        return (found.element.text or "").strip() if found else ""

    def texts(self, paths: str) -> list[str]:
        return [(one.element.text or "").strip() for one in self.all(paths)]

    @property
    def line(self) -> int:
        return cast("int | None", self.element.sourceline) or 0

    def bad(self, why: str) -> BadStatement:
        return BadStatement(f"line {self.line}: {why}")


def _statement(node: _Node) -> Statement:
    iban, key = node.text("Acct/Id/IBAN"), statement.plain(node.text("Id"), statement.LONGEST_REFERENCE)
    if not iban or not key:
        raise node.bad("a statement without account (IBAN) or number")
    opening, starts_on = _balance(node, "OPBD", "PRCD")
    closing, ends_on = _balance(node, "CLBD")
    movements = tuple(
        movement
        for entry in node.all("Ntry")
        if entry.text("Sts/Cd|Sts") == "BOOK"
        for movement in _movements(entry, iban, ends_on)
        if movement.amount
    )
    return statement.checked(
        Statement(iban, key, starts_on, ends_on, opening, closing, movements, line=node.line)
    )


def _balance(node: _Node, *codes: str) -> tuple[Decimal, date]:
    """The balance of the first of these kinds that is given, and of which day it is."""
    known = {one.text("Tp/CdOrPrtry/Cd"): one for one in reversed(node.all("Bal"))}
    for code in codes:
        if code in known:
            return _amount(known[code]), _day(known[code], "Dt")
    raise node.bad(f"no balance {' or '.join(codes)}")


def _amount(node: _Node, path: str = "Amt", sign: str = "") -> Decimal:
    """In EUR, below zero for a debit; `sign` is that of the entry when the part has none."""
    found = node.one(path)
    text = node.text(path)
    if found is None or _AMOUNT.fullmatch(text) is None:
        raise node.bad("no amount")
    if found.element.get("Ccy") != "EUR":
        raise node.bad(f"an amount in {found.element.get('Ccy')}, not in EUR")
    direction = node.text("CdtDbtInd") or sign
    if direction not in {"CRDT", "DBIT"}:
        raise node.bad("neither credit nor debit")
    try:
        amount = statement.cents(Decimal(text))
    except BadStatement as fault:
        raise node.bad(str(fault)) from fault
    return amount if direction == "CRDT" else -amount


def _day(node: _Node, path: str) -> date:
    found = _maybe_day(node, path)
    if found is None:
        raise node.bad(f"no day in {path}")
    return found


def _maybe_day(node: _Node, path: str) -> date | None:
    text = node.text(f"{path}/Dt|{path}/DtTm")
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError as fault:
        raise node.bad(f"no such day: {text[:40]}") from fault


def _movements(entry: _Node, own: str, ends_on: date) -> Iterator[Movement]:
    booked_on = _maybe_day(entry, "BookgDt") or _maybe_day(entry, "ValDt") or ends_on
    whole = Movement(
        amount=_amount(entry),
        booked_on=booked_on,
        value_on=_maybe_day(entry, "ValDt") or booked_on,
        bank_reference=statement.plain(
            entry.text("AcctSvcrRef") or entry.text("NtryRef"), statement.LONGEST_REFERENCE
        ),
    )
    details = entry.all("NtryDtls/TxDtls")
    if len(details) < 2:
        yield _told(whole, entry, details[0] if details else entry, own)
        return
    parts = [_part_amount(one, entry.text("CdtDbtInd")) for one in details]
    amounts = [one for one in parts if one is not None]
    if len(amounts) == len(parts) and sum(amounts) == whole.amount:
        for one, amount in zip(details, amounts, strict=True):
            yield _told(replace(whole, amount=amount), entry, one, own)
        return
    # the bank does not say how much of it each is: a person has to
    said = [_told(whole, entry, one, own) for one in details]
    text = " / ".join(dict.fromkeys(one.remittance for one in said if one.remittance))
    yield replace(whole, remittance=statement.plain(text))


def _part_amount(detail: _Node, sign: str) -> Decimal | None:
    for path in ("Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/InstdAmt/Amt"):
        found = detail.one(path)
        if found is not None and found.element.get("Ccy") == "EUR":
            return _amount(detail, path, sign)
    return None


def _told(movement: Movement, entry: _Node, detail: _Node, own: str) -> Movement:
    """`movement` with what is said about it."""
    given = detail.texts("RmtInf/Strd/CdtrRefInf/Ref")
    free = statement.plain(" ".join(detail.texts("RmtInf/Ustrd")))
    more = [
        statement.plain(one)
        for one in (detail.text("AddtlTxInf"), entry.text("AddtlNtryInf"))
        if one and not free
    ]
    name, iban = _counterparty(detail, own, came=movement.amount > 0)
    is_back = detail.one("RtrInf") is not None
    return replace(
        movement,
        bank_reference=statement.plain(detail.text("Refs/AcctSvcrRef"), statement.LONGEST_REFERENCE)
        or movement.bank_reference,
        end_to_end_id=statement.end_to_end(detail.text("Refs/EndToEndId")),
        references=statement.structured(given) or statement.in_text(free, *more),
        remittance=free or statement.plain(" ".join(given)) or next(iter(more), ""),
        counterparty_name=name,
        counterparty_iban=iban,
        return_code=(detail.text("RtrInf/Rsn/Cd|RtrInf/Rsn/Prtry")[:35] or _NO_REASON) if is_back else "",
    )


def _counterparty(detail: _Node, own: str, *, came: bool) -> tuple[str, str]:
    """The other side. Of what came back the parties stand as they did when it went."""
    sides = ("Dbtr", "Cdtr") if came else ("Cdtr", "Dbtr")
    for side in sides:
        iban = detail.text(f"RltdPties/{side}Acct/Id/IBAN|RltdPties/{side}Acct/Id/Othr/Id")
        if iban != own:
            name = detail.text(f"RltdPties/{side}/Nm|RltdPties/{side}/Pty/Nm")
            return statement.plain(name, statement.LONGEST_NAME), statement.plain(iban, 34)
    return "", ""
