"""What the desk shows of the planning tool: the calendar, and under each slot the van's list."""

from datetime import datetime, timedelta

from markupsafe import Markup

from loket.sandbox.belgian_days import BRUSSELS
from loket.sandbox.callbacks import callbacks_table
from loket.sandbox.contract import Json
from loket.sandbox.page import button, fold, join, table, tag
from loket.sandbox.planning_calendar import CAPACITY, Calendar, on
from loket.sandbox.state import State, now
from loket.sandbox.system import Config

WEEKDAYS = ("maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag", "zondag")


def section(config: Config, state: State) -> Markup:
    """The calendar; under each slot that has bookings, the van's list."""
    url, calendar = config.url("planning"), Calendar(config, state)
    yesterday = now().astimezone(BRUSSELS).date() - timedelta(days=1)
    parts = []
    for slot in calendar.slots():
        bookings = calendar.bookings_in(slot["id"])
        if on(slot["startsAt"]) < yesterday and not any(one["status"] == "BOOKED" for one in bookings):
            continue
        colour = {"OPEN": "good", "CLOSED": "wait"}.get(slot["status"], "bad")
        heading = Markup("{} {} {} van {}").format(
            _spoken(slot), tag(slot["status"], colour), len(bookings), slot["capacity"]
        )
        parts.append(_unfolded(heading, join([_slot_orders(url, slot), _van(url, bookings)]), bookings))
    more = fold("Slot toevoegen", _new_slot(url))
    return join([*parts, more, fold("Meldingen aan Loket", callbacks_table(state, url))])


def _unfolded(heading: Markup, body: Markup, bookings: list[Json]) -> Markup:
    """Open where there is work."""
    opened = Markup(" open") if any(one["status"] == "BOOKED" for one in bookings) else Markup("")
    return Markup("<details{}><summary>{}</summary>{}</details>").format(opened, heading, body)


def _new_slot(url: str) -> Markup:
    """The van can drive on any day, for who wants it on another one."""
    return Markup(
        '<form method="post" action="{}/sim/slots" class="inline">'
        '<label>Van <input type="datetime-local" name="startsAt" required></label>'
        '<label>tot <input type="datetime-local" name="endsAt" required></label>'
        '<label>adressen <input type="number" name="capacity" min="1" value="{}"></label>'
        '<button class="quiet">Voeg toe</button></form>'
    ).format(url, CAPACITY)


def _slot_orders(url: str, slot: Json) -> Markup:
    if slot["status"] == "CANCELLED":
        return Markup("")
    later = timedelta(hours=5)
    moved = {
        name: (datetime.fromisoformat(slot[name]) + later).isoformat() for name in ("startsAt", "endsAt")
    }
    path = f"{url}/sim/slots/{slot['id']}"
    return join(
        [
            button(f"{path}/move", "Naar de namiddag", moved, kind="quiet"),
            button(f"{path}/cancel", "Slot afgelasten", kind="danger"),
            button(f"{url}/sim/days/{on(slot['startsAt'])}/cancel", "Dag afgelasten", kind="danger"),
        ]
    )


def _van(url: str, bookings: list[Json]) -> Markup:
    rows = []
    for one in bookings:
        address = one["address"]
        path = f"{url}/sim/bookings/{one['id']}"
        doing = (
            [button(f"{path}/confirm", "Geleverd"), button(f"{path}/miss", "Niemand thuis", kind="quiet")]
            if one["status"] == "BOOKED"
            else [tag(one["status"], "good" if one["status"] == "DELIVERED" else "bad")]
        )
        rows.append(
            (
                one["reference"],
                one["contact"]["name"],
                f"{address['street']} {address.get('houseNumber', '')} {address.get('boxNumber', '')}, "
                f"{address['postalCode']} {address['municipality']}",
                one["contact"].get("phone"),
                ", ".join(f"{item['quantity']} × {item['description']}" for item in one["items"]),
                join(doing),
            )
        )
    return table(["Zaak", "Naam", "Adres", "Telefoon", "Leveren", ""], rows, empty="Geen leveringen.")


def _spoken(slot: Json) -> str:
    begin, end = (datetime.fromisoformat(slot[name]).astimezone(BRUSSELS) for name in ("startsAt", "endsAt"))
    return f"{WEEKDAYS[begin.weekday()]} {begin:%d/%m/%Y %H:%M}–{end:%H:%M}"
