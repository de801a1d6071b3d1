"""Slots, deliveries, and the places that they take."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.lifecycle import DeliveryStatus, SlotStatus
from loket.records.kinds import CalendarState, Instant, Json, json_column, one_of


class Slot(SQLModel, table=True):
    """A delivery slot as the planning tool last told; `taken` counts our own holds and bookings."""

    __table_args__ = (
        CheckConstraint("taken >= 0 AND taken <= capacity", name="slot_capacity"),
        Index("slot_by_time", "starts_at", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    external_id: str = Field(unique=True)
    starts_at: datetime = Field(sa_type=Instant)
    ends_at: datetime = Field(sa_type=Instant)
    capacity: int
    taken: int = 0
    area: str = ""
    state: CalendarState = Field(default=CalendarState.OPEN, sa_type=one_of(CalendarState))
    version: int = 1
    refreshed_at: datetime = Field(sa_type=Instant)


class Delivery(SQLModel, table=True):
    """The hand-over of goods (levering)."""

    __table_args__ = (
        UniqueConstraint("case_id", "round"),
        Index("delivery_of_day", text("((starts_at AT TIME ZONE 'Europe/Brussels')::date)"), "route", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", index=True)
    round: int = 1
    status: DeliveryStatus = Field(default=DeliveryStatus.TO_PLAN, sa_type=one_of(DeliveryStatus))
    version: int = 1
    items: list[Json] = Field(default_factory=list, sa_column=json_column("[]"))
    address: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    contact: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    route: str = ""
    """Postal code, street and number: in what order a van drives."""
    starts_at: datetime | None = Field(default=None, sa_type=Instant, index=True)
    ends_at: datetime | None = Field(default=None, sa_type=Instant)
    calendar_sequence: int = 0
    """Raised by every change that a calendar must hear (RFC 5545 SEQUENCE)."""
    delivered_at: datetime | None = Field(default=None, sa_type=Instant)
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
    status: SlotStatus = Field(sa_type=one_of(SlotStatus))
    expires_at: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
