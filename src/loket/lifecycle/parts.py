"""The tables of the parts of a case, from the application to the last message."""

from enum import StrEnum

from loket.lifecycle.kinds import TimerKind
from loket.lifecycle.machine import (
    ADVISERS,
    APPLICANTS,
    BODIES,
    BOOKKEEPERS,
    CITIZENS,
    CO_APPLICANTS,
    FIELD_TEAM,
    HANDLERS,
    MONEY,
    OPERATORS,
    ORDERERS,
    RULES,
    SECRETARIES,
    SYSTEM,
    Machine,
    Step,
    Wait,
)


class ApplicationStatus(StrEnum):
    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"
    EXPIRED = "EXPIRED"
    DISCARDED = "DISCARDED"


class CoApplicationStatus(StrEnum):
    ASKED = "ASKED"
    CONFIRMED = "CONFIRMED"
    REFUSED = "REFUSED"
    LAPSED = "LAPSED"
    WITHDRAWN = "WITHDRAWN"


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


class BankEntryStatus(StrEnum):
    """What is known of a movement on the municipality's account."""

    OPEN = "OPEN"
    MATCHED = "MATCHED"
    SET_ASIDE = "SET_ASIDE"


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
    CREDIT_PART = "CREDIT_PART"
    CHARGE_BACK = "CHARGE_BACK"
    MATCH = "MATCH"
    SET_ASIDE = "SET_ASIDE"
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
    Step(ApplicationStatus.DRAFT, PartAction.SUBMIT,  ApplicationStatus.SUBMITTED, APPLICANTS),
    Step(ApplicationStatus.DRAFT, PartAction.DISCARD, ApplicationStatus.DISCARDED, APPLICANTS),
    Step(ApplicationStatus.DRAFT, PartAction.EXPIRE,  ApplicationStatus.EXPIRED,   SYSTEM),
), frozenset({ApplicationStatus.DRAFT}), (
    Wait(ApplicationStatus.DRAFT, TimerKind.DRAFT_END, "the draft expires"),
))

CO_APPLICATION = Machine[CoApplicationStatus, PartAction]("co-application", (
    Step(CoApplicationStatus.ASKED, PartAction.CONFIRM,  CoApplicationStatus.CONFIRMED, CO_APPLICANTS),
    Step(CoApplicationStatus.ASKED, PartAction.REFUSE,   CoApplicationStatus.REFUSED,   CO_APPLICANTS),
    Step(CoApplicationStatus.ASKED, PartAction.LAPSE,    CoApplicationStatus.LAPSED,    RULES),
    Step(CoApplicationStatus.ASKED, PartAction.WITHDRAW, CoApplicationStatus.WITHDRAWN, SYSTEM),
), frozenset({CoApplicationStatus.ASKED}), (
    Wait(CoApplicationStatus.ASKED, TimerKind.CO_APPLICANT_END, "it lapses; the rules decide on that"),
))

