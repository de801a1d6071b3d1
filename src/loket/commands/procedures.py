"""Procedures: published, walked dry, and all that they say."""

import argparse
from dataclasses import replace

from loket.commands.place import (
    Offer,
    database_url,
    installation,
    own_settings,
    part,
    told_of_each,
    up_to_date,
)
from loket.installation import InstallationError


def offer(add: Offer) -> None:
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


def publish(arguments: argparse.Namespace) -> int:
    """Exit code 1 when a file is refused."""
    settings = replace(installation(sandbox=None).settings, database_url=up_to_date(database_url()))
    return told_of_each(
        part("loket.procedure_files:run")(settings, arguments.files, dry_run=arguments.dry_run)
    )


def simulate(arguments: argparse.Namespace) -> int:
    """Exit code 1 when a file is wrong, or a case comes to something else than it expects."""
    try:
        url: str | None = database_url()
    except InstallationError:
        url = None
    code: int = part("loket.trials:simulate")(
        own_settings(),
        up_to_date(url) if url is not None else None,
        arguments.file,
        arguments.case,
        brief=arguments.expect,
        texts=arguments.texts,
    )
    return code


def preview(arguments: argparse.Namespace) -> int:
    """Exit code 1 when a file is wrong, or has no such message."""
    code: int = part("loket.trials:preview")(
        own_settings(), arguments.file, arguments.event, arguments.language, arguments.html
    )
    return code
