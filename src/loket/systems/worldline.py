"""Worldline Direct, hosted checkout: one of the payment modules.

Worldline's own Python SDK is synchronous, so its signature (v1HMAC) is written out here.
"""

import base64
import hmac
from collections.abc import Generator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import formatdate
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx2
import orjson

from loket.errors import BadNotice, BadSignature, Declined, Failed, Unavailable
from loket.settings import Worldline as Settings
from loket.systems.calls import ask, failure, json_object
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

SYSTEM = "worldline"
TIMEOUT_SECONDS = 15.0
CURRENCY = "EUR"

# fmt: off
PAYMENT_STATUS = {
    # Worldline's status            ours                       docs.direct.worldline-solutions.com, "Statuses"
    "CREATED":                      CheckoutStatus.OPEN,
    "REDIRECTED":                   CheckoutStatus.OPEN,       # at the bank, or for 3-D Secure
    "AUTHORIZATION_REQUESTED":      CheckoutStatus.PENDING,    # codes 51, 52
    "PENDING_APPROVAL":             CheckoutStatus.PENDING,
    "PENDING_COMPLETION":           CheckoutStatus.PENDING,
    "PENDING_PAYMENT":              CheckoutStatus.PENDING,
    "PENDING_CAPTURE":              CheckoutStatus.PENDING,    # code 5
    "CAPTURE_REQUESTED":            CheckoutStatus.PENDING,    # codes 91 and 92: becomes 9 or 93
    "CAPTURED":                     CheckoutStatus.CAPTURED,   # code 9
    "REFUND_REQUESTED":             CheckoutStatus.CAPTURED,   # was ours first; the refund has its own state
    "REFUNDED":                     CheckoutStatus.CAPTURED,
    "CHARGEBACKED":                 CheckoutStatus.CAPTURED,   # ours first; told apart
    "CHARGEBACK_REVERSED":          CheckoutStatus.CAPTURED,
    "REJECTED":                     CheckoutStatus.FAILED,     # code 2
    "REJECTED_CAPTURE":             CheckoutStatus.FAILED,     # code 93
    "CANCELLED":                    CheckoutStatus.CANCELLED,  # codes 1, 6
}
REFUND_STATUS = {
    "CREATED":                      RefundStatus.PENDING,
    "PENDING_APPROVAL":             RefundStatus.PENDING,
    "REFUND_REQUESTED":             RefundStatus.PENDING,      # codes 81, 82
    "REFUNDED":                     RefundStatus.DONE,         # code 8
    "REJECTED":                     RefundStatus.FAILED,       # code 83
    "CANCELLED":                    RefundStatus.FAILED,
}
CHARGEBACKS = {
    # Worldline's status            is it ours again?          not confirmed: see below
    "CHARGEBACKED":                 False,
    "CHARGEBACK_REVERSED":          True,
}
LOCALES = {"nl": "nl_BE", "fr": "fr_BE", "de": "de_DE", "en": "en_GB"}
# fmt: on
"""A status that stands nowhere here counts as pending: never as money, never as lost.

Not confirmed: Worldline Direct documents no notice of a chargeback, and its SDK knows none. Its sisters,
Connect and PAYONE, send `payment.chargebacked` and `payment.chargeback_reversed`: a payment with an operation
number of its own.
"""


