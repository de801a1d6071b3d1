"""What the minutes package says, in our words: meetings, items, what became of them, why it refuses.

Read from the JSON of plonemeeting.restapi 2.x. What is not as it should be is left out, and only what nothing
can be done without makes an answer unreadable: another package's document must not stop our own work.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import orjson

from loket.errors import Declined, Failed, Unavailable
from loket.systems.calls import REASON_CHARACTERS, failure, json_object

SYSTEM = "minutes"
BRUSSELS = ZoneInfo("Europe/Brussels")
"""PloneMeeting writes the municipality's own clock, without an offset."""
LONGEST_REPR = 20_000
"""Characters of a message that are read as a list of Python."""

Json = dict[str, Any]


class Outcome(StrEnum):
    """What became of an item, in five words and one for all that is still on its way."""

    ACCEPTED = "ACCEPTED"
    MODIFIED = "MODIFIED"
    """Accepted with another text: a person reads what was decided."""
    REFUSED = "REFUSED"
    POSTPONED = "POSTPONED"
    """This item is over; a successor comes back at a later meeting."""
    REMOVED = "REMOVED"
    OPEN = "OPEN"


# fmt: off
OUTCOMES: Mapping[str, Outcome] = {
    # review_state of PloneMeeting's workflow and its adaptations
    "itemcreated":                         Outcome.OPEN,
    "proposed":                            Outcome.OPEN,
    "prevalidated":                        Outcome.OPEN,
    "validated":                           Outcome.OPEN,
    "presented":                           Outcome.OPEN,
    "itemfrozen":                          Outcome.OPEN,
    "itempublished":                       Outcome.OPEN,
    "returned_to_proposing_group":         Outcome.OPEN,
    "pre_accepted":                        Outcome.OPEN,
    "accepted":                            Outcome.ACCEPTED,
    "accepted_and_returned":               Outcome.ACCEPTED,
    "accepted_out_of_meeting":             Outcome.ACCEPTED,
    "accepted_out_of_meeting_emergency":   Outcome.ACCEPTED,
    "accepted_but_modified":               Outcome.MODIFIED,
    "refused":                             Outcome.REFUSED,
    "delayed":                             Outcome.POSTPONED,
    "postponed_next_meeting":              Outcome.POSTPONED,
    "transfered":                          Outcome.POSTPONED,
    "removed":                             Outcome.REMOVED,
    "marked_not_applicable":               Outcome.REMOVED,
}
# fmt: on


@dataclass(frozen=True)
class Judgement:
    """`note` is None unless a person should know that the package said something we do not know."""

    outcome: Outcome
    note: str | None = None


def judge(state: str) -> Judgement:
    """What a `review_state` means. One that we do not know leaves the item open, with a note."""
    if state in OUTCOMES:
        return Judgement(OUTCOMES[state])
    return Judgement(Outcome.OPEN, f"the minutes package says {state!r}, a state that Loket does not know")


@dataclass(frozen=True)
class Meeting:
    """`accepts_until` is None where the package keeps no deadline: then it says only that it is open now."""

    uid: str
    title: str
    at: datetime
    accepts_until: datetime | None
    state: str


@dataclass(frozen=True)
class NewAnnex:
    """A document that goes along with an item, closed: not for publication."""

    title: str
    filename: str
    content: bytes
    media_type: str


@dataclass(frozen=True)
class Annex:
    """A document of the package. `url` is for `Minutes.download` alone: it asks for our sign-in."""

    uid: str
    title: str
    filename: str
    media_type: str
    url: str
    signed: bool
    modified_at: datetime | None = None


@dataclass(frozen=True)
class Signatory:
    """Who signs, in the order of `number`; `signed_on` is None for as long as nothing was signed."""

    name: str
    function: str
    number: int
    signed_on: date | None = None


@dataclass(frozen=True)
class Successor:
    """The item in which a postponed one comes back."""

    uid: str
    state: str


