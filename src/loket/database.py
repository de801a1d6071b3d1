"""The database: transactions for writing, plain connections for reading, and who is woken after a commit.

Writers get a SQLModel session in a transaction. Readers get a psycopg connection without one: a read is one
statement that builds its JSON in PostgreSQL, and whose text goes on untouched.
How wake-ups travel is for `wakeups`.
"""

import asyncio
import contextlib
import functools
import logging
import select
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.abc import Buffer, Params, QueryNoTemplate
from psycopg.adapt import Loader
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimedOut
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, PoolProxiedConnection

from loket import counting
from loket.readers import Readers
from loket.wakeups import Notify, WakeUps

logger = logging.getLogger(__name__)

EVENTS = "loket_events"
EFFECTS = "loket_effects"

WRITERS, READERS, QUERIES = "writers", "readers", "queries"
"""What connections are for, in `/metrics`: queries are reads that answer JSON."""

IDLE_IN_TRANSACTION_SECONDS = 30
"""A forgotten transaction holds back the feed of events, so the server ends it."""
NOT_NOW = (OperationalError, InterfaceError, InternalError, PoolTimedOut, psycopg.OperationalError)
"""The database does not answer, has no connection free, or had to break a tie: another moment it can. An
internal error is the end of a transaction in a process that was frozen, or a server still to be promoted."""
RANDOM_PAGE_COST = 1.1
"""A page anywhere, to one in order: the server's default, 4, is for turning discs. With it a queue is read by
walking all cases in order (41 ms of 100,000) and not by its own index (0.7 ms)."""
CONNECT_SECONDS = 5
KEEPALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_WAKE = "loket.wake"


T = TypeVar("T")
Opened = TypeVar("Opened")


def after_commit(session: AsyncSession, channel: str) -> None:
    """Wake whoever listens to `channel` once this session's transaction is committed; never if it is not."""
    session.info.setdefault(_WAKE, set()).add(channel)


async def kept_whole(
    begin: Callable[[], contextlib.AbstractAsyncContextManager[Opened]], act: Callable[[Opened], Awaitable[T]]
) -> T:
    """What `act` answers, all that it does in one transaction, which `begin` opens.

    Done once more where the database undid it for the sake of another (a deadlock, a serialization failure):
    nothing of it was kept, so nobody needs to hear of that.
    """
    try:
        async with begin() as work:
            return await act(work)
    except DBAPIError as fault:
        if not gave_way(fault):
            raise
        logger.info("a transaction gave way to another; once more", exc_info=True)
    async with begin() as work:
        return await act(work)


