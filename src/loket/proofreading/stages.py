"""Do the steps of a procedure fit: their order and settings, the deadlines, the phases, how it ends?"""

from collections import Counter
from collections.abc import Sequence
from datetime import date

from loket.definition import Assessment, Definition, Payment, Reminder, Screening
from loket.lifecycle import FINAL, EventType, Stage, StageOrderError, case_machine
from loket.proofreading.findings import Checklist, Found, Place, must_name, unique, without_gaps
from loket.proofreading.happenings import ends

STAGES = Checklist()


@STAGES.reads("valid_from", "valid_to")
def _validity(definition: Definition) -> Found:
    if definition.valid_to is not None and definition.valid_to < definition.valid_from:
        yield ("valid_to",), "valid_to lies before valid_from"


@STAGES.reads("stages")
def _order(definition: Definition) -> Found:
    try:
        case_machine(definition.stages)
    except StageOrderError as fault:
        yield ("stages",), str(fault)


@STAGES.reads("stages", "decision", "payment", "planning", "delivery", "catalogue")
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


_SETTINGS: dict[str, tuple[Stage, ...]] = {
    "screening": (Stage.SCREENING,),
    "assessment": (Stage.ASSESSMENT,),
    "decision": (Stage.DECISION,),
    "payment": (Stage.PAYMENT,),
    "planning": (Stage.PLANNING,),
    "delivery": (Stage.DELIVERY,),
    "payout": (Stage.PAYOUT,),
    "co_applicant": (Stage.SCREENING,),
    "benefits": (Stage.DECISION,),
}
"""Parts that only one of these stages reads."""


@STAGES.reads("stages", *_SETTINGS, "rules")
def _superfluous(definition: Definition) -> Found:
    """What was written down and would never be read."""
    unsaid = {"screening": Screening(), "assessment": Assessment()}
    for section, stages in _SETTINGS.items():
        value = getattr(definition, section)
        if value and value != unsaid.get(section) and not set(stages) & set(definition.stages):
            yield (section,), f"nothing reads '{section}': there is no stage '{stages[0]}'"
    for group, stage in (("screening", Stage.SCREENING), ("approval", Stage.DECISION)):
        if getattr(definition.rules, group) and stage not in definition.stages:
            yield ("rules", group), f"nothing asks these rules: there is no stage '{stage}'"


@STAGES.reads("stages", "screening", "decision", "rules", "benefits")
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


@STAGES.reads("term", "information", "payment", "planning")
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


@STAGES.reads("payment", "texts")
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


@STAGES.reads("stages", "phases")
def _phases(definition: Definition) -> Found:
    for index, phase in enumerate(definition.phases):
        for number, stage in enumerate(phase.stages):
            if stage not in definition.stages:
                yield ("phases", index, "stages", number), f"the procedure has no stage '{stage}'"
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


@STAGES.reads("stages", "retention")
def _retention(definition: Definition) -> Found:
    try:
        reached = ends(definition.stages)
    except StageOrderError:
        reached = FINAL
    for status in sorted(reached - definition.retention.keys()):
        yield ("retention",), f"how long is a case kept that ended as {status}?"
    for status in definition.retention:
        if status not in FINAL:
            yield ("retention", status), f"{status} is not the end of a case"
        elif status not in reached:
            yield ("retention", status), f"with these stages no case ends as {status}"
