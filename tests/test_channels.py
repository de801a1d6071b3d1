"""E-mail and SMS, as a mail server, a mail client and Twilio see us."""

import asyncio
import email
import email.policy
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage
from urllib.parse import parse_qs
from uuid import UUID

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # no py.typed

from loket import settings
from loket.channels.email import CalendarEvent, Email, Mail, compose
from loket.channels.sms import ERROR_CODES, Sms, SmsStatus, e164
from loket.errors import BadNotice, BadSignature, Declined, Unavailable
from raw_server import HANG, HANG_UP, Answer, RawServer, raw_server

ID = UUID("01943b0a-7c1e-7d2a-9c56-3a1f0b7e4d10")


# ── e-mail ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Mailbox:
    """A mail server. `says` maps a command to the answers that it gives in turn; else it takes everything."""

    port: int = 0
    says: dict[str, list[str]] = field(default_factory=dict)
    wait_seconds: float = 0.0
    connections: int = 0
    senders: list[str | None] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)
    open: list[asyncio.BaseTransport] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self._next("RCPT")
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        await asyncio.sleep(self.wait_seconds)
        answer = self._next("DATA")
        if answer == "hang up":
            assert server.transport is not None
            server.transport.close()
            return "250 never heard"
        if answer is None:
            assert isinstance(envelope.original_content, bytes)
            self.senders.append(envelope.mail_from)
            self.recipients.append(list(envelope.rcpt_tos))
            self.letters.append(envelope.original_content)
        return answer or "250 2.0.0 queued as 1"

    def _next(self, command: str) -> str | None:
        answers = self.says.get(command)
        return answers.pop(0) if answers else None

    def letter(self, number: int = -1) -> EmailMessage:
        parsed = email.message_from_bytes(self.letters[number], policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def hang_up(self) -> None:
        for transport in self.open:
            transport.close()


@asynccontextmanager
async def mailbox(**says: list[str]) -> AsyncIterator[Mailbox]:
    box = Mailbox(says=says)

    class Line(SMTP):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            box.connections += 1
            box.open.append(transport)
            super().connection_made(transport)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Line(box, loop=loop), "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        box.hang_up()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


def post(port: int, timeout_seconds: float = 2.0) -> Email:
    section = settings.Smtp(
        host="127.0.0.1",
        port=port,
        sender="Gemeente Lindebeke – Zoë's loket <noreply@lindebeke.example>",
        bounce_domain="lindebeke.example",
    )
    return Email(section, timeout_seconds=timeout_seconds)


LETTER = Mail(
    id=ID,
    to="an@example.be",
    subject="Uw compostvat is besteld 🌱",
    text="Beste Zoë,\n\n.Een punt vooraan, een ë, een € en een 🌱.\n",
    html="<p>Beste <b>Zoë</b>, een € en een 🌱.</p>\n",
    language="nl",
    in_reply_to_case="LB-2026-0004711-K",
)

APPOINTMENT = CalendarEvent(
    uid="delivery-1@lindebeke.example",
    sequence=2,
    starts_at=datetime(2026, 12, 3, 9, tzinfo=timezone(timedelta(hours=1))),
    ends_at=datetime(2026, 12, 3, 12, tzinfo=timezone(timedelta(hours=1))),
    summary="Levering compostvat 🌱",
    location="Kerkstraat 12, 2999 Lindebeke",
    description="Regel één\nRegel twee; met, komma's",
)


async def test_a_letter_arrives_with_every_character_intact() -> None:
    async with mailbox() as box:
        channel = post(box.port)
        receipt = await channel.send(LETTER)
        await channel.aclose()
    letter = box.letter()
    assert receipt.answer == "2.0.0 queued as 1"
    assert receipt.message_id == letter["Message-ID"]
    assert box.recipients == [["an@example.be"]]
    assert box.senders == [f"bounces+{ID}@lindebeke.example"]
    assert letter["Subject"] == LETTER.subject
    assert letter["From"].addresses[0].display_name == "Gemeente Lindebeke – Zoë's loket"
    assert letter["From"].addresses[0].addr_spec == "noreply@lindebeke.example"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Content-Language"] == "nl"
    assert letter.get_content_type() == "multipart/alternative"
    parts = {part.get_content_type(): part.get_content().splitlines() for part in letter.iter_parts()}
    assert parts == {"text/plain": LETTER.text.splitlines(), "text/html": LETTER.html.splitlines()}


async def test_what_goes_over_the_wire_is_seven_bit_with_whole_line_ends() -> None:
    async with mailbox() as box:
        channel = post(box.port)
        await channel.send(replace(LETTER, subject="é" * 300, text="woord " * 500, calendar=APPOINTMENT))
        await channel.aclose()
    raw = box.letters[0]
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


async def test_the_same_letter_sent_twice_has_one_message_id_and_another_letter_another() -> None:
    async with mailbox(DATA=["hang up"]) as box:
        channel = post(box.port)
        with pytest.raises(Unavailable):
            await channel.send(LETTER)
        await channel.send(LETTER)
        await channel.send(LETTER)
        await channel.send(replace(LETTER, id=UUID(int=1)))
        await channel.aclose()
    first, again, other = (box.letter(number) for number in range(3))
    assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]
    assert first["References"] == other["References"] == first["In-Reply-To"]
    assert "LB-2026-0004711-K" in first["References"]


