"""The endpoint as clients meet it, over real sockets: limits, errors, mutations, streams."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest
import pytest_asyncio
import uvicorn
import websockets
from graphql import GraphQLError, build_schema, get_introspection_query, validate_schema
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from uuid_utils.compat import uuid7
from websockets.typing import Subprotocol

import toys
from loket.api import scalars
from loket.api.endpoint import Endpoint, Malformed, negotiate
from loket.api.limits import Limits, check_text
from loket.database import Database
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id, encode_id, read_id

AN, BERT = toys.PEOPLE[0], toys.PEOPLE[1]
LIMITS = Limits(seconds=1.0)


@dataclass
class Office:
    """The toy schema behind a real server. A caller's name is its bearer token."""

    database: Database
    hub: toys.Hub = field(default_factory=toys.Hub)
    port: int = 0
    expires_at: datetime | None = None
    asked: int = 0

    async def context(self, connection: HTTPConnection, init: Mapping[str, Any] | None) -> toys.Context:
        self.asked += 1
        token = connection.headers.get("authorization") if init is None else init.get("authorization")
        token = str(token or connection.cookies.get("session") or "").removeprefix("Bearer ")
        viewers = {"": toys.ANONYMOUS, "an": toys.citizen(AN), "bert": toys.citizen(BERT, "en")}
        viewers["staff"] = toys.staff("social", "environment", language="en")
        if token == "blocked":
            raise Refused(ErrorCode.NOT_ALLOWED)
        if token not in viewers:
            raise Refused(ErrorCode.SIGN_IN_REQUIRED)
        return toys.Context(viewers[token], self.database, self.hub, expires_at=self.expires_at)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    async def post(self, document: object, caller: str = "staff", **headers: str) -> httpx2.Response:
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {caller}" if caller else ""}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx2.AsyncClient(trust_env=False) as client:
            return await client.post(self.url, content=body, headers={k: v for k, v in sent.items() if v})

    async def ask(self, query: str, caller: str = "staff", **variables: object) -> dict[str, Any]:
        response = await self.post({"query": query, "variables": variables}, caller)
        found: dict[str, Any] = response.json()
        return found


def _page(request: Request) -> Response | None:
    return PlainTextResponse("a page") if "text/html" in request.headers.get("accept", "") else None


@pytest_asyncio.fixture(scope="module")
async def office(module_database_url: str) -> AsyncIterator[Office]:
    async with Database(module_database_url, name="toys") as database:
        await toys.fill(database)
        office = Office(database)
        endpoint = Endpoint(
            toys.schema(LIMITS),
            context=office.context,
            page=_page,
            allowed_origins=["https://www.lindebeke.example"],
            connection_init_seconds=0.3,
        )
        async with serving(endpoint) as office.port:
            yield office
        assert not endpoint.connections
        assert not office.hub.queues


@asynccontextmanager
async def serving(endpoint: Endpoint) -> AsyncIterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(endpoint, port=0, log_level="warning", ws="websockets-sansio", lifespan="off")
    )
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true, at most five seconds."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  # it is not ours to tell
            await asyncio.sleep(0.01)


# --- over HTTP --------------------------------------------------------------------------------


async def test_a_question_gets_its_answer_and_its_cost(office: Office) -> None:
    response = await office.post({"query": "{ me { kind } }"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.json() == {
        "data": {"me": {"kind": "STAFF"}},
        "extensions": {"cost": {"requested": 2, "budget": 100_000}},
    }


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*;q=0.5", "application/json"),
        ("application/graphql-response+json", "application/graphql-response+json"),
        ("application/json;q=0.2, application/graphql-response+json", "application/graphql-response+json"),
        ("application/json, application/graphql-response+json;q=0.9", "application/json"),
        ("text/html, text/event-stream", "text/event-stream"),
    ],
)
def test_the_client_chooses_the_media_type(accept: str | None, media: str) -> None:
    assert negotiate(accept) == media


def test_a_media_type_that_nobody_gives_is_refused() -> None:
    with pytest.raises(Malformed) as refused:
        negotiate("text/plain, application/json;q=0")
    assert refused.value.status == 406


