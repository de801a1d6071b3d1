"""Cases, their history, and what is found and decided on them."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Sequence,
    String,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.lifecycle import CheckStatus, DecisionStatus, EventType, Stage, Status, TaskStatus
from loket.records.kinds import ActorKind, Bytes, Channel, Instant, Json, Money, Xid8, json_column, one_of
from loket.records.people import key_of

case_number = Sequence("case_number")
"""What case references are made from; gaps are fine, nobody waits for another."""


class Case(SQLModel, table=True):
    """What the municipality handles (dossier), from submission on."""

    __table_args__ = (
        Index("case_queue", "status", "submitted_at", "id"),
        Index("case_of_department", "department_key", "submitted_at", "id"),
        Index("case_queue_of_department", "department_key", "status", "submitted_at", "id"),
        Index("case_handler", "handler_id", "submitted_at", "id"),
        Index("case_newest", "submitted_at", "id"),
        Index("case_of_person", "person_id", "submitted_at", "id"),
        Index("case_due", "due_on", "id", postgresql_where=text("closed_at IS NULL")),
        Index("case_open", "submitted_at", "id", postgresql_where=text("closed_at IS NULL")),
        Index("case_updated", "updated_at", "id"),
        Index("case_reference_begins", "reference", postgresql_ops={"reference": "text_pattern_ops"}),
        Index("case_overdue", "due_on", "id", postgresql_where=text("overdue")),
        Index("case_valid", "valid_until", "id", postgresql_where=text("valid_until IS NOT NULL")),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    reference: str = Field(unique=True)
    procedure_key: str
    procedure_version: int
    person_id: UUID = Field(foreign_key="person.id")
    application_id: UUID = Field(foreign_key="application.id", unique=True)
    channel: Channel = Field(default=Channel.ONLINE, sa_type=one_of(Channel))
    stage: Stage = Field(sa_type=one_of(Stage))
    status: Status = Field(default=Status.RECEIVED, sa_type=one_of(Status))
    version: int = 0
    """The number of its events: each transition adds one."""
    round: int = 1
    """Raised by a reopening; outcomes are kept per round."""
    department: str = ""
    """As the procedure names it in Dutch."""
    department_key: str | None = Field(
        default=None,
        sa_column=Column(
            String, Computed(key_of("department").replace(":", "\\:"), persisted=True), nullable=False
        ),
    )
    """The same in one word, by which the roles of staff name it: `Sociale dienst` is `socialedienst`."""
    handler_id: UUID | None = Field(default=None, foreign_key="staff.id")
    submitted_at: datetime = Field(sa_type=Instant)
    due_on: date
    overdue: bool = False
    suspensions: list[Json] = Field(default_factory=list, sa_column=json_column("[]"))
    """Periods in which the term stands still: reason, from, to."""
    outcome: str | None = None
    household_index: bytes | None = Field(default=None, sa_type=Bytes, index=True)
    facts: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    valid_from: date | None = None
    """First day on which what was granted holds; of a completed case."""
    valid_until: date | None = None
    """Last day; the case stays completed after it."""
    renewal_id: UUID | None = Field(default=None, foreign_key="application.id")
    """The draft that was opened to ask it again."""
    closed_at: datetime | None = Field(default=None, sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)


class Event(SQLModel, table=True):
    """What happened; append-only. Feeds subscriptions, notifiers, timeline, statistics and audit alike.

    Kept by the month in which its case began (`months`), so all events of a case lie together: whoever looks
    one up names the case, and one month is read instead of all.
    """

    __table_args__ = (
        PrimaryKeyConstraint("case_id", "seq"),
        UniqueConstraint("case_id", "case_version"),
        Index("event_feed", "xid", "seq"),
        Index("event_of_person", "person_id", "seq"),
        Index("event_by_id", "id"),
        {"postgresql_partition_by": "RANGE (case_id)"},
    )

    seq: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    """No two are equal, though no index over all months can say so: nobody but the database gives it."""
    xid: int | None = Field(
        default=None, sa_column=Column(Xid8, nullable=False, server_default=text("pg_current_xact_id()"))
    )
    """Its place in the feed, with `seq`: of its transaction, and never before the case's last event."""
    id: UUID = Field(default_factory=uuid7)
    case_id: UUID = Field(foreign_key="case.id")
    person_id: UUID = Field(foreign_key="person.id")
    case_version: int | None = None
    """Empty for what became of an effect: that is no change of the case."""
    type: EventType = Field(sa_type=one_of(EventType))
    stage: Stage = Field(sa_type=one_of(Stage))
    status: Status = Field(sa_type=one_of(Status))
    previous_status: Status | None = Field(default=None, sa_type=one_of(Status, "previous_status"))
    occurred_at: datetime = Field(sa_type=Instant)
    actor_kind: ActorKind = Field(sa_type=one_of(ActorKind))
    actor_id: UUID | None = None
    actor_name: str = ""
    data: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    chain: bytes = Field(sa_type=Bytes)
    """SHA-256 over the previous event's chain and this row: a changed past shows."""
    trace: UUID | None = None
    """Of what was asked (`tracing`): the same in the log, in errors and in what other systems got."""