@pytest.mark.parametrize(
    ("command", "answer", "kind"),
    [
        ("RCPT", "550 5.1.1 no such user", Declined),
        ("RCPT", "552 5.2.2 mailbox full", Declined),
        ("RCPT", "451 4.7.1 greylisted, come back", Unavailable),
        ("RCPT", "421 4.3.2 closing", Unavailable),
        ("DATA", "554 5.6.0 refused", Declined),
        ("DATA", "452 4.3.1 disk full", Unavailable),
        ("DATA", "hang up", Unavailable),
    ],
)
async def test_no_for_good_and_not_now_are_told_apart(
    command: str, answer: str, kind: type[Exception]
) -> None:
    async with mailbox(**{command: [answer]}) as box:
        channel = post(box.port)
        with pytest.raises(kind, match=answer if answer[0] in "45" else "Disconnected"):
            await channel.send(LETTER)
        assert box.letters == []
        await channel.send(LETTER)
        await channel.aclose()
    assert len(box.letters) == 1


async def test_a_server_that_is_slow_or_not_there_is_unavailable() -> None:
    async with mailbox() as box:
        box.wait_seconds = 2
        channel = post(box.port, timeout_seconds=0.3)
        with pytest.raises(Unavailable):
            await channel.send(LETTER)
        await channel.aclose()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        channel = post(nobody.getsockname()[1])
        with pytest.raises(Unavailable):
            await channel.send(LETTER)


async def test_one_connection_carries_many_letters_and_a_stale_one_is_replaced() -> None:
    async with mailbox() as box:
        channel = post(box.port)
        for _ in range(3):
            await channel.send(LETTER)
        assert box.connections == 1
        box.hang_up()
        await asyncio.sleep(0.05)
        await channel.send(LETTER)
        assert box.connections == 2
        await asyncio.gather(*(channel.send(LETTER) for _ in range(8)))
        await channel.aclose()
    assert len(box.letters) == 12


@pytest.mark.parametrize(
    "to",
    [
        "",
        "an",
        "an@",
        "@example.be",
        "an@example.be\r\nBcc: all@example.be",
        "an@example.be, bert@example.be",
        "An <an@example.be>",
        "an@exa mple.be",
        "an b@example.be",
        'an"@example.be',
        "zoë@example.be",
        "an@ex..ample.be",
        "an@example.be>",
    ],
)
async def test_what_is_not_one_plain_address_is_never_written_to(to: str) -> None:
    async with mailbox() as box:
        channel = post(box.port)
        with pytest.raises(Declined):
            await channel.send(replace(LETTER, to=to))
        await channel.aclose()
        assert box.connections == 0


async def test_a_domain_with_umlauts_is_written_in_ascii() -> None:
    async with mailbox() as box:
        channel = post(box.port)
        await channel.send(replace(LETTER, to="an@münchen.example"))
        await channel.aclose()
    assert box.recipients == [["an@xn--mnchen-3ya.example"]]


