"""The four operations, each server in turn on the same core over the same database, round after round."""

import contextlib
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from benchmark import load, postgraphile, processes
from benchmark.load import Outcome, Request
from benchmark.operations import OPERATIONS, Operation, gist, key_of
from benchmark.town import HERE, Town, ask, get
from loket.installation import free_ports

WARM_UP_SECONDS = 1
COMPARED = 5
"""Requests of each operation whose answers are compared before anything is measured."""


class Differs(Exception):
    """Two servers gave different answers to the same request."""


@dataclass
class Server:
    key: str
    port: int
    process: "subprocess.Popen[bytes]"
    requests: Callable[[Operation, Town], list[Request]]
    path: Callable[[Operation], str] = lambda _: "/graphql"
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return TITLES[self.key]

    def url(self, operation: Operation) -> str:
        return f"http://127.0.0.1:{self.port}{self.path(operation)}"


@dataclass(frozen=True)
class Round:
    """`server_us` and `database_us`: CPU time per request."""

    outcome: Outcome
    server_us: float
    database_us: float


Rounds = dict[str, dict[str, list[Round]]]
"""By operation and server."""
Medians = dict[str, dict[str, dict[str, float]]]
"""The same, by name of a figure."""
TITLES = {
    "loket": "Loket",
    "postgraphile": "PostGraphile 5",
    "floor": "floor, psycopg",
    "floor-asyncpg": "floor, asyncpg",
}


def measure(town: Town, stack: contextlib.ExitStack, *, rounds: int, seconds: int, clients: int) -> Rounds:
    servers = start(town, stack)
    for server in servers:
        for operation in OPERATIONS:
            server.files[operation.key] = file = town.folder / f"{server.key}-{operation.key}.requests"
            load.write(file, server.requests(operation, town))
    for operation in OPERATIONS:
        compare(town, servers, operation)
        for server in servers:
            _round(town, server, operation, WARM_UP_SECONDS, clients)
    found: Rounds = {one.key: {server.key: [] for server in servers} for one in OPERATIONS}
    for number in range(rounds):
        turn = number % len(servers)
        for operation in OPERATIONS:
            for server in servers[turn:] + servers[:turn]:
                found[operation.key][server.key].append(_round(town, server, operation, seconds, clients))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


# --- the servers ------------------------------------------------------------------------------


def start(town: Town, stack: contextlib.ExitStack) -> list[Server]:
    """Loket, PostGraphile where npm can be reached, and the floor: all at once, and only one is asked."""
    servers = [Server("loket", town.port, town.loket, Operation.to_loket)]
    try:
        folder = postgraphile.installed()
    except postgraphile.NotInstalled as fault:
        print(f"WITHOUT PostGraphile, which could not be installed: {fault}", flush=True)
    else:
        port = free_ports(18300, 1)
        command = postgraphile.command(folder, town.database_url, port)
        process = _serve(
            town, stack, "postgraphile", command, port, postgraphile.environment(),
            lambda: ask(port, "/graphql", "", {"query": "{ __typename }"}),
        )  # fmt: skip
        servers.append(Server("postgraphile", port, process, Operation.to_postgraphile))
    drivers = ["psycopg", *(["asyncpg"] if importlib.util.find_spec("asyncpg") else [])]
    return servers + [_floor(town, stack, driver) for driver in drivers]