@dataclass(frozen=True)
class Item:
    """An agenda item. `successors`, nearest first, is empty until it was postponed.

    `warnings` is what the package did not do of what was asked, and what we found strange: for a person.
    `closed` is None where the package does not say whether the item is for a closed session.
    """

    uid: str
    url: str
    title: str
    state: str
    external_identifier: str = ""
    meeting_uid: str | None = None
    meeting_at: datetime | None = None
    number: str = ""
    closed: bool | None = None
    motivation_html: str = ""
    decision_html: str = ""
    annexes: tuple[Annex, ...] = ()
    signatories: tuple[Signatory, ...] = ()
    successors: tuple[Successor, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        return judge(self.state).outcome

    @property
    def signed(self) -> Annex | None:
        """The signed decision, once it is there."""
        return next((annex for annex in self.annexes if annex.signed), None)


# --- reading ----------------------------------------------------------------------------------------------


def document(response: httpx2.Response) -> Json:
    """The body as a JSON object.

    Raises:
        Unavailable: it is not one; asking again is safe.
    """
    try:
        found = orjson.loads(response.content)
    except orjson.JSONDecodeError as wrong:
        raise _unreadable(f"not JSON: {wrong}") from wrong
    if not isinstance(found, dict):
        raise _unreadable("not a JSON object")
    return found


def meeting_of(found: Json) -> Meeting:
    """Raises `Unavailable` for a meeting without UID or date."""
    at = _at(found.get("date"))
    if at is None:
        raise _unreadable("a meeting without a date")
    deadlines = [_at(found.get(name)) for name in ("validation_deadline", "freeze_deadline")]
    return Meeting(
        uid=text(found, "UID", needed=True),
        title=text(found, "title"),
        at=at,
        accepts_until=min((one for one in deadlines if one is not None), default=None),
        state=token(found.get("review_state")),
    )


def item_of(found: Json) -> Item:
    """An item as `@item` gives it. Raises `Unavailable` for one without UID, address or state."""
    meeting = found.get("extra_include_meeting")
    meeting = meeting if isinstance(meeting, dict) else {}
    deliberation = found.get("extra_include_deliberation")
    deliberation = deliberation if isinstance(deliberation, dict) else {}
    annexes = tuple(annex for one in objects(found, "extra_include_annexes") if (annex := _annex(one)))
    state = token(found.get("review_state"))
    if not state:
        raise _unreadable("an item without review_state")
    note = judge(state).note
    return Item(
        uid=text(found, "UID", needed=True),
        url=text(found, "@id", needed=True),
        title=text(found, "title"),
        state=state,
        external_identifier=text(found, "externalIdentifier"),
        meeting_uid=text(meeting, "UID") or None,
        meeting_at=_at(meeting.get("date")),
        number=text(found, "formatted_itemNumber"),
        closed=_closed(found),
        motivation_html=_html(deliberation.get("deliberation_motivation", found.get("motivation"))),
        decision_html=_html(deliberation.get("deliberation_decision", found.get("decision"))),
        annexes=annexes,
        signatories=_signatories(found, annexes),
        successors=tuple(
            Successor(uid, token(one.get("review_state")))
            for one in objects(found, "extra_include_linked_items")
            if (uid := text(one, "UID"))
        ),
        warnings=() if note is None else (note,),
    )


def warnings_of(found: Json) -> tuple[str, ...]:
    """What a success (201) says that it did not do."""
    listed = found.get("@warnings")
    return tuple(str(one)[:REASON_CHARACTERS] for one in listed) if isinstance(listed, list) else ()


def refusal(response: httpx2.Response) -> Failed:
    """A failure in the package's own words: bare, inside `error`, or a list as Python writes it."""
    said = json_object(response)
    error = said.get("error")
    said = error if isinstance(error, dict) else said
    failed = failure(SYSTEM, response)
    message = text(said, "message")
    if not message:
        return failed
    told = f"{text(said, 'type')}: {_spelled_out(message)}".removeprefix(": ")
    reason = f"HTTP {response.status_code}: {told[:REASON_CHARACTERS]}"
    if isinstance(failed, Unavailable):
        seconds = failed.retry_after_seconds
        return Unavailable(SYSTEM, reason, http_status=failed.http_status, retry_after_seconds=seconds)
    return Declined(SYSTEM, reason, http_status=failed.http_status)


def text(found: Json, name: str, *, needed: bool = False) -> str:
    """A text; empty when it is missing or something else. Raises `Unavailable` when it is `needed`."""
    value = found.get(name)
    value = value if isinstance(value, str) else ""
    if needed and not value:
        raise _unreadable(f"{name} is missing")
    return value


def objects(found: Json, name: str, *, needed: bool = False) -> list[Json]:
    """The objects of a list; none when it is missing. Raises `Unavailable` when the list is `needed`."""
    value = found.get(name)
    if needed and not isinstance(value, list):
        raise _unreadable(f"{name} is missing")
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def token(value: object) -> str:
    """A term's own word: the package writes it bare, or as {token, title}."""
    if isinstance(value, dict):
        value = value.get("token")
    return value if isinstance(value, str) else ""


def _title(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("title") or value.get("token")
    return value if isinstance(value, str) else ""


def _html(value: object) -> str:
    """Rich text: bare, or as {content-type, data}."""
    if isinstance(value, dict):
        value = value.get("data")
    return value if isinstance(value, str) else ""


def _closed(found: Json) -> bool | None:
    privacy = token(found.get("privacy"))
    return privacy.startswith("secret") if privacy else None


def _annex(found: Json) -> Annex | None:
    """None for one that is not there to be read: an entry without its file."""
    file = found.get("file")
    if not isinstance(file, dict) or not text(file, "download") or not text(found, "UID"):
        return None
    return Annex(
        uid=text(found, "UID"),
        title=text(found, "title"),
        filename=text(file, "filename"),
        media_type=text(file, "content-type"),
        url=text(file, "download"),
        signed=found.get("signed") is True,
        modified_at=_at(found.get("modified")),
    )


def _signatories(found: Json, annexes: tuple[Annex, ...]) -> tuple[Signatory, ...]:
    signed = next((annex for annex in annexes if annex.signed), None)
    changed_at = signed.modified_at if signed else None
    changed_on = changed_at.astimezone(BRUSSELS).date() if changed_at else None
    listed = [
        Signatory(
            name=_title(one.get("title")),
            function=_title(one.get("signatory_position_type")),
            number=int(number),
            signed_on=(_on(one.get("signed_on")) or changed_on) if signed else None,
        )
        for one in objects(found, "extra_include_attendees")
        if (number := str(one.get("signatory") or "")).isascii() and number.isdigit() and len(number) < 4
    ]
    return tuple(sorted(listed, key=lambda one: one.number))


def _at(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if found is None else found.replace(tzinfo=found.tzinfo or BRUSSELS).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _on(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _spelled_out(message: str) -> str:
    """A list of faults that was written down as Python writes it: `[{'field': 'title', 'message': u'…'}]`."""
    if not message.startswith("[") or len(message) > LONGEST_REPR:
        return message
    try:
        faults = ast.literal_eval(message)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return message
    return "; ".join(
        ": ".join(str(one[name]) for name in ("field", "message") if one.get(name))
        if isinstance(one, dict)
        else str(one)
        for one in faults
    )


def _unreadable(reason: str) -> Unavailable:
    return Unavailable(SYSTEM, f"unreadable answer: {reason}")
