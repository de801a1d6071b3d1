"""Several of everything, as real processes over one PostgreSQL that is reached over TCP with a password."""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson
import psycopg
import pytest
import websockets
from uuid_utils.compat import uuid4

from conftest import _room
from loket import supervisor
from loket.api.naming import encode_id
from loket.app import Loket
from loket.installation import SANDBOX_PORTS, free_ports, prepare
from loket.records import Case, EffectKind
from loket.work import the_system
from nats_server import NatsServer, binary
from servers import Server, over_tcp
from test_feed import happens, some_case

pytestmark = pytest.mark.skipif(
    not os.environ.get("SEVERAL"), reason="eight processes, a minute and a half: SEVERAL=1 tries them"
)
WORKERS = ("worker_1", "worker_2", "worker_3")
"""Each signs in at the database by a name of its own, so that its rows can be told from those of others."""
QUEUE = "subscription($after: Cursor) { workQueueEvents(after: $after) { id cursor type } }"
ASSIGN = "mutation($id: ID!) { caseAssign(id: $id) { case { reference } errors { code message } } }"
SEARCH = "{ cases(first: 5) { nodes { reference status } } }"
Json = dict[str, Any]


@dataclass
class Several:
    """Two API processes at `url`, started by `loket run`, and one at `other`; three workers."""

    url: str
    other: str
    home: Path
    environment: dict[str, str]
    server: Server
    here: Loket
    """In this process."""
    workers: dict[str, "subprocess.Popen[bytes]"]
    handler: str
    """The token of one."""
    nats: NatsServer | None

    async def ask(self, url: str, document: str, **variables: object) -> Json:
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            answer = await client.post(
                "/graphql",
                json={"query": document, "variables": variables},
                headers={"Authorization": f"Bearer {self.handler}"},
            )
        told: Json = answer.json()
        assert "errors" not in told, told
        data: Json = told["data"]
        return data

    def sql(self, query: str, *given: object) -> list[Any]:
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            found = connection.execute(query.encode(), given)
            return found.fetchall() if found.description else []


@pytest.fixture(scope="module")
async def several() -> AsyncIterator[Several]:
    with contextlib.ExitStack() as stack:
        room = stack.enter_context(_room())
        server = stack.enter_context(over_tcp(room, 26_400, *WORKERS))
        nats = None
        if binary():
            nats = NatsServer()
            nats.start()
            stack.callback(nats.kill)
        rest = {name: value for name, value in os.environ.items() if not name.startswith("LOKET_")}
        home = room / "home"
        environment = rest | {
            "LOKET_HOME": str(home),
            "LOKET_PORT": str(free_ports(28_400, 1)),
            "LOKET_SANDBOX_PORT": str(free_ports(28_500, SANDBOX_PORTS)),
            "LOKET_DATABASE_URL": server.url(),
        }
        if nats is not None:
            environment["LOKET_NATS_URL"] = nats.url
        stack.enter_context(_process(environment, "run", "--api", "2", "--workers", "0"))
        await asyncio.to_thread(_until, lambda: supervisor.find(home) is not None)
        running = supervisor.find(home)
        assert running is not None
        ours = prepare(home, environment, sandbox=True)
        port = free_ports(28_700, 1)
        stack.enter_context(_process(ours.environment | {"LOKET_PORT": str(port)}, "serve"))
        workers = {
            name: stack.enter_context(
                _process(ours.environment | {"LOKET_DATABASE_URL": server.url(name)}, "work")
            )
            for name in WORKERS
        }
        other = f"http://127.0.0.1:{port}"
        await asyncio.to_thread(_until, lambda: supervisor._is_ready("127.0.0.1", port))
        handler = await asyncio.to_thread(supervisor.token, running, "handler")
        async with Loket(ours.settings) as here, here.procedures.running():
            yield Several(
                running.url, other, home, ours.environment, server, here,
                workers, handler, nats,
            )  # fmt: skip


@contextlib.contextmanager
def _process(environment: Mapping[str, str], *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "loket", *command],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(true: Any, seconds: float = 300.0) -> None:  # noqa: ANN401  # any question
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


