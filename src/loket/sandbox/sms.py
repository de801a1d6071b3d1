"""Twilio's Programmable Messaging in small: takes messages, delivers them to phones, reports back.

Speaks `/2010-04-01/Accounts/{sid}/Messages.json` as in Twilio's own description (twilio/twilio-oai). A number
that ends in one of the configured digits fails. `/sim/phone/{number}` is what the citizen's phone shows.
"""

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import phonenumbers
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.callbacks import Callbacks, callbacks_table
from loket.sandbox.orders import Wrong, carried_out, refused, seconds, told
from loket.sandbox.page import fold, join, lines, moment, page, table, tag
from loket.sandbox.personas import Citizen
from loket.sandbox.state import State, stamp
from loket.sandbox.system import Config, System

API = "/2010-04-01"
FAILING = {"30003": 30003, "30006": 30006}
"""Last digits of a number → the error that ends a message to it."""
FAILED_AS = {30003: "undelivered", 30006: "failed"}
STEP_SECONDS = 0.2
"""From queued to sent, and from sent to delivered."""
LONGEST = 1600
"""Characters of a body."""
SHOWN = 40
"""Rows on the desk."""

# GSM 03.38: the basic alphabet, and what costs two characters.
GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = frozenset("^{}\\[~]|€")


@dataclass
class Fault(Exception):
    """An error in Twilio's form."""

    status: int
    code: int
    message: str

    def response(self) -> Response:
        document = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if self.status == 401 else None
        return JSONResponse(document, self.status, headers)


