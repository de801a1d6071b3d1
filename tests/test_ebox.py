"""Legal delivery in the eBox: our channel on the sandbox, another maker of the same (assumed) shape."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
import pytest
from uuid_utils.compat import uuid7

from flemish import KBO, Credentials
from loket import settings
from loket.channels.ebox import NO_EBOX, EBox, EboxDelivery, EboxReceipt, EboxStatus, NoEbox
from loket.errors import Declined, Failed, Unavailable
from loket.sandbox import acmidm as sandbox_acmidm
from loket.sandbox import ebox as sandbox_ebox
from loket.sandbox.house import House, sandbox
from loket.sandbox.personas import citizens
from loket.systems.acmidm_client import MachineTokens
from raw_server import HANG_UP, Answer, raw_server

PDF = b"%PDF-1.7\nde beslissing\n%%EOF\n"


KNOWN = [one.insz for one in citizens() if one.state == "known"]
WITH = next(one for one in KNOWN if int(one[-1]) % 2 == 0)
WITHOUT = next(one for one in KNOWN if int(one[-1]) % 2)


class NoAuth(httpx2.Auth):
    """For servers that ask for no token."""


@dataclass
class Boxes:
    """The Documentendienst, ACM, our channel on them, and somebody at the desk."""

    house: House
    channel: EBox
    client: httpx2.AsyncClient
    tokens: MachineTokens

    @property
    def url(self) -> str:
        return self.house.config.url("ebox")

    async def send(self, **changes: Any) -> EboxReceipt | NoEbox:  # noqa: ANN401  # any field of a message
        message: dict[str, Any] = {
            "id": uuid7(),
            "insz": WITH,
            "subject": "Beslissing over uw aanvraag",
            "body": "In de bijlage leest u de beslissing.\nU kunt in beroep gaan.",
            "filename": "beslissing-SP-2026-7KQ3M9-R.pdf",
            "document": PDF,
            "category": "Beslissing",
        }
        return await self.channel.send(**{**message, **changes})

    async def sent(self, **changes: Any) -> EboxReceipt:  # noqa: ANN401  # any field of a message
        receipt = await self.send(**changes)
        assert isinstance(receipt, EboxReceipt)
        return receipt

    async def box(self, insz: str = WITH) -> dict[str, Any]:
        """What this citizen finds."""
        shown: dict[str, Any] = (await self.client.get(f"{self.url}/sim/ebox/{insz}")).json()
        return shown

    async def messages(self, insz: str = WITH) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.box(insz))["messages"]
        return found

    async def switch(self, insz: str, **switches: bool) -> None:
        answer = await self.client.post(f"{self.url}/sim/ebox/{insz}", json=switches)
        assert answer.status_code == 200, answer.text

    async def fails(self, mode: str, count: int = 1) -> None:
        await self.client.post(f"{self.url}/sim/faults", json={"mode": mode, "count": count})

    async def raw(self, **changes: Any) -> httpx2.Response:  # noqa: ANN401  # any field of a message
        """A message as another sender would write it."""
        message: dict[str, Any] = {
            "messageId": str(uuid7()),
            "ssin": WITH,
            "sender": {"kbo": KBO},
            "subject": {"nl": "Onderwerp"},
            "body": {"nl": "Tekst"},
            "legalValue": "REGISTERED",
            "category": "Beslissing",
            "document": {
                "filename": "brief.pdf",
                "mediaType": "application/pdf",
                "content": base64.b64encode(PDF).decode(),
                "sha256": hashlib.sha256(PDF).hexdigest(),
            },
        }
        headers = {"Authorization": f"Bearer {await self.tokens.token()}"}
        return await self.client.post(f"{self.url}/notifications", json=message | changes, headers=headers)

    async def until(self, receipt: EboxReceipt, status: EboxStatus) -> EboxDelivery:
        async with asyncio.timeout(10):
            while True:
                found = await self.channel.status(receipt.notification)
                if found.status is status:
                    return found
                await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return Credentials.made_in(tmp_path_factory.mktemp("loket"))


@asynccontextmanager
async def the_boxes(config: dict[str, Any], credentials: Credentials) -> AsyncIterator[Boxes]:
    systems = (sandbox_acmidm.SYSTEM, sandbox_ebox.SYSTEM)
    async with sandbox(config, systems) as house, httpx2.AsyncClient(trust_env=False) as client:
        section = credentials.acmidm(house.config.url("acmidm"))
        tokens = MachineTokens(section, token_url=f"{section.issuer}/v1/token", scope="Documentendienst")
        channel = EBox(settings.Ebox(url=house.config.url("ebox")), auth=tokens, sender_kbo=KBO)
        yield Boxes(house, channel, client, tokens)
        await channel.aclose()
        await tokens.aclose()


@pytest.fixture(scope="module")
async def street(credentials: Credentials) -> AsyncIterator[Boxes]:
    async with the_boxes(credentials.sandbox(), credentials) as found:
        yield found


@pytest.fixture
def boxes(street: Boxes) -> Boxes:
    """The same servers for every test, each time empty."""
    for kind in ("notification", "message", "of", "person", "fault"):
        street.house.states["ebox"].delete(kind)
    for state in street.house.states.values():
        state.forget_requests()
    return street


# --- delivery ----------------------------------------------------------------------------------


async def test_a_decision_lies_in_the_ebox_with_legal_value_and_whole(boxes: Boxes) -> None:
    id = uuid7()
    receipt = await boxes.sent(id=id)

    (seen,) = await boxes.messages()
    assert (seen["id"], seen["messageId"]) == (receipt.notification, str(id))
    assert (seen["legalValue"], seen["sender"], seen["category"]) == ("REGISTERED", KBO, "Beslissing")
    assert seen["subject"] == "Beslissing over uw aanvraag"
    assert seen["body"].endswith("U kunt in beroep gaan.")
    document = await boxes.client.get(f"{boxes.url}/sim/ebox/{WITH}/{receipt.notification}/document")
    assert document.content == PDF
    assert seen["sha256"] == hashlib.sha256(PDF).hexdigest()


async def test_the_municipality_hears_when_a_decision_was_delivered_and_opened(
    credentials: Credentials,
) -> None:
    config = {**credentials.sandbox(), "ebox": {"delivery_seconds": 3600}}
    async with the_boxes(config, credentials) as boxes:
        receipt = await boxes.sent()
        underway = await boxes.channel.status(receipt.notification)
        assert (underway.status, underway.delivered_at, underway.opened_at) == (EboxStatus.SENT, None, None)
        assert underway.sent_at is not None
        assert underway.sent_at.utcoffset() is not None
        await boxes.client.get(f"{boxes.url}/sim/ebox/{WITH}/{receipt.notification}/document")
        opened = await boxes.channel.status(receipt.notification)
        assert opened.status is EboxStatus.OPENED
        assert opened.opened_at is not None
        assert opened.delivered_at is not None
        assert underway.sent_at <= opened.delivered_at <= opened.opened_at


async def test_a_decision_that_nobody_opened_is_delivered_all_the_same(boxes: Boxes) -> None:
    delivered = await boxes.until(await boxes.sent(), EboxStatus.DELIVERED)
    assert delivered.delivered_at is not None
    assert (delivered.opened_at, delivered.refused_at) == (None, None)


async def test_a_citizen_can_refuse_and_the_reason_is_told(boxes: Boxes) -> None:
    await boxes.switch(WITH, refuses=True)
    refused = await boxes.channel.status((await boxes.sent()).notification)
    assert refused.status is EboxStatus.REFUSED
    assert refused.refused_at is not None
    assert "aanvaardt" in refused.reason


async def test_a_repeat_is_delivered_once(boxes: Boxes) -> None:
    id = uuid7()
    first, second = await boxes.sent(id=id), await boxes.sent(id=id)
    assert first == second
    (seen,) = await boxes.messages()
    assert seen["repeats"] == 1


async def test_another_document_under_the_same_id_is_declined(boxes: Boxes) -> None:
    id = uuid7()
    await boxes.sent(id=id)
    with pytest.raises(Declined, match="messageId"):
        await boxes.send(id=id, document=PDF + b"\n")
    assert len(await boxes.messages()) == 1


async def test_a_request_that_arrives_twice_is_delivered_once(boxes: Boxes) -> None:
    await boxes.fails("duplicate", count=2)  # the look-up and the delivery
    await boxes.sent()
    (seen,) = await boxes.messages()
    assert seen["repeats"] == 1


async def test_a_document_whose_answer_was_lost_is_there_once_after_the_repeat(boxes: Boxes) -> None:
    id = str(uuid7())
    await boxes.fails("lose_answer")
    with pytest.raises(httpx2.HTTPError):
        await boxes.raw(messageId=id)
    again = await boxes.raw(messageId=id)
    (seen,) = await boxes.messages()
    assert again.json()["id"] == seen["id"]


@pytest.mark.parametrize("mode", ["lose_answer", "malformed", "error"])
async def test_a_look_up_without_an_answer_delivers_nothing_yet(boxes: Boxes, mode: str) -> None:
    await boxes.fails(mode)
    with pytest.raises(Unavailable):
        await boxes.send()
    assert await boxes.messages() == []
    await boxes.sent()


# --- who has an eBox ---------------------------------------------------------------------------


async def test_who_has_no_ebox_gets_none_and_nothing_is_kept(boxes: Boxes) -> None:
    assert await boxes.channel.has_box(WITHOUT) is False
    assert await boxes.send(insz=WITHOUT) is NO_EBOX
    assert await boxes.messages(WITHOUT) == []
    assert boxes.house.states["ebox"].received("/notifications")[-1]["method"] == "GET"


async def test_an_ebox_can_be_opened_and_closed(boxes: Boxes) -> None:
    await boxes.switch(WITHOUT, active=True)
    assert isinstance(await boxes.send(insz=WITHOUT), EboxReceipt)
    await boxes.switch(WITHOUT, active=False)
    assert await boxes.send(insz=WITHOUT) is NO_EBOX
    assert len(await boxes.messages(WITHOUT)) == 1


async def test_an_ebox_that_closes_between_look_up_and_delivery_is_none() -> None:
    closed = Answer(409, document={"code": "NO_EBOX", "title": "Geen actieve eBox", "status": 409})
    async with raw_server(Answer(document={"active": True}), closed) as raw:
        channel = EBox(settings.Ebox(url=raw.url), auth=NoAuth(), sender_kbo=KBO)
        assert await Boxes.send(_only(channel)) is NO_EBOX
        await channel.aclose()


async def test_nobody_has_this_number(boxes: Boxes) -> None:
    stranger = next(one.insz for one in citizens() if one.state == "unknown")
    with pytest.raises(Declined, match="404"):
        await boxes.send(insz=stranger)
    with pytest.raises(Declined, match="INSZ"):
        await boxes.channel.has_box("84031251200")


async def test_the_refusal_does_not_repeat_the_national_number(boxes: Boxes) -> None:
    stranger = next(one.insz for one in citizens() if one.state == "unknown")
    with pytest.raises(Declined) as refusal:
        await boxes.send(insz=stranger)
    assert stranger not in str(refusal.value)


# --- what the Documentendienst refuses ---------------------------------------------------------


DOCUMENT = {
    "filename": "brief.pdf",
    "mediaType": "application/pdf",
    "content": base64.b64encode(PDF).decode(),
    "sha256": hashlib.sha256(PDF).hexdigest(),
}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"messageId": "een"}, "messageId"),
        ({"ssin": "84031251200"}, "ssin"),
        ({"sender": {"kbo": "0207500124"}}, "sender.kbo"),
        ({"sender": None}, "sender.kbo"),
        ({"subject": {"en": "Subject"}}, "subject.nl"),
        ({"subject": {"nl": "x" * 201}}, "subject.nl"),
        ({"body": "Tekst"}, "body.nl"),
        ({"legalValue": "MAYBE"}, "legalValue"),
        ({"category": ""}, "category"),
        ({"document": None}, "document"),
        ({"document": DOCUMENT | {"sha256": "0" * 64}}, "document.sha256"),
        ({"document": DOCUMENT | {"content": "€"}}, "document.content"),
        ({"document": DOCUMENT | {"content": base64.b64encode(b"<html>").decode()}}, "document.content"),
        ({"document": DOCUMENT | {"filename": "../brief.pdf"}}, "document.filename"),
        ({"document": DOCUMENT | {"mediaType": "text/html"}}, "document.mediaType"),
    ],
)
async def test_a_message_that_does_not_hold_is_refused_by_its_field(
    boxes: Boxes, changes: dict[str, Any], field: str
) -> None:
    answer = await boxes.raw(**changes)
    assert answer.status_code == 400
    assert field in {one["field"] for one in answer.json()["errors"]}
    assert boxes.house.states["ebox"].count("notification") == 0


async def test_another_municipality_cannot_send_in_our_name(boxes: Boxes) -> None:
    assert (await boxes.raw(sender={"kbo": "0206731645"})).status_code == 403


async def test_a_message_as_written_above_is_taken_in(boxes: Boxes) -> None:
    answer = await boxes.raw()
    assert (answer.status_code, answer.json()["status"]) == (202, "ACCEPTED")


async def test_without_a_token_of_its_own_scope_nobody_gets_in(
    boxes: Boxes, credentials: Credentials
) -> None:
    for path in ("/notifications/receivers?ssin=" + WITH, "/notifications/x"):
        assert (await boxes.client.get(boxes.url + path)).status_code == 401
    section = credentials.acmidm(boxes.house.config.url("acmidm"))
    other = MachineTokens(section, token_url=f"{section.issuer}/v1/token", scope="DosisImport")
    channel = EBox(settings.Ebox(url=boxes.url), auth=other, sender_kbo=KBO)
    with pytest.raises(Declined, match="Documentendienst"):
        await channel.has_box(WITH)
    await channel.aclose()
    await other.aclose()


async def test_a_revoked_token_is_replaced_once(boxes: Boxes) -> None:
    await boxes.sent()
    boxes.house.states["acmidm"].forget_requests()
    await boxes.client.post(boxes.house.config.url("acmidm") + "/sim/revoke")
    await boxes.sent()
    assert len(boxes.house.states["acmidm"].received("/op/v1/token")) == 1


# --- failures ----------------------------------------------------------------------------------


def _only(channel: EBox) -> Boxes:
    """For what needs nothing but the channel."""
    empty: Any = None
    return Boxes(empty, channel, empty, empty)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (HANG_UP, Unavailable),
        (Answer(503), Unavailable),
        (Answer(429, headers={"Retry-After": "3"}), Unavailable),
        (Answer(400), Declined),
        (Answer(403), Declined),
        (Answer(404), Declined),
        (Answer(200, document={}), Unavailable),
        (Answer(200, document={"active": "yes", "status": "LOST"}), Unavailable),
        (Answer(200, document={"status": "SENT", "sentAt": "gisteren"}), Unavailable),
        (Answer(200, document={"status": "SENT", "sentAt": "2026-11-22T10:00:00"}), Unavailable),
        (Answer(200, document={"status": "SENT", "sentAt": 5}), Unavailable),
    ],
)
async def test_each_failure_has_its_kind(answer: Answer, kind: type[Failed]) -> None:
    async with raw_server(answer) as raw:
        channel = EBox(settings.Ebox(url=raw.url), auth=NoAuth(), sender_kbo=KBO)
        for call in (channel.has_box(WITH), channel.status("x"), Boxes.send(_only(channel))):
            with pytest.raises(kind):
                await call
        await channel.aclose()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (HANG_UP, Unavailable),
        (Answer(202, body=b'{"id": "hal'), Unavailable),
        (Answer(202, document={"status": "ACCEPTED"}), Unavailable),
        (Answer(409, document={"code": "MESSAGE_ID_REUSED"}), Declined),
        (Answer(400, document={"code": "VALIDATION"}), Declined),
        (Answer(500), Unavailable),
    ],
)
async def test_a_delivery_that_fails_after_the_look_up_has_its_kind(
    answer: Answer, kind: type[Failed]
) -> None:
    async with raw_server(Answer(document={"active": True}), answer) as raw:
        channel = EBox(settings.Ebox(url=raw.url), auth=NoAuth(), sender_kbo=KBO)
        with pytest.raises(kind):
            await Boxes.send(_only(channel))
        sent = orjson.loads(raw.asked[1].body)
        assert sent["ssin"] == WITH
        assert "ssin" not in raw.asked[1].target
        await channel.aclose()


# --- at the desk -------------------------------------------------------------------------------


async def test_the_desk_shows_the_box_and_switches_it(credentials: Credentials) -> None:
    async with (
        sandbox(credentials.sandbox()) as house,
        httpx2.AsyncClient(trust_env=False, follow_redirects=True) as client,
    ):
        key = next(one.key for one in citizens() if one.insz == WITHOUT)
        url = f"{house.config.url('desk')}/burger/{key}"
        assert "Open een eBox" in (await client.get(url)).text
        page = await client.post(f"{house.config.url('ebox')}/sim/ebox/{WITHOUT}", data={"active": "1"})
        assert str(page.url) == url
        assert "Sluit de eBox" in page.text
        wrong = await client.post(f"{house.config.url('ebox')}/sim/ebox/{WITHOUT}", json={"active": "yes"})
        assert wrong.status_code == 400
        assert "eBox" in (await client.get(f"{house.config.url('desk')}/systeem/ebox")).text
