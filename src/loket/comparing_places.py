"""Asking the planning tool which places it has, and comparing them with what is agreed."""

from datetime import UTC, datetime
from uuid import UUID

from loket import agreements, elsewhere, reconciliation
from loket.app import Loket
from loket.outcome import Done
from loket.records import Effect, Reconciliation
from loket.work import Work


async def compare(loket: Loket, effect: Effect) -> Done:
    """Compare the deliveries of a run's days, in one go.

    Raises:
        Unavailable: the tool does not answer; it is asked again later.
        Declined: the tool refuses the question.
    """
    run_id = UUID(effect.payload["reconciliation_id"])
    async with loket.database.transaction() as session:
        run = await session.get_one(Reconciliation, run_id)
    asked_at = datetime.now(UTC)
    told = await loket.systems.planning.places(run.starts_on, run.ends_on)

    async def write(work: Work) -> None:
        mine = await work.session.get_one(Reconciliation, run_id, with_for_update={"key_share": True})
        if told is None:
            mine.compared, mine.ended_at = {"asked": False}, work.now
            return
        findings = await agreements.differing(work, mine, told, asked_at)
        await reconciliation.note(work, mine, findings)
        mine.compared = {"asked": True, "places": len(told)}
        await elsewhere.end(work, mine)

    return Done({"places": None if told is None else len(told)}, write)
