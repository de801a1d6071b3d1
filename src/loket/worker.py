"""Serves lanes of effects, each in its order, and fires timers; any number of workers over one database."""

import asyncio
import contextlib
import functools
import logging
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from loket import (
    attempts,
    counting,
    figures,
    journal_files,
    lanes,
    logs,
    parting,
    probes,
    reconciliation,
    retention,
    statement_files,
    tracing,
)
from loket.app import Loket
from loket.database import EFFECTS, NOT_NOW
from loket.lanes import Claim, LostLease
from loket.pulse import SILENT_SECONDS, Pulse
from loket.records import ProcessKind
from loket.settings import Settings
from loket.subscribers import Subscribers
from loket.timers import Deadlines
from loket.work import the_system

logger = logging.getLogger(__name__)

CONCURRENCY = 16
RENEW_SECONDS = 10.0
RENEWALS = 6
"""How often the lease of a lane in hand is renewed: a commit may take long on a machine that is busy."""
POLL_SECONDS = 1.0
BREATH_SECONDS = 0.02
"""Between two looks for work that just was not due yet."""
SWEEP_SECONDS = 60.0
DRAIN_SECONDS = 7.0


class Worker:
    def __init__(self, loket: Loket) -> None:
        self._loket = loket
        self._busy: dict[asyncio.Task[None], str] = {}
        """What carries out a lane, and of which system."""
        self._awake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._looked_at = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Since it last looked for lanes, and the database answered."""
        return time.monotonic() - self._looked_at

    def stop(self) -> None:
        """Claim nothing more; what is in hand is finished."""
        self._stopping.set()
        self._awake.set()

    async def run(self) -> None:
        """Work until `stop`, then finish what is in hand, within `DRAIN_SECONDS`."""
        side = [
            asyncio.create_task(one)
            for one in (
                self._listen(),
                self._watch(Deadlines(self._loket, asking=False)),
                self._watch(Deadlines(self._loket, asking=True)),
                self._sweep(),
                self._read_statements(),
                Subscribers(self._loket).run(),
                figures.Follower(
                    self._loket.database, self._loket.procedures, self._loket.procedures.unreadable
                ).run(),
            )
        ]
        try:
            while not self._stopping.is_set():
                self._awake.clear()
                try:
                    pause = await self._take_up()
                except Exception:
                    logger.exception("effects could not be claimed; trying again")
                    pause = POLL_SECONDS
                if pause:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._awake.wait(), pause)
        finally:
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)
            await self._drain()

    async def _drain(self) -> None:
        if not self._busy:
            return
        _, late = await asyncio.wait(self._busy, timeout=DRAIN_SECONDS)
        for task in late:
            # cut off without a word: once the lease has run out, another repeats it with the same key
            logger.warning("%s could not be finished", task.get_name())
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _take_up(self) -> float:
        """Claim lanes; answers for how many seconds there is nothing to claim, unless somebody wakes us."""
        free = CONCURRENCY - len(self._busy)
        if free <= 0:
            self._looked_at = time.monotonic()
            return POLL_SECONDS
        async with self._loket.database.transaction() as session:
            claims = await lanes.claim(session, free, Counter(self._busy.values()))
            due_in = None if len(claims) == free else await lanes.seconds_until_due(session)
        self._looked_at = time.monotonic()
        for claim in claims:
            task = asyncio.create_task(self._serve(claim), name=f"lane {claim.key}")
            self._busy[task] = claim.system
            task.add_done_callback(self._done)
        if due_in is None:
            return 0.0 if len(claims) == free else POLL_SECONDS
        return min(max(due_in, BREATH_SECONDS), POLL_SECONDS)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._busy[task]
        self._awake.set()

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._loket.database.listen([EFFECTS])) as wake_ups:
            async for _ in wake_ups:
                self._awake.set()

    async def _watch(self, deadlines: Deadlines) -> None:
        while True:
            try:
                more = await deadlines.fire_due()
            except Exception:
                logger.exception("timers could not be looked up; trying again")
                more = False
            await asyncio.sleep(0 if more else POLL_SECONDS)

    async def _sweep(self) -> None:
        keeper = retention.Keeper(
            self._loket.database,
            self._loket.settings.retention,
            self._loket.procedures,
            self._loket.procedures.unreadable,
        )
        while True:
            pause = SWEEP_SECONDS
            try:
                async with self._loket.database.transaction() as session:
                    lost = await lanes.sweep(session)
                async with self._loket.work(the_system()) as work:
                    await reconciliation.arm_daily(work)
                    await journal_files.forget(work)
                await keeper.tend()
            except Exception:
                logger.exception("lanes could not be swept; trying again")
                pause = POLL_SECONDS
            else:
                self._awake.set()
                counting.swept()
                if lost:
                    logger.warning("%d effects had no lane", lost)
            await asyncio.sleep(pause)

    async def _read_statements(self) -> None:
        """What the bank put in the watched folder, and movements that an import left to be matched."""
        place = self._loket.settings.bank.statement_folder
        folder = statement_files.Folder(self._loket, Path(place)) if place else None
        while True:
            try:
                if folder is not None:
                    await folder.look()
                await statement_files.match_due(self._loket)
            except Exception:
                logger.exception("statements could not be looked at; trying again")
            await asyncio.sleep(statement_files.LOOK_SECONDS)

    async def _serve(self, claim: Claim) -> None:
        """Carry out the lane's open effects, oldest first, until it is empty or must wait."""
        try:
            while not self._stopping.is_set():
                effect = await attempts.begin(self._loket, claim)
                if effect is None:
                    return
                keeping = asyncio.create_task(self._keep(claim))
                try:
                    if not await attempts.make(self._loket, claim, effect):
                        return
                finally:
                    keeping.cancel()
            async with self._loket.database.transaction() as session:
                await lanes.let_go(session, claim, await lanes.hold(session, claim))
        except LostLease:
            logger.info("lane %s was taken over", claim.key)
        except Exception:
            logger.exception("lane %s: its lease will run out and it is tried again", claim.key)

    async def _keep(self, claim: Claim) -> None:
        """Renew the lease while an effect is carried out and written down: who is slow is not dead.

        Not for ever: behind a connection that hangs another must come to it in the end.
        """
        for _ in range(RENEWALS):
            await asyncio.sleep(RENEW_SECONDS)
            try:
                async with self._loket.database.transaction() as session:
                    await lanes.hold(session, claim)
            except NOT_NOW:
                continue
            except LostLease:
                return  # another has it by now, or it is done with


