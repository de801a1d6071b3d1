"""What happened, its place in the feed, and whom it concerns: what is told to whoever listens."""

import base64
from dataclasses import dataclass
from typing import Protocol, Self
from uuid import UUID

from loket.errors import ErrorCode, Refused
from loket.lifecycle import EventType, Status


@dataclass(frozen=True, order=True)
class Cursor:
    """A place in the feed of one epoch (a restore begins a new epoch)."""

    epoch: int
    xid: int
    seq: int

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.epoch}.{self.xid}.{self.seq}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `Refused` VALIDATION for what is no cursor of ours."""
        try:
            padded = text + "=" * (-len(text) % 4)
            epoch, xid, seq = base64.urlsafe_b64decode(padded).decode().split(".")
            found = cls(int(epoch), int(xid), int(seq))
        except ValueError as fault:
            raise Refused(ErrorCode.VALIDATION, path=["after"], reason="not a cursor") from fault
        if not all(0 <= part < 2**63 for part in (found.epoch, found.xid, found.seq)):
            raise Refused(ErrorCode.VALIDATION, path=["after"], reason="not a cursor")
        return found


@dataclass(frozen=True)
class Happening:
    """One committed event, as much of it as is needed to know whom it concerns."""

    cursor: Cursor
    event_id: UUID
    case_id: UUID
    person_id: UUID
    type: EventType
    status: Status
    """The case's status after it."""
    procedure: str
    handler_id: UUID | None
    """Whose case it was when the event was read."""
    department: str
    """Its key."""


@dataclass(frozen=True)
class Interest:
    """Whose events: of a case, a person, departments, or all (staff); of these, which. None: no matter."""

    case_id: UUID | None = None
    person_id: UUID | None = None
    procedure: str | None = None
    handler_id: UUID | None = None
    statuses: frozenset[Status] | None = None
    types: frozenset[EventType] | None = None
    departments: frozenset[str] | None = None

    def wants(self, one: Happening) -> bool:
        return (
            (self.case_id is None or one.case_id == self.case_id)
            and (self.person_id is None or one.person_id == self.person_id)
            and (self.procedure is None or one.procedure == self.procedure)
            and (self.handler_id is None or one.handler_id == self.handler_id)
            and (self.statuses is None or one.status in self.statuses)
            and (self.types is None or one.type in self.types)
            and (self.departments is None or one.department in self.departments)
        )

    @property
    def subject(self) -> UUID | None:
        """The one case or person whose events these are; None where they may be anybody's."""
        return self.case_id or self.person_id


class Listener(Protocol):
    """Whom events are told to, in their order, as the process reads them."""

    @property
    def interest(self) -> Interest: ...

    @property
    def subscribers(self) -> int:
        """How many listen through it."""

    @property
    def backlog(self) -> int:
        """Events that it has heard and not dealt with, if it deals with them without waiting for anybody."""

    def hear(self, one: Happening) -> bool:
        """False when it can take no more: then it is lost."""

    def lose(self, code: ErrorCode) -> None:
        """It hears nothing more: FELL_BEHIND, or CURSOR_EXPIRED where a restore began another epoch."""
