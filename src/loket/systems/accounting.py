"""The municipality's accounting package: we book what moved, it tells us which transfers came in.

We order payouts there too; the package has the bank carry them out and tells us how each ended.

Speaks our own published contract, contracts/accounting.openapi.yaml.
"""

import asyncio
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

import httpx2
from pydantic import AfterValidator, Field, TypeAdapter
from pydantic.dataclasses import dataclass as shape

from loket.errors import Declined, InDoubt, Unavailable
from loket.settings import Accounting as Settings
from loket.systems import contract
from loket.systems.calls import NOT_NOW, ask, call, failure, json_object
from loket.systems.contract import WIRE, Address, Amount, Instant, Notice
from loket.systems.payout_orders import (
    PayoutExecuted,
    PayoutOrder,
    PayoutRejected,
    PayoutReport,
    PayoutReturned,
    PayoutState,
)

SYSTEM = "accounting"
TIMEOUT_SECONDS = 20.0
ORDER_SECONDS = 12.0
"""For an order of money, and LOOK_SECONDS for the look whether it is there: together they end before the time
of an effect is over (`attempts.CALL_SECONDS`), so that silence is told as such."""
LOOK_SECONDS = 6.0

Reference = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
"""Structured communication (OGM), 12 bare digits."""


class EntryType(StrEnum):
    INVOICE = "INVOICE"
    COSTS = "COSTS"
    """Of a reminder or a default notice."""
    CREDIT_NOTE = "CREDIT_NOTE"
    PAYMENT = "PAYMENT"
    """Money that came in; not of transfers that the package told us of itself."""
    REFUND_DUE = "REFUND_DUE"
    """Money that must go back to the payer."""
    REFUND = "REFUND"
    """It went back, through the module or out of the till; payouts are the package's own knowledge."""
    WRITE_OFF = "WRITE_OFF"
    WRITE_OFF_REVERSED = "WRITE_OFF_REVERSED"
    CHARGEBACK = "CHARGEBACK"
    """The payer's bank took a payment back."""
    CHARGEBACK_REVERSED = "CHARGEBACK_REVERSED"


class Account(StrEnum):
    """What a posting is on, in words of ours; `Posting.code` is the municipality's number for it."""

    RECEIVABLE = "RECEIVABLE"
    REVENUE = "REVENUE"
    VAT = "VAT"
    COSTS = "COSTS"
    BANK = "BANK"
    MODULE = "MODULE"
    CASH = "CASH"
    REFUNDABLE = "REFUNDABLE"
    GRANTS = "GRANTS"
    LOSS = "LOSS"


class PaymentMethod(StrEnum):
    ONLINE = "ONLINE"
    TRANSFER = "TRANSFER"
    CASH = "CASH"


class EntryStatus(StrEnum):
    BOOKED = "BOOKED"
    REJECTED = "REJECTED"


@shape(frozen=True, config=WIRE)
class Counterparty:
    name: Annotated[str, Field(min_length=1, max_length=140)]
    address: Address | None = None
    email: str | None = None
    enterprise_number: str | None = None


def _cents(number: Decimal) -> Decimal:
    return number.quantize(contract.CENT)


@shape(frozen=True, config=WIRE)
class Vat:
    """The VAT inside a line's gross amount. `category` as in EN 16931: taxed, exempt, outside the scope."""

    category: Literal["S", "E", "O"]
    rate: Annotated[Decimal, Field(ge=0, lt=100, decimal_places=2), AfterValidator(_cents)]
    amount: Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2), AfterValidator(_cents)]


@shape(frozen=True, config=WIRE)
class Line:
    """`amount` is that of the whole line, gross. `budget_key` as the municipality configured it (BBC)."""

    description: Annotated[str, Field(min_length=1, max_length=140)]
    quantity: Annotated[int, Field(ge=1)]
    amount: Amount
    budget_key: dict[str, str]
    vat: Vat | None = None


@shape(frozen=True, config=WIRE)
class Posting:
    """One side of the entry: either `debit` or `credit`, in EUR. `code` is the account in the chart (MAR)."""

    account: Account
    code: Annotated[str, Field(pattern=r"^[0-7][0-9]{2,7}$")]
    debit: Amount | None = None
    credit: Amount | None = None
    budget_key: dict[str, str] | None = None
    description: Annotated[str, Field(min_length=1, max_length=140)] | None = None


