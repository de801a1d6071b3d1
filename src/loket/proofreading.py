"""Does a procedure make sense as a whole? What the shape alone cannot say, checked before it is published.

Each check names the parts that it reads and runs when those have the right shape; it yields where something
is wrong and why. No I/O.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from string import Formatter
from typing import Any

from jsonschema import Draft202012Validator

from loket.definition import (
    ALWAYS,
    DOSIS_CODES,
    DOSIS_PHASES,
    PLACEHOLDERS,
    PREFILL_SOURCES,
    Definition,
    Message,
    Price,
    Text,
)
from loket.factcheck import faults_of
from loket.forms import FORMATS, matches
from loket.lifecycle import FINAL, EventType, Stage, StageOrderError, case_machine

Place = tuple[str | int, ...]
"""The way to a part of the file: ("catalogue", "products", 0, "key")."""
Found = Iterator[tuple[Place, str]]
Check = Callable[[Definition], Found]

_CHECKS: list[tuple[frozenset[str], Check]] = []


def _reads(*sections: str) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        _CHECKS.append((frozenset(sections), check))
        return check

    return register


def proofread(definition: Definition, sections: frozenset[str]) -> Found:
    """Everything that is wrong in the parts named in `sections`."""
    for needs, check in _CHECKS:
        if needs <= sections:
            yield from check(definition)


# --- stages, deadlines, phases ----------------------------------------------------------------


@_reads("valid_from", "valid_to")
def _validity(definition: Definition) -> Found:
    if definition.valid_to is not None and definition.valid_to < definition.valid_from:
        yield ("valid_to",), "valid_to lies before valid_from"


@_reads("stages")
def _order(definition: Definition) -> Found:
    try:
        case_machine(definition.stages)
    except StageOrderError as fault:
        yield ("stages",), str(fault)


@_reads("stages", "decision", "payment", "planning", "delivery", "catalogue")
def _settings(definition: Definition) -> Found:
    needed: dict[Stage, dict[str, object]] = {
        Stage.DECISION: {"decision": definition.decision},
        Stage.PAYMENT: {"payment": definition.payment, "catalogue": definition.catalogue},
        Stage.PLANNING: {"planning": definition.planning},
        Stage.DELIVERY: {"delivery": definition.delivery, "planning": definition.planning},
    }
    for index, stage in enumerate(definition.stages):
        for section, value in needed.get(stage, {}).items():
            if value is None:
                yield ("stages", index), f"the stage '{stage}' needs the part '{section}'"


@_reads("stages", "screening", "decision", "rules")
def _deciders(definition: Definition) -> Found:
    if (
        Stage.SCREENING in definition.stages
        and definition.screening.by != "handler"
        and not definition.rules.screening
    ):
        yield ("rules",), "screening goes by rule, but there are no rules for screening"
    by_rule = definition.decision is not None and definition.decision.by == "rule"
    if Stage.DECISION in definition.stages and by_rule and not definition.rules.approval:
        yield ("rules",), "the decision goes by rule, but there are no rules for approval"


@_reads("term", "information", "payment", "planning")
def _deadlines(definition: Definition) -> Found:
    if definition.term.alarm_days >= definition.term.days:
        yield ("term", "alarm_days"), "the alarm comes before the term begins"
    for days in definition.information.reminder_days:
        if days >= definition.information.answer_within_days:
            yield ("information", "reminder_days"), f"the reminder after {days} days comes too late to answer"
    payment, planning = definition.payment, definition.planning
    if payment is not None:
        if list(payment.reminders_days) != sorted(set(payment.reminders_days)):
            yield ("payment", "reminders_days"), "reminders stand in order, each day once"
        if any(days >= payment.unpaid_after_days for days in payment.reminders_days):
            yield ("payment", "reminders_days"), "a reminder comes after unpaid_after_days"
    if planning is not None:
        if planning.reminder_days >= planning.choose_within_days:
            yield ("planning", "reminder_days"), "the reminder comes too late to choose"
        if planning.lead_days >= planning.horizon_days:
            yield ("planning", "lead_days"), "no slot can be both after lead_days and before horizon_days"


@_reads("stages", "phases")
def _phases(definition: Definition) -> Found:
    yield from _unique((phase.key for phase in definition.phases), ("phases",), "key", "phase")
    if sum(phase.drafts for phase in definition.phases) != 1:
        yield ("phases",), "exactly one phase has 'drafts: true' (there the application is filled in)"
    for stage in definition.stages:
        count = sum(stage in phase.stages for phase in definition.phases)
        if count != 1:
            yield (
                ("phases",),
                f"the stage '{stage}' belongs to {count or 'no'} phase{'s' * (count > 1)}, not to one",
            )
    events = Counter(event for phase in definition.phases for event in phase.events)
    for event, count in events.items():
        if count > 1:
            yield ("phases",), f"the event {event} belongs to {count} phases"


# --- the form ---------------------------------------------------------------------------------

_LISTED = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"properties", "$defs", "dependentSchemas"})
_SINGLE = frozenset(
    {"items", "contains", "if", "then", "else", "not", "propertyNames"}
    | {"additionalProperties", "unevaluatedProperties", "unevaluatedItems"}
)
_OTHER = frozenset(
    {
        "$schema",
        "$id",
        "$ref",
        "$comment",
        "title",
        "description",
        "default",
        "examples",
        "readOnly",
        "writeOnly",
    }
    | {
        "type",
        "enum",
        "const",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "deprecated",
    }
    | {
        "maxLength",
        "minLength",
        "pattern",
        "format",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxContains",
        "minContains",
    }
    | {"maxProperties", "minProperties", "required", "dependentRequired"}
)
"""Keywords that a form may use; `patternProperties` is not among them: a form knows its fields."""


@_reads("form")
def _form(definition: Definition) -> Found:
    schema, base = definition.form.json_schema, ("form", "schema")
    broken = False
    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema):
        broken = True
        yield (*base, *error.absolute_path), f"not JSON Schema: {error.message[:200]}"
    if broken:
        return
    if schema.get("type") != "object" or "properties" not in schema:
        yield base, "a form is an object with properties"
    fields = {name for _, one in _subschemas(schema, base) for name in one.get("properties", {})}
    for place, one in _subschemas(schema, base):
        yield from _subschema(one, place, schema, fields)


def _subschema(schema: Mapping[str, Any], place: Place, root: Mapping[str, Any], fields: set[str]) -> Found:
    for word in schema:
        if word not in _LISTED | _NAMED | _SINGLE | _OTHER and not word.startswith("x-"):
            yield (*place, word), f"'{word}' is not a keyword of a form"
    if "format" in schema and schema["format"] not in FORMATS.checkers:
        known = ", ".join(sorted(FORMATS.checkers))
        yield (*place, "format"), f"unknown format '{schema['format']}'; there are: {known}"
    if "pattern" in schema:
        try:
            matches("", schema["pattern"])
        except ValueError as fault:
            yield (*place, "pattern"), f"not a pattern: {' '.join(str(fault).split())[:160]}"
    if "$ref" in schema and not isinstance(_follow(root, str(schema["$ref"])), Mapping):
        yield (*place, "$ref"), f"'{schema['$ref']}' leads nowhere in this form"
    for name in schema.get("required", ()):
        if name not in fields:
            yield (*place, "required"), f"'{name}' is required but is not a field of the form"


def _subschemas(schema: object, place: Place) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    if not isinstance(schema, Mapping):
        return
    yield place, schema
    for word, value in schema.items():
        if word in _SINGLE:
            yield from _subschemas(value, (*place, word))
        elif word in _LISTED:
            for index, one in enumerate(value):
                yield from _subschemas(one, (*place, word, index))
        elif word in _NAMED:
            for name, one in value.items():
                yield from _subschemas(one, (*place, word, name))


def _follow(root: object, pointer: str) -> object:
    """What a local reference or JSON pointer leads to; None where it leads nowhere."""
    here = root
    for step in pointer.removeprefix("#").strip("/").split("/"):
        if isinstance(here, Mapping) and step in here:
            here = here[step]
        elif (
            isinstance(here, Sequence)
            and not isinstance(here, str)
            and step.isdigit()
            and int(step) < len(here)
        ):
            here = here[int(step)]
        else:
            return None
    return here if pointer.startswith(("#/", "/")) else None


@_reads("form")
def _prefill(definition: Definition) -> Found:
    form = definition.form
    for index, prefill in enumerate(form.prefill):
        place: Place = ("form", "prefill", index)
        if not _has_field(form.json_schema, prefill.field):
            yield (*place, "field"), f"the form has no field {prefill.field}"
        for word, source in (("source", prefill.source), ("fallback", prefill.fallback)):
            if source is not None and source not in PREFILL_SOURCES:
                known = ", ".join(sorted(PREFILL_SOURCES))
                yield (*place, word), f"unknown source '{source}'; there are: {known}"
    yield from _unique((one.field for one in form.prefill), ("form", "prefill"), "field", "prefilled field")
    yield from _ui(form.ui, form.json_schema, ("form", "ui"), form.json_schema)
    for language, texts in form.translations.items():
        for pointer in texts:
            if not isinstance(_follow(form.json_schema, pointer), str):
                yield ("form", "translations", language, pointer), f"no text stands at {pointer} in the form"


def _has_field(schema: Mapping[str, Any], pointer: str) -> bool:
    """Whether answers can have a value at `pointer`."""
    here: object = schema
    for step in pointer.strip("/").split("/"):
        here = _resolved(schema, here)
        here = here.get("properties", {}).get(step) if isinstance(here, Mapping) else None
    return isinstance(here, Mapping)


def _resolved(root: Mapping[str, Any], schema: object) -> object:
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    return _follow(root, reference) if isinstance(reference, str) else schema


def _ui(ui: Mapping[str, Any], schema: object, place: Place, root: Mapping[str, Any]) -> Found:
    here = _resolved(root, schema)
    properties = here.get("properties", {}) if isinstance(here, Mapping) else {}
    for name, one in ui.items():
        if name.startswith("ui:"):
            continue
        if name not in properties:
            yield (*place, name), f"the form has no field '{name}' here"
        elif isinstance(one, Mapping):
            yield from _ui(one, properties[name], (*place, name), root)


# --- catalogue --------------------------------------------------------------------------------


@_reads("catalogue", "valid_from", "valid_to")
def _catalogue(definition: Definition) -> Found:
    products = definition.catalogue.products if definition.catalogue else ()
    base: Place = ("catalogue", "products")
    yield from _unique((product.key for product in products), base, "key", "product")
    for index, product in enumerate(products):
        place = (*base, index)
        yield from _prices(product.prices, (*place, "prices"), definition)
        yield from _unique((option.key for option in product.options), (*place, "options"), "key", "option")
        for number, option in enumerate(product.options):
            yield from _prices(option.prices, (*place, "options", number, "prices"), definition)
        discount = product.first_unit_discount
        if discount is not None and discount.amount > min(one.amount for one in product.prices):
            yield (*place, "first_unit_discount"), "the discount is more than the price"
        if discount is not None and discount.valid_to is not None and discount.valid_to < discount.valid_from:
            yield (*place, "first_unit_discount", "to"), "'to' lies before 'from'"
        if not product.vat.rate and product.vat.exemption_reason is None:
            yield (*place, "vat"), "without VAT there must be an exemption_reason (it stands on the invoice)"


def _prices(prices: Sequence[Price], place: Place, definition: Definition) -> Found:
    """On each day of the procedure's validity there is exactly one price."""
    day = timedelta(days=1)
    if prices[0].valid_from > definition.valid_from:
        yield (*place, 0, "from"), f"no price from {definition.valid_from} until {prices[0].valid_from - day}"
    for index, one in enumerate(prices):
        if one.valid_to is not None and one.valid_to < one.valid_from:
            yield (*place, index, "to"), "'to' lies before 'from'"
        if index + 1 == len(prices):
            break
        following = prices[index + 1]
        if one.valid_to is None or following.valid_from <= one.valid_to:
            yield (*place, index + 1, "from"), f"two prices on {following.valid_from}"
        elif following.valid_from > one.valid_to + day:
            yield (
                (*place, index + 1, "from"),
                f"no price from {one.valid_to + day} until {following.valid_from - day}",
            )
    end = prices[-1].valid_to
    if end is not None and end < (definition.valid_to or date.max):
        yield (*place, len(prices) - 1, "to"), f"no price after {end}, while the procedure goes on"


