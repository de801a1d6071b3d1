"""Everything that can be measured of an installation, in the text that Prometheus reads.

What stands in the tables is of the whole installation. What processes count of themselves comes from their
rows (`pulse`), a few seconds old, with `process` as a label: so whoever asks any API process, over whatever
balancer, hears of all of them, workers included, and each number once.

A few statements, each by an index: as quick after a million cases as after a thousand.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from loket.database import Database, Reader
from loket.figures import LEAD_TIMES, blocks_between
from loket.histogram import counts_of, quantile
from loket.pulse import SILENT_SECONDS
from loket.terms import BRUSSELS

FRESH_SECONDS = 2.0
"""Whoever asks sooner hears the same again: many who ask cost no more than one."""
LEAD_TIME_DAYS = 28
"""Lead times are of the cases that left a phase in so many days, today included."""


class Metrics:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._told = b""
        self._told_at = float("-inf")
        self._asking = asyncio.Lock()

    async def text(self) -> bytes:
        """Raises what the database raises."""
        async with self._asking:
            if time.monotonic() - self._told_at > FRESH_SECONDS:
                self._told = generate_latest(_Families(await read(self._database)))
                self._told_at = time.monotonic()
        return self._told


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def read(database: Database) -> list[Metric]:
    async with database.reader() as reader:
        return [
            *await _effects(reader),
            *await _lanes(reader),
            *await _deadlines(reader),
            *await _books(reader),
            *await _lead_times(reader),
            *await _processes(reader),
        ]


async def _effects(reader: Reader) -> list[Metric]:
    rows = await _rows(reader, OPEN_EFFECTS)
    waiting = [row for row in rows if row[1] == "PENDING"]
    stopped = [row for row in rows if row[1] != "PENDING"]
    return [
        _gauge(
            "loket_effect_oldest_seconds", "Age of the oldest effect still to be carried out.",
            ["system"], (((row[0],), row[3]) for row in waiting),
        ),
        _gauge(
            "loket_effects_pending", "Effects still to be carried out.",
            ["system"], (((row[0],), row[2]) for row in waiting),
        ),
        _gauge(
            "loket_effects_retrying", "Of these, those that failed at least once.",
            ["system"], (((row[0],), row[4]) for row in waiting),
        ),
        _gauge(
            "loket_effects_parked", "Effects that wait for a person: PARKED, or IN_DOUBT for money.",
            ["system", "state"], (((row[0], row[1]), row[2]) for row in stopped),
        ),
    ]  # fmt: skip


async def _lanes(reader: Reader) -> list[Metric]:
    rows = await _rows(reader, LANES)
    states = await _rows(reader, SYSTEMS)
    return [
        _gauge("loket_lanes", "Lanes with work.", ["system"], (((row[0],), row[1]) for row in rows)),
        _gauge(
            "loket_lane_overdue_seconds", "How long a lane waits for a worker to look at it.",
            ["system"], (((row[0],), row[2]) for row in rows),
        ),
        _gauge(
            "loket_system_paused", "1 where nothing is sent to a system because somebody paused it.",
            ["system"], (((row[0],), row[1]) for row in states),
        ),
        _gauge(
            "loket_system_failures", "Calls in a row that failed: from five on it is left alone for a while.",
            ["system"], (((row[0],), row[2]) for row in states),
        ),
    ]  # fmt: skip


async def _deadlines(reader: Reader) -> list[Metric]:
    ((timer, held_back, figures),) = await _rows(reader, DEADLINES)
    return [
        _gauge("loket_timer_overdue_seconds", "How late the oldest due timer is.", [], [((), timer)]),
        _gauge(
            "loket_feed_held_back_seconds",
            "Age of the server's oldest transaction that writes: no event after it is told before it ends.",
            [], [((), held_back)],
        ),
        _gauge(
            "loket_figures_behind_seconds", "Age of the oldest event that the figures have not counted.",
            [], [((), figures)],
        ),
    ]  # fmt: skip


async def _books(reader: Reader) -> list[Metric]:
    ((ago,),) = await _rows(reader, LAST_RECONCILIATION)
    differences = await _rows(reader, DIFFERENCES)
    return [
        _gauge(
            "loket_reconciliation_age_seconds", "Since the last comparison of the books ended.",
            [], [((), ago)] if ago is not None else [],
        ),
        _gauge(
            "loket_differences_open", "What that comparison found, and nobody settled.",
            ["kind"], (((row[0],), row[1]) for row in differences),
        ),
    ]  # fmt: skip


async def _lead_times(reader: Reader) -> list[Metric]:
    today = datetime.now(BRUSSELS).date()
    blocks = list(blocks_between(today - timedelta(days=LEAD_TIME_DAYS - 1), today))
    given = {"days": [days for days, _ in blocks], "firsts": [first for _, first in blocks]}
    family = _gauge(
        "loket_lead_time_seconds",
        f"How long cases were in a phase that they left in the last {LEAD_TIME_DAYS} days; "
        "without a phase: from application to end.",
        ["procedure", "phase", "quantile"],
        [],
    )
    for procedure, phase, histogram in await _rows(reader, LEAD_TIMES_OF_ALL, given):
        counts = counts_of(histogram)
        for share in (0.5, 0.9):
            seconds = quantile(counts, share)
            if seconds is not None:
                family.add_metric([procedure, phase, str(share)], seconds)
    return [family]


async def _processes(reader: Reader) -> list[Metric]:
    rows = await _rows(reader, PROCESSES, {"silent": SILENT_SECONDS})
    alive = _gauge("loket_processes", "Processes that run.", ["kind"], [])
    for kind in ("API", "WORKER"):
        alive.add_metric([kind], sum(row[0] == kind for row in rows))
    started = _gauge(
        "loket_process_uptime_seconds", "How long a process runs.", ["process", "kind", "version"],
        (((name, kind, version), up) for kind, name, version, up, _ in rows),
    )  # fmt: skip
    families: defaultdict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for _, name, _, _, counted in rows:
        for family, kind, about, samples in orjson.loads(counted):
            families[family, kind, about] += [(one, labels | {"process": name}, value)
                                              for one, labels, value in samples]  # fmt: skip
    return [alive, started, *map(_of_processes, families.items())]


def _of_processes(counted: tuple[tuple[str, str, str], list[Any]]) -> Metric:
    (name, kind, about), samples = counted
    family = Metric(name, about, kind)
    for one, labels, value in samples:
        family.add_sample(one, labels, value)
    return family


def _gauge(
    name: str, about: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for said, value in values:
        family.add_metric(said, float(value))
    return family


async def _rows(reader: Reader, query: str, given: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    return await (await reader.execute(query, given)).fetchall()


OPEN_EFFECTS = """
    SELECT system, state, count(*), extract(epoch FROM now() - min(created_at))::float8,
           count(*) FILTER (WHERE attempts > 1 OR retry_at IS NOT NULL AND attempts > 0)
      FROM effect WHERE state IN ('PENDING', 'PARKED', 'IN_DOUBT')
     GROUP BY system, state ORDER BY system, state
