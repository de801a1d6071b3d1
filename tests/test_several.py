"""Several of everything, as real processes over one PostgreSQL that is reached over TCP with a password."""

import asyncio
import contextlib
import os
import random
import shutil
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
from loket.app import Loket
from loket.ids import encode_id
from loket.installation import SANDBOX_PORTS, free_ports, prepare
from loket.lifecycle import TimerKind
from loket.records import Case, EffectKind
from loket.work import the_system
from nats_server import NatsServer, binary
from servers import Server, over_tcp
from test_feed import happens, some_case
from test_publishing import toy

pytestmark = pytest.mark.skipif(
    not os.environ.get("SEVERAL"), reason="eight processes, a minute and a half: SEVERAL=1 tries them"
)
WORKERS = ("worker_1", "worker_2", "worker_3")
"""Each signs in at the database by a name of its own, so that its rows can be told from those of others."""
QUEUE = "subscription($after: Cursor) { workQueueEvents(after: $after) { id cursor type } }"
ASSIGN = "mutation($id: ID!) { caseAssign(id: $id) { case { reference } errors { code message } } }"
SEARCH = "{ cases(first: 5) { nodes { reference status } } }"
SUBSCRIBER = 13
"""Its port in the sandbox, after the first."""
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
    handler: str
    """The token of one."""
    operator: str
    citizen: str
    nats: NatsServer | None
    workers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def subscriber(self) -> str:
        return f"http://127.0.0.1:{int(self.environment['LOKET_SANDBOX_PORT']) + SUBSCRIBER}"

    def employ(self, name: str, **environment: str) -> None:
        """Start a worker who signs in by this name, where none is at work."""
        if name in self.workers and self.workers[name].poll() is None:
            return
        own = self.environment | {"LOKET_DATABASE_URL": self.server.url(name)} | environment
        self.workers[name] = _start(own, "work")

    def dismiss(self, *names: str) -> None:
        for name in names:
            self.workers[name].terminate()
        for name in names:
            _end(self.workers.pop(name))

    async def ask(self, url: str, document: str, /, token: str = "", **variables: object) -> Json:
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
            answer = await client.post(
                "/graphql",
                json={"query": document, "variables": variables},
                headers={"Authorization": f"Bearer {token or self.handler}"},
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
        other = f"http://127.0.0.1:{port}"
        await asyncio.to_thread(_until, lambda: supervisor._is_ready("127.0.0.1", port))
        handler, operator, citizen = (
            supervisor.token(running, role) for role in ("handler", "operator", "citizen")
        )
        async with Loket(ours.settings) as here, here.procedures.running():
            found = Several(
                running.url, other, home, ours.environment, server, here,
                handler, operator, citizen, nats,
            )  # fmt: skip
            try:
                for name in WORKERS:
                    found.employ(name)
                yield found
            finally:
                found.dismiss(*found.workers)


@pytest.fixture(autouse=True)
def all_at_work(several: Several) -> None:
    """Each test begins with the same three workers, whatever became of them in the one before."""
    for name in WORKERS:
        several.employ(name)


@contextlib.contextmanager
def _process(environment: Mapping[str, str], *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = _start(environment, *command)
    try:
        yield process
    finally:
        process.terminate()
        _end(process)


def _start(environment: Mapping[str, str], *command: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "loket", *command],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _end(process: "subprocess.Popen[bytes]") -> None:
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


# ── killed at the very moment ─────────────────────────────────────────────────────────────────────────


@dataclass
class Hook:
    """A subscription of the sandbox's subscriber."""

    several: Several
    name: str
    id: str

    async def strikes(self, **fault: object) -> None:
        await self._call("POST", "/sim/faults", json={"path": f"/hooks/{self.name}"} | fault)

    async def heard(self) -> list[Json]:
        """Each message once, in the order in which it first came."""
        found: list[Json] = await self._call("GET", "/sim/events", params={"name": self.name})
        return found

    async def ids(self) -> list[str]:
        return [one["event"]["id"] for one in await self.heard()]

    async def has(self, number: int) -> None:
        async with asyncio.timeout(120):
            while len(await self.heard()) < number:  # noqa: ASYNC110  # what changes is another process
                await asyncio.sleep(0.05)

    async def _call(self, method: str, path: str, **given: Any) -> Any:  # noqa: ANN401  # as httpx2's
        async with httpx2.AsyncClient(
            base_url=self.several.subscriber, trust_env=False, timeout=30
        ) as client:
            answer = await client.request(method, path, **given)
        answer.raise_for_status()
        return answer.json()


async def subscribes(several: Several) -> Hook:
    name = uuid4().hex
    told = await several.ask(
        several.url,
        """mutation($url: String!) { webhookSubscribe(input: {url: $url, types: [TASK_DONE]}) {
             webhook { id } secret errors { code message } } }""",
        token=several.operator,
        url=f"{several.subscriber}/hooks/{name}",
    )
    payload = told["webhookSubscribe"]
    assert not payload["errors"], payload
    one = Hook(several, name, payload["webhook"]["id"])
    await one._call("PUT", f"/sim/secret/{name}", json={"secret": payload["secret"]})
    return one


def callers(several: Several, port: int) -> set[str]:
    """Which workers have a line open to a port of this machine."""
    sockets = set()
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        part = line.split()
        if part[2].endswith(f":{port:04X}") and part[3] == "01":  # towards it, established
            sockets.add(f"socket:[{part[9]}]")
    return {
        name
        for name, process in several.workers.items()
        if process.poll() is None and sockets & _files(process)
    }


def _files(process: "subprocess.Popen[bytes]") -> set[str]:
    found = set()
    for one in Path(f"/proc/{process.pid}/fd").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(one))
    return found


async def test_a_webhook_whose_worker_is_killed_before_it_hears_the_answer_comes_again(
    several: Several,
) -> None:
    case = await environments_case(several)
    one = await subscribes(several)
    wanted = [str(await happens(several.here, case)) for _ in range(3)]
    await one.has(3)
    await one.strikes(mode="slow", seconds=5, count=1)  # and then takes it, whoever waits for that
    wanted += [str(await happens(several.here, case)) for _ in range(4)]
    port = int(several.subscriber.rpartition(":")[2])
    await until(lambda: len(callers(several, port)) == 1)
    (teller,) = callers(several, port)
    assert await one.ids() == wanted[:3]
    several.workers[teller].kill()
    several.workers[teller].wait()
    await one.has(4)
    told = several.sql("SELECT told FROM webhooksubscription WHERE url LIKE %s", f"%{one.name}")
    assert told == [(3,)], "it was taken, and nobody knows here"
    several.sql("UPDATE webhooksubscription SET due_at = now() WHERE token IS NOT NULL")  # its lease ran out
    await one.has(7)
    assert await one.ids() == wanted, "none lost, in order"
    assert [event["repeats"] for event in await one.heard()] == [0, 0, 0, 1, 0, 0, 0]
    assert all(event["checked"] for event in await one.heard())


@pytest.fixture
def fired(several: Several) -> Iterator[None]:
    """Whenever a deadline is marked as fired, the database writes down by whom and when."""
    several.sql(
        """CREATE TABLE fired
             (timer uuid, by text DEFAULT current_user, at timestamptz DEFAULT clock_timestamp());
           CREATE FUNCTION note_fired() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN INSERT INTO fired (timer) VALUES (NEW.id); RETURN NEW; END $$;
           CREATE TRIGGER fired AFTER UPDATE ON timer FOR EACH ROW
             WHEN (NEW.state = 'FIRED' AND OLD.state = 'ARMED') EXECUTE FUNCTION note_fired()"""
    )
    yield
    several.sql("DROP TABLE fired; DROP FUNCTION note_fired() CASCADE")


async def arms(several: Several, case: Case, seconds: float = 0.0) -> Any:  # noqa: ANN401  # an id
    """A deadline on the database's clock, of which a task comes."""
    async with several.here.work(the_system()) as work:
        due_at = several.sql("SELECT clock_timestamp() + make_interval(secs => %s)", seconds)[0][0]
        kept = await work.session.get_one(Case, case.id)
        await work.arm(TimerKind.TERM_ALARM, due_at, case=kept)
    return several.sql("SELECT id FROM timer WHERE case_id = %s AND kind = 'TERM_ALARM'", case.id)[0][0]


def alarms(several: Several, *cases: Case) -> list[int]:
    """How many tasks each has of it."""
    query = "SELECT count(*) FROM task WHERE case_id = %s AND kind = 'TERM_ALARM'"
    return [several.sql(query, one.id)[0][0] for one in cases]


@pytest.mark.usefixtures("fired")
async def test_a_deadline_whose_worker_is_killed_while_it_fires_fires_once(several: Several) -> None:
    case = await environments_case(several)
    with psycopg.connect(several.server.url()) as holding:
        holding.execute("LOCK TABLE task IN EXCLUSIVE MODE")  # it fires, and gets no further
        timer = await arms(several, case)
        waiting = (
            "SELECT usename FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename LIKE 'worker%%'"
        )
        await until(lambda: several.sql(waiting))
        ((firing,),) = several.sql(waiting)
        several.workers[firing].kill()
        several.workers[firing].wait()
        assert several.sql("SELECT state FROM timer WHERE id = %s", timer) == [("ARMED",)]
        holding.rollback()
    await until(lambda: several.sql("SELECT 1 FROM fired"))
    await asyncio.sleep(2.5)  # more than two looks of the others
    ((by,),) = several.sql("SELECT by FROM fired WHERE timer = %s", timer)
    assert by != firing
    assert alarms(several, case) == [1]


@pytest.mark.usefixtures("fired")
async def test_three_workers_fire_many_deadlines_once_each(several: Several) -> None:
    cases = [await environments_case(several) for _ in range(60)]
    with psycopg.connect(several.server.url()) as holding:
        holding.execute("LOCK TABLE task IN EXCLUSIVE MODE")  # so that all of them come due for all three
        timers = [await arms(several, case) for case in cases]
        holding.rollback()
    await until(lambda: several.sql("SELECT count(*) FROM fired") == [(20,)] or _half(several))
    several.workers["worker_3"].kill()
    await until(lambda: several.sql("SELECT count(DISTINCT timer) FROM fired")[0][0] == len(timers))
    await asyncio.sleep(2.5)
    times = Counter(one for (one,) in several.sql("SELECT timer FROM fired"))
    assert times == Counter(timers)
    assert alarms(several, *cases) == [1] * len(cases)
    assert len(several.sql("SELECT DISTINCT by FROM fired")) > 1


def _half(several: Several) -> bool:
    return bool(several.sql("SELECT count(*) > 20 FROM fired")[0][0])


# ── a machine whose clock is wrong ────────────────────────────────────────────────────────────────────

WRONG_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long off(void) { return atol(getenv("CLOCK_OFF_SECONDS")); }

int clock_gettime(clockid_t which, struct timespec *told) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(which, told);
    if (which == CLOCK_REALTIME) told->tv_sec += off();
    return done;
}
int gettimeofday(struct timeval *restrict told, void *restrict zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int done = real(told, zone);
    told->tv_sec += off();
    return done;
}
time_t time(time_t *told) {
    time_t (*real)(time_t *) = dlsym(RTLD_NEXT, "time");
    time_t now = real(NULL) + off();
    if (told) *told = now;
    return now;
}
"""
"""What a process takes for the time of day, in whatever way it looks; the server's clock is as it was."""


