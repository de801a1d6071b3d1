"""A whole Loket in processes of their own, as a municipality runs it, that can be hit one by one.

`private`: PostgreSQL belongs to `loket run`, on a socket. `server`: PostgreSQL stands beside it, reached over
TCP with a password, as where a database was there already; of Debian when it is installed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from loket import supervisor
from loket.installation import SANDBOX_PORTS, free_ports
from loket.postgres import Postgres, die_with_parent

Pid = int
START_SECONDS = 600.0
DEBIAN = Path("/usr/lib/postgresql")
PASSWORD = "storm"  # noqa: S105  # of a server that lives for minutes, on 127.0.0.1
HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
WORDS = {"api": "loket serve", "worker": "loket work", "sandbox": "loket.sandbox"}
"""What tells a child of the supervisor by its command line; PostgreSQL's is told by its program."""


class NotUp(Exception):
    """The town did not come up; the message has the end of what it said."""


@dataclass
class Town:
    """Its folder is kept after the end."""

    home: Path
    api: int
    workers: int
    server: bool
    url: str = ""
    desk: str = ""
    database_url: str = ""
    loket: "subprocess.Popen[bytes] | None" = None
    postgres: Postgres | None = None
    environment: dict[str, str] = field(default_factory=dict)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    """What was started ends with the thread that started it."""

    def start(self) -> None:
        """Raises `NotUp`."""
        self.home.mkdir(parents=True, exist_ok=True)
        port, sandbox = free_ports(21000, 1), free_ports(21100, SANDBOX_PORTS)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOKET_")}
        self.environment = inherited | {
            "LOKET_HOME": str(self.home),
            "LOKET_PORT": str(port),
            "LOKET_SANDBOX_PORT": str(sandbox),
        }
        if self.server:
            self._found()
        self._thread.submit(self.launch).result()
        self.wait()

    def _found(self) -> None:
        """A server over TCP: begun without, given a password, and begun again with it."""
        root = self.home / "server"
        binaries = sorted(DEBIAN.glob("[0-9]*/bin"))
        if binaries and "PG_BIN" not in os.environ:
            os.environ["PG_BIN"] = str(binaries[-1])
        first = Postgres(root)
        url = self._thread.submit(first.start).result()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE loket PASSWORD '{PASSWORD}'")
            row = connection.execute("SHOW hba_file").fetchone()
        assert row is not None
        Path(row[0]).write_text(HBA, "ascii")
        first.stop()
        port = free_ports(21200, 1)
        self.postgres = Postgres(root, settings={"listen_addresses": "127.0.0.1", "port": str(port)})
        self.database_url = f"postgresql://loket:{PASSWORD}@127.0.0.1:{port}/loket"
        self.environment["LOKET_DATABASE_URL"] = self.database_url
        self._begin_database()

    def _begin_database(self) -> None:
        assert self.postgres is not None
        os.environ["PGPORT"] = self.database_url.rpartition(":")[2].partition("/")[0]  # for its socket's name
        self._thread.submit(self.postgres.start).result()

    def launch(self) -> None:
        log = (self.home / "logs" / "run.log") if (self.home / "logs").exists() else self.home / "run.log"
        with log.open("ab") as out:
            self.loket = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "loket",
                    "run",
                    f"--api={self.api}",
                    f"--workers={self.workers}",
                ],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509  # two system calls, no locks
            )

    def wait(self) -> None:
        """Until it says that it runs."""
        end = time.monotonic() + START_SECONDS
        while (running := supervisor.find(self.home)) is None or not self._is_ours(running.pid):
            assert self.loket is not None
            if self.loket.poll() is not None or time.monotonic() > end:
                raise NotUp(self.told())
            time.sleep(0.1)
        self.url, self.desk = running.url, running.desk or ""
        self.database_url = running.database_url

    def _is_ours(self, pid: Pid) -> bool:
        return self.loket is not None and self.loket.pid == pid

    def told(self) -> str:
        texts = [path.read_text("utf-8", "replace")[-3000:] for path in self.home.glob("**/run.log")]
        return "\n".join(texts)

    def stop(self) -> float:
        """With SIGTERM, as anybody would; how many seconds that took."""
        began = time.monotonic()
        if self.loket is not None and self.loket.poll() is None:
            self.loket.terminate()
            try:
                self.loket.wait(90)
            except subprocess.TimeoutExpired:
                self.loket.kill()
                self.loket.wait()
        took = time.monotonic() - began
        if self.postgres is not None:
            self.postgres.stop()
        self._thread.shutdown()
        return took

    def mend(self) -> list[str]:
        """Start again what nobody else starts again; their names. To be called often."""
        again = []
        if self.postgres is not None and self.postgres.poll() is not None:
            self._begin_database()
            again.append("postmaster")
        if self.loket is not None and self.loket.poll() is not None:
            self._thread.submit(self.launch).result()
            again.append("supervisor")
        return again

    # ------------------------------------------------------------------ who lives now

    def find(self, target: str) -> list[Pid]:
        """The processes of that name now: api, worker, sandbox, postmaster, backend, supervisor."""
        match target:
            case "supervisor":
                return [self.loket.pid] if self.loket is not None and self.loket.poll() is None else []
            case "postmaster":
                if self.postgres is not None:
                    return [self.postgres.pid] if self.postgres.pid and self.postgres.poll() is None else []
                return [pid for pid in self._children() if _command(pid).split(" ")[0].endswith("/postgres")]
            case "backend":
                owners = self.find("postmaster")
                found = [pid for owner in owners for pid in children(owner)]
                return [pid for pid in found if _command(pid).startswith("postgres: loket loket")]
            case _:
                return [pid for pid in self._children() if WORDS[target] in _command(pid)]

    def _children(self) -> list[Pid]:
        return children(self.loket.pid) if self.loket is not None else []

    def family(self) -> Iterator[Pid]:
        for target in (
            "supervisor",
            "postmaster",
            "backend",
            "api",
            "worker",
            "sandbox",
        ):
            yield from self.find(target)

    def revive(self) -> None:
        """Let everybody go on who was stopped."""
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def children(pid: Pid) -> list[Pid]:
    found: list[Pid] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(one) for one in (task / "children").read_text("ascii").split()]
    return sorted(found)


def age_seconds(pid: Pid) -> float:
    """How long a process lives; 0 of who lives no more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        up = float(Path("/proc/uptime").read_text("ascii").split()[0])
    except OSError:
        return 0.0
    return up - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _command(pid: Pid) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
