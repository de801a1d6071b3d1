"""Bad input and bad intentions: a clear refusal comes back, and nothing changes."""

import asyncio
import hmac
import logging
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import orjson
import pytest
from httpx2 import Response
from sqlalchemy.exc import DBAPIError
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from loket.api.endpoint import Endpoint
from loket.ids import decode_id, encode_id
from loket.logs import JsonLine
from loket.sandbox import personas
from served import BOOKS, VANS
from town import FINANCE, HANDLER, Dossier, Json, Town, opened, until

ANSWERS = (
    "mutation($id: ID!, $input: JSON!) { applicationSetAnswers(id: $id, input: $input) { errors { code } } }"
)
PROTOCOL = Subprotocol("graphql-transport-ws")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest.fixture(scope="module")
async def draft(town: Town) -> str:
    """An's, which no test may change."""
    return await town.fills_in("an")


@pytest.fixture(scope="module")
async def unpaid(town: Town) -> Dossier:
    """A case to pay, which no test may change."""
    return await town.applies()


async def send(town: Town, who: str, body: bytes) -> Response:
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {await town.served.token_of(who)}",
    }
    return await town.served.client.post("/graphql", content=body, headers=headers)


def code_of(answer: Response) -> str:
    code: str = answer.json()["errors"][0]["extensions"]["code"]
    return code


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("who", ["an", HANDLER])
@pytest.mark.parametrize(
    "body",
    [
        rb'{"query": "{ case(reference: \"\\u{0}\") { id } }"}',
        rb'{"query": "{ case(reference: \"\\u{00000}\") { id } }"}',
        rb'{"query": "{ case(reference: \"\\u0000\") { id } }"}',
        rb'{"query": "{ case(reference: \"\u005cu0000\") { id } }"}',
        rb'{"query": "query($r: String!) { case(reference: $r) { id } }", "variables": {"r": "\u0000"}}',
        rb'{"query": "query($r: String = \"\\u{0}\") { case(reference: $r) { id } }"}',
        rb'{"query": "mutation { applicationStart(procedure: \"\\u{0}\") { errors { code } } }"}',
    ],
)
async def test_a_nul_is_refused_however_it_is_written(town: Town, who: str, body: bytes) -> None:
    answer = await send(town, who, body)
    assert answer.status_code in (200, 400)
    assert code_of(answer) in {"BAD_REQUEST", "BAD_USER_INPUT"}


@pytest.mark.parametrize(
    "asked",
    [
        {"query": "query($r: String!) { case(reference: $r) { id } }", "variables": '{"r": "\\u0000"}'},
        {"query": '{ case(reference: "\x00") { id } }'},
    ],
)
async def test_a_nul_in_an_address_is_refused(town: Town, asked: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {await town.served.token_of(HANDLER)}"}
    answer = await town.served.client.get("/graphql", params=asked, headers=headers)
    assert (answer.status_code, code_of(answer)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "value",
    [
        "1e999",
        "-1e999",
        "NaN",
        "Infinity",
        '"\\ud800"',
        "1" + "0" * 400,
        "9" * 5000,
        "{" * 1000,
        "[" * 300_000,
    ],
)
async def test_what_is_no_json_is_no_answer(town: Town, draft: str, value: str) -> None:
    body = b'{"query":"%b","variables":{"id":"%b","input":{"delivery":{"remark":%b}}}}'
    answer = await send(town, "an", body % (ANSWERS.encode(), draft.encode(), value.encode()))
    assert (answer.status_code, code_of(answer)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ({"__proto__": {"admin": True}}, ["input", "__proto__"]),
        ({"constructor": {"prototype": {}}}, ["input", "constructor"]),
        ({"declaration": "true"}, ["input", "declaration"]),
        ({"delivery": {"remark": "x" * 301}}, ["input", "delivery", "remark"]),
        ({"delivery": {"remark": "x" * 500_000}}, ["input", "delivery", "remark"]),
        ({"delivery": [1, 2]}, ["input", "delivery"]),
        ({"delivery": {"place": {"$ref": "#"}}}, ["input", "delivery", "place"]),
        (
            {"contact": {"email": "an@voorbeeld.example\r\nBcc: x@evil.example"}},
            ["input", "contact", "email"],
        ),
        ({"contact": {"email": "an@voorbeeld.example,x@evil.example"}}, ["input", "contact", "email"]),
        ({"contact": {"phone": "+32470000001\n"}}, ["input", "contact", "phone"]),
        ({"contact": {"phone": "+٣٢٤٧٠٠٠٠٠٠١"}}, ["input", "contact", "phone"]),
        ({"applicant": None}, ["input", "applicant", "name"]),
        ({"applicant": {"name": "Iemand Anders"}}, ["input", "applicant", "name"]),
        ([], ["input"]),
        ("x", ["input"]),
        ({"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}}, ["input", *["a"] * 8]),
        ({f"x{number}": number for number in range(2_000)}, ["input"]),
    ],
)
async def test_a_patch_that_cannot_be_right_changes_nothing(
    town: Town, draft: str, patch: object, path: list[str]
) -> None:
    before = await _draft(town, draft)
    errors = (await town.tries("an", "applicationSetAnswers", id=draft, input=patch))["errors"]
    assert path in [one["path"] for one in errors]
    assert {one["code"] for one in errors} <= {"VALIDATION", "TOO_LARGE"}
    assert all(len(one["message"]) < 300 for one in errors)
    assert await _draft(town, draft) == before


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ({"product": "bak", "quantity": 0}, ["0", "quantity"]),
        ({"product": "bak", "quantity": -1}, ["0", "quantity"]),
        ({"product": "bak", "quantity": 101}, ["0", "quantity"]),
        ({"product": "bak", "quantity": 2**31 - 1}, ["0", "quantity"]),
        ({"product": "'; DROP TABLE person", "quantity": 1}, ["0", "product"]),
        ({"product": "bak", "quantity": 1, "options": [{"option": "beluchtingsstok", "quantity": -5}]},
         ["0", "options", "beluchtingsstok"]),
    ],
)  # fmt: skip
async def test_a_cart_that_cannot_be_right_changes_nothing(
    town: Town, draft: str, line: Json, path: list[str]
) -> None:
    before = await _draft(town, draft)
    errors = (await town.tries("an", "applicationSetCart", id=draft, input={"lines": [line]}))["errors"]
    assert [(one["code"], one["path"]) for one in errors] == [("VALIDATION", ["input", "lines", *path])]
    assert await _draft(town, draft) == before


