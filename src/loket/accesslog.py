"""Who asked MAGDA about whom, and why; shown to the citizen beside what staff read (`api.readlog`)."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from loket.database import Database
from loket.records import AccessLog
from loket.systems.magda import CallRecord
from loket.work import Actor


@dataclass(frozen=True)
class Purpose:
    """About whom something is asked, for whom, and what for."""

    person_id: UUID
    actor: Actor
    text: str
    case_id: UUID | None = None


_purpose: ContextVar[Purpose] = ContextVar("purpose")
"""Of the consultation that this task is busy with: the adapter knows numbers, not persons."""


@contextlib.contextmanager
def consulting(purpose: Purpose) -> Iterator[None]:
    token = _purpose.set(purpose)
    try:
        yield
    finally:
        _purpose.reset(token)


async def log_call(database: Database, record: CallRecord) -> None:
    """Keep one call at MAGDA; an answer that was not logged may not be used."""
    purpose = _purpose.get()
    async with database.transaction() as session:
        session.add(
            AccessLog(
                person_id=purpose.person_id,
                at=record.started_at,
                actor_kind=purpose.actor.kind,
                actor_name=purpose.actor.name,
                service=f"{record.service}-{record.version}",
                purpose=purpose.text,
                reference=record.reference,
                outcome=" ".join((record.outcome, *record.exception_codes)),
                case_id=purpose.case_id,
            )
        )
