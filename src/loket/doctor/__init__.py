"""`loket doctor`: says in plain words what is wrong with an installation, and what to do."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from loket import migrations
from loket.doctor import house, running, systems
from loket.doctor.findings import Finding, Health, wrong
from loket.settings import Settings

__all__ = ["Finding", "Health", "examine"]


def examine(settings: Settings, home: Path, url: str | None, *, reach: bool = True) -> Iterator[Finding]:
    """All findings, in the order in which one would look.

    `url` of the database; None where there is none now. `reach`: also call on the other systems.
    """
    yield from house.examine(settings, home, own_database=not settings.database_url)
    if url is None:
        yield wrong("Database", "there is none", "set LOKET_DATABASE_URL, or let `loket run` start its own")
    else:
        yield from _tables(url, home)
    if reach:
        yield from asyncio.run(systems.examine(settings))


def _tables(url: str, home: Path) -> Iterator[Finding]:
    try:
        behind = migrations.pending(url)
    except migrations.MigrationError as fault:
        yield wrong(
            "Database",
            f"it does not answer: {str(fault).removeprefix('no database: ').strip()}",
            "look whether PostgreSQL runs there, and whether LOKET_DATABASE_URL is right",
        )
        return
    if behind:
        yield wrong("Database", "it lacks tables of this Loket", "run `loket migrate`")
        return
    try:
        yield from running.examine(url, home)
    except SQLAlchemyError as fault:
        yield wrong("Database", f"it could not be looked at whole: {_first_line(fault)}", "ask again")


def _first_line(fault: Exception) -> str:
    return next(iter(str(fault).splitlines()), type(fault).__name__)