@pytest.mark.parametrize("quantity", [2**31, 1.5, True, "1", None, 1e30])
async def test_a_number_that_is_none_does_not_get_in(town: Town, quantity: object) -> None:
    asked = (
        "mutation($id: ID!, $input: CartInput!)"
        " { applicationSetCart(id: $id, input: $input) { errors { code } } }"
    )
    given = {"id": encode_id("Application", await _nothing(town)), "input": {"lines": [
        {"product": "bak", "quantity": quantity}]}}  # fmt: skip
    told = await town.post("an", asked, given)
    assert told["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    "address",
    ["x", "a@b", "ａn@voorbeeld.example", "an@voorbeeld.example\n", "an@voorbeeld。example", "a b@x.example",
     "an@[127.0.0.1]", "a" * 65 + "@voorbeeld.example", "an@voorbeeld.example.", "an@x.example,b@x.example"],
)  # fmt: skip
async def test_an_address_that_no_letter_reaches_is_none(town: Town, address: str) -> None:
    asked = "mutation($e: EmailAddress) { contactPreferencesSet(input: {email: $e}) { errors { code } } }"
    told = await town.post("noor", asked, {"e": address})
    assert told["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_phone_number_that_nobody_has_does_not_stop_an_application(town: Town) -> None:
    who = town.somebody()
    contact = {"contact": {"email": "x@voorbeeld.example", "phone": "+32111111111"}}
    case = await town.applies(who, answers=contact)
    told = await town.ask(who, "{ viewer { person { phone } } }")
    assert told["viewer"]["person"]["phone"] is None
    assert await case.read(who, "reference")


@pytest.mark.parametrize("length", [4_001, 900_000])
async def test_no_reason_is_endless(town: Town, unpaid: Dossier, length: int) -> None:
    case = unpaid
    before = await _rows(town, case)
    for who, action, given in (
        (case.who, "caseWithdraw", {"reason": "x" * length}),
        (HANDLER, "caseCancel", {"reason": "x" * length}),
    ):
        assert (await town.refused(who, action, id=case.id, input=given))["code"] == "TOO_LARGE"
    assert await _rows(town, case) == before


async def _draft(town: Town, draft: str) -> list[Any]:
    found = await town.sql(
        "SELECT version, answers::text, cart::text FROM application WHERE id = :id",
        id=decode_id(draft, "Application"),
    )
    return [tuple(one) for one in found]


async def _nothing(town: Town) -> Any:  # noqa: ANN401  # a uuid
    return (await town.sql("SELECT gen_random_uuid()"))[0][0]


async def _rows(town: Town, case: Dossier) -> list[Any]:
    """Of a case: its version and status, and how many there are of what hangs on it."""
    found = await town.sql(
        """SELECT version, status, (SELECT count(*) FROM payment WHERE case_id = c.id),
                  (SELECT count(*) FROM refund WHERE case_id = c.id),
                  (SELECT count(*) FROM booking WHERE case_id = c.id),
                  (SELECT count(*) FROM task WHERE case_id = c.id)
             FROM "case" c WHERE id = :id""",
        id=decode_id(case.id, "Case"),
    )
    return [tuple(one) for one in found]


# ── ids and cursors ───────────────────────────────────────────────────────────────────────────────────


def b64(raw: str) -> str:
    return urlsafe_b64encode(raw.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "id",
    [
        "", "x", "%%%", "é", b64("Case"), b64("Case:x"), b64("Case/abc"), b64("Slot/1"), b64("Nothing/x"),
        b64("Person/x' OR 1=1"), b64("__Schema/x"), "A" * 3000,
    ],
)  # fmt: skip
async def test_an_id_that_is_none_finds_nothing(town: Town, id: str) -> None:
    asked = (
        """query($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } application(id: $id) { id } }"""
    )
    assert await town.ask("an", asked, id=id) == {"node": None, "nodes": [None], "application": None}
    told = await town.ask(HANDLER, "query($id: ID!) { cases(filter: {handler: $id}) { totalCount } }", id=id)
    assert told["cases"]["totalCount"] == 0
    assert (await town.refused("an", "caseWithdraw", id=id))["code"] == "NOT_FOUND"


@pytest.mark.parametrize("cursor", ["x", "MQ", b64("1.1"), b64("x.y.z"), b64("00000000[1]"), "é", "A" * 999])
async def test_a_cursor_that_is_none_is_refused(town: Town, cursor: str) -> None:
    for asked in ("cases(first: 1, after: $c) { nodes { id } }", "events(after: $c) { id }"):
        told = await town.post("an", f"query($c: Cursor) {{ {asked} }}", {"c": cursor})
        assert told["errors"][0]["extensions"]["code"] in {"BAD_USER_INPUT", "VALIDATION"}


@pytest.mark.parametrize("wanted", ["%", "_", "\\", "' OR '1'='1", "%_" * 5_000, "{viewer.person_id}", "$1"])
async def test_a_search_is_only_a_search(town: Town, wanted: str) -> None:
    for name in ("reference", "applicantName"):
        asked = f"query($w: String) {{ cases(filter: {{{name}: $w}}) {{ totalCount }} }}"
        found = (await town.ask("noor", asked, w=wanted))["cases"]["totalCount"]
        assert found == 0


# ── documents ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{" + " ".join(f"a{n}: __schema {{ types {{ name }} }}" for n in range(5)) + "}", {}),
        ("{ ...A ...B } fragment A on Query { a: __schema { types { name } } b: __schema { types { name } } "
         "c: __schema { types { name } } } fragment B on Query { ... on Query { "
         "d: __type(name: \"Case\") { name } e: __type(name: \"Case\") { name } } }", {}),
        ("query($i: [CaseStatus!]) { cases(filter: {status: $i}) { totalCount } }",
         {"i": ["RECEIVED"] * 10_001}),
        ("query($i: JSON) { __typename }", {"i": [[{"a": [0] * 200}] * 60]}),
        ("{ ...A0 } " + " ".join(f"fragment A{n} on Query {{ ...A{n + 1} ...A{n + 1} }}" for n in range(70)),
         {}),
    ],
)  # fmt: skip
async def test_what_asks_too_much_is_refused_without_sql(town: Town, query: str, variables: Json) -> None:
    await town.ask("carla", "{ viewer { kind } }")
    started = time.perf_counter()
    with town.served.loket.database.count() as statements:
        told = await town.post("carla", query, variables)
    codes = {one["extensions"]["code"] for one in told["errors"]}
    assert codes <= {"DOCUMENT_TOO_COMPLEX", "GRAPHQL_VALIDATION_FAILED"}
    assert time.perf_counter() - started < 1
    counting = "INTO figure", "INTO leadtime", "INTO phasevisit", "FROM phasevisit", "JOIN event AS cause"
    # the worker counts meanwhile what happened before
    assert [one for one in statements if "case" in one and not any(word in one for word in counting)] == []


