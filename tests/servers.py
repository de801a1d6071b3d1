"""PostgreSQL as on a machine of its own: reached over TCP with a password, and followed by a standby."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import psycopg
from psycopg import sql

from loket import postgres
from loket.installation import free_ports
from loket.postgres import Postgres

PASSWORD = "klompendans"
FAST = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_wal_senders": "5"}
ACCESS = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""


@dataclass
class Server:
    launcher: Postgres
    port: int

    def url(self, user: str = "loket") -> str:
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.port}/loket"

    def start(self) -> None:
        with mock.patch.dict(os.environ, {"PGPORT": str(self.port)}):  # of its Unix socket
            self.launcher.start()

    def stop(self) -> None:
        self.launcher.stop()


@contextlib.contextmanager
def over_tcp(room: Path, first_port: int, *users: str) -> Iterator[Server]:
    """A server with an empty database, whose owner and `users` have a password."""
    server = _made(room, "primary", first_port)
    server.start()
    try:
        with mock.patch.dict(os.environ, {"PGPORT": str(server.port)}):
            socket = room / "primary" / "server" / "socket"
            with psycopg.connect(f"host={socket} user=loket dbname=loket", autocommit=True) as connection:
                connection.execute(sql.SQL("ALTER ROLE loket PASSWORD {}").format(PASSWORD))
                for user in users:
                    connection.execute(
                        sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(
                            sql.Identifier(user), PASSWORD
                        )
                    )
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def standby_of(primary: Server, room: Path) -> Iterator[Server]:
    """A hot standby that follows it, started."""
    server = _made(room, "standby", primary.port + 1)
    root = room / "standby"
    root.mkdir()
    user = postgres._server_user()
    home = postgres._room_for(user, root)
    binaries = postgres._binaries(root / "none", home, user)
    copied = subprocess.run(
        [binaries / "pg_basebackup", "-D", home / "data", "-R", "-c", "fast", "-X", "stream",
         "-d", primary.url()],
        env=postgres._bare_environment(), capture_output=True, text=True, **postgres._as_user(user),
    )  # fmt: skip
    assert copied.returncode == 0, copied.stderr
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _made(room: Path, name: str, first_port: int) -> Server:
    port = free_ports(first_port, 1)
    access = room / f"{name}.access"
    access.write_text(ACCESS, "ascii")
    access.chmod(0o644)
    settings = FAST | {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(access)}
    return Server(Postgres(room / name, settings=settings), port)
