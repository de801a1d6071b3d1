"""Reading: one statement, one JSON value, and as little between them as libpq allows.

Nearly every request is one such statement. What a driver does around it for every purpose (pools, cursors,
rows, a timer and two changes of the event loop a wait) costs four times as much as what is needed for this
one: here a connection keeps its place in the event loop, and a statement that comes again is prepared.
"""

import asyncio
import select
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult
from psycopg_pool import PoolClosed, PoolTimeout

Connect = Callable[[], Awaitable[AsyncConnection[Any]]]

PREPARED = 100
"""Statements kept prepared on one connection; the plan of one takes the server some hundred kilobytes."""
REMEMBERED = 2_000
"""Statements that are known to have been asked before: their next use prepares them."""
LIFE_SECONDS = 3_600.0
"""After this a connection is replaced, and with it all that it made the server remember."""
RETRY_SECONDS = 0.1
"""Between attempts to connect to a server that is away."""


class Readers:
    """At most `most` connections, made when first needed. `wait_seconds`: how long a caller waits for one.

    `waited` hears how long each did for whom none was free.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        most: int,
        wait_seconds: float,
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._connect = connect
        self._waited = waited
        self._most = most
        self._wait_seconds = wait_seconds
        self._open = 0
        self._idle: list[_Line] = []
        self._waiting: deque[asyncio.Future[_Line | None]] = deque()
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._closed = False
        self._fault = ""
        """Why the last connection could not be made."""

    @property
    def in_use(self) -> int:
        return self._open - len(self._idle)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def fetch(self, query: str, params: Sequence[Any] | None = None) -> bytes | None:
        """The first column of the first row as PostgreSQL wrote it; None without a row, and for a NULL.

        Parameters are numbered $1, $2…

        Raises:
            PoolTimeout: (a psycopg.OperationalError) no connection was free or could be made in time.
            psycopg.Error: as the server says.
        """
        if self._closed:
            raise PoolClosed("no longer open")
        line = self._free() or await self._wait()
        try:
            return await line.fetch(query, params or (), again=self._is_known(query))
        finally:
            self._give_back(line)

    def close(self) -> None:
        """At once for idle connections, for the others when their statement ends."""
        self._closed = True
        for line in self._idle:
            line.close()
        self._open -= len(self._idle)
        self._idle.clear()

    def _is_known(self, query: str) -> bool:
        text = hash(query)
        if text in self._seen:
            return True
        self._seen[text] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False

    def _free(self) -> "_Line | None":
        while self._idle:
            line = self._idle.pop()
            if line.is_fresh():
                return line
            self._drop(line)
        return None

    async def _wait(self) -> "_Line":
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._wait_seconds):
                line = None
                while line is None:
                    line = await (self._make() if self._open < self._most else self._next())
                return line
        except TimeoutError:
            said = f": {self._fault}" if self._fault else ""
            raise PoolTimeout(f"no connection to read with in {self._wait_seconds:g} s{said}") from None
        finally:
            self._waited(time.monotonic() - began)

    async def _make(self) -> "_Line":
        """A new connection; a server that is away is waited for."""
        self._open += 1
        try:
            while True:
                try:
                    line = _Line(await self._connect())
                except psycopg.OperationalError as fault:
                    self._fault = str(fault)
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    self._fault = ""
                    return line
        except BaseException:
            self._open -= 1
            self._pass_on(None)
            raise

    async def _next(self) -> "_Line | None":
        """What somebody else is done with; None when there is room for a new one."""
        coming: asyncio.Future[_Line | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(coming)
        try:
            return await coming
        except asyncio.CancelledError:
            if coming.done() and not coming.cancelled():
                given = coming.result()
                if given is None:
                    self._pass_on(None)
                else:
                    self._give_back(given)
            raise

    def _give_back(self, line: "_Line") -> None:
        if self._closed or not line.is_fresh():
            self._drop(line)
        elif not self._pass_on(line):
            self._idle.append(line)

    def _drop(self, line: "_Line") -> None:
        line.close()
        self._open -= 1
        self._pass_on(None)

    def _pass_on(self, line: "_Line | None") -> bool:
        """To who waits longest; None lets them make one."""
        while self._waiting:
            coming = self._waiting.popleft()
            if not coming.done():
                coming.set_result(line)
                return True
        return False


class _Line:
    """One connection; at most one statement is under way on it."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection  # its end would close what we use of it
        self._pg = connection.pgconn
        self._socket = self._pg.socket
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + LIFE_SECONDS
        self._dump = Transformer(connection)
        self._prepared: OrderedDict[tuple[str, tuple[int, ...]], bytes] = OrderedDict()
        self._number = 0
        self._coming: asyncio.Future[PGresult | None] | None = None
        self._last: PGresult | None = None
        self._glance = select.poll()
        self._glance.register(self._socket, select.POLLIN)
        self._loop.add_reader(self._socket, self._read)

    def is_fresh(self) -> bool:
        """Whether a statement can be asked here: an idle server that has something to say, says goodbye."""
        return (
            self._coming is None
            and self._pg.status == ConnStatus.OK
            and self._loop.time() < self._until
            and not self._glance.poll(0)
        )

    def close(self) -> None:
        if self._socket >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = -1
        self._pg.finish()

    async def fetch(self, query: str, params: Sequence[Any], *, again: bool) -> bytes | None:
        values = self._dump.dump_sequence(params, [PyFormat.AUTO] * len(params))
        types = self._dump.types or ()
        name = self._prepared.get((query, types)) if again else None
        if name is None and again:
            name = await self._prepare(query, types)
        if name is None:
            self._pg.send_query_params(query.encode(), values, types, self._dump.formats)
        else:
            self._pg.send_query_prepared(name, values, self._dump.formats)
        result = await self._result(ExecStatus.TUPLES_OK)
        return result.get_value(0, 0) if result.ntuples else None

    async def _prepare(self, query: str, types: tuple[int, ...]) -> bytes:
        if len(self._prepared) >= PREPARED:
            _, oldest = self._prepared.popitem(last=False)
            self._pg.send_query(b"DEALLOCATE " + oldest)
            await self._result(ExecStatus.COMMAND_OK)
        self._number += 1
        name = b"read_%d" % self._number
        self._pg.send_prepare(name, query.encode(), types)
        await self._result(ExecStatus.COMMAND_OK)
        self._prepared[query, types] = name
        return name

    # ------------------------------------------------------------------ the event loop

    async def _result(self, wanted: ExecStatus) -> PGresult:
        """The answer to what was just sent. Whoever no longer waits for it ends it on the server as well."""
        self._last = None
        self._coming = self._loop.create_future()
        if self._pg.flush():
            self._loop.add_writer(self._socket, self._write)
        try:
            result = await self._coming
        except asyncio.CancelledError:
            cancel = self._pg.get_cancel()
            self.close()
            self._loop.run_in_executor(None, cancel.cancel)
            raise
        self._coming = None
        if result is None:
            raise psycopg.OperationalError("the server gave no answer")
        if result.status != wanted:
            raise errors.error_from_result(result)
        return result

    def _write(self) -> None:
        try:
            if not self._pg.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.OperationalError as fault:
            self._lose(fault)

    def _read(self) -> None:
        try:
            self._pg.consume_input()
            while not self._pg.is_busy():
                result = self._pg.get_result()
                if result is None:
                    if self._coming is not None and not self._coming.done():
                        self._coming.set_result(self._last)
                    return
                self._last = result
        except psycopg.OperationalError as fault:
            self._lose(fault)

    def _lose(self, fault: psycopg.OperationalError) -> None:
        coming, last = self._coming, self._last
        self.close()
        if coming is not None and not coming.done():
            # the server's last words, such as that it is shutting down, say more than that it hung up
            if last is not None:
                coming.set_result(last)
            else:
                coming.set_exception(fault)
