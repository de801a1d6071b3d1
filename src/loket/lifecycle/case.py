"""The case's own table, composed from the stages of its procedure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from loket.lifecycle.kinds import FINAL, Action, EventType, Role, Stage, Status, TimerKind
from loket.lifecycle.machine import (
    APPLICANTS,
    BACK_OFFICE,
    BODIES,
    BOOKKEEPERS,
    CITIZENS,
    CO_APPLICANTS,
    FIELD_TEAM,
    HANDLERS,
    MONEY,
    ORDERERS,
    RULES,
    SECRETARIES,
    STAFF,
    SYSTEM,
    Machine,
    Step,
    Wait,
)

CaseState = tuple[Stage, Status]
CaseStep = Step[CaseState, Action]
CaseMachine = Machine[CaseState, Action]

ENTRY: dict[Stage, tuple[Status, EventType]] = {
    Stage.SCREENING: (Status.SCREENING, EventType.SCREENING_STARTED),
    Stage.ASSESSMENT: (Status.ASSESSMENT, EventType.ASSESSMENT_STARTED),
    Stage.DECISION: (Status.AWAITING_DECISION, EventType.DECISION_PENDING),
    Stage.PAYMENT: (Status.AWAITING_PAYMENT, EventType.PAYMENT_DUE),
    Stage.PLANNING: (Status.AWAITING_SLOT, EventType.SLOT_NEEDED),
    Stage.DELIVERY: (Status.AWAITING_DELIVERY, EventType.DELIVERY_PENDING),
    Stage.PAYOUT: (Status.AWAITING_PAYOUT, EventType.PAYOUT_DUE),
}
"""The status that a case has when it enters a stage, and the event that says so."""


class _To(StrEnum):
    """Targets that only a composed table knows."""

    NEXT = "NEXT"
    SAME = "SAME"
    DECISION = "DECISION"
    """Back to the decision: what was decided does not hold any more."""


@dataclass(frozen=True)
class _Row:
    status: Status
    action: Action
    to: Status | _To
    by: frozenset[Role]
    event: EventType


S, A, E, T = Status, Action, EventType, TimerKind
NEXT, SAME = _To.NEXT, _To.SAME

# fmt: off
_ROWS: dict[Stage, tuple[_Row, ...]] = {
    Stage.SCREENING: (
        #    from                  action                  to                     by           event
        _Row(S.SCREENING,          A.DECLARE_ADMISSIBLE,   NEXT,                 RULES,       E.ADMISSIBLE),
        _Row(S.SCREENING,          A.DECLARE_INADMISSIBLE, S.INADMISSIBLE,       RULES,       E.INADMISSIBLE),
        _Row(S.SCREENING,          A.REFER,                SAME,                 SYSTEM,      E.REFERRED),
        _Row(S.SCREENING,          A.REQUEST_INFORMATION,  S.AWAITING_APPLICANT, HANDLERS,    E.INFORMATION_REQUESTED),
        _Row(S.AWAITING_APPLICANT, A.SUPPLY_INFORMATION,   S.SCREENING,          APPLICANTS,  E.INFORMATION_SUPPLIED),
        _Row(S.AWAITING_APPLICANT, A.STOP_WAITING,         S.SCREENING,          RULES,       E.INFORMATION_LAPSED),
        _Row(S.SCREENING,          A.ASK_CO_APPLICANT,     S.AWAITING_APPLICANT, SYSTEM,      E.CO_APPLICANT_ASKED),
        _Row(S.AWAITING_APPLICANT, A.CONFIRM_CO_APPLICATION, S.SCREENING,        CO_APPLICANTS, E.CO_APPLICANT_CONFIRMED),
        _Row(S.AWAITING_APPLICANT, A.REFUSE_CO_APPLICATION, S.SCREENING,         CO_APPLICANTS, E.CO_APPLICANT_REFUSED),
        _Row(S.AWAITING_APPLICANT, A.LAPSE_CO_APPLICATION, S.SCREENING,          RULES,       E.CO_APPLICANT_LAPSED),
    ),
    Stage.ASSESSMENT: (
        _Row(S.ASSESSMENT,         A.REQUEST_ADVICE,       S.AWAITING_ADVICE,    RULES,       E.ADVICE_REQUESTED),
        _Row(S.ASSESSMENT,         A.PREPARE_DECISION,     NEXT,                 HANDLERS,    E.DECISION_PREPARED),
        _Row(S.ASSESSMENT,         A.PASS,                 NEXT,                 SYSTEM,      E.STAGE_PASSED),
        _Row(S.ASSESSMENT,         A.REFER,                SAME,                 SYSTEM,      E.REFERRED),
        _Row(S.ASSESSMENT,         A.REQUEST_INFORMATION,  S.AWAITING_APPLICANT, HANDLERS,    E.INFORMATION_REQUESTED),
        _Row(S.AWAITING_ADVICE,    A.REQUEST_ADVICE,       SAME,                 RULES,       E.ADVICE_REQUESTED),
        _Row(S.AWAITING_ADVICE,    A.END_ADVICE,           S.ASSESSMENT,         RULES,       E.ADVICE_COMPLETE),
        _Row(S.AWAITING_APPLICANT, A.SUPPLY_INFORMATION,   S.ASSESSMENT,         APPLICANTS,  E.INFORMATION_SUPPLIED),
        _Row(S.AWAITING_APPLICANT, A.STOP_WAITING,         S.ASSESSMENT,         RULES,       E.INFORMATION_LAPSED),
    ),
    Stage.DECISION: (
        _Row(S.AWAITING_DECISION,  A.PREPARE_DECISION,     SAME,                 HANDLERS,    E.DECISION_PREPARED),
        _Row(S.AWAITING_DECISION,  A.SEND_TO_MINUTES,      SAME,                 HANDLERS,    E.DECISION_SENT),
        _Row(S.AWAITING_DECISION,  A.POSTPONE,             SAME,                 SECRETARIES, E.DECISION_POSTPONED),
        _Row(S.AWAITING_DECISION,  A.MODIFY,               SAME,                 SECRETARIES, E.DECISION_MODIFIED),
        _Row(S.AWAITING_DECISION,  A.GRANT,                S.APPROVED,           BODIES,      E.APPROVED),
        _Row(S.AWAITING_DECISION,  A.GRANT_PARTLY,         S.APPROVED,           BODIES,      E.PARTLY_APPROVED),
        _Row(S.AWAITING_DECISION,  A.REFUSE,               S.REJECTED,           BODIES,      E.REJECTED),
        _Row(S.AWAITING_DECISION,  A.REFER,                SAME,                 SYSTEM,      E.REFERRED),
        _Row(S.AWAITING_DECISION,  A.REQUEST_INFORMATION,  S.AWAITING_APPLICANT, HANDLERS,    E.INFORMATION_REQUESTED),
        _Row(S.AWAITING_APPLICANT, A.SUPPLY_INFORMATION,   S.AWAITING_DECISION,  APPLICANTS,  E.INFORMATION_SUPPLIED),
        _Row(S.AWAITING_APPLICANT, A.STOP_WAITING,         S.AWAITING_DECISION,  RULES,       E.INFORMATION_LAPSED),
        _Row(S.APPROVED,           A.PASS,                 NEXT,                 SYSTEM,      E.STAGE_PASSED),
    ),
    Stage.PAYMENT: (
        _Row(S.AWAITING_PAYMENT,   A.PASS,                 NEXT,                 SYSTEM,      E.STAGE_PASSED),
        _Row(S.AWAITING_PAYMENT,   A.PAY,                  NEXT,                 MONEY,       E.PAID),
        _Row(S.AWAITING_PAYMENT,   A.REMIND,               SAME,                 SYSTEM,      E.PAYMENT_REMINDED),
        _Row(S.AWAITING_PAYMENT,   A.GIVE_UP,              S.CANCELLED,          SYSTEM,      E.CANCELLED),
        _Row(S.AWAITING_PAYMENT,   A.HAND_OVER,            NEXT,                 SYSTEM,      E.HANDED_OVER),
    ),
    Stage.PLANNING: (
        _Row(S.AWAITING_SLOT,      A.BOOK_SLOT,            NEXT,                 CITIZENS,    E.PLANNED),
        _Row(S.AWAITING_SLOT,      A.REMIND,               SAME,                 SYSTEM,      E.SLOT_REMINDED),
    ),
    Stage.DELIVERY: (
        _Row(S.AWAITING_DELIVERY,  A.CONFIRM_DELIVERY,     NEXT,                 FIELD_TEAM,  E.DELIVERED),
        _Row(S.AWAITING_DELIVERY,  A.REPORT_MISSED,        S.AWAITING_SLOT,      FIELD_TEAM,  E.MISSED),
        _Row(S.AWAITING_DELIVERY,  A.RESCHEDULE,           SAME,                 APPLICANTS,  E.RESCHEDULED),
        _Row(S.AWAITING_DELIVERY,  A.MOVE_SLOT,            SAME,                 SYSTEM,      E.SLOT_MOVED),
        _Row(S.AWAITING_DELIVERY,  A.LOSE_SLOT,            S.AWAITING_SLOT,      RULES,       E.SLOT_LOST),
        # It was handed over, or the slot was lost, and that was told, before the delivery was due.
        _Row(S.AWAITING_DELIVERY,  A.PASS,                 NEXT,                 SYSTEM,      E.STAGE_PASSED),
        _Row(S.AWAITING_DELIVERY,  A.ASK_SLOT,             S.AWAITING_SLOT,      SYSTEM,      E.SLOT_NEEDED),
        _Row(S.AWAITING_SLOT,      A.BOOK_SLOT,            S.AWAITING_DELIVERY,  CITIZENS,    E.PLANNED),
        _Row(S.AWAITING_SLOT,      A.REMIND,               SAME,                 SYSTEM,      E.SLOT_REMINDED),
    ),
    Stage.PAYOUT: (
        _Row(S.AWAITING_PAYOUT,    A.ORDER_PAYOUT,         SAME,                 ORDERERS,    E.PAYOUT_ORDERED),
        _Row(S.AWAITING_PAYOUT,    A.APPROVE_PAYOUT,       SAME,                 BOOKKEEPERS, E.PAYOUT_APPROVED),
        _Row(S.AWAITING_PAYOUT,    A.DECLINE_PAYOUT,       SAME,                 BOOKKEEPERS, E.PAYOUT_DECLINED),
        _Row(S.AWAITING_PAYOUT,    A.CANCEL_PAYOUT,        SAME,                 ORDERERS,    E.PAYOUT_CANCELLED),
        _Row(S.AWAITING_PAYOUT,    A.ASK_ACCOUNT,          S.AWAITING_APPLICANT, MONEY,       E.ACCOUNT_NEEDED),
        _Row(S.AWAITING_PAYOUT,    A.PAY_OUT,              NEXT,                 MONEY,       E.PAID_OUT),
        _Row(S.AWAITING_PAYOUT,    A.PASS,                 NEXT,                 SYSTEM,      E.STAGE_PASSED),
        _Row(S.AWAITING_PAYOUT,    A.REVOKE,               _To.DECISION,         BODIES,      E.DECISION_WITHDRAWN),
        _Row(S.AWAITING_PAYOUT,    A.CORRECT_ACCOUNT,      SAME,                 APPLICANTS,  E.ACCOUNT_CORRECTED),
        _Row(S.AWAITING_APPLICANT, A.CORRECT_ACCOUNT,      S.AWAITING_PAYOUT,    APPLICANTS,  E.ACCOUNT_CORRECTED),
        _Row(S.AWAITING_APPLICANT, A.STOP_WAITING,         S.AWAITING_PAYOUT,    RULES,       E.ACCOUNT_LAPSED),
        _Row(S.AWAITING_APPLICANT, A.PAY_OUT,              NEXT,                 MONEY,       E.PAID_OUT),
        _Row(S.AWAITING_APPLICANT, A.REVOKE,               _To.DECISION,         BODIES,      E.DECISION_WITHDRAWN),
    ),
}

_ANY_OPEN: tuple[_Row, ...] = (
    _Row(S.RECEIVED,           A.ASSIGN,               SAME,                 STAFF,       E.ASSIGNED),
    _Row(S.RECEIVED,           A.RELEASE,              SAME,                 STAFF,       E.RELEASED),
    _Row(S.RECEIVED,           A.ADD_NOTE,             SAME,                 BACK_OFFICE, E.NOTE_ADDED),
    _Row(S.RECEIVED,           A.SUSPEND,              SAME,                 HANDLERS,    E.SUSPENDED),
    _Row(S.RECEIVED,           A.RESUME,               SAME,                 RULES,       E.RESUMED),
    _Row(S.RECEIVED,           A.EXTEND_TERM,          SAME,                 HANDLERS,    E.TERM_EXTENDED),
    _Row(S.RECEIVED,           A.LAPSE_TERM,           SAME,                 SYSTEM,      E.TERM_LAPSED),
)
"""In every open state; the status named here is replaced by that state's own."""

