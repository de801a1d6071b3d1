"""`loket`: the one command line.

loket run         everything on one machine: PostgreSQL, migrations, sandbox, API, worker
loket roll        replace its processes by new ones, without an error for anybody
loket serve       one API process            loket work       one worker process
loket migrate     bring the database up to this Loket
loket history     which months of events and effects there are, and how large
loket sandbox     the outside world in small, alone
loket publish FILE…            publish procedures while Loket runs
loket simulate FILE            let cases walk a procedure dry
loket preview FILE             all that a procedure says, with sample values
loket import-statement FILE…   take in the bank's statements now
loket journal     write the journal of a period as CSV
loket token       a Bearer token of a persona of the sandbox
loket walk        let a scripted citizen and civil servant walk a procedure
loket schema      print, write or check the GraphQL schema
loket doctor      what is wrong with this installation, and what to do
loket backup      the whole database in one file        loket restore     put it back, into an empty database
"""

import argparse
import asyncio
import contextlib
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from loket import migrations, parting, postgres, supervisor
from loket.children import say_ready
from loket.installation import Installation, InstallationError, prepare
from loket.settings import Settings, SettingsError

EXPECTED = (
    SettingsError,
    InstallationError,
    postgres.PostgresError,
    migrations.MigrationError,
    supervisor.SandboxError,
    supervisor.StartError,
    OSError,
)
"""What a person can mend: told in one line, without a trace."""
SCHEMA = Path("schema.graphql")


def main() -> None:
    parser = _parser()
    arguments, rest = parser.parse_known_args()
    if rest and arguments.command is not walk:
        parser.error(f"unknown: {' '.join(rest)}")
    arguments.rest = rest
    try:
        code = arguments.command(arguments)
    except EXPECTED as fault:
        sys.exit(f"loket: {fault}")
    sys.exit(code)


# --- commands ----------------------------------------------------------------------------------------------


def run(arguments: argparse.Namespace) -> int:
    installation = _installation(arguments.sandbox)
    found = supervisor.find(installation.home)
    if found is not None:
        _say(f"Loket runs already (process {found.pid}): {found.graphql}")
        return 1
    supervisor.Supervisor(installation, api=arguments.api, workers=arguments.workers, tell=_say).run()
    return 0


def roll(_arguments: argparse.Namespace) -> int:
    """Exit code 1 when the processes were not replaced."""
    trouble = supervisor.roll(Path(_settings().home))
    _say(f"not rolled: {trouble}" if trouble else "rolled")
    return 1 if trouble else 0


def serve(arguments: argparse.Namespace) -> int:
    settings = _settings()
    served: bool = _part("loket.serving:serve")(
        _part("loket.web:asgi"),
        host=settings.host,
        port=settings.port,
        fd=arguments.fd,
        ready=partial(say_ready, arguments.ready),
    )
    return 0 if served else 1


def work(arguments: argparse.Namespace) -> int:
    job: Callable[..., Coroutine[Any, Any, None]] = _part("loket.worker:run")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            _until_told(
                job(_settings(), probe_port=arguments.probe_port, ready=partial(say_ready, arguments.ready))
            )
        )
    return 0


def sandbox(_arguments: argparse.Namespace) -> int:
    installation = _installation(sandbox=True)
    _say(f"Sandbox desk: http://127.0.0.1:{installation.sandbox_port}")
    os.execv(  # noqa: S606  # our own module, no shell
        sys.executable, [sys.executable, "-m", "loket.sandbox", "--config", str(installation.sandbox_file)]
    )


def migrate(arguments: argparse.Namespace) -> int:
    if arguments.revision:
        _say(f"wrote {_part('loket.revisions:write')(arguments.revision)}")
        return 0
    done: list[str] = _part("loket.revisions:upgrade")(_database_url())
    _say(f"carried out: {', '.join(done)}" if done else "nothing to do")
    return 0


def history(_arguments: argparse.Namespace) -> int:
    lines: Callable[[str], Iterator[str]] = _part("loket.history:lines")
    for line in lines(_database_url()):
        _say(line)
    return 0


