"""Agreeing on a slot, and handing the goods over.

The planning tool owns the calendar; we mirror its slots and count our own places in them under a
check of the database, so that a slot is never given away twice, whoever asks at the same time.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from loket import cases
from loket.definition import Planning as PlanningSettings
from loket.errors import ErrorCode, Refused
from loket.lifecycle import (
    DELIVERY,
    FINAL,
    Action,
    DeliveryStatus,
    EventType,
    PartAction,
    SlotStatus,
    Stage,
    Status,
    TimerKind,
)
from loket.orders import goods
from loket.records import (
    Application,
    Booking,
    CalendarState,
    Case,
    Delivery,
    EffectKind,
    Person,
    Slot,
)
from loket.systems.planning import SlotOffer
from loket.terms import BRUSSELS, start_of
from loket.work import Work, the_system

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LIVE = (SlotStatus.HELD, SlotStatus.BOOKED)


# --- stages -----------------------------------------------------------------------------------


async def invite(work: Work, case: Case) -> None:
    """The citizen may choose a slot; who does not choose gets the first free one."""
    delivery = await of(work, case)
    if delivery is None:
        work.session.add(await _new_delivery(work, case))
        await work.session.flush()
    elif delivery.status is DeliveryStatus.PLANNED:
        await cases.advance(work, case, Action.BOOK_SLOT, data=_window(delivery))
        return
    await _wait_for_choice(work, case)


async def expect(work: Work, case: Case) -> None:
    """The van will come; where the slot was lost meanwhile, another must be chosen."""
    delivery = await of(work, case)
    if delivery is None or delivery.status is not DeliveryStatus.PLANNED or delivery.ends_at is None:
        await cases.advance(work, case, Action.ASK_SLOT)
        await _wait_for_choice(work, case)
        return
    if delivery.delivered_at is not None:
        _move(delivery, PartAction.CONFIRM)
        await cases.complete_tasks(work, case, "DELIVERED_UNEXPECTEDLY")
        await cases.advance(work, case, Action.PASS)
        return
    live = await _live(work, delivery)
    if live is not None and delivery.starts_at is not None and delivery.starts_at <= work.now:
        await lose(work, case, delivery, live, "Dit moment ging voorbij voordat wij konden leveren.")
        await work.leave(EffectKind.PLANNING_CANCEL, {"delivery_id": str(delivery.id)}, case=case)
        return
    await _wait_for_word(work, case, delivery.ends_at)


async def _wait_for_choice(work: Work, case: Case) -> None:
    settings = _settings(work, case)
    await work.arm(TimerKind.SLOT_REMINDER, work.now + timedelta(days=settings.reminder_days), case=case)
    await work.arm(TimerKind.SLOT_END, work.now + timedelta(days=settings.choose_within_days), case=case)


async def _wait_for_word(work: Work, case: Case, ends_at: datetime) -> None:
    settings = work.definition(case).delivery
    days = settings.unconfirmed_after_days if settings else 2
    await work.arm(TimerKind.DELIVERY_UNCONFIRMED, ends_at + timedelta(days=days), case=case)


# --- the calendar -----------------------------------------------------------------------------


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
                AND EXISTS (SELECT FROM effect
                             WHERE effect.case_id = booking.case_id AND effect.kind = 'PLANNING_BOOK'
                               AND effect.payload ->> 'slot_id' = slot.external_id
                               AND effect.receipt ->> 'version' IS NOT NULL)
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
    settings = _settings(work, case)
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


# --- choosing ---------------------------------------------------------------------------------


async def hold(work: Work, case: Case, slot_id: UUID) -> Booking:
    """Keep a place for a while; an earlier hold of this delivery is let go.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when no slot can be chosen now; SLOT_FULL with alternatives;
            SLOT_GONE when it is closed, past, or not offered to this case.
    """
    delivery = await _to_choose(work, case)
    live = await _live(work, delivery)
    if live is not None and live.slot_id == slot_id:
        return live
    if live is not None and live.status is SlotStatus.BOOKED:
        raise cases.not_allowed(work, case)
    if live is not None:
        await _lock(work, live.slot_id, slot_id)
        await _release(work, live)
    settings = _settings(work, case)
    booking = await _take(work, case, delivery, slot_id, SlotStatus.HELD)
    booking.expires_at = work.now + timedelta(minutes=settings.hold_minutes)
    await work.arm(TimerKind.HOLD_END, booking.expires_at, case=case, subject=booking.id)
    return booking


async def book(work: Work, case: Case, slot_id: UUID | None = None) -> Delivery:
    """Agree on a slot: the one held, or `slot_id`. Moves the case when it waits for this.

    Raises:
        Refused: as `hold`; EXPIRED when nothing is held and no slot is named.
    """
    delivery = await _to_choose(work, case)
    before = _window(delivery)
    live = await _live(work, delivery)
    if live is not None and slot_id is not None:
        await _lock(work, live.slot_id, slot_id)
    if live is not None and live.status is SlotStatus.BOOKED:
        if slot_id is None or live.slot_id == slot_id:
            return delivery
        await _release(work, live)
        live = None
    elif live is not None and slot_id is not None and live.slot_id != slot_id:
        await _release(work, live)
        live = None
    if live is None and slot_id is None:
        raise Refused(ErrorCode.EXPIRED, path=["slot"])
    if live is None:
        assert slot_id is not None
        live = await _take(work, case, delivery, slot_id, SlotStatus.BOOKED)
    live.status = SlotStatus.BOOKED
    live.expires_at = None
    await work.disarm(TimerKind.HOLD_END, subject=live.id)
    slot = await work.session.get_one(Slot, live.slot_id)
    # a calendar that heard of an appointment, also of a lost one, takes only a higher number for a newer one
    heard_of = delivery.starts_at is not None or delivery.calendar_sequence > 0
    _move(delivery, PartAction.BOOK)
    delivery.starts_at, delivery.ends_at = slot.starts_at, slot.ends_at
    delivery.calendar_sequence += heard_of
    await _tell_tool(work, case, delivery, slot)
    await work.disarm(TimerKind.SLOT_REMINDER, TimerKind.SLOT_END, case=case)
    data = _window(delivery) | ({"previous": before} if before else {})
    if case.status is Status.AWAITING_SLOT:
        await cases.advance(work, case, Action.BOOK_SLOT, data=data)
        if case.stage is Stage.DELIVERY:
            await _wait_for_word(work, case, slot.ends_at)
    elif case.status is Status.AWAITING_DELIVERY:
        await cases.advance(work, case, Action.RESCHEDULE, data=data)
        await _wait_for_word(work, case, slot.ends_at)
    else:
        await cases.record(work, case, EventType.RESCHEDULED, data=data)
    return delivery


async def let_go(work: Work, booking_id: UUID) -> None:
    """A hold was not turned into a booking in time."""
    booking = await work.session.get(Booking, booking_id)
    if booking is not None and booking.status is SlotStatus.HELD:
        await _release(work, booking)


async def remind(work: Work, case: Case) -> None:
    if case.status is Status.AWAITING_SLOT:
        await cases.advance(work, case, Action.REMIND)


async def plan_by_itself(work: Work, case: Case) -> None:
    """Nobody chose: the first free slot is planned, and told. Without one, a person sees to it."""
    if case.status is not Status.AWAITING_SLOT:
        return
    delivery = await of(work, case)
    live = await _live(work, delivery) if delivery else None
    if live is not None:
        await book(work, case)
        return
    for slot in await free_slots(work, case):
        try:
            await book(work, case, slot.id)
        except Refused as refusal:
            if refusal.code not in (ErrorCode.SLOT_FULL, ErrorCode.SLOT_GONE):
                raise
            continue  # somebody was before us: the next one
        return
    await cases.open_task(work, case, "NO_FREE_SLOT")
    await work.arm(TimerKind.SLOT_END, work.now + timedelta(days=1), case=case)


# --- what the planning tool and the van tell --------------------------------------------------


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


async def _lock_all(work: Work, external_ids: Sequence[str]) -> tuple[list[Slot], list[Case]]:
    """These slots and the cases with a place in them, locked: nobody else comes in or goes out meanwhile.

    Cases first, as whoever books does. Whoever booked between our look and our lock of the slots is not
    waited for, since they may be waiting for us.

    Raises:
        OperationalError: such a latecomer is busy; what was told must be told again.
    """
    affected = [await cases.get(work, case_id) for case_id in await cases_in(work, external_ids)]
    slots = [slot for one in sorted(external_ids) if (slot := await _by_external_id(work, one)) is not None]
    known = {case.id for case in affected}
    for case_id in await cases_in(work, external_ids):
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
        delivery = await of(work, case)
        live = await _live(work, delivery) if delivery else None
        if delivery is None or live is None or live.slot_id != slot.id:
            continue
        if delivery.status is not DeliveryStatus.PLANNED:  # only held, or handed over already
            continue
        if (delivery.starts_at, delivery.ends_at) == (starts_at, ends_at):  # chosen after the move
            continue
        before = _window(delivery)
        delivery.starts_at, delivery.ends_at = starts_at, ends_at
        delivery.calendar_sequence += 1
        delivery.version += 1
        data = _window(delivery) | {"previous": before}
        if case.status is Status.AWAITING_DELIVERY:
            await cases.advance(work, case, Action.MOVE_SLOT, data=data)
            await _wait_for_word(work, case, ends_at)
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
        delivery = await of(work, case)
        live = await _live(work, delivery) if delivery else None
        if delivery is None or live is None or live.slot_id not in gone:
            continue
        if delivery.status is not DeliveryStatus.DELIVERED:
            await lose(work, case, delivery, live, reason)


async def lose(work: Work, case: Case, delivery: Delivery, booking: Booking, reason: str) -> None:
    """A place is gone: a hold silently, a booking with word to the citizen, who chooses again."""
    held_only = booking.status is SlotStatus.HELD
    await _release(work, booking)
    if held_only:
        return
    before = _window(delivery)
    _move(delivery, PartAction.LOSE)
    delivery.starts_at = delivery.ends_at = None
    delivery.calendar_sequence += 1
    data = {"previous": before, "reason": reason}
    if case.status is Status.AWAITING_DELIVERY:
        await work.disarm(TimerKind.DELIVERY_UNCONFIRMED, case=case)
        await cases.advance(work, case, Action.LOSE_SLOT, data=data)
    else:
        await cases.record(work, case, EventType.SLOT_LOST, data=data)
    await _wait_for_choice(work, case)


async def refused_by_tool(work: Work, delivery_id: UUID, external_id: str) -> None:
    """The place was taken by somebody else's order in the tool: the citizen chooses again.

    A place that the tool still has for this delivery, from before it was rescheduled, is given back.
    """
    delivery = await work.session.get_one(Delivery, delivery_id)
    case = await cases.get(work, delivery.case_id)
    await work.session.refresh(delivery)
    live = await _live(work, delivery)
    slot = await _by_external_id(work, external_id)
    if slot is None or live is None or live.status is not SlotStatus.BOOKED or live.slot_id != slot.id:
        return
    await lose(work, case, delivery, live, "Dit tijdstip is intussen volzet.")
    slot.capacity = slot.taken  # until the tool says otherwise
    await work.leave(EffectKind.PLANNING_CANCEL, {"delivery_id": str(delivery.id)}, case=case)


async def delivered(work: Work, delivery_id: UUID, at: datetime, by: str, *, by_hand: bool = False) -> None:
    """The goods were handed over: a fact, also when the case cannot move any more.

    Raises:
        Refused: said by hand (`by_hand`) where nothing is to be delivered.
    """
    delivery, case = await _locked(work, delivery_id)
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
    _move(delivery, PartAction.CONFIRM)
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
    delivery, case = await _locked(work, delivery_id)
    if delivery.status is not DeliveryStatus.PLANNED or case.status is not Status.AWAITING_DELIVERY:
        if by_hand:
            raise cases.not_allowed(work, case)
        return
    before = _window(delivery)
    live = await _live(work, delivery)
    if live is not None:
        await _release(work, live)
    _move(delivery, PartAction.MISS)
    delivery.starts_at = delivery.ends_at = None
    delivery.calendar_sequence += 1
    await work.disarm(TimerKind.DELIVERY_UNCONFIRMED, case=case)
    await cases.advance(work, case, Action.REPORT_MISSED, data={"reason": told, "previous": before})
    await _wait_for_choice(work, case)


async def call_off(work: Work, delivery_id: UUID, reason: str) -> None:
    """A handler calls an agreed delivery off: the citizen is told and chooses again."""
    told = cases.said(reason, "reason")
    delivery, case = await _locked(work, delivery_id)
    live = await _live(work, delivery)
    if live is None or live.status is not SlotStatus.BOOKED or case.status in FINAL:
        raise cases.not_allowed(work, case)
    await lose(work.as_actor(the_system(work.actor.name)), case, delivery, live, told)
    await work.leave(EffectKind.PLANNING_CANCEL, {"delivery_id": str(delivery.id)}, case=case)


async def cancel(work: Work, case: Case) -> None:
    """The case ended: free the place, and tell the tool."""
    delivery = await of(work, case)
    if delivery is None or DELIVERY.find(delivery.status, PartAction.CANCEL) is None:
        return
    live = await _live(work, delivery)
    if live is not None:
        await _release(work, live)
    told_tool = delivery.starts_at is not None
    _move(delivery, PartAction.CANCEL)
    delivery.calendar_sequence += 1
    if told_tool:
        await work.leave(EffectKind.PLANNING_CANCEL, {"delivery_id": str(delivery.id)}, case=case)


# --- small things -----------------------------------------------------------------------------


async def of(work: Work, case: Case) -> Delivery | None:
    """The delivery of the case's present round."""
    found = await work.session.scalars(
        select(Delivery).where(col(Delivery.case_id) == case.id, col(Delivery.round) == case.round)
    )
    return found.one_or_none()


