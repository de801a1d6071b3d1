"""The plan of a storm, and who carries it out: the same seed gives the same plan."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import psycopg

from storm.ledger import Ledger
from storm.town import Town, age_seconds

Json = dict[str, Any]

EVERY_SECONDS = 1.75
"""Between two blows, on average."""
PAUSES = (2 / 7, 12 / 7)
"""Of that: the shortest and the longest."""
# fmt: off
BLOWS: tuple[tuple[int, str, str], ...] = (
    # weight, blow,      target
    (8,  "kill",      "worker"),
    (6,  "kill",      "api"),
    (5,  "kill",      "backend"),
    (2,  "kill",      "postmaster"),
    (2,  "kill",      "sandbox"),
    (1,  "kill",      "supervisor"),
    (4,  "terminate", "backend"),
    (9,  "stop",      "worker"),
    (6,  "stop",      "api"),
    (6,  "stop",      "backend"),
    (2,  "stop",      "sandbox"),
    (1,  "stop",      "postmaster"),
    (48, "spoil",     ""),
)
# fmt: on
SYSTEMS = (
    "magda",
    "dosis",
    "notificaties",
    "worldline",
    "accounting",
    "planning",
    "sms",
    "smtp",
    "minutes",
    "ebox",
    "acmidm",
)  # fmt: skip
MODES = ("refuse", "error", "timeout", "slow", "lose_answer", "duplicate", "malformed")
HOOKS = ("worldline", "accounting", "planning", "minutes", "sms")
"""Systems that send something by themselves, which can be spoiled too."""
YOUNG_SECONDS = 15.0
"""Most who live no longer than this are spared: a town where nobody gets up shows nothing."""
SILENT_SECONDS = 3.0
"""So are most while nobody was answered for so long."""
SPARED = 0.8
LEASE_SECONDS = 35.0
"""Beyond the lease of a lane: somebody else has it when the worker wakes up."""


@dataclass(frozen=True)
class Blow:
    at: float
    """Seconds after the beginning."""
    blow: str
    target: str
    which: float
    """Of those there are, which one: 0 to 1."""
    luck: float
    """Of who is young: 0 to 1."""
    seconds: float = 0.0
    """Of a stop or a fault."""
    system: str = ""
    fault: Json = field(default_factory=dict)


def plan(seed: int, seconds: float, every: float = EVERY_SECONDS) -> list[Blow]:
    """What is done when, for so long; `every`: seconds between two blows, on average."""
    dice = random.Random(seed)
    at, blows = 2.0, []
    weights = [weight for weight, _, _ in BLOWS]
    while (at := at + every * dice.uniform(*PAUSES)) < seconds:
        _, blow, target = dice.choices(BLOWS, weights)[0]
        which, luck = dice.random(), dice.random()
        if blow == "spoil":
            blows.append(_fault(dice, at))
        else:
            lasts = dice.uniform(0.3, 12.0) if blow == "stop" else 0.0
            if target == "worker" and lasts and dice.random() < 0.15:
                lasts = LEASE_SECONDS
            if target in ("postmaster", "sandbox"):
                lasts /= 3
            blows.append(Blow(at, blow, target, which, luck, lasts))
    return blows


def _fault(dice: random.Random, at: float) -> Blow:
    system, mode = dice.choice(SYSTEMS), dice.choice(MODES)
    fault: Json = {"mode": mode, "probability": dice.choice((0.2, 0.5, 1.0))}
    if mode in ("timeout", "slow"):
        fault["seconds"] = round(dice.uniform(0.5, 12.0), 1)
    if system in HOOKS and dice.random() < 0.4:
        fault["path"] = "hook:"
    if system == "acmidm":
        # who is signed in stays so, mostly: without the directory nobody can do anything
        fault |= {"probability": 0.2}
    if mode == "refuse" and system not in HOOKS:
        # said of a whole system this means 'never': a short one, so that a few are parked for a true reason
        fault |= {"probability": 0.2}
    return Blow(at, "spoil", "", 0.0, 0.0, dice.uniform(2.0, 9.0), system, fault)


@dataclass
class Storm:
    town: Town
    ledger: Ledger
    blows: list[Blow]
    http: httpx2.AsyncClient
    answered_at: Callable[[], float]
    """When somebody was answered last, on the clock of `time.monotonic`."""
    counts: Counter[str] = field(default_factory=Counter)
    stopped: dict[int, str] = field(default_factory=dict)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def rage(self) -> None:
        """Until the last blow; what was begun is ended by `calm`."""
        began = time.monotonic()
        for blow in self.blows:
            await asyncio.sleep(max(0.0, began + blow.at - time.monotonic()))
            match blow.blow:
                case "spoil":
                    self._start(self._spoil(blow))
                case "terminate":
                    self._start(self._terminate(blow))
                case "stop":
                    self._start(self._stop(blow))
                case _:
                    await self._kill(blow)

    async def calm(self) -> None:
        """Everybody lives, and every system works."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pid in list(self.stopped):
            self._continue(pid)
        self.town.revive()
        for system in SYSTEMS:
            await self._mend(system)
        self.ledger.write("calm")

    async def keep(self) -> None:
        """Start again what is ours to start again, as whoever looks after the machine would."""
        while True:
            for name in await asyncio.to_thread(self.town.mend):
                self.ledger.write("struck", blow="start", target=name)
            await asyncio.sleep(0.5)

    # ------------------------------------------------------------------ blows

    def _start(self, work: Any) -> None:  # noqa: ANN401  # a coroutine
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _one(self, blow: Blow) -> int | None:
        found = self.town.find(blow.target)
        if not found:
            return None
        pid = found[int(blow.which * len(found))]
        silent = time.monotonic() - self.answered_at() > SILENT_SECONDS
        young = blow.target != "backend" and age_seconds(pid) < YOUNG_SECONDS
        return None if (young or silent) and blow.luck < SPARED else pid

    async def _kill(self, blow: Blow) -> None:
        pid = self._one(blow)
        if pid is None:
            return
        if blow.target in ("postmaster", "supervisor"):
            # a stopped backend would hold the shared memory of the dead server for as long as it sleeps
            for one, name in list(self.stopped.items()):
                if name in ("backend", "postmaster"):
                    self._continue(one)
        self._write(blow, pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def _stop(self, blow: Blow) -> None:
        pid = self._one(blow)
        if pid is None or pid in self.stopped:
            return
        self.stopped[pid] = blow.target
        self._write(blow, pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(blow.seconds)
        self._continue(pid)

    def _continue(self, pid: int) -> None:
        target = self.stopped.pop(pid, None)
        if target is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        self.ledger.write("struck", blow="continue", target=target, pid=pid)

    async def _terminate(self, blow: Blow) -> None:
        """Two in five of all sessions end in the middle of whatever they do."""
        self._write(blow, None)
        with contextlib.suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(5):
                connection = await psycopg.AsyncConnection.connect(self.town.database_url, autocommit=True)
                async with connection:
                    await connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'loket'"
                        " AND pid <> pg_backend_pid() AND random() < 0.4"
                    )

    async def _spoil(self, blow: Blow) -> None:
        if not await self._order(blow.system, "POST", blow.fault):
            return
        self._write(blow, None)
        try:
            await asyncio.sleep(blow.seconds)
        finally:
            await self._mend(blow.system)

    async def _mend(self, system: str) -> None:
        for _ in range(40):
            if await self._order(system, "DELETE"):
                self.ledger.write("struck", blow="mend", system=system)
                return
            await asyncio.sleep(0.5)

    async def _order(self, system: str, method: str, fault: Json | None = None) -> bool:
        try:
            url = f"{self.town.desk}/systeem/{system}/sim/faults"
            answer = await self.http.request(method, url, json=fault, timeout=5.0)
        except httpx2.HTTPError:
            return False
        return answer.status_code < 300

    def _write(self, blow: Blow, pid: int | None) -> None:
        what = blow.fault["mode"] if blow.fault else blow.target
        self.counts[f"{blow.blow} {what}"] += 1
        self.ledger.write(
            "struck", blow=blow.blow, target=blow.target, pid=pid, system=blow.system,
            fault=blow.fault or None, seconds=round(blow.seconds, 1),
        )  # fmt: skip
