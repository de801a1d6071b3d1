"""One event to thousands of subscribers: Loket beside what strawberry does by itself, in turn.

Each round starts a server anew, has all subscribers connect from processes of their own, waits, and then
writes event after event, the next when the last has reached everybody.
"""

import asyncio
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from sqlmodel import col, select

from benchmark import processes
from benchmark.town import HERE, Town, ask, get
from loket import cases
from loket.app import Loket
from loket.ids import encode_id
from loket.installation import free_ports
from loket.lifecycle import EventType
from loket.records import Case
from loket.settings import Settings
from loket.work import the_system

CASES, CITIZENS = 5_120, 512
"""Of the town; what is measured does not grow with it."""
PROCESSES = 2
"""Of subscribers."""
SETTLE_SECONDS = 2.0
DOCUMENT = "subscription { workQueueEvents { id cursor type status case { reference } } }"
OWN = """subscription($reference: String!) {
    caseEvents(reference: $reference) { id cursor type status case { reference } } }"""
TITLES = {"loket": "Loket", "plain": "strawberry", "apart": "Loket, each another case"}


@dataclass
class Round:
    """`waits`: milliseconds from after the commit to each receipt; `lost` and `twice` are counts."""

    waits: list[float] = field(default_factory=list)
    lost: int = 0
    twice: int = 0
    kilobytes: float = 0.0
    """Resident memory of the server for each subscriber that is connected and idle."""
    cpu_us: float = 0.0
    """Of the server, user and system time for each message."""


Rounds = dict[str, list[Round]]


def measure(town: Town, *, rounds: int, subscribers: int, events: int) -> Rounds:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # its children have it from here
    found: Rounds = {key: [] for key in TITLES}
    for number in range(rounds):
        ways = ["loket", "plain"] if number % 2 == 0 else ["plain", "loket"]
        for way in ways:
            found[way].append(_round(town, way, subscribers, events))
            print(f"round {number + 1}, {TITLES[way]}: {_told(found[way][-1])}", flush=True)
    found["apart"].append(_round(town, "apart", subscribers, 0))
    return found


def _round(town: Town, way: str, subscribers: int, events: int) -> Round:
    with contextlib.ExitStack() as stack:
        port, server = _server(town, stack, way)
        time.sleep(SETTLE_SECONDS)
        before = _resident(server.pid)
        crowd = _crowd(town, stack, way, port, subscribers)
        time.sleep(SETTLE_SECONDS)
        made = Round(kilobytes=(_resident(server.pid) - before) / subscribers)
        busy = processes.cpu_seconds(server.pid)
        for event, at in _events(town, events):
            _collect(made, crowd, _sign(way, event), at, subscribers)
        if made.waits:
            made.cpu_us = (processes.cpu_seconds(server.pid) - busy) * 1e6 / len(made.waits)
        return made


def _server(town: Town, stack: contextlib.ExitStack, way: str) -> "tuple[int, subprocess.Popen[bytes]]":
    port = free_ports(18600, 1)
    command = [sys.executable, "-m", "loket", "serve"]
    path = "/readyz"
    if way == "plain":
        command = [sys.executable, "-m", "uvicorn", "benchmark.plain_push:app", "--port", str(port)]
        command += ["--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio"]
        command += ["--ws-per-message-deflate", "false", "--no-server-header", "--log-level", "warning"]
        path = "/graphql?query=%7Bhere%7D"
    anybody = {"LOKET_LIVE_PER_PERSON": "0", "LOKET_LIVE_PER_ADDRESS": "0"}  # few persons have all sockets
    environment = town.environment | anybody | {"LOKET_PORT": str(port), "PYTHONPATH": str(HERE.parent)}
    log = town.folder / f"push-{way}.log"
    process = processes.start(command, core=town.cores.server, log=log, environment=environment)
    stack.callback(processes.stop, process)
    processes.wait_for(process, lambda: get(port, path), log)
    return port, process


def _crowd(
    town: Town, stack: contextlib.ExitStack, way: str, port: int, subscribers: int
) -> "list[subprocess.Popen[str]]":
    """Those who follow, once all of them do."""
    references = _references(town)
    messages = [json.dumps(_subscribe(references, way, number)) for number in range(subscribers)]
    tokens = [] if way == "plain" else [town.handler.token]
    if tokens:
        ask(port, "/graphql", tokens[0], {"query": "{ __typename }"})
    crowd = []
    for number in range(PROCESSES):
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(town.cores.load), sys.executable, HERE / "followers.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        crowd.append(process)
        asked = {"port": port, "tokens": tokens, "messages": messages[number::PROCESSES]}
        _write(process, json.dumps(asked))
    for process in crowd:
        if _read(process) != "ready":
            raise RuntimeError("the subscribers did not connect")
    return crowd