# ── subscribers ───────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Follower:
    """Somebody of staff who follows the work queue; comes back with the cursor when the line is closed."""

    url: str
    token: str
    seen: list[str] = field(default_factory=list)
    cursor: str | None = None
    listening: asyncio.Event = field(default_factory=asyncio.Event)
    ends: list[int] = field(default_factory=list)
    """The codes with which sockets were closed, and 0 for a stream that ended as a whole."""

    async def over_sockets(self) -> None:
        while True:
            async with websockets.connect(
                self.url.replace("http", "ws") + "/graphql",
                subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]  # a NewType of str
                compression=None,
            ) as line:
                with contextlib.suppress(websockets.ConnectionClosed):
                    await self._follow(line)
                self.ends.append(line.close_code or 0)

    async def _follow(self, line: Any) -> None:  # noqa: ANN401  # of websockets
        said = {"type": "connection_init", "payload": {"authorization": f"Bearer {self.token}"}}
        await line.send(orjson.dumps(said).decode())
        assert orjson.loads(await line.recv())["type"] == "connection_ack"
        asked = {"query": QUEUE, "variables": {"after": self.cursor}}
        await line.send(orjson.dumps({"type": "subscribe", "id": "1", "payload": asked}).decode())
        self.listening.set()
        async for text in line:
            message = orjson.loads(text)
            if message["type"] == "next":
                self._note(message["payload"])

    async def over_streams(self) -> None:
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.token}"}
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=None) as client:
            while True:
                body = {"query": QUEUE, "variables": {"after": self.cursor}}
                async with client.stream("POST", "/graphql", json=body, headers=headers) as answer:
                    assert answer.status_code == 200
                    self.listening.set()
                    async for text in answer.aiter_lines():
                        if text.startswith("data: {"):
                            self._note(orjson.loads(text.removeprefix("data: ")))
                self.ends.append(0)

    def _note(self, payload: Json) -> None:
        assert "errors" not in payload, payload
        event = payload["data"]["workQueueEvents"]
        self.cursor = event["cursor"]
        self.seen.append(event["id"])


@asynccontextmanager
async def following(several: Several, url: str, *, streams: bool = False) -> AsyncIterator[Follower]:
    start = (await several.ask(url, "{ viewer { cursor } }"))["viewer"]["cursor"]
    one = Follower(url, several.handler, cursor=start)
    task = asyncio.create_task(one.over_streams() if streams else one.over_sockets())
    try:
        async with asyncio.timeout(120):
            while not one.listening.is_set():
                assert not task.done() or task.result()
                await asyncio.sleep(0.02)
        yield one
        assert not task.done() or task.result()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(true: Any, seconds: float = 120.0) -> None:  # noqa: ANN401  # any question
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  # what changes is another process
            await asyncio.sleep(0.05)


async def environments_case(several: Several) -> Case:
    """One that Hilde may handle."""
    case = await some_case(several.here)
    several.sql("""UPDATE "case" SET department = 'Milieudienst' WHERE id = %s""", case.id)
    return case


def event_ids(several: Several, case: Case) -> list[str]:
    found = several.sql(
        "SELECT id FROM event WHERE case_id = %s AND type NOT LIKE 'EFFECT%%' ORDER BY case_version", case.id
    )
    return [encode_id("CaseEvent", row[0]) for row in found]


async def test_a_subscriber_of_one_process_sees_what_is_done_at_another(several: Several) -> None:
    case = await environments_case(several)
    async with following(several, several.url) as here, following(several, several.other) as there:
        for url in (several.other, several.url):
            told = await several.ask(url, ASSIGN, id=encode_id("Case", case.id))
            assert not told["caseAssign"]["errors"]
            await happens(several.here, case)
        ids = event_ids(several, case)
        assert len(ids) >= 3
        await until(lambda: set(ids) <= set(here.seen) and set(ids) <= set(there.seen))
        assert [one for one in here.seen if one in ids] == ids
        assert [one for one in there.seen if one in ids] == ids


# ── workers ───────────────────────────────────────────────────────────────────────────────────────────


async def leave_codes(several: Several, number: int) -> str:
    """E-mails to one address."""
    box = f"{uuid4().hex}@voorbeeld.example"
    async with several.here.work(the_system()) as work:
        for _ in range(number):
            given = {"channel": "EMAIL", "address": box, "code": work.vault.seal("123456").hex()}
            await work.leave(EffectKind.CONTACT_CODE, given)
    return box


def open_effects(several: Several) -> int:
    return int(several.sql("SELECT count(*) FROM effect WHERE state <> 'DONE'")[0][0])


async def arrivals(several: Several, box: str) -> list[float]:
    desk = int(several.environment["LOKET_SANDBOX_PORT"])
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{desk}/systeem/smtp/sim/mailbox/{box}")
    return sorted(datetime.fromisoformat(one["at"]).timestamp() for one in answer.json())