class Task(SQLModel, table=True):
    """Something on a case that only a person can settle (taak)."""

    __table_args__ = (
        Index("task_open", "case_id", "kind", unique=True, postgresql_where=text("status = 'OPEN'")),
        Index("task_oldest", "status", "opened_at", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    kind: str
    status: TaskStatus = Field(default=TaskStatus.OPEN, sa_type=one_of(TaskStatus))
    data: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    opened_at: datetime = Field(sa_type=Instant)
    done_at: datetime | None = Field(default=None, sa_type=Instant)
    done_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    remark: str = ""


class Note(SQLModel, table=True):
    """A handler's own words on a case; never shown to the citizen."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    staff_id: UUID = Field(foreign_key="staff.id")
    text: str
    created_at: datetime = Field(sa_type=Instant)


class Check(SQLModel, table=True):
    """An automatic look-up at an authentic source: yes or no, code and reference, never raw data."""

    __table_args__ = (UniqueConstraint("case_id", "kind", "round"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    kind: str
    """SOURCES, or the key of a check in the definition."""
    round: int = 1
    status: CheckStatus = Field(default=CheckStatus.RUNNING, sa_type=one_of(CheckStatus))
    code: str = ""
    reference: str = ""
    subject_index: bytes | None = Field(default=None, sa_type=Bytes)
    """Keyed index of the national number that it was met for."""
    document_id: UUID | None = Field(default=None, foreign_key="document.id")
    """What stands in its place."""
    replaced_by_id: UUID | None = Field(default=None, foreign_key="staff.id")
    remark: str = ""
    started_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class Decision(SQLModel, table=True):
    """What was decided on a case, by whom or by rule, and why (besluit)."""

    __table_args__ = (
        UniqueConstraint("case_id", "round"),
        CheckConstraint("amount IS NULL OR amount >= 0", name="decision_amount"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    round: int = 1
    status: DecisionStatus = Field(sa_type=one_of(DecisionStatus))
    version: int = 1
    by_rule: bool = False
    body: str | None = None
    """COLLEGE, COUNCIL, VAST_BUREAU, RMW or BCSD; empty where a handler or a rule decides."""
    staff_id: UUID | None = Field(default=None, foreign_key="staff.id")
    proposal: DecisionStatus | None = Field(default=None, sa_type=one_of(DecisionStatus, "proposal"))
    """What is put before the body: GRANTED, PARTLY_GRANTED or REFUSED."""
    amount: Decimal | None = Field(default=None, sa_type=Money)
    """What is granted, or proposed so far."""
    benefits: list[Json] = Field(default_factory=list, sa_column=json_column("[]"))
    """Per benefit that was asked: key, title, amount, granted, and the subject's keyed index (hex)."""
    conditions: str = ""
    motivation_legal: str
    motivation_factual: str
    agenda_item_id: UUID | None = Field(default=None, foreign_key="agendaitem.id", index=True)
    decided_at: datetime | None = Field(default=None, sa_type=Instant)
    decided_on: date | None = None
    """Day of the meeting."""
    signatories: list[Json] = Field(default_factory=list, sa_column=json_column("[]"))
    """name, function, signed_on; two for a body's decision."""
    document_id: UUID | None = Field(default=None, foreign_key="document.id")
    """The signed decision."""
    document_sha256: str = ""
    text: str = ""
    """What the body really decided, in its own words, where it changed the draft."""
    withdrawn_at: datetime | None = Field(default=None, sa_type=Instant)
    withdrawn_reason: str = ""


class Quota(SQLModel, table=True):
    """How many of a product a household took in a period; period 0 = ever."""

    __table_args__ = (
        PrimaryKeyConstraint("procedure_key", "product", "household_index", "period"),
        CheckConstraint("quantity >= 0 AND (ceiling IS NULL OR quantity <= ceiling)", name="quota_within"),
    )

    procedure_key: str
    product: str
    household_index: bytes = Field(sa_type=Bytes)
    period: int
    quantity: int = 0
    ceiling: int | None = None


class QuotaClaim(SQLModel, table=True):
    """What one case took of a quota; given back when the case ends without delivery."""

    __table_args__ = (PrimaryKeyConstraint("case_id", "product"),)

    case_id: UUID = Field(foreign_key="case.id")
    product: str
    household_index: bytes = Field(sa_type=Bytes)
    period: int
    quantity: int
    released: bool = False
