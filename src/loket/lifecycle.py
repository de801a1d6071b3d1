"""The published transition tables, as data, and the small engine that reads them. No I/O.

A `Machine` maps (state, action) to a step: the next state, who may take it, and the event that
records it. The case's own machine is composed from the stages of its procedure: `case_machine`.
What is printed in the documentation, what `viewerAvailableActions` shows and what the server
enforces are these same rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Generic, TypeVar


class Stage(StrEnum):
    """A step of a procedure's machine; a case is in one at a time."""

    SCREENING = "screening"
    ASSESSMENT = "assessment"
    DECISION = "decision"
    PAYMENT = "payment"
    PLANNING = "planning"
    DELIVERY = "delivery"
    PAYOUT = "payout"


class Status(StrEnum):
    """Where a case stands (status van het dossier)."""

    RECEIVED = "RECEIVED"
    SCREENING = "SCREENING"
    AWAITING_APPLICANT = "AWAITING_APPLICANT"
    INADMISSIBLE = "INADMISSIBLE"
    ASSESSMENT = "ASSESSMENT"
    AWAITING_ADVICE = "AWAITING_ADVICE"
    AWAITING_DECISION = "AWAITING_DECISION"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    AWAITING_SLOT = "AWAITING_SLOT"
    AWAITING_DELIVERY = "AWAITING_DELIVERY"
    AWAITING_PAYOUT = "AWAITING_PAYOUT"
    COMPLETED = "COMPLETED"
    WITHDRAWN = "WITHDRAWN"
    CANCELLED = "CANCELLED"


FINAL = frozenset(
    {Status.INADMISSIBLE, Status.REJECTED, Status.COMPLETED, Status.WITHDRAWN, Status.CANCELLED},
)


class Role(StrEnum):
    """In which quality somebody acts."""

    APPLICANT = "APPLICANT"
    HANDLER = "HANDLER"
    FIELD_WORKER = "FIELD_WORKER"
    FINANCE = "FINANCE"
    ADVISER = "ADVISER"
    SECRETARIAT = "SECRETARIAT"
    """Of the general director: makes decisions of the bodies ready, and records them."""
    OPERATOR = "OPERATOR"
    SYSTEM = "SYSTEM"
    """A rule, a timer, or a fact that another system told us."""


class Action(StrEnum):
    """What moves a case. Those that a person takes are offered as `CaseAction`."""

    BEGIN = "BEGIN"
    REFER = "REFER"
    DECLARE_ADMISSIBLE = "DECLARE_ADMISSIBLE"
    DECLARE_INADMISSIBLE = "DECLARE_INADMISSIBLE"
    REQUEST_INFORMATION = "REQUEST_INFORMATION"
    SUPPLY_INFORMATION = "SUPPLY_INFORMATION"
    STOP_WAITING = "STOP_WAITING"
    REQUEST_ADVICE = "REQUEST_ADVICE"
    END_ADVICE = "END_ADVICE"
    PREPARE_DECISION = "PREPARE_DECISION"
    SEND_TO_MINUTES = "SEND_TO_MINUTES"
    POSTPONE = "POSTPONE"
    MODIFY = "MODIFY"
    GRANT = "GRANT"
    GRANT_PARTLY = "GRANT_PARTLY"
    REFUSE = "REFUSE"
    REVOKE = "REVOKE"
    PASS = "PASS"  # noqa: S105  # no password: the stage passes
    PAY = "PAY"
    REMIND = "REMIND"
    GIVE_UP = "GIVE_UP"
    HAND_OVER = "HAND_OVER"
    BOOK_SLOT = "BOOK_SLOT"
    RESCHEDULE = "RESCHEDULE"
    MOVE_SLOT = "MOVE_SLOT"
    LOSE_SLOT = "LOSE_SLOT"
    ASK_SLOT = "ASK_SLOT"
    CONFIRM_DELIVERY = "CONFIRM_DELIVERY"
    REPORT_MISSED = "REPORT_MISSED"
    ORDER_PAYOUT = "ORDER_PAYOUT"
    APPROVE_PAYOUT = "APPROVE_PAYOUT"
    DECLINE_PAYOUT = "DECLINE_PAYOUT"
    CANCEL_PAYOUT = "CANCEL_PAYOUT"
    ASK_ACCOUNT = "ASK_ACCOUNT"
    CORRECT_ACCOUNT = "CORRECT_ACCOUNT"
    PAY_OUT = "PAY_OUT"
    WITHDRAW = "WITHDRAW"
    CANCEL = "CANCEL"
    REOPEN = "REOPEN"
    ASSIGN = "ASSIGN"
    RELEASE = "RELEASE"
    ADD_NOTE = "ADD_NOTE"
    SUSPEND = "SUSPEND"
    RESUME = "RESUME"
    EXTEND_TERM = "EXTEND_TERM"
    LAPSE_TERM = "LAPSE_TERM"