MAILBOX = settings.Smtp(host="x", sender="G <g@lindebeke.example>")
HEADERS = {
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Language", "In-Reply-To"),
    *("References", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
}


@pytest.mark.parametrize(
    "subject",
    [
        "Wij hebben uw aanvraag CB-2026-ZZJYBJ-3 goed ontvangen",
        "Uw levering is gepland: compostbak, compostvat en beluchtingsstok (CB-2026-ZZJYBJ-3) in Lindebeke",
        "Uw aanvraag compostbak of compostvat (CMP-2026-000001-12) werd goedgekeürd door ons",
        "Één compostbak of compostvat aan een verminderd tarief: uw aanvraag is goedgekeurd, ëïü en meer nog",
        "Compostvat" * 12,
        "=?utf-8?q?gekaapt?=",
    ],
)
def test_a_subject_is_read_as_it_was_written_however_its_reader_unfolds(subject: str) -> None:
    raw = compose(replace(LETTER, subject=subject), MAILBOX).as_bytes()
    assert email.message_from_bytes(raw, policy=email.policy.default)["Subject"] == subject
    header = raw.split(b"\r\nSubject: ")[1].split(b"\r\nDate: ")[0]
    assert all(len(line) <= 76 for line in header.split(b"\r\n"))
    for glue in (b"", b" ", b"\t", b"\r\n "):  # what readers leave of a fold
        line = header.replace(b"\r\n ", glue).decode("ascii")
        assert str(make_header(decode_header(line))) == subject


@given(subject=st.text(max_size=300))
def test_any_subject_is_read_as_it_was_written(subject: str) -> None:
    raw = compose(replace(LETTER, subject=subject), MAILBOX).as_bytes()
    written = " ".join(re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", subject).split())
    header = raw.split(b"\r\nSubject: ")[1].split(b"\r\nDate: ")[0].decode("ascii")
    assert str(make_header(decode_header(header))) == written


@given(st.text(), st.text(), st.text(), st.text(max_size=60))
def test_no_text_can_add_a_header(subject: str, language: str, case: str, filename: str) -> None:
    evil = "\r\nBcc: all@example.be\r\n\r\n"
    mail = replace(
        LETTER,
        subject=subject + evil + subject,
        language=language + evil,
        in_reply_to_case=case + evil,
        attachments=((filename + evil + ".pdf", "application/pdf", b"%PDF"),),
    )
    raw = compose(mail, MAILBOX).as_bytes()
    parsed = email.message_from_bytes(raw)
    assert set(parsed.keys()) <= HEADERS
    assert len(parsed.keys()) == len(set(parsed.keys()))
    assert [part.get_content_type() for part in parsed.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/pdf",
    ]


async def test_an_appointment_comes_as_buttons_and_as_a_file_beside_the_invoice() -> None:
    invoice = ("factuur 2026-000123 – Zoë.pdf", "application/pdf", bytes(range(256)))
    async with mailbox() as box:
        channel = post(box.port)
        await channel.send(replace(LETTER, attachments=(invoice,), calendar=APPOINTMENT))
        await channel.aclose()
    letter = box.letter()
    assert [part.get_content_type() for part in letter.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/calendar",
        "application/ics",
        "application/pdf",
    ]
    *_, buttons, file, pdf = letter.walk()
    assert buttons["Content-Type"].params["method"] == "REQUEST"
    assert (pdf.get_filename(), pdf.get_payload(decode=True)) == (invoice[0], invoice[2])
    assert file.get_filename() == "afspraak.ics"
    assert buttons.get_payload(decode=True) == file.get_payload(decode=True)
    content = file.get_payload(decode=True)
    assert isinstance(content, bytes)
    calendar = Calendar.from_ical(content)
    entry = calendar.events[0]
    assert calendar["METHOD"] == "REQUEST"
    assert (entry["UID"], entry["SEQUENCE"], entry["STATUS"]) == (APPOINTMENT.uid, 2, "CONFIRMED")
    assert b"DTSTART:20261203T080000Z" in content
    assert b"DTEND:20261203T110000Z" in content
    assert entry["SUMMARY"] == APPOINTMENT.summary
    assert entry["DESCRIPTION"] == APPOINTMENT.description
    assert entry["ATTENDEE"] == "mailto:an@example.be"
    assert re.search(rb"DTSTAMP:\d{8}T\d{6}Z", content)


async def test_a_cancelled_appointment_says_so_three_times() -> None:
    async with mailbox() as box:
        channel = post(box.port)
        await channel.send(replace(LETTER, calendar=replace(APPOINTMENT, sequence=3, cancelled=True)))
        await channel.aclose()
    buttons = next(part for part in box.letter().walk() if part.get_content_type() == "text/calendar")
    content = buttons.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert buttons["Content-Type"].params["method"] == "CANCEL"
    assert b"METHOD:CANCEL" in content
    assert b"STATUS:CANCELLED" in content


# ── SMS ───────────────────────────────────────────────────────────────────────────────────────────────

ACCOUNT = "AC" + "0" * 32
PUBLIC = "https://loket.lindebeke.example"
TAKEN = {"sid": "SM" + "1" * 32, "status": "queued", "date_created": "Sat, 21 Nov 2026 10:00:00 +0000"}


def phones(url: str, sender: str = "Lindebeke") -> Sms:
    section = settings.Sms(url=url, account_sid=ACCOUNT, auth_token="token", sender=sender)
    return Sms(section, public_url=PUBLIC, timeout_seconds=0.5)


async def test_a_message_is_sent_as_twilio_documents_it() -> None:
    async with raw_server(Answer(201, TAKEN)) as raw:
        channel = phones(raw.url)
        sent = await channel.send(id=ID, to="+32470123456", body="Uw compostvat komt morgen 🌱 & meer=1")
        await channel.aclose()
    asked = raw.asked[0]
    assert (sent.sid, sent.status) == (TAKEN["sid"], "queued")
    assert (asked.method, asked.target) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    assert asked.headers["authorization"].startswith("Basic ")
    assert parse_qs(asked.body.decode()) == {
        "To": ["+32470123456"],
        "From": ["Lindebeke"],
        "Body": ["Uw compostvat komt morgen 🌱 & meer=1"],
        "StatusCallback": [f"{PUBLIC}/hooks/sms/twilio?message={ID}"],
    }


async def test_a_messaging_service_may_take_the_place_of_the_sender() -> None:
    async with raw_server(Answer(201, TAKEN)) as raw:
        channel = phones(raw.url, sender="MG" + "2" * 32)
        await channel.send(id=ID, to="+32470123456", body="x")
        await channel.aclose()
    form = parse_qs(raw.asked[0].body.decode())
    assert form["MessagingServiceSid"] == ["MG" + "2" * 32]
    assert "From" not in form


async def refused(raw: RawServer) -> Exception:
    channel = phones(raw.url)
    with pytest.raises((Declined, Unavailable)) as failed:
        await channel.send(id=ID, to="+32470123456", body="x")
    await channel.aclose()
    return failed.value


@pytest.mark.parametrize(("status", "code"), [(400, code) for code in ERROR_CODES if code < 30000])
async def test_each_refusal_of_twilio_is_final_or_not_as_the_table_says(status: int, code: int) -> None:
    answer = {"code": code, "message": "No.", "more_info": "x", "status": status}
    async with raw_server(Answer(status, answer)) as raw:
        kind = Declined if ERROR_CODES[code].permanent else Unavailable
        assert type(await refused(raw)) is kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (HANG, Unavailable),
        (HANG_UP, Unavailable),
        (Answer(500, body=b"<html>"), Unavailable),
        (Answer(503, {"code": 20503, "message": "x"}), Unavailable),
        (Answer(429, {"code": 1, "message": "x"}), Unavailable),
        (Answer(400, {"code": 99999, "message": "unheard of"}), Declined),
        (Answer(401, {"code": 20003, "message": "x"}), Declined),
        (Answer(404, body=b"<html>"), Declined),
        (Answer(201, body=b'{"sid": "SM'), Unavailable),
        (Answer(201, body=b"[]"), Unavailable),
        (Answer(201, {}), Unavailable),
        (Answer(400, {"type": "x", "title": "t", "status": 400, "code": 21211}), Declined),
    ],
)
async def test_silence_may_be_repeated_and_a_no_may_not(answer: Answer, kind: type[Exception]) -> None:
    async with raw_server(answer) as raw:
        assert type(await refused(raw)) is kind


