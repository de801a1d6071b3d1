"""What a viewer may do with a case: read off the published tables, so that no client knows them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loket.api.actions import STEPS, CaseAction
from loket.api.context import Caller
from loket.api.reasons import Why
from loket.api.visibility import ASKED_OF_ME
from loket.definition import Definition
from loket.experiences import rateable
from loket.handling import WITH_TERM, may_settle
from loket.lifecycle import (
    ADVICE,
    CHECK,
    DECISION,
    DELIVERY,
    FINAL,
    INVOICE,
    PAYOUT,
    REFUND,
    Action,
    AdviceStatus,
    CaseMachine,
    CheckStatus,
    DecisionStatus,
    DeliveryStatus,
    EventType,
    InvoiceStatus,
    PartAction,
    PayoutStatus,
    RefundStatus,
    Role,
    Stage,
    Status,
    case_machine,
)
from loket.phases import Course, Happened, course_of
from loket.records import AdviserKind

NEEDS: dict[str, str] = {
    "delivery": "(SELECT status FROM delivery d WHERE d.case_id = {t}.id AND d.round = {t}.round)",
    "invoice": "(SELECT status FROM invoice i WHERE i.case_id = {t}.id AND i.status <> 'CREDITED' LIMIT 1)",
    "refunds": "(SELECT json_agg(DISTINCT r.status) FROM refund r WHERE r.case_id = {t}.id)",
    "deposit": "EXISTS (SELECT FROM invoice i, jsonb_array_elements(i.lines) l WHERE i.case_id = {t}.id"
    " AND i.status <> 'CREDITED' AND (l ->> 'deposit')::boolean AND NOT EXISTS (SELECT FROM event e"
    " WHERE e.case_id = i.case_id AND e.type = 'DEPOSIT_RETURNED' AND e.data ->> 'invoice' = i.number))",
    "decision": "(SELECT json_build_object('status', d.status, 'away', d.agenda_item_id IS NOT NULL)"
    " FROM decision d WHERE d.case_id = {t}.id AND d.round = {t}.round)",
    "checks": '(SELECT json_agg(DISTINCT k.status) FROM "check" k WHERE k.case_id = {t}.id'
    " AND k.kind <> 'SOURCES' AND k.round = ({t}.facts ->> 'checks_round')::int)",
    "advices": "(SELECT json_agg(json_build_object('adviser', a.adviser, 'status', a.status, 'kind', a.kind,"
    " 'mine', {mine})) FROM advice a WHERE a.case_id = {t}.id AND a.round = {t}.round"
    " AND a.status <> 'WITHDRAWN')".replace("{mine}", ASKED_OF_ME.replace("{t}", "a")),
    "payout": "(SELECT json_build_object('status', p.status, 'agreed', ARRAY[p.ordered_by_id, p.visum_by_id])"
    " FROM payout p WHERE p.case_id = {t}.id AND p.round = {t}.round ORDER BY p.id DESC LIMIT 1)",
    "tasks": "(SELECT json_agg(k.kind) FROM task k WHERE k.case_id = {t}.id AND k.status = 'OPEN')",
    "has_message": "EXISTS (SELECT FROM message m WHERE m.case_id = {t}.id AND m.status <> 'QUEUED'"
    " AND m.effect_id IS NOT NULL)",
    "history": "(SELECT json_build_object('started_at', (SELECT a.started_at FROM application a"
    " WHERE a.id = {t}.application_id), 'events', json_agg(json_build_array("
    "e.type, e.stage, e.status, e.previous_status, e.occurred_at) ORDER BY e.case_version))"
    " FROM event e WHERE e.case_id = {t}.id AND e.case_version IS NOT NULL)",
    "co_application": "EXISTS (SELECT FROM coapplication q WHERE q.case_id = {t}.id AND q.status = 'ASKED')",
    "rated": "(SELECT json_object_agg(x.phase, x.feeling) FROM experience x WHERE x.case_id = {t}.id)",
}
"""What must be known of a case beside its own columns, as templates of SQL."""


@dataclass(frozen=True)
class Offer:
    action: CaseAction
    why_not: Why | None

    @property
    def enabled(self) -> bool:
        return self.why_not is None

    def reason(self, language: str) -> str | None:
        return self.why_not.said(language) if self.why_not else None


@dataclass(frozen=True)
class _Seen:
    """A case as its row tells it, and in which qualities the viewer acts on it."""

    row: dict[str, Any]
    definition: Definition
    roles: frozenset[Role]
    stage: Stage
    status: Status
    viewer_id: str
    """Of a member of staff."""

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    @property
    def stands_still(self) -> bool:
        return any(period["to"] is None for period in self.row["suspensions"])


def offers(definition: Definition, row: dict[str, Any], viewer: Caller) -> list[Offer]:
    """All actions of this viewer's roles on the case, possible now or not."""
    state = Stage(row["stage"]), Status(row["status"])
    seen = _Seen(row, definition, _roles(row, viewer), *state, str(viewer.staff_id))
    return [
        *_steps(seen),
        *_of_checks(seen),
        *_of_decision(seen),
        *_of_advice(seen),
        *_of_money(seen),
        *_of_payout(seen),
        *_of_delivery(seen),
        *_of_the_rest(seen),
    ]


