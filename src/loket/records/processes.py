"""Which processes of Loket run, on whatever machine."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlmodel import Field, SQLModel

from loket.records.kinds import Instant, json_column, one_of


class ProcessKind(StrEnum):
    API = "API"
    WORKER = "WORKER"


class Process(SQLModel, table=True):
    """A process that runs: it says so every few seconds, and takes its row away when it stops.

    All instants are the database's: clocks of machines differ.
    """

    id: UUID = Field(primary_key=True)
    kind: ProcessKind = Field(sa_type=one_of(ProcessKind))
    name: str
    """Machine and process number, for people."""
    version: str
    started_at: datetime = Field(sa_type=Instant)
    beat_at: datetime = Field(sa_type=Instant)
    counted: list[Any] = Field(default_factory=list, sa_column=json_column("[]"))
    """What it counted since it started (`metrics`)."""
