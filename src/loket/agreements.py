"""Comparing what is agreed about deliveries with what the planning tool has of them, and settling the rest.

A place can be lost on either side: a restored back-up, an order given by hand, a notice that never came. What
is under way is no difference: only deliveries of which the tool was told nothing just now are looked at.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from loket import deliveries, handovers, places
from loket.lifecycle import DeliveryStatus, SlotStatus
from loket.reconciliation import Finding
from loket.records import Case, Delivery, Difference, DifferenceKind, EffectKind, Reconciliation, Slot
from loket.systems.planning import Place, PlaceStatus
from loket.work import Work, the_system

QUIET = timedelta(minutes=10)
"""So long after the tool was told of a delivery it is not looked at: an answer may be older than that."""
BY_THE_TOOL = "Planning"


@dataclass(frozen=True)
class Agreed:
    """What we have of a delivery. `slot`: the tool's name of the slot that is agreed on, if one is."""

    delivery_id: UUID
    case_id: UUID
    status: DeliveryStatus
    was_delivered: bool
    slot: str | None
    on: date | None


async def differing(
    work: Work, run: Reconciliation, told: Iterable[Place], asked_at: datetime
) -> list[Finding]:
    """Where the tool's bookings in the slots of the run's days are not what is agreed here."""
    theirs = {one.id: one for one in told}
    given = {
        "ids": list(theirs),
        "from": run.starts_on,
        "to": run.ends_on,
        "since": asked_at - QUIET,
    }
    rows = (await work.session.execute(AGREED, given)).all()
    ours = {
        row.id: Agreed(row.id, row.case_id, DeliveryStatus(row.status), row.was_delivered, row.slot, row.on)
        for row in rows
    }
    busy = {row.id for row in rows if row.busy}
    found = [one for id in ours.keys() - busy for one in _compared(ours[id], theirs.get(id))]
    for id in theirs.keys() - ours.keys():
        place = theirs[id]
        if place.status is PlaceStatus.BOOKED:
            detail = {"slot": place.slot_id, "reference": place.reference}
            found.append(Finding(DifferenceKind.PLACE_UNKNOWN, id, None, detail=detail))
    return found


def _compared(ours: Agreed, theirs: Place | None) -> Iterator[Finding]:
    def finding(kind: DifferenceKind, **detail: str) -> Finding:
        day = {"on": ours.on.isoformat()} if ours.on else {}
        return Finding(kind, ours.delivery_id, ours.case_id, detail=day | detail)

    agreed = ours.slot if ours.status is DeliveryStatus.PLANNED else None
    if theirs is None:
        if agreed is not None and not ours.was_delivered:
            yield finding(DifferenceKind.PLACE_MISSING, slot=agreed)
    elif theirs.status is PlaceStatus.DELIVERED:
        if not ours.was_delivered:
            at = theirs.delivered_at.isoformat() if theirs.delivered_at else ""
            yield finding(
                DifferenceKind.OUTCOME_UNHEARD, told="DELIVERED", at=at, by=theirs.delivered_by or BY_THE_TOOL
            )
    elif agreed is not None and theirs.slot_id != agreed:
        yield finding(DifferenceKind.PLACE_DIFFERS, slot=agreed, told=theirs.slot_id)
    elif theirs.status is PlaceStatus.MISSED:
        if agreed is not None and not ours.was_delivered:
            yield finding(DifferenceKind.OUTCOME_UNHEARD, told="MISSED", why=theirs.reason)
    elif agreed is None and not ours.was_delivered:
        yield finding(DifferenceKind.PLACE_UNKNOWN, slot=theirs.slot_id)


async def settle(work: Work, difference: Difference) -> None:
    """Tell the tool what is agreed now, or take over how a delivery went; nothing where it is so."""
    delivery_id = difference.subject_id
    if difference.kind is DifferenceKind.OUTCOME_UNHEARD:
        await _take_over(work.as_actor(the_system(BY_THE_TOOL)), difference)
        return
    if difference.case_id is None:
        await work.leave(EffectKind.PLANNING_CANCEL, {"delivery_id": str(delivery_id)})
        return
    delivery, case = await deliveries.get_locked(work, delivery_id)
    slot = await _agreed_slot(work, delivery)
    if slot is not None:
        await deliveries.tell_tool(work, case, delivery, slot)
    elif delivery.status is not DeliveryStatus.DELIVERED:
        await _cancel(work, case, delivery)


async def _take_over(work: Work, difference: Difference) -> None:
    told = difference.detail
    if told["told"] == "MISSED":
        await handovers.missed(work, difference.subject_id, told.get("why") or "Er was niemand thuis.")
        return
    at = datetime.fromisoformat(told["at"]) if told.get("at") else work.now
    await handovers.delivered(work, difference.subject_id, at, told["by"])


async def _cancel(work: Work, case: Case, delivery: Delivery) -> None:
    await work.leave(EffectKind.PLANNING_CANCEL, {"delivery_id": str(delivery.id)}, case=case)


async def _agreed_slot(work: Work, delivery: Delivery) -> Slot | None:
    live = await places.live(work, delivery)
    if delivery.status is not DeliveryStatus.PLANNED or live is None or live.status is not SlotStatus.BOOKED:
        return None
    return await work.session.get(Slot, live.slot_id)


AGREED = text("""
    SELECT d.id, d.case_id, d.status, d.delivered_at IS NOT NULL AS was_delivered, s.external_id AS slot,
           (s.starts_at AT TIME ZONE 'Europe/Brussels')::date AS "on",
           EXISTS (SELECT FROM effect e
                    WHERE e.case_id = d.case_id AND e.kind IN ('PLANNING_BOOK', 'PLANNING_CANCEL')
                      AND (e.state = 'PENDING' OR greatest(e.created_at, e.done_at) > :since)) AS busy
      FROM delivery d
      LEFT JOIN booking b ON b.delivery_id = d.id AND b.status = 'BOOKED'
      LEFT JOIN slot s ON s.id = b.slot_id
     WHERE d.id = ANY(:ids)
        OR d.status = 'PLANNED'
       AND (s.starts_at AT TIME ZONE 'Europe/Brussels')::date BETWEEN :from AND :to
""")