class EventType(StrEnum):
    """What happened; one row of the timeline each."""

    SUBMITTED = "SUBMITTED"
    SCREENING_STARTED = "SCREENING_STARTED"
    REFERRED = "REFERRED"
    ADMISSIBLE = "ADMISSIBLE"
    INADMISSIBLE = "INADMISSIBLE"
    INFORMATION_REQUESTED = "INFORMATION_REQUESTED"
    INFORMATION_REMINDED = "INFORMATION_REMINDED"
    INFORMATION_SUPPLIED = "INFORMATION_SUPPLIED"
    INFORMATION_LAPSED = "INFORMATION_LAPSED"
    ASSESSMENT_STARTED = "ASSESSMENT_STARTED"
    CHECK_STARTED = "CHECK_STARTED"
    CHECK_ANSWERED = "CHECK_ANSWERED"
    CHECK_FAILED = "CHECK_FAILED"
    CHECK_REPLACED = "CHECK_REPLACED"
    ADVICE_REQUESTED = "ADVICE_REQUESTED"
    ADVICE_REMINDED = "ADVICE_REMINDED"
    ADVICE_GIVEN = "ADVICE_GIVEN"
    ADVICE_LAPSED = "ADVICE_LAPSED"
    ADVICE_WITHDRAWN = "ADVICE_WITHDRAWN"
    ADVICE_COMPLETE = "ADVICE_COMPLETE"
    DECISION_PENDING = "DECISION_PENDING"
    DECISION_PREPARED = "DECISION_PREPARED"
    DECISION_SENT = "DECISION_SENT"
    DECISION_ON_AGENDA = "DECISION_ON_AGENDA"
    DECISION_POSTPONED = "DECISION_POSTPONED"
    DECISION_MODIFIED = "DECISION_MODIFIED"
    DECISION_SIGNED = "DECISION_SIGNED"
    DECISION_WITHDRAWN = "DECISION_WITHDRAWN"
    LETTER_SENT = "LETTER_SENT"
    APPROVED = "APPROVED"
    PARTLY_APPROVED = "PARTLY_APPROVED"
    REJECTED = "REJECTED"
    STAGE_PASSED = "STAGE_PASSED"
    PAYMENT_DUE = "PAYMENT_DUE"
    PAYMENT_RECEIVED = "PAYMENT_RECEIVED"
    PAID = "PAID"
    PAYMENT_REMINDED = "PAYMENT_REMINDED"
    HANDED_OVER = "HANDED_OVER"
    REFUND_DUE = "REFUND_DUE"
    REFUNDED = "REFUNDED"
    SLOT_NEEDED = "SLOT_NEEDED"
    SLOT_REMINDED = "SLOT_REMINDED"
    SLOT_HELD = "SLOT_HELD"
    PLANNED = "PLANNED"
    RESCHEDULED = "RESCHEDULED"
    SLOT_MOVED = "SLOT_MOVED"
    SLOT_LOST = "SLOT_LOST"
    DELIVERY_PENDING = "DELIVERY_PENDING"
    DELIVERED = "DELIVERED"
    MISSED = "MISSED"
    PAYOUT_DUE = "PAYOUT_DUE"
    PAYOUT_ORDERED = "PAYOUT_ORDERED"
    PAYOUT_APPROVED = "PAYOUT_APPROVED"
    PAYOUT_DECLINED = "PAYOUT_DECLINED"
    PAYOUT_CANCELLED = "PAYOUT_CANCELLED"
    PAYOUT_SENT = "PAYOUT_SENT"
    PAYOUT_REJECTED = "PAYOUT_REJECTED"
    PAYOUT_RETURNED = "PAYOUT_RETURNED"
    PAYOUT_IN_DOUBT = "PAYOUT_IN_DOUBT"
    ACCOUNT_NEEDED = "ACCOUNT_NEEDED"
    ACCOUNT_CORRECTED = "ACCOUNT_CORRECTED"
    ACCOUNT_LAPSED = "ACCOUNT_LAPSED"
    PAID_OUT = "PAID_OUT"
    COMPLETED = "COMPLETED"
    WITHDRAWN = "WITHDRAWN"
    CANCELLED = "CANCELLED"
    REOPENED = "REOPENED"
    ASSIGNED = "ASSIGNED"
    RELEASED = "RELEASED"
    NOTE_ADDED = "NOTE_ADDED"
    SUSPENDED = "SUSPENDED"
    RESUMED = "RESUMED"
    TERM_EXTENDED = "TERM_EXTENDED"
    TERM_LAPSED = "TERM_LAPSED"
    TASK_OPENED = "TASK_OPENED"
    TASK_DONE = "TASK_DONE"
    EFFECT_DONE = "EFFECT_DONE"
    EFFECT_RETRIED = "EFFECT_RETRIED"
    EFFECT_PARKED = "EFFECT_PARKED"
    EFFECT_SKIPPED = "EFFECT_SKIPPED"


EFFECT_EVENTS = frozenset(
    {EventType.EFFECT_DONE, EventType.EFFECT_RETRIED, EventType.EFFECT_PARKED, EventType.EFFECT_SKIPPED},
)
"""What became of an effect: on the feed, but no change of the case (no version of it)."""


class TimerKind(StrEnum):
    """What a deadline is for."""

    ANSWER = "ANSWER"
    ANSWER_REMINDER = "ANSWER_REMINDER"
    ADVICE_REMINDER = "ADVICE_REMINDER"
    ADVICE_END = "ADVICE_END"
    MINUTES_POLL = "MINUTES_POLL"
    SUCCESSOR_END = "SUCCESSOR_END"
    NOTIFY_END = "NOTIFY_END"
    PAYOUT_POLL = "PAYOUT_POLL"
    PAYOUT_END = "PAYOUT_END"
    TERM = "TERM"
    TERM_ALARM = "TERM_ALARM"
    PAYMENT_REMINDER = "PAYMENT_REMINDER"
    PAYMENT_END = "PAYMENT_END"
    CHECKOUT_POLL = "CHECKOUT_POLL"
    SLOT_REMINDER = "SLOT_REMINDER"
    SLOT_END = "SLOT_END"
    HOLD_END = "HOLD_END"
    DELIVERY_UNCONFIRMED = "DELIVERY_UNCONFIRMED"
    DRAFT_END = "DRAFT_END"


State = TypeVar("State")
Verb = TypeVar("Verb")


@dataclass(frozen=True)
class Step(Generic[State, Verb]):
    """One row: from `state`, `action` leads to `to`, for those in `by`; recorded as `event`."""

    state: State
    action: Verb
    to: State
    by: frozenset[Role]
    event: EventType | None = None


@dataclass(frozen=True)
class Wait(Generic[State]):
    """How a waiting `state` ends when nobody does anything: `timer` fires, then `then` happens."""

    state: State
    timer: TimerKind
    then: str


class TableError(Exception):
    """A transition table contradicts itself."""