@pytest.mark.parametrize(
    "wrong",
    ["{ me { nothing } }", "{ me {", "query ($n: Int!) { me { kind } dossiers(first: $n) { totalCount } }"],
)
async def test_a_wrong_request_is_400_only_where_the_media_type_promises_it(
    office: Office, wrong: str
) -> None:
    old = await office.post({"query": wrong, "variables": {"n": "x"}})
    new = await office.post(
        {"query": wrong, "variables": {"n": "x"}}, Accept="application/graphql-response+json"
    )
    assert (old.status_code, new.status_code) == (200, 400)
    assert "data" not in old.json()
    assert "data" not in new.json()
    assert new.json()["errors"][0]["extensions"]["code"] in {
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
        "BAD_USER_INPUT",
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'[{"query": "{ __typename }"}]', 400),
        (b'{"query": 1}', 400),
        (b'{"query": "{ __typename }", "variables": "x"}', 400),
        (b'{"query": "{ __typename }", "operationName": 1}', 400),
        (b'{"query": "{ __typename }", "extensions": []}', 400),
        (b'{"query": "{ __typename }", "variables": {"a": "\\u0000"}}', 400),
        (b'{"query": "{ __typename }", "variables": {"a": "\\ud800"}}', 400),
        (b'{"query": "{ __typename }", "variables": {"a": "' + b"x" * 1_000_000 + b'"}}', 413),
    ],
)
async def test_a_malformed_body_is_refused(office: Office, body: bytes, status: int) -> None:
    response = await office.post(body)
    assert response.status_code == status
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


async def test_a_body_without_a_length_is_bounded_too(office: Office) -> None:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 50_000

    async with httpx2.AsyncClient(trust_env=False) as client:
        response = await client.post(
            office.url,
            content=flood(),
            headers={"Content-Type": "application/json", "Authorization": "Bearer an"},
        )
    assert response.status_code == 413


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_what_a_foreign_page_can_send_unasked_is_refused(office: Office, kind: str) -> None:
    response = await office.post(
        b'{"query": "mutation { staffOnly { errors { code } } }"}', Content_Type=kind
    )
    assert response.status_code == 415


async def test_a_cookie_is_not_taken_from_a_foreign_page(office: Office) -> None:
    question = {"query": "{ me { kind } }"}
    foreign = await office.post(question, "", Cookie="session=an", Origin="https://evil.example")
    assert foreign.status_code == 403
    for origin in ("https://www.lindebeke.example", f"http://127.0.0.1:{office.port}"):
        ours = await office.post(question, "", Cookie="session=an", Origin=origin)
        assert ours.json()["data"]["me"] == {"kind": "CITIZEN"}
    bearer = await office.post(question, "an", Origin="https://evil.example")
    assert bearer.status_code == 200


async def test_get_reads_and_never_changes(office: Office) -> None:
    async with httpx2.AsyncClient(trust_env=False, headers={"Authorization": "Bearer an"}) as client:
        read = await client.get(
            office.url,
            params={
                "query": "query ($r: String!) { dossier(reference: $r) { reference } }",
                "variables": '{"r": "D-000"}',
            },
        )
        assert read.json()["data"] == {"dossier": {"reference": "D-000"}}
        changed = await client.get(office.url, params={"query": "mutation { staffOnly { errors { code } } }"})
        assert changed.status_code == 405
        assert changed.headers["allow"] == "POST"
        assert (
            await client.get(office.url, params={"query": "{ me { kind } }", "variables": "{"})
        ).status_code == 400
        assert (await client.get(office.url)).status_code == 400
        assert (await client.get(office.url, headers={"Accept": "text/html"})).text == "a page"
        put = await client.put(office.url, json={})
        assert (put.status_code, put.headers["allow"]) == (405, "GET, POST")


async def test_a_wrong_token_is_401_and_a_forbidden_one_403(office: Office) -> None:
    wrong = await office.post({"query": "{ me { kind } }"}, "gone")
    assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, "Bearer")
    assert wrong.json()["errors"][0]["extensions"]["code"] == "SIGN_IN_REQUIRED"
    assert (await office.post({"query": "{ me { kind } }"}, "blocked")).status_code == 403


async def test_the_named_operation_runs(office: Office) -> None:
    document = "query One { me { kind } } query Two { __typename }"
    two = await office.post({"query": document, "operationName": "Two"})
    assert two.json()["data"] == {"__typename": "Query"}
    for name in (None, "Three"):
        none = await office.post({"query": document, "operationName": name})
        assert none.json()["errors"][0]["extensions"]["code"] == "OPERATION_NOT_FOUND"


# --- errors tell clients theirs and hide ours -------------------------------------------------


