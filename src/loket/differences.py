"""Settling where two records disagree: whose task it is, and doing again what was left out."""

from uuid import UUID

from sqlalchemy import select

from loket import agreements, cases, operations, reconciliation
from loket.elsewhere import OF_PLANNING, OF_STATUSES
from loket.errors import ErrorCode, Refused
from loket.lifecycle import Role
from loket.records import (
    EVERY_EFFECT,
    Difference,
    DifferenceKind,
    DifferenceState,
    EffectKind,
    EffectState,
)
from loket.work import Work


def role_for(kind: DifferenceKind) -> Role:
    """Money is settled by finance, what other systems have by operators."""
    return Role.OPERATOR if kind in (*OF_PLANNING, *OF_STATUSES) else Role.FINANCE


async def repair(work: Work, difference: Difference, reason: str) -> None:
    """Do again what was left out; where only a person can, `reason` says how they did.

    Raises:
        Refused: NOT_FOUND for who sees to other differences; else as `reconciliation.repair`.
    """
    await _check_whose(work, difference)
    if role_for(difference.kind) is Role.FINANCE:
        await reconciliation.repair(work, difference, reason)
        return
    if difference.state is not DifferenceState.OPEN:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=difference.state)
    if difference.kind in OF_PLANNING:
        await agreements.settle(work, difference)
    elif "effect_id" in difference.detail:
        await _tell_dosis_again(work, difference)
    elif not reason.strip():
        raise Refused(ErrorCode.REQUIRED, path=["input", "reason"])
    reconciliation.settled(work, difference, reason)


async def _check_whose(work: Work, difference: Difference) -> None:
    """What is of no case is of who has the role for all departments."""
    role = role_for(difference.kind)
    if difference.case_id is None:
        roles = work.actor.roles - work.actor.departments.keys()
    else:
        roles = work.actor.roles_at((await cases.get(work, difference.case_id)).department)
    if role not in roles:
        raise Refused(ErrorCode.NOT_FOUND)


async def _tell_dosis_again(work: Work, difference: Difference) -> None:
    """The same status: by the effect that did not get through, or by a new one where DOSIS refused it."""
    effect_id = UUID(difference.detail["effect_id"])
    found = (await work.session.execute(select(EVERY_EFFECT).where(EVERY_EFFECT.c.id == effect_id))).one()
    if found.state in (EffectState.PARKED, EffectState.IN_DOUBT, EffectState.SKIPPED):
        await operations.retry(work, effect_id, skipped=True)
    elif found.state == EffectState.DONE:
        case = await cases.get(work, found.case_id)
        await work.leave(
            EffectKind.DOSIS_STATUS, found.payload, case=case, event_seq=found.event_seq, resend_of=effect_id
        )
