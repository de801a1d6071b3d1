"""The planner's calendar in small: slots of the van, the bookings in them, and what Loket is told of both."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from starlette.requests import Request

from loket.sandbox.belgian_days import BRUSSELS, at, is_holiday
from loket.sandbox.callbacks import Callbacks, loket_signature
from loket.sandbox.contract import Json, Problem, notice
from loket.sandbox.orders import Wrong, whole
from loket.sandbox.state import State, now
from loket.sandbox.system import Config

WEEKS = 10
"""How far ahead the calendar is filled."""
HOURS = ((time(8), time(10)), (time(10), time(12)))
CAPACITY = 10
"""Addresses per slot."""
MOST_DAYS = 62
"""A question about more days than this is refused."""
STANDING = ("BOOKED", "DELIVERED", "MISSED")
"""What is told of bookings; the rest was cancelled."""
SHOWN_OF_PLACE = ("id", "slotId", "reference", "status", "version", "deliveredAt", "deliveredBy", "reason")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Calendar:
    """Slots and the bookings in them, and the notices to Loket.

    Every Friday morning there are two slots, or on the `weekdays` of the configuration; never on a holiday.
    """

    def __init__(self, config: Config, state: State) -> None:
        self.config = config
        self.state = state
        section = config.section("planning")
        self._weekdays = {DAYS.index(day) for day in section.get("weekdays", ("friday",))}
        self._hook_url: str = section.get("hook_url", "")
        self.callbacks = Callbacks(
            config.desk_url("planning"),
            state,
            loket_signature(section.get("hook_secret", "")),
            heard=lambda status: status == 204,
            final=(400,),
        )

    # What Loket asks ---------------------------------------------------------------------------------

    def slots_between(self, request: Request, _: Json) -> tuple[int, Json]:
        """The slots of some days for one postal code. Raises `Problem`."""
        query = request.query_params
        first, last = _days(query)
        if query.get("kind") != "delivery":
            raise Problem(400, "malformed", "`kind` must be delivery")
        postal_code = query.get("postalCode", "")
        if len(postal_code) != 4 or not postal_code.isdigit() or postal_code[0] == "0":
            raise Problem(400, "malformed", "`postalCode` must be four digits")
        if postal_code != self.config.municipality.postal_code:
            return 200, {"slots": []}
        found = [slot for slot in self.slots() if first <= on(slot["startsAt"]) <= last]
        return 200, {"slots": [self._shown(slot) for slot in found]}

    def places_between(self, request: Request, _: Json) -> tuple[int, Json]:
        """The bookings in the slots of some days. Raises `Problem`."""
        first, last = _days(request.query_params)
        found = []
        for one in self.state.all("booking"):
            slot = self.slot(one["slotId"])
            if one["status"] in STANDING and slot is not None and first <= on(slot["startsAt"]) <= last:
                found.append({name: one[name] for name in SHOWN_OF_PLACE if name in one})
        return 200, {"bookings": found}

    def book(self, request: Request, booking: Json) -> tuple[int, Json]:
        """Take a place, or move a booking to another slot in one step. Raises `Problem`."""
        if booking["id"] != request.path_params["id"]:
            fault = {"pointer": "/id", "detail": "not the id of the path"}
            raise Problem(400, "malformed", "The request does not follow the contract", errors=[fault])
        earlier = self.state.get("booking", booking["id"])
        if earlier is not None and earlier["status"] == "DELIVERED":
            raise Problem(409, "already-delivered", "This booking was delivered")
        slot = self.slot(booking["slotId"])
        if slot is None:
            raise Problem(404, "slot-unknown", "No such slot")
        stays = earlier is not None and earlier["status"] == "BOOKED" and earlier["slotId"] == slot["id"]
        if not stays:
            self._check_room(slot)
        if earlier is not None:
            self.state.delete(_places(earlier["slotId"]), booking["id"])
        self.state.put(_places(slot["id"]), booking["id"], {})
        kept = booking | {
            "status": "BOOKED",
            "version": 1 if earlier is None else earlier["version"] + 1,
            "bookedAt": _instant(),
        }
        self.state.put("booking", booking["id"], kept)
        return (201 if earlier is None else 200), {
            name: kept[name] for name in ("id", "slotId", "status", "version")
        }

    def cancel(self, request: Request, _: Json) -> tuple[int, None]:
        """Give the place back. Raises `Problem`."""
        booking = self.state.get("booking", request.path_params["id"])
        if booking is None:
            raise Problem(404, "booking-unknown", "No booking was ever made under this id")
        if booking["status"] == "DELIVERED":
            raise Problem(409, "already-delivered", "This booking was delivered")
        self.state.delete(_places(booking["slotId"]), booking["id"])
        self.state.put("booking", booking["id"], booking | {"status": "CANCELLED"})
        return 204, None

    # What the planner and the driver do --------------------------------------------------------------

    def slots(self) -> list[Json]:
        """All slots, earliest first; the coming weeks are filled in."""
        self._fill()
        return sorted(self.state.all("slot"), key=lambda slot: (slot["startsAt"], slot["id"]))

    def slot(self, slot_id: str) -> Json | None:
        self._fill()
        return self.state.get("slot", slot_id)

    def bookings_in(self, slot_id: str) -> list[Json]:
        """The bookings that take a place in a slot, in the order in which they came."""
        found = [self.state.get("booking", key) for key, _ in self.state.items(_places(slot_id))]
        return [one for one in found if one is not None]

    def taken(self, slot: Json) -> int:
        """How many places."""
        return self.state.count(_places(slot["id"]))

    def change(self, slot: Json, order: Mapping[str, Any]) -> Json:
        """Another capacity, or closed and opened again; nobody is told. Raises `Wrong`."""
        if "capacity" in order:
            slot = slot | {"capacity": whole(dict(order), "capacity")}
        if "status" in order:
            if order["status"] not in ("OPEN", "CLOSED") or slot["status"] == "CANCELLED":
                raise Wrong("status: OPEN or CLOSED, and not for a cancelled slot", 409)
            slot = slot | {"status": order["status"], "version": slot["version"] + 1}
        self.state.put("slot", slot["id"], slot)
        return slot

    def add(self, order: Mapping[str, Any]) -> Json:
        """A slot of one's own: startsAt, endsAt, capacity. Raises `Wrong`."""
        starts_at, ends_at = _moment(order, "startsAt"), _moment(order, "endsAt")
        _check_times(starts_at, ends_at)
        capacity = whole(dict(order), "capacity") if "capacity" in order else CAPACITY
        slot = self._made(starts_at, ends_at, capacity)
        if not self.state.add("slot", slot["id"], slot):
            raise Wrong("there is such a slot", 409)
        return slot

    def move(self, slot: Json, order: Mapping[str, Any]) -> Json:
        """The van drives at another time; the bookings go along. Raises `Wrong`."""
        starts_at, ends_at = _moment(order, "startsAt"), _moment(order, "endsAt")
        _check_times(starts_at, ends_at)
        if slot["status"] == "CANCELLED":
            raise Wrong("the slot is cancelled", 409)
        times = {"startsAt": starts_at.isoformat(), "endsAt": ends_at.isoformat()}
        slot = slot | times | {"version": slot["version"] + 1}
        self.state.put("slot", slot["id"], slot)
        self.tell("slot.moved", {"slotId": slot["id"], **times, "version": slot["version"]})
        return slot

    def cancel_slot(self, slot: Json, reason: str) -> Json:
        """Raises `Wrong`."""
        slot = self._fall_through(slot)
        self.tell("slot.cancelled", {"slotId": slot["id"], "reason": reason})
        return slot

    def cancel_day(self, day: date, reason: str) -> list[Json]:
        """Every slot of one day. Raises `Wrong`."""
        on_day = [one for one in self.slots() if on(one["startsAt"]) == day and one["status"] != "CANCELLED"]
        if not on_day:
            raise Wrong("no slot on that day", 404)
        gone = [self._fall_through(slot) for slot in on_day]
        ids = [slot["id"] for slot in gone]
        self.tell("day.cancelled", {"date": day.isoformat(), "reason": reason, "slotIds": ids})
        return gone

    def confirm(self, booking: Json, by: str) -> Json:
        """The driver handed it over. Raises `Wrong`."""
        booking = self._driven(booking, "DELIVERED") | {"deliveredAt": _instant(), "deliveredBy": by}
        self.state.put("booking", booking["id"], booking)
        told = {name: booking[name] for name in ("deliveredAt", "deliveredBy")}
        self.tell("delivery.confirmed", {"bookingId": booking["id"], **told})
        return booking

    def miss(self, booking: Json, reason: str) -> Json:
        """Nobody was there. Raises `Wrong`."""
        booking = self._driven(booking, "MISSED") | {"reason": reason}
        self.state.put("booking", booking["id"], booking)
        self.tell("delivery.missed", {"bookingId": booking["id"], "reason": reason})
        return booking

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        if self._hook_url:
            self.callbacks.send(self._hook_url, kind, notice(kind, data))

    def _fill(self) -> None:
        today = now().astimezone(BRUSSELS).date()
        if self.state.get("filled", today.isoformat()) is not None:
            return
        for day in _driving(today, self._weekdays):
            for begin, end in HOURS:
                slot = self._made(at(day, begin), at(day, end), CAPACITY)
                self.state.add("slot", slot["id"], slot)
        self.state.put("filled", today.isoformat(), {})

    def _made(self, starts_at: datetime, ends_at: datetime, capacity: int) -> Json:
        return {
            "id": f"{starts_at:%Y-%m-%d-%H%M}",
            "startsAt": starts_at.isoformat(),
            "endsAt": ends_at.isoformat(),
            "capacity": capacity,
            "area": self.config.municipality.city,
            "status": "OPEN",
            "version": 1,
        }

    def _shown(self, slot: Json) -> Json:
        """A slot that has begun takes no more bookings."""
        begun = slot["status"] == "OPEN" and datetime.fromisoformat(slot["startsAt"]) <= now()
        status = "CLOSED" if begun else slot["status"]
        return slot | {"taken": self.taken(slot), "status": status}

    def _check_room(self, slot: Json) -> None:
        shown = self._shown(slot)
        if shown["status"] != "OPEN":
            raise Problem(409, "slot-closed", "This slot takes no more bookings")
        if shown["taken"] >= shown["capacity"]:
            raise Problem(409, "slot-full", "This slot is full")

    def _fall_through(self, slot: Json) -> Json:
        if slot["status"] == "CANCELLED":
            raise Wrong("the slot is cancelled", 409)
        for booking in self.bookings_in(slot["id"]):
            if booking["status"] == "BOOKED":
                self.state.put("booking", booking["id"], booking | {"status": "SLOT_CANCELLED"})
        self.state.delete(_places(slot["id"]))
        slot = slot | {"status": "CANCELLED", "version": slot["version"] + 1}
        self.state.put("slot", slot["id"], slot)
        return slot

    def _driven(self, booking: Json, status: str) -> Json:
        if booking["status"] != "BOOKED":
            raise Wrong(f"the booking is {booking['status']}", 409)
        return booking | {"status": status, "version": booking["version"] + 1}


