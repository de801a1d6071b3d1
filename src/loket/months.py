"""History by month: events lie by when their case began, effects and attempts by when the effect was left.

Keys are UUIDv7, so a month is a range of them: whoever looks for one case or one effect reads one month,
however many there are. Months are made ahead; what comes for one that nobody made lies in the default part
until somebody does. A month of effects in which nothing is open any more goes to the archive as it stands: it
changes hands, nothing is copied.

All of it is done while others read and write. Each step is a transaction of its own that takes its locks
within `LOCK_MS` or not at all: then it is tried again later.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from uuid_utils.compat import uuid7

KEYS = {"event": "case_id", "effect": "id", "attempt": "effect_id"}
"""The tables that are kept by month, and by which key."""
ARCHIVES = {"effect": "effectarchive", "attempt": "attemptarchive"}
AHEAD = 3
"""Months after this one that are there: a Loket that nobody tends for a season goes on as ever."""
LOCK_MS = 250
"""Who waits for us in that time waits no longer than this; shorter than it takes to find a deadlock."""
SETTLED = timedelta(days=1)
"""So long at least an effect is done before its month is put away: who just asked it again still sees it."""
PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds before whoever migrates tries to lock once more."""
TIMED = 7
"""The version of UUIDs that begin with their moment, in milliseconds (RFC 9562)."""
DAY = 86_400_000 << 80
"""How far apart the ids of a day are, at least: its milliseconds."""
TURN = 5057532
"""The advisory lock of whoever changes months; the number is Loket's own."""


@dataclass(frozen=True)
class Part:
    """One month of a table; the first is all that was there before months were kept."""

    table: str
    name: str
    since: UUID | None
    """None: from the beginning."""
    until: UUID

    @property
    def ends_on(self) -> date:
        """The first day that is no longer in it."""
        return _day_of(self.until)

    @property
    def values(self) -> str:
        since = f"'{self.since}'" if self.since else "MINVALUE"
        return f"FOR VALUES FROM ({since}) TO ('{self.until}')"


def bound(day: date) -> UUID:
    """What comes before every UUIDv7 of `day` (UTC) and later, and after all that were made before."""
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return UUID(int=int(instant.timestamp()) * 1000 << 80)


def since(key: UUID) -> UUID:
    """What comes before every id that `not_before` gives for `key`; a day before, for older effects."""
    return UUID(int=max(key.int - DAY, 0) >> 80 << 80) if key.version == TIMED else UUID(int=0)


def not_before(key: UUID) -> UUID:
    """A new UUIDv7 that is of no earlier moment than `key`, also where the clock was put back since."""
    fresh = uuid7()
    if key.version != TIMED or fresh >= key:
        return fresh
    return UUID(int=(key.int >> 80 << 80) | (fresh.int & (1 << 80) - 1))


