"""How the database is, and what goes on in it: processes, effects, timers, months, the books."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from loket import months
from loket.doctor.findings import Finding, duration, remark, well, wrong
from loket.pulse import SILENT_SECONDS

OLDEST = 150_000
"""PostgreSQL 15, as `server_version_num`."""
CLOCK_SECONDS = 2.0
"""More between two clocks, and tokens and signatures are refused."""
LONG_SECONDS = 300.0
"""A transaction so long holds back the feed, or keeps dead rows."""
KEPT_BYTES = 1_000_000_000
CONNECTIONS = 0.8
"""Of all that the server allows."""
WRAPAROUND = 1_000_000_000
LATE_SECONDS = 300.0
"""So long after its hour a lane or a timer means that nobody works, or not enough of them."""
STALE_SECONDS = 1_800.0
"""An effect that waits longer: its system is down, or asked to be left alone."""
BOOKS_SECONDS = 26 * 3600


def examine(url: str, _home: Path) -> Iterator[Finding]:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = '20s'"))
        for look in LOOKS:
            yield from look(connection)


def _server(connection: Connection) -> Iterator[Finding]:
    before = time.time()
    row = connection.execute(text(SERVER)).one()
    middle = (before + time.time()) / 2
    yield well("Database", f"PostgreSQL {row.version}, {row.bytes / 1e9:.1f} GB, up to date")
    if row.number < OLDEST:
        yield wrong("Database", f"PostgreSQL {row.version} is too old", "15 or newer is needed")
    if row.encoding != "UTF8":
        yield wrong(
            "Database", f"its encoding is {row.encoding}", "make it anew with UTF8, and restore into it"
        )
    apart = abs(row.now.timestamp() - middle)
    if apart > CLOCK_SECONDS:
        yield wrong(
            "Database", f"its clock and this machine's are {duration(apart)} apart", "let both follow NTP"
        )
    if row.used > CONNECTIONS * row.most:
        yield wrong(
            "Database", f"{row.used} of {row.most} connections are in use",
            "raise max_connections, or let fewer processes run",
        )  # fmt: skip
    if row.age > WRAPAROUND:
        yield wrong(
            "Database", f"its oldest row is {row.age:,} transactions old", "let autovacuum do its work"
        )
    if not row.durable:
        yield wrong("Database", "fsync or full_page_writes is off", "turn it on: a crash loses data")


def _held_up(connection: Connection) -> Iterator[Finding]:
    for row in connection.execute(text(LONG), {"seconds": LONG_SECONDS}):
        yield wrong(
            "Database",
            f"process {row.pid} ({row.application_name}, in {row.datname}) is"
            f" {duration(row.seconds)} in a transaction",
            f"subscribers hear nothing newer while it writes. End it: SELECT pg_terminate_backend({row.pid})",
        )  # fmt: skip
    for row in connection.execute(text(PREPARED)):
        yield wrong("Database", f"prepared transaction {row.gid} waits for its end", "ROLLBACK PREPARED it")
    for row in connection.execute(text(SLOTS), {"bytes": KEPT_BYTES}):
        yield wrong(
            "Database", f"replication slot {row.slot_name} is not read, and keeps {row.bytes / 1e9:.1f} GB",
            "bring the replica back, or drop the slot, before the disk is full",
        )  # fmt: skip
    for row in connection.execute(text(ARCHIVING)):
        yield wrong(
            "Database", f"archiving its log fails since {row.last_failed_time:%Y-%m-%d %H:%M}",
            "there is no restoring to any moment after that: look at archive_command",
        )  # fmt: skip


def _processes(connection: Connection) -> Iterator[Finding]:
    rows = connection.execute(text(PROCESSES), {"silent": SILENT_SECONDS}).all()
    alive = [row for row in rows if not row.silent]
    for kind, name in (("API", "API"), ("WORKER", "worker")):
        number = sum(row.kind == kind for row in alive)
        if number:
            yield well(
                "Processes", f"{number} {name}: {', '.join(row.name for row in alive if row.kind == kind)}"
            )
        else:
            command = "serve" if kind == "API" else "work"
            what = "nobody is served" if kind == "API" else "nothing goes out"
            yield wrong("Processes", f"no {name} runs: {what}", f"start `loket {command}`, or `loket run`")
    for row in rows:
        if row.silent:
            said = f"{row.name} ({row.kind.lower()}) has said nothing for {duration(row.seconds)}"
            yield remark("Processes", said, "it was killed, frozen or cut off")
    versions = sorted({row.version for row in alive})
    if len(versions) > 1:
        yield remark("Processes", f"versions {' and '.join(versions)} run together", "finish the upgrade")


def _effects(connection: Connection) -> Iterator[Finding]:
    rows = connection.execute(text(EFFECTS)).all()
    for row in rows:
        if row.state == "IN_DOUBT":
            yield wrong(
                "Effects", f"{row.number} to {row.system} in doubt: money may have moved, or not",
                "look at the other side, then retry or skip: failedEffects { … }",
            )  # fmt: skip
        elif row.state == "PARKED":
            yield wrong(
                "Effects", f"{row.number} to {row.system} parked, for {duration(row.seconds)} at most",
                "look why, then retry or skip: failedEffects { … }",
            )  # fmt: skip
        elif row.seconds > STALE_SECONDS:
            yield wrong(
                "Effects", f"{row.number} to {row.system} wait, the oldest for {duration(row.seconds)}",
                f"look whether {row.system} answers; nothing is lost meanwhile",
            )  # fmt: skip
    for row in connection.execute(text(PAUSED)):
        yield remark("Effects", f"{row.name} is paused", "systemResume, when it may be called again")
    late = connection.execute(text(LATE_LANES)).scalar() or 0
    if late > LATE_SECONDS:
        yield wrong(
            "Effects", f"a lane waits {duration(late)} for a worker", "run more workers: `loket work`"
        )
    if not rows:
        yield well("Effects", "all carried out")


def _timers(connection: Connection) -> Iterator[Finding]:
    late = connection.execute(text(LATE_TIMERS)).scalar() or 0
    if late > LATE_SECONDS:
        yield wrong("Timers", f"one should have fired {duration(late)} ago", "look whether a worker runs")
    else:
        yield well("Timers", "on time")


def _months(connection: Connection) -> Iterator[Finding]:
    today = datetime.now(UTC).date()
    if missing := months.missing(connection, today, 1):
        names = ", ".join(part.name for part in missing)
        yield wrong("Months", f"there is no {names}", "run `loket migrate`; a worker makes them too")
    else:
        yield well("Months", "those to come are there")


def _books(connection: Connection) -> Iterator[Finding]:
    row = connection.execute(text(BOOKS)).one()
    if row.ago is None:
        yield remark("Books", "were never compared", "a worker does so every morning")
    elif row.ago > BOOKS_SECONDS:
        yield wrong("Books", f"were last compared {duration(row.ago)} ago", "look whether a worker runs")
    else:
        yield well("Books", f"were compared {duration(row.ago)} ago")
    if row.open:
        yield wrong("Books", f"{row.open} differences are open", "settle them: reconciliations { … }")


LOOKS: tuple[Any, ...] = (_server, _held_up, _processes, _effects, _timers, _months, _books)

SERVER = """
    SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
           current_setting('max_connections')::int AS most, pg_database_size(current_database()) AS bytes,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
           pg_encoding_to_char(encoding) AS encoding, age(datfrozenxid) AS age, clock_timestamp() AS now,
           current_setting('fsync')::bool AND current_setting('full_page_writes')::bool AS durable
      FROM pg_database WHERE datname = current_database()
