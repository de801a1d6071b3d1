"""Payouts between Loket and the accounting package: ordered once, looked up after silence, heard of."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter
from ruamel.yaml import YAML
from uuid_utils.compat import uuid7

from loket import attempts, pain, settings, transfers
from loket.errors import BadNotice, Declined, InDoubt, Unavailable
from loket.sandbox import accounting as simulator
from loket.sandbox.house import House, sandbox
from loket.systems import accounting, contract
from loket.systems.accounting import Accounting, TooLate
from loket.systems.payout_orders import (
    Approval,
    Creditor,
    PaymentFile,
    PayoutExecuted,
    PayoutFact,
    PayoutKind,
    PayoutLine,
    PayoutOrder,
    PayoutRejected,
    PayoutReport,
    PayoutReturned,
    PayoutState,
    PayoutStatus,
    PayoutUnderway,
    facts_in,
)
from raw_server import HANG, HANG_UP, Answer, RawServer, raw_server

ID = UUID("01943b0d-20f1-7c55-8a77-9be1f4a2c301")
KEY = UUID("01943b0a-7c1e-7d2a-9c56-3a1f0b7e4d10")
E2E = pain.end_to_end_id(ID)


def file_of(id: UUID, version: pain.Version = pain.Version.V09, **changes: object) -> bytes:
    wanted: dict[str, Any] = {
        "end_to_end_id": pain.end_to_end_id(id),
        "amount": Decimal("250.00"),
        "creditor_name": "Zoë Müller 🌱",
        "creditor_iban": "BE68539007547034",
        "remittance": "Premie SP-2026-7KQ3M9-X",
        "purpose": "SSBE",
    }
    batch = pain.TransferBatch(
        message_id=f"M{pain.end_to_end_id(id)}",
        payment_id=f"P{pain.end_to_end_id(id)}",
        created_at=datetime(2026, 11, 22, 9, tzinfo=UTC),
        execute_on=date(2026, 11, 24),
        initiator_name="Gemeente Lindebeke",
        enterprise_number="0207500123",
        debtor_name="Gemeente Lindebeke",
        debtor_iban="BE71096123456769",
        transfers=(pain.Transfer(**{**wanted, **changes}),),
    )
    return pain.write(batch, version)


def order(id: UUID = ID, version: pain.Version = pain.Version.V09, **changes: object) -> PayoutOrder:
    wanted: dict[str, Any] = {
        "id": id,
        "kind": PayoutKind.PREMIUM,
        "end_to_end_id": pain.end_to_end_id(id),
        "amount": Decimal(250),
        "creditor": Creditor(name="Zoë Müller 🌱", iban="BE68 5390 0754 7034"),
        "remittance": "Premie SP-2026-7KQ3M9-X",
        "lines": (PayoutLine({"year": "2026", "account": "64910000"}, Decimal(250)),),
        "requested_on": date(2026, 11, 24),
        "case_reference": "SP-2026-7KQ3M9-X",
        "approvals": (
            Approval(name="Hilde Claes", role="Dossierbehandelaar", at=datetime(2026, 11, 22, 8, tzinfo=UTC)),
            Approval(name="Filip Maes", role="Financiële dienst", at=datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ),
        "pain001": PaymentFile(version=version, content=file_of(id, version)),
    }
    return PayoutOrder(**{**wanted, **changes})


def state(status: str = "ACCEPTED", **more: object) -> dict[str, Any]:
    return {"id": str(ID), "status": status, "acceptedAt": "2026-11-22T10:00:00+01:00", "new": 1} | more


def books(raw: RawServer) -> Accounting:
    return Accounting(settings.Accounting(url=raw.url, token="t", hook_secret="s"), timeout_seconds=0.5)


CONTRACT = YAML(typ="safe").load(Path(accounting.__file__).parent / "contracts" / "accounting.openapi.yaml")


def faults(schema: str, body: object) -> list[str]:
    wanted = {"$ref": f"#/components/schemas/{schema}", "components": CONTRACT["components"]}
    validator = Draft202012Validator(wanted, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [fault.message for fault in validator.iter_errors(body)]


# ── ordering ──────────────────────────────────────────────────────────────────────────────────────────

UNKNOWN = Answer(404, {"type": "https://loket.example/problems/payout-unknown", "title": "No payout"})


async def test_a_payout_is_ordered_as_the_contract_says() -> None:
    async with raw_server(Answer(201, state(endToEndId=E2E, amount="250.00"))) as raw:
        package = books(raw)
        accepted = await package.order_payout(order(), key=KEY)
        await package.aclose()
    asked = raw.asked[0]
    assert (asked.method, asked.target) == ("PUT", f"/v1/payouts/{ID}")
    assert asked.headers["authorization"] == "Bearer t"
    assert asked.headers["idempotency-key"] == str(KEY)
    assert faults("PayoutOrder", asked.json) == []
    assert asked.json["amount"] == "250.00"
    assert asked.json["creditor"] == {"name": "Zoë Müller 🌱", "iban": "BE68539007547034"}
    assert asked.json["lines"] == [{"budgetKey": {"year": "2026", "account": "64910000"}, "amount": "250.00"}]
    assert base64.b64decode(asked.json["pain001"]["content"]) == file_of(ID)
    assert (accepted.status, accepted.accepted_at) == (
        PayoutStatus.ACCEPTED,
        datetime(2026, 11, 22, 9, tzinfo=UTC),
    )


async def test_a_payout_that_the_package_refuses_at_once_is_an_answer() -> None:
    async with raw_server(Answer(201, state("REJECTED", reason="Krediet op", reasonCode="NARR"))) as raw:
        package = books(raw)
        refused = await package.order_payout(order(), key=KEY)
        await package.aclose()
    assert (refused.status, refused.reason, refused.reason_code) == (
        PayoutStatus.REJECTED,
        "Krediet op",
        "NARR",
    )


SILENCES = [
    HANG,
    HANG_UP,
    Answer(500),
    Answer(502),
    Answer(504),
    Answer(201, body=b'{"id": "'),
    Answer(200, []),
]


@pytest.mark.parametrize("silence", SILENCES)
async def test_after_silence_the_package_tells_that_the_payout_is_there(silence: Answer) -> None:
    async with raw_server(silence, Answer(200, state("EXECUTED", executedOn="2026-11-24"))) as raw:
        package = books(raw)
        found = await package.order_payout(order(), key=KEY)
        await package.aclose()
    assert (found.status, found.executed_on) == (PayoutStatus.EXECUTED, date(2026, 11, 24))
    assert [(one.method, one.target) for one in raw.asked] == [
        ("PUT", f"/v1/payouts/{ID}"),
        ("GET", f"/v1/payouts/{ID}"),
    ]


@pytest.mark.parametrize("silence", SILENCES)
async def test_after_silence_a_payout_that_is_not_there_may_be_sent_again_to_the_byte(
    silence: Answer,
) -> None:
    async with raw_server(silence, UNKNOWN, Answer(201, state())) as raw:
        package = books(raw)
        with pytest.raises(Unavailable):
            await package.order_payout(order(), key=KEY)
        await package.order_payout(order(), key=KEY)
        await package.aclose()
    first, _, second = raw.asked
    assert (first.body, first.headers["idempotency-key"]) == (second.body, second.headers["idempotency-key"])


@pytest.mark.parametrize(
    "afterwards",
    [
        HANG,
        HANG_UP,
        Answer(500),
        Answer(503, headers={"Retry-After": "5"}),
        Answer(401, {"title": "Who?"}),
        Answer(404, body=b"<html>not here</html>"),
        Answer(404, {"type": "https://loket.example/problems/entry-unknown"}),
        Answer(200, body=b"{"),
        Answer(200, state("SOMETHING")),
        Answer(200, state() | {"id": str(KEY)}),
        Answer(200, state(endToEndId="another")),
        Answer(200, state(amount="25.00")),
    ],
)
async def test_when_the_package_stays_silent_or_tells_something_else_the_payout_is_in_doubt(
    afterwards: Answer,
) -> None:
    async with raw_server(HANG_UP, afterwards) as raw:
        package = books(raw)
        with pytest.raises(InDoubt) as doubt:
            await package.order_payout(order(), key=KEY)
        await package.aclose()
    assert "BE68" not in str(doubt.value)
    assert [one.method for one in raw.asked] == ["PUT", "GET"]


async def test_a_package_that_hangs_is_doubted_before_the_time_of_an_effect_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = transfers.LEAVING_SECONDS, accounting.ORDER_SECONDS, accounting.LOOK_SECONDS
    assert sum(parts) < attempts.CALL_SECONDS - 1
    assert contract.CONNECT_SECONDS < accounting.ORDER_SECONDS, "who had no line sent nothing"
    monkeypatch.setattr(accounting, "ORDER_SECONDS", 0.3)
    monkeypatch.setattr(accounting, "LOOK_SECONDS", 0.2)
    async with raw_server(HANG, HANG) as raw:
        package = Accounting(settings.Accounting(url=raw.url, token="t", hook_secret="s"))
        with pytest.raises(InDoubt, match="no answer in time; asked afterwards: no answer in time"):
            await package.order_payout(order(), key=KEY)
        await package.aclose()


async def test_an_answer_about_another_payout_is_no_answer_about_this_one() -> None:
    async with raw_server(Answer(201, state(amount="2500.00"))) as raw:
        package = books(raw)
        with pytest.raises(InDoubt):
            await package.order_payout(order(), key=KEY)
        await package.aclose()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_package_that_is_closed_kept_nothing_and_says_when_to_come_back(status: int) -> None:
    async with raw_server(Answer(status, headers={"Retry-After": "7"})) as raw:
        package = books(raw)
        with pytest.raises(Unavailable) as closed:
            await package.order_payout(order(), key=KEY)
        await package.aclose()
    assert closed.value.retry_after_seconds == 7
    assert len(raw.asked) == 1


async def test_an_order_that_found_no_line_to_the_package_never_left() -> None:
    package = Accounting(settings.Accounting(url="http://127.0.0.1:1", token="t", hook_secret="s"))
    with pytest.raises(Unavailable):
        await package.order_payout(order(), key=KEY)
    await package.aclose()


@pytest.mark.parametrize("status", [400, 401, 409, 422])
async def test_a_clear_no_to_a_payout_reaches_a_person(status: int) -> None:
    problem = {
        "type": "x",
        "title": "Niet te betalen",
        "status": status,
        "detail": "rekeningnummer klopt niet",
    }
    async with raw_server(Answer(status, problem)) as raw:
        package = books(raw)
        with pytest.raises(Declined, match="Niet te betalen: rekeningnummer klopt niet"):
            await package.order_payout(order(), key=KEY)
        await package.aclose()
    assert len(raw.asked) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"amount": Decimal("1.005")},
        {"amount": Decimal(0)},
        {"amount": Decimal("1000000000.00")},
        {"remittance": None},
        {"structured_reference": "090933755493"},
        {"remittance": "x" * 141},
        {"end_to_end_id": "x" * 36},
        {"approvals": ()},
    ],
)
def test_a_payout_that_nobody_could_pay_cannot_be_made(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"PayoutOrder|payout order"):
        order(**change)


def test_an_account_outside_sepa_cannot_be_paid_and_is_not_told_on() -> None:
    with pytest.raises(ValueError, match="SEPA") as refused:
        Creditor(name="A", iban="TR330006100519786457841326")
    assert "TR330006100519786457841326" not in str(refused.value)
    assert "7034" not in repr(order())
    assert "Document" not in repr(order())


# ── looking up and recalling ──────────────────────────────────────────────────────────────────────────


async def test_a_payout_is_looked_up_and_only_the_package_itself_can_say_that_it_is_unknown() -> None:
    back = state("RETURNED", executedOn="2026-11-24", returnedOn="2026-11-26", returnedAmount="249.00")
    wrong_door = Answer(404, body=b"<html>")
    async with raw_server(Answer(200, back | {"reasonCode": "AC04"}), UNKNOWN, wrong_door, HANG) as raw:
        package = books(raw)
        assert await package.payout(ID) == PayoutState(
            id=ID,
            status=PayoutStatus.RETURNED,
            accepted_at=datetime(2026, 11, 22, 9, tzinfo=UTC),
            executed_on=date(2026, 11, 24),
            returned_on=date(2026, 11, 26),
            returned_amount=Decimal("249.00"),
            reason_code="AC04",
        )
        assert await package.payout(ID) is None
        with pytest.raises(Declined):
            await package.payout(ID)
        with pytest.raises(Unavailable):
            await package.payout(ID)
        await package.aclose()


async def test_a_recall_ends_in_cancelled_too_late_unknown_or_not_now() -> None:
    late = Answer(409, {"type": "https://loket.example/problems/payout-executed", "title": "Te laat"})
    other = Answer(409, {"type": "https://loket.example/problems/idempotency-mismatch", "title": "Key"})
    async with raw_server(Answer(200, state("CANCELLED")), late, other, UNKNOWN, HANG_UP) as raw:
        package = books(raw)
        recalled = await package.recall_payout(ID, key=KEY)
        assert recalled is not None
        assert recalled.status is PayoutStatus.CANCELLED
        with pytest.raises(TooLate, match="Te laat"):
            await package.recall_payout(ID, key=KEY)
        with pytest.raises(Declined) as refused:
            await package.recall_payout(ID, key=KEY)
        assert not isinstance(refused.value, TooLate)
        assert await package.recall_payout(ID, key=KEY) is None
        with pytest.raises(Unavailable):
            await package.recall_payout(ID, key=KEY)
        await package.aclose()
    assert {(one.method, one.headers["idempotency-key"]) for one in raw.asked} == {("DELETE", str(KEY))}


# ── notices ───────────────────────────────────────────────────────────────────────────────────────────


def heard(kind: str, data: dict[str, Any]) -> object:
    """What our adapter understands of a notice."""
    told = {"id": "n1", "type": kind, "occurredAt": "2026-12-01T08:00:00+01:00", "data": data}
    body = json.dumps(told).encode()
    at = str(int(time.time()))
    mac = hmac.new(b"s", at.encode() + b"." + body, hashlib.sha256).hexdigest()
    reader = Accounting(settings.Accounting(url="http://x", token="t", hook_secret="s"))
    return reader.read_notice({"Loket-Timestamp": at, "Loket-Signature": f"v1={mac}"}, body).said


def bank_says(*transactions: tuple[str, str], group: str = "") -> str:
    told = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{id}</OrgnlEndToEndId><TxSts>{status}</TxSts>"
        "<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>afgesloten</AddtlInf></StsRsnInf></TxInfAndSts>"
        for id, status in transactions
    )
    xml = (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.03"><CstmrPmtStsRpt>'
        "<GrpHdr><MsgId>B</MsgId><CreDtTm>2026-11-24T23:30:00+01:00</CreDtTm></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>M</OrgnlMsgId>"
        f"{group}</OrgnlGrpInfAndSts><OrgnlPmtInfAndSts>{told}</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>"
    )
    return base64.b64encode(xml.encode()).decode()


def facts(data: dict[str, Any]) -> tuple[PayoutFact, ...]:
    said = heard("payout.status", data)
    assert isinstance(said, PayoutReport)
    return facts_in(said)


def test_every_end_of_a_payout_is_heard_as_a_fact() -> None:
    who = {"payoutId": str(ID), "currency": "EUR", "amount": "250.00"}
    assert heard("payout.executed", who | {"executedOn": "2026-11-24"}) == PayoutExecuted(
        payout_id=ID, amount=Decimal("250.00"), executed_on=date(2026, 11, 24)
    )
    assert heard("payout.rejected", {"payoutId": str(ID), "reasonCode": "AC01"}) == PayoutRejected(
        payout_id=ID, reason_code="AC01"
    )
    assert heard(
        "payout.returned", who | {"returnedOn": "2026-11-26", "reasonCode": "AC04"}
    ) == PayoutReturned(
        payout_id=ID, reason_code="AC04", amount=Decimal("250.00"), returned_on=date(2026, 11, 26)
    )


def test_a_banks_report_becomes_the_same_facts() -> None:
    other, third = uuid7(), uuid7()
    report = bank_says(
        (E2E, "ACSC"),
        (other.hex, "RJCT"),
        (third.hex.upper(), "ACSP"),
        ("SALARIS-1", "ACSC"),
        (KEY.hex, "XXXX"),
    )
    assert facts({"pain002": report}) == (
        PayoutExecuted(payout_id=ID, executed_on=date(2026, 11, 24)),
        PayoutRejected(payout_id=other, reason_code="AC04", reason="afgesloten"),
        PayoutUnderway(payout_id=third, status=pain.Status.ACSP, raw_status="ACSP"),
        PayoutUnderway(payout_id=KEY, status=pain.Status.UNKNOWN, raw_status="XXXX"),
    )


def test_a_report_about_the_whole_file_is_about_the_payout_that_it_came_with() -> None:
    whole = bank_says(group="<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>FF01</Cd></Rsn></StsRsnInf>")
    assert facts({"pain002": whole, "payoutId": str(ID)}) == (
        PayoutRejected(payout_id=ID, reason_code="FF01"),
    )
    assert facts({"pain002": whole}) == ()
    somebody_elses = bank_says(("SALARIS-1", "ACSC"), group="<GrpSts>ACSC</GrpSts>")
    assert facts({"pain002": somebody_elses, "payoutId": str(ID)}) == ()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("payout.executed", {"amount": "250.00", "currency": "EUR", "executedOn": "2026-11-24"}),
        ("payout.executed", {"payoutId": "x", "executedOn": "2026-11-24"}),
        ("payout.executed", {"payoutId": str(ID), "amount": "0.00"}),
        ("payout.returned", {"payoutId": str(ID), "reasonCode": "AC04"}),
        ("payout.rejected", {"payoutId": str(ID), "reasonCode": ""}),
        ("payout.status", {}),
        ("payout.status", {"pain002": 5}),
        ("payout.status", {"pain002": "not base64!"}),
        ("payout.status", {"pain002": base64.b64encode(b"<a/>").decode()}),
    ],
)
def test_a_notice_of_a_payout_that_cannot_be_read_is_named_so(kind: str, data: dict[str, Any]) -> None:
    with pytest.raises(BadNotice):
        heard(kind, data)


# ── against the sandbox ───────────────────────────────────────────────────────────────────────────────


@dataclass
class World:
    """The simulator, our adapter on it, and a door where its notices come in."""

    house: House
    door: RawServer
    books: Accounting
    desk: httpx2.AsyncClient

    async def order(self, what: str, /, **document: object) -> httpx2.Response:
        return await self.desk.post(f"{self.house.config.urls['accounting']}/sim/{what}", json=document)

    async def book(self) -> list[dict[str, Any]]:
        answer = await self.desk.get(f"{self.house.config.urls['accounting']}/sim/payouts")
        found: list[dict[str, Any]] = answer.json()
        return found

    async def told(self, count: int = 1) -> list[object]:
        async with asyncio.timeout(10):
            while len(self.door.asked) < count:
                self.door.another.clear()
                await self.door.another.wait()
        for asked in self.door.asked:
            assert faults("Notice", asked.json) == []
        return [self.books.read_notice(asked.headers, asked.body).said for asked in self.door.asked]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with raw_server(Answer(204)) as door:
        section = {"token": "books", "hook_url": f"{door.url}/books", "hook_secret": "s"}
        document = {"port": 0, "loket_url": door.url, "accounting": section}
        async with (
            sandbox(document, (simulator.SYSTEM,)) as house,
            httpx2.AsyncClient(trust_env=False) as desk,
        ):
            url = house.config.urls["accounting"]
            ours = Accounting(settings.Accounting(url=url, token="books", hook_secret="s"), timeout_seconds=1)
            yield World(house, door, ours, desk)
            await ours.aclose()


@pytest.mark.parametrize("version", list(pain.Version))
async def test_a_premium_is_ordered_executed_and_comes_back(world: World, version: pain.Version) -> None:
    id = uuid7()
    assert await world.books.payout(id) is None
    accepted = await world.books.order_payout(order(id, version), key=uuid7())
    assert (accepted.status, accepted.amount) == (PayoutStatus.ACCEPTED, Decimal("250.00"))
    again = await world.books.order_payout(order(id, version), key=uuid7())
    assert again == accepted
    assert (await world.order(f"payouts/{id}/execute")).is_success
    assert (await world.order(f"payouts/{id}/execute")).status_code == 409
    assert (await world.order(f"payouts/{id}/return", reasonCode="AC04", amount="249.00")).is_success
    executed, returned = sorted(await world.told(2), key=lambda one: type(one).__name__)
    assert isinstance(executed, PayoutExecuted)
    assert isinstance(returned, PayoutReturned)
    assert (executed.payout_id, executed.amount) == (id, Decimal("250.00"))
    assert (returned.payout_id, returned.amount, returned.reason_code) == (id, Decimal("249.00"), "AC04")
    stands = await world.books.payout(id)
    assert stands is not None
    assert (stands.status, stands.returned_amount) == (PayoutStatus.RETURNED, Decimal("249.00"))
    assert stands.executed_on == executed.executed_on


@pytest.mark.parametrize("version", list(pain.Version))
async def test_the_banks_own_file_tells_the_same(world: World, version: pain.Version) -> None:
    paid, refused = uuid7(), uuid7()
    for id in (paid, refused):
        await world.books.order_payout(order(id, version), key=uuid7())
    await world.order(f"payouts/{paid}/execute", by="pain002")
    await world.order(f"payouts/{refused}/reject", by="pain002", reasonCode="MD07", reason="<overleden> & co")
    said = [fact for one in await world.told(2) if isinstance(one, PayoutReport) for fact in facts_in(one)]
    executed = next(one for one in said if isinstance(one, PayoutExecuted))
    assert (executed.payout_id, executed.amount) == (paid, Decimal("250.00"))
    assert PayoutRejected(payout_id=refused, reason_code="MD07", reason="<overleden> & co") in said


@pytest.mark.parametrize("mode", ["lose_answer", "malformed", "duplicate"])
async def test_an_order_whose_answer_was_lost_is_found_and_stands_in_the_book_once(
    world: World, mode: str
) -> None:
    id = uuid7()
    await world.order("faults", mode=mode, count=1, path="/v1/payouts")
    found = await world.books.order_payout(order(id), key=uuid7())
    assert found.status is PayoutStatus.ACCEPTED
    assert len(await world.book()) == 1


async def test_an_order_that_did_not_arrive_is_sent_again_and_total_silence_is_doubt(world: World) -> None:
    id, key = uuid7(), uuid7()
    await world.order("faults", mode="timeout", seconds=0.1, count=1, path="/v1/payouts")
    with pytest.raises(Unavailable):
        await world.books.order_payout(order(id), key=key)
    await world.order("faults", mode="error", count=1)
    with pytest.raises(Unavailable):
        await world.books.order_payout(order(id), key=key)
    assert await world.book() == []
    await world.order("faults", mode="lose_answer", count=2)
    with pytest.raises(InDoubt):
        await world.books.order_payout(order(id), key=key)
    assert (await world.books.order_payout(order(id), key=key)).status is PayoutStatus.ACCEPTED
    assert len(await world.book()) == 1


async def test_a_payout_is_recalled_until_the_bank_has_it(world: World) -> None:
    recalled, executed = uuid7(), uuid7()
    for id in (recalled, executed):
        await world.books.order_payout(order(id), key=uuid7())
    await world.order(f"payouts/{executed}/execute", by="silent")
    for _ in range(2):
        cancelled = await world.books.recall_payout(recalled, key=uuid7())
        assert cancelled is not None
        assert cancelled.status is PayoutStatus.CANCELLED
    with pytest.raises(TooLate):
        await world.books.recall_payout(executed, key=uuid7())
    assert await world.books.recall_payout(uuid7(), key=uuid7()) is None
    assert (await world.order(f"payouts/{recalled}/execute")).status_code == 409
    assert world.door.asked == []


async def test_the_package_pays_nothing_twice_and_nothing_that_its_file_does_not_say(world: World) -> None:
    id = uuid7()
    await world.books.order_payout(order(id), key=uuid7())

    async def refused(wrong: PayoutOrder) -> tuple[int | None, str]:
        with pytest.raises(Declined) as no:
            await world.books.order_payout(wrong, key=uuid7())
        return no.value.http_status, no.value.reason

    def with_file(file: bytes) -> PayoutOrder:
        return order(uuid7(), pain001=PaymentFile(version=pain.Version.V09, content=file))

    assert (await refused(order(id, case_reference="SP-2")))[0] == 409
    same_message = replace(order(uuid7()), end_to_end_id=pain.end_to_end_id(id), pain001=order(id).pain001)
    assert "EndToEndId" in (await refused(same_message))[1]
    fresh = uuid7()
    again = PaymentFile(
        version=pain.Version.V09, content=order(id).pain001.content.replace(b"<EndToEndId>", b"<EndToEndId>R")
    )
    renamed = replace(order(fresh), end_to_end_id=f"R{pain.end_to_end_id(id)}", pain001=again)
    assert "MsgId" in (await refused(renamed))[1]
    for changes in (
        {"amount": Decimal("2500.00")},
        {"creditor_iban": "BE71096123456769"},
        {"end_to_end_id": "x"},
    ):
        fresh = uuid7()
        other = PaymentFile(version=pain.Version.V09, content=file_of(fresh, **changes))
        status, reason = await refused(order(fresh, pain001=other))
        assert status == 422
        assert "verschilt van de opdracht" in reason
    assert (await refused(with_file(b"<a/>")))[0] == 422
    assert (await refused(with_file(b"no file")))[0] == 422
    assert (await refused(order(uuid7(), requested_on=date(2026, 11, 25))))[0] == 422
    one_pair_of_eyes = (order().approvals[0],) * 2
    assert "vier ogen" in (await refused(order(uuid7(), approvals=one_pair_of_eyes)))[1]
    assert len(await world.book()) == 1


@pytest.mark.parametrize(
    ("lines", "pointer", "why"),
    [
        ([("64910000", "249.99")], "/lines", "lijnen tellen op tot 249.99, niet tot 250.00"),
        ([("64910000", "125.00"), ("64910000", "125.00")], "/lines", "twee lijnen"),
        ([("64910000", "125.00"), ("9910000", "125.00")], "/lines/1/budgetKey", "onbekende budgetsleutel"),
        ([("64910000", "125.00"), ("6400000", "125.00")], "/lines/1/budgetKey", "afgesloten"),
        ([("64910000", "125.00"), ("64910001", "125.00")], "", ""),
    ],
)
async def test_the_package_books_on_keys_that_it_knows_and_to_the_cent(
    world: World, lines: list[tuple[str, str]], pointer: str, why: str
) -> None:
    assert (await world.order("budget", closed=["6400000"])).json() == {"closed": ["6400000"]}
    id = uuid7()
    document = json.loads(TypeAdapter(PayoutOrder).dump_json(order(id), by_alias=True, exclude_none=True))
    document["lines"] = [{"budgetKey": {"account": key}, "amount": amount} for key, amount in lines]
    url = f"{world.house.config.urls['accounting']}/v1/payouts/{id}"
    headers = {"Authorization": "Bearer books", "Idempotency-Key": str(uuid7())}
    answer = await world.desk.put(url, json=document, headers=headers)
    assert answer.status_code == (422 if why else 201), answer.text
    assert [one["pointer"] for one in answer.json().get("errors", [])] == ([pointer] if pointer else [])
    assert why in answer.json().get("detail", "")


def test_an_order_whose_lines_are_not_its_amount_is_never_made() -> None:
    with pytest.raises(ValueError, match="add up"):
        order(lines=(PayoutLine({"account": "64910000"}, Decimal("249.99")),))


async def test_the_package_checks_the_account_by_itself(world: World) -> None:
    wrong = json.loads(json.dumps(CONTRACT["paths"]["/v1/payouts/{id}"]["put"]["requestBody"]["content"]))
    document = wrong["application/json"]["examples"]["premium"]["value"]
    url = f"{world.house.config.urls['accounting']}/v1/payouts/{document['id']}"
    for iban, status in (
        ("BE68539007547035", 422),
        ("BE41539007547035", 422),
        ("DE89370400440532013001", 422),
        ("BE68539007547034", 201),
    ):
        body = document | {"creditor": {"name": "Zoë", "iban": iban}}
        headers = {"Authorization": "Bearer books", "Idempotency-Key": str(uuid7())}
        answer = await world.desk.put(url, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        pointers = [fault["pointer"] for fault in answer.json().get("errors", [])]
        assert ("/creditor/iban" in pointers) is (status == 422)
        assert faults("PayoutState" if answer.is_success else "Problem", answer.json()) == []


@pytest.mark.parametrize(
    ("outcome", "by", "ends", "notices"),
    [
        ("execute", "json", "EXECUTED", 1),
        ("execute", "pain002", "EXECUTED", 1),
        ("reject", "pain002", "REJECTED", 1),
        ("return", "json", "RETURNED", 2),
        ("return", "silent", "RETURNED", 0),
        ("refuse", "json", "REJECTED", 0),
    ],
)
async def test_the_bank_can_be_told_to_act_by_itself(
    world: World, outcome: str, by: str, ends: str, notices: int
) -> None:
    await world.order("auto", on=True, outcome=outcome, by=by)
    id = uuid7()
    answered = await world.books.order_payout(order(id), key=uuid7())
    assert answered.status.value == ("REJECTED" if outcome == "refuse" else "ACCEPTED")
    stands = await world.books.payout(id)
    assert stands is not None
    assert stands.status.value == ends
    assert len(await world.told(notices)) == notices
    await world.order("auto", on=False)
    later = uuid7()
    await world.books.order_payout(order(later), key=uuid7())
    assert [one["status"] for one in await world.book()] == [ends, "ACCEPTED"]


async def test_the_desk_shows_the_order_book_with_its_buttons(world: World) -> None:
    id = uuid7()
    await world.books.order_payout(order(id, case_reference="SP-<b>"), key=uuid7())
    page = (await world.desk.get(f"{world.house.config.urls['desk']}/systeem/accounting")).text
    assert "SP-&lt;b&gt;" in page
    assert f"/sim/payouts/{id}/execute" in page
    pressed = await world.desk.post(
        f"{world.house.config.urls['accounting']}/sim/payouts/{id}/reject", data={"reasonCode": "AC06"}
    )
    assert pressed.status_code == 303
    page = (await world.desk.get(pressed.headers["location"])).text
    assert "REJECTED AC06" in page
    assert f"/sim/payouts/{id}/execute" not in page
    wrong = await world.order(f"payouts/{id}/return", by="pigeon")
    assert wrong.status_code == 400
