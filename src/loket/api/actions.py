"""Which steps of the case's own table each mutation takes: what the tables call it, as clients name it."""

from collections.abc import Iterable

from loket.api.enums import CaseAction
from loket.lifecycle import Action

STEPS: dict[CaseAction, tuple[Action, ...]] = {
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
    CaseAction.DELIVERY_CONFIRM: (Action.CONFIRM_DELIVERY,),
    CaseAction.DELIVERY_REPORT_MISSED: (Action.REPORT_MISSED,),
}
"""The mutations that are one step (or one of two) of the case's own table."""

_OF_PARTS: dict[CaseAction, tuple[Action, ...]] = {
    CaseAction.ADVICE_REQUEST: (Action.REQUEST_ADVICE,),
    CaseAction.DECISION_PREPARE: (Action.PREPARE_DECISION,),
    CaseAction.DECISION_TAKE: (Action.GRANT, Action.REFUSE),
    CaseAction.DECISION_SEND_TO_MINUTES: (Action.SEND_TO_MINUTES,),
    CaseAction.DECISION_RECORD: (Action.POSTPONE, Action.MODIFY),
    CaseAction.DECISION_WITHDRAW: (Action.REVOKE,),
    CaseAction.PAYMENT_REGISTER: (Action.PAY,),
    CaseAction.PAYOUT_ORDER: (Action.ORDER_PAYOUT,),
    CaseAction.PAYOUT_APPROVE: (Action.APPROVE_PAYOUT,),
    CaseAction.PAYOUT_DECLINE: (Action.DECLINE_PAYOUT,),
    CaseAction.PAYOUT_CANCEL: (Action.CANCEL_PAYOUT,),
    CaseAction.PAYOUT_CORRECT_ACCOUNT: (Action.CORRECT_ACCOUNT,),
    CaseAction.DELIVERY_HOLD_SLOT: (Action.BOOK_SLOT,),
    CaseAction.DELIVERY_BOOK_SLOT: (Action.BOOK_SLOT,),
    CaseAction.DELIVERY_RESCHEDULE: (Action.RESCHEDULE,),
}
"""The mutations that change a part of the case, and by it the case."""


def named(actions: Iterable[str]) -> list[CaseAction]:
    """The mutations that take these steps; steps that only the system takes have none."""
    wanted = set(actions)
    return [action for action, steps in (STEPS | _OF_PARTS).items() if wanted & {str(one) for one in steps}]
