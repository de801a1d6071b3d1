"""Carries out effects, in order per lane, and fires timers; any number of workers over one database."""

import asyncio
import contextlib
import functools
import logging
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from loket import (
    cases,
    counting,
    figures,
    journal_files,
    lanes,
    logs,
    messages,
    parting,
    probes,
    reconciliation,
    retention,
    statement_files,
    tracing,
)
from loket.app import Loket
from loket.database import EFFECTS, EVENTS, after_commit, clock
from loket.effects import GIVEN_UP, carry_out
from loket.errors import Declined, Failed, InDoubt, Unavailable
from loket.lanes import Claim, LostLease
from loket.lifecycle import EventType
from loket.operations import effect_event
from loket.outcome import Done
from loket.pulse import SILENT_SECONDS, Pulse
from loket.records import Attempt, Case, Effect, EffectState, ProcessKind
from loket.settings import Settings
from loket.subscribers import Subscribers
from loket.timers import Deadlines
from loket.work import NOT_HELD_BACK, Work, the_system

logger = logging.getLogger(__name__)

CONCURRENCY = 16
CALL_SECONDS = 25.0
"""The longest that one effect may take; shorter than the lease."""
RENEW_SECONDS = 10.0
RENEWALS = 6
"""How often the lease of a lane in hand is renewed: a commit may take long on a machine that is busy."""
POLL_SECONDS = 1.0
BREATH_SECONDS = 0.02
"""Between two looks for work that just was not due yet."""
SWEEP_SECONDS = 60.0
DRAIN_SECONDS = 7.0
GIVE_UP_AFTER = timedelta(hours=48)
"""Product's promise is at least 24 hours of trying; then an operator is asked."""
LONGEST_WAIT = timedelta(minutes=15)
LONGEST_ASKED = timedelta(hours=1)
"""The longest Retry-After that is believed."""
TOO_MANY_REQUESTS = 429
SETTLE_PAUSES = (0.05, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds; a deadlock or a database that restarts must not make an e-mail go out twice."""
NOT_NOW = (OperationalError, InterfaceError, PoolTimeout)
"""The database could not keep it at this moment."""

OPEN = (EffectState.PENDING, EffectState.PARKED, EffectState.IN_DOUBT)
"""What stands at the head of a lane, whether it can go on or not."""


T = TypeVar("T")


class OurFault(Unavailable):
    """We could not do our part: the system itself may be well."""


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
                effect = await self._next(claim)
                if effect is None:
                    return
                keeping = asyncio.create_task(self._keep(claim))
                try:
                    if not await self._trace(claim, effect):
                        return
                finally:
                    keeping.cancel()
            async with self._loket.database.transaction() as session:
                lanes.let_go(await lanes.hold(session, claim), await clock(session))
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
            with contextlib.suppress(*NOT_NOW):
                async with self._loket.database.transaction() as session:
                    if not await lanes.renew(session, claim):
                        return

    async def _next(self, claim: Claim) -> Effect | None:
        """The lane's oldest open effect, with its attempt written down; None when the lane must wait."""
        heads = (EffectState.PENDING,) if claim.system in NOT_HELD_BACK else OPEN
        async with self._loket.database.transaction() as session:
            # the lane first: whoever leaves an effect meanwhile waits for us, and finds the lane gone or free
            lane = await lanes.hold(session, claim)
            found = await session.scalars(
                select(Effect)
                .where(col(Effect.lane) == claim.key, col(Effect.state).in_(heads))
                .order_by(col(Effect.seq))
                .limit(1)
            )
            effect = found.one_or_none()
            now = await clock(session)
            if effect is None:
                await session.delete(lane)
            elif effect.state is not EffectState.PENDING:
                lanes.let_go(lane, None)
            elif effect.retry_at is not None and effect.retry_at > now:
                lanes.let_go(lane, effect.retry_at)
            elif look_again_at := await lanes.wait_for_turn(session, effect.system):
                lanes.let_go(lane, look_again_at)
            else:
                effect.attempts += 1
                session.add(Attempt(effect_id=effect.id, number=effect.attempts, started_at=now))
                return effect
            return None

    async def _trace(self, claim: Claim, effect: Effect) -> bool:
        """One attempt, as a part of what caused the effect. True when the lane may go on."""
        told: dict[str, tracing.Told] = {
            "loket__effect": str(effect.id),
            "loket__system": effect.system,
            "loket__attempt": effect.attempts,
        }
        began = time.perf_counter()
        with (
            tracing.within(tracing.begun(effect.trace)),
            tracing.span(f"carry out {effect.kind}", "consumer", **told) as span,
        ):
            outcome, goes_on = await self._carry_out(claim, effect)
            span.say("loket__outcome", outcome)
        counting.attempted(effect.system, outcome, time.perf_counter() - began)
        return goes_on

    async def _carry_out(self, claim: Claim, effect: Effect) -> tuple[str, bool]:
        """One attempt: how it ended, and whether the lane may go on."""
        fault: Failed
        try:
            async with asyncio.timeout(CALL_SECONDS):
                done = await self._loket.procedures.informed(lambda: carry_out(self._loket, effect))
            return "DONE", await self._settle(lambda: self._succeeded(claim, effect, done))
        except LostLease:
            raise
        except TimeoutError:
            fault = Unavailable(effect.system, "no answer in time")
        except Failed as told:
            fault = told
        except Exception as mistake:
            logger.exception("effect %s (%s) could not be carried out", effect.id, effect.kind)
            fault = OurFault(effect.system, f"our own fault: {type(mistake).__name__}")
        return await self._settle(lambda: self._failed(claim, effect, fault)), False

    async def _settle(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write an outcome down, again after a conflict: the other side has it already."""
        informed = self._loket.procedures.informed
        for pause in SETTLE_PAUSES:
            try:
                return await informed(write)
            except NOT_NOW:
                logger.warning("an outcome could not be written down; trying again", exc_info=True)
                await asyncio.sleep(pause)
        return await informed(write)

    async def _succeeded(self, claim: Claim, effect: Effect, done: Done) -> bool:
        async with self._loket.work(the_system(effect.system)) as work:
            if effect.case_id is not None and done.then is not None:
                await work.session.get_one(Case, effect.case_id, with_for_update={"key_share": True})
            lane = await lanes.hold(work.session, claim)
            work.now = await clock(work.session)
            lane.failures = 0
            alone = claim.key == str(effect.id)
            if alone:
                await work.session.delete(lane)
            new = await self._write_end(work, effect, EffectState.DONE, "DONE", receipt=done.receipt)
            if new and done.then is not None:
                await done.then(work)
            await lanes.succeeded(work.session, effect.system)
        return not alone

    async def _failed(self, claim: Claim, effect: Effect, fault: Failed) -> str:
        """How it ended: to be tried again, or not by us alone."""
        async with self._loket.work(the_system(effect.system)) as work:
            waiting = effect.case_id if effect.kind in GIVEN_UP else None
            case = await cases.get(work, waiting) if waiting else None
            lane = await lanes.hold(work.session, claim)
            work.now = await clock(work.session)
            tried_for = work.now - await _tried_since(work.session, effect)
            if isinstance(fault, Unavailable) and tried_for < GIVE_UP_AFTER:
                state, outcome = EffectState.PENDING, "RETRY"
                retry_at = work.now + wait_before_retry(tried_for, fault)
                lane.failures += 1
                look_again_at: datetime | None = retry_at
            else:
                state = EffectState.IN_DOUBT if isinstance(fault, InDoubt) else EffectState.PARKED
                outcome, retry_at = str(state), None
                look_again_at = work.now if effect.system in NOT_HELD_BACK else None
            lanes.let_go(lane, look_again_at)
            new = await self._write_end(work, effect, state, outcome, error=fault.reason, retry_at=retry_at)
            if not new:
                lanes.let_go(lane, work.now)  # skipped meanwhile: what waits behind it goes on
            elif isinstance(fault, Declined):
                await messages.failed(work, effect, fault.reason)
            if new and case is not None and state is not EffectState.PENDING:
                await GIVEN_UP[effect.kind](work, case, effect)
            if isinstance(fault, Unavailable) and not isinstance(fault, OurFault):
                await lanes.failed(work.session, effect.system, _rest_seconds(fault))
        return outcome

    async def _write_end(
        self,
        work: Work,
        effect: Effect,
        state: EffectState,
        outcome: str,
        *,
        receipt: dict[str, Any] | None = None,
        error: str = "",
        retry_at: datetime | None = None,
    ) -> bool:
        """Write down how an attempt ended, and say so on the feed: subscribers watch it.

        False when it had ended already: written by us in a commit whose answer was lost, or skipped
        by a person while it was under way. What the other side has is done nevertheless.
        """
        session = work.session
        done = state is EffectState.DONE
        await session.execute(
            update(Attempt)
            .where(col(Attempt.effect_id) == effect.id, col(Attempt.number) == effect.attempts)
            .values(ended_at=work.now, outcome=outcome, error=error[:1000])
        )
        before = (EffectState.PENDING, EffectState.SKIPPED) if done else (EffectState.PENDING,)
        changed = await session.execute(
            update(Effect)
            .where(col(Effect.id) == effect.id, col(Effect.state).in_(before))
            .values(
                state=state,
                last_error=error[:1000],
                retry_at=retry_at,
                receipt=receipt,
                done_at=work.now if done else None,
            )
            .returning(col(Effect.id))
        )
        if changed.first() is None:
            return False
        kind = _TOLD.get(state, EventType.EFFECT_RETRIED)
        if effect.case_id is not None and (kind is not EventType.EFFECT_RETRIED or effect.attempts == 1):
            case = await session.get_one(Case, effect.case_id)
            session.add(effect_event(work, case, effect, kind))
            after_commit(session, EVENTS)
        return True


async def _tried_since(session: AsyncSession, effect: Effect) -> datetime:
    """When trying began: not when it was left, for a system may have been paused; and anew after a person
    had it tried again.
    """
    given_up = select(func.max(col(Attempt.number))).where(
        col(Attempt.effect_id) == effect.id,
        col(Attempt.outcome).in_([str(EffectState.PARKED), str(EffectState.IN_DOUBT)]),
    )
    since = await session.scalar(
        select(func.min(col(Attempt.started_at))).where(
            col(Attempt.effect_id) == effect.id,
            col(Attempt.number) > func.coalesce(given_up.scalar_subquery(), 0),
        )
    )
    return since or await clock(session)


def wait_before_retry(tried_for: timedelta, fault: Unavailable) -> timedelta:
    """A fifth of the time that it was tried for, within a second and a quarter of an hour.

    So a short failure is over soon, and a long one is asked after less and less often; jitter spreads those
    that failed together. Never sooner than the system asked for.
    """
    wait = min(max(tried_for / 5, timedelta(seconds=1)), LONGEST_WAIT) * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
    asked = min(timedelta(seconds=fault.retry_after_seconds or 0), LONGEST_ASKED)
    return max(wait, asked * random.uniform(1.0, 1.1))  # noqa: S311  # no secret


def _rest_seconds(fault: Unavailable) -> float | None:
    """How long the whole system is to be left alone: 429 is about us, not about this one call."""
    if fault.http_status != TOO_MANY_REQUESTS:
        return None
    return min(fault.retry_after_seconds or 1.0, LONGEST_ASKED.total_seconds())


_TOLD: dict[EffectState, EventType] = {
    EffectState.DONE: EventType.EFFECT_DONE,
    EffectState.PARKED: EventType.EFFECT_PARKED,
    EffectState.IN_DOUBT: EventType.EFFECT_PARKED,
}


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