_UNTIL_DELIVERED: tuple[_Row, ...] = (
    _Row(S.RECEIVED,           A.WITHDRAW,             S.WITHDRAWN,          APPLICANTS,  E.WITHDRAWN),
    _Row(S.RECEIVED,           A.CANCEL,               S.CANCELLED,          HANDLERS,    E.CANCELLED),
)
"""In every open state up to the hand-over of goods or money; for money the verb looks whether it was sent."""

_ENDS: dict[tuple[Stage, Status], tuple[TimerKind, str]] = {
    (Stage.SCREENING, S.SCREENING):             (T.TERM,                 "alarm, then lapsed; a handler decides"),
    (Stage.SCREENING, S.AWAITING_APPLICANT):    (T.ANSWER,               "a handler decides on what there is"),
    (Stage.ASSESSMENT, S.ASSESSMENT):           (T.TERM,                 "alarm, then lapsed; a handler decides"),
    (Stage.ASSESSMENT, S.AWAITING_ADVICE):      (T.ADVICE_END,           "no reaction; the case goes on without it"),
    (Stage.ASSESSMENT, S.AWAITING_APPLICANT):   (T.ANSWER,               "a handler decides on what there is"),
    (Stage.DECISION, S.AWAITING_DECISION):      (T.TERM,                 "alarm, then lapsed; a handler decides"),
    (Stage.DECISION, S.AWAITING_APPLICANT):     (T.ANSWER,               "a handler decides on what there is"),
    (Stage.PAYMENT, S.AWAITING_PAYMENT):        (T.PAYMENT_END,          "reminded, then cancelled or handed over"),
    (Stage.PLANNING, S.AWAITING_SLOT):          (T.SLOT_END,             "reminded, then the first free slot"),
    (Stage.DELIVERY, S.AWAITING_SLOT):          (T.SLOT_END,             "reminded, then the first free slot"),
    (Stage.DELIVERY, S.AWAITING_DELIVERY):      (T.DELIVERY_UNCONFIRMED, "task: was it delivered?"),
    (Stage.PAYOUT, S.AWAITING_PAYOUT):          (T.PAYOUT_END,           "task: it must be paid out"),
    (Stage.PAYOUT, S.AWAITING_APPLICANT):       (T.ANSWER,               "task: no account to pay to"),
}
# fmt: on