async def test_our_own_mistake_is_masked_and_logged(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    found = await office.ask("{ broken me { kind } }")
    assert found["data"] == {"broken": None, "me": {"kind": "STAFF"}}
    fault = found["errors"][0]
    assert fault["message"] == "Internal error"
    assert fault["extensions"]["code"] == "INTERNAL"
    assert "hunter2" not in orjson.dumps(found).decode()
    assert fault["extensions"]["traceId"] in caplog.text
    assert "hunter2" in caplog.text


async def test_nothing_is_suggested(office: Office) -> None:
    for query in (
        "{ dossierz { totalCount } }",
        "{ dossiers(fist: 1) { totalCount } }",
        "{ dossiers(orderBy: NEWES) { totalCount } }",
        "{ x: nodes(ids: []) { ... on Dosier { id } } }",
    ):
        found = await office.ask(query)
        assert "Did you mean" not in found["errors"][0]["message"]
        assert found["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


async def test_a_variable_that_does_not_fit_is_said_without_internals(office: Office) -> None:
    query = "query ($f: DossierFilter) { dossiers(filter: $f) { totalCount } }"
    wrong: list[object] = [{"submittedFrom": "x"}, {"atLeast": "1e9"}, {"status": ["NO"]}, {"statuz": []}, 3]
    for value in wrong:
        found = await office.ask(query, f=value)
        assert found["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}, value
        for internal in ("Error", "Did you mean", "object has", "int()", "Traceback"):
            assert internal not in found["errors"][0]["message"].replace("GraphQLError", "")


async def test_a_request_that_takes_too_long_is_ended(office: Office) -> None:
    started = time.perf_counter()
    found = await office.ask("{ slow }")
    assert time.perf_counter() - started < 3
    assert found["errors"][0]["extensions"]["code"] == "TIMEOUT"


# --- limits -----------------------------------------------------------------------------------

ALIASES = "{" + " ".join(f"a{number}: __typename" for number in range(10_000)) + "}"
DEEP = "{ dossiers { nodes " + "{ person { dossiers { nodes " * 17 + "{ id }" + " } } }" * 17 + " } }"
BOMB = (
    "query { ...F0 } "
    + " ".join(f"fragment F{number} on Query {{ ...F{number + 1} ...F{number + 1} }}" for number in range(30))
    + " fragment F30 on Query { a: __typename }"
)
WIDE = "fragment W on Dossier { " + " ".join(f"p{n}: person {{ id name }}" for n in range(40)) + " } "
TOO_COMPLEX = {
    "10,000 aliases": ALIASES,
    "61 short aliases": "{" + " ".join(f"a{n}: __typename" for n in range(61)) + "}",
    "depth 50": DEEP,
    "a fragment bomb": BOMB,
    "a circle": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "nested lists": "{ nodes(ids: " + "[" * 50 + "]" * 50 + ") { id } }",
    "directives": "{ me " + "@skip(if: false) " * 100 + "{ kind } }",
    "directives on a field": "{ me " + "@skip(if: false) " * 5 + "{ kind } }",
    "the same field again": "{" + "__typename " * 13 + "}",
    "roots": "{" + " ".join(f"a{n}: __typename" for n in range(21)) + "}",
    "roots in fragments": "{ ...A ...B } fragment A on Query {"
    + " ".join(f"a{n}: __typename" for n in range(11))
    + "} fragment B on Query {"
    + " ".join(f"b{n}: __typename" for n in range(11))
    + "}",
    "fragments": "{ __typename } " + " ".join(f"fragment F{n} on Query {{ __typename }}" for n in range(81)),
    "fields in fragments": WIDE
    + "{ me { dossiers { "
    + " ".join("... on DossierConnection { nodes { ...W dossiers: handler { ...X } } }" for n in range(12))
    + " } } }"
    + " fragment X on Person { "
    + " ".join(f"q{n}: name" for n in range(19))
    + " }",
    "a long alias": "{ " + "a" * 61 + ": __typename }",
    "a long text": "# " + "x" * 33_000 + "\n{ __typename }",
}


def _busy_seconds(do: Callable[..., object], *given: object) -> float:
    """Of the processor, however much else there is to do on this machine."""
    began = time.thread_time()
    do(*given)
    return time.thread_time() - began


@pytest.mark.parametrize("name", TOO_COMPLEX)
async def test_a_document_too_complex_is_refused_at_once_and_without_sql(office: Office, name: str) -> None:
    document = TOO_COMPLEX[name]
    assert not hasattr(toys.schema(LIMITS).document(document), "tree")
    most = 0.005 if name in {"10,000 aliases", "depth 50"} else 0.1
    assert min(_busy_seconds(toys.schema(LIMITS).document, document) for _ in range(3)) < most
    asked = office.asked
    with office.database.count() as statements:
        answer = await office.post({"query": document})
    assert answer.json()["errors"][0]["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"
    assert list(statements) == []
    assert office.asked == asked, "nobody was asked who the caller is"


async def test_the_cost_counts_pages_within_pages_against_the_viewers_budget(office: Office) -> None:
    query = """query ($n: Int = 10) { dossiers(first: $n) { totalCount nodes { id
      notes(last: 5) { edges { node { id } } } firstNotes { id } } } }"""
    found = await office.ask(query)
    cost = 1 + (1 + 50) + 1 + 10 * (1 + (1 + 1 + 5 * (1 + 1)) + (1 + 5 * 1))
    assert found["extensions"]["cost"] == {"requested": cost, "budget": 100_000}
    assert (await office.ask(query, n=20))["extensions"]["cost"]["requested"] > 2 * cost - 60
    dear = """{ dossiers(first: 100) { nodes { notes(first: 100) { nodes { dossier { notes(first: 100) {
      nodes { id } } } } } } } }"""
    with office.database.count() as statements:
        refused = await office.ask(dear, "an")
    assert refused["errors"][0]["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"
    assert refused["errors"][0]["extensions"]["budget"] == 20_000
    assert list(statements) == []
    many = await office.ask("query ($i: [ID!]!) { nodes(ids: $i) { id } }", i=["x"] * 30)
    assert many["extensions"]["cost"]["requested"] == 31


@pytest.mark.parametrize("depth", [7, 9])
async def test_introspection_passes_and_is_remembered(office: Office, depth: int) -> None:
    query = get_introspection_query()
    first = await office.ask(query)
    assert "errors" not in first
    names = {one["name"] for one in first["data"]["__schema"]["types"]}
    assert {"Dossier", "VersionConflict", "SlotFull", "PhoneNumber"} <= names | {"PhoneNumber"}
    assert (await office.ask(query))["data"] == first["data"]


async def test_the_ways_around_the_limits_are_closed() -> None:
    schema = toys.schema()
    for way in (schema.execute, schema.stream, schema.subscribe):
        with pytest.raises(TypeError, match="answer"):
            await way("{ __typename }")


def test_scanning_hostile_text_is_linear() -> None:
    for piece in ('"', '"""', '\\"""', '"\\', "#", "....", "é", "{", "-1e", ":"):
        assert _busy_seconds(_scan, piece * 30_000) < 0.1


def _scan(text: str) -> None:
    with suppress(GraphQLError):
        check_text(text, Limits(text=10**6))


# --- mutations --------------------------------------------------------------------------------

NOTE_ADD = """mutation ($id: ID!, $text: String!, $key: String!, $fail: String) {
  noteAdd(id: $id, input: { text: $text, fail: $fail }, idempotencyKey: $key) {
    note { id text words: text } notes { number text } dossier { reference notes(last: 1) { nodes { text } } }
    errors { __typename message code path
      ... on VersionConflict { currentVersion } ... on RuleNotMet { rule }
      ... on TransitionNotAllowed { currentStatus allowedActions }
      ... on SlotFull { alternatives { slotId startsAt } } }
  } }"""
DOSSIER = encode_id("Dossier", toys.DOSSIERS[3])


async def test_a_mutation_answers_with_the_row_as_it_now_is(office: Office) -> None:
    found = await office.ask(NOTE_ADD, "an", id=DOSSIER, text="new", key=uuid7().hex)
    payload = found["data"]["noteAdd"]
    assert payload["errors"] == []
    assert payload["note"]["text"] == payload["note"]["words"] == "new"
    assert payload["notes"] == [{"number": 4, "text": "new"}]
    assert payload["dossier"] == {"reference": "D-003", "notes": {"nodes": [{"text": "new"}]}}


async def test_the_same_key_again_gives_the_same_answer_and_is_done_once(office: Office) -> None:
    key = uuid7().hex
    asked = {"id": encode_id("Dossier", toys.DOSSIERS[9]), "text": "once", "key": key}
    answers = await asyncio.gather(*(office.ask(NOTE_ADD, "an", **asked) for _ in range(5)))
    assert all(one["data"] == answers[0]["data"] for one in answers)
    assert answers[0]["data"]["noteAdd"]["note"]["text"] == "once"
    other = await office.ask(NOTE_ADD, "an", **asked | {"text": "twice"})
    assert other["data"]["noteAdd"]["errors"][0] == {
        "__typename": "IdempotencyMismatch",
        "code": "IDEMPOTENCY_MISMATCH",
        "message": "Deze idempotency key is al gebruikt voor een andere aanvraag.",
        "path": ["idempotencyKey"],
    }
    staff = await office.ask(NOTE_ADD, "staff", **asked)
    assert staff["data"]["noteAdd"]["note"]["id"] != answers[0]["data"]["noteAdd"]["note"]["id"]
    found = await office.ask(
        '{ dossier(reference: "D-009") { notes(filter: { text: "once" }) { totalCount } } }'
    )
    assert found["data"]["dossier"]["notes"]["totalCount"] == 2
    bad = await office.ask(NOTE_ADD, "an", **asked | {"key": ""})
    assert bad["data"]["noteAdd"]["errors"][0]["code"] == "VALIDATION"


async def test_what_the_database_undoes_for_the_sake_of_another_is_done_once_more(office: Office) -> None:
    asked = {"id": encode_id("Dossier", toys.DOSSIERS[9]), "text": "gave way", "fail": "1", "key": "gave way"}
    answers = [await office.ask(NOTE_ADD, "an", **asked) for _ in range(2)]
    assert answers[0]["data"]["noteAdd"]["note"]["text"] == "gave way"
    assert answers[0]["data"] == answers[1]["data"]
    found = await office.ask(
        '{ dossier(reference: "D-009") { notes(filter: { text: "gave way" }) { totalCount } } }'
    )
    assert found["data"]["dossier"]["notes"]["totalCount"] == 1


@pytest.mark.parametrize("fail", ["2", "writers", "readers"])
async def test_a_database_that_cannot_now_is_no_fault_of_ours(office: Office, fail: str) -> None:
    asked = {"id": DOSSIER, "text": f"not now {fail}", "fail": fail, "key": f"not now {fail}"}
    answer = await office.ask(NOTE_ADD, "an", **asked)
    (fault,) = answer["errors"]
    assert fault["extensions"]["code"] == "SYSTEM_UNAVAILABLE"
    assert fault["extensions"]["traceId"]
    assert fault["message"] == "Loket antwoordt nu niet. Probeer het later opnieuw."
    assert "secret" not in str(answer)
    if fail == "2":  # the key was not used up
        assert (await office.ask(NOTE_ADD, "an", **asked))["data"]["noteAdd"]["note"]


async def test_every_refusal_comes_back_in_the_callers_language(office: Office) -> None:
    asked = {"id": DOSSIER, "text": "x", "fail": "many"}
    english = (await office.ask(NOTE_ADD, "bert", **asked, key="1"))["data"]["noteAdd"]["errors"]
    dutch = (await office.ask(NOTE_ADD, "an", **asked, key="1"))["data"]["noteAdd"]["errors"]
    assert [one["__typename"] for one in english] == [
        "ValidationError",
        "VersionConflict",
        "TransitionNotAllowed",
        "RuleNotMet",
        "SlotFull",
    ]
    assert (english[0]["message"], dutch[0]["message"]) == (
        "This field is required.",
        "Dit veld is verplicht.",
    )
    assert english[0]["path"] == ["input", "text"]
    assert english[1]["currentVersion"] == 7
    assert english[2]["currentStatus"] == "OPEN"
    assert english[2]["allowedActions"] == ["CASE_CANCEL"]
    assert english[3]["rule"] == "age"
    assert english[4]["alternatives"] == [{"slotId": "x", "startsAt": "2026-11-27T08:00:00.000000Z"}]
    missing = await office.ask(NOTE_ADD, "an", id="nonsense", text="x", key="2")
    assert missing["data"]["noteAdd"]["errors"][0]["code"] == "NOT_FOUND"
    assert missing["data"]["noteAdd"]["errors"][0]["path"] == ["id"]


async def test_a_system_that_is_down_is_an_answer_and_a_mistake_of_ours_is_an_error(office: Office) -> None:
    asked = {"id": DOSSIER, "text": "x", "key": "3"}
    down = await office.ask(NOTE_ADD, "bert", **asked, fail="unavailable")
    assert down["data"]["noteAdd"]["errors"][0]["code"] == "SYSTEM_UNAVAILABLE"
    assert "host" not in down["data"]["noteAdd"]["errors"][0]["message"]
    broken = await office.ask(NOTE_ADD, "bert", **asked, fail="else")
    assert broken["errors"][0]["message"] == "Internal error"
    assert "secret" not in orjson.dumps(broken).decode()


async def test_a_mutation_is_for_whom_its_policy_says(office: Office) -> None:
    query = "mutation { staffOnly { errors { code message } } }"
    codes = [(await office.ask(query, token))["data"]["staffOnly"]["errors"] for token in ("", "an", "staff")]
    assert [[one["code"] for one in errors] for errors in codes] == [
        ["SIGN_IN_REQUIRED"],
        ["NOT_ALLOWED"],
        [],
    ]


# --- sockets ----------------------------------------------------------------------------------

Socket = Any
"""The client's connection."""
PROTOCOL = Subprotocol("graphql-transport-ws")
WRITTEN = """subscription ($after: Cursor) {
  written: noteWritten(after: $after) { number text dossier { reference } } }"""


@asynccontextmanager
async def socket(
    office: Office,
    caller: str | None = "staff",
    **options: Any,  # noqa: ANN401  # of the client
) -> AsyncIterator[Socket]:
    async with websockets.connect(
        office.url.replace("http", "ws"), subprotocols=[PROTOCOL], compression=None, **options
    ) as opened:
        if caller is not None:
            await say(opened, type="connection_init", payload={"authorization": f"Bearer {caller}"})
            assert await hear(opened) == {"type": "connection_ack"}
        yield opened


async def say(opened: Socket, **message: object) -> None:
    await opened.send(orjson.dumps(message).decode())


async def hear(opened: Socket) -> dict[str, Any]:
    async with asyncio.timeout(5):
        text = await opened.recv()
    assert isinstance(text, str)
    found: dict[str, Any] = orjson.loads(text)
    return found


async def closing(opened: Socket) -> int:
    async with asyncio.timeout(5):
        await opened.wait_closed()
    return int(opened.close_code)


async def subscribers(office: Office, number: int) -> None:
    await until(lambda: len(office.hub.queues) == number)


async def some_note(office: Office, reference: str = "D-001") -> UUID:
    found = await office.ask(
        f'{{ dossier(reference: "{reference}") {{ notes(first: 1) {{ nodes {{ id }} }} }} }}'
    )
    return decode_id(found["data"]["dossier"]["notes"]["nodes"][0]["id"], "Note")


async def test_a_subscriber_sees_events_of_its_own_and_not_of_others(office: Office) -> None:
    mine, other = await some_note(office, "D-003"), await some_note(office, "D-001")
    async with socket(office, "an") as an, socket(office, "bert") as bert:
        for opened in (an, bert):
            await say(opened, type="subscribe", id="1", payload={"query": WRITTEN})
        await subscribers(office, 2)
        for key in (other, mine):
            office.hub.publish(toys.Note.of(key))
        heard = await hear(an)
        assert heard["type"] == "next"
        assert heard["payload"]["data"]["written"]["dossier"] == {"reference": "D-003"}
        assert heard["payload"]["extensions"]["cost"]["requested"] > 0
        assert (await hear(bert))["payload"]["data"]["written"]["dossier"] == {"reference": "D-001"}
        await say(an, type="complete", id="1")
        await subscribers(office, 1)
    await subscribers(office, 0)


async def test_subscribers_of_the_same_event_share_one_statement(office: Office) -> None:
    key = await some_note(office)
    async with socket(office) as opened:
        for number in range(8):
            await say(opened, type="subscribe", id=str(number), payload={"query": WRITTEN})
        await subscribers(office, 8)
        with office.database.count() as statements:
            office.hub.publish(toys.Note.of(key))
            heard = [await hear(opened) for _ in range(8)]
        assert len({one["id"] for one in heard}) == 8
        assert len({orjson.dumps(one["payload"]["data"]) for one in heard}) == 1
        assert len(statements) == 1


async def test_queries_and_mutations_pass_over_a_socket_under_the_same_limits(office: Office) -> None:
    async with socket(office) as opened:
        await say(opened, type="subscribe", id="q", payload={"query": "{ me { kind } }"})
        assert (await hear(opened))["payload"]["data"] == {"me": {"kind": "STAFF"}}
        assert await hear(opened) == {"id": "q", "type": "complete"}
        for document in (DEEP, ALIASES, "{ nothing }", "{"):
            await say(opened, type="subscribe", id="q", payload={"query": document})
            refused = await hear(opened)
            assert (refused["type"], refused["id"]) == ("error", "q")
            assert "code" in refused["payload"][0]["extensions"]
        await say(
            opened, type="subscribe", id="m", payload={"query": "mutation { staffOnly { errors { code } } }"}
        )
        assert (await hear(opened))["payload"]["data"] == {"staffOnly": {"errors": []}}


async def test_a_subscription_that_is_not_for_the_viewer_is_an_error(office: Office) -> None:
    document = toys.schema().document(WRITTEN)
    events = toys.schema().events(document, context=toys.Context(toys.ANONYMOUS, office.database))  # type: ignore[arg-type]  # a document
    answers = [one async for one in events]
    assert answers[0].data is None
    assert answers[0].errors[0]["extensions"]["code"] == "SIGN_IN_REQUIRED"


@pytest.mark.parametrize(("token", "code"), [("gone", 4401), ("", 4401), ("blocked", 4403)])
async def test_a_socket_without_the_right_token_is_closed(office: Office, token: str, code: int) -> None:
    async with socket(office, None) as opened:
        await say(opened, type="connection_init", payload={"authorization": token})
        assert await closing(opened) == code


async def test_a_socket_that_does_not_follow_the_protocol_is_closed(office: Office) -> None:
    subscribe = {"type": "subscribe", "id": "1", "payload": {"query": "{ me { kind } }"}}
    wrong: list[tuple[str | None, list[str | bytes], int]] = [
        (None, [], 4408),
        (None, [orjson.dumps(subscribe).decode()], 4401),
        ("staff", ["nonsense"], 4400),
        ("staff", ["[]"], 4400),
        ("staff", ['{"type": ["x"]}'], 4400),
        ("staff", ['{"type": "x"}'], 4400),
        ("staff", [b"{}"], 4400),
        ("staff", ['{"type": "subscribe", "id": ["x"], "payload": {}}'], 4400),
        ("staff", ['{"type": "subscribe", "id": "1", "payload": {"query": 1}}'], 4400),
        ("staff", ['{"type": "subscribe", "id": "1", "payload": {"query": "x", "variables": 3}}'], 4400),
        ("staff", ['{"type": "connection_init"}'], 4429),
        ("staff", ['{"type": "ping", "payload": "\\u0000"}'], 4400),
        ("staff", ['{"type": "ping", "payload": "' + "x" * 1_000_000 + '"}'], 1009),
    ]
    for token, messages, code in wrong:
        async with socket(office, token) as opened:
            for message in messages:
                await opened.send(message)
            assert await closing(opened) == code, messages
    async with socket(office) as opened:
        for _ in range(2):
            await say(opened, type="subscribe", id="1", payload={"query": WRITTEN})
        assert await closing(opened) == 4409


async def test_only_our_protocol_and_our_origins_may_open_a_socket(office: Office) -> None:
    url = office.url.replace("http", "ws")
    async with websockets.connect(url, subprotocols=[Subprotocol("graphql-ws")]) as opened:
        assert await closing(opened) == 4406
    with pytest.raises(websockets.InvalidStatus, match="403"):
        async with socket(office, None, origin="https://evil.example"):
            pass
    async with socket(
        office, None, origin="https://www.lindebeke.example", additional_headers={"Cookie": "session=an"}
    ) as opened:
        await say(opened, type="connection_init")
        assert (await hear(opened))["type"] == "connection_ack"


async def test_a_connection_has_at_most_ten_subscriptions(office: Office) -> None:
    async with socket(office) as opened:
        for number in range(11):
            await say(opened, type="subscribe", id=str(number), payload={"query": WRITTEN})
        refused = await hear(opened)
        assert (refused["type"], refused["id"]) == ("error", "10")
        await subscribers(office, 10)
    await subscribers(office, 0)


async def test_an_abrupt_end_leaves_nothing_behind(office: Office) -> None:
    before = len(asyncio.all_tasks())
    async with socket(office) as opened:
        await say(opened, type="subscribe", id="1", payload={"query": WRITTEN})
        await subscribers(office, 1)
        opened.transport.abort()
    await subscribers(office, 0)
    await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_socket_closes_when_what_it_signed_in_with_expires(office: Office) -> None:
    office.expires_at = datetime.now(UTC) + timedelta(seconds=0.3)
    try:
        async with socket(office) as opened:
            await say(opened, type="subscribe", id="1", payload={"query": WRITTEN})
            await subscribers(office, 1)
            assert await closing(opened) == 4403
    finally:
        office.expires_at = None
    await subscribers(office, 0)


# --- event streams ----------------------------------------------------------------------------


@asynccontextmanager
async def stream(office: Office, **headers: str) -> AsyncIterator[AsyncIterator[str]]:
    sent = {"Accept": "text/event-stream", "Authorization": "Bearer staff"} | headers
    async with httpx2.AsyncClient(trust_env=False, headers=sent, timeout=5) as client:
        params = {"query": WRITTEN}
        async with client.stream("GET", office.url, params=params) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            yield response.aiter_lines()


async def event(lines: AsyncIterator[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    async for line in lines:
        if not line:
            return found
        name, _, value = line.partition(":")
        found[name] = value.strip()
    return found


async def test_an_event_stream_resumes_after_the_last_event_that_was_seen(office: Office) -> None:
    key = await some_note(office)
    async with stream(office) as lines:
        await subscribers(office, 1)
        office.hub.publish(toys.Note.of(key, cursor=str(key)))
        first = await event(lines)
        assert first["id"] == str(key)
        assert first["event"] == "next"
        assert orjson.loads(first["data"])["data"]["written"]["number"] == 1
    await subscribers(office, 0)
    async with stream(office, **{"Last-Event-ID": first["id"]}) as lines:
        assert (await event(lines))["id"] == str(key)
    await subscribers(office, 0)


async def test_a_stream_ends_when_what_it_signed_in_with_expires(office: Office) -> None:
    office.expires_at = datetime.now(UTC) + timedelta(seconds=0.3)
    try:
        async with stream(office) as lines:
            assert (await event(lines))["event"] == "complete"
    finally:
        office.expires_at = None
    await subscribers(office, 0)


async def test_a_query_over_an_event_stream_is_one_event(office: Office) -> None:
    response = await office.post({"query": "{ me { kind } }"}, Accept="text/event-stream")
    next_, complete, _ = response.text.split("\n\n")
    assert next_.startswith("event: next\ndata: {")
    assert complete == "event: complete\ndata: "


# --- names and scalars ------------------------------------------------------------------------


def test_a_global_id_is_read_back_and_nothing_else_is() -> None:
    key = uuid7()
    made = encode_id("Dossier", key)
    assert decode_id(made, "Dossier") == key
    assert read_id(encode_id("Procedure", "compost-bin")) == ("Procedure", "compost-bin")
    for wrong in ("", "x", made + "A", made + "=", made[:-1], "\x00", "é", "a" * 500, str(key)):
        assert read_id(wrong) is None
        with pytest.raises(Refused) as refused:
            decode_id(wrong, "Dossier")
        assert refused.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(Refused):
        decode_id(made, "Person")


@pytest.mark.parametrize(
    ("kind", "good", "value"),
    [
        (Decimal, "60.00", Decimal("60.00")),
        (Decimal, -3, Decimal(-3)),
        (Decimal, 0.1, Decimal("0.1")),
        (datetime, "2026-11-21T10:15:00+01:00", datetime(2026, 11, 21, 9, 15, tzinfo=UTC)),
        (date, "2026-11-21", date(2026, 11, 21)),
        (scalars.IBAN, "BE71 0961 2345 6769", "BE71096123456769"),
        (scalars.PhoneNumber, "0470 12 34 56", "+32470123456"),
        (scalars.EmailAddress, "an@lindebeke.example", "an@lindebeke.example"),
        (scalars.CurrencyCode, "EUR", "EUR"),
    ],
)
def test_scalars_read_what_is_meant(kind: object, good: object, value: object) -> None:
    parse = scalars.SCALARS[kind].parse_value
    assert parse is not None
    assert parse(good) == value


WRONG: dict[object, list[object]] = {
    Decimal: ["", "1e3", "NaN", "Infinity", True, "1,5", "٣", "1" * 21, None, [], 1e300],
    datetime: ["2026-11-21", "2026-11-21T10:15:00", "2026-13-01T00:00:00Z", 5, "0001-01-01T00:00:00+14:00"],
    date: ["2026-02-30", "21/11/2026", "20261121", 5],
    scalars.IBAN: ["BE71096123456760", "", 5, "BE" * 100],
    scalars.PhoneNumber: ["12", "+32", "abc", 5],
    scalars.EmailAddress: ["an", "an@", "an@x", "a b@c.de", "a@b.c\n", 5],
    scalars.CurrencyCode: ["eur", "EURO", "€", 5],
    scalars.Cursor: ["", "x" * 1001, 5],
}


@pytest.mark.parametrize(("kind", "wrong"), [(kind, one) for kind, wrong in WRONG.items() for one in wrong])
def test_scalars_refuse_what_is_not_meant(kind: object, wrong: object) -> None:
    parse = scalars.SCALARS[kind].parse_value
    assert parse is not None
    with pytest.raises(GraphQLError):
        parse(wrong)


def test_every_scalar_of_ours_says_where_it_is_specified() -> None:
    schema = toys.schema()._schema
    for name in ("Decimal", "DateTime", "Date", "Cursor", "JSON", "CurrencyCode"):
        assert schema.type_map[name].specified_by_url, name  # type: ignore[attr-defined]  # a scalar
    for definition in scalars.SCALARS.values():
        assert definition.specified_by_url


def test_the_exported_schema_is_valid_and_described_throughout() -> None:
    text = toys.schema().as_str()
    exported = build_schema(text)
    assert validate_schema(exported) == []
    for name, kind in exported.type_map.items():
        if not name.startswith("__"):
            assert kind.description, name
