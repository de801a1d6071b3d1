"""Processes on a core of their own, and the CPU time that they take."""

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loket.postgres import die_with_parent

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 60.0


class Unanswered(Exception):
    """A status other than 200."""


class NotStarted(Exception):
    """A server ended, or did not answer in a minute; the message has what it said."""


@dataclass(frozen=True)
class Cores:
    """The measured server has one to itself; the database and the load generator share the others."""

    server: int
    load: int
    database: frozenset[int]


def cores() -> Cores:
    free = sorted(os.sched_getaffinity(0))
    server, *others = free[::-1]
    load = min(others, default=server)
    return Cores(server, load, frozenset(set(others) - {load} or {load}))


def start(
    command: list[str], *, core: int, log: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    with log.open("wb") as out:
        return subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509  # two system calls, no locks
        )


def wait_for(process: "subprocess.Popen[bytes]", answers: Callable[[], object], log: Path) -> None:
    """Until `answers` raises nothing. Raises `NotStarted`."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            answers()
        except (OSError, http.client.HTTPException, Unanswered) as fault:
            if process.poll() is not None or time.monotonic() > end:
                told = log.read_text("utf-8", "replace")[-3000:]
                raise NotStarted(f"{process.args!r}\n{fault}\n{told}") from fault
        else:
            return
        time.sleep(0.1)


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def pin(pid: int, where: frozenset[int]) -> None:
    """Move a process and its children; what they start later stays with them."""
    for one in (pid, *children(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(one, where)


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def cpu_seconds(pid: int, *, family: bool = False) -> float:
    """User and system time so far, all threads; with `family` of its living and ended children as well."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    spent = sum(map(int, fields[11 : 15 if family else 13])) / TICKS
    if family:
        for one in children(pid):
            with contextlib.suppress(FileNotFoundError):
                spent += cpu_seconds(one)
    return spent
