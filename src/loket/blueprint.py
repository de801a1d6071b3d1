"""The live blueprint: the rows of a procedure's blueprint, with what really happened in each phase.

Read from the figures alone, in one statement: it takes as long after a million events as after a thousand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson

from loket.cases import SEES_CASES
from loket.database import Database
from loket.definition import Definition, Phase
from loket.figures import BLOCKS, COLUMNS, LEAD_TIMES, NAME, blocks_between
from loket.histogram import counts_of, quantile
from loket.phases import WHOLE
from loket.records import Feeling
from loket.work import Actor

BEGINNING = date.fromordinal(700 * BLOCKS[-1])
"""The first day of a period without one: in 1963, before anything that was counted."""
END = date(9000, 1, 1)


@dataclass(frozen=True)
class Figures:
    """Of one phase, or of the case as a whole, in a period; `waiting` is now."""

    cases_in: int = 0
    cases_out: int = 0
    waiting: int = 0
    transitions: int = 0
    by_hand: int = 0
    effects_done: int = 0
    effects_retried: int = 0
    effects_parked: int = 0
    messages_sent: int = 0
    messages_failed: int = 0
    overdue: int = 0
    happy: int = 0
    neutral: int = 0
    unhappy: int = 0
    lead_time_median: float | None = None
    """Seconds; None where no case went out."""
    lead_time_p90: float | None = None

    @property
    def automatic_share(self) -> float | None:
        """Of the changes of status, those without the hand of staff; None where nothing changed."""
        return 1 - self.by_hand / self.transitions if self.transitions else None

    @property
    def ratings(self) -> int:
        return self.happy + self.neutral + self.unhappy

    def share_of(self, feeling: Feeling) -> float | None:
        """Of those who said something, who said this; None where nobody did."""
        number: int = getattr(self, feeling.lower())
        return number / self.ratings if self.ratings else None


@dataclass(frozen=True)
class Blueprint:
    """One procedure, phase by phase. `first` and `last` are days in Belgium, both included."""

    definition: Definition
    first: date | None
    last: date | None
    as_of: datetime
    """All that happened before this is counted."""
    phases: tuple[tuple[Phase, Figures], ...]
    """Those of the version that holds; what happened in a phase that it has no more counts in the whole."""
    whole: Figures


@dataclass(frozen=True)
class Remark:
    """What somebody wrote."""

    text: str
    feeling: Feeling
    rated_at: datetime


def holding(procedures: Mapping[tuple[str, int], Definition], key: str, day: date) -> Definition | None:
    """The version of a procedure that holds on a day, else its last; None for one that is not there."""
    versions = [one for (name, _), one in sorted(procedures.items()) if name == key]
    return next((one for one in reversed(versions) if one.valid_on(day)), versions[-1] if versions else None)


def may_read(actor: Actor | None, definition: Definition) -> bool:
    """Staff with a task for the department that handles it."""
    return (
        actor is not None and actor.is_staff and bool(actor.roles_at(definition.department.nl) & SEES_CASES)
    )


async def read(
    database: Database, definition: Definition, first: date | None, last: date | None, *, today: date
) -> Blueprint:
    """The blueprint with the figures of a period: from the start without `first`, to now without `last`."""
    blocks = list(blocks_between(max(first or BEGINNING, BEGINNING), min(last or today, today)))
    given = {
        "procedure": definition.key,
        "days": [days for days, _ in blocks],
        "firsts": [day for _, day in blocks],
    }
    async with database.reader() as reader:
        row = await (await reader.execute(FIGURES, given)).fetchone()
    assert row is not None
    told = orjson.loads(row[0])
    found = _figures(told)
    return Blueprint(
        definition=definition,
        first=first,
        last=last,
        as_of=datetime.fromisoformat(told["as_of"]),
        phases=tuple((phase, found.get(phase.key, Figures())) for phase in definition.phases),
        whole=_whole(found),
    )


async def remarks(
    database: Database, procedure: str, phase: str, first: date | None, last: date | None, most: int
) -> list[Remark]:
    """What citizens wrote of a phase in a period, last first."""
    given = {
        "procedure": procedure,
        "phase": phase,
        "first": first or BEGINNING,
        "last": last or END,
        "most": most,
    }
    async with database.reader() as reader:
        rows = await (await reader.execute(REMARKS, given)).fetchall()
    return [Remark(words, Feeling(feeling), rated_at) for words, feeling, rated_at in rows]


def _figures(told: Any) -> dict[str, Figures]:  # noqa: ANN401  # JSON
    found = {phase: Figures(waiting=waiting) for phase, waiting in told["waiting"].items()}
    for phase, lead_times, *numbers in told["figures"]:
        cases = counts_of(lead_times)
        found[phase] = Figures(
            waiting=told["waiting"].get(phase, 0),
            lead_time_median=quantile(cases, 0.5),
            lead_time_p90=quantile(cases, 0.9),
            **dict(zip(COLUMNS, numbers, strict=True)),
        )
    return found


def _whole(found: Mapping[str, Figures]) -> Figures:
    """The case as a whole; what citizens said is said of phases."""
    whole = found.get(WHOLE, Figures())
    feelings = {
        feeling.lower(): sum(getattr(one, feeling.lower()) for one in found.values()) for feeling in Feeling
    }
    return Figures(**{**vars(whole), **feelings})


FIGURES = f"""
    WITH period AS (SELECT * FROM unnest(%(days)s::int[], %(firsts)s::date[]) AS period (days, day)),
    told AS (SELECT phase, {", ".join(f"sum({one}) AS {one}" for one in (*COLUMNS, LEAD_TIMES))}
               FROM figure JOIN period USING (days, day) WHERE procedure_key = %(procedure)s GROUP BY phase),
    waiting AS (SELECT phase, sum(cases_in) - sum(cases_out) AS cases FROM figure
                 WHERE procedure_key = %(procedure)s AND days = {BLOCKS[-1]} GROUP BY phase)
    SELECT json_build_object(
        'figures', (
            SELECT coalesce(json_agg(json_build_array(phase, {LEAD_TIMES}::text, {", ".join(COLUMNS)})), '[]')
              FROM told),
        'waiting', (SELECT coalesce(json_object_agg(phase, cases), '{{}}') FROM waiting),
        'as_of', coalesce(
            (SELECT event.occurred_at FROM event
              WHERE (event.xid, event.seq) > (
                    coalesce((SELECT xid FROM follower JOIN feedepoch USING (epoch)
                               WHERE name = '{NAME}'), '0'::xid8),
                    coalesce((SELECT seq FROM follower JOIN feedepoch USING (epoch)
                               WHERE name = '{NAME}'), 0))
              ORDER BY event.xid, event.seq LIMIT 1),
            now()))
"""  # noqa: S608  # our own words
"""What never differs stands in it, and is no parameter: PostgreSQL then sees that a plan which it kept is as
good as a new one, and does not spend more time on planning than on reading."""
REMARKS = """
    SELECT remark, feeling, rated_at FROM experience
     WHERE procedure_key = %(procedure)s AND phase = %(phase)s AND remark <> ''
       AND rated_at >= %(first)s::date::timestamp AT TIME ZONE 'Europe/Brussels'
       AND rated_at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'Europe/Brussels'
     ORDER BY rated_at DESC LIMIT %(most)s
"""
