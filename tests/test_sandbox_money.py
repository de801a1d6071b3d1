"""The sandbox's payment module, accounting, planning, SMS and mail, judged by parties of their own."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import aiosmtplib
import httpx2
import pytest
from jsonschema import Draft202012Validator
from onlinepayments.sdk.call_context import CallContext  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.communication.request_header import RequestHeader  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.communicator_configuration import CommunicatorConfiguration  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.domain.amount_of_money import AmountOfMoney  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.domain.cancel_payment_request import CancelPaymentRequest  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.domain.create_hosted_checkout_request import CreateHostedCheckoutRequest  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.domain.feedbacks import Feedbacks  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.domain.hosted_checkout_specific_input import HostedCheckoutSpecificInput  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.domain.order import Order  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.domain.order_references import OrderReferences  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.domain.refund_request import RefundRequest  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.factory import Factory  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.idempotence_exception import IdempotenceException  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.json.default_marshaller import DefaultMarshaller  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.validation_exception import ValidationException  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.webhooks.in_memory_secret_key_store import InMemorySecretKeyStore  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.webhooks.signature_validation_exception import SignatureValidationException  # type: ignore[import-untyped]  # no py.typed
from onlinepayments.sdk.webhooks.webhooks_helper import WebhooksHelper  # type: ignore[import-untyped]  # no py.typed
from ruamel.yaml import YAML
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]  # no py.typed
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]  # no py.typed
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # no py.typed
from twilio.rest import Client  # type: ignore[import-untyped]  # no py.typed

import loket.systems
from loket.sandbox import accounting, acmidm, belgian_days, planning, sms, smtp, worldline
from loket.sandbox.house import House, sandbox
from loket.sandbox.personas import Citizen, person
from loket.sandbox.system import System

Sdk = Any
"""What comes out of an SDK, which has no types."""


@dataclass
class Heard:
    """One request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class Receiver:
    """Stands where Loket would stand: writes down what it is told, and answers as it is bidden."""

    url: str
    heard: list[Heard] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """Status codes for the next requests; after that 204."""

    async def until(self, enough: Callable[[list[Heard]], Any], seconds: float = 10.0) -> list[Heard]:
        async with asyncio.timeout(seconds):
            while not enough(self.heard):  # noqa: ASYNC110  # the server runs in a thread of its own
                await asyncio.sleep(0.02)
        return self.heard

    def types(self) -> list[str]:
        return [one.json["type"] for one in self.heard]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = found.answers.pop(0) if found.answers else 204
            found.heard.append(Heard(self.path, dict(self.headers.items()), body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


# Worldline, seen by its own SDK ---------------------------------------------------------------------

WEBHOOK_KEYS = ("webhook-key", "webhook-secret")


@dataclass
class Merchant:
    """A merchant with Worldline's SDK, and the citizen's browser beside it."""

    house: House
    receiver: Receiver
    browser: httpx2.AsyncClient
    sdk: Any

    @property
    def url(self) -> str:
        return self.house.config.url("worldline")

    async def open(self, cents: int = 6000, *, key: str | None = None, minutes: int | None = None) -> Sdk:
        body = CreateHostedCheckoutRequest()
        body.order = Order()
        body.order.amount_of_money = AmountOfMoney()
        body.order.amount_of_money.amount = cents
        body.order.amount_of_money.currency_code = "EUR"
        body.order.references = OrderReferences()
        body.order.references.merchant_reference = "090933755493"
        body.hosted_checkout_specific_input = HostedCheckoutSpecificInput()
        body.hosted_checkout_specific_input.locale = "nl_BE"
        body.hosted_checkout_specific_input.return_url = "https://www.lindebeke.example/betaald?zaak=7"
        body.hosted_checkout_specific_input.session_timeout = minutes
        context = CallContext(idempotence_key=key or str(uuid.uuid4()))
        return await asyncio.to_thread(self.sdk.hosted_checkout().create_hosted_checkout, body, context)

    async def status(self, checkout: Sdk) -> Sdk:
        return await asyncio.to_thread(
            self.sdk.hosted_checkout().get_hosted_checkout, checkout.hosted_checkout_id
        )

    async def payment(self, payment_id: str) -> Sdk:
        return await asyncio.to_thread(self.sdk.payments().get_payment, payment_id)

    async def refund(self, payment_id: str, cents: int | None, key: str | None = None) -> Sdk:
        body = RefundRequest()
        if cents is not None:
            body.amount_of_money = AmountOfMoney()
            body.amount_of_money.amount = cents
            body.amount_of_money.currency_code = "EUR"
        context = CallContext(idempotence_key=key or str(uuid.uuid4()))
        return await asyncio.to_thread(self.sdk.payments().refund_payment, payment_id, body, context)

    async def does(self, checkout: Sdk, action: str) -> httpx2.Response:
        return await self.browser.post(checkout.redirect_url, data={"action": action})

    def event(self, heard: Heard) -> Sdk:
        """As the SDK reads a webhook. Raises when the signature does not hold."""
        keys = InMemorySecretKeyStore.instance()
        keys.store_secret_key(*WEBHOOK_KEYS)
        headers = [RequestHeader(name, value) for name, value in heard.headers.items()]
        return WebhooksHelper(DefaultMarshaller.instance(), keys).unmarshal(heard.body, headers)


@pytest.fixture
async def merchant(receiver: Receiver) -> AsyncIterator[Merchant]:
    config = {
        "port": 0,
        "worldline": {
            "merchant_id": "lindebeke",
            "api_key_id": "api-key",
            "api_secret": "api-secret",
            "webhook_key_id": WEBHOOK_KEYS[0],
            "webhook_secret": WEBHOOK_KEYS[1],
            "webhook_url": f"{receiver.url}/hooks",
        },
    }
    async with sandbox(config, (worldline.SYSTEM,)) as house, httpx2.AsyncClient(trust_env=False) as browser:
        communicator = CommunicatorConfiguration(
            api_endpoint=house.config.url("worldline"),
            api_key_id="api-key",
            secret_api_key="api-secret",
            authorization_type="v1HMAC",
            connect_timeout=5,
            socket_timeout=10,
            max_connections=4,
            integrator="Lindebeke",
        )
        client = Factory.create_client_from_configuration(communicator)
        yield Merchant(house, receiver, browser, client.merchant("lindebeke"))
        client.close()


async def test_a_citizen_pays_and_the_sdk_sees_the_money(merchant: Merchant) -> None:
    checkout = await merchant.open()
    assert (await merchant.status(checkout)).status == "IN_PROGRESS"

    shown = await merchant.browser.get(checkout.redirect_url)
    assert "€ 60,00" in shown.text
    assert "090933755493" in shown.text
    back = await merchant.does(checkout, "pay")

    assert back.status_code == 303
    returned = parse_qs(urlsplit(back.headers["location"]).query)
    assert returned == {
        "zaak": ["7"],
        "RETURNMAC": [checkout.returnmac],
        "hostedCheckoutId": [checkout.hosted_checkout_id],
    }
    found = await merchant.status(checkout)
    payment = found.created_payment_output.payment
    assert found.status == "PAYMENT_CREATED"
    assert found.created_payment_output.payment_status_category == "SUCCESSFUL"
    assert (payment.status, payment.status_output.status_code) == ("CAPTURED", 9)
    assert payment.payment_output.amount_of_money.amount == 6000
    assert payment.payment_output.references.merchant_reference == "090933755493"
    assert (await merchant.payment(payment.id)).status == "CAPTURED"


async def test_the_sdk_reads_the_signed_webhooks_and_refuses_a_changed_one(merchant: Merchant) -> None:
    checkout = await merchant.open()
    await merchant.does(checkout, "pay")

    heard = await merchant.receiver.until(lambda heard: len(heard) >= 2)
    events = [merchant.event(one) for one in heard]

    assert {event.type for event in events} == {"payment.created", "payment.captured"}
    captured = next(event for event in events if event.type == "payment.captured")
    assert captured.merchant_id == "lindebeke"
    assert captured.payment.status_output.status_code == 9
    changed = Heard(heard[0].path, heard[0].headers, heard[0].body.replace(b"6000", b"9000"))
    with pytest.raises(SignatureValidationException):
        merchant.event(changed)


async def test_a_repeated_request_opens_one_checkout_and_another_body_is_a_conflict(
    merchant: Merchant,
) -> None:
    first = await merchant.open(key="order-7")
    again = await merchant.open(key="order-7")

    assert again.hosted_checkout_id == first.hosted_checkout_id
    with pytest.raises(IdempotenceException):
        await merchant.open(9900, key="order-7")
    shown = (await merchant.browser.get(f"{merchant.url}/sim/checkouts")).json()
    assert [one["amount"] for one in shown] == [6000]


async def test_who_cancels_lets_expire_or_is_refused_has_not_paid(merchant: Merchant) -> None:
    cancelled, expired, refused = [await merchant.open() for _ in range(3)]
    back = await merchant.does(cancelled, "cancel")
    gone = await merchant.does(expired, "expire")
    await merchant.does(refused, "refuse")

    assert back.headers["location"].startswith("https://www.lindebeke.example/betaald?zaak=7&RETURNMAC=")
    assert "De tijd om te betalen is verstreken" in gone.text
    assert (await merchant.status(cancelled)).status == "CANCELLED_BY_CONSUMER"
    assert (await merchant.status(expired)).status == "CANCELLED_BY_CONSUMER"
    found = await merchant.status(refused)
    assert found.created_payment_output.payment_status_category == "REJECTED"
    assert found.created_payment_output.payment.status_output.status_code == 2
    late = await merchant.does(cancelled, "pay")
    assert "U hebt deze betaling geannuleerd" in late.text
    assert (await merchant.status(cancelled)).status == "CANCELLED_BY_CONSUMER"


async def test_a_session_is_over_after_its_time(merchant: Merchant) -> None:
    checkout = await merchant.open(minutes=1)
    state = merchant.house.states["worldline"]
    kept = state.get("checkout", checkout.hosted_checkout_id)
    assert kept is not None
    assert (
        timedelta(0) < datetime.fromisoformat(kept["expiresAt"]) - datetime.now(UTC) <= timedelta(minutes=1)
    )
    state.put("checkout", kept["id"], kept | {"expiresAt": datetime.now(UTC).isoformat()})

    await merchant.does(checkout, "pay")

    assert (await merchant.status(checkout)).status == "CANCELLED_BY_CONSUMER"


async def test_an_uncertain_payment_is_captured_later_or_refused(merchant: Merchant) -> None:
    good, bad = await merchant.open(), await merchant.open()
    order = f"{merchant.url}/sim/checkouts"
    await merchant.browser.post(f"{order}/{good.hosted_checkout_id}/pending", json={"settleSeconds": 0.3})
    unsettled = await merchant.browser.post(f"{order}/{bad.hosted_checkout_id}/pending")
    payment_id = unsettled.json()["paymentId"]
    assert (await merchant.status(good)).created_payment_output.payment.status_output.status_code == 91

    await merchant.browser.post(
        f"{merchant.url}/sim/payments/{payment_id}/settle", json={"outcome": "rejected"}
    )
    await merchant.receiver.until(
        lambda heard: {"payment.captured", "payment.rejected_capture"} <= {one.json["type"] for one in heard}
    )

    assert (await merchant.status(good)).created_payment_output.payment.status_output.status_code == 9
    assert (await merchant.payment(payment_id)).status_output.status_code == 93


async def test_money_goes_back_once_and_never_more_than_was_paid(merchant: Merchant) -> None:
    checkout = await merchant.open()
    await merchant.does(checkout, "pay")
    payment_id = (await merchant.status(checkout)).created_payment_output.payment.id

    refund = await merchant.refund(payment_id, 4000, "refund-1")
    again = await merchant.refund(payment_id, 4000, "refund-1")

    assert (refund.status, refund.status_output.status_code) == ("REFUND_REQUESTED", 81)
    assert again.id == refund.id
    with pytest.raises(ValidationException):
        await merchant.refund(payment_id, 2001)
    heard = await merchant.receiver.until(
        lambda heard: any(one.json["type"] == "payment.refunded" for one in heard)
    )
    told = merchant.event(next(one for one in heard if one.json["type"] == "payment.refunded"))
    assert (told.refund.id, told.refund.refund_output.amount_of_money.amount) == (refund.id, 4000)
    listed = await asyncio.to_thread(merchant.sdk.refunds().get_refunds, payment_id)
    assert [(one.id, one.status) for one in listed.refunds] == [(refund.id, "REFUNDED")]
    assert (await merchant.payment(refund.id)).status_output.status_code == 8
    rest = await merchant.refund(payment_id, None)
    assert rest.refund_output.amount_of_money.amount == 2000


async def test_only_an_authorised_payment_can_be_cancelled(merchant: Merchant) -> None:
    checkout = await merchant.open()
    url = f"{merchant.url}/sim/checkouts/{checkout.hosted_checkout_id}/authorise"
    payment_id = (await merchant.browser.post(url)).json()["paymentId"]
    cancel = merchant.sdk.payments().cancel_payment

    cancelled = await asyncio.to_thread(cancel, payment_id, CancelPaymentRequest())

    assert cancelled.payment.status == "CANCELLED"
    with pytest.raises(ValidationException):
        await asyncio.to_thread(cancel, payment_id, CancelPaymentRequest())


def v1hmac(
    method: str, path: str, content_type: str = "", *, when: str = "", key: str = "api-secret"
) -> dict[str, str]:
    """Headers of a signed request, written from the documentation."""
    when = when or formatdate(usegmt=True)
    signed = f"{method}\n{content_type}\n{when}\n{path}\n"
    mac = base64.b64encode(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()).decode()
    return {"Date": when, "Authorization": f"GCS v1HMAC:api-key:{mac}"}


async def test_requests_without_a_good_signature_are_turned_away(merchant: Merchant) -> None:
    path = "/v2/lindebeke/services/testconnection"

    async def asked(headers: dict[str, str]) -> int:
        return (await merchant.browser.get(merchant.url + path, headers=headers)).status_code

    old = formatdate((datetime.now(UTC) - timedelta(minutes=6)).timestamp(), usegmt=True)
    assert await asked(v1hmac("GET", path)) == 200
    assert await asked({}) == 401
    assert await asked(v1hmac("GET", path, key="guess")) == 403
    assert await asked(v1hmac("GET", path, when=old)) == 403
    assert await asked(v1hmac("GET", "/v2/lindebeke/other")) == 403
    # Some SDKs send a Content-Type on GET, yet sign that line as empty.
    assert await asked(v1hmac("GET", path) | {"Content-Type": "application/json"}) == 200
    strange = path.replace("lindebeke", "another")
    answer = await merchant.browser.get(merchant.url + strange, headers=v1hmac("GET", strange))
    assert answer.status_code == 403


async def test_a_request_that_the_module_cannot_use_names_its_property(merchant: Merchant) -> None:
    path = "/v2/lindebeke/hostedcheckouts"

    async def refused(body: dict[str, Any]) -> str:
        headers = v1hmac("POST", path, "application/json") | {"Content-Type": "application/json"}
        answer = await merchant.browser.post(merchant.url + path, content=json.dumps(body), headers=headers)
        assert answer.status_code == 400
        found: str = answer.json()["errors"][0]["propertyName"]
        return found

    money = {"amount": 6000, "currencyCode": "EUR"}
    assert await refused({}) == "order"
    assert (
        await refused({"order": {"amountOfMoney": money | {"amount": 60.0}}}) == "order.amountOfMoney.amount"
    )
    wrong = {"order": {"amountOfMoney": money}, "hostedCheckoutSpecificInput": {"returnUrl": "betaald"}}
    assert await refused(wrong) == "hostedCheckoutSpecificInput.returnUrl"


async def test_a_webhook_is_sent_again_until_it_is_heard(merchant: Merchant) -> None:
    merchant.receiver.answers = [500, 500]
    checkout = await merchant.open()
    await merchant.does(checkout, "pay")

    heard = await merchant.receiver.until(lambda heard: len(heard) >= 4)

    ids = [one.json["id"] for one in heard]
    assert sorted(ids.count(one) for one in set(ids)) == [2, 2]
    async with asyncio.timeout(10):  # an attempt is listed once its answer came
        while [len(one["attempts"]) for one in await _listed(merchant)] != [2, 2]:  # noqa: ASYNC110  # the sandbox's own list
            await asyncio.sleep(0.02)


async def _listed(merchant: Merchant) -> list[Any]:
    found: list[Any] = (await merchant.browser.get(f"{merchant.url}/sim/callbacks")).json()
    return found


async def test_webhooks_can_come_twice_late_in_the_wrong_order_or_never(merchant: Merchant) -> None:
    url, browser = merchant.url, merchant.browser

    async def fault(**fault: object) -> None:
        assert (await browser.post(f"{url}/sim/faults", json=fault)).status_code == 201

    await fault(mode="duplicate", path="hook:payment.created", count=1)
    await merchant.does(await merchant.open(), "pay")
    await merchant.receiver.until(lambda heard: len(heard) == 3)
    assert sorted(merchant.receiver.types()) == ["payment.captured", "payment.created", "payment.created"]

    merchant.receiver.heard.clear()
    await browser.put(f"{url}/sim/callbacks/rule", json={"mode": "hold"})
    await merchant.does(await merchant.open(), "pay")
    await asyncio.sleep(0.2)
    assert merchant.receiver.heard == []
    await browser.post(f"{url}/sim/callbacks/release", json={"order": "reversed"})
    await merchant.receiver.until(lambda heard: len(heard) == 2)
    assert merchant.receiver.types() == ["payment.captured", "payment.created"]

    merchant.receiver.heard.clear()
    await browser.put(f"{url}/sim/callbacks/rule", json={"mode": "lose", "type": "payment.captured"})
    await merchant.does(await merchant.open(), "pay")
    await merchant.receiver.until(lambda heard: len(heard) == 1)
    await asyncio.sleep(0.4)
    assert merchant.receiver.types() == ["payment.created"]

    merchant.receiver.heard.clear()
    await browser.put(f"{url}/sim/callbacks/rule", json={"mode": "send"})
    await fault(mode="lose_answer", path="hook:payment.captured", count=1)
    await fault(mode="malformed", path="hook:payment.created", count=1)
    await merchant.does(await merchant.open(), "pay")
    heard = await merchant.receiver.until(lambda heard: len(heard) >= 3)
    spoiled = [one for one in heard if not one.body.endswith(b"}")]
    assert len(spoiled) == 1
    with pytest.raises(SignatureValidationException):
        merchant.event(spoiled[0])


async def test_webhook_addresses_of_the_request_take_the_place_of_the_configured_one(
    merchant: Merchant,
) -> None:
    body = CreateHostedCheckoutRequest()
    body.order = Order()
    body.order.amount_of_money = AmountOfMoney()
    body.order.amount_of_money.amount = 1200
    body.order.amount_of_money.currency_code = "EUR"
    body.feedbacks = Feedbacks()
    body.feedbacks.webhooks_urls = [f"{merchant.receiver.url}/one", f"{merchant.receiver.url}/two"]
    checkout = await asyncio.to_thread(merchant.sdk.hosted_checkout().create_hosted_checkout, body)
    await merchant.does(checkout, "pay")

    heard = await merchant.receiver.until(lambda heard: len(heard) >= 4)

    assert {one.path for one in heard} == {"/one", "/two"}


# The published contracts ----------------------------------------------------------------------------

CONTRACTS = Path(loket.systems.__file__).parent / "contracts"


def contract_faults(file: str, schema: str, document: object) -> list[str]:
    """Judged by the published file itself."""
    components = YAML(typ="safe").load(CONTRACTS / file)["components"]
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": components})
    return [fault.message for fault in validator.iter_errors(document)]


def is_signed(heard: Heard, secret: str) -> bool:
    timestamp = heard.headers["Loket-Timestamp"]
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + heard.body, hashlib.sha256).hexdigest()
    fresh = abs(int(timestamp) - datetime.now(UTC).timestamp()) < 30
    return fresh and heard.headers["Loket-Signature"] == f"v1={mac}"


@dataclass
class Caller:
    """Who calls a system by its contract."""

    url: str
    http: httpx2.AsyncClient
    receiver: Receiver

    async def put(
        self,
        path: str,
        document: object,
        *,
        key: str | None = None,
        token: str = "token",  # noqa: S107
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key or str(uuid.uuid4())}
        return await self.http.put(self.url + path, json=document, headers=headers)

    async def get(self, path: str) -> httpx2.Response:
        return await self.http.get(self.url + path, headers={"Authorization": "Bearer token"})

    async def delete(self, path: str) -> httpx2.Response:
        headers = {"Authorization": "Bearer token", "Idempotency-Key": str(uuid.uuid4())}
        return await self.http.delete(self.url + path, headers=headers)

    async def order(self, path: str, order: dict[str, Any] | None = None) -> httpx2.Response:
        return await self.http.post(f"{self.url}/sim/{path}", json=order or {})

    async def told(self, kind: str) -> Heard:
        """The first notice of a kind, which must be signed and follow the contract."""
        heard = await self.receiver.until(lambda heard: [one for one in heard if one.json["type"] == kind])
        return next(one for one in heard if one.json["type"] == kind)


@asynccontextmanager
async def called(system: System, receiver: Receiver) -> AsyncIterator[Caller]:
    section = {"token": "token", "hook_url": f"{receiver.url}/hooks", "hook_secret": "hook-secret"}
    async with (
        sandbox({"port": 0, system.name: section}, (system,)) as house,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        yield Caller(house.config.url(system.name), http, receiver)


@pytest.fixture
async def books(receiver: Receiver) -> AsyncIterator[Caller]:
    async with called(accounting.SYSTEM, receiver) as caller:
        yield caller


SALES = {"year": "2026", "account": "7010000", "policyItem": "0309-00"}


def invoice(**other: object) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "type": "INVOICE",
        "journal": "VK-RETRIB",
        "number": "2026/000123",
        "reference": "090933755493",
        "bookedOn": "2026-11-21",
        "dueOn": "2026-12-21",
        "amount": "60.00",
        "currency": "EUR",
        "counterparty": {"name": "An Peeters"},
        "lines": [
            {"description": "Compostvat", "quantity": 2, "amount": "60.00", "budgetKey": SALES},
        ],
        "postings": [
            {"account": "RECEIVABLE", "code": "4000000", "debit": "60.00"},
            {"account": "REVENUE", "code": "7010000", "credit": "60.00", "budgetKey": SALES},
        ],
    } | other


def payment_of(booked: dict[str, Any], **other: object) -> dict[str, Any]:
    entry = booked | {
        "id": str(uuid.uuid4()),
        "type": "PAYMENT",
        "journal": "FIN-WORLDLINE",
        "number": "3066019730_0",
        "invoiceNumber": booked["number"],
        "lines": [],
        "postings": [
            {"account": "MODULE", "code": "5800000", "debit": booked["amount"]},
            {"account": "RECEIVABLE", "code": "4000000", "credit": booked["amount"]},
        ],
        "paymentMethod": "ONLINE",
    }
    del entry["dueOn"]
    return entry | other


async def test_an_entry_is_booked_once_however_often_it_is_sent(books: Caller) -> None:
    entry, key = invoice(), str(uuid.uuid4())

    first = await books.put(f"/v1/entries/{entry['id']}", entry, key=key)
    again = await books.put(f"/v1/entries/{entry['id']}", entry, key=key)
    other_key = await books.put(f"/v1/entries/{entry['id']}", entry)
    other_body = await books.put(f"/v1/entries/{entry['id']}", entry | {"amount": "61.00"}, key=key)
    changed = await books.put(f"/v1/entries/{entry['id']}", entry | {"bookedOn": "2026-11-22"})
    taken = await books.put(f"/v1/entries/{uuid.uuid4()}", invoice())

    assert (first.status_code, again.status_code, other_key.status_code) == (201, 201, 200)
    assert first.json() == again.json() == other_key.json()
    assert contract_faults("accounting.openapi.yaml", "Booked", first.json()) == []
    assert other_body.status_code == 409
    assert other_body.json()["type"].endswith("/idempotency-mismatch")
    assert changed.json()["type"].endswith("/entry-exists")
    assert taken.status_code == 400
    second = invoice()
    assert (await books.put(f"/v1/entries/{second['id']}", second)).json()["type"].endswith("/entry-exists")
    assert len((await books.http.get(f"{books.url}/sim/entries")).json()) == 1
    assert (await books.get(f"/v1/entries/{entry['id']}")).json() == first.json()
    assert (await books.get(f"/v1/entries/{uuid.uuid4()}")).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "status", "pointer"),
    [
        ({"amount": "60"}, 400, "/amount"),
        ({"amount": 60.0}, 400, "/amount"),
        ({"currency": "USD"}, 400, "/currency"),
        ({"bookedOn": "21/11/2026"}, 400, "/bookedOn"),
        ({"counterparty": {}}, 400, "/counterparty"),
        ({"reference": "090933755494"}, 422, "/reference"),
        ({"amount": "61.00"}, 422, "/lines"),
        ({"dueOn": "2026-11-20"}, 422, "/dueOn"),
        ({"paymentMethod": "ONLINE"}, 422, "/paymentMethod"),
    ],
)
async def test_a_bookkeeper_refuses_what_is_wrong(
    books: Caller, wrong: dict[str, Any], status: int, pointer: str
) -> None:
    entry = invoice(**wrong)

    answer = await books.put(f"/v1/entries/{entry['id']}", entry)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert contract_faults("accounting.openapi.yaml", "Problem", answer.json()) == []
    assert pointer in [one["pointer"] for one in answer.json()["errors"]]


