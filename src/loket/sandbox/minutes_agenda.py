"""The secretariat's own book: which body meets when, what is on its agenda, what it decided, who signed.

Meetings come by themselves, in the rhythm of `BODIES`; some days before, an agenda closes and takes no more
items. States and transitions are those of PloneMeeting's workflow.
"""

import base64
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from loket.sandbox.belgian_days import BRUSSELS, at, is_holiday
from loket.sandbox.minutes_pdf import paragraphs, pdf
from loket.sandbox.orders import Wrong
from loket.sandbox.state import State, now

WEEKS = 10
"""How far ahead the calendar is filled."""
MONDAY, TUESDAY, THURSDAY = 0, 1, 3

Json = dict[str, Any]


@dataclass(frozen=True)
class Body:
    """`sits` says on which days; `closes` is how long before a meeting its agenda takes no more items."""

    key: str
    config_id: str
    title: str
    sits: Callable[[date], bool]
    hour: time
    closes: timedelta
    chair: tuple[str, str]
    """Name and function of the first signatory; the general director is the second."""


def _third_tuesday(day: date) -> bool:
    return day.weekday() == TUESDAY and 15 <= day.day <= 21


MAYOR = ("Leen Verhaegen", "burgemeester")
DIRECTOR = ("Joris Van den Broeck", "algemeen directeur")
# fmt: off
BODIES = (
    Body("COLLEGE", "meeting-config-college", "College van burgemeester en schepenen",
         lambda day: day.weekday() == MONDAY, time(14), timedelta(days=3, hours=2), MAYOR),
    Body("VAST_BUREAU", "meeting-config-vast-bureau", "Vast bureau",
         lambda day: day.weekday() == MONDAY, time(16), timedelta(days=3, hours=4), MAYOR),
    Body("BCSD", "meeting-config-bcsd", "Bijzonder comité voor de sociale dienst",
         lambda day: day.weekday() == THURSDAY and day.toordinal() // 7 % 2 == 0,
         time(18), timedelta(days=5, hours=6), ("Nadia El Amrani", "voorzitter")),
    Body("COUNCIL", "meeting-config-council", "Gemeenteraad",
         _third_tuesday, time(20), timedelta(days=10, hours=8), ("Bart Claes", "voorzitter")),
    Body("RMW", "meeting-config-rmw", "Raad voor maatschappelijk welzijn",
         _third_tuesday, time(21, 30), timedelta(days=10, hours=9, minutes=30), ("Bart Claes", "voorzitter")),
)

TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    "itemcreated":  {"propose": "proposed"},
    "proposed":     {"validate": "validated", "backToItemCreated": "itemcreated"},
    "validated":    {"present": "presented", "backToProposed": "proposed"},
    "presented":    {"backToValidated": "validated"},
}
"""What the user of the API may do; from a closed agenda only the secretariat takes an item."""

RESULTS: Mapping[str, str] = {
    # what the body decides → what our contract calls it; empty: nothing is told yet
    "accepted":                     "ACCEPTED",
    "accepted_but_modified":        "MODIFIED",
    "refused":                      "REFUSED",
    "delayed":                      "POSTPONED",
    "postponed_next_meeting":       "POSTPONED",
    "removed":                      "REMOVED",
    "marked_not_applicable":        "REMOVED",
    "pre_accepted":                 "",
    "returned_to_proposing_group":  "",
}
# fmt: on
BEFORE_THE_BODY = ("presented", "itemfrozen", "itempublished", "pre_accepted", "returned_to_proposing_group")
SIGNED_STATES = ("accepted", "accepted_but_modified", "refused")
COPIED = ("config_id", "title", "proposingGroup", "motivation", "decision", "category", "privacy")
"""What a successor takes along. Its external identifier is no part of that, in PloneMeeting neither."""


