"""Committed events, in order, to whoever listens: without gap and without repeat.

An event's cursor is (transaction id, sequence), read below the oldest running transaction: a plain
sequence loses events of transactions that commit late. Each process reads the feed once and fans out
in memory; a subscriber replays the past from the table up to where the live feed stands.

A transaction that writes and stays open holds the feed back, whatever it writes: nothing that began after it
is told before it ends. The server ends one that idles after `database.IDLE_IN_TRANSACTION_SECONDS`.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from uuid import UUID

from loket.database import EVENTS, Database
from loket.errors import ErrorCode, Refused
from loket.interests import Cursor, Happening, Interest, Listener
from loket.lifecycle import EventType, Status

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
SOON_SECONDS = (0.02, 0.05, 0.1)
"""Looked again so soon while a writer that began earlier is still at work."""
BATCH = 1000
BUFFER = 1000
"""Events that wait for one subscriber; a slower one is dropped and comes back with its cursor."""
READS = 6
"""Statements under way at once for all who follow: some connections stay free for who asks something else."""
OPENINGS = 4
"""Subscriptions let in at once, each of which asks the database who may: the others wait their turn."""
BACKLOG_SECONDS = 2.0
"""So long at most the reader waits for those who hear to get through a batch, before it reads the next."""


class _Subscriber:
    """A listener who takes events one by one."""

    subscribers = 1
    backlog = 0

    def __init__(self, interest: Interest, since: Cursor) -> None:
        self.interest = interest
        self.since = since
        self.queue: asyncio.Queue[Happening | ErrorCode] = asyncio.Queue(BUFFER)

    def hear(self, one: Happening) -> bool:
        if self.queue.full():
            return False
        self.queue.put_nowait(one)
        return True

    def lose(self, code: ErrorCode) -> None:
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(code)


class Feed:
    """`async with feed.running()` in an API process; `subscribe` anywhere inside it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: defaultdict[UUID | None, dict[Listener, None]] = defaultdict(dict)
        """By the case or person that they follow, so that an event looks at those only."""
        self._at: Cursor | None = None
        self._awake = asyncio.Event()
        self._pages: dict[Any, asyncio.Future[list[Happening]]] = {}
        """Of replays, while they are read: who comes back to the same place at once shares the statement."""
        self.reads = asyncio.Semaphore(READS)
        """Taken around each statement for those who follow, so that a thousand who come back at once leave
        room for who asks something else."""

        self.openings = asyncio.Semaphore(OPENINGS)

    @property
    def subscribers(self) -> int:
        return sum(one.subscribers for some in self._listeners.values() for one in some)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._at = await self.position()
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._read())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def position(self) -> Cursor:
        """Where the feed ends now: everything below it is settled."""
        async with self._database.reader() as reader:
            row = await (await reader.execute(POSITION)).fetchone()
        assert row is not None
        return Cursor(*row)

    async def subscribe(self, interest: Interest, after: Cursor | None) -> AsyncGenerator[Happening, None]:
        """What happened after `after`, then what happens; only what is new when `after` is None.

        Raises:
            Refused: CURSOR_EXPIRED for a cursor of another epoch, also one that begins meanwhile; FELL_BEHIND
                when the subscriber did not keep up: it comes back with the cursor of the last that it had.
        """
        live_from = self.here(after)
        subscriber = _Subscriber(interest, max(live_from, after) if after else live_from)
        self.attach(subscriber)
        try:
            if after is not None:
                async for page in self.replay(interest, after, live_from):
                    for one in page:
                        yield one
            while True:
                heard = await subscriber.queue.get()
                if isinstance(heard, ErrorCode):
                    raise Refused(heard)
                if heard.cursor > subscriber.since:
                    yield heard
        finally:
            self.detach(subscriber)

    def here(self, after: Cursor | None = None) -> Cursor:
        """How far this process has told its listeners; who is attached now hears what comes after it.

        Raises:
            Refused: CURSOR_EXPIRED where `after` is of another epoch.
        """
        if self._at is None:
            raise RuntimeError("the feed is not running")
        if after is not None and after.epoch != self._at.epoch:
            raise Refused(ErrorCode.CURSOR_EXPIRED, path=["after"])
        return self._at

    def attach(self, listener: Listener) -> None:
        self._listeners[listener.interest.subject][listener] = None

    def detach(self, listener: Listener) -> None:
        """Also of who is attached no more."""
        subject = listener.interest.subject
        if subject in self._listeners:
            self._listeners[subject].pop(listener, None)
            if not self._listeners[subject]:
                del self._listeners[subject]

    async def page(self, interest: Interest, after: Cursor | None, most: int) -> list[Happening]:
        """What happened after `after`, from the beginning without it; at most `most`.

        Raises:
            Refused: CURSOR_EXPIRED for a cursor of another epoch.
        """
        here = await self.position()
        if after is not None and after.epoch != here.epoch:
            raise Refused(ErrorCode.CURSOR_EXPIRED, path=["after"])
        return (await self._fetch(after or Cursor(here.epoch, 0, 0), here, interest))[:most]

    async def replay(
        self, interest: Interest, after: Cursor, until: Cursor
    ) -> AsyncGenerator[list[Happening], None]:
        """What happened after `after` up to and with `until`, page by page.

        Raises:
            Refused: CURSOR_EXPIRED for a cursor of another epoch, also one that begins meanwhile.
        """
        while after < until:
            batch = await self._page(interest, after)
            wanted = [one for one in batch if one.cursor <= until and interest.wants(one)]
            if wanted:
                yield wanted
            if len(batch) < BATCH:
                return
            after = batch[-1].cursor

    async def _page(self, interest: Interest, after: Cursor) -> list[Happening]:
        key = (interest.case_id, interest.person_id, interest.departments, after)
        reading = self._pages.get(key)
        if reading is None:
            reading = asyncio.ensure_future(self._fetch_in_turn(interest, after))
            self._pages[key] = reading
            reading.add_done_callback(lambda _: self._pages.pop(key, None))
        return await asyncio.shield(reading)

    async def _fetch_in_turn(self, interest: Interest, after: Cursor) -> list[Happening]:
        async with self.reads:
            return await self._fetch(after, None, interest)

    async def _fetch(
        self, after: Cursor, until: Cursor | None, interest: Interest | None = None
    ) -> list[Happening]:
        """The next events of whom `interest` follows, BATCH at most; what else it says is for `wants`.

        Raises:
            Refused: CURSOR_EXPIRED, the first of them is of another epoch than `after`.
        """
        conditions = ["TRUE"]
        given: dict[str, Any] = {"xid": after.xid, "seq": after.seq}
        if until is not None:
            conditions.append(NOT_BEYOND)
            given |= {"until_xid": until.xid, "until_seq": until.seq}
        if interest is not None and interest.case_id is not None:
            conditions.append("event.case_id = %(case_id)s")
            given["case_id"] = interest.case_id
        if interest is not None and interest.person_id is not None:
            conditions.append("event.person_id = (SELECT %(person_id)s::uuid)")
            given["person_id"] = interest.person_id
        if interest is not None and interest.departments is not None:
            conditions.append('"case".department_key = ANY(%(departments)s::text[])')
            given["departments"] = sorted(interest.departments)
        async with self._database.reader() as reader:
            rows = await (
                await reader.execute(
                    EVENTS_AFTER.format(conditions=" AND ".join(conditions), most=BATCH), given
                )
            ).fetchall()
            if interest is not None and after.xid:
                floor = await (await reader.execute(FLOOR)).fetchone()
                if floor is None or after.xid < floor[0]:
                    raise Refused(ErrorCode.CURSOR_EXPIRED, path=["after"])
        if rows and rows[0][0] != after.epoch:
            raise Refused(ErrorCode.CURSOR_EXPIRED, path=["after"])
        return [
            Happening(
                Cursor(epoch, xid, seq), id, case_id, person_id,
                EventType(type), Status(status), procedure, handler, department,
            )
            for epoch, xid, seq, id, case_id, person_id, type, status, procedure, handler, department in rows
        ]  # fmt: skip

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._database.listen([EVENTS])) as wake_ups:
            async for _ in wake_ups:
                self._awake.set()

    async def _read(self) -> None:
        """Follow the table for as long as the process lives; a database that is away is waited for."""
        while True:
            with contextlib.suppress(TimeoutError):  # no wait_for: it can swallow a cancel (Python < 3.12)
                async with asyncio.timeout(POLL_SECONDS):
                    await self._awake.wait()
            self._awake.clear()
            try:
                for pause in (0.0, *SOON_SECONDS):
                    await asyncio.sleep(pause)
                    await self._catch_up()
                    if not await self._unsettled():
                        break
            except Refused:
                await self._begin_anew()
            except Exception:
                logger.exception("the feed could not be read; trying again")
                await asyncio.sleep(POLL_SECONDS)

    async def _catch_up(self) -> None:
        assert self._at is not None
        while True:
            await self._wait_for_listeners()
            batch = await self._fetch(self._at, None)
            for one in batch:
                self._fan_out(one)
            if batch:
                self._at = batch[-1].cursor
            if len(batch) < BATCH:
                return

    async def _wait_for_listeners(self) -> None:
        """What they have heard waits in memory, what is not read yet in the table."""
        end = asyncio.get_running_loop().time() + BACKLOG_SECONDS
        while any(one.backlog > BATCH for some in self._listeners.values() for one in some):
            if asyncio.get_running_loop().time() > end:
                return
            await asyncio.sleep(0.005)

    def _fan_out(self, one: Happening) -> None:
        for subject in (one.case_id, one.person_id, None):
            for listener in tuple(self._listeners.get(subject, ())):
                if listener.interest.wants(one) and not listener.hear(one):
                    self.detach(listener)
                    listener.lose(ErrorCode.FELL_BEHIND)

    async def _begin_anew(self) -> None:
        """A restore began another epoch: nobody's cursor says anything any more, and everybody hears so.

        No exception leaves this: a database that is away is tried again at the next look.
        """
        try:
            self._at = await self.position()
        except Exception:
            logger.exception("the feed could not be read; trying again")
            await asyncio.sleep(POLL_SECONDS)
            return
        logger.warning("the database was restored: all subscribers begin anew")
        for listener in [one for some in self._listeners.values() for one in some]:
            self.detach(listener)
            listener.lose(ErrorCode.CURSOR_EXPIRED)

    async def _unsettled(self) -> bool:
        """Raises `Refused` CURSOR_EXPIRED in another epoch than what was read last."""
        assert self._at is not None
        async with self._database.reader() as reader:
            row = await (await reader.execute(UNSETTLED, {"xid": self._at.xid})).fetchone()
        assert row is not None
        if row[1] != self._at.epoch:
            raise Refused(ErrorCode.CURSOR_EXPIRED)
        return bool(row[0])