# --- rules ------------------------------------------------------------------------------------


@_reads("rules", "form", "catalogue")
def _rules(definition: Definition) -> Found:
    products = [one.key for one in definition.catalogue.products] if definition.catalogue else []
    groups = {"screening": definition.rules.screening, "approval": definition.rules.approval}
    keys = Counter(rule.key for rules in groups.values() for rule in rules)
    for group, rules in groups.items():
        for index, rule in enumerate(rules):
            place: Place = ("rules", group, index)
            if keys[rule.key] > 1:
                yield (*place, "key"), f"the rule '{rule.key}' stands {keys[rule.key]} times"
            for reason in faults_of(rule, definition.form.json_schema, products):
                yield (*place, "when"), reason
            for word in ("message", "fact", "legal"):
                yield from _placeholders(getattr(rule, word), (*place, word), ALWAYS)


# --- texts ------------------------------------------------------------------------------------

_MOTIVATED: dict[EventType, Stage] = {
    EventType.INADMISSIBLE: Stage.SCREENING,
    EventType.REJECTED: Stage.DECISION,
}
"""Acts that must be motivated in fact and in law (wet 29 juli 1991), where their stage is there."""


@_reads("texts", "stages")
def _texts(definition: Definition) -> Found:
    texts = definition.texts
    yield from _placeholders(texts.salutation, ("texts", "salutation"), ALWAYS)
    yield from _placeholders(texts.sms_opening, ("texts", "sms_opening"), ALWAYS)
    yield from _placeholders(texts.closing, ("texts", "closing"), ALWAYS)
    for event, message in texts.messages.items():
        yield from _message(message, ("texts", "messages", event), definition)
    if EventType.SUBMITTED not in texts.messages:
        yield ("texts", "messages"), "SUBMITTED has no message: the applicant must get a receipt"
    for event, stage in _MOTIVATED.items():
        place: Place = ("texts", "messages", event)
        if stage in definition.stages and event not in texts.messages:
            yield place, f"{event} has no message: the applicant must be told, with the motivation"
        elif event in texts.messages:
            yield from _names(texts.messages[event], place, ("reason", "fact", "legal", "appeal"))
    if EventType.SUBMITTED in texts.messages:
        yield from _names(
            texts.messages[EventType.SUBMITTED], ("texts", "messages", "SUBMITTED"), ("decide_by",)
        )