@dataclass(frozen=True)
class Machine(Generic[State, Verb]):
    """A transition table.

    Raises:
        TableError: two rows with the same (state, action); a waiting state without an end.
    """

    name: str
    steps: tuple[Step[State, Verb], ...]
    waiting: frozenset[State] = field(default_factory=frozenset)
    waits: tuple[Wait[State], ...] = ()

    def __post_init__(self) -> None:
        seen: set[tuple[State, Verb]] = set()
        for step in self.steps:
            if (step.state, step.action) in seen:
                raise TableError(f"{self.name}: two rows for {step.state}, {step.action}")
            seen.add((step.state, step.action))
        endless = self.waiting - {wait.state for wait in self.waits}
        if endless:
            raise TableError(f"{self.name}: waits without an end: {sorted(map(str, endless))}")

    @cached_property
    def _rows(self) -> dict[tuple[State, Verb], Step[State, Verb]]:
        return {(step.state, step.action): step for step in self.steps}

    def find(self, state: State, action: Verb) -> Step[State, Verb] | None:
        return self._rows.get((state, action))

    def allowed(self, state: State, roles: Iterable[Role]) -> list[Verb]:
        """The actions that somebody with `roles` may take from `state`, in the table's order."""
        mine = frozenset(roles)
        return [step.action for step in self.steps if step.state == state and step.by & mine]

    def states(self) -> set[State]:
        return {step.state for step in self.steps} | {step.to for step in self.steps}


# --- the case ---------------------------------------------------------------------------------

CaseState = tuple[Stage, Status]
CaseStep = Step[CaseState, Action]
CaseMachine = Machine[CaseState, Action]

