"""What citizens fill in, and files."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, ForeignKey
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.lifecycle import ApplicationStatus
from loket.records.kinds import Bytes, Channel, Instant, Json, json_column, one_of


class Application(SQLModel, table=True):
    """What a citizen fills in (aanvraag); a draft until submitted."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    procedure_key: str
    procedure_version: int
    person_id: UUID = Field(foreign_key="person.id", index=True)
    staff_id: UUID | None = Field(default=None, foreign_key="staff.id")
    channel: Channel = Field(default=Channel.ONLINE, sa_type=one_of(Channel))
    status: ApplicationStatus = Field(default=ApplicationStatus.DRAFT, sa_type=one_of(ApplicationStatus))
    version: int = 1
    answers: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    prefill: list[Json] = Field(default_factory=list, sa_column=json_column("[]"))
    """Per field: pointer, value, source, fetched_at."""
    cart: list[Json] = Field(default_factory=list, sa_column=json_column("[]"))
    """Lines: product, quantity, options."""
    facts: Json = Field(default_factory=dict, sa_column=json_column("{}"))
    """What authentic sources said of the applicant and the household, each with source and time."""
    household_index: bytes | None = Field(default=None, sa_type=Bytes)
    acr: str | None = None
    started_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    submitted_at: datetime | None = Field(default=None, sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)


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
    created_at: datetime = Field(sa_type=Instant)
    stored_at: datetime | None = Field(default=None, sa_type=Instant)


class DocumentContent(SQLModel, table=True):
    document_id: UUID = Field(primary_key=True, foreign_key="document.id", ondelete="CASCADE")
    content: bytes = Field(sa_type=Bytes)
