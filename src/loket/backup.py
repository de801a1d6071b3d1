"""The whole database in one file, and back: of one moment, whole or not at all.

The file is PostgreSQL's own custom format. Names and addresses are readable in it; national numbers and
accounts are sealed, and only LOKET_SECRET_KEY opens them: that key and `keys/` are not in it, and must be
kept in another place. Without that key nobody is recognised any more.

A database that is put back is of an earlier moment, and the world has gone on. So what is put back:

- begins a new epoch of the feed: a cursor of before is answered with CURSOR_EXPIRED, never with a silent gap;
- sends nothing by itself: all systems are paused, until an operator has looked;
- leaves money that was on its way in doubt: a person looks at the other side before anybody is paid again;
- gives no case number again, and no invoice number that it is told of (`last_invoices`).

What else was to be sent goes out again under the same id, by which others recognise it.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psycopg
from cryptography.exceptions import InvalidTag
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from sqlmodel import col

from loket import lanes, migrations, postgres
from loket.cases import link
from loket.database import conninfo
from loket.installation import InstallationError
from loket.records import Case, Event
from loket.vault import Vault

MEMORY = "last-backup.json"
FIRST_REVISION = "0009"
"""Of the Loket that made the first backups."""
CASES_BETWEEN = 10_000
"""Numbers of cases that are left out at a restore: more than were given out since the backup."""
LOOKED_AT = 1_000
"""Cases whose history is gone through after a restore."""
LIBPQ = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
    "password": "PGPASSWORD", "options": "PGOPTIONS", "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
}  # fmt: skip
"""Parts of a database's address, and libpq's variables of the same."""
MONEY = ("PAYMENT_REFUND", "PAYOUT_SEND", "PAYOUT_RECALL")
"""Effects that move money."""


class BackupError(InstallationError):
    """A backup cannot be made or put back; the message says why and what to do."""


@dataclass(frozen=True)
class Last:
    """The last backup that was made here."""

    at: datetime
    file: str


def last(home: Path) -> Last | None:
    try:
        told = json.loads((home / MEMORY).read_text("utf-8"))
        return Last(datetime.fromisoformat(told["at"]), told["file"])
    except (OSError, ValueError, KeyError):
        return None


# --- making one ---------------------------------------------------------------------------------


def make(url: str, file: Path, home: Path) -> int:
    """Write the database to `file`, for its owner alone to read; answers how many bytes that takes.

    Whoever works on goes on: the backup is of the moment at which it began. `-` is standard output, where
    something else can encrypt it.

    Raises:
        BackupError: the file is there already, or PostgreSQL says no.
    """
    began_at = datetime.now(UTC)
    dump = [_tool("pg_dump", url), "--format=custom", "--no-owner", "--no-privileges",
            "--exclude-table-data=process"]  # fmt: skip
    if str(file) == "-":
        _run(dump, url, out=None)
        size = 0
    else:
        half = file.with_name(f"{file.name}.half")
        if file.exists():
            raise BackupError(f"{file} is there already: name another")
        try:
            with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                _run(dump, url, out=out)
                os.fsync(out.fileno())
            half.replace(file)
        finally:
            half.unlink(missing_ok=True)
        size = file.stat().st_size
    if home.is_dir():
        kept = {"at": began_at.isoformat(), "file": str(file.absolute()) if size else "-"}
        (home / MEMORY).write_text(json.dumps(kept) + "\n", "utf-8")
    return size


# --- putting one back ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Restored:
    """What is there now, for whoever must compare it with the world."""

    epoch: int
    last_event_at: datetime | None
    in_doubt: int
    """Effects of money that a person must look at."""
    waiting: int
    """Others, that go out again once their system is resumed."""
    journals: Mapping[str, int]
    """The last invoice number of each journal and year."""


def put_back(url: str, file: Path, last_invoices: Mapping[tuple[str, int], int] | None = None) -> Restored:
    """Put `file` into the empty database at `url`, in one transaction.

    `last_invoices`: the last number, per journal and year, that was given out after the backup.

    Raises:
        BackupError: the database is not empty, the file is no backup, or PostgreSQL says no.
        MigrationError: the backup is of a newer Loket.
    """
    _refuse_unless_empty(url)
    revision = _revision_in(url, file)
    if revision < FIRST_REVISION:
        raise BackupError(f"the backup is of revision {revision}: put back only from {FIRST_REVISION} on")
    if revision > migrations.head():
        raise migrations.MigrationError(f"the backup is of a newer Loket (revision {revision})")
    with _written(url) as out:
        _pour(out, "BEGIN;")
        _section(url, file, "pre-data", out)
        _section(url, file, "data", out, "follower", "feedepoch")
        _pour(out, RENUMBER)
        _section(url, file, "data", out)
        _pour(out, RENUMBERED)
        _section(url, file, "post-data", out)
        _pour(out, *_afterwards(last_invoices or {}))
    return _look(url)


def _refuse_unless_empty(url: str) -> None:
    with _connect(url) as connection:
        found = connection.execute(TABLES).fetchone()
    if found is not None:
        raise BackupError(f"this database is not empty (it has {found[0]}): restore into one that is")


def _revision_in(url: str, file: Path) -> str:
    """Which revision the backup is of: read without putting anything anywhere."""
    command = [_tool("pg_restore", url), "--data-only", "--table=alembic_version", "--file=-", str(file)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # no shell
    if told.returncode != 0:
        raise BackupError(f"{file} is no backup: {told.stderr.strip()}")
    rows = told.stdout.partition("FROM stdin;\n")[2].splitlines()
    if not rows:
        raise BackupError(f"{file} is no backup of Loket")
    return rows[0].strip()


@contextmanager
def _written(url: str) -> Iterator[IO[bytes]]:
    """What carries out, in one transaction, all that is written to it; nothing when anything fails."""
    command = [_tool("psql", url), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
    process = subprocess.Popen(  # noqa: S603  # no shell
        [*command, "--file=-"], env=_environment(url), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        yield process.stdin
        process.stdin.write(b"COMMIT;\n")
        process.stdin.close()
    except BrokenPipeError:
        pass  # it has ended, and says why
    except BaseException:
        process.kill()
        raise
    finally:
        said = _last_words(process)
    if process.returncode != 0:
        raise BackupError(f"nothing was put back: {said}")


def _last_words(process: "subprocess.Popen[bytes]") -> str:
    """What it said until its end; all that was open to it is closed."""
    with process:
        return process.stderr.read().decode("utf-8", "replace").strip() if process.stderr else ""


def _section(url: str, file: Path, section: str, out: IO[bytes], *tables: str) -> None:
    command = [_tool("pg_restore", url), "--no-owner", "--no-privileges", f"--section={section}", "--file=-"]
    command += [f"--table={one}" for one in tables]
    with subprocess.Popen([*command, str(file)], stdout=subprocess.PIPE) as process:  # noqa: S603  # no shell
        assert process.stdout is not None
        shutil.copyfileobj(process.stdout, out, 1 << 20)
    if process.returncode != 0:
        raise BackupError(f"{file} could not be read to its end")


def _pour(out: IO[bytes], *statements: str) -> None:
    out.write("".join(f"{one}\n" for one in statements).encode())
    out.flush()


def _afterwards(last_invoices: Mapping[tuple[str, int], int]) -> Iterator[str]:
    yield NEW_EPOCH
    yield LATER_CASES
    for name in sorted(lanes.SYSTEMS):
        yield PAUSED.format(name=name, rate=lanes.RATE_PER_SECOND, burst=lanes.BURST)
    for (journal, year), number in last_invoices.items():
        yield INVOICES.format(journal=journal.replace("'", "''"), year=year, last=number)


def _look(url: str) -> Restored:
    with _connect(url) as connection:
        connection.execute("ANALYZE")
        row = connection.execute(RESTORED).fetchone()
        journals = connection.execute(
            "SELECT journal || ' ' || year, last FROM journal ORDER BY 1"
        ).fetchall()
    assert row is not None
    epoch, last_event_at, in_doubt, waiting = row
    return Restored(epoch, last_event_at, in_doubt, waiting, dict(journals))


def is_opened_by(url: str, secret_key: str) -> bool:
    """Whether this is the key under which the database's national numbers are sealed; True without any."""
    with _connect(url) as connection:
        row = connection.execute(
            "SELECT insz_sealed FROM person WHERE insz_sealed IS NOT NULL LIMIT 1"
        ).fetchone()
    if row is None:
        return True
    try:
        Vault(secret_key).open(row[0])
    except (InvalidTag, ValueError):
        return False
    return True


