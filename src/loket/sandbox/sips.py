"""Worldline Sips 2.0 in small: Paypage JSON, the page where a citizen pays, Office, what a script orders.

After docs.sips.worldline-solutions.com; the sealed responses leave from `sips_ledger`. What the documentation
does not show is kept simple. `/sim/checkouts/{id}/{action}` does what the citizen would do on the page.
"""

import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.callbacks import callbacks_table
from loket.sandbox.orders import Wrong, carried_out, refused, seconds, told, whole
from loket.sandbox.page import button, fold, join, moment, page, table, tag
from loket.sandbox.sips_ledger import Ledger
from loket.sandbox.state import State, now
from loket.sandbox.system import Config, System

SHOWN = 30
"""Rows on the desk."""
SERVICES = "/rs-services/v2"
Work = Callable[[Ledger, Mapping[str, Any]], dict[str, Any]]


class No(Exception):
    """An answer that is a code other than 00."""

    def __init__(self, code: str, field: str = "") -> None:
        self.code = code
        self.field = field
        super().__init__(code)


def app(config: Config, state: State) -> Starlette:
    ledger = Ledger(config, state)
    return Starlette(
        routes=[
            Route(f"{SERVICES}/paymentInit", _call(ledger, "IR_WS_", _init), methods=["POST"]),
            Route(
                f"{SERVICES}/diagnostic/getTransactionData",
                _call(ledger, "DR_WS_", _transaction_data),
                methods=["POST"],
            ),
            Route(f"{SERVICES}/cashManagement/refund", _call(ledger, "CR_WS_", _refund), methods=["POST"]),
            *_payer_routes(ledger),
            *_sim_routes(ledger),
            *ledger.callbacks.routes(),
        ],
        lifespan=ledger.running,
        exception_handlers={Wrong: refused},
    )


# What the shop asks ---------------------------------------------------------------------------------


def _call(ledger: Ledger, version: str, work: Work) -> Callable[[Request], Any]:
    """One service: JSON, merchant, version, seal, then the work. Every answer is a 200 with a code."""
    name = "redirectionStatusCode" if work is _init else "responseCode"

    async def endpoint(request: Request) -> Response:
        try:
            asked = _checked(ledger, await request.body(), version)
            answer = {name: "00", **work(ledger, asked)}
        except No as no:
            answer = {name: no.code} | ({"errorFieldName": no.field} if no.field else {})
        return JSONResponse(ledger.sealed(answer))

    return endpoint


def _checked(ledger: Ledger, raw: bytes, version: str) -> Mapping[str, Any]:
    try:
        asked = json.loads(raw)
    except ValueError as fault:
        raise No("30") from fault
    if not isinstance(asked, dict):
        raise No("30")
    if asked.get("merchantId") != ledger.merchant:
        raise No("03")
    if not str(asked.get("interfaceVersion", "")).startswith(version):
        raise No("30", "interfaceVersion")
    if asked.get("sealAlgorithm", "HMAC-SHA-256") != "HMAC-SHA-256":
        raise No("30", "sealAlgorithm")
    given = str(asked.get("seal", ""))
    if asked.get("keyVersion") != ledger.key_version or not hmac.compare_digest(ledger.seal(asked), given):
        raise No("34")
    if not re.fullmatch(r"[A-Za-z0-9]{1,35}", str(asked.get("transactionReference", ""))):
        raise No("30", "transactionReference")
    return asked


def _init(ledger: Ledger, asked: Mapping[str, Any]) -> dict[str, Any]:
    for name, form in (
        ("amount", r"[1-9][0-9]{0,11}"),
        ("currencyCode", "978"),
        ("normalReturnUrl", r"https?://\S{1,512}"),
        ("orderChannel", "INTERNET"),
        ("orderId", r"[A-Za-z0-9-]{0,32}"),
        ("captureMode", "IMMEDIATE|AUTHOR_CAPTURE|VALIDATION"),
    ):
        value = asked.get(name)
        if not isinstance(value, str) or not re.fullmatch(form, value):
            raise No("30" if value is not None else "12", name)
    order = ledger.open(asked)
    if order is None:
        raise No("94")
    return {
        "redirectionStatusMessage": "Initialisation OK",
        "redirectionUrl": f"{ledger.config.url('sips')}/payment",
        "redirectionVersion": "IR_WS_2.0",
        "redirectionData": order["token"],
    }


def _transaction_data(ledger: Ledger, asked: Mapping[str, Any]) -> dict[str, Any]:
    found = _known(ledger, asked)
    return {
        "getTransDataResponseCode": "00",
        "responseCode": found["code"],
        "transactionStatus": found["status"],
        "transactionReference": found["id"],
        "merchantId": ledger.merchant,
        "orderId": found["reference"],
        "originAmount": str(found["amount"]),
        "currentAmount": str(found["current"]),
        "currencyCode": "978",
        "transactionDateTime": found["createdAt"],
    }


