"""One event told to many: read once, the same for those who may see the same, and nothing to who may not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import text

from flemish import Credentials
from loket import feed, identity
from loket.api.context import Caller, Context
from loket.api.engine import Answer
from loket.api.live import IMPERSONAL
from loket.api.schema import schema
from loket.api.standing import Standings
from loket.app import Loket
from loket.errors import ErrorCode, Refused
from loket.ids import decode_id
from loket.interests import Cursor, Interest
from loket.lifecycle import EventType, Role
from loket.records import ActorKind, Case, Staff, WebSession
from loket.settings import Settings
from loket.vault import token_hash
from loket.work import Actor
from test_feed import happens, some_case, until

OF_CASE = """subscription($r: String!, $after: Cursor) {
    caseEvents(reference: $r, after: $after) { id cursor type summary case { reference } } }"""
QUEUE = "subscription($after: Cursor) { workQueueEvents(after: $after) { id cursor type } }"
ACTIONS = "subscription { workQueueEvents { id case { viewerAvailableActions { action } } } }"
PRINTING = "WITH ORDINALITY"
"""In the statement that reads events for an audience."""
READING = "feedepoch"
"""In a statement that reads the feed."""


@pytest.fixture(scope="module")
async def loket(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Loket]:
    known = Credentials.made_in(tmp_path_factory.mktemp("keys"))
    own = Settings(
        database_url=module_database_url,
        secret_key="5a" * 32,
        acmidm=known.acmidm("http://127.0.0.1:9"),
        magda=known.magda("http://127.0.0.1:9"),
    )
    async with Loket(own) as opened, opened.feed.running():
        yield opened


@pytest.fixture(autouse=True)
async def nobody_left(loket: Loket) -> AsyncIterator[None]:
    """Whoever leaves, and however, is forgotten."""
    yield
    await until(lambda: loket.feed.subscribers == 0)


@dataclass
class Told:
    """What a subscriber was told, as its client has it; `code` is why nothing more comes."""

    answers: list[Answer] = field(default_factory=list)
    code: str = ""
    ended: bool = False

    @property
    def bodies(self) -> list[bytes]:
        return [_without_extensions(one.body) for one in self.answers]

    @property
    def events(self) -> list[Any]:
        return [next(iter(orjson.loads(one.body)["data"].values())) for one in self.answers]

    @property
    def ids(self) -> list[UUID]:
        return [decode_id(one["id"], "CaseEvent") for one in self.events]


def _without_extensions(body: bytes) -> bytes:
    said = orjson.loads(body)
    said.pop("extensions", None)
    return orjson.dumps(said)


@asynccontextmanager
async def told(context: Context, document: str, pause: float = 0, **variables: object) -> AsyncIterator[Told]:
    parsed = schema.document(document)
    assert not isinstance(parsed, Answer), parsed.errors
    found = Told()

    async def follow() -> None:
        async with aclosing(schema.events(parsed, context=context, variables=variables)) as events:
            async for one in events:
                if one.errors and one.data is None:
                    found.code = one.errors[0]["extensions"]["code"]
                else:
                    found.answers.append(one)
                await asyncio.sleep(pause)
        found.ended = True

    before = context.loket.feed.subscribers
    task = asyncio.create_task(follow())
    await until(lambda: context.loket.feed.subscribers > before or task.done())
    try:
        yield found
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def all_told(some: Sequence[Told], number: int) -> None:
    await until(lambda: all(len(one.answers) >= number for one in some))


def printed(statements: list[str]) -> list[str]:
    return [one for one in statements if PRINTING in one]


async def handler(loket: Loket, name: str) -> Actor:
    row = Staff(subject=name, seen_at=datetime.now(UTC))
    async with loket.database.transaction() as session:
        session.add(row)
    return Actor(ActorKind.STAFF, name, frozenset({Role.HANDLER}), row.id)


def by(loket: Loket, actor: Actor, language: str = "nl") -> Context:
    return Context(loket, Caller(loket, actor, language), loket.database)


def applicant(case: Case) -> Actor:
    return Actor(ActorKind.CITIZEN, "An", frozenset({Role.APPLICANT}), case.person_id)


# ── the same for many ─────────────────────────────────────────────────────────────────────────────────


async def test_who_may_see_the_same_is_told_the_same_by_one_statement(loket: Loket) -> None:
    case = await some_case(loket)
    people = [await handler(loket, f"samen-{number}") for number in range(2)]
    async with AsyncExitStack() as stack:
        many = [
            await stack.enter_async_context(told(by(loket, people[n % 2]), OF_CASE, r=case.reference))
            for n in range(20)
        ]
        with loket.database.count() as statements:
            event = await happens(loket, case)
            await all_told(many, 1)
        assert len(printed(statements)) == 1
        assert [one.ids for one in many] == [[event]] * 20
        assert len({body for one in many for body in one.bodies}) == 1


async def test_a_role_a_language_and_a_person_each_make_another_audience(loket: Loket) -> None:
    case = await some_case(loket)
    staff = await handler(loket, "talen")
    finance = Actor(ActorKind.STAFF, "Filip", frozenset({Role.FINANCE}), staff.id)
    contexts = [by(loket, staff), by(loket, staff, "en"), by(loket, finance), by(loket, applicant(case))]
    async with AsyncExitStack() as stack:
        lines = [
            await stack.enter_async_context(told(one, OF_CASE, r=case.reference))
            for one in [*contexts, *contexts]
        ]
        with loket.database.count() as statements:
            await happens(loket, case)
            await all_told(lines, 1)
        assert len(printed(statements)) == len(contexts)
        summaries = [one.events[0]["summary"] for one in lines]
        assert summaries[0] != summaries[1]
        assert summaries[:4] == summaries[4:]


async def test_what_is_made_for_one_person_is_told_to_that_person_alone(loket: Loket) -> None:
    mine, other = await handler(loket, "mijn"), await handler(loket, "ander")
    case = await some_case(loket, handler=mine.id)
    async with (
        told(by(loket, mine), ACTIONS) as hers,
        told(by(loket, other), ACTIONS) as his,
        told(by(loket, mine), ACTIONS) as hers_too,
    ):
        with loket.database.count() as statements:
            await happens(loket, case)
            await all_told([hers, his, hers_too], 1)
        assert len(printed(statements)) == 1
        actions = [
            {action["action"] for action in one.events[0]["case"]["viewerAvailableActions"]}
            for one in (hers, his, hers_too)
        ]
        assert actions[0] == actions[2]
        assert actions[0]
        alone = await _actions(by(loket, mine), case), await _actions(by(loket, other), case)
        assert (actions[0], actions[1]) == alone


async def test_what_is_taken_to_be_the_same_for_an_audience_is(loket: Loket) -> None:
    for kind, role in ((ActorKind.STAFF, Role.HANDLER), (ActorKind.CITIZEN, Role.APPLICANT)):
        one, other = (
            Caller(loket, Actor(kind, f"Iemand {n}", frozenset({role}), UUID(int=n)), "nl") for n in (1, 2)
        )
        found = {name: (getattr(one, name), getattr(other, name)) for name in IMPERSONAL}
        assert [name for name, (a, b) in found.items() if not callable(a) and a != b] == []


async def _actions(context: Context, case: Case) -> set[str]:
    asked = "query($r: String!) { case(reference: $r) { viewerAvailableActions { action } } }"
    answer = await schema.answer(asked, context=context, variables={"r": case.reference})
    found = orjson.loads(answer.body)["data"]["case"]["viewerAvailableActions"]
    return {one["action"] for one in found}


async def test_a_burst_reaches_everybody_whole_and_in_order(loket: Loket) -> None:
    case = await some_case(loket)
    staff = by(loket, await handler(loket, "storm"))
    async with AsyncExitStack() as stack:
        many = [await stack.enter_async_context(told(staff, OF_CASE, r=case.reference)) for _ in range(50)]
        first = await happens(loket, case)
        await all_told(many, 1)
        with loket.database.count() as statements:
            async with loket.database.transaction() as session:
                await session.execute(text(BURST), {"event": first, "number": 2_000})
            await until(lambda: all(len(one.answers) == 2_001 or one.code for one in many))
        assert {one.code for one in many} == {""}
        cursors = [Cursor.parse(one.cursor or "") for one in many[0].answers]
        assert cursors == sorted(set(cursors))
        assert all([one.cursor for one in other.answers] == [str(one) for one in cursors] for other in many)
        assert len(printed(statements)) < 100


BURST = """
    INSERT INTO event (id, case_id, person_id, type, stage, status, occurred_at, actor_kind, actor_name, data,
                       chain)
    SELECT gen_random_uuid(), case_id, person_id, type, stage, status, occurred_at, actor_kind, actor_name,
           data, chain
      FROM event, generate_series(1, :number) WHERE id = :event
