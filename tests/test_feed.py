"""Committed events to whoever listens: none lost, none twice, in order, from any point on."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from datetime import UTC, date, datetime
from statistics import median
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlmodel import col

from flemish import Credentials
from loket import cases, feed
from loket.app import Loket
from loket.errors import Refused
from loket.feed import Feed
from loket.interests import Cursor, Happening, Interest
from loket.lifecycle import EventType, Stage, Status
from loket.records import Application, Case, Event, Person, Staff
from loket.settings import Settings
from loket.work import the_system


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return Credentials.made_in(tmp_path_factory.mktemp("keys"))


@pytest.fixture
async def loket(database_url: str, credentials: Credentials) -> AsyncIterator[Loket]:
    own = Settings(
        database_url=database_url,
        secret_key="5a" * 32,
        acmidm=credentials.acmidm("http://127.0.0.1:9"),
        magda=credentials.magda("http://127.0.0.1:9"),
    )
    async with Loket(own) as opened:
        yield opened


@asynccontextmanager
async def running(loket: Loket) -> AsyncIterator[Feed]:
    """The feed of an API process of its own."""
    one = Feed(loket.database)
    async with one.running():
        yield one


async def some_case(loket: Loket, handler: UUID | None = None) -> Case:
    now = datetime.now(UTC)
    async with loket.work(the_system()) as work:
        person = Person(created_at=now)
        work.session.add(person)
        await work.session.flush()
        application = Application(
            procedure_key="compost-bin", procedure_version=1, person_id=person.id,
            started_at=now, updated_at=now, expires_at=now,
        )  # fmt: skip
        work.session.add(application)
        await work.session.flush()
        case = Case(
            reference=f"T-{application.id.hex}", procedure_key="compost-bin", procedure_version=1,
            person_id=person.id, application_id=application.id, stage=Stage.SCREENING,
            status=Status.SCREENING, handler_id=handler, submitted_at=now, due_on=date(2030, 1, 1),
            updated_at=now,
        )  # fmt: skip
        work.session.add(case)
    return case


async def happens(
    loket: Loket, case: Case, type: EventType = EventType.TASK_DONE, *, late: float = 0, early: float = 0
) -> UUID:
    """Something on the case; the transaction takes its time before (`early`) or after (`late`) writing."""
    async with loket.work(the_system()) as work:
        await work.session.scalar(select(func.pg_current_xact_id()))
        await asyncio.sleep(early)
        found = await cases.get(work, case.id)
        event = await cases.record(work, found, type)
        await asyncio.sleep(late)
        return event.id


async def follow(
    source: Feed, interest: Interest, after: Cursor | None, into: list[Happening], pause: float = 0
) -> None:
    async with aclosing(source.subscribe(interest, after)) as events:
        async for one in events:
            into.append(one)
            await asyncio.sleep(pause)


@asynccontextmanager
async def following(
    source: Feed, interest: Interest, after: Cursor | None = None, pause: float = 0
) -> AsyncIterator[list[Happening]]:
    """What a subscriber got, as it gets it."""
    got: list[Happening] = []
    before = source.subscribers
    task = asyncio.create_task(follow(source, interest, after, got, pause))
    await until(lambda: source.subscribers > before)
    try:
        yield got
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def arrived(got: list[Happening], number: int) -> None:
    await until(lambda: len(got) >= number)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110  # what is awaited happens elsewhere
            await asyncio.sleep(0.005)


async def told(loket: Loket, case: Case | None = None) -> list[UUID]:
    """Every event, as the table has it: of one case in the order of its versions."""
    async with loket.database.transaction() as session:
        found = select(Event).order_by(col(Event.case_id), col(Event.case_version))
        if case is not None:
            found = found.where(col(Event.case_id) == case.id)
        return [one.id for one in await session.scalars(found)]


async def test_events_of_a_case_come_in_its_order_whoever_began_first(loket: Loket) -> None:
    case = await some_case(loket)
    async with running(loket) as source, following(source, Interest(case_id=case.id)) as got:
        slow = asyncio.create_task(happens(loket, case, early=0.3))
        await asyncio.sleep(0.1)  # the slow one has its transaction id now, but not yet the case
        first = await happens(loket, case)
        last = await slow
        await arrived(got, 2)
        assert [one.event_id for one in got] == [first, last]
        again = await source.page(Interest(case_id=case.id), None, 10)
        assert again == got


async def test_nothing_is_lost_or_repeated_among_writers_that_commit_late(loket: Loket) -> None:
    many = [await some_case(loket) for _ in range(6)]
    chance = random.Random(5)

    async def write(number: int) -> None:
        for turn in range(20):
            late = chance.choice((0, 0, 0, 0.02, 0.2)) if number else 0.1
            with suppress(RuntimeError):
                async with loket.work(the_system()) as work:
                    case = await cases.get(work, many[(number + turn) % 6].id)
                    await cases.record(work, case, EventType.TASK_DONE)
                    await asyncio.sleep(late)
                    if chance.random() < 0.1:
                        raise RuntimeError("rolled back")

    async with AsyncExitStack() as stack:
        sources = [await stack.enter_async_context(running(loket)) for _ in range(2)]
        began = await sources[0].position()
        live = [await stack.enter_async_context(following(one, Interest())) for one in sources]
        own = await stack.enter_async_context(following(sources[1], Interest(case_id=many[2].id)))
        await asyncio.gather(*(write(number) for number in range(9)))
        committed = await told(loket)
        for got in live:
            await arrived(got, len(committed))
            assert sorted(one.cursor for one in got) == [one.cursor for one in got]
            assert len(got) == len(committed)
            assert {one.event_id for one in got} == set(committed)
        mine = await told(loket, many[2])
        await arrived(own, len(mine))
        assert [one.event_id for one in own] == mine
        for _ in range(10):
            at = chance.randrange(len(committed))
            resumed = await stack.enter_async_context(
                following(chance.choice(sources), Interest(), live[0][at].cursor)
            )
            await arrived(resumed, len(committed) - at - 1)
            assert resumed == live[0][at + 1 :]
        whole = await stack.enter_async_context(following(sources[1], Interest(), began))
        await arrived(whole, len(committed))
        assert whole == live[0]
    assert [one.subscribers for one in sources] == [0, 0]


async def test_a_subscriber_that_joins_while_events_come_has_no_seam(loket: Loket) -> None:
    case = await some_case(loket)
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            await happens(loket, case, late=random.choice((0, 0.01)))

    async with running(loket) as source, AsyncExitStack() as stack:
        writers = [asyncio.create_task(write()) for _ in range(4)]
        followers = []
        for _ in range(15):
            after = await source.position()
            await asyncio.sleep(0.02)
            got = await stack.enter_async_context(following(source, Interest(case_id=case.id), after))
            followers.append((after, got))
        stop.set()
        await asyncio.gather(*writers)
        end = await source.page(Interest(case_id=case.id), None, 1000)
        for after, got in followers:
            expected = [one for one in end if one.cursor > after]
            await arrived(got, len(expected))
            assert got == expected


async def test_a_cursor_ahead_of_this_process_is_waited_for(loket: Loket) -> None:
    case = await some_case(loket)
    async with running(loket) as source:
        await happens(loket, case)
        ahead = await source.position()
        async with following(source, Interest(case_id=case.id), ahead) as got:
            event = await happens(loket, case)
            await arrived(got, 1)
            assert [one.event_id for one in got] == [event]


async def test_a_slow_subscriber_is_told_that_it_fell_behind_and_comes_back_without_loss(
    loket: Loket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BUFFER", 5)
    case = await some_case(loket)
    async with running(loket) as source:
        got: list[Happening] = []
        start = await source.position()
        reading = asyncio.create_task(follow(source, Interest(case_id=case.id), None, got, pause=0.5))
        await until(lambda: source.subscribers == 1)
        events = [await happens(loket, case) for _ in range(12)]
        with pytest.raises(Refused) as refusal:
            await asyncio.wait_for(reading, 20)
        assert refusal.value.code == "FELL_BEHIND"
        assert source.subscribers == 0
        assert 0 < len(got) < 12
        async with following(source, Interest(case_id=case.id), got[-1].cursor) as rest:
            await arrived(rest, 12 - len(got))
            assert [one.event_id for one in got + rest] == events
        assert got[0].cursor > start


async def test_a_cursor_from_before_a_restore_is_refused(loket: Loket) -> None:
    case = await some_case(loket)
    async with running(loket) as source:
        old = await source.position()
    async with loket.database.transaction() as session:
        await session.execute(text("UPDATE feedepoch SET epoch = epoch + 1"))
    async with running(loket) as source:
        with pytest.raises(Refused) as refusal:
            await follow(source, Interest(case_id=case.id), old, [])
        assert refusal.value.code == "CURSOR_EXPIRED"
        with pytest.raises(Refused, match="too old"):
            await source.page(Interest(), old, 10)
        assert source.subscribers == 0


@pytest.mark.parametrize("text", ["", "x", "MS4yLjM9", "é", "MS4y", "MS4yLngK", "\x00", "MS4yLjMuNA"])
def test_what_is_no_cursor_of_ours_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refusal:
        Cursor.parse(text)
    assert refusal.value.code == "VALIDATION"


def test_a_cursor_reads_as_it_was_written() -> None:
    for cursor in (Cursor(1, 2, 3), Cursor(7, 2**63 - 1, 2**63 - 1)):
        assert Cursor.parse(str(cursor)) == cursor


async def test_an_interest_lets_through_what_it_names(loket: Loket) -> None:
    staff = Staff(subject="h", seen_at=datetime.now(UTC))
    async with loket.database.transaction() as session:
        session.add(staff)
    mine = await some_case(loket, handler=staff.id)
    other = await some_case(loket)
    async with running(loket) as source, AsyncExitStack() as stack:
        start = await source.position()
        wants = {
            "procedure": Interest(procedure="compost-bin"),
            "another": Interest(procedure="another"),
            "mine": Interest(handler_id=staff.id),
            "type": Interest(types=frozenset({EventType.NOTE_ADDED})),
            "status": Interest(statuses=frozenset({Status.COMPLETED})),
            "person": Interest(person_id=mine.person_id),
        }
        live = {name: await stack.enter_async_context(following(source, one)) for name, one in wants.items()}
        everything = await stack.enter_async_context(following(source, Interest()))
        a = await happens(loket, mine)
        b = await happens(loket, other, EventType.NOTE_ADDED)
        await arrived(everything, 2)
        expected = {"procedure": [a, b], "another": [], "mine": [a], "type": [b], "status": [], "person": [a]}
        assert {name: [one.event_id for one in got] for name, got in live.items()} == expected
        for name, one in wants.items():
            again = await stack.enter_async_context(following(source, one, start))
            await arrived(again, len(expected[name]))
            assert [one.event_id for one in again] == expected[name]


async def test_an_event_is_seen_soon_after_its_commit(
    loket: Loket, record_property: Callable[[str, object], None]
) -> None:
    case = await some_case(loket)
    waits = []
    async with running(loket) as source, following(source, Interest(case_id=case.id)) as got:
        for number in range(20):
            await happens(loket, case)
            began = asyncio.get_running_loop().time()
            await arrived(got, number + 1)
            waits.append(asyncio.get_running_loop().time() - began)
    record_property("median_seconds", median(waits))
    assert median(waits) < feed.POLL_SECONDS, "woken, not found by the poll"