# ── money ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/", "//evil.example", "javascript:alert(1)", "https://www.lindebeke.example@evil.example",
     "https://www.lindebeke.example.evil.example/", "https://www.lindebeke.example\\@evil.example/", "http://[::1",
     "https://www.lindebeke.example/\r\nSet-Cookie: x=1", " https://www.lindebeke.example/",
     "https://www.lindebeke.example/" + "a" * 2_000],
)  # fmt: skip
async def test_nobody_is_sent_elsewhere_after_paying(town: Town, unpaid: Dossier, address: str) -> None:
    case = unpaid
    invoice = (await case.read(case.who, "invoice { id }"))["invoice"]["id"]
    before = await _rows(town, case)
    refused = await town.refused(case.who, "paymentStart", invoiceId=invoice, returnUrl=address)
    assert (refused["code"], refused["path"]) == ("VALIDATION", ["returnUrl"])
    assert await _rows(town, case) == before


@pytest.mark.parametrize("amount", ["0", "-5.00", "0.001", "10000000", "99999999999999999999", "0.00"])
async def test_an_amount_that_cannot_be_is_not_written_down(town: Town, unpaid: Dossier, amount: str) -> None:
    case = unpaid
    invoice = (await case.read(FINANCE, "invoice { id }"))["invoice"]["id"]
    before = await _rows(town, case)
    paid = {"amount": amount, "method": "COUNTER", "reference": "kas 1", "valueDate": "2026-11-20"}
    refused = await town.refused(FINANCE, "paymentRegister", invoiceId=invoice, input=paid)
    assert (refused["code"], refused["path"]) == ("VALIDATION", ["input", "amount"])
    assert await _rows(town, case) == before


