"""The connections that answer reads: few of them, each put to use at once, none ever given out broken."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg import AsyncConnection
from psycopg_pool import PoolClosed, PoolTimeout

from loket import readers
from loket.readers import Readers

ECHO = "SELECT to_json($1::text)"
WHO = "SELECT to_json(pg_backend_pid())"


class Opened(Readers):
    """Two connections, and how many were made."""

    def __init__(self, url: str, *, wait_seconds: float = 2.0) -> None:
        self.url = url
        self.made = 0

        async def connect() -> AsyncConnection[object]:
            self.made += 1
            return await AsyncConnection.connect(self.url, autocommit=True)

        super().__init__(connect, most=2, wait_seconds=wait_seconds)


@pytest_asyncio.fixture
async def two(database_url: str) -> AsyncIterator[Opened]:
    opened = Opened(database_url)
    yield opened
    opened.close()


async def connect_both(two: Opened) -> None:
    while two.made < 2:
        await asyncio.gather(two.fetch(ECHO, ["a"]), two.fetch(ECHO, ["b"]))


async def busy(url: str) -> None:
    """Until another session of this database is at work."""
    while not await statements_of(url):  # noqa: ASYNC110  # only the server knows
        await asyncio.sleep(0.01)


async def statements_of(url: str) -> list[str]:
    """What other sessions of this database are busy with."""
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        found = await connection.execute(
            "SELECT query FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
        return [row[0] for row in await found.fetchall()]


async def test_a_value_comes_as_postgresql_wrote_it(two: Opened) -> None:
    assert await two.fetch("SELECT '{\"a\" : 1.50}'::json") == b'{"a" : 1.50}'
    assert await two.fetch("SELECT NULL::json") is None
    assert await two.fetch("SELECT to_json(1) WHERE false") is None


async def test_values_of_every_kind_go_in(two: Opened) -> None:
    key = uuid4()
    asked = "SELECT json_build_array($1::uuid, $2::text[], $3::int, $4::boolean, $5::text)"
    for _ in range(3):  # the second time the statement is prepared
        found = await two.fetch(asked, [key, ["a", "b"], 7, True, None])
        assert found == f'["{key}", ["a","b"], 7, true, null]'.encode()
    assert await two.fetch(asked, [str(key), [], 7, False, "x"]) == f'["{key}", [], 7, false, "x"]'.encode()


async def test_two_connections_serve_twenty_callers(two: Opened) -> None:
    answers = await asyncio.gather(*(two.fetch(ECHO, [str(number)]) for number in range(20)))
    assert answers == [f'"{number}"'.encode() for number in range(20)]
    assert two.made == 2


async def test_who_waits_longest_comes_first(two: Opened) -> None:
    await connect_both(two)
    order: list[int] = []

    async def ask(number: int) -> None:
        await two.fetch("SELECT to_json(pg_sleep(0.02)::text)")
        order.append(number)

    await asyncio.gather(*(ask(number) for number in range(8)))
    assert [number // 2 for number in order] == [0, 0, 1, 1, 2, 2, 3, 3]


async def test_more_than_a_socket_holds_goes_in_and_comes_out(two: Opened) -> None:
    long = "x" * 5_000_000
    assert await two.fetch(ECHO, [long]) == f'"{long}"'.encode()


async def test_a_refused_statement_harms_no_other(two: Opened) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        await two.fetch("SELECT to_json(1 / $1::int)", [0])
    with pytest.raises(psycopg.errors.UndefinedTable):
        await two.fetch("SELECT to_json(a) FROM nowhere AS a")
    with pytest.raises(psycopg.ProgrammingError):
        await two.fetch(ECHO, [object()])
    assert await two.fetch(ECHO, ["still here"]) == b'"still here"'
    assert two.made == 1


async def test_what_nobody_waits_for_is_ended_on_the_server(two: Opened, database_url: str) -> None:
    waiting = asyncio.create_task(two.fetch("SELECT to_json(pg_sleep(20)::text)"))
    await busy(database_url)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    patience = time.monotonic() + 5
    while await statements_of(database_url):
        assert time.monotonic() < patience
        await asyncio.sleep(0.01)
    assert await asyncio.gather(*(two.fetch(ECHO, ["a"]) for _ in range(4))) == [b'"a"'] * 4


async def test_a_connection_that_the_server_closed_is_not_given_out(two: Opened, database_url: str) -> None:
    pid = await two.fetch(WHO)
    assert pid is not None
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("SELECT pg_terminate_backend(%s, 5000)", (int(pid),))
    assert await two.fetch(WHO) != pid


async def test_a_connection_that_breaks_under_a_statement_says_why(two: Opened, database_url: str) -> None:
    waiting = asyncio.create_task(two.fetch("SELECT to_json(pg_sleep(20)::text)"))
    await busy(database_url)
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)%'"
            " AND pid <> pg_backend_pid()"
        )
    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        await waiting
    assert await two.fetch(ECHO, ["again"]) == b'"again"'


async def test_who_finds_no_connection_in_time_is_told(database_url: str) -> None:
    both = Opened(database_url, wait_seconds=0.5)
    await connect_both(both)
    sleepers = [asyncio.create_task(both.fetch("SELECT to_json(pg_sleep(1.5)::text)")) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(PoolTimeout):
        await both.fetch(ECHO, ["too late"])
    await asyncio.gather(*sleepers)
    assert await both.fetch(ECHO, ["in time"]) == b'"in time"'
    both.close()


async def test_a_server_that_is_away_for_a_moment_is_waited_for(database_url: str) -> None:
    away = Opened("host=/nowhere dbname=x", wait_seconds=2.0)
    asked = asyncio.create_task(away.fetch(ECHO, ["back"]))
    await asyncio.sleep(0.15)
    away.url = database_url
    assert await asked == b'"back"'
    away.close()
    gone = Opened("host=/nowhere dbname=x", wait_seconds=0.2)
    with pytest.raises(PoolTimeout, match="/nowhere"):
        await gone.fetch(ECHO, ["never"])


async def test_only_the_latest_statements_stay_prepared(two: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PREPARED", 3)
    for _ in range(2):
        for number in range(6):
            await two.fetch(f"SELECT to_json($1::int + {number})", [1])
    prepared = await two.fetch("SELECT to_json(array_agg(statement)) FROM pg_prepared_statements")
    assert prepared is not None
    assert [f"$1::int + {number}".encode() in prepared for number in range(6)] == [False] * 3 + [True] * 3
    assert await two.fetch("SELECT to_json($1::int + 0)", [1]) == b"1"


async def test_an_old_connection_makes_way(two: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "LIFE_SECONDS", 0.0)
    assert await two.fetch(WHO) != await two.fetch(WHO)


async def test_closed_means_closed(two: Opened, database_url: str) -> None:
    waiting = asyncio.create_task(two.fetch("SELECT to_json(pg_sleep(0.1)::text)"))
    await two.fetch(ECHO, ["x"])
    two.close()
    assert await waiting == b'""'
    with pytest.raises(PoolClosed):
        await two.fetch(ECHO, ["x"])
    async with await AsyncConnection.connect(database_url) as connection:
        patience = time.monotonic() + 5
        others = (1,)
        while others != (0,):
            assert time.monotonic() < patience
            found = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            others = await found.fetchone() or (1,)
            await connection.rollback()