@pytest.fixture(scope="module")
def wrong_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here, to make a clock that is wrong")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(WRONG_CLOCK, "ascii")
    library = folder / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "clock.c", "-ldl"], check=True)
    return library


def time_of(environment: Mapping[str, str]) -> float:
    """What a process takes for the time."""
    command = [sys.executable, "-c", "import time; print(time.time())"]
    return float(subprocess.check_output(command, env=environment))


@pytest.mark.usefixtures("fired")
@pytest.mark.parametrize("off_seconds", [3600, -3600])
async def test_a_worker_whose_clock_is_an_hour_off_is_neither_early_nor_late(
    several: Several, wrong_clock: Path, off_seconds: int
) -> None:
    clock = {"LD_PRELOAD": str(wrong_clock), "CLOCK_OFF_SECONDS": str(off_seconds)}
    assert abs(time_of(several.environment | clock) - time.time() - off_seconds) < 60
    case, later = await environments_case(several), await environments_case(several)
    one = await subscribes(several)
    several.dismiss(*WORKERS)
    several.employ("worker_1", **clock)
    far, near = await arms(several, later, 1800), await arms(several, case, 8)
    wanted = str(await happens(several.here, case))
    await until(lambda: several.sql("SELECT 1 FROM fired"))
    await one.has(1)
    rows = several.sql(
        "SELECT fired.timer, at >= due_at, at - due_at FROM fired JOIN timer ON timer.id = timer"
    )
    ((timer, in_time, late),) = rows
    assert timer == near
    assert in_time
    assert late.total_seconds() < 600, "by the hour that its clock is off, it would be later"
    assert several.sql("SELECT state FROM timer WHERE id = %s", far) == [("ARMED",)]
    assert await one.ids() == [wanted]
    assert [event["checked"] for event in await one.heard()] == [True], "signed by the right time"
    several.dismiss("worker_1")  # ACM/IDM refuses what it signs: what it sends there is parked