async def _locked(work: Work, delivery_id: UUID) -> tuple[Delivery, Case]:
    delivery = await work.session.get(Delivery, delivery_id)
    if delivery is None:
        raise Refused(ErrorCode.NOT_FOUND)
    case = await cases.get(work, delivery.case_id)
    await work.session.refresh(delivery, with_for_update={"key_share": True})
    return delivery, case


async def _to_choose(work: Work, case: Case) -> Delivery:
    """The delivery for which a slot can be chosen now, by this actor."""
    delivery = await of(work, case)
    if (
        delivery is None
        or case.status in FINAL
        or case.status is Status.AWAITING_APPLICANT
        or (step := DELIVERY.find(delivery.status, PartAction.BOOK)) is None
        or not step.by & cases.roles_in(work, case)
    ):
        raise cases.not_allowed(work, case)
    return delivery


async def _new_delivery(work: Work, case: Case) -> Delivery:
    application = await work.session.get_one(Application, case.application_id)
    person = await work.session.get_one(Person, case.person_id)
    items = [
        {"product": line["product"], "quantity": line["quantity"], "description": line["description"]}
        for line in goods(case)
    ]
    address = delivery_address(application.answers, person.address or {})
    return Delivery(
        case_id=case.id,
        round=case.round,
        items=items,
        address=address,
        route=" ".join(str(address.get(name, "")) for name in ("postal_code", "street", "number")),
        contact={
            "name": f"{person.given_name} {person.family_name}".strip(),
            "phone": person.phone,
        },
    )


