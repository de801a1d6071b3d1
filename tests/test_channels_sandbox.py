"""The channels against the sandbox: another implementation of the same documents."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest
from uuid_utils.compat import uuid7

from loket import settings
from loket.channels.email import CalendarEvent, Email, Mail
from loket.channels.sms import Sms, SmsReceipt, SmsStatus
from loket.errors import Declined, Unavailable
from loket.sandbox import sms as sms_simulator
from loket.sandbox import smtp as smtp_simulator
from loket.sandbox.faults import Fault, Faults
from loket.sandbox.house import House, sandbox
from raw_server import Answer, RawServer, raw_server

ACCOUNT = "AC" + "0" * 32


@dataclass
class Phones:
    """Twilio's simulator, our channel on it, and a door where its receipts come in."""

    house: House
    door: RawServer
    channel: Sms
    citizen: httpx2.AsyncClient

    @property
    def url(self) -> str:
        return self.house.config.urls["sms"]

    async def receipts(self, count: int) -> list[SmsReceipt]:
        async with asyncio.timeout(10):
            while len(self.door.asked) < count:
                self.door.another.clear()
                await self.door.another.wait()
        return [
            self.channel.read_receipt(
                self.door.url + one.target, one.headers, dict(parse_qsl(one.body.decode()))
            )
            for one in self.door.asked
        ]


@asynccontextmanager
async def the_phones() -> AsyncIterator[Phones]:
    section = {"account_sid": ACCOUNT, "auth_token": "token"}
    async with (
        raw_server(Answer(204)) as door,
        sandbox({"port": 0, "sms": section}, (sms_simulator.SYSTEM,)) as house,
        httpx2.AsyncClient(trust_env=False) as citizen,
    ):
        channel = Sms(
            settings.Sms(url=house.config.urls["sms"], **section), public_url=door.url, timeout_seconds=1
        )
        await citizen.put(f"{house.config.urls['sms']}/sim/settings", json={"stepSeconds": 0.01})
        yield Phones(house, door, channel, citizen)
        await channel.aclose()


@pytest.fixture
async def phones() -> AsyncIterator[Phones]:
    async with the_phones() as found:
        yield found


async def test_a_message_reaches_the_phone_and_its_receipts_reach_us(phones: Phones) -> None:
    id = uuid7()
    body = "Uw compostvat komt morgen 🌱, € 60"
    sent = await phones.channel.send(id=id, to="+32470123456", body=body)
    receipts = await phones.receipts(3)
    assert {receipt.raw_status for receipt in receipts} == {"queued", "sent", "delivered"}
    assert {receipt.id for receipt in receipts} == {id}
    assert {receipt.sid for receipt in receipts} == {sent.sid}
    assert [receipt.status for receipt in receipts].count(SmsStatus.DELIVERED) == 1
    shown = (await phones.citizen.get(f"{phones.url}/sim/phone/+32470123456")).json()
    assert [one["body"] for one in shown] == [body]


@pytest.mark.parametrize(("number", "permanent"), [("+32470130003", False), ("+32470130006", True)])
async def test_a_message_that_does_not_arrive_says_why(phones: Phones, number: str, permanent: bool) -> None:
    await phones.channel.send(id=uuid7(), to=number, body="x")
    count = 3 if number.endswith("30003") else 2
    (last,) = [one for one in await phones.receipts(count) if one.status is SmsStatus.FAILED]
    assert (last.error_code, last.permanent) == (int(number[-5:]), permanent)
    assert last.reason


async def test_a_citizen_who_said_stop_and_a_number_that_is_none_are_declined(phones: Phones) -> None:
    await phones.citizen.post(f"{phones.url}/sim/phone/+32470123456/stop")
    with pytest.raises(Declined, match="STOP"):
        await phones.channel.send(id=uuid7(), to="+32470123456", body="x")
    with pytest.raises(Declined, match="not a phone number"):
        await phones.channel.send(id=uuid7(), to="+3247", body="x")
    with pytest.raises(Declined, match="too long"):
        await phones.channel.send(id=uuid7(), to="+32470123457", body="x" * 1601)


@pytest.mark.parametrize("mode", ["lose_answer", "malformed", "error"])
async def test_an_answer_that_does_not_come_may_be_asked_again(phones: Phones, mode: str) -> None:
    await phones.citizen.post(f"{phones.url}/sim/faults", json={"mode": mode, "count": 1})
    with pytest.raises(Unavailable):
        await phones.channel.send(id=uuid7(), to="+32470123456", body="x")
    assert (await phones.channel.send(id=uuid7(), to="+32470123456", body="x")).sid