def schema(arguments: argparse.Namespace) -> int:
    text: str = _part("loket.api.schema:sdl")()
    if arguments.check:
        if SCHEMA.exists() and SCHEMA.read_text("utf-8") == text:
            return 0
        _say(f"{SCHEMA} is not what the code says: run `loket schema --write` and look at the difference")
        return 1
    if arguments.write:
        SCHEMA.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)
    return 0


def tables(arguments: argparse.Namespace) -> int:
    """Exit code 1 when `--check` finds others than the README has."""
    page, written = _part("loket.tables:README"), _part("loket.tables:written")
    if not (arguments.check or arguments.write):
        sys.stdout.write(_part("loket.tables:markdown")())
        return 0
    before = page.read_text("utf-8")
    after = written(before)
    if arguments.write:
        page.write_text(after, "utf-8")
    elif after != before:
        _say(f"the tables in {page} are not what the code says: run `loket tables --write`")
        return 1
    return 0


def reference(arguments: argparse.Namespace) -> int:
    """Exit code 1 when `--check` finds another page or schema than the code makes."""
    wanted: dict[Path, str] = _part("loket.reference:files")()
    page, described = wanted
    if arguments.schema:
        sys.stdout.write(wanted[described])
    elif arguments.write:
        for path, text in wanted.items():
            path.write_text(text, "utf-8")
    elif arguments.check:
        stale = [
            path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text
        ]
        for path in stale:
            _say(f"{path} is not what the code says: run `loket reference --write`")
        return 1 if stale else 0
    else:
        sys.stdout.write(wanted[page])
    return 0


