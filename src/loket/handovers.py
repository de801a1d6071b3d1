"""What the planning tool and the van tell: slots that moved or went, goods that were handed over or not."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import cases, deliveries, places
from loket.lifecycle import (
    DELIVERY,
    Action,
    DeliveryStatus,
    EventType,
    PartAction,
    SlotStatus,
    Status,
    TimerKind,
)
from loket.records import CalendarState, Case, Delivery, EffectKind, Slot
from loket.work import Work


async def _lock_all(work: Work, external_ids: Sequence[str]) -> tuple[list[Slot], list[Case]]:
    """These slots and the cases with a place in them, locked: nobody else comes in or goes out meanwhile.

    Cases first, as whoever books does. Whoever booked between our look and our lock of the slots is not
    waited for, since they may be waiting for us.

    Raises:
        OperationalError: such a latecomer is busy; what was told must be told again.
    """
    affected = [await cases.get(work, case_id) for case_id in await places.cases_in(work, external_ids)]
    slots = [slot for one in sorted(external_ids) if (slot := await places.named(work, one)) is not None]
    known = {case.id for case in affected}
    for case_id in await places.cases_in(work, external_ids):
        if case_id not in known:
            late = select(Case).where(col(Case.id) == case_id)
            found = await work.session.scalars(late.with_for_update(key_share=True, nowait=True))
            affected.append(found.one())
    return slots, affected


async def moved(work: Work, external_id: str, starts_at: datetime, ends_at: datetime, version: int) -> None:
    """The tool moved a slot: its deliveries move with it, their citizens are told and may choose again."""
    slots, affected = await _lock_all(work, [external_id])
    if not slots or slots[0].version > version:
        return
    slot = slots[0]
    slot.starts_at, slot.ends_at, slot.version = starts_at, ends_at, version
    for case in affected:
        delivery = await deliveries.of(work, case)
        live = await places.live(work, delivery) if delivery else None
        if delivery is None or live is None or live.slot_id != slot.id:
            continue
        if delivery.status is not DeliveryStatus.PLANNED:  # only held, or handed over already
            continue
        if (delivery.starts_at, delivery.ends_at) == (starts_at, ends_at):  # chosen after the move
            continue
        before = deliveries.window(delivery)
        delivery.starts_at, delivery.ends_at = starts_at, ends_at
        delivery.calendar_sequence += 1
        delivery.version += 1
        data = deliveries.window(delivery) | {"previous": before}
        if case.status is Status.AWAITING_DELIVERY:
            await cases.advance(work, case, Action.MOVE_SLOT, data=data)
            await deliveries.wait_for_word(work, case, ends_at)
        else:
            await cases.record(work, case, EventType.SLOT_MOVED, data=data)


async def cancelled(work: Work, external_ids: Sequence[str], reason: str) -> None:
    """The tool cancelled slots (a holiday, a broken van): their citizens choose another."""
    slots, affected = await _lock_all(work, external_ids)
    for slot in slots:
        if slot.state is not CalendarState.CANCELLED:
            slot.state = CalendarState.CANCELLED
            slot.version += 1  # what was read of it before is older
    gone = {slot.id for slot in slots}
    for case in affected:
        delivery = await deliveries.of(work, case)
        live = await places.live(work, delivery) if delivery else None
        if delivery is None or live is None or live.slot_id not in gone:
            continue
        if delivery.status is not DeliveryStatus.DELIVERED:
            await deliveries.lose(work, case, delivery, live, reason)


async def refused_by_tool(work: Work, delivery_id: UUID, external_id: str) -> None:
    """The place was taken by somebody else's order in the tool: the citizen chooses again.

    A place that the tool still has for this delivery, from before it was rescheduled, is given back.
    """
    delivery = await work.session.get_one(Delivery, delivery_id)
    case = await cases.get(work, delivery.case_id)
    await work.session.refresh(delivery)
    live = await places.live(work, delivery)
    slot = await places.named(work, external_id)
    if slot is None or live is None or live.status is not SlotStatus.BOOKED or live.slot_id != slot.id:
        return
    await deliveries.lose(work, case, delivery, live, "Dit tijdstip is intussen volzet.")
    slot.capacity = slot.taken  # until the tool says otherwise
    await work.leave(EffectKind.PLANNING_CANCEL, {"delivery_id": str(delivery.id)}, case=case)


async def delivered(work: Work, delivery_id: UUID, at: datetime, by: str, *, by_hand: bool = False) -> None:
    """The goods were handed over: a fact, also when the case cannot move any more.

    Raises:
        Refused: said by hand (`by_hand`) where nothing is to be delivered.
    """
    delivery, case = await deliveries.get_locked(work, delivery_id)
    if by_hand and case.status is not Status.AWAITING_DELIVERY:
        raise cases.not_allowed(work, case)
    if delivery.status is DeliveryStatus.DELIVERED or delivery.delivered_at is not None:
        return
    data = {"delivered_at": at.isoformat(), "delivered_by": by}
    if case.status is not Status.AWAITING_DELIVERY:
        delivery.delivered_at, delivery.delivered_by = at, by
        await cases.record(work, case, EventType.DELIVERED, data=data)
        await cases.open_task(work, case, "DELIVERED_UNEXPECTEDLY", data)
        return
    cases.move(work, DELIVERY, delivery, PartAction.CONFIRM)
    delivery.delivered_at, delivery.delivered_by = at, by
    await work.disarm(TimerKind.DELIVERY_UNCONFIRMED, case=case)
    await cases.complete_tasks(work, case, "DELIVERY_UNCONFIRMED")
    await cases.advance(work, case, Action.CONFIRM_DELIVERY, data=data)


async def missed(work: Work, delivery_id: UUID, reason: str, *, by_hand: bool = False) -> None:
    """Nobody was there, or the van did not come: the citizen chooses again.

    Raises:
        Refused: said by hand (`by_hand`) where nothing is to be delivered.
    """
    told = cases.said(reason, "reason") if by_hand else reason
    delivery, case = await deliveries.get_locked(work, delivery_id)
    if delivery.status is not DeliveryStatus.PLANNED or case.status is not Status.AWAITING_DELIVERY:
        if by_hand:
            raise cases.not_allowed(work, case)
        return
    before = deliveries.window(delivery)
    live = await places.live(work, delivery)
    if live is not None:
        await places.release(work, live)
    cases.move(work, DELIVERY, delivery, PartAction.MISS)
    delivery.starts_at = delivery.ends_at = None
    delivery.calendar_sequence += 1
    await work.disarm(TimerKind.DELIVERY_UNCONFIRMED, case=case)
    await cases.advance(work, case, Action.REPORT_MISSED, data={"reason": told, "previous": before})
    await deliveries.wait_for_choice(work, case)
