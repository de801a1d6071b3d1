"""Does a procedure make sense as a whole? What the shape alone cannot say, checked before it is published.

Each check names the parts that it reads and runs when those have the right shape; it yields where something
is wrong and why. No I/O.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import date

from loket.definition import (
    ALWAYS,
    DOSIS_CODES,
    DOSIS_PHASES,
    PLACEHOLDERS,
    Definition,
    Message,
    Payment,
    Reminder,
    Vat,
    VatCategory,
)
from loket.definition.catalogue import EXEMPT, OUTSIDE_SCOPE
from loket.factcheck import faults_of
from loket.findings import Checklist, Found, Place, listed, placeholders, unique, without_gaps
from loket.lifecycle import FINAL, EventType, Stage, StageOrderError, case_machine
from loket.proofread_form import FORM, field
from loket.proofread_grant import GRANT, must_name, names_of

_MAIN = Checklist()


def proofread(definition: Definition, sections: frozenset[str]) -> Found:
    """Everything that is wrong in the parts named in `sections`."""
    for needs, check in (*_MAIN.checks, *FORM.checks, *GRANT.checks):
        if needs <= sections:
            yield from check(definition)


# --- stages, deadlines, phases ----------------------------------------------------------------


@_MAIN.reads("valid_from", "valid_to")
def _validity(definition: Definition) -> Found:
    if definition.valid_to is not None and definition.valid_to < definition.valid_from:
        yield ("valid_to",), "valid_to lies before valid_from"


@_MAIN.reads("stages")
def _order(definition: Definition) -> Found:
    try:
        case_machine(definition.stages)
    except StageOrderError as fault:
        yield ("stages",), str(fault)


@_MAIN.reads("stages", "decision", "payment", "planning", "delivery", "catalogue")
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


@_MAIN.reads("stages", "screening", "decision", "rules", "benefits")
def _deciders(definition: Definition) -> Found:
    if (
        Stage.SCREENING in definition.stages
        and definition.screening.by != "handler"
        and not definition.rules.screening
    ):
        yield ("rules",), "screening goes by rule, but there are no rules for screening"
    by_rule = definition.decision is not None and definition.decision.by == "rule"
    by_nothing = not definition.rules.approval and not definition.benefits
    if Stage.DECISION in definition.stages and by_rule and by_nothing:
        yield ("rules",), "the decision goes by rule, but there are no rules for approval, nor benefits"


@_MAIN.reads("term", "information", "payment", "planning")
def _deadlines(definition: Definition) -> Found:
    if definition.term.alarm_days >= definition.term.days:
        yield ("term", "alarm_days"), "the alarm comes before the term begins"
    for days in definition.information.reminder_days:
        if days >= definition.information.answer_within_days:
            yield ("information", "reminder_days"), f"the reminder after {days} days comes too late to answer"
    payment, planning = definition.payment, definition.planning
    if payment is not None:
        yield from _dunning(payment)
    if planning is not None:
        if planning.reminder_days >= planning.choose_within_days:
            yield ("planning", "reminder_days"), "the reminder comes too late to choose"
        if planning.lead_days >= planning.horizon_days:
            yield ("planning", "lead_days"), "no slot can be both after lead_days and before horizon_days"


def _dunning(payment: Payment) -> Found:
    base: Place = ("payment", "reminders")
    days = [reminder.after_days for reminder in payment.reminders]
    if days != sorted(set(days)):
        yield base, "reminders stand in order, each day once"
    if any(day >= payment.unpaid_after_days for day in days):
        yield base, "a reminder comes after unpaid_after_days"
    steps: list[tuple[Place, Reminder]] = [((*base, at), one) for at, one in enumerate(payment.reminders)]
    notice = payment.default_notice
    if notice is not None:
        place: Place = ("payment", "default_notice")
        steps.append((place, notice))
        if not max(days, default=-1) < notice.after_days < payment.unpaid_after_days:
            yield (*place, "after_days"), "it comes after the last reminder and before unpaid_after_days"
    for place, step in steps:
        if step.cost:
            yield from without_gaps(step.cost, (*place, "cost"), "cost", step.cost[0].valid_from, date.max)
    if any(step.cost for _, step in steps) and payment.costs_legal_basis is None:
        yield ("payment", "costs_legal_basis"), "what is charged for a reminder rests on a regulation: which?"


@_MAIN.reads("payment", "texts")
def _dunning_texts(definition: Definition) -> Found:
    payment, messages = definition.payment, definition.texts.messages
    if payment is None:
        return
    notice = payment.default_notice
    wanted: dict[EventType, Sequence[Reminder]] = {
        EventType.PAYMENT_REMINDED: payment.reminders,
        EventType.DEFAULT_NOTICE_SENT: (notice,) if notice else (),
    }
    for event, steps in wanted.items():
        place: Place = ("texts", "messages", event)
        if steps and event not in messages:
            yield place, f"{event} has no message: whoever must pay must be told"
        elif steps:
            cost = ("cost",) if any(step.cost for step in steps) else ()
            needed = ("outstanding", "iban", "structured_reference", *cost)
            yield from must_name(messages[event].body, (*place, "body"), needed)


@_MAIN.reads("stages", "phases")
def _phases(definition: Definition) -> Found:
    yield from unique((phase.key for phase in definition.phases), ("phases",), "key", "phase")
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


# --- catalogue --------------------------------------------------------------------------------


@_MAIN.reads("catalogue", "valid_from", "valid_to")
def _catalogue(definition: Definition) -> Found:
    days = (definition.valid_from, definition.valid_to or date.max)
    products = definition.catalogue.products if definition.catalogue else ()
    base: Place = ("catalogue", "products")
    yield from unique((product.key for product in products), base, "key", "product")
    for index, product in enumerate(products):
        place = (*base, index)
        yield from without_gaps(product.prices, (*place, "prices"), "price", *days)
        yield from unique((option.key for option in product.options), (*place, "options"), "key", "option")
        for number, option in enumerate(product.options):
            yield from without_gaps(option.prices, (*place, "options", number, "prices"), "price", *days)
        discount = product.first_unit_discount
        if discount is not None and discount.amount > min(one.amount for one in product.prices):
            yield (*place, "first_unit_discount"), "the discount is more than the price"
        if discount is not None and discount.valid_to is not None and discount.valid_to < discount.valid_from:
            yield (*place, "first_unit_discount", "to"), "'to' lies before 'from'"
        yield from _vat(product.vat, (*place, "vat"))
    untaxed = sum(product.vat.category is VatCategory.OUTSIDE_SCOPE for product in products)
    if 0 < untaxed < len(products):
        reason = "an invoice that is outside the scope of VAT (O) is so for all of it: not beside E or S"
        yield base, reason


def _vat(vat: Vat, place: Place) -> Found:
    if vat.category is VatCategory.STANDARD:
        if not vat.rate:
            yield (
                (*place, "category"),
                "S is for a rate above 0; without VAT it is O (outside scope) or E",
            )
        if vat.exemption_reason is not None or vat.exemption_code is not None:
            yield place, "what is taxed has no reason for an exemption"
        return
    if vat.rate:
        yield (*place, "rate"), f"{vat.category} has no rate; S has"
    if vat.exemption_reason is None:
        yield place, "without VAT there must be an exemption_reason (it stands on the invoice)"
    known = OUTSIDE_SCOPE if vat.category is VatCategory.OUTSIDE_SCOPE else EXEMPT
    if vat.exemption_code is not None and re.fullmatch(known, vat.exemption_code) is None:
        reason = f"{vat.exemption_code} is no code of EN 16931 for the category {vat.category}"
        yield (*place, "exemption_code"), reason


@_MAIN.reads("payment", "form")
def _buyer(definition: Definition) -> Found:
    buyer = definition.payment.buyer if definition.payment else None
    if buyer is None:
        return
    for word in ("name", "enterprise_number", "address"):
        pointer: str | None = getattr(buyer, word)
        if pointer is None:
            continue
        place: Place = ("payment", "buyer", word)
        found = field(definition.form.json_schema, pointer)
        if found is None:
            yield place, f"the form has no field {pointer}"
        elif word == "enterprise_number" and found.get("format") != "enterprise-number":
            yield place, f"the field {pointer} must have the format 'enterprise-number'"


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
            for reason in faults_of(rule, definition.form.json_schema, names):
                yield (*place, "when"), reason
            for word in ("message", "fact", "legal"):
                yield from placeholders(getattr(rule, word), (*place, word), ALWAYS)


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


# --- DOSIS, retention -------------------------------------------------------------------------

_ENDS = frozenset({EventType(status) for status in FINAL})


@_MAIN.reads("dosis")
def _dosis(definition: Definition) -> Found:
    for event, row in definition.dosis.items():
        place: Place = ("dosis", event)
        if row.code not in DOSIS_CODES:
            yield (*place, "code"), f"DOSIS has no code '{row.code}'; it has: {listed(DOSIS_CODES)}"
        if row.phase not in DOSIS_PHASES:
            yield (*place, "phase"), f"DOSIS has no phase '{row.phase}'; it has: {', '.join(DOSIS_PHASES)}"
        if row.phase == "Afgerond" and event not in _ENDS:
            yield (*place, "phase"), f"after {event} the case goes on: 'Afgerond' is for {listed(_ENDS)}"
        for word in ("action", "detail"):
            if (text := getattr(row, word)) is not None:
                yield from placeholders(text, (*place, word), PLACEHOLDERS)


@_MAIN.reads("retention")
def _retention(definition: Definition) -> Found:
    for status in sorted(FINAL - definition.retention.keys()):
        yield ("retention",), f"how long is a case kept that ended as {status}?"
    for status in definition.retention:
        if status not in FINAL:
            yield ("retention", status), f"{status} is not the end of a case"