"""
LANES = """
    SELECT system, count(*), greatest(extract(epoch FROM now() - min(due_at)), 0)::float8
      FROM lane WHERE due_at IS NOT NULL GROUP BY system ORDER BY system
"""
SYSTEMS = "SELECT name, paused::int, failures FROM systemstate ORDER BY name"
DEADLINES = """
    SELECT coalesce((SELECT greatest(extract(epoch FROM now() - due_at), 0)::float8
                       FROM timer WHERE state = 'ARMED' ORDER BY due_at LIMIT 1), 0),
           coalesce((SELECT greatest(extract(epoch FROM now() - min(xact_start)), 0)::float8
                       FROM pg_stat_activity WHERE backend_xid IS NOT NULL), 0),
           coalesce((SELECT greatest(extract(epoch FROM now() - occurred_at), 0)::float8
                       FROM event
                      WHERE (xid, seq) > (
                                SELECT CASE WHEN follower.epoch = feedepoch.epoch
                                            THEN follower.xid ELSE '0'::xid8 END, follower.seq
                                  FROM follower, feedepoch WHERE name = 'figures')
                      ORDER BY xid, seq LIMIT 1), 0)
"""
LAST_RECONCILIATION = """
    SELECT (SELECT extract(epoch FROM now() - ended_at)::float8 FROM reconciliation
             WHERE ended_at IS NOT NULL ORDER BY started_at DESC, id DESC LIMIT 1)
"""
DIFFERENCES = "SELECT kind, count(*) FROM difference WHERE state = 'OPEN' GROUP BY kind ORDER BY kind"
LEAD_TIMES_OF_ALL = f"""
    WITH RECURSIVE known AS (
        SELECT min(procedure_key) AS key FROM figure
        UNION ALL
        SELECT (SELECT min(procedure_key) FROM figure WHERE procedure_key > key)
          FROM known WHERE key IS NOT NULL)
    SELECT key, phase, sum({LEAD_TIMES})::text
      FROM known CROSS JOIN unnest(%(days)s::int[], %(firsts)s::date[]) AS period (days, day)
      JOIN figure ON procedure_key = key AND figure.days = period.days AND figure.day = period.day
     GROUP BY key, phase ORDER BY key, phase
"""  # noqa: S608  # our own words
"""From procedure to procedure by the key of the table, and of each its few blocks."""
PROCESSES = """
    SELECT kind, name, version, extract(epoch FROM now() - started_at)::float8, counted
      FROM process WHERE beat_at > now() - make_interval(secs => %(silent)s)
     ORDER BY kind, started_at
"""
