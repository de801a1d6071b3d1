"""All tables. Records are nouns; what may happen to them stands in the verbs.

Constraints live here as well as in code: code says it kindly, the database means it.
National numbers and account numbers are stored sealed (`vault`), with a keyed index for look-up.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Sequence,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.lifecycle import (
    ApplicationStatus,
    CheckStatus,
    DecisionStatus,
    DeliveryStatus,
    EventType,
    InvoiceStatus,
    MessageStatus,
    PaymentStatus,
    RefundStatus,
    SlotStatus,
    Stage,
    Status,
    TaskStatus,
    TimerKind,
)

Json = dict[str, Any]


class Channel(StrEnum):
    """How an application came in."""

    ONLINE = "ONLINE"
    COUNTER = "COUNTER"


class ActorKind(StrEnum):
    CITIZEN = "CITIZEN"
    STAFF = "STAFF"
    SERVICE = "SERVICE"
    SYSTEM = "SYSTEM"


class MessageChannel(StrEnum):
    """Over what a message goes to a person."""

    MBP = "MBP"
    EMAIL = "EMAIL"
    SMS = "SMS"
    LETTER = "LETTER"


class EffectState(StrEnum):
    PENDING = "PENDING"
    DONE = "DONE"
    PARKED = "PARKED"
    IN_DOUBT = "IN_DOUBT"
    SKIPPED = "SKIPPED"


class EffectKind(StrEnum):
    """What another system must hear or do. `effects` has a function for each."""

    DOSIS_STATUS = "DOSIS_STATUS"
    MESSAGE_MBP = "MESSAGE_MBP"
    MESSAGE_EMAIL = "MESSAGE_EMAIL"
    MESSAGE_SMS = "MESSAGE_SMS"
    MAGDA_CHECK = "MAGDA_CHECK"
    MAGDA_UNREGISTER = "MAGDA_UNREGISTER"
    ACCOUNTING_ENTRY = "ACCOUNTING_ENTRY"
    PLANNING_BOOK = "PLANNING_BOOK"
    PLANNING_CANCEL = "PLANNING_CANCEL"
    PAYMENT_POLL = "PAYMENT_POLL"
    PAYMENT_REFUND = "PAYMENT_REFUND"
    CONTACT_CODE = "CONTACT_CODE"
    INVOICE_PDF = "INVOICE_PDF"


class TimerState(StrEnum):
    ARMED = "ARMED"
    FIRED = "FIRED"
    CANCELLED = "CANCELLED"


class PaymentMethod(StrEnum):
    ONLINE = "ONLINE"
    TRANSFER = "TRANSFER"
    COUNTER = "COUNTER"


class RegistrationState(StrEnum):
    WANTED = "WANTED"
    REGISTERED = "REGISTERED"
    ENDED = "ENDED"


class CalendarState(StrEnum):
    """What the planning tool says of a slot."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


def _one_of(kind: type[StrEnum], name: str = "") -> Enum:
    """A text column with a check: new values need no ALTER TYPE."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=40,
        name=f"{name or kind.__name__.lower()}_known",
        values_callable=lambda members: [member.value for member in members],
    )


_Instant = DateTime(timezone=True)
_Money = Numeric(12, 2)
_Bytes = LargeBinary


def _json(default: str) -> Column[Any]:
    return Column(JSONB, nullable=False, server_default=text(f"'{default}'::jsonb"))


# --- people -----------------------------------------------------------------------------------


class Person(SQLModel, table=True):
    """A citizen."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    insz_sealed: bytes | None = Field(default=None, sa_type=_Bytes)
    insz_index: bytes | None = Field(default=None, sa_type=_Bytes, unique=True)
    former_insz_index: bytes | None = Field(default=None, sa_type=_Bytes, unique=True)
    """Of the number that the National Register replaced: who signs in with it is still this person."""
    given_name: str = ""
    family_name: str = ""
    birth_on: date | None = None
    address: Json | None = Field(default=None, sa_type=JSONB)
    email: str | None = None
    email_verified_at: datetime | None = Field(default=None, sa_type=_Instant)
    phone: str | None = None
    phone_verified_at: datetime | None = Field(default=None, sa_type=_Instant)
    language: str = "nl"
    by_email: bool = True
    by_sms: bool = False
    deceased_on: date | None = None
    created_at: datetime = Field(sa_type=_Instant)