def sides(*postings: tuple[str, str, str, str]) -> list[dict[str, Any]]:
    """Postings by account, code, side and amount; revenue with its budget key."""
    return [
        {"account": account, "code": code, side: amount}
        | ({"budgetKey": SALES} if account == "REVENUE" else {})
        for account, code, side, amount in postings
    ]


OWED = ("RECEIVABLE", "4000000", "debit", "60.00")
SOLD = ("REVENUE", "7010000", "credit", "60.00")


@pytest.mark.parametrize(
    ("postings", "status", "pointer"),
    [
        ([], 400, "/postings"),
        (sides(OWED), 400, "/postings"),
        (sides(OWED, ("REVENUE", "7010000", "credit", "59.00")), 422, "/postings"),
        (sides(OWED, SOLD, OWED, SOLD), 422, "/postings"),
        (sides(OWED, ("SALES", "7010000", "credit", "60.00")), 400, "/postings/1/account"),
        (sides(OWED, ("REVENUE", "x", "credit", "60.00")), 400, "/postings/1/code"),
        (sides(OWED, ("REVENUE", "7020000", "credit", "60.00")), 422, "/postings/1"),
        (sides(OWED, ("COSTS", "7450000", "credit", "60.00")), 422, "/postings/1"),
        (sides(("RECEIVABLE", "6000000", "debit", "60.00"), SOLD), 422, "/postings/0"),
        (sides(OWED, SOLD, ("VAT", "4510000", "credit", "0.00")), 422, "/postings/2"),
        (sides(OWED, ("REVENUE", "7010000", "credit", "50.00"), ("VAT", "4510000", "credit", "10.00")),
         422, "/postings"),
        ([sides(OWED)[0] | {"credit": "60.00"}, *sides(SOLD)], 400, "/postings/0"),
        ([sides(OWED)[0] | {"budgetKey": SALES}, *sides(SOLD)], 422, "/postings/0"),
        ([*sides(OWED), {name: value for name, value in sides(SOLD)[0].items() if name != "budgetKey"}],
         422, "/postings/1"),
        ([*sides(OWED), sides(SOLD)[0] | {"budgetKey": SALES | {"dream": "x"}}], 422, "/postings/1"),
    ],
)  # fmt: skip
async def test_postings_that_are_no_double_entry_are_refused(
    books: Caller, postings: list[dict[str, Any]], status: int, pointer: str
) -> None:
    entry = invoice(postings=postings)
    answer = await books.put(f"/v1/entries/{entry['id']}", entry)
    assert answer.status_code == status
    assert pointer in [one["pointer"] for one in answer.json()["errors"]]
    assert (await books.http.get(f"{books.url}/sim/trial-balance")).json() == []


