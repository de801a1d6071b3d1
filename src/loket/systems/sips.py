"""Worldline Sips 2.0 (formerly ATOS): the payment page by Paypage JSON, questions and refunds by Sips Office.

After docs.sips.worldline-solutions.com and Worldline's `sips-sdk-php`. Confirmed there: addresses, fields of
requests and answers, codes, the seal with its example. Not confirmed: the words of `transactionStatus` but
TO_CAPTURE; how long a page stays open (Sips decides that itself); how a chargeback is told. Sips only lists
chargebacks in a daily CSV report (JRI): each line is taken here in the same sealed envelope as a payment,
with `chargebackId`, `chargebackAmount`, `chargebackDate`, and `chargebackStatus` REVERSED where it was won.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import httpx2
import orjson

from loket.errors import BadNotice, BadSignature, Declined, Unavailable
from loket.settings import Sips as Settings
from loket.systems.calls import call, json_object
from loket.systems.payments import (
    ChargebackState,
    Checkout,
    CheckoutState,
    CheckoutStatus,
    PaymentModule,
    PaymentNotice,
    Reading,
    RefundState,
    RefundStatus,
    cents,
    euro,
)
from loket.trust import authorities

SYSTEM = "sips"
TIMEOUT_SECONDS = 15.0
EURO = "978"
SEAL = "HMAC-SHA-256"
UNSEALED = frozenset({"keyVersion", "sealAlgorithm", "seal"})
"""Fields that do not count for the seal."""
MOST_PAGES = 9
"""How often a page is asked for under one key: each time under a reference of its own."""

# fmt: off
ACCEPTED, NOT_FOUND, PENDING, DUPLICATE = "00", "25", "60", "94"
NOT_NOW = frozenset({"90", "99"})
RESPONSE = {
    # Sips' responseCode  ours
    ACCEPTED:             CheckoutStatus.CAPTURED,
    "17":                 CheckoutStatus.CANCELLED,  # by the payer
    PENDING:              CheckoutStatus.PENDING,
    "97":                 CheckoutStatus.EXPIRED,
}
"""Any other code is a refusal: 05 by the bank, 34 suspicion of fraud, 75 too many attempts."""
STATUS = {
    # Sips' transactionStatus  ours
    "TO_CAPTURE":              CheckoutStatus.CAPTURED,  # accepted; Sips fetches the money by itself
    "CAPTURED":                CheckoutStatus.CAPTURED,
    "TO_CREDIT":               CheckoutStatus.CAPTURED,  # was ours first; a refund has its own state
    "CREDITED":                CheckoutStatus.CAPTURED,
    "REFUSED":                 CheckoutStatus.FAILED,
    "ABORTED":                 CheckoutStatus.CANCELLED,
    "CANCELLED":               CheckoutStatus.CANCELLED,
    "EXPIRED":                 CheckoutStatus.EXPIRED,
}
"""A status that stands nowhere here leaves it to `responseCode`."""
REFUND_STATUS = {"CREDITED": RefundStatus.DONE, "TO_CREDIT": RefundStatus.PENDING}
# fmt: on


class Sips(PaymentModule):
    """Sips does not recognise a repeated refund, so it is looked up first (`lookup`): what is left of the
    transaction tells whether it was carried out. A page is opened under a `transactionReference` made of
    `key`, and where that was used already, under the next: nobody was shown the page whose answer was lost.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._page = f"{settings.url.rstrip('/')}/rs-services/v2/paymentInit"
        self._office = f"{settings.office_url.rstrip('/')}/rs-services/v2"
        self._merchant = settings.merchant_id
        self._key_version = settings.key_version
        self._secret = settings.secret_key
        self._client = httpx2.AsyncClient(timeout=timeout_seconds, trust_env=False, verify=authorities())

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
        order = {
            "amount": str(cents(amount)),
            "automaticResponseUrl": webhook_url,
            "captureMode": "IMMEDIATE",
            "currencyCode": EURO,
            "customerLanguage": language,
            "interfaceVersion": "IR_WS_2.20",
            "normalReturnUrl": return_url,
            "orderChannel": "INTERNET",
            "orderId": reference,
        }
        for name in _references(key):
            made = await self._call(self._page, order | {"transactionReference": name})
            with Reading(SYSTEM):
                code = str(made["redirectionStatusCode"])
                if code == ACCEPTED:
                    fields = {field: str(made[field]) for field in ("redirectionVersion", "redirectionData")}
                    return Checkout(id=name, url=str(made["redirectionUrl"]), return_mac="", form=fields)
            if code != DUPLICATE:
                raise self._no(code, made)
        raise Declined(SYSTEM, f"{DUPLICATE} for each of {MOST_PAGES} references")

    async def checkout(self, id: str) -> CheckoutState:
        """Sips knows a transaction from when the payer did something: until then the page is open."""
        found = await self._look_up(id)
        if found is None:
            return CheckoutState(CheckoutStatus.OPEN, None, None, f"{NOT_FOUND} not begun")
        with Reading(SYSTEM):
            told = str(found.get("transactionStatus") or "")
            code = str(found["responseCode"])
            if told not in STATUS and code in NOT_NOW:
                raise Unavailable(SYSTEM, f"{code} {told}".strip())
            return CheckoutState(
                status=STATUS.get(told) or RESPONSE.get(code, CheckoutStatus.FAILED),
                payment_id=id,
                amount=_amount(found, "originAmount"),
                raw_status=f"{told} {code}".strip(),
            )

    async def refund(self, *, key: UUID, payment_id: str, amount: Decimal, left: Decimal) -> RefundState:
        wanted, before = cents(amount), int(left * 100)
        if wanted > before:
            raise Declined(SYSTEM, f"{amount} is more than the {left} that is left")
        known = await self._get(payment_id)
        with Reading(SYSTEM):
            now = int(known["currentAmount"])
        if now == before - wanted:
            return self._refunded(payment_id, now, known)  # the answer was lost
        if now != before:
            told = f"{euro(now)} is left of the transaction, not {left}: another refund is under way"
            raise Unavailable(SYSTEM, told)
        done = await self._call(
            f"{self._office}/cashManagement/refund",
            {
                "currencyCode": EURO,
                "interfaceVersion": "CR_WS_2.27",
                "operationAmount": str(wanted),
                "transactionReference": payment_id,
            },
        )
        with Reading(SYSTEM):
            code = str(done["responseCode"])
            if code == ACCEPTED:
                status = REFUND_STATUS.get(str(done.get("newStatus")), RefundStatus.PENDING)
                named = f"{payment_id}-{before - wanted}"
                return RefundState(named, status, amount, f"{done.get('newStatus') or ''} {code}".strip())
        raise self._no(code, done)

    async def refund_state(self, id: str) -> RefundState:
        """Sips has no name for a refund: it is the transaction, and what was to be left of it in cents."""
        payment_id, _, left = id.rpartition("-")
        if not left.isdecimal():
            raise Declined(SYSTEM, f"no refund {id}")
        return self._refunded(payment_id, int(left), await self._get(payment_id))

    def read_notice(self, headers: Mapping[str, str], body: bytes) -> PaymentNotice:
        """A form with `Data`, `Seal` and `Encode`, as sent by itself and along with the payer."""
        try:
            form = {name: values[-1] for name, values in parse_qs(body.decode(), max_num_fields=20).items()}
        except ValueError as wrong:
            raise BadNotice("not a form") from wrong
        data = form.get("Data", "")
        seal = hmac.digest(self._secret.encode(), data.encode(), "sha256").hex()
        given = form.get("Seal", "").strip().lower()
        if not hmac.compare_digest(seal.encode(), given.encode()) or not self._secret:
            raise BadSignature("Seal is missing or wrong")
        try:
            return self._notice(data, _fields(data, form.get("Encode", "")))
        except (ValueError, KeyError) as wrong:
            raise BadNotice(f"not a notice of Sips: {wrong}") from wrong

    async def aclose(self) -> None:
        await self._client.aclose()

    def _notice(self, data: str, told: Mapping[str, str]) -> PaymentNotice:
        if told["merchantId"] != self._merchant:
            raise ValueError(f"merchant {told['merchantId']}")
        payment_id = told["transactionReference"]
        notice = PaymentNotice(
            id=hashlib.sha256(data.encode()).hexdigest(),
            type="payment",
            occurred_at=_instant(told.get("transactionDateTime")),
            reference=told.get("orderId"),
            checkout_id=payment_id,
        )
        if "chargebackId" in told:
            return _with_chargeback(notice, told, payment_id)
        code = told["responseCode"]
        if code in NOT_NOW:
            return notice
        state = CheckoutState(
            status=RESPONSE.get(code, CheckoutStatus.FAILED),
            payment_id=payment_id,
            amount=_amount(told, "amount"),
            raw_status=code,
        )
        return PaymentNotice(**{**vars(notice), "payment": state})

    async def _look_up(self, reference: str) -> dict[str, Any] | None:
        found = await self._call(
            f"{self._office}/diagnostic/getTransactionData",
            {"interfaceVersion": "DR_WS_2.27", "transactionReference": reference},
        )
        with Reading(SYSTEM):
            # the code of the question itself; older versions answer with it in `responseCode`
            code = str(found.get("getTransDataResponseCode") or found["responseCode"])
        if code == NOT_FOUND:
            return None
        if "transactionReference" not in found:
            raise self._no(code, found)
        return found

    async def _get(self, payment_id: str) -> dict[str, Any]:
        found = await self._look_up(payment_id)
        if found is None:
            raise Declined(SYSTEM, f"no transaction {payment_id}")
        return found

    def _refunded(self, payment_id: str, left: int, known: Mapping[str, Any]) -> RefundState:
        with Reading(SYSTEM):
            told = str(known.get("transactionStatus") or "")
            if int(known["currentAmount"]) > left:
                status = RefundStatus.FAILED  # the money came back to us
            else:
                status = REFUND_STATUS.get(told, RefundStatus.PENDING)
            return RefundState(f"{payment_id}-{left}", status, None, told)

    async def _call(self, url: str, document: dict[str, str]) -> dict[str, Any]:
        """Sealed, as Sips' own answer is."""
        asked: dict[str, Any] = document | {"merchantId": self._merchant}
        asked |= {
            "keyVersion": self._key_version,
            "sealAlgorithm": SEAL,
            "seal": seal_of(asked, self._secret),
        }
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = self._client.build_request("POST", url, content=orjson.dumps(asked), headers=headers)
        answer = json_object(await call(SYSTEM, self._client, request))
        if not answer:
            raise Unavailable(SYSTEM, "unreadable answer")
        given = answer.get("seal")
        # an answer that says no to who asks carries no seal; one that says yes must
        if given is not None and not hmac.compare_digest(
            str(given).encode(), seal_of(answer, self._secret).encode()
        ):
            raise Unavailable(SYSTEM, "the answer's seal is wrong")
        if given is None and ACCEPTED in (answer.get("responseCode"), answer.get("redirectionStatusCode")):
            raise Unavailable(SYSTEM, "the answer has no seal")
        return answer

    def _no(self, code: str, answer: Mapping[str, Any]) -> Declined | Unavailable:
        told = " ".join(str(answer[name]) for name in _EXPLAIN if answer.get(name))
        reason = f"{code} {told}".strip()
        return Unavailable(SYSTEM, reason) if code in NOT_NOW else Declined(SYSTEM, reason)


