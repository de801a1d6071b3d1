"""The journal (dagboek): each movement of money or debt is an entry with lines that balance.

Entries are written with what they book, in one transaction, and are never changed. The ledger is their sum;
the accounting package is told of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col
from uuid_utils.compat import uuid7

from loket.records import (
    Case,
    EffectKind,
    EntryState,
    EntryType,
    Invoice,
    JournalEntry,
    JournalLine,
    Json,
    LedgerAccount,
    PaymentMethod,
)
from loket.work import Work

MONEY_AT = {
    PaymentMethod.ONLINE: LedgerAccount.MODULE,
    PaymentMethod.TRANSFER: LedgerAccount.BANK,
    PaymentMethod.COUNTER: LedgerAccount.CASH,
}
"""Where the money is that came in that way."""
_OF_A_DOCUMENT = frozenset(
    {EntryType.INVOICE, EntryType.CREDIT_NOTE, EntryType.PAYMENT, EntryType.REFUND_DUE},
)
"""Their first entry has the id of what it books: accounting names a refund that it paid itself by that."""


@dataclass(frozen=True)
class Posting:
    """One side of an entry, in EUR: above zero on the debit side, below on the credit side."""

    account: LedgerAccount
    amount: Decimal
    budget_key: Json | None = None
    description: str = ""


def moved(to: LedgerAccount, out_of: LedgerAccount, amount: Decimal) -> list[Posting]:
    """`amount` on the debit side of one account and on the credit side of another."""
    return [Posting(to, amount), Posting(out_of, -amount)]


def of_lines(lines: Sequence[Json]) -> list[Posting]:
    """The credit side of an invoice: revenue by budget key, VAT apart."""
    postings: list[Posting] = []
    for line in lines:
        vat = Decimal(line.get("vat_amount") or 0)
        net = Decimal(line["amount"]) - vat
        said = line["description"][:140]
        postings.append(Posting(LedgerAccount.REVENUE, -net, line["budget_key"], said))
        postings.append(Posting(LedgerAccount.VAT, -vat, None, said))
    return postings


def reversed_(postings: Sequence[Posting]) -> list[Posting]:
    return [replace(one, amount=-one.amount) for one in postings]


async def book(
    work: Work,
    case: Case,
    type: EntryType,
    subject_id: UUID,
    postings: Sequence[Posting],
    *,
    document_number: str,
    invoice: Invoice | None = None,
    journal: str = "",
    known: bool = False,
) -> JournalEntry | None:
    """Write a journal entry, and leave it to be told to accounting unless it is `known` there.

    Answers None where nothing is moved.

    Raises:
        ValueError: debit and credit differ.
    """
    used = [one for one in postings if one.amount]
    if sum((one.amount for one in used), Decimal(0)) != 0:
        raise ValueError(f"{type} of {subject_id} does not balance")
    if not used:
        return None
    number = 1 + await _entries_before(work, type, subject_id)
    entry = JournalEntry(
        id=subject_id if number == 1 and type in _OF_A_DOCUMENT else uuid7(),
        type=type,
        subject_id=subject_id,
        number=number,
        case_id=case.id,
        invoice_id=invoice.id if invoice else None,
        journal=journal or (invoice.journal if invoice else ""),
        document_number=document_number[:35],
        booked_on=work.today,
        amount=sum((one.amount for one in used if one.amount > 0), Decimal(0)),
        state=EntryState.KNOWN if known else EntryState.LEFT,
    )
    work.session.add(entry)
    await work.session.flush()
    for position, one in enumerate(used, 1):
        work.session.add(
            JournalLine(
                entry_id=entry.id,
                position=position,
                booked_on=entry.booked_on,
                account=one.account,
                budget_key=one.budget_key,
                debit=max(one.amount, Decimal(0)),
                credit=max(-one.amount, Decimal(0)),
                description=one.description,
            )
        )
    if not known:
        await tell(work, case, entry)
    return entry


async def postings_of(work: Work, type: EntryType, subject_id: UUID) -> list[Posting]:
    """What was booked of it in all; nothing when it never was."""
    found = await work.session.scalars(
        select(JournalLine)
        .join(JournalEntry, col(JournalEntry.id) == col(JournalLine.entry_id))
        .where(col(JournalEntry.type) == type, col(JournalEntry.subject_id) == subject_id)
        .order_by(col(JournalEntry.number), col(JournalLine.position))
    )
    return [Posting(one.account, one.debit - one.credit, one.budget_key, one.description) for one in found]


async def tell(work: Work, case: Case, entry: JournalEntry) -> None:
    """Have accounting told of an entry, or told again: it knows the entry by its id."""
    effect = await work.leave(EffectKind.ACCOUNTING_ENTRY, {"entry_id": str(entry.id)}, case=case)
    entry.state, entry.reason, entry.effect_id = EntryState.LEFT, "", effect.id


async def _entries_before(work: Work, type: EntryType, subject_id: UUID) -> int:
    found = await work.session.scalar(
        select(func.count())
        .select_from(JournalEntry)
        .where(col(JournalEntry.type) == type, col(JournalEntry.subject_id) == subject_id)
    )
    return found or 0
