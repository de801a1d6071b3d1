"""The payment module, the accounting package and the planning tool, as their other side sees us."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from onlinepayments.sdk.authentication.v1hmac_authenticator import V1HmacAuthenticator  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.communication.request_header import RequestHeader  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.communicator_configuration import CommunicatorConfiguration  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.domain.create_hosted_checkout_request import CreateHostedCheckoutRequest  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.domain.refund_request import RefundRequest  # type: ignore[import-untyped]  # no py.typed
from ruamel.yaml import YAML
from uuid_utils.compat import uuid7

from loket import settings
from loket.errors import BadNotice, BadSignature, Declined, Unavailable
from loket.systems import accounting, planning
from loket.systems.accounting import (
    Account,
    Accounting,
    Counterparty,
    Entry,
    EntryStatus,
    EntryType,
    Line,
    Posting,
    Vat,
)
from loket.systems.contract import Address
from loket.systems.payments import Checkout, CheckoutStatus, RefundStatus, cents, euro
from loket.systems.planning import Contact, Item, Planning, SlotFull, SlotGone, SlotStatus
from loket.systems.worldline import Worldline
from raw_server import HANG, HANG_UP, Answer, Asked, RawServer, raw_server

KEY = UUID("01943b0a-7c1e-7d2a-9c56-3a1f0b7e4d10")


# ── Worldline ─────────────────────────────────────────────────────────────────────────────────────────

MADE = {"hostedCheckoutId": "3066019730", "RETURNMAC": "abc", "redirectUrl": "https://pay.example/x"}


def worldline(url: str, **changes: object) -> Worldline:
    section = settings.Worldline(
        url=url,
        merchant_id="Lindebeke",
        api_key_id="key-1",
        api_secret="geheim=",
        webhook_key_id="hook-1",
        webhook_secret="hook secret",
    )
    return Worldline(settings.Worldline(**{**vars(section), **changes}), timeout_seconds=0.5)


async def asked_to_pay(module: Worldline, **changes: object) -> Checkout:
    wanted: dict[str, Any] = {
        "key": KEY,
        "reference": "LB-2026-0004711-K",
        "amount": Decimal("60.00"),
        "return_url": "https://www.lindebeke.example/terug?zaak=ë",
        "language": "nl",
        "expires_in": timedelta(hours=1),
        "webhook_url": "https://loket.example/hooks/payments/worldline",
    }
    return await module.create_checkout(**{**wanted, **changes})


def sdk_signature(asked: Asked) -> str:
    configuration = CommunicatorConfiguration(
        api_endpoint="http://127.0.0.1",
        api_key_id="key-1",
        secret_api_key="geheim=",
        authorization_type="v1HMAC",
        connect_timeout=1,
        socket_timeout=1,
        max_connections=1,
        integrator="x",
    )
    signed = [
        RequestHeader(name, value)
        for name, value in asked.headers.items()
        if name in ("date", "content-type") or name.startswith("x-gcs-")
    ]
    uri = urlparse(f"http://127.0.0.1{asked.target}")
    return str(V1HmacAuthenticator(configuration).get_authorization(asked.method, uri, signed))


async def test_worldlines_own_sdk_understands_the_checkout_that_we_ask_for() -> None:
    async with raw_server(Answer(201, MADE)) as raw:
        module = worldline(raw.url)
        checkout = await asked_to_pay(module)
        await module.aclose()
    assert (checkout.id, checkout.url, checkout.return_mac) == ("3066019730", "https://pay.example/x", "abc")
    asked = raw.asked[0]
    assert (asked.method, asked.target) == ("POST", "/v2/Lindebeke/hostedcheckouts")
    assert asked.headers["x-gcs-idempotence-key"] == str(KEY)
    assert CreateHostedCheckoutRequest().from_dictionary(asked.json).to_dictionary() == asked.json
    assert asked.json["order"]["amountOfMoney"] == {"amount": 6000, "currencyCode": "EUR"}
    assert asked.json["hostedCheckoutSpecificInput"]["sessionTimeout"] == 60
    assert asked.json["hostedCheckoutSpecificInput"]["locale"] == "nl_BE"


async def test_worldlines_own_sdk_signs_our_requests_as_we_do() -> None:
    async with raw_server(Answer(201, MADE), Answer(200, {"status": "IN_PROGRESS"})) as raw:
        module = worldline(raw.url)
        await asked_to_pay(module)
        await module.checkout("30660/19730?x=é")
        await module.aclose()
    assert [asked.headers["authorization"] for asked in raw.asked] == [sdk_signature(a) for a in raw.asked]
    assert "content-type" not in raw.asked[1].headers


async def test_a_checkout_whose_answer_was_lost_is_asked_again_in_the_same_words() -> None:
    async with raw_server(HANG_UP, Answer(201, MADE)) as raw:
        module = worldline(raw.url)
        with pytest.raises(Unavailable):
            await asked_to_pay(module)
        await asked_to_pay(module)
        await module.aclose()
    first, second = raw.asked
    assert first.body == second.body
    assert first.headers["x-gcs-idempotence-key"] == second.headers["x-gcs-idempotence-key"]


@pytest.mark.parametrize(
    "answer",
    [
        HANG,
        HANG_UP,
        Answer(500),
        Answer(503),
        Answer(429),
        Answer(201, body=b'{"hosted'),
        Answer(201, {}),
        Answer(201, []),
    ],
)
async def test_no_usable_answer_about_money_may_be_repeated(answer: Answer) -> None:
    async with raw_server(answer) as raw:
        module = worldline(raw.url)
        with pytest.raises(Unavailable):
            await asked_to_pay(module)
        with pytest.raises(Unavailable):
            await module.refund(key=KEY, payment_id="1_0", amount=Decimal(5), left=Decimal(60))
        await module.aclose()


async def test_a_module_that_is_not_there_is_unavailable() -> None:
    module = worldline("http://127.0.0.1:1")
    with pytest.raises(Unavailable):
        await asked_to_pay(module)
    await module.aclose()


async def test_when_to_come_back_is_passed_on() -> None:
    async with raw_server(Answer(503, headers={"Retry-After": "120"})) as raw:
        module = worldline(raw.url)
        with pytest.raises(Unavailable) as failed:
            await asked_to_pay(module)
        await module.aclose()
    assert failed.value.retry_after_seconds == 120
    assert failed.value.http_status == 503


@pytest.mark.parametrize("status", [400, 401, 403, 302])
async def test_a_clear_no_of_the_module_is_not_repeated(status: int) -> None:
    fault = {"errorId": "1", "errors": [{"errorCode": "50001111", "message": "merchantReference too long"}]}
    async with raw_server(Answer(status, fault)) as raw:
        module = worldline(raw.url)
        with pytest.raises(Declined, match="merchantReference too long"):
            await asked_to_pay(module)
        await module.aclose()


async def test_a_key_that_is_still_busy_is_asked_again_and_one_that_was_misused_is_not() -> None:
    busy = {"errors": [{"id": "DUPLICATE_REQUEST_IN_PROGRESS", "errorCode": "1409"}]}
    misused = {"errors": [{"id": "IDEMPOTENCE", "errorCode": "30001002", "retriable": False}]}
    async with raw_server(Answer(409, busy), Answer(409, misused)) as raw:
        module = worldline(raw.url)
        with pytest.raises(Unavailable):
            await module.refund(key=KEY, payment_id="1_0", amount=Decimal(5), left=Decimal(60))
        with pytest.raises(Declined):
            await module.refund(key=KEY, payment_id="1_0", amount=Decimal(5), left=Decimal(60))
        await module.aclose()


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN", "Infinity", "1.005"])
async def test_what_is_not_whole_cents_is_never_asked_for(amount: str) -> None:
    async with raw_server(Answer(201, MADE)) as raw:
        module = worldline(raw.url)
        with pytest.raises(ValueError, match=r"amount|cents"):
            await asked_to_pay(module, amount=Decimal(amount))
        await module.aclose()
    assert raw.asked == []


@given(st.decimals(min_value="0.01", max_value="99999999999999999999999999999999.99", places=2))
def test_euro_become_cents_and_back_exactly(amount: Decimal) -> None:
    assert euro(cents(amount)) == amount
    assert str(euro(cents(amount))).rpartition(".")[2].isdecimal()


@given(st.integers(min_value=1, max_value=10**40))
def test_cents_become_euro_and_back_exactly(whole: int) -> None:
    assert cents(euro(whole)) == whole
    assert euro(whole).as_tuple().exponent == -2


def paid(status: str, code: int = 9, amount: int = 6000, currency: str = "EUR") -> dict[str, Any]:
    return {
        "id": "3066019730_0",
        "status": status,
        "statusOutput": {"statusCode": code, "statusCategory": "COMPLETED"},
        "hostedCheckoutSpecificOutput": {"hostedCheckoutId": "3066019730"},
        "paymentOutput": {
            "amountOfMoney": {"amount": amount, "currencyCode": currency},
            "references": {"merchantReference": "LB-2026-0004711-K"},
        },
    }


@pytest.mark.parametrize(
    ("session", "payment", "status"),
    [
        ("IN_PROGRESS", None, CheckoutStatus.OPEN),
        ("IN_PROGRESS", "REJECTED", CheckoutStatus.OPEN),
        ("IN_PROGRESS", "REDIRECTED", CheckoutStatus.OPEN),
        ("IN_PROGRESS", "CAPTURED", CheckoutStatus.CAPTURED),
        ("CANCELLED_BY_CONSUMER", None, CheckoutStatus.CANCELLED),
        ("CANCELLED_BY_CONSUMER", "CAPTURED", CheckoutStatus.CAPTURED),
        ("PAYMENT_CREATED", "CAPTURED", CheckoutStatus.CAPTURED),
        ("PAYMENT_CREATED", "CAPTURE_REQUESTED", CheckoutStatus.PENDING),
        ("PAYMENT_CREATED", "PENDING_CAPTURE", CheckoutStatus.PENDING),
        ("PAYMENT_CREATED", "REDIRECTED", CheckoutStatus.PENDING),
        ("PAYMENT_CREATED", "SOMETHING_NEW", CheckoutStatus.PENDING),
        ("PAYMENT_CREATED", "REJECTED", CheckoutStatus.FAILED),
        ("PAYMENT_CREATED", "REJECTED_CAPTURE", CheckoutStatus.FAILED),
        ("PAYMENT_CREATED", "CANCELLED", CheckoutStatus.CANCELLED),
        ("PAYMENT_CREATED", "REFUNDED", CheckoutStatus.CAPTURED),
        ("SOMETHING_NEW", None, CheckoutStatus.OPEN),
    ],
)
async def test_each_state_of_a_checkout_has_one_meaning(
    session: str, payment: str | None, status: CheckoutStatus
) -> None:
    document = {"status": session, "unknownField": 1, "createdPaymentOutput": None}
    if payment:
        document["createdPaymentOutput"] = {"payment": paid(payment)}
    async with raw_server(Answer(200, document)) as raw:
        module = worldline(raw.url)
        state = await module.checkout("3066019730")
        await module.aclose()
    assert state.status is status
    if status in (CheckoutStatus.CAPTURED, CheckoutStatus.PENDING, CheckoutStatus.FAILED):
        assert (state.payment_id, state.amount) == ("3066019730_0", Decimal("60.00"))
        assert state.raw_status == f"{payment} 9"


async def test_a_session_that_is_no_longer_known_has_expired_but_a_wrong_address_has_not() -> None:
    unknown = {"errorId": "1", "errors": [{"errorCode": "50001130", "httpStatusCode": 404}]}
    async with raw_server(Answer(404, unknown), Answer(404, body=b"<html>not here</html>")) as raw:
        module = worldline(raw.url)
        assert (await module.checkout("1")).status is CheckoutStatus.EXPIRED
        with pytest.raises(Declined):
            await module.checkout("1")
        await module.aclose()


async def test_money_in_another_currency_is_not_taken_for_euro() -> None:
    document = {
        "status": "PAYMENT_CREATED",
        "createdPaymentOutput": {"payment": paid("CAPTURED", currency="USD")},
    }
    async with raw_server(Answer(200, document)) as raw:
        module = worldline(raw.url)
        with pytest.raises(Unavailable, match="USD"):
            await module.checkout("1")
        await module.aclose()


async def test_a_refund_is_asked_once_per_key_and_read_back_from_its_payment() -> None:
    refund = {"id": "3066019730_1", "status": "REFUND_REQUESTED", "statusOutput": {"statusCode": 81}}
    done = {
        **refund,
        "status": "REFUNDED",
        "refundOutput": {"amountOfMoney": {"amount": 1250, "currencyCode": "EUR"}},
    }
    other = {"id": "3066019730_2", "status": "REJECTED"}
    async with raw_server(HANG_UP, Answer(201, refund), Answer(200, {"refunds": [other, done]})) as raw:
        module = worldline(raw.url)
        with pytest.raises(Unavailable):
            await module.refund(key=KEY, payment_id="3066019730_0", amount=Decimal("12.5"), left=Decimal(60))
        made = await module.refund(
            key=KEY, payment_id="3066019730_0", amount=Decimal("12.5"), left=Decimal(60)
        )
        state = await module.refund_state(made.id)
        failed = await module.refund_state("3066019730_2")
        with pytest.raises(Declined):
            await module.refund_state("3066019730_9")
        await module.aclose()
    assert made.status is RefundStatus.PENDING
    assert (state.status, state.amount) == (RefundStatus.DONE, Decimal("12.50"))
    assert failed.status is RefundStatus.FAILED
    assert raw.asked[0].body == raw.asked[1].body
    assert raw.asked[0].headers["x-gcs-idempotence-key"] == raw.asked[1].headers["x-gcs-idempotence-key"]
    assert RefundRequest().from_dictionary(raw.asked[0].json).to_dictionary() == raw.asked[0].json
    assert raw.asked[2].target == "/v2/Lindebeke/payments/3066019730_0/refunds"


def event(**changes: object) -> bytes:
    told: dict[str, Any] = {
        "apiVersion": "v1",
        "id": "34b8a607-1fce-4003-b3ae-a4d29e92b232",
        "created": "2026-11-21T11:20:40.3744722+01:00",
        "merchantId": "Lindebeke",
        "type": "payment.captured",
        "payment": paid("CAPTURED"),
    }
    return json.dumps({**told, **changes}).encode()


def worldline_signature(body: bytes, key: str = "hook secret", key_id: str = "hook-1") -> dict[str, str]:
    mac = hmac.new(key.encode(), body, hashlib.sha256).digest()
    return {"X-GCS-Signature": base64.b64encode(mac).decode(), "x-gcs-keyid": key_id}


def test_a_notice_of_a_payment_is_read() -> None:
    body = event()
    notice = worldline("http://x").read_notice(worldline_signature(body), body)
    assert notice.id == "34b8a607-1fce-4003-b3ae-a4d29e92b232"
    assert notice.occurred_at == datetime(2026, 11, 21, 10, 20, 40, 374472, tzinfo=UTC)
    assert (notice.reference, notice.checkout_id) == ("LB-2026-0004711-K", "3066019730")
    assert notice.payment is not None
    assert (notice.payment.status, notice.payment.amount) == (CheckoutStatus.CAPTURED, Decimal("60.00"))
    assert notice.refund is None


def test_a_notice_of_a_refund_and_one_of_something_else_are_read() -> None:
    output = {
        "amountOfMoney": {"amount": 6000, "currencyCode": "EUR"},
        "references": {"merchantReference": "LB"},
    }
    refund = {"id": "3066019730_1", "status": "REFUNDED", "refundOutput": output}
    body = event(type="refund.refunded", payment=None, refund=refund)
    notice = worldline("http://x").read_notice(worldline_signature(body), body)
    assert notice.refund is not None
    assert (notice.refund.status, notice.reference, notice.payment) == (RefundStatus.DONE, "LB", None)
    told_as_payment = paid("REFUNDED", code=8) | {"id": "3066019730_1"}
    body = event(type="payment.refunded", payment=told_as_payment)
    notice = worldline("http://x").read_notice(worldline_signature(body), body)
    assert notice.payment is None
    assert notice.refund is not None
    assert (notice.refund.id, notice.refund.amount) == ("3066019730_1", Decimal("60.00"))
    body = event(type="token.created", payment=None, token={"id": "t"})
    notice = worldline("http://x").read_notice(worldline_signature(body), body)
    assert (notice.type, notice.payment, notice.refund) == ("token.created", None, None)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, event()),
        (worldline_signature(event()), event(id="other")),
        (worldline_signature(event()), event() + b" "),
        (worldline_signature(event(), key="guess"), event()),
        (worldline_signature(event(), key_id="unknown"), event()),
        (worldline_signature(event(), key="", key_id="unknown"), event()),
        ({**worldline_signature(event()), "X-GCS-Signature": "é"}, event()),
    ],
)
def test_a_notice_that_is_not_provably_worldlines_is_not_heard(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(BadSignature):
        worldline("http://x").read_notice(headers, body)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"\xff",
        event(apiVersion="v2"),
        event(merchantId="Elders"),
        event(created="yesterday"),
        event(payment={"id": "1_0"}),
        event(payment=paid("CAPTURED", currency="USD")),
        event(payment="CAPTURED"),
    ],
)
def test_a_signed_notice_that_cannot_be_understood_is_named_so(body: bytes) -> None:
    with pytest.raises(BadNotice) as refused:
        worldline("http://x").read_notice(worldline_signature(body), body)
    assert not isinstance(refused.value, BadSignature)


def test_both_webhook_keys_hold_while_one_is_replaced() -> None:
    module = worldline("http://x", webhook_key_id="hook-1, hook-2", webhook_secret="hook secret, second")
    body = event()
    assert module.read_notice(worldline_signature(body), body).id
    assert module.read_notice(worldline_signature(body, key="second", key_id="hook-2"), body).id
    with pytest.raises(BadSignature):
        module.read_notice(worldline_signature(body, key="second", key_id="hook-1"), body)


# ── the published contracts ───────────────────────────────────────────────────────────────────────────

CONTRACTS = Path(accounting.__file__).parent / "contracts"


def contract_of(name: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(CONTRACTS / f"{name}.openapi.yaml")
    return document


def faults(name: str, schema: str, body: object) -> list[str]:
    document = contract_of(name)
    wanted = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    validator = Draft202012Validator(wanted, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [fault.message for fault in validator.iter_errors(body)]


def examples(node: object) -> list[tuple[str, Any]]:
    """(schema, value) of every example in a contract."""
    found = []
    if isinstance(node, dict):
        if "examples" in node and "schema" in node and "$ref" in node["schema"]:
            schema = node["schema"]["$ref"].rpartition("/")[2]
            found += [(schema, example["value"]) for example in node["examples"].values()]
        for part in node.values():
            found += examples(part)
    return found


@pytest.mark.parametrize("name", ["accounting", "planning"])
def test_every_example_in_a_contract_follows_it(name: str) -> None:
    shown = examples(contract_of(name))
    assert len(shown) >= 5
    for schema, value in shown:
        assert faults(name, schema, value) == []


def signed(body: bytes, key: str = "hook secret", at: float | None = None) -> dict[str, str]:
    timestamp = str(int(time.time() if at is None else at))
    mac = hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"loket-timestamp": timestamp, "Loket-Signature": f"v1={mac}"}


def notice(kind: str, data: object, **changes: object) -> bytes:
    told = {"id": "n1", "type": kind, "occurredAt": "2026-12-01T08:00:00+01:00", "data": data}
    return json.dumps({**told, **changes}).encode()


BOOKS = settings.Accounting(url="http://x", token="t", hook_secret="hook secret")
VANS = settings.Planning(url="http://x", token="t", hook_secret="hook secret")


@pytest.mark.parametrize(
    ("name", "reader"), [("accounting", Accounting(BOOKS)), ("planning", Planning(VANS))]
)
def test_every_notice_that_a_contract_shows_is_understood(name: str, reader: Accounting | Planning) -> None:
    shown = [value for schema, value in examples(contract_of(name)["webhooks"]) if schema == "Notice"]
    assert len(shown) >= 3
    for value in shown:
        body = json.dumps(value).encode()
        heard = reader.read_notice(signed(body), body)
        assert (heard.id, heard.type) == (value["id"], value["type"])
        assert heard.said is not None


def test_a_transfer_is_heard_with_its_amount_to_the_cent() -> None:
    data = {
        "paymentId": "p",
        "reference": "090933755493",
        "amount": "60.10",
        "currency": "EUR",
        "valueDate": "2026-11-22",
    }
    body = notice("payment.registered", data, extra=1)
    heard = Accounting(BOOKS).read_notice(signed(body), body)
    assert isinstance(heard.said, accounting.PaymentRegistered)
    assert heard.said.amount == Decimal("60.10")
    assert heard.said.value_date == date(2026, 11, 22)
    assert heard.occurred_at == datetime(2026, 12, 1, 7, tzinfo=UTC)
    assert heard.occurred_at.tzinfo is UTC


def test_a_type_of_notice_that_is_new_to_us_is_kept_apart() -> None:
    body = notice("van.stolen", {})
    assert Planning(VANS).read_notice(signed(body), body).said is None


BODY = notice("slot.cancelled", {"slotId": "s", "reason": "IJzel"})


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(dict, id="unsigned"),
        pytest.param(lambda: signed(BODY + b" "), id="another body"),
        pytest.param(lambda: signed(BODY, key="guess"), id="another key"),
        pytest.param(lambda: signed(BODY, key=""), id="an empty key"),
        pytest.param(lambda: signed(BODY, at=time.time() - 310), id="too old"),
        pytest.param(lambda: signed(BODY, at=time.time() + 310), id="from the future"),
        pytest.param(
            lambda: signed(BODY) | {"loket-timestamp": str(int(time.time()) - 7)}, id="another time"
        ),
        pytest.param(lambda: signed(BODY) | {"loket-timestamp": "soon"}, id="no number"),
        pytest.param(lambda: signed(BODY) | {"loket-timestamp": "²"}, id="no plain digit"),
        pytest.param(lambda: signed(BODY) | {"loket-timestamp": "9" * 400}, id="too long"),
        pytest.param(lambda: signed(BODY) | {"Loket-Signature": "v1=é"}, id="not ASCII"),
        pytest.param(lambda: signed(BODY) | {"Loket-Signature": ""}, id="empty"),
        pytest.param(
            lambda: signed(BODY) | {"Loket-Signature": signed(BODY)["Loket-Signature"].replace("v1", "v0")},
            id="another version",
        ),
    ],
)
def test_a_notice_that_is_forged_or_old_is_not_heard(headers: Callable[[], dict[str, str]]) -> None:
    with pytest.raises(BadSignature):
        Planning(VANS).read_notice(headers(), BODY)


def test_without_a_secret_nothing_is_heard() -> None:
    planning_without = Planning(settings.Planning(url="http://x", token="t", hook_secret=""))
    with pytest.raises(BadSignature):
        planning_without.read_notice(signed(BODY, key=""), BODY)


def test_a_clock_may_be_off_by_less_than_five_minutes() -> None:
    for offset_seconds in (-290, 290):
        headers = signed(BODY, at=time.time() + offset_seconds)
        assert Planning(VANS).read_notice(headers, BODY).id == "n1"


def test_old_and_new_secret_hold_together_on_both_sides() -> None:
    both = Planning(settings.Planning(url="http://x", token="t", hook_secret="old, new"))
    assert both.read_notice(signed(BODY, key="old"), BODY).id
    assert both.read_notice(signed(BODY, key="new"), BODY).id
    at = time.time()
    two = f"{signed(BODY, 'stranger', at)['Loket-Signature']}, {signed(BODY, 'new', at)['Loket-Signature']}"
    assert both.read_notice(signed(BODY, at=at) | {"Loket-Signature": two}, BODY).id


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        notice("slot.cancelled", {"slotId": "s"}),
        notice("slot.cancelled", None),
        notice("slot.cancelled", {"slotId": "s", "reason": "r"}, id=""),
        notice("slot.cancelled", {"slotId": "s", "reason": "r"}, occurredAt="2026-12-01T08:00:00"),
        notice("delivery.missed", {"bookingId": "not a uuid", "reason": "r"}),
    ],
)
def test_a_signed_notice_outside_the_contract_is_named_so(body: bytes) -> None:
    with pytest.raises(BadNotice) as refused:
        Planning(VANS).read_notice(signed(body), body)
    assert not isinstance(refused.value, BadSignature)


@pytest.mark.parametrize("amount", ["0.00", "-5.00", "60.001", "NaN", "1e400", "sixty"])
def test_a_transfer_of_no_or_half_a_cent_is_no_transfer(amount: str) -> None:
    data = {"paymentId": "p", "amount": amount, "currency": "EUR", "valueDate": "2026-11-22"}
    body = notice("payment.registered", data)
    with pytest.raises(BadNotice):
        Accounting(BOOKS).read_notice(signed(body), body)


# ── accounting ────────────────────────────────────────────────────────────────────────────────────────


SALES = {"account": "7010000", "policyItem": "0309-00"}


def invoice(**changes: object) -> Entry:
    wanted: dict[str, Any] = {
        "id": KEY,
        "type": EntryType.INVOICE,
        "journal": "VK-RETRIB",
        "number": "2026/000123",
        "reference": "090933755493",
        "booked_on": date(2026, 11, 21),
        "due_on": date(2026, 12, 21),
        "amount": Decimal(60),
        "counterparty": Counterparty(
            name="Zoë Müller 🌱",
            address=Address(
                street="Kerkstraat", house_number="12", postal_code="2999", municipality="Lindebeke"
            ),
        ),
        "lines": (
            Line(
                description="Compostvat",
                quantity=2,
                amount=Decimal("60.0"),
                budget_key=SALES,
                vat=Vat("S", Decimal(21), Decimal("10.41")),
            ),
        ),
        "postings": (
            Posting(Account.RECEIVABLE, "4000000", debit=Decimal(60)),
            Posting(Account.REVENUE, "7010000", credit=Decimal("49.59"), budget_key=SALES),
            Posting(Account.VAT, "4510000", credit=Decimal("10.41")),
        ),
    }
    return Entry(**{**wanted, **changes})


def booked(status: str = "BOOKED") -> dict[str, Any]:
    return {
        "id": str(KEY),
        "status": status,
        "bookedAt": "2026-11-21T10:15:02+01:00",
        "voucher": "V1",
        "new": 1,
    }


def books(raw: RawServer) -> Accounting:
    return Accounting(settings.Accounting(url=raw.url, token="t", hook_secret="s"), timeout_seconds=0.5)


async def test_an_entry_is_booked_as_the_contract_says() -> None:
    key = uuid7()
    async with raw_server(Answer(201, booked())) as raw:
        package = books(raw)
        receipt = await package.book(invoice(), key=key)
        await package.aclose()
    asked = raw.asked[0]
    assert (asked.method, asked.target) == ("PUT", f"/v1/entries/{KEY}")
    assert asked.headers["authorization"] == "Bearer t"
    assert asked.headers["idempotency-key"] == str(key)
    assert faults("accounting", "Entry", asked.json) == []
    assert asked.json["amount"] == "60.00"
    assert asked.json["counterparty"]["name"] == "Zoë Müller 🌱"
    assert asked.json["lines"][0]["vat"] == {"category": "S", "rate": "21.00", "amount": "10.41"}
    assert asked.json["postings"][1] == {
        "account": "REVENUE",
        "code": "7010000",
        "credit": "49.59",
        "budgetKey": SALES,
    }
    assert receipt.status is EntryStatus.BOOKED
    assert receipt.booked_at == datetime(2026, 11, 21, 9, 15, 2, tzinfo=UTC)


async def test_an_entry_whose_answer_was_lost_is_sent_again_to_the_byte() -> None:
    key = uuid7()
    async with raw_server(HANG_UP, Answer(201, body=b'{"id": "'), Answer(200, booked())) as raw:
        package = books(raw)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await package.book(invoice(), key=key)
        assert (await package.book(invoice(), key=key)).voucher == "V1"
        await package.aclose()
    assert len({(asked.body, asked.headers["idempotency-key"]) for asked in raw.asked}) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Declined), (409, Declined), (422, Declined), (503, Unavailable), (429, Unavailable)],
)
async def test_what_the_package_says_about_an_entry_reaches_a_person(
    status: int, kind: type[Exception]
) -> None:
    problem = {"type": "x", "title": "Niet te boeken", "status": status, "detail": "Dagboek bestaat niet"}
    headers = {"Retry-After": "7", "Content-Type": "application/problem+json"}
    async with raw_server(Answer(status, problem, headers=headers)) as raw:
        package = books(raw)
        with pytest.raises(kind, match="Niet te boeken: Dagboek bestaat niet") as failed:
            await package.book(invoice(), key=KEY)
        await package.aclose()
    assert getattr(failed.value, "retry_after_seconds", None) == (7 if kind is Unavailable else None)


async def test_an_entry_that_is_booked_and_rejected_in_one_breath_is_declined() -> None:
    async with raw_server(Answer(200, booked("REJECTED") | {"reason": "Boekjaar gesloten"})) as raw:
        package = books(raw)
        with pytest.raises(Declined, match="Boekjaar gesloten"):
            await package.book(invoice(), key=KEY)
        assert (await package.entry(KEY)) is not None
        await package.aclose()


async def test_an_entry_that_the_package_does_not_know_is_none() -> None:
    async with raw_server(Answer(404, {"title": "Unknown"}), Answer(401, {"title": "Who?"}), HANG) as raw:
        package = books(raw)
        assert await package.entry(KEY) is None
        with pytest.raises(Declined):
            await package.entry(KEY)
        with pytest.raises(Unavailable):
            await package.entry(KEY)
        await package.aclose()


@pytest.mark.parametrize(
    "change",
    [
        {"amount": Decimal("1.005")},
        {"amount": Decimal(0)},
        {"reference": "+++090/9337/55493+++"},
        {"number": ""},
        {"postings": ()},
        {"amount": Decimal("60.01")},
        {"postings": (Posting(Account.RECEIVABLE, "4000000", debit=Decimal(60)),) * 2},
        {
            "postings": (
                Posting(Account.RECEIVABLE, "4000000", debit=Decimal(60), credit=Decimal(60)),
                Posting(Account.REVENUE, "7010000"),
            )
        },
    ],
)
def test_an_entry_that_nobody_could_book_cannot_be_made(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Entry"):
        invoice(**change)


# ── planning ──────────────────────────────────────────────────────────────────────────────────────────


def vans(raw: RawServer) -> Planning:
    return Planning(settings.Planning(url=raw.url, token="t", hook_secret="s"), timeout_seconds=0.5)


async def booking(tool: Planning, key: UUID = KEY) -> planning.Booked:
    return await tool.book(
        key=key,
        id=KEY,
        slot_id="s1",
        reference="LB-1",
        items=[Item(product="compostvat", quantity=2, description="Compostvat 🌱")],
        address=Address(street="Kerkstraat", house_number="12", postal_code="2999", municipality="Lindebeke"),
        contact=Contact(name="An", phone="+32470123456"),
    )


def slot(id: str, starts_at: str, **changes: object) -> dict[str, Any]:
    told = {"id": id, "startsAt": starts_at, "endsAt": "2026-12-03T16:00:00+01:00", "capacity": 8, "taken": 3}
    return {**told, "area": "Noord", "status": "OPEN", "version": 1, **changes}


async def test_slots_come_in_order_of_time_and_in_utc() -> None:
    shown = [
        slot("b", "2026-12-03T13:00:00+01:00", taken=9),
        slot("a", "2026-12-03T09:00:00+01:00"),
        slot("c", "2026-12-03T14:00:00+01:00", status="CANCELLED"),
    ]
    async with raw_server(Answer(200, {"slots": shown})) as raw:
        tool = vans(raw)
        found = await tool.slots(date(2026, 12, 1), date(2026, 12, 14), "2999")
        await tool.aclose()
    assert raw.asked[0].target == "/v1/slots?from=2026-12-01&to=2026-12-14&kind=delivery&postalCode=2999"
    assert [one.id for one in found] == ["a", "b", "c"]
    assert [one.free for one in found] == [5, 0, 0]
    assert found[0].starts_at == datetime(2026, 12, 3, 8, tzinfo=UTC)
    assert found[2].status is SlotStatus.CANCELLED


async def test_a_place_is_booked_as_the_contract_says() -> None:
    answer = {"id": str(KEY), "slotId": "s1", "status": "BOOKED", "version": 1}
    async with raw_server(HANG_UP, Answer(201, answer)) as raw:
        tool = vans(raw)
        with pytest.raises(Unavailable):
            await booking(tool)
        receipt = await booking(tool)
        await tool.aclose()
    asked = raw.asked[1]
    assert (asked.method, asked.target) == ("PUT", f"/v1/bookings/{KEY}")
    assert faults("planning", "Booking", asked.json) == []
    assert asked.body == raw.asked[0].body
    assert asked.headers["idempotency-key"] == raw.asked[0].headers["idempotency-key"]
    assert (receipt.slot_id, receipt.version) == ("s1", 1)


@pytest.mark.parametrize(
    ("status", "slug", "kind"),
    [
        (409, "slot-full", SlotFull),
        (409, "slot-closed", SlotGone),
        (404, "slot-unknown", SlotGone),
        (409, "idempotency-mismatch", Declined),
        (404, "", Declined),
    ],
)
async def test_why_a_place_cannot_be_had_is_told_apart(status: int, slug: str, kind: type[Exception]) -> None:
    problem = {"type": f"https://loket.example/problems/{slug}", "title": "Nee", "status": status}
    async with raw_server(Answer(status, problem)) as raw:
        tool = vans(raw)
        with pytest.raises(Declined, match="Nee") as refused:
            await booking(tool)
        await tool.aclose()
    assert type(refused.value) is kind


async def test_cancelling_what_is_not_there_succeeds_but_a_wrong_address_is_noticed() -> None:
    unknown = {"type": "https://loket.example/problems/booking-unknown", "title": "Unknown", "status": 404}
    late = {"type": "https://loket.example/problems/already-delivered", "title": "Geleverd", "status": 409}
    async with raw_server(
        Answer(204), Answer(404, unknown), Answer(404, body=b"<html>"), Answer(409, late), HANG
    ) as raw:
        tool = vans(raw)
        await tool.cancel(KEY, key=KEY)
        await tool.cancel(KEY, key=KEY)
        with pytest.raises(Declined):
            await tool.cancel(KEY, key=KEY)
        with pytest.raises(Declined, match="Geleverd"):
            await tool.cancel(KEY, key=KEY)
        with pytest.raises(Unavailable):
            await tool.cancel(KEY, key=KEY)
        await tool.aclose()
    assert {(asked.method, asked.target) for asked in raw.asked} == {("DELETE", f"/v1/bookings/{KEY}")}