INVOICE = Machine[InvoiceStatus, PartAction]("invoice", (
    Step(InvoiceStatus.ISSUED,      PartAction.PAY_PART,    InvoiceStatus.PARTLY_PAID, MONEY),
    Step(InvoiceStatus.ISSUED,      PartAction.PAY_FULL,    InvoiceStatus.PAID,        MONEY),
    Step(InvoiceStatus.ISSUED,      PartAction.CREDIT_PART, InvoiceStatus.ISSUED,      MONEY),
    Step(InvoiceStatus.ISSUED,      PartAction.CREDIT,      InvoiceStatus.CREDITED,    MONEY),
    Step(InvoiceStatus.ISSUED,      PartAction.HAND_OVER,   InvoiceStatus.HANDED_OVER, MONEY),
    Step(InvoiceStatus.ISSUED,      PartAction.WRITE_OFF,   InvoiceStatus.WRITTEN_OFF, MONEY),
    Step(InvoiceStatus.PARTLY_PAID, PartAction.PAY_PART,    InvoiceStatus.PARTLY_PAID, MONEY),
    Step(InvoiceStatus.PARTLY_PAID, PartAction.PAY_FULL,    InvoiceStatus.PAID,        MONEY),
    Step(InvoiceStatus.PARTLY_PAID, PartAction.CREDIT_PART, InvoiceStatus.PARTLY_PAID, MONEY),
    Step(InvoiceStatus.PARTLY_PAID, PartAction.CREDIT,      InvoiceStatus.CREDITED,    MONEY),
    Step(InvoiceStatus.PARTLY_PAID, PartAction.HAND_OVER,   InvoiceStatus.HANDED_OVER, MONEY),
    Step(InvoiceStatus.PARTLY_PAID, PartAction.WRITE_OFF,   InvoiceStatus.WRITTEN_OFF, MONEY),
    Step(InvoiceStatus.PARTLY_PAID, PartAction.CHARGE_BACK, InvoiceStatus.PARTLY_PAID, MONEY),
    Step(InvoiceStatus.PAID,        PartAction.CREDIT_PART, InvoiceStatus.PAID,        MONEY),
    Step(InvoiceStatus.PAID,        PartAction.CREDIT,      InvoiceStatus.CREDITED,    MONEY),
    # The case went on when it was paid: what the bank took back since is for the financial director.
    Step(InvoiceStatus.PAID,        PartAction.CHARGE_BACK, InvoiceStatus.HANDED_OVER, MONEY),
    Step(InvoiceStatus.HANDED_OVER, PartAction.PAY_PART,    InvoiceStatus.HANDED_OVER, MONEY),
    Step(InvoiceStatus.HANDED_OVER, PartAction.PAY_FULL,    InvoiceStatus.PAID,        MONEY),
    Step(InvoiceStatus.HANDED_OVER, PartAction.CREDIT_PART, InvoiceStatus.HANDED_OVER, MONEY),
    Step(InvoiceStatus.HANDED_OVER, PartAction.CREDIT,      InvoiceStatus.CREDITED,    MONEY),
    Step(InvoiceStatus.HANDED_OVER, PartAction.WRITE_OFF,   InvoiceStatus.WRITTEN_OFF, MONEY),
    Step(InvoiceStatus.HANDED_OVER, PartAction.CHARGE_BACK, InvoiceStatus.HANDED_OVER, MONEY),
    # Written off is not forgiven: who pays after all has paid.
    Step(InvoiceStatus.WRITTEN_OFF, PartAction.PAY_PART,    InvoiceStatus.WRITTEN_OFF, MONEY),
    Step(InvoiceStatus.WRITTEN_OFF, PartAction.PAY_FULL,    InvoiceStatus.PAID,        MONEY),
    Step(InvoiceStatus.WRITTEN_OFF, PartAction.CREDIT_PART, InvoiceStatus.WRITTEN_OFF, MONEY),
    # What was paid before the rest was given up can be taken back still.
    Step(InvoiceStatus.WRITTEN_OFF, PartAction.CREDIT,      InvoiceStatus.CREDITED,    MONEY),
    Step(InvoiceStatus.WRITTEN_OFF, PartAction.CHARGE_BACK, InvoiceStatus.WRITTEN_OFF, MONEY),
), frozenset({InvoiceStatus.ISSUED, InvoiceStatus.PARTLY_PAID}), (
    Wait(InvoiceStatus.ISSUED,      TimerKind.PAYMENT_END, "cancelled or handed over"),
    Wait(InvoiceStatus.PARTLY_PAID, TimerKind.PAYMENT_END, "cancelled or handed over"),
))

