"""Figures of the live blueprint: follows the committed events and counts them, each exactly once.

A follower reads on from its cursor (transaction id, sequence), below the oldest running transaction like the
feed, and moves the cursor in the transaction that counts: killed at any moment, it counted all or nothing.
Workers take turns by an advisory lock; none of them leads. A restore begins a new epoch of the feed, whose
transaction ids are not comparable with the old: all is counted anew. What was counted of events that are kept
no longer was set aside before they went (`retention`), in rows of which `days` is negative.
"""

import asyncio
import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from loket import happenings
from loket.database import EVENTS, Database
from loket.definition import Definition
from loket.happenings import Read
from loket.histogram import of_one
from loket.lifecycle import EventType
from loket.phases import WHOLE, Course, Visit, belonging
from loket.records import EffectKind, Feeling
from loket.terms import BRUSSELS

logger = logging.getLogger(__name__)

BATCH = 1000
BREATH_SECONDS = 0.02
"""Between two full batches: a worker that counts a long history has lanes to serve as well."""
PAUSE_SECONDS = 0.25
"""Between two looks: figures need not be of this moment, and a batch is cheaper than its events apart."""
POLL_SECONDS = 1.0
NAME = "figures"
TURN = 0x4C4F4B4554  # "LOKET"
"""The advisory lock of whoever counts."""

BLOCKS = (1, 4, 16, 64, 256, 1024)
"""Lengths, in days, of the blocks in which figures are kept; a block begins at a multiple of its length."""

Procedures = Mapping[tuple[str, int], Definition]

LETTERS = frozenset({EffectKind.LETTER_PDF, EffectKind.LETTER_EBOX})
MESSAGES = LETTERS | {
    EffectKind.MESSAGE_MBP,
    EffectKind.MESSAGE_EMAIL,
    EffectKind.MESSAGE_SMS,
    EffectKind.ADVICE_EMAIL,
    EffectKind.STAFF_EMAIL,
}
"""Effects that bring something to a person; one on paper counts as sent when it is ready for the post."""


# --- blocks of days ---------------------------------------------------------------------------


def blocks_of(day: date) -> Iterator[tuple[int, date]]:
    """The blocks in which a day lies: length and first day."""
    number = day.toordinal()
    for days in BLOCKS:
        yield days, date.fromordinal(max(number - number % days, 1))


def blocks_between(first: date, last: date) -> Iterator[tuple[int, date]]:
    """The fewest blocks that together are the days from `first` to `last`, both included."""
    at, end = first.toordinal(), last.toordinal() + 1
    while at < end:
        days = max(one for one in BLOCKS if at % one == 0 and (at + one <= end or one == 1))
        yield days, date.fromordinal(at)
        at += days


# --- one batch --------------------------------------------------------------------------------


Key = tuple[str, str, date]
"""Procedure, phase, day."""


