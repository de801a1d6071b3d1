"""Carries out effects, in order per lane, and fires timers; any number of workers over one database.

A lane is claimed by moving its `due_at` ahead by a lease and giving it a token. While a worker lives it
renews the lease; when it dies the lane comes due by itself. Every write of an outcome is fenced by the
token, so a worker that was frozen and wakes up late can not overwrite what another did meanwhile.
"""

import asyncio
import contextlib
import logging
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from loket import logs, messages, timers
from loket.app import Loket
from loket.database import EFFECTS, EVENTS, after_commit
from loket.effects import carry_out
from loket.errors import Declined, Failed, InDoubt, Unavailable
from loket.lifecycle import EventType
from loket.operations import effect_event
from loket.outcome import Done
from loket.records import Attempt, Case, Effect, EffectState, Lane
from loket.settings import Settings
from loket.work import Work, the_system

logger = logging.getLogger(__name__)

CONCURRENCY = 16
LEASE = timedelta(seconds=30)
"""How long a claimed lane is left alone; after that its worker is taken for dead."""
CALL_SECONDS = 25.0
"""The longest that one effect may take; shorter than the lease."""
POLL_SECONDS = 1.0
DRAIN_SECONDS = 9.0
GIVE_UP_AFTER = timedelta(hours=48)
"""Product's promise is at least 24 hours of trying; then an operator is asked."""
LONGEST_WAIT = timedelta(minutes=15)
SETTLE_PAUSES = (0.05, 0.5, 2.0)
"""Seconds; a deadlock or a database that restarts must not make an e-mail go out twice."""
CIRCUIT_FAILURES = 5
CIRCUIT_LONGEST = timedelta(seconds=20)


@dataclass(frozen=True)
class Claim:
    key: str
    system: str
    token: UUID


class LostLease(Exception):
    """Another worker has the lane now."""


