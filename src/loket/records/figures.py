"""Figures of the live blueprint: counted as events come by, never looked for afterwards.

They are kept per day, and the same once more per block of 4, 16, 64, 256 and 1,024 days (`figures.BLOCKS`):
so a period of any length is a few rows.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, Numeric, PrimaryKeyConstraint, text
from sqlmodel import Field, SQLModel

from loket.records.kinds import Instant, Xid8, one_of


class Feeling(StrEnum):
    """How a citizen found a phase (beleving)."""

    HAPPY = "HAPPY"
    NEUTRAL = "NEUTRAL"
    UNHAPPY = "UNHAPPY"


class Follower(SQLModel, table=True):
    """How far somebody has read the events; moved in the transaction that uses them."""

    name: str = Field(primary_key=True)
    epoch: int = 1
    """Of the feed: transaction ids of another are not comparable."""
    xid: int = Field(sa_column=Column(Xid8, nullable=False))
    seq: int = Field(sa_type=BigInteger)


class PhaseVisit(SQLModel, table=True):
    """That a case is in a phase of its blueprint, or was; of several visits the last."""

    __table_args__ = (PrimaryKeyConstraint("case_id", "phase"),)

    case_id: UUID = Field(foreign_key="case.id")
    phase: str
    """Key in the definition; empty: the case as a whole."""
    entered_at: datetime = Field(sa_type=Instant)
    left_at: datetime | None = Field(default=None, sa_type=Instant)
    """None: it is there now."""


class Figure(SQLModel, table=True):
    """What happened in one phase of one procedure in a block of days in Belgium."""

    __table_args__ = (PrimaryKeyConstraint("procedure_key", "days", "day", "phase"),)

    procedure_key: str
    days: int
    """The length of the block."""
    day: date
    """Its first."""
    phase: str
    """Empty: the case as a whole."""
    cases_in: int = 0
    cases_out: int = 0
    transitions: int = 0
    """Changes of status."""
    by_hand: int = 0
    """Of these, made by staff."""
    effects_done: int = 0
    effects_retried: int = 0
    effects_parked: int = 0
    messages_sent: int = 0
    messages_failed: int = 0
    overdue: int = 0
    """Terms that lapsed."""
    happy: int = 0
    neutral: int = 0
    unhappy: int = 0
    lead_times: Decimal = Field(
        default=Decimal(0), sa_column=Column(Numeric, nullable=False, server_default=text("0"))
    )
    """A whole number: how long those took who went out, as a histogram (`histogram`)."""


class Experience(SQLModel, table=True):
    """What a citizen said of a phase; once per case and phase."""

    __table_args__ = (
        PrimaryKeyConstraint("case_id", "phase"),
        Index(
            "experience_newest",
            "procedure_key",
            "phase",
            "rated_at",
            postgresql_where=text("remark <> ''"),
        ),
    )

    case_id: UUID = Field(foreign_key="case.id")
    phase: str
    procedure_key: str
    feeling: Feeling = Field(sa_type=one_of(Feeling))
    remark: str = ""
    rated_at: datetime = Field(sa_type=Instant)
