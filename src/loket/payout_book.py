"""The payouts of a case as they stand: which one lives, of which decision, and what holds it."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import cases
from loket.definition import PayoutRules
from loket.errors import ErrorCode, Refused
from loket.lifecycle import DecisionStatus, PayoutStatus, TaskStatus
from loket.records import Case, Decision, Payout, PayoutKind, Refund, Task
from loket.work import Work

ENDED = frozenset(
    {PayoutStatus.REJECTED, PayoutStatus.RETURNED, PayoutStatus.DECLINED, PayoutStatus.CANCELLED}
)
"""Of these nothing moves any more: another payout of the same decision may be ordered."""
BACK = frozenset({PayoutStatus.REJECTED, PayoutStatus.RETURNED})
UNSENT = frozenset({PayoutStatus.ORDERED, PayoutStatus.APPROVED})
UNDER_WAY = frozenset({PayoutStatus.SENT, PayoutStatus.IN_DOUBT})
HOLDS = ("APPLICANT_DECEASED", "NUMBER_REPLACED", "APPLICANT_MOVED", "PAYOUT_DIFFERS")
"""Tasks that must be settled before money goes out."""


async def live(work: Work, case: Case) -> Payout | None:
    """The premium's payout that may still move money or did, of the present round."""
    found = await work.session.scalars(
        select(Payout)
        .where(
            col(Payout.case_id) == case.id,
            col(Payout.kind) == PayoutKind.PREMIUM,
            col(Payout.round) == case.round,
            col(Payout.status).not_in(ENDED),
        )
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return found.one_or_none()


async def approved(work: Work, case: Case) -> list[Payout]:
    """What may leave at any moment: the premium, or refunds by transfer."""
    found = await work.session.scalars(
        select(Payout)
        .where(col(Payout.case_id) == case.id, col(Payout.status) == PayoutStatus.APPROVED)
        .order_by(col(Payout.id))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list(found)


async def unsent_of(work: Work, refund: Refund) -> list[Payout]:
    """The orders of a refund that accounting does not have."""
    found = await work.session.scalars(
        select(Payout)
        .where(col(Payout.refund_id) == refund.id, col(Payout.status).in_(UNSENT))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list(found)


async def get_locked(work: Work, payout_id: UUID) -> tuple[Case, Payout]:
    """A payout behind the lock of its case.

    Raises:
        Refused: NOT_FOUND.
    """
    payout = await work.session.get(Payout, payout_id)
    if payout is None:
        raise Refused(ErrorCode.NOT_FOUND)
    case = await cases.get(work, payout.case_id)
    await work.session.refresh(payout, with_for_update={"key_share": True})
    return case, payout


async def standing(work: Work, case: Case) -> Decision | None:
    """The decision that is to be paid; where a case was reopened at its payout, that of the round before."""
    found = await work.session.scalars(
        select(Decision)
        .where(col(Decision.case_id) == case.id, col(Decision.round) <= case.round)
        .order_by(col(Decision.round).desc())
        .limit(1)
    )
    decision = found.one_or_none()
    granting = (DecisionStatus.GRANTED, DecisionStatus.PARTLY_GRANTED)
    return decision if decision is not None and decision.status in granting else None


async def last(work: Work, decision: Decision) -> Payout | None:
    """What was ordered last of a decision, in whichever round."""
    found = await work.session.scalars(
        select(Payout)
        .where(col(Payout.decision_id) == decision.id)
        .order_by(col(Payout.ordered_at).desc())
        .limit(1)
    )
    return found.one_or_none()


async def held_by(work: Work, case: Case) -> str | None:
    """The kind of a task that must be settled before money of this case goes out."""
    kind: str | None = await work.session.scalar(
        select(col(Task.kind))
        .where(col(Task.case_id) == case.id, col(Task.status) == TaskStatus.OPEN, col(Task.kind).in_(HOLDS))
        .limit(1)
    )
    return kind


async def nothing_holds(work: Work, case: Case) -> None:
    """Raises `Refused` RULE_NOT_MET while something about the applicant is not settled."""
    held = await held_by(work, case)
    if held is not None:
        said = {
            "nl": f"Eerst moet de taak {held} afgerond worden.",
            "en": f"First the task {held} must be settled.",
        }
        raise Refused(ErrorCode.RULE_NOT_MET, reason=said.get(work.actor.language, said["en"]))


def rules(work: Work, case: Case) -> PayoutRules:
    rules = work.definition(case).payout
    if rules is None:
        raise cases.not_allowed(work, case)
    return rules


def told(payout: Payout) -> dict[str, Any]:
    return {
        "payout": str(payout.id),
        "kind": payout.kind,
        "amount": str(payout.amount),
        "account": payout.iban_masked,
    }