class Carrier:
    """The messages, and what happens to them after they were taken."""

    def __init__(self, config: Config, state: State) -> None:
        self.config = config
        self.state = state
        section = config.section("sms")
        self.account: str = section.get("account_sid", "")
        self.token: str = section.get("auth_token", "")
        self._failing: Mapping[str, int] = section.get("failing", FAILING)
        # Twilio asks once more after a failure and then lets the report be lost.
        self.callbacks = Callbacks(
            config.desk_url("sms"),
            state,
            self._signature,
            heard=lambda status: 200 <= status < 300,
            attempts=2,
        )
        self._underway: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        async with self.callbacks.running(app):
            for message in self.state.all("message"):
                if message["status"] in ("queued", "sent"):
                    self._start(message["sid"])
            yield
            for task in self._underway:
                task.cancel()
            await asyncio.gather(*self._underway, return_exceptions=True)

    def take(self, form: Mapping[str, str]) -> dict[str, Any]:
        """A new message. Raises `Fault`."""
        to, body = form.get("To", ""), form.get("Body", "")
        service = form.get("MessagingServiceSid", "")
        if not to:
            raise Fault(400, 21604, "A 'To' phone number is required.")
        if not form.get("From") and not service:
            raise Fault(400, 21603, "A 'From' phone number is required.")
        if service and not re.fullmatch(r"MG[0-9a-fA-F]{32}", service):
            raise Fault(400, 21705, "The Messaging Service Sid is invalid.")
        if not service and not _is_sender(form.get("From", "")):
            raise Fault(400, 21212, f"Invalid From Number (caller ID): {form.get('From')}")
        if not body:
            raise Fault(400, 21602, "Message body is required.")
        if len(body) > LONGEST:
            raise Fault(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        if not _is_number(to):
            raise Fault(400, 21211, f"Invalid 'To' Phone Number: {to}")
        if self.state.get("stopped", to) is not None:
            raise Fault(400, 21610, "Attempt to send to unsubscribed recipient")
        callback = form.get("StatusCallback", "")
        if callback and urlsplit(callback).scheme not in ("http", "https"):
            raise Fault(400, 21609, f"Invalid 'StatusCallback' URL: {callback}")
        sid = f"SM{secrets.token_hex(16)}"
        message: dict[str, Any] = {
            "sid": sid,
            "to": to,
            "from": form.get("From") or service,
            "service": service or None,
            "body": body,
            "segments": segments(body),
            "status": "queued",
            "errorCode": None,
            "callback": callback or None,
            "createdAt": stamp(),
            "updatedAt": stamp(),
            "sentAt": None,
        }
        self.state.put("message", sid, message)
        self.state.put(f"phone:{to}", sid, {})
        self._tell(message)
        self._start(sid)
        return message

    def messages_to(self, number: str) -> list[dict[str, Any]]:
        found = [self.state.get("message", sid) for sid, _ in self.state.items(f"phone:{number}")]
        return [one for one in found if one is not None]

    def step_seconds(self) -> float:
        kept = self.state.get("settings", "settings") or {}
        return float(kept.get("stepSeconds", STEP_SECONDS))

    def _start(self, sid: str) -> None:
        task = asyncio.create_task(self._deliver(sid))
        self._underway.add(task)
        task.add_done_callback(self._underway.discard)

    async def _deliver(self, sid: str) -> None:
        while (message := self.state.get("message", sid)) is not None:
            if message["status"] not in ("queued", "sent"):
                return
            await asyncio.sleep(self.step_seconds())
            error = self._error(message["to"])
            if message["status"] == "queued" and FAILED_AS.get(error) != "failed":
                message |= {"status": "sent", "sentAt": stamp()}
            elif not error:
                message |= {"status": "delivered"}
            else:
                message |= {"status": FAILED_AS.get(error, "undelivered"), "errorCode": error}
            message["updatedAt"] = stamp()
            self.state.put("message", sid, message)
            self._tell(message)

    def _error(self, number: str) -> int:
        """What ends a message to this number; 0 where nothing does."""
        return next((code for end, code in self._failing.items() if number.endswith(end)), 0)

    def _tell(self, message: Mapping[str, Any]) -> None:
        if message["callback"] is None:
            return
        form = {
            "AccountSid": self.account,
            "ApiVersion": "2010-04-01",
            "From": message["from"],
            "MessageSid": message["sid"],
            "MessageStatus": message["status"],
            "SmsSid": message["sid"],
            "SmsStatus": message["status"],
            "To": message["to"],
        }
        if message["errorCode"] is not None:
            form["ErrorCode"] = str(message["errorCode"])
        self.callbacks.send(
            message["callback"],
            message["status"],
            urlencode(form).encode(),
            media_type="application/x-www-form-urlencoded; charset=UTF-8",
        )

    def _signature(self, url: str, body: bytes) -> Mapping[str, str]:
        """HMAC-SHA1 over the URL as configured and each name with its value, sorted by name."""
        fields = sorted(parse_qsl(body.decode(), keep_blank_values=True))
        signed = url + "".join(name + value for name, value in fields)
        mac = hmac.new(self.token.encode(), signed.encode(), hashlib.sha1).digest()
        return {"X-Twilio-Signature": base64.b64encode(mac).decode()}


def segments(body: str) -> int:
    """How many SMS a body takes: 160 (else 153 each) in GSM 03.38, 70 (else 67) in UCS-2."""
    if all(sign in GSM_BASIC or sign in GSM_EXTENDED for sign in body):
        length = len(body) + sum(sign in GSM_EXTENDED for sign in body)
        return 1 if length <= 160 else -(-length // 153)
    length = len(body.encode("utf-16-be")) // 2
    return 1 if length <= 70 else -(-length // 67)


def app(config: Config, state: State) -> Starlette:
    carrier = Carrier(config, state)
    messages = f"{API}/Accounts/{{account}}/Messages"

    def admitted(request: Request) -> None:
        pair = f"{carrier.account}:{carrier.token}".encode()
        expected = f"Basic {base64.b64encode(pair).decode()}"
        if not carrier.account or request.headers.get("authorization") != expected:
            raise Fault(401, 20003, "Authenticate")
        if request.path_params["account"] != carrier.account:
            raise Fault(404, 20404, f"The requested resource {request.url.path} was not found")

    async def create(request: Request) -> Response:
        admitted(request)
        form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
        return JSONResponse(_answer(carrier, carrier.take(form)), 201)

    async def fetch(request: Request) -> Response:
        admitted(request)
        message = state.get("message", request.path_params["sid"])
        if message is None:
            raise Fault(404, 20404, f"The requested resource {request.url.path} was not found")
        return JSONResponse(_answer(carrier, message))

    async def listed(request: Request) -> Response:
        admitted(request)
        to = request.query_params.get("To")
        found = carrier.messages_to(to) if to else state.all("message")
        size = min(int(request.query_params.get("PageSize", "50")), 1000)
        shown = [_answer(carrier, one) for one in reversed(found[-size:])]
        return JSONResponse(
            {
                "messages": shown,
                "page": 0,
                "page_size": size,
                "start": 0,
                "end": max(0, len(shown) - 1),
                "uri": request.url.path,
                "first_page_uri": request.url.path,
                "next_page_uri": None,
                "previous_page_uri": None,
            }
        )

    async def faulted(_: Request, fault: Exception) -> Response:
        assert isinstance(fault, Fault)
        return fault.response()

    return Starlette(
        routes=[
            Route(f"{messages}.json", create, methods=["POST"]),
            Route(f"{messages}.json", listed, methods=["GET"]),
            Route(f"{messages}/{{sid}}.json", fetch, methods=["GET"]),
            *_sim_routes(carrier),
            *carrier.callbacks.routes(),
        ],
        lifespan=carrier.running,
        exception_handlers={Wrong: refused, Fault: faulted},
    )


def _sim_routes(carrier: Carrier) -> list[Route]:
    async def phone(request: Request) -> Response:
        number = request.path_params["number"]
        found = carrier.messages_to(number)
        if "text/html" in request.headers.get("accept", ""):
            body = Markup("<main><h1>{}</h1>{}</main>").format(number, _bubbles(found))
            return page(f"Telefoon {number}", body, kind="card")
        return JSONResponse(found)

    async def messages(_: Request) -> Response:
        return JSONResponse(carrier.state.all("message"))

    async def stop(request: Request) -> Response:
        number = request.path_params["number"]
        carrier.state.put("stopped", number, {"at": stamp()})
        return carried_out(request, carrier.config.desk_url("sms"), {"stopped": number})

    async def settings(request: Request) -> Response:
        if request.method == "PUT":
            step = seconds(await told(request), "stepSeconds", STEP_SECONDS)
            carrier.state.put("settings", "settings", {"stepSeconds": step})
        return JSONResponse({"stepSeconds": carrier.step_seconds()})

    return [
        Route("/sim/messages", messages),
        Route("/sim/phone/{number}", phone),
        Route("/sim/phone/{number}/stop", stop, methods=["POST"]),
        Route("/sim/settings", settings, methods=["GET", "PUT"]),
    ]


def _answer(carrier: Carrier, message: Mapping[str, Any]) -> dict[str, Any]:
    path = f"{API}/Accounts/{carrier.account}/Messages/{message['sid']}"
    sent_at = message["sentAt"]
    return {
        "sid": message["sid"],
        "account_sid": carrier.account,
        "messaging_service_sid": message["service"],
        "api_version": "2010-04-01",
        "body": message["body"],
        "from": None if message["service"] else message["from"],
        "to": message["to"],
        "direction": "outbound-api",
        "num_segments": str(message["segments"]),
        "num_media": "0",
        "status": message["status"],
        "error_code": message["errorCode"],
        "error_message": None,
        "price": None,
        "price_unit": "USD",
        "date_created": _rfc2822(message["createdAt"]),
        "date_updated": _rfc2822(message["updatedAt"]),
        "date_sent": _rfc2822(sent_at) if sent_at else None,
        "uri": f"{path}.json",
        "subresource_uris": {"media": f"{path}/Media.json"},
    }


def _rfc2822(instant: str) -> str:
    return format_datetime(datetime.fromisoformat(instant))


def _is_number(text: str) -> bool:
    """E.164, and possible in its numbering plan."""
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", text):
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(text))
    except phonenumbers.NumberParseException:
        return False


def _is_sender(text: str) -> bool:
    """A number, or a name of at most eleven characters with a letter in it."""
    named = re.fullmatch(r"[A-Za-z0-9 ]{1,11}", text) is not None and any(sign.isalpha() for sign in text)
    return named or _is_number(text)


def section(config: Config, state: State) -> Markup:
    url = config.url("sms")
    rows = [
        (
            moment(one["createdAt"]),
            Markup('<a href="{}/sim/phone/{}">{}</a>').format(url, one["to"], one["to"]),
            one["body"],
            _fate(one),
        )
        for one in reversed(state.all("message")[-SHOWN:])
    ]
    listed = table(["Verstuurd", "Aan", "Bericht", "Stand"], rows, empty="Nog geen sms'en.")
    return join([listed, fold("Ontvangstmeldingen aan Loket", callbacks_table(state, url))])


def citizen(config: Config, state: State, person: Citizen) -> Markup:
    """What is on the person's phone."""
    if person.phone is None:
        return Markup('<h3>Gsm</h3><p class="empty">Geen gsm-nummer gekend.</p>')
    found = Carrier(config, state).messages_to(person.phone)
    return Markup("<h3>Gsm {}</h3>{}").format(person.phone, _bubbles(found))


def _bubbles(messages: list[dict[str, Any]]) -> Markup:
    if not messages:
        return Markup('<p class="empty">Geen berichten.</p>')
    style = "background:#e8efe9;border-radius:12px;padding:.6rem .9rem;margin:.5rem 0;max-width:26rem"
    return join(
        Markup('<div style="{}"><small><strong>{}</strong> {} {}</small><br>{}</div>').format(
            style, one["from"], moment(one["createdAt"]), _fate(one), lines(one["body"])
        )
        for one in messages
        if one["status"] in ("sent", "delivered", "queued")
    )


def _fate(message: Mapping[str, Any]) -> Markup:
    colour = {"delivered": "good", "sent": "wait", "queued": "wait"}.get(message["status"], "bad")
    code = f" {message['errorCode']}" if message["errorCode"] else ""
    return tag(message["status"] + code, colour)


SYSTEM = System(name="sms", title="Sms (Twilio)", offset=8, app=app, section=section, citizen=citizen)
