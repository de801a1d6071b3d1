"""Worldline Sips: its seal, its page, its words; against a server that says what it is told to."""

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from loket.errors import BadNotice, BadSignature, Declined, Unavailable
from loket.settings import Sips as Settings
from loket.systems.payments import CheckoutStatus, RefundStatus
from loket.systems.sips import Sips, seal_of
from raw_server import HANG_UP, Answer, raw_server

KEY = UUID("01a20231-2565-70d3-baed-3163f8cfc735")
SECRET = "secret123"
PUBLISHED = {
    # the example of "Sips Paypage JSON", for checking one's own calculation
    "amount": "2500",
    "automaticResponseUrl": "https://automatic-response-url.fr/",
    "normalReturnUrl": "https://normal-return-url/",
    "captureDay": "0",
    "captureMode": "AUTHOR_CAPTURE",
    "currencyCode": "978",
    "customerContact": {"email": "customer@email.com"},
    "interfaceVersion": "IR_WS_2.22",
    "keyVersion": "1",
    "merchantId": "011223344550000",
    "orderChannel": "INTERNET",
    "orderId": "ORD101",
    "returnContext": "ReturnContext",
    "transactionOrigin": "SO_WEBAPPLI",
    "transactionReference": "TREFEXA2012",
}
MERCHANT = "002001000000002"


def sips(url: str, **changes: object) -> Sips:
    settings = Settings(url=url, office_url=url, merchant_id=MERCHANT, key_version="1", secret_key=SECRET)
    return Sips(replace(settings, **changes), timeout_seconds=0.5)  # type: ignore[arg-type]  # fields by name


async def asked_to_pay(module: Sips, amount: str = "28.00") -> Any:  # noqa: ANN401
    return await module.create_checkout(
        key=KEY,
        reference="CB-2026-0DPPCQ-X",
        amount=Decimal(amount),
        return_url="https://loket.example/hooks/payments/sips/return",
        language="nl",
        expires_in=timedelta(hours=2),
        webhook_url="https://loket.example/hooks/payments/sips",
    )


def sealed(**told: Any) -> Answer:  # noqa: ANN401  # JSON
    return Answer(200, {**told, "seal": seal_of(told, SECRET)})


OPENED = {
    "redirectionStatusCode": "00",
    "redirectionUrl": "https://pay.example/payment",
    "redirectionVersion": "IR_WS_2.0",
    "redirectionData": "g7hZ",
}


# ── the seal ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_seal_is_that_of_the_published_example() -> None:
    assert seal_of(PUBLISHED, SECRET) == "322b943d833417c1570e0a282641e8e29d6a5b968c9b846694b5610e18ab5b81"


def test_names_are_ordered_as_ascii_also_inside_and_lists_keep_their_order() -> None:
    told = {"b": ["2", "1"], "a": {"z": "é", "Y": 3}, "authorisationId": "x", "authorResponseMessage": "w"}
    expected = hmac.new(SECRET.encode(), "3éwx21".encode(), hashlib.sha256).hexdigest()
    assert seal_of(told, SECRET) == expected


def test_the_version_of_the_key_and_the_seal_itself_do_not_count() -> None:
    more = PUBLISHED | {"keyVersion": "7", "sealAlgorithm": "HMAC-SHA-256", "seal": "x"}
    assert seal_of(more, SECRET) == seal_of(PUBLISHED, SECRET)


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_page_is_asked_for_in_cents_under_a_reference_of_our_key() -> None:
    async with raw_server(sealed(**OPENED)) as raw:
        module = sips(raw.url)
        checkout = await asked_to_pay(module)
        await module.aclose()
    asked = raw.asked[0]
    assert (asked.method, asked.target) == ("POST", "/rs-services/v2/paymentInit")
    assert asked.json["seal"] == seal_of(asked.json, SECRET)
    named = ("amount", "currencyCode", "captureMode", "orderId", "transactionReference", "sealAlgorithm")
    assert [asked.json[name] for name in named] == [
        "2800", "978", "IMMEDIATE", "CB-2026-0DPPCQ-X", KEY.hex, "HMAC-SHA-256",
    ]  # fmt: skip
    assert (checkout.id, checkout.url) == (KEY.hex, "https://pay.example/payment")
    assert checkout.form == {"redirectionVersion": "IR_WS_2.0", "redirectionData": "g7hZ"}


async def test_a_reference_that_was_used_is_followed_by_another_of_the_same_key() -> None:
    async with raw_server(sealed(redirectionStatusCode="94"), sealed(**OPENED)) as raw:
        module = sips(raw.url)
        checkout = await asked_to_pay(module)
        await module.aclose()
    assert checkout.id == f"{KEY.hex}1"
    assert len(checkout.id) <= 35


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (sealed(redirectionStatusCode="99"), Unavailable),
        (sealed(redirectionStatusCode="90"), Unavailable),
        (sealed(redirectionStatusCode="34"), Declined),
        (sealed(redirectionStatusCode="12", errorFieldName="amount"), Declined),
        (sealed(redirectionStatusCode="94"), Declined),
        (Answer(200, OPENED | {"seal": "0" * 64}), Unavailable),
        (Answer(200, OPENED), Unavailable),
        (sealed(redirectionStatusCode="00"), Unavailable),
        (Answer(200, ["no object"]), Unavailable),
        (Answer(503), Unavailable),
        (Answer(404), Declined),
        (HANG_UP, Unavailable),
    ],
)
async def test_no_page_is_shown_that_sips_did_not_surely_open(answer: Answer, kind: type[Exception]) -> None:
    async with raw_server(answer) as raw:
        module = sips(raw.url)
        with pytest.raises(kind):
            await asked_to_pay(module)
        await module.aclose()