_EXPLAIN = ("redirectionStatusMessage", "errorFieldName", "acquirerResponseCode")


def seal_of(document: Mapping[str, Any], secret: str) -> str:
    """HMAC-SHA-256 in hexadecimal over all values, in the order of their names, also within objects."""
    values = "".join(_values({name: document[name] for name in document if name not in UNSEALED}))
    return hmac.digest(secret.encode(), values.encode(), "sha256").hex()


def _values(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        for name in sorted(node):
            yield from _values(node[name])
    elif isinstance(node, (list, tuple)):
        for one in node:
            yield from _values(one)
    elif node is not None:
        yield str(node)


def _references(key: UUID) -> Iterator[str]:
    """At most 35 letters and digits."""
    yield key.hex
    for number in range(1, MOST_PAGES):
        yield f"{key.hex}{number}"


def _fields(data: str, encoding: str) -> dict[str, str]:
    """`name=value|name=value`; a value that is not there is written `null`."""
    if encoding:
        decode = {"base64": base64.b64decode, "base64url": base64.urlsafe_b64decode}[encoding.lower()]
        data = decode(data).decode()
    pairs = (part.partition("=") for part in data.split("|"))
    return {name: value for name, sign, value in pairs if sign and value != "null"}


def _with_chargeback(notice: PaymentNotice, told: Mapping[str, str], payment_id: str) -> PaymentNotice:
    amount = _amount(told, "chargebackAmount")
    if amount is None or amount <= 0:
        raise ValueError("a chargeback without amount")
    taken = ChargebackState(
        id=told["chargebackId"],
        payment_id=payment_id,
        amount=amount,
        on=date.fromisoformat(told["chargebackDate"]),
        reversed=told.get("chargebackStatus") == "REVERSED",
        reason=told.get("chargebackReason", ""),
    )
    return PaymentNotice(**{**vars(notice), "type": "chargeback", "chargeback": taken})


def _amount(told: Mapping[str, Any], name: str) -> Decimal | None:
    if told.get(name) is None:
        return None
    if str(told.get("currencyCode", EURO)) != EURO:
        raise ValueError(f"currency {told['currencyCode']}")
    return euro(int(told[name]))


def _instant(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
