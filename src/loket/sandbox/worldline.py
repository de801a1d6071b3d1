"""Worldline Direct in small: the signed API, the page where a citizen pays, and what a script may order.

Written after the SDK `onlinepayments-sdk-python3` and docs.direct.worldline-solutions.com; signed webhooks
leave from `worldline_bank`. `/sim/checkouts/{id}/{action}` does what the citizen would do on the page.
"""

import base64
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from loket.sandbox.orders import Wrong, carried_out, refused, seconds, told, whole
from loket.sandbox.state import State, now, stamp
from loket.sandbox.system import Config, System
from loket.sandbox.worldline_bank import (
    STANDINGS,
    Bank,
    Fault,
    checkout_answer,
    payment_answer,
    refund_answer,
    status_output,
    webhook_url,
)
from loket.sandbox.worldline_desk import section
from loket.sandbox.worldline_page import payer_routes, return_url

SKEW = timedelta(minutes=5)
"""How far the Date of a request may be off."""

Work = Callable[[Bank, str, Mapping[str, Any]], tuple[int, dict[str, Any] | None]]
"""Bank, id of the path and body → status and document (None: no content)."""


def app(config: Config, state: State) -> Starlette:
    bank = Bank(config, state)
    merchant = "/v2/{merchant}"
    return Starlette(
        routes=[
            Route(f"{merchant}/hostedcheckouts", _Call(bank, _create), methods=["POST"]),
            Route(f"{merchant}/hostedcheckouts/{{id}}", _Call(bank, _status), methods=["GET"]),
            Route(f"{merchant}/payments/{{id}}", _Call(bank, _payment), methods=["GET"]),
            Route(f"{merchant}/payments/{{id}}/refunds", _Call(bank, _refunds), methods=["GET"]),
            Route(f"{merchant}/payments/{{id}}/refund", _Call(bank, _refund), methods=["POST"]),
            Route(f"{merchant}/payments/{{id}}/cancel", _Call(bank, _cancel), methods=["POST"]),
            Route(f"{merchant}/payments/{{id}}/capture", _Call(bank, _capture), methods=["POST"]),
            Route(f"{merchant}/services/testconnection", _Call(bank, _connection), methods=["GET"]),
            Route(f"{merchant}/webhooks/validateCredentials", _Call(bank, _credentials), methods=["POST"]),
            Route(f"{merchant}/webhooks/sendtest", _Call(bank, _send_test), methods=["POST"]),
            *payer_routes(bank),
            *_sim_routes(bank),
            *bank.callbacks.routes(),
        ],
        lifespan=bank.running,
        exception_handlers={Wrong: refused},
    )


# What the merchant asks -----------------------------------------------------------------------------


class _Call:
    """One call of the API: signature, merchant, repeats, then the work. Never waits between look and act."""

    def __init__(self, bank: Bank, work: Work) -> None:
        self._bank = bank
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        raw = await request.body()
        try:
            _authenticate(self._bank, request)
            answer = self._once(request, raw) if request.method == "POST" else self._answer(request, {})
        except Fault as fault:
            answer = fault.response()
        await answer(scope, receive, send)

    def _once(self, request: Request, raw: bytes) -> Response:
        body = _json(raw)
        key = request.headers.get("x-gcs-idempotence-key")
        if key is None:
            return self._answer(request, body)
        asked = hashlib.sha256(f"{request.url.path}\n".encode() + raw).hexdigest()
        earlier = self._bank.state.get("idempotence", key)
        if earlier is None:
            answer = self._answer(request, body)
            earlier = {
                "asked": asked,
                "status": answer.status_code,
                "body": bytes(answer.body).decode(),
                "at": int(now().timestamp() * 1000),
            }
            self._bank.state.put("idempotence", key, earlier)
        elif earlier["asked"] != asked:
            raise Fault(409, "Idempotence key used for another request", error_code="30001002")
        headers = {"X-GCS-Idempotence-Request-Timestamp": str(earlier["at"])}
        return Response(earlier["body"], earlier["status"], headers, media_type="application/json")

    def _answer(self, request: Request, body: Mapping[str, Any]) -> Response:
        status, document = self._work(self._bank, request.path_params.get("id", ""), body)
        return Response(status_code=status) if document is None else JSONResponse(document, status)


