"""Paying online: a checkout page at the payment module, what became of it, and giving money back.

This is the contract; `worldline` and `sips` keep it. A deployment chooses one for new payments, and asks each
of earlier ones by which it was begun.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import TracebackType
from typing import Protocol
from uuid import UUID

from loket.errors import Unavailable


class CheckoutStatus(StrEnum):
    OPEN = "OPEN"
    """The citizen can still pay (again)."""
    PENDING = "PENDING"
    """Paid as far as the citizen is concerned; the money is not certain yet."""
    CAPTURED = "CAPTURED"
    """The money is ours."""
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


class RefundStatus(StrEnum):
    DONE = "DONE"
    PENDING = "PENDING"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Checkout:
    """A page on which the citizen pays, at `url`. `return_mac` comes back with the citizen.

    `form` holds what must be posted to `url`; empty where the page is opened by a link.
    """

    id: str
    url: str
    return_mac: str
    form: Mapping[str, str]


@dataclass(frozen=True)
class CheckoutState:
    """`amount` in EUR, of the payment; `raw_status` is the module's own word, for people."""

    status: CheckoutStatus
    payment_id: str | None
    amount: Decimal | None
    raw_status: str


@dataclass(frozen=True)
class RefundState:
    id: str
    status: RefundStatus
    amount: Decimal | None
    raw_status: str


@dataclass(frozen=True)
class ChargebackState:
    """The payer's bank took `amount` (EUR) of a payment back, or gave it back when `reversed`.

    `id` is the same for both.
    """

    id: str
    payment_id: str
    amount: Decimal
    on: date
    reversed: bool
    reason: str


@dataclass(frozen=True)
class PaymentNotice:
    """What the module tells. Neither payment, refund nor chargeback: nothing to do with it.

    `id` is the same each time that a notice is repeated. Notices come late and out of order.
    """

    id: str
    type: str
    occurred_at: datetime
    reference: str | None = None
    checkout_id: str | None = None
    payment: CheckoutState | None = None
    refund: RefundState | None = None
    chargeback: ChargebackState | None = None


class PaymentModule(Protocol):
    """A repeat with the same `key` never has a citizen pay on two pages, and never pays back twice."""

    async def create_checkout(
        self,
        *,
        key: UUID,
        reference: str,
        amount: Decimal,
        return_url: str,
        language: str,
        expires_in: timedelta,
        webhook_url: str,
    ) -> Checkout:
        """Where the citizen goes to pay `amount` (EUR). `reference` returns in every notice.

        Of two checkouts with one `key` only one may be shown to the citizen.

        Raises:
            Unavailable: no answer within the time-out, or not now.
            Declined: the module refused the request.
            ValueError: `amount` is not a positive number of whole cents.
        """

    async def checkout(self, id: str) -> CheckoutState:
        """What became of a checkout. Ask when the citizen returns: the notice may come later.

        Raises:
            Unavailable: no answer within the time-out, or not now.
            Declined: the module does not talk to us.
        """

    async def refund(self, *, key: UUID, payment_id: str, amount: Decimal, left: Decimal) -> RefundState:
        """Give `amount` (EUR) of a payment back, of which `left` (EUR) did not go back before.

        Raises:
            Unavailable: no answer within the time-out, or not now; the same `key` may be used again.
            Declined: the module refused (more than was paid, too late).
            ValueError: `amount` is not a positive number of whole cents.
        """

    async def refund_state(self, id: str) -> RefundState:
        """What became of a refund.

        Raises:
            Unavailable: no answer within the time-out, or not now.
            Declined: the module does not know this refund.
        """

    def read_notice(self, headers: Mapping[str, str], body: bytes) -> PaymentNotice:
        """What the module tells us, from the raw `body`.

        Raises:
            BadSignature: not provably from the module.
            BadNotice: not understandable.
        """

    async def aclose(self) -> None: ...


def cents(amount: Decimal) -> int:
    """EUR in whole cents, exactly.

    Raises:
        ValueError: `amount` is not a positive number of whole cents.
    """
    if not amount.is_finite() or amount <= 0:
        raise ValueError(f"not an amount to pay: {amount}")
    numerator, denominator = amount.as_integer_ratio()
    whole, rest = divmod(numerator * 100, denominator)
    if rest:
        raise ValueError(f"not whole cents: {amount}")
    return whole


def euro(whole_cents: int) -> Decimal:
    """Whole cents in EUR, exactly, with two decimals."""
    sign, digits, _ = Decimal(whole_cents).as_tuple()
    return Decimal((sign, digits, -2))


class Reading:
    """Reads an answer of `system`; one of another shape than documented counts as no answer."""

    def __init__(self, system: str) -> None:
        self._system = system

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(fault, (KeyError, TypeError, ValueError, AttributeError)):
            raise Unavailable(self._system, f"unreadable answer: {type(fault).__name__}: {fault}") from fault
