"""What Worldline keeps in small: checkouts, payments and refunds, where each stands, and who is told.

Statuses and codes after docs.direct.worldline-solutions.com and the SDK `onlinepayments-sdk-python3`.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from loket.sandbox.callbacks import Callbacks
from loket.sandbox.orders import Wrong
from loket.sandbox.state import State, now, stamp
from loket.sandbox.system import Config

SESSION_MINUTES = 180
"""How long a checkout stays open when the request does not say."""
BANCONTACT = 3012


@dataclass(frozen=True)
class Standing:
    """A status as the API tells it."""

    status: str
    code: int
    category: str
    cancellable: bool = False
    refundable: bool = False

    @property
    def event(self) -> str:
        """The webhook's type: `payment.captured`, `payment.refunded`, `refund.refund_requested`."""
        return f"{'refund' if self.code in (81, 83) else 'payment'}.{self.status.lower()}"


# fmt: off
STANDINGS = {
    "created":           Standing("CREATED",           0,  "CREATED"),
    "authorised":        Standing("PENDING_CAPTURE",   5,  "PENDING_MERCHANT", cancellable=True),
    "capture_requested": Standing("CAPTURE_REQUESTED", 91, "PENDING_CONNECT_OR_3RD_PARTY"),
    "captured":          Standing("CAPTURED",          9,  "COMPLETED", refundable=True),
    "rejected":          Standing("REJECTED",          2,  "UNSUCCESSFUL"),
    "rejected_capture":  Standing("REJECTED_CAPTURE",  93, "UNSUCCESSFUL"),
    "cancelled":         Standing("CANCELLED",         6,  "UNSUCCESSFUL"),
    "refund_requested":  Standing("REFUND_REQUESTED",  81, "PENDING_CONNECT_OR_3RD_PARTY"),
    "refunded":          Standing("REFUNDED",          8,  "COMPLETED"),
    "refund_rejected":   Standing("REJECTED",          83, "UNSUCCESSFUL"),
}
PAYER = {
    # what the citizen does      → where the payment goes, step by step
    "pay":       ("created", "captured"),
    "pending":   ("created", "capture_requested"),
    "authorise": ("created", "authorised"),
    "refuse":    ("created", "rejected"),
}
# fmt: on


@dataclass
class Fault(Exception):
    """An answer of the API that is an error: one APIError in an ErrorResponse."""

    status: int
    message: str
    property_name: str | None = None
    error_code: str = "50001130"

    def response(self) -> Response:
        error: dict[str, Any] = {
            "category": "DIRECT_PLATFORM_ERROR",
            "code": self.error_code[:4],
            "errorCode": self.error_code,
            "httpStatusCode": self.status,
            "id": self.message.split(":")[0].upper().replace(" ", "_"),
            "message": self.message,
            "retriable": False,
        }
        if self.property_name is not None:
            error["propertyName"] = self.property_name
        return JSONResponse({"errorId": f"{uuid.uuid4()}", "errors": [error]}, self.status)


