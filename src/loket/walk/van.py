"""The van: which slot it has for a case, and that it drives."""

from datetime import datetime

from loket.walk.citizen import Citizen
from loket.walk.scene import LONG_SECONDS


async def drive(citizen: Citizen) -> None:
    """Deliver what is booked."""
    await agreed_slot(citizen)
    async with citizen.story.step("deliver"):
        await citizen.place.outside.deliver(citizen.reference)
    citizen.story.tell("driver", "delivers, and presses ‘Geleverd’ at the desk")
    await citizen.happens("DELIVERED", seconds=LONG_SECONDS)


async def agreed_slot(citizen: Citizen) -> str:
    """The slot that the planning tool has for this case, once it knows what the citizen chose."""
    delivery = (await citizen.look())["delivery"]
    agreed_on = {
        one["id"]
        for one in await citizen.place.outside.read("planning", "/sim/slots")
        if same_instant(one["startsAt"], delivery["startsAt"])
    }

    async def agreed() -> str | None:
        for booking in await citizen.place.outside.bookings(citizen.reference):
            if booking["status"] == "BOOKED" and booking["slotId"] in agreed_on:
                return str(booking["slotId"])
        return None

    async with citizen.story.step("until planned in the tool"):
        return str(
            await citizen.until(agreed, "the planning tool to hear of the booking", seconds=LONG_SECONDS)
        )


def same_instant(one: str, other: str | None) -> bool:
    return other is not None and datetime.fromisoformat(one) == datetime.fromisoformat(other)