@dataclass
class Counted:
    """What a batch adds to the figures."""

    figures: defaultdict[Key, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By the names of their columns."""
    visits: dict[tuple[UUID, str], Visit] = field(default_factory=dict)
    """As they are after it."""


def fold(
    procedures: Procedures, batch: Iterable[Read], before: Mapping[UUID, Mapping[str, Visit]]
) -> Counted:
    """Count events in order. `before`: the visits of their cases before the first of them.

    In however many batches a history is folded, the sum is the same.
    """
    counted = Counted()
    courses: dict[UUID, Course] = {}
    for one in batch:
        definition = procedures[one.procedure]
        if one.case_id not in courses:
            known = {key: Visit(at.entered_at, at.left_at) for key, at in before.get(one.case_id, {}).items()}
            courses[one.case_id] = Course(definition, known)
        _count(counted, definition, courses[one.case_id], one)
    return counted


def _count(counted: Counted, definition: Definition, course: Course, one: Read) -> None:
    event, day = one.event, one.event.at.astimezone(BRUSSELS).date()
    was = course.place
    for phase, left in course.take(event, one.started_at):
        figures = counted.figures[definition.key, phase, day]
        counted.visits[one.case_id, phase] = course.visits[phase]
        if left is None:
            figures["cases_in"] += 1
        else:
            figures["cases_out"] += 1
            figures[LEAD_TIMES] += of_one((left.left_at or event.at) - left.entered_at)
    told = dict(_told(one))
    if told:
        here = _phase_of(definition, one, was, course.place)
        for phase in (here, WHOLE):
            counted.figures[definition.key, phase, day].update(told)


def _told(one: Read) -> Iterator[tuple[str, int]]:
    """Which figures an event raises beside those of the phases that it moves."""
    event = one.event
    message = one.kind in MESSAGES
    match event.type:
        case EventType.EFFECT_DONE:
            yield "effects_done", 1
            if message and (one.kind is not EffectKind.LETTER_PDF or one.on_paper):
                yield "messages_sent", 1
        case EventType.EFFECT_RETRIED:
            yield "effects_retried", 1
        case EventType.EFFECT_PARKED:
            yield "effects_parked", 1
            if message:
                yield "messages_failed", 1
        case EventType.TERM_LAPSED:
            yield "overdue", 1
        case _ if event.previous is not None and event.changed_status:
            yield "transitions", 1
            if one.by_staff:
                yield "by_hand", 1


def _phase_of(definition: Definition, one: Read, was: str | None, now: str | None) -> str:
    """To which phase it belongs: that of an effect's cause; of what happens, that in which it was done."""
    event = one.event
    if one.cause is not None:
        return belonging(definition, *one.cause)
    listed = next((phase.key for phase in definition.phases if event.type in phase.events), None)
    return listed or was or now or definition.phase_of(event.stage).key


# --- following --------------------------------------------------------------------------------


class Follower:
    """Counts in a worker, beside its lanes. `run` until it is cancelled; any number over one database."""

    def __init__(
        self, database: Database, procedures: Procedures, unreadable: Container[tuple[str, int]] = ()
    ) -> None:
        """`unreadable`: versions that this Loket cannot make anything of; their cases are not counted."""
        self._database = database
        self._procedures = procedures
        self._unreadable = unreadable
        self._awake = asyncio.Event()

    async def run(self) -> None:
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                pause = PAUSE_SECONDS
                try:
                    more = await self.count() == BATCH
                except Exception:
                    logger.exception("figures could not be counted; trying again")
                    more, pause = False, POLL_SECONDS
                await asyncio.sleep(BREATH_SECONDS if more else pause)
                if not more:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(POLL_SECONDS):
                            await self._awake.wait()
                    self._awake.clear()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def count(self, most: int = BATCH) -> int:
        """Count the next events; answers how many. None are, while another worker counts."""
        async with self._database.transaction() as session:
            if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(:turn)"), {"turn": TURN}):
                return 0
            xid, seq = await _cursor(session)
            batch = await happenings.after(session, xid, seq, most)
            if not batch:
                return 0
            known = [one for one in batch if one.procedure not in self._unreadable]
            before = await _visits(session, {one.case_id for one in known})
            await _write(session, fold(self._procedures, known, before))
            await session.execute(
                text("UPDATE follower SET xid = CAST(:xid AS xid8), seq = :seq WHERE name = :name"),
                {"name": NAME, "xid": str(batch[-1].xid), "seq": batch[-1].seq},
            )
            return len(batch)

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._database.listen([EVENTS])) as wake_ups:
            async for _ in wake_ups:
                self._awake.set()


async def _cursor(session: AsyncSession) -> tuple[int, int]:
    """Up to where it is counted; from the beginning at first, and in a new epoch of the feed."""
    row = (await session.execute(text(CURSOR), {"name": NAME})).one()
    if row.mine == row.epoch:
        return int(row.xid), row.seq
    if row.mine is not None:
        logger.warning("the feed is of another epoch: its figures are counted anew")
        for statement in FORGET:
            await session.execute(text(statement))
        await _count_feelings(session)
    await session.execute(text(BEGIN), {"name": NAME, "epoch": row.epoch})
    return 0, 0


async def _visits(session: AsyncSession, cases: set[UUID]) -> Mapping[UUID, Mapping[str, Visit]]:
    rows = await session.execute(text(VISITS), {"cases": list(cases)})
    found: defaultdict[UUID, dict[str, Visit]] = defaultdict(dict)
    for row in rows:
        found[row.case_id][row.phase] = Visit(row.entered_at, row.left_at)
    return found