def delivery_address(answers: dict[str, Any], home: dict[str, Any]) -> dict[str, Any]:
    """Where it goes: the address in the form under `delivery`, else under `applicant`, else the domicile."""
    for block in (answers.get("delivery"), answers.get("applicant")):
        if isinstance(block, dict):
            inner = block.get("address")
            address = inner if isinstance(inner, dict) else block
            if address.get("street"):
                names = ("street", "number", "box", "postal_code", "city")
                return {name: address[name] for name in names if address.get(name)}
    return {name: value for name, value in home.items() if name != "nis"}


async def _live(work: Work, delivery: Delivery) -> Booking | None:
    found = await work.session.scalars(
        select(Booking).where(col(Booking.delivery_id) == delivery.id, col(Booking.status).in_(_LIVE))
    )
    return found.one_or_none()


async def _lock(work: Work, *slot_ids: UUID) -> None:
    """Lock slots in the order in which `refresh` does: two who change places never wait for each other."""
    await work.session.execute(
        select(col(Slot.id))
        .where(col(Slot.id).in_(slot_ids))
        .order_by(col(Slot.external_id))
        .with_for_update(key_share=True)
    )


async def _take(work: Work, case: Case, delivery: Delivery, slot_id: UUID, status: SlotStatus) -> Booking:
    slot = await work.session.get(Slot, slot_id, with_for_update={"key_share": True}, populate_existing=True)
    settings = _settings(work, case)
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