BANK_ENTRY = Machine[BankEntryStatus, PartAction]("movement on the account", (
    Step(BankEntryStatus.OPEN,      PartAction.MATCH,     BankEntryStatus.MATCHED,   MONEY),
    Step(BankEntryStatus.OPEN,      PartAction.SET_ASIDE, BankEntryStatus.SET_ASIDE, MONEY),
    Step(BankEntryStatus.SET_ASIDE, PartAction.MATCH,     BankEntryStatus.MATCHED,   MONEY),
))

PAYMENT = Machine[PaymentStatus, PartAction]("payment", (
    Step(PaymentStatus.STARTED, PartAction.WAIT,    PaymentStatus.PENDING,  SYSTEM),
    Step(PaymentStatus.STARTED, PartAction.CAPTURE, PaymentStatus.CAPTURED, MONEY),
    Step(PaymentStatus.STARTED, PartAction.FAIL,    PaymentStatus.FAILED,   SYSTEM),
    Step(PaymentStatus.PENDING, PartAction.CAPTURE, PaymentStatus.CAPTURED, MONEY),
    Step(PaymentStatus.PENDING, PartAction.FAIL,    PaymentStatus.FAILED,   SYSTEM),
    # Money that came after all is a fact: whatever we thought of the session before.
    Step(PaymentStatus.FAILED,  PartAction.CAPTURE, PaymentStatus.CAPTURED, MONEY),
), frozenset({PaymentStatus.STARTED, PaymentStatus.PENDING}), (
    Wait(PaymentStatus.STARTED, TimerKind.CHECKOUT_POLL, "asked at the payment module until it has an end"),
    Wait(PaymentStatus.PENDING, TimerKind.CHECKOUT_POLL, "asked at the payment module until it has an end"),
))

REFUND = Machine[RefundStatus, PartAction]("refund", (
    Step(RefundStatus.DUE,     PartAction.ORDER,    RefundStatus.ORDERED, MONEY),
    Step(RefundStatus.DUE,     PartAction.FAIL,     RefundStatus.FAILED,  SYSTEM),
    # Somebody paid it back by hand.
    Step(RefundStatus.DUE,     PartAction.COMPLETE, RefundStatus.DONE,    MONEY),
    Step(RefundStatus.ORDERED, PartAction.COMPLETE, RefundStatus.DONE,    MONEY),
    Step(RefundStatus.ORDERED, PartAction.FAIL,     RefundStatus.FAILED,  MONEY),
    Step(RefundStatus.FAILED,  PartAction.ORDER,    RefundStatus.ORDERED, MONEY),
    Step(RefundStatus.FAILED,  PartAction.COMPLETE, RefundStatus.DONE,    MONEY),
    # Sent by transfer, it came back.
    Step(RefundStatus.DONE,    PartAction.RETURN,   RefundStatus.FAILED,  MONEY),
))

DELIVERY = Machine[DeliveryStatus, PartAction]("delivery", (
    Step(DeliveryStatus.TO_PLAN, PartAction.BOOK,    DeliveryStatus.PLANNED,   CITIZENS),
    Step(DeliveryStatus.TO_PLAN, PartAction.CANCEL,  DeliveryStatus.CANCELLED, CITIZENS),
    Step(DeliveryStatus.PLANNED, PartAction.BOOK,    DeliveryStatus.PLANNED,   APPLICANTS),
    Step(DeliveryStatus.PLANNED, PartAction.LOSE,    DeliveryStatus.TO_PLAN,   RULES),
    Step(DeliveryStatus.PLANNED, PartAction.CONFIRM, DeliveryStatus.DELIVERED, FIELD_TEAM),
    Step(DeliveryStatus.PLANNED, PartAction.MISS,    DeliveryStatus.MISSED,    FIELD_TEAM),
    Step(DeliveryStatus.PLANNED, PartAction.CANCEL,  DeliveryStatus.CANCELLED, CITIZENS),
    Step(DeliveryStatus.MISSED,  PartAction.BOOK,    DeliveryStatus.PLANNED,   CITIZENS),
    Step(DeliveryStatus.MISSED,  PartAction.CANCEL,  DeliveryStatus.CANCELLED, CITIZENS),
), frozenset({DeliveryStatus.TO_PLAN, DeliveryStatus.PLANNED, DeliveryStatus.MISSED}), (
    Wait(DeliveryStatus.TO_PLAN, TimerKind.SLOT_END, "the first free slot is planned"),
    Wait(DeliveryStatus.PLANNED, TimerKind.DELIVERY_UNCONFIRMED, "task: was it delivered?"),
    Wait(DeliveryStatus.MISSED,  TimerKind.SLOT_END, "the first free slot is planned"),
))