class Staff(SQLModel, table=True):
    """Somebody who works for the municipality; roles as ACM/IDM last told."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    subject: str = Field(unique=True)
    given_name: str = ""
    family_name: str = ""
    organisation: str = ""
    roles: list[str] = Field(default_factory=list, sa_column=_json("[]"))
    seen_at: datetime = Field(sa_type=_Instant)


class WebSession(SQLModel, table=True):
    """A cookie session of the website; only the hash of its token is kept."""

    token_hash: bytes = Field(sa_type=_Bytes, primary_key=True)
    person_id: UUID | None = Field(default=None, foreign_key="person.id")
    staff_id: UUID | None = Field(default=None, foreign_key="staff.id")
    roles: list[str] = Field(default_factory=list, sa_column=_json("[]"))
    acr: str | None = None
    expires_at: datetime = Field(sa_type=_Instant, index=True)


class SignInAttempt(SQLModel, table=True):
    """Between /auth/login and /auth/callback; used once."""

    state_hash: bytes = Field(sa_type=_Bytes, primary_key=True)
    nonce: str
    code_verifier: str
    audience: str
    return_to: str
    expires_at: datetime = Field(sa_type=_Instant, index=True)


class ContactCode(SQLModel, table=True):
    """A code that proves that a contact point is somebody's own."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    person_id: UUID = Field(foreign_key="person.id", index=True)
    channel: MessageChannel = Field(sa_type=_one_of(MessageChannel))
    address: str
    code_hash: bytes = Field(sa_type=_Bytes)
    tries: int = 0
    expires_at: datetime = Field(sa_type=_Instant)


# --- applications and documents ---------------------------------------------------------------


class Application(SQLModel, table=True):
    """What a citizen fills in (aanvraag); a draft until submitted."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    procedure_key: str
    procedure_version: int
    person_id: UUID = Field(foreign_key="person.id", index=True)
    staff_id: UUID | None = Field(default=None, foreign_key="staff.id")
    channel: Channel = Field(default=Channel.ONLINE, sa_type=_one_of(Channel))
    status: ApplicationStatus = Field(default=ApplicationStatus.DRAFT, sa_type=_one_of(ApplicationStatus))
    version: int = 1
    answers: Json = Field(default_factory=dict, sa_column=_json("{}"))
    prefill: list[Json] = Field(default_factory=list, sa_column=_json("[]"))
    """Per field: pointer, value, source, fetched_at."""
    cart: list[Json] = Field(default_factory=list, sa_column=_json("[]"))
    """Lines: product, quantity, options."""
    facts: Json = Field(default_factory=dict, sa_column=_json("{}"))
    """What authentic sources said of the applicant and the household, each with source and time."""
    household_index: bytes | None = Field(default=None, sa_type=_Bytes)
    acr: str | None = None
    started_at: datetime = Field(sa_type=_Instant)
    updated_at: datetime = Field(sa_type=_Instant)
    submitted_at: datetime | None = Field(default=None, sa_type=_Instant)
    expires_at: datetime = Field(sa_type=_Instant)


class Document(SQLModel, table=True):
    """A file of an application or a case. `stored_at` is empty until its content came."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    person_id: UUID | None = Field(default=None, foreign_key="person.id", index=True)
    application_id: UUID | None = Field(default=None, foreign_key="application.id", index=True)
    case_id: UUID | None = Field(
        default=None,
        sa_column=Column(ForeignKey("case.id", use_alter=True, name="document_case"), index=True),
    )
    kind: str
    filename: str
    media_type: str
    size: int = 0
    sha256: str = ""
    created_at: datetime = Field(sa_type=_Instant)
    stored_at: datetime | None = Field(default=None, sa_type=_Instant)


