"""The channels against the sandbox: another implementation of the same documents."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl

import httpx2
import pytest
from uuid_utils.compat import uuid7

from loket import settings
from loket.channels.sms import Sms, SmsReceipt, SmsStatus
from loket.errors import Declined, Unavailable
from loket.sandbox import sms as sms_simulator
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
