"""Comparing with what others have: of deliveries the planning tool, of statuses DOSIS; daily, or at once.

What is found is kept as a difference, beside those of money, until it is settled or not found any more.
"""

from datetime import timedelta

from sqlalchemy import update
from sqlmodel import col

from loket.records import (
    Compared,
    Difference,
    DifferenceKind,
    DifferenceState,
    EffectKind,
    Reconciliation,
)
from loket.work import Work

OF_PLANNING = (
    DifferenceKind.PLACE_MISSING,
    DifferenceKind.PLACE_UNKNOWN,
    DifferenceKind.PLACE_DIFFERS,
    DifferenceKind.OUTCOME_UNHEARD,
)
OF_STATUSES = (DifferenceKind.STATUS_NOT_TOLD, DifferenceKind.STATUS_REFUSED)
PLANNING_DAYS = (timedelta(days=-14), timedelta(days=47))
"""Around today: the most that the planning tool is asked in one go is 62 days."""
STATUS_DAYS = timedelta(days=3)
"""Whose case changed since. What was found before is looked at until it is gone."""


async def start(work: Work, subject: Compared) -> Reconciliation:
    """Begin to compare what others have of deliveries, or of statuses; a worker goes on."""
    since, until = PLANNING_DAYS if subject is Compared.PLANNING else (-STATUS_DAYS, timedelta(0))
    run = Reconciliation(
        subject=subject,
        starts_on=work.today + since,
        ends_on=work.today + until,
        started_at=work.now,
        started_by_id=work.actor.id if work.actor.is_staff else None,
    )
    work.session.add(run)
    await work.session.flush()
    planning = subject is Compared.PLANNING
    kind = EffectKind.COMPARE_PLANNING if planning else EffectKind.COMPARE_STATUSES
    await work.leave(kind, {"reconciliation_id": str(run.id)})
    return run


async def end(work: Work, run: Reconciliation) -> None:
    """Close what was compared with what others have; what is not found any more is gone.

    A place in a slot of a day that was not asked about is no more looked at: it stays as it is.
    """
    run.ended_at = work.now
    mine = OF_PLANNING if run.subject is Compared.PLANNING else OF_STATUSES
    day = col(Difference.detail)["on"].as_string()
    gone = (
        update(Difference)
        .where(
            col(Difference.state) == DifferenceState.OPEN,
            col(Difference.kind).in_(mine),
            col(Difference.reconciliation_id) < run.id,
        )
        .values(state=DifferenceState.GONE, ended_at=work.now)
    )
    if run.subject is Compared.PLANNING:
        gone = gone.where(day.is_(None) | day.between(run.starts_on.isoformat(), run.ends_on.isoformat()))
    await work.session.flush()
    await work.session.execute(gone)
