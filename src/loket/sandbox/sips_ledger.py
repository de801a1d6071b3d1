"""What Worldline Sips keeps in small: orders, transactions and their refunds, and who is told, sealed.

Seal, fields and codes after docs.sips.worldline-solutions.com. A transaction is there from when the payer did
something; until then there is an order, and the reference is used.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.applications import Starlette

from loket.sandbox.callbacks import Callbacks
from loket.sandbox.orders import Wrong
from loket.sandbox.state import State, now, stamp
from loket.sandbox.system import Config

PAGE_MINUTES = 15
"""How long the payer may take; the documentation does not say."""
UNSEALED = ("keyVersion", "sealAlgorithm", "seal")

# fmt: off
CODES = {
    # what the payer does  → responseCode, transactionStatus
    "pay":     ("00", "CAPTURED"),
    "pending": ("60", "PENDING"),
    "refuse":  ("05", "REFUSED"),
    "cancel":  ("17", "ABORTED"),
    "expire":  ("97", "EXPIRED"),
}
SETTLED = {"accepted": ("00", "CAPTURED"), "refused": ("05", "REFUSED")}
# fmt: on


class Ledger:
    """The state behind the pages and the office, and what must still happen to it."""

    def __init__(self, config: Config, state: State) -> None:
        self.config = config
        self.state = state
        section = config.section("sips")
        self.merchant: str = section.get("merchant_id", "")
        self.key_version: str = section.get("key_version", "1")
        self._secret: str = section.get("secret_key", "")
        self.callbacks = Callbacks(
            config.desk_url("sips"), state, lambda _, __: {}, heard=lambda status: 200 <= status < 300
        )
        self._due: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        async with self.callbacks.running(app):
            for kind in ("transaction", "refund"):
                for document in self.state.all(kind):
                    self._settle_later(kind, document)
            yield
            for task in self._due:
                task.cancel()
            await asyncio.gather(*self._due, return_exceptions=True)

    # Seals ------------------------------------------------------------------------------------------

    def seal(self, document: Mapping[str, Any]) -> str:
        """Over the values in the order of their names."""
        values = _flat({name: value for name, value in document.items() if name not in UNSEALED})
        return self._mac(values)

    def sealed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return {**document, "seal": self.seal(document)}

    def _mac(self, text: str) -> str:
        return hmac.new(self._secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    # Orders and transactions ------------------------------------------------------------------------

    def open(self, asked: Mapping[str, str]) -> dict[str, Any] | None:
        """A new order; None where its reference was used before."""
        order: dict[str, Any] = {
            "id": asked["transactionReference"],
            "token": secrets.token_urlsafe(48),
            "reference": asked.get("orderId", ""),
            "amount": int(asked["amount"]),
            "language": asked.get("customerLanguage", "nl"),
            "returnUrl": asked["normalReturnUrl"],
            "responseUrl": asked.get("automaticResponseUrl"),
            "captureMode": asked.get("captureMode", "AUTHOR_CAPTURE"),
            "expiresAt": (now() + timedelta(minutes=PAGE_MINUTES)).isoformat(),
            "createdAt": stamp(),
            "how": None,
        }
        if not self.state.add("order", order["id"], order):
            return None
        self.state.put("token", order["token"], {"order": order["id"]})
        return order

    def order_of(self, token: str) -> dict[str, Any] | None:
        found = self.state.get("token", token)
        return None if found is None else self.state.get("order", found["order"])

    def act(self, order: dict[str, Any], action: str, settle_seconds: float | None = None) -> dict[str, Any]:
        """What the payer does on the page. Answers the transaction.

        Raises:
            Wrong: no such action, or the page is over.
        """
        if action not in CODES:
            raise Wrong(f"no such action; there are {', '.join(CODES)}", 404)
        if order["how"] is not None:
            raise Wrong(f"the page is over: {order['how']}", 409)
        code, status = CODES[action]
        self.state.put("order", order["id"], order | {"how": action})
        settle_at = None if settle_seconds is None else now() + timedelta(seconds=settle_seconds)
        transaction = {
            **{name: order[name] for name in ("id", "reference", "amount", "responseUrl", "captureMode")},
            "current": order["amount"],
            "settleAt": settle_at.isoformat() if settle_at and action == "pending" else None,
            "createdAt": stamp(),
        }
        transaction = self._move(transaction, code, status)
        self._settle_later("transaction", transaction)
        return transaction

    def settle(self, transaction: dict[str, Any], outcome: str) -> dict[str, Any]:
        """The bank decides on what was pending. Raises `Wrong`."""
        if outcome not in SETTLED:
            raise Wrong(f"outcome must be one of {', '.join(SETTLED)}")
        if transaction["status"] != "PENDING":
            raise Wrong(f"not waiting: {transaction['status']}", 409)
        return self._move(transaction | {"settleAt": None}, *SETTLED[outcome])

    def _move(self, transaction: dict[str, Any], code: str, status: str) -> dict[str, Any]:
        transaction = transaction | {"code": code, "status": status, "changedAt": stamp()}
        self.state.put("transaction", transaction["id"], transaction)
        self.tell(transaction, "payment", {})
        return transaction

    # Refunds ----------------------------------------------------------------------------------------

    def refund(self, transaction: dict[str, Any], amount: int) -> dict[str, Any]:
        """Give money back; the bank carries it out a moment later. Answers the transaction.

        There is no name for it: asked twice it is done twice.
        """
        wait = self.settings()["refundSeconds"]
        refund = {
            "id": str(uuid.uuid4()),
            "transaction": transaction["id"],
            "reference": transaction["reference"],
            "amount": amount,
            "standing": "requested",
            "createdAt": stamp(),
            "settleAt": None if wait is None else (now() + timedelta(seconds=wait)).isoformat(),
        }
        self.state.put("refund", refund["id"], refund)
        changed = transaction | {"current": transaction["current"] - amount, "status": "TO_CREDIT"}
        self.state.put("transaction", transaction["id"], changed)
        self._settle_later("refund", refund)
        return changed

    def settle_refund(self, refund: dict[str, Any], outcome: str) -> dict[str, Any]:
        """The bank has paid it back (`credited`), or will not (`refused`). Raises `Wrong`."""
        if outcome not in ("credited", "refused"):
            raise Wrong("outcome must be credited or refused")
        if refund["standing"] != "requested":
            raise Wrong(f"not waiting: {refund['standing']}", 409)
        refund = refund | {"standing": outcome, "settleAt": None}
        self.state.put("refund", refund["id"], refund)
        transaction = self.state.get("transaction", refund["transaction"])
        assert transaction is not None
        if outcome == "refused":
            transaction["current"] += refund["amount"]
        of_it = [
            one["standing"] for one in self.state.all("refund") if one["transaction"] == transaction["id"]
        ]
        if "requested" not in of_it:
            transaction["status"] = "CREDITED" if "credited" in of_it else "CAPTURED"
        self.state.put("transaction", transaction["id"], transaction)
        return refund

    def settings(self) -> dict[str, Any]:
        """`refundSeconds`: when a refund is carried out by itself (None: on command only). `encode`: how
        Data is written (empty, or base64).
        """
        return {"refundSeconds": 1.0, "encode": ""} | (self.state.get("settings", "settings") or {})

    # Telling ----------------------------------------------------------------------------------------

    def charge_back(self, transaction: Mapping[str, Any], amount: int, *, reversed_: bool) -> dict[str, Any]:
        """The payer's bank takes money back, or gives it back. Sips lists it in a report; here it is told."""
        key = f"CB{transaction['id'][:20]}"
        today = datetime.now(ZoneInfo("Europe/Brussels")).date()
        chargeback = {
            "chargebackId": key,
            "chargebackAmount": str(amount),
            "chargebackDate": today.isoformat(),
            "chargebackStatus": "REVERSED" if reversed_ else "CHARGED_BACK",
            "chargebackReason": "Kaarthouder betwist de betaling",
        }
        self.tell(transaction, "chargeback", chargeback)
        return chargeback

    def tell(self, transaction: Mapping[str, Any], kind: str, more: Mapping[str, str]) -> None:
        if transaction["responseUrl"]:
            body = urlencode(self.response(transaction, more)).encode()
            media_type = "application/x-www-form-urlencoded"
            self.callbacks.send(transaction["responseUrl"], kind, body, media_type=media_type)

    def response(
        self, transaction: Mapping[str, Any], more: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The form that says how a payment stands: to the shop by itself, and along with the payer."""
        fields = {
            "amount": str(transaction["amount"]),
            "captureMode": transaction["captureMode"],
            "currencyCode": "978",
            "customerId": "null",
            "keyVersion": self.key_version,
            "merchantId": self.merchant,
            "orderChannel": "INTERNET",
            "orderId": transaction["reference"],
            "paymentMeanBrand": "BCMC",
            "paymentMeanType": "CARD",
            "responseCode": transaction["code"],
            "transactionDateTime": transaction["changedAt"],
            "transactionReference": transaction["id"],
            **(more or {}),
        }
        data = "|".join(f"{name}={value}" for name, value in fields.items())
        encode = self.settings()["encode"]
        if encode:
            data = base64.b64encode(data.encode()).decode()
        form = {"Data": data, "Seal": self._mac(data), "InterfaceVersion": "HP_2.20"}
        return form | ({"Encode": encode} if encode else {})

    def _settle_later(self, kind: str, document: dict[str, Any]) -> None:
        if document["settleAt"] is not None:
            at = datetime.fromisoformat(document["settleAt"])
            task = asyncio.create_task(self._settle(kind, document["id"], at))
            self._due.add(task)
            task.add_done_callback(self._due.discard)

    async def _settle(self, kind: str, key: str, at: datetime) -> None:
        await asyncio.sleep(max(0.0, (at - now()).total_seconds()))
        document = self.state.get(kind, key)
        if document is not None and kind == "transaction" and document["status"] == "PENDING":
            self.settle(document, "accepted")
        if document is not None and kind == "refund" and document["standing"] == "requested":
            self.settle_refund(document, "credited")


def _flat(node: object) -> str:
    if isinstance(node, Mapping):
        return "".join(_flat(node[name]) for name in sorted(node))
    if isinstance(node, list):
        return "".join(_flat(one) for one in node)
    return "" if node is None else str(node)
