"""Statements as a Belgian bank writes them: CODA 2.6, camt.053.001.02 and camt.053.001.08."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from xml.sax.saxutils import escape

BIC = "GKCCBEBB"
FORMS = ("coda", "camt02", "camt08")


@dataclass(frozen=True)
class Line:
    """A movement: above zero it came. `reference`: 12 digits, as a structured communication.

    `details` are the movements of which a batch is the total.
    """

    amount: Decimal
    booked_on: date
    value_on: date
    name: str = ""
    iban: str = ""
    reference: str = ""
    text: str = ""
    bank_reference: str = ""
    end_to_end_id: str = ""
    return_code: str = ""
    details: tuple["Line", ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A statement. `number`: counted from 1 January."""

    iban: str
    number: int
    opens_on: date
    closes_on: date
    opening: Decimal
    lines: tuple[Line, ...]
    holder: str = "GEMEENTE LINDEBEKE"

    @property
    def closing(self) -> Decimal:
        return self.opening + sum((one.amount for one in self.lines), Decimal(0))


def written(form: str, sheets: Sequence[Sheet]) -> bytes:
    """A file of that form (`coda`, `camt02` or `camt08`) with these statements."""
    if form == "coda":
        return coda(sheets)
    return camt(sheets, form.removeprefix("camt"))


# --- CODA ------------------------------------------------------------------------------------------


def coda(sheets: Sequence[Sheet]) -> bytes:
    """Lines of 128 characters in windows-1252. Raises `ValueError` beyond number 999."""
    return "".join(f"{line}\r\n" for one in sheets for line in _coda(one)).encode("windows-1252", "replace")


def _coda(sheet: Sheet) -> Iterator[str]:
    if not 0 < sheet.number < 1000:
        raise ValueError("CODA numbers the statements of a year from 1 to 999")
    number = f"{sheet.number:03}"
    account = f"{sheet.iban:<34}EUR"
    yield _filled("0", (5, _day(sheet.closes_on)), (11, "539"), (14, "05"), (24, f"CODA{number}"),
                  (34, sheet.holder[:26]), (60, BIC), (71, "00207500123"), (83, "00000"), (127, "2"),
                  begin="00000")  # fmt: skip
    yield _filled("1", (1, "2"), (2, number), (5, account), (42, _signed(sheet.opening)),
                  (58, _day(sheet.opens_on)), (64, sheet.holder[:26]), (90, "Zichtrekening"),
                  (125, number))  # fmt: skip
    records = 2
    for sequence, line in enumerate(sheet.lines, 1):
        for record in _movement(sequence, line, number):
            records += 1
            yield record
    yield _filled("8", (1, number), (4, account), (41, _signed(sheet.closing)), (57, _day(sheet.closes_on)),
                  (127, "0"))  # fmt: skip
    debit = -sum((one.amount for one in sheet.lines if one.amount < 0), Decimal(0))
    credit = sum((one.amount for one in sheet.lines if one.amount > 0), Decimal(0))
    yield _filled("9", (16, f"{records:06}"), (22, _thousandths(debit, 15)), (37, _thousandths(credit, 15)),
                  (127, "2"))  # fmt: skip


def _movement(sequence: int, line: Line, number: str) -> Iterator[str]:
    kind = "1" if line.details else "0"
    yield from _records(f"{sequence:04}0000", kind, line, number)
    for place, detail in enumerate(line.details, 1):
        yield from _records(f"{sequence:04}{place:04}", "5", detail, number)


def _records(place: str, kind: str, line: Line, number: str) -> Iterator[str]:
    said = f"1101{line.reference}" if line.reference else f"0{line.text}"
    code = f"{kind}01{'50' if line.amount > 0 else '01'}000"
    third = bool(line.name or line.iban or len(said) > 107)
    second = third or bool(line.end_to_end_id or line.return_code or len(said) > 54)
    returned = f"2{line.return_code}" if line.return_code else ""
    yield _filled("2", (1, "1"), (2, place), (10, line.bank_reference[:21]), (31, _signed(line.amount)),
                  (47, _day(line.value_on)), (53, code), (61, said[:54]), (115, _day(line.booked_on)),
                  (121, number), (124, "0"), (125, "01"[second]), (127, "0"))  # fmt: skip
    if second:
        yield _filled("2", (1, "2"), (2, place), (10, said[54:107]), (63, line.end_to_end_id[:35]),
                      (112, returned), (125, "01"[third]), (127, "0"))  # fmt: skip
    if third:
        account = f"{line.iban:<34}EUR" if line.iban else ""
        yield _filled("2", (1, "3"), (2, place), (10, account), (47, line.name[:35]), (82, said[107:150]),
                      (125, "0"), (127, "0"))  # fmt: skip


def _filled(kind: str, *fields: tuple[int, str], begin: str = "") -> str:
    row = list((begin or kind).ljust(128))
    for at, value in fields:
        row[at : at + len(value)] = value
    return "".join(row)


