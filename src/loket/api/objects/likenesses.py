"""Which other cases a case is like, as staff see it."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from strawberry import ID

from loket import duplicates
from loket.api.context import Caller
from loket.api.naming import described, output
from loket.api.procedures import Row, definition_of
from loket.cases import SEES_CASES
from loket.ids import encode_id
from loket.lifecycle import Stage, Status

_GONE = ", ".join(f"'{one}'" for one in sorted(duplicates.GONE))
LIKE = """
    (SELECT json_agg(json_build_object('duplicate', l.duplicate, 'id', o.id, 'reference', o.reference,
            'submitted_at', o.submitted_at, 'stage', o.stage, 'status', o.status,
            'valid_until', o.valid_until, 'department', o.department) ORDER BY o.submitted_at DESC, o.id DESC)
       FROM likeness l
       JOIN likeness m ON m.procedure_key = l.procedure_key AND m.duplicate = l.duplicate
                      AND m.subject_index = l.subject_index AND m.case_id <> l.case_id
       JOIN "case" o ON o.id = m.case_id
      WHERE l.case_id = {t}.id AND o.status NOT IN ({gone}))""".replace("{gone}", _GONE)
"""The others that are like it."""


@output
class CaseDuplicate:
    """Another case that counts as the same (dubbele aanvraag)."""

    key: str = described("In what it is like this one: key of the definition.")
    title: str = described("In what, in your language.")
    case_id: ID = described("Which case.")
    reference: str = described("Its reference.")
    status: Status = described("Where it stands.")
    submitted_at: datetime = described("When it was handed in.")


@dataclass(frozen=True)
class _Other:
    id: UUID
    submitted_at: datetime
    stage: Stage
    status: Status
    valid_until: date | None


def duplicates_of(row: Row, viewer: Caller) -> list[CaseDuplicate]:
    """Of a row that has `id`, `submitted_at`, `stage`, `status`, `valid_until` and `like`."""
    definition = definition_of(row, viewer)
    declared = {one.key: one for one in definition.duplicates}
    mine = _other(row)
    return [
        CaseDuplicate(
            key=one["duplicate"],
            title=declared[one["duplicate"]].title.get(viewer.language),
            case_id=ID(encode_id("Case", UUID(one["id"]))),
            reference=one["reference"],
            status=Status(one["status"]),
            submitted_at=datetime.fromisoformat(one["submitted_at"]),
        )
        for one in row["like"] or ()
        if one["duplicate"] in declared
        and viewer.roles_at(one["department"]) & SEES_CASES
        and duplicates.counts(definition, declared[one["duplicate"]], mine, _other(one), viewer.today)
    ]


def _other(row: Row) -> _Other:
    until = row["valid_until"]
    return _Other(
        UUID(row["id"]),
        datetime.fromisoformat(row["submitted_at"]),
        Stage(row["stage"]),
        Status(row["status"]),
        date.fromisoformat(until) if until else None,
    )
