"""What citizens owe, and what came in and went back."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, PrimaryKeyConstraint, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.lifecycle import InvoiceStatus, PaymentStatus, RefundStatus
from loket.records.kinds import Bytes, DunningKind, Instant, Json, Money, PaymentMethod, json_column, one_of


class Journal(SQLModel, table=True):
    """The last number given out per journal and year: numbers are gapless, the row is locked last."""

    __table_args__ = (PrimaryKeyConstraint("journal", "year"),)

    journal: str
    year: int
    last: int = 0


class Invoice(SQLModel, table=True):
    """What a citizen owes (factuur).

    What is open on it is `amount + costs - credited - paid - written_off`, never below zero.
    """

    __table_args__ = (
        UniqueConstraint("journal", "year", "sequence"),
        CheckConstraint(
            "amount > 0 AND least(paid, credited, costs, written_off) >= 0"
            " AND paid + credited + written_off <= amount + costs",
            name="invoice_amounts",
        ),
        Index("invoice_live", "case_id", unique=True, postgresql_where=text("status <> 'CREDITED'")),
        Index("invoice_newest", "issued_on", "id"),
        Index("invoice_due", "status", "due_on", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    person_id: UUID = Field(foreign_key="person.id", index=True)
    round: int = 1
    journal: str
    year: int
    sequence: int
    number: str = Field(unique=True)
    reference: str = Field(unique=True)
    """The structured communication (OGM), 12 bare digits."""
    status: InvoiceStatus = Field(default=InvoiceStatus.ISSUED, sa_type=one_of(InvoiceStatus))
    version: int = 1
    amount: Decimal = Field(sa_type=Money)
    """As issued, VAT included."""
    paid: Decimal = Field(default=Decimal(0), sa_type=Money)
    """What came in on it, less what goes back."""
    credited: Decimal = Field(default=Decimal(0), sa_type=Money)
    costs: Decimal = Field(default=Decimal(0), sa_type=Money)
    """Of reminders and the default notice, as far as they are charged."""
    written_off: Decimal = Field(default=Decimal(0), sa_type=Money)
    buyer: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    """Name, address and, of an organisation, `enterprise_number`: as they were when it was issued."""
    lines: list[Json] = Field(default_factory=list, sa_column=json_column("[]"))
    issued_on: date
    due_on: date
    document_id: UUID | None = Field(default=None, foreign_key="document.id")
    """The PDF, with the UBL inside."""
    ubl_document_id: UUID | None = Field(default=None, foreign_key="document.id")
    """The UBL by itself (Peppol BIS), for an organisation."""


class CreditNote(SQLModel, table=True):
    """Takes an invoice back, whole or in part (creditnota)."""

    __table_args__ = (
        UniqueConstraint("journal", "year", "sequence"),
        CheckConstraint("amount > 0", name="creditnote_amount"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    invoice_id: UUID = Field(foreign_key="invoice.id", index=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    journal: str
    year: int
    sequence: int
    number: str = Field(unique=True)
    amount: Decimal = Field(sa_type=Money)
    lines: list[Json] = Field(default_factory=list, sa_column=json_column("[]"))
    issued_on: date
    reason: str
    document_id: UUID | None = Field(default=None, foreign_key="document.id")
    ubl_document_id: UUID | None = Field(default=None, foreign_key="document.id")


class Dunning(SQLModel, table=True):
    """A step taken to have an invoice paid."""

    __table_args__ = (
        UniqueConstraint("invoice_id", "kind", "number"),
        CheckConstraint("cost >= 0", name="dunning_cost"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    invoice_id: UUID = Field(foreign_key="invoice.id")
    case_id: UUID = Field(foreign_key="case.id", index=True)
    kind: DunningKind = Field(sa_type=one_of(DunningKind))
    number: int = 1
    taken_on: date
    cost: Decimal = Field(default=Decimal(0), sa_type=Money)
    reason: str = ""
    letter_id: UUID | None = Field(default=None, foreign_key="letter.id")
    document_id: UUID | None = Field(default=None, foreign_key="document.id")
    """What the financial director gets of it."""
    taken_by_id: UUID | None = Field(default=None, foreign_key="staff.id")


class Payment(SQLModel, table=True):
    """What came in, or an attempt at it (betaling)."""

    __table_args__ = (
        UniqueConstraint("module", "provider_payment_id"),
        Index("payment_newest", "started_at", "id"),
        CheckConstraint("amount > 0", name="payment_amount"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    invoice_id: UUID = Field(foreign_key="invoice.id", index=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    status: PaymentStatus = Field(default=PaymentStatus.STARTED, sa_type=one_of(PaymentStatus))
    method: PaymentMethod = Field(sa_type=one_of(PaymentMethod))
    module: str
    amount: Decimal = Field(sa_type=Money)
    checkout_id: str | None = Field(default=None, unique=True)
    checkout_url: str | None = None
    checkout_form: Json | None = Field(default=None, sa_type=JSONB)
    """Where the module's page is only reached by a form: its `action` and `fields`."""
    return_mac: str | None = None
    return_url: str | None = None
    """Where on the municipality's website the citizen goes after paying."""
    provider_payment_id: str | None = None
    """The other side's own name for it: one payment there is one payment here."""
    payer_name: str = ""
    payer_iban_sealed: bytes | None = Field(default=None, sa_type=Bytes)
    """The account that it came from, where that is known: money goes back over the way that it came."""
    payer_iban_masked: str = ""
    value_on: date | None = None
    started_at: datetime = Field(sa_type=Instant)
    expires_at: datetime | None = Field(default=None, sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    reason: str = ""


class PaymentName(SQLModel, table=True):
    """What each source calls a payment: one source names a payment once, and names no payment twice.

    So a transfer of which the bank's statement, accounting and a clerk all tell is one payment, and two
    transfers of one amount are two.
    """

    __table_args__ = (PrimaryKeyConstraint("source", "name"), UniqueConstraint("payment_id", "source"))

    source: str
    """`bank`, `accounting`, `transfer` (a clerk), `counter`, or the payment module."""
    name: str
    payment_id: UUID = Field(foreign_key="payment.id")


class Chargeback(SQLModel, table=True):
    """Money of a payment that the payer's bank took back."""

    __table_args__ = (
        UniqueConstraint("module", "provider_id"),
        CheckConstraint("amount > 0", name="chargeback_amount"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    payment_id: UUID = Field(foreign_key="payment.id", index=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    module: str
    provider_id: str
    amount: Decimal = Field(sa_type=Money)
    counted: Decimal = Field(default=Decimal(0), sa_type=Money)
    """What of it the invoice had counted as paid; the rest had gone back to the payer before."""
    taken_on: date
    reason: str = ""
    reversed_on: date | None = None
    """The dispute was won: the money is ours again."""


class Refund(SQLModel, table=True):
    """Money that goes back over the way it came, or else by a payout."""

    __table_args__ = (CheckConstraint("amount > 0", name="refund_amount"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    payment_id: UUID = Field(foreign_key="payment.id", index=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    status: RefundStatus = Field(default=RefundStatus.DUE, sa_type=one_of(RefundStatus))
    amount: Decimal = Field(sa_type=Money)
    reason: str
    due_on: date
    """Since when it is owed."""
    provider_refund_id: str | None = None
    ordered_at: datetime | None = Field(default=None, sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