def _floor(town: Town, stack: contextlib.ExitStack, driver: str) -> Server:
    key = "floor" if driver == "psycopg" else f"floor-{driver}"
    config = town.folder / f"{key}.json"
    config.write_text(
        json.dumps(
            {
                "driver": driver,
                "database_url": town.database_url,
                "callers": {
                    one.token: {"key": key_of(one), "is_staff": one.is_staff}
                    for one in (town.handler, *town.regulars)
                },
                "operations": {
                    one.key: {"statement": one.floor, "parameters": one.parameters, "staff": one.staff}
                    for one in OPERATIONS
                },
            }
        )
    )
    port = free_ports(18400, 1)
    command = [sys.executable, "-m", "uvicorn", "benchmark.floor:app", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-server-header"]
    process = _serve(town, stack, key, command, port, town.environment | {"FLOOR": str(config)})
    return Server(key, port, process, Operation.to_floor, lambda one: f"/{one.key}")


def _serve(
    town: Town,
    stack: contextlib.ExitStack,
    name: str,
    command: list[str],
    port: int,
    environment: dict[str, str],
    answers: Callable[[], object] | None = None,
) -> "subprocess.Popen[bytes]":
    log = town.folder / f"{name}.log"
    environment = environment | {"PYTHONPATH": str(HERE.parent)}
    process = processes.start(command, core=town.cores.server, log=log, environment=environment)
    stack.callback(processes.stop, process)
    processes.wait_for(process, answers or (lambda: get(port, "/")), log)
    return process


# --- one round --------------------------------------------------------------------------------


def _round(town: Town, server: Server, operation: Operation, seconds: int, clients: int) -> Round:
    assert town.postgres.pid is not None
    if server.key == "loket":
        town.greet()
    events = _events(town) if operation.writes else 0
    own, all_of_it = server.process.pid, town.postgres.pid
    before = processes.cpu_seconds(own), processes.cpu_seconds(all_of_it, family=True)
    outcome = load.run(
        server.url(operation),
        server.files[operation.key],
        clients=clients,
        seconds=seconds,
        core=town.cores.load,
    )
    spent = processes.cpu_seconds(own) - before[0], processes.cpu_seconds(all_of_it, family=True) - before[1]
    if outcome.failed:
        raise Differs(
            f"{server.title}, {operation.title}: {outcome.failed} of {outcome.requests} requests failed"
        )
    if operation.writes and (kept := _events(town) - events) < outcome.requests:
        raise Differs(f"{server.title} answered {outcome.requests} transitions and kept {kept}")
    return Round(outcome, *(one / outcome.requests * 1e6 for one in spent))


def _events(town: Town) -> int:
    with psycopg.connect(town.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM event").fetchone()
    assert row is not None
    return int(row[0])


# --- do they answer the same? -----------------------------------------------------------------


def compare(town: Town, servers: list[Server], operation: Operation) -> None:
    """Raises `Differs`. A transition is only looked at for errors: each makes a new state."""
    asked = {one.key: one.requests(operation, town)[:COMPARED] for one in servers}
    for number in range(min(map(len, asked.values()))):
        answers = {one.key: _answer(one, operation, asked[one.key][number]) for one in servers}
        wanted = answers["loket"]
        for server in servers:
            found = answers[server.key]
            if operation.writes:
                same = True
            elif server.key == "postgraphile":
                same = gist(found) == gist(wanted) != []
            else:
                same = found == wanted
            if not same:
                raise Differs(f"{operation.title}\n{server.title}: {found}\nLoket: {wanted}")


def _answer(server: Server, operation: Operation, request: Request) -> object:
    answer = ask(server.port, server.path(operation), request.token, json.loads(request.body))
    if answer.get("errors") or (answer.get("data") or {}).get("moved", {}).get("errors"):
        raise Differs(f"{server.title}, {operation.title}: {json.dumps(answer)[:1000]}")
    return answer["data"]


# --- what came of it --------------------------------------------------------------------------


def summary(rounds: Rounds) -> Medians:
    """Medians by operation and server, and the ratios of Loket's requests per second to the others'.

    A ratio is the median of the rounds' ratios: both sides of a round met the same neighbours.
    """
    found: Medians = {}
    for operation, by_server in rounds.items():
        found[operation] = {}
        for server, all_rounds in by_server.items():
            numbers = {
                "per_second": [one.outcome.per_second for one in all_rounds],
                "p50_ms": [one.outcome.p50_ms for one in all_rounds],
                "p99_ms": [one.outcome.p99_ms for one in all_rounds],
                "server_us": [one.server_us for one in all_rounds],
                "database_us": [one.database_us for one in all_rounds],
                "loket_to_this": [
                    ours.outcome.per_second / one.outcome.per_second
                    for ours, one in zip(by_server["loket"], all_rounds, strict=True)
                ],
            }
            found[operation][server] = {name: statistics.median(values) for name, values in numbers.items()}
    return found


def table(medians: Medians) -> str:
    heads = (
        ("req/s", 8),
        ("p50 ms", 9),
        ("p99 ms", 9),
        ("server µs", 11),
        ("database µs", 13),
        ("Loket / this", 14),
    )
    lines = [" " * 16 + "".join(f"{head:>{width}}" for head, width in heads)]
    for operation in OPERATIONS:
        lines += ["", operation.title]
        for server, one in medians[operation.key].items():
            ratio = "" if server == "loket" else f"{one['loket_to_this']:.2f}"
            lines.append(
                f"  {TITLES[server]:<14}{one['per_second']:>8.0f}{one['p50_ms']:>9.2f}{one['p99_ms']:>9.1f}"
                f"{one['server_us']:>11.0f}{one['database_us']:>13.0f}{ratio:>14}"
            )
    return "\n".join(lines)
