"""Published procedures, and what else their blueprints ask to be kept of cases."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, PrimaryKeyConstraint, UniqueConstraint
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.lifecycle import CoApplicationStatus
from loket.records.kinds import Bytes, Instant, one_of


class ProcedureVersion(SQLModel, table=True):
    """One published version of a procedure. Never changed: a trigger refuses it."""

    __table_args__ = (PrimaryKeyConstraint("key", "version"),)

    key: str
    version: int
    seq: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), unique=True, nullable=False)
    )
    """In what order they were published: who has read up to here misses none."""
    source: str
    """The file's text."""
    content: str
    """What it says as JSON, in the file's order: read in milliseconds, where the text takes a second."""
    sha256: str
    """Of the content, hexadecimal: comments and layout do not count."""
    published_at: datetime = Field(sa_type=Instant)
    published_by: str
    """Who did it; of a file that came with this Loket: its name."""
    staff_id: UUID | None = Field(default=None, foreign_key="staff.id")


class CoApplication(SQLModel, table=True):
    """The question to a co-applicant whether they agree (medeaanvraag)."""

    __table_args__ = (UniqueConstraint("case_id", "round"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id")
    person_id: UUID = Field(foreign_key="person.id", index=True)
    """Whom is asked."""
    round: int = 1
    status: CoApplicationStatus = Field(
        default=CoApplicationStatus.ASKED, sa_type=one_of(CoApplicationStatus)
    )
    version: int = 1
    asked_at: datetime = Field(sa_type=Instant)
    answered_at: datetime | None = Field(default=None, sa_type=Instant)
    remark: str = ""


class Likeness(SQLModel, table=True):
    """In what a case may be like another of its procedure; see `Duplicate` in its definition."""

    __table_args__ = (
        PrimaryKeyConstraint("case_id", "duplicate"),
        Index("likeness_same", "procedure_key", "duplicate", "subject_index"),
    )

    case_id: UUID = Field(foreign_key="case.id")
    procedure_key: str
    duplicate: str
    """Key in the definition."""
    subject_index: bytes = Field(sa_type=Bytes)
    """Keyed index of all in which it must be the same."""