class DocumentContent(SQLModel, table=True):
    document_id: UUID = Field(primary_key=True, foreign_key="document.id", ondelete="CASCADE")
    content: bytes = Field(sa_type=_Bytes)


# --- cases ------------------------------------------------------------------------------------

case_number = Sequence("case_number")
"""What case references are made from; gaps are fine, nobody waits for another."""


class Case(SQLModel, table=True):
    """What the municipality handles (dossier), from submission on."""

    __table_args__ = (
        Index("case_queue", "status", "submitted_at", "id"),
        Index("case_handler", "handler_id", "submitted_at", "id"),
        Index("case_newest", "submitted_at", "id"),
        Index("case_of_person", "person_id", "submitted_at", "id"),
        Index("case_due", "due_on", "id", postgresql_where=text("closed_at IS NULL")),
        Index("case_open", "submitted_at", "id", postgresql_where=text("closed_at IS NULL")),
        Index("case_overdue", "due_on", "id", postgresql_where=text("overdue")),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    reference: str = Field(unique=True)
    procedure_key: str
    procedure_version: int
    person_id: UUID = Field(foreign_key="person.id")
    application_id: UUID = Field(foreign_key="application.id", unique=True)
    channel: Channel = Field(default=Channel.ONLINE, sa_type=_one_of(Channel))
    stage: Stage = Field(sa_type=_one_of(Stage))
    status: Status = Field(default=Status.RECEIVED, sa_type=_one_of(Status))
    version: int = 0
    """The number of its events: each transition adds one."""
    round: int = 1
    """Raised by a reopening; outcomes are kept per round."""
    department: str = ""
    handler_id: UUID | None = Field(default=None, foreign_key="staff.id")
    submitted_at: datetime = Field(sa_type=_Instant)
    due_on: date
    overdue: bool = False
    suspensions: list[Json] = Field(default_factory=list, sa_column=_json("[]"))
    """Periods in which the term stands still: reason, from, to."""
    outcome: str | None = None
    household_index: bytes | None = Field(default=None, sa_type=_Bytes, index=True)
    facts: Json = Field(default_factory=dict, sa_column=_json("{}"))
    closed_at: datetime | None = Field(default=None, sa_type=_Instant)
    updated_at: datetime = Field(sa_type=_Instant)


class Event(SQLModel, table=True):
    """What happened; append-only. Feeds subscriptions, notifiers, timeline, statistics and audit alike."""

    __table_args__ = (
        UniqueConstraint("case_id", "case_version"),
        Index("event_feed", "xid", "seq"),
        Index("event_of_case", "case_id", "seq"),
        Index("event_of_person", "person_id", "seq"),
    )

    seq: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    xid: int | None = Field(
        default=None, sa_column=Column(Xid8, nullable=False, server_default=text("pg_current_xact_id()"))
    )
    """Its place in the feed, with `seq`: of its transaction, and never before the case's last event."""
    id: UUID = Field(default_factory=uuid7, unique=True)
    case_id: UUID = Field(foreign_key="case.id")
    person_id: UUID = Field(foreign_key="person.id")
    case_version: int | None = None
    """Empty for what became of an effect: that is no change of the case."""
    type: EventType = Field(sa_type=_one_of(EventType))
    stage: Stage = Field(sa_type=_one_of(Stage))
    status: Status = Field(sa_type=_one_of(Status))
    previous_status: Status | None = Field(default=None, sa_type=_one_of(Status, "previous_status"))
    occurred_at: datetime = Field(sa_type=_Instant)
    actor_kind: ActorKind = Field(sa_type=_one_of(ActorKind))
    actor_id: UUID | None = None
    actor_name: str = ""
    data: Json = Field(default_factory=dict, sa_column=_json("{}"))
    chain: bytes = Field(sa_type=_Bytes)
    """SHA-256 over the previous event's chain and this row: a changed past shows."""


class Task(SQLModel, table=True):
    """Something on a case that only a person can settle (taak)."""

    __table_args__ = (
        Index("task_open", "case_id", "kind", unique=True, postgresql_where=text("status = 'OPEN'")),
        Index("task_oldest", "status", "opened_at", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    kind: str
    status: TaskStatus = Field(default=TaskStatus.OPEN, sa_type=_one_of(TaskStatus))
    data: Json = Field(default_factory=dict, sa_column=_json("{}"))
    opened_at: datetime = Field(sa_type=_Instant)
    done_at: datetime | None = Field(default=None, sa_type=_Instant)
    done_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    remark: str = ""


class Note(SQLModel, table=True):
    """A handler's own words on a case; never shown to the citizen."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    staff_id: UUID = Field(foreign_key="staff.id")
    text: str
    created_at: datetime = Field(sa_type=_Instant)


class Check(SQLModel, table=True):
    """An automatic look-up at an authentic source: yes or no, code and reference, never raw data."""

    __table_args__ = (UniqueConstraint("case_id", "kind", "round"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    kind: str
    round: int = 1
    status: CheckStatus = Field(default=CheckStatus.RUNNING, sa_type=_one_of(CheckStatus))
    code: str = ""
    reference: str = ""
    started_at: datetime = Field(sa_type=_Instant)
    ended_at: datetime | None = Field(default=None, sa_type=_Instant)


class Decision(SQLModel, table=True):
    """What was decided on a case, by whom or by rule, and why (besluit)."""

    __table_args__ = (UniqueConstraint("case_id", "round"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    round: int = 1
    status: DecisionStatus = Field(sa_type=_one_of(DecisionStatus))
    by_rule: bool = False
    staff_id: UUID | None = Field(default=None, foreign_key="staff.id")
    motivation_legal: str
    motivation_factual: str
    decided_at: datetime = Field(sa_type=_Instant)


class Quota(SQLModel, table=True):
    """How many of a product a household took in a period; period 0 = ever."""

    __table_args__ = (
        PrimaryKeyConstraint("procedure_key", "product", "household_index", "period"),
        CheckConstraint("quantity >= 0 AND (ceiling IS NULL OR quantity <= ceiling)", name="quota_within"),
    )

    procedure_key: str
    product: str
    household_index: bytes = Field(sa_type=_Bytes)
    period: int
    quantity: int = 0
    ceiling: int | None = None


class QuotaClaim(SQLModel, table=True):
    """What one case took of a quota; given back when the case ends without delivery."""

    __table_args__ = (PrimaryKeyConstraint("case_id", "product"),)

    case_id: UUID = Field(foreign_key="case.id")
    product: str
    household_index: bytes = Field(sa_type=_Bytes)
    period: int
    quantity: int
    released: bool = False


# --- money ------------------------------------------------------------------------------------


class Journal(SQLModel, table=True):
    """The last number given out per journal and year: numbers are gapless, the row is locked last."""

    __table_args__ = (PrimaryKeyConstraint("journal", "year"),)

    journal: str
    year: int
    last: int = 0


class Invoice(SQLModel, table=True):
    """What a citizen owes (factuur)."""

    __table_args__ = (
        UniqueConstraint("journal", "year", "sequence"),
        CheckConstraint("amount > 0 AND paid >= 0", name="invoice_amounts"),
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
    status: InvoiceStatus = Field(default=InvoiceStatus.ISSUED, sa_type=_one_of(InvoiceStatus))
    version: int = 1
    amount: Decimal = Field(sa_type=_Money)
    paid: Decimal = Field(default=Decimal(0), sa_type=_Money)
    lines: list[Json] = Field(default_factory=list, sa_column=_json("[]"))
    issued_on: date
    due_on: date
    document_id: UUID | None = Field(default=None, foreign_key="document.id")


class CreditNote(SQLModel, table=True):
    """Takes an invoice back, whole."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    invoice_id: UUID = Field(foreign_key="invoice.id", unique=True)
    number: str = Field(unique=True)
    amount: Decimal = Field(sa_type=_Money)
    issued_on: date
    reason: str


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
    status: PaymentStatus = Field(default=PaymentStatus.STARTED, sa_type=_one_of(PaymentStatus))
    method: PaymentMethod = Field(sa_type=_one_of(PaymentMethod))
    module: str
    amount: Decimal = Field(sa_type=_Money)
    checkout_id: str | None = Field(default=None, unique=True)
    checkout_url: str | None = None
    return_mac: str | None = None
    return_url: str | None = None
    """Where on the municipality's website the citizen goes after paying."""
    provider_payment_id: str | None = None
    """The other side's own name for it: one payment there is one payment here."""
    payer_name: str = ""
    value_on: date | None = None
    started_at: datetime = Field(sa_type=_Instant)
    expires_at: datetime | None = Field(default=None, sa_type=_Instant)
    ended_at: datetime | None = Field(default=None, sa_type=_Instant)
    reason: str = ""


class Refund(SQLModel, table=True):
    """Money that goes back over the way it came."""

    __table_args__ = (CheckConstraint("amount > 0", name="refund_amount"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    payment_id: UUID = Field(foreign_key="payment.id", index=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    status: RefundStatus = Field(default=RefundStatus.DUE, sa_type=_one_of(RefundStatus))
    amount: Decimal = Field(sa_type=_Money)
    reason: str
    provider_refund_id: str | None = None
    ordered_at: datetime | None = Field(default=None, sa_type=_Instant)
    ended_at: datetime | None = Field(default=None, sa_type=_Instant)


# --- deliveries -------------------------------------------------------------------------------


class Slot(SQLModel, table=True):
    """A delivery slot as the planning tool last told; `taken` counts our own holds and bookings."""

    __table_args__ = (
        CheckConstraint("taken >= 0 AND taken <= capacity", name="slot_capacity"),
        Index("slot_by_time", "starts_at", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    external_id: str = Field(unique=True)
    starts_at: datetime = Field(sa_type=_Instant)
    ends_at: datetime = Field(sa_type=_Instant)
    capacity: int
    taken: int = 0
    area: str = ""
    state: CalendarState = Field(default=CalendarState.OPEN, sa_type=_one_of(CalendarState))
    version: int = 1
    refreshed_at: datetime = Field(sa_type=_Instant)


class Delivery(SQLModel, table=True):
    """The hand-over of goods (levering)."""

    __table_args__ = (
        UniqueConstraint("case_id", "round"),
        Index("delivery_of_day", text("((starts_at AT TIME ZONE 'Europe/Brussels')::date)"), "route", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    round: int = 1
    status: DeliveryStatus = Field(default=DeliveryStatus.TO_PLAN, sa_type=_one_of(DeliveryStatus))
    version: int = 1
    items: list[Json] = Field(default_factory=list, sa_column=_json("[]"))
    address: Json = Field(default_factory=dict, sa_column=_json("{}"))
    contact: Json = Field(default_factory=dict, sa_column=_json("{}"))
    route: str = ""
    """Postal code, street and number: in what order a van drives."""
    starts_at: datetime | None = Field(default=None, sa_type=_Instant, index=True)
    ends_at: datetime | None = Field(default=None, sa_type=_Instant)
    calendar_sequence: int = 0
    """Raised by every change that a calendar must hear (RFC 5545 SEQUENCE)."""
    delivered_at: datetime | None = Field(default=None, sa_type=_Instant)
    delivered_by: str = ""


class Booking(SQLModel, table=True):
    """A place of a delivery in a slot: held for a while, then booked."""

    __table_args__ = (
        Index(
            "booking_live",
            "delivery_id",
            unique=True,
            postgresql_where=text("status IN ('HELD', 'BOOKED')"),
        ),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    slot_id: UUID = Field(foreign_key="slot.id", index=True)
    delivery_id: UUID = Field(foreign_key="delivery.id", index=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    status: SlotStatus = Field(sa_type=_one_of(SlotStatus))
    expires_at: datetime | None = Field(default=None, sa_type=_Instant)
    created_at: datetime = Field(sa_type=_Instant)


# --- messages, effects, timers ----------------------------------------------------------------


class Message(SQLModel, table=True):
    """One message to one person over one channel (bericht)."""

    __table_args__ = (Index("message_newest", "queued_at", "id"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    person_id: UUID = Field(foreign_key="person.id", index=True)
    event_seq: int = Field(sa_type=BigInteger)
    about: str
    """The text of the definition that it carries."""
    channel: MessageChannel = Field(sa_type=_one_of(MessageChannel))
    status: MessageStatus = Field(default=MessageStatus.QUEUED, sa_type=_one_of(MessageStatus))
    reason: str = ""
    language: str = "nl"
    subject: str = ""
    body: str = ""
    legal_value: bool = False
    """True only for legal delivery (eBox, registered letter); the rest announces."""
    effect_id: UUID | None = Field(default=None, index=True)
    provider_id: str | None = Field(default=None, index=True)
    queued_at: datetime = Field(sa_type=_Instant)
    sent_at: datetime | None = Field(default=None, sa_type=_Instant)
    delivered_at: datetime | None = Field(default=None, sa_type=_Instant)


class Effect(SQLModel, table=True):
    """Something that another system must hear; written with the transition that causes it.

    Its id is the key by which the other side recognises a repeat.
    """

    __table_args__ = (
        Index(
            "effect_open", "lane", "seq", postgresql_where=text("state IN ('PENDING', 'PARKED', 'IN_DOUBT')")
        ),
        Index("effect_failed", "system", "seq", postgresql_where=text("state IN ('PARKED', 'IN_DOUBT')")),
        Index("effect_of_case", "case_id", "seq"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    seq: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), unique=True))
    lane: str
    system: str
    kind: EffectKind = Field(sa_type=_one_of(EffectKind))
    case_id: UUID | None = Field(default=None, foreign_key="case.id")
    event_seq: int | None = Field(default=None, sa_type=BigInteger)
    payload: Json = Field(default_factory=dict, sa_column=_json("{}"))
    state: EffectState = Field(default=EffectState.PENDING, sa_type=_one_of(EffectState))
    attempts: int = 0
    last_error: str = ""
    receipt: Json | None = Field(default=None, sa_type=JSONB)
    created_at: datetime = Field(sa_type=_Instant)
    retry_at: datetime | None = Field(default=None, sa_type=_Instant)
    done_at: datetime | None = Field(default=None, sa_type=_Instant)
    resend_of: UUID | None = None


class Attempt(SQLModel, table=True):
    """One call to another system; the row is committed before the call is made."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    effect_id: UUID = Field(foreign_key="effect.id", index=True)
    number: int
    started_at: datetime = Field(sa_type=_Instant)
    ended_at: datetime | None = Field(default=None, sa_type=_Instant)
    outcome: str = ""
    error: str = ""


class Lane(SQLModel, table=True):
    """A queue of effects that go out in order. `due_at` is when a worker should look; a claim moves it.

    A claimed lane has a `token`; its `due_at` is the lease: a killed worker's lane comes due by itself.
    """

    __table_args__ = (Index("lane_due", "system", "due_at", postgresql_where=text("due_at IS NOT NULL")),)

    key: str = Field(primary_key=True)
    system: str
    due_at: datetime | None = Field(default=None, sa_type=_Instant)
    token: UUID | None = None
    failures: int = 0


class SystemState(SQLModel, table=True):
    """How another system is doing, shared by all workers: pause, rate (GCRA), circuit."""

    name: str = Field(primary_key=True)
    paused: bool = False
    rate_per_second: float = 50
    burst: int = 20
    next_at: datetime | None = Field(default=None, sa_type=_Instant)
    failures: int = 0
    open_until: datetime | None = Field(default=None, sa_type=_Instant)


class Timer(SQLModel, table=True):
    """A deadline. Fired once, as an ordinary transition, in the transaction that marks it fired."""

    __table_args__ = (
        Index("timer_due", "due_at", postgresql_where=text("state = 'ARMED'")),
        Index(
            "timer_armed",
            "case_id",
            "kind",
            "subject_id",
            unique=True,
            postgresql_where=text("state = 'ARMED'"),
        ),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID | None = Field(default=None, foreign_key="case.id", index=True)
    subject_id: UUID
    """What it is about: the case itself, a payment, a booking, a draft."""
    kind: TimerKind = Field(sa_type=_one_of(TimerKind))
    due_at: datetime = Field(sa_type=_Instant)
    state: TimerState = Field(default=TimerState.ARMED, sa_type=_one_of(TimerState))
    number: int = 1
    ended_at: datetime | None = Field(default=None, sa_type=_Instant)


class Inbox(SQLModel, table=True):
    """What others told us: heard once, whatever the number of times it is said."""

    __table_args__ = (PrimaryKeyConstraint("source", "message_id"),)

    source: str
    message_id: str
    received_at: datetime = Field(sa_type=_Instant)
    outcome: Json = Field(default_factory=dict, sa_column=_json("{}"))


class IdempotentRequest(SQLModel, table=True):
    """The answer to a request with an idempotency key, kept with the effect of that request."""

    __table_args__ = (PrimaryKeyConstraint("actor", "key"),)

    actor: str
    key: str
    request_hash: bytes = Field(sa_type=_Bytes)
    answer: Json | None = Field(default=None, sa_type=JSONB)
    created_at: datetime = Field(sa_type=_Instant, index=True)


# --- authentic sources ------------------------------------------------------------------------


class MagdaRegistration(SQLModel, table=True):
    """That we follow a person at MAGDA for a purpose; ended with the last draft or case that needs it."""

    __table_args__ = (UniqueConstraint("person_id", "purpose"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    person_id: UUID = Field(foreign_key="person.id")
    purpose: str
    state: RegistrationState = Field(default=RegistrationState.WANTED, sa_type=_one_of(RegistrationState))
    began_on: date
    ended_at: datetime | None = Field(default=None, sa_type=_Instant)


class MagdaUse(SQLModel, table=True):
    """A draft or case that needs a registration; the registration ends with the last of these."""

    __table_args__ = (PrimaryKeyConstraint("registration_id", "subject_id"),)

    registration_id: UUID = Field(foreign_key="magdaregistration.id")
    subject_id: UUID


class AccessLog(SQLModel, table=True):
    """Who looked at whose data, and why; shown to the citizen."""

    __table_args__ = (Index("access_of_person", "person_id", "at", "id"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    person_id: UUID = Field(foreign_key="person.id")
    at: datetime = Field(sa_type=_Instant)
    actor_kind: ActorKind = Field(sa_type=_one_of(ActorKind))
    actor_name: str
    service: str
    """`loket` for a read in Loket itself, else the MAGDA service."""
    purpose: str
    reference: str = ""
    outcome: str = ""
    case_id: UUID | None = None


class FeedEpoch(SQLModel, table=True):
    """One row: raised by a restore, because transaction ids start anew in a restored cluster."""

    id: int = Field(default=1, primary_key=True)
    epoch: int = 1