async def test_a_closed_account_is_refused_and_taken_when_it_is_open_again(books: Caller) -> None:
    entry = invoice()
    path = f"/v1/entries/{entry['id']}"
    await books.order("budget", {"closed": ["7010000"]})
    refused = await books.put(path, entry)
    await books.order("budget", {"closed": []})
    taken = await books.put(path, entry)
    assert (refused.status_code, taken.status_code) == (422, 201)
    assert refused.json()["detail"] == "rekening 7010000 is afgesloten"


async def test_what_the_clerk_rejected_may_be_put_again_and_is_judged_anew(books: Caller) -> None:
    entry = invoice()
    path = f"/v1/entries/{entry['id']}"
    voucher = (await books.put(path, entry)).json()["voucher"]
    await books.order(f"entries/{entry['id']}/reject", {"reason": "Ramingsnummer is afgesloten"})
    assert (await books.http.get(f"{books.url}/sim/trial-balance")).json() == []
    again = await books.put(path, entry | {"bookedOn": "2026-11-22"})
    assert (again.status_code, again.json()["voucher"]) == (201, voucher)
    assert len((await books.http.get(f"{books.url}/sim/trial-balance")).json()) == 2


async def test_the_trial_balance_has_what_loket_booked_and_what_the_package_did_itself(books: Caller) -> None:
    owed = invoice()
    await books.put(f"/v1/entries/{owed['id']}", owed)
    for name in (owed["reference"], "factuur 7"):
        await books.order("transfer", {"reference": name, "amount": "70.00"})
    back = [
        {"account": "RECEIVABLE", "code": "4000000", "debit": "10.00"},
        {"account": "REFUNDABLE", "code": "4890000", "credit": "10.00"},
    ]
    due = payment_of(owed, type="REFUND_DUE", paymentMethod="TRANSFER", amount="10.00", postings=back)
    assert (await books.put(f"/v1/entries/{due['id']}", due)).status_code == 201
    await books.order(f"entries/{due['id']}/execute")
    found = (await books.http.get(f"{books.url}/sim/trial-balance")).json()
    assert {one["account"]: (one["debit"], one["credit"]) for one in found} == {
        "RECEIVABLE": ("70.00", "70.00"),
        "REVENUE": ("0", "60.00"),
        "REFUNDABLE": ("10.00", "10.00"),
        "SUSPENSE": ("0", "70.00"),
        "BANK": ("140.00", "10.00"),
    }