async def clock(session: AsyncSession) -> datetime:
    """The time on the database's clock: the one that all processes share, whatever their own machine says."""
    told: datetime = (await session.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return told


def gave_way(fault: DBAPIError) -> bool:
    """Whether the database undid a transaction for the sake of another: done again it may well succeed."""
    return isinstance(fault.orig, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)


class Statements(list[str]):
    """The SQL statements of a block, in order."""


class RawJson(Loader):
    """json and jsonb as the bytes that PostgreSQL wrote: most go straight into an answer."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


class Reader(AsyncConnection[TupleRow]):
    """A connection without transaction whose statements can be counted."""

    counts: list[Statements]


class _ReaderCursor(AsyncCursor[TupleRow]):
    async def execute(  # type: ignore[override]  # no t-strings, which need Python 3.14
        self,
        query: QueryNoTemplate,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        if isinstance(self.connection, Reader):
            for statements in self.connection.counts:
                statements.append(query if isinstance(query, str) else str(query))
        return await super().execute(query, params, prepare=prepare, binary=binary)


class Writers(AsyncAdaptedQueuePool):
    """The connections of those who write; it counts how long they are waited for."""

    waiting = 0

    def connect(self) -> PoolProxiedConnection:
        if self.checkedin():
            return super().connect()
        self.waiting += 1
        began = time.monotonic()
        try:
            return super().connect()
        finally:
            self.waiting -= 1
            counting.waited(WRITERS, time.monotonic() - began)


class Database:
    """One PostgreSQL database. `async with Database(url) as database`, or `open` and `aclose`."""

    def __init__(
        self,
        url: str,
        *,
        writers: int = 10,
        readers: int = 10,
        statement_timeout_seconds: float = 30.0,
        name: str = "loket",
        wake_ups: WakeUps | None = None,
    ) -> None:
        """`writers` and `readers` are the most connections of each kind, of readers for each way to read.

        `name` shows in pg_stat_activity. `wake_ups`: what carries them in place of NOTIFY.
        """
        self.url = make_url(url).set(drivername="postgresql+psycopg")
        options = (
            f"-c timezone=UTC -c statement_timeout={int(statement_timeout_seconds * 1000)}"
            f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS * 1000}"
            f" -c random_page_cost={RANDOM_PAGE_COST}"
        )
        self.arguments: Final[dict[str, Any]] = {
            "application_name": name,
            "connect_timeout": CONNECT_SECONDS,
            "options": options,
            **KEEPALIVE,
        }
        """Of every connection."""
        self._engine = create_async_engine(
            self.url, poolclass=Writers, pool_size=writers, max_overflow=0, connect_args=self.arguments
        )
        self._sessions = async_sessionmaker(self._engine, class_=AsyncSession, expire_on_commit=False)
        self._pool: AsyncConnectionPool[Reader] = AsyncConnectionPool(
            conninfo(self.url),
            connection_class=Reader,
            kwargs={
                **self.arguments,
                "autocommit": True,
                "cursor_factory": _ReaderCursor,
                "prepare_threshold": 2,
            },
            configure=self._configure,
            check=_check_reader,
            min_size=1,
            max_size=readers,
            timeout=CONNECT_SECONDS,
            open=False,
            name=name,
        )
        self._readers = Readers(
            self._connect,
            most=readers,
            wait_seconds=CONNECT_SECONDS,
            waited=functools.partial(counting.waited, QUERIES),
        )
        self._sizes = {WRITERS: writers, READERS: readers, QUERIES: readers}
        self._counts: list[Statements] = []
        event.listen(self._engine.sync_engine, "before_cursor_execute", self._count_writer)
        event.listen(self._engine.sync_engine, "checkout", _check_writer)
        self._wake_ups = wake_ups or Notify(self._connect)

    async def open(self) -> None:
        """Start the pools. Does not wait for the server: `ping` tells whether it answers."""
        await self._pool.open()
        await self._wake_ups.open()

    async def aclose(self) -> None:
        """Send the last wake-ups and close every connection."""
        await self._wake_ups.aclose()
        self._readers.close()
        await self._pool.close()
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # ------------------------------------------------------------------------------------ writing and reading

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in one transaction: committed at the end of the block, rolled back when it raises."""
        async with self._sessions() as session:
            async with session.begin():
                yield session
            self._wake_ups.wake(session.info.pop(_WAKE, ()))

    @contextlib.asynccontextmanager
    async def apart(
        self, *, statement_timeout_seconds: float, lock_timeout_seconds: float
    ) -> AsyncIterator[AsyncSession]:
        """A session on a connection of its own, of which nothing is kept: rolled back whatever happens.

        It wakes nobody, and takes no connection from those who write.
        """
        options = (
            f"{self.arguments['options']} -c statement_timeout={int(statement_timeout_seconds * 1000)}"
            f" -c lock_timeout={int(lock_timeout_seconds * 1000)}"
        )
        engine = create_async_engine(
            self.url, poolclass=NullPool, connect_args=self.arguments | {"options": options}
        )
        try:
            async with AsyncSession(engine, expire_on_commit=False) as session:
                try:
                    yield session
                finally:
                    await session.rollback()
        finally:
            await engine.dispose()

    @contextlib.asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """A connection in autocommit; json and jsonb come as bytes. One statement is one snapshot.

        Raises:
            PoolTimeout: (a psycopg.OperationalError) none was free or could be made in five seconds.
        """
        at_hand = self._pool.get_stats()["pool_available"]
        began = time.monotonic()
        async with contextlib.AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._pool.connection())
            finally:
                if not at_hand:
                    counting.waited(READERS, time.monotonic() - began)
            yield connection

    async def fetch_json(self, query: str, params: Sequence[Any] | None = None) -> bytes | None:
        """What the one statement `query` answers in its first column, as PostgreSQL wrote it.

        None without a row, and for a NULL. Parameters are numbered $1, $2…

        Raises:
            PoolTimeout: (a psycopg.OperationalError) none was free or could be made in five seconds.
        """
        for statements in self._counts:
            statements.append(query)
        return await self._readers.fetch(query, params)

    async def ping(self, *, seconds: float = 2.0) -> bool:
        """Whether the server answers a statement within `seconds`."""
        try:
            async with asyncio.timeout(seconds), self._pool.connection(timeout=seconds) as connection:
                await connection.execute("SELECT 1")
        except (psycopg.Error, PoolTimeout, TimeoutError):
            return False
        return True

    def pools(self) -> Iterator[tuple[str, int, int, int]]:
        """What connections there are for: at most so many, so many in use, and who waits for one."""
        writers, stats = self._engine.pool, self._pool.get_stats()
        assert isinstance(writers, Writers)
        yield WRITERS, self._sizes[WRITERS], writers.checkedout(), writers.waiting
        in_use = stats["pool_size"] - stats["pool_available"]
        yield READERS, self._sizes[READERS], in_use, stats["requests_waiting"]
        yield QUERIES, self._sizes[QUERIES], self._readers.in_use, self._readers.waiting

    @contextlib.contextmanager
    def count(self) -> Iterator[Statements]:
        """The statements that this database gets during the block, from sessions and readers alike."""
        statements = Statements()
        self._counts.append(statements)
        try:
            yield statements
        finally:
            self._counts[:] = [one for one in self._counts if one is not statements]

    def _count_writer(self, _connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        for statements in self._counts:
            statements.append(statement)

    async def _configure(self, connection: Reader) -> None:
        connection.counts = self._counts
        connection.adapters.register_loader("json", RawJson)
        connection.adapters.register_loader("jsonb", RawJson)

    # ----------------------------------------------------------------------------------------------- wake-ups

    def listen(self, channels: Sequence[str]) -> AsyncGenerator[str, None]:
        """The name of a channel whenever there may be something new, see `WakeUps.listen`."""
        return self._wake_ups.listen(channels)

    async def _connect(self) -> AsyncConnection[TupleRow]:
        return await AsyncConnection.connect(conninfo(self.url), **self.arguments, autocommit=True)


async def _check_reader(connection: AsyncConnection[Any]) -> None:
    if _spoke(connection.pgconn.socket):
        await connection.close()  # else the pool takes it back, and offers it again and again
        raise psycopg.OperationalError("the server has closed this connection")


def _check_writer(connection: PoolProxiedConnection, _record: object, _proxy: object) -> None:
    driver = connection.driver_connection
    if isinstance(driver, AsyncConnection) and _spoke(driver.pgconn.socket):
        raise InvalidatePoolError("the server has closed this connection")


def _spoke(socket: int) -> bool:
    """Whether an idle connection has something to read: only its end, so a restarted server fails no request.

    A look at the socket costs microseconds, where the usual `SELECT 1` before each use is a round trip.
    """
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


def conninfo(url: URL | str) -> str:
    """`url` as libpq reads it, password included: not for a log."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
