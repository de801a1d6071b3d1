"""What grows with a town: the same asked of one of 10,000 cases and of one of 1,000,000, each in turn.

Both have the same servers on the same cores, and only one is asked at a time. A case has ten events: six of
its own, and what became of four effects.
"""

import http.client
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import psycopg

from benchmark import load, processes
from benchmark.operations import OPERATIONS
from benchmark.town import FILL, HERE, Town, ask, token_of

SIZES = (10_000, 1_000_000)
READ = ("case", "queue")
"""Of the operations; `mine` reads what `queue` reads, and `submit` says what writing costs."""
FILLED_BY = (HERE / "months.sql", *FILL, HERE / "history.sql")
EFFECTS_EACH = 4
EVENTS_EACH = 6 + EFFECTS_EACH
CLIENTS = 4
SUBMITS = 40
"""In a round; each by somebody who has not applied before."""
DRAIN_SECONDS = 300.0

START = """mutation {
  made: applicationStart(procedure: "compost-bin") { application { id answers } errors { message } }
}"""
FILL_IN = """mutation Fill($id: ID!) {
  answers: applicationSetAnswers(
    id: $id, input: {contact: {}, delivery: {place: "home"}, declaration: true}
  ) { errors { message } }
  cart: applicationSetCart(id: $id, input: {lines: [{product: "bak", quantity: 1}]}) { errors { message } }
}"""
SUBMIT = """mutation Submit($id: ID!, $key: String!) {
  made: applicationSubmit(id: $id, idempotencyKey: $key) { case { reference status } errors { path message } }
}"""

_persons = count(20_000)
"""Nobody applies twice."""


class Refused(Exception):
    """Loket did not do what was asked; the message has its answer."""


@dataclass(frozen=True)
class Taken:
    """Of one round, in milliseconds; `effects_per_second` are what one worker carried out."""

    p50: dict[str, float]
    p95: dict[str, float]
    effects_per_second: float


@dataclass(frozen=True)
class Found:
    """Medians of all rounds."""

    cases: int
    events: int
    bytes: int
    """What the database takes."""
    taken: Taken


def measure(towns: list[Town], *, rounds: int, seconds: int) -> list[Found]:
    """Rounds in turn, the first town first in every other one."""
    for town in towns:
        for operation in OPERATIONS:
            if operation.key in READ:
                load.write(town.folder / f"{operation.key}.requests", operation.to_loket(town))
        _round(town, 1, 4)
    found: list[list[Taken]] = [[] for _ in towns]
    for number in range(rounds):
        order = list(enumerate(towns))
        for place, town in order if number % 2 == 0 else order[::-1]:
            found[place].append(_round(town, seconds, SUBMITS))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return [_medians(town, all_of_it) for town, all_of_it in zip(towns, found, strict=True)]


def _round(town: Town, seconds: int, submits: int) -> Taken:
    town.greet()
    p50: dict[str, float] = {}
    p95: dict[str, float] = {}
    for operation in OPERATIONS:
        if operation.key not in READ:
            continue
        outcome = load.run(
            f"http://127.0.0.1:{town.port}/graphql",
            town.folder / f"{operation.key}.requests",
            clients=CLIENTS,
            seconds=seconds,
            core=town.cores.load,
        )
        if outcome.failed:
            raise Refused(f"{operation.title}: {outcome.failed} of {outcome.requests} requests failed")
        p50[operation.key], p95[operation.key] = outcome.p50_ms, outcome.p95_ms
    took = sorted(_submitted(town, submits))
    p50["submit"], p95["submit"] = statistics.median(took), took[int(len(took) * 0.95)]
    return Taken(p50, p95, _drained(town))


# --- submit -------------------------------------------------------------------------------------


def _submitted(town: Town, number: int) -> Iterator[float]:
    """Milliseconds of each submission, one after another: screened, decided and invoiced by rule in it."""
    drafts = [_draft(town) for _ in range(number)]
    with closing(http.client.HTTPConnection("127.0.0.1", town.port, timeout=30)) as connection:
        for token, draft in drafts:
            variables = {"id": draft, "key": f"growth-{draft}"}
            body = json.dumps({"query": SUBMIT, "variables": variables})
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
            began = time.perf_counter()
            connection.request("POST", "/graphql", body, headers)
            answer = json.loads(connection.getresponse().read())
            took = (time.perf_counter() - began) * 1000
            _look(answer)
            yield took


