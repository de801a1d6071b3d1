"""Keeping an installation: its tables, what is wrong with it, and its whole database in one file."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from loket import supervisor
from loket.commands.place import Offer, database_url, installation, own_settings, part, say
from loket.installation import InstallationError
from loket.settings import Retention, Settings, SettingsError


def offer(add: Offer) -> None:
    one = add(migrate, "bring the database up to this Loket")
    one.add_argument("--revision", metavar="TEXT", help="write the next revision from the records instead")
    one = add(history, "months of events and effects: what there is, how large, what is archived")
    one.add_argument("--years", action="store_true", help="make one part of the months of each past year")
    one = add(doctor, "what is wrong with this installation, and what to do")
    one.add_argument("--json", action="store_true", help="for a machine to read")
    one.add_argument(
        "--reach", action=argparse.BooleanOptionalAction, default=True, help="call on the other systems too"
    )
    one = add(backup, "the whole database in one file, while Loket works")
    one.add_argument("file", metavar="FILE", help="`-`: standard output, to be encrypted")
    one = add(restore, "put a backup back into an empty database")
    one.add_argument("file", metavar="FILE")
    _ask_invoices(one)
    _ask_invoices(add(recovered, "what must follow when PostgreSQL itself was put back to an earlier moment"))


def _ask_invoices(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--last-invoice",
        type=_last_invoice,
        action="append",
        default=[],
        metavar="JOURNAL:YEAR:NUMBER",
        help="the last number that was given out after that moment, as accounting knows it",
    )


def migrate(arguments: argparse.Namespace) -> int:
    if arguments.revision:
        say(f"wrote {part('loket.revisions:write')(arguments.revision)}")
        return 0
    done: list[str] = part("loket.revisions:upgrade")(database_url())
    say(f"carried out: {', '.join(done)}" if done else "nothing to do")
    return 0


def history(arguments: argparse.Namespace) -> int:
    if arguments.years:
        merge: Callable[[str, Retention], Iterator[str]] = part("loket.history:merge")
        for line in merge(database_url(), own_settings().retention):
            say(line)
    lines: Callable[[str], Iterator[str]] = part("loket.history:lines")
    for line in lines(database_url()):
        say(line)
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Exit code 1 when something is wrong."""
    try:
        settings: Settings | SettingsError = own_settings()
    except SettingsError as fault:
        settings = fault
    url = None
    with contextlib.suppress(InstallationError, SettingsError):
        url = database_url()
    code: int = part("loket.care:examine")(
        settings, url, as_json=arguments.json, reach=arguments.reach, tell=say
    )
    return code


def backup(arguments: argparse.Namespace) -> int:
    code: int = part("loket.care:make_backup")(own_settings(), database_url(), arguments.file, say)
    return code


def restore(arguments: argparse.Namespace) -> int:
    """Exit code 1 when what was put back cannot be read whole."""
    settings = installation(sandbox=None).settings
    if not settings.database_url and supervisor.find(Path(settings.home)) is not None:
        raise InstallationError("Loket runs here: stop it, and restore into an empty database")
    code: int = part("loket.care:put_back")(
        settings, settings.database_url or None, arguments.file, dict(arguments.last_invoice), say
    )
    return code


def recovered(arguments: argparse.Namespace) -> int:
    """Exit code 1 when the database cannot be read whole."""
    code: int = part("loket.care:recovered")(
        own_settings(), database_url(), dict(arguments.last_invoice), say
    )
    return code


def _last_invoice(text: str) -> tuple[tuple[str, int], int]:
    """`VERKOOP:2026:412`. Raises `ValueError` for anything else."""
    journal, year, number = text.rsplit(":", 2)
    return (journal, int(year)), int(number)