HOOK = f"{PUBLIC}/hooks/sms/twilio?message={ID}"
FORM = {
    "MessageSid": "SM1",
    "MessageStatus": "delivered",
    "To": "+32470123456",
    "From": "Lindebeke",
    "Body": "ë🌱",
}


def signature(url: str = HOOK, form: dict[str, str] | None = None, key: str = "token") -> dict[str, str]:
    return {"x-twilio-signature": RequestValidator(key).compute_signature(url, form or FORM)}


def test_a_delivery_is_read() -> None:
    receipt = phones("http://x").read_receipt(HOOK, signature(), FORM)
    assert (receipt.id, receipt.sid, receipt.status) == (ID, "SM1", SmsStatus.DELIVERED)
    assert (receipt.error_code, receipt.permanent, receipt.reason) == (None, False, "")


@pytest.mark.parametrize(
    ("code", "permanent"), [("30003", False), ("30005", True), ("30008", False), ("30999", True), ("", True)]
)
def test_a_message_that_did_not_arrive_says_whether_trying_again_helps(code: str, permanent: bool) -> None:
    form = FORM | {"MessageStatus": "undelivered", "ErrorCode": code}
    receipt = phones("http://x").read_receipt(HOOK, signature(form=form), form)
    assert (receipt.status, receipt.permanent) == (SmsStatus.FAILED, permanent)


