"""The municipality's planning tool: which delivery slots are free, a place in one, what became of it.

Speaks our own published contract, contracts/planning.openapi.yaml.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

import httpx2
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass as shape

from loket.errors import Declined, Failed
from loket.settings import Planning as Settings
from loket.systems import contract
from loket.systems.calls import ask, call, failure, json_object
from loket.systems.contract import WIRE, Address, Instant, Notice

SYSTEM = "planning"
TIMEOUT_SECONDS = 10.0


class SlotFull(Declined):
    """No place left in this slot: the citizen picks another one."""


class SlotGone(Declined):
    """The slot is closed, cancelled or unknown: the citizen picks another one."""


class SlotStatus(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"
    """Takes no more bookings; those made stand."""
    CANCELLED = "CANCELLED"


@shape(frozen=True, config=WIRE)
class SlotOffer:
    """When a van drives where. `capacity` and `taken` count addresses. A higher `version` is newer."""

    id: str
    starts_at: Instant
    ends_at: Instant
    capacity: int
    taken: int
    area: str
    status: SlotStatus
    version: int

    @property
    def free(self) -> int:
        """How many places can still be booked."""
        return max(0, self.capacity - self.taken) if self.status is SlotStatus.OPEN else 0


@shape(frozen=True, config=WIRE)
class Item:
    product: Annotated[str, Field(min_length=1)]
    quantity: Annotated[int, Field(ge=1)]
    description: str


@shape(frozen=True, config=WIRE)
class Contact:
    """`phone` in E.164."""

    name: Annotated[str, Field(min_length=1)]
    phone: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")] | None = None


@shape(frozen=True, config=WIRE)
class Booked:
    id: UUID
    slot_id: str
    status: Literal["BOOKED"]
    version: int


@shape(frozen=True, config=WIRE)
class SlotMoved:
    slot_id: str
    starts_at: Instant
    ends_at: Instant
    version: int


@shape(frozen=True, config=WIRE)
class SlotCancelled:
    """`reason` is Dutch and shown to the citizen, as in the notices below."""

    slot_id: str
    reason: str


@shape(frozen=True, config=WIRE)
class DayCancelled:
    on: Annotated[date, Field(alias="date")]
    reason: str
    slot_ids: tuple[str, ...]


@shape(frozen=True, config=WIRE)
class DeliveryConfirmed:
    booking_id: UUID
    delivered_at: Instant
    delivered_by: str


@shape(frozen=True, config=WIRE)
class DeliveryMissed:
    booking_id: UUID
    reason: str


class PlaceStatus(StrEnum):
    BOOKED = "BOOKED"
    DELIVERED = "DELIVERED"
    MISSED = "MISSED"


@shape(frozen=True, config=WIRE)
class Place:
    """A booking as the tool has it; `id` is the delivery's. `reason`: why it was missed."""

    id: UUID
    slot_id: str
    reference: str
    status: PlaceStatus
    version: int
    delivered_at: Instant | None = None
    delivered_by: str = ""
    reason: str = ""


Told = SlotMoved | SlotCancelled | DayCancelled | DeliveryConfirmed | DeliveryMissed


@shape(frozen=True, config=WIRE)
class _Slots:
    slots: tuple[SlotOffer, ...]


@shape(frozen=True, config=WIRE)
class _Places:
    bookings: tuple[Place, ...]


@shape(frozen=True, config=WIRE)
class _Booking:
    id: UUID
    slot_id: str
    reference: Annotated[str, Field(min_length=1, max_length=40)]
    items: Annotated[tuple[Item, ...], Field(min_length=1)]
    address: Address
    contact: Contact


_SLOTS = TypeAdapter(_Slots)
_PLACES = TypeAdapter(_Places)
_BOOKING = TypeAdapter(_Booking)
_BOOKED = TypeAdapter(Booked)
_TOLD: dict[str, TypeAdapter[Told]] = {
    "slot.moved": TypeAdapter(SlotMoved),
    "slot.cancelled": TypeAdapter(SlotCancelled),
    "day.cancelled": TypeAdapter(DayCancelled),
    "delivery.confirmed": TypeAdapter(DeliveryConfirmed),
    "delivery.missed": TypeAdapter(DeliveryMissed),
}