@shape(frozen=True, config=WIRE)
class Entry:
    """One document to book. Wrong values raise `ValueError` when it is made, before anything is sent.

    Wrong is also what does not balance.
    """

    id: UUID
    type: EntryType
    journal: Annotated[str, Field(min_length=1, max_length=20)]
    number: Annotated[str, Field(min_length=1, max_length=35)]
    reference: Reference
    booked_on: date
    amount: Amount
    counterparty: Counterparty
    postings: Annotated[tuple[Posting, ...], Field(min_length=2)]
    lines: tuple[Line, ...] = ()
    due_on: date | None = None
    invoice_number: Annotated[str, Field(max_length=35)] | None = None
    payment_method: PaymentMethod | None = None
    currency: Literal["EUR"] = "EUR"

    def __post_init__(self) -> None:
        debit = sum((one.debit for one in self.postings if one.debit), Decimal(0))
        credit = sum((one.credit for one in self.postings if one.credit), Decimal(0))
        one_side = all((one.debit is None) != (one.credit is None) for one in self.postings)
        if not one_side or (debit, credit) != (self.amount, self.amount):
            raise ValueError(f"Entry {self.number}: {debit} debit, {credit} credit, {self.amount} in all")


@shape(frozen=True, config=WIRE)
class Booked:
    """`voucher` is the accounting package's own number; `reason` says why an entry was rejected."""

    id: UUID
    status: EntryStatus
    booked_at: Instant | None = None
    voucher: str | None = None
    reason: str | None = None


@shape(frozen=True, config=WIRE)
class PaymentRegistered:
    """A transfer arrived. `reference` is None when the payer gave no valid structured communication."""

    payment_id: Annotated[str, Field(min_length=1)]
    amount: Amount
    currency: Literal["EUR"]
    value_date: date
    reference: Reference | None = None
    payer_name: str | None = None
    payer_iban: str | None = None
    remittance: str | None = None


@shape(frozen=True, config=WIRE)
class EntryRejected:
    """An entry that was booked turned out wrong; `reason` is for the financial service."""

    entry_id: UUID
    reason: str


@shape(frozen=True, config=WIRE)
class RefundExecuted:
    """The money of a REFUND_DUE entry went back to the citizen."""

    entry_id: UUID
    amount: Amount
    currency: Literal["EUR"]
    executed_on: date
    reference: Reference | None = None


class TooLate(Declined):
    """What should be recalled was executed already: the money is on its way."""


Told = (
    PaymentRegistered
    | EntryRejected
    | RefundExecuted
    | PayoutExecuted
    | PayoutRejected
    | PayoutReturned
    | PayoutReport
)

_ENTRY = TypeAdapter(Entry)
_BOOKED = TypeAdapter(Booked)
_ORDER = TypeAdapter(PayoutOrder)
_STATE = TypeAdapter(PayoutState)
_TOLD: dict[str, TypeAdapter[Told]] = {
    "payment.registered": TypeAdapter(PaymentRegistered),
    "entry.rejected": TypeAdapter(EntryRejected),
    "refund.executed": TypeAdapter(RefundExecuted),
    "payout.executed": TypeAdapter(PayoutExecuted),
    "payout.rejected": TypeAdapter(PayoutRejected),
    "payout.returned": TypeAdapter(PayoutReturned),
    "payout.status": TypeAdapter(PayoutReport),
}