def _message(message: Message, place: Place, definition: Definition) -> Found:
    messages = definition.texts.messages
    yield from _placeholders(message.subject, (*place, "subject"), ALWAYS)
    yield from _placeholders(message.body, (*place, "body"), PLACEHOLDERS)
    yield from _placeholders(message.sms, (*place, "sms"), PLACEHOLDERS)
    if message.joined_subject is not None:
        yield from _placeholders(message.joined_subject, (*place, "joined_subject"), ALWAYS | {"subject"})
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


def _names(message: Message, place: Place, placeholders: Iterable[str]) -> Found:
    """Required by law in every language."""
    for language, text in message.body.languages().items():
        for name in placeholders:
            if f"{{{name}}}" not in text:
                yield (*place, "body"), f"the text ({language}) must name {{{name}}}"


def _placeholders(text: Text, place: Place, known: Iterable[str]) -> Found:
    for language, one in text.languages().items():
        try:
            parts = list(Formatter().parse(one))
        except ValueError as fault:
            yield place, f"braces ({language}): {fault}"
            continue
        for _, name, layout, conversion in parts:
            if name is None:
                continue
            if layout or conversion or name not in known:
                there = "is not known" if name not in PLACEHOLDERS else "cannot stand"
                yield (
                    place,
                    f"the placeholder '{{{name}}}' {there} here ({language}); there are: {_listed(known)}",
                )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