SLOT = Machine[SlotStatus, PartAction]("slot", (
    Step(SlotStatus.HELD,   PartAction.BOOK,    SlotStatus.BOOKED,   CITIZENS),
    Step(SlotStatus.HELD,   PartAction.RELEASE, SlotStatus.RELEASED, CITIZENS),
    Step(SlotStatus.BOOKED, PartAction.RELEASE, SlotStatus.RELEASED, CITIZENS),
), frozenset({SlotStatus.HELD}), (Wait(SlotStatus.HELD, TimerKind.HOLD_END, "released"),))

MESSAGE = Machine[MessageStatus, PartAction]("message", (
    Step(MessageStatus.QUEUED, PartAction.SEND,    MessageStatus.SENT,      SYSTEM),
    Step(MessageStatus.QUEUED, PartAction.FAIL,    MessageStatus.FAILED,    SYSTEM),
    Step(MessageStatus.QUEUED, PartAction.SKIP,    MessageStatus.SKIPPED,   SYSTEM),
    # A receipt may overtake our own note that the message was sent.
    Step(MessageStatus.QUEUED, PartAction.DELIVER, MessageStatus.DELIVERED, SYSTEM),
    Step(MessageStatus.SENT,   PartAction.DELIVER, MessageStatus.DELIVERED, SYSTEM),
    Step(MessageStatus.SENT,   PartAction.FAIL,    MessageStatus.FAILED,    SYSTEM),
    Step(MessageStatus.FAILED, PartAction.DELIVER, MessageStatus.DELIVERED, SYSTEM),
    # An operator has its effect tried again.
    Step(MessageStatus.FAILED, PartAction.RESEND,  MessageStatus.QUEUED,    OPERATORS),
))
C, P = CheckStatus, PartAction
CHECK = Machine[CheckStatus, PartAction]("check", (
    Step(C.RUNNING,  P.MEET,          C.MET,      SYSTEM),
    Step(C.RUNNING,  P.FAIL_TO_MEET,  C.NOT_MET,  SYSTEM),
    Step(C.RUNNING,  P.LEAVE_UNKNOWN, C.UNKNOWN,  SYSTEM),
    Step(C.UNKNOWN,  P.MEET,          C.MET,      SYSTEM),
    Step(C.UNKNOWN,  P.FAIL_TO_MEET,  C.NOT_MET,  SYSTEM),
    Step(C.UNKNOWN,  P.REPEAT,        C.RUNNING,  RULES | OPERATORS),
    Step(C.UNKNOWN,  P.REPLACE,       C.REPLACED, HANDLERS),
    Step(C.MET,      P.REPEAT,        C.RUNNING,  RULES),
    Step(C.NOT_MET,  P.REPEAT,        C.RUNNING,  RULES),
    Step(C.NOT_MET,  P.REPLACE,       C.REPLACED, HANDLERS),
    Step(C.REPLACED, P.REPEAT,        C.RUNNING,  RULES),
))