async def test_one_receipt_is_one_payment_and_not_anothers(town: Town) -> None:
    cases = [await town.applies(), await town.applies()]
    first, second = [(await one.read(FINANCE, "invoice { id }"))["invoice"]["id"] for one in cases]
    paid = {"amount": "5.00", "method": "COUNTER", "reference": "kas 2026-77", "valueDate": "2026-11-20"}
    answers = await asyncio.gather(
        *(
            town.does(FINANCE, "paymentRegister", "payment { id }", invoiceId=first, input=paid)
            for _ in range(4)
        )
    )
    assert len({one["payment"]["id"] for one in answers}) == 1
    assert (await cases[0].read(fields="invoice { paid { amount } }"))["invoice"]["paid"]["amount"] == "5.00"
    for invoice, input in ((second, paid), (first, paid | {"amount": "6.00"})):
        refused = await town.refused(FINANCE, "paymentRegister", invoiceId=invoice, input=input)
        assert (refused["code"], refused["path"]) == ("VALIDATION", ["input", "reference"])
    assert (await cases[1].read(fields="invoice { paid { amount } }"))["invoice"]["paid"]["amount"] == "0.00"


async def test_one_receipt_for_two_invoices_at_once_is_for_one_of_them(town: Town) -> None:
    cases = [await town.applies(), await town.applies()]
    invoices = [(await one.read(FINANCE, "invoice { id }"))["invoice"]["id"] for one in cases]
    paid = {"amount": "5.00", "method": "TRANSFER", "reference": "afschrift 9", "valueDate": "2026-11-20"}
    answers = await asyncio.gather(
        *(town.tries(FINANCE, "paymentRegister", invoiceId=one, input=paid) for one in invoices * 2)
    )
    assert sorted(len(one["errors"]) for one in answers) == [0, 0, 1, 1]
    assert {error["code"] for one in answers for error in one["errors"]} == {"VALIDATION"}


async def test_many_clicks_on_pay_lead_to_one_page(town: Town) -> None:
    case = await town.applies()
    invoice = (await case.read(case.who, "invoice { id }"))["invoice"]["id"]
    answers = await asyncio.gather(
        *(
            town.tries(case.who, "paymentStart", "checkoutUrl payment { id }", invoiceId=invoice)
            for _ in range(8)
        )
    )
    pages = {one["checkoutUrl"] for one in answers if not one["errors"]}
    assert len(pages) == 1
    assert len(await town.look("worldline", "checkouts", reference=case.reference)) == 1


async def test_taking_back_while_paying_ends_with_nothing_owed_to_anybody(town: Town) -> None:
    case = await town.applies()
    page = await case.goes_to_pay()
    await asyncio.gather(
        town.order("worldline", f"checkouts/{page}/pay"), town.tries(case.who, "caseWithdraw", id=case.id)
    )
    await case.until("WITHDRAWN")

    async def settled() -> bool:
        money = "status amount { amount }"
        seen = await case.read(fields=f"invoice {{ status payments {{ {money} }} }} refunds {{ {money} }}")
        came = [one["amount"] for one in seen["invoice"]["payments"] if one["status"] == "CAPTURED"]
        back = [one["amount"] for one in seen["refunds"] if one["status"] == "DONE"]
        return bool(seen["invoice"]["status"] == "CREDITED" and came and came == back)

    await until(settled)


