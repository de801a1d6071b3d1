"""The places in the slots of the planning tool.

The tool owns the calendar; we mirror its slots and count our own places in them under a check of the
database, so that a slot is never given away twice, whoever asks at the same time.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket.definition import Planning
from loket.errors import ErrorCode, Refused
from loket.lifecycle import SlotStatus, TimerKind
from loket.records import Booking, CalendarState, Case, Delivery, Slot
from loket.systems.planning import SlotOffer
from loket.terms import BRUSSELS, start_of
from loket.work import Work

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LIVE = (SlotStatus.HELD, SlotStatus.BOOKED)


async def refresh(work: Work, offers: Sequence[SlotOffer]) -> None:
    """Write down what the planning tool offers; an older version never overwrites a newer one.

    The tool counts everybody's places, we ours: what other customers took of a slot is not ours to give.
    """
    for offer in sorted(offers, key=lambda one: one.id):
        row = insert(Slot).values(
            external_id=offer.id,
            starts_at=offer.starts_at,
            ends_at=offer.ends_at,
            capacity=offer.free,
            taken=0,
            area=offer.area,
            state=CalendarState(offer.status),
            version=offer.version,
            refreshed_at=work.now,
        )
        told = row.excluded
        await work.session.execute(
            row.on_conflict_do_update(
                index_elements=["external_id"],
                set_={
                    "starts_at": told.starts_at,
                    "ends_at": told.ends_at,
                    # fewer places than we gave away already is the tool's to solve: it moves bookings
                    "capacity": func.greatest(
                        offer.capacity - func.greatest(offer.taken - OURS, 0), Slot.taken
                    ),
                    "area": told.area,
                    "state": told.state,
                    "version": told.version,
                    "refreshed_at": work.now,
                },
                where=col(Slot.version) <= told.version,
            )
        )


OURS: ColumnElement[int] = literal_column("""
    (SELECT count(*) FROM booking
      WHERE booking.slot_id = slot.id
        AND (booking.status = 'BOOKED'
             OR booking.status = 'RELEASED'
                AND EXISTS (SELECT FROM everyeffect AS told
                             WHERE told.case_id = booking.case_id AND told.kind = 'PLANNING_BOOK'
                               AND told.payload ->> 'slot_id' = slot.external_id
                               AND told.receipt ->> 'version' IS NOT NULL)
                AND EXISTS (SELECT FROM effect
                             WHERE effect.case_id = booking.case_id
                               AND effect.kind IN ('PLANNING_BOOK', 'PLANNING_CANCEL')
                               AND (effect.state = 'PENDING'
                                    OR effect.done_at > clock_timestamp() - interval '1 minute'))))
""")
"""How many of the places that the planning tool counts in a slot are ours: those that are booked, and those
that were given up, of which it did not hear yet, or only after it was asked."""


async def free_slots(work: Work, case: Case, limit: int = 20) -> list[Slot]:
    """The slots that this case may choose from, soonest first."""
    settings = rules(work, case)
    first = start_of(work.today + timedelta(days=settings.lead_days))
    last = start_of(work.today + timedelta(days=settings.horizon_days + 1))
    found = await work.session.scalars(
        select(Slot)
        .where(
            col(Slot.state) == CalendarState.OPEN,
            col(Slot.starts_at) >= first,
            col(Slot.starts_at) < last,
            col(Slot.taken) < col(Slot.capacity),
        )
        .order_by(col(Slot.starts_at), col(Slot.id))
        .limit(200)
    )
    return [slot for slot in found if _on_a_good_day(slot, settings)][:limit]


async def live(work: Work, delivery: Delivery) -> Booking | None:
    """The place that a delivery has, held or booked."""
    found = await work.session.scalars(
        select(Booking).where(col(Booking.delivery_id) == delivery.id, col(Booking.status).in_(_LIVE))
    )
    return found.one_or_none()


async def cases_in(work: Work, external_ids: Sequence[str]) -> list[UUID]:
    """The cases with a live place in these slots, in the order in which they must be locked."""
    found = await work.session.scalars(
        select(col(Booking.case_id))
        .join(Slot, col(Slot.id) == col(Booking.slot_id))
        .where(col(Slot.external_id).in_(external_ids), col(Booking.status).in_(_LIVE))
        .distinct()
        .order_by(col(Booking.case_id))
    )
    return list(found)


async def named(work: Work, external_id: str) -> Slot | None:
    """The slot that the tool calls so, locked."""
    found = await work.session.scalars(
        select(Slot)
        .where(col(Slot.external_id) == external_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return found.one_or_none()


async def lock(work: Work, *slot_ids: UUID) -> None:
    """Lock slots in the order in which `refresh` does: two who change places never wait for each other."""
    await work.session.execute(
        select(col(Slot.id))
        .where(col(Slot.id).in_(slot_ids))
        .order_by(col(Slot.external_id))
        .with_for_update(key_share=True)
    )


async def take(work: Work, case: Case, delivery: Delivery, slot_id: UUID, status: SlotStatus) -> Booking:
    """Give a place in a slot away.

    Raises:
        Refused: SLOT_FULL with alternatives; SLOT_GONE when it is closed, past, or not offered to this case.
    """
    slot = await work.session.get(Slot, slot_id, with_for_update={"key_share": True}, populate_existing=True)
    settings = rules(work, case)
    if (
        slot is None
        or slot.state is not CalendarState.OPEN
        or slot.starts_at < start_of(work.today + timedelta(days=settings.lead_days))
        or slot.starts_at >= start_of(work.today + timedelta(days=settings.horizon_days + 1))
        or not _on_a_good_day(slot, settings)
    ):
        raise Refused(ErrorCode.SLOT_GONE, path=["slot"], extra=await _alternatives(work, case))
    if slot.taken >= slot.capacity:
        raise Refused(ErrorCode.SLOT_FULL, path=["slot"], extra=await _alternatives(work, case))
    slot.taken += 1
    booking = Booking(
        slot_id=slot.id, delivery_id=delivery.id, case_id=case.id, status=status, created_at=work.now
    )
    work.session.add(booking)
    await work.session.flush()
    return booking


async def _alternatives(work: Work, case: Case) -> dict[str, Any]:
    return {
        "alternatives": [
            {"id": slot.id, "starts_at": slot.starts_at, "ends_at": slot.ends_at}
            for slot in await free_slots(work, case, limit=5)
        ]
    }


async def release(work: Work, booking: Booking) -> None:
    """Somebody else may have the place."""
    slot = await work.session.get_one(
        Slot, booking.slot_id, with_for_update={"key_share": True}, populate_existing=True
    )
    slot.taken -= 1
    booking.status = SlotStatus.RELEASED
    booking.expires_at = None
    await work.disarm(TimerKind.HOLD_END, subject=booking.id)
    await work.session.flush()


async def let_go(work: Work, booking_id: UUID) -> None:
    """A hold was not turned into a booking in time."""
    booking = await work.session.get(Booking, booking_id)
    if booking is not None and booking.status is SlotStatus.HELD:
        await release(work, booking)


def rules(work: Work, case: Case) -> Planning:
    """What the procedure says of choosing a slot."""
    return work.definition(case).planning or Planning()


def _on_a_good_day(slot: Slot, settings: Planning) -> bool:
    weekday = _WEEKDAYS[slot.starts_at.astimezone(BRUSSELS).weekday()]
    return not settings.weekdays or weekday in settings.weekdays
