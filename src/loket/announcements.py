"""Events as subscribers elsewhere get them, and which of them are for whom: whoever may read them here.

An operator's are those of the cases of whose departments they are operator; a body's are about the advice
that it is asked. Nobody's name stands in one: who needs more asks for it, and is then asked who they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from loket.app import Loket
from loket.database import Reader
from loket.departments import departments_of, roles_of
from loket.feed import FLOOR
from loket.identity import SERVICES
from loket.ids import encode_id
from loket.interests import Cursor
from loket.lifecycle import ABOUT_ADVICE, Role
from loket.records import ActorKind

MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"


@dataclass(frozen=True)
class Sight:
    """Whose events somebody may see: of departments (None: of all), or the advice that bodies are asked."""

    departments: frozenset[str] | None = None
    bodies: frozenset[str] | None = None


@dataclass(frozen=True)
class Told:
    """An event as subscribers get it. `wanted`: whether it is for this one at all."""

    cursor: Cursor
    id: UUID
    type: str
    wanted: bool
    document: dict[str, Any]


async def is_dropped(reader: Reader, place: Cursor) -> bool:
    """Whether events after `place` may be gone by now; asked after reading, so that no gap goes unseen."""
    row = await (await reader.execute(FLOOR)).fetchone()
    return row is None or 0 < place.xid < row[0]


def sight_of(loket: Loket, owner_kind: ActorKind, owner_id: UUID, role_names: Sequence[str]) -> Sight | None:
    """What whoever subscribed may see now; None for nothing."""
    if owner_kind is ActorKind.SERVICE:
        accounts = loket.settings.acmidm.service_accounts
        client = next((one for one in accounts.clients if uuid5(SERVICES, one) == owner_id), None)
        return Sight(bodies=frozenset(accounts.bodies_of(client))) if client is not None else None
    if Role.OPERATOR not in roles_of(role_names):
        return None
    departments = departments_of(role_names).get(Role.OPERATOR)
    return Sight(departments=None if departments is None else frozenset(departments))


async def after(
    reader: Reader,
    place: Cursor,
    sight: Sight,
    *,
    types: Sequence[str],
    procedures: Sequence[str],
    most: int,
) -> list[Told]:
    """What happened after `place`, at most so many; those that are not wanted too, so that one gets past.

    `procedures`: none for all of them.
    """
    given = {
        "xid": place.xid,
        "seq": place.seq,
        "types": list(types),
        "procedures": list(procedures),
        "departments": None if sight.departments is None else sorted(sight.departments),
        "bodies": None if sight.bodies is None else sorted(sight.bodies),
        "about_advice": sorted(ABOUT_ADVICE),
    }
    rows = await (await reader.execute(EVENTS_AFTER.format(most=most), given)).fetchall()
    return [
        _told(Cursor(place.epoch, xid, seq), id, type, wanted, *rest)
        for xid, seq, id, type, wanted, *rest in rows
    ]


def _told(cursor: Cursor, id: UUID, type: str, wanted: bool, *rest: Any) -> Told:  # noqa: ANN401  # columns
    """An event as CloudEvents 1.0 has it; nobody's name stands in it."""
    if not wanted:
        return Told(cursor, id, type, wanted, {})
    case_id, reference, procedure, status, previous, stage, at, actor_kind, advice = rest
    data = {
        "id": encode_id("CaseEvent", id),
        "cursor": str(cursor),
        "type": type,
        "status": status,
        "previousStatus": previous,
        "stage": stage,
        "occurredAt": at,
        "actor": actor_kind,
        "case": {"id": encode_id("Case", case_id), "reference": reference, "procedure": procedure},
    }
    if advice is not None:
        data["advice"] = encode_id("Advice", UUID(advice))
    document = {
        "specversion": "1.0",
        "id": str(id),
        "type": f"loket.{type}",
        "subject": reference,
        "time": at,
        "datacontenttype": "application/json",
        "data": data,
    }
    return Told(cursor, id, type, wanted, document)


EVENTS_AFTER = """
    SELECT event.xid::text::bigint, event.seq, event.id, event.type,
           event.type = ANY(%(types)s::text[])
           AND (cardinality(%(procedures)s::text[]) = 0 OR c.procedure_key = ANY(%(procedures)s::text[]))
           AND (%(departments)s::text[] IS NULL OR c.department_key = ANY(%(departments)s::text[]))
           AND (%(bodies)s::text[] IS NULL OR event.type = ANY(%(about_advice)s::text[]) AND EXISTS (
                   SELECT FROM advice a
                    WHERE a.id = (event.data ->> 'advice')::uuid AND a.kind = 'EXTERNAL'
                      AND a.adviser = ANY(%(bodies)s::text[]))),
           c.id, c.reference, c.procedure_key, event.status, event.previous_status, event.stage,
           event.occurred_at, event.actor_kind,
           CASE WHEN event.type = ANY(%(about_advice)s::text[]) THEN event.data ->> 'advice' END
      FROM event JOIN "case" c ON c.id = event.case_id
     WHERE (event.xid, event.seq) > ((SELECT %(xid)s::text::xid8), (SELECT %(seq)s::bigint))
       AND event.xid < pg_snapshot_xmin(pg_current_snapshot())
     ORDER BY event.xid, event.seq
     LIMIT {most}
"""
"""The place is behind a SELECT: so PostgreSQL does not plan by it, and makes the plan once (as in `feed`)."""
