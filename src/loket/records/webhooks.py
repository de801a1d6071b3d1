"""Who elsewhere is told of events by webhook, and each call that was made."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.records.kinds import ActorKind, Bytes, Instant, json_column, one_of


class WebhookState(StrEnum):
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    ENDED = "ENDED"


class WebhookPause(StrEnum):
    """Why a subscriber is told nothing for now."""

    ASKED = "ASKED"
    """By whoever subscribed, or by an operator."""
    UNREACHABLE = "UNREACHABLE"
    """No answer that counts for as long as we try."""
    GONE = "GONE"
    """The subscriber answered 410: it wants no more."""
    NOT_ALLOWED = "NOT_ALLOWED"
    """Whoever subscribed may not see these events any more."""
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    """What it was to be told next is no longer kept."""


class WebhookSubscription(SQLModel, table=True):
    """Somebody who is told of events at an address, one after the other, from its own place in the feed on.

    A worker that tells it has its `token`; `due_at` is its lease then, else when it may be told again.
    """

    __table_args__ = (
        Index("webhooksubscription_due", "due_at", postgresql_where=text("state = 'ACTIVE'")),
        Index("webhooksubscription_of_owner", "owner_id", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    url: str
    description: str = ""
    secret_sealed: bytes = Field(sa_type=Bytes)
    types: list[str] = Field(default_factory=list, sa_column=json_column("[]"))
    procedures: list[str] = Field(default_factory=list, sa_column=json_column("[]"))
    """Keys; empty: of all."""
    owner_kind: ActorKind = Field(sa_type=one_of(ActorKind))
    owner_id: UUID
    owner_name: str
    state: WebhookState = Field(default=WebhookState.ACTIVE, sa_type=one_of(WebhookState))
    pause: WebhookPause | None = Field(default=None, sa_type=one_of(WebhookPause))
    created_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    epoch: int
    """With `xid` and `seq`: the last event that it was told of, or that was not for it."""
    xid: int = Field(sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    due_at: datetime = Field(sa_type=Instant)
    token: UUID | None = None
    failures: int = 0
    """In a row."""
    failing_since: datetime | None = Field(default=None, sa_type=Instant)
    last_error: str = ""
    told: int = Field(default=0, sa_type=BigInteger)
    told_at: datetime | None = Field(default=None, sa_type=Instant)


class WebhookCall(SQLModel, table=True):
    """One attempt to tell a subscriber of one event; kept for a while."""

    __table_args__ = (Index("webhookcall_of_subscription", "subscription_id", "id"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    subscription_id: UUID = Field(foreign_key="webhooksubscription.id")
    event_id: UUID
    event_type: str
    attempt: int
    started_at: datetime = Field(sa_type=Instant)
    duration_ms: int
    http_status: int | None = None
    error: str = ""
