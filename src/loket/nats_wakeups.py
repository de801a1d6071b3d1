"""Wake-ups over a NATS server: for tens of processes, where each NOTIFY would hold up the commits of all.

One subject per channel, under a prefix per installation; messages are empty. Whatever becomes of the server,
the polls of those who listen go on, so that it needs neither a second one nor a disk.
Only imported where a NATS server is set: the package `nats-py` is an extra.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncGenerator, Iterable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from loket.wakeups import RECONNECT_SECONDS, SEND_SECONDS, WakeUps

logger = logging.getLogger(__name__)

SCHEMES = {"nats", "tls", "ws", "wss"}
PULSE_SECONDS = 5
"""How often the server is asked whether it is still there; after two without an answer it is not."""
AGAIN_SECONDS = 0.1
"""Between two servers of a cluster, or two attempts at the only one."""


class Nats(WakeUps):
    """`servers`: addresses of one cluster, between commas; a user and a password may stand in them."""

    def __init__(self, servers: str, *, prefix: str, credentials_file: str = "", ca_file: str = "") -> None:
        """Raises `ValueError` for what is no address, `OSError` for a CA file that cannot be read."""
        super().__init__()
        self._servers = [one.strip() for one in servers.split(",")]
        places = [urlsplit(one) for one in self._servers]
        if not all(one.scheme in SCHEMES and one.hostname for one in places):
            raise ValueError("an address is nats://host:4222 or tls://host:4222; several have commas between")
        self._place = ", ".join(f"{one.hostname}:{one.port or 4222}" for one in places)
        """For the log: without what stands before the host."""
        self._prefix = prefix
        self._options: dict[str, Any] = {}
        if credentials_file:
            self._options["user_credentials"] = credentials_file
        if ca_file:
            self._options["tls"] = ssl.create_default_context(cafile=ca_file)
        self._connection: Client | None = None
        self._followed: set[str] = set()
        """Channels to which the present connection is subscribed."""
        self._ears: list[_Ear] = []
        self._away = False

    async def listen(self, channels: Sequence[str]) -> AsyncGenerator[str, None]:
        ear = _Ear(channels)
        self._ears.append(ear)
        try:
            if self._connection is not None:  # else the next one follows them all
                with contextlib.suppress(Error, TimeoutError, OSError):
                    await self._follow(self._connection, channels)
                    ear.hear(channels)
            while True:
                await ear.awake.wait()
                for channel in ear.heard():
                    yield channel
        finally:
            self._ears.remove(ear)

    async def _run(self) -> None:
        wait = RECONNECT_SECONDS[0]
        while True:
            connection = Client()
            try:
                await self._connect(connection)
                wait = RECONNECT_SECONDS[0]
                await self._pass_on(partial(self._publish, connection))
            except (Error, TimeoutError, OSError) as fault:
                self._gone(fault)
            finally:
                self._connection = None
                await connection.close()
            await asyncio.sleep(wait)
            wait = min(wait * 2, RECONNECT_SECONDS[1])

    async def _part(self) -> None:
        connection = Client()
        try:
            await self._connect(connection)
            await self._send(partial(self._publish, connection))
            await connection.flush()
        except (Error, OSError):
            logger.debug("the last wake-ups were not sent", exc_info=True)
        finally:
            await connection.close()

    async def _connect(self, connection: Client) -> None:
        """Follow what is listened to, over this connection from now on. Raises as the client does."""
        why: list[Exception] = []

        async def note(fault: Exception) -> None:
            why[:] = [fault]

        async def closed() -> None:
            self._awake.set()  # so that `_publish` sees it

        try:
            async with asyncio.timeout(SEND_SECONDS):
                await connection.connect(
                    self._servers,
                    name="loket",
                    error_cb=note,
                    closed_cb=closed,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=AGAIN_SECONDS,  # type: ignore[arg-type]  # seconds, for `sleep`
                    ping_interval=PULSE_SECONDS,
                    **self._options,
                )
                self._followed.clear()
                self._connection = connection
                await self._follow(connection, {one for ear in self._ears for one in ear.channels})
        except (Error, TimeoutError) as fault:
            raise ConnectionError(why[0] if why else fault) from fault
        for ear in self._ears:
            ear.hear(ear.channels)
        if self._away:
            logger.info("NATS at %s is back", self._place)
        self._away = False

    async def _follow(self, connection: Client, channels: Iterable[str]) -> None:
        """Returns when the server knows it: what is published from then on is heard."""
        for channel in set(channels) - self._followed:
            self._followed.add(channel)
            await connection.subscribe(self._subject(channel), cb=partial(self._hear, channel))
        await connection.flush()

    async def _hear(self, channel: str, _message: Msg) -> None:
        for ear in self._ears:
            if channel in ear.channels:
                ear.hear([channel])

    async def _publish(self, connection: Client, channels: list[str]) -> None:
        if connection.is_closed:
            raise ConnectionError("the server hung up")
        for channel in channels:
            await connection.publish(self._subject(channel))

    def _subject(self, channel: str) -> str:
        return f"{self._prefix}.{channel.removeprefix('loket_')}"

    def _gone(self, fault: Exception) -> None:
        """Said once, not at every attempt."""
        if not self._away:
            logger.warning(
                "NATS at %s is away (%s): others are found by the poll meanwhile", self._place, fault
            )
        self._away = True


class _Ear:
    """One listener: what it heard and did not look at yet."""

    def __init__(self, channels: Sequence[str]) -> None:
        self.channels = frozenset(channels)
        self.awake = asyncio.Event()
        self._heard: set[str] = set()

    def hear(self, channels: Iterable[str]) -> None:
        self._heard.update(channels)
        self.awake.set()

    def heard(self) -> set[str]:
        self.awake.clear()
        heard, self._heard = self._heard, set()
        return heard
