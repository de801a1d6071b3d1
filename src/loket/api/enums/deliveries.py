"""The enums of deliveries and their slots."""

from loket.api.naming import enumeration
from loket.lifecycle import DeliveryStatus, SlotStatus
from loket.records import CalendarState

enumeration(
    SlotStatus,
    {"HELD": "Kept for a while.", "BOOKED": "Agreed.", "RELEASED": "Given back."},
    description="What a delivery has of a slot.",
)
enumeration(
    CalendarState,
    {"OPEN": "Can be chosen.", "CLOSED": "Takes no more bookings.", "CANCELLED": "Does not take place."},
    name="SlotState",
    description="What the planning tool says of a slot.",
)
enumeration(
    DeliveryStatus,
    {
        "TO_PLAN": "A slot is to be chosen.",
        "PLANNED": "Planned.",
        "DELIVERED": "Handed over.",
        "MISSED": "Did not succeed; to be planned again.",
        "CANCELLED": "Cancelled.",
    },
    description="Where a delivery stands.",
)
