"""Committed events with all that the figures count of them, in the order in which they are counted.

What belongs to an event is looked up apart, by case and by effect: of such a look PostgreSQL plans the months
in question, and of one statement for everything it would plan all of them, several times over.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from loket.lifecycle import EventType, Stage, Status
from loket.phases import Happened
from loket.records import ActorKind, EffectKind


@dataclass(frozen=True, slots=True)
class Read:
    """A committed event as it is counted."""

    xid: int
    seq: int
    case_id: UUID
    procedure: tuple[str, int]
    started_at: datetime
    """When the application was begun."""
    event: Happened
    by_staff: bool
    kind: EffectKind | None = None
    """Of what became of an effect."""
    on_paper: bool = True
    """Of a letter whose paper was made: that it goes by post, and not on to the eBox."""
    cause: tuple[EventType, Stage] | None = None
    """Of an effect: the event that it follows from, and the stage in which that happened."""


async def after(session: AsyncSession, xid: int, seq: int, most: int) -> list[Read]:
    """The next events of the feed, of transactions that nobody can come before any more."""
    found = await session.execute(text(AFTER.format(most=most)), {"xid": str(xid), "seq": seq})
    return await _read(session, found.all())


async def of_cases(session: AsyncSession, cases: Sequence[UUID]) -> list[Read]:
    """All events of these cases."""
    return await _read(session, (await session.execute(text(OF_CASES), {"cases": list(cases)})).all())


async def _read(session: AsyncSession, events: Sequence[Row[Any]]) -> list[Read]:
    if not events:
        return []
    cases = await _by_id(session, CASES, {one.case_id for one in events})
    effects = await _by_id(session, EFFECTS, {one.effect for one in events if one.effect is not None})
    causes = await _causes(session, effects)
    return [_told(one, cases[one.case_id], effects.get(one.effect), causes) for one in events]


async def _by_id(session: AsyncSession, query: str, ids: set[UUID]) -> Mapping[UUID, Row[Any]]:
    if not ids:
        return {}
    return {row.id: row for row in await session.execute(text(query), {"ids": list(ids)})}


Cause = tuple[EventType, Stage]


async def _causes(
    session: AsyncSession, effects: Mapping[UUID, Row[Any]]
) -> Mapping[tuple[UUID, int], Cause]:
    """By case and number, the events that effects follow from, with the stage in which each happened."""
    asked = {(one.case_id, one.event_seq) for one in effects.values() if one.event_seq is not None}
    if not asked:
        return {}
    given = {"ids": list({case for case, _ in asked}), "seqs": [seq for _, seq in asked]}
    rows = (await session.execute(text(CAUSES), given)).all()
    stages = {(row.id, row.case_version): row.stage for row in rows if row.case_version is not None}
    return dict(_with_stage(rows, stages, asked))


def _with_stage(
    rows: Sequence[Row[Any]], stages: Mapping[tuple[UUID, int], str], asked: set[tuple[UUID, int]]
) -> Iterator[tuple[tuple[UUID, int], Cause]]:
    """An event has the stage after it; it happened in that of the version before."""
    for row in rows:
        if (row.id, row.seq) in asked:
            before = None if row.case_version is None else stages.get((row.id, row.case_version - 1))
            yield (row.id, row.seq), (EventType(row.type), Stage(before or row.stage))


def _told(
    row: Row[Any], case: Row[Any], effect: Row[Any] | None, causes: Mapping[tuple[UUID, int], Cause]
) -> Read:
    kind = row.kind if effect is None else effect.kind
    return Read(
        xid=row.xid,
        seq=row.seq,
        case_id=row.case_id,
        procedure=(case.procedure_key, case.procedure_version),
        started_at=case.started_at,
        event=Happened(
            EventType(row.type),
            Stage(row.stage),
            Status(row.status),
            Status(row.previous_status) if row.previous_status else None,
            row.occurred_at,
        ),
        by_staff=row.actor_kind == ActorKind.STAFF,
        kind=EffectKind(kind) if kind else None,
        on_paper=effect is None or effect.way != "EBOX",
        cause=None if effect is None else causes.get((row.case_id, effect.event_seq)),
    )


_EVENTS = """
    SELECT xid::text::bigint AS xid, seq, case_id, type, stage, status, previous_status, occurred_at,
           actor_kind,
           CASE WHEN type LIKE 'EFFECT_%' THEN (data ->> 'effect')::uuid END AS effect,
           CASE WHEN type LIKE 'EFFECT_%' THEN data ->> 'kind' END AS kind
      FROM event
"""
AFTER = f"""
    {_EVENTS}
     WHERE (event.xid, event.seq) > ((SELECT CAST(:xid AS xid8)), (SELECT CAST(:seq AS bigint)))
       AND event.xid < pg_snapshot_xmin(pg_current_snapshot())
     ORDER BY event.xid, event.seq
     LIMIT {{most}}
"""
"""The place is behind a SELECT: so PostgreSQL does not plan by it, and makes the plan once (as in `feed`)."""
OF_CASES = f"{_EVENTS} WHERE case_id = ANY(:cases) ORDER BY event.xid, event.seq"
CASES = """
    SELECT "case".id, "case".procedure_key, "case".procedure_version, application.started_at
      FROM "case" JOIN application ON application.id = "case".application_id
     WHERE "case".id = ANY(:ids)
"""
EFFECTS = """
    SELECT effect.id, effect.kind, effect.case_id, effect.event_seq, letter.way
      FROM everyeffect AS effect
      LEFT JOIN letter ON effect.kind = 'LETTER_PDF' AND letter.id = (effect.payload ->> 'letter_id')::uuid
     WHERE effect.id = ANY(:ids)
"""
CAUSES = """
    SELECT case_id AS id, seq, case_version, type, stage FROM event
     WHERE case_id = ANY(:ids) AND (case_version IS NOT NULL OR seq = ANY(:seqs))
"""