async def test_handing_in_and_throwing_away_at_once_is_one_of_both(town: Town) -> None:
    who = town.somebody()
    draft = await town.fills_in(who)
    answers = await asyncio.gather(
        *(town.tries(who, action, id=draft) for action in ("applicationSubmit", "applicationDiscard") * 3)
    )
    assert len([one for one in answers if not one["errors"]]) == 1
    refusals = {error["code"] for one in answers for error in one["errors"]}
    assert refusals <= {"TRANSITION_NOT_ALLOWED", "REQUIRED"}
    status = (
        await town.ask(who, "query($id: ID!) { application(id: $id) { status case { id } } }", id=draft)
    )["application"]
    assert (status["status"] == "SUBMITTED") == (status["case"] is not None)


async def test_the_last_place_goes_to_one_whoever_asks_at_once(town: Town) -> None:
    cases = [await town.applies() for _ in range(4)]
    for one in cases:
        await one.pays()
    for one in cases:
        await one.until("AWAITING_SLOT")
    slot = (await cases[0].slots())[-1]
    await town.sql("UPDATE slot SET capacity = taken + 1 WHERE id = :id", id=decode_id(slot["id"], "Slot"))
    answers = await asyncio.gather(
        *(town.tries(one.who, "deliveryBookSlot", caseId=one.id, slotId=slot["id"]) for one in cases)
    )
    assert len([one for one in answers if not one["errors"]]) == 1
    assert {error["code"] for one in answers for error in one["errors"]} == {"SLOT_FULL"}


async def test_an_idempotency_key_is_ones_own(town: Town) -> None:
    one, other = [await town.applies(), await town.applies()]
    key = "the same key"
    invoices = [(await case.read(FINANCE, "invoice { id }"))["invoice"]["id"] for case in (one, other)]
    paid = {"amount": "1.00", "method": "COUNTER", "reference": "sleutel 1", "valueDate": "2026-11-20"}
    given = {"idempotencyKey": key, "input": paid}
    first = await town.does(FINANCE, "paymentRegister", "payment { id }", invoiceId=invoices[0], **given)
    again = await town.does(FINANCE, "paymentRegister", "payment { id }", invoiceId=invoices[0], **given)
    assert first == again
    mismatch = await town.refused(FINANCE, "paymentRegister", invoiceId=invoices[1], **given)
    assert mismatch["code"] == "IDEMPOTENCY_MISMATCH"
    for who, case in ((one.who, one), (other.who, other)):  # the key of another is no key of mine
        answer = await town.tries(who, "deliveryBookSlot", "case { id }", caseId=case.id, idempotencyKey=key)
        assert {error["code"] for error in answer["errors"]} == {"TRANSITION_NOT_ALLOWED"}


