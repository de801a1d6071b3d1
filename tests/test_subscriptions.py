"""Following live over real sockets and streams: what is one's own, each once, in order, from any point on."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from loket import cases, feed, web
from loket.api import schema
from loket.app import Loket
from loket.ids import decode_id
from loket.interests import Cursor
from loket.lifecycle import EventType
from loket.work import the_system
from served import listening, serving
from town import FINANCE, HANDLER, OPERATOR, Dossier, Json, Town, opened, until

PATIENCE = 60.0
"""Seconds; a busy machine must not fail a test."""
OF_CASE = """subscription($reference: String!, $after: Cursor) {
    caseEvents(reference: $reference, after: $after) { id cursor type status case { reference } } }"""
MINE = "subscription($after: Cursor) { viewerEvents(after: $after) { id cursor type case { reference } } }"
QUEUE = """subscription($filter: WorkQueueFilter, $after: Cursor) {
    workQueueEvents(filter: $filter, after: $after) { id cursor type status case { reference } } }"""


@pytest.fixture(scope="module")
async def town(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with opened(module_database_url, tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest.fixture(autouse=True)
async def nobody_left(town: Town) -> AsyncIterator[None]:
    """Whoever leaves, and however, is forgotten."""
    yield
    await until(lambda: same(town.served.loket.feed.subscribers, 0), PATIENCE)


async def same(one: object, other: object) -> bool:
    return one == other


# ── listening ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Line:
    """One subscription over a WebSocket, as a client has it."""

    socket: ClientConnection
    got: list[Json] = field(default_factory=list)

    async def next(self, seconds: float = PATIENCE) -> Json:
        """The next message, whatever it is; events are kept in `got`."""
        async with asyncio.timeout(seconds):
            while True:
                message: Json = orjson.loads(await self.socket.recv())
                if message["type"] != "ping":
                    break
        if message["type"] == "next":
            assert "errors" not in message["payload"], message
            (event,) = message["payload"]["data"].values()
            self.got.append(event)
        return message

    async def until(self, type: str) -> list[Json]:
        """All events so far, once there is one of this type."""
        while type not in [one["type"] for one in self.got]:
            message = await self.next()
            assert message["type"] == "next", message
        return self.got

    async def code(self) -> str:
        """Why the subscription was refused or ended."""
        while (message := await self.next())["type"] == "next":
            pass
        assert message["type"] == "error", message
        code: str = message["payload"][0]["extensions"]["code"]
        return code


async def token(town: Town, who: str) -> str:
    return await town.served.token_of(who)


@asynccontextmanager
async def connected(url: str, bearer: str | None, **options: object) -> AsyncIterator[ClientConnection]:
    async with websockets.connect(
        url.replace("http", "ws") + "/graphql",
        subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]  # a NewType of str
        compression=None,
        **options,  # type: ignore[arg-type]  # of the client
    ) as line:
        said = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
        await line.send(orjson.dumps({"type": "connection_init", "payload": said}).decode())
        yield line


@asynccontextmanager
async def subscribed(
    town: Town,
    who: str,
    document: str,
    *,
    url: str = "",
    options: Json | None = None,
    **variables: Any,  # noqa: ANN401  # JSON
) -> AsyncIterator[Line]:
    bearer = await token(town, who)
    async with connected(url or town.served.url, bearer, **(options or {})) as line:
        acknowledged = orjson.loads(await asyncio.wait_for(line.recv(), PATIENCE))
        assert acknowledged["type"] == "connection_ack"
        payload = {"query": document, "variables": variables}
        await line.send(orjson.dumps({"type": "subscribe", "id": "1", "payload": payload}).decode())
        yield Line(line)


async def here(town: Town, who: str) -> str:
    """The cursor of this moment."""
    cursor: str = (await town.ask(who, "{ viewer { cursor } }"))["viewer"]["cursor"]
    return cursor


async def note(town: Town, dossier: Dossier, type: EventType = EventType.TASK_DONE) -> str:
    """Something happens to the case: its id among the events."""
    async with town.served.loket.work(the_system()) as work:
        case = await cases.get(work, decode_id(dossier.id, "Case"))
        event = await cases.record(work, case, type)
    return str(event.id)


def ids(events: list[Json]) -> list[str]:
    return [str(decode_id(one["id"], "CaseEvent")) for one in events]


# ── what one sees ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_citizen_follows_a_case_from_its_first_moment_with_what_becomes_of_telling_others(
    town: Town,
) -> None:
    who = town.somebody()
    start = await here(town, who)
    async with subscribed(town, who, MINE, after=start) as mine:
        dossier = await town.applies(who)
        await mine.until("PAYMENT_DUE")
        async with subscribed(town, who, OF_CASE, reference=dossier.reference, after=start) as line:
            await dossier.pays()
            await line.until("SLOT_NEEDED")
            await dossier.books()
            await line.until("PLANNED")
            await dossier.calm()
            number = await town.sql(
                "SELECT count(*) AS all FROM event WHERE case_id = :id", id=decode_id(dossier.id, "Case")
            )
            while len(line.got) < number[0].all:
                await line.next()
    assert len(set(ids(line.got))) == len(line.got)
    cursors = [Cursor.parse(one["cursor"]) for one in line.got]
    assert cursors == sorted(cursors)
    own = [one["type"] for one in line.got if not one["type"].startswith("EFFECT_")]
    assert own == [one for one in await dossier.events() if not one.startswith("EFFECT_")]
    effects = await town.sql(
        "SELECT count(*) AS all FROM effect WHERE case_id = :id AND state = 'DONE'",
        id=decode_id(dossier.id, "Case"),
    )
    assert [one["type"] for one in line.got].count("EFFECT_DONE") == effects[0].all
    assert {one["case"]["reference"] for one in mine.got} == {dossier.reference}
    assert ids(mine.got) == ids(line.got)[: len(mine.got)]


async def test_nobody_follows_the_case_of_another(town: Town) -> None:
    dossier = await town.applies()
    stranger = town.somebody()
    async with subscribed(town, stranger, OF_CASE, reference=dossier.reference) as line:
        assert await line.code() == "NOT_FOUND"
    async with subscribed(town, stranger, OF_CASE, reference="LIN-0000-0000") as line:
        assert await line.code() == "NOT_FOUND"
    async with subscribed(town, stranger, MINE, after=await here(town, stranger)) as other:
        for staff in (HANDLER, FINANCE):
            start = await here(town, staff)
            async with subscribed(town, staff, OF_CASE, reference=dossier.reference, after=start) as line:
                event = await note(town, dossier)
                await line.until("TASK_DONE")
                assert event in ids(line.got)
        await town.does(stranger, "applicationStart", procedure="compost-bin")
        with pytest.raises(TimeoutError):
            await other.next(0.5)


async def test_each_subscription_is_for_its_own_kind_of_people(town: Town) -> None:
    for who, document in ((town.somebody(), QUEUE), (HANDLER, MINE)):
        async with subscribed(town, who, document) as line:
            assert await line.code() == "NOT_ALLOWED"


async def test_who_may_no_longer_see_a_case_sees_nothing_more_of_it(town: Town) -> None:
    dossier, other = await town.applies(), await town.applies()
    await dossier.calm()
    async with subscribed(
        town, dossier.who, OF_CASE, reference=dossier.reference, after=await here(town, HANDLER)
    ) as line:
        first = await note(town, dossier)
        await line.until("TASK_DONE")
        await town.sql(
            'UPDATE "case" SET person_id = (SELECT person_id FROM "case" WHERE id = :other) WHERE id = :id',
            other=decode_id(other.id, "Case"), id=decode_id(dossier.id, "Case"),
        )  # fmt: skip
        await note(town, dossier)
        with pytest.raises(TimeoutError):
            await line.next(1.0)
        assert ids(line.got) == [first]


async def test_the_back_office_follows_what_it_asks_for(town: Town) -> None:
    mine, other = await town.applies(), await town.applies()
    for one in (mine, other):
        await one.calm()
    await town.does(HANDLER, "caseAssign", id=mine.id)
    start = await here(town, HANDLER)
    events = {
        "mine": await note(town, mine, EventType.TASK_DONE),
        "other": await note(town, other, EventType.NOTE_ADDED),
        "effect": await note(town, other, EventType.EFFECT_PARKED),
        "last": await note(town, mine, EventType.NOTE_ADDED),
    }
    expected: list[tuple[Json | None, list[str]]] = [
        (None, ["mine", "other", "last"]),
        ({}, ["mine", "other", "last"]),
        ({"mine": True}, ["mine", "last"]),
        ({"mine": False, "type": ["NOTE_ADDED"]}, ["other", "last"]),
        ({"type": ["NOTE_ADDED", "EFFECT_PARKED"]}, ["other", "effect", "last"]),
        ({"status": ["AWAITING_PAYMENT"], "procedure": "compost-bin"}, ["mine", "other", "last"]),
        ({"status": ["COMPLETED"]}, []),
        ({"procedure": "another"}, []),
    ]
    for wanted, names in expected:
        async with subscribed(town, HANDLER, QUEUE, filter=wanted, after=start) as line:
            for _ in names:
                await line.next()
            assert ids(line.got) == [events[name] for name in names], wanted
    async with subscribed(town, HANDLER, QUEUE, filter={"mine": True}) as line:
        await until(lambda: same(town.served.loket.feed.subscribers, 1), PATIENCE)
        await note(town, other)
        live = await note(town, mine)
        await line.next()
        assert ids(line.got) == [live]


# ── resuming ──────────────────────────────────────────────────────────────────────────────────────────


async def test_query_then_subscribe_and_nothing_is_lost_between(town: Town) -> None:
    dossier = await town.applies()
    await dossier.calm()
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            await note(town, dossier)
            await asyncio.sleep(0.02)

    writers = [asyncio.create_task(write()) for _ in range(3)]
    fields = "cursor timeline(last: 100) { nodes { id } }"
    seen: list[tuple[list[str], list[str]]] = []
    for _ in range(6):
        case = await dossier.read(dossier.who, fields)
        known = ids(case["timeline"]["nodes"])
        async with subscribed(
            town, dossier.who, OF_CASE, reference=dossier.reference, after=case["cursor"]
        ) as line:
            for _ in range(8):
                await line.next()
            seen.append((known, ids(line.got)))
    stop.set()
    await asyncio.gather(*writers)
    rows = await town.sql(
        "SELECT id FROM event WHERE case_id = :id AND case_version IS NOT NULL ORDER BY xid, seq",
        id=decode_id(dossier.id, "Case"),
    )
    every = [str(row.id) for row in rows]
    for known, followed in seen:
        at = every.index(followed[0])
        assert followed == every[at : at + len(followed)], "no gap, no repeat, in order"
        assert set(every[every.index(known[0]) : at]) <= set(known), "what was before was in the answer"


async def test_the_viewers_own_cursor_serves_as_well(town: Town) -> None:
    who = town.somebody()
    dossier = await town.applies(who)
    await dossier.calm()
    for _ in range(5):
        start = await here(town, who)
        event = await note(town, dossier)
        async with subscribed(town, who, MINE, after=start) as line:
            await line.next()
            assert ids(line.got) == [event]


async def test_two_processes_tell_the_same_and_each_resumes_what_the_other_began(town: Town) -> None:
    second = Loket(town.served.loket.settings)
    with listening() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with serving(web.assemble(second, schema.routes(second)), listener):
            dossier = await town.applies()
            await dossier.calm()
            start = await here(town, HANDLER)
            about: Json = {"reference": dossier.reference}
            async with (
                subscribed(town, HANDLER, OF_CASE, **about, after=start) as here_line,
                subscribed(town, HANDLER, OF_CASE, url=url, **about, after=start) as there_line,
            ):
                events = [await note(town, dossier) for _ in range(6)]
                for line in (here_line, there_line):
                    for _ in events:
                        await line.next()
                    assert ids(line.got) == events
            for place, at in ((url, 2), (town.served.url, 3)):
                after = here_line.got[at]["cursor"]
                async with subscribed(town, HANDLER, OF_CASE, url=place, **about, after=after) as line:
                    for _ in events[at + 1 :]:
                        await line.next()
                    assert ids(line.got) == events[at + 1 :]
            await until(lambda: same(second.feed.subscribers, 0), PATIENCE)


async def test_a_cursor_that_can_not_be_resumed_from_is_refused_in_words(town: Town) -> None:
    dossier = await town.applies()
    old = str(Cursor(0, 1, 1))
    for after, code in ((old, "CURSOR_EXPIRED"), ("nonsense", "VALIDATION")):
        async with subscribed(town, HANDLER, OF_CASE, reference=dossier.reference, after=after) as line:
            assert await line.code() == code


async def test_who_reads_too_slowly_is_told_so_and_resumes_without_loss(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BUFFER", 4)
    dossier = await town.applies()
    await dossier.calm()
    fat = " ".join(
        f"f{n}: case {{ timeline(first: 100) {{ nodes {{ id cursor summary }} }} }}" for n in range(8)
    )
    document = OF_CASE.replace("case { reference }", fat)
    host, _, port = town.served.url.removeprefix("http://").partition(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    narrow.connect((host, int(port)))
    start = await here(town, HANDLER)
    options = {"sock": narrow, "max_queue": 1, "max_size": None, "ping_interval": None}
    async with subscribed(
        town, HANDLER, document, options=options, reference=dossier.reference, after=start
    ) as slow:
        await until(lambda: same(town.served.loket.feed.subscribers, 1), PATIENCE)
        events = []
        async with asyncio.timeout(PATIENCE):
            while town.served.loket.feed.subscribers:
                events.append(await note(town, dossier))
        assert await slow.code() == "FELL_BEHIND"
    assert 0 < len(slow.got) < len(events)
    async with subscribed(
        town, HANDLER, OF_CASE, reference=dossier.reference, after=slow.got[-1]["cursor"]
    ) as line:
        while len(slow.got) + len(line.got) < len(events):
            await line.next()
    assert ids(slow.got + line.got) == events


# ── who is it, still ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bearer", [None, "", "nobody"])
async def test_without_a_token_that_is_good_the_socket_closes(town: Town, bearer: str | None) -> None:
    async with connected(town.served.url, bearer) as line:
        async with asyncio.timeout(PATIENCE):
            await line.wait_closed()
        assert line.close_code == 4401


async def test_when_the_token_ends_the_socket_and_the_stream_end(town: Town) -> None:
    state = town.served.house.config.states["acmidm"]

    async def short_lived() -> str:
        bearer = await token(town, town.somebody())
        document = state.get("token", bearer)
        assert document is not None
        state.put("token", bearer, document | {"exp": int(time.time()) + 3})
        return bearer

    async with connected(town.served.url, await short_lived()) as line:
        async with asyncio.timeout(PATIENCE):
            assert orjson.loads(await line.recv())["type"] == "connection_ack"
            await line.wait_closed()
        assert line.close_code == 4403
    async with streamed(town, await short_lived(), MINE, {}) as events:
        assert [kind async for kind, _, _ in events] == ["complete"]


async def test_a_socket_that_breaks_off_leaves_nobody_behind(town: Town) -> None:
    dossier = await town.applies()
    for _ in range(5):
        async with subscribed(town, HANDLER, OF_CASE, reference=dossier.reference) as line:
            await until(lambda: same(town.served.loket.feed.subscribers, 1), PATIENCE)
            line.socket.transport.abort()
        await until(lambda: same(town.served.loket.feed.subscribers, 0), PATIENCE)


# ── as a stream ───────────────────────────────────────────────────────────────────────────────────────

Sent = tuple[str, str, Json]
"""Kind, id and data of one event of a stream."""


@asynccontextmanager
async def streamed(
    town: Town, bearer: str, document: str, variables: Json, last: str | None = None
) -> AsyncIterator[AsyncGenerator[Sent, None]]:
    headers = {"Authorization": f"Bearer {bearer}", "Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    body = {"query": document, "variables": variables}
    async with town.served.client.stream(
        "POST", "/graphql", json=body, headers=headers, timeout=PATIENCE
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async with aclosing(_events(answer)) as events:
            yield events


async def _events(answer: httpx2.Response) -> AsyncGenerator[Sent, None]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif "event" in fields:
            yield fields["event"], fields.get("id", ""), orjson.loads(fields["data"] or "{}")
            fields = {}


async def test_a_stream_tells_the_same_and_resumes_by_itself(town: Town) -> None:
    dossier = await town.applies()
    await dossier.calm()
    bearer = await token(town, dossier.who)
    start = await here(town, dossier.who)
    about: Json = {"reference": dossier.reference}
    async with streamed(town, bearer, OF_CASE, about | {"after": start}) as events:
        written = [await note(town, dossier) for _ in range(4)]
        got = [await anext(events) for _ in written]
    assert {kind for kind, _, _ in got} == {"next"}
    assert ids([data["data"]["caseEvents"] for _, _, data in got]) == written
    assert [id for _, id, _ in got] == [data["data"]["caseEvents"]["cursor"] for _, _, data in got]
    # a browser reconnects with the same request and the id of the last event
    async with streamed(town, bearer, OF_CASE, about | {"after": start}, last=got[1][1]) as events:
        again = [await anext(events) for _ in written[2:]]
        assert ids([data["data"]["caseEvents"] for _, _, data in again]) == written[2:]
        live = await note(town, dossier)
        assert ids([(await anext(events))[2]["data"]["caseEvents"]]) == [live]


async def test_a_stream_that_is_refused_says_why_and_ends(town: Town) -> None:
    dossier = await town.applies()
    bearer = await token(town, town.somebody())
    async with streamed(town, bearer, OF_CASE, {"reference": dossier.reference}) as events:
        got = [one async for one in events]
    assert [kind for kind, _, _ in got] == ["next", "complete"]
    assert got[0][2]["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def _nothing_under_way(town: Town) -> bool:
    return not await town.sql("SELECT FROM effect WHERE state = 'PENDING' LIMIT 1")


async def test_an_operator_sees_an_effect_fail_as_it_happens(town: Town) -> None:
    await until(lambda: _nothing_under_way(town))  # else what others left behind meets the refusal
    await town.fails("notificaties", mode="refuse", count=1)
    start = await here(town, OPERATOR)
    async with subscribed(town, OPERATOR, QUEUE, filter={"type": ["EFFECT_PARKED"]}, after=start) as line:
        dossier = await town.applies()
        await line.next()
        assert line.got[0]["case"] == {"reference": dossier.reference}