class Worker:
    def __init__(self, loket: Loket) -> None:
        self._loket = loket
        self._busy: set[asyncio.Task[None]] = set()
        self._awake = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Claim nothing more; what is in hand is finished."""
        self._stopping.set()
        self._awake.set()

    async def run(self) -> None:
        """Work until `stop`, then drain."""
        side = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch_timers())]
        try:
            while not self._stopping.is_set():
                self._awake.clear()
                try:
                    found = await self._take_up()
                except Exception:
                    logger.exception("effects could not be claimed; trying again")
                    found = 0
                if not found:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._awake.wait(), POLL_SECONDS)
        finally:
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)
            if self._busy:
                await asyncio.wait(self._busy, timeout=DRAIN_SECONDS)

    async def _take_up(self) -> int:
        free = CONCURRENCY - len(self._busy)
        if free <= 0:
            await asyncio.wait(self._busy, return_when=asyncio.FIRST_COMPLETED)
            return 1
        claims = await self._claim(free)
        for claim in claims:
            task = asyncio.create_task(self._serve(claim), name=f"lane {claim.key}")
            self._busy.add(task)
            task.add_done_callback(self._done)
        return len(claims)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        self._awake.set()

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._loket.database.listen([EFFECTS])) as wake_ups:
            async for _ in wake_ups:
                self._awake.set()

    async def _watch_timers(self) -> None:
        while True:
            try:
                fired = await timers.fire_due(self._loket)
            except Exception:
                logger.exception("a timer could not be fired; trying again")
                fired = 0
            await asyncio.sleep(0 if fired >= timers.BATCH else POLL_SECONDS)

    async def _claim(self, most: int) -> list[Claim]:
        async with self._loket.database.transaction() as session:
            rows = await session.execute(CLAIM, {"most": most, "lease": LEASE})
            return [Claim(key, system, token) for key, system, token in rows]

    async def _serve(self, claim: Claim) -> None:
        """Carry out the lane's open effects, oldest first, until it is empty or must wait."""
        try:
            while not self._stopping.is_set():
                effect = await self._next(claim)
                if effect is None:
                    return
                if not await self._carry_out(claim, effect):
                    return
            await self._let_go(claim, datetime.now(UTC))
        except LostLease:
            logger.info("lane %s was taken over", claim.key)
        except Exception:
            logger.exception("lane %s: its lease will run out and it is tried again", claim.key)

    async def _next(self, claim: Claim) -> Effect | None:
        """The lane's oldest open effect, with its attempt written down; None when the lane must wait."""
        async with self._loket.database.transaction() as session:
            # the lane's row first: whoever leaves an effect meanwhile waits for this, or is seen by it
            lane = await self._lane(session, claim)
            now = datetime.now(UTC)
            found = await session.scalars(
                select(Effect)
                .where(
                    col(Effect.lane) == claim.key,
                    col(Effect.state).in_((EffectState.PENDING, EffectState.PARKED, EffectState.IN_DOUBT)),
                )
                .order_by(col(Effect.seq))
                .limit(1)
            )
            effect = found.one_or_none()
            wait_until = await self._not_before(session, effect, now)
            if effect is None or wait_until is not None:
                lane.due_at, lane.token = wait_until, None
                if effect is None:
                    await session.delete(lane)
                elif effect.state is not EffectState.PENDING:
                    lane.due_at = None
                return None
            lane.due_at = now + LEASE
            effect.attempts += 1
            session.add(Attempt(effect_id=effect.id, number=effect.attempts, started_at=now))
            return effect

    async def _not_before(
        self, session: AsyncSession, effect: Effect | None, now: datetime
    ) -> datetime | None:
        """When the effect may go out; None for now."""
        if effect is None:
            return None
        if effect.state is not EffectState.PENDING:
            return now
        if effect.retry_at is not None and effect.retry_at > now:
            return effect.retry_at
        row = await session.execute(TAKE_TOKEN, {"name": effect.system})
        granted, wait_until = row.one()
        return None if granted else wait_until

    async def _carry_out(self, claim: Claim, effect: Effect) -> bool:
        """One attempt. True when the lane may go on."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                done = await carry_out(self._loket, effect)
        except TimeoutError:
            return await self._failed(claim, effect, Unavailable(effect.system, "no answer in time"))
        except Failed as fault:
            return await self._failed(claim, effect, fault)
        except Exception as fault:
            logger.exception("effect %s (%s) could not be carried out", effect.id, effect.kind)
            ours = Unavailable(effect.system, f"our own fault: {type(fault).__name__}")
            return await self._failed(claim, effect, ours)
        await self._settle(lambda: self._succeeded(claim, effect, done))
        return True

    async def _settle(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write an outcome down, again after a conflict: the other side has it already."""
        for pause in SETTLE_PAUSES:
            try:
                await write()
            except OperationalError:
                logger.warning("an outcome could not be written down; trying again", exc_info=True)
                await asyncio.sleep(pause)
            else:
                return
        await write()

    async def _succeeded(self, claim: Claim, effect: Effect, done: Done) -> None:
        async with self._loket.work(the_system(effect.system)) as work:
            if effect.case_id is not None and done.then is not None:
                # the case first, then its effects and lanes: the order in which every verb locks them
                await work.session.get_one(Case, effect.case_id, with_for_update={"key_share": True})
            await self._end(work, claim, effect, EffectState.DONE, "DONE", receipt=done.receipt)
            if done.then is not None:
                await done.then(work)
            recovered = await work.session.execute(RECOVERED, {"name": effect.system})
            if recovered.first() is not None:
                await work.session.execute(WAKE_SYSTEM, {"name": effect.system})

    async def _failed(self, claim: Claim, effect: Effect, fault: Failed) -> bool:
        now = datetime.now(UTC)
        again = isinstance(fault, Unavailable) and now - effect.created_at < GIVE_UP_AFTER
        async with self._loket.work(the_system(effect.system)) as work:
            if again:
                retry_at = now + wait_before_retry(effect, fault, now)
                await self._end(
                    work,
                    claim,
                    effect,
                    EffectState.PENDING,
                    "RETRY",
                    error=fault.reason,
                    retry_at=retry_at,
                )
            else:
                state = EffectState.IN_DOUBT if isinstance(fault, InDoubt) else EffectState.PARKED
                await self._end(work, claim, effect, state, state, error=fault.reason)
                if isinstance(fault, Declined):
                    await messages.failed(work, effect, fault.reason)
            if isinstance(fault, Unavailable):
                await work.session.execute(
                    CIRCUIT, {"name": effect.system, "most": CIRCUIT_FAILURES, "longest": CIRCUIT_LONGEST}
                )
        return False

    async def _end(
        self,
        work: Work,
        claim: Claim,
        effect: Effect,
        state: EffectState,
        outcome: str,
        *,
        receipt: dict[str, Any] | None = None,
        error: str = "",
        retry_at: datetime | None = None,
    ) -> None:
        """Write down how an attempt ended, and say so on the feed: subscribers watch it."""
        session = work.session
        lane = await self._lane(session, claim)
        now = datetime.now(UTC)
        lane.due_at = now + LEASE
        if state is EffectState.PENDING:
            lane.due_at, lane.token, lane.failures = retry_at, None, lane.failures + 1
        elif state is not EffectState.DONE:
            lane.due_at, lane.token = None, None
        await session.execute(
            update(Effect)
            .where(col(Effect.id) == effect.id, col(Effect.state) == EffectState.PENDING)
            .values(
                state=state,
                last_error=error[:1000],
                retry_at=retry_at,
                receipt=receipt,
                done_at=now if state is EffectState.DONE else None,
            )
        )
        await session.execute(
            update(Attempt)
            .where(col(Attempt.effect_id) == effect.id, col(Attempt.number) == effect.attempts)
            .values(ended_at=now, outcome=outcome, error=error[:1000])
        )
        kind = _TOLD.get(state, EventType.EFFECT_RETRIED)
        if effect.case_id is not None and (kind is not EventType.EFFECT_RETRIED or effect.attempts == 1):
            case = await session.get_one(Case, effect.case_id)
            session.add(effect_event(work, case, effect, kind))
            after_commit(session, EVENTS)

    async def _lane(self, session: AsyncSession, claim: Claim) -> Lane:
        found = await session.scalars(
            select(Lane)
            .where(col(Lane.key) == claim.key, col(Lane.token) == claim.token)
            .with_for_update(key_share=True)
        )
        lane = found.one_or_none()
        if lane is None:
            raise LostLease(claim.key)
        return lane

    async def _let_go(self, claim: Claim, due_at: datetime) -> None:
        async with self._loket.database.transaction() as session:
            lane = await self._lane(session, claim)
            lane.due_at, lane.token = due_at, None