async def test_what_is_not_whole_cents_is_never_asked_for() -> None:
    async with raw_server(sealed(**OPENED)) as raw:
        module = sips(raw.url)
        with pytest.raises(ValueError, match="whole cents"):
            await asked_to_pay(module, "28.005")
        await module.aclose()
    assert not raw.asked


# ── what became of it ─────────────────────────────────────────────────────────────────────────────────


def transaction(status: str | None, code: str, **more: str) -> Answer:
    told = {
        "transactionReference": KEY.hex,
        "originAmount": "2800",
        "currentAmount": "2800",
        "currencyCode": "978",
        "responseCode": code,
        **more,
    }
    return sealed(**told, **({} if status is None else {"transactionStatus": status}))


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (transaction("CAPTURED", "00"), CheckoutStatus.CAPTURED),
        (transaction("TO_CAPTURE", "00"), CheckoutStatus.CAPTURED),
        (transaction("CREDITED", "00", currentAmount="0"), CheckoutStatus.CAPTURED),
        (transaction("A_NEW_WORD", "00"), CheckoutStatus.CAPTURED),
        (transaction(None, "60"), CheckoutStatus.PENDING),
        (transaction("REFUSED", "05"), CheckoutStatus.FAILED),
        (transaction(None, "34"), CheckoutStatus.FAILED),
        (transaction(None, "17"), CheckoutStatus.CANCELLED),
        (transaction(None, "97"), CheckoutStatus.EXPIRED),
        (sealed(responseCode="25"), CheckoutStatus.OPEN),
        (sealed(getTransDataResponseCode="25", responseCode="25"), CheckoutStatus.OPEN),
    ],
)
async def test_each_state_of_a_transaction_has_one_meaning(answer: Answer, status: CheckoutStatus) -> None:
    async with raw_server(answer) as raw:
        module = sips(raw.url)
        state = await module.checkout(KEY.hex)
        await module.aclose()
    assert state.status is status
    assert state.amount == (None if status is CheckoutStatus.OPEN else Decimal("28.00"))
    assert raw.asked[0].json["seal"] == seal_of(raw.asked[0].json, SECRET)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (transaction(None, "99"), Unavailable),
        (sealed(responseCode="90"), Unavailable),
        (sealed(responseCode="34"), Declined),
        (transaction("CAPTURED", "00", currencyCode="840"), Unavailable),
        (HANG_UP, Unavailable),
    ],
)
async def test_what_sips_does_not_surely_say_is_not_a_state(answer: Answer, kind: type[Exception]) -> None:
    async with raw_server(answer) as raw:
        module = sips(raw.url)
        with pytest.raises(kind):
            await module.checkout(KEY.hex)
        await module.aclose()


# ── giving back ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_refund_is_asked_only_after_a_look_at_what_is_left() -> None:
    done = sealed(responseCode="00", newStatus="TO_CREDIT", newAmount="2550")
    async with raw_server(transaction("CAPTURED", "00"), done) as raw:
        module = sips(raw.url)
        made = await module.refund(key=KEY, payment_id=KEY.hex, amount=Decimal("2.50"), left=Decimal("28.00"))
        await module.aclose()
    assert [one.target.rpartition("/")[2] for one in raw.asked] == ["getTransactionData", "refund"]
    asked = raw.asked[1].json
    assert (asked["operationAmount"], asked["transactionReference"]) == ("250", KEY.hex)
    assert (made.id, made.status, made.amount) == (f"{KEY.hex}-2550", RefundStatus.PENDING, Decimal("2.50"))


async def test_a_refund_whose_answer_was_lost_is_not_asked_again() -> None:
    async with raw_server(transaction("CREDITED", "00", currentAmount="2550")) as raw:
        module = sips(raw.url)
        made = await module.refund(key=KEY, payment_id=KEY.hex, amount=Decimal("2.50"), left=Decimal("28.00"))
        await module.aclose()
    assert (made.id, made.status) == (f"{KEY.hex}-2550", RefundStatus.DONE)
    assert len(raw.asked) == 1


async def test_while_somebody_else_gives_back_of_it_nothing_is_asked() -> None:
    async with raw_server(transaction("TO_CREDIT", "00", currentAmount="2000")) as raw:
        module = sips(raw.url)
        with pytest.raises(Unavailable, match=r"20\.00 is left"):
            await module.refund(key=KEY, payment_id=KEY.hex, amount=Decimal("2.50"), left=Decimal(28))
        await module.aclose()
    assert len(raw.asked) == 1


