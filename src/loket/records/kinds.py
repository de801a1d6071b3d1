"""Kinds and column types that the tables share."""

from enum import StrEnum
from typing import Any

from sqlalchemy import Column, DateTime, Enum, LargeBinary, Numeric, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

Json = dict[str, Any]


class Channel(StrEnum):
    """How an application came in."""

    ONLINE = "ONLINE"
    COUNTER = "COUNTER"


class ActorKind(StrEnum):
    CITIZEN = "CITIZEN"
    STAFF = "STAFF"
    SERVICE = "SERVICE"
    SYSTEM = "SYSTEM"


class MessageChannel(StrEnum):
    """Over what a message goes to a person."""

    MBP = "MBP"
    EMAIL = "EMAIL"
    SMS = "SMS"
    LETTER = "LETTER"


class EffectState(StrEnum):
    PENDING = "PENDING"
    DONE = "DONE"
    PARKED = "PARKED"
    IN_DOUBT = "IN_DOUBT"
    SKIPPED = "SKIPPED"


class EffectKind(StrEnum):
    """What another system must hear or do. `effects` has a function for each."""

    DOSIS_STATUS = "DOSIS_STATUS"
    MESSAGE_MBP = "MESSAGE_MBP"
    MESSAGE_EMAIL = "MESSAGE_EMAIL"
    MESSAGE_SMS = "MESSAGE_SMS"
    MAGDA_CHECK = "MAGDA_CHECK"
    MAGDA_UNREGISTER = "MAGDA_UNREGISTER"
    ACCOUNTING_ENTRY = "ACCOUNTING_ENTRY"
    PLANNING_BOOK = "PLANNING_BOOK"
    PLANNING_CANCEL = "PLANNING_CANCEL"
    PAYMENT_POLL = "PAYMENT_POLL"
    PAYMENT_REFUND = "PAYMENT_REFUND"
    CONTACT_CODE = "CONTACT_CODE"
    INVOICE_PDF = "INVOICE_PDF"
    CREDIT_NOTE_PDF = "CREDIT_NOTE_PDF"
    WARRANT_PDF = "WARRANT_PDF"
    RECONCILE = "RECONCILE"
    COMPARE_PLANNING = "COMPARE_PLANNING"
    COMPARE_STATUSES = "COMPARE_STATUSES"
    CHECK_ASK = "CHECK_ASK"
    ADVICE_EMAIL = "ADVICE_EMAIL"
    STAFF_EMAIL = "STAFF_EMAIL"
    MINUTES_CREATE = "MINUTES_CREATE"
    MINUTES_READ = "MINUTES_READ"
    MINUTES_WITHDRAW = "MINUTES_WITHDRAW"
    LETTER_PDF = "LETTER_PDF"
    LETTER_EBOX = "LETTER_EBOX"
    EBOX_READ = "EBOX_READ"
    PAYOUT_SEND = "PAYOUT_SEND"
    PAYOUT_READ = "PAYOUT_READ"
    PAYOUT_RECALL = "PAYOUT_RECALL"


class TimerState(StrEnum):
    ARMED = "ARMED"
    FIRED = "FIRED"
    CANCELLED = "CANCELLED"


class PaymentMethod(StrEnum):
    ONLINE = "ONLINE"
    TRANSFER = "TRANSFER"
    COUNTER = "COUNTER"


class DunningKind(StrEnum):
    """What was done to have an invoice paid."""

    REMINDER = "REMINDER"
    DEFAULT_NOTICE = "DEFAULT_NOTICE"
    """Ingebrekestelling, by registered letter."""
    HANDED_OVER = "HANDED_OVER"
    """To the financial director, for a warrant (dwangbevel)."""
    WRITTEN_OFF = "WRITTEN_OFF"


class StatementFormat(StrEnum):
    CODA = "CODA"
    CAMT_053 = "CAMT_053"


class EntryType(StrEnum):
    """What a journal entry is of."""

    INVOICE = "INVOICE"
    COSTS = "COSTS"
    """Costs of a reminder or a default notice."""
    CREDIT_NOTE = "CREDIT_NOTE"
    PAYMENT = "PAYMENT"
    REFUND_DUE = "REFUND_DUE"
    REFUND = "REFUND"
    REFUND_RETURNED = "REFUND_RETURNED"
    WRITE_OFF = "WRITE_OFF"
    WRITE_OFF_REVERSED = "WRITE_OFF_REVERSED"
    CHARGEBACK = "CHARGEBACK"
    CHARGEBACK_REVERSED = "CHARGEBACK_REVERSED"
    PAYOUT = "PAYOUT"
    PAYOUT_RETURNED = "PAYOUT_RETURNED"


