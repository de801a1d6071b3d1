"""Citizens, staff, and how they sign in."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from loket.records.kinds import Bytes, Instant, Json, MessageChannel, json_column, one_of


def folded(text: str) -> str:
    """Words without accents, capitals and punctuation, in SQL."""
    bare = rf"lower(regexp_replace(normalize({text}, NFD), '[\u0300-\u036f]+', '', 'g'))"
    return rf"regexp_replace({bare}, '[!-/:-@\u005b-\u0060\u007b-\u007e[:space:]]+', ' ', 'g')"


def key_of(department: str) -> str:
    """A department's words without anything between them, in SQL; in Python: `departments.key_of`."""
    return f"replace({folded(department)}, ' ', '')"


_NAME = "given_name || ' ' || family_name"
NAMES = f"to_tsvector('simple', {folded(_NAME)})"
"""The words of a person's name, to search by."""


class Person(SQLModel, table=True):
    """A citizen."""

    __table_args__ = (Index("person_names", text(NAMES.replace(":", "\\:")), postgresql_using="gin"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    insz_sealed: bytes | None = Field(default=None, sa_type=Bytes)
    insz_index: bytes | None = Field(default=None, sa_type=Bytes, unique=True)
    former_insz_index: bytes | None = Field(default=None, sa_type=Bytes, unique=True)
    """Of the number that the National Register replaced: who signs in with it is still this person."""
    given_name: str = ""
    family_name: str = ""
    birth_on: date | None = None
    address: Json | None = Field(default=None, sa_type=JSONB)
    email: str | None = None
    email_verified_at: datetime | None = Field(default=None, sa_type=Instant)
    phone: str | None = None
    phone_verified_at: datetime | None = Field(default=None, sa_type=Instant)
    language: str = "nl"
    by_email: bool = True
    by_sms: bool = False
    by_letter: bool = False
    """Asked for letters in the place of e-mails and text messages."""
    deceased_on: date | None = None
    created_at: datetime = Field(sa_type=Instant)


class Staff(SQLModel, table=True):
    """Somebody who works for the municipality; roles as ACM/IDM last told."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    subject: str = Field(unique=True)
    given_name: str = ""
    family_name: str = ""
    organisation: str = ""
    roles: list[str] = Field(default_factory=list, sa_column=json_column("[]"))
    seen_at: datetime = Field(sa_type=Instant)


class WebSession(SQLModel, table=True):
    """A cookie session of the website; only the hash of its token is kept."""

    token_hash: bytes = Field(sa_type=Bytes, primary_key=True)
    person_id: UUID | None = Field(default=None, foreign_key="person.id")
    staff_id: UUID | None = Field(default=None, foreign_key="staff.id")
    roles: list[str] = Field(default_factory=list, sa_column=json_column("[]"))
    acr: str | None = None
    expires_at: datetime = Field(sa_type=Instant, index=True)


class SignInAttempt(SQLModel, table=True):
    """Between /auth/login and /auth/callback; used once."""

    state_hash: bytes = Field(sa_type=Bytes, primary_key=True)
    nonce: str
    code_verifier: str
    audience: str
    return_to: str
    expires_at: datetime = Field(sa_type=Instant, index=True)


class ContactCode(SQLModel, table=True):
    """A code that proves that a contact point is somebody's own."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    person_id: UUID = Field(foreign_key="person.id", index=True)
    channel: MessageChannel = Field(sa_type=one_of(MessageChannel))
    address: str
    code_hash: bytes = Field(sa_type=Bytes)
    tries: int = 0
    expires_at: datetime = Field(sa_type=Instant)
