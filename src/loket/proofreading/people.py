"""Do the parts about people hold together: who must confirm, what is asked once, which papers there are?"""

from collections.abc import Iterable
from dataclasses import replace

from loket.definition import ALWAYS, CoApplicant, Definition, Message
from loket.forms import NATIONAL_NUMBER
from loket.lifecycle import EventType, Stage
from loket.proofreading.factcheck import faults_in
from loket.proofreading.findings import Checklist, Found, Place, must_name, placeholders, unique
from loket.proofreading.form import field
from loket.proofreading.grant import names_of
from loket.rules import compiled

PEOPLE = Checklist()
E = EventType
_TO_CO_APPLICANT = (E.CO_APPLICANT_ASKED, E.CO_APPLICANT_REMINDED)
_SAID_TO_THEM = ALWAYS | {
    "co_applicant",
    "applicant",
    "reference",
    "submitted_on",
    "answer_by",
    "link_confirm",
}
_OF_WHO_CONFIRMED = frozenset({*_TO_CO_APPLICANT, E.CO_APPLICANT_CONFIRMED})
_CONDITIONS = ("form", "catalogue", "tables", "checks", "advisers", "benefits", "co_applicant")


# --- who must confirm -------------------------------------------------------------------------


@PEOPLE.reads(*_CONDITIONS, "stages", "screening", "rules")
def _co_applicant(definition: Definition) -> Found:
    part = definition.co_applicant
    if part is None:
        return
    yield from _fields(part, definition)
    if part.when is not None:
        names = replace(names_of(definition), co_applicant=False, checks=(), advisers=(), benefits=())
        for reason in faults_in(part.when, definition.form.json_schema, names):
            yield ("co_applicant", "when"), reason
    for index, days in enumerate(part.reminder_days):
        if days >= part.answer_within_days:
            yield ("co_applicant", "reminder_days", index), f"a reminder after {days} days comes too late"
    if len(set(part.reminder_days)) < len(part.reminder_days):
        yield ("co_applicant", "reminder_days"), "each day once"
    by_rule = Stage.SCREENING in definition.stages and definition.screening.by != "handler"
    if by_rule and not any(_reads(rule.when, "co_applicant") for rule in definition.rules.screening):
        yield (
            ("co_applicant",),
            "no rule for screening reads co_applicant: who refuses would change nothing",
        )


def _fields(part: CoApplicant, definition: Definition) -> Found:
    for word, pointer, format in (
        ("number_field", part.number_field, NATIONAL_NUMBER),
        ("email_field", part.email_field, "email"),
    ):
        found = field(definition.form.json_schema, pointer) if pointer else {"format": format}
        place: Place = ("co_applicant", word)
        if found is None:
            yield place, f"the form has no field {pointer}"
        elif found.get("format") != format:
            yield place, f"the field {pointer} must have the format '{format}'"


def _reads(expression: str, fact: str) -> bool:
    try:
        return fact in compiled(expression).variables()
    except ValueError:
        return True  # said of the rule itself


@PEOPLE.reads("co_applicant", "texts")
def _asked(definition: Definition) -> Found:
    part, messages = definition.co_applicant, definition.texts.messages
    needed = {E.CO_APPLICANT_ASKED: part, E.CO_APPLICANT_REMINDED: part.reminder_days if part else None}
    for event, due in needed.items():
        if due and event not in messages:
            yield ("texts", "messages"), f"{event} has no message: the co-applicant must be told"
    for event, message in messages.items():
        place: Place = ("texts", "messages", event)
        if event in _TO_CO_APPLICANT:
            yield from _question(message, place)
        for word in ("joins", "replaces"):
            others: Iterable[EventType] = getattr(message, word)
            if any((one in _TO_CO_APPLICANT) != (event in _TO_CO_APPLICANT) for one in others):
                yield (
                    (*place, word),
                    "a message to the co-applicant does not go together with the applicant's",
                )
        for word in ("body", "sms"):
            for language, one in getattr(message, word).languages().items():
                if "{co_applicant}" in one and event not in _OF_WHO_CONFIRMED:
                    yield (*place, word), f"{{co_applicant}} has no value with {event} ({language})"
                if "{link_confirm}" in one and event not in _TO_CO_APPLICANT:
                    yield (*place, word), f"{{link_confirm}} has no value with {event} ({language})"
        link = message.button.link if message.button else None
        if link is not None and (link == "link_confirm") != (event in _TO_CO_APPLICANT):
            yield (*place, "button"), f"'{link}' leads nowhere with {event}"


def _question(message: Message, place: Place) -> Found:
    """To somebody else than the applicant: what they are asked, and nothing more of the case."""
    yield from must_name(message.body, (*place, "body"), ("applicant", "answer_by"))
    for word in ("body", "sms"):
        yield from placeholders(getattr(message, word), (*place, word), _SAID_TO_THEM)
    confirms = message.button is not None and message.button.link == "link_confirm"
    if not confirms:
        yield from must_name(message.body, (*place, "body"), ("link_confirm",))


# --- what is asked once -----------------------------------------------------------------------


@PEOPLE.reads("duplicates", "form", "rules", "benefits", "screening", "decision")
def _duplicates(definition: Definition) -> Found:
    yield from unique((one.key for one in definition.duplicates), ("duplicates",), "key", "likeness")
    conditions = [one.when for one in (*definition.rules.screening, *definition.rules.approval)]
    conditions += [one.when for one in definition.benefits]
    read = any(_reads(one, "duplicates") for one in conditions)
    for index, one in enumerate(definition.duplicates):
        place: Place = ("duplicates", index)
        for number, name in enumerate(one.same):
            if name.startswith("/") and field(definition.form.json_schema, name) is None:
                yield (*place, "same", number), f"the form has no field {name}"
        if len(set(one.same)) < len(one.same):
            yield (*place, "same"), "each thing once"
        if not read and definition.screening.by == "rule":
            yield place, "no rule reads duplicates, and nobody looks: another case would change nothing"


# --- papers -----------------------------------------------------------------------------------


@PEOPLE.reads(*_CONDITIONS, "documents", "duplicates")
def _documents(definition: Definition) -> Found:
    names = replace(
        names_of(definition), co_applicant=False, duplicates=(), checks=(), advisers=(), benefits=()
    )
    for index, kind in enumerate(definition.documents):
        if kind.required is None:
            continue
        place: Place = ("documents", index, "required")
        for reason in faults_in(kind.required, definition.form.json_schema, names):
            yield place, reason
        if _reads(kind.required, "quota"):
            yield place, "what the household ordered is counted only once it is handed in"
