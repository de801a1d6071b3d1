"""Agreeing on a slot, and handing the goods over."""

from typing import Annotated

import strawberry
from strawberry import ID

from loket import (
    deliveries,
    handovers,
    records,
)
from loket.api.context import (
    field_team,
    handler,
    signed_in,
)
from loket.api.mutations.shared import CaseId, ReasonInput, locked_case
from loket.api.naming import described, described_argument, output
from loket.api.objects.cases import Case
from loket.api.objects.deliveries import Booking, Delivery
from loket.api.payloads import Payload
from loket.api.roots import mutation
from loket.ids import decode_id
from loket.work import Work


@output
class BookingPayload(Payload):
    """A place in a slot."""

    booking: Booking | None = described("The place.", default=None)
    case: Case | None = described("The case.", default=None)


@output
class DeliveryPayload(Payload):
    """A delivery as it is now."""

    delivery: Delivery | None = described("The delivery.", default=None)
    case: Case | None = described("The case.", default=None)


@strawberry.type
class Deliveries:
    """Agreeing on a slot, and handing the goods over."""

    @mutation(policy=signed_in)
    async def delivery_hold_slot(
        self,
        work: Work,
        case_id: CaseId,
        slot_id: Annotated[ID, described_argument("Which slot.")],
        idempotency_key: str,
    ) -> BookingPayload:
        """Keep a place in a slot for a while; an earlier hold is let go."""
        case = await locked_case(work, case_id, None)
        booking = await deliveries.hold(work, case, decode_id(slot_id, "Slot", path=["slotId"]))
        return BookingPayload(booking=Booking.of(booking.id), case=Case.of(case.id))

    @mutation(policy=signed_in)
    async def delivery_book_slot(
        self,
        work: Work,
        case_id: CaseId,
        idempotency_key: str,
        slot_id: Annotated[ID | None, described_argument("Which slot; else the one that is held.")] = None,
        expected_version: int | None = None,
    ) -> DeliveryPayload:
        """Agree on a delivery slot."""
        return await _book(work, case_id, slot_id, expected_version)

    @mutation(policy=signed_in)
    async def delivery_reschedule(
        self,
        work: Work,
        case_id: CaseId,
        slot_id: Annotated[ID, described_argument("Which slot instead.")],
        idempotency_key: str,
        expected_version: int | None = None,
    ) -> DeliveryPayload:
        """Choose another slot."""
        return await _book(work, case_id, slot_id, expected_version)

    @mutation(policy=field_team)
    async def delivery_confirm(
        self, work: Work, id: Annotated[ID, described_argument("Which delivery.")]
    ) -> DeliveryPayload:
        """Say that the goods were handed over."""
        delivery_id = decode_id(id, "Delivery")
        await handovers.delivered(work, delivery_id, work.now, work.actor.name, by_hand=True)
        return await _delivery(work, delivery_id)

    @mutation(policy=field_team)
    async def delivery_report_missed(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which delivery.")],
        input: Annotated[ReasonInput, described_argument("Why.")],
    ) -> DeliveryPayload:
        """Say that the delivery did not succeed; the citizen chooses again."""
        delivery_id = decode_id(id, "Delivery")
        await handovers.missed(work, delivery_id, input.reason, by_hand=True)
        return await _delivery(work, delivery_id)

    @mutation(policy=handler)
    async def delivery_cancel(
        self,
        work: Work,
        id: Annotated[ID, described_argument("Which delivery.")],
        input: Annotated[ReasonInput, described_argument("Why.")],
    ) -> DeliveryPayload:
        """Call an agreed delivery off; the citizen is told and chooses again."""
        delivery_id = decode_id(id, "Delivery")
        await deliveries.call_off(work, delivery_id, input.reason)
        return await _delivery(work, delivery_id)


async def _book(
    work: Work, case_id: str, slot_id: str | None, expected_version: int | None
) -> DeliveryPayload:
    case = await locked_case(work, case_id, expected_version)
    slot = decode_id(slot_id, "Slot", path=["slotId"]) if slot_id else None
    delivery = await deliveries.book(work, case, slot)
    return DeliveryPayload(delivery=Delivery.of(delivery.id), case=Case.of(case.id))


async def _delivery(work: Work, delivery_id: object) -> DeliveryPayload:
    delivery = await work.session.get_one(records.Delivery, delivery_id)
    return DeliveryPayload(delivery=Delivery.of(delivery.id), case=Case.of(delivery.case_id))