class EntryState(StrEnum):
    """Whether the accounting package has it."""

    LEFT = "LEFT"
    BOOKED = "BOOKED"
    REJECTED = "REJECTED"
    KNOWN = "KNOWN"
    """The package told us itself."""


class LedgerAccount(StrEnum):
    """What the ledger counts on. Which account of the municipality's chart (MAR) each is, are settings."""

    RECEIVABLE = "RECEIVABLE"
    """What citizens owe."""
    REVENUE = "REVENUE"
    """By budget key."""
    VAT = "VAT"
    COSTS = "COSTS"
    """Costs of dunning that are charged."""
    BANK = "BANK"
    MODULE = "MODULE"
    """With the payment module, on its way to the bank."""
    CASH = "CASH"
    REFUNDABLE = "REFUNDABLE"
    """What must go back to whoever paid it."""
    GRANTS = "GRANTS"
    """Premiums, by budget key."""
    LOSS = "LOSS"
    """Written off."""


class Compared(StrEnum):
    """What is compared with what others have of it."""

    MONEY = "MONEY"
    PLANNING = "PLANNING"
    """What the planning tool has of deliveries."""
    STATUSES = "STATUSES"
    """What DOSIS has of cases."""


class DifferenceKind(StrEnum):
    """How two records of the same thing disagree."""

    PROVIDER = "PROVIDER"
    """The payment module says something else of a payment than we do."""
    ENTRY_MISSING = "ENTRY_MISSING"
    """Money moved, and no journal entry says so."""
    ENTRY_DIFFERS = "ENTRY_DIFFERS"
    """A journal entry is of another amount than what it books."""
    ENTRY_NOT_TOLD = "ENTRY_NOT_TOLD"
    """Accounting does not have a journal entry, and nothing is under way to tell it."""
    STATEMENT = "STATEMENT"
    """A transfer or a payout of ours is not on the bank's statements, or otherwise."""
    INVOICE = "INVOICE"
    """Amount, costs, credit, paid and written off of an invoice do not add up to its payments."""
    REFUND = "REFUND"
    """More went back, or less, than was to go back."""
    PAYOUT = "PAYOUT"
    """More or less was paid out than was granted."""
    LEDGER = "LEDGER"
    """Debit and credit differ."""
    PLACE_MISSING = "PLACE_MISSING"
    """A delivery is agreed on, and the planning tool has no place for it."""
    PLACE_UNKNOWN = "PLACE_UNKNOWN"
    """The planning tool has a place for a delivery that is not agreed on."""
    PLACE_DIFFERS = "PLACE_DIFFERS"
    """The planning tool has a delivery in another slot."""
    OUTCOME_UNHEARD = "OUTCOME_UNHEARD"
    """The planning tool says how a delivery went, and we have not heard of it."""
    STATUS_NOT_TOLD = "STATUS_NOT_TOLD"
    """DOSIS does not have a case's last status, and nothing is under way to tell it."""
    STATUS_REFUSED = "STATUS_REFUSED"
    """DOSIS took a case's last status, and could not process it."""


class DifferenceState(StrEnum):
    OPEN = "OPEN"
    REPAIRED = "REPAIRED"
    GONE = "GONE"
    """A later reconciliation did not find it any more."""


class RegistrationState(StrEnum):
    WANTED = "WANTED"
    REGISTERED = "REGISTERED"
    ENDED = "ENDED"


class CalendarState(StrEnum):
    """What the planning tool says of a slot."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


def one_of(kind: type[StrEnum], name: str = "") -> Enum:
    """A text column with a check: new values need no ALTER TYPE."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=40,
        name=f"{name or kind.__name__.lower()}_known",
        values_callable=lambda members: [member.value for member in members],
    )


Instant = DateTime(timezone=True)
Money = Numeric(12, 2)
Bytes = LargeBinary


def json_column(default: str) -> Column[Any]:
    return Column(JSONB, nullable=False, server_default=text(f"'{default}'::jsonb"))