def course_in(definition: Definition, row: dict[str, Any]) -> Course:
    """The phases that a case went through, as its row tells it in `history`."""
    history = row["history"]
    events = (
        Happened(
            EventType(type),
            Stage(stage),
            Status(status),
            previous and Status(previous),
            datetime.fromisoformat(at),
        )
        for type, stage, status, previous, at in history["events"] or ()
    )
    return course_of(definition, datetime.fromisoformat(history["started_at"]), events)


def _roles(row: dict[str, Any], viewer: Caller) -> frozenset[Role]:
    if viewer.scope.is_citizen:
        mine = str(viewer.person_id) == row["person_id"]
        return frozenset({Role.APPLICANT}) if mine else frozenset()
    return viewer.roles_at(row["department"])


# --- steps of the case's own table ------------------------------------------------------------


def _steps(seen: _Seen) -> Iterator[Offer]:
    table = case_machine(seen.definition.stages)
    now = set(table.allowed((seen.stage, seen.status), seen.roles))
    ever = {step.action for step in table.steps if step.by & seen.roles}
    for action, moves in STEPS.items():
        if now & set(moves):
            yield Offer(action, _why_not_after_all(seen, action))
        elif ever & set(moves):
            yield Offer(action, _why_no_step(seen, table, action, moves))


def _why_not_after_all(seen: _Seen, action: CaseAction) -> Why | None:
    """What stands in the way of a step that the table has: a fact that is no status."""
    match action:
        case CaseAction.CASE_SUPPLY_INFORMATION if seen.row["co_application"]:
            return Why.AWAITS_ANOTHER
        case CaseAction.CASE_RELEASE if seen.row["handler_id"] is None:
            return Why.NOBODYS
        case CaseAction.CASE_WITHDRAW | CaseAction.CASE_CANCEL if _is_money_away(seen):
            return Why.MONEY_SENT
        case CaseAction.CASE_RESUME if not seen.stands_still:
            return Why.RUNS_ON
        case CaseAction.CASE_SUSPEND | CaseAction.CASE_EXTEND_TERM if seen.stage not in WITH_TERM:
            return Why.DECIDED
        case CaseAction.CASE_SUSPEND if not seen.definition.term.suspendable:
            return Why.NEVER_STANDS_STILL
        case CaseAction.CASE_SUSPEND if seen.stands_still:
            return Why.STANDS_STILL
        case _:
            return None


def _is_money_away(seen: _Seen) -> bool:
    found = seen.row["payout"]
    return found is not None and PayoutStatus(found["status"]) in (
        PayoutStatus.SENT,
        PayoutStatus.IN_DOUBT,
        PayoutStatus.EXECUTED,
    )


def _why_no_step(seen: _Seen, table: CaseMachine, action: CaseAction, moves: tuple[Action, ...]) -> Why:
    if action is CaseAction.CASE_REOPEN:
        return Why.RUNS
    if seen.ended:
        return Why.ENDED
    if action in (CaseAction.CASE_WITHDRAW, CaseAction.CASE_CANCEL):
        return Why.HANDED_OVER
    if action is CaseAction.CASE_SUPPLY_INFORMATION:
        return Why.NOT_ASKED
    if action in (CaseAction.DELIVERY_CONFIRM, CaseAction.DELIVERY_REPORT_MISSED):
        return Why.NOT_PLANNED
    in_this_stage = {step.action for step in table.steps if step.state[0] is seen.stage}
    if seen.status is Status.AWAITING_APPLICANT and in_this_stage & set(moves):
        return Why.AWAITS_ANOTHER if seen.row["co_application"] else Why.AWAITS_ANSWER
    return Why.NO_TURN


