"""The whole database in one file, and back: of one moment, whole or not at all.

The file is PostgreSQL's own custom format. Names and addresses are readable in it; national numbers and
accounts are sealed, and only LOKET_SECRET_KEY opens them: that key and `keys/` are not in it, and must be
kept in another place. Without that key nobody is recognised any more.

A database that is put back is of an earlier moment, and the world has gone on: see `recovery`.
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
from typing import IO

from psycopg.conninfo import conninfo_to_dict

from loket import migrations, postgres, recovery
from loket.database import conninfo
from loket.installation import InstallationError

MEMORY = "last-backup.json"
FIRST_REVISION = "0009"
"""Of the Loket that made the first backups."""
LIBPQ = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
    "password": "PGPASSWORD", "options": "PGOPTIONS", "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
}  # fmt: skip
"""Parts of a database's address, and libpq's variables of the same."""


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


def put_back(
    url: str, file: Path, last_invoices: Mapping[tuple[str, int], int] | None = None
) -> recovery.Recovered:
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
        _pour(out, recovery.NEXT_EPOCH, ANEW, *recovery.afterwards(last_invoices or {}))
    return recovery.look(url)


def _refuse_unless_empty(url: str) -> None:
    with recovery.connect(url) as connection:
        found = connection.execute(TABLES).fetchone()
    if found is not None:
        raise BackupError(f"this database is not empty (it has {found[0]}): restore into a new one")


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


# --- PostgreSQL's own tools ---------------------------------------------------------------------


def _tool(name: str, url: str) -> str:
    """The tool of the server's own version, or the next newer one: an older one refuses."""
    with recovery.connect(url) as connection:
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
ANEW = """
    UPDATE feedepoch SET floor_xid = '0'::xid8;
    UPDATE follower SET epoch = feedepoch.epoch, xid = '1'::xid8, seq = 9223372036854775807
      FROM feedepoch WHERE name = 'figures' AND EXISTS (SELECT FROM restoring);
    DROP TABLE restoring;
"""
