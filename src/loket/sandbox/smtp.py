"""The mail server of everybody: keeps every message as it came, and shows it as its reader would see it.

Its faults (the desk's `/systeem/smtp/sim/faults`) strike by recipient: `path` begins an address.
`routes` is what the desk serves beside them: mailboxes, raw messages, attachments.
"""

import asyncio
import base64
import socket
import time
from collections.abc import Iterator, Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Any

import icalendar
from aiosmtpd.smtp import SMTP, Envelope, Session
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.faults import Fault, Faults
from loket.sandbox.page import fold, join, lines, moment, table
from loket.sandbox.personas import Citizen
from loket.sandbox.state import BODY_KEPT, State, stamp
from loket.sandbox.system import Config, System

LARGEST = 10 * 1024 * 1024
"""Bytes of a message; told in EHLO."""
LONGEST_LINE = 998
"""Octets of a line without its end (RFC 5322, 2.1.1)."""
HOST = "post.zandbak.example"
SHOWN = 40
"""Rows on the desk."""

_FRAME = (
    '<meta http-equiv="Content-Security-Policy"'
    " content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
    '<base target="_blank">'
)
"""Goes before the HTML of a message: nothing is fetched, links open beside the desk."""


class Postman:
    """Takes messages in and puts them in mailboxes; misbehaves where it is told to.

    refuse      RCPT is refused with `status` (550)
    error       the message is not taken: `status` (451)
    slow        waits `seconds`, then takes it
    timeout     waits `seconds`, then hangs up without having taken it
    lose_answer takes it, then hangs up without a word
    duplicate   takes it twice
    malformed   takes it and answers gibberish
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._faults = Faults(state)

    async def handle_RCPT(  # noqa: N802  # as aiosmtpd has it
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        fault = self._faults.take(address.lower(), "refuse")
        if fault is not None:
            answer = f"{fault.status or 550} 5.1.1 <{address}> is not known here"
            self._record("RCPT", address, answer, fault)
            return answer
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802  # as aiosmtpd has it
        self, server: SMTP, _: Session, envelope: Envelope
    ) -> str:
        began = time.monotonic()
        raw = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        fault = self._faults.take(
            envelope.rcpt_tos[0].lower(), "error", "slow", "timeout", "lose_answer", "duplicate", "malformed"
        )
        answer = await self._answer(envelope, raw, fault)
        recipients = ", ".join(envelope.rcpt_tos)
        self._record("DATA", recipients, answer, fault, raw, ms=round((time.monotonic() - began) * 1000, 1))
        if answer is None:
            # Nothing that is written after this arrives: the sender only sees the line go dead.
            _hang_up(server)
        return answer or "421 4.4.2 Gone"

    async def _answer(self, envelope: Envelope, raw: bytes, fault: Fault | None) -> str | None:
        """What the sender is told, or None: hang up."""
        mode = fault.mode if fault is not None else None
        if fault is not None and mode == "error":
            return f"{fault.status or 451} 4.3.0 Try again later"
        if fault is not None and mode in ("slow", "timeout"):
            await asyncio.sleep(fault.wait_seconds)
        if mode == "timeout":
            return None
        number = self._keep(envelope, raw)
        if mode == "duplicate":
            number = self._keep(envelope, raw)
        if mode == "malformed":
            return "%$ taken, or perhaps not"
        return None if mode == "lose_answer" else f"250 2.0.0 Taken as {number}"

    def _keep(self, envelope: Envelope, raw: bytes) -> int:
        raw_kept = {"base64": base64.b64encode(raw).decode()}
        number = self._state.append("raw", raw_kept)
        mail = read(raw) | {
            "number": number,
            "at": stamp(),
            "envelopeFrom": envelope.mail_from,
            "envelopeTo": list(envelope.rcpt_tos),
            "size": len(raw),
        }
        for address in envelope.rcpt_tos:
            self._state.put("mailbox", address.lower(), {})
            self._state.put(_box(address), str(number), mail)
        return number

    def _record(
        self,
        method: str,
        address: str,
        answer: str | None,
        fault: Fault | None,
        raw: bytes = b"",
        ms: float = 0.0,
    ) -> None:
        status = answer[:3] if answer is not None else ""
        self._state.record(
            {
                "at": stamp(),
                "method": method,
                "path": address,
                "query": "",
                "headers": {},
                "body": raw.decode("utf-8", "replace")[:BODY_KEPT],
                "status": int(status) if status.isdigit() else None,
                "fault": fault and fault.mode,
                "ms": ms,
            }
        )


class MailServer:
    """aiosmtpd on a listener of the house."""

    def __init__(self, _: Config, state: State) -> None:
        self._postman = Postman(state)
        self._server: asyncio.Server | None = None
        self._sessions: set[_Session] = set()

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._session, sock=listener)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for session in list(self._sessions):
            _hang_up(session)
        async with asyncio.timeout(5):
            while self._sessions:  # noqa: ASYNC110  # sessions end by themselves once their line is gone
                await asyncio.sleep(0.01)

    def _session(self) -> "_Session":
        return _Session(self._postman, self._sessions)


class _Session(SMTP):
    """One connection, counted among the open ones."""

    def __init__(self, postman: Postman, opened: "set[_Session]") -> None:
        self._opened = opened
        super().__init__(
            postman,
            hostname=HOST,
            ident="Zandbak",
            data_size_limit=LARGEST,
            enable_SMTPUTF8=True,
            loop=asyncio.get_running_loop(),
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._opened.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._opened.discard(self)
        super().connection_lost(error)


def _hang_up(session: SMTP) -> None:
    if isinstance(session.transport, asyncio.Transport):
        session.transport.abort()


def read(raw: bytes) -> dict[str, Any]:
    """A message as its reader sees it, and what is wrong with it (`complaints`)."""
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return {
        "from": str(message["From"] or ""),
        "to": str(message["To"] or ""),
        "subject": str(message["Subject"] or ""),
        "messageId": str(message["Message-ID"] or ""),
        "date": str(message["Date"] or ""),
        "headers": [[name, str(value)] for name, value in message.items()],
        "text": _content(message.get_body(("plain",))),
        "html": _content(message.get_body(("html",))),
        "attachments": [
            {
                "filename": part.get_filename(),
                "contentType": part.get_content_type(),
                "size": len(_bytes(part)),
            }
            for part in _attachments(message)
        ],
        "calendar": _appointment(message),
        "complaints": list(_complaints(message, raw)),
    }


def _content(part: Any) -> str | None:  # noqa: ANN401  # get_body's own type is open
    if part is None:
        return None
    try:
        text: str = part.get_content()
    except LookupError:
        return f"(onleesbaar: {part.get_content_charset()})"
    return text.replace("\r\n", "\n")


def _attachments(message: EmailMessage) -> list[EmailMessage]:
    return [part for part in message.iter_attachments() if part.get_content_disposition() == "attachment"]


def _appointment(message: EmailMessage) -> dict[str, Any] | None:
    """What a calendar program would do with the first calendar in the message."""
    for part in message.walk():
        if part.get_content_type() != "text/calendar":
            continue
        try:
            calendar = icalendar.Calendar.from_ical(_bytes(part))
        except ValueError as fault:
            return {"unreadable": str(fault)}
        for event in calendar.walk("VEVENT"):
            return {
                "method": str(calendar.get("METHOD", "")),
                "uid": str(event.get("UID", "")),
                "sequence": int(event.get("SEQUENCE", 0)),
                "status": str(event.get("STATUS", "")),
                "summary": str(event.get("SUMMARY", "")),
                "location": str(event.get("LOCATION", "")),
                "startsAt": _instant(event, "DTSTART"),
                "endsAt": _instant(event, "DTEND"),
            }
    return None


def _bytes(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _instant(event: Mapping[str, Any], name: str) -> str | None:
    value = event.get(name)
    return value.dt.isoformat() if value is not None else None


def _complaints(message: EmailMessage, raw: bytes) -> Iterator[str]:
    for name in ("From", "To", "Subject", "Date", "Message-ID"):
        if len(message.get_all(name, [])) != 1:
            yield f"{name}: {len(message.get_all(name, []))} times, not once"
    if b"\n" in raw.replace(b"\r\n", b""):
        yield "lines that end in LF alone"
    if any(len(line) > LONGEST_LINE for line in raw.split(b"\r\n")):
        yield f"a line of more than {LONGEST_LINE} octets"
    if message.get_body(("html",)) is not None and message.get_body(("plain",)) is None:
        yield "HTML without text"
    for part in message.walk():
        for defect in part.defects:
            yield f"{part.get_content_type()}: {type(defect).__name__}"


def mailbox(state: State, address: str) -> list[dict[str, Any]]:
    """What came in for one address, oldest first."""
    return state.all(_box(address))


def routes(_: Config, state: State) -> list[Route]:
    """The mailboxes over HTTP, for scripts and for the links of the desk."""

    async def mailboxes(_: Request) -> Response:
        return JSONResponse({address: state.count(_box(address)) for address, _ in state.items("mailbox")})

    async def one_mailbox(request: Request) -> Response:
        address = request.path_params["address"]
        if request.method == "DELETE":
            return JSONResponse({"deleted": state.delete(_box(address))})
        return JSONResponse(mailbox(state, address))

    async def raw(request: Request) -> Response:
        found = _raw(state, request)
        return Response(status_code=404) if found is None else Response(found, media_type="message/rfc822")

    async def attachment(request: Request) -> Response:
        found, place = _raw(state, request), request.path_params["place"]
        if found is None:
            return Response(status_code=404)
        message = message_from_bytes(found, policy=policy.default)
        assert isinstance(message, EmailMessage)
        parts = _attachments(message)
        if place >= len(parts):
            return Response(status_code=404)
        return Response(_bytes(parts[place]), media_type=parts[place].get_content_type())

    box = "/sim/mailbox/{address}"
    return [
        Route("/sim/mailboxes", mailboxes),
        Route(box, one_mailbox, methods=["GET", "DELETE"]),
        Route(f"{box}/{{number:int}}.eml", raw),
        Route(f"{box}/{{number:int}}/attachments/{{place:int}}", attachment),
    ]


def _raw(state: State, request: Request) -> bytes | None:
    number = str(request.path_params["number"])
    if state.get(_box(request.path_params["address"]), number) is None:
        return None
    kept = state.get("raw", number)
    return base64.b64decode(kept["base64"]) if kept is not None else None


def section(_: Config, state: State) -> Markup:
    found = [one for address, _ in state.items("mailbox") for one in mailbox(state, address)[-SHOWN:]]
    found.sort(key=lambda one: int(one["number"]), reverse=True)
    rows = [
        (moment(one["at"]), ", ".join(one["envelopeTo"]), fold(one["subject"], _letter(one)))
        for one in found[:SHOWN]
    ]
    return table(["Ontvangen", "Aan", "Bericht"], rows, empty="Nog geen post.")


def citizen(_: Config, state: State, person: Citizen) -> Markup:
    """What is in the person's mailbox."""
    if person.email is None:
        return Markup('<h3>Mailbox</h3><p class="empty">Geen e-mailadres gekend.</p>')
    found = mailbox(state, person.email)
    letters = join(
        Markup("<details><summary>{} <strong>{}</strong></summary>{}</details>").format(
            moment(one["at"]), one["subject"], _letter(one)
        )
        for one in reversed(found)
    )
    empty = Markup('<p class="empty">Geen post.</p>')
    return Markup("<h3>Mailbox {}</h3>{}").format(person.email, letters if found else empty)