POSITION = """
    SELECT (SELECT epoch FROM feedepoch), pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1,
           9223372036854775807
"""
EVENTS_AFTER = """
    SELECT (SELECT epoch FROM feedepoch), event.xid::text::bigint, event.seq,
           event.id, event.case_id, event.person_id, event.type, event.status,
           "case".procedure_key, "case".handler_id, "case".department_key
      FROM event JOIN "case" ON "case".id = event.case_id
     WHERE (event.xid, event.seq) > ((SELECT %(xid)s::text::xid8), (SELECT %(seq)s::bigint))
       AND event.xid < pg_snapshot_xmin(pg_current_snapshot())
       AND {conditions}
     ORDER BY event.xid, event.seq
     LIMIT {most}
"""
"""The place is behind a SELECT, so that PostgreSQL does not plan by it: over tens of months a plan costs
a hundred times its work, and this one is as good as the next, so it is made once."""
FLOOR = "SELECT floor_xid::text::bigint FROM feedepoch"
"""Below it events may be missing that are kept no longer: nobody goes on from there as if nothing were."""
NOT_BEYOND = "(event.xid, event.seq) <= (%(until_xid)s::text::xid8, %(until_seq)s)"
UNSETTLED = """
    SELECT EXISTS (SELECT FROM event
                    WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())
                      AND xid > (SELECT %(xid)s::text::xid8)),
           (SELECT epoch FROM feedepoch)
"""
