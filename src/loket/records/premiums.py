"""What granting and paying premiums takes: advice, agenda items, entitlements, payouts, letters."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, PrimaryKeyConstraint, text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.lifecycle import AdviceStatus, PayoutStatus
from loket.records.kinds import Bytes, Instant, Json, Money, json_column, one_of


class AdviserKind(StrEnum):
    """Who is asked: a service of our own, a body elsewhere, or a source that answers by machine."""

    INTERNAL = "INTERNAL"
    EXTERNAL = "EXTERNAL"
    MACHINE = "MACHINE"


class PayoutKind(StrEnum):
    PREMIUM = "PREMIUM"
    REFUND = "REFUND"


class LetterWay(StrEnum):
    """How a letter goes: both EBOX and REGISTERED are legal delivery."""

    EBOX = "EBOX"
    REGISTERED = "REGISTERED"
    NORMAL = "NORMAL"


class LetterStatus(StrEnum):
    QUEUED = "QUEUED"
    """Waits for its paper, or for the day's batch."""
    BATCHED = "BATCHED"
    """In a batch that was handed to the printer."""
    SENT = "SENT"
    """In the eBox, or posted, with its proof."""
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class Advice(SQLModel, table=True):
    """What an internal service or an external body thinks of an application (advies)."""

    __table_args__ = (
        Index("advice_open", "due_on", "id", postgresql_where=text("status IN ('REQUESTED', 'REMINDED')")),
        Index(
            "advice_once",
            "case_id",
            "round",
            "adviser",
            unique=True,
            postgresql_where=text("status <> 'WITHDRAWN'"),
        ),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    round: int = 1
    adviser: str
    """Key in the definition."""
    kind: AdviserKind = Field(sa_type=one_of(AdviserKind))
    department: str = ""
    """Of an internal adviser: whose staff may answer."""
    status: AdviceStatus = Field(default=AdviceStatus.REQUESTED, sa_type=one_of(AdviceStatus))
    question: str
    requested_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    requested_at: datetime = Field(sa_type=Instant)
    due_on: date
    token_hash: bytes | None = Field(default=None, sa_type=Bytes, unique=True)
    """Of the link of an external adviser; only the hash is kept."""
    token_expires_at: datetime | None = Field(default=None, sa_type=Instant)
    check_id: UUID | None = Field(default=None, foreign_key="check.id")
    """Of a machine's advice: the check that it is."""
    opinion: str = ""
    conditions: str = ""
    given_by: str = ""
    """Name of who answered."""
    given_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    given_at: datetime | None = Field(default=None, sa_type=Instant)


class AgendaItem(SQLModel, table=True):
    """One item on the agenda of a body, with the decisions on one case or many (agendapunt)."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    body: str
    """COLLEGE, COUNCIL, VAST_BUREAU, RMW or BCSD."""
    external_identifier: str = Field(unique=True)
    """By which the minutes system finds it again."""
    title: str
    item_uid: str | None = Field(default=None, unique=True)
    """The minutes system's own name; of the successor once it was postponed."""
    meeting_uid: str | None = None
    meeting_on: date | None = None
    state: str = ""
    """As the minutes system names it."""
    document_id: UUID | None = Field(default=None, foreign_key="document.id")
    """The draft as PDF, closed annex included."""
    created_at: datetime = Field(sa_type=Instant)
    heard_at: datetime | None = Field(default=None, sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class Entitlement(SQLModel, table=True):
    """That an address or a person gets a benefit once a year: who claims it second waits or is refused."""

    __table_args__ = (PrimaryKeyConstraint("procedure_key", "benefit", "subject_index", "year"),)

    procedure_key: str
    benefit: str
    subject_index: bytes = Field(sa_type=Bytes)
    """Keyed index of the address or of the national number."""
    year: int
    case_id: UUID = Field(foreign_key="case.id", index=True)


class Payout(SQLModel, table=True):
    """Money that goes to a citizen's account (uitbetaling); each attempt is a row."""

    __table_args__ = (
        CheckConstraint("amount > 0", name="payout_amount"),
        CheckConstraint("(kind = 'REFUND') = (refund_id IS NOT NULL)", name="payout_is_of"),
        CheckConstraint("approved_by_id IS NULL OR approved_by_id <> ordered_by_id", name="payout_four_eyes"),
        Index(
            "payout_live",
            "decision_id",
            unique=True,
            postgresql_where=text("status NOT IN ('REJECTED', 'RETURNED', 'DECLINED', 'CANCELLED')"),
        ),
        Index(
            "payout_live_refund",
            "refund_id",
            unique=True,
            postgresql_where=text("status NOT IN ('REJECTED', 'RETURNED', 'DECLINED', 'CANCELLED')"),
        ),
        Index("payout_newest", "ordered_at", "id"),
        Index("payout_queue", "status", "ordered_at", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    """Also the EndToEndId, without hyphens: each attempt has its own."""
    case_id: UUID = Field(foreign_key="case.id", index=True)
    round: int = 1
    decision_id: UUID | None = Field(default=None, foreign_key="decision.id")
    refund_id: UUID | None = Field(default=None, foreign_key="refund.id")
    kind: PayoutKind = Field(default=PayoutKind.PREMIUM, sa_type=one_of(PayoutKind))
    status: PayoutStatus = Field(default=PayoutStatus.ORDERED, sa_type=one_of(PayoutStatus))
    version: int = 1
    amount: Decimal = Field(sa_type=Money)
    payee: str
    """Name of the account's holder."""
    iban_sealed: bytes = Field(sa_type=Bytes)
    iban_masked: str
    remittance: str = ""
    ordered_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    ordered_at: datetime = Field(sa_type=Instant)
    visum_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    visum_at: datetime | None = Field(default=None, sa_type=Instant)
    approved_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    approved_at: datetime | None = Field(default=None, sa_type=Instant)
    sent_at: datetime | None = Field(default=None, sa_type=Instant)
    executed_on: date | None = None
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    reason_code: str = ""
    """As the bank names it (ISO 20022: AC01, AC04, MD07…)."""
    reason: str = ""


class LetterBatch(SQLModel, table=True):
    """The letters of a day, as handed to who prints and posts them."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    made_on: date
    number: int
    letters: int
    document_id: UUID = Field(foreign_key="document.id")
    created_at: datetime = Field(sa_type=Instant)
    posted_at: datetime | None = Field(default=None, sa_type=Instant)
    """When the last proof of posting came in."""


class Letter(SQLModel, table=True):
    """A letter to a citizen, in the eBox or on paper, with the proof that it was sent."""

    __table_args__ = (
        Index("letter_waiting", "created_at", "id", postgresql_where=text("status = 'QUEUED'")),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    person_id: UUID = Field(foreign_key="person.id", index=True)
    decision_id: UUID | None = Field(default=None, foreign_key="decision.id")
    message_id: UUID | None = Field(default=None, foreign_key="message.id", unique=True)
    """Of a message that goes by letter, because the person has nothing else."""
    way: LetterWay = Field(sa_type=one_of(LetterWay))
    status: LetterStatus = Field(default=LetterStatus.QUEUED, sa_type=one_of(LetterStatus))
    subject: str
    content: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    """What stands in it, from which its paper is made."""
    document_id: UUID | None = Field(default=None, foreign_key="document.id")
    batch_id: UUID | None = Field(default=None, foreign_key="letterbatch.id", index=True)
    sequence: int | None = None
    """Its place in the batch."""
    registered_number: str | None = Field(default=None, unique=True)
    ebox_id: str | None = None
    created_at: datetime = Field(sa_type=Instant)
    sent_at: datetime | None = Field(default=None, sa_type=Instant)
    delivered_at: datetime | None = Field(default=None, sa_type=Instant)
    reason: str = ""
