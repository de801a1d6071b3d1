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
loket recovered   what must follow when PostgreSQL itself was put back to an earlier moment
"""

import argparse
import sys

from loket import migrations, postgres, supervisor
from loket.commands import books, outside, pages, procedures, processes, upkeep
from loket.commands.place import Command
from loket.installation import InstallationError
from loket.settings import SettingsError

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


def main() -> None:
    parser = _parser()
    arguments, rest = parser.parse_known_args()
    if rest and arguments.command is not outside.walk:
        parser.error(f"unknown: {' '.join(rest)}")
    arguments.rest = rest
    try:
        code = arguments.command(arguments)
    except EXPECTED as fault:
        sys.exit(f"loket: {fault}")
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loket", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command: Command, about: str, *, add_help: bool = True) -> argparse.ArgumentParser:
        one = commands.add_parser(command.__name__.replace("_", "-"), help=about, add_help=add_help)
        one.set_defaults(command=command)
        return one

    for subject in (processes, upkeep, outside, procedures, books, pages):
        subject.offer(add)
    return parser


if __name__ == "__main__":
    main()