class Worldline(PaymentModule):
    """A repeat is recognised by `key` (`X-GCS-Idempotence-Key`): no answer is Unavailable, never InDoubt.

    `webhook_key_id` and `webhook_secret` may each hold several, separated by commas, while keys are replaced.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._merchant = settings.merchant_id
        self._webhook_secrets = dict(
            zip(_listed(settings.webhook_key_id), _listed(settings.webhook_secret), strict=True)
        )
        self._client = httpx2.AsyncClient(
            base_url=f"{settings.url.rstrip('/')}/v2/{quote(settings.merchant_id, safe='')}",
            auth=V1Hmac(settings.api_key_id, settings.api_secret),
            headers={"X-GCS-ServerMetaInfo": _SERVER_META_INFO},
            timeout=timeout_seconds,
            trust_env=False,
            verify=authorities(),
        )

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
        made = await self._call(
            "POST",
            "/hostedcheckouts",
            key=key,
            document={
                "order": {
                    "amountOfMoney": {"amount": cents(amount), "currencyCode": CURRENCY},
                    "references": {"merchantReference": reference},
                },
                "hostedCheckoutSpecificInput": {
                    "locale": LOCALES.get(language, LOCALES["nl"]),
                    "returnUrl": return_url,
                    "sessionTimeout": max(1, int(expires_in / timedelta(minutes=1))),
                },
                # Money is taken at once; else it would only be reserved until somebody captures it.
                "cardPaymentMethodSpecificInput": {"authorizationMode": "SALE"},
                "mobilePaymentMethodSpecificInput": {"authorizationMode": "SALE"},
                "redirectPaymentMethodSpecificInput": {"requiresApproval": False},
                "feedbacks": {"webhooksUrls": [webhook_url]},
            },
        )
        with Reading(SYSTEM):
            return Checkout(
                id=str(made["hostedCheckoutId"]),
                url=str(made["redirectUrl"]),
                return_mac=str(made["RETURNMAC"]),
                form={},
            )

    async def checkout(self, id: str) -> CheckoutState:
        """A session that Worldline no longer knows has expired. One that the citizen left or let lapse
        is CANCELLED: Worldline has one word for both.
        """
        try:
            found = await self._call("GET", f"/hostedcheckouts/{quote(id, safe='')}")
        except _Unknown as gone:
            return CheckoutState(CheckoutStatus.EXPIRED, None, None, gone.reason)
        with Reading(SYSTEM):
            raw_status = str(found["status"])
            payment = (found.get("createdPaymentOutput") or {}).get("payment")
            paid = _payment(payment) if payment else None
        if paid and paid.status is CheckoutStatus.OPEN and raw_status == "PAYMENT_CREATED":
            # The page is behind the citizen, the bank has not spoken: a second try could pay twice.
            return replace(paid, status=CheckoutStatus.PENDING)
        if paid and (raw_status == "PAYMENT_CREATED" or paid.status in _MONEY):
            return paid
        status = CheckoutStatus.CANCELLED if raw_status == "CANCELLED_BY_CONSUMER" else CheckoutStatus.OPEN
        return CheckoutState(status, paid.payment_id if paid else None, None, raw_status)

    async def refund(self, *, key: UUID, payment_id: str, amount: Decimal, left: Decimal) -> RefundState:
        made = await self._call(
            "POST",
            f"/payments/{quote(payment_id, safe='')}/refund",
            key=key,
            document={"amountOfMoney": {"amount": cents(amount), "currencyCode": CURRENCY}},
        )
        with Reading(SYSTEM):
            return _refund(made)

    async def refund_state(self, id: str) -> RefundState:
        """Worldline lists refunds per payment; `<payment>_<operation>` names both, and operation 0 paid."""
        found = await self._call("GET", f"/payments/{quote(id.rpartition('_')[0], safe='')}_0/refunds")
        with Reading(SYSTEM):
            for one in found.get("refunds") or []:
                if one.get("id") == id:
                    return _refund(one)
        raise Declined(SYSTEM, f"no refund {id}")

    def read_notice(self, headers: Mapping[str, str], body: bytes) -> PaymentNotice:
        fields = {name.lower(): value for name, value in headers.items()}
        secret = self._webhook_secrets.get(fields.get("x-gcs-keyid", ""), "")
        signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha256"))
        given = fields.get("x-gcs-signature", "").strip().encode()
        if not hmac.compare_digest(signature, given) or not secret:
            raise BadSignature("X-GCS-Signature is missing or wrong, or X-GCS-KeyId is unknown")
        try:
            return self._notice(orjson.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise BadNotice(f"not a notice of Worldline: {wrong}") from wrong

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _call(
        self, method: str, path: str, *, key: UUID | None = None, document: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        request = self._client.build_request(
            method,
            path,
            content=None if document is None else orjson.dumps(document),
            headers={}
            if key is None
            else {"X-GCS-Idempotence-Key": str(key), "Content-Type": "application/json"},
        )
        response = await ask(SYSTEM, self._client, request)
        if not response.is_success:
            raise _failure(response)
        answer = json_object(response)
        if not answer:
            raise Unavailable(SYSTEM, "unreadable answer", http_status=response.status_code)
        return answer

    def _notice(self, event: dict[str, Any]) -> PaymentNotice:
        if event["apiVersion"] != "v1":
            raise ValueError(f"apiVersion {event['apiVersion']}")
        if event["merchantId"] != self._merchant:
            raise ValueError(f"merchant {event['merchantId']}")
        payment, refund = event.get("payment"), event.get("refund")
        taken: dict[str, Any] | None = None
        if payment and str(payment["status"]) in CHARGEBACKS:
            payment, taken = None, payment
        elif payment and _gives_back(payment):
            payment, refund = None, payment
        told = payment or taken or refund or {}
        hosted = told.get("hostedCheckoutSpecificOutput") or {}
        created = datetime.fromisoformat(event["created"])
        return PaymentNotice(
            id=str(event["id"]),
            type=str(event["type"]),
            occurred_at=created.replace(tzinfo=created.tzinfo or UTC).astimezone(UTC),
            reference=(_output(told).get("references") or {}).get("merchantReference"),
            checkout_id=hosted.get("hostedCheckoutId"),
            payment=_payment(payment) if payment else None,
            refund=_refund(refund) if refund else None,
            chargeback=_chargeback(taken, created.date()) if taken else None,
        )


class V1Hmac(httpx2.Auth):
    """Worldline's signature over method, content type, date, X-GCS headers and path."""

    def __init__(self, key_id: str, secret: str) -> None:
        self._key_id = key_id
        self._secret = secret.encode()

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["Date"] = formatdate(usegmt=True)
        signature = base64.b64encode(hmac.digest(self._secret, _to_sign(request), "sha256")).decode()
        request.headers["Authorization"] = f"GCS v1HMAC:{self._key_id}:{signature}"
        yield request


