"""The hand-over of goods, and the slots for it."""

from datetime import date, datetime

from loket import records
from loket.api.naming import described, input_type, output
from loket.api.objects.conditions import among
from loket.api.objects.links import ItsCase
from loket.api.reads import Node, column, condition, entity, expression, oldest, one, orders, part, parts
from loket.api.visibility import of_case
from loket.lifecycle import DeliveryStatus, SlotStatus
from loket.records import CalendarState


@output
class Address:
    """An address in Belgium."""

    street: str | None = described("Street.")
    number: str | None = described("House number.")
    box: str | None = described("Box number.")
    postal_code: str | None = described("Postal code.")
    city: str | None = described("Municipality.")


@output
class DeliveryItem:
    """Something that is handed over."""

    product: str = described("Which product.")
    description: str = described("In words.")
    quantity: int = described("How many.")


@entity(records.Slot, policy=lambda scope: "TRUE" if scope.is_citizen or scope.is_staff else "FALSE")
class Slot(Node):
    """A delivery slot of the planning tool."""

    starts_at: datetime = column("From when.")
    ends_at: datetime = column("Until when.")
    state: CalendarState = column("What the planning tool says of it.")
    free: int = expression("How many places are left.", "{t}.capacity - {t}.taken")


@entity(records.Booking, policy=of_case)
class Booking(Node):
    """A place in a slot: held for a while, or agreed."""

    status: SlotStatus = column("Held, booked or given back.")
    expires_at: datetime | None = column("Until when it is held.")
    slot: Slot = one("Which slot.", on="slot_id", with_parent=True)


@entity(records.Delivery, policy=of_case)
class Delivery(Node):
    """The hand-over of goods (levering)."""

    status: DeliveryStatus = column("Where it stands.")
    version: int = column("Raised by every change.")
    starts_at: datetime | None = column("Planned from when.")
    ends_at: datetime | None = column("Planned until when.")
    calendar_sequence: int = column("Which version of the appointment calendars have heard.")
    delivered_at: datetime | None = column("When it was handed over.")
    address: Address = part(
        "Where.",
        {name: f"{{t}}.address ->> '{name}'" for name in ("street", "number", "box", "postal_code", "city")},
    )
    items: list[DeliveryItem] = parts(
        "What.",
        "{t}.items",
        {
            "product": "{t} ->> 'product'",
            "description": "{t} ->> 'description'",
            "quantity": "({t} ->> 'quantity')::int",
        },
    )
    contact_name: str | None = expression("Whom to ask for.", "{t}.contact ->> 'name'")
    contact_phone: str | None = expression(
        "Whom to call when something cannot be found.", "{t}.contact ->> 'phone'"
    )
    remark: str | None = expression(
        "What the applicant tells the driver: `delivery.remark` of the answers.",
        "(SELECT a.answers -> 'delivery' ->> 'remark' FROM application a"
        ' JOIN "case" c ON c.application_id = a.id WHERE c.id = {t}.case_id)',
    )
    booking: Booking | None = one(
        "The place that it holds or has.",
        where="{t}.delivery_id = {parent}.id AND {t}.status IN ('HELD', 'BOOKED')",
        order="{t}.id",
        with_parent=True,
    )
    case: ItsCase = one("Of which case.", on="case_id", with_parent=True)


@input_type
class DeliveryFilter:
    """Which deliveries."""

    status: list[DeliveryStatus] | None = among("In one of these.", "status")
    on: date | None = condition(
        "On this day in Belgium.", "({t}.starts_at AT TIME ZONE 'Europe/Brussels')::date = {value}"
    )
    postal_code: str | None = condition(
        "In this part of the municipality.", "{t}.address ->> 'postal_code' = {value}"
    )


DELIVERY_ORDER = orders(
    "DeliveryOrder",
    "In which order deliveries come.",
    ROUTE=(oldest("route"), "Street by street, and along each by number."),
)