# --- parts of the case ------------------------------------------------------------------------


def _of_decision(seen: _Seen) -> Iterator[Offer]:
    rules = seen.definition.decision
    if rules is None:
        return
    handles, writes = Role.HANDLER in seen.roles, Role.SECRETARIAT in seen.roles
    found = seen.row["decision"]
    status = DecisionStatus(found["status"]) if found else None
    if handles:
        yield Offer(CaseAction.DECISION_PREPARE, _why_no_draft(seen, status))
    if handles and rules.body is None:
        yield Offer(CaseAction.DECISION_TAKE, _why_not(seen, Action.GRANT))
    if handles and rules.body is not None:
        waiting = status is DecisionStatus.DRAFT and not found["away"]
        unready = Why.WITH_THE_BODY if status in WITH_THE_BODY or found else Why.NOTHING_PREPARED
        why_not = _why_not(seen, Action.SEND_TO_MINUTES) or (None if waiting else unready)
        yield Offer(CaseAction.DECISION_SEND_TO_MINUTES, why_not)
        why_not = _why_not(seen, Action.MODIFY, Role.SECRETARIAT)
        to_confirm = None if status is DecisionStatus.TO_CONFIRM else Why.NOT_TO_CONFIRM
        yield Offer(CaseAction.DECISION_CONFIRM, why_not or to_confirm)
    if writes and rules.body is not None:
        why_not = None if seen.stage is Stage.DECISION and not seen.ended else _why_not(seen, Action.MODIFY)
        yield Offer(CaseAction.DECISION_RECORD, why_not or (None if found else Why.NOTHING_PREPARED))
    if handles or writes:
        yield Offer(CaseAction.DECISION_WITHDRAW, _why_no_withdrawal(seen, status))


WITH_THE_BODY = frozenset({DecisionStatus.ON_AGENDA, DecisionStatus.POSTPONED, DecisionStatus.TO_CONFIRM})


def _why_no_draft(seen: _Seen, status: DecisionStatus | None) -> Why | None:
    why_not = _why_not(seen, Action.PREPARE_DECISION)
    if why_not is not None or status is None:
        return why_not
    away = seen.row["decision"]["away"] and status is not DecisionStatus.WITHDRAWN
    preparable = DECISION.find(status, PartAction.PREPARE) is not None and not away
    return None if preparable else Why.WITH_THE_BODY


def _why_no_withdrawal(seen: _Seen, status: DecisionStatus | None) -> Why | None:
    if status is None or DECISION.find(status, PartAction.WITHDRAW) is None:
        return Why.NOTHING_PREPARED
    granted = status in (DecisionStatus.GRANTED, DecisionStatus.PARTLY_GRANTED)
    if not granted:
        return None
    if Stage.PAYOUT not in seen.definition.stages:
        return Why.HANDED_OVER
    if seen.ended:
        return None
    table = case_machine(seen.definition.stages)
    return None if table.find((seen.stage, seen.status), Action.REVOKE) else Why.NO_TURN


def _why_not(seen: _Seen, action: Action, role: Role | None = None) -> Why | None:
    """Why a step of the case's own table is not possible now, for this viewer or somebody with `role`."""
    table = case_machine(seen.definition.stages)
    step = table.find((seen.stage, seen.status), action)
    if step is not None and step.by & ({role} if role else seen.roles):
        return None
    return _why_no_step(seen, table, CaseAction.DECISION_PREPARE, (action,))