async def test_a_payment_needs_its_invoice_first(books: Caller) -> None:
    owed = invoice()
    payment = payment_of(owed)

    early = await books.put(f"/v1/entries/{payment['id']}", payment)
    await books.put(f"/v1/entries/{owed['id']}", owed)
    late = await books.put(f"/v1/entries/{payment['id']}", payment)

    assert (early.status_code, late.status_code) == (422, 201)


async def test_without_its_token_or_key_nothing_is_booked(books: Caller) -> None:
    entry = invoice()
    path = f"/v1/entries/{entry['id']}"

    assert (await books.put(path, entry, token="guess")).status_code == 401
    assert (await books.put(path, entry, key="not-a-uuid")).status_code == 400
    assert (await books.get(path)).status_code == 404


async def test_a_transfer_is_told_until_it_is_heard_and_signed_anew(books: Caller) -> None:
    books.receiver.answers = [503, 401]

    await books.order(
        "transfer", {"reference": "+++090/9337/55493+++", "amount": "60.00", "payer": "PEETERS AN"}
    )
    heard = await books.receiver.until(lambda heard: len(heard) == 3)

    assert len({one.body for one in heard}) == 1
    assert all(is_signed(one, "hook-secret") for one in heard)
    assert contract_faults("accounting.openapi.yaml", "Notice", heard[0].json) == []
    data = heard[0].json["data"]
    assert (data["reference"], data["amount"], data["payerName"]) == ("090933755493", "60.00", "PEETERS AN")
    assert data["remittance"] == "+++090/9337/55493+++"
    await asyncio.sleep(0.3)
    assert len(books.receiver.heard) == 3


