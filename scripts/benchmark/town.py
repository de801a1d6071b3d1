"""A town to measure in: a private PostgreSQL full of cases, the sandbox, and a Loket as it really runs."""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from benchmark import processes
from benchmark.processes import Cores, Unanswered
from loket.database import RANDOM_PAGE_COST
from loket.installation import SANDBOX_PORTS, free_ports, prepare
from loket.postgres import Postgres

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "bench"
REGULARS = 64
"""Citizens who really sign in: each has a Bearer token and CASES_EACH cases."""
CASES_EACH = 40
HANDLER = "hilde"
MEMORY_MB = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
TUNED = {"random_page_cost": str(RANDOM_PAGE_COST), "shared_buffers": f"{MEMORY_MB // 2}MB"}
"""The same for all who are compared. Loket itself asks for the first on its connections; the second lets a
town lie in memory as far as the machine can, so that discs are not what is measured."""
FILL = (HERE / "town.sql", HERE / "assign.sql")


@dataclass(frozen=True)
class Caller:
    """Somebody with a Bearer token; `id` is the person's or staff member's own."""

    token: str
    id: str
    is_staff: bool


class Town:
    """`with Town(cases=…, citizens=…) as town`. Kept under build/bench, and used again where it fits."""

    def __init__(
        self, *, cases: int, citizens: int, where: Cores, filled_by: tuple[Path, ...] = (), name: str = ""
    ) -> None:
        """`filled_by`: SQL in order, where it is not `FILL`; such a town is kept under a name of its own."""
        self.files = filled_by or FILL
        self.cases = cases
        self.citizens = citizens
        self.cores = where
        self.folder = BUILD / "-".join(filter(None, (str(cases), str(citizens), name)))
        self.database_url = ""
        self.handler = Caller("", "", is_staff=True)
        self.regulars: list[Caller] = []
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _begin(self) -> None:
        self._forget_another()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.postgres = Postgres(self.folder / "postgres", log=self.folder / "postgres.log", settings=TUNED)
        self._open.callback(self.postgres.stop)
        self.database_url = self.postgres.start()
        assert self.postgres.pid is not None
        processes.pin(self.postgres.pid, self.cores.database)
        self._start()
        self.handler = self._sign_in(HANDLER)
        self.regulars = [self._sign_in(f"burger-{number}") for number in range(1, REGULARS + 1)]
        self._fill()
        self._wake_up()

    def _forget_another(self) -> None:
        """Throw away a town that other tables or other rows were made for."""
        made_for = hashlib.sha256()
        for file in (*self.files, *sorted(ROOT.glob("alembic/versions/*.py"))):
            made_for.update(file.read_bytes())
        self._stamp = made_for.hexdigest()
        stamp = self.folder / "stamp"
        if self.folder.exists() and not (stamp.exists() and stamp.read_text("ascii") == self._stamp):
            shutil.rmtree(self.folder)

    def _start(self) -> None:
        self.port = free_ports(18000, 1)
        sandbox = free_ports(18100, SANDBOX_PORTS)
        ours = {"LOKET_PORT": str(self.port), "LOKET_SANDBOX_PORT": str(sandbox)}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOKET_")}
        installation = prepare(self.folder / "home", inherited | ours, sandbox=True)
        self.environment = installation.environment | {"LOKET_DATABASE_URL": self.database_url}
        _keep_in_memory(installation.sandbox_file)
        loket = [sys.executable, "-m", "loket"]
        subprocess.run([*loket, "migrate"], env=self.environment, check=True, stdout=subprocess.DEVNULL)
        command = ["loket.sandbox", "--config", str(installation.sandbox_file)]
        self._serve("sandbox", command, self.cores.load, sandbox, "/")
        self.loket = self._serve("loket", ["loket", "serve"], self.cores.server, self.port, "/readyz")
        self.acm = sandbox + 1

    def _serve(
        self, name: str, command: list[str], core: int, port: int, path: str
    ) -> "subprocess.Popen[bytes]":
        log = self.folder / f"{name}.log"
        process = processes.start(
            [sys.executable, "-m", *command], core=core, log=log, environment=self.environment
        )
        self._open.callback(processes.stop, process)
        processes.wait_for(process, lambda: get(port, path), log)
        return process

    def _sign_in(self, persona: str) -> Caller:
        """Whoever signs in for the first time gets a row by it."""
        token = token_of(self.acm, persona)
        answer = ask(
            self.port, "/graphql", token, {"query": "{ viewer { person { id } staffMember { id } } }"}
        )
        viewer = answer["data"]["viewer"]
        found = viewer["person"] or viewer["staffMember"]
        return Caller(token, found["id"], is_staff=viewer["person"] is None)

    def _wake_up(self) -> None:
        """Have the whole town in the database's memory."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            try:
                connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
            except psycopg.Error:
                return  # not every server has it
            connection.execute(
                "SELECT sum(pg_prewarm(oid)) FROM pg_class"
                " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')"
            )

    def greet(self) -> None:
        """Have every caller ask something: a round finds them at work, known for the next half minute."""
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(self._greeted, (self.handler, *self.regulars)))

    def _greeted(self, caller: Caller) -> None:
        ask(self.port, "/graphql", caller.token, {"query": "{ __typename }"})

    def _fill(self) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            row = connection.execute('SELECT count(*) FROM "case"').fetchone()
            if row is not None and row[0] >= self.cases:
                return
            began = time.monotonic()
            print(f"Filling a town of {self.citizens:,} citizens and {self.cases:,} cases", flush=True)
            for statement in (
                f"CREATE TEMP TABLE asked AS SELECT {self.cases} AS cases, {self.citizens} AS citizens,"
                f" {REGULARS} AS regulars, {CASES_EACH} AS each",
                "CREATE TEMP TABLE frequent AS SELECT id, row_number() OVER (ORDER BY insz_index) AS number"
                " FROM person WHERE insz_index IS NOT NULL",
            ):
                connection.execute(statement)
            for file in self.files:
                connection.execute(file.read_text("utf-8"))
            connection.execute("VACUUM ANALYZE")
            (self.folder / "stamp").write_text(self._stamp, "ascii")
            print(f"filled in {time.monotonic() - began:.0f} s", flush=True)


def _keep_in_memory(sandbox_file: Path) -> None:
    """The sandbox writes down all that it is asked, which on a busy disc takes longer than ACM/IDM itself."""
    config = json.loads(sandbox_file.read_text("utf-8"))
    sandbox_file.write_text(json.dumps(config | {"state": ":memory:"}), "utf-8")


def token_of(acm: int, persona: str) -> str:
    """A Bearer token of somebody, from the sandbox's ACM/IDM at a port."""
    return str(json.loads(get(acm, f"/sim/token?persona={persona}"))["access_token"])


def get(port: int, path: str) -> bytes:
    return _exchange(port, "GET", path, None, {})


def ask(port: int, path: str, token: str, asked: object) -> Any:  # noqa: ANN401  # JSON
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    return json.loads(_exchange(port, "POST", path, json.dumps(asked), headers))


def _exchange(port: int, method: str, path: str, body: str | None, headers: dict[str, str]) -> bytes:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise Unanswered(f"{path}: {answer.status} {told[:500]!r}")
        return told
