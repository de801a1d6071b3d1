"""What the bank says, what is booked of it, and where the two disagree."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Index, PrimaryKeyConstraint, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.lifecycle import BankEntryStatus
from loket.records.kinds import (
    Bytes,
    Compared,
    DifferenceKind,
    DifferenceState,
    EntryState,
    EntryType,
    Instant,
    Json,
    LedgerAccount,
    Money,
    StatementFormat,
    json_column,
    one_of,
)


class BankStatement(SQLModel, table=True):
    """What the bank says happened on one account (rekeninguittreksel); a file may hold several.

    Imported whole or not at all, and once: the bank numbers the statements of an account.
    """

    __table_args__ = (
        UniqueConstraint("iban", "statement_key"),
        Index("bankstatement_newest", "imported_at", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    format: StatementFormat = Field(sa_type=one_of(StatementFormat))
    iban: str
    """The municipality's own account."""
    statement_key: str
    """The bank's own number of it: year and sequence (CODA), or Id (camt.053)."""
    starts_on: date
    ends_on: date
    opening: Decimal = Field(sa_type=Money)
    closing: Decimal = Field(sa_type=Money)
    file_name: str = ""
    file_hash: bytes = Field(sa_type=Bytes, index=True)
    """SHA-256 of the file that it came in."""
    imported_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    imported_at: datetime = Field(sa_type=Instant)


class BankEntry(SQLModel, table=True):
    """One movement on the municipality's account."""

    __table_args__ = (
        UniqueConstraint("statement_id", "position"),
        CheckConstraint("amount <> 0", name="bankentry_amount"),
        CheckConstraint(
            "(status = 'MATCHED') = (num_nonnulls(payment_id, payout_id) = 1)", name="bankentry_matched"
        ),
        Index("bankentry_open", "booked_on", "id", postgresql_where=text("status = 'OPEN'")),
        Index("bankentry_newest", "booked_on", "id"),
        Index("bankentry_of_account", "counterparty_iban_index"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    statement_id: UUID = Field(foreign_key="bankstatement.id")
    position: int
    """Counted from 1 within the statement; a batch that the bank details counts each of its parts."""
    status: BankEntryStatus = Field(default=BankEntryStatus.OPEN, sa_type=one_of(BankEntryStatus))
    version: int = 1
    amount: Decimal = Field(sa_type=Money)
    """Above zero: money came; below: it went."""
    booked_on: date
    value_on: date
    bank_reference: str = ""
    end_to_end_id: str = ""
    reference: str = ""
    """The structured communication (OGM), 12 bare digits, where the payer gave a valid one."""
    remittance: str = ""
    counterparty_name: str = ""
    counterparty_iban_sealed: bytes | None = Field(default=None, sa_type=Bytes)
    counterparty_iban_masked: str = ""
    counterparty_iban_index: bytes | None = Field(default=None, sa_type=Bytes)
    """Keyed, to find who paid from this account before."""
    return_code: str = ""
    """Why a payment came back, as the bank names it (ISO 20022)."""
    payment_id: UUID | None = Field(default=None, foreign_key="payment.id", unique=True)
    payout_id: UUID | None = Field(default=None, foreign_key="payout.id", index=True)
    """The payout that this is the debit, or the return, of."""
    reason: str = ""
    """Why a person set it aside."""
    settled_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    settled_at: datetime | None = Field(default=None, sa_type=Instant)


class JournalEntry(SQLModel, table=True):
    """A journal entry (boekstuk): what one movement of money or debt means in the books.

    Never changed, never deleted. Its lines balance: the database refuses the commit otherwise.
    """

    __table_args__ = (
        UniqueConstraint("type", "subject_id", "number"),
        CheckConstraint("amount > 0", name="journalentry_amount"),
        Index("journalentry_by_day", "booked_on", "id"),
        Index(
            "journalentry_not_told", "booked_on", "id", postgresql_where=text("state IN ('LEFT', 'REJECTED')")
        ),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    """Also its id at the accounting package."""
    type: EntryType = Field(sa_type=one_of(EntryType))
    subject_id: UUID
    """The invoice, credit note, payment, refund, chargeback, dunning step or payout that it books."""
    number: int = 1
    """Among those of one type and subject: a write-off is taken back as often as somebody pays after all."""
    case_id: UUID = Field(foreign_key="case.id", index=True)
    invoice_id: UUID | None = Field(default=None, foreign_key="invoice.id", index=True)
    """Whose debt it is about; None for a premium."""
    journal: str
    document_number: str
    booked_on: date
    amount: Decimal = Field(sa_type=Money)
    state: EntryState = Field(default=EntryState.LEFT, sa_type=one_of(EntryState))
    voucher: str = ""
    """The accounting package's own number."""
    reason: str = ""
    """Why the package rejected it."""
    effect_id: UUID | None = None


class JournalLine(SQLModel, table=True):
    """One side of a journal entry, on one account."""

    __table_args__ = (
        PrimaryKeyConstraint("entry_id", "position"),
        CheckConstraint("least(debit, credit) = 0 AND debit + credit > 0", name="journalline_side"),
        Index("journalline_by_day", "booked_on", "account"),
    )

    entry_id: UUID = Field(foreign_key="journalentry.id")
    position: int
    booked_on: date
    """As the entry's, so that a ledger of a period is one range of an index."""
    account: LedgerAccount = Field(sa_type=one_of(LedgerAccount))
    budget_key: Json | None = Field(default=None, sa_type=JSONB)
    debit: Decimal = Field(default=Decimal(0), sa_type=Money)
    credit: Decimal = Field(default=Decimal(0), sa_type=Money)
    description: str = ""


class Reconciliation(SQLModel, table=True):
    """A comparison of all that is known of the money of a period; or of deliveries, or of statuses."""

    __table_args__ = (Index("reconciliation_newest", "started_at", "id"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    subject: Compared = Field(
        default=Compared.MONEY, sa_column=Column(one_of(Compared), nullable=False, server_default="MONEY")
    )
    starts_on: date
    ends_on: date
    started_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    started_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    """None: the daily one."""
    compared: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    """How many payments, entries, statements and so on were looked at, and their sums."""


class Difference(SQLModel, table=True):
    """Where two records of the same thing disagree. Found again it is the same one."""

    __table_args__ = (
        Index("difference_once", "kind", "subject_id", unique=True, postgresql_where=text("state = 'OPEN'")),
        Index("difference_newest", "found_at", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    reconciliation_id: UUID = Field(foreign_key="reconciliation.id", index=True)
    kind: DifferenceKind = Field(sa_type=one_of(DifferenceKind))
    state: DifferenceState = Field(default=DifferenceState.OPEN, sa_type=one_of(DifferenceState))
    subject_id: UUID
    case_id: UUID | None = Field(default=None, foreign_key="case.id", index=True)
    expected: Decimal | None = Field(default=None, sa_type=Money)
    found: Decimal | None = Field(default=None, sa_type=Money)
    detail: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    found_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    repaired_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
