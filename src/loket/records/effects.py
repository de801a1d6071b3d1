"""What is told to people and to other systems, and what must happen later."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, PrimaryKeyConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.lifecycle import MessageStatus, TimerKind
from loket.records.kinds import (
    Bytes,
    EffectKind,
    EffectState,
    Instant,
    Json,
    MessageChannel,
    TimerState,
    json_column,
    one_of,
)


class Message(SQLModel, table=True):
    """One message to one person over one channel (bericht)."""

    __table_args__ = (Index("message_newest", "queued_at", "id"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    person_id: UUID = Field(foreign_key="person.id", index=True)
    event_seq: int = Field(sa_type=BigInteger)
    about: str
    """The text of the definition that it carries."""
    channel: MessageChannel = Field(sa_type=one_of(MessageChannel))
    status: MessageStatus = Field(default=MessageStatus.QUEUED, sa_type=one_of(MessageStatus))
    reason: str = ""
    language: str = "nl"
    subject: str = ""
    body: str = ""
    legal_value: bool = False
    """True only for legal delivery (eBox, registered letter); the rest announces."""
    effect_id: UUID | None = Field(default=None, index=True)
    provider_id: str | None = Field(default=None, index=True)
    queued_at: datetime = Field(sa_type=Instant)
    sent_at: datetime | None = Field(default=None, sa_type=Instant)
    delivered_at: datetime | None = Field(default=None, sa_type=Instant)


class Effect(SQLModel, table=True):
    """Something that another system must hear; written with the transition that causes it.

    Its id is the key by which the other side recognises a repeat; it also says in which month it is kept
    (`months`). Those in which nothing is open any more lie in the archive: `EVERY_EFFECT` has them too.
    """

    __table_args__ = (
        Index(
            "effect_open", "lane", "seq", postgresql_where=text("state IN ('PENDING', 'PARKED', 'IN_DOUBT')")
        ),
        Index("effect_failed", "system", "seq", postgresql_where=text("state IN ('PARKED', 'IN_DOUBT')")),
        Index("effect_of_case", "case_id", "seq"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    seq: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    lane: str
    system: str
    kind: EffectKind = Field(sa_type=one_of(EffectKind))
    case_id: UUID | None = Field(default=None, foreign_key="case.id")
    event_seq: int | None = Field(default=None, sa_type=BigInteger)
    payload: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    state: EffectState = Field(default=EffectState.PENDING, sa_type=one_of(EffectState))
    attempts: int = 0
    last_error: str = ""
    receipt: Json | None = Field(default=None, sa_type=JSONB)
    created_at: datetime = Field(sa_type=Instant)
    retry_at: datetime | None = Field(default=None, sa_type=Instant)
    done_at: datetime | None = Field(default=None, sa_type=Instant)
    resend_of: UUID | None = None
    trace: str | None = None
    """W3C `traceparent` of what caused it."""


class Attempt(SQLModel, table=True):
    """One call to another system; the row is committed before the call is made. Kept beside its effect."""

    __table_args__ = (
        PrimaryKeyConstraint("id", "effect_id"),
        {"postgresql_partition_by": "RANGE (effect_id)"},
    )

    id: UUID = Field(default_factory=uuid7)
    effect_id: UUID = Field(index=True)
    number: int
    started_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    outcome: str = ""
    error: str = ""


class Lane(SQLModel, table=True):
    """A queue of effects that go out in order. `due_at` is when a worker should look; a claim moves it.

    A claimed lane has a `token`; its `due_at` is the lease: a killed worker's lane comes due by itself.
    """

    __table_args__ = (Index("lane_due", "system", "due_at", postgresql_where=text("due_at IS NOT NULL")),)

    key: str = Field(primary_key=True)
    system: str
    due_at: datetime | None = Field(default=None, sa_type=Instant)
    token: UUID | None = None
    failures: int = 0


class SystemState(SQLModel, table=True):
    """How another system is doing, shared by all workers: pause, rate (GCRA), circuit."""

    name: str = Field(primary_key=True)
    paused: bool = False
    rate_per_second: float = 50
    burst: int = 20
    next_at: datetime | None = Field(default=None, sa_type=Instant)
    failures: int = 0
    open_until: datetime | None = Field(default=None, sa_type=Instant)


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
    kind: TimerKind = Field(sa_type=one_of(TimerKind))
    due_at: datetime = Field(sa_type=Instant)
    state: TimerState = Field(default=TimerState.ARMED, sa_type=one_of(TimerState))
    number: int = 1
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class Inbox(SQLModel, table=True):
    """What others told us: heard once, whatever the number of times it is said."""

    __table_args__ = (PrimaryKeyConstraint("source", "message_id"),)

    source: str
    message_id: str
    received_at: datetime = Field(sa_type=Instant)
    outcome: Json = Field(default_factory=dict, sa_column=json_column("{}"))


class IdempotentRequest(SQLModel, table=True):
    """The answer to a request with an idempotency key, kept with the effect of that request."""

    __table_args__ = (PrimaryKeyConstraint("actor", "key"),)

    actor: str
    key: str
    request_hash: bytes = Field(sa_type=Bytes)
    answer: Json | None = Field(default=None, sa_type=JSONB)
    created_at: datetime = Field(sa_type=Instant, index=True)
