"""All tables. Records are nouns; what may happen to them stands in the verbs.

Constraints live here as well as in code: code says it kindly, the database means it.
National numbers and account numbers are stored sealed (`vault`), with a keyed index for look-up.
"""

from loket.records.applications import Application, Document, DocumentContent
from loket.records.cases import Case, Check, Decision, Event, Note, Quota, QuotaClaim, Task, case_number
from loket.records.deliveries import Booking, Delivery, Slot
from loket.records.effects import Attempt, Effect, IdempotentRequest, Inbox, Lane, Message, SystemState, Timer
from loket.records.kinds import (
    ActorKind,
    CalendarState,
    Channel,
    EffectKind,
    EffectState,
    Json,
    MessageChannel,
    PaymentMethod,
    RegistrationState,
    TimerState,
    Xid8,
)
from loket.records.money import CreditNote, Invoice, Journal, Payment, Refund
from loket.records.people import ContactCode, Person, SignInAttempt, Staff, WebSession
from loket.records.premiums import (
    Advice,
    AdviserKind,
    AgendaItem,
    Entitlement,
    Letter,
    LetterBatch,
    LetterStatus,
    LetterWay,
    Payout,
    PayoutKind,
)
from loket.records.sources import AccessLog, FeedEpoch, MagdaRegistration, MagdaUse

__all__ = [
    "AccessLog",
    "ActorKind",
    "Advice",
    "AdviserKind",
    "AgendaItem",
    "Application",
    "Attempt",
    "Booking",
    "CalendarState",
    "Case",
    "Channel",
    "Check",
    "ContactCode",
    "CreditNote",
    "Decision",
    "Delivery",
    "Document",
    "DocumentContent",
    "Effect",
    "EffectKind",
    "EffectState",
    "Entitlement",
    "Event",
    "FeedEpoch",
    "IdempotentRequest",
    "Inbox",
    "Invoice",
    "Journal",
    "Json",
    "Lane",
    "Letter",
    "LetterBatch",
    "LetterStatus",
    "LetterWay",
    "MagdaRegistration",
    "MagdaUse",
    "Message",
    "MessageChannel",
    "Note",
    "Payment",
    "PaymentMethod",
    "Payout",
    "PayoutKind",
    "Person",
    "Quota",
    "QuotaClaim",
    "Refund",
    "RegistrationState",
    "SignInAttempt",
    "Slot",
    "Staff",
    "SystemState",
    "Task",
    "Timer",
    "TimerState",
    "WebSession",
    "Xid8",
    "case_number",
]