def _subscribe(references: list[str], way: str, number: int) -> dict[str, Any]:
    payload: dict[str, Any] = {"query": DOCUMENT}
    if way == "apart":
        payload = {"query": OWN, "variables": {"reference": references[number % len(references)]}}
    return {"type": "subscribe", "id": "1", "payload": payload}


def _collect(
    made: Round, crowd: "list[subprocess.Popen[str]]", sign: str, at: float, subscribers: int
) -> None:
    for process in crowd:
        _write(process, sign)
    told = [json.loads(_read(process)) for process in crowd]
    if hung_up := sum(one["lost"] for one in told):
        print(f"{hung_up} subscribers were hung up on", flush=True)
    heard = [at_last for one in told for at_last in one["heard"]]
    made.lost += max(subscribers - len(heard), 0)
    made.twice += max(len(heard) - subscribers, 0)
    made.waits += [(one - at) * 1000 for one in heard]


def _events(town: Town, number: int) -> Iterator[tuple[UUID, float]]:
    """Events as Loket writes them, with when each was committed."""
    with asyncio.Runner() as runner:
        loket = Loket(Settings.from_environment(town.environment))
        runner.run(loket.__aenter__())
        try:
            for _ in range(number):
                yield runner.run(_happens(loket))
        finally:
            runner.run(loket.__aexit__())


async def _happens(loket: Loket) -> tuple[UUID, float]:
    async with loket.work(the_system()) as work:
        found = await work.session.scalars(select(Case).where(col(Case.closed_at).is_(None)).limit(1))
        case = await cases.get(work, found.one().id)
        event = await cases.record(work, case, EventType.TASK_DONE)
    at = time.monotonic()
    await asyncio.sleep(0.05)  # the wake-up is sent after the commit
    return event.id, at


def _references(town: Town) -> list[str]:
    with psycopg.connect(town.database_url) as connection:
        return [one for (one,) in connection.execute('SELECT reference FROM "case" ORDER BY id')]


def _sign(way: str, event: UUID) -> str:
    return str(event) if way == "plain" else encode_id("CaseEvent", event)


def _resident(pid: int) -> float:
    """Kilobytes."""
    fields = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return float(next(one for one in fields if one.startswith("VmRSS")).split()[1])


def _write(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _read(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# --- what it comes to -------------------------------------------------------------------------


def summary(found: Rounds) -> dict[str, dict[str, float]]:
    """Medians of rounds; lost and twice are of all together."""
    return {way: _figures(rounds) for way, rounds in found.items() if rounds}


def _figures(rounds: list[Round]) -> dict[str, float]:
    cuts = [statistics.quantiles(one.waits, n=100) for one in rounds if one.waits]
    return {
        "p50_ms": statistics.median(one[49] for one in cuts) if cuts else 0.0,
        "p99_ms": statistics.median(one[98] for one in cuts) if cuts else 0.0,
        "cpu_us": statistics.median(one.cpu_us for one in rounds),
        "kilobytes": statistics.median(one.kilobytes for one in rounds),
        "messages": sum(len(one.waits) for one in rounds),
        "lost": sum(one.lost for one in rounds),
        "twice": sum(one.twice for one in rounds),
    }


def table(medians: dict[str, dict[str, float]]) -> str:
    heads = ("p50", "p99", "CPU a message", "memory a connection", "messages", "lost", "twice")
    lines = [f"{'':<26}" + "".join(f"{one:>21}" for one in heads)]
    for way, one in medians.items():
        cells = [f"{one['p50_ms']:.0f} ms", f"{one['p99_ms']:.0f} ms", f"{one['cpu_us']:.0f} µs"]
        if not one["messages"]:
            cells = ["", "", ""]
        cells += [f"{one['kilobytes']:.1f} KB", *(f"{one[name]:,.0f}" for name in heads[-3:])]
        lines.append(f"{TITLES[way]:<26}" + "".join(f"{cell:>21}" for cell in cells))
    ours, theirs = medians["loket"], medians["plain"]
    ratios = [ours[name] / theirs[name] for name in ("p50_ms", "p99_ms", "cpu_us", "kilobytes")]
    return "\n".join([*lines, f"{'ratio':<26}" + "".join(f"{one:>21.3f}" for one in ratios)])


def is_well(medians: dict[str, dict[str, float]]) -> bool:
    """Nothing lost, nothing twice."""
    return not any(one["lost"] or one["twice"] for one in medians.values())


def _told(one: Round) -> str:
    made = _figures([one])
    return ", ".join(f"{name} {value:,.1f}" for name, value in made.items())
