"""The books: statements of the bank taken in, and the journal of a period."""

import argparse
from dataclasses import replace
from datetime import date

from loket.commands.place import Offer, carried_out, database_url, installation, part, say, told_of_each


def offer(add: Offer) -> None:
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


def import_statement(arguments: argparse.Namespace) -> int:
    """Exit code 1 when a file is refused."""
    settings = replace(installation(sandbox=None).settings, database_url=database_url())
    return told_of_each(part("loket.statement_files:run")(settings, arguments.files))


def journal(arguments: argparse.Namespace) -> int:
    """Exit code 1 for a period that ends before it starts."""
    if arguments.ends_on < arguments.starts_on:
        say("the period ends before it starts")
        return 1
    settings = replace(installation(sandbox=None).settings, database_url=database_url())
    carried_out(
        part("loket.journal_files:run")(
            settings, arguments.starts_on, arguments.ends_on, arguments.out, bom=arguments.bom
        )
    )
    return 0
