"""What can happen under a procedure: which events its stages and parts can bring, and how a case can end.

Read from the published tables; what happens beside them (a reminder, a charge-back) stands here, with the
part of the definition that brings it about.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from loket.definition import Definition
from loket.lifecycle import EFFECT_EVENTS, ENTRY, FINAL, CaseState, EventType, Stage, Status, case_machine


@dataclass(frozen=True)
class Occasion:
    """What of a definition an event needs."""

    needs: str
    """In the words of the file."""
    there: Callable[[Definition], bool]
    in_table: bool = True
    """False: it happens beside the table of the case, whatever the stage."""


def _in_words(stages: Sequence[Stage]) -> str:
    *others, last = [f"'{one}'" for one in stages]
    return f"one of the stages {', '.join(others)} and {last}" if others else f"the stage {last}"


def _stage(*stages: Stage) -> Occasion:
    return Occasion(_in_words(stages), lambda one: bool(set(stages) & set(one.stages)), in_table=False)


def _beside(needs: str, there: Callable[[Definition], bool]) -> Occasion:
    return Occasion(needs, there, in_table=False)


def _pays(definition: Definition) -> bool:
    return Stage.PAYMENT in definition.stages and definition.payment is not None


def _asks_others(definition: Definition) -> bool:
    return Stage.ASSESSMENT in definition.stages and bool(definition.advisers)


def _has_body(definition: Definition) -> bool:
    return definition.decision is not None and definition.decision.body is not None


def _reminds(definition: Definition) -> bool:
    return bool(definition.payment and definition.payment.reminders)


def _gives_notice(definition: Definition) -> bool:
    return _pays(definition) and bool(definition.payment and definition.payment.default_notice)


def _sends_letters(definition: Definition) -> bool:
    decision = definition.decision
    return (decision is not None and decision.legal_delivery) or _gives_notice(definition)


def _reminds_the_co_applicant(definition: Definition) -> bool:
    return bool(definition.co_applicant and definition.co_applicant.reminder_days)


def _says_that_it_ends(definition: Definition) -> bool:
    return bool(definition.validity and definition.validity.reminder_days)


def _holds_deposits(definition: Definition) -> bool:
    return definition.catalogue is not None and any(one.deposit for one in definition.catalogue.products)


E = EventType
_BODY = "a body that decides (decision.by)"
_ADVISERS = "the part 'advisers' and the stage 'assessment'"
_ROWS: tuple[tuple[Occasion, tuple[EventType, ...]], ...] = (
    (_beside("", lambda _: True), (E.SUBMITTED, E.COMPLETED, E.TASK_OPENED, E.TASK_DONE, *EFFECT_EVENTS)),
    (
        _beside("information.reminder_days", lambda one: bool(one.information.reminder_days)),
        (E.INFORMATION_REMINDED,),
    ),
    (
        Occasion("the part 'co_applicant'", lambda one: one.co_applicant is not None),
        (E.CO_APPLICANT_ASKED, E.CO_APPLICANT_CONFIRMED, E.CO_APPLICANT_REFUSED, E.CO_APPLICANT_LAPSED),
    ),
    (_beside("co_applicant.reminder_days", _reminds_the_co_applicant), (E.CO_APPLICANT_REMINDED,)),
    (
        _beside("the part 'checks'", lambda one: bool(one.checks)),
        (E.CHECK_STARTED, E.CHECK_ANSWERED, E.CHECK_FAILED, E.CHECK_REPLACED),
    ),
    (Occasion(_ADVISERS, _asks_others), (E.ADVICE_REQUESTED, E.ADVICE_COMPLETE)),
    (
        _beside(_ADVISERS, _asks_others),
        (E.ADVICE_REMINDED, E.ADVICE_GIVEN, E.ADVICE_LAPSED, E.ADVICE_WITHDRAWN),
    ),
    (Occasion(_BODY, _has_body), (E.DECISION_SENT, E.DECISION_POSTPONED, E.DECISION_MODIFIED)),
    (_beside(_BODY, _has_body), (E.DECISION_ON_AGENDA, E.DECISION_SIGNED)),
    (
        _beside(f"{_BODY}, or the stage 'payout'", lambda one: _has_body(one) or Stage.PAYOUT in one.stages),
        (E.DECISION_WITHDRAWN,),
    ),
    (Occasion("the part 'benefits'", lambda one: bool(one.benefits)), (E.PARTLY_APPROVED,)),
    (_beside("decision.legal_delivery, or payment.default_notice", _sends_letters), (E.LETTER_SENT,)),
    (
        _stage(Stage.PAYMENT),
        (
            *(E.PAYMENT_RECEIVED, E.PAID, E.HANDED_OVER, E.WRITTEN_OFF, E.INVOICE_CREDITED),
            *(E.CHARGED_BACK, E.CHARGEBACK_REVERSED, E.REFUND_DUE, E.REFUNDED),
        ),
    ),
    (Occasion("payment.reminders", _reminds), (E.PAYMENT_REMINDED,)),
    (_beside("payment.default_notice", _gives_notice), (E.DEFAULT_NOTICE_SENT,)),
    (
        _stage(Stage.PAYOUT, Stage.PAYMENT),  # money that goes back by transfer is a payout as well
        (
            *(E.PAYOUT_ORDERED, E.PAYOUT_APPROVED, E.PAYOUT_DECLINED, E.PAYOUT_CANCELLED, E.PAYOUT_SENT),
            *(E.PAYOUT_REJECTED, E.PAYOUT_RETURNED, E.PAYOUT_IN_DOUBT),
        ),
    ),
    (_stage(Stage.PAYOUT), (E.PAID_OUT,)),
    (_beside("validity.reminder_days", _says_that_it_ends), (E.VALIDITY_ENDING,)),
    (_beside("the part 'validity'", lambda one: one.validity is not None), (E.VALIDITY_ENDED,)),
    (_beside("the part 'renewal'", lambda one: one.renewal is not None), (E.RENEWAL_OFFERED,)),
    (_beside("a product that is a deposit", _holds_deposits), (E.DEPOSIT_RETURNED,)),
)
OCCASIONS: dict[EventType, Occasion] = {event: occasion for occasion, events in _ROWS for event in events}
"""Events that need more than a row of the table, or stand in none of its rows."""


def possible(definition: Definition) -> frozenset[EventType]:
    """The events that a case of this procedure can have.

    Raises:
        StageOrderError: its stages make no sense in this order.
    """
    in_table = _in_table(definition.stages)
    return frozenset(one for one in EventType if _can_happen(one, definition, in_table))


def _can_happen(event: EventType, definition: Definition, in_table: frozenset[EventType]) -> bool:
    occasion = OCCASIONS.get(event)
    if occasion is None:
        return event in in_table
    return occasion.there(definition) and (event in in_table or not occasion.in_table)


def needed_by(event: EventType) -> str:
    """What a definition must have for `event`, in words; empty where any has it."""
    if event in OCCASIONS:
        return OCCASIONS[event].needs
    stages = [one for one in Stage if event in stage_events()[one]]
    return "" if len(stages) in {0, len(Stage)} else _in_words(stages)


def ends(stages: Iterable[Stage]) -> frozenset[Status]:
    """The statuses in which a case with these stages can end.

    Raises:
        StageOrderError: they make no sense in this order.
    """
    return frozenset(status for _, status in _reached(tuple(stages)) if status in FINAL)


def stage_events() -> dict[Stage, frozenset[EventType]]:
    """Per stage the events of its rows in the table."""
    found: dict[Stage, frozenset[EventType]] = {}
    for order in _ALL_STAGES:
        for stage in order:
            steps = [one for one in case_machine(order).steps if one.state[0] is stage and one.event]
            events = frozenset(one.event for one in steps if one.event and one.state[1] not in FINAL)
            found[stage] = found.get(stage, frozenset()) | events | {ENTRY[stage][1]}
    return found


_ALL_STAGES = (
    (Stage.SCREENING, Stage.ASSESSMENT, Stage.DECISION, Stage.PAYOUT),
    (Stage.SCREENING, Stage.DECISION, Stage.PAYMENT, Stage.PLANNING, Stage.DELIVERY),
)
"""Two orders that have every stage between them."""


def _in_table(stages: tuple[Stage, ...]) -> frozenset[EventType]:
    reached = _reached(stages)
    steps = [one for one in case_machine(stages).steps if one.state in reached]
    entered = {ENTRY[one][1] for one in stages}
    return frozenset(entered | {one.event for one in steps if one.event is not None})


def _reached(stages: tuple[Stage, ...]) -> frozenset[CaseState]:
    machine = case_machine(stages)
    reached: set[CaseState] = {(stages[0], Status.RECEIVED)}
    while more := {one.to for one in machine.steps if one.state in reached} - reached:
        reached |= more
    return frozenset(reached)
