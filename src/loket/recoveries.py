"""What a citizen has of a premium already: it counts for what is paid next, or must come back.

Asking it back (terugvordering) is a person's work.
"""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select
from sqlmodel import col

from loket import cases
from loket.lifecycle import DecisionStatus, PayoutStatus
from loket.records import Case, Decision, Payout, PayoutKind
from loket.work import Work


async def owed(work: Work, case: Case, decision: Decision) -> Decimal:
    """EUR of what `decision` grants that was not paid yet, by an earlier decision either.

    Where that is less than nothing, or not all that was granted can be paid on this decision any more, a
    person is asked; nothing is due then.
    """
    granted = decision.amount or Decimal(0)
    paid = await _paid(work, case, col(Payout.decision_id) == decision.id)
    before = await _before(work, case, decision)
    left = granted - paid - before
    if left < 0:
        await ask_back(work, case, -left, "more was paid than is granted now")
    elif paid and left:  # one decision is paid once
        told = {"amount": str(granted), "told": str(paid + before)}
        await cases.open_task(work, case, "PAYOUT_DIFFERS", told)
    elif paid:
        await cases.complete_tasks(work, case, "RECOVERY", remark="it is granted after all")
    return max(Decimal(0), left) if not paid else Decimal(0)


async def after_refusal(work: Work, case: Case) -> None:
    """A revision refuses what was paid before: it must come back."""
    paid = await _before(work, case, None)
    if paid:
        await ask_back(work, case, paid, "refused after it was paid")


async def ask_back(work: Work, case: Case, amount: Decimal, why: str) -> None:
    await cases.open_task(work, case, "RECOVERY", {"amount": str(amount), "why": why})


async def paid_before(work: Work, case: Case, decision: Decision) -> list[UUID]:
    """The payouts of earlier decisions that count for what `decision` grants."""
    found = await work.session.scalars(
        select(col(Payout.id)).where(_executed(case), _of_others(case, decision))
    )
    return list(found)


async def _before(work: Work, case: Case, decision: Decision | None) -> Decimal:
    return await _paid(work, case, _of_others(case, decision))


async def _paid(work: Work, case: Case, of: ColumnElement[bool]) -> Decimal:
    paid: Decimal | None = await work.session.scalar(
        select(func.sum(col(Payout.amount))).where(_executed(case), of)
    )
    return paid or Decimal(0)


def _executed(case: Case) -> ColumnElement[bool]:
    return and_(
        col(Payout.case_id) == case.id,
        col(Payout.kind) == PayoutKind.PREMIUM,
        col(Payout.status) == PayoutStatus.EXECUTED,
    )


def _of_others(case: Case, decision: Decision | None) -> ColumnElement[bool]:
    """Of other decisions on the case; what those paid that were withdrawn is asked back apart."""
    found = select(col(Decision.id)).where(
        col(Decision.case_id) == case.id, col(Decision.status) != DecisionStatus.WITHDRAWN
    )
    if decision is not None:
        found = found.where(col(Decision.id) != decision.id)
    return col(Payout.decision_id).in_(found)