V = AdviceStatus
ADVICE = Machine[AdviceStatus, PartAction]("advice", (
    Step(V.REQUESTED, P.REMIND, V.REMINDED, SYSTEM),
    Step(V.REMINDED,  P.REMIND, V.REMINDED, SYSTEM),
    *(
        Step(waiting, action, given, by)
        # advice that comes late is advice still, as long as nobody decided
        for waiting in (V.REQUESTED, V.REMINDED, V.NO_REACTION)
        for action, given, by in (
            (P.ADVISE_FOR, V.POSITIVE, ADVISERS),
            (P.ADVISE_AGAINST, V.NEGATIVE, ADVISERS),
            (P.ADVISE_WITH_CONDITIONS, V.CONDITIONAL, ADVISERS - SYSTEM),
        )
    ),
    # a machine's advice follows its check, which is asked again before anything is decided
    Step(V.POSITIVE,  P.ADVISE_AGAINST, V.NEGATIVE,    SYSTEM),
    Step(V.NEGATIVE,  P.ADVISE_FOR,     V.POSITIVE,    SYSTEM),
    Step(V.REQUESTED, P.LAPSE,          V.NO_REACTION, SYSTEM),
    Step(V.REMINDED,  P.LAPSE,          V.NO_REACTION, SYSTEM),
    Step(V.REQUESTED, P.WITHDRAW,       V.WITHDRAWN,   RULES),
    Step(V.REMINDED,  P.WITHDRAW,       V.WITHDRAWN,   RULES),
), frozenset({V.REQUESTED, V.REMINDED}), (
    Wait(V.REQUESTED, TimerKind.ADVICE_END, "no reaction"),
    Wait(V.REMINDED,  TimerKind.ADVICE_END, "no reaction"),
))

D = DecisionStatus
DECISION = Machine[DecisionStatus, PartAction]("decision", (
    Step(D.DRAFT,          P.PREPARE,       D.DRAFT,          HANDLERS),
    Step(D.DRAFT,          P.PUT_ON_AGENDA, D.ON_AGENDA,      SYSTEM),
    Step(D.DRAFT,          P.GRANT,         D.GRANTED,        BODIES),
    Step(D.DRAFT,          P.GRANT_PARTLY,  D.PARTLY_GRANTED, BODIES),
    Step(D.DRAFT,          P.REFUSE,        D.REFUSED,        BODIES),
    Step(D.DRAFT,          P.WITHDRAW,      D.WITHDRAWN,      BODIES),
    Step(D.ON_AGENDA,      P.POSTPONE,      D.POSTPONED,      SECRETARIES),
    Step(D.ON_AGENDA,      P.MODIFY,        D.TO_CONFIRM,     SECRETARIES),
    Step(D.ON_AGENDA,      P.GRANT,         D.GRANTED,        SECRETARIES),
    Step(D.ON_AGENDA,      P.GRANT_PARTLY,  D.PARTLY_GRANTED, SECRETARIES),
    Step(D.ON_AGENDA,      P.REFUSE,        D.REFUSED,        SECRETARIES),
    Step(D.ON_AGENDA,      P.WITHDRAW,      D.WITHDRAWN,      BODIES),
    Step(D.POSTPONED,      P.PUT_ON_AGENDA, D.ON_AGENDA,      SYSTEM),
    Step(D.POSTPONED,      P.MODIFY,        D.TO_CONFIRM,     SECRETARIES),
    Step(D.POSTPONED,      P.GRANT,         D.GRANTED,        SECRETARIES),
    Step(D.POSTPONED,      P.GRANT_PARTLY,  D.PARTLY_GRANTED, SECRETARIES),
    Step(D.POSTPONED,      P.REFUSE,        D.REFUSED,        SECRETARIES),
    Step(D.POSTPONED,      P.WITHDRAW,      D.WITHDRAWN,      BODIES),
    Step(D.TO_CONFIRM,     P.GRANT,         D.GRANTED,        HANDLERS),
    Step(D.TO_CONFIRM,     P.GRANT_PARTLY,  D.PARTLY_GRANTED, HANDLERS),
    Step(D.TO_CONFIRM,     P.REFUSE,        D.REFUSED,        HANDLERS),
    Step(D.TO_CONFIRM,     P.WITHDRAW,      D.WITHDRAWN,      BODIES),
    Step(D.GRANTED,        P.WITHDRAW,      D.WITHDRAWN,      BODIES - SYSTEM),
    Step(D.PARTLY_GRANTED, P.WITHDRAW,      D.WITHDRAWN,      BODIES - SYSTEM),
    Step(D.WITHDRAWN,      P.PREPARE,       D.DRAFT,          HANDLERS),
), frozenset({D.ON_AGENDA, D.POSTPONED}), (
    Wait(D.ON_AGENDA, TimerKind.MINUTES_POLL,  "asked at the minutes system until it has an end"),
    Wait(D.POSTPONED, TimerKind.SUCCESSOR_END, "task: it stands on no agenda"),
))