_SYSTEM = frozenset({Role.SYSTEM})
_APPLICANT = frozenset({Role.APPLICANT, Role.HANDLER})
_HANDLER = frozenset({Role.HANDLER})
_RULE = frozenset({Role.HANDLER, Role.SYSTEM})
_CITIZEN = frozenset({Role.APPLICANT, Role.HANDLER, Role.SYSTEM})
_FIELD = frozenset({Role.FIELD_WORKER, Role.SYSTEM})
_MONEY = frozenset({Role.FINANCE, Role.SYSTEM})
_STAFF = frozenset({Role.HANDLER, Role.OPERATOR})
_BACK_OFFICE = frozenset({Role.HANDLER, Role.FINANCE, Role.FIELD_WORKER, Role.SECRETARIAT, Role.OPERATOR})
_BODY = frozenset({Role.HANDLER, Role.SECRETARIAT, Role.SYSTEM})
_SECRETARIAT = frozenset({Role.SECRETARIAT, Role.SYSTEM})
_ORDERING = frozenset({Role.HANDLER, Role.FINANCE})
_FINANCE = frozenset({Role.FINANCE})
_ADVISING = frozenset({Role.ADVISER, Role.HANDLER, Role.SYSTEM})

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
        _Row(S.SCREENING,          A.DECLARE_ADMISSIBLE,  NEXT,                _RULE,      E.ADMISSIBLE),
        _Row(S.SCREENING,          A.DECLARE_INADMISSIBLE,S.INADMISSIBLE,      _RULE,      E.INADMISSIBLE),
        _Row(S.SCREENING,          A.REFER,               SAME,                _SYSTEM,    E.REFERRED),
        _Row(S.SCREENING,          A.REQUEST_INFORMATION, S.AWAITING_APPLICANT,_HANDLER,   E.INFORMATION_REQUESTED),
        _Row(S.AWAITING_APPLICANT, A.SUPPLY_INFORMATION,  S.SCREENING,         _APPLICANT, E.INFORMATION_SUPPLIED),
        _Row(S.AWAITING_APPLICANT, A.STOP_WAITING,        S.SCREENING,         _RULE,      E.INFORMATION_LAPSED),
    ),
    Stage.ASSESSMENT: (
        _Row(S.ASSESSMENT,         A.REQUEST_ADVICE,      S.AWAITING_ADVICE,   _RULE,      E.ADVICE_REQUESTED),
        _Row(S.ASSESSMENT,         A.PREPARE_DECISION,    NEXT,                _HANDLER,   E.DECISION_PREPARED),
        _Row(S.ASSESSMENT,         A.PASS,                NEXT,                _SYSTEM,    E.STAGE_PASSED),
        _Row(S.ASSESSMENT,         A.REFER,               SAME,                _SYSTEM,    E.REFERRED),
        _Row(S.ASSESSMENT,         A.REQUEST_INFORMATION, S.AWAITING_APPLICANT,_HANDLER,   E.INFORMATION_REQUESTED),
        _Row(S.AWAITING_ADVICE,    A.REQUEST_ADVICE,      SAME,                _RULE,      E.ADVICE_REQUESTED),
        _Row(S.AWAITING_ADVICE,    A.END_ADVICE,          S.ASSESSMENT,        _RULE,      E.ADVICE_COMPLETE),
        _Row(S.AWAITING_APPLICANT, A.SUPPLY_INFORMATION,  S.ASSESSMENT,        _APPLICANT, E.INFORMATION_SUPPLIED),
        _Row(S.AWAITING_APPLICANT, A.STOP_WAITING,        S.ASSESSMENT,        _RULE,      E.INFORMATION_LAPSED),
    ),
    Stage.DECISION: (
        _Row(S.AWAITING_DECISION,  A.PREPARE_DECISION,    SAME,                _HANDLER,   E.DECISION_PREPARED),
        _Row(S.AWAITING_DECISION,  A.SEND_TO_MINUTES,     SAME,                _HANDLER,   E.DECISION_SENT),
        _Row(S.AWAITING_DECISION,  A.POSTPONE,            SAME,                _SECRETARIAT, E.DECISION_POSTPONED),
        _Row(S.AWAITING_DECISION,  A.MODIFY,              SAME,                _SECRETARIAT, E.DECISION_MODIFIED),
        _Row(S.AWAITING_DECISION,  A.GRANT,               S.APPROVED,          _BODY,      E.APPROVED),
        _Row(S.AWAITING_DECISION,  A.GRANT_PARTLY,        S.APPROVED,          _BODY,      E.PARTLY_APPROVED),
        _Row(S.AWAITING_DECISION,  A.REFUSE,              S.REJECTED,          _BODY,      E.REJECTED),
        _Row(S.AWAITING_DECISION,  A.REFER,               SAME,                _SYSTEM,    E.REFERRED),
        _Row(S.AWAITING_DECISION,  A.REQUEST_INFORMATION, S.AWAITING_APPLICANT,_HANDLER,   E.INFORMATION_REQUESTED),
        _Row(S.AWAITING_APPLICANT, A.SUPPLY_INFORMATION,  S.AWAITING_DECISION, _APPLICANT, E.INFORMATION_SUPPLIED),
        _Row(S.AWAITING_APPLICANT, A.STOP_WAITING,        S.AWAITING_DECISION, _RULE,      E.INFORMATION_LAPSED),
        _Row(S.APPROVED,           A.PASS,                NEXT,                _SYSTEM,    E.STAGE_PASSED),
    ),
    Stage.PAYMENT: (
        _Row(S.AWAITING_PAYMENT,   A.PASS,                NEXT,                _SYSTEM,    E.STAGE_PASSED),
        _Row(S.AWAITING_PAYMENT,   A.PAY,                 NEXT,                _MONEY,     E.PAID),
        _Row(S.AWAITING_PAYMENT,   A.REMIND,              SAME,                _SYSTEM,    E.PAYMENT_REMINDED),
        _Row(S.AWAITING_PAYMENT,   A.GIVE_UP,             S.CANCELLED,         _SYSTEM,    E.CANCELLED),
        _Row(S.AWAITING_PAYMENT,   A.HAND_OVER,           NEXT,                _SYSTEM,    E.HANDED_OVER),
    ),
    Stage.PLANNING: (
        _Row(S.AWAITING_SLOT,      A.BOOK_SLOT,           NEXT,                _CITIZEN,   E.PLANNED),
        _Row(S.AWAITING_SLOT,      A.REMIND,              SAME,                _SYSTEM,    E.SLOT_REMINDED),
    ),
    Stage.DELIVERY: (
        _Row(S.AWAITING_DELIVERY,  A.CONFIRM_DELIVERY,    NEXT,                _FIELD,     E.DELIVERED),
        _Row(S.AWAITING_DELIVERY,  A.REPORT_MISSED,       S.AWAITING_SLOT,     _FIELD,     E.MISSED),
        _Row(S.AWAITING_DELIVERY,  A.RESCHEDULE,          SAME,                _APPLICANT, E.RESCHEDULED),
        _Row(S.AWAITING_DELIVERY,  A.MOVE_SLOT,           SAME,                _SYSTEM,    E.SLOT_MOVED),
        _Row(S.AWAITING_DELIVERY,  A.LOSE_SLOT,           S.AWAITING_SLOT,     _SYSTEM,    E.SLOT_LOST),
        # It was handed over, or the slot was lost, and that was told, before the delivery was due.
        _Row(S.AWAITING_DELIVERY,  A.PASS,                NEXT,                _SYSTEM,    E.STAGE_PASSED),
        _Row(S.AWAITING_DELIVERY,  A.ASK_SLOT,            S.AWAITING_SLOT,     _SYSTEM,    E.SLOT_NEEDED),
        _Row(S.AWAITING_SLOT,      A.BOOK_SLOT,           S.AWAITING_DELIVERY, _CITIZEN,   E.PLANNED),
        _Row(S.AWAITING_SLOT,      A.REMIND,              SAME,                _SYSTEM,    E.SLOT_REMINDED),
    ),
    Stage.PAYOUT: (
        _Row(S.AWAITING_PAYOUT,    A.ORDER_PAYOUT,        SAME,                _ORDERING,  E.PAYOUT_ORDERED),
        _Row(S.AWAITING_PAYOUT,    A.APPROVE_PAYOUT,      SAME,                _FINANCE,   E.PAYOUT_APPROVED),
        _Row(S.AWAITING_PAYOUT,    A.DECLINE_PAYOUT,      SAME,                _FINANCE,   E.PAYOUT_DECLINED),
        _Row(S.AWAITING_PAYOUT,    A.CANCEL_PAYOUT,       SAME,                _ORDERING,  E.PAYOUT_CANCELLED),
        _Row(S.AWAITING_PAYOUT,    A.ASK_ACCOUNT,         S.AWAITING_APPLICANT,_MONEY,     E.ACCOUNT_NEEDED),
        _Row(S.AWAITING_PAYOUT,    A.PAY_OUT,             NEXT,                _MONEY,     E.PAID_OUT),
        _Row(S.AWAITING_PAYOUT,    A.PASS,                NEXT,                _SYSTEM,    E.STAGE_PASSED),
        _Row(S.AWAITING_PAYOUT,    A.REVOKE,              _To.DECISION,        _BODY,      E.DECISION_WITHDRAWN),
        _Row(S.AWAITING_APPLICANT, A.CORRECT_ACCOUNT,     S.AWAITING_PAYOUT,   _APPLICANT, E.ACCOUNT_CORRECTED),
        _Row(S.AWAITING_APPLICANT, A.STOP_WAITING,        S.AWAITING_PAYOUT,   _RULE,      E.ACCOUNT_LAPSED),
        _Row(S.AWAITING_APPLICANT, A.PAY_OUT,             NEXT,                _MONEY,     E.PAID_OUT),
        _Row(S.AWAITING_APPLICANT, A.REVOKE,              _To.DECISION,        _BODY,      E.DECISION_WITHDRAWN),
    ),
}

_ANY_OPEN: tuple[_Row, ...] = (
    _Row(S.RECEIVED,           A.ASSIGN,              SAME,                _STAFF,     E.ASSIGNED),
    _Row(S.RECEIVED,           A.RELEASE,             SAME,                _STAFF,     E.RELEASED),
    _Row(S.RECEIVED,           A.ADD_NOTE,            SAME,                _BACK_OFFICE,E.NOTE_ADDED),
    _Row(S.RECEIVED,           A.SUSPEND,             SAME,                _HANDLER,   E.SUSPENDED),
    _Row(S.RECEIVED,           A.RESUME,              SAME,                _RULE,      E.RESUMED),
    _Row(S.RECEIVED,           A.EXTEND_TERM,         SAME,                _HANDLER,   E.TERM_EXTENDED),
    _Row(S.RECEIVED,           A.LAPSE_TERM,          SAME,                _SYSTEM,    E.TERM_LAPSED),
)
"""In every open state; the status named here is replaced by that state's own."""

