"""Other software that wants to hear of events: it takes webhooks and shows what came.

`POST /hooks/{name}` is a subscriber; each name is one of its own. Signatures are verified as Standard
Webhooks (standardwebhooks.com) says, once the secret was put in: by `PUT /sim/secret/{name}`, or at the desk.
"""

import base64
import binascii
import hashlib
import hmac
import time
from typing import Any

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.orders import Wrong, carried_out, refused, told
from loket.sandbox.page import join, moment, table, tag
from loket.sandbox.state import State, stamp
from loket.sandbox.system import Config, System

TOLERANCE_SECONDS = 300
SHOWN = 40
"""Rows on the desk."""
ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "data")
"""What a CloudEvent of Loket's has."""


def app(config: Config, state: State) -> Starlette:
    async def take(request: Request) -> Response:
        name, body = request.path_params["name"], await request.body()
        secret = state.get("secret", name)
        wrong = _wrong(request, body, secret["secret"] if secret else None)
        if wrong is not None:
            state.append("refused", {"name": name, "at": stamp(), "why": wrong})
            return JSONResponse({"title": wrong, "status": 401}, 401)
        try:
            event = await request.json()
        except ValueError:
            return JSONResponse({"title": "not JSON", "status": 400}, 400)
        missing = [one for one in ATTRIBUTES if one not in event]
        if missing or event["specversion"] != "1.0":
            return JSONResponse({"title": f"no CloudEvent 1.0: {missing}", "status": 400}, 400)
        key = f"{name}/{request.headers['webhook-id']}"
        first = {"name": name, "at": stamp(), "event": event, "checked": secret is not None, "repeats": 0}
        if not state.add("event", key, first):
            known = state.get("event", key) or first
            state.put("event", key, known | {"repeats": known["repeats"] + 1})
        return Response(status_code=204)

    async def events(request: Request) -> Response:
        name = request.query_params.get("name")
        return JSONResponse([one for one in state.all("event") if name in (None, one["name"])])

    async def secret(request: Request) -> Response:
        given = str((await told(request)).get("secret", "")).strip()
        if _key(given) is None:
            raise Wrong("secret: whsec_ and base64")
        state.put("secret", request.path_params["name"], {"secret": given})
        return carried_out(request, config.desk_url("subscriber"), {"kept": True})

    return Starlette(
        routes=[
            Route("/hooks/{name}", take, methods=["POST"]),
            Route("/sim/events", events),
            Route("/sim/secret/{name}", secret, methods=["PUT", "POST"]),
        ],
        exception_handlers={Wrong: refused},
    )


def _wrong(request: Request, body: bytes, secret: str | None) -> str | None:
    """Why this is not provably Loket's; without a secret only its form is looked at."""
    fields = [request.headers.get(f"webhook-{one}", "") for one in ("id", "timestamp", "signature")]
    if not all(fields):
        return "webhook-id, webhook-timestamp or webhook-signature is missing"
    id, timestamp, signatures = fields
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return "webhook-timestamp is too far off"
    if secret is None:
        return None
    mac = hmac.new(_key(secret) or b"", f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(mac).decode()}"
    if not any(hmac.compare_digest(one, expected) for one in signatures.split(" ")):
        return "webhook-signature is wrong"
    return None


def _key(secret: str) -> bytes | None:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def section(config: Config, state: State) -> Markup:
    url = config.url("subscriber")
    rows = [
        (
            moment(one["at"]),
            one["name"],
            one["event"]["data"]["type"] if _is_ours(one["event"]) else one["event"]["type"],
            one["event"]["subject"],
            tag("geldig" if one["checked"] else "niet nagekeken", "good" if one["checked"] else "wait"),
            str(one["repeats"] or ""),
        )
        for one in reversed(state.all("event")[-SHOWN:])
    ]
    heads = ["Ontvangen", "Afnemer", "Gebeurtenis", "Dossier", "Handtekening", "Herhalingen"]
    form = Markup(
        '<form method="post" action="{0}/sim/secret/demo">'
        "<p>Abonneer <code>{0}/hooks/demo</code> met <code>webhookSubscribe</code>, en plak hier het geheim: "
        '<input name="secret" size="52" placeholder="whsec_…"> <button>Bewaar</button></p></form>'
    ).format(url)
    faults = state.all("refused", 5)
    return join(
        [
            form,
            table(heads, rows, empty="Nog geen gebeurtenissen."),
            *(
                Markup("<p>{} {}: {}</p>").format(moment(one["at"]), one["name"], one["why"])
                for one in faults
            ),
        ]
    )


def _is_ours(event: dict[str, Any]) -> bool:
    return isinstance(event["data"], dict) and "type" in event["data"]


SYSTEM = System(name="subscriber", title="Afnemer van webhooks", offset=13, app=app, section=section)
