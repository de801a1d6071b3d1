"""The enums of the schema, each value described."""

from enum import StrEnum

from loket.advice import Opinion
from loket.api.naming import enumeration
from loket.definition import DecidingBody
from loket.lifecycle import (
    AdviceStatus,
    ApplicationStatus,
    CheckStatus,
    DecisionStatus,
    DeliveryStatus,
    EventType,
    InvoiceStatus,
    MessageStatus,
    PaymentStatus,
    PayoutStatus,
    RefundStatus,
    Role,
    SlotStatus,
    Stage,
    Status,
    TaskStatus,
    TimerKind,
)
from loket.records import (
    ActorKind,
    AdviserKind,
    CalendarState,
    Channel,
    EffectKind,
    EffectState,
    LetterStatus,
    LetterWay,
    MessageChannel,
    PaymentMethod,
    PayoutKind,
)


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
    DECISION_TAKE = "DECISION_TAKE"
    PAYMENT_START = "PAYMENT_START"
    PAYMENT_REGISTER = "PAYMENT_REGISTER"
    DELIVERY_HOLD_SLOT = "DELIVERY_HOLD_SLOT"
    DELIVERY_BOOK_SLOT = "DELIVERY_BOOK_SLOT"
    DELIVERY_RESCHEDULE = "DELIVERY_RESCHEDULE"
    DELIVERY_CONFIRM = "DELIVERY_CONFIRM"
    DELIVERY_REPORT_MISSED = "DELIVERY_REPORT_MISSED"
    DELIVERY_CANCEL = "DELIVERY_CANCEL"
    REFUND_ORDER = "REFUND_ORDER"
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


def _field(action: CaseAction) -> str:
    """CASE_ADD_NOTE → caseAddNote."""
    first, *rest = action.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


class LegalValue(StrEnum):
    """What a message is worth: only legal delivery makes the term of an appeal run."""

    INFORMATIVE = "INFORMATIVE"
    LEGAL = "LEGAL"


class PhaseState(StrEnum):
    """How far a case is in a phase of its blueprint."""

    PAST = "PAST"
    CURRENT = "CURRENT"
    AHEAD = "AHEAD"