def _driving(today: date, weekdays: Collection[int]) -> Iterator[date]:
    """Of the coming weeks, from today on, without the holidays."""
    for days in range(WEEKS * 7 + 1):
        day = today + timedelta(days=days)
        if day.weekday() in weekdays and not is_holiday(day):
            yield day


def _check_times(starts_at: datetime, ends_at: datetime) -> None:
    if ends_at <= starts_at:
        raise Wrong("endsAt comes after startsAt")
    if is_holiday(starts_at.astimezone(BRUSSELS).date()):
        raise Wrong("the van does not drive on a public holiday", 409)


def _moment(order: Mapping[str, Any], name: str) -> datetime:
    try:
        found = datetime.fromisoformat(str(order[name]))
    except (KeyError, ValueError) as fault:
        raise Wrong(f"{name}: an instant such as 2026-12-04T08:00:00+01:00") from fault
    return (found if found.tzinfo else found.replace(tzinfo=BRUSSELS)).astimezone(BRUSSELS)


def _day(query: Mapping[str, str], name: str) -> date:
    try:
        return date.fromisoformat(query.get(name, ""))
    except ValueError as fault:
        raise Problem(400, "malformed", f"`{name}` must be a day: YYYY-MM-DD") from fault


def _days(query: Mapping[str, str]) -> tuple[date, date]:
    first, last = _day(query, "from"), _day(query, "to")
    if last < first or (last - first).days >= MOST_DAYS:
        raise Problem(400, "malformed", f"`to` lies 0 to {MOST_DAYS - 1} days after `from`")
    return first, last


def on(instant: str) -> date:
    """The day in Belgium."""
    return datetime.fromisoformat(instant).astimezone(BRUSSELS).date()


def _places(slot_id: str) -> str:
    """The kind under which the places of a slot are kept, so that they are counted without reading them."""
    return f"place:{slot_id}"


def _instant() -> str:
    return now().isoformat(timespec="seconds")