@pytest.mark.parametrize("key", ["", "k" * 201])
async def test_a_key_has_a_length(town: Town, unpaid: Dossier, key: str) -> None:
    case = unpaid
    refused = await town.refused(case.who, "deliveryBookSlot", caseId=case.id, idempotencyKey=key)
    assert (refused["code"], refused["path"]) == ("VALIDATION", ["idempotencyKey"])


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_comes_once(town: Town) -> None:
    who, client = town.somebody(), town.served.client
    announced = {"filename": "x.png", "mediaType": "image/png", "size": len(PNG)}
    upload = await town.does(who, "documentUploadStart", "uploadUrl document { id }", input=announced)
    answers = await asyncio.gather(*(client.put(upload["uploadUrl"], content=PNG) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [201, 404, 404, 404]


async def test_files_that_become_part_of_nothing_are_bounded(town: Town) -> None:
    who = town.somebody()
    announced = {"filename": "los.png", "mediaType": "image/png", "size": 1}
    for _ in range(40):  # of what is awaited nobody knows how large it will be: 10 MiB each
        await town.does(who, "documentUploadStart", input=announced)
    refused = await town.refused(who, "documentUploadStart", input=announced)
    assert (refused["code"], refused["path"]) == ("TOO_LARGE", ["input", "size"])
    await town.sql(
        "UPDATE document SET created_at = created_at - interval '1 hour' WHERE filename = 'los.png'"
    )
    await town.does(who, "documentUploadStart", input=announced)
    assert [tuple(one) for one in await town.sql("SELECT 1 FROM document WHERE filename = 'los.png'")] == [
        (1,)
    ]


@pytest.mark.parametrize("name", ["", " ", "../..", "a\r\nb.png", "x\u202egnp.exe", "a" * 201, "\u2028"])
async def test_a_filename_cannot_lie(town: Town, name: str) -> None:
    announced = {"filename": name, "mediaType": "image/png", "size": 1}
    errors = await town.tries("an", "documentUploadStart", "document { filename }", input=announced)
    if not errors["errors"]:
        assert errors["document"]["filename"] in {".. ..", "a b.png"}
    else:
        assert errors["errors"][0]["path"] == ["input", "filename"]


async def test_a_link_is_for_one_thing_and_cannot_be_bent(town: Town) -> None:
    case = await town.applies()
    await case.calm()
    url = (await case.read(case.who, "invoice { document { url } }"))["invoice"]["document"]["url"]
    base, _, token = url.rpartition("/")
    assert (await town.served.client.get(url)).status_code == 200
    for bent in (token[:-1], token[:-4] + "AAAA", "A" * len(token), token + "AAAA", "%00", "%ff", "é"):
        assert (await town.served.client.get(f"{base}/{bent}")).status_code == 404
    assert (
        await town.served.client.put(f"{town.served.url}/uploads/{token}", content=PNG)
    ).status_code == 404


# ── hooks ─────────────────────────────────────────────────────────────────────────────────────────────


def signed(secret: str, body: bytes) -> dict[str, str]:
    at = str(int(time.time()))
    made = hmac.new(secret.encode(), f"{at}.".encode() + body, sha256).hexdigest()
    return {"Loket-Timestamp": at, "Loket-Signature": f"v1={made}"}


@pytest.mark.parametrize(
    ("path", "secret", "notice"),
    [
        ("accounting", BOOKS["hook_secret"], {"id": "a\x00", "type": "x", "data": {}}),
        ("accounting", BOOKS["hook_secret"],
         {"id": "n1", "type": "payment.registered", "data": {
             "paymentId": "1", "reference": None, "amount": "5.00", "currency": "EUR",
             "valueDate": "2026-11-20", "payerName": "\x00", "payerIban": None, "remittance": "x"}}),
        ("planning", VANS["hook_secret"],
         {"id": "n2", "type": "slot.moved", "data": {"slotId": "x\x00", "startsAt": "2026-11-20T08:00:00Z",
          "endsAt": "2026-11-20T09:00:00Z", "version": 1}}),
        ("planning", VANS["hook_secret"],
         {"id": "n3", "type": "slot.moved", "data": {"slotId": "x", "startsAt": "2026-11-20T08:00:00Z",
          "endsAt": "9999-12-31T23:59:59-14:00", "version": 1}}),
    ],
)  # fmt: skip
async def test_a_notice_that_cannot_be_kept_is_said_so(
    town: Town, path: str, secret: str, notice: Json
) -> None:
    body = orjson.dumps(notice | {"occurredAt": "2026-11-20T08:00:00Z"})
    answer = await town.served.client.post(f"/hooks/{path}", content=body, headers=signed(secret, body))
    assert answer.status_code == 400


@pytest.mark.parametrize("secret", ["", " ", VANS["hook_secret"]])
async def test_a_notice_counts_only_with_the_senders_own_secret(town: Town, secret: str) -> None:
    body = b'{"id":"n","type":"x","occurredAt":"2026-11-20T08:00:00Z","data":{}}'
    answer = await town.served.client.post("/hooks/accounting", content=body, headers=signed(secret, body))
    assert answer.status_code == 401


@pytest.mark.parametrize("number", ["%00", "%ff", "x", "", "a" * 5000, "'%20OR%201=1"])
async def test_who_comes_back_from_no_bank_goes_to_the_website(town: Town, number: str) -> None:
    answer = await town.served.client.get(
        f"/hooks/payments/worldline/return?hostedCheckoutId={number}&RETURNMAC=%00"
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "https://www.lindebeke.example")


# ── looks ─────────────────────────────────────────────────────────────────────────────────────────────


LOOKS = {
    "by reference": ("query($r: String!) { case(reference: $r) { id } }", "r"),
    "in a fragment": ("query($r: String!) { ...F } fragment F on Query { case(reference: $r) { id } }", "r"),
    "in a nameless fragment": (
        "query($r: String!) { ... { ... on Query { a: case(reference: $r) { id } } } }",
        "r",
    ),
    "by a word of the document": ('query { case(reference: "REFERENCE") { id } }', ""),
    "by the default of a variable": ('query($r: String! = "REFERENCE") { case(reference: $r) { id } }', ""),
    "by id": ("query($i: ID!) { node(id: $i) { id } }", "i"),
    "among others": ("query($i: ID!) { nodes(ids: [$i]) { id } }", "i"),
    "by its invoice": ("query($n: String!) { invoice(number: $n) { case { applicant { name } } } }", "n"),
    "by the id of its invoice": ("query($v: ID!) { node(id: $v) { ... on Invoice { case { id } } } }", "v"),
    "by its applicant": ("query($p: ID!) { node(id: $p) { ... on Person { birthDate } } }", "p"),
}


@pytest.mark.parametrize("way", LOOKS)
async def test_staff_who_look_are_written_down_whatever_way_they_take(town: Town, way: str) -> None:
    case = await town.applies()
    seen = await case.read(case.who, "applicant { id } invoice { id number }")
    known = {"r": case.reference, "i": case.id, "n": seen["invoice"]["number"],
             "v": seen["invoice"]["id"], "p": seen["applicant"]["id"]}  # fmt: skip
    query, variable = LOOKS[way]
    given = {variable: known[variable]} if variable else {}
    for _ in range(2):
        await town.ask(HANDLER, query.replace("REFERENCE", case.reference), **given)
    told = await town.ask(
        case.who, "{ viewer { accessLog(first: 50) { nodes { service actor { name } } } } }"
    )
    looks = [
        one["actor"]["name"] for one in told["viewer"]["accessLog"]["nodes"] if one["service"] == "loket"
    ]
    assert looks == ["Hilde Van Dyck"]


async def test_what_is_skipped_is_no_look(town: Town) -> None:
    case = await town.applies()
    asked = "query($r: String!, $s: Boolean!) { viewer { kind } case(reference: $r) @skip(if: $s) { id } }"
    await town.ask(HANDLER, asked, r=case.reference, s=True)
    told = await town.ask(case.who, "{ viewer { accessLog(first: 50) { nodes { service } } } }")
    assert {one["service"] for one in told["viewer"]["accessLog"]["nodes"]} - {"loket"}
    assert "loket" not in {one["service"] for one in told["viewer"]["accessLog"]["nodes"]}


# ── browsers ──────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def signed_in(town: Town, persona: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser with a session; follows nothing by itself."""
    async with httpx2.AsyncClient(base_url=town.served.url, trust_env=False) as browser:
        begun = (await browser.get("/auth/login")).headers["location"]
        form = {name: values[0] for name, values in parse_qs(urlsplit(begun).query).items()}
        chosen = await browser.post(begun.partition("?")[0], data={**form, "persona": persona})
        assert (await browser.get(chosen.headers["location"])).status_code == 303
        yield browser


CHANGE = {"query": 'mutation { contactPreferencesSet(input: {language: "fr"}) { errors { code } } }'}
FOREIGN = [
    "https://evil.example",
    "null",
    "",
    "http://127.0.0.1:1",
    "https://www.lindebeke.example.evil.example",
]


async def test_a_page_of_another_site_does_nothing_in_somebodys_name(town: Town) -> None:
    client = town.served.client
    async with signed_in(town, "gust") as browser:
        cookie = f"loket_session={browser.cookies['loket_session']}"
        tries = [
            await client.post("/graphql", json=CHANGE, headers={"Cookie": cookie, "Origin": origin})
            for origin in FOREIGN
        ]
        assert {one.status_code for one in tries} == {403}
        kinds = ("text/plain", "text/plain; application/json", "application/x-www-form-urlencoded",
                 "multipart/form-data; boundary=x", "")  # fmt: skip
        tries = [
            await client.post(
                "/graphql", content=orjson.dumps(CHANGE), headers={"Cookie": cookie, "Content-Type": kind}
            )
            for kind in kinds
        ]
        assert {one.status_code for one in tries} == {415}
        tries = [
            await client.get("/graphql", params=CHANGE, headers={"Cookie": cookie, "Accept": accept})
            for accept in ("*/*", "text/event-stream", "application/graphql-response+json")
        ]
        assert {one.status_code for one in tries} == {405}
        told = await browser.post(
            "/graphql", json={"query": "{ viewer { contactPreferences { language } } }"}
        )
        assert told.json()["data"]["viewer"]["contactPreferences"]["language"] == "nl"


@pytest.mark.parametrize("origin", FOREIGN[:2])
async def test_a_page_of_another_site_opens_no_socket(town: Town, origin: str) -> None:
    async with signed_in(town, "gust") as browser:
        cookie = {"Cookie": f"loket_session={browser.cookies['loket_session']}"}
        url = town.served.url.replace("http", "ws") + "/graphql"
        with pytest.raises(InvalidStatus):
            async with connect(
                url, subprotocols=[PROTOCOL], origin=Origin(origin), additional_headers=cookie
            ):
                pass


async def test_who_signs_out_hears_no_more(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "look_seconds", 0.2)
    follow = {"query": "subscription { viewerEvents { id } }"}
    url = town.served.url.replace("http", "ws") + "/graphql"
    async with signed_in(town, "gust") as browser, asyncio.timeout(20):
        cookie = {"Cookie": f"loket_session={browser.cookies['loket_session']}"}
        async with (
            connect(url, subprotocols=[PROTOCOL], additional_headers=cookie) as socket,
            town.served.client.stream(
                "POST", "/graphql", json=follow, headers={**cookie, "Accept": "text/event-stream"}
            ) as stream,
        ):
            await socket.send('{"type": "connection_init"}')
            assert orjson.loads(await socket.recv())["type"] == "connection_ack"
            await asyncio.sleep(0.5)  # some looks later both are open still
            pong = await socket.ping()
            await pong
            out = await browser.post("/auth/logout", headers={"Origin": town.served.url})
            assert out.status_code == 303
            said = [line async for line in stream.aiter_lines()]
            assert "event: complete" in said
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 4403


# ── what is kept, and what is said of it ──────────────────────────────────────────────────────────────


ROWS = 'SELECT t::text FROM "{table}" t'


async def test_no_national_number_stands_in_the_open(town: Town) -> None:
    case = await town.applies("carla")
    await case.calm()
    citizen = personas.person("carla")
    assert isinstance(citizen, personas.Citizen)
    number = citizen.insz
    written = {number, f"{number[:2]}.{number[2:4]}.{number[4:6]}-{number[6:9]}.{number[9:]}"}
    tables = await town.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    for (name,) in tables:
        rows = await town.sql(ROWS.format(table=name))
        assert not [row[0][:200] for row in rows for one in written if one in row[0]], name


async def test_the_account_of_who_paid_is_sealed_also_where_nobody_knows_for_what(town: Town) -> None:
    body = orjson.dumps(
        {"id": "onbekend", "type": "payment.registered", "occurredAt": "2026-11-20T08:00:00Z",
         "data": {"paymentId": "77", "reference": None, "amount": "5.00", "currency": "EUR",
                  "valueDate": "2026-11-20", "payerName": "Iemand", "payerIban": "BE68539007547034",
                  "remittance": "zonder mededeling"}}
    )  # fmt: skip
    headers = signed(BOOKS["hook_secret"], body)
    assert (
        await town.served.client.post("/hooks/accounting", content=body, headers=headers)
    ).status_code == 204
    kept = await town.sql("SELECT outcome::text FROM inbox WHERE message_id = 'onbekend'")
    assert "payer_iban_sealed" in kept[0][0]
    assert "BE68539007547034" not in kept[0][0]


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        (
            "INSERT INTO person (id, given_name, family_name, language, by_email, by_sms)"
            " VALUES (gen_random_uuid(), :value, 'x', 'nl', true, false)",
            "Geheim",
        ),
        ("SELECT CAST(:value AS jsonb)", '{"name": "Geheim", "x": "\\u0000"}'),
    ],
)
async def test_a_log_repeats_no_row_that_went_wrong(town: Town, statement: str, value: str) -> None:
    with pytest.raises(DBAPIError) as fault:
        await town.sql(statement, value=value)
    assert "Geheim" in str(fault.value)
    what = (fault.type, fault.value, None)
    told = JsonLine().format(logging.LogRecord("x", logging.ERROR, "x", 1, "wrong", None, what))
    assert "(left out)" in told
    assert "Geheim" not in told


async def test_a_bad_notice_is_logged_without_what_it_says(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    said = {"id": "q", "type": "payment.registered", "occurredAt": "2026-11-20T08:00:00Z"}
    body = orjson.dumps(said | {"data": {"payerName": "Geheim"}})
    answer = await town.served.client.post(
        "/hooks/accounting", content=body, headers=signed(BOOKS["hook_secret"], body)
    )
    assert answer.status_code == 400
    assert "payment" in caplog.text
    assert "Geheim" not in caplog.text
