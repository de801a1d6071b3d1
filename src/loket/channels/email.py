"""Letters by e-mail: one citizen, one case, text and HTML, attachments, an appointment for the calendar."""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as CRLF
from email.utils import format_datetime, parseaddr
from uuid import UUID

import aiosmtplib
from icalendar import Calendar, Event

from loket.errors import Declined, Failed, Unavailable
from loket.settings import Smtp as Settings

SYSTEM = "email"
TIMEOUT_SECONDS = 30.0

KEPT_CONNECTIONS = 4
"""How many idle connections are kept for the next letter."""

KEPT_SECONDS = 60.0
"""How long an idle connection is kept; servers hang up after some minutes (RFC 5321 4.5.3.2: five)."""


@dataclass(frozen=True)
class CalendarEvent:
    """An appointment. The same `uid` with a higher `sequence` moves it; `cancelled` takes it out."""

    uid: str
    sequence: int
    starts_at: datetime
    ends_at: datetime
    summary: str
    location: str
    description: str
    cancelled: bool = False


@dataclass(frozen=True)
class Mail:
    """One letter to one person. `attachments` are (filename, media type, content).

    `in_reply_to_case` is the case's reference: letters of one case form one conversation.
    """

    id: UUID
    to: str
    subject: str
    text: str
    html: str
    language: str
    attachments: tuple[tuple[str, str, bytes], ...] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG pictures that the HTML shows, by content id."""
    calendar: CalendarEvent | None = None
    in_reply_to_case: str = ""


@dataclass(frozen=True)
class EmailReceipt:
    """The mail server took the letter. `answer` is what it said, mostly its queue number."""

    message_id: str
    answer: str


class Email:
    """Receivers recognise no repeat (`none`); the Message-ID stays the same, so that clients may merge."""

    def __init__(self, settings: Settings, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []

    async def send(self, mail: Mail) -> EmailReceipt:
        """Hand `mail` to the mail server. What bounces later comes back to `bounces+<id>@<bounce domain>`.

        Raises:
            Unavailable: the server cannot be reached, breaks off, or says 'not now' (4xx).
            Declined: the server refuses the address, the sender or the letter for good (5xx).
        """
        recipient = _recipient(mail.to)
        message = compose(mail, self._settings)
        smtp = await self._connection()
        try:
            with _named_failures():
                _, answer = await smtp.sendmail(
                    f"bounces+{mail.id}@{self._settings.bounce_domain}", [recipient], message.as_bytes()
                )
        except BaseException:
            smtp.close()
            raise
        self._idle.append((smtp, time.monotonic()))
        for surplus, _ in self._idle[:-KEPT_CONNECTIONS]:
            surplus.close()
        del self._idle[:-KEPT_CONNECTIONS]
        return EmailReceipt(message_id=str(message["Message-ID"]), answer=answer)

    async def aclose(self) -> None:
        while self._idle:
            smtp, _ = self._idle.pop()
            with suppress(aiosmtplib.SMTPException, OSError):
                await smtp.quit()
            smtp.close()

    async def _connection(self) -> aiosmtplib.SMTP:
        """An idle connection that still answers, or a new one."""
        while self._idle:
            smtp, since = self._idle.pop()
            if time.monotonic() - since < KEPT_SECONDS and smtp.is_connected:
                with suppress(aiosmtplib.SMTPException, OSError):
                    await smtp.noop()
                    return smtp
            smtp.close()
        smtp = aiosmtplib.SMTP(
            hostname=self._settings.host,
            port=self._settings.port,
            username=self._settings.username or None,
            password=self._settings.password or None,
            start_tls=self._settings.start_tls,
            local_hostname=self._settings.bounce_domain,
            timeout=self._timeout_seconds,
        )
        try:
            with _named_failures():
                await smtp.connect()
        except BaseException:
            smtp.close()
            raise
        return smtp


def compose(mail: Mail, settings: Settings) -> EmailMessage:
    """The letter as it goes over the wire: 7-bit, CRLF, nothing of `mail` able to add a header."""
    message = EmailMessage(policy=CRLF.clone(cte_type="7bit"))
    name, sender = parseaddr(settings.sender)
    message["From"] = Address(_one_line(name), addr_spec=sender)
    message["To"] = Address(addr_spec=_recipient(mail.to))
    message.set_raw("Subject", _folded(_one_line(mail.subject)))
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = (
        f"<{hashlib.sha256(str(mail.id).encode()).hexdigest()[:32]}@{settings.bounce_domain}>"
    )
    message["Auto-Submitted"] = "auto-generated"
    if mail.in_reply_to_case:
        # No letter has this id: it is only the common ancestor by which clients find a conversation.
        thread = f"<case.{re.sub('[^A-Za-z0-9-]', '-', mail.in_reply_to_case)}@{settings.bounce_domain}>"
        message["In-Reply-To"] = thread
        message["References"] = thread
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    if mail.pictures:
        _show_pictures(message, mail.pictures)
    if mail.calendar is not None:
        _add_calendar(message, mail.calendar, organiser=sender, attendee=_recipient(mail.to))
    for filename, media_type, content in mail.attachments:
        maintype, _, subtype = media_type.partition("/")
        message.add_attachment(
            content, maintype=maintype, subtype=subtype or "octet-stream", filename=_filename(filename)
        )
    # Last: the parts above take Content-* headers that already stand here along with them.
    message["Content-Language"] = _one_line(mail.language)
    return message


def _show_pictures(message: EmailMessage, pictures: Mapping[str, bytes]) -> None:
    """Put PNG pictures beside the HTML part, where its `cid:` references find them (RFC 2392)."""
    shown = message.get_body(("html",))
    assert isinstance(shown, EmailMessage)
    for content_id, content in pictures.items():
        shown.add_related(
            content, maintype="image", subtype="png", cid=f"<{content_id}>", disposition="inline"
        )


def calendar_file(event: CalendarEvent, *, organiser: str, attendee: str) -> bytes:
    """The appointment as iCalendar (RFC 5545, iTIP REQUEST or CANCEL), in UTC: no time zone to ship."""
    entry = Event.new(
        uid=event.uid,
        sequence=event.sequence,
        stamp=datetime.now(UTC),
        start=event.starts_at.astimezone(UTC),
        end=event.ends_at.astimezone(UTC),
        summary=event.summary,
        location=event.location,
        description=event.description,
        organizer=f"mailto:{organiser}",
    )
    entry.add("attendee", f"mailto:{attendee}")
    entry.add("status", "CANCELLED" if event.cancelled else "CONFIRMED")
    calendar = Calendar.new(prodid="-//Loket//Loket//NL", method="CANCEL" if event.cancelled else "REQUEST")
    calendar.add_component(entry)
    return bytes(calendar.to_ical())


def _add_calendar(message: EmailMessage, event: CalendarEvent, *, organiser: str, attendee: str) -> None:
    """Twice: as an alternative (Outlook, Gmail show buttons) and as a file (everybody else opens it)."""
    file = calendar_file(event, organiser=organiser, attendee=attendee)
    message.add_alternative(
        file.decode(),
        subtype="calendar",
        cte="base64",
        params={"method": "CANCEL" if event.cancelled else "REQUEST"},
    )
    message.add_attachment(file, maintype="application", subtype="ics", filename="afspraak.ics")


def _recipient(address: str) -> str:
    """One bare address, its domain in ASCII.

    Raises:
        Declined: it is not an address, or not one that every mail server takes.
    """
    local, at, domain = address.strip().rpartition("@")
    try:
        bare = f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError as wrong:
        raise Declined(SYSTEM, "the address has an impossible domain") from wrong
    if not _ADDRESS.fullmatch(bare):
        raise Declined(SYSTEM, "not an e-mail address that can be written to")
    return bare


_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253})")
"""As HTML's `input type=email` has it: no quoted local parts, no comments, no non-ASCII local parts."""