class Agenda:
    """Meetings, items and annexes of all bodies, kept in the system's state."""

    def __init__(self, state: State) -> None:
        self._state = state

    # Meetings ----------------------------------------------------------------------------------------

    def meetings(self, config_id: str | None = None) -> list[Json]:
        """All meetings, earliest first; the coming weeks are filled in. `state` is that of this moment."""
        self._fill()
        found = [
            _as_of_now(one) for one in self._state.all("meeting") if config_id in (None, one["config_id"])
        ]
        return sorted(found, key=lambda one: (one["date"], one["UID"]))

    def meeting(self, uid: str) -> Json | None:
        self._fill()
        found = self._state.get("meeting", uid)
        return None if found is None else _as_of_now(found)

    def convene(self, config_id: str, starts_at: datetime) -> Json:
        """A meeting out of the rhythm, open until it begins. Raises `Wrong`."""
        body = body_of(config_id)
        if body is None:
            raise Wrong(f"no body {config_id}", 404)
        meeting = _meeting(body, starts_at, starts_at)
        if not self._state.add("meeting", meeting["UID"], meeting):
            raise Wrong("there is such a meeting", 409)
        return _as_of_now(meeting)

    def freeze(self, meeting: Json) -> Json:
        """Close the agenda before its time. Raises `Wrong`."""
        if meeting["state"] == "decided":
            raise Wrong("the meeting was held", 409)
        return self._put_meeting(meeting | {"state": "frozen"})

    def on(self, meeting: Json) -> list[Json]:
        """The agenda, in its order."""
        ever = {one["UID"]: one for one in self._state.listed("agenda", meeting["UID"], "item")}
        found = [self._as_of_now(one) for one in ever.values() if one["meeting"] == meeting["UID"]]
        return sorted(found, key=lambda one: one["number"])

    # Items -------------------------------------------------------------------------------------------

    def items(self) -> list[Json]:
        """Oldest first."""
        return [self._as_of_now(one) for one in self._state.all("item")]

    def item(self, uid: str) -> Json | None:
        found = self._state.get("item", uid)
        return None if found is None else self._as_of_now(found)

    def named(self, external_identifier: str) -> list[Json]:
        """The items that carry an external identifier, oldest first."""
        found = self._state.listed("identifier", external_identifier, "item")
        return [self._as_of_now(one) for one in found]

    def add(self, fields: Mapping[str, Any]) -> Json:
        """A new item, a draft still."""
        uid = uuid.uuid4().hex
        item: Json = {
            "UID": uid,
            "title": "",
            "externalIdentifier": "",
            "motivation": "",
            "decision": "",
            "category": "",
            "privacy": "public",
            "preferredMeeting": "whatever",
            "predecessor": None,
            **fields,
            "state": "itemcreated",
            "meeting": None,
            "number": 0,
            "annexes": [],
            "signatures": [],
            "created": stamp(),
            "modified": stamp(),
        }
        self._state.put("item", uid, item)
        if item["externalIdentifier"]:
            self._state.list_under("identifier", item["externalIdentifier"], uid)
        return item

    def offered(self, item: Json) -> list[str]:
        """The transitions that the user of the API can take now."""
        found = list(TRANSITIONS.get(item["state"], {}))
        if "present" in found and self._meeting_for(item) is None:
            found.remove("present")
        return found

    def go(self, item: Json, transition: str) -> Json:
        """Take a transition that is offered."""
        item = item | {"state": TRANSITIONS[item["state"]][transition]}
        if transition == "present":
            meeting = self._meeting_for(item)
            assert meeting is not None
            last = max((one["number"] for one in self.on(meeting)), default=0)
            item |= {"meeting": meeting["UID"], "number": last + 1}
            self._state.list_under("agenda", meeting["UID"], item["UID"])
        elif transition == "backToValidated":
            item |= {"meeting": None, "number": 0}
        return self._put(item)

    def delete(self, item: Json) -> None:
        self._state.delete("item", item["UID"])

    def present(self, item: Json) -> Json:
        """Bring a draft, a successor for instance, on the next agenda. Raises `Wrong`."""
        for transition in ("propose", "validate", "present"):
            if transition in self.offered(item):
                item = self.go(item, transition)
        if item["state"] != "presented":
            raise Wrong(f"the item is {item['state']}, and no meeting takes it", 409)
        return item

    def annexes(self, item: Json) -> list[Json]:
        return [found for uid in item["annexes"] if (found := self._state.get("annex", uid)) is not None]

    def annex(self, uid: str) -> Json | None:
        return self._state.get("annex", uid)

    def add_annex(self, item: Json, fields: Mapping[str, Any]) -> tuple[Json, Json]:
        """The annex, and the item with it. `data` is base64."""
        uid = uuid.uuid4().hex
        annex: Json = {
            "UID": uid,
            "item": item["UID"],
            "type": "annex",
            "confidential": False,
            "to_sign": False,
            "signed": False,
            **fields,
            "modified": stamp(),
        }
        self._state.put("annex", uid, annex)
        return annex, self._put(item | {"annexes": [*item["annexes"], uid]})

    def successors(self, item: Json) -> list[Json]:
        """The item in which this one came back, then that one's, to the last."""
        found: list[Json] = []
        while (after := self._state.get("successor", (found or [item])[-1]["UID"])) is not None:
            if (one := self.item(after["UID"])) is None:
                break
            found.append(one)
        return found

    # The meeting itself ------------------------------------------------------------------------------

    def hold(self, meeting: Json, *, at_once: bool) -> Json:
        """The meeting sits: what it does not decide is still before it. `at_once`: now, not on its day."""
        if at_once:
            meeting = meeting | {"date": _minute(now().astimezone(BRUSSELS)), "closes": _minute(now())}
        return self._put_meeting(meeting | {"state": "decided"})

    def decide(self, item: Json, result: str, order: Mapping[str, Any]) -> Json:
        """What the body decides of one item. Raises `Wrong`."""
        if result not in RESULTS:
            raise Wrong(f"result: one of {', '.join(RESULTS)}")
        if item["state"] not in BEFORE_THE_BODY or item["state"] == result:
            raise Wrong(f"the item is {item['state']}", 409)
        text = {name: str(order[name]) for name in ("decision", "motivation") if order.get(name)}
        if result == "accepted_but_modified" and not text:
            raise Wrong("accepted_but_modified: with another decision or motivation")
        if result == "delayed":
            self._copied(item)
        elif result == "postponed_next_meeting":
            copy = self._copied(item)
            for transition in ("propose", "validate"):
                copy = self.go(copy, transition)
        return self._put(item | text | {"state": result})

    def sign(self, item: Json, signatories: Sequence[Mapping[str, str]], on: date) -> Json:
        """The chair and the director sign; the signed document comes with the item. Raises `Wrong`."""
        if item["state"] not in SIGNED_STATES:
            raise Wrong(f"an item that is {item['state']} is not signed", 409)
        if item["signatures"]:
            raise Wrong("signed before", 409)
        signatures = [dict(one) | {"signed_on": on.isoformat()} for one in signatories]
        meeting = self.meeting(item["meeting"])
        body = body_of(item["config_id"])
        assert meeting is not None
        assert body is not None
        sits = datetime.fromisoformat(meeting["date"])
        content = pdf(
            item["title"],
            [
                f"{body.title} - zitting van {sits:%d/%m/%Y} om {sits:%H.%M} uur",
                item["title"],
                *paragraphs(item["motivation"]),
                *paragraphs(item["decision"]),
                *(f"Getekend op {on:%d/%m/%Y}: {one['name']}, {one['function']}" for one in signatures),
            ],
        )
        fields = {
            "title": "Ondertekend besluit",
            "type": "annexDecision",
            "content_category": "decision-annex",
            "filename": f"besluit-{item['UID'][:8]}.pdf",
            "content-type": "application/pdf",
            "data": base64.b64encode(content).decode("ascii"),
            "to_sign": True,
            "signed": True,
        }
        _, item = self.add_annex(item, fields)
        return self._put(item | {"signatures": signatures})

    def signatories(self, item: Json) -> list[dict[str, str]]:
        """Who signs or signed, in order."""
        body = body_of(item["config_id"])
        assert body is not None
        return item["signatures"] or [
            {"name": name, "function": function} for name, function in (body.chair, DIRECTOR)
        ]

    # Below -------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        today = now().astimezone(BRUSSELS).date()
        if self._state.get("filled", today.isoformat()) is not None:
            return
        for body in BODIES:
            for day in _days(body, today):
                meeting = _meeting(body, at(day, body.hour), at(day, body.hour) - body.closes)
                self._state.add("meeting", meeting["UID"], meeting)
        self._state.put("filled", today.isoformat(), {})

    def _meeting_for(self, item: Json) -> Json | None:
        """The preferred meeting while it takes items, else the first that does."""
        open_ = [one for one in self.meetings(item["config_id"]) if one["state"] == "created"]
        preferred = [one for one in open_ if one["UID"] == item["preferredMeeting"]]
        return next(iter(preferred or open_), None)

    def _copied(self, item: Json) -> Json:
        copy = self.add({name: item[name] for name in COPIED} | {"predecessor": item["UID"]})
        self._state.put("successor", item["UID"], {"UID": copy["UID"]})
        for annex in self.annexes(item):
            _, copy = self.add_annex(
                copy, {k: v for k, v in annex.items() if k not in ("UID", "item", "modified")}
            )
        return copy

    def _as_of_now(self, item: Json) -> Json:
        """What was presented is frozen with its agenda, and published when the meeting is held."""
        meeting = self.meeting(item["meeting"]) if item["state"] == "presented" else None
        if meeting is None:
            return item
        state = {"created": "presented", "frozen": "itemfrozen", "decided": "itempublished"}[meeting["state"]]
        return item | {"state": state}

    def _put(self, item: Json) -> Json:
        item = item | {"modified": stamp()}
        self._state.put("item", item["UID"], item)
        return item

    def _put_meeting(self, meeting: Json) -> Json:
        self._state.put("meeting", meeting["UID"], meeting)
        return meeting


