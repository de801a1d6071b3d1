"""Does it make sense what goes on after a case is completed: how long it holds, whether it is asked again?"""

from collections.abc import Iterable

from loket.definition import Definition, Renewal, Text, Validity
from loket.lifecycle import EventType, Stage
from loket.proofreading.findings import Checklist, Found, Place, must_name
from loket.proofreading.form import field

AFTER = Checklist()
E = EventType

# fmt: off
_LAST_WORD: dict[Stage, frozenset[EventType]] = {
    Stage.SCREENING:  frozenset({E.ADMISSIBLE}),
    Stage.ASSESSMENT: frozenset(),
    Stage.DECISION:   frozenset({E.APPROVED, E.PARTLY_APPROVED, E.LETTER_SENT}),
    Stage.PAYMENT:    frozenset({E.PAID, E.HANDED_OVER}),
    Stage.PLANNING:   frozenset({E.PLANNED}),
    Stage.DELIVERY:   frozenset({E.DELIVERED}),
    Stage.PAYOUT:     frozenset({E.PAID_OUT}),
}
# fmt: on
"""With which events a case is completed in the same moment, when that stage is its last."""
GOES_ON = frozenset({E.VALIDITY_ENDING, E.VALIDITY_ENDED, E.RENEWAL_OFFERED})
"""What happens to a completed case, and is shown."""


# --- how long it holds ------------------------------------------------------------------------


@AFTER.reads("validity", "form")
def _validity(definition: Definition) -> Found:
    validity = definition.validity
    if validity is None:
        return
    ends = [
        name for name in ("until_field", "days", "months", "until") if getattr(validity, name) is not None
    ]
    if len(ends) != 1:
        said = " and ".join(ends) or "nothing"
        yield ("validity",), f"it ends by one of until_field, days, months and until, not by {said}"
    yield from _days_of_form(validity, definition)
    if len(set(validity.reminder_days)) < len(validity.reminder_days):
        yield ("validity", "reminder_days"), "each day once"
    for index, days in enumerate(validity.reminder_days):
        if validity.days is not None and days >= validity.days:
            yield ("validity", "reminder_days", index), "the reminder comes before it holds"


def _days_of_form(validity: Validity, definition: Definition) -> Found:
    for word in ("from_field", "until_field"):
        pointer: str | None = getattr(validity, word)
        if pointer is None:
            continue
        place: Place = ("validity", word)
        found = field(definition.form.json_schema, pointer)
        if found is None:
            yield place, f"the form has no field {pointer}"
        elif found.get("format") != "date":
            yield place, f"the field {pointer} must have the format 'date'"


# --- whether it is wanted again ---------------------------------------------------------------


@AFTER.reads("renewal", "validity", "form")
def _renewal(definition: Definition) -> Found:
    renewal, validity = definition.renewal, definition.validity
    if renewal is None:
        return
    if (renewal.before_end_days is None) is (renewal.after_months is None):
        yield ("renewal",), "it is asked by one of before_end_days and after_months"
    if renewal.before_end_days is not None and validity is None:
        yield ("renewal", "before_end_days"), "before the end of what? the part 'validity' is missing"
    length = validity.days if validity is not None else None
    if length is not None and (renewal.before_end_days or 0) >= length:
        yield ("renewal", "before_end_days"), "it would be asked again before it holds"
    yield from _kept(renewal, definition)


def _kept(renewal: Renewal, definition: Definition) -> Found:
    validity = definition.validity
    anew = {one.field: "it is filled in from a source" for one in definition.form.prefill}
    if validity is not None:
        days = (validity.from_field, validity.until_field)
        anew |= {one: "it is asked for another time" for one in days if one}
    for index, pointer in enumerate(renewal.keep):
        place: Place = ("renewal", "keep", index)
        if field(definition.form.json_schema, pointer) is None:
            yield place, f"the form has no field {pointer}"
        elif pointer in anew:
            yield place, f"{pointer} is never taken over: {anew[pointer]}"


# --- what is said of it -----------------------------------------------------------------------


@AFTER.reads("texts", "validity", "renewal")
def _told(definition: Definition) -> Found:
    messages, base = definition.texts.messages, ("texts", "messages")
    validity, renewal = definition.validity, definition.renewal
    if validity is not None and validity.reminder_days and E.VALIDITY_ENDING not in messages:
        yield base, "VALIDITY_ENDING has no message: of what is somebody reminded?"
    if renewal is not None and E.RENEWAL_OFFERED not in messages:
        yield base, "RENEWAL_OFFERED has no message: nobody would know of the draft"
    elif renewal is not None:
        message = messages[E.RENEWAL_OFFERED]
        if message.button is None or message.button.link != "link_draft":
            yield from must_name(message.body, (*base, E.RENEWAL_OFFERED, "body"), ("link_draft",))
    if E.VALIDITY_ENDING in messages and validity is not None:
        place = (*base, E.VALIDITY_ENDING, "body")
        yield from must_name(messages[E.VALIDITY_ENDING].body, place, ("valid_until",))


@AFTER.reads("dosis")
def _shown(definition: Definition) -> Found:
    for event, row in definition.dosis.items():
        if event in GOES_ON and row.phase != "Afgerond":
            yield ("dosis", event, "phase"), f"with {event} the case is completed: its phase is 'Afgerond'"


@AFTER.reads("texts", "dosis", "validity", "stages")
def _named(definition: Definition) -> Found:
    """{valid_from} and {valid_until} have a value from the completion on, {link_draft} with the draft."""
    holds = frozenset({E.COMPLETED}) | GOES_ON
    holds |= _LAST_WORD.get(definition.stages[-1], frozenset()) if definition.stages else frozenset()
    known = {
        "valid_from": holds if definition.validity is not None else frozenset(),
        "valid_until": holds if definition.validity is not None else frozenset(),
        "link_draft": frozenset({E.RENEWAL_OFFERED}),
    }
    for event, message in definition.texts.messages.items():
        place: Place = ("texts", "messages", event)
        for name, events in known.items():
            if event not in events:
                yield from _unsaid(message.body, (*place, "body"), event, name)
                yield from _unsaid(message.sms, (*place, "sms"), event, name)
        link = message.button.link if message.button else None
        if link == "link_draft" and event is not E.RENEWAL_OFFERED:
            yield (*place, "button"), f"'link_draft' leads nowhere with {event}"
    for event, row in definition.dosis.items():
        for name, events in known.items():
            for word in ("action", "detail") if event not in events else ():
                text: Text | None = getattr(row, word)
                if text is not None:
                    yield from _unsaid(text, ("dosis", event, word), event, name)


def _unsaid(text: Text, place: Place, event: EventType, name: str) -> Iterable[tuple[Place, str]]:
    for language, one in text.languages().items():
        if f"{{{name}}}" in one:
            yield place, f"{{{name}}} has no value with {event} ({language}): this would never be said"