class Bank:
    """The state behind the API: checkouts, payments, refunds, and what must still happen to them."""

    def __init__(self, config: Config, state: State) -> None:
        self.config = config
        self.state = state
        section = config.section("worldline")
        self.merchant: str = section.get("merchant_id", "")
        self.key_id: str = section.get("api_key_id", "")
        self.secret: str = section.get("api_secret", "")
        self._webhook_url: str = section.get("webhook_url", "")
        self._webhook_key_id: str = section.get("webhook_key_id", "")
        self._webhook_secret: str = section.get("webhook_secret", "")
        self.callbacks = Callbacks(
            config.desk_url("worldline"), state, self._signature, heard=lambda status: 200 <= status < 300
        )
        self._due: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        async with self.callbacks.running(app):
            for kind in ("payment", "refund"):
                for document in self.state.all(kind):
                    if document["settleAt"] is not None:
                        self._settle_later(kind, document)
            yield
            for task in self._due:
                task.cancel()
            await asyncio.gather(*self._due, return_exceptions=True)

    def open_checkout(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new checkout. Raises `Fault` for a body that the API would refuse."""
        order, specific = _object(body, "order"), _object(body, "hostedCheckoutSpecificInput", needed=False)
        money = _money(_object(order, "amountOfMoney", "order."), "order.amountOfMoney.")
        minutes = specific.get("sessionTimeout", SESSION_MINUTES)
        if type(minutes) is not int or not 1 <= minutes <= 1440:
            raise Fault(400, "Invalid value", "hostedCheckoutSpecificInput.sessionTimeout")
        checkout = {
            "id": str(4_000_000_000 + secrets.randbelow(1_000_000_000)),
            "token": secrets.token_hex(16),
            "returnMac": str(uuid.uuid4()),
            "reference": _reference(order),
            **money,
            "locale": specific.get("locale", "en_GB"),
            "returnUrl": return_url(specific.get("returnUrl"), "hostedCheckoutSpecificInput.returnUrl"),
            "expiresAt": (now() + timedelta(minutes=minutes)).isoformat(),
            "createdAt": stamp(),
            "status": "IN_PROGRESS",
            "paymentId": None,
            "webhookUrls": _webhook_urls(_object(body, "feedbacks", needed=False)),
        }
        self.state.put("checkout", checkout["id"], checkout)
        self.state.put("token", checkout["token"], {"checkout": checkout["id"]})
        return checkout

    def checkout(self, checkout_id: str) -> dict[str, Any] | None:
        """As it stands now: a session that nobody finished in time is over."""
        checkout = self.state.get("checkout", checkout_id)
        if checkout is None or checkout["status"] != "IN_PROGRESS" or instant(checkout["expiresAt"]) > now():
            return checkout
        return self._close(checkout, "CANCELLED_BY_CONSUMER", "expired")

    def act(
        self, checkout: dict[str, Any], action: str, settle_seconds: float | None = None
    ) -> dict[str, Any]:
        """What the citizen does on the page. A pending one settles after `settle_seconds`.

        Raises:
            Wrong: no such action, or the checkout is over.
        """
        if action not in PAYER and action not in ("cancel", "expire"):
            raise Wrong(f"no such action; there are {', '.join([*PAYER, 'cancel', 'expire'])}", 404)
        if checkout["status"] != "IN_PROGRESS":
            raise Wrong(f"the checkout is over: {checkout['status']}", 409)
        if action not in PAYER:
            return self._close(
                checkout, "CANCELLED_BY_CONSUMER", "expired" if action == "expire" else "cancelled"
            )
        number = str(3_000_000_000 + secrets.randbelow(1_000_000_000))
        payment = {
            "id": f"{number}_0",
            "checkoutId": checkout["id"],
            "reference": checkout["reference"],
            "amount": checkout["amount"],
            "currency": checkout["currency"],
            "createdAt": stamp(),
            "settleAt": None,
            "webhookUrls": checkout["webhookUrls"],
        }
        for standing in PAYER[action]:
            payment = self.move("payment", payment, standing)
        if action == "pending" and settle_seconds is not None:
            payment["settleAt"] = (now() + timedelta(seconds=settle_seconds)).isoformat()
            self.state.put("payment", payment["id"], payment)
            self._settle_later("payment", payment)
        return self._close(checkout | {"paymentId": payment["id"]}, "PAYMENT_CREATED", action)

    def refund(self, payment: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
        """Give money back; carried out a moment later. Raises `Fault`."""
        if not STANDINGS[payment["standing"]].refundable:
            raise Fault(400, "Payment is not refundable", "paymentId")
        earlier = [one for one in self.state.all("refund") if one["paymentId"] == payment["id"]]
        left = payment["amount"] - sum(
            one["amount"] for one in earlier if one["standing"] != "refund_rejected"
        )
        money = {"amount": left, "currency": payment["currency"]}
        if "amountOfMoney" in body:
            money = _money(_object(body, "amountOfMoney"), "amountOfMoney.")
        if money["currency"] != payment["currency"]:
            raise Fault(400, "Currency differs from the payment's", "amountOfMoney.currencyCode")
        if not 0 < money["amount"] <= left:
            raise Fault(400, f"Amount exceeds what is left to refund: {left}", "amountOfMoney.amount")
        references = _object(body, "operationReferences", needed=False) or _object(
            body, "references", needed=False
        )
        wait = self.settings()["refundSeconds"]
        refund = {
            "id": f"{payment['id'].split('_')[0]}_{len(earlier) + 1}",
            "paymentId": payment["id"],
            "reference": references.get("merchantReference", payment["reference"]),
            **money,
            "createdAt": stamp(),
            "settleAt": None if wait is None else (now() + timedelta(seconds=wait)).isoformat(),
            "webhookUrls": payment["webhookUrls"],
        }
        refund = self.move("refund", refund, "refund_requested")
        self._settle_later("refund", refund)
        return refund

    def move(self, kind: str, document: dict[str, Any], standing: str) -> dict[str, Any]:
        """Give a payment or refund its new standing, and tell it."""
        history = [*document.get("history", ()), {"standing": standing, "at": stamp()}]
        document = document | {"standing": standing, "changedAt": stamp(), "history": history}
        self.state.put(kind, document["id"], document)
        told = payment_answer(document) if kind == "payment" else refund_answer(document)
        event = {
            "apiVersion": "v1",
            "id": str(uuid.uuid4()),
            "created": datetime.now(ZoneInfo("Europe/Brussels")).isoformat(timespec="microseconds"),
            "merchantId": self.merchant,
            "type": STANDINGS[standing].event,
            kind: told,
        }
        self.tell(event, document["webhookUrls"])
        return document

    def charge_back(self, payment: Mapping[str, Any], amount: int, *, reversed_: bool) -> dict[str, Any]:
        """The payer's bank takes money back, or gives it back: an operation of its own on the payment.

        Worldline Direct documents no such notice; this one is as its sisters Connect and PAYONE send it.
        """
        status = "CHARGEBACK_REVERSED" if reversed_ else "CHARGEBACKED"
        operation = payment_answer(payment) | {"id": f"{payment['id'].split('_')[0]}_99", "status": status}
        operation["paymentOutput"] |= {"amountOfMoney": {"amount": amount, "currencyCode": "EUR"}}
        event = {
            "apiVersion": "v1",
            "id": str(uuid.uuid4()),
            "created": datetime.now(ZoneInfo("Europe/Brussels")).isoformat(timespec="microseconds"),
            "merchantId": self.merchant,
            "type": f"payment.{status.lower()}",
            "payment": operation,
        }
        self.tell(event, payment["webhookUrls"])
        return event

    def tell(self, event: Mapping[str, Any], urls: list[str]) -> None:
        """Send an event to the webhooks of the request, else to the configured one."""
        for url in urls or ([self._webhook_url] if self._webhook_url else []):
            self.callbacks.send(url, str(event["type"]), json.dumps(event, ensure_ascii=False).encode())

    def settings(self) -> dict[str, Any]:
        """`refundSeconds`: when a refund is carried out by itself (None: on command only)."""
        return {"refundSeconds": 1.0} | (self.state.get("settings", "settings") or {})

    def knows_webhook(self, key_id: object, secret: object) -> bool:
        return (key_id, secret) == (self._webhook_key_id, self._webhook_secret)

    def _close(self, checkout: dict[str, Any], status: str, how: str) -> dict[str, Any]:
        checkout = checkout | {"status": status, "how": how, "closedAt": stamp()}
        self.state.put("checkout", checkout["id"], checkout)
        return checkout

    def _settle_later(self, kind: str, document: dict[str, Any]) -> None:
        if document["settleAt"] is not None:
            task = asyncio.create_task(self._settle(kind, document["id"], instant(document["settleAt"])))
            self._due.add(task)
            task.add_done_callback(self._due.discard)

    async def _settle(self, kind: str, key: str, at: datetime) -> None:
        await asyncio.sleep(max(0.0, (at - now()).total_seconds()))
        document = self.state.get(kind, key)
        if document is not None and document["standing"] in ("capture_requested", "refund_requested"):
            self.move(kind, document | {"settleAt": None}, "captured" if kind == "payment" else "refunded")

    def _signature(self, _: str, body: bytes) -> Mapping[str, str]:
        mac = hmac.new(self._webhook_secret.encode(), body, hashlib.sha256).digest()
        return {"X-GCS-Signature": base64.b64encode(mac).decode(), "X-GCS-KeyId": self._webhook_key_id}


def payment_answer(payment: Mapping[str, Any]) -> dict[str, Any]:
    """PaymentResponse."""
    standing = STANDINGS[payment["standing"]]
    money = {"amount": payment["amount"], "currencyCode": payment["currency"]}
    return {
        "id": payment["id"],
        "status": standing.status,
        "statusOutput": {
            **status_output(standing, payment["changedAt"]),
            "isAuthorized": payment["standing"] in ("authorised", "capture_requested", "captured"),
            "isRefundable": standing.refundable,
        },
        "paymentOutput": {
            "amountOfMoney": money,
            "acquiredAmount": money if payment["standing"] == "captured" else {**money, "amount": 0},
            "references": _references(payment),
            "paymentMethod": "card",
            "cardPaymentMethodSpecificOutput": {"paymentProductId": BANCONTACT},
            "paymentCreationDate": payment["createdAt"],
        },
        "hostedCheckoutSpecificOutput": {"hostedCheckoutId": payment["checkoutId"]},
    }


def refund_answer(refund: Mapping[str, Any]) -> dict[str, Any]:
    """RefundResponse."""
    standing = STANDINGS[refund["standing"]]
    return {
        "id": refund["id"],
        "status": standing.status,
        "statusOutput": status_output(standing, refund["changedAt"]),
        "refundOutput": {
            "amountOfMoney": {"amount": refund["amount"], "currencyCode": refund["currency"]},
            "references": _references(refund),
            "operationReferences": _references(refund),
            "paymentMethod": "card",
        },
    }


def checkout_answer(bank: Bank, checkout: Mapping[str, Any]) -> dict[str, Any]:
    """GetHostedCheckoutResponse; what is not there is left out: the SDKs do not take null."""
    answer: dict[str, Any] = {"status": checkout["status"]}
    payment = bank.state.get("payment", checkout["paymentId"] or "")
    if payment is not None:
        answer["createdPaymentOutput"] = {
            "payment": payment_answer(payment),
            "paymentStatusCategory": {
                "captured": "SUCCESSFUL",
                "authorised": "SUCCESSFUL",
                "rejected": "REJECTED",
                "rejected_capture": "REJECTED",
            }.get(payment["standing"], "STATUS_UNKNOWN"),
        }
    return answer


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def status_output(standing: Standing, changed_at: str) -> dict[str, Any]:
    return {
        "statusCode": standing.code,
        "statusCategory": standing.category,
        "isCancellable": standing.cancellable,
        "statusCodeChangeDateTime": instant(changed_at).strftime("%Y%m%d%H%M%S"),
    }


def _references(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"merchantReference": document["reference"]} if document["reference"] else {}


def _object(
    body: Mapping[str, Any], name: str, within: str = "", *, needed: bool = True
) -> Mapping[str, Any]:
    found = body.get(name)
    if found is None and not needed:
        return {}
    if not isinstance(found, dict):
        raise Fault(400, "Missing property" if found is None else "Invalid value", within + name)
    return found


def _money(money: Mapping[str, Any], within: str) -> dict[str, Any]:
    """Cents and currency."""
    amount, currency = money.get("amount"), money.get("currencyCode")
    if type(amount) is not int or not 0 < amount < 10**12:
        raise Fault(400, "Missing property" if amount is None else "Invalid value", f"{within}amount")
    if currency != "EUR":
        raise Fault(400, "Missing property" if currency is None else "Invalid value", f"{within}currencyCode")
    return {"amount": amount, "currency": currency}


def _reference(order: Mapping[str, Any]) -> str | None:
    reference = _object(order, "references", needed=False).get("merchantReference")
    if reference is not None and (not isinstance(reference, str) or not 0 < len(reference) <= 40):
        raise Fault(400, "Invalid value", "order.references.merchantReference")
    return reference


def webhook_url(value: object, name: str) -> str:
    url = return_url(value, name)
    if url is None:
        raise Fault(400, "Missing property", name)
    return url


def return_url(value: object, name: str) -> str | None:
    if value is None:
        return None
    if (
        not isinstance(value, str)
        or not urlsplit(value).scheme
        or not urlsplit(value).netloc
        or len(value) > 512
    ):
        raise Fault(400, "Invalid value: an absolute URL is needed", name)
    return value


def _webhook_urls(feedbacks: Mapping[str, Any]) -> list[str]:
    urls = feedbacks.get("webhooksUrls", [])
    if not isinstance(urls, list) or len(urls) > 5:
        raise Fault(400, "Invalid value: at most 5 URLs", "feedbacks.webhooksUrls")
    return [webhook_url(url, "feedbacks.webhooksUrls") for url in urls]