def _refund(ledger: Ledger, asked: Mapping[str, Any]) -> dict[str, Any]:
    found = _known(ledger, asked)
    amount = str(asked.get("operationAmount", ""))
    if not re.fullmatch(r"[1-9][0-9]{0,11}", amount) or asked.get("currencyCode") != "978":
        raise No("12", "operationAmount")
    if found["status"] not in ("CAPTURED", "TO_CREDIT", "CREDITED"):
        raise No("24")
    if int(amount) > found["current"]:
        raise No("51")
    changed = ledger.refund(found, int(amount))
    return {
        "newAmount": str(changed["current"]),
        "newStatus": changed["status"],
        "operationDateTime": now().isoformat(),
        "acquirerResponseCode": "00",
    }


def _known(ledger: Ledger, asked: Mapping[str, Any]) -> dict[str, Any]:
    found = ledger.state.get("transaction", asked["transactionReference"])
    if found is None:
        raise No("25")
    return found


# What the citizen does ------------------------------------------------------------------------------


def _payer_routes(ledger: Ledger) -> list[Route]:
    async def arrive(request: Request) -> Response:
        form = await request.form()
        order = ledger.order_of(str(form.get("redirectionData", "")))
        if order is None or not form.get("redirectionVersion"):
            nothing = Markup("<main><h1>Deze betaalpagina bestaat niet.</h1></main>")
            return page("Betaling", nothing, kind="card", status=404)
        return _page_of(ledger, order)

    async def choose(request: Request) -> Response:
        order = ledger.order_of(request.path_params["token"])
        if order is None:
            raise Wrong("no such page", 404)
        action = str((await request.form()).get("action", ""))
        if order["how"] is None:
            ledger.act(order, action, 10.0 if action == "pending" else None)
        return _page_of(ledger, order)

    return [
        Route("/payment", arrive, methods=["POST"]),
        Route("/payment/{token}", choose, methods=["POST"]),
    ]


def _page_of(ledger: Ledger, order: Mapping[str, Any]) -> Response:
    transaction = ledger.state.get("transaction", order["id"])
    if transaction is None:
        return page("Betaling", _choice(ledger.config, order), kind="card")
    text = {
        "00": "Deze betaling is uitgevoerd.",
        "60": "Deze betaling wordt verwerkt.",
        "05": "Uw bank heeft deze betaling geweigerd.",
        "17": "U hebt deze betaling geannuleerd.",
        "97": "De tijd om te betalen is verstreken.",
    }[transaction["code"]]
    back = button(order["returnUrl"], "Terug naar de gemeente", ledger.response(transaction))
    body = Markup("<main><h1>{}</h1><p>{}</p>{}</main>").format(text, euro(order["amount"]), back)
    return page("Betaling", body, kind="card")


def _choice(config: Config, order: Mapping[str, Any]) -> Markup:
    action = f"{config.url('sips')}/payment/{order['token']}"
    others = (
        ("pending", "De bank bevestigt pas straks"),
        ("refuse", "De bank weigert"),
        ("cancel", "Ik annuleer"),
        ("expire", "Ik laat de tijd verstrijken"),
    )
    return Markup(
        "<main><h1>Betaling aan {}</h1><p>Bestelling <strong>{}</strong></p>"
        '<p style="font-size:2rem;margin:.5rem 0"><strong>{}</strong></p>{}'
        "<details><summary>Het kan ook anders lopen</summary>{}</details>"
        "<p><small>Oefenomgeving: er wordt geen echt geld overgeschreven.</small></p></main>"
    ).format(
        config.municipality.name,
        order["reference"],
        euro(order["amount"]),
        button(action, "Betalen met Bancontact", {"action": "pay"}),
        join(button(action, label, {"action": value}, kind="quiet") for value, label in others),
    )


# What a script orders -------------------------------------------------------------------------------


