"""The enums of cases, applications and those who act on them."""

from enum import StrEnum

from loket.api.naming import enumeration
from loket.lifecycle import ApplicationStatus, CoApplicationStatus, Role, Stage, Status, TaskStatus, TimerKind
from loket.records import ActorKind, Channel


class PhaseState(StrEnum):
    """How far a case is in a phase of its blueprint."""

    PAST = "PAST"
    CURRENT = "CURRENT"
    AHEAD = "AHEAD"


enumeration(
    PhaseState,
    {"PAST": "Behind it.", "CURRENT": "In it now.", "AHEAD": "Still to come, or never reached."},
)
enumeration(
    Status,
    {
        "RECEIVED": "Handed in.",
        "SCREENING": "Being looked at: may it be handled at all?",
        "AWAITING_APPLICANT": "The applicant was asked for more, or a co-applicant to confirm.",
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
    CoApplicationStatus,
    {
        "ASKED": "An answer is awaited.",
        "CONFIRMED": "They agree.",
        "REFUSED": "They do not agree.",
        "LAPSED": "They did not answer in time.",
        "WITHDRAWN": "Needed no more: the case ended.",
    },
    description="What a co-applicant said.",
)
enumeration(
    Channel,
    {"ONLINE": "On the website or in the app.", "COUNTER": "At the counter."},
    name="ApplicationChannel",
    description="How an application came in.",
)
enumeration(
    Role,
    {
        "APPLICANT": "Who applied.",
        "CO_APPLICANT": "Who must confirm what somebody else handed in.",
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
    ActorKind,
    {
        "CITIZEN": "A citizen.",
        "STAFF": "A member of staff.",
        "SERVICE": "A service account.",
        "SYSTEM": "Loket itself or another system.",
    },
    description="What kind of actor.",
)
enumeration(TaskStatus, {"OPEN": "To do.", "DONE": "Settled."}, description="Where a task stands.")
enumeration(
    TimerKind,
    {
        "ANSWER": "The applicant's answer.",
        "ANSWER_REMINDER": "A reminder to answer.",
        "CO_APPLICANT_REMINDER": "A reminder for the co-applicant.",
        "CO_APPLICANT_END": "The end of waiting for the co-applicant.",
        "VALIDITY_REMINDER": "Word that what was granted ends soon.",
        "VALIDITY_END": "The end of what was granted.",
        "RENEWAL": "When it is asked whether it is wanted again.",
        "DEPOSIT_END": "When a person is asked what becomes of a deposit.",
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
        "DEFAULT_NOTICE": "The notice of default.",
        "RECONCILIATION": "The day's reconciliation.",
        "PAYMENT_END": "The end of waiting for money.",
        "CHECKOUT_POLL": "Asking what became of a checkout.",
        "SLOT_REMINDER": "A reminder to choose a slot.",
        "SLOT_END": "Planning by itself when nobody chose.",
        "HOLD_END": "The end of a hold.",
        "DELIVERY_UNCONFIRMED": "A delivery of which nothing was heard.",
        "DRAFT_END": "The end of a draft.",
    },
)