class Accounting:
    """A repeat is recognised by `key` (`Idempotency-Key`), and by the entry's own id."""

    def __init__(self, settings: Settings, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._hook_secrets = settings.hook_secret
        self._client = contract.client(settings.url, settings.token, timeout_seconds)

    async def book(self, entry: Entry, *, key: UUID) -> Booked:
        """Book `entry`; the same again when it was booked before.

        Raises:
            Unavailable: no (readable) answer, or not now.
            Declined: the package will not book this (unknown journal, closed year), or the key or
                the id was used for something else.
        """
        request = self._client.build_request(
            "PUT",
            f"/v1/entries/{entry.id}",
            content=_ENTRY.dump_json(entry, by_alias=True, exclude_none=True),
            headers=contract.keyed(key),
        )
        booked = contract.answer(SYSTEM, _BOOKED, await call(SYSTEM, self._client, request))
        if booked.status is EntryStatus.REJECTED:
            raise Declined(SYSTEM, booked.reason or "the entry was rejected")
        return booked

    async def entry(self, id: UUID) -> Booked | None:
        """Where an entry stands; None when the package does not know it.

        Raises:
            Unavailable: no (readable) answer, or not now.
            Declined: the package does not talk to us.
        """
        request = self._client.build_request("GET", f"/v1/entries/{id}")
        try:
            return contract.answer(SYSTEM, _BOOKED, await call(SYSTEM, self._client, request))
        except Declined as no:
            if no.http_status == 404:
                return None
            raise

    async def order_payout(self, order: PayoutOrder, *, key: UUID) -> PayoutState:
        """Have money paid; the same again when it was ordered before. REJECTED is an answer, not a failure.

        Silence is followed by a look whether the order is there.

        Raises:
            Unavailable: the order is provably not there; it may be sent again with the same id and key.
            Declined: the package will not take this (unknown budget key, wrong file), or the key, the id or
                the EndToEndId was used for something else.
            InDoubt: it may be there and it may not. `payout` tells, once the package answers again.
        """
        request = self._client.build_request(
            "PUT",
            f"/v1/payouts/{order.id}",
            content=_ORDER.dump_json(order, by_alias=True, exclude_none=True),
            headers=contract.keyed(key),
        )
        try:
            async with asyncio.timeout(ORDER_SECONDS):
                state = contract.answer(SYSTEM, _STATE, await call(SYSTEM, self._client, request))
        except TimeoutError:
            return await self._after_silence(order, Unavailable(SYSTEM, "no answer in time"))
        except Unavailable as silence:
            if silence.http_status in _NOTHING_KEPT or isinstance(silence.__cause__, _NEVER_SENT):
                raise
            return await self._after_silence(order, silence)
        return _agreeing(order, state)

    async def _after_silence(self, order: PayoutOrder, lost: Unavailable) -> PayoutState:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                found = await self.payout(order.id)
        except (Unavailable, Declined, TimeoutError) as unsure:
            said = str(unsure) or "no answer in time"
            raise InDoubt(SYSTEM, f"payout {order.id}: {lost}; asked afterwards: {said}") from unsure
        if found is None:
            raise Unavailable(SYSTEM, f"payout {order.id} did not arrive: {lost}") from lost
        return _agreeing(order, found)

    async def payout(self, id: UUID) -> PayoutState | None:
        """Where a payout stands; None when the package says that it does not know it.

        Raises:
            Unavailable: no (readable) answer, or not now.
            Declined: the package does not talk to us.
        """
        response = await ask(SYSTEM, self._client, self._client.build_request("GET", f"/v1/payouts/{id}"))
        if _unknown(response):
            return None
        if not response.is_success:
            raise failure(SYSTEM, response)
        return _of(id, contract.answer(SYSTEM, _STATE, response))

    async def recall_payout(self, id: UUID, *, key: UUID) -> PayoutState | None:
        """Take a payout back before the bank has it; None when the package says that it does not know it.

        Raises:
            TooLate: it was executed.
            Unavailable: no (readable) answer, or not now; the same recall may be repeated.
            Declined: the package does not talk to us.
        """
        request = self._client.build_request("DELETE", f"/v1/payouts/{id}", headers=contract.keyed(key))
        response = await ask(SYSTEM, self._client, request)
        if _unknown(response):
            return None
        if _problem(response) == "payout-executed":
            raise TooLate(SYSTEM, failure(SYSTEM, response).reason, http_status=response.status_code)
        if not response.is_success:
            raise failure(SYSTEM, response)
        return _of(id, contract.answer(SYSTEM, _STATE, response))

    def read_notice(self, headers: Mapping[str, str], body: bytes) -> Notice[Told]:
        """What the package tells us, from the raw `body`.

        Raises:
            BadSignature: not provably from the package, or older than five minutes.
            BadNotice: not what the contract says.
        """
        return contract.read_notice(headers, body, self._hook_secrets, _TOLD)

    async def aclose(self) -> None:
        await self._client.aclose()


_NOTHING_KEPT = NOT_NOW | {503}
"""By the contract the package did nothing with what it answers so."""
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
"""No line to the package was there, so no order went over it."""


def _agreeing(order: PayoutOrder, state: PayoutState) -> PayoutState:
    """`state`, when it speaks of `order`. Raises `InDoubt`."""
    told = (state.id, state.end_to_end_id or order.end_to_end_id, state.amount or order.amount)
    if told != (order.id, order.end_to_end_id, order.amount):
        raise InDoubt(SYSTEM, f"payout {order.id}: the package answers with another order")
    return state


def _of(id: UUID, state: PayoutState) -> PayoutState:
    if state.id != id:
        raise Unavailable(SYSTEM, f"asked for payout {id}, told of {state.id}")
    return state


def _unknown(response: httpx2.Response) -> bool:
    """Said by the package itself: a 404 of anything in between proves nothing."""
    return response.status_code == 404 and _problem(response) == "payout-unknown"


def _problem(response: httpx2.Response) -> str:
    """The last part of a problem's `type`: the contract's word for what is wrong."""
    return str(json_object(response).get("type", "")).rpartition("/")[2]
