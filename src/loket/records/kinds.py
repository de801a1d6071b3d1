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