# --- DOSIS, retention -------------------------------------------------------------------------

_ENDS = frozenset({EventType(status) for status in FINAL})


@_reads("dosis")
def _dosis(definition: Definition) -> Found:
    for event, row in definition.dosis.items():
        place: Place = ("dosis", event)
        if row.code not in DOSIS_CODES:
            yield (*place, "code"), f"DOSIS has no code '{row.code}'; it has: {_listed(DOSIS_CODES)}"
        if row.phase not in DOSIS_PHASES:
            yield (*place, "phase"), f"DOSIS has no phase '{row.phase}'; it has: {', '.join(DOSIS_PHASES)}"
        if row.phase == "Afgerond" and event not in _ENDS:
            yield (*place, "phase"), f"after {event} the case goes on: 'Afgerond' is for {_listed(_ENDS)}"
        for word in ("action", "detail"):
            if (text := getattr(row, word)) is not None:
                yield from _placeholders(text, (*place, word), PLACEHOLDERS)


@_reads("retention")
def _retention(definition: Definition) -> Found:
    for status in sorted(FINAL - definition.retention.keys()):
        yield ("retention",), f"how long is a case kept that ended as {status}?"
    for status in definition.retention:
        if status not in FINAL:
            yield ("retention", status), f"{status} is not the end of a case"


def _unique(keys: Iterable[str], place: Place, word: str, what: str) -> Found:
    seen: set[str] = set()
    for index, key in enumerate(keys):
        if key in seen:
            yield (*place, index, word), f"the {what} '{key}' stands twice"
        seen.add(key)
