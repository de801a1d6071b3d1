"""Queries that are read from a standby of the database, and are never older than the database itself.

A standby is always a little behind. So each query learns first where the log of the database ends, and is
read from the standby once that has replayed it all: whoever just did something sees it, whichever process it
was done at, and so does everybody else. One short statement asks it for all queries that wait meanwhile.
Where the standby is away, or does not come that far soon, the database itself is read.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection, errors
from sqlalchemy.engine import make_url

from loket.database import Database, conninfo
from loket.readers import Readers

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.5
"""How long a query waits for the standby; one that is further behind is left alone until it has caught up."""
LOOK_SECONDS = 0.002
"""Between two questions how far the standby is."""
PROBE_SECONDS = 1.0
"""Between two looks whether the standby is well."""
CONNECT_SECONDS = 1.0
UNSEEN = "not looked at yet"


class Replica:
    """The standby at `url`: one server that follows `primary`, not a name for several.

    `async with Replica(url, primary) as queries`.
    """

    def __init__(self, url: str, primary: Database, *, readers: int = 10) -> None:
        self._primary = primary
        self._url = make_url(url).set(drivername="postgresql")
        self._readers = Readers(self._connect, most=readers, wait_seconds=CONNECT_SECONDS)
        self._away = UNSEEN
        """Why it is not read; empty when it is."""
        self._replayed = 0
        """How far it is at least: bytes of the log."""
        self._end = _Shared(self._ask_end)
        self._place = _Shared(self._ask_place)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(one) for one in (self._end.run(), self._place.run(), self._keep())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._readers.close()

    @property
    def is_read(self) -> bool:
        """Whether queries are read from it now."""
        return not self._away

    async def fetch_json(self, query: str, params: Sequence[Any] | None = None) -> bytes | None:
        """As `Database.fetch_json`, of the standby where it is as far as the database is now."""
        if not self._away and await self._caught_up():
            try:
                return await self._readers.fetch(query, params)
            except (errors.SerializationFailure, errors.ReadOnlySqlTransaction):
                pass  # it had to undo what we were reading; or this is a query that writes
            except errors.QueryCanceled:
                raise  # took too long, and would there too
            except psycopg.OperationalError as fault:
                self._lost(str(fault))
        return await self._primary.fetch_json(query, params)

    async def _caught_up(self) -> bool:
        try:
            end = await self._end.ask()
            if end > self._replayed:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while end > self._replayed:
                        self._replayed = await self._place.ask()
        except TimeoutError:
            self._lost(f"it is more than {PATIENCE_SECONDS:g} s behind")
        except _Unfit as fault:
            self._lost(str(fault))
        return not self._away

    async def _ask_end(self) -> int:
        """Where the log of the database ends: all that was acknowledged lies before it."""
        try:
            return int(await self._primary.fetch_json(END) or 0)
        except psycopg.Error as fault:
            raise _Unfit("the database itself does not say how far it is") from fault

    async def _ask_place(self) -> int:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                place = await self._readers.fetch(PLACE)
        except (psycopg.Error, TimeoutError) as fault:
            raise _Unfit(str(fault) or "no answer") from fault
        if place is None:
            raise _Unfit("it follows nobody: it is no standby")
        return int(place)

    async def _keep(self) -> None:
        """Look whether it is well; what was behind or away is read again once it has caught up."""
        while True:
            try:
                await self._probe()
            except (psycopg.Error, _Unfit, TimeoutError) as fault:
                self._lost(str(fault) or "no answer")
            else:
                if self._away:
                    logger.info("queries are read from the standby at %s", self._url.host)
                self._away = ""
            await asyncio.sleep(PROBE_SECONDS)

    async def _probe(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            own = await self._primary.fetch_json(WHO)
            if await self._readers.fetch(WHO) != own:
                raise _Unfit("it is a standby of another database")
            end = await self._ask_end()
        place = 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            while place < end:
                place = await self._ask_place()
        self._replayed = place

    def _lost(self, why: str) -> None:
        """Read the database itself from now on; said once."""
        if self._away in ("", UNSEEN):
            logger.warning("queries are read from the database itself, not its standby: %s", why)
        self._away = why
        self._replayed = 0  # another server may stand there next

    async def _connect(self) -> AsyncConnection[Any]:
        return await AsyncConnection.connect(conninfo(self._url), **self._primary.arguments, autocommit=True)


class _Unfit(Exception):
    """The standby cannot be read now; the message says why."""


class _Shared:
    """A question that many have at once. Each gets an answer to one that was asked after they came."""

    def __init__(self, ask: Callable[[], Awaitable[int]]) -> None:
        self._ask = ask
        self._coming: asyncio.Future[int] | None = None
        self._wanted = asyncio.Event()

    async def ask(self) -> int:
        if self._coming is None:
            self._coming = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return await asyncio.shield(self._coming)

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            coming, self._coming = self._coming, None
            assert coming is not None
            try:
                coming.set_result(await self._ask())
            except _Unfit as fault:
                coming.set_exception(fault)
                coming.exception()  # looked at: perhaps nobody waits any more
            except BaseException:
                coming.cancel()
                raise


END = "SELECT to_json(pg_current_wal_flush_lsn() - '0/0')"
PLACE = "SELECT to_json(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0' END)"
WHO = "SELECT to_json((SELECT system_identifier::text FROM pg_control_system()))"