# ── publishing ────────────────────────────────────────────────────────────────────────────────────────

OFFERED = "query($key: String!) { procedure(key: $key) { version } }"
START = """mutation($key: String!) { applicationStart(procedure: $key) {
    application { id } errors { code message } } }"""
ANSWER = """mutation($id: ID!) { applicationSetAnswers(id: $id, input: {name: "An"}) {
    errors { code message } } }"""
CART = """mutation($id: ID!) { applicationSetCart(id: $id, input: {lines: [{product: "bak", quantity: 1}]}) {
    errors { code message } } }"""
SUBMIT = """mutation($id: ID!, $key: String!) { applicationSubmit(id: $id, idempotencyKey: $key) {
    case { id procedure { version } } errors { code message } } }"""


async def publishes(several: Several, text: str, folder: Path) -> None:
    """As an operator does on any machine."""
    file = folder / "procedure.yaml"
    file.write_text(text, "utf-8")
    command = [sys.executable, "-m", "loket", "publish", str(file)]
    done = await asyncio.create_subprocess_exec(
        *command, env=several.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    told, _ = await done.communicate()
    assert done.returncode == 0, told.decode()


@asynccontextmanager
async def applying(several: Several, key: str) -> AsyncIterator[list[tuple[str, int]]]:
    """Citizens who begin, fill in and hand in, at either address in turn; their cases and versions."""
    made: list[tuple[str, int]] = []
    stop = asyncio.Event()

    async def does(url: str, action: str, document: str, **variables: object) -> Json:
        payload: Json = (await several.ask(url, document, token=several.citizen, **variables))[action]
        assert not payload["errors"], payload
        return payload

    async def citizen(number: int) -> None:
        turn = number
        while not stop.is_set():
            here, there = (several.url, several.other) if turn % 2 else (several.other, several.url)
            turn += 1
            started = await does(here, "applicationStart", START, key=key)
            id = started["application"]["id"]
            await does(there, "applicationSetAnswers", ANSWER, id=id)
            await does(here, "applicationSetCart", CART, id=id)
            case = (await does(there, "applicationSubmit", SUBMIT, id=id, key=uuid4().hex))["case"]
            made.append((case["id"], case["procedure"]["version"]))

    citizens = [asyncio.create_task(citizen(number)) for number in range(3)]
    try:
        yield made
    finally:
        stop.set()
        await asyncio.gather(*citizens)


async def test_a_new_version_is_published_under_load_without_an_error_for_anybody(
    several: Several, tmp_path: Path
) -> None:
    key = "several-bins"
    await publishes(several, toy(key), tmp_path)
    case = await environments_case(several)

    async def offered(url: str, number: int) -> set[int]:
        """By as many lines of their own as reach every process behind that address."""
        told = [await several.ask(url, OFFERED, token=several.citizen, key=key) for _ in range(number)]
        return {one["procedure"]["version"] for one in told if one["procedure"]}

    async def is_offered(version: int) -> None:
        async with asyncio.timeout(60):
            while await offered(several.url, 8) | await offered(several.other, 1) != {version}:  # noqa: ASYNC110  # what changes is another process
                await asyncio.sleep(0.05)

    await is_offered(1)
    async with (
        loaded(several, encode_id("Case", case.id)) as answers,
        applying(several, key) as made,
    ):
        await until(lambda: len(made) >= 3, 300)
        await publishes(several, toy(key, 2), tmp_path)
        at = time.monotonic()
        await is_offered(2)
        assert time.monotonic() - at < 60
        before = len(made)
        await until(lambda: len(made) >= before + 6, 300)
    assert {version for _, version in made} == {1, 2}
    assert [version for _, version in made[-3:]] == [2, 2, 2]
    assert answers["query"] > 10
    assert answers["mutation"] > 10
    states = """SELECT DISTINCT procedure_version, state FROM effect JOIN "case" ON "case".id = case_id
                 WHERE procedure_key = %s ORDER BY 1"""
    await until(lambda: several.sql(states, key) == [(1, "DONE"), (2, "DONE")])


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