def _of_checks(seen: _Seen) -> Iterator[Offer]:
    """The verbs look at one check; here it is whether there is any."""
    if not seen.definition.checks or not seen.roles & {Role.HANDLER, Role.OPERATOR}:
        return
    states = [CheckStatus(one) for one in seen.row["checks"] or ()]
    decided = seen.stage not in (Stage.ASSESSMENT, Stage.DECISION)
    why_not = Why.ENDED if seen.ended else Why.NO_TURN if decided else None
    by_operator = Role.HANDLER not in seen.roles
    repeatable = any(
        CHECK.find(one, PartAction.REPEAT) and (not by_operator or one is CheckStatus.UNKNOWN)
        for one in states
    )
    yield Offer(CaseAction.CHECK_REPEAT, why_not or (None if repeatable else Why.NO_CHECK))
    if not by_operator:
        replaceable = any(CHECK.find(one, PartAction.REPLACE) for one in states)
        why_no_document = why_not or (None if replaceable else Why.NO_CHECK)
        yield Offer(CaseAction.CHECK_REPLACE_BY_DOCUMENT, why_no_document)


def _of_advice(seen: _Seen) -> Iterator[Offer]:
    if not seen.definition.advisers or not seen.roles & {Role.HANDLER, Role.ADVISER}:
        return
    advices = seen.row["advices"] or ()
    stages = seen.definition.stages
    decided = stages.index(seen.stage) > stages.index(Stage.DECISION)
    over = Why.ENDED if seen.ended else Why.NO_TURN if decided else None
    handles = Role.HANDLER in seen.roles
    if handles:
        asked = {one["adviser"] for one in advices}
        left = any(one.key not in asked for one in seen.definition.advisers)
        why_not = _why_not(seen, Action.REQUEST_ADVICE)
        yield Offer(CaseAction.ADVICE_REQUEST, why_not or (None if left else Why.NOBODY_TO_ASK))
    givable = any(
        (one["mine"] or (handles and one["kind"] != AdviserKind.MACHINE))
        and ADVICE.find(AdviceStatus(one["status"]), PartAction.ADVISE_WITH_CONDITIONS)
        for one in advices
    )
    yield Offer(CaseAction.ADVICE_GIVE, over or (None if givable else Why.NO_ADVICE))
    if handles:
        awaited = any(ADVICE.find(AdviceStatus(one["status"]), PartAction.WITHDRAW) for one in advices)
        yield Offer(CaseAction.ADVICE_WITHDRAW, over or (None if awaited else Why.NOT_AWAITED))


def _of_money(seen: _Seen) -> Iterator[Offer]:
    invoice = seen.row["invoice"]
    payable = invoice is not None and INVOICE.find(InvoiceStatus(invoice), PartAction.PAY_FULL) is not None
    why_not = None if payable else Why.NOTHING_DUE if invoice else Why.NO_INVOICE
    if Role.APPLICANT in seen.roles:
        yield Offer(CaseAction.PAYMENT_START, why_not)
    if Role.FINANCE in seen.roles:
        yield Offer(CaseAction.PAYMENT_REGISTER, why_not)
        left = invoice is not None and INVOICE.find(InvoiceStatus(invoice), PartAction.CREDIT) is not None
        yield Offer(CaseAction.INVOICE_CREDIT, None if left else Why.NO_INVOICE)
        given_up = invoice is not None and INVOICE.find(InvoiceStatus(invoice), PartAction.WRITE_OFF)
        yield Offer(CaseAction.INVOICE_WRITE_OFF, None if given_up else why_not or Why.NOTHING_DUE)
        refunds = [RefundStatus(one) for one in seen.row["refunds"] or ()]
        orderable = any(REFUND.find(one, PartAction.ORDER) for one in refunds)
        yield Offer(CaseAction.REFUND_ORDER, None if orderable else Why.NO_REFUND)
        catalogue = seen.definition.catalogue
        if catalogue is not None and any(product.deposit for product in catalogue.products):
            held = seen.status is Status.COMPLETED and seen.row["deposit"]
            why_kept = Why.NO_DEPOSIT if seen.ended else Why.RUNS
            yield Offer(CaseAction.DEPOSIT_RETURN, None if held else why_kept)


