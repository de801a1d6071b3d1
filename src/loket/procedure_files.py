"""Procedure files that a command publishes, and what is wrong with those that are there."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import psycopg

from loket import publications, publishing
from loket.app import Loket, read_procedures
from loket.database import conninfo
from loket.publications import Published
from loket.publishing import DefinitionError, Reading
from loket.records import ActorKind
from loket.revising import changes
from loket.settings import Settings
from loket.terms import BRUSSELS
from loket.work import Actor

BY = Actor(ActorKind.SYSTEM, "loket publish", frozenset())


async def run(settings: Settings, paths: Sequence[str], *, dry_run: bool) -> list[tuple[str, bool]]:
    """Publish these files: of each what to tell about it, and whether it was taken.

    None is published where one cannot be read or makes no sense: then all faults are told.
    """
    try:
        readings = await asyncio.to_thread(publishing.read_all, [Path(one) for one in paths])
        async with Loket(settings) as loket:
            ordered = sorted(readings, key=lambda one: one.version)
            return [await _told(loket, one, dry_run=dry_run) for one in ordered]
    except DefinitionError as wrong:
        return [(str(fault), False) for fault in wrong.faults]


async def _told(loket: Loket, one: Reading, *, dry_run: bool) -> tuple[str, bool]:
    async def publish() -> Published:
        async with loket.work(BY) as work:
            return await publications.publish(work, one, dry_run=dry_run)

    done = await loket.procedures.informed(publish)
    if done.faults:
        return "\n".join(map(str, done.faults)), False
    await loket.procedures.refresh()
    key, version = one.version
    became = "was there already" if not done.new else "can be published" if dry_run else "published"
    lines = [f"{one.file}: {key} version {version} {became}"]
    if done.before is not None:
        lines[0] += f", after version {done.before.version}"
        on = max(done.definition.valid_from, datetime.now(BRUSSELS).date())
        lines += [f"  {each.text}" for each in changes(done.before, done.definition, on, "nl")]
    return "\n".join(lines), True


def differing(settings: Settings, database_url: str) -> list[str]:
    """Files that say something else than what was published under their version, which stands.

    Raises:
        DefinitionError, SettingsError: as `read_procedures`.
    """
    try:
        with psycopg.connect(conninfo(database_url)) as connection:
            rows = connection.execute("SELECT key, version, sha256 FROM procedureversion").fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    published = {(key, version): sha256 for key, version, sha256 in rows}
    return [
        publications.differs(one)
        for one in read_procedures(settings)
        if published.get(one.version, one.definition.sha256) != one.definition.sha256
    ]