_MONEY = {CheckoutStatus.CAPTURED, CheckoutStatus.PENDING}

_SERVER_META_INFO = base64.b64encode(
    orjson.dumps({"sdkCreator": "Loket", "sdkIdentifier": "Loket/v1", "integrator": "Loket"})
).decode()


class _Unknown(Declined):
    """Worldline does not know (any more) what we ask about."""


def _to_sign(request: httpx2.Request) -> bytes:
    own = sorted((name.lower(), " ".join(value.split())) for name, value in request.headers.items())
    lines = [
        request.method,
        request.headers.get("Content-Type", ""),
        request.headers["Date"],
        *(f"{name}:{value}" for name, value in own if name.startswith("x-gcs-")),
        request.url.raw_path.decode("ascii"),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _payment(payment: dict[str, Any]) -> CheckoutState:
    raw_status = str(payment["status"])
    return CheckoutState(
        status=PAYMENT_STATUS.get(raw_status, CheckoutStatus.PENDING),
        payment_id=str(payment["id"]),
        amount=_amount(payment),
        raw_status=_with_code(raw_status, payment),
    )


def _refund(refund: dict[str, Any]) -> RefundState:
    raw_status = str(refund["status"])
    return RefundState(
        id=str(refund["id"]),
        status=REFUND_STATUS.get(raw_status, RefundStatus.PENDING),
        amount=_amount(refund),
        raw_status=_with_code(raw_status, refund),
    )


def _chargeback(payment: dict[str, Any], on: date) -> ChargebackState:
    amount = _amount(payment)
    if amount is None:
        raise ValueError("a chargeback without amount")
    status = str(payment["status"])
    return ChargebackState(
        id=str(payment["id"]),
        payment_id=f"{str(payment['id']).rpartition('_')[0]}_0",
        amount=amount,
        on=on,
        reversed=CHARGEBACKS[status],
        reason=_with_code(status, payment),
    )


def _gives_back(payment: dict[str, Any]) -> bool:
    """Whether what Worldline calls a payment is a refund: it keeps both under one number (8, 81 to 85)."""
    code = (payment.get("statusOutput") or {}).get("statusCode")
    return str(payment["status"]).startswith("REFUND") or code in {8, *range(81, 86)}


def _output(operation: dict[str, Any]) -> dict[str, Any]:
    return operation.get("paymentOutput") or operation.get("refundOutput") or {}


def _amount(operation: dict[str, Any]) -> Decimal | None:
    money = _output(operation).get("amountOfMoney")
    if money is None:
        return None
    if money["currencyCode"] != CURRENCY:
        raise ValueError(f"currency {money['currencyCode']}")
    return euro(int(money["amount"]))


def _with_code(raw_status: str, operation: dict[str, Any]) -> str:
    code = (operation.get("statusOutput") or {}).get("statusCode")
    return raw_status if code is None else f"{raw_status} {code}"


def _failure(response: httpx2.Response) -> Failed:
    """A 409 says that the first request with this key still runs, or that another request had this key."""
    told = failure(SYSTEM, response)
    errors = [error for error in json_object(response).get("errors") or [] if isinstance(error, dict)]
    if response.status_code == 409 and any(_still_running(error) for error in errors):
        return Unavailable(SYSTEM, told.reason, http_status=409)
    if response.status_code in (404, 410) and errors:
        return _Unknown(SYSTEM, told.reason, http_status=response.status_code)
    return told


def _still_running(error: dict[str, Any]) -> bool:
    return error.get("retriable") is True or "IN_PROGRESS" in str(error.get("id", "")).upper()


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