def _draft(town: Town) -> tuple[str, str]:
    """Somebody's token, and their application filled in; only of whom MAGDA gave the address in time."""
    while True:
        token = token_of(town.acm, f"burger-{next(_persons)}")
        made = _look(ask(town.port, "/graphql", token, {"query": START}))["made"]["application"]
        if made["answers"].get("applicant", {}).get("address"):
            break
    _look(ask(town.port, "/graphql", token, {"query": FILL_IN, "variables": {"id": made["id"]}}))
    return token, made["id"]


def _look(answer: Any) -> Any:  # noqa: ANN401  # JSON
    data = answer.get("data") or {}
    if answer.get("errors") or any((one or {}).get("errors") for one in data.values()):
        raise Refused(json.dumps(answer)[:1000])
    return data


# --- effects ------------------------------------------------------------------------------------


def _drained(town: Town) -> float:
    """Effects a second: one worker carries out what the submissions left, and is stopped."""
    with psycopg.connect(town.database_url, autocommit=True) as connection, _worker(town):
        waiting = _open(connection)
        if not waiting:
            raise Refused("the submissions left no effects")
        before, began = _done(connection), time.monotonic()
        while _open(connection):
            if time.monotonic() > began + DRAIN_SECONDS:
                raise Refused(f"{_open(connection)} of {waiting} effects are not carried out")
            time.sleep(0.05)
        return (_done(connection) - before) / (time.monotonic() - began)


@contextmanager
def _worker(town: Town) -> Iterator[None]:
    """A worker that has looked around: counted from its first effect on, not from its start."""
    log = town.folder / "worker.log"
    command = [sys.executable, "-m", "loket", "work"]
    with psycopg.connect(town.database_url, autocommit=True) as connection:
        connection.execute("UPDATE systemstate SET paused = true")
        process = processes.start(command, core=town.cores.server, log=log, environment=town.environment)
        try:
            processes.wait_for(process, lambda: _is_there(connection), log)
            connection.execute("UPDATE systemstate SET paused = false, rate_per_second = 1000, burst = 1000")
            yield
        finally:
            processes.stop(process)


def _is_there(connection: psycopg.Connection[Any]) -> None:
    """Raises `Unanswered` until the worker has its connections and all systems are known to it."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM systemstate) > 0 AND (SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query ILIKE 'listen%') > 1"
    ).fetchone()
    if row != (True,):
        raise processes.Unanswered("no worker yet")


def _open(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(
        "SELECT count(*) FROM effect WHERE state = 'PENDING' AND (retry_at IS NULL OR attempts > 0)"
    ).fetchone()
    assert row is not None
    return int(row[0])


def _done(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(
        "SELECT count(*) FROM effect WHERE state = 'DONE' AND created_at > now() - interval '1 hour'"
    ).fetchone()
    assert row is not None
    return int(row[0])


# --- what came of it ----------------------------------------------------------------------------


def _medians(town: Town, taken: list[Taken]) -> Found:
    with psycopg.connect(town.database_url) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM event), pg_database_size(current_database())"
        ).fetchone()
    assert row is not None

    def middle(of: list[dict[str, float]]) -> dict[str, float]:
        return {key: statistics.median(one[key] for one in of) for key in of[0]}

    return Found(
        town.cases,
        row[0],
        row[1],
        Taken(
            middle([one.p50 for one in taken]),
            middle([one.p95 for one in taken]),
            statistics.median(one.effects_per_second for one in taken),
        ),
    )


def table(found: list[Found]) -> str:
    small, large = found
    titles = {"case": "one case", "queue": "work queue, 50", "submit": "submit"}
    heads = "".join(f"{f'{one.cases:,} cases':>22}" for one in found)
    lines = [f"{'':<24}{heads}{'ratio':>10}"]
    for key, title in titles.items():
        for name in ("p50", "p95"):
            here, there = (getattr(one.taken, name)[key] for one in (small, large))
            lines.append(f"{f'{title}, {name} ms':<24}{here:>22.2f}{there:>22.2f}{there / here:>10.2f}")
    rates = small.taken.effects_per_second, large.taken.effects_per_second
    lines.append(f"{'effects a second':<24}{rates[0]:>22.0f}{rates[1]:>22.0f}{rates[1] / rates[0]:>10.2f}")
    lines.append(f"{'events':<24}{small.events:>22,}{large.events:>22,}")
    lines.append(f"{'database, MB':<24}{small.bytes / 1e6:>22,.0f}{large.bytes / 1e6:>22,.0f}")
    return "\n".join(lines)


def as_json(found: list[Found]) -> list[dict[str, Any]]:
    return [asdict(one) for one in found]
