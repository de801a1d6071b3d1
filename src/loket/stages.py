"""What a new stage or an end brings with it, before the same commit.

So a case walks on by itself as far as it can.
"""

from collections.abc import Awaitable, Callable

from loket import (
    advice,
    assessment,
    checks,
    decisions,
    deliveries,
    endings,
    invoices,
    newwork,
    notices,
    payouts,
    screening,
)
from loket.lifecycle import FINAL, Stage
from loket.records import Case
from loket.work import Work, the_system


async def _assess(work: Work, case: Case) -> None:
    """Ask the sources, and those whose advice is asked at once; then it is looked whether all is in."""
    await checks.begin(work, case)
    await advice.begin(work, case)
    await assessment.go_on(work, case)


ON_ENTRY: dict[Stage, Callable[[Work, Case], Awaitable[None]]] = {
    Stage.SCREENING: screening.screen,
    Stage.ASSESSMENT: _assess,
    Stage.DECISION: decisions.decide,
    Stage.PAYMENT: invoices.issue,
    Stage.PLANNING: deliveries.invite,
    Stage.DELIVERY: deliveries.expect,
    Stage.PAYOUT: payouts.due,
}


async def settle(work: Work) -> None:
    """Do all that follows from this work, then leave word of it for the department, the citizen and DOSIS."""
    by_itself = work.as_actor(the_system())
    while work.entered:
        case = work.entered.pop(0)
        if case.status in FINAL:
            await endings.clean_up(by_itself, case)
        else:
            await ON_ENTRY[case.stage](by_itself, case)
    await payouts.stop_held(by_itself)
    await newwork.tell(work)
    await notices.tell(work)
