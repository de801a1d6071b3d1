"""Who is followed at authentic sources, and who saw which data."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Column, Index, PrimaryKeyConstraint, UniqueConstraint, text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.records.kinds import ActorKind, Instant, RegistrationState, Xid8, one_of


class MagdaRegistration(SQLModel, table=True):
    """That we follow a person at MAGDA for a purpose; ended with the last draft or case that needs it."""

    __table_args__ = (UniqueConstraint("person_id", "purpose"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    person_id: UUID = Field(foreign_key="person.id")
    purpose: str
    state: RegistrationState = Field(default=RegistrationState.WANTED, sa_type=one_of(RegistrationState))
    began_on: date
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


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
    at: datetime = Field(sa_type=Instant)
    actor_kind: ActorKind = Field(sa_type=one_of(ActorKind))
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
    floor_xid: int = Field(
        default=0, sa_column=Column(Xid8, nullable=False, server_default=text("'0'::xid8"))
    )
    """Below it events may be missing: their months are kept no longer."""