class Planning:
    """A repeat is recognised by `key` (`Idempotency-Key`), and by the booking's own id."""

    def __init__(self, settings: Settings, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._hook_secrets = settings.hook_secret
        self._client = contract.client(settings.url, settings.token, timeout_seconds)

    async def slots(self, from_on: date, to_on: date, postal_code: str) -> list[SlotOffer]:
        """The delivery slots from `from_on` up to and including `to_on`, full and cancelled ones too.

        Raises:
            Unavailable: no (readable) answer, or not now.
            Declined: the tool refuses the question.
        """
        request = self._client.build_request(
            "GET",
            "/v1/slots",
            params={
                "from": from_on.isoformat(),
                "to": to_on.isoformat(),
                "kind": "delivery",
                "postalCode": postal_code,
            },
        )
        found = contract.answer(SYSTEM, _SLOTS, await call(SYSTEM, self._client, request))
        return sorted(found.slots, key=lambda slot: (slot.starts_at, slot.id))

    async def places(self, from_on: date, to_on: date) -> tuple[Place, ...] | None:
        """The bookings in the slots of these days, at most 62; None where the tool cannot say (contract 1.0).

        Raises:
            Unavailable: no (readable) answer, or not now.
            Declined: the tool refuses the question.
        """
        days = {"from": from_on.isoformat(), "to": to_on.isoformat()}
        request = self._client.build_request("GET", "/v1/bookings", params=days)
        response = await ask(SYSTEM, self._client, request)
        if response.status_code in (httpx2.codes.NOT_FOUND, httpx2.codes.METHOD_NOT_ALLOWED):
            return None
        if not response.is_success:
            raise failure(SYSTEM, response)
        return contract.answer(SYSTEM, _PLACES, response).bookings

    async def book(
        self,
        *,
        key: UUID,
        id: UUID,
        slot_id: str,
        reference: str,
        items: Sequence[Item],
        address: Address,
        contact: Contact,
    ) -> Booked:
        """Take a place in a slot for the delivery `id`, or move that delivery to another slot.

        Raises:
            SlotFull: no place left (an earlier place of this delivery is kept).
            SlotGone: the slot is closed, cancelled or unknown.
            Unavailable: no (readable) answer, or not now.
            Declined: the tool refuses the booking.
        """
        booking = _Booking(
            id=id,
            slot_id=slot_id,
            reference=reference,
            items=tuple(items),
            address=address,
            contact=contact,
        )
        request = self._client.build_request(
            "PUT",
            f"/v1/bookings/{id}",
            content=_BOOKING.dump_json(booking, by_alias=True, exclude_none=True),
            headers=contract.keyed(key),
        )
        response = await ask(SYSTEM, self._client, request)
        if not response.is_success:
            raise _refusal(response)
        return contract.answer(SYSTEM, _BOOKED, response)

    async def cancel(self, id: UUID, *, key: UUID) -> None:
        """Give the place back; does nothing where there is no such booking (any more).

        Raises:
            Unavailable: no answer, or not now.
            Declined: too late, it was delivered.
        """
        request = self._client.build_request("DELETE", f"/v1/bookings/{id}", headers=contract.keyed(key))
        response = await ask(SYSTEM, self._client, request)
        if not response.is_success and _problem(response) != "booking-unknown":
            raise failure(SYSTEM, response)

    def read_notice(self, headers: Mapping[str, str], body: bytes) -> Notice[Told]:
        """What the planning tool tells us, from the raw `body`.

        Raises:
            BadSignature: not provably from the tool, or older than five minutes.
            BadNotice: not what the contract says.
        """
        return contract.read_notice(headers, body, self._hook_secrets, _TOLD)

    async def aclose(self) -> None:
        await self._client.aclose()


def _refusal(response: httpx2.Response) -> Failed:
    told = failure(SYSTEM, response)
    match _problem(response):
        case "slot-full":
            return SlotFull(SYSTEM, told.reason, http_status=response.status_code)
        case "slot-closed" | "slot-unknown":
            return SlotGone(SYSTEM, told.reason, http_status=response.status_code)
        case _:
            return told


def _problem(response: httpx2.Response) -> str:
    """The last part of a problem's `type`: the contract's word for what is wrong."""
    return str(json_object(response).get("type", "")).rpartition("/")[2]
