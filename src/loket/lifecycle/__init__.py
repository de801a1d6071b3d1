"""The published transition tables, as data, and the small engine that reads them. No I/O.

A `Machine` maps (state, action) to a step: the next state, who may take it, and the event that
records it. The case's own machine is composed from the stages of its procedure: `case_machine`.
What is printed in the documentation, what `viewerAvailableActions` shows and what the server
enforces are these same rows.
"""

from loket.lifecycle.case import ENTRY, CaseMachine, CaseState, CaseStep, StageOrderError, case_machine
from loket.lifecycle.kinds import EFFECT_EVENTS, FINAL, Action, EventType, Role, Stage, Status, TimerKind
from loket.lifecycle.machine import Machine, Step, TableError, Wait
from loket.lifecycle.parts import (
    ADVICE,
    APPLICATION,
    CHECK,
    DECISION,
    DELIVERY,
    INVOICE,
    MESSAGE,
    PARTS,
    PAYMENT,
    PAYOUT,
    REFUND,
    SLOT,
    AdviceStatus,
    ApplicationStatus,
    CheckStatus,
    DecisionStatus,
    DeliveryStatus,
    InvoiceStatus,
    MessageStatus,
    PartAction,
    PaymentStatus,
    PayoutStatus,
    RefundStatus,
    SlotStatus,
    TaskStatus,
)

__all__ = [
    "ADVICE",
    "APPLICATION",
    "CHECK",
    "DECISION",
    "DELIVERY",
    "EFFECT_EVENTS",
    "ENTRY",
    "FINAL",
    "INVOICE",
    "MESSAGE",
    "PARTS",
    "PAYMENT",
    "PAYOUT",
    "REFUND",
    "SLOT",
    "Action",
    "AdviceStatus",
    "ApplicationStatus",
    "CaseMachine",
    "CaseState",
    "CaseStep",
    "CheckStatus",
    "DecisionStatus",
    "DeliveryStatus",
    "EventType",
    "InvoiceStatus",
    "Machine",
    "MessageStatus",
    "PartAction",
    "PaymentStatus",
    "PayoutStatus",
    "RefundStatus",
    "Role",
    "SlotStatus",
    "Stage",
    "StageOrderError",
    "Status",
    "Step",
    "TableError",
    "TaskStatus",
    "TimerKind",
    "Wait",
    "case_machine",
]
