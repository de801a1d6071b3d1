"""Keeping Loket running: effects that failed, systems that need a pause, timers that need not wait."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket import cases, checks, payouts, tracing, vouchers
from loket.database import EFFECTS, EVENTS, after_commit
from loket.errors import ErrorCode, Refused
from loket.lanes import BURST, RATE_PER_SECOND, SYSTEMS
from loket.lifecycle import MESSAGE, EventType, PartAction, Role
from loket.records import (
    EVERY_EFFECT,
    Case,
    Effect,
    EffectKind,
    EffectState,
    Event,
    Message,
    Payout,
    SystemState,
)
from loket.work import Work, the_system


async def retry(work: Work, effect_id: UUID, *, skipped: bool = False) -> Effect:
    """Try a failed or waiting effect again now, with the same key; with `skipped` also one left undone.

    Raises:
        Refused: NOT_FOUND; TRANSITION_NOT_ALLOWED for one that is done or skipped.
    """
    effect = await _open(work, effect_id, skipped=skipped)
    effect.state, effect.retry_at, effect.done_at = EffectState.PENDING, None, None
    found = await work.session.scalars(select(Message).where(col(Message.effect_id) == effect.id))
    message = found.one_or_none()
    if message is not None and (step := MESSAGE.find(message.status, PartAction.RESEND)):
        message.status, message.reason = step.to, ""
    if effect.kind is EffectKind.ACCOUNTING_ENTRY:
        await vouchers.told_again(work, effect)
    return effect


async def skip(work: Work, effect_id: UUID, reason: str) -> Effect:
    """Leave an effect undone, with a reason; what waits behind it goes on.

    Raises:
        Refused: REQUIRED without a reason; as `retry`.
    """
    if not reason.strip():
        raise Refused(ErrorCode.REQUIRED, path=["input", "reason"])
    effect = await _open(work, effect_id)
    effect.state, effect.done_at = EffectState.SKIPPED, work.now
    effect.last_error = f"skipped by {work.actor.name}: {reason.strip()[:500]}"
    if effect.case_id is not None:
        case = await work.session.get_one(Case, effect.case_id)
        work.session.add(effect_event(work, case, effect, EventType.EFFECT_SKIPPED))
        after_commit(work.session, EVENTS)
        if effect.kind is EffectKind.CHECK_ASK:
            await checks.given_up(work, case, effect.payload["check"], effect.payload["round"], "SKIPPED")
        if effect.kind is EffectKind.ACCOUNTING_ENTRY:
            await vouchers.not_told(work, case, effect, effect.last_error)
        if effect.kind is EffectKind.PAYOUT_SEND:
            payout = await work.session.get_one(Payout, UUID(effect.payload["payout_id"]))
            await payouts.stop(work.as_actor(the_system(work.actor.name)), case, payout, effect.last_error)
    return effect


async def pause(work: Work, system: str, *, paused: bool) -> SystemState:
    """Send nothing to a system for a while, or go on.

    Raises:
        Refused: NOT_FOUND for a system that Loket does not know.
    """
    if system not in SYSTEMS:
        raise Refused(ErrorCode.NOT_FOUND, path=["system"])
    row = insert(SystemState).values(
        name=system, paused=paused, rate_per_second=RATE_PER_SECOND, burst=BURST, failures=0
    )
    await work.session.execute(
        row.on_conflict_do_update(
            index_elements=["name"], set_={"paused": paused, "open_until": None, "failures": 0}
        )
    )
    after_commit(work.session, EFFECTS)
    return await work.session.get_one(SystemState, system, populate_existing=True)


def effect_event(work: Work, case: Case, effect: Effect, kind: EventType) -> Event:
    """What became of an effect, for the feed: no version of the case."""
    return Event(
        case_id=case.id,
        person_id=case.person_id,
        type=kind,
        stage=case.stage,
        status=case.status,
        previous_status=case.status,
        occurred_at=work.now,
        actor_kind=work.actor.kind,
        actor_id=work.actor.id,
        actor_name=work.actor.name,
        data={"effect": str(effect.id), "kind": effect.kind, "system": effect.system},
        chain=b"",
        trace=tracing.of_this(),
    )


async def _open(work: Work, effect_id: UUID, *, skipped: bool = False) -> Effect:
    """An effect that is not done, locked, its lane awake: after this work a worker looks at it."""
    known = select(EVERY_EFFECT.c.case_id, EVERY_EFFECT.c.state).where(EVERY_EFFECT.c.id == effect_id)
    found = (await work.session.execute(known)).one_or_none()
    if found is None:
        raise Refused(ErrorCode.NOT_FOUND)
    if found.case_id is not None:
        await cases.get(work, found.case_id)
    elif Role.OPERATOR in work.actor.departments:
        raise Refused(ErrorCode.NOT_FOUND)  # of the house, not of a department
    effect = await work.session.get(Effect, effect_id)
    if effect is None:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=found.state)  # in the archive
    await work.wake_lane(effect.lane, effect.system)
    await work.session.refresh(effect, with_for_update={"key_share": True})
    if effect.state is EffectState.DONE or (effect.state is EffectState.SKIPPED and not skipped):
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=effect.state)
    return effect