def _day(day: date) -> str:
    return f"{day:%d%m%y}"


def _signed(amount: Decimal) -> str:
    return ("1" if amount < 0 else "0") + _thousandths(abs(amount), 15)


def _thousandths(amount: Decimal, digits: int) -> str:
    return f"{int(amount * 1000):0{digits}}"


# --- camt.053 --------------------------------------------------------------------------------------


def camt(sheets: Sequence[Sheet], version: str) -> bytes:
    """ISO 20022 in UTF-8. `version`: `02` or `08`."""
    first = sheets[0]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>\n'
        f"<GrpHdr><MsgId>S{first.closes_on:%Y%m%d}-{first.number}</MsgId>{_created(first)}</GrpHdr>\n"
        f"{''.join(_statement(one, version) for one in sheets)}</BkToCstmrStmt></Document>\n"
    ).encode()


def _statement(sheet: Sheet, version: str) -> str:
    balances = _balance("OPBD", sheet.opening, sheet.opens_on) + _balance(
        "CLBD", sheet.closing, sheet.closes_on
    )
    return (
        f"<Stmt><Id>{sheet.closes_on.year}-{sheet.number:05}</Id><ElctrncSeqNb>{sheet.number}</ElctrncSeqNb>"
        f"{_created(sheet)}<Acct><Id><IBAN>{sheet.iban}</IBAN></Id><Ccy>EUR</Ccy></Acct>{balances}\n"
        f"{''.join(_entry(one, version) for one in sheet.lines)}</Stmt>\n"
    )


def _created(sheet: Sheet) -> str:
    return f"<CreDtTm>{sheet.closes_on}T22:00:00+01:00</CreDtTm>"


def _balance(code: str, amount: Decimal, day: date) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount(amount)}{_way(amount)}"
        f"<Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def _amount(amount: Decimal) -> str:
    return f'<Amt Ccy="EUR">{abs(amount):.2f}</Amt>'


def _way(amount: Decimal) -> str:
    return f"<CdtDbtInd>{'DBIT' if amount < 0 else 'CRDT'}</CdtDbtInd>"


def _entry(line: Line, version: str) -> str:
    status = "BOOK" if version == "02" else "<Cd>BOOK</Cd>"
    reference = f"<AcctSvcrRef>{escape(line.bank_reference)}</AcctSvcrRef>" if line.bank_reference else ""
    family = ("RCDT", "ESCT") if line.amount > 0 else ("ICDT", "ESCT")
    details = "".join(_detail(one, version, split=bool(line.details)) for one in line.details or (line,))
    return (
        f"<Ntry>{_amount(line.amount)}{_way(line.amount)}<Sts>{status}</Sts>"
        f"<BookgDt><Dt>{line.booked_on}</Dt></BookgDt><ValDt><Dt>{line.value_on}</Dt></ValDt>{reference}"
        f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family[0]}</Cd><SubFmlyCd>{family[1]}</SubFmlyCd></Fmly></Domn>"
        f"</BkTxCd><NtryDtls>{details}</NtryDtls></Ntry>\n"
    )


def _detail(line: Line, version: str, *, split: bool) -> str:
    own = f"<AcctSvcrRef>{escape(line.bank_reference)}</AcctSvcrRef>" if split and line.bank_reference else ""
    refs = f"<Refs>{own}<EndToEndId>{escape(line.end_to_end_id or 'NOTPROVIDED')}</EndToEndId></Refs>"
    amount = ""
    if split and version == "02":
        amount = f"<AmtDtls><TxAmt>{_amount(line.amount)}</TxAmt></AmtDtls>"
    elif split:
        amount = _amount(line.amount) + _way(line.amount)
    side = "Dbtr" if line.amount > 0 else "Cdtr"
    party = f"<Nm>{escape(line.name)}</Nm>"
    wrapped = party if version == "02" else f"<Pty>{party}</Pty>"
    named = f"<{side}>{wrapped}</{side}>" if line.name else ""
    account = f"<{side}Acct><Id><IBAN>{line.iban}</IBAN></Id></{side}Acct>" if line.iban else ""
    parties = f"<RltdPties>{named}{account}</RltdPties>" if named or account else ""
    back = f"<RtrInf><Rsn><Cd>{line.return_code}</Cd></Rsn></RtrInf>" if line.return_code else ""
    return f"<TxDtls>{refs}{amount}{parties}{_remittance(line)}{back}</TxDtls>"


def _remittance(line: Line) -> str:
    if line.reference:
        return (
            "<RmtInf><Strd><CdtrRefInf><Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry><Issr>BBA</Issr></Tp>"
            f"<Ref>{line.reference}</Ref></CdtrRefInf></Strd></RmtInf>"
        )
    parts = [line.text[at : at + 140] for at in range(0, len(line.text), 140)]
    texts = "".join(f"<Ustrd>{escape(one)}</Ustrd>" for one in parts)
    return f"<RmtInf>{texts}</RmtInf>" if texts else ""