def body_of(config_id: str) -> Body | None:
    """By the package's name for it, or by ours."""
    return next((one for one in BODIES if config_id in (one.config_id, one.key)), None)


def stamp() -> str:
    """The present instant as Plone writes it."""
    return now().isoformat(timespec="microseconds")


def _days(body: Body, today: date) -> Iterator[date]:
    for days in range(WEEKS * 7 + 1):
        day = today + timedelta(days=days)
        if body.sits(day) and not is_holiday(day):
            yield day


def _meeting(body: Body, starts_at: datetime, closes_at: datetime) -> Json:
    local = _minute(starts_at.astimezone(BRUSSELS))
    return {
        "UID": uuid.uuid5(uuid.NAMESPACE_URL, f"{body.config_id}/{local}").hex,
        "config_id": body.config_id,
        "date": local,
        "closes": _minute(closes_at),
        "state": "created",
    }


def _minute(moment: datetime) -> str:
    """The clock in Brussels without an offset, as PloneMeeting writes it."""
    return moment.astimezone(BRUSSELS).replace(tzinfo=None, second=0, microsecond=0).isoformat()


def _as_of_now(meeting: Json) -> Json:
    closes_at = datetime.fromisoformat(meeting["closes"]).replace(tzinfo=BRUSSELS)
    if meeting["state"] == "created" and closes_at <= now():
        return meeting | {"state": "frozen"}
    return meeting
