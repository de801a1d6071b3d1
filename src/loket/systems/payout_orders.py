"""Payouts in our published accounting contract: what we order, where it stands, what a bank says of it."""

import base64
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer
from pydantic.dataclasses import dataclass as shape

from loket import pain
from loket.sepa import HIGHEST, check_iban
from loket.systems.contract import WIRE, Amount, Instant


class PayoutKind(StrEnum):
    PREMIUM = "PREMIUM"
    REFUND = "REFUND"


class PayoutStatus(StrEnum):
    ACCEPTED = "ACCEPTED"
    """In the package's order book; the money did not move yet."""
    EXECUTED = "EXECUTED"
    REJECTED = "REJECTED"
    """By the package or by the bank; the money never left."""
    RETURNED = "RETURNED"
    """The money left and came back."""
    CANCELLED = "CANCELLED"
    """Recalled by us before it was executed."""


Iban = Annotated[str, AfterValidator(check_iban)]
ReasonCode = Annotated[str, Field(min_length=1, max_length=35)]
"""An ISO external code of four characters, or the bank's own."""
PayoutAmount = Annotated[Amount, Field(le=HIGHEST)]
Base64 = Annotated[bytes, PlainSerializer(lambda file: base64.b64encode(file).decode(), return_type=str)]


@shape(frozen=True, config=WIRE)
class Creditor:
    name: Annotated[str, Field(min_length=1, max_length=140)]
    iban: Iban = Field(repr=False)


@shape(frozen=True, config=WIRE)
class Approval:
    """Who agreed that the money goes out, in which role."""

    name: Annotated[str, Field(min_length=1, max_length=140)]
    role: Annotated[str, Field(min_length=1, max_length=100)]
    at: Instant


@shape(frozen=True, config=WIRE)
class PaymentFile:
    """The pain.001 of this one transfer, ready for the bank."""

    version: pain.Version
    content: Base64 = Field(repr=False)


@shape(frozen=True, config=WIRE)
class PayoutLine:
    """What is booked under one key, as the municipality configured it (BBC)."""

    budget_key: dict[str, str]
    amount: PayoutAmount


@shape(frozen=True, config=WIRE)
class PayoutOrder:
    """Money to one account. Wrong values raise `ValueError` when it is made, before anything is sent.

    `lines` say where it is booked, one for each budget key; together they are `amount`. Either `remittance`
    or `structured_reference` (12 digits, or RF…) is given.
    """

    id: UUID
    kind: PayoutKind
    end_to_end_id: Annotated[str, Field(min_length=1, max_length=35)]
    amount: PayoutAmount
    creditor: Creditor
    lines: Annotated[tuple[PayoutLine, ...], Field(min_length=1)]
    requested_on: date
    case_reference: Annotated[str, Field(min_length=1, max_length=35)]
    approvals: Annotated[tuple[Approval, ...], Field(min_length=1)]
    pain001: PaymentFile
    remittance: Annotated[str, Field(min_length=1, max_length=140)] | None = None
    structured_reference: Annotated[str, Field(pattern="^([0-9]{12}|RF[0-9]{2}[A-Z0-9]{1,21})$")] | None = (
        None
    )
    currency: Literal["EUR"] = "EUR"

    def __post_init__(self) -> None:
        if (self.remittance is None) == (self.structured_reference is None):
            raise ValueError("a payout order has either a remittance or a structured reference")
        if sum(line.amount for line in self.lines) != self.amount:
            raise ValueError("the lines of a payout order add up to its amount")


@shape(frozen=True, config=WIRE)
class PayoutState:
    """Where a payout stands; a day or a reason is there when its status has one."""

    id: UUID
    status: PayoutStatus
    end_to_end_id: str | None = None
    amount: Amount | None = None
    accepted_at: Instant | None = None
    executed_on: date | None = None
    rejected_on: date | None = None
    returned_on: date | None = None
    returned_amount: Amount | None = None
    cancelled_at: Instant | None = None
    reason_code: ReasonCode | None = None
    reason: str | None = None


@shape(frozen=True, config=WIRE)
class PayoutExecuted:
    """The money left the municipality's account. A bank's report need not tell amount and day."""

    payout_id: UUID
    amount: Amount | None = None
    executed_on: date | None = None


@shape(frozen=True, config=WIRE)
class PayoutRejected:
    """The money did not leave."""

    payout_id: UUID
    reason_code: ReasonCode | None = None
    reason: str | None = None


@shape(frozen=True, config=WIRE)
class PayoutReturned:
    """The money left and came back, for instance from a closed account."""

    payout_id: UUID
    amount: Amount
    returned_on: date
    reason_code: ReasonCode | None = None
    reason: str | None = None


@shape(frozen=True, config=WIRE)
class PayoutUnderway:
    """The bank said something that is not an end. `raw_status` is its own code."""

    payout_id: UUID
    status: pain.Status
    raw_status: str


def _report(file: object) -> pain.StatusReport:
    """Raises `ValueError`, which makes the notice one that cannot be read."""
    if not isinstance(file, str):
        raise ValueError("pain002: base64")  # noqa: TRY004  # pydantic only hears ValueError
    return pain.read_status(base64.b64decode(file, validate=True))


@shape(frozen=True, config=WIRE)
class PayoutReport:
    """A bank's whole pain.002. `payout_id`: of whom it speaks where it lists no transactions."""

    pain002: Annotated[pain.StatusReport, BeforeValidator(_report)]
    payout_id: UUID | None = None


PayoutFact = PayoutExecuted | PayoutRejected | PayoutReturned | PayoutUnderway


def facts_in(report: PayoutReport) -> tuple[PayoutFact, ...]:
    """What a bank's report says of payouts of ours, one by one; other transactions in it are left out."""
    said = report.pain002.transactions
    facts = [_fact(id, one, report.pain002) for one in said if (id := pain.payout_id(one.end_to_end_id))]
    if not said and report.payout_id is not None:
        facts.append(_fact(report.payout_id, report.pain002.unlisted, report.pain002))
    return tuple(facts)


def _fact(id: UUID, one: pain.TransactionStatus, report: pain.StatusReport) -> PayoutFact:
    if one.status in pain.SETTLED:
        on = one.settled_on or report.reported_on
        return PayoutExecuted(payout_id=id, amount=one.amount or None, executed_on=on)
    if one.status is pain.Status.RJCT:
        code = next(iter(one.reason_codes), None)
        return PayoutRejected(payout_id=id, reason_code=code, reason=" ".join(one.details) or None)
    return PayoutUnderway(payout_id=id, status=one.status, raw_status=one.raw_status)
