"""The shelf of published procedures: every version that there is, and the verb that puts one there.

A version comes from a file at the start, or is published while Loket runs; the table has them all, and what
stands there is never changed. Each process keeps what it read and follows the table. Where it is asked for a
version that another process published a moment ago, whoever opened the work reads it and does it again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from loket import publishing
from loket.database import Database, after_commit
from loket.definition import Definition
from loket.errors import UnknownVersion
from loket.publishing import DefinitionError, Fault, Reading
from loket.records import ProcedureVersion
from loket.terms import BRUSSELS
from loket.work import Work

logger = logging.getLogger(__name__)

CHANNEL = "loket_procedures"
POLL_SECONDS = 1.0
LOCK = 0x10CE7_9B11C
"""Advisory lock: exclusive for whoever publishes, so that versions are committed in the order of their `seq`;
shared for whoever chooses a version to begin with, so that it still holds at the commit."""

Version = tuple[str, int]
Shelf = Mapping[Version, Definition]
T = TypeVar("T")


class Publications(Shelf):
    """All versions of all procedures that this process has read; none is ever taken away."""

    def __init__(self, database: Database, files: Iterable[Reading] = ()) -> None:
        self._database = database
        self._files = {one.version: one for one in files}
        self._known = {version: one.definition for version, one in self._files.items()}
        self._last = 0
        """The `seq` up to which the table was read."""
        self._reading = asyncio.Lock()
        self._understanding = asyncio.Lock()
        self._awake = asyncio.Event()
        self.differing: dict[Version, str] = {}
        """Files that say something else than what was published under their version, which stands."""
        self.unreadable: set[Version] = set()

    def __getitem__(self, version: Version) -> Definition:
        """Raises `UnknownVersion`, a KeyError: see `informed`."""
        try:
            return self._known[version]
        except KeyError:
            raise UnknownVersion(*version) from None

    def __iter__(self) -> Iterator[Version]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    # ------------------------------------------------------------------------------------------- keeping up

    @contextlib.asynccontextmanager
    async def running(self, *, proofread: bool = False) -> AsyncIterator[None]:
        """Publish the files that are new, and follow what is published elsewhere, for as long as it lasts.

        `proofread`: also look meanwhile whether what was published before makes sense to this Loket.
        """
        recorded = await self._keep_up(recorded=False)
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._follow(recorded=recorded))]
        if proofread:
            tasks.append(asyncio.create_task(self.proofread()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh(self) -> None:
        """Read what was published since the last time."""
        async with self._reading:
            async with self._database.reader() as reader:
                rows = await (await reader.execute(PUBLISHED_AFTER, {"last": self._last})).fetchall()
            found: dict[Version, Definition] = {}
            for _, key, version, content, source, sha256 in rows:
                definition = self._published((key, version), content, source, sha256)
                if definition is not None:
                    found[key, version] = definition
                await asyncio.sleep(0)  # after a start there may be hundreds
            # together: whoever is cancelled before has read nothing
            self._known = {**self._known, **found}
            self._last = max((seq for seq, *_ in rows), default=self._last)

    async def refresh_if_possible(self) -> None:
        """As `refresh`; a database that is away, or has no such table yet, is waited for by others."""
        with contextlib.suppress(psycopg.OperationalError, psycopg.errors.UndefinedTable):
            await self.refresh()

    async def informed(self, act: Callable[[], Awaitable[T]]) -> T:
        """What `act` answers; done again where it named a version that was published elsewhere a moment ago.

        For what can be done twice: reads, and work that is rolled back when it raises.
        """
        while True:
            try:
                return await act()
            except UnknownVersion as fault:
                await self.refresh()
                if fault.version not in self:
                    raise

    async def understand(self, text: str, file: str) -> Reading:
        """Read and check a text, in a thread and one at a time: others are served meanwhile.

        Raises:
            DefinitionError: with all that is wrong with it.
        """
        async with self._understanding:
            return await asyncio.to_thread(publishing.read, text, file)

    def _published(self, version: Version, content: str, source: str, sha256: str) -> Definition | None:
        """None where this Loket cannot make anything of it."""
        own = self._files.get(version)
        if own is not None and own.definition.sha256 == sha256:
            return own.definition
        if own is not None:
            self.differing[version] = own.file
            logger.warning("%s", differs(own))
        try:
            return publishing.from_json(content, source=source, sha256=sha256)
        except DefinitionError:
            logger.exception("%s version %s was published by another Loket and cannot be read", *version)
            self.unreadable.add(version)
            return None

    async def proofread(self) -> None:
        """Say of what holds today, and was published by an older Loket maybe, what is wrong with it now."""
        today = datetime.now(BRUSSELS).date()
        for version, definition in self._known.items():
            if version not in self._files and definition.valid_on(today):
                try:
                    await self.understand(definition.source, "")
                except DefinitionError as fault:
                    logger.warning("%s version %s would not be published today:\n%s", *version, fault)

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._database.listen([CHANNEL])) as wake_ups:
            async for _ in wake_ups:
                self._awake.set()

    async def _follow(self, *, recorded: bool) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._awake.wait()
            self._awake.clear()
            recorded = await self._keep_up(recorded=recorded)

    async def _keep_up(self, *, recorded: bool) -> bool:
        """Look once; whether the files are on the shelf."""
        try:
            if not recorded:
                await self._record()
            await self.refresh()
        except psycopg.errors.UndefinedTable:
            return False  # before the migration: /readyz says so
        except Exception:
            logger.exception("published procedures could not be read; trying again")
            return recorded
        return True

    async def _record(self) -> None:
        """Put the files on the shelf whose version is not there yet."""
        async with self._database.reader() as reader:
            rows = await (await reader.execute(VERSIONS)).fetchall()
        if self._files.keys() <= {(key, version) for key, version in rows}:
            return
        async with self._database.transaction() as session:
            await _lock(session)
            found = await session.execute(select(col(ProcedureVersion.key), col(ProcedureVersion.version)))
            there = {(key, version) for key, version in found}
            for version in sorted(self._files.keys() - there):
                one = self._files[version]
                await _put(session, one.definition, by=Path(one.file).name)


PUBLISHED_AFTER = """
    SELECT seq, key, version, content, source, sha256
      FROM procedureversion WHERE seq > %(last)s ORDER BY seq
