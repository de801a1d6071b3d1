"""What a viewer may do with a case: read off the published tables, so that no client knows them."""

from dataclasses import dataclass
from typing import Any

from loket.api.context import Caller
from loket.api.enums import CaseAction
from loket.definition import Definition
from loket.lifecycle import (
    DELIVERY,
    FINAL,
    INVOICE,
    Action,
    DeliveryStatus,
    InvoiceStatus,
    PartAction,
    Role,
    Stage,
    Status,
    case_machine,
)

MOVES: dict[CaseAction, tuple[Action, ...]] = {
    CaseAction.CASE_ASSIGN: (Action.ASSIGN,),
    CaseAction.CASE_RELEASE: (Action.RELEASE,),
    CaseAction.CASE_DECLARE_ADMISSIBLE: (Action.DECLARE_ADMISSIBLE,),
    CaseAction.CASE_DECLARE_INADMISSIBLE: (Action.DECLARE_INADMISSIBLE,),
    CaseAction.CASE_REQUEST_INFORMATION: (Action.REQUEST_INFORMATION,),
    CaseAction.CASE_SUPPLY_INFORMATION: (Action.SUPPLY_INFORMATION,),
    CaseAction.CASE_SUSPEND: (Action.SUSPEND,),
    CaseAction.CASE_RESUME: (Action.RESUME,),
    CaseAction.CASE_EXTEND_TERM: (Action.EXTEND_TERM,),
    CaseAction.CASE_WITHDRAW: (Action.WITHDRAW,),
    CaseAction.CASE_CANCEL: (Action.CANCEL,),
    CaseAction.CASE_REOPEN: (Action.REOPEN,),
    CaseAction.CASE_ADD_NOTE: (Action.ADD_NOTE,),
    CaseAction.DECISION_TAKE: (Action.GRANT, Action.REFUSE),
    CaseAction.DELIVERY_CONFIRM: (Action.CONFIRM_DELIVERY,),
    CaseAction.DELIVERY_REPORT_MISSED: (Action.REPORT_MISSED,),
}
"""The mutations that are one step (or one of two) of the case's own table."""

_NOT_NOW = {"nl": "Dit kan niet in de huidige toestand.", "en": "Not possible in the present state."}


@dataclass(frozen=True)
class Offer:
    action: CaseAction
    enabled: bool
    reason: str | None


def offers(definition: Definition, row: dict[str, Any], viewer: Caller) -> list[Offer]:
    """All actions of this viewer's roles on the case, possible now or not."""
    roles = _roles(row, viewer)
    table = case_machine(definition.stages)
    state = (Stage(row["stage"]), Status(row["status"]))
    now = set(table.allowed(state, roles))
    ever = {step.action for step in table.steps if step.by & roles}
    found = [
        _offer(action, bool(set(moves) & now), viewer) for action, moves in MOVES.items() if set(moves) & ever
    ]
    return found + [_offer(action, possible, viewer) for action, possible in _of_parts(row, state[1], roles)]


def _of_parts(row: dict[str, Any], status: Status, roles: frozenset[Role]) -> list[tuple[CaseAction, bool]]:
    open_case = status not in FINAL
    invoice = InvoiceStatus(row["invoice"]) if row["invoice"] else None
    delivery = DeliveryStatus(row["delivery"]) if row["delivery"] else None
    payable = invoice is not None and INVOICE.find(invoice, PartAction.PAY_FULL) is not None
    choosable = (
        delivery is not None
        and open_case
        and status is not Status.AWAITING_APPLICANT
        and DELIVERY.find(delivery, PartAction.BOOK) is not None
    )
    found: list[tuple[CaseAction, bool]] = []
    if roles & {Role.APPLICANT}:
        found.append((CaseAction.PAYMENT_START, payable))
        found.append((CaseAction.CASE_REQUEST_REVIEW, status in (Status.INADMISSIBLE, Status.REJECTED)))
    if roles & {Role.FINANCE}:
        found.append((CaseAction.PAYMENT_REGISTER, payable))
    if roles & {Role.APPLICANT, Role.HANDLER}:
        planned = delivery is DeliveryStatus.PLANNED
        found.append((CaseAction.DELIVERY_HOLD_SLOT, choosable and not planned))
        found.append((CaseAction.DELIVERY_BOOK_SLOT, choosable and not planned))
        found.append((CaseAction.DELIVERY_RESCHEDULE, choosable and planned))
    return found


def _roles(row: dict[str, Any], viewer: Caller) -> frozenset[Role]:
    if viewer.scope.is_citizen:
        mine = str(viewer.person_id) == row["person_id"]
        return frozenset({Role.APPLICANT}) if mine else frozenset()
    return viewer.scope.roles


def _offer(action: CaseAction, enabled: bool, viewer: Caller) -> Offer:
    reason = None if enabled else _NOT_NOW.get(viewer.language, _NOT_NOW["nl"])
    return Offer(action, enabled, reason)