async def run(
    settings: Settings, *, probe_port: int | None = None, ready: Callable[[], None] = lambda: None
) -> None:
    """One worker process, until SIGTERM or SIGINT. `probe_port`: where it says how it is, on `host`.

    `ready` is called when it takes up work.

    Raises:
        OSError: that port is taken.
    """
    logs.configure()
    tracing.start("worker")
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(tracing.stop)
        loket = await stack.enter_async_context(Loket(settings))
        await stack.enter_async_context(loket.procedures.running(proofread=True))
        pulse = Pulse(loket.database, ProcessKind.WORKER)
        worker = Worker(loket)
        if probe_port is not None:
            wrong = functools.partial(_wrong, pulse, worker)
            await stack.enter_async_context(probes.answering(settings.host, probe_port, wrong))
        await stack.enter_async_context(pulse.beating())
        loop = asyncio.get_running_loop()

        def told() -> None:
            parting.begin()
            worker.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told)
        ready()
        await worker.run()


async def _wrong(pulse: Pulse, worker: Worker) -> str:
    if worker.idle_seconds > SILENT_SECONDS:
        return f"no lanes were looked at for {worker.idle_seconds:.0f} s"
    if pulse.silent_seconds > SILENT_SECONDS:
        return f"the database has not heard of this worker for {pulse.silent_seconds:.0f} s"
    return ""
