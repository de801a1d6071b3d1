"""The commands of whoever keeps an installation: `loket doctor`, `backup`, `restore`, `recovered`."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import orjson
import psycopg

from loket import backup, doctor, postgres, procedure_files, recovery
from loket.doctor.findings import Health, lines, remark, wrong
from loket.installation import InstallationError
from loket.migrations import MigrationError
from loket.settings import Settings, SettingsError

Tell = Callable[[str], None]


def examine(
    settings: Settings | SettingsError, url: str | None, *, as_json: bool, reach: bool, tell: Tell
) -> int:
    """Tell what is wrong. Exit code 1 when something is."""
    found = list(_findings(settings, url, reach=reach))
    if as_json:
        tell(orjson.dumps([asdict(one) for one in found], option=orjson.OPT_INDENT_2).decode())
    else:
        for line in lines(found):
            tell(line)
    return 1 if any(one.health is Health.WRONG for one in found) else 0


def _findings(
    settings: Settings | SettingsError, url: str | None, *, reach: bool
) -> Iterator[doctor.Finding]:
    if isinstance(settings, SettingsError):
        yield wrong("Settings", str(settings), "mend that setting: nothing starts before")
        return
    yield from doctor.examine(settings, Path(settings.home), url, reach=reach)
    if url is not None:
        with contextlib.suppress(psycopg.Error, InstallationError, MigrationError, SettingsError):
            if not recovery.is_opened_by(url, settings.secret_key):
                yield wrong(
                    "Settings", "LOKET_SECRET_KEY is not the key of this database",
                    "find the one that was used: without it nobody is recognised, and no account can be read",
                )  # fmt: skip
            for line in procedure_files.differing(settings, url):
                yield remark("Procedures", line, "publish it under a next version")


def make_backup(settings: Settings, url: str, file: str, tell: Tell) -> int:
    size = backup.make(url, Path(file), Path(settings.home))
    if file == "-":
        return 0
    home = Path(settings.home).absolute()
    tell(f"{file}: {size / 1e6:.1f} MB, for {_me()} alone to read. Names and addresses are readable in it.")
    tell("Keep in another place, for they are not in it, and without them it is worth little:")
    tell(f"  LOKET_SECRET_KEY   opens national numbers and accounts ({home / 'loket.env'})")
    tell(f"  {home / 'keys'}   by which ACM/IDM and MAGDA know this installation")
    if settings.procedures:
        tell(f"  {settings.procedures}   procedure files (what was published is in the backup)")
    return 0


def put_back(
    settings: Settings, url: str | None, file: str, last_invoices: dict[tuple[str, int], int], tell: Tell
) -> int:
    """Into the database at `url`, or without one into the private one, which must not run."""
    if not Path(file).is_file():
        raise backup.BackupError(f"there is no {file}")
    with contextlib.ExitStack() as stack:
        if url is None:
            private = postgres.Postgres(Path(settings.home) / "postgres")
            stack.callback(private.stop)
            url = private.start()
        return _tell_of(backup.put_back(url, Path(file), last_invoices), settings, url, tell)


def recovered(settings: Settings, url: str, last_invoices: dict[tuple[str, int], int], tell: Tell) -> int:
    """As `put_back`, of a database that PostgreSQL itself put back to an earlier moment."""
    return _tell_of(recovery.recovered(url, last_invoices), settings, url, tell)


def _tell_of(restored: recovery.Recovered, settings: Settings, url: str, tell: Tell) -> int:
    """What must be done before citizens are let in. Exit code 1 when it cannot be read whole."""
    broken = recovery.broken_histories(url)
    opened = recovery.is_opened_by(url, settings.secret_key)
    at = f"{restored.last_event_at:%Y-%m-%d %H:%M:%S} UTC" if restored.last_event_at else "nothing yet"
    tell(f"Put back, up to: {at}. The feed begins anew: epoch {restored.epoch}.")
    if broken:
        tell(f"! The history of {len(broken)} cases does not hold: {', '.join(broken[:3])}")
    if not opened:
        tell("! LOKET_SECRET_KEY is not the one of this database: nobody is recognised. Set the right one.")
    tell("Before citizens are let in:")
    for journal, number in restored.journals.items():
        tell(
            f"  invoices  {journal} stands at {number}: where accounting knows a later one, put it back with"
        )
        tell(f"            --last-invoice {journal.replace(' ', ':')}:NUMBER, or a number is given out twice")
    tell(f"  money     {restored.in_doubt} effects in doubt: look at the other side, then retry or skip")
    tell(
        f"  the rest  {restored.waiting} effects wait; all systems are paused: systemResume sends them again,"
    )
    tell("            under the id by which the other side knows what it had before")
    tell("  the bank  import the statements since then again: what was booked is recognised")
    return 0 if opened and not broken else 1


def _me() -> str:
    return os.environ.get("USER") or f"user {os.geteuid()}"
