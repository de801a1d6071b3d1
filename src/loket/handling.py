"""What staff do with a case beside deciding on it: take it on, note, suspend, settle tasks."""

from datetime import date, timedelta
from uuid import UUID

from loket import cases, departments
from loket.errors import ErrorCode, Refused
from loket.lifecycle import Action, Role, Stage, TaskStatus
from loket.records import Case, Note, Staff, Task
from loket.work import Work

MAX_NOTE = 10_000
MAX_EXTENSION_DAYS = 365
WITH_TERM = frozenset({Stage.SCREENING, Stage.ASSESSMENT, Stage.DECISION})
"""The term is one to decide in: what follows a decision has terms of its own."""

# fmt: off
TASKS: dict[Role, tuple[str, ...]] = {
    Role.HANDLER: (
        "REFERRED", "SOURCES_UNKNOWN", "ASSESS", "DECIDE", "CHECK_FAILED", "ADVISER_NOT_REACHED",
        "CONFIRM_DECISION", "DECISION_UNSIGNED", "DECISION_AFTER_WITHDRAWAL", "ANSWER_LAPSED",
        "TERM_ALARM", "TERM_LAPSED", "REVIEW_REQUESTED", "ORDER_PAYOUT", "NO_FREE_SLOT",
        "DELIVERED_UNEXPECTEDLY", "NUMBER_REPLACED", "APPLICANT_DECEASED", "APPLICANT_MOVED",
        "NOT_REACHED", "NO_ADDRESS", "LETTER_NOT_MADE", "VALIDITY_UNCLEAR", "RENEWAL_AT_COUNTER",
    ),
    Role.FINANCE: (
        "APPROVE_PAYOUT", "PAYOUT_LATE", "PAYOUT_DIFFERS", "PAYOUT_IN_DOUBT", "PAYOUT_REJECTED",
        "PAYOUT_RETURNED", "PAYOUT_NOT_SENT",
        "PAYOUT_NOT_RECALLED", "RECOVERY", "REFUND_DUE", "PAYMENT_UNMATCHED", "ENTRY_REJECTED",
        "CHARGED_BACK", "DEPOSIT_DUE",
    ),
    Role.SECRETARIAT: (
        "MINUTES_WARNING", "DOCUMENT_DIFFERS", "DECISION_REMOVED", "DECISION_DIFFERS", "NO_SUCCESSOR",
        "AGENDA_ITEM_TO_CORRECT", "NOTIFY_LATE",
    ),
    Role.FIELD_WORKER: ("DELIVERY_UNCONFIRMED",),
}
# fmt: on
"""Whose task it is, by its kind; one that stands nowhere is the handler's. An operator may settle any."""


def role_of(kind: str) -> Role:
    """Whose task one of this kind is."""
    return next((role for role, kinds in TASKS.items() if kind in kinds), Role.HANDLER)


def may_settle(kind: str, roles: frozenset[Role]) -> bool:
    return bool(roles & {role_of(kind), Role.OPERATOR})


async def assign(work: Work, case: Case, staff_id: UUID | None) -> None:
    """Give the case to a handler of its department; without `staff_id` to oneself.

    Raises:
        Refused: NOT_FOUND for somebody unknown; VALIDATION for who is no handler of this department, as far
            as ACM/IDM last told.
    """
    handler = await work.session.get(Staff, staff_id or work.actor.id)
    if handler is None:
        raise Refused(ErrorCode.NOT_FOUND, path=["handlerId"])
    known = departments.roles_of(handler.roles), departments.departments_of(handler.roles)
    if Role.HANDLER not in departments.roles_at(*known, case.department):
        dutch, english = f"geen behandelaar van {case.department}", f"no handler of {case.department}"
        reason = english if work.actor.language == "en" else dutch
        raise Refused(ErrorCode.VALIDATION, path=["handlerId"], reason=reason)
    case.handler_id = handler.id
    name = f"{handler.given_name} {handler.family_name}".strip()
    await cases.advance(work, case, Action.ASSIGN, data={"handler": name})