"""


async def test_a_thousand_who_come_back_at_once_share_what_is_read(loket: Loket) -> None:
    case = await some_case(loket)
    staff = by(loket, await handler(loket, "terug"))
    start = str(await loket.feed.position())
    events = [await happens(loket, case) for _ in range(5)]
    await until(lambda: loket.feed.here() > Cursor.parse(start))
    for _ in range(feed.READS):  # as when all of them are under way for others
        await loket.feed.reads.acquire()
    async with AsyncExitStack() as stack:
        many = await asyncio.gather(
            *(
                stack.enter_async_context(told(staff, OF_CASE, r=case.reference, after=start))
                for _ in range(200)
            )
        )
        await until(lambda: loket.feed.subscribers == 200)
        with loket.database.count() as statements:
            for _ in range(feed.READS):
                loket.feed.reads.release()
            await all_told(many, 5)
        assert [one.ids for one in many] == [events] * 200
        assert len(printed(statements)) < 20, "who comes a moment later may ask for itself"
        live = await happens(loket, case)
        await all_told(many, 6)
        assert {one.ids[-1] for one in many} == {live}


async def test_who_does_not_keep_up_falls_behind_alone_and_comes_back_without_loss(
    loket: Loket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BUFFER", 5)
    case = await some_case(loket)
    staff = by(loket, await handler(loket, "traag"))
    about: dict[str, Any] = {"r": case.reference}
    async with told(staff, OF_CASE, pause=0.5, **about) as slow, told(staff, OF_CASE, **about) as quick:
        events = [await happens(loket, case) for _ in range(12)]
        await until(lambda: slow.code == "FELL_BEHIND")
        assert 0 < len(slow.answers) < 12
        await all_told([quick], 12)
        assert quick.ids == events
        async with told(staff, OF_CASE, **about, after=slow.answers[-1].cursor) as rest:
            await all_told([rest], 12 - len(slow.answers))
            assert slow.ids + rest.ids == events


# ── who is it, still ──────────────────────────────────────────────────────────────────────────────────


async def cookie(loket: Loket, actor: Actor) -> tuple[Context, bytes]:
    """Somebody of staff who signed in with a browser, and the hash of the session."""
    token = f"token of {actor.name}"
    async with loket.database.transaction() as session:
        session.add(
            WebSession(
                token_hash=token_hash(token),
                staff_id=actor.id,
                roles=["LoketBehandelaar"],
                expires_at=datetime.now(UTC) + timedelta(hours=1),
            )
        )
    headers = {"cookie": f"{identity.cookie_name(loket.settings)}={token}"}
    found = await identity.actor_of(loket, headers)
    assert found is not None
    context = by(loket, found.actor)
    context.standing = Standings(loket).of(found, headers)
    return context, token_hash(token)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE websession SET roles = '[\"LoketFinancien\"]' WHERE token_hash = :session",
        "UPDATE websession SET roles = '[\"LoketBehandelaar-Sport\"]' WHERE token_hash = :session",
        "UPDATE websession SET expires_at = now() WHERE token_hash = :session",
        "DELETE FROM websession WHERE token_hash = :session",
    ],
)
async def test_a_role_taken_away_holds_from_the_next_event_on(loket: Loket, change: str) -> None:
    case = await some_case(loket)
    context, session_hash = await cookie(loket, await handler(loket, f"weg {change}"))
    other, _ = await cookie(loket, await handler(loket, f"blijft {change}"))
    async with told(context, OF_CASE, r=case.reference) as line, told(other, QUEUE) as stays:
        await happens(loket, case)
        await all_told([line, stays], 1)
        async with loket.database.transaction() as session:
            await session.execute(text(change), {"session": session_hash})
        await happens(loket, case)
        await until(lambda: line.ended)
        await all_told([stays], 2)
        assert len(line.answers) == 1


async def test_a_case_handed_to_another_department_is_told_no_more(loket: Loket) -> None:
    case = await some_case(loket)
    ours = {Role.HANDLER: ("",)}
    some = Actor(ActorKind.STAFF, "Kim", frozenset({Role.HANDLER}), UUID(int=7), departments=ours)
    async with (
        told(by(loket, some), OF_CASE, r=case.reference) as line,
        told(by(loket, some), QUEUE) as queue,
        told(by(loket, await handler(loket, "alles")), OF_CASE, r=case.reference) as all_of_them,
    ):
        await happens(loket, case)
        await all_told([line, queue, all_of_them], 1)
        async with loket.database.transaction() as session:
            await session.execute(
                text("UPDATE \"case\" SET department = 'Sport' WHERE id = :id"), {"id": case.id}
            )
        await happens(loket, case)
        await all_told([all_of_them], 2)
        assert (len(line.answers), len(queue.answers)) == (1, 1)


# ── when something breaks ─────────────────────────────────────────────────────────────────────────────


async def test_after_a_restore_whoever_follows_hears_that_the_cursor_has_expired(loket: Loket) -> None:
    case = await some_case(loket)
    staff = by(loket, await handler(loket, "hersteld"))
    async with (
        told(staff, OF_CASE, r=case.reference) as line,
        told(by(loket, applicant(case)), OF_CASE, r=case.reference) as own,
    ):
        await happens(loket, case)
        await all_told([line, own], 1)
        async with loket.database.transaction() as session:
            await session.execute(text("UPDATE feedepoch SET epoch = epoch + 1"))
        with pytest.raises(Refused) as refusal:
            async for _ in loket.feed.subscribe(Interest(), None):
                pass
        assert refusal.value.code is ErrorCode.CURSOR_EXPIRED
        await until(lambda: line.ended and own.ended)
        assert (line.code, own.code) == ("CURSOR_EXPIRED", "CURSOR_EXPIRED")
    async with told(staff, OF_CASE, r=case.reference) as anew:
        event = await happens(loket, case)
        await all_told([anew], 1)
        assert anew.ids == [event]


async def test_a_database_that_hangs_up_on_everybody_loses_nothing(loket: Loket) -> None:
    case = await some_case(loket)
    async with told(by(loket, await handler(loket, "weg")), OF_CASE, r=case.reference) as line:
        events = [await happens(loket, case)]
        async with loket.database.transaction() as session:
            await session.execute(text(HANG_UP))
        events += [await happens(loket, case, EventType.NOTE_ADDED) for _ in range(3)]
        await all_told([line], len(events))
        assert line.ids == events


HANG_UP = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


async def test_a_subscriber_who_leaves_in_the_middle_leaves_nothing(loket: Loket) -> None:
    case = await some_case(loket)
    staff = by(loket, await handler(loket, "even"))
    start = str(await loket.feed.position())
    for _ in range(3):
        await happens(loket, case)
    before = len(asyncio.all_tasks())
    for turn in range(10):
        async with told(staff, OF_CASE, r=case.reference, after=start) as line:
            if turn % 2:
                await all_told([line], 1)
    await until(lambda: loket.feed.subscribers == 0)
    await until(lambda: len(asyncio.all_tasks()) <= before)