@pytest.mark.parametrize("status", ["queued", "sent", "something-new"])
def test_a_message_on_its_way_is_neither_delivered_nor_failed(status: str) -> None:
    form = FORM | {"MessageStatus": status}
    assert phones("http://x").read_receipt(HOOK, signature(form=form), form).status is SmsStatus.UNDERWAY


@pytest.mark.parametrize(
    ("url", "headers", "form"),
    [
        (HOOK, {}, FORM),
        (HOOK, signature(key="guess"), FORM),
        (HOOK, signature(), FORM | {"MessageStatus": "failed"}),
        (HOOK.replace(str(ID), str(UUID(int=1))), signature(), FORM),
        (HOOK.replace("https", "http"), signature(), FORM),
        (HOOK, {"X-Twilio-Signature": "é"}, FORM),
        (HOOK, signature() | {"X-Twilio-Webhooks-Signature-Settings": "algorithm=NONE"}, FORM),
    ],
)
def test_a_receipt_that_is_not_provably_twilios_is_not_heard(
    url: str, headers: dict[str, str], form: dict[str, str]
) -> None:
    with pytest.raises(BadSignature):
        phones("http://x").read_receipt(url, headers, form)


@pytest.mark.parametrize(
    ("url", "form"),
    [
        (f"{PUBLIC}/hooks/sms/twilio", FORM),
        (f"{PUBLIC}/hooks/sms/twilio?message=7", FORM),
        (HOOK, {"MessageSid": "SM1"}),
        (HOOK, FORM | {"ErrorCode": "many"}),
    ],
)
def test_a_signed_callback_that_is_no_receipt_is_named_so(url: str, form: dict[str, str]) -> None:
    with pytest.raises(BadNotice) as failed:
        phones("http://x").read_receipt(url, signature(url, form), form)
    assert not isinstance(failed.value, BadSignature)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0470 12 34 56", "+32470123456"),
        ("0470/12.34.56", "+32470123456"),
        ("+32 (0)470 12 34 56", "+32470123456"),
        ("0032470123456", "+32470123456"),
        ("014 00 00 00", "+3214000000"),
        ("099 99 99 99", None),
        ("+31 6 12345678", "+31612345678"),
        ("112", None),
        ("", None),
        ("an", None),
        ("+32470123456789", None),
        ("0470 12 34", None),
    ],
)
def test_a_number_as_people_write_it_becomes_e164(text: str, number: str | None) -> None:
    if number is None:
        with pytest.raises(ValueError, match=r"number|string"):
            e164(text)
    else:
        assert e164(text) == number


def test_a_number_is_read_in_the_region_that_is_given() -> None:
    assert e164("06 12345678", "NL") == "+31612345678"