@pytest.mark.parametrize(("code", "kind"), [("24", Declined), ("51", Declined), ("99", Unavailable)])
async def test_a_refusal_to_give_back_is_told_apart_from_not_now(code: str, kind: type[Exception]) -> None:
    async with raw_server(transaction("CAPTURED", "00"), sealed(responseCode=code)) as raw:
        module = sips(raw.url)
        with pytest.raises(kind, match=code):
            await module.refund(key=KEY, payment_id=KEY.hex, amount=Decimal(28), left=Decimal(28))
        await module.aclose()


@pytest.mark.parametrize(
    ("status", "left", "expected"),
    [
        ("CREDITED", "2550", RefundStatus.DONE),
        ("CREDITED", "0", RefundStatus.DONE),
        ("TO_CREDIT", "2550", RefundStatus.PENDING),
        ("CAPTURED", "2800", RefundStatus.FAILED),
        ("CAPTURED", "2550", RefundStatus.PENDING),
    ],
)
async def test_what_became_of_a_refund_is_seen_by_what_is_left(
    status: str, left: str, expected: RefundStatus
) -> None:
    async with raw_server(transaction(status, "00", currentAmount=left)) as raw:
        module = sips(raw.url)
        state = await module.refund_state(f"{KEY.hex}-2550")
        await module.aclose()
    assert state.status is expected


# ── notices ───────────────────────────────────────────────────────────────────────────────────────────


def told(*, encode: str = "", secret: str = SECRET, **fields: str) -> bytes:
    known = {
        "amount": "2800",
        "currencyCode": "978",
        "merchantId": MERCHANT,
        "orderId": "CB-2026-0DPPCQ-X",
        "responseCode": "00",
        "transactionDateTime": "2026-11-22T08:38:25+01:00",
        "transactionReference": KEY.hex,
        "customerId": "null",
    }
    data = "|".join(f"{name}={value}" for name, value in (known | fields).items() if value)
    if encode:
        data = base64.b64encode(data.encode()).decode()
    seal = hmac.new(secret.encode(), data.encode(), hashlib.sha256).hexdigest()
    form = {"Data": data, "Seal": seal, "InterfaceVersion": "HP_2.20"} | (
        {"Encode": encode} if encode else {}
    )
    return urlencode(form).encode()


@pytest.mark.parametrize("encode", ["", "base64"])
def test_a_notice_of_a_payment_is_read(encode: str) -> None:
    module = sips("http://127.0.0.1:9")
    notice = module.read_notice({}, told(encode=encode))
    assert (notice.checkout_id, notice.reference) == (KEY.hex, "CB-2026-0DPPCQ-X")
    assert notice.payment is not None
    assert (notice.payment.status, notice.payment.amount) == (CheckoutStatus.CAPTURED, Decimal("28.00"))
    assert notice.id == module.read_notice({}, told(encode=encode)).id
    assert notice.id != module.read_notice({}, told(encode=encode, responseCode="60")).id


def test_a_notice_that_says_not_now_says_nothing_of_the_payment() -> None:
    assert sips("http://127.0.0.1:9").read_notice({}, told(responseCode="99")).payment is None


def test_a_line_of_the_chargeback_report_is_read() -> None:
    line = {"chargebackId": "CB1", "chargebackAmount": "1000", "chargebackDate": "2026-12-01"}
    module = sips("http://127.0.0.1:9")
    notice = module.read_notice({}, told(**line))
    assert notice.payment is None
    assert notice.chargeback is not None
    assert (notice.chargeback.id, notice.chargeback.amount) == ("CB1", Decimal("10.00"))
    assert (notice.chargeback.on, notice.chargeback.reversed) == (date(2026, 12, 1), False)
    won = module.read_notice({}, told(**line, chargebackStatus="REVERSED")).chargeback
    assert won is not None
    assert won.reversed


FORGED = [
    told(secret="another"),
    told().replace(b"2800", b"2801"),
    told().replace(b"Seal=", b"Zegel="),
    b"",
    b"Data=&Seal=",
]


@pytest.mark.parametrize("body", FORGED)
def test_a_notice_that_is_not_provably_of_sips_is_not_heard(body: bytes) -> None:
    with pytest.raises(BadSignature):
        sips("http://127.0.0.1:9").read_notice({}, body)


def test_without_a_secret_nothing_is_heard() -> None:
    with pytest.raises(BadSignature):
        sips("http://127.0.0.1:9", secret_key="").read_notice({}, told(secret=""))


@pytest.mark.parametrize(
    "body",
    [
        told(merchantId="another"),
        told(amount="veel"),
        told(currencyCode="840"),
        told(responseCode=""),
        told(transactionReference=""),
        told(transactionDateTime="gisteren"),
        told(chargebackId="CB1", chargebackAmount="0", chargebackDate="2026-12-01"),
        told(encode="base65"),
        b"\xff\xfe",
    ],
)
def test_a_sealed_notice_that_cannot_be_understood_is_named_so(body: bytes) -> None:
    with pytest.raises(BadNotice):
        sips("http://127.0.0.1:9").read_notice({}, body)
