"""The journal of a period as a file: for packages that read files, and for people with a spreadsheet.

CSV as RFC 4180, but with what Belgian spreadsheets expect: semicolons and a decimal comma. It names no
persons. Beside it the period's UBL invoices and credit notes, or its payment files, in one zip.
"""

import asyncio
import csv
import io
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from sqlalchemy import delete, or_, select
from sqlmodel import col

from loket import chart, filing
from loket.app import Loket
from loket.errors import ErrorCode, Refused
from loket.records import (
    Case,
    CreditNote,
    Document,
    DocumentContent,
    EntryState,
    EntryType,
    Invoice,
    JournalEntry,
    JournalLine,
    Payout,
)
from loket.settings import Ledger, Settings
from loket.terms import BRUSSELS
from loket.transfers import payment_file
from loket.work import Work, the_system

KIND = "JOURNAL"
KEPT_FOR = timedelta(hours=1)
"""How long a file is there to be fetched: it can be made again at any time."""
LONGEST_DAYS = 366
LARGEST_ZIP = 10_000
"""Files; more are asked for in shorter periods."""
HEAD = (
    "boekjaar",
    "dagboek",
    "stuknummer",
    "datum",
    "soort",
    "algemene rekening",
    "beleidsitem",
    "actie",
    "raming",
    "debet",
    "credit",
    "omschrijving",
    "dossier",
    "stand",
    "stuk boekhouding",
)
KINDS = {
    EntryType.INVOICE: "factuur",
    EntryType.COSTS: "aanmaningskosten",
    EntryType.CREDIT_NOTE: "creditnota",
    EntryType.PAYMENT: "betaling",
    EntryType.REFUND_DUE: "terug te betalen",
    EntryType.REFUND: "terugbetaling",
    EntryType.REFUND_RETURNED: "terugbetaling kwam terug",
    EntryType.WRITE_OFF: "oninbaar",
    EntryType.WRITE_OFF_REVERSED: "toch betaald",
    EntryType.CHARGEBACK: "teruggehaald door de bank",
    EntryType.CHARGEBACK_REVERSED: "teruggehaald, toch van ons",
    EntryType.PAYOUT: "uitbetaling",
    EntryType.PAYOUT_RETURNED: "uitbetaling kwam terug",
}
STATES = {
    EntryState.LEFT: "onderweg",
    EntryState.BOOKED: "geboekt",
    EntryState.REJECTED: "geweigerd",
    EntryState.KNOWN: "eigen kennis",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
_STAMP = (1980, 1, 1, 0, 0, 0)
"""The same files make the same zip."""


class JournalFormat(StrEnum):
    CSV = "CSV"
    UBL_ZIP = "UBL_ZIP"
    PAIN_001_ZIP = "PAIN_001_ZIP"


async def make(
    work: Work, starts_on: date, ends_on: date, format: JournalFormat, *, bom: bool = False
) -> Document:
    """A file of the days from `starts_on` to `ends_on`, both included; `bom` for a spreadsheet that asks it.

    Raises:
        Refused: VALIDATION for a period that ends before it starts, or is longer than a year; TOO_LARGE for
            too many files.
    """
    if not timedelta(0) <= ends_on - starts_on < timedelta(days=LONGEST_DAYS):
        raise Refused(
            ErrorCode.VALIDATION, path=["input", "to"], reason="from the first day on, at most a year"
        )
    period = f"{starts_on:%Y%m%d}-{ends_on:%Y%m%d}"
    if format is JournalFormat.CSV:
        rows = await _rows(work, starts_on, ends_on)
        content = await asyncio.to_thread(written, rows, bom=bom)
        return await filing.keep(work, KIND, f"dagboek-{period}.csv", content, media_type="text/csv")
    ubl = format is JournalFormat.UBL_ZIP
    files = await (_ubl if ubl else _payment_files)(work, starts_on, ends_on)
    if len(files) > LARGEST_ZIP:
        raise Refused(ErrorCode.TOO_LARGE, limit=f"{LARGEST_ZIP} files")
    name = f"{'ubl' if ubl else 'pain001'}-{period}.zip"
    zipped = await asyncio.to_thread(_zipped, files)
    return await filing.keep(work, KIND, name, zipped, media_type="application/zip")


async def forget(work: Work) -> None:
    """Files that were there to be fetched are not kept: payment files name people and their accounts."""
    await work.session.execute(
        delete(Document).where(
            col(Document.case_id).is_(None),
            col(Document.kind) == KIND,
            col(Document.created_at) < work.now - KEPT_FOR,
        )
    )


async def run(settings: Settings, starts_on: date, ends_on: date, out: str | None, *, bom: bool) -> None:
    """Write the CSV to the file `out`, or to standard output."""
    async with Loket(settings) as loket, loket.work(the_system("Journal")) as work:
        content = written(await _rows(work, starts_on, ends_on), bom=bom)
    if out is None:
        sys.stdout.buffer.write(content)
    else:
        await asyncio.to_thread(Path(out).write_bytes, content)


# --- CSV --------------------------------------------------------------------------------------


def written(rows: Iterable[Sequence[str]], *, bom: bool = False) -> bytes:
    """The heading and these rows as CSV. A cell that a spreadsheet would take for a formula gets a `'` first.

    So does one that begins with `'` itself: whoever reads takes one away, and has what was written.
    """
    out = io.StringIO(newline="")
    out.write(_BOM if bom else "")
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(HEAD)
    writer.writerows([_guarded(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


async def _rows(work: Work, starts_on: date, ends_on: date) -> list[Sequence[str]]:
    found = await work.session.execute(
        select(JournalEntry, JournalLine, col(Case.reference))
        .join(JournalLine, col(JournalLine.entry_id) == col(JournalEntry.id))
        .join(Case, col(Case.id) == col(JournalEntry.case_id))
        .where(col(JournalEntry.booked_on).between(starts_on, ends_on))
        .order_by(col(JournalEntry.booked_on), col(JournalEntry.id), col(JournalLine.position))
    )
    return [_row(entry, line, reference, work.settings.ledger) for entry, line, reference in found]


def _row(entry: JournalEntry, line: JournalLine, reference: str, ledger: Ledger) -> Sequence[str]:
    key = line.budget_key or {}
    return (
        str(key.get("year") or entry.booked_on.year),
        entry.journal,
        entry.document_number,
        entry.booked_on.isoformat(),
        KINDS[entry.type],
        chart.code(ledger, line.account, line.budget_key),
        key.get("policyItem") or key.get("policy_item") or "",
        key.get("action") or "",
        key.get("estimate") or "",
        _amount(line.debit),
        _amount(line.credit),
        line.description,
        reference,
        STATES[entry.state],
        entry.voucher,
    )


def _amount(amount: Decimal) -> str:
    """With a decimal comma; empty on the other side."""
    return f"{amount:.2f}".replace(".", ",") if amount else ""


# --- other files ------------------------------------------------------------------------------


async def _ubl(work: Work, starts_on: date, ends_on: date) -> list[tuple[str, bytes]]:
    """What was issued in the period, of those that have a UBL document: natural persons get none."""
    files: list[tuple[str, bytes]] = []
    for kind in (Invoice, CreditNote):
        found = await work.session.execute(
            select(col(kind.number), col(DocumentContent.content))
            .join(DocumentContent, col(DocumentContent.document_id) == col(kind.ubl_document_id))
            .where(col(kind.issued_on).between(starts_on, ends_on))
            .order_by(col(kind.number))
            .limit(LARGEST_ZIP + 1)
        )
        files += [(f"{number}.xml", content) for number, content in found]
    return files


async def _payment_files(work: Work, starts_on: date, ends_on: date) -> list[tuple[str, bytes]]:
    """The files of payouts approved in the period that went to accounting, to the byte as they went."""
    first, end = (datetime.combine(day, time(), BRUSSELS) for day in (starts_on, ends_on + timedelta(days=1)))
    found = await work.session.scalars(
        select(Payout)
        .where(
            col(Payout.approved_at) >= first,
            col(Payout.approved_at) < end,
            or_(col(Payout.sent_at).is_not(None), col(Payout.executed_on).is_not(None)),
        )
        .order_by(col(Payout.approved_at), col(Payout.id))
        .limit(LARGEST_ZIP + 1)
    )
    return list(_written(work, found.all()))


def _written(work: Work, payouts: Iterable[Payout]) -> Iterator[tuple[str, bytes]]:
    for payout in payouts:
        if payout.approved_at is not None:
            iban = work.vault.open(payout.iban_sealed)
            content = payment_file(work.settings, payout, iban, payout.approved_at)
            day = payout.approved_at.astimezone(BRUSSELS).date()
            yield f"{day:%Y%m%d}-{payout.id.hex}.xml", content


def _zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name.replace("/", "-"), _STAMP), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