async def test_an_unreadable_notice_is_not_repeated(books: Caller) -> None:
    books.receiver.answers = [400]

    await books.order("transfer", {"reference": "factuur 7", "amount": "60.00"})
    heard = await books.receiver.until(lambda heard: heard)
    await asyncio.sleep(0.5)

    assert heard[0].json["data"]["reference"] is None
    assert len(books.receiver.heard) == 1
    assert [one["state"] for one in (await books.http.get(f"{books.url}/sim/callbacks")).json()] == [
        "REFUSED"
    ]


async def test_a_refund_is_executed_and_an_entry_rejected_by_the_clerk(books: Caller) -> None:
    owed = invoice()
    await books.put(f"/v1/entries/{owed['id']}", owed)
    sides = [
        {"account": "RECEIVABLE", "code": "4000000", "debit": "60.00"},
        {"account": "REFUNDABLE", "code": "4890000", "credit": "60.00"},
    ]
    refund = payment_of(owed, type="REFUND_DUE", paymentMethod="TRANSFER", postings=sides, number="T-1")
    assert (await books.put(f"/v1/entries/{refund['id']}", refund)).status_code == 201

    assert (await books.order(f"entries/{owed['id']}/execute")).status_code == 409
    await books.order(f"entries/{refund['id']}/execute")
    await books.order(f"entries/{owed['id']}/reject", {"reason": "Ramingsnummer is afgesloten"})

    executed, rejected = await books.told("refund.executed"), await books.told("entry.rejected")
    for one in (executed, rejected):
        assert is_signed(one, "hook-secret")
        assert contract_faults("accounting.openapi.yaml", "Notice", one.json) == []
    assert executed.json["data"]["entryId"] == refund["id"]
    assert (await books.get(f"/v1/entries/{owed['id']}")).json()["status"] == "REJECTED"
    assert (await books.order(f"entries/{refund['id']}/execute")).status_code == 409


@pytest.fixture
async def van(receiver: Receiver) -> AsyncIterator[Caller]:
    async with called(planning.SYSTEM, receiver) as caller:
        yield caller


def booking(slot: str, **other: object) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "slotId": slot,
        "reference": "LB-2026-0004711-K",
        "items": [{"product": "vat", "quantity": 2, "description": "Compostvat 250 liter"}],
        "address": {
            "street": "Kerkstraat",
            "houseNumber": "12",
            "postalCode": "2999",
            "municipality": "Lindebeke",
        },
        "contact": {"name": "An Peeters", "phone": "+32470123456"},
    } | other