async def test_three_workers_share_the_work_and_one_rate(
    several: Several,
) -> None:
    several.sql("ALTER TABLE attempt ADD COLUMN IF NOT EXISTS by text DEFAULT current_user")
    rate, burst, number = 20, 5, 60
    several.sql(
        "INSERT INTO systemstate (name, paused, rate_per_second, burst, failures)"
        " VALUES ('email', true, %s, %s, 0)"
        " ON CONFLICT (name) DO UPDATE SET paused = true, rate_per_second = %s, burst = %s",
        rate, burst, rate, burst,
    )  # fmt: skip
    box = await leave_codes(several, number)
    await asyncio.sleep(1.5)  # more than a poll
    assert await arrivals(several, box) == [], "paused for all of them"
    several.sql("UPDATE systemstate SET paused = false WHERE name = 'email'")
    await until(lambda: open_effects(several) == 0)
    arrived = await arrivals(several, box)
    assert len(arrived) == number
    for i, begin in enumerate(arrived):
        for j in range(i, number):
            # what was let through earlier may have been on its way for long: this machine is shared
            assert j - i + 1 <= rate * (arrived[j] - begin + 1.0) + burst
    assert arrived[-1] - arrived[0] >= (number - burst - 1) / rate - 1.0
    shares = Counter(dict(several.sql("SELECT by, count(*) FROM attempt WHERE by <> 'loket' GROUP BY by")))
    assert set(shares) == set(WORKERS)
    assert sum(shares.values()) == number, "nothing was tried twice"


async def test_the_work_of_a_worker_that_was_killed_is_done_by_the_others(several: Several) -> None:
    several.sql("UPDATE systemstate SET rate_per_second = 100, burst = 50 WHERE name = 'email'")
    box = await leave_codes(several, 20)
    several.workers["worker_2"].kill()
    await asyncio.sleep(0.2)
    several.sql("UPDATE lane SET due_at = now() WHERE token IS NOT NULL")  # its leases have run out
    await until(lambda: open_effects(several) == 0)
    assert len(await arrivals(several, box)) >= 20


# ── rolling ───────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def loaded(several: Several, case_id: str) -> AsyncIterator[Counter[str]]:
    """Clients that ask and change all the time, over lines that are kept and over new ones."""
    answers: Counter[str] = Counter()
    stop = asyncio.Event()
    headers = {"Authorization": f"Bearer {several.handler}"}

    async def client(number: int) -> None:
        chance = random.Random(number)
        kept = number % 3 > 0
        limits = httpx2.Limits(max_keepalive_connections=1 if kept else 0)
        async with httpx2.AsyncClient(
            base_url=several.url, trust_env=False, timeout=30, limits=limits, headers=headers
        ) as http:
            while not stop.is_set():
                body: Json = {"query": SEARCH}
                if number % 2:
                    body = {"query": ASSIGN, "variables": {"id": case_id}}
                answer = await http.post("/graphql", json=body)
                assert answer.status_code == 200, answer.text
                assert "errors" not in answer.json(), answer.text
                answers["mutation" if number % 2 else "query"] += 1
                answers["last of its line"] += answer.headers.get("connection") == "close"
                await asyncio.sleep(chance.uniform(0, 0.05))

    clients = [asyncio.create_task(client(number)) for number in range(6)]
    try:
        yield answers
    finally:
        stop.set()
    await asyncio.gather(*clients)


async def test_processes_are_replaced_without_an_error_for_anybody(several: Several) -> None:
    case = await environments_case(several)
    before = set(_apis(several))
    async with (
        following(several, several.url) as socket,
        following(several, several.url, streams=True) as stream,
        loaded(several, encode_id("Case", case.id)) as answers,
    ):
        rolling = asyncio.create_task(asyncio.to_thread(supervisor.roll, several.home))
        while not rolling.done():
            await happens(several.here, case)
            await asyncio.sleep(0.1)
        assert await rolling == ""
        last = await happens(several.here, case)
        await until(lambda: encode_id("CaseEvent", last) in set(socket.seen) & set(stream.seen))
        await asyncio.sleep(0.5)
    assert len(_apis(several)) == 2
    assert not before & set(_apis(several))
    assert answers["query"] > 10
    assert answers["mutation"] > 10
    assert answers["last of its line"] > 0
    ids = set(event_ids(several, case))
    for one in (socket, stream):
        assert len(one.seen) == len(set(one.seen))
        assert ids <= set(one.seen)
    assert set(socket.ends) == {1012}
    assert 1 <= len(socket.ends) <= 2
    assert 1 <= len(stream.ends) <= 2


def _apis(several: Several) -> list[int]:
    """The processes of `loket run` that serve."""
    running = supervisor.find(several.home)
    assert running is not None
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text("ascii").split()
    found = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children}
    return [pid for pid, command in found.items() if b"serve" in command]
