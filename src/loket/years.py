"""Old months become years: who must look at all of history then looks at some tens of parts fewer.

A year of events, or of archived effects with their attempts, is copied beside its months, some rows at a
time while others read and write, and takes their place in one short transaction. Nobody changes such rows:
what was added meanwhile is known by its transaction, and comes along at the end. Killed in between, it is
done anew.

What is dropped after its time is dropped by the month, so where that is asked months stay months.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from loket import months
from loket.months import Part, bound, month_of

SETTLED_MONTHS = 3
"""After its end a year waits so long: most of its cases are closed, and its effects are in the archive."""
BATCH = 5000
"""Rows of one transaction: one that writes holds back the feed of events for as long as it takes."""
BREATH_SECONDS = 0.02
PATIENCE = 40
"""So often it is tried to lock what is to change hands."""
PAUSE_SECONDS = 0.5
TURN = 5057533
"""The advisory lock of whoever makes years; the number is Loket's own."""
KEPT = (("event",), ("effectarchive", "attemptarchive"))
"""Tables whose months become years, together where one hangs on the other."""
ROWS = {"event": ("case_id", "seq"), "effectarchive": ("id",), "attemptarchive": ("id", "effect_id")}
"""By what their rows are told apart, as their primary keys have it."""


class NotTheSameError(Exception):
    """A copy has not the rows of its months; nothing was changed."""


@dataclass(frozen=True)
class Year:
    """Months of a table that are to be one part."""

    table: str
    number: int
    months: Sequence[Part]

    @property
    def part(self) -> Part:
        named = next((one for one, archive in months.ARCHIVES.items() if archive == self.table), self.table)
        return Part(self.table, f"{named}_{self.number}", self.months[0].since, self.months[-1].until)

    @property
    def key(self) -> str:
        return {"event": "case_id", "effectarchive": "id", "attemptarchive": "effect_id"}[self.table]


# --- what can be one --------------------------------------------------------------------------


def ripe(connection: Connection, today: date, tables: Sequence[str]) -> list[Year]:
    """Years of a table, oldest first, whose months lie there without a gap, two of them or more."""
    return [one for table in tables for one in _years(connection, table, today)]


def _years(connection: Connection, table: str, today: date) -> Iterator[Year]:
    found: dict[int, list[Part]] = {}
    for part in months.parts(connection, table):
        if part.since is not None and _first_day(part).day == 1:
            found.setdefault(_first_day(part).year, []).append(part)
    for number, parts in sorted(found.items()):
        end = date(number + 1, 1, 1)
        whole = all(one.until == after.since for one, after in pairwise(parts))
        year = Year(table, number, parts)
        made = any(one.name == year.part.name for one in parts)  # a month that came late stays beside it
        if (
            len(parts) > 1
            and whole
            and not made
            and parts[-1].until == bound(end)
            and end <= month_of(today, -SETTLED_MONTHS)
        ):
            yield year


def _first_day(part: Part) -> date:
    assert part.since is not None
    return Part(part.table, part.name, None, part.since).ends_on


# --- making one -------------------------------------------------------------------------------


def merge(connection: Connection, today: date, *, events: bool, effects: bool) -> Iterator[str]:
    """Make years of months, of events and of archived effects as asked; a line about each.

    Raises:
        NotTheSameError: a copy lacks something.
    """
    if not connection.scalar(text("SELECT pg_try_advisory_lock(:turn)"), {"turn": TURN}):
        yield "somebody else makes years just now"
        return
    try:
        for tables, asked in zip(KEPT, (events, effects), strict=True):
            for years in _together(ripe(connection, today, tables if asked else ()), len(tables)):
                connection.commit()
                began = [_copied(connection, one) for one in years]
                if _take_their_place(connection, years, began[0]):
                    yield from (
                        f"{one.part.name}: one part in the place of {len(one.months)}" for one in years
                    )
                else:
                    yield f"{years[0].part.name}: its months are in use all the time; try again later"
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:turn)"), {"turn": TURN})
        connection.commit()


def _together(years: Sequence[Year], number: int) -> Iterator[list[Year]]:
    """Those of so many tables that have the same months."""
    spans: dict[tuple[UUID | None, UUID], list[Year]] = {}
    for one in years:
        spans.setdefault((one.part.since, one.part.until), []).append(one)
    return (some for some in spans.values() if len(some) == number)


def _copied(connection: Connection, year: Year) -> int:
    """Copy a year beside its months; the transaction from which on there may be more.

    Raises:
        NotTheSameError: the copy lacks something.
    """
    _make(connection, year)
    began: int = connection.execute(text(OLDEST_AT_WORK)).scalar_one()
    connection.commit()
    for month in year.months:
        last = _copy_some(connection, year, month, None)
        while last is not None:
            time.sleep(BREATH_SECONDS)
            last = _copy_some(connection, year, month, last)
    connection.execute(text(f"ANALYZE {year.part.name}"))
    connection.commit()
    _compare(connection, year, began)
    return began


