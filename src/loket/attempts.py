"""One attempt at an effect: carried out, and how it ended written down; tried again later, or given up.

What the other side did is done, whatever becomes of us: its outcome is written until it stands.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from loket import cases, counting, lanes, messages, tracing
from loket.app import Loket
from loket.database import EVENTS, NOT_NOW, after_commit
from loket.effects import GIVEN_UP, carry_out
from loket.errors import Declined, Failed, InDoubt, OurFault, Unavailable
from loket.lanes import Claim, LostLease
from loket.lifecycle import EventType
from loket.operations import effect_event
from loket.outcome import Done
from loket.records import Attempt, Case, Effect, EffectState
from loket.work import NOT_HELD_BACK, Work, the_system

logger = logging.getLogger(__name__)

CALL_SECONDS = 25.0
"""The longest that one effect may take; shorter than the lease."""
GIVE_UP_AFTER = timedelta(hours=48)
"""Product's promise is at least 24 hours of trying; then an operator is asked."""
TRIES = 12
"""Nor before so many: hours in which a system was paused, or no worker ran, are no trying."""
LONGEST_WAIT = timedelta(minutes=15)
LONGEST_ASKED = timedelta(hours=1)
"""The longest Retry-After that is believed."""
TOO_MANY_REQUESTS = 429
SETTLE_PAUSES = (0.05, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds; a deadlock or a database that restarts must not make an e-mail go out twice."""
OPEN = (EffectState.PENDING, EffectState.PARKED, EffectState.IN_DOUBT)
"""What stands at the head of a lane, whether it can go on or not."""
_TOLD: dict[EffectState, EventType] = {
    EffectState.DONE: EventType.EFFECT_DONE,
    EffectState.PARKED: EventType.EFFECT_PARKED,
    EffectState.IN_DOUBT: EventType.EFFECT_PARKED,
}

T = TypeVar("T")


async def begin(loket: Loket, claim: Claim) -> Effect | None:
    """The lane's oldest open effect, with its attempt written down; None when the lane must wait."""
    heads = (EffectState.PENDING,) if claim.system in NOT_HELD_BACK else OPEN
    async with loket.database.transaction() as session:
        # the lane first: whoever leaves an effect meanwhile waits for us, and finds the lane gone or free
        now = await lanes.hold(session, claim)
        found = await session.scalars(
            select(Effect)
            .where(
                col(Effect.lane) == claim.key,
                col(Effect.id) >= lanes.since(claim),
                col(Effect.state).in_(heads),
            )
            .order_by(col(Effect.seq))
            .limit(1)
        )
        effect = found.one_or_none()
        if effect is None:
            await lanes.end(session, claim)
        elif effect.state is not EffectState.PENDING:
            await lanes.let_go(session, claim, None)
        elif effect.retry_at is not None and effect.retry_at > now:
            await lanes.let_go(session, claim, effect.retry_at)
        elif look_again_at := await lanes.wait_for_turn(session, effect.system):
            await lanes.let_go(session, claim, look_again_at)
        else:
            effect.attempts += 1
            session.add(Attempt(effect_id=effect.id, number=effect.attempts, started_at=now))
            return effect
        return None


async def make(loket: Loket, claim: Claim, effect: Effect) -> bool:
    """Make the attempt that has begun, as a part of what caused the effect. True when the lane may go on."""
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
        outcome, goes_on = await _carry_out(loket, claim, effect)
        span.say("loket__outcome", outcome)
    counting.attempted(effect.system, outcome, time.perf_counter() - began)
    return goes_on


async def _carry_out(loket: Loket, claim: Claim, effect: Effect) -> tuple[str, bool]:
    """One attempt: how it ended, and whether the lane may go on."""
    fault: Failed
    try:
        async with asyncio.timeout(CALL_SECONDS):
            done = await loket.procedures.informed(lambda: carry_out(loket, effect))
        return "DONE", await _settle(loket, lambda: _succeeded(loket, claim, effect, done))
    except LostLease:
        raise
    except TimeoutError:
        fault = Unavailable(effect.system, "no answer in time")
    except Failed as told:
        fault = told
    except Exception as mistake:
        logger.exception("effect %s (%s) could not be carried out", effect.id, effect.kind)
        fault = OurFault(effect.system, f"our own fault: {type(mistake).__name__}")
    return await _settle(loket, lambda: _failed(loket, claim, effect, fault)), False


async def _settle(loket: Loket, write: Callable[[], Awaitable[T]]) -> T:
    """Write an outcome down, again after a conflict: the other side has it already."""
    informed = loket.procedures.informed
    for pause in SETTLE_PAUSES:
        try:
            return await informed(write)
        except NOT_NOW:
            logger.warning("an outcome could not be written down; trying again", exc_info=True)
            await asyncio.sleep(pause)
    return await informed(write)


async def _succeeded(loket: Loket, claim: Claim, effect: Effect, done: Done) -> bool:
    async with loket.work(the_system(effect.system)) as work:
        if effect.case_id is not None and done.then is not None:
            await work.session.get_one(Case, effect.case_id, with_for_update={"key_share": True})
        work.now = await lanes.hold(work.session, claim, answered=True)
        alone = claim.key == str(effect.id)
        if alone:
            await lanes.end(work.session, claim)
        new = await _write_end(work, effect, EffectState.DONE, "DONE", receipt=done.receipt)
        if new and done.then is not None:
            await done.then(work)
        await lanes.succeeded(work.session, effect.system)
    return not alone


async def _failed(loket: Loket, claim: Claim, effect: Effect, fault: Failed) -> str:
    """How it ended: to be tried again, or not by us alone."""
    async with loket.work(the_system(effect.system)) as work:
        waiting = effect.case_id if effect.kind in GIVEN_UP else None
        case = await cases.get(work, waiting) if waiting else None
        work.now = await lanes.hold(work.session, claim)
        since, times = await _tried(work.session, effect)
        tried_for = work.now - (since or work.now)
        retry_at: datetime | None
        look_again_at: datetime | None
        if isinstance(fault, Unavailable) and (tried_for < GIVE_UP_AFTER or times < TRIES):
            state, outcome = EffectState.PENDING, "RETRY"
            retry_at = look_again_at = work.now + wait_before_retry(tried_for, fault)
        else:
            state = EffectState.IN_DOUBT if isinstance(fault, InDoubt) else EffectState.PARKED
            outcome, retry_at = str(state), None
            look_again_at = work.now if effect.system in NOT_HELD_BACK else None
        new = await _write_end(work, effect, state, outcome, error=fault.reason, retry_at=retry_at)
        if not new:
            look_again_at = work.now  # skipped meanwhile: what waits behind it goes on
        await lanes.let_go(work.session, claim, look_again_at, failed=outcome == "RETRY")
        if new and isinstance(fault, Declined):
            await messages.failed(work, effect, fault.reason)
        if new and case is not None and state is not EffectState.PENDING:
            await GIVEN_UP[effect.kind](work, case, effect)
        if isinstance(fault, Unavailable) and not isinstance(fault, OurFault):
            await lanes.failed(work.session, effect.system, _rest_seconds(fault))
    return outcome


async def _tried(session: AsyncSession, effect: Effect) -> tuple[datetime | None, int]:
    """Since when, and how often: not since it was left, for a system may have been paused; and anew after a
    person had it tried again.
    """
    given_up = select(func.max(col(Attempt.number))).where(
        col(Attempt.effect_id) == effect.id,
        col(Attempt.outcome).in_([str(EffectState.PARKED), str(EffectState.IN_DOUBT)]),
    )
    rows = await session.execute(
        select(func.min(col(Attempt.started_at)), func.count()).where(
            col(Attempt.effect_id) == effect.id,
            col(Attempt.number) > func.coalesce(given_up.scalar_subquery(), 0),
        )
    )
    since, times = rows.one()
    return since, times


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


async def _write_end(
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
