"""Says every few seconds that this process runs, on whatever machine, with what it counted.

So any process can tell of all of them: that a worker is alive (`probes`), and every number (`metrics`).
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Any

import orjson
from sqlalchemy import text
from uuid_utils.compat import uuid7

from loket import counting
from loket.database import Database
from loket.records import ProcessKind

logger = logging.getLogger(__name__)

VERSION = version("loket")
BEAT_SECONDS = 5.0
SILENT_SECONDS = 20.0
"""A process that has said nothing for so long is taken for dead: it was killed, frozen or cut off."""
LEAVE_SECONDS = 1.0
"""How long a process that stops tries to take its row away; else it grows silent, as a killed one."""


class Pulse:
    """Of one process. `look` is called before each beat, to count what is only looked at then."""

    def __init__(
        self, database: Database, kind: ProcessKind, *, look: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._look = look
        self._id = uuid7()
        self._kind = kind
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._beat_at = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """Since the database last heard of this process, or since it began."""
        return time.monotonic() - self._beat_at

    @contextlib.asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._keep_beating()), asyncio.create_task(counting.watch_the_loop())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.leave()

    async def beat(self) -> None:
        """Raises what the database raises."""
        self._look()
        for pool in self._database.pools():
            counting.pooled(*pool)
        said: dict[str, Any] = {
            "id": self._id,
            "kind": self._kind,
            "name": self._name,
            "version": VERSION,
            "counted": orjson.dumps(counting.counted()).decode(),
        }
        async with self._database.transaction() as session:
            await session.execute(BEAT, said)
        self._beat_at = time.monotonic()

    async def _keep_beating(self) -> None:
        while True:
            try:
                await self.beat()
            except Exception as fault:  # noqa: BLE001  # the database may be away, or not migrated yet
                logger.warning("this process could not say that it runs: %s", type(fault).__name__)
            await asyncio.sleep(BEAT_SECONDS)

    async def leave(self) -> None:
        """Take the row away; where the database does not answer it just grows silent."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LEAVE_SECONDS), self._database.transaction() as session:
                await session.execute(LEAVE, {"id": self._id})


BEAT = text("""
    WITH gone AS (DELETE FROM process WHERE beat_at < now() - interval '1 hour' AND id <> :id)
    INSERT INTO process (id, kind, name, version, started_at, beat_at, counted)
    VALUES (:id, :kind, :name, :version, now(), now(), CAST(:counted AS jsonb))
        ON CONFLICT (id) DO UPDATE SET beat_at = now(), counted = EXCLUDED.counted
""")
LEAVE = text("DELETE FROM process WHERE id = :id")