"""
LONG = """
    SELECT pid, application_name, datname, extract(epoch FROM now() - xact_start)::float8 AS seconds
      FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND (datname = current_database() OR backend_xid IS NOT NULL)
       AND xact_start < now() - make_interval(secs => :seconds)
"""
PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
SLOTS = """
    SELECT slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8 AS bytes
      FROM pg_replication_slots
     WHERE NOT active AND NOT pg_is_in_recovery()
       AND pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > :bytes
"""
ARCHIVING = """
    SELECT last_failed_time FROM pg_stat_archiver
     WHERE last_failed_time > coalesce(last_archived_time, '-infinity')
"""
PROCESSES = """
    SELECT kind, name, version, beat_at < now() - make_interval(secs => :silent) AS silent,
           extract(epoch FROM now() - beat_at)::float8 AS seconds
      FROM process ORDER BY kind, started_at
"""
EFFECTS = """
    SELECT system, state, count(*) AS number, extract(epoch FROM now() - min(created_at))::float8 AS seconds
      FROM effect WHERE state IN ('PENDING', 'PARKED', 'IN_DOUBT')
     GROUP BY system, state ORDER BY state, system
"""
PAUSED = "SELECT name FROM systemstate WHERE paused ORDER BY name"
LATE_LANES = """
    SELECT extract(epoch FROM now() - min(lane.due_at))::float8
      FROM lane JOIN systemstate ON systemstate.name = lane.system
     WHERE lane.due_at IS NOT NULL AND NOT paused AND (open_until IS NULL OR open_until < now())
"""
LATE_TIMERS = """
    SELECT extract(epoch FROM now() - due_at)::float8 FROM timer
     WHERE state = 'ARMED' ORDER BY due_at LIMIT 1
"""
BOOKS = """
    SELECT (SELECT extract(epoch FROM now() - ended_at)::float8 FROM reconciliation
             WHERE ended_at IS NOT NULL ORDER BY started_at DESC, id DESC LIMIT 1) AS ago,
           (SELECT count(*) FROM difference WHERE state = 'OPEN') AS open
"""