def _letter(mail: Mapping[str, Any]) -> Markup:
    own = f"/systeem/smtp/sim/mailbox/{mail['envelopeTo'][0]}/{mail['number']}"
    head = Markup('<p><small>Van {} aan {}<br><a href="{}.eml">origineel</a></small></p>').format(
        mail["from"], mail["to"], own
    )
    if mail["html"] is not None:
        body = Markup(
            '<iframe sandbox="allow-popups allow-popups-to-escape-sandbox" srcdoc="{}" title="{}" '
            'style="width:100%;height:32rem;border:1px solid #d9dee3;background:#fff"></iframe>'
        ).format(_FRAME + mail["html"], mail["subject"])
    else:
        body = Markup("<p>{}</p>").format(lines(mail["text"] or ""))
    attached = join(
        Markup('<li><a href="{}/attachments/{}">{}</a> ({} kB)</li>').format(
            own, place, part["filename"], -(-part["size"] // 1024)
        )
        for place, part in enumerate(mail["attachments"])
    )
    return join(
        [
            head,
            body,
            Markup("<ul>{}</ul>").format(attached),
            _invitation(mail["calendar"]),
            join(Markup('<p class="bad">{}</p>').format(one) for one in mail["complaints"]),
        ]
    )


def _invitation(calendar: Mapping[str, Any] | None) -> Markup:
    if calendar is None:
        return Markup("")
    if "unreadable" in calendar:
        return Markup('<p class="bad">Onleesbare agenda: {}</p>').format(calendar["unreadable"])
    when = moment(calendar["startsAt"]) if calendar["startsAt"] else ""
    return Markup("<p>📅 {} <strong>{}</strong> {} {} (volgnummer {})</p>").format(
        calendar["method"], calendar["summary"], when, calendar["location"], calendar["sequence"]
    )


def _box(address: str) -> str:
    return f"mailbox:{address.lower()}"


SYSTEM = System(
    name="smtp",
    title="E-mail",
    offset=9,
    service=MailServer,
    section=section,
    citizen=citizen,
    routes=routes,
    scheme="smtp",
)