def _of_payout(seen: _Seen) -> Iterator[Offer]:
    """The verbs look at one payout; here it is the last of the premium's."""
    if Stage.PAYOUT not in seen.definition.stages:
        return
    found = seen.row["payout"]
    status = PayoutStatus(found["status"]) if found else None
    live = status is not None and status not in NOTHING_MOVES
    if seen.roles & {Role.APPLICANT, Role.HANDLER}:
        why_not = _why_not(seen, Action.CORRECT_ACCOUNT) or (Why.PAYING_ALREADY if live else None)
        yield Offer(CaseAction.PAYOUT_CORRECT_ACCOUNT, why_not)
    if seen.roles & {Role.HANDLER, Role.FINANCE}:
        why_not = _why_not(seen, Action.ORDER_PAYOUT) or (Why.PAYING_ALREADY if live else None)
        yield Offer(CaseAction.PAYOUT_ORDER, why_not)
        yield Offer(CaseAction.PAYOUT_CANCEL, _why_no_payout(status, PartAction.CANCEL))
    if Role.FINANCE in seen.roles:
        mine = found is not None and seen.viewer_id in found["agreed"]
        agreed = Why.YOURS if mine else None
        yield Offer(CaseAction.PAYOUT_APPROVE, _why_no_payout(status, PartAction.APPROVE) or agreed)
        ordered = Why.YOURS if found is not None and seen.viewer_id == found["agreed"][0] else None
        yield Offer(CaseAction.PAYOUT_DECLINE, _why_no_payout(status, PartAction.DECLINE) or ordered)
        yield Offer(CaseAction.PAYOUT_RECORD, None if found else Why.NO_PAYOUT)


NOTHING_MOVES = frozenset(
    {PayoutStatus.REJECTED, PayoutStatus.RETURNED, PayoutStatus.DECLINED, PayoutStatus.CANCELLED}
)


def _why_no_payout(status: PayoutStatus | None, action: PartAction) -> Why | None:
    return None if status is not None and PAYOUT.find(status, action) else Why.NO_PAYOUT


def _of_delivery(seen: _Seen) -> Iterator[Offer]:
    why_not = _why_no_slot(seen)
    planned = seen.row["delivery"] == DeliveryStatus.PLANNED
    if seen.roles & {Role.APPLICANT, Role.HANDLER}:
        why_no_choice = why_not or (Why.PLANNED if planned else None)
        yield Offer(CaseAction.DELIVERY_HOLD_SLOT, why_no_choice)
        yield Offer(CaseAction.DELIVERY_BOOK_SLOT, why_no_choice)
        yield Offer(CaseAction.DELIVERY_RESCHEDULE, why_not or (None if planned else Why.NOT_PLANNED))
    if seen.roles & {Role.HANDLER, Role.OPERATOR}:
        # it is called off also while the applicant is asked something
        standing = None if why_not is Why.AWAITS_ANSWER else why_not
        yield Offer(CaseAction.DELIVERY_CANCEL, standing or (None if planned else Why.NOT_PLANNED))


def _why_no_slot(seen: _Seen) -> Why | None:
    """Why no slot can be chosen, first or anew."""
    if seen.ended:
        return Why.ENDED
    if seen.row["delivery"] is None:
        return Why.NO_DELIVERY
    if DELIVERY.find(DeliveryStatus(seen.row["delivery"]), PartAction.BOOK) is None:
        return Why.DELIVERED
    if seen.status is Status.AWAITING_APPLICANT:
        return Why.AWAITS_ANSWER
    return None


def _of_the_rest(seen: _Seen) -> Iterator[Offer]:
    if Role.APPLICANT in seen.roles:
        refused = seen.status in (Status.INADMISSIBLE, Status.REJECTED)
        yield Offer(CaseAction.CASE_REQUEST_REVIEW, None if refused else Why.NOT_REFUSED)
        left = rateable(course_in(seen.definition, seen.row), seen.row["rated"] or ())
        yield Offer(CaseAction.EXPERIENCE_RATE, None if left else Why.NOTHING_TO_RATE)
        return
    if seen.roles - {Role.ADVISER}:
        mine = any(may_settle(kind, seen.roles) for kind in seen.row["tasks"] or ())
        yield Offer(CaseAction.TASK_COMPLETE, None if mine else Why.NO_TASK)
    if seen.roles & {Role.HANDLER, Role.OPERATOR}:
        yield Offer(CaseAction.MESSAGE_RESEND, None if seen.row["has_message"] else Why.NO_MESSAGE)