def _sim_routes(ledger: Ledger) -> list[Route]:
    state, desk = ledger.state, ledger.config.desk_url("sips")

    def shown(order: dict[str, Any]) -> dict[str, Any]:
        transaction = state.get("transaction", order["id"])
        back = None if transaction is None else ledger.response(transaction)
        return order | {"transaction": transaction, "back": back}

    def found(request: Request, kind: str) -> dict[str, Any]:
        document = state.get(kind, request.path_params["id"])
        if document is None:
            raise Wrong(f"no such {kind}", 404)
        return document

    async def checkouts(request: Request) -> Response:
        reference = request.query_params.get("reference")
        return JSONResponse(
            [shown(one) for one in state.all("order") if reference in (None, one["reference"])]
        )

    async def act(request: Request) -> Response:
        order = await told(request)
        after = seconds(order, "settleSeconds", 0) if "settleSeconds" in order else None
        ledger.act(found(request, "order"), request.path_params["action"], after)
        return carried_out(request, desk, shown(found(request, "order")))

    async def refunds(_: Request) -> Response:
        return JSONResponse(state.all("refund"))

    async def settle(request: Request) -> Response:
        outcome = str((await told(request)).get("outcome"))
        return carried_out(request, desk, ledger.settle(found(request, "transaction"), outcome))

    async def settle_refund(request: Request) -> Response:
        outcome = str((await told(request)).get("outcome"))
        return carried_out(request, desk, ledger.settle_refund(found(request, "refund"), outcome))

    async def charge_back(request: Request) -> Response:
        transaction, order = found(request, "transaction"), await told(request)
        amount = whole(order, "amount", least=1) if "amount" in order else transaction["amount"]
        is_reversed = order.get("reversed") in (True, "true")
        return carried_out(request, desk, ledger.charge_back(transaction, amount, reversed_=is_reversed))

    async def settings(request: Request) -> Response:
        if request.method == "PUT":
            order = await told(request)
            never = order.get("refundSeconds", 1) is None
            wait = None if never else seconds(order, "refundSeconds", 1.0)
            encode = order.get("encode", "")
            if encode not in ("", "base64"):
                raise Wrong("encode: empty or base64")
            state.put("settings", "settings", {"refundSeconds": wait, "encode": encode})
        return JSONResponse(ledger.settings())

    return [
        Route("/sim/checkouts", checkouts),
        Route("/sim/checkouts/{id}/{action}", act, methods=["POST"]),
        Route("/sim/transactions/{id}/settle", settle, methods=["POST"]),
        Route("/sim/transactions/{id}/chargeback", charge_back, methods=["POST"]),
        Route("/sim/refunds", refunds),
        Route("/sim/refunds/{id}/settle", settle_refund, methods=["POST"]),
        Route("/sim/settings", settings, methods=["GET", "PUT"]),
    ]


# What the desk shows --------------------------------------------------------------------------------


def section(config: Config, state: State) -> Markup:
    url = config.url("sips")
    rows = []
    for order in reversed(state.all("order")[-SHOWN:]):
        transaction = state.get("transaction", order["id"])
        fate = tag("te betalen", "wait") if transaction is None else _fate(url, transaction)
        rows.append((moment(order["createdAt"]), order["reference"], euro(order["amount"]), fate))
    refunds = [
        (
            moment(one["createdAt"]),
            one["reference"],
            euro(one["amount"]),
            tag(one["standing"], "good" if one["standing"] == "credited" else "wait"),
            join(
                button(f"{url}/sim/refunds/{one['id']}/settle", label, {"outcome": outcome}, kind="quiet")
                for outcome, label in (("credited", "Uitvoeren"), ("refused", "Weigeren"))
                if one["standing"] == "requested"
            ),
        )
        for one in reversed(state.all("refund")[-SHOWN:])
    ]
    return join(
        [
            table(["Gemaakt", "Bestelling", "Bedrag", "Stand"], rows, empty="Nog geen betalingen."),
            Markup("<h3>Terugbetalingen</h3>"),
            table(["Gevraagd", "Bestelling", "Bedrag", "Stand", ""], refunds, empty="Geen terugbetalingen."),
            fold("Antwoorden aan Loket", callbacks_table(state, url)),
        ]
    )


def _fate(url: str, transaction: Mapping[str, Any]) -> Markup:
    at = f"{url}/sim/transactions/{transaction['id']}"
    shown = tag(
        f"{transaction['status']} ({transaction['code']})", "good" if transaction["code"] == "00" else "bad"
    )
    if transaction["status"] == "PENDING":
        outcomes = (("accepted", "Bank bevestigt"), ("refused", "Bank weigert"))
        choice = [button(f"{at}/settle", label, {"outcome": one}, kind="quiet") for one, label in outcomes]
    elif transaction["code"] == "00":
        choice = [
            button(f"{at}/chargeback", "Bank haalt terug", kind="quiet"),
            button(f"{at}/chargeback", "Bank geeft weer", {"reversed": "true"}, kind="quiet"),
        ]
    else:
        choice = []
    return join([shown, Markup(" "), *choice])


def euro(cents: int) -> str:
    """As a citizen reads it: € 1.234,50."""
    units, rest = divmod(cents, 100)
    return f"€ {units:,}".replace(",", ".") + f",{rest:02}"


SYSTEM = System(name="sips", title="Worldline Sips", offset=12, app=app, section=section)