def _copy_some(
    connection: Connection, year: Year, month: Part, after: Sequence[object] | None
) -> Sequence[object] | None:
    """Copy the next rows of a month; by what the last of them is told apart, None when there are no more."""
    columns = ROWS[year.table]
    keys = ", ".join(columns)
    given: dict[str, object] = {"most": BATCH}
    beyond = ""
    if after is not None:
        given |= dict(zip(columns, after, strict=True))
        beyond = f" WHERE ({keys}) > ({', '.join(f':{one}' for one in columns)})"
    copy = text(COPY.format(name=year.part.name, month=month.name, keys=keys, beyond=beyond))
    copied = [tuple(row) for row in connection.execute(copy, given)]
    connection.commit()
    return max(copied) if len(copied) == BATCH else None


def _make(connection: Connection, year: Year) -> None:
    """An empty table that can take the place of its months without a look at its rows."""
    name, part = year.part.name, year.part
    if connection.scalar(text(IS_PART), {"name": name}):
        raise NotTheSameError(f"{name} is there already, and so are its months")
    for attempt in range(PATIENCE):
        try:
            connection.execute(text(f"SET LOCAL lock_timeout = {months.LOCK_MS}"))
            connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
            connection.execute(
                text(
                    f"CREATE TABLE {name} (LIKE {year.table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
                    f" INCLUDING INDEXES, CONSTRAINT {name}_year"
                    f" CHECK ({year.key} >= '{part.since}' AND {year.key} < '{part.until}'))"
                )
            )
            for reference in connection.scalars(text(REFERENCES), {"table": year.table}).all():
                connection.execute(text(f"ALTER TABLE {name} ADD {reference}"))
            connection.commit()
        except OperationalError as fault:
            _wait_unless_last(connection, fault, attempt)
        else:
            return


def _compare(connection: Connection, year: Year, began: int) -> None:
    settled = f" WHERE xid < '{began}'::xid8" if year.table == "event" else ""
    here = " + ".join(f"(SELECT count(*) FROM {one.name}{settled})" for one in year.months)  # noqa: S608  # our own words
    there = f"(SELECT count(*) FROM {year.part.name}{settled})"  # noqa: S608  # our own words
    lacking = connection.scalar(text(f"SELECT {here} - {there}"))
    connection.commit()
    if lacking:
        raise NotTheSameError(f"{year.part.name}: {lacking} rows of its months are not in it")


def _take_their_place(connection: Connection, years: Sequence[Year], began: int) -> bool:
    """False: they could not be locked."""
    for attempt in range(PATIENCE):
        try:
            _swap(connection, years, began)
            connection.commit()
        except OperationalError as fault:
            if _wait_unless_last(connection, fault, attempt, raising=False):
                return False
        else:
            return True
    return False


def _swap(connection: Connection, years: Sequence[Year], began: int) -> None:
    months.take_turn(connection)
    if years[0].table == "event":  # in the order in which whoever writes takes them
        connection.execute(text('LOCK TABLE person, "case" IN ACCESS EXCLUSIVE MODE'))
    for year in years:
        connection.execute(text(f"LOCK TABLE {year.table} IN ACCESS EXCLUSIVE MODE"))
        for month in year.months:
            if year.table == "event":
                more = ADDED_SINCE.format(name=year.part.name, month=month.name)
                connection.execute(text(more), {"began": str(began)})
            connection.execute(text(f"ALTER TABLE {year.table} DETACH PARTITION {month.name}"))
            connection.execute(text(f"DROP TABLE {month.name}"))
        connection.execute(
            text(f"ALTER TABLE {year.table} ATTACH PARTITION {year.part.name} {year.part.values}")
        )


def _wait_unless_last(
    connection: Connection, fault: OperationalError, attempt: int, *, raising: bool = True
) -> bool:
    """After a lock that could not be had; True when it was tried often enough."""
    connection.rollback()
    if not months.is_busy(fault):
        raise fault
    if attempt == PATIENCE - 1:
        if raising:
            raise fault
        return True
    time.sleep(PAUSE_SECONDS)
    return False


IS_PART = "SELECT coalesce((SELECT relispartition FROM pg_class WHERE oid = to_regclass(:name)), false)"
REFERENCES = """
    SELECT pg_get_constraintdef(oid) FROM pg_constraint
     WHERE conrelid = to_regclass(:table) AND contype = 'f' AND conparentid = 0
"""
OLDEST_AT_WORK = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
COPY = """
    WITH batch AS (SELECT * FROM {month}{beyond} ORDER BY {keys} LIMIT :most),
    copied AS (INSERT INTO {name} SELECT * FROM batch RETURNING {keys})
    SELECT {keys} FROM copied
"""
ADDED_SINCE = """
    INSERT INTO {name} SELECT * FROM {month} WHERE xid >= CAST(:began AS xid8) ON CONFLICT DO NOTHING
"""