def broken_histories(url: str) -> list[str]:
    """Of the cases that were begun last, the ids of those whose chain of events does not hold."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    newest = select(col(Case.id)).order_by(col(Case.id).desc()).limit(LOOKED_AT)
    events = (
        select(Event)
        .where(col(Event.case_id).in_(newest), col(Event.case_version).is_not(None))
        .order_by(col(Event.case_id), col(Event.case_version))
    )
    found: list[str] = []
    with Session(engine) as session:
        case_id, chain = None, b""
        for event in session.scalars(events):
            chain = link(chain if event.case_id == case_id else b"", event)
            case_id = event.case_id
            if chain != event.chain and str(case_id) not in found:
                found.append(str(case_id))
    return found


# --- PostgreSQL's own tools ---------------------------------------------------------------------


def _tool(name: str, url: str) -> str:
    """The tool of the server's own version, or the next newer one: an older one refuses."""
    with _connect(url) as connection:
        wanted = connection.info.server_version // 10_000
    found = {
        int(postgres.major_of(folder)): folder / name
        for folder in postgres.places()
        if (folder / name).exists()
    }
    fit = [version for version in sorted(found) if version >= wanted]
    if not fit:
        raise BackupError(f"no {name} of PostgreSQL {wanted} on this machine: set PG_BIN to its bin/")
    return str(found[fit[0]])


