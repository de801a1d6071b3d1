"""Carries out revisions, and writes down the next one when the records change.

Only `loket migrate` comes here: what it needs to know has no place in a serving process's memory.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from loket import months
from loket.migrations import MigrationError, scripts
from loket.postgres import Postgres

OLDEST = 150000
"""PostgreSQL 15, as `server_version_num`."""
TURN = 5057531
"""The advisory lock of whoever migrates, as in `alembic/env.py`; the number is Loket's own."""
LOCK_MS = 500
"""Who waits for us in that time waits no longer than this: half of what it takes to find a deadlock."""
PAUSE_SECONDS = 0.25
TRIES = 240
BUSY = {"57014", "55P03", "40P01"}
"""What PostgreSQL says when locks could not be had: too late, refused, or a deadlock."""


def upgrade(url: str) -> list[str]:
    """Carry out what is missing and answer those revisions, oldest first.

    Safe from several places at once: an advisory lock lets one do it and the others wait. Safe also while
    others work: revisions have the tables for themselves, and whoever wants one meanwhile waits.

    Raises:
        MigrationError: no such server, one older than PostgreSQL 15, a database newer than this Loket, or
            tables that somebody holds on to.
    """
    with _connected(url) as connection:
        version = connection.execute(text("SHOW server_version_num")).scalar_one()
        if int(version) < OLDEST:
            raise MigrationError(f"PostgreSQL 15 or newer is needed; this server says {version}")
        config = _config(connection)
        script = ScriptDirectory.from_config(config)
        before = _current(connection)
        known = [one.revision for one in script.walk_revisions()]
        if before is not None and before not in known:
            raise MigrationError(
                f"the database is at revision {before}, which this Loket does not know: it is older"
            )
        if before != script.get_current_head():
            _have_for_ourselves(connection)
            command.upgrade(config, "head")
            connection.commit()
        months.ensure(connection, datetime.now(UTC).date())
        return [one.revision for one in script.iterate_revisions(_current(connection), before)][::-1]


def _have_for_ourselves(connection: Connection) -> None:
    """Lock all tables, or none and try again: revisions lock in an order of their own, and would meet those
    who write in a deadlock, of which one side is undone, perhaps a citizen's request.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": TURN})
    names = connection.execute(text(TABLES)).scalar_one()
    if names is None:
        return
    for attempt in range(TRIES):
        time.sleep(PAUSE_SECONDS if attempt else 0)
        try:
            with connection.begin_nested():
                connection.execute(text(f"SET LOCAL statement_timeout = {LOCK_MS}"))
                connection.execute(text(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))
                connection.execute(text("SET LOCAL statement_timeout TO DEFAULT"))
        except OperationalError as fault:
            if getattr(fault.orig, "sqlstate", None) not in BUSY:
                raise
        else:
            return
    raise MigrationError("somebody holds on to the tables: try again at a quieter moment")


def write(message: str) -> Path:
    """Compare the records with all revisions so far, on a throwaway server, and write the next revision.

    Checks of enumerations are not compared: where only those changed, add the two lines by hand.
    """
    with tempfile.TemporaryDirectory(prefix="loket-") as folder:
        Path(folder).chmod(0o711)
        launcher = Postgres(Path(folder) / "postgres", settings={"fsync": "off"})
        try:
            url = launcher.start()
            upgrade(url)
            with _connected(url) as connection:
                config = _config(connection)
                number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
                made = command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")
        finally:
            launcher.stop()
    assert made is not None
    assert not isinstance(made, list)
    path = Path(made.path)
    text_of = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in text_of if "###" not in line), "utf-8")
    for arguments in (["check", "--quiet", "--fix"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *arguments, str(path)], check=False)  # noqa: S603  # ours
    return path


@contextlib.contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    try:
        connection = engine.connect()
    except OperationalError as fault:
        raise MigrationError(f"no database: {fault.orig}") from fault
    with connection:
        yield connection


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


TABLES = """
    SELECT string_agg(oid::regclass::text, ', ' ORDER BY oid) FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""