X = PayoutStatus
PAYOUT = Machine[PayoutStatus, PartAction]("payout", (
    Step(X.ORDERED,  P.APPROVE, X.APPROVED,  BOOKKEEPERS),
    Step(X.ORDERED,  P.DECLINE, X.DECLINED,  BOOKKEEPERS),
    Step(X.ORDERED,  P.CANCEL,  X.CANCELLED, ORDERERS | SYSTEM),
    Step(X.APPROVED, P.CANCEL,  X.CANCELLED, ORDERERS | SYSTEM),
    Step(X.APPROVED, P.SEND,    X.SENT,      SYSTEM),
    Step(X.APPROVED, P.REJECT,  X.REJECTED,  MONEY),
    Step(X.APPROVED, P.RETURN,  X.RETURNED,  MONEY),
    Step(X.APPROVED, P.DOUBT,   X.IN_DOUBT,  SYSTEM),
    *(
        Step(gone, action, to, MONEY)
        # what the bank did is a fact, whatever we thought of the order before
        for gone in (X.APPROVED, X.SENT, X.IN_DOUBT, X.CANCELLED, X.REJECTED)
        for action, to in ((P.EXECUTE, X.EXECUTED),)
    ),
    Step(X.SENT,     P.REJECT, X.REJECTED, MONEY),
    Step(X.SENT,     P.RETURN, X.RETURNED, MONEY),
    Step(X.SENT,     P.DOUBT,  X.IN_DOUBT, SYSTEM),
    Step(X.IN_DOUBT, P.SEND,   X.SENT,     SYSTEM),
    Step(X.IN_DOUBT, P.REJECT, X.REJECTED, MONEY),
    Step(X.IN_DOUBT, P.RETURN, X.RETURNED, MONEY),
    Step(X.EXECUTED, P.RETURN, X.RETURNED, MONEY),
), frozenset({X.ORDERED, X.APPROVED, X.SENT, X.IN_DOUBT}), (
    Wait(X.ORDERED,  TimerKind.PAYOUT_END,  "task: it must be approved"),
    Wait(X.APPROVED, TimerKind.PAYOUT_END,  "task: it was not sent"),
    Wait(X.SENT,     TimerKind.PAYOUT_POLL, "asked at accounting until it has an end"),
    Wait(X.IN_DOUBT, TimerKind.PAYOUT_POLL, "asked at accounting until it has an end; never paid again by itself"),
))
# fmt: on

PARTS: tuple[
    Machine[ApplicationStatus, PartAction]
    | Machine[CoApplicationStatus, PartAction]
    | Machine[InvoiceStatus, PartAction]
    | Machine[PaymentStatus, PartAction]
    | Machine[RefundStatus, PartAction]
    | Machine[BankEntryStatus, PartAction]
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
    CO_APPLICATION,
    CHECK,
    ADVICE,
    DECISION,
    INVOICE,
    PAYMENT,
    REFUND,
    BANK_ENTRY,
    DELIVERY,
    SLOT,
    PAYOUT,
    MESSAGE,
)
"""All machines but the case's, which depends on the procedure."""