def _folded(subject: str) -> str:
    """The subject as its header stands on the wire: plain where it fits on one line, else in encoded words.

    Where Python's own folding breaks a line between words, readers that keep the line's white space show
    one space too many, and next to an encoded word every reader does. White space between two encoded
    words is never shown (RFC 2047, 6.2), so a subject is encoded whole.
    """
    plain = subject.isascii() and len(subject) <= _FITS and "=?" not in subject
    charset = "us-ascii" if plain else "utf-8"
    return Header(subject, charset, maxlinelen=_LINE, header_name="Subject").encode(linesep="\r\n")


_LINE = 76
"""Characters of a line with an encoded word (RFC 2047, 2)."""
_FITS = _LINE - len("Subject: ")


def _one_line(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())


def _filename(name: str) -> str:
    return _one_line(name).replace("/", "-").replace("\\", "-") or "bijlage"


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@contextmanager
def _named_failures() -> Iterator[None]:
    """Turns what the mail server said, or that it said nothing, into a failure with a name."""
    try:
        yield
    except aiosmtplib.SMTPRecipientsRefused as refused:
        raise _failure(refused.recipients[0].code, refused.recipients[0].message) from refused
    except aiosmtplib.SMTPConnectResponseError as refused:
        # A 5xx greeting judges the connection, not the letter: another moment may be better.
        raise Unavailable(SYSTEM, f"{refused.code} {refused.message}") from refused
    except aiosmtplib.SMTPResponseException as refused:
        raise _failure(refused.code, refused.message) from refused
    except (aiosmtplib.SMTPException, OSError) as broken:
        raise Unavailable(SYSTEM, f"{type(broken).__name__}: {broken}") from broken


def _failure(code: int, message: str) -> Failed:
    kind = Declined if 500 <= code < 600 else Unavailable
    return kind(SYSTEM, f"{code} {message}")