def wait_before_retry(effect: Effect, fault: Failed, now: datetime) -> timedelta:
    """As long as a fifth of the effect's age, within a second and a quarter of an hour; jitter spreads them.

    So a short failure is over soon, and a long one is asked after less and less often.
    """
    asked = fault.retry_after_seconds if isinstance(fault, Unavailable) else None
    wait = max((now - effect.created_at) / 5, timedelta(seconds=1))
    if asked is not None:
        wait = max(wait, timedelta(seconds=asked))
    return min(wait, LONGEST_WAIT) * random.uniform(0.8, 1.2)  # noqa: S311  # no secret


_TOLD: dict[EffectState, EventType] = {
    EffectState.DONE: EventType.EFFECT_DONE,
    EffectState.PARKED: EventType.EFFECT_PARKED,
    EffectState.IN_DOUBT: EventType.EFFECT_PARKED,
}

CLAIM = text("""
    WITH due AS (
        SELECT lane.key
          FROM lane LEFT JOIN systemstate AS state ON state.name = lane.system
         WHERE lane.due_at <= clock_timestamp()
           AND state.paused IS NOT TRUE
           AND (state.open_until IS NULL OR state.open_until <= clock_timestamp())
         ORDER BY lane.due_at
         LIMIT :most
           FOR UPDATE OF lane SKIP LOCKED)
    UPDATE lane SET due_at = clock_timestamp() + :lease, token = gen_random_uuid()
      FROM due
     WHERE lane.key = due.key
    RETURNING lane.key, lane.system, lane.token
""")

TAKE_TOKEN = text("""
    WITH taken AS (
        UPDATE systemstate
           SET next_at = greatest(next_at, clock_timestamp()) + make_interval(secs => 1 / rate_per_second)
         WHERE name = :name AND NOT paused
           AND coalesce(greatest(next_at, clock_timestamp()), clock_timestamp())
               <= clock_timestamp() + make_interval(secs => burst / rate_per_second)
        RETURNING 1)
    SELECT EXISTS (SELECT FROM taken) OR NOT EXISTS (SELECT FROM systemstate WHERE name = :name),
           coalesce((SELECT greatest(next_at - make_interval(secs => burst / rate_per_second),
                                     clock_timestamp() + interval '50 milliseconds')
                       FROM systemstate WHERE name = :name), clock_timestamp())
""")
"""One rate limit per system over all workers (GCRA): may it go out now, and if not, when to look again."""

CIRCUIT = text("""
    INSERT INTO systemstate (name, paused, rate_per_second, burst, failures)
    VALUES (:name, false, 50, 20, 1)
    ON CONFLICT (name) DO UPDATE
       SET failures = systemstate.failures + 1,
           open_until = CASE WHEN systemstate.failures + 1 >= :most
                             THEN clock_timestamp()
                                  + least(:longest, make_interval(secs => systemstate.failures - :most + 2))
                        END
""")
"""A system that keeps failing is left alone for a while, so that it costs the others nothing."""

RECOVERED = text("""
    UPDATE systemstate SET failures = 0, open_until = NULL WHERE name = :name AND failures > 0 RETURNING 1
""")

WAKE_SYSTEM = text("""
    UPDATE lane SET due_at = clock_timestamp()
     WHERE key IN (SELECT key FROM lane
                    WHERE system = :name AND token IS NULL AND due_at > clock_timestamp()
                      FOR UPDATE SKIP LOCKED)
""")
"""A system is back: nobody waits out a pause that was meant for its failure."""


async def run(settings: Settings) -> None:
    """One worker process, until SIGTERM or SIGINT."""
    logs.configure()
    async with Loket(settings) as loket:
        worker = Worker(loket)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        await worker.run()
