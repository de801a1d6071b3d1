"""Does a procedure make sense as a whole? What the shape alone cannot say, checked before it is published.

Each check names the parts that it reads and runs when those have the right shape; it yields where something
is wrong and why. No I/O.
"""

from collections import Counter
from collections.abc import Iterator

from loket.definition import (
    ALWAYS,
    DOSIS_CODES,
    DOSIS_PHASES,
    PLACEHOLDERS,
    Definition,
    Message,
    Rule,
)
from loket.lifecycle import FINAL, EventType, Stage
from loket.proofreading.after import AFTER, GOES_ON
from loket.proofreading.events import EVENTS
from loket.proofreading.factcheck import constant, faults_of
from loket.proofreading.findings import Checklist, Found, Place, listed, must_name, placeholders
from loket.proofreading.form import FORM, no_schema
from loket.proofreading.grant import GRANT, names_of
from loket.proofreading.people import PEOPLE
from loket.proofreading.sale import SALE
from loket.proofreading.stages import STAGES

_MAIN = Checklist()


def proofread(definition: Definition, sections: frozenset[str]) -> Found:
    """Everything that is wrong in the parts named in `sections`."""
    unreadable = list(no_schema(definition)) if "form" in sections else []
    yield from unreadable
    if unreadable:
        sections -= {"form"}
    for checklist in (STAGES, SALE, _MAIN, FORM, GRANT, PEOPLE, AFTER, EVENTS):
        for needs, check in checklist.checks:
            if needs <= sections:
                yield from check(definition)


# --- rules ------------------------------------------------------------------------------------


@_MAIN.reads(
    *("rules", "form", "catalogue", "tables", "checks", "advisers", "benefits"),
    *("co_applicant", "duplicates", "documents"),
)
def _rules(definition: Definition) -> Found:
    names = names_of(definition)
    groups = {"screening": definition.rules.screening, "approval": definition.rules.approval}
    keys = Counter(rule.key for rules in groups.values() for rule in rules)
    for group, rules in groups.items():
        for index, rule in enumerate(rules):
            place: Place = ("rules", group, index)
            if keys[rule.key] > 1:
                yield (*place, "key"), f"the rule '{rule.key}' stands {keys[rule.key]} times"
            faults = faults_of(rule, definition.form.json_schema, names)
            for reason in faults or _asks_nothing(rule, alone=len(rules) == 1):
                yield (*place, "when"), reason
            for word in ("message", "fact", "legal"):
                yield from placeholders(getattr(rule, word), (*place, word), ALWAYS)


def _asks_nothing(rule: Rule, *, alone: bool) -> Iterator[str]:
    """A rule alone may let everybody through: some rule there must be."""
    said = constant(rule.when)
    if said is False:
        yield "reads no fact: nobody ever meets it"
    elif said is True and not alone:
        yield "reads no fact: everybody meets it, so it asks nothing"


# --- texts ------------------------------------------------------------------------------------

_MOTIVATED: dict[EventType, Stage] = {
    EventType.INADMISSIBLE: Stage.SCREENING,
    EventType.REJECTED: Stage.DECISION,
}
"""Acts that must be motivated in fact and in law (wet 29 juli 1991), where their stage is there."""


@_MAIN.reads("texts", "stages", "decision")
def _texts(definition: Definition) -> Found:
    texts = definition.texts
    yield from placeholders(texts.salutation, ("texts", "salutation"), ALWAYS)
    yield from placeholders(texts.sms_opening, ("texts", "sms_opening"), ALWAYS)
    yield from placeholders(texts.closing, ("texts", "closing"), ALWAYS)
    for event, message in texts.messages.items():
        yield from _message(message, ("texts", "messages", event), definition)
    if EventType.SUBMITTED not in texts.messages:
        yield ("texts", "messages"), "SUBMITTED has no message: the applicant must get a receipt"
    for event, stage in _MOTIVATED.items():
        place: Place = ("texts", "messages", event)
        if stage in definition.stages and event not in texts.messages:
            yield place, f"{event} has no message: the applicant must be told, with the motivation"
        elif event in texts.messages and not _told_by_letter(definition, event):
            why = ("reason", "fact", "legal", "appeal")
            yield from must_name(texts.messages[event].body, (*place, "body"), why)
    if EventType.SUBMITTED in texts.messages:
        receipt = texts.messages[EventType.SUBMITTED].body
        yield from must_name(receipt, ("texts", "messages", "SUBMITTED", "body"), ("decide_by",))


def _told_by_letter(definition: Definition, event: EventType) -> bool:
    """Whether the motivation goes by legal delivery, and the message only announces it."""
    decision = definition.decision
    return event is EventType.REJECTED and decision is not None and decision.legal_delivery


def _message(message: Message, place: Place, definition: Definition) -> Found:
    messages = definition.texts.messages
    yield from placeholders(message.subject, (*place, "subject"), ALWAYS)
    yield from placeholders(message.body, (*place, "body"), PLACEHOLDERS)
    yield from placeholders(message.sms, (*place, "sms"), PLACEHOLDERS)
    if message.joined_subject is not None:
        yield from placeholders(message.joined_subject, (*place, "joined_subject"), ALWAYS | {"subject"})
    parts = [
        message.body,
        message.sms,
        message.joined_subject,
        message.button.label if message.button else None,
    ]
    common = [definition.texts.salutation, definition.texts.closing, definition.texts.sms_opening]
    for language in message.subject.languages():
        if any(part is not None and language not in part.languages() for part in (*parts, *common)):
            yield place, f"the text is in '{language}' only in part"
    for word in ("joins", "replaces"):
        for event in getattr(message, word):
            if event not in messages:
                yield (*place, word), f"{event} has no message"


# --- DOSIS ------------------------------------------------------------------------------------

_ENDS = frozenset({EventType(status) for status in FINAL})


@_MAIN.reads("dosis")
def _dosis(definition: Definition) -> Found:
    for event, row in definition.dosis.items():
        place: Place = ("dosis", event)
        if row.code not in DOSIS_CODES:
            yield (*place, "code"), f"DOSIS has no code '{row.code}'; it has: {listed(DOSIS_CODES)}"
        if row.phase not in DOSIS_PHASES:
            yield (*place, "phase"), f"DOSIS has no phase '{row.phase}'; it has: {', '.join(DOSIS_PHASES)}"
        if row.phase == "Afgerond" and event not in _ENDS | GOES_ON:
            yield (*place, "phase"), f"after {event} the case goes on: 'Afgerond' is for {listed(_ENDS)}"
        for word in ("action", "detail"):
            if (text := getattr(row, word)) is not None:
                yield from placeholders(text, (*place, word), PLACEHOLDERS)