def _run(command: list[str], url: str, *, out: IO[bytes] | None) -> None:
    done = subprocess.run(  # noqa: S603  # no shell
        command,
        env=_environment(url),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        raise BackupError(done.stderr.decode("utf-8", "replace").strip())


def _environment(url: str) -> dict[str, str]:
    """Where and as whom, for libpq: not on the command line, where everybody on the machine reads it."""
    given = conninfo_to_dict(conninfo(url))
    own = {LIBPQ[name]: str(value) for name, value in given.items() if name in LIBPQ and value is not None}
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **own}


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    try:
        return psycopg.connect(conninfo(url), autocommit=True)
    except psycopg.OperationalError as fault:
        raise BackupError(f"no database: {fault}") from fault


TABLES = """
    SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE nspname = 'public' AND relkind IN ('r', 'p', 'v', 'S') LIMIT 1
"""
RENUMBER = """
    CREATE TABLE public.restoring AS
    SELECT follower.xid, follower.seq FROM public.follower JOIN public.feedepoch USING (epoch)
     WHERE name = 'figures';
    DELETE FROM public.follower;
    DELETE FROM public.feedepoch;
    CREATE FUNCTION public.renumbered() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.xid := CASE WHEN EXISTS (SELECT FROM public.restoring AS counted
                                      WHERE (NEW.xid, NEW.seq) <= (counted.xid, counted.seq))
                        THEN '1'::xid8 ELSE '2'::xid8 END;
        RETURN NEW;
    END $$;
    CREATE TRIGGER renumbered BEFORE INSERT ON public.event
       FOR EACH ROW EXECUTE FUNCTION public.renumbered();
"""
"""Transaction ids start anew in a restored cluster, and the feed tells nothing above the present one. So all
events are of two transactions before any: those that the figures have counted, and those that they have not.
Within each their number orders them, as it does within a case."""
RENUMBERED = """
    DROP TRIGGER renumbered ON public.event;
    DROP FUNCTION public.renumbered();
"""
NEW_EPOCH = f"""
    SET LOCAL search_path = public;
    UPDATE feedepoch
       SET epoch = greatest(epoch + 1, extract(epoch FROM now())::int), floor_xid = '0'::xid8;
    UPDATE follower SET epoch = feedepoch.epoch, xid = '1'::xid8, seq = 9223372036854775807
      FROM feedepoch WHERE name = 'figures' AND EXISTS (SELECT FROM restoring);
    DROP TABLE restoring;
    UPDATE effect SET state = 'IN_DOUBT', retry_at = NULL,
           last_error = 'put back from a backup: look whether the other side has done it since'
     WHERE state = 'PENDING' AND kind IN ({", ".join(f"'{one}'" for one in MONEY)});
    UPDATE lane SET token = NULL, due_at = now() WHERE token IS NOT NULL;
"""  # noqa: S608  # our own words
LATER_CASES = f"""
    SELECT setval('case_number', last_value + {CASES_BETWEEN}) FROM case_number;
"""  # noqa: S608  # our own words
PAUSED = """
    INSERT INTO systemstate (name, paused, rate_per_second, burst, failures)
    VALUES ('{name}', true, {rate}, {burst}, 0)
        ON CONFLICT (name) DO UPDATE SET paused = true, failures = 0, open_until = NULL, next_at = NULL;
"""
INVOICES = """
    INSERT INTO journal (journal, year, last) VALUES ('{journal}', {year}, {last})
        ON CONFLICT (journal, year) DO UPDATE SET last = greatest(journal.last, EXCLUDED.last);
"""
RESTORED = """
    SELECT (SELECT epoch FROM feedepoch), (SELECT max(occurred_at) FROM event),
           (SELECT count(*) FROM effect WHERE state = 'IN_DOUBT'),
           (SELECT count(*) FROM effect WHERE state = 'PENDING')
"""
