"""Keeps a whole Loket running on one machine: PostgreSQL, sandbox, API and worker processes.

Each is a process of its own, started again when it ends, after a wait that grows. The API's socket belongs
to the supervisor: while one API process starts again, the others answer, and with none left callers wait.
SIGUSR1 (and SIGHUP, where no terminal hangs up with it) rolls: the database is brought up to date, and then
a new process takes the place of each old one, which goes when the new one is at work.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from loket.children import Child, dismiss, stop, successor, turn
from loket.installation import SANDBOX_PORTS, Installation, InstallationError, is_free, prepare
from loket.postgres import Postgres, die_with_parent, hold, is_held
from loket.settings import SettingsError

TICK_SECONDS = 0.2


PERSONAS = {
    "citizen": "an",
    "handler": "hilde",
    "adviser": "astrid",
    "secretariat": "sandra",
    "finance": "filip",
    "field": "wim",
    "operator": "greet",
}
"""Roles and who has them in the sandbox; any persona's own name is fine too."""


class SandboxError(Exception):
    """The sandbox is not there, or knows no such person."""


class StartError(Exception):
    """A Loket cannot start here; the message says why."""


@dataclass(frozen=True)
class Running:
    """What `home/run.json` tells other commands of the Loket that runs there."""

    pid: int
    url: str
    desk: str | None
    """The first page of the sandbox; None without one."""
    acm: str | None
    database_url: str
    rolls: int = 0
    """How often its processes were replaced, or that was tried."""
    trouble: str = ""
    """Why they were not, the last time; empty: they were."""

    @property
    def graphql(self) -> str:
        return f"{self.url}/graphql"


