"""Processes of our own: started, started again when they end, replaced while they work, and stopped."""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from loket.postgres import die_with_parent

BACK_OFF_SECONDS = (0.5, 30.0)
"""First and longest wait before a process is started again."""
SETTLED_SECONDS = 30.0
"""After this long a process is taken to be well, and its next wait is the first one."""
READY_SECONDS = 180.0
"""How long a new process may take until it is at work."""
DRAIN_SECONDS = 10.0
"""How long requests and effects under way may take at a stop."""
LOG_BYTES = 20_000_000
"""A log longer than this at a start is kept once more as `.1`."""


@dataclass
class Child:
    """One process of ours, and how it fares."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    descriptors: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    wait: float = BACK_OFF_SECONDS[0]
    due: float = 0.0

    def start(self, *, ready: int | None = None) -> None:
        """`ready`: a pipe into which it says that it is at work."""
        also = [] if ready is None else ["--ready", str(ready)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  # our own module, no shell
                [*self.command, *also],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=self.descriptors if ready is None else (*self.descriptors, ready),
                # Ctrl-C is for the supervisor: it knows in which order to stop.
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509  # two system calls, no locks
            )
        self.started = time.monotonic()

    def look(self, tell: Callable[[str], None]) -> None:
        """Notice an end, and start again when the wait is over."""
        now = time.monotonic()
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            if now - self.started > SETTLED_SECONDS:
                self.wait = BACK_OFF_SECONDS[0]
            self.process = None
            self.due = now + self.wait
            tell(f"{self.name} ended ({code}); again in {self.wait:g} s. From {self.log}:")
            tell(self._last_words())
            self.wait = min(self.wait * 2, BACK_OFF_SECONDS[1])
        elif now >= self.due:
            self.start()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def _last_words(self, lines: int = 5) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4000))
            told = log.read().decode("utf-8", "replace").splitlines()
        return "\n".join(f"    {line[:300]}" for line in told[-lines:])


def say_ready(pipe: int | None) -> None:
    """Tell who started this process that it is at work now; None: nobody asked."""
    if pipe is not None:
        with contextlib.suppress(BrokenPipeError):  # who waits no longer will say so in another way
            os.write(pipe, b"ready\n")
        os.close(pipe)


def successor(old: Child, environment: dict[str, str], look: Callable[[], bool]) -> Child | None:
    """Another process for the place of `old`, at work already; None where it did not come that far.

    `look` is called again and again meanwhile; False from it ends the wait.
    """
    fresh = replace(old, environment=environment, process=None, wait=BACK_OFF_SECONDS[0])
    turn(old.log)
    word, pipe = os.pipe()
    try:
        fresh.start(ready=pipe)
        os.close(pipe)  # else its end would not be seen
        end = time.monotonic() + READY_SECONDS
        while not select.select([word], [], [], 0)[0]:
            if time.monotonic() > end or not look():
                break
        else:
            if os.read(word, 16):
                return fresh
    finally:
        os.close(word)
    stop([fresh])
    return None


def dismiss(old: Child, look: Callable[[], bool]) -> None:
    """Let it finish what it has under way, and go."""
    old.signal(signal.SIGTERM)
    end = time.monotonic() + DRAIN_SECONDS
    while old.is_running and time.monotonic() < end and look():
        pass
    stop([old])


def stop(children: list[Child]) -> None:
    """API and workers first, so that what they have under way still finds the sandbox."""
    first = [child for child in children if child.name != "sandbox"]
    for group in (first, [child for child in children if child.name == "sandbox"]):
        for child in group:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + DRAIN_SECONDS
        for child in group:
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def turn(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