def _json(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw) if raw else {}
    except ValueError as fault:
        raise Fault(400, "Body is not JSON") from fault
    if not isinstance(body, dict):
        raise Fault(400, "Body is not a JSON object")
    return body


def _authenticate(bank: Bank, request: Request) -> None:
    """`GCS v1HMAC:key:signature` over method, Content-Type, Date, X-GCS headers and path. Raises `Fault`.

    The Node SDK sends a Content-Type on GET, yet signs that line as empty.
    """
    scheme = request.headers.get("authorization", "")
    found = re.fullmatch(r"GCS v1HMAC:([^:]+):([A-Za-z0-9+/=]+)", scheme)
    if found is None:
        raise Fault(401, "Authorization missing or of an unknown form", error_code="9002")
    try:
        date = parsedate_to_datetime(request.headers.get("date", ""))
    except ValueError as fault:
        raise Fault(403, "Date missing or unreadable", error_code="9007") from fault
    if abs(now() - (date if date.tzinfo else date.replace(tzinfo=UTC))) > SKEW:
        raise Fault(403, "Date differs more than 5 minutes", error_code="9007")
    extra = sorted(
        (name, re.sub(r"\r?\n\s*", " ", value).strip())
        for name, value in request.headers.items()
        if name.startswith("x-gcs")
    )
    path = request.scope["raw_path"].decode()
    query = request.scope["query_string"].decode()
    signed = "\n".join(
        [
            request.method,
            "" if request.method in ("GET", "DELETE") else request.headers.get("content-type", ""),
            request.headers["date"],
            *(f"{name}:{value}" for name, value in extra),
            f"{path}?{query}" if query else path,
            "",
        ]
    )
    mac = base64.b64encode(hmac.new(bank.secret.encode(), signed.encode(), hashlib.sha256).digest())
    if request.path_params["merchant"] != bank.merchant:
        raise Fault(403, "Access to merchant not allowed", error_code="9007")
    if found[1] != bank.key_id or not hmac.compare_digest(mac, found[2].encode()):
        raise Fault(403, "Signature or key wrong", error_code="9007")