"""
VERSIONS = "SELECT key, version FROM procedureversion"


def differs(one: Reading) -> str:
    """What is said of a file whose version was published with another content."""
    key, version = one.version
    return (
        f"{one.file} differs from what was published as {key} version {version}, which stands: "
        "raise the version in the file"
    )


def current(shelf: Shelf, key: str, on: date) -> Definition | None:
    """The version under which an application that starts on day `on` falls."""
    valid = [one for (name, _), one in shelf.items() if name == key and one.valid_on(on)]
    return max(valid, key=lambda one: one.version, default=None)


async def hold(work: Work, key: str) -> None:
    """Let nothing be published until the end of this work: what holds for a start now, holds at its commit.

    Raises:
        UnknownVersion: there is a version of this procedure that this process did not read yet.
    """
    await work.session.execute(select(func.pg_advisory_xact_lock_shared(LOCK)))
    versions = await work.session.scalars(
        select(col(ProcedureVersion.version)).where(col(ProcedureVersion.key) == key)
    )
    _all_read(work.procedures, ((key, version) for version in versions))


def _all_read(shelf: Shelf, versions: Iterable[Version]) -> None:
    unreadable = shelf.unreadable if isinstance(shelf, Publications) else ()
    for version in versions:
        if version not in shelf and version not in unreadable:
            raise UnknownVersion(*version)


# --- publishing -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """What came of publishing: `faults` when it was refused. `new`: it was not there already."""

    definition: Definition
    before: Definition | None
    """The version of lower number that holds on its first day, or today: what it takes the place of."""
    faults: tuple[Fault, ...] = ()
    highest: int | None = None
    """Where its number is the trouble: the highest that is there."""
    new: bool = False


async def publish(work: Work, one: Reading, *, dry_run: bool = False) -> Published:
    """Put a version on the shelf: it holds from its first day on. The same content again changes nothing.

    Raises:
        UnknownVersion: something was published that this process did not read yet.
    """
    definition = one.definition
    await _lock(work.session)
    there = await work.session.execute(
        select(col(ProcedureVersion.key), col(ProcedureVersion.version), col(ProcedureVersion.sha256))
    )
    published = {(key, version): sha256 for key, version, sha256 in there}
    _all_read(work.procedures, published)
    before = predecessor(work.procedures, definition, work.today)
    if published.get(one.version) == definition.sha256:
        return Published(definition, before)
    highest = _highest({*published, *work.procedures}, one, work.procedures)
    faults = tuple(_unfit(work, one, highest))
    if faults:
        return Published(definition, before, faults, highest)
    if not dry_run:
        await _put(
            work.session, definition, by=work.actor.name, staff=work.actor.id if work.actor.is_staff else None
        )
    return Published(definition, before, new=True)


def predecessor(shelf: Shelf, definition: Definition, today: date) -> Definition | None:
    """The version that `definition` takes the place of on its first day, or today if that is later."""
    lower = [
        one for (key, _), one in shelf.items() if key == definition.key and one.version < definition.version
    ]
    on = max(today, definition.valid_from)
    valid = [one for one in lower if one.valid_on(on)]
    return max(valid or lower, key=lambda one: one.version, default=None)


def _highest(there: set[Version], one: Reading, shelf: Shelf) -> int | None:
    """The highest version of this procedure, where this one does not come after it."""
    key, version = one.version
    highest = max((number for name, number in there if name == key), default=0)
    same = one.version in shelf and shelf[one.version].sha256 == one.definition.sha256
    return None if version > highest or same else highest


def _unfit(work: Work, one: Reading, highest: int | None) -> Iterator[Fault]:
    """Why this version cannot join those that are there."""
    definition = one.definition
    key, version = one.version
    if highest is not None and version == highest:
        reason = f"version {version} was published with another content, and is never changed"
        yield one.fault("version", f"{reason}: raise the version above {highest}")
    elif highest is not None:
        yield one.fault("version", f"there is a version {highest} already: raise the version above it")
    others = {
        name
        for (name, _), other in work.procedures.items()
        if name != key and other.reference_prefix == definition.reference_prefix
    }
    if others:
        reason = f"{definition.reference_prefix} begins the references of {', '.join(sorted(others))}"
        yield one.fault("reference_prefix", f"{reason}: take another")
    if publishing.speaks_of_vat(definition) and not work.settings.municipality.vat_number:
        yield one.fault(
            "catalogue", "it sells within the scope of VAT: LOKET_MUNICIPALITY_VAT_NUMBER is needed"
        )


async def _lock(session: AsyncSession) -> None:
    await session.execute(select(func.pg_advisory_xact_lock(LOCK)))


async def _put(session: AsyncSession, definition: Definition, *, by: str, staff: UUID | None = None) -> None:
    session.add(
        ProcedureVersion(
            key=definition.key,
            version=definition.version,
            source=definition.source,
            content=publishing.as_json(definition),
            sha256=definition.sha256,
            published_at=datetime.now(UTC),
            published_by=by,
            staff_id=staff,
        )
    )
    await session.flush()
    after_commit(session, CHANNEL)