@dataclass
class Post:
    """The mail server of everybody, and our channel on it."""

    house: House
    channel: Email

    def mailbox(self, address: str) -> list[dict[str, Any]]:
        return smtp_simulator.mailbox(self.house.states["smtp"], address)

    def break_down(self, fault: Fault) -> None:
        Faults(self.house.states["smtp"]).add(fault)


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with sandbox({"port": 0}, (smtp_simulator.SYSTEM,)) as house:
        port = int(house.config.urls["smtp"].rpartition(":")[2])
        channel = Email(settings.Smtp(host="127.0.0.1", port=port), timeout_seconds=1)
        yield Post(house, channel)
        await channel.aclose()


LETTER = Mail(
    id=uuid7(),
    to="an@example.be",
    subject="Uw compostvat komt op 3 december 🌱",
    text="Beste Zoë,\n\nuw compostvat van € 60 komt.\n",
    html="<p>Beste Zoë, uw compostvat van € 60 komt.</p>",
    language="nl",
    attachments=(("factuur 2026-000123.pdf", "application/pdf", b"%PDF-1.7 \xff\n."),),
    calendar=CalendarEvent(
        uid="delivery-1@lindebeke.example",
        sequence=1,
        starts_at=datetime(2026, 12, 3, 8, tzinfo=UTC),
        ends_at=datetime(2026, 12, 3, 10, tzinfo=UTC),
        summary="Levering compostvat",
        location="Kerkstraat 12, 2999 Lindebeke",
        description="Zorg dat er iemand thuis is.",
    ),
    in_reply_to_case="LB-2026-0004711-K",
)


async def test_a_letter_is_read_as_it_was_meant_and_nothing_is_wrong_with_it(post: Post) -> None:
    receipt = await post.channel.send(LETTER)
    (mail,) = post.mailbox("an@example.be")
    assert mail["complaints"] == []
    assert (mail["subject"], mail["messageId"]) == (LETTER.subject, receipt.message_id)
    assert mail["text"].splitlines() == LETTER.text.splitlines()
    assert mail["html"].strip() == LETTER.html
    assert mail["envelopeFrom"] == f"bounces+{LETTER.id}@lindebeke.example"
    assert [one["filename"] for one in mail["attachments"]] == ["afspraak.ics", "factuur 2026-000123.pdf"]
    assert mail["calendar"]["method"] == "REQUEST"
    assert mail["calendar"]["startsAt"] == "2026-12-03T08:00:00+00:00"


async def test_an_appointment_that_is_cancelled_keeps_its_uid(post: Post) -> None:
    assert LETTER.calendar is not None
    gone = replace(LETTER.calendar, sequence=2, cancelled=True)
    await post.channel.send(LETTER)
    await post.channel.send(replace(LETTER, id=uuid7(), calendar=gone))
    first, last = (mail["calendar"] for mail in post.mailbox("an@example.be"))
    assert first["uid"] == last["uid"]
    assert (last["method"], last["status"], last["sequence"]) == ("CANCEL", "CANCELLED", 2)


@pytest.mark.parametrize(
    ("fault", "kind", "taken"),
    [
        (Fault(mode="refuse", count=1), Declined, 0),
        (Fault(mode="refuse", count=1, status=451), Unavailable, 0),
        (Fault(mode="error", count=1), Unavailable, 0),
        (Fault(mode="error", count=1, status=554), Declined, 0),
        (Fault(mode="timeout", count=1, seconds=1.5), Unavailable, 0),
        (Fault(mode="lose_answer", count=1), Unavailable, 1),
        (Fault(mode="malformed", count=1), Unavailable, 1),
    ],
)
async def test_after_every_breakdown_the_next_letter_still_goes_out(
    post: Post, fault: Fault, kind: type[Exception], taken: int
) -> None:
    await post.channel.send(replace(LETTER, id=uuid7()))
    post.break_down(fault)
    with pytest.raises(kind):
        await post.channel.send(LETTER)
    assert len(post.mailbox("an@example.be")) == 1 + taken
    await post.channel.send(LETTER)
    same = [mail for mail in post.mailbox("an@example.be") if str(LETTER.id) in mail["envelopeFrom"]]
    assert len(same) == 1 + taken
    assert len({mail["messageId"] for mail in same}) == 1


async def test_one_citizen_whose_address_is_refused_holds_nobody_up(post: Post) -> None:
    post.break_down(Fault(mode="refuse", path="bert@"))
    letters = [replace(LETTER, id=uuid7(), to=f"{name}@example.be") for name in ("an", "bert", "carla")]
    sent = await asyncio.gather(*map(post.channel.send, letters), return_exceptions=True)
    assert [type(one) is Declined for one in sent] == [False, True, False]
    assert len(post.mailbox("an@example.be")) == len(post.mailbox("carla@example.be")) == 1