_PASSING = frozenset({Status.RECEIVED, Status.APPROVED})
"""Left in the same transaction in which they are entered."""


class StageOrderError(Exception):
    """The stages of a procedure make no sense in this order; the message says why."""


@lru_cache(maxsize=256)
def case_machine(stages: tuple[Stage, ...]) -> CaseMachine:
    """The transition table of a case whose procedure has these `stages`, in this order.

    Raises:
        StageOrderError: an unknown or repeated stage, or an order that makes no sense.
    """
    _check_order(stages)
    steps: list[CaseStep] = []
    for number, stage in enumerate(stages):
        following = stages[number + 1] if number + 1 < len(stages) else None
        rows = list(_ROWS[stage])
        if number == 0:
            rows.insert(0, _Row(Status.RECEIVED, Action.BEGIN, ENTRY[stage][0], SYSTEM, ENTRY[stage][1]))
        statuses = list(dict.fromkeys(row.status for row in rows))
        handed_over = Stage.DELIVERY in stages[:number] or Stage.PAYOUT in stages[:number]
        for status in statuses:
            rows += [replace(row, status=status) for row in _ANY_OPEN]
            rows += [replace(row, status=status) for row in ([] if handed_over else _UNTIL_DELIVERED)]
        steps += [_step(stage, row, following) for row in rows]
    for stage in stages:
        for final in sorted(FINAL):
            steps.append(
                Step((stage, final), Action.REOPEN, (stage, Status.RECEIVED), STAFF, EventType.REOPENED)
            )
            steps.append(
                Step((stage, final), Action.ADD_NOTE, (stage, final), BACK_OFFICE, EventType.NOTE_ADDED)
            )
    open_states = frozenset(
        step.state for step in steps if step.state[1] not in FINAL and step.state[1] not in _PASSING
    )
    waits = tuple(Wait(state, *_ENDS[state]) for state in sorted(open_states) if state in _ENDS)
    return Machine(f"case: {' → '.join(stages)}", tuple(steps), open_states, waits)