async def release(work: Work, case: Case) -> None:
    """Give the case back to the queue.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when nobody has it.
    """
    if case.handler_id is None:
        raise _not_now(work, case, Action.RELEASE)
    case.handler_id = None
    await cases.advance(work, case, Action.RELEASE)


async def suspend(work: Work, case: Case, reason: str) -> None:
    """Stop the clock.

    Raises:
        Refused: TRANSITION_NOT_ALLOWED when it stands still already, the procedure's never does, or it was
            decided.
    """
    if cases.stands_still(case) or not work.definition(case).term.suspendable or case.stage not in WITH_TERM:
        raise _not_now(work, case, Action.SUSPEND)
    if not reason.strip():
        raise Refused(ErrorCode.REQUIRED, path=["input", "reason"])
    await cases.advance(work, case, Action.SUSPEND, data={"reasons": [reason.strip()[:1000]]})
    case.suspensions = [
        *case.suspensions,
        {"reason": reason.strip()[:1000], "from": work.today.isoformat(), "to": None},
    ]


async def resume(work: Work, case: Case) -> None:
    """Let the clock run on; the days that it stood still are added to the term."""
    if not cases.stands_still(case):
        raise _not_now(work, case, Action.RESUME)
    await cases.advance(work, case, Action.RESUME)
    await cases.end_suspension(work, case)


async def extend_term(work: Work, case: Case, until: date, reason: str) -> None:
    """Make the term to decide in longer; what warned that it would lapse, or had lapsed, is settled by that.

    Raises:
        Refused: VALIDATION for a day that is not later than the present term, or too far away;
            TRANSITION_NOT_ALLOWED once it was decided.
    """
    if case.stage not in WITH_TERM:
        raise _not_now(work, case, Action.EXTEND_TERM)
    if not case.due_on < until <= case.due_on + timedelta(days=MAX_EXTENSION_DAYS):
        raise Refused(ErrorCode.VALIDATION, path=["input", "until"], reason=f"later than {case.due_on}")
    if not reason.strip():
        raise Refused(ErrorCode.REQUIRED, path=["input", "reason"])
    case.due_on = until
    case.overdue = False
    await cases.advance(work, case, Action.EXTEND_TERM, data={"reasons": [reason.strip()[:1000]]})
    await cases.complete_tasks(work, case, "TERM_ALARM", "TERM_LAPSED", remark=f"extended to {until}")
    await cases.arm_term(work, case)


async def add_note(work: Work, case: Case, text: str) -> Note:
    if not text.strip():
        raise Refused(ErrorCode.REQUIRED, path=["input", "text"])
    if len(text) > MAX_NOTE:
        raise Refused(ErrorCode.TOO_LARGE, path=["input", "text"], limit=f"{MAX_NOTE} characters")
    if work.actor.id is None or not work.actor.is_staff:
        raise cases.not_allowed(work, case)
    await cases.advance(work, case, Action.ADD_NOTE)
    note = Note(case_id=case.id, staff_id=work.actor.id, text=text.strip(), created_at=work.now)
    work.session.add(note)
    return note


async def complete_task(work: Work, task_id: UUID, remark: str) -> Task:
    """Say that a task is settled.

    Raises:
        Refused: NOT_FOUND; NOT_ALLOWED for a task of another role; TRANSITION_NOT_ALLOWED when it is settled
            already.
    """
    task = await work.session.get(Task, task_id)
    if task is None:
        raise Refused(ErrorCode.NOT_FOUND)
    case = await cases.get(work, task.case_id)
    await work.session.refresh(task)
    if not may_settle(task.kind, cases.roles_in(work, case)):
        raise Refused(ErrorCode.NOT_ALLOWED)
    if task.status is not TaskStatus.OPEN:
        raise Refused(ErrorCode.TRANSITION_NOT_ALLOWED, status=task.status)
    await cases.complete_tasks(work, case, task.kind, remark=remark.strip()[:1000])
    return task


def _not_now(work: Work, case: Case, action: Action) -> Refused:
    """The status would allow it, but a fact does not."""
    refusal = cases.not_allowed(work, case)
    allowed = refusal.extra["allowed_actions"]
    refusal.extra["allowed_actions"] = [one for one in allowed if one != action]
    return refusal