async def open_slots(van: Caller, days: int = 61) -> list[dict[str, Any]]:
    today = datetime.now(ZoneInfo("Europe/Brussels")).date()
    asked = f"from={today}&to={today + timedelta(days=days)}&kind=delivery&postalCode=2999"
    answer = await van.get(f"/v1/slots?{asked}")
    assert answer.status_code == 200
    assert contract_faults("planning.openapi.yaml", "Slots", answer.json()) == []
    return [slot for slot in answer.json()["slots"] if slot["status"] == "OPEN"]


async def test_the_van_drives_on_friday_mornings_and_never_on_a_holiday(van: Caller) -> None:
    slots = await open_slots(van)

    begins = [datetime.fromisoformat(slot["startsAt"]) for slot in slots]
    assert 10 <= len(slots) <= 18
    assert {begin.weekday() for begin in begins} == {4}
    assert {f"{begin.astimezone(ZoneInfo('Europe/Brussels')):%H:%M}" for begin in begins} == {
        "08:00",
        "10:00",
    }
    assert {(slot["capacity"], slot["taken"], slot["version"]) for slot in slots} == {(10, 0, 1)}
    assert belgian_days.is_holiday(date(2026, 12, 25))
    assert not any(belgian_days.is_holiday(begin.date()) for begin in begins)
    today = datetime.now(UTC).date()
    elsewhere = await van.get(f"/v1/slots?from={today}&to={today}&kind=delivery&postalCode=2400")
    assert elsewhere.json() == {"slots": []}
    assert (
        await van.get("/v1/slots?from=2026-12-01&to=2027-03-01&kind=delivery&postalCode=2999")
    ).status_code == 400


def test_moving_holidays_are_right() -> None:
    # Easter Monday, Ascension and Whit Monday of two years, and All Saints.
    known = [date(2026, 4, 6), date(2026, 5, 14), date(2026, 5, 25), date(2027, 3, 29), date(2026, 11, 1)]
    assert all(belgian_days.is_holiday(day) for day in known)
    assert not belgian_days.is_holiday(date(2026, 4, 3))


async def test_of_fifty_who_book_at_once_ten_get_a_place(van: Caller) -> None:
    slot = (await open_slots(van))[0]["id"]
    wanted = [booking(slot) for _ in range(50)]

    answers = await asyncio.gather(*[van.put(f"/v1/bookings/{one['id']}", one) for one in wanted])

    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 40
    full = next(answer for answer in answers if answer.status_code == 409)
    assert full.json()["type"].endswith("/slot-full")
    assert next(one for one in await open_slots(van) if one["id"] == slot)["taken"] == 10


async def test_a_booking_moves_in_one_step_and_keeps_its_place_when_the_other_is_full(van: Caller) -> None:
    first, second, third = [one["id"] for one in (await open_slots(van))[:3]]
    await van.order(f"slots/{third}", {"capacity": 0})
    mine, key = booking(first), str(uuid.uuid4())

    made = await van.put(f"/v1/bookings/{mine['id']}", mine, key=key)
    repeated = await van.put(f"/v1/bookings/{mine['id']}", mine, key=key)
    moved = await van.put(f"/v1/bookings/{mine['id']}", mine | {"slotId": second})
    full = await van.put(f"/v1/bookings/{mine['id']}", mine | {"slotId": third})

    assert contract_faults("planning.openapi.yaml", "Booked", made.json()) == []
    assert (made.status_code, made.json()) == (repeated.status_code, repeated.json())
    assert (moved.status_code, moved.json()["version"]) == (200, 2)
    assert full.status_code == 409
    taken = {one["id"]: one["taken"] for one in await open_slots(van)}
    assert (taken[first], taken[second], taken[third]) == (0, 1, 0)


async def test_a_cancelled_booking_gives_its_place_back(van: Caller) -> None:
    slot = (await open_slots(van))[0]["id"]
    await van.order(f"slots/{slot}", {"capacity": 1})
    mine, other = booking(slot), booking(slot)
    await van.put(f"/v1/bookings/{mine['id']}", mine)
    assert (await van.put(f"/v1/bookings/{other['id']}", other)).status_code == 409

    gone = [await van.delete(f"/v1/bookings/{mine['id']}") for _ in range(2)]

    assert [answer.status_code for answer in gone] == [204, 204]
    assert (await van.put(f"/v1/bookings/{other['id']}", other)).status_code == 201
    assert (await van.delete(f"/v1/bookings/{uuid.uuid4()}")).status_code == 404


async def test_a_closed_cancelled_or_unknown_slot_cannot_be_booked(van: Caller) -> None:
    closed, cancelled = [one["id"] for one in (await open_slots(van))[:2]]
    await van.order(f"slots/{closed}", {"status": "CLOSED"})
    await van.order(f"slots/{cancelled}/cancel")

    async def refused(slot: str) -> str:
        one = booking(slot)
        found: str = (await van.put(f"/v1/bookings/{one['id']}", one)).json()["type"]
        return found.rpartition("/")[2]

    assert [await refused(one) for one in (closed, cancelled, "2026-01-01-0800")] == [
        "slot-closed",
        "slot-closed",
        "slot-unknown",
    ]


async def test_what_the_planner_and_the_driver_do_is_told(van: Caller) -> None:
    slots = await open_slots(van)
    moved, cancelled, driven = slots[0], slots[1], slots[2]
    mine, missed = booking(driven["id"]), booking(driven["id"])
    for one in (mine, missed):
        await van.put(f"/v1/bookings/{one['id']}", one)
    noon = datetime.fromisoformat(moved["startsAt"]) + timedelta(hours=5)
    times = {"startsAt": noon.isoformat(), "endsAt": (noon + timedelta(hours=2)).isoformat()}
    day = datetime.fromisoformat(slots[4]["startsAt"]).date()

    await van.order(f"slots/{moved['id']}/move", times)
    await van.order(f"slots/{cancelled['id']}/cancel", {"reason": "Bestelwagen defect"})
    await van.order(f"days/{day}/cancel", {"reason": "IJzel"})
    await van.order(f"bookings/{mine['id']}/confirm", {"deliveredBy": "Wim"})
    await van.order(f"bookings/{missed['id']}/miss", {"reason": "Niemand thuis"})

    told = {
        kind: await van.told(kind)
        for kind in ("slot.moved", "slot.cancelled", "day.cancelled", "delivery.confirmed", "delivery.missed")
    }
    for notice in told.values():
        assert is_signed(notice, "hook-secret")
        assert contract_faults("planning.openapi.yaml", "Notice", notice.json) == []
    assert told["slot.moved"].json["data"] == {"slotId": moved["id"], **times, "version": 2}
    assert len(told["day.cancelled"].json["data"]["slotIds"]) == 2
    assert told["delivery.confirmed"].json["data"]["bookingId"] == mine["id"]
    assert told["delivery.missed"].json["data"]["reason"] == "Niemand thuis"
    assert (await van.order(f"bookings/{mine['id']}/confirm")).status_code == 409
    late = await van.delete(f"/v1/bookings/{mine['id']}")
    assert late.json()["type"].endswith("/already-delivered")


