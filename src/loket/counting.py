"""What one process counts of itself, for `/metrics`: numbers, and labels of which there are few.

No label is ever something that a caller wrote: there would be as many series as there are callers.
"""

import asyncio
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.samples import Sample

TICK_SECONDS = 0.5
"""How often it is looked how late the event loop is."""

REGISTRY = CollectorRegistry()

_requests = Counter("loket_requests", "Requests, by door.", ["route", "status"], registry=REGISTRY)
_operation_seconds = Histogram(
    "loket_operation_seconds",
    "How long GraphQL operations took.",
    ["kind"],
    registry=REGISTRY,
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_operation_cost = Counter(
    "loket_operation_cost",
    "What GraphQL operations cost, as documents are priced.",
    ["kind"],
    registry=REGISTRY,
)
_errors = Counter("loket_graphql_errors", "Errors in answers, by code.", ["code"], registry=REGISTRY)
_attempts = Counter(
    "loket_attempts",
    "Calls to other systems, by how they ended: DONE, RETRY, PARKED or IN_DOUBT.",
    ["system", "outcome"],
    registry=REGISTRY,
)
_attempt_seconds = Histogram(
    "loket_attempt_seconds",
    "How long calls to other systems took.",
    ["system"],
    registry=REGISTRY,
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25),
)
_pool_size = Gauge(
    "loket_pool_size",
    "The most connections to the database that there may be, of each use.",
    ["pool"],
    registry=REGISTRY,
)
_pool_in_use = Gauge(
    "loket_pool_in_use", "Connections to the database that are in use.", ["pool"], registry=REGISTRY
)
_pool_waiting = Gauge("loket_pool_waiting", "Who waits for such a connection.", ["pool"], registry=REGISTRY)
_pool_wait_seconds = Histogram(
    "loket_pool_wait_seconds",
    "How long was waited for a connection where none was at hand.",
    ["pool"],
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
_loop_lag = Gauge(
    "loket_event_loop_lag_seconds",
    "How late the event loop was at worst since the last beat.",
    registry=REGISTRY,
)
_subscribers = Gauge("loket_subscribers", "Subscriptions of this process.", registry=REGISTRY)
_swept = Gauge(
    "loket_last_sweep_timestamp_seconds", "When this worker last swept its lanes.", registry=REGISTRY
)

KNOWN_CODES = 100
"""Codes of errors that are told apart; whatever comes after these is counted as OTHER."""
_codes: set[str] = set()


def requested(route: str, status: int) -> None:
    """`route`: its template, never the address."""
    _requests.labels(route, f"{status // 100}xx").inc()


def answered(kind: str, seconds: float, cost: int, codes: Iterable[str]) -> None:
    """An operation of GraphQL: query, mutation or subscription."""
    _operation_seconds.labels(kind).observe(seconds)
    _operation_cost.labels(kind).inc(cost)
    for code in codes:
        if len(_codes) < KNOWN_CODES:
            _codes.add(code)
        _errors.labels(code if code in _codes else "OTHER").inc()


def attempted(system: str, outcome: str, seconds: float) -> None:
    _attempts.labels(system, outcome).inc()
    _attempt_seconds.labels(system).observe(seconds)


def waited(pool: str, seconds: float) -> None:
    """For a connection to the database where none was at hand: one was made, or others had them all."""
    _pool_wait_seconds.labels(pool).observe(seconds)


def pooled(pool: str, size: int, in_use: int, waiting: int) -> None:
    _pool_size.labels(pool).set(size)
    _pool_in_use.labels(pool).set(in_use)
    _pool_waiting.labels(pool).set(waiting)


def swept() -> None:
    _swept.set_to_current_time()


def subscribed(number: int) -> None:
    _subscribers.set(number)


async def watch_the_loop() -> None:
    """Notice what keeps all others waiting."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        _lags.append(max(0.0, loop.time() - due))


_lags: list[float] = []


def counted() -> list[list[object]]:
    """All of it, as it goes into the row of this process: family, kind, help, samples."""
    lags = _lags[:]
    _lags.clear()
    _loop_lag.set(max(lags, default=0.0))
    return [
        [family.name, family.type, family.documentation, samples]
        for family in REGISTRY.collect()
        if (samples := [[one.name, one.labels, one.value] for one in family.samples if not _is_birth(one)])
    ]


def _is_birth(sample: Sample) -> bool:
    """When a counter began is when its process began: that is told once."""
    return sample.name.endswith("_created")
