"""The mutations that move a case, and which steps of its own table each takes: as clients name them."""

from collections.abc import Iterable
from enum import StrEnum

from loket.api.naming import enumeration
from loket.lifecycle import Action


class CaseAction(StrEnum):
    """A mutation that moves a case or a part of it; see `Case.viewerAvailableActions`."""

    CASE_ASSIGN = "CASE_ASSIGN"
    CASE_RELEASE = "CASE_RELEASE"
    CASE_DECLARE_ADMISSIBLE = "CASE_DECLARE_ADMISSIBLE"
    CASE_DECLARE_INADMISSIBLE = "CASE_DECLARE_INADMISSIBLE"
    CASE_REQUEST_INFORMATION = "CASE_REQUEST_INFORMATION"
    CASE_SUPPLY_INFORMATION = "CASE_SUPPLY_INFORMATION"
    CASE_SUSPEND = "CASE_SUSPEND"
    CASE_RESUME = "CASE_RESUME"
    CASE_EXTEND_TERM = "CASE_EXTEND_TERM"
    CASE_WITHDRAW = "CASE_WITHDRAW"
    CASE_CANCEL = "CASE_CANCEL"
    CASE_REOPEN = "CASE_REOPEN"
    CASE_REQUEST_REVIEW = "CASE_REQUEST_REVIEW"
    CASE_ADD_NOTE = "CASE_ADD_NOTE"
    CO_APPLICATION_CONFIRM = "CO_APPLICATION_CONFIRM"
    CO_APPLICATION_REFUSE = "CO_APPLICATION_REFUSE"
    DECISION_TAKE = "DECISION_TAKE"
    PAYMENT_START = "PAYMENT_START"
    PAYMENT_REGISTER = "PAYMENT_REGISTER"
    INVOICE_CREDIT = "INVOICE_CREDIT"
    INVOICE_WRITE_OFF = "INVOICE_WRITE_OFF"
    DELIVERY_HOLD_SLOT = "DELIVERY_HOLD_SLOT"
    DELIVERY_BOOK_SLOT = "DELIVERY_BOOK_SLOT"
    DELIVERY_RESCHEDULE = "DELIVERY_RESCHEDULE"
    DELIVERY_CONFIRM = "DELIVERY_CONFIRM"
    DELIVERY_REPORT_MISSED = "DELIVERY_REPORT_MISSED"
    DELIVERY_CANCEL = "DELIVERY_CANCEL"
    REFUND_ORDER = "REFUND_ORDER"
    DEPOSIT_RETURN = "DEPOSIT_RETURN"
    TASK_COMPLETE = "TASK_COMPLETE"
    MESSAGE_RESEND = "MESSAGE_RESEND"
    CHECK_REPEAT = "CHECK_REPEAT"
    CHECK_REPLACE_BY_DOCUMENT = "CHECK_REPLACE_BY_DOCUMENT"
    ADVICE_REQUEST = "ADVICE_REQUEST"
    ADVICE_GIVE = "ADVICE_GIVE"
    ADVICE_WITHDRAW = "ADVICE_WITHDRAW"
    DECISION_PREPARE = "DECISION_PREPARE"
    DECISION_SEND_TO_MINUTES = "DECISION_SEND_TO_MINUTES"
    DECISION_RECORD = "DECISION_RECORD"
    DECISION_CONFIRM = "DECISION_CONFIRM"
    DECISION_WITHDRAW = "DECISION_WITHDRAW"
    PAYOUT_ORDER = "PAYOUT_ORDER"
    PAYOUT_APPROVE = "PAYOUT_APPROVE"
    PAYOUT_DECLINE = "PAYOUT_DECLINE"
    PAYOUT_CANCEL = "PAYOUT_CANCEL"
    PAYOUT_CORRECT_ACCOUNT = "PAYOUT_CORRECT_ACCOUNT"
    PAYOUT_RECORD = "PAYOUT_RECORD"
    EXPERIENCE_RATE = "EXPERIENCE_RATE"


def _field(action: CaseAction) -> str:
    """CASE_ADD_NOTE → caseAddNote."""
    first, *rest = action.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


enumeration(
    CaseAction,
    {member.name: f"Mutation `{_field(member)}`." for member in CaseAction},
)

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
    CaseAction.CO_APPLICATION_CONFIRM: (Action.CONFIRM_CO_APPLICATION,),
    CaseAction.CO_APPLICATION_REFUSE: (Action.REFUSE_CO_APPLICATION,),
    CaseAction.ADVICE_REQUEST: (Action.REQUEST_ADVICE,),
    CaseAction.DECISION_PREPARE: (Action.PREPARE_DECISION,),
    CaseAction.DECISION_TAKE: (Action.GRANT, Action.REFUSE),
    CaseAction.DECISION_SEND_TO_MINUTES: (Action.SEND_TO_MINUTES,),
    CaseAction.DECISION_RECORD: (Action.POSTPONE, Action.MODIFY),
    CaseAction.DECISION_WITHDRAW: (Action.REVOKE,),
    CaseAction.PAYMENT_REGISTER: (Action.PAY,),
    CaseAction.INVOICE_CREDIT: (Action.PAY, Action.PASS),
    CaseAction.INVOICE_WRITE_OFF: (Action.PASS,),
    CaseAction.PAYOUT_ORDER: (Action.ORDER_PAYOUT,),
    CaseAction.PAYOUT_APPROVE: (Action.APPROVE_PAYOUT,),
    CaseAction.PAYOUT_DECLINE: (Action.DECLINE_PAYOUT,),
    CaseAction.PAYOUT_CANCEL: (Action.CANCEL_PAYOUT,),
    CaseAction.PAYOUT_CORRECT_ACCOUNT: (Action.CORRECT_ACCOUNT,),
    CaseAction.DELIVERY_HOLD_SLOT: (Action.BOOK_SLOT,),
    CaseAction.DELIVERY_BOOK_SLOT: (Action.BOOK_SLOT,),
    CaseAction.DELIVERY_RESCHEDULE: (Action.RESCHEDULE,),
    CaseAction.DELIVERY_CANCEL: (Action.LOSE_SLOT,),
}
"""The mutations that change a part of the case, and by it the case."""


def named(actions: Iterable[str]) -> list[CaseAction]:
    """The mutations that take these steps; steps that only the system takes have none."""
    wanted = set(actions)
    return [action for action, steps in (STEPS | _OF_PARTS).items() if wanted & {str(one) for one in steps}]
