"""Is something said of what can happen, and nothing of what cannot: in texts, DOSIS rows, phases?"""

from collections.abc import Mapping

from loket.definition import Definition
from loket.lifecycle import EFFECT_EVENTS, EventType, StageOrderError
from loket.proofreading.findings import Checklist, Found, Place, must_name
from loket.proofreading.happenings import needed_by, possible

EVENTS = Checklist()
_PARTS = (
    *("stages", "decision", "payment", "information", "catalogue", "benefits", "checks", "advisers"),
    *("co_applicant", "validity", "renewal"),
)
"""What decides which events a procedure can have."""


def _possible(definition: Definition) -> frozenset[EventType]:
    """All, where the stages make no sense: that is said already."""
    try:
        return possible(definition)
    except StageOrderError:
        return frozenset(EventType)


@EVENTS.reads(*_PARTS, "texts", "dosis", "phases")
def _never(definition: Definition) -> Found:
    named: list[tuple[Place, EventType]] = [
        *((("texts", "messages", event), event) for event in definition.texts.messages),
        *((("dosis", event), event) for event in definition.dosis),
    ]
    for index, phase in enumerate(definition.phases):
        named += [(("phases", index, "events", at), event) for at, event in enumerate(phase.events)]
    there = _possible(definition)
    for place, event in named:
        if event in EFFECT_EVENTS:
            yield place, f"{event} is about other systems: nobody is told of it"
        elif event not in there:
            yield place, f"{event} never happens in this procedure: it needs {needed_by(event)}"


E = EventType
_TOLD: Mapping[EventType, tuple[str, ...]] = {
    E.INFORMATION_REQUESTED: ("question", "answer_by"),
    E.INFORMATION_REMINDED: ("answer_by",),
    E.APPROVED: (),
    E.PAYMENT_DUE: ("amount", "due_on", "iban", "structured_reference"),
    E.SLOT_NEEDED: ("choose_by",),
    E.SLOT_REMINDED: ("choose_by",),
    E.PLANNED: ("slot",),
    E.SLOT_MOVED: ("slot",),
    E.SLOT_LOST: ("choose_by",),
    E.MISSED: ("choose_by",),
    E.CANCELLED: ("reason",),
}
"""Where the applicant must act, or must be told what was done without them: what the text must name."""


@EVENTS.reads(*_PARTS, "texts")
def _untold(definition: Definition) -> Found:
    messages, there = definition.texts.messages, _possible(definition)
    for event, names in _TOLD.items():
        if event not in there:
            continue
        if event in messages:
            yield from must_name(messages[event].body, ("texts", "messages", event, "body"), names)
        else:
            yield ("texts", "messages"), f"{event} has no message: the applicant must be told"


@EVENTS.reads("texts")
def _together(definition: Definition) -> Found:
    """A message joins another, or takes its place: never itself, never both, never in a circle."""
    messages = definition.texts.messages
    for event, message in messages.items():
        place: Place = ("texts", "messages", event)
        for word in ("joins", "replaces"):
            for number, other in enumerate(getattr(message, word)):
                there = (*place, word, number)
                if other is event:
                    yield there, f"{event} cannot go together with itself"
                elif word == "replaces" and other in message.joins:
                    yield there, f"{event} joins {other} already: it cannot take its place as well"
                elif word == "replaces" and other in messages and event in messages[other].replaces:
                    yield there, f"{event} and {other} take each other's place: none would be sent"
        if message.joined_subject is not None and not message.joins:
            yield (*place, "joined_subject"), "it is added to no other message (joins: …)"