async def test_a_notice_can_be_given_again_long_after(van: Caller) -> None:
    slot = (await open_slots(van))[0]["id"]
    await van.order(f"slots/{slot}/cancel")
    await van.receiver.until(lambda heard: heard)
    listed = (await van.http.get(f"{van.url}/sim/callbacks")).json()

    await van.order(f"callbacks/{listed[0]['id']}/again")
    heard = await van.receiver.until(lambda heard: len(heard) == 2)

    assert heard[0].body == heard[1].body


async def test_what_was_not_heard_is_sent_after_a_restart(receiver: Receiver, tmp_path: Path) -> None:
    section = {"token": "token", "hook_url": f"{receiver.url}/hooks", "hook_secret": "hook-secret"}
    config = {"port": 0, "state": str(tmp_path), "accounting": section | {"hook_url": "http://127.0.0.1:9/"}}
    async with sandbox(config, (accounting.SYSTEM,)) as house, httpx2.AsyncClient(trust_env=False) as http:
        url = house.config.url("accounting")
        await http.post(f"{url}/sim/transfer", json={"reference": "090933755493", "amount": "60.00"})
        state = house.states["accounting"]
        waiting = state.all("callback")[0]
        state.put("callback", waiting["id"], waiting | {"url": f"{receiver.url}/hooks"})

    async with sandbox(config | {"accounting": section}, (accounting.SYSTEM,)):
        heard = await receiver.until(lambda heard: heard)

    assert heard[0].json["type"] == "payment.registered"


# Twilio, seen by its own client ---------------------------------------------------------------------

ACCOUNT = "AC" + "0" * 32