@dataclass
class Supervisor:
    """`api` and `workers` are numbers of processes."""

    installation: Installation
    api: int = 1
    workers: int = 1
    tell: Callable[[str], None] = print
    stopping: threading.Event = field(default_factory=threading.Event)
    rolling: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Start everything, keep it running until SIGTERM or SIGINT, and stop it within ten seconds or so.

        Raises:
            InUseError: a Loket runs here already.
            PostgresError, StartError, OSError: it cannot start; nothing is left running.
        """
        home = self.installation.home
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(contextlib.closing(hold(home / "lock")))
            for number, told in self._signals():
                before = signal.signal(number, lambda *_, told=told: told.set())
                stack.callback(signal.signal, number, before)
            self._look_for_ports()
            postgres, database_url = self._database(stack)
            environment = self._environment(self.installation, database_url)
            _migrate(environment)
            listener = stack.enter_context(self._listen())
            children = self._children(environment, listener)
            stack.callback(stop, children)
            for child in children:
                child.start()
            running = self._running(lock_holder=os.getpid(), database_url=database_url)
            if self._wait_for(children, postgres):
                _announce(home, running)
                stack.callback((home / "run.json").unlink, missing_ok=True)
                self.tell(self._welcome(running))
                self._keep(children, postgres, running)
            self.tell("Stopping…")
            assert not lock.closed

    def _signals(self) -> list[tuple[signal.Signals, threading.Event]]:
        hangup = [] if os.isatty(0) else [(signal.SIGHUP, self.rolling)]
        return [
            (signal.SIGTERM, self.stopping), (signal.SIGINT, self.stopping), (signal.SIGUSR1, self.rolling),
            *hangup,
        ]  # fmt: skip

    def _database(self, stack: contextlib.ExitStack) -> tuple[Postgres | None, str]:
        settings = self.installation.settings
        if settings.database_url:
            return None, settings.database_url
        home = self.installation.home
        log = home / "logs" / "postgres.log"
        turn(log)
        postgres = Postgres(home / "postgres", log=log)
        stack.callback(postgres.stop)
        return postgres, postgres.start()

    def _listen(self) -> socket.socket:
        settings = self.installation.settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        try:
            return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
        except OSError as fault:
            raise OSError(
                f"cannot listen on {settings.host}:{settings.port} (LOKET_PORT): {fault.strerror}"
            ) from fault

    def _look_for_ports(self) -> None:
        """The sandbox keeps to the ports of its first start; somebody else may have taken one since."""
        first = self.installation.sandbox_port
        if first is None:
            return
        taken = [port for port in range(first, first + SANDBOX_PORTS) if not is_free(port)]
        if taken:
            raise StartError(
                f"the sandbox cannot listen on 127.0.0.1:{taken[0]}: the port is taken. "
                f"It needs {SANDBOX_PORTS} in a row: set LOKET_SANDBOX_PORT to the first of others"
            )

    def _environment(self, installation: Installation, database_url: str) -> dict[str, str]:
        ours = {"LOKET_DATABASE_URL": database_url, "PYTHONUNBUFFERED": "1"}
        environment = installation.environment | ours
        environment.pop("LOKET_DATABASE_URL_FILE", None)
        return environment

    def _children(self, environment: dict[str, str], listener: socket.socket) -> list[Child]:
        python = [sys.executable, "-m"]
        commands: list[tuple[str, list[str], tuple[int, ...]]] = []
        if self.installation.sandbox_port is not None:
            sandbox = [*python, "loket.sandbox", "--config", str(self.installation.sandbox_file)]
            commands.append(("sandbox", sandbox, ()))
        for number in range(1, self.api + 1):
            name = "api" if self.api == 1 else f"api-{number}"
            serve = [*python, "loket", "serve", "--fd", str(listener.fileno())]
            commands.append((name, serve, (listener.fileno(),)))
        for number in range(1, self.workers + 1):
            name = "worker" if self.workers == 1 else f"worker-{number}"
            commands.append((name, [*python, "loket", "work"], ()))
        logs = self.installation.home / "logs"
        children = []
        for name, command, descriptors in commands:
            log = logs / f"{name}.log"
            turn(log)
            children.append(Child(name, command, environment, log, descriptors))
        return children

    def _running(self, *, lock_holder: int, database_url: str) -> Running:
        settings = self.installation.settings
        port = self.installation.sandbox_port
        host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104  # compared only
        return Running(
            pid=lock_holder,
            url=f"http://{host}:{settings.port}",
            desk=None if port is None else f"http://127.0.0.1:{port}",
            acm=None if port is None else f"http://127.0.0.1:{port + 1}",
            database_url=database_url,
        )

    def _wait_for(self, children: list[Child], postgres: Postgres | None) -> bool:
        """Until the API says it is ready; False when asked to stop before that."""
        settings = self.installation.settings
        while not self.stopping.is_set():
            if _is_ready(settings.host, settings.port):
                return True
            self._look(children, postgres)
        return False

    def _keep(self, children: list[Child], postgres: Postgres | None, running: Running) -> None:
        while not self.stopping.is_set():
            self._look(children, postgres)
            if self.rolling.is_set():
                self.rolling.clear()
                trouble = self._roll(children, postgres, running.database_url)
                self.tell(f"Not rolled: {trouble}" if trouble else "Rolled.")
                running = replace(running, rolls=running.rolls + 1, trouble=trouble)
                _announce(self.installation.home, running)

    def _roll(self, children: list[Child], postgres: Postgres | None, database_url: str) -> str:
        """Replace the API and worker processes one after another; answers what kept it from that.

        Settings are read again, except for those of the socket, the sandbox and the database.
        """

        def look() -> bool:
            self._look(children, postgres)
            return not self.stopping.is_set()

        home, sandbox = self.installation.home, self.installation.sandbox_port is not None
        try:
            environment = self._environment(prepare(home, os.environ, sandbox=sandbox), database_url)
            _migrate(environment)
        except (InstallationError, SettingsError, StartError) as fault:
            return str(fault)
        for place, old in enumerate(children):
            if old.name == "sandbox":
                continue
            fresh = successor(old, environment, look)
            if fresh is None:
                return f"the new {old.name} was not at work in time, see {old.log}; the old one stays"
            children[place] = fresh
            dismiss(old, look)
        return ""

    def _look(self, children: list[Child], postgres: Postgres | None) -> None:
        if postgres is not None and postgres.poll() is not None:
            self.tell(f"PostgreSQL ended ({postgres.poll()}); starting it again. See {postgres.log}")
            postgres.start()
        for child in children:
            child.look(self.tell)
        self.stopping.wait(TICK_SECONDS)

    def _welcome(self, running: Running) -> str:
        home = self.installation.home
        lines = ["Loket runs.", f"  GraphQL             {running.graphql}"]
        if running.desk is not None:
            for role in ("citizen", "handler"):
                with contextlib.suppress(SandboxError):
                    lines.append(f"  GraphiQL, {role:<9} {running.graphql}#token={token(running, role)}")
            lines += [
                f"  Sandbox desk        {running.desk}  (sign in as anybody, pay, drive the van)",
                f"  Another token       {command()} token --as NAME  ({', '.join(PERSONAS)})",
            ]
        lines += [
            f"  Data and logs       {home.absolute()}",
            f"  Stop                Ctrl-C, or kill {running.pid}",
        ]
        return "\n".join(lines)


@contextlib.contextmanager
def started(installation: Installation, *, log: Path | None = None) -> Iterator[Running]:
    """The Loket that runs under this home, or one started for the block and stopped after it.

    Raises:
        StartError: it ended before it was ready; the message has what it said.
    """
    home = installation.home
    running = find(home)
    if running is not None:
        yield running
        return
    log = log or home / "logs" / "run.log"
    with log.open("ab") as out:
        begin = out.seek(0, os.SEEK_END)
        process = subprocess.Popen(  # our own module, no shell
            [sys.executable, "-m", "loket", "run"],
            env=installation.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509  # two system calls, no locks
        )
    try:
        while (running := find(home)) is None:
            if process.poll() is not None:
                told = log.read_bytes()[begin:].decode("utf-8", "replace")
                raise StartError(f"Loket did not start:\n{told}")
            time.sleep(TICK_SECONDS)
        yield running
    finally:
        process.terminate()
        process.wait()


def find(home: Path) -> Running | None:
    """The Loket that runs under `home`, None when there is none (also after a crash left its file)."""
    try:
        if is_held(home / "lock"):
            return Running(**json.loads((home / "run.json").read_text("utf-8")))
    except OSError:  # no such home, not ours, or not yet that far
        return None
    return None


def roll(home: Path) -> str:
    """Have the Loket under `home` replace its processes, and wait for it; answers what kept it from that."""
    before = find(home)
    if before is None:
        return "Loket does not run here"
    os.kill(before.pid, signal.SIGUSR1)
    while (now := find(home)) is not None and now.pid == before.pid:
        if now.rolls > before.rolls:
            return now.trouble
        time.sleep(TICK_SECONDS)
    return "Loket ended meanwhile"


def command() -> str:
    """How the command line is called here: a checkout has its script, and `loket` is not on the path."""
    return "scripts/run" if (Path(sys.prefix).parent / "scripts" / "run").is_file() else "loket"


def token(running: Running, persona: str) -> str:
    """A Bearer token of somebody in the sandbox, by role or by name; it ends by itself, like a real one.

    Raises:
        SandboxError: there is no sandbox, it does not answer, or nobody has that name.
    """
    if running.acm is None:
        raise SandboxError("this Loket runs without the sandbox: sign in at the real ACM/IDM")
    address = urlsplit(running.acm)
    name = PERSONAS.get(persona, persona)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request("GET", f"/sim/token?persona={quote(name, safe='')}")
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise SandboxError(f"the sandbox knows nobody called {name!r} ({answer.status})")
        return str(json.loads(answer.read())["access_token"])
    except OSError as fault:
        raise SandboxError(f"the sandbox does not answer: {fault}") from fault
    finally:
        connection.close()


# --- parts -------------------------------------------------------------------------------------------------


def _migrate(environment: dict[str, str]) -> None:
    """In a process of its own: what it needs to know is then not in everybody's memory."""
    done = subprocess.run(  # our own module, no shell
        [sys.executable, "-m", "loket", "migrate"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StartError(done.stderr.strip().removeprefix("loket: "))


def _announce(home: Path, running: Running) -> None:
    fresh = home / "run.json.new"
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(vars(running), indent=2) + "\n", "utf-8")
    fresh.replace(home / "run.json")


def _is_ready(host: str, port: int) -> bool:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # where to look, not to listen
    connection = http.client.HTTPConnection(address, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
