"""Which months of history a database has, how large they are, which lie in the archive; months into years."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from loket import months, years
from loket.settings import Retention


def lines(url: str) -> Iterator[str]:
    """One line per month of each table: until which day (UTC), its size on disk, about how many rows."""
    with _connected(url) as connection:
        for table in (*months.KEYS, *months.ARCHIVES.values()):
            for part in months.parts(connection, table):
                size, rows = connection.execute(text(SIZE), {"part": part.name}).one()
                kept = "archive" if table in months.ARCHIVES.values() else ""
                yield f"{part.name:<20} before {part.ends_on}  {size:>10}  {rows:>12}  {kept}".rstrip()
        for table in months.KEYS:
            stranded = connection.scalar(text(f"SELECT count(*) FROM {table}_default"))  # noqa: S608  # our own words
            if stranded:
                yield f"{table}_default: {stranded} rows of months that nobody made"
        floor = connection.scalar(text("SELECT floor_xid::text FROM feedepoch WHERE floor_xid > '0'"))
        if floor is not None:
            yield f"events up to transaction {floor} may have been dropped: cursors before it are refused"
        ripe = years.ripe(connection, datetime.now(UTC).date(), [one for some in years.KEPT for one in some])
        if ripe:
            number = sum(len(one.months) for one in ripe)
            yield f"{number} months can be {len(ripe)} years: `loket history --years`"


def merge(url: str, retention: Retention) -> Iterator[str]:
    """Make years of months that are dropped never; a line about each.

    Raises:
        NotTheSameError: a copy lacks something; nothing was changed.
    """
    with _connected(url) as connection:
        yield from years.merge(
            connection,
            datetime.now(UTC).date(),
            events=not retention.events_months,
            effects=not retention.effects_months,
        )


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


SIZE = """
    SELECT pg_size_pretty(pg_total_relation_size(oid)), greatest(reltuples, 0)::bigint
      FROM pg_class WHERE oid = to_regclass(:part)
"""