class Pointed(TwilioHttpClient):  # type: ignore[misc]  # has no types
    """Twilio's client, which knows no base URL, led to another host."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def request(self, method: str, url: str, *args: object, **kwargs: object) -> Sdk:
        return super().request(method, url.replace("https://api.twilio.com", self._url), *args, **kwargs)


@dataclass
class Texter:
    house: House
    receiver: Receiver
    twilio: Any
    http: httpx2.AsyncClient

    async def send(self, **fields: object) -> Sdk:
        known = {"to": "+32470123456", "from_": "Lindebeke", "body": "Uw vat komt vrijdag."}
        return await asyncio.to_thread(self.twilio.messages.create, **(known | fields))

    async def refused(self, **fields: object) -> int:
        with pytest.raises(TwilioRestException) as caught:
            await self.send(**fields)
        code: int = caught.value.code
        return code


@pytest.fixture
async def texter(receiver: Receiver) -> AsyncIterator[Texter]:
    config = {"port": 0, "sms": {"account_sid": ACCOUNT, "auth_token": "auth-token"}}
    async with sandbox(config, (sms.SYSTEM,)) as house, httpx2.AsyncClient(trust_env=False) as http:
        client = Pointed(house.config.url("sms"))
        yield Texter(house, receiver, Client(ACCOUNT, "auth-token", http_client=client), http)
        client.session.close()


async def test_a_text_reaches_the_phone_and_each_step_is_reported_and_signed(texter: Texter) -> None:
    callback = f"{texter.receiver.url}/hooks/sms?message=7"

    sent = await texter.send(status_callback=callback)
    heard = await texter.receiver.until(lambda heard: len(heard) >= 3)

    assert (sent.status, sent.num_segments) == ("queued", "1")
    forms = [dict(parse_qsl(one.body.decode(), keep_blank_values=True)) for one in heard]
    assert [form["MessageStatus"] for form in forms] == ["queued", "sent", "delivered"]
    validator = RequestValidator("auth-token")
    for one, form in zip(heard, forms, strict=True):
        assert form["MessageSid"] == sent.sid
        assert validator.validate(callback, form, one.headers["X-Twilio-Signature"])
        assert not validator.validate(
            callback, form | {"To": "+32470000000"}, one.headers["X-Twilio-Signature"]
        )
    fetched = await asyncio.to_thread(texter.twilio.messages(sent.sid).fetch)
    assert (fetched.status, fetched.error_code) == ("delivered", None)
    assert isinstance(fetched.date_sent, datetime)
    listed = await asyncio.to_thread(texter.twilio.messages.list, to="+32470123456")
    assert [one.sid for one in listed] == [sent.sid]
    phone = f"{texter.house.config.url('sms')}/sim/phone/+32470123456"
    assert [one["body"] for one in (await texter.http.get(phone)).json()] == ["Uw vat komt vrijdag."]
    assert "Uw vat komt vrijdag." in (await texter.http.get(phone, headers={"Accept": "text/html"})).text


async def test_numbers_that_cannot_be_reached_fail_with_their_code(texter: Texter) -> None:
    callback = f"{texter.receiver.url}/hooks/sms"
    dead, landline = (
        await texter.send(to="+32470130003", status_callback=callback),
        await texter.send(to="+32470130006"),
    )

    heard = await texter.receiver.until(lambda heard: len(heard) >= 3)

    assert dict(parse_qsl(heard[-1].body.decode()))["ErrorCode"] == "30003"
    await asyncio.sleep(0.3)
    fates = [await asyncio.to_thread(texter.twilio.messages(one.sid).fetch) for one in (dead, landline)]
    assert [(one.status, one.error_code) for one in fates] == [("undelivered", 30003), ("failed", 30006)]


async def test_twilio_refuses_with_its_own_codes(texter: Texter) -> None:
    assert await texter.refused(to="0470123456") == 21211
    assert await texter.refused(to="") == 21604
    assert await texter.refused(body="") == 21602
    assert await texter.refused(body="x" * 1601) == 21617
    assert await texter.refused(from_="Gemeente Lindebeke") == 21212
    assert await texter.refused(status_callback="/hooks/sms") == 21609
    await texter.http.post(f"{texter.house.config.url('sms')}/sim/phone/+32470999999/stop")
    assert await texter.refused(to="+32470999999") == 21610
    stranger = Client(ACCOUNT, "guess", http_client=texter.twilio.http_client)
    with pytest.raises(TwilioRestException) as caught:
        await asyncio.to_thread(stranger.messages.create, to="+32470123456", from_="Lindebeke", body="x")
    assert (caught.value.status, caught.value.code) == (401, 20003)


def test_long_texts_and_signs_outside_gsm_cost_more() -> None:
    assert [sms.segments("a" * n) for n in (160, 161, 306, 307)] == [1, 2, 2, 3]
    assert [sms.segments("€" * n) for n in (80, 81)] == [1, 2]
    assert [sms.segments("ê" * n) for n in (70, 71, 134, 135)] == [1, 2, 2, 3]


# Mail -----------------------------------------------------------------------------------------------


@dataclass
class Post:
    house: House
    http: httpx2.AsyncClient

    @property
    def port(self) -> int:
        return urlsplit(self.house.config.url("smtp")).port or 0

    @property
    def sim(self) -> str:
        return f"{self.house.config.url('desk')}/systeem/smtp/sim"

    async def send(self, message: EmailMessage, *to: str) -> str:
        raw = message.as_bytes(policy=SMTP_LINES)
        _, answer = await aiosmtplib.send(
            raw, sender="bounces@lindebeke.example", recipients=list(to), hostname="127.0.0.1", port=self.port
        )
        return answer

    async def mailbox(self, address: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.http.get(f"{self.sim}/mailbox/{address}")).json()
        return found

    async def fault(self, **fault: object) -> None:
        assert (await self.http.post(f"{self.sim}/faults", json=fault)).status_code == 201


SMTP_LINES = policy.SMTP


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    systems = (acmidm.SYSTEM, smtp.SYSTEM)
    async with sandbox({"port": 0}, systems) as house, httpx2.AsyncClient(trust_env=False) as http:
        yield Post(house, http)


def letter(subject: str = "Uw levering is gepland") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Gemeente Lindebeke <noreply@lindebeke.example>"
    message["To"] = "an@example.be"
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{uuid.uuid4()}@lindebeke.example>"
    message.set_content("Beste An,\nuw vat komt vrijdag.")
    message.add_alternative("<p>Beste An, uw <b>vat</b> komt.</p>", subtype="html")
    event = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//NL\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
        "UID:levering-7@lindebeke.example\r\nSEQUENCE:2\r\nDTSTAMP:20261121T090000Z\r\n"
        "DTSTART:20261204T070000Z\r\nDTEND:20261204T090000Z\r\nSUMMARY:Levering compostvat\r\n"
        "END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    message.add_alternative(event.encode(), maintype="text", subtype="calendar", params={"method": "REQUEST"})
    message.add_attachment(
        b"%PDF-1.7 rekening", maintype="application", subtype="pdf", filename="rekening.pdf"
    )
    return message


async def test_a_letter_lies_in_the_mailbox_as_its_reader_sees_it(post: Post) -> None:
    sent = letter("Uw levering — één vat")

    answer = await post.send(sent, "An@example.be")

    assert "Taken as" in answer
    (kept,) = await post.mailbox("an@example.be")
    assert kept["subject"] == "Uw levering — één vat"
    assert kept["messageId"] == sent["Message-ID"]
    assert kept["envelopeFrom"] == "bounces@lindebeke.example"
    assert kept["text"].startswith("Beste An,\nuw vat")
    assert "<b>vat</b>" in kept["html"]
    assert kept["attachments"] == [{"filename": "rekening.pdf", "contentType": "application/pdf", "size": 17}]
    assert (kept["calendar"]["uid"], kept["calendar"]["sequence"]) == ("levering-7@lindebeke.example", 2)
    assert kept["calendar"]["startsAt"] == "2026-12-04T07:00:00+00:00"
    assert kept["complaints"] == []
    box = f"{post.sim}/mailbox/an@example.be"
    raw = await post.http.get(f"{box}/{kept['number']}.eml")
    assert raw.content == sent.as_bytes(policy=SMTP_LINES)
    pdf = await post.http.get(f"{box}/{kept['number']}/attachments/0")
    assert (pdf.headers["content-type"], pdf.content) == ("application/pdf", b"%PDF-1.7 rekening")
    assert (await post.http.get(f"{post.sim}/mailboxes")).json() == {"an@example.be": 1}
    await post.http.delete(box)
    assert await post.mailbox("an@example.be") == []


async def test_the_desk_shows_mail_in_a_frame_that_runs_nothing(post: Post) -> None:
    message = letter()
    message.clear_content()
    message.set_content('<script>alert("x")</script><p>Dag</p>', subtype="html")
    an = person("an")
    assert isinstance(an, Citizen)
    await post.send(message, an.email or "")

    page = (await post.http.get(f"{post.house.config.url('desk')}/burger/an")).text

    assert "<script" not in page
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox" srcdoc="&lt;meta' in page


async def test_careless_mail_is_kept_with_its_complaints(post: Post) -> None:
    message = EmailMessage()
    message["From"] = "noreply@lindebeke.example"
    message.set_content("<p>x</p>", subtype="html")

    await post.send(message, "an@example.be")

    complaints = (await post.mailbox("an@example.be"))[0]["complaints"]
    assert "HTML without text" in complaints
    assert "Message-ID: 0 times, not once" in complaints


async def test_mail_is_refused_put_off_or_lost_on_command(post: Post) -> None:
    await post.fault(mode="refuse", path="weg@")
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await post.send(letter(), "weg@example.be")
    assert refused.value.recipients[0].code == 550

    await post.fault(mode="error", path="an@", count=1)
    with pytest.raises(aiosmtplib.SMTPDataError) as later:
        await post.send(letter(), "an@example.be")
    assert later.value.code == 451
    assert await post.mailbox("an@example.be") == []

    await post.fault(mode="lose_answer", path="an@", count=1)
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await post.send(letter(), "an@example.be")
    assert len(await post.mailbox("an@example.be")) == 1

    await post.fault(mode="timeout", path="an@", seconds=0.05, count=1)
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await post.send(letter(), "an@example.be")
    await post.fault(mode="slow", path="an@", seconds=0.05, count=1)
    await post.send(letter(), "an@example.be")
    assert len(await post.mailbox("an@example.be")) == 2
    record = (await post.http.get(f"{post.sim}/received")).json()
    assert [(one["method"], one["status"], one["fault"]) for one in record] == [
        ("RCPT", 550, "refuse"),
        ("DATA", 451, "error"),
        ("DATA", None, "lose_answer"),
        ("DATA", None, "timeout"),
        ("DATA", 250, "slow"),
    ]


async def test_the_desk_shows_each_system_with_its_work(receiver: Receiver) -> None:
    config = {
        "port": 0,
        "accounting": {"token": "token"},
        "planning": {"token": "token"},
        "sms": {"account_sid": ACCOUNT, "auth_token": "auth-token"},
    }
    async with sandbox(config) as house, httpx2.AsyncClient(trust_env=False) as http:
        entry = invoice(counterparty={"name": "<b>An</b>"})
        books = Caller(house.config.url("accounting"), http, receiver)
        await books.put(f"/v1/entries/{entry['id']}", entry)
        van = Caller(house.config.url("planning"), http, receiver)
        one = booking((await open_slots(van))[0]["id"])
        await van.put(f"/v1/bookings/{one['id']}", one)

        async def shown(name: str) -> str:
            answer = await http.get(f"{house.config.url('desk')}/systeem/{name}")
            assert answer.status_code == 200
            return answer.text

        ledger = await shown("accounting")
        assert "&lt;b&gt;An&lt;/b&gt;" in ledger
        assert "open € 60,00" in ledger
        assert "LB-2026-0004711-K" in await shown("planning")
        assert "Nog geen betalingen." in await shown("worldline")
        assert "Nog geen sms" in await shown("sms")
        assert "Nog geen post." in await shown("smtp")
        driven = await http.post(f"{van.url}/sim/bookings/{one['id']}/confirm", data={"deliveredBy": "Wim"})
        assert driven.headers["location"] == f"{house.config.url('desk')}/systeem/planning"
        assert "DELIVERED" in await shown("planning")