def _step(stage: Stage, row: _Row, following: Stage | None) -> CaseStep:
    to: CaseState
    if row.to is _To.SAME:
        to = (stage, row.status)
    elif row.to is _To.NEXT:
        to = (following, ENTRY[following][0]) if following else (stage, Status.COMPLETED)
    elif row.to is _To.DECISION:
        to = (Stage.DECISION, ENTRY[Stage.DECISION][0])
    else:
        to = (stage, Status(row.to))
    return Step((stage, row.status), row.action, to, row.by, row.event)


def _check_order(stages: Sequence[Stage]) -> None:
    if not stages:
        raise StageOrderError("a procedure needs at least one stage")
    for stage in stages:
        if stage not in ENTRY:
            raise StageOrderError(f"the stage '{stage}' is not supported by this version")
        if stages.count(stage) > 1:
            raise StageOrderError(f"the stage '{stage}' stands twice")

    def after(later: Stage, earlier: Stage) -> None:
        if later in stages and (earlier not in stages or stages.index(earlier) > stages.index(later)):
            raise StageOrderError(f"'{later}' needs '{earlier}' before it")

    after(Stage.DELIVERY, Stage.DECISION)
    after(Stage.DELIVERY, Stage.PLANNING)
    after(Stage.PAYOUT, Stage.DECISION)
    if Stage.DECISION in stages:
        after(Stage.DECISION, Stage.SCREENING)
    if Stage.PLANNING in stages and Stage.DELIVERY not in stages:
        raise StageOrderError("'planning' agrees on a slot for 'delivery', which is missing")
    if Stage.ASSESSMENT in stages:
        after(Stage.ASSESSMENT, Stage.SCREENING)
        if Stage.DECISION not in stages or stages.index(Stage.DECISION) < stages.index(Stage.ASSESSMENT):
            raise StageOrderError("'assessment' leads to a 'decision', which must follow it")