def _create(bank: Bank, _: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
    checkout = bank.open_checkout(body)
    url = f"{bank.config.url('worldline')}/hostedcheckout/PaymentMethods/Selection/{checkout['token']}"
    answer = {
        "RETURNMAC": checkout["returnMac"],
        "hostedCheckoutId": checkout["id"],
        "redirectUrl": url,
        "partialRedirectUrl": url.partition("://")[2],
    }
    if checkout["reference"]:
        answer["merchantReference"] = checkout["reference"]
    return 201, answer


def _status(bank: Bank, checkout_id: str, _: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
    checkout = bank.checkout(checkout_id)
    if checkout is None:
        raise Fault(404, "Unknown hosted checkout id", "hostedCheckoutId", "1002")
    return 200, checkout_answer(bank, checkout)


def _payment(bank: Bank, operation_id: str, _: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
    """A payment, or by its operation number (`…_1`) a refund told as a payment: `status` REFUNDED, code 8."""
    refund = bank.state.get("refund", operation_id)
    if refund is None:
        return 200, payment_answer(_known(bank, operation_id))
    payment = _known(bank, refund["paymentId"])
    shown = {"id", "amount", "reference", "standing", "changedAt", "createdAt"}
    return 200, payment_answer(payment | {name: refund[name] for name in shown})


def _refunds(bank: Bank, payment_id: str, _: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
    _known(bank, payment_id)
    found = [refund_answer(one) for one in bank.state.all("refund") if one["paymentId"] == payment_id]
    return 200, {"refunds": found}


def _refund(bank: Bank, payment_id: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
    return 201, refund_answer(bank.refund(_known(bank, payment_id), body))


def _cancel(bank: Bank, payment_id: str, _: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
    payment = _known(bank, payment_id)
    if not STANDINGS[payment["standing"]].cancellable:
        raise Fault(400, "Payment is not cancellable", "paymentId")
    return 200, {"payment": payment_answer(bank.move("payment", payment, "cancelled"))}


def _capture(bank: Bank, payment_id: str, _: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
    payment = _known(bank, payment_id)
    if payment["standing"] != "authorised":
        raise Fault(400, "Payment is not waiting for a capture", "paymentId")
    answer = payment_answer(bank.move("payment", payment, "captured"))
    return 201, {
        "id": answer["id"],
        "status": answer["status"],
        "statusOutput": status_output(STANDINGS["captured"], stamp()),
    }


def _connection(_: Bank, __: str, ___: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
    return 200, {"result": "OK"}


def _credentials(bank: Bank, _: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
    return 200, {"result": "Valid" if bank.knows_webhook(body.get("key"), body.get("secret")) else "Invalid"}


def _send_test(bank: Bank, _: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
    url = webhook_url(body.get("url"), "url")
    event = {"apiVersion": "v1", "id": str(uuid.uuid4()), "created": stamp(), "merchantId": bank.merchant}
    bank.tell(event | {"type": "payment.test"}, [url])
    return 204, None


def _known(bank: Bank, payment_id: str) -> dict[str, Any]:
    payment = bank.state.get("payment", payment_id)
    if payment is None:
        raise Fault(404, "Unknown payment id", "paymentId", "1002")
    return payment


# What a script orders -------------------------------------------------------------------------------


def _sim_routes(bank: Bank) -> list[Route]:
    def shown(checkout: dict[str, Any]) -> dict[str, Any]:
        back = return_url(checkout) if checkout["returnUrl"] is not None else None
        return checkout | {"redirect": back, "answer": checkout_answer(bank, checkout)}

    async def checkouts(request: Request) -> Response:
        reference = request.query_params.get("reference")
        found = [bank.checkout(key) or one for key, one in bank.state.items("checkout")]
        return JSONResponse([shown(one) for one in found if reference in (None, one["reference"])])

    async def act(request: Request) -> Response:
        order = await told(request)
        token = bank.state.get("token", request.path_params["id"]) or {"checkout": request.path_params["id"]}
        checkout = bank.checkout(token["checkout"])
        if checkout is None:
            raise Wrong("no such checkout", 404)
        after = seconds(order, "settleSeconds", 0) if "settleSeconds" in order else None
        return carried_out(
            request,
            bank.config.desk_url("worldline"),
            shown(bank.act(checkout, request.path_params["action"], after)),
        )

    def settling(kind: str, waiting: str, outcomes: Mapping[str, str]) -> list[Route]:
        async def listed(_: Request) -> Response:
            return JSONResponse(bank.state.all(kind))

        async def settle(request: Request) -> Response:
            outcome = str((await told(request)).get("outcome"))
            document = bank.state.get(kind, request.path_params["id"])
            if document is None:
                raise Wrong(f"no such {kind}", 404)
            if outcome not in outcomes:
                raise Wrong(f"outcome must be one of {', '.join(outcomes)}")
            if document["standing"] != waiting:
                raise Wrong(f"not waiting: {document['standing']}", 409)
            moved = bank.move(kind, document | {"settleAt": None}, outcomes[outcome])
            return carried_out(request, bank.config.desk_url("worldline"), moved)

        return [
            Route(f"/sim/{kind}s", listed),
            Route(f"/sim/{kind}s/{{id}}/settle", settle, methods=["POST"]),
        ]

    async def charge_back(request: Request) -> Response:
        payment, order = bank.state.get("payment", request.path_params["id"]), await told(request)
        if payment is None:
            raise Wrong("no such payment", 404)
        amount = whole(order, "amount", least=1) if "amount" in order else payment["amount"]
        event = bank.charge_back(payment, amount, reversed_=order.get("reversed") in (True, "true"))
        return carried_out(request, bank.config.desk_url("worldline"), event)

    async def settings(request: Request) -> Response:
        if request.method == "PUT":
            order = await told(request)
            never = order.get("refundSeconds", 1) is None
            wait = None if never else seconds(order, "refundSeconds", 1.0)
            bank.state.put("settings", "settings", {"refundSeconds": wait})
        return JSONResponse(bank.settings())

    return [
        Route("/sim/checkouts", checkouts),
        Route("/sim/checkouts/{id}/{action}", act, methods=["POST"]),
        Route("/sim/payments/{id}/chargeback", charge_back, methods=["POST"]),
        Route("/sim/settings", settings, methods=["GET", "PUT"]),
        *settling("payment", "capture_requested", {"captured": "captured", "rejected": "rejected_capture"}),
        *settling("refund", "refund_requested", {"refunded": "refunded", "rejected": "refund_rejected"}),
    ]


SYSTEM = System(name="worldline", title="Worldline", offset=5, app=app, section=section)