def month_of(day: date, after: int = 0) -> date:
    """The first day of its month, or of the how manieth `after` it (before it, where negative)."""
    number = day.year * 12 + day.month - 1 + after
    return date(number // 12, number % 12 + 1, 1)


def _day_of(key: UUID) -> date:
    return datetime.fromtimestamp((key.int >> 80) / 1000, UTC).date()


def part_of(table: str, month: date) -> Part:
    return Part(table, f"{table}_{month:%Y_%m}", bound(month), bound(month_of(month, 1)))


# --- what there is ----------------------------------------------------------------------------


def parts(connection: Connection, table: str) -> list[Part]:
    """The months of `table`, oldest first; without the default."""
    found = []
    for name, values in connection.execute(text(PARTS), {"table": table}):
        bounds = [UUID(one) for one in re.findall(r"'([0-9a-f-]{36})'", values)]
        if bounds:
            found.append(Part(table, name, bounds[0] if len(bounds) > 1 else None, bounds[-1]))
    return sorted(found, key=lambda one: one.until)


def missing(connection: Connection, today: date, ahead: int = AHEAD) -> list[Part]:
    """Months that must be made: this one, those ahead, and those of what lies in a default part."""
    last = month_of(today, ahead)
    wanted = [
        part_of(table, month)
        for table in KEYS
        for month in sorted(
            {*_stranded(connection, table, last), *(month_of(today, one) for one in range(ahead + 1))}
        )
    ]
    there = {table: parts(connection, table) + _archived(connection, table) for table in KEYS}
    return [one for one in wanted if not any(_overlap(one, other) for other in there[one.table])]


def _stranded(connection: Connection, table: str, last: date) -> Iterator[date]:
    """Months, `last` and before, of which rows lie in the default part; a key that is no UUIDv7 has none."""
    key, since, until = KEYS[table], UUID(int=0), bound(month_of(last, 1))
    first_of = text(f"SELECT {key} FROM {table}_default WHERE {key} >= :since ORDER BY {key} LIMIT 1")  # noqa: S608  # our own words
    while (found := connection.scalar(first_of, {"since": since})) is not None and found < until:
        month = month_of(_day_of(found))
        yield month
        since = bound(month_of(month, 1))


def _archived(connection: Connection, table: str) -> list[Part]:
    return parts(connection, ARCHIVES[table]) if table in ARCHIVES else []


def _overlap(one: Part, other: Part) -> bool:
    return (other.since is None or other.since < one.until) and one.since < other.until  # type: ignore[operator]  # of a month that is wanted


# --- making them ------------------------------------------------------------------------------


def ensure(connection: Connection, today: date) -> None:
    """Make the months that are missing, each in a transaction of its own; what it cannot, a worker does."""
    wanted = missing(connection, today)
    for pause in PAUSES:
        try:
            for part in wanted:
                connection.commit()
                make(connection, part)
        except OperationalError as fault:
            connection.rollback()
            if not is_busy(fault):
                raise
            time.sleep(pause)
        else:
            break
    connection.commit()


def make(connection: Connection, part: Part) -> bool:
    """Make a month, and bring what lies in the default part for it to its place. False: another did.

    Raises:
        OperationalError: a lock could not be had; nothing is changed.
    """
    take_turn(connection)
    if connection.scalar(text("SELECT to_regclass(:name)"), {"name": part.name}) is not None:
        return False
    table, name, key = part.table, part.name, KEYS[part.table]
    within = f"{key} >= '{part.since}' AND {key} < '{part.until}'"
    for statement in (
        f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS,"
        f" CONSTRAINT {name}_month CHECK ({within}))",
        f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE",
        f"WITH moved AS (DELETE FROM {table}_default WHERE {within} RETURNING *)"  # noqa: S608  # our own words
        f" INSERT INTO {name} SELECT * FROM moved",
        f"ALTER TABLE {table} ATTACH PARTITION {name} {part.values}",
    ):
        connection.execute(text(statement))
    return True


def take_turn(connection: Connection) -> None:
    """Of those who change months one does, and takes its locks within a moment or not at all."""
    connection.execute(text("SELECT set_config('lock_timeout', :most, true)"), {"most": f"{LOCK_MS}ms"})
    connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": TURN})


# --- the archive ------------------------------------------------------------------------------


def finished(connection: Connection, until: date, now: datetime) -> list[Part]:
    """Months of effects before `until` in which nothing is open, and nothing was done lately."""
    lately = {"since": now - SETTLED}
    attempts = {(one.since, one.until) for one in parts(connection, "attempt")}
    return [
        one
        for one in parts(connection, "effect")
        if one.ends_on <= until
        and (one.since, one.until) in attempts
        and not _has_open(connection, one)
        and not connection.scalar(text(JUST_DONE.format(part=one.name)), lately)
    ]


def put_away(connection: Connection, part: Part) -> bool:
    """Bring a finished month of effects to the archive, and its attempts. False: something is open again.

    Raises:
        OperationalError: a lock could not be had; nothing is changed.
    """
    take_turn(connection)
    connection.execute(text("LOCK TABLE effect, attempt IN ACCESS EXCLUSIVE MODE"))
    if part not in parts(connection, "effect") or _has_open(connection, part):
        return False
    [attempts] = [one for one in parts(connection, "attempt") if one.until == part.until]
    for one in (part, attempts):
        connection.execute(text(f"ALTER TABLE {one.table} DETACH PARTITION {one.name}"))
        connection.execute(
            text(f"ALTER TABLE {ARCHIVES[one.table]} ATTACH PARTITION {one.name} {one.values}")
        )
    for index in connection.scalars(text(OF_THE_OPEN), {"part": part.name}):
        connection.execute(text(f"DROP INDEX {index}"))
    return True


def _has_open(connection: Connection, part: Part) -> bool:
    return bool(connection.scalar(text(HAS_OPEN.format(part=part.name))))


def is_busy(fault: OperationalError) -> bool:
    """Whether somebody held what was to be locked."""
    return getattr(fault.orig, "sqlstate", None) == "55P03"


PARTS = """
    SELECT part.relname, pg_get_expr(part.relpartbound, part.oid)
      FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid
     WHERE inhparent = to_regclass(:table)
"""
HAS_OPEN = "SELECT EXISTS (SELECT FROM {part} WHERE state IN ('PENDING', 'PARKED', 'IN_DOUBT'))"
JUST_DONE = "SELECT EXISTS (SELECT FROM {part} WHERE done_at > :since)"
OF_THE_OPEN = """
    SELECT indexrelid::regclass::text FROM pg_index
     WHERE indrelid = to_regclass(:part) AND indpred IS NOT NULL
"""
