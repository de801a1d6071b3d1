"""The slots that the planning tool offers, read again when they were not read for a while.

Outside any transaction: the tool may take its time.
"""

import logging
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from loket import deliveries, places
from loket.app import Loket
from loket.errors import Failed
from loket.records import Case, Slot
from loket.work import the_system

logger = logging.getLogger(__name__)

FRESH = timedelta(seconds=30)
"""Slots that were read so recently are not asked again."""


async def read_again(loket: Loket, case_id: UUID) -> None:
    """Ask which slots there are for this case. Where the tool does not answer, what we knew has to do."""
    async with loket.work(the_system("Timetable")) as work:
        case = await work.session.get_one(Case, case_id)
        settings = work.definition(case).planning
        newest = await work.session.scalar(select(func.max(col(Slot.refreshed_at))))
        if settings is None or (newest is not None and work.now - newest <= FRESH):
            return
        delivery = await deliveries.of(work, case)
        postal_code = (delivery.address.get("postal_code") if delivery else None) or (
            work.settings.municipality.postal_code
        )
        today = work.today
    try:
        offers = await loket.systems.planning.slots(
            today, today + timedelta(days=settings.horizon_days), postal_code
        )
    except Failed as fault:
        logger.warning("the slots could not be read again: %s", fault)
        return
    async with loket.work(the_system("Timetable")) as work:
        await places.refresh(work, offers)
