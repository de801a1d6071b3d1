"""Agreeing on a slot, as often as it takes; what became of it is in `handovers`."""

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from loket import cases, places
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
from loket.records import Application, Booking, Case, Delivery, EffectKind, Person, Slot
from loket.work import Work


async def invite(work: Work, case: Case) -> None:
    """The citizen may choose a slot; who does not choose gets the first free one."""
    delivery = await of(work, case)
    if delivery is None:
        work.session.add(await _new_delivery(work, case))
        await work.session.flush()
    elif delivery.status is DeliveryStatus.PLANNED:
        await cases.advance(work, case, Action.BOOK_SLOT, data=window(delivery))
        return
    await wait_for_choice(work, case)


async def expect(work: Work, case: Case) -> None:
    """The van will come; where the slot was lost meanwhile, another must be chosen."""
    delivery = await of(work, case)
    if delivery is None or delivery.status is not DeliveryStatus.PLANNED or delivery.ends_at is None:
        await cases.advance(work, case, Action.ASK_SLOT)
        await wait_for_choice(work, case)
        return
    if delivery.delivered_at is not None:
        cases.move(work, DELIVERY, delivery, PartAction.CONFIRM)
        await cases.complete_tasks(work, case, "DELIVERED_UNEXPECTEDLY")
        await cases.advance(work, case, Action.PASS)
        return
    live = await places.live(work, delivery)
    if live is not None and delivery.starts_at is not None and delivery.starts_at <= work.now:
        await lose(work, case, delivery, live, "Dit moment ging voorbij voordat wij konden langskomen.")
        await work.leave(EffectKind.PLANNING_CANCEL, {"delivery_id": str(delivery.id)}, case=case)
        return
    await wait_for_word(work, case, delivery.ends_at)


async def wait_for_choice(work: Work, case: Case) -> None:
    settings = places.rules(work, case)
    await work.arm(TimerKind.SLOT_REMINDER, work.now + timedelta(days=settings.reminder_days), case=case)
    await work.arm(TimerKind.SLOT_END, work.now + timedelta(days=settings.choose_within_days), case=case)


async def wait_for_word(work: Work, case: Case, ends_at: datetime) -> None:
    settings = work.definition(case).delivery
    days = settings.unconfirmed_after_days if settings else 2
    await work.arm(TimerKind.DELIVERY_UNCONFIRMED, ends_at + timedelta(days=days), case=case)


async def hold(work: Work, case: Case, slot_id: UUID) -> Booking:
    """Keep a place for a while; an earlier hold of this delivery is let go.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when no slot can be chosen now; SLOT_FULL with alternatives;
            SLOT_GONE when it is closed, past, or not offered to this case.
    """
    delivery = await _to_choose(work, case)
    live = await places.live(work, delivery)
    if live is not None and live.slot_id == slot_id:
        return live
    if live is not None and live.status is SlotStatus.BOOKED:
        raise cases.not_allowed(work, case)
    if live is not None:
        await places.lock(work, live.slot_id, slot_id)
        await places.release(work, live)
    settings = places.rules(work, case)
    booking = await places.take(work, case, delivery, slot_id, SlotStatus.HELD)
    booking.expires_at = work.now + timedelta(minutes=settings.hold_minutes)
    await work.arm(TimerKind.HOLD_END, booking.expires_at, case=case, subject=booking.id)
    return booking


async def book(work: Work, case: Case, slot_id: UUID | None = None) -> Delivery:
    """Agree on a slot: the one held, or `slot_id`. Moves the case when it waits for this.

    Raises:
        Refused: as `hold`; EXPIRED when nothing is held and no slot is named.
    """
    delivery = await _to_choose(work, case)
    before = window(delivery)
    live = await places.live(work, delivery)
    if live is not None and slot_id is not None:
        await places.lock(work, live.slot_id, slot_id)
    if live is not None and live.status is SlotStatus.BOOKED:
        if slot_id is None or live.slot_id == slot_id:
            return delivery
        await places.release(work, live)
        live = None
    elif live is not None and slot_id is not None and live.slot_id != slot_id:
        await places.release(work, live)
        live = None
    if live is None and slot_id is None:
        raise Refused(ErrorCode.EXPIRED, path=["slot"])
    if live is None:
        assert slot_id is not None
        live = await places.take(work, case, delivery, slot_id, SlotStatus.BOOKED)
    live.status = SlotStatus.BOOKED
    live.expires_at = None
    await work.disarm(TimerKind.HOLD_END, subject=live.id)
    slot = await work.session.get_one(Slot, live.slot_id)
    # a calendar that heard of an appointment, also of a lost one, takes only a higher number for a newer one
    heard_of = delivery.starts_at is not None or delivery.calendar_sequence > 0
    cases.move(work, DELIVERY, delivery, PartAction.BOOK)
    delivery.starts_at, delivery.ends_at = slot.starts_at, slot.ends_at
    delivery.calendar_sequence += heard_of
    await tell_tool(work, case, delivery, slot)
    await work.disarm(TimerKind.SLOT_REMINDER, TimerKind.SLOT_END, case=case)
    data = window(delivery) | ({"previous": before} if before else {})
    if case.status is Status.AWAITING_SLOT:
        await cases.advance(work, case, Action.BOOK_SLOT, data=data)
        if case.stage is Stage.DELIVERY:
            await wait_for_word(work, case, slot.ends_at)
    elif case.status is Status.AWAITING_DELIVERY:
        await cases.advance(work, case, Action.RESCHEDULE, data=data)
        await wait_for_word(work, case, slot.ends_at)
    else:
        await cases.record(work, case, EventType.RESCHEDULED, data=data)
    return delivery


