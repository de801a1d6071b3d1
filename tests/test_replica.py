"""Queries over a real standby: never older than the database, and answered by the database where it fails."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from conftest import _room
from loket import replica, revisions
from loket.database import Database
from loket.replica import END, Replica
from served import served
from servers import Server, over_tcp, standby_of
from town import Town

NUMBERS = "SELECT coalesce(jsonb_agg(number ORDER BY number), '[]') FROM kept"
READ_ONLY = "SELECT to_json(current_setting('transaction_read_only'))"
"""'on' at a standby."""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with _room() as room, over_tcp(room, 26_600) as primary:
        revisions.upgrade(primary.url())
        execute(primary, "CREATE TABLE kept (number int)")
        with standby_of(primary, room) as standby:
            yield primary, standby


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not fail a test."""
    monkeypatch.setattr(replica, "PATIENCE_SECONDS", 3.0)
    monkeypatch.setattr(replica, "CONNECT_SECONDS", 5.0)


@pytest.fixture
async def both(servers: tuple[Server, Server]) -> AsyncIterator[tuple[Database, Replica]]:
    primary, standby = servers
    execute(primary, "TRUNCATE kept")
    async with (
        Database(primary.url()) as database,
        Replica(standby.url(), database) as queries,
    ):
        await until(lambda: queries.is_read)
        yield database, queries


def execute(server: Server, statement: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(statement.encode())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110  # what changes is another process
            await asyncio.sleep(0.01)


async def add(database: Database, number: int) -> None:
    async with database.reader() as connection:
        await connection.execute("INSERT INTO kept VALUES (%s)", (number,))


async def numbers(queries: Replica) -> list[int]:
    found: list[int] = json.loads(await queries.fetch_json(NUMBERS) or b"null")
    return found


async def test_a_query_is_read_from_the_standby_and_costs_the_database_one_word(
    both: tuple[Database, Replica],
) -> None:
    database, queries = both
    assert await database.fetch_json(READ_ONLY) == b'"off"'
    with database.count() as statements:
        assert await queries.fetch_json(READ_ONLY) == b'"on"'
        answers = await asyncio.gather(*(queries.fetch_json(READ_ONLY) for _ in range(50)))
    assert answers == [b'"on"'] * 50
    assert set(statements) == {END}
    assert len(statements) < 10, "asked once for many"


async def test_who_did_something_sees_it_at_once_and_so_does_everybody(
    both: tuple[Database, Replica], servers: tuple[Server, Server]
) -> None:
    database, queries = both
    async with Replica(servers[1].url(), database) as elsewhere:
        await until(lambda: elsewhere.is_read)
        seen_from = 0
        for number in range(40):
            await add(database, number)
            here, there = await asyncio.gather(numbers(queries), numbers(elsewhere))
            assert here[-1] == there[-1] == number
            seen_from += queries.is_read
    assert seen_from > 0, "else this says nothing of the standby"


async def test_a_standby_that_stays_behind_is_not_read_until_it_has_caught_up(
    both: tuple[Database, Replica], servers: tuple[Server, Server], caplog: pytest.LogCaptureFixture
) -> None:
    database, queries = both
    execute(servers[1], "SELECT pg_wal_replay_pause()")
    try:
        with caplog.at_level(logging.INFO):
            for number in range(5):
                await add(database, number)
                assert (await numbers(queries))[-1] == number
            assert not queries.is_read
            assert caplog.text.count("not its standby: ") == 1
    finally:
        execute(servers[1], "SELECT pg_wal_replay_resume()")
    await until(lambda: queries.is_read)
    assert await queries.fetch_json(READ_ONLY) == b'"on"'


async def test_a_standby_that_is_away_is_missed_by_nobody(
    both: tuple[Database, Replica], servers: tuple[Server, Server], caplog: pytest.LogCaptureFixture
) -> None:
    database, queries = both
    await add(database, 1)
    servers[1].stop()
    try:
        for _ in range(20):
            assert await numbers(queries) == [1]
        assert not queries.is_read
        assert caplog.text.count("not its standby: ") == 1
        assert "klompendans" not in caplog.text
    finally:
        servers[1].start()
    await until(lambda: queries.is_read)


async def test_what_is_no_standby_of_this_database_is_never_read(
    both: tuple[Database, Replica],
    servers: tuple[Server, Server],
    server: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database, _ = both
    for url, why in ((servers[0].url(), "no standby"), (server, "another database")):
        caplog.clear()
        async with Replica(url, database) as queries:
            await until(lambda: "not its standby: " in caplog.text)
            assert await queries.fetch_json(READ_ONLY) == b'"off"'
            assert why in caplog.text


async def test_a_mutation_is_seen_by_the_next_query_over_the_api(
    servers: tuple[Server, Server], tmp_path: Path
) -> None:
    primary, standby = servers
    async with served(primary.url(), tmp_path, read_database_url=standby.url()) as found:
        town = Town(found)
        queries = found.loket.queries
        assert isinstance(queries, Replica)
        await until(lambda: queries.is_read)
        for who in (town.somebody(), town.somebody()):
            for number in range(1, 4):
                await town.does(who, "applicationStart", procedure="compost-bin")
                with found.loket.database.count() as statements:
                    told = await town.ask(who, "{ applications(first: 9) { nodes { id } } }")
                assert len(told["applications"]["nodes"]) == number
                assert not [one for one in statements if "jsonb_agg" in one or "json_agg" in one]
