"""How long the live blueprint takes to read after a thousand events and after a million."""

import asyncio
import contextlib
import statistics
import time
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from benchmark.town import BUILD, HERE, TUNED
from loket import blueprint, publishing, revisions
from loket.app import SHIPPED
from loket.database import Database, conninfo
from loket.definition import Definition
from loket.figures import Follower
from loket.postgres import Postgres
from loket.terms import BRUSSELS

SIZES = (1_000, 1_000_000)
FILL = HERE / "figures.sql"
EVENTS_EACH = 6
"""Of a case, as that file makes them."""
ROUNDS = 40
DAYS = (90, 1095)
"""Lengths of the periods that are asked for; cases are spread over three years."""


@dataclass(frozen=True)
class Found:
    """Medians in milliseconds, by length of the period in days; `rows` is what the figures take."""

    events: int
    counted_per_second: int
    rows: int
    milliseconds: dict[int, float]


def measure() -> list[Found]:
    """A database of each size, on one private server; asked in turn."""
    folder = BUILD / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    postgres = Postgres(folder / "postgres", log=folder / "postgres.log", settings=TUNED)
    try:
        url = postgres.start()
        return asyncio.run(_measure([_filled(url, events) for events in SIZES]))
    finally:
        postgres.stop()


async def _measure(urls: list[str]) -> list[Found]:
    definition = publishing.load_all([SHIPPED])["compost-bin"][-1]
    async with contextlib.AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(Database(url)) for url in urls]
        speeds = [await _count(database, definition) for database in databases]
        took: list[dict[int, list[float]]] = [{days: [] for days in DAYS} for _ in databases]
        for _ in range(ROUNDS):
            for database, times in zip(databases, took, strict=True):
                for days in DAYS:
                    times[days].append(await _read(database, definition, days))
        return [
            Found(events, speed, await _rows(database), {days: _median(all) for days, all in times.items()})
            for events, speed, database, times in zip(SIZES, speeds, databases, took, strict=True)
        ]


def _median(times: list[float]) -> float:
    return round(statistics.median(times) * 1000, 2)


async def _count(database: Database, definition: Definition) -> int:
    """Have all events counted; how many a second."""
    follower = Follower(database, {(definition.key, definition.version): definition})
    began, events = time.monotonic(), 0
    while number := await follower.count():
        events += number
    async with database.reader() as reader:
        await reader.execute("ANALYZE")
    return round(events / max(time.monotonic() - began, 0.001))


async def _read(database: Database, definition: Definition, days: int) -> float:
    today: date = datetime.now(BRUSSELS).date()
    began = time.perf_counter()
    found = await blueprint.read(database, definition, today - timedelta(days=days), today, today=today)
    took = time.perf_counter() - began
    if days == max(DAYS) and not found.whole.cases_in:
        raise RuntimeError("nothing was counted")
    return took


async def _rows(database: Database) -> int:
    async with database.reader() as reader:
        row = await (await reader.execute("SELECT count(*) FROM figure")).fetchone()
    return int(row[0]) if row else 0


def _filled(server: str, events: int) -> str:
    """The URL of a database with so many events, none of them counted."""
    name = f"events_{events}"
    with psycopg.connect(conninfo(server), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = conninfo(make_url(server).set(database=name))
    revisions.upgrade(url)
    began = time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TEMP TABLE asked AS SELECT {events // EVENTS_EACH} AS cases")
        connection.execute(FILL.read_text("utf-8"))
    print(f"{events:,} events written in {time.monotonic() - began:.0f} s", flush=True)
    return url


def table(found: list[Found]) -> str:
    lines = [f"{'events':>12}{'counted/s':>12}{'rows':>10}" + "".join(f"{f'{one} days':>14}" for one in DAYS)]
    lines += [
        f"{one.events:>12,}{one.counted_per_second:>12,}{one.rows:>10,}"
        + "".join(f"{one.milliseconds[days]:>11.2f} ms" for days in DAYS)
        for one in found
    ]
    small, large = found[0], found[-1]
    ratios = "".join(f"{large.milliseconds[days] / small.milliseconds[days]:>14.2f}" for days in DAYS)
    return "\n".join([*lines, f"{'ratio':>34}{ratios}"])


def as_json(found: list[Found]) -> list[dict[str, object]]:
    return [asdict(one) for one in found]
