"""Which months of history a database has, how large they are, and which of them lie in the archive."""

from collections.abc import Iterator

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from loket import months


def lines(url: str) -> Iterator[str]:
    """One line per month of each table: until which day (UTC), its size on disk, about how many rows."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
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


SIZE = """
    SELECT pg_size_pretty(pg_total_relation_size(oid)), greatest(reltuples, 0)::bigint
      FROM pg_class WHERE oid = to_regclass(:part)
"""