async def _release(work: Work, booking: Booking) -> None:
    slot = await work.session.get_one(
        Slot, booking.slot_id, with_for_update={"key_share": True}, populate_existing=True
    )
    slot.taken -= 1
    booking.status = SlotStatus.RELEASED
    booking.expires_at = None
    await work.disarm(TimerKind.HOLD_END, subject=booking.id)
    await work.session.flush()


async def _tell_tool(work: Work, case: Case, delivery: Delivery, slot: Slot) -> None:
    await work.leave(
        EffectKind.PLANNING_BOOK,
        {
            "delivery_id": str(delivery.id),
            "slot_id": slot.external_id,
            "reference": case.reference,
            "items": delivery.items,
            "address": delivery.address,
            "contact": delivery.contact,
        },
        case=case,
    )


async def _by_external_id(work: Work, external_id: str) -> Slot | None:
    found = await work.session.scalars(
        select(Slot)
        .where(col(Slot.external_id) == external_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return found.one_or_none()


def _window(delivery: Delivery) -> dict[str, str]:
    if delivery.starts_at is None or delivery.ends_at is None:
        return {}
    return {"starts_at": delivery.starts_at.isoformat(), "ends_at": delivery.ends_at.isoformat()}


def _move(delivery: Delivery, action: PartAction) -> None:
    step = DELIVERY.find(delivery.status, action)
    if step is None:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=delivery.status)
    delivery.status = step.to
    delivery.version += 1


def _settings(work: Work, case: Case) -> PlanningSettings:
    return work.definition(case).planning or PlanningSettings()


def _on_a_good_day(slot: Slot, settings: PlanningSettings) -> bool:
    weekday = _WEEKDAYS[slot.starts_at.astimezone(BRUSSELS).weekday()]
    return not settings.weekdays or weekday in settings.weekdays