async def remind(work: Work, case: Case) -> None:
    if case.status is Status.AWAITING_SLOT:
        await cases.advance(work, case, Action.REMIND)


async def plan_by_itself(work: Work, case: Case) -> None:
    """Nobody chose: the first free slot is planned, and told. Without one, a person sees to it."""
    if case.status is not Status.AWAITING_SLOT:
        return
    delivery = await of(work, case)
    live = await places.live(work, delivery) if delivery else None
    if live is not None:
        await book(work, case)
        return
    for slot in await places.free_slots(work, case):
        try:
            await book(work, case, slot.id)
        except Refused as refusal:
            if refusal.code not in (ErrorCode.SLOT_FULL, ErrorCode.SLOT_GONE):
                raise
            continue  # somebody was before us: the next one
        return
    await cases.open_task(work, case, "NO_FREE_SLOT")
    await work.arm(TimerKind.SLOT_END, work.now + timedelta(days=1), case=case)


async def lose(work: Work, case: Case, delivery: Delivery, booking: Booking, reason: str) -> None:
    """A place is gone: a hold silently, a booking with word to the citizen, who chooses again."""
    held_only = booking.status is SlotStatus.HELD
    await places.release(work, booking)
    if held_only:
        return
    before = window(delivery)
    cases.move(work, DELIVERY, delivery, PartAction.LOSE)
    delivery.starts_at = delivery.ends_at = None
    delivery.calendar_sequence += 1
    data = {"previous": before, "reason": reason}
    if case.status is Status.AWAITING_DELIVERY:
        await work.disarm(TimerKind.DELIVERY_UNCONFIRMED, case=case)
        await cases.advance(work, case, Action.LOSE_SLOT, data=data)
    else:
        await cases.record(work, case, EventType.SLOT_LOST, data=data)
    await wait_for_choice(work, case)


async def call_off(work: Work, delivery_id: UUID, reason: str) -> None:
    """A handler calls an agreed delivery off: the citizen is told and chooses again.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED where nothing is agreed, and for others.
    """
    told = cases.said(reason, "reason")
    delivery, case = await get_locked(work, delivery_id)
    live = await places.live(work, delivery)
    if live is None or live.status is not SlotStatus.BOOKED or case.status in FINAL:
        raise cases.not_allowed(work, case)
    await lose(work, case, delivery, live, told)
    await work.leave(EffectKind.PLANNING_CANCEL, {"delivery_id": str(delivery.id)}, case=case)


async def cancel(work: Work, case: Case) -> None:
    """The case ended: free the place, and tell the tool."""
    delivery = await of(work, case)
    if delivery is None or DELIVERY.find(delivery.status, PartAction.CANCEL) is None:
        return
    live = await places.live(work, delivery)
    if live is not None:
        await places.release(work, live)
    told_tool = delivery.starts_at is not None
    cases.move(work, DELIVERY, delivery, PartAction.CANCEL)
    delivery.calendar_sequence += 1
    if told_tool:
        await work.leave(EffectKind.PLANNING_CANCEL, {"delivery_id": str(delivery.id)}, case=case)


async def of(work: Work, case: Case) -> Delivery | None:
    """The delivery of the case's present round."""
    found = await work.session.scalars(
        select(Delivery).where(col(Delivery.case_id) == case.id, col(Delivery.round) == case.round)
    )
    return found.one_or_none()


async def get_locked(work: Work, delivery_id: UUID) -> tuple[Delivery, Case]:
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
        route=route(address),
        contact={
            "name": f"{person.given_name} {person.family_name}".strip(),
            "phone": person.phone,
        },
    )


def route(address: dict[str, Any]) -> str:
    """By what a van's stops are put in order: 2999 Kerkstraat 00009 comes before 2999 Kerkstraat 00010A."""
    number = re.sub(r"\d+", lambda digits: digits[0].zfill(5), str(address.get("number", "")), count=1)
    return f"{address.get('postal_code', '')} {address.get('street', '')} {number}"


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


async def tell_tool(work: Work, case: Case, delivery: Delivery, slot: Slot) -> None:
    """Have the planning tool take a place, or move the one that it has."""
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


def window(delivery: Delivery) -> dict[str, str]:
    if delivery.starts_at is None or delivery.ends_at is None:
        return {}
    return {"starts_at": delivery.starts_at.isoformat(), "ends_at": delivery.ends_at.isoformat()}