def publish(arguments: argparse.Namespace) -> int:
    """Exit code 1 when a file is refused."""
    settings = replace(_installation(sandbox=None).settings, database_url=_database_url())
    if migrations.pending(settings.database_url):
        raise InstallationError("the database is behind: run `loket migrate`")
    job: Coroutine[Any, Any, list[tuple[str, bool]]] = _part("loket.procedure_files:run")(
        settings, arguments.files, dry_run=arguments.dry_run
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(job)
    for line, _ in told:
        _say(line)
    return 0 if all(taken for _, taken in told) else 1


def simulate(arguments: argparse.Namespace) -> int:
    """Exit code 1 when a file is wrong, or a case comes to something else than it expects."""
    try:
        url: str | None = _database_url()
    except InstallationError:
        url = None
    if url is not None and migrations.pending(url):
        raise InstallationError("the database is behind: run `loket migrate`")
    code: int = _part("loket.trials:simulate")(
        _own_settings(), url, arguments.file, arguments.case, brief=arguments.expect, texts=arguments.texts
    )
    return code


def preview(arguments: argparse.Namespace) -> int:
    """Exit code 1 when a file is wrong, or has no such message."""
    code: int = _part("loket.trials:preview")(
        _own_settings(), arguments.file, arguments.event, arguments.language, arguments.html
    )
    return code


def import_statement(arguments: argparse.Namespace) -> int:
    """Exit code 1 when a file is refused."""
    settings = replace(_installation(sandbox=None).settings, database_url=_database_url())
    job: Coroutine[Any, Any, list[tuple[str, bool]]] = _part("loket.statement_files:run")(
        settings, arguments.files
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told = runner.run(job)
    for line, _ in told:
        _say(line)
    return 0 if all(taken for _, taken in told) else 1


def journal(arguments: argparse.Namespace) -> int:
    """Exit code 1 for a period that ends before it starts."""
    if arguments.ends_on < arguments.starts_on:
        _say("the period ends before it starts")
        return 1
    settings = replace(_installation(sandbox=None).settings, database_url=_database_url())
    job: Coroutine[Any, Any, None] = _part("loket.journal_files:run")(
        settings, arguments.starts_on, arguments.ends_on, arguments.out, bom=arguments.bom
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(job)
    return 0


def token(arguments: argparse.Namespace) -> int:
    running = supervisor.find(Path(_settings().home))
    if running is None:
        raise supervisor.SandboxError(f"Loket does not run here: start it with `{supervisor.command()}`")
    sys.stdout.write(supervisor.token(running, arguments.persona) + "\n")
    return 0


def walk(arguments: argparse.Namespace) -> int:
    code: int = _part("loket.walk:main")(arguments.rest, _installation(sandbox=True))
    return code


def doctor(arguments: argparse.Namespace) -> int:
    """Exit code 1 when something is wrong."""
    try:
        settings: Settings | SettingsError = _own_settings()
    except SettingsError as fault:
        settings = fault
    url = None
    with contextlib.suppress(InstallationError, SettingsError):
        url = _database_url()
    code: int = _part("loket.care:examine")(
        settings, url, as_json=arguments.json, reach=arguments.reach, tell=_say
    )
    return code


def backup(arguments: argparse.Namespace) -> int:
    code: int = _part("loket.care:make_backup")(_own_settings(), _database_url(), arguments.file, _say)
    return code


def restore(arguments: argparse.Namespace) -> int:
    """Exit code 1 when what was put back cannot be read whole."""
    settings = _installation(sandbox=None).settings
    if not settings.database_url and supervisor.find(Path(settings.home)) is not None:
        raise InstallationError("Loket runs here: stop it, and restore into an empty database")
    code: int = _part("loket.care:put_back")(
        settings, settings.database_url or None, arguments.file, dict(arguments.last_invoice), _say
    )
    return code


def _last_invoice(text: str) -> tuple[tuple[str, int], int]:
    """`VERKOOP:2026:412`. Raises `ValueError` for anything else."""
    journal, year, number = text.rsplit(":", 2)
    return (journal, int(year)), int(number)


# --- parts -------------------------------------------------------------------------------------------------


def _settings() -> Settings:
    return Settings.from_environment()


def _own_settings() -> Settings:
    """Those of this place where Loket was started here before; else of the environment: nothing is made."""
    settings = _settings()
    return _installation(sandbox=None).settings if (Path(settings.home) / "loket.env").exists() else settings


def _installation(sandbox: bool | None) -> Installation:
    home = Path(_settings().home)
    alone = prepare(home, os.environ, sandbox=False)
    production = alone.settings.production
    if production and sandbox:
        raise InstallationError("LOKET_PRODUCTION is set: no sandbox, and none of its secrets")
    with_sandbox = not production if sandbox is None else sandbox
    return prepare(home, os.environ, sandbox=True) if with_sandbox else alone


def _database_url() -> str:
    settings = _settings()
    if settings.database_url:
        return settings.database_url
    running = supervisor.find(Path(settings.home))
    if running is None:
        raise InstallationError("no database: set LOKET_DATABASE_URL, or let `loket run` start its own")
    return running.database_url


def _part(name: str) -> Any:  # noqa: ANN401  # each caller says what it gets
    """A command's own part of Loket, so that no process carries what it does not use."""
    return pkgutil.resolve_name(name)


async def _until_told(job: Coroutine[Any, Any, None]) -> None:
    """Run `job` to its end; SIGTERM and SIGINT cancel it, and it may take its time to finish."""
    task = asyncio.ensure_future(job)
    loop = asyncio.get_running_loop()

    def told() -> None:
        parting.begin()
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loket", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        one = commands.add_parser(command.__name__.replace("_", "-"), help=about)
        one.set_defaults(command=command)
        return one

    one = add(run, "everything on one machine")
    one.add_argument(
        "--sandbox", action=argparse.BooleanOptionalAction, help="default: yes, unless in production"
    )
    one.add_argument("--api", type=int, default=1, metavar="N", help="API processes (default 1)")
    one.add_argument("--workers", type=int, default=1, metavar="N", help="worker processes (default 1)")
    add(roll, "replace the processes of what runs here by new ones, while it works")
    one = add(serve, "one API process")
    one.add_argument("--fd", type=int, help="a listening socket that the starter hands over")
    one.add_argument("--ready", type=int, help="a pipe of the starter's, for a word when requests are taken")
    one = add(work, "one worker process")
    one.add_argument("--probe-port", type=int, metavar="PORT", help="answer /livez and /readyz here")
    one.add_argument("--ready", type=int, help="a pipe of the starter's, for a word when work is taken up")
    add(sandbox, "the outside world in small, alone")
    one = add(migrate, "bring the database up to this Loket")
    one.add_argument("--revision", metavar="TEXT", help="write the next revision from the records instead")
    add(history, "months of events and effects: what there is, how large, what is archived")
    one = add(schema, "print the GraphQL schema")
    either = one.add_mutually_exclusive_group()
    either.add_argument("--check", action="store_true", help=f"compare with {SCHEMA}")
    either.add_argument("--write", action="store_true", help=f"write {SCHEMA}")
    one = add(tables, "print the transition tables")
    either = one.add_mutually_exclusive_group()
    either.add_argument("--check", action="store_true", help="compare with those in README.md")
    either.add_argument("--write", action="store_true", help="write them into README.md")
    one = add(reference, "print the reference of procedure files")
    either = one.add_mutually_exclusive_group()
    either.add_argument("--check", action="store_true", help="compare with the page and the schema")
    either.add_argument("--write", action="store_true", help="write the page's tables and the schema")
    either.add_argument("--schema", action="store_true", help="print the JSON Schema for editors")
    one = add(publish, "publish procedures: the same as `procedurePublish`")
    one.add_argument("files", nargs="+", metavar="FILE")
    one.add_argument("--dry-run", action="store_true", help="only say what would come of it")
    one = add(simulate, "let cases walk a procedure dry: the same as `procedureSimulate`")
    one.add_argument("file", metavar="FILE", help="a procedure file, or the key of a procedure")
    one.add_argument(
        "--case", nargs="+", action="extend", default=[], metavar="CASE", help="case files; without: a sample"
    )
    one.add_argument(
        "--expect", action="store_true", help="one line per case, each of which must say what is expected"
    )
    one.add_argument("--texts", action="store_true", help="messages in full")
    one = add(preview, "all that a procedure says, with sample values")
    one.add_argument("file", metavar="FILE", help="a procedure file, or the key of a procedure")
    one.add_argument("--event", help="about this alone: APPROVED")
    one.add_argument("--language", help="nl, fr, en or de; default: each that there is")
    one.add_argument("--html", metavar="FOLDER", help="write the e-mails there, to look at")
    one = add(import_statement, "take in statements of the bank: CODA or camt.053")
    one.add_argument("files", nargs="+", metavar="FILE")
    one = add(journal, "the journal of a period as CSV")
    for name, dest, about in (("--from", "starts_on", "first"), ("--to", "ends_on", "last")):
        one.add_argument(
            name,
            dest=dest,
            type=date.fromisoformat,
            required=True,
            metavar="DAY",
            help=f"the {about} day: 2026-12-31",
        )
    one.add_argument("--out", metavar="FILE", help="default: standard output")
    one.add_argument(
        "--bom", action="store_true", help="begin with a byte order mark, for a spreadsheet that asks it"
    )
    one = add(token, "a Bearer token of the sandbox")
    one.add_argument(
        "--as",
        dest="persona",
        default="citizen",
        help=f"{', '.join(supervisor.PERSONAS)}, or a persona's name",
    )
    commands.add_parser("walk", help="walk a procedure from end to end", add_help=False).set_defaults(
        command=walk
    )
    one = add(doctor, "what is wrong with this installation, and what to do")
    one.add_argument("--json", action="store_true", help="for a machine to read")
    one.add_argument(
        "--reach", action=argparse.BooleanOptionalAction, default=True, help="call on the other systems too"
    )
    one = add(backup, "the whole database in one file, while Loket works")
    one.add_argument("file", metavar="FILE", help="`-`: standard output, to be encrypted")
    one = add(restore, "put a backup back into an empty database")
    one.add_argument("file", metavar="FILE")
    one.add_argument(
        "--last-invoice",
        type=_last_invoice,
        action="append",
        default=[],
        metavar="JOURNAL:YEAR:NUMBER",
        help="the last number that was given out after the backup, as accounting knows it",
    )
    return parser


if __name__ == "__main__":
    main()