_UNTIL_DELIVERED: tuple[_Row, ...] = (
    _Row(S.RECEIVED,           A.WITHDRAW,            S.WITHDRAWN,         _APPLICANT, E.WITHDRAWN),
    _Row(S.RECEIVED,           A.CANCEL,              S.CANCELLED,         _HANDLER,   E.CANCELLED),
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
            rows.insert(0, _Row(Status.RECEIVED, Action.BEGIN, ENTRY[stage][0], _SYSTEM, ENTRY[stage][1]))
        statuses = list(dict.fromkeys(row.status for row in rows))
        handed_over = Stage.DELIVERY in stages[:number] or Stage.PAYOUT in stages[:number]
        for status in statuses:
            rows += [replace(row, status=status) for row in _ANY_OPEN]
            rows += [replace(row, status=status) for row in ([] if handed_over else _UNTIL_DELIVERED)]
        steps += [_step(stage, row, following) for row in rows]
    for stage in stages:
        for final in sorted(FINAL):
            steps.append(
                Step((stage, final), Action.REOPEN, (stage, Status.RECEIVED), _STAFF, EventType.REOPENED)
            )
            steps.append(
                Step((stage, final), Action.ADD_NOTE, (stage, final), _BACK_OFFICE, EventType.NOTE_ADDED)
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


# --- the parts of a case ----------------------------------------------------------------------


class ApplicationStatus(StrEnum):
    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"
    EXPIRED = "EXPIRED"
    DISCARDED = "DISCARDED"


class CheckStatus(StrEnum):
    RUNNING = "RUNNING"
    MET = "MET"
    NOT_MET = "NOT_MET"
    UNKNOWN = "UNKNOWN"
    REPLACED = "REPLACED"


class AdviceStatus(StrEnum):
    REQUESTED = "REQUESTED"
    REMINDED = "REMINDED"
    POSITIVE = "POSITIVE"
    NEGATIVE = "NEGATIVE"
    CONDITIONAL = "CONDITIONAL"
    NO_REACTION = "NO_REACTION"
    WITHDRAWN = "WITHDRAWN"


class DecisionStatus(StrEnum):
    DRAFT = "DRAFT"
    ON_AGENDA = "ON_AGENDA"
    POSTPONED = "POSTPONED"
    GRANTED = "GRANTED"
    PARTLY_GRANTED = "PARTLY_GRANTED"
    REFUSED = "REFUSED"
    TO_CONFIRM = "TO_CONFIRM"
    WITHDRAWN = "WITHDRAWN"


class InvoiceStatus(StrEnum):
    ISSUED = "ISSUED"
    PARTLY_PAID = "PARTLY_PAID"
    PAID = "PAID"
    CREDITED = "CREDITED"
    HANDED_OVER = "HANDED_OVER"
    WRITTEN_OFF = "WRITTEN_OFF"


class PaymentStatus(StrEnum):
    STARTED = "STARTED"
    PENDING = "PENDING"
    CAPTURED = "CAPTURED"
    FAILED = "FAILED"


class RefundStatus(StrEnum):
    DUE = "DUE"
    ORDERED = "ORDERED"
    DONE = "DONE"
    FAILED = "FAILED"


class PayoutStatus(StrEnum):
    ORDERED = "ORDERED"
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    SENT = "SENT"
    EXECUTED = "EXECUTED"
    REJECTED = "REJECTED"
    RETURNED = "RETURNED"
    IN_DOUBT = "IN_DOUBT"
    CANCELLED = "CANCELLED"


class SlotStatus(StrEnum):
    HELD = "HELD"
    BOOKED = "BOOKED"
    RELEASED = "RELEASED"


class DeliveryStatus(StrEnum):
    TO_PLAN = "TO_PLAN"
    PLANNED = "PLANNED"
    DELIVERED = "DELIVERED"
    MISSED = "MISSED"
    CANCELLED = "CANCELLED"


class MessageStatus(StrEnum):
    QUEUED = "QUEUED"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


class TaskStatus(StrEnum):
    OPEN = "OPEN"
    DONE = "DONE"


class PartAction(StrEnum):
    """What moves a part of a case."""

    SUBMIT = "SUBMIT"
    EXPIRE = "EXPIRE"
    DISCARD = "DISCARD"
    PAY_PART = "PAY_PART"
    PAY_FULL = "PAY_FULL"
    CREDIT = "CREDIT"
    HAND_OVER = "HAND_OVER"
    WRITE_OFF = "WRITE_OFF"
    WAIT = "WAIT"
    CAPTURE = "CAPTURE"
    FAIL = "FAIL"
    ORDER = "ORDER"
    COMPLETE = "COMPLETE"
    HOLD = "HOLD"
    BOOK = "BOOK"
    RELEASE = "RELEASE"
    LOSE = "LOSE"
    CONFIRM = "CONFIRM"
    MISS = "MISS"
    CANCEL = "CANCEL"
    SEND = "SEND"
    DELIVER = "DELIVER"
    SKIP = "SKIP"
    RESEND = "RESEND"
    MEET = "MEET"
    FAIL_TO_MEET = "FAIL_TO_MEET"
    LEAVE_UNKNOWN = "LEAVE_UNKNOWN"
    REPEAT = "REPEAT"
    REPLACE = "REPLACE"
    REMIND = "REMIND"
    ADVISE_FOR = "ADVISE_FOR"
    ADVISE_AGAINST = "ADVISE_AGAINST"
    ADVISE_WITH_CONDITIONS = "ADVISE_WITH_CONDITIONS"
    LAPSE = "LAPSE"
    WITHDRAW = "WITHDRAW"
    PREPARE = "PREPARE"
    PUT_ON_AGENDA = "PUT_ON_AGENDA"
    POSTPONE = "POSTPONE"
    MODIFY = "MODIFY"
    GRANT = "GRANT"
    GRANT_PARTLY = "GRANT_PARTLY"
    REFUSE = "REFUSE"
    APPROVE = "APPROVE"
    DECLINE = "DECLINE"
    EXECUTE = "EXECUTE"
    REJECT = "REJECT"
    RETURN = "RETURN"
    DOUBT = "DOUBT"


# fmt: off
APPLICATION = Machine[ApplicationStatus, PartAction]("application", (
    Step(ApplicationStatus.DRAFT,      PartAction.SUBMIT,    ApplicationStatus.SUBMITTED,   _APPLICANT),
    Step(ApplicationStatus.DRAFT,      PartAction.DISCARD,   ApplicationStatus.DISCARDED,   _APPLICANT),
    Step(ApplicationStatus.DRAFT,      PartAction.EXPIRE,    ApplicationStatus.EXPIRED,     _SYSTEM),
), frozenset({ApplicationStatus.DRAFT}), (
    Wait(ApplicationStatus.DRAFT, TimerKind.DRAFT_END, "the draft expires"),
))

INVOICE = Machine[InvoiceStatus, PartAction]("invoice", (
    Step(InvoiceStatus.ISSUED,         PartAction.PAY_PART,  InvoiceStatus.PARTLY_PAID,     _MONEY),
    Step(InvoiceStatus.ISSUED,         PartAction.PAY_FULL,  InvoiceStatus.PAID,            _MONEY),
    Step(InvoiceStatus.ISSUED,         PartAction.CREDIT,    InvoiceStatus.CREDITED,        _MONEY),
    Step(InvoiceStatus.ISSUED,         PartAction.HAND_OVER, InvoiceStatus.HANDED_OVER,     _MONEY),
    Step(InvoiceStatus.ISSUED,         PartAction.WRITE_OFF, InvoiceStatus.WRITTEN_OFF,     _MONEY),
    Step(InvoiceStatus.PARTLY_PAID,    PartAction.PAY_PART,  InvoiceStatus.PARTLY_PAID,     _MONEY),
    Step(InvoiceStatus.PARTLY_PAID,    PartAction.PAY_FULL,  InvoiceStatus.PAID,            _MONEY),
    Step(InvoiceStatus.PARTLY_PAID,    PartAction.CREDIT,    InvoiceStatus.CREDITED,        _MONEY),
    Step(InvoiceStatus.PARTLY_PAID,    PartAction.HAND_OVER, InvoiceStatus.HANDED_OVER,     _MONEY),
    Step(InvoiceStatus.PARTLY_PAID,    PartAction.WRITE_OFF, InvoiceStatus.WRITTEN_OFF,     _MONEY),
    Step(InvoiceStatus.PAID,           PartAction.CREDIT,    InvoiceStatus.CREDITED,        _MONEY),
    Step(InvoiceStatus.HANDED_OVER,    PartAction.PAY_PART,  InvoiceStatus.HANDED_OVER,     _MONEY),
    Step(InvoiceStatus.HANDED_OVER,    PartAction.PAY_FULL,  InvoiceStatus.PAID,            _MONEY),
    Step(InvoiceStatus.HANDED_OVER,    PartAction.WRITE_OFF, InvoiceStatus.WRITTEN_OFF,     _MONEY),
), frozenset({InvoiceStatus.ISSUED, InvoiceStatus.PARTLY_PAID}), (
    Wait(InvoiceStatus.ISSUED,      TimerKind.PAYMENT_END, "cancelled or handed over"),
    Wait(InvoiceStatus.PARTLY_PAID, TimerKind.PAYMENT_END, "cancelled or handed over"),
))

PAYMENT = Machine[PaymentStatus, PartAction]("payment", (
    Step(PaymentStatus.STARTED,        PartAction.WAIT,      PaymentStatus.PENDING,         _SYSTEM),
    Step(PaymentStatus.STARTED,        PartAction.CAPTURE,   PaymentStatus.CAPTURED,        _MONEY),
    Step(PaymentStatus.STARTED,        PartAction.FAIL,      PaymentStatus.FAILED,          _SYSTEM),
    Step(PaymentStatus.PENDING,        PartAction.CAPTURE,   PaymentStatus.CAPTURED,        _MONEY),
    Step(PaymentStatus.PENDING,        PartAction.FAIL,      PaymentStatus.FAILED,          _SYSTEM),
    # Money that came after all is a fact: whatever we thought of the session before.
    Step(PaymentStatus.FAILED,         PartAction.CAPTURE,   PaymentStatus.CAPTURED,        _MONEY),
), frozenset({PaymentStatus.STARTED, PaymentStatus.PENDING}), (
    Wait(PaymentStatus.STARTED, TimerKind.CHECKOUT_POLL, "asked at the payment module until it has an end"),
    Wait(PaymentStatus.PENDING, TimerKind.CHECKOUT_POLL, "asked at the payment module until it has an end"),
))

REFUND = Machine[RefundStatus, PartAction]("refund", (
    Step(RefundStatus.DUE,             PartAction.ORDER,     RefundStatus.ORDERED,          _MONEY),
    Step(RefundStatus.DUE,             PartAction.FAIL,      RefundStatus.FAILED,           _SYSTEM),
    Step(RefundStatus.ORDERED,         PartAction.COMPLETE,  RefundStatus.DONE,             _MONEY),
    Step(RefundStatus.ORDERED,         PartAction.FAIL,      RefundStatus.FAILED,           _SYSTEM),
    Step(RefundStatus.FAILED,          PartAction.ORDER,     RefundStatus.ORDERED,          _MONEY),
))

DELIVERY = Machine[DeliveryStatus, PartAction]("delivery", (
    Step(DeliveryStatus.TO_PLAN,       PartAction.BOOK,      DeliveryStatus.PLANNED,        _CITIZEN),
    Step(DeliveryStatus.TO_PLAN,       PartAction.CANCEL,    DeliveryStatus.CANCELLED,      _CITIZEN),
    Step(DeliveryStatus.PLANNED,       PartAction.BOOK,      DeliveryStatus.PLANNED,        _CITIZEN),
    Step(DeliveryStatus.PLANNED,       PartAction.LOSE,      DeliveryStatus.TO_PLAN,        _SYSTEM),
    Step(DeliveryStatus.PLANNED,       PartAction.CONFIRM,   DeliveryStatus.DELIVERED,      _FIELD),
    Step(DeliveryStatus.PLANNED,       PartAction.MISS,      DeliveryStatus.MISSED,         _FIELD),
    Step(DeliveryStatus.PLANNED,       PartAction.CANCEL,    DeliveryStatus.CANCELLED,      _CITIZEN),
    Step(DeliveryStatus.MISSED,        PartAction.BOOK,      DeliveryStatus.PLANNED,        _CITIZEN),
    Step(DeliveryStatus.MISSED,        PartAction.CANCEL,    DeliveryStatus.CANCELLED,      _CITIZEN),
), frozenset({DeliveryStatus.TO_PLAN, DeliveryStatus.PLANNED, DeliveryStatus.MISSED}), (
    Wait(DeliveryStatus.TO_PLAN, TimerKind.SLOT_END, "the first free slot is planned"),
    Wait(DeliveryStatus.PLANNED, TimerKind.DELIVERY_UNCONFIRMED, "task: was it delivered?"),
    Wait(DeliveryStatus.MISSED,  TimerKind.SLOT_END, "the first free slot is planned"),
))

SLOT = Machine[SlotStatus, PartAction]("slot", (
    Step(SlotStatus.HELD,              PartAction.BOOK,      SlotStatus.BOOKED,             _CITIZEN),
    Step(SlotStatus.HELD,              PartAction.RELEASE,   SlotStatus.RELEASED,           _CITIZEN),
    Step(SlotStatus.BOOKED,            PartAction.RELEASE,   SlotStatus.RELEASED,           _CITIZEN),
), frozenset({SlotStatus.HELD}), (Wait(SlotStatus.HELD, TimerKind.HOLD_END, "released"),))

MESSAGE = Machine[MessageStatus, PartAction]("message", (
    Step(MessageStatus.QUEUED,         PartAction.SEND,      MessageStatus.SENT,            _SYSTEM),
    Step(MessageStatus.QUEUED,         PartAction.FAIL,      MessageStatus.FAILED,          _SYSTEM),
    Step(MessageStatus.QUEUED,         PartAction.SKIP,      MessageStatus.SKIPPED,         _RULE),
    # A receipt may overtake our own note that the message was sent.
    Step(MessageStatus.QUEUED,         PartAction.DELIVER,   MessageStatus.DELIVERED,       _SYSTEM),
    Step(MessageStatus.SENT,           PartAction.DELIVER,   MessageStatus.DELIVERED,       _SYSTEM),
    Step(MessageStatus.SENT,           PartAction.FAIL,      MessageStatus.FAILED,          _SYSTEM),
    Step(MessageStatus.FAILED,         PartAction.DELIVER,   MessageStatus.DELIVERED,       _SYSTEM),
    # An operator has its effect tried again.
    Step(MessageStatus.FAILED,         PartAction.RESEND,    MessageStatus.QUEUED,          _STAFF),
))
C, P = CheckStatus, PartAction
CHECK = Machine[CheckStatus, PartAction]("check", (
    Step(C.RUNNING,   P.MEET,          C.MET,       _SYSTEM),
    Step(C.RUNNING,   P.FAIL_TO_MEET,  C.NOT_MET,   _SYSTEM),
    Step(C.RUNNING,   P.LEAVE_UNKNOWN, C.UNKNOWN,   _SYSTEM),
    Step(C.UNKNOWN,   P.MEET,          C.MET,       _SYSTEM),
    Step(C.UNKNOWN,   P.FAIL_TO_MEET,  C.NOT_MET,   _SYSTEM),
    Step(C.UNKNOWN,   P.REPEAT,        C.RUNNING,   _RULE),
    Step(C.UNKNOWN,   P.REPLACE,       C.REPLACED,  _HANDLER),
    Step(C.MET,       P.REPEAT,        C.RUNNING,   _RULE),
    Step(C.NOT_MET,   P.REPEAT,        C.RUNNING,   _RULE),
    Step(C.NOT_MET,   P.REPLACE,       C.REPLACED,  _HANDLER),
    Step(C.REPLACED,  P.REPEAT,        C.RUNNING,   _RULE),
))

V = AdviceStatus
ADVICE = Machine[AdviceStatus, PartAction]("advice", (
    Step(V.REQUESTED,   P.REMIND,                 V.REMINDED,    _SYSTEM),
    Step(V.REMINDED,    P.REMIND,                 V.REMINDED,    _SYSTEM),
    *(
        Step(waiting, action, given, _ADVISING)
        # advice that comes late is advice still, as long as nobody decided
        for waiting in (V.REQUESTED, V.REMINDED, V.NO_REACTION)
        for action, given in (
            (P.ADVISE_FOR, V.POSITIVE),
            (P.ADVISE_AGAINST, V.NEGATIVE),
            (P.ADVISE_WITH_CONDITIONS, V.CONDITIONAL),
        )
    ),
    # a machine's advice follows its check, which is asked again before anything is decided
    Step(V.POSITIVE,    P.ADVISE_AGAINST,         V.NEGATIVE,    _SYSTEM),
    Step(V.NEGATIVE,    P.ADVISE_FOR,             V.POSITIVE,    _SYSTEM),
    Step(V.REQUESTED,   P.LAPSE,                  V.NO_REACTION, _SYSTEM),
    Step(V.REMINDED,    P.LAPSE,                  V.NO_REACTION, _SYSTEM),
    Step(V.REQUESTED,   P.WITHDRAW,               V.WITHDRAWN,   _RULE),
    Step(V.REMINDED,    P.WITHDRAW,               V.WITHDRAWN,   _RULE),
), frozenset({V.REQUESTED, V.REMINDED}), (
    Wait(V.REQUESTED, TimerKind.ADVICE_END, "no reaction"),
    Wait(V.REMINDED,  TimerKind.ADVICE_END, "no reaction"),
))

D = DecisionStatus
DECISION = Machine[DecisionStatus, PartAction]("decision", (
    Step(D.DRAFT,          P.PREPARE,       D.DRAFT,          _HANDLER),
    Step(D.DRAFT,          P.PUT_ON_AGENDA, D.ON_AGENDA,      _RULE),
    Step(D.DRAFT,          P.GRANT,         D.GRANTED,        _BODY),
    Step(D.DRAFT,          P.GRANT_PARTLY,  D.PARTLY_GRANTED, _BODY),
    Step(D.DRAFT,          P.REFUSE,        D.REFUSED,        _BODY),
    Step(D.DRAFT,          P.WITHDRAW,      D.WITHDRAWN,      _BODY),
    Step(D.ON_AGENDA,      P.POSTPONE,      D.POSTPONED,      _SECRETARIAT),
    Step(D.ON_AGENDA,      P.MODIFY,        D.TO_CONFIRM,     _SECRETARIAT),
    Step(D.ON_AGENDA,      P.GRANT,         D.GRANTED,        _SECRETARIAT),
    Step(D.ON_AGENDA,      P.GRANT_PARTLY,  D.PARTLY_GRANTED, _SECRETARIAT),
    Step(D.ON_AGENDA,      P.REFUSE,        D.REFUSED,        _SECRETARIAT),
    Step(D.ON_AGENDA,      P.WITHDRAW,      D.WITHDRAWN,      _BODY),
    Step(D.POSTPONED,      P.PUT_ON_AGENDA, D.ON_AGENDA,      _RULE),
    Step(D.POSTPONED,      P.MODIFY,        D.TO_CONFIRM,     _SECRETARIAT),
    Step(D.POSTPONED,      P.GRANT,         D.GRANTED,        _SECRETARIAT),
    Step(D.POSTPONED,      P.GRANT_PARTLY,  D.PARTLY_GRANTED, _SECRETARIAT),
    Step(D.POSTPONED,      P.REFUSE,        D.REFUSED,        _SECRETARIAT),
    Step(D.POSTPONED,      P.WITHDRAW,      D.WITHDRAWN,      _BODY),
    Step(D.TO_CONFIRM,     P.GRANT,         D.GRANTED,        _HANDLER),
    Step(D.TO_CONFIRM,     P.GRANT_PARTLY,  D.PARTLY_GRANTED, _HANDLER),
    Step(D.TO_CONFIRM,     P.REFUSE,        D.REFUSED,        _HANDLER),
    Step(D.TO_CONFIRM,     P.WITHDRAW,      D.WITHDRAWN,      _BODY),
    Step(D.GRANTED,        P.WITHDRAW,      D.WITHDRAWN,      _BODY),
    Step(D.PARTLY_GRANTED, P.WITHDRAW,      D.WITHDRAWN,      _BODY),
    Step(D.WITHDRAWN,      P.PREPARE,       D.DRAFT,          _HANDLER),
), frozenset({D.ON_AGENDA, D.POSTPONED}), (
    Wait(D.ON_AGENDA, TimerKind.MINUTES_POLL,  "asked at the minutes system until it has an end"),
    Wait(D.POSTPONED, TimerKind.SUCCESSOR_END, "task: it stands on no agenda"),
))

X = PayoutStatus
PAYOUT = Machine[PayoutStatus, PartAction]("payout", (
    Step(X.ORDERED,   P.APPROVE,  X.APPROVED,  _FINANCE),
    Step(X.ORDERED,   P.DECLINE,  X.DECLINED,  _FINANCE),
    Step(X.ORDERED,   P.CANCEL,   X.CANCELLED, _ORDERING | _SYSTEM),
    Step(X.APPROVED,  P.CANCEL,   X.CANCELLED, _ORDERING | _SYSTEM),
    Step(X.APPROVED,  P.SEND,     X.SENT,      _SYSTEM),
    Step(X.APPROVED,  P.REJECT,   X.REJECTED,  _MONEY),
    Step(X.APPROVED,  P.RETURN,   X.RETURNED,  _MONEY),
    Step(X.APPROVED,  P.DOUBT,    X.IN_DOUBT,  _SYSTEM),
    *(
        Step(gone, action, to, _MONEY)
        # what the bank did is a fact, whatever we thought of the order before
        for gone in (X.APPROVED, X.SENT, X.IN_DOUBT, X.CANCELLED)
        for action, to in ((P.EXECUTE, X.EXECUTED),)
    ),
    Step(X.SENT,      P.REJECT,   X.REJECTED,  _MONEY),
    Step(X.SENT,      P.RETURN,   X.RETURNED,  _MONEY),
    Step(X.SENT,      P.DOUBT,    X.IN_DOUBT,  _SYSTEM),
    Step(X.IN_DOUBT,  P.SEND,     X.SENT,      _MONEY),
    Step(X.IN_DOUBT,  P.REJECT,   X.REJECTED,  _MONEY),
    Step(X.IN_DOUBT,  P.RETURN,   X.RETURNED,  _MONEY),
    Step(X.EXECUTED,  P.RETURN,   X.RETURNED,  _MONEY),
), frozenset({X.ORDERED, X.APPROVED, X.SENT, X.IN_DOUBT}), (
    Wait(X.ORDERED,  TimerKind.PAYOUT_END,  "task: it must be approved"),
    Wait(X.APPROVED, TimerKind.PAYOUT_END,  "task: it was not sent"),
    Wait(X.SENT,     TimerKind.PAYOUT_POLL, "asked at accounting until it has an end"),
    Wait(X.IN_DOUBT, TimerKind.PAYOUT_POLL, "asked at accounting until it has an end; never paid again by itself"),
))
# fmt: on

PARTS: tuple[
    Machine[ApplicationStatus, PartAction]
    | Machine[InvoiceStatus, PartAction]
    | Machine[PaymentStatus, PartAction]
    | Machine[RefundStatus, PartAction]
    | Machine[DeliveryStatus, PartAction]
    | Machine[SlotStatus, PartAction]
    | Machine[MessageStatus, PartAction]
    | Machine[CheckStatus, PartAction]
    | Machine[AdviceStatus, PartAction]
    | Machine[DecisionStatus, PartAction]
    | Machine[PayoutStatus, PartAction],
    ...,
] = (
    APPLICATION,
    CHECK,
    ADVICE,
    DECISION,
    INVOICE,
    PAYMENT,
    REFUND,
    DELIVERY,
    SLOT,
    PAYOUT,
    MESSAGE,
)
"""All machines but the case's, which depends on the procedure."""
