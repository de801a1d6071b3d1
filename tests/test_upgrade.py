"""A newer Loket over a database on which an older one works: nobody loses a request or a case by it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from alembic import command

from conftest import _room
from loket import migrations, revisions, supervisor
from loket.installation import SANDBOX_PORTS, free_ports
from loket.lifecycle import FINAL
from loket.supervisor import Running

CHECKOUT = Path(__file__).parents[1]
several = pytest.mark.skipif(
    not os.environ.get("SEVERAL"), reason="a whole Loket of an older version: SEVERAL=1 tries it"
)


# ── revisions among those who write ───────────────────────────────────────────────────────────────────


@pytest.fixture
def before_months(empty_database_url: str) -> str:
    """A database of before revision 0006: those after it lock in another order than who writes."""
    with revisions._connected(empty_database_url) as connection:
        command.upgrade(revisions._config(connection), "0005")
        connection.commit()
    return empty_database_url


def test_who_writes_meanwhile_is_never_undone_for_a_revision(before_months: str) -> None:
    done: list[str] = []
    migrating = threading.Thread(target=lambda: done.extend(revisions.upgrade(before_months)))
    with (
        psycopg.connect(before_months) as writing,
        psycopg.connect(before_months, autocommit=True) as looking,
    ):
        writing.execute('SELECT FROM "case"')
        migrating.start()
        end = time.monotonic() + 60
        while not looking.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(1.5)  # longer than it takes to find a deadlock
        for table in ("event", "effect", "attempt", "figure", "person"):
            writing.execute(f"SELECT FROM {table}".encode())
        writing.commit()
    migrating.join(60)
    assert done[0] == "0006"
    assert not migrations.pending(before_months)


# ── a whole Loket of before ───────────────────────────────────────────────────────────────────────────


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, check=True).stdout


def _commit_before() -> str:
    """LOKET_OLDER, or the last commit without the newest revision."""
    try:
        if "LOKET_OLDER" in os.environ:
            return os.environ["LOKET_OLDER"]
        newest = f"alembic/versions/{migrations.head()}_*"
        (added,) = _git("log", "--diff-filter=A", "--format=%H", "-1", "--", newest).decode().split()
        return _git("rev-parse", "--verify", "--quiet", f"{added}^").decode().strip()
    except (OSError, ValueError, subprocess.CalledProcessError):
        pytest.skip("no checkout with its history here: there is no older Loket to begin with")


@dataclass
class Upgrading:
    """`loket run` in `tree`, a link to the older code at first."""

    room: Path
    environment: dict[str, str]
    process: "subprocess.Popen[bytes]"

    @property
    def running(self) -> Running:
        found = supervisor.find(Path(self.environment["LOKET_HOME"]))
        assert found is not None
        return found

    def newer(self) -> None:
        """The files of the present code take the place of the older ones."""
        fresh = self.room / "fresh"
        fresh.symlink_to(CHECKOUT)
        fresh.replace(self.room / "tree")

    def sql(self, query: str, *given: object) -> list[Any]:
        with psycopg.connect(self.running.database_url, autocommit=True) as connection:
            return connection.execute(query.encode(), given).fetchall()

    @contextlib.contextmanager
    def command(self, *words: str, log: str) -> Iterator["subprocess.Popen[bytes]"]:
        with (self.room / log).open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "loket", *words],
                env=self.environment, cwd=self.room, stdout=out, stderr=out,
            )  # fmt: skip
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    async def ends(self, process: "subprocess.Popen[bytes]", log: str) -> None:
        code = await asyncio.to_thread(process.wait, 600)
        assert code == 0, (self.room / log).read_text("utf-8")


@pytest.fixture(scope="module")
def upgrading() -> Iterator[Upgrading]:
    commit = _commit_before()
    with _room() as room:
        with tarfile.open(fileobj=BytesIO(_git("archive", commit))) as archive:
            archive.extractall(room / "older", filter="data")
        (room / "tree").symlink_to(room / "older")
        rest = {name: value for name, value in os.environ.items() if not name.startswith("LOKET_")}
        environment = rest | {
            "PYTHONPATH": str(room / "tree" / "src"),
            "LOKET_HOME": str(room / "home"),
            "LOKET_PORT": str(free_ports(29_400, 1)),
            "LOKET_SANDBOX_PORT": str(free_ports(29_500, SANDBOX_PORTS)),
        }
        run = [sys.executable, "-m", "loket", "run", "--api", "2", "--workers", "2"]
        with (room / "run.log").open("wb") as out:
            process = subprocess.Popen(run, env=environment, cwd=room, stdout=out, stderr=out)
        found = Upgrading(room, environment, process)
        try:
            while supervisor.find(room / "home") is None:
                assert process.poll() is None, (room / "run.log").read_text("utf-8")
                time.sleep(0.1)
            yield found
        finally:
            found.process.terminate()
            found.process.wait(60)


START = """mutation { applicationStart(procedure: "compost-bin") {
    application { id } errors { code message } } }"""
DISCARD = "mutation($id: ID!) { applicationDiscard(id: $id) { errors { code message } } }"
ASKED = {
    "citizen": "{ applications(first: 3) { nodes { id } } cases(first: 5) { nodes { reference } } }",
    "handler": "{ cases(first: 10) { nodes { reference timeline(first: 5) { nodes { type } } } } }",
}


@asynccontextmanager
async def asking(upgrading: Upgrading) -> AsyncIterator[Counter[str]]:
    """Clients who ask and change all the time: any answer but the right one fails."""
    answers: Counter[str] = Counter()
    stop = asyncio.Event()

    async def client(who: str) -> None:
        token = await asyncio.to_thread(supervisor.token, upgrading.running, who)
        async with httpx2.AsyncClient(
            base_url=upgrading.running.url, trust_env=False, timeout=60,
            headers={"Authorization": f"Bearer {token}"},
        ) as http:  # fmt: skip

            async def ask(document: str, **variables: str) -> Any:  # noqa: ANN401  # JSON
                began = time.monotonic()
                answer = await http.post("/graphql", json={"query": document, "variables": variables})
                assert answer.status_code == 200, answer.text
                told = answer.json()
                assert "errors" not in told, told
                answers[who] += 1
                took = int((time.monotonic() - began) * 1000)
                answers["longest, ms"] = max(answers["longest, ms"], took)
                return told["data"]

            while not stop.is_set():
                await ask(ASKED[who])
                if who == "citizen":
                    draft = (await ask(START))["applicationStart"]["application"]["id"]
                    done = await ask(DISCARD, id=draft)
                    assert not done["applicationDiscard"]["errors"]
                await asyncio.sleep(0.02)

    clients = [asyncio.create_task(client(who)) for who in (*ASKED, *ASKED)]
    try:
        yield answers
    finally:
        stop.set()
        await asyncio.gather(*clients)


@several
async def test_an_older_loket_serves_while_the_newer_one_migrates_and_takes_its_place(
    upgrading: Upgrading, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = 'SELECT id FROM "case"'
    walk = ("walk", "compost-bin", "--count", "4", "--parallel", "2")
    rolls = "rolls" in json.loads((upgrading.room / "home" / "run.json").read_text("utf-8"))
    with upgrading.command(*walk, log="walk.log") as walking:
        async with asking(upgrading) as answers:
            async with asyncio.timeout(300):
                while not upgrading.sql(begun):
                    assert walking.poll() is None, (upgrading.room / "walk.log").read_text("utf-8")
                    await asyncio.sleep(0.1)
            before = [id for (id,) in upgrading.sql(begun)]
            answers["longest, ms"] = 0
            at = Counter(answers)
            url = upgrading.running.database_url
            async with asyncio.timeout(300):
                carried_out = await asyncio.to_thread(revisions.upgrade, url)
            during = answers - at
            answers["longest, ms"] = 0
            at = Counter(answers)
            await asyncio.sleep(3)
            after = answers - at
            if rolls:
                upgrading.newer()
                assert await asyncio.to_thread(supervisor.roll, upgrading.room / "home") == ""
                await upgrading.ends(walking, "walk.log")
        if not rolls:
            await upgrading.ends(walking, "walk.log")
    with capsys.disabled():
        sys.stdout.write(f"\n{carried_out} meanwhile {dict(during)}, then {dict(after)}, {dict(answers)}\n")
    assert after["citizen"] > 3
    assert after["handler"] > 3
    ended = upgrading.sql('SELECT DISTINCT status FROM "case" WHERE id = ANY(%s)', before)
    assert {status for (status,) in ended} <= set(FINAL)
    if not rolls:
        _starts_again(upgrading)
    with upgrading.command("walk", "compost-bin", "--count", "1", log="again.log") as walking:
        await upgrading.ends(walking, "again.log")
    assert upgrading.sql("SELECT count(*) FROM effect WHERE state IN ('PARKED', 'IN_DOUBT')") == [(0,)]


def _starts_again(upgrading: Upgrading) -> None:
    """A Loket from before its processes could be replaced one by one."""
    home = upgrading.room / "home"
    upgrading.newer()
    upgrading.process.terminate()
    upgrading.process.wait(60)
    run = [sys.executable, "-m", "loket", "run", "--api", "2", "--workers", "2"]
    with (upgrading.room / "run.log").open("ab") as out:
        upgrading.process = subprocess.Popen(
            run, env=upgrading.environment, cwd=upgrading.room, stdout=out, stderr=out
        )
    while supervisor.find(home) is None:
        assert upgrading.process.poll() is None, (upgrading.room / "run.log").read_text("utf-8")
        time.sleep(0.1)