async def _write(session: AsyncSession, counted: Counted) -> None:
    """In the order of the keys: whoever adds to the same rows does so in the same order, and none waits."""
    visits = [
        {"case": case, "phase": phase, "entered": one.entered_at, "left": one.left_at}
        for (case, phase), one in counted.visits.items()
    ]
    await session.execute(text(VISITED), {"rows": orjson.dumps(visits).decode()})
    await add(session, counted.figures)


async def add(
    session: AsyncSession, figures: Mapping[Key, Mapping[str, int]], *, aside: bool = False
) -> None:
    """Add to the figures of phases on days, by the names of their columns; or to those that are set aside."""
    sums: defaultdict[tuple[str, int, date, str], Counter[str]] = defaultdict(Counter)
    for (procedure, phase, day), numbers in figures.items():
        for days, first in blocks_of(day):
            sums[procedure, -days if aside else days, first, phase].update(numbers)
    rows = [
        [*key, *(numbers[column] for column in COLUMNS), str(numbers[LEAD_TIMES])]
        for key, numbers in sums.items()
    ]
    await session.execute(text(ADD), {"rows": orjson.dumps(rows).decode()})


async def _count_feelings(session: AsyncSession) -> None:
    """What citizens said is not in the events."""
    figures: defaultdict[Key, Counter[str]] = defaultdict(Counter)
    for row in await session.execute(text(FEELINGS)):
        figures[row.procedure_key, row.phase, row.day][Feeling(row.feeling).lower()] += row.number
    await add(session, figures)


COLUMNS: Sequence[str] = (
    "cases_in", "cases_out", "transitions", "by_hand", "effects_done", "effects_retried", "effects_parked",
    "messages_sent", "messages_failed", "overdue", "happy", "neutral", "unhappy",
)  # fmt: skip
LEAD_TIMES = "lead_times"
CURSOR = """
    SELECT feedepoch.epoch, follower.epoch AS mine, follower.xid::text AS xid, follower.seq
      FROM feedepoch LEFT JOIN follower ON follower.name = :name
"""
BEGIN = """
    INSERT INTO follower (name, epoch, xid, seq) VALUES (:name, :epoch, '0', 0)
        ON CONFLICT (name) DO UPDATE SET epoch = EXCLUDED.epoch, xid = '0', seq = 0
"""
TAKE_UP = """
    INSERT INTO figure
    SELECT (jsonb_populate_record(figure, jsonb_build_object('days', -days))).* FROM figure WHERE days < 0
"""
FORGET = (
    "LOCK TABLE figure IN SHARE ROW EXCLUSIVE MODE",  # whoever rates meanwhile comes before or after, whole
    "DELETE FROM phasevisit WHERE EXISTS (SELECT FROM event WHERE event.case_id = phasevisit.case_id)",
    "DELETE FROM figure WHERE days > 0",
    TAKE_UP,
)
VISITS = "SELECT case_id, phase, entered_at, left_at FROM phasevisit WHERE case_id = ANY(:cases)"
VISITED = """
    INSERT INTO phasevisit (case_id, phase, entered_at, left_at)
    SELECT "case", phase, entered, "left"
      FROM jsonb_to_recordset(CAST(:rows AS jsonb))
           AS row ("case" uuid, phase text, entered timestamptz, "left" timestamptz)
     ORDER BY 1, 2
        ON CONFLICT (case_id, phase)
        DO UPDATE SET entered_at = EXCLUDED.entered_at, left_at = EXCLUDED.left_at
"""
ADD = f"""
    INSERT INTO figure (procedure_key, days, day, phase, {", ".join(COLUMNS)}, {LEAD_TIMES})
    SELECT row ->> 0, (row ->> 1)::int, (row ->> 2)::date, row ->> 3,
           {", ".join(f"(row ->> {number})::int" for number in range(4, 4 + len(COLUMNS)))},
           (row ->> {4 + len(COLUMNS)})::numeric
      FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS row
     ORDER BY 1, 2, 3, 4
        ON CONFLICT (procedure_key, days, day, phase)
        DO UPDATE SET {", ".join(f"{one} = figure.{one} + EXCLUDED.{one}" for one in (*COLUMNS, LEAD_TIMES))}
"""  # noqa: S608  # our own words
FEELINGS = """
    SELECT procedure_key, phase, (rated_at AT TIME ZONE 'Europe/Brussels')::date AS day, feeling,
           count(*) AS number
      FROM experience GROUP BY 1, 2, 3, 4
"""
