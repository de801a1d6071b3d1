"""Wake-ups between processes: there may be something new, look at the tables.

What it is never goes along: the tables have it. So a wake-up may come twice, too early or not at all; whoever
listens keeps a slower poll beside it, and a lost one costs no more than that poll's interval.
PostgreSQL's NOTIFY carries them where nothing else is set; `nats_wakeups` does it over a NATS server.
"""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

logger = logging.getLogger(__name__)

Connect = Callable[[], Awaitable[AsyncConnection[Any]]]

COALESCE_SECONDS = 0.010
"""At most one wake-up per channel and process in this time: a NOTIFY takes a lock of the whole cluster at its
commit."""
SEND_SECONDS = 5.0
PULSE_SECONDS = 15.0
"""How often a silent listener asks whether its server is still there."""
RECONNECT_SECONDS = (0.1, 2.0)
"""First and longest wait between attempts."""
PARTING_SECONDS = 1.0
"""How long the last wake-ups of a process may take."""


class WakeUps(ABC):
    """Marks channels and passes the marks on, many at a time, for as long as it is open."""

    def __init__(self) -> None:
        self._marked: set[str] = set()
        self._awake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start. Does not wait for a server."""
        self._running = asyncio.create_task(self._run(), name="wake-ups")

    async def aclose(self) -> None:
        """Send what is still marked, and end."""
        if self._running is None:
            return
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running
        self._running = None
        if self._marked:
            with contextlib.suppress(TimeoutError):  # the poll of the others finds it
                async with asyncio.timeout(PARTING_SECONDS):
                    await self._part()

    def wake(self, channels: Iterable[str]) -> None:
        """Let whoever listens to these look: within some ten milliseconds, once for all that comes soon."""
        self._marked.update(channels)
        if self._marked:
            self._awake.set()

    @abstractmethod
    def listen(self, channels: Sequence[str]) -> AsyncGenerator[str, None]:
        """The name of a channel whenever there may be something new: use it in `contextlib.aclosing`.

        Every channel is named once at the start and after a broken connection, for what was missed meanwhile.
        Never ends by itself.
        """

    @abstractmethod
    async def _run(self) -> None:
        """Keep a connection to send over, and `_pass_on` what is marked."""

    @abstractmethod
    async def _part(self) -> None:
        """Send what is marked over a connection of its own; what is not possible is left."""

    async def _pass_on(self, send: Callable[[list[str]], Awaitable[None]]) -> None:
        """Send marks as they come; ends only by what `send` raises."""
        self.wake(())  # what the last connection could not send
        while True:
            await self._awake.wait()
            self._awake.clear()
            await self._send(send)
            await asyncio.sleep(COALESCE_SECONDS)

    async def _send(self, send: Callable[[list[str]], Awaitable[None]]) -> None:
        """What could not be sent stays marked."""
        channels, self._marked = self._marked, set()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await send(sorted(channels))
        except BaseException:
            self._marked |= channels
            raise


class Notify(WakeUps):
    """PostgreSQL's LISTEN and NOTIFY, each on a connection of its own, which `connect` makes."""

    def __init__(self, connect: Connect) -> None:
        super().__init__()
        self._connect = connect

    async def listen(self, channels: Sequence[str]) -> AsyncGenerator[str, None]:
        wait = RECONNECT_SECONDS[0]
        while True:
            try:
                async with await self._connect() as connection:
                    for channel in channels:
                        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    wait = RECONNECT_SECONDS[0]
                    for channel in channels:
                        yield channel
                    while True:
                        async for notice in connection.notifies(timeout=PULSE_SECONDS):
                            yield notice.channel
                        async with asyncio.timeout(SEND_SECONDS):
                            await connection.execute("SELECT 1")
            except (psycopg.Error, TimeoutError, OSError) as fault:
                logger.warning("listening again in %.1f s: %s", wait, fault)
            await asyncio.sleep(wait)
            wait = min(wait * 2, RECONNECT_SECONDS[1])

    async def _run(self) -> None:
        wait = RECONNECT_SECONDS[0]
        while True:
            try:
                async with await self._connect() as connection:
                    wait = RECONNECT_SECONDS[0]
                    await self._pass_on(partial(_notify, connection))
            except (psycopg.Error, TimeoutError, OSError) as fault:
                logger.warning("wake-ups again in %.1f s: %s", wait, fault)
            await asyncio.sleep(wait)
            wait = min(wait * 2, RECONNECT_SECONDS[1])

    async def _part(self) -> None:
        with contextlib.suppress(psycopg.Error, OSError):
            async with await self._connect() as connection:
                await self._send(partial(_notify, connection))


async def _notify(connection: AsyncConnection[Any], channels: list[str]) -> None:
    await connection.execute("SELECT pg_notify(name, '') FROM unnest(%s::text[]) AS name", (channels,))