enumeration(
    CaseAction,
    {member.name: f"Mutation `{_field(member)}`." for member in CaseAction},
)
enumeration(
    LegalValue,
    {"INFORMATIVE": "It announces.", "LEGAL": "In the eBox, or by registered letter."},
)
enumeration(
    PhaseState,
    {"PAST": "Behind it.", "CURRENT": "In it now.", "AHEAD": "Still to come, or never reached."},
)
enumeration(
    Status,
    {
        "RECEIVED": "Handed in.",
        "SCREENING": "Being looked at: may it be handled at all?",
        "AWAITING_APPLICANT": "The applicant was asked for more.",
        "INADMISSIBLE": "May not be handled. Final.",
        "ASSESSMENT": "Being judged on its merits.",
        "AWAITING_ADVICE": "Others were asked for advice.",
        "AWAITING_DECISION": "Ready to be decided on.",
        "APPROVED": "Granted; what follows from it is yet to be done.",
        "REJECTED": "Refused. Final.",
        "AWAITING_PAYMENT": "The citizen has to pay.",
        "AWAITING_SLOT": "A delivery slot is to be chosen.",
        "AWAITING_DELIVERY": "The delivery is planned.",
        "AWAITING_PAYOUT": "The premium is to be paid out.",
        "COMPLETED": "All is done. Final.",
        "WITHDRAWN": "The applicant took it back. Final.",
        "CANCELLED": "Stopped by the municipality, or because nobody paid. Final.",
    },
    name="CaseStatus",
    description="Where a case stands.",
)
enumeration(
    Stage,
    {
        "SCREENING": "Admissibility.",
        "ASSESSMENT": "Checks and advice on the merits.",
        "DECISION": "The decision.",
        "PAYMENT": "The citizen pays.",
        "PLANNING": "A delivery slot is agreed.",
        "DELIVERY": "The goods are handed over.",
        "PAYOUT": "A premium is paid.",
    },
    name="Stage",
)
enumeration(
    EventType,
    {
        "SUBMITTED": "The application was handed in.",
        "SCREENING_STARTED": "The screening began.",
        "REFERRED": "The rules left it to a person.",
        "ADMISSIBLE": "Declared admissible.",
        "INADMISSIBLE": "Declared inadmissible.",
        "INFORMATION_REQUESTED": "The applicant was asked for more.",
        "INFORMATION_REMINDED": "The applicant was reminded of the question.",
        "INFORMATION_SUPPLIED": "The applicant answered.",
        "INFORMATION_LAPSED": "No answer came in time.",
        "ASSESSMENT_STARTED": "The assessment began.",
        "CHECK_STARTED": "An authentic source is asked.",
        "CHECK_ANSWERED": "An authentic source answered.",
        "CHECK_FAILED": "An authentic source could not answer.",
        "CHECK_REPLACED": "A document stands in place of a check.",
        "ADVICE_REQUESTED": "Advice was asked.",
        "ADVICE_REMINDED": "An adviser was reminded.",
        "ADVICE_GIVEN": "Advice was given.",
        "ADVICE_LAPSED": "No advice came in time; the case goes on without it.",
        "ADVICE_WITHDRAWN": "The question for advice was taken back.",
        "ADVICE_COMPLETE": "No advice is awaited any more.",
        "DECISION_PENDING": "Ready to be decided on.",
        "DECISION_PREPARED": "A decision was prepared.",
        "DECISION_SENT": "The draft went to the minutes system.",
        "DECISION_ON_AGENDA": "It stands on the agenda of the deciding body.",
        "DECISION_POSTPONED": "The body put the decision off.",
        "DECISION_MODIFIED": "The body changed the draft; the handler confirms.",
        "DECISION_SIGNED": "The decision was signed.",
        "DECISION_WITHDRAWN": "The decision was withdrawn.",
        "LETTER_SENT": "The decision letter is on its way.",
        "APPROVED": "Granted.",
        "PARTLY_APPROVED": "Granted in part.",
        "REJECTED": "Refused.",
        "STAGE_PASSED": "A stage had nothing (more) to do.",
        "PAYMENT_DUE": "The citizen has to pay.",
        "PAYMENT_RECEIVED": "Money came in, not all that is due or more.",
        "PAID": "All is paid.",
        "PAYMENT_REMINDED": "Reminded to pay.",
        "HANDED_OVER": "Handed over for recovery.",
        "REFUND_DUE": "Money has to go back.",
        "REFUNDED": "Money went back.",
        "SLOT_NEEDED": "A delivery slot is to be chosen.",
        "SLOT_REMINDED": "Reminded to choose a slot.",
        "SLOT_HELD": "A slot was held.",
        "PLANNED": "The delivery is planned.",
        "RESCHEDULED": "The citizen chose another slot.",
        "SLOT_MOVED": "The planning tool moved the slot.",
        "SLOT_LOST": "The planning tool cancelled the slot.",
        "DELIVERY_PENDING": "The delivery is awaited.",
        "DELIVERED": "Handed over.",
        "MISSED": "The delivery did not succeed.",
        "PAYOUT_DUE": "The premium is to be paid out.",
        "PAYOUT_ORDERED": "The payout was ordered.",
        "PAYOUT_APPROVED": "The payout was approved.",
        "PAYOUT_DECLINED": "The payout was not approved.",
        "PAYOUT_CANCELLED": "The payout was cancelled.",
        "PAYOUT_SENT": "Accounting has the payout.",
        "PAYOUT_REJECTED": "The bank refused the payout.",
        "PAYOUT_RETURNED": "The money came back.",
        "PAYOUT_IN_DOUBT": "It is not certain whether money moved; a person finds out.",
        "ACCOUNT_NEEDED": "The applicant was asked for another account.",
        "ACCOUNT_CORRECTED": "The applicant gave another account.",
        "ACCOUNT_LAPSED": "No other account came in time.",
        "PAID_OUT": "The premium was paid.",
        "COMPLETED": "All is done.",
        "WITHDRAWN": "The applicant took it back.",
        "CANCELLED": "Stopped.",
        "REOPENED": "Opened again, for a new round.",
        "ASSIGNED": "A handler took it on.",
        "RELEASED": "A handler gave it back.",
        "NOTE_ADDED": "A note was made.",
        "SUSPENDED": "The term stands still.",
        "RESUMED": "The term runs on.",
        "TERM_EXTENDED": "The term was made longer.",
        "TERM_LAPSED": "The term passed without a decision.",
        "TASK_OPENED": "A person is asked to settle something.",
        "TASK_DONE": "It was settled.",
        "EFFECT_DONE": "Another system heard it.",
        "EFFECT_RETRIED": "Another system could not hear it yet; tried again by itself.",
        "EFFECT_PARKED": "Another system refused it; an operator is asked.",
        "EFFECT_SKIPPED": "It was decided not to tell the other system.",
    },
    name="CaseEventType",
)
enumeration(
    ApplicationStatus,
    {
        "DRAFT": "Being filled in.",
        "SUBMITTED": "Handed in.",
        "EXPIRED": "Never handed in; its content is gone.",
        "DISCARDED": "Thrown away by the citizen.",
    },
    description="Where an application stands.",
)
enumeration(
    CheckStatus,
    {
        "RUNNING": "Being asked.",
        "MET": "Yes.",
        "NOT_MET": "No.",
        "UNKNOWN": "No answer.",
        "REPLACED": "Proved by a document instead.",
    },
    description="What came of a check.",
)
enumeration(
    AdviceStatus,
    {
        "REQUESTED": "Asked.",
        "REMINDED": "Asked, and reminded.",
        "POSITIVE": "In favour.",
        "NEGATIVE": "Against.",
        "CONDITIONAL": "In favour, on conditions.",
        "NO_REACTION": "No answer in time.",
        "WITHDRAWN": "The question was taken back.",
    },
    description="Where advice stands.",
)
enumeration(
    Opinion,
    {
        "POSITIVE": "In favour.",
        "NEGATIVE": "Against.",
        "CONDITIONAL": "In favour, on conditions.",
    },
    name="AdviceOpinion",
    description="What an adviser thinks of it.",
)
enumeration(
    AdviserKind,
    {
        "INTERNAL": "A service of the municipality.",
        "EXTERNAL": "A body elsewhere.",
        "MACHINE": "A source that answers by machine.",
    },
    description="Who is asked for advice.",
)
enumeration(
    DecidingBody,
    {
        "COLLEGE": "College van burgemeester en schepenen.",
        "COUNCIL": "Gemeenteraad.",
        "VAST_BUREAU": "Vast bureau.",
        "RMW": "Raad voor maatschappelijk welzijn.",
        "BCSD": "Bijzonder comité voor de sociale dienst.",
    },
    description="The body that decides (bevoegd orgaan).",
)
enumeration(
    PayoutKind,
    {"PREMIUM": "What was granted.", "REFUND": "What a citizen paid, going back by transfer."},
    description="What a payout is.",
)
enumeration(
    PayoutStatus,
    {
        "ORDERED": "Ordered; a second person approves.",
        "APPROVED": "Approved; on its way to accounting.",
        "DECLINED": "Not approved.",
        "SENT": "Accounting has it.",
        "EXECUTED": "Paid.",
        "REJECTED": "Refused by the bank.",
        "RETURNED": "Paid, and it came back.",
        "IN_DOUBT": "It is not certain whether money moved.",
        "CANCELLED": "Cancelled before it was sent.",
    },
    description="Where a payout stands.",
)
enumeration(
    LetterWay,
    {"EBOX": "In the eBox.", "REGISTERED": "By registered letter.", "NORMAL": "By ordinary letter."},
    description="How a letter goes.",
)
enumeration(
    LetterStatus,
    {
        "QUEUED": "To be made, or waiting for the day's batch.",
        "BATCHED": "With who prints and posts it.",
        "SENT": "Sent, with proof.",
        "DELIVERED": "Arrived.",
        "FAILED": "Will not arrive.",
    },
    description="Where a letter stands.",
)
enumeration(
    DecisionStatus,
    {
        "DRAFT": "Being prepared.",
        "ON_AGENDA": "On the agenda of the deciding body.",
        "POSTPONED": "Put off to a later meeting.",
        "GRANTED": "Granted.",
        "PARTLY_GRANTED": "Granted in part.",
        "REFUSED": "Refused.",
        "TO_CONFIRM": "Changed by the body; the handler confirms.",
        "WITHDRAWN": "Withdrawn.",
    },
    description="Where a decision stands.",
)
enumeration(
    InvoiceStatus,
    {
        "ISSUED": "To be paid.",
        "PARTLY_PAID": "Paid in part.",
        "PAID": "Paid.",
        "CREDITED": "Taken back.",
        "HANDED_OVER": "Handed over for recovery.",
        "WRITTEN_OFF": "Written off.",
    },
    description="Where an invoice stands.",
)
enumeration(
    PaymentStatus,
    {
        "STARTED": "The citizen is paying.",
        "PENDING": "Paid, but the money is not certain yet.",
        "CAPTURED": "The money is there.",
        "FAILED": "No money came of it.",
    },
    description="Where a payment stands.",
)
enumeration(
    RefundStatus,
    {
        "DUE": "To be paid back.",
        "ORDERED": "Ordered.",
        "DONE": "Paid back.",
        "FAILED": "Refused by the module.",
    },
    description="Where a refund stands.",
)
enumeration(
    SlotStatus,
    {"HELD": "Kept for a while.", "BOOKED": "Agreed.", "RELEASED": "Given back."},
    description="What a delivery has of a slot.",
)
enumeration(
    DeliveryStatus,
    {
        "TO_PLAN": "A slot is to be chosen.",
        "PLANNED": "Planned.",
        "DELIVERED": "Handed over.",
        "MISSED": "Did not succeed; to be planned again.",
        "CANCELLED": "Cancelled.",
    },
    description="Where a delivery stands.",
)
enumeration(
    MessageStatus,
    {
        "QUEUED": "On its way out.",
        "SENT": "Taken by the channel.",
        "DELIVERED": "Arrived.",
        "FAILED": "Will not arrive.",
        "SKIPPED": "Not sent; `reason` says why.",
    },
    description="What became of a message.",
)
enumeration(TaskStatus, {"OPEN": "To do.", "DONE": "Settled."}, description="Where a task stands.")
enumeration(
    Role,
    {
        "APPLICANT": "Who applied.",
        "HANDLER": "Case handler (dossierbehandelaar).",
        "FIELD_WORKER": "Hands over the goods.",
        "FINANCE": "Financial service.",
        "ADVISER": "Gives advice.",
        "SECRETARIAT": "Secretariat of the general director: decisions of the bodies.",
        "OPERATOR": "Keeps Loket running.",
        "SYSTEM": "A rule, a timer or another system.",
    },
)
enumeration(
    Channel,
    {"ONLINE": "On the website or in the app.", "COUNTER": "At the counter."},
    name="ApplicationChannel",
    description="How an application came in.",
)
enumeration(
    ActorKind,
    {
        "CITIZEN": "A citizen.",
        "STAFF": "A member of staff.",
        "SERVICE": "A service account.",
        "SYSTEM": "Loket itself or another system.",
    },
    description="What kind of actor.",
)
enumeration(
    MessageChannel,
    {
        "MBP": "Mijn Burgerprofiel.",
        "EMAIL": "E-mail.",
        "SMS": "Text message.",
        "LETTER": "On paper, or a letter in the eBox.",
    },
    description="Over what a message goes.",
)
enumeration(
    EffectKind,
    {
        "DOSIS_STATUS": "A status for DOSIS.",
        "MESSAGE_MBP": "A message in Mijn Burgerprofiel.",
        "MESSAGE_EMAIL": "An e-mail.",
        "MESSAGE_SMS": "A text message.",
        "MAGDA_CHECK": "Asking authentic sources.",
        "MAGDA_UNREGISTER": "Ending a registration at MAGDA.",
        "ACCOUNTING_ENTRY": "An entry for accounting.",
        "PLANNING_BOOK": "A booking in the planning tool.",
        "PLANNING_CANCEL": "A cancellation in the planning tool.",
        "PAYMENT_POLL": "Asking what became of a checkout.",
        "PAYMENT_REFUND": "Paying back through the payment module.",
        "CONTACT_CODE": "A code that proves a contact point.",
        "INVOICE_PDF": "Making the invoice's PDF.",
        "CHECK_ASK": "Asking an authentic source for a check.",
        "ADVICE_EMAIL": "An e-mail to an external adviser.",
        "STAFF_EMAIL": "An e-mail to a department, about new work.",
        "MINUTES_CREATE": "An item for the minutes system.",
        "MINUTES_READ": "Asking the minutes system what became of an item.",
        "MINUTES_WITHDRAW": "Taking an item back from the minutes system.",
        "LETTER_PDF": "Making a letter's PDF.",
        "LETTER_EBOX": "A letter for the eBox.",
        "EBOX_READ": "Asking the eBox what became of a letter.",
        "PAYOUT_SEND": "A payout for accounting.",
        "PAYOUT_READ": "Asking accounting what became of a payout.",
        "PAYOUT_RECALL": "Calling a payout back at accounting.",
    },
    description="What another system must hear or do.",
)
enumeration(
    EffectState,
    {
        "PENDING": "To be done, or being tried again.",
        "DONE": "Done.",
        "PARKED": "Refused; an operator is asked.",
        "IN_DOUBT": "Money may have moved; a person decides.",
        "SKIPPED": "Not done; the reason stands with it.",
    },
    description="What became of an effect.",
)
enumeration(
    PaymentMethod,
    {"ONLINE": "Through the payment module.", "TRANSFER": "By bank transfer.", "COUNTER": "At the counter."},
    description="How money came.",
)
enumeration(
    CalendarState,
    {"OPEN": "Can be chosen.", "CLOSED": "Takes no more bookings.", "CANCELLED": "Does not take place."},
    name="SlotState",
    description="What the planning tool says of a slot.",
)
enumeration(
    TimerKind,
    {
        "ANSWER": "The applicant's answer.",
        "ANSWER_REMINDER": "A reminder to answer.",
        "ADVICE_REMINDER": "A reminder for an adviser.",
        "ADVICE_END": "The end of waiting for advice.",
        "MINUTES_POLL": "Asking the minutes system what became of an item.",
        "SUCCESSOR_END": "A postponed item that came back on no agenda.",
        "NOTIFY_END": "The last day to send the letter with a decision.",
        "EBOX_POLL": "Asking the eBox what became of a letter.",
        "LETTER_BATCH": "The day's print batch.",
        "PAYOUT_POLL": "Asking accounting what became of a payout.",
        "PAYOUT_END": "A payout that was not made in time.",
        "TERM": "The decision.",
        "TERM_ALARM": "The warning before the term lapses.",
        "PAYMENT_REMINDER": "A reminder to pay.",
        "PAYMENT_END": "The end of waiting for money.",
        "CHECKOUT_POLL": "Asking what became of a checkout.",
        "SLOT_REMINDER": "A reminder to choose a slot.",
        "SLOT_END": "Planning by itself when nobody chose.",
        "HOLD_END": "The end of a hold.",
        "DELIVERY_UNCONFIRMED": "A delivery of which nothing was heard.",
        "DRAFT_END": "The end of a draft.",
    },
)
