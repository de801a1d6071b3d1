"""Who asked MAGDA about whom, and why; shown to the citizen beside what staff read (`api.readlog`)."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket.database import Database
from loket.records import AccessLog
from loket.systems.magda import CallRecord
from loket.work import Actor, Work

LOKET = "loket"
"""The service of a look in Loket itself."""
SAME_LOOK = timedelta(minutes=10)


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


async def looked(work: Work, person_id: UUID, purpose: str, case_id: UUID | None = None) -> None:
    """The actor reads of somebody in Loket itself; again within ten minutes is the same look."""
    before = await work.session.scalar(
        select(col(AccessLog.id))
        .where(
            col(AccessLog.person_id) == person_id,
            col(AccessLog.case_id).is_not_distinct_from(case_id),
            col(AccessLog.service) == LOKET,
            col(AccessLog.actor_name) == work.actor.name,
            col(AccessLog.at) > work.now - SAME_LOOK,
        )
        .limit(1)
    )
    if before is None:
        work.session.add(
            AccessLog(
                person_id=person_id,
                at=work.now,
                actor_kind=work.actor.kind,
                actor_name=work.actor.name,
                service=LOKET,
                purpose=purpose,
                outcome="READ",
                case_id=case_id,
            )
        )
