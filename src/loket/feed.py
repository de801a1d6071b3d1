"""Committed events, in order, to whoever listens: without gap and without repeat.

An event's cursor is (transaction id, sequence), read below the oldest running transaction: a plain
sequence loses events of transactions that commit late. Each process reads the feed once and fans out
in memory; a subscriber replays the past from the table up to where the live feed stands.
"""

import asyncio
import base64
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from loket.database import EVENTS, Database
from loket.errors import ErrorCode, Refused
from loket.lifecycle import EventType, Status

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
SOON_SECONDS = (0.02, 0.05, 0.1)
"""Looked again so soon while a writer that began earlier is still at work."""
BATCH = 1000
BUFFER = 1000
"""Events that wait for one subscriber; a slower one is dropped and comes back with its cursor."""


@dataclass(frozen=True, order=True)
class Cursor:
    """A place in the feed of one epoch (a restore begins a new epoch)."""

    epoch: int
    xid: int
    seq: int

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.epoch}.{self.xid}.{self.seq}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `Refused` VALIDATION for what is no cursor of ours."""
        try:
            padded = text + "=" * (-len(text) % 4)
            epoch, xid, seq = base64.urlsafe_b64decode(padded).decode().split(".")
            found = cls(int(epoch), int(xid), int(seq))
        except ValueError as fault:
            raise Refused(ErrorCode.VALIDATION, path=["after"], reason="not a cursor") from fault
        if not all(0 <= part < 2**63 for part in (found.epoch, found.xid, found.seq)):
            raise Refused(ErrorCode.VALIDATION, path=["after"], reason="not a cursor")
        return found


@dataclass(frozen=True)
class Happening:
    """One committed event, as much of it as is needed to know whom it concerns."""

    cursor: Cursor
    event_id: UUID
    case_id: UUID
    person_id: UUID
    type: EventType
    status: Status
    """The case's status after it."""
    procedure: str
    handler_id: UUID | None
    """Whose case it was when the event was read."""
    department: str
    """Its key."""


@dataclass(frozen=True)
class Interest:
    """Whose events: of a case, a person, departments, or all (staff); of these, which. None: no matter."""

    case_id: UUID | None = None
    person_id: UUID | None = None
    procedure: str | None = None
    handler_id: UUID | None = None
    statuses: frozenset[Status] | None = None
    types: frozenset[EventType] | None = None
    departments: frozenset[str] | None = None

    def wants(self, one: Happening) -> bool:
        return (
            (self.case_id is None or one.case_id == self.case_id)
            and (self.person_id is None or one.person_id == self.person_id)
            and (self.procedure is None or one.procedure == self.procedure)
            and (self.handler_id is None or one.handler_id == self.handler_id)
            and (self.statuses is None or one.status in self.statuses)
            and (self.types is None or one.type in self.types)
            and (self.departments is None or one.department in self.departments)
        )

    @property
    def subject(self) -> UUID | None:
        """The one case or person whose events these are; None where they may be anybody's."""
        return self.case_id or self.person_id


class _Subscriber:
    def __init__(self, interest: Interest, since: Cursor) -> None:
        self.interest = interest
        self.since = since
        self.queue: asyncio.Queue[Happening | None] = asyncio.Queue(BUFFER)

    def offer(self, one: Happening) -> bool:
        """False when the subscriber is too slow."""
        if self.queue.full():
            return False
        self.queue.put_nowait(one)
        return True

    def drop(self) -> None:
        """Let it know that it fell behind, after what it has in hand now."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Feed:
    """`async with feed.running()` in an API process; `subscribe` anywhere inside it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscribers: defaultdict[UUID | None, set[_Subscriber]] = defaultdict(set)
        """By the case or person that they follow, so that an event looks at those only."""
        self._at: Cursor | None = None
        self._awake = asyncio.Event()

    @property
    def subscribers(self) -> int:
        return sum(map(len, self._subscribers.values()))

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
            Refused: CURSOR_EXPIRED for a cursor of another epoch; FELL_BEHIND when the subscriber did not
                keep up: it comes back with the cursor of the last event that it had.
        """
        if self._at is None:
            raise RuntimeError("the feed is not running")
        live_from = self._at
        if after is not None and after.epoch != live_from.epoch:
            raise Refused(ErrorCode.CURSOR_EXPIRED, path=["after"])
        subscriber = _Subscriber(interest, max(live_from, after) if after else live_from)
        self._subscribers[interest.subject].add(subscriber)
        try:
            if after is not None:
                async for one in self._replay(interest, after, live_from):
                    yield one
            while True:
                happening = await subscriber.queue.get()
                if happening is None:
                    raise Refused(ErrorCode.FELL_BEHIND)
                if happening.cursor > subscriber.since:
                    yield happening
        finally:
            self._forget(subscriber)

    def _forget(self, subscriber: _Subscriber) -> None:
        subject = subscriber.interest.subject
        self._subscribers[subject].discard(subscriber)
        if not self._subscribers[subject]:
            del self._subscribers[subject]

    async def page(self, interest: Interest, after: Cursor | None, most: int) -> list[Happening]:
        """What happened after `after`, from the beginning without it; at most `most`.

        Raises:
            Refused: CURSOR_EXPIRED for a cursor of another epoch.
        """
        here = await self.position()
        if after is not None and after.epoch != here.epoch:
            raise Refused(ErrorCode.CURSOR_EXPIRED, path=["after"])
        return (await self._fetch(after or Cursor(here.epoch, 0, 0), here, interest))[:most]

    async def _replay(self, interest: Interest, after: Cursor, until: Cursor) -> AsyncIterator[Happening]:
        while True:
            batch = await self._fetch(after, until, interest)
            for one in batch:
                if interest.wants(one):
                    yield one
            if len(batch) < BATCH:
                return
            after = batch[-1].cursor

    async def _fetch(
        self, after: Cursor, until: Cursor | None, interest: Interest | None = None
    ) -> list[Happening]:
        """The next events of whom `interest` follows, BATCH at most; what else it says is for `wants`."""
        conditions = ["TRUE"]
        given: dict[str, Any] = {"xid": after.xid, "seq": after.seq, "most": BATCH}
        if until is not None:
            conditions.append(NOT_BEYOND)
            given |= {"until_xid": until.xid, "until_seq": until.seq}
        if interest is not None and interest.case_id is not None:
            conditions.append("event.case_id = %(case_id)s")
            given["case_id"] = interest.case_id
        if interest is not None and interest.person_id is not None:
            conditions.append("event.person_id = %(person_id)s")
            given["person_id"] = interest.person_id
        if interest is not None and interest.departments is not None:
            conditions.append('"case".department_key = ANY(%(departments)s::text[])')
            given["departments"] = sorted(interest.departments)
        async with self._database.reader() as reader:
            rows = await (
                await reader.execute(EVENTS_AFTER.format(conditions=" AND ".join(conditions)), given)
            ).fetchall()
            if interest is not None and after.xid:
                floor = await (await reader.execute(FLOOR)).fetchone()
                if floor is None or after.xid < floor[0]:
                    raise Refused(ErrorCode.CURSOR_EXPIRED, path=["after"])
        return [
            Happening(
                Cursor(after.epoch, xid, seq), id, case_id, person_id,
                EventType(type), Status(status), procedure, handler_id, department,
            )
            for xid, seq, id, case_id, person_id, type, status, procedure, handler_id, department in rows
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
            except Exception:
                logger.exception("the feed could not be read; trying again")
                await asyncio.sleep(POLL_SECONDS)

    async def _catch_up(self) -> None:
        assert self._at is not None
        while batch := await self._fetch(self._at, None):
            for one in batch:
                self._fan_out(one)
            self._at = batch[-1].cursor
            if len(batch) < BATCH:
                return

    def _fan_out(self, one: Happening) -> None:
        for subject in (one.case_id, one.person_id, None):
            for subscriber in tuple(self._subscribers.get(subject, ())):
                if subscriber.interest.wants(one) and not subscriber.offer(one):
                    self._forget(subscriber)
                    subscriber.drop()

    async def _unsettled(self) -> bool:
        assert self._at is not None
        async with self._database.reader() as reader:
            row = await (await reader.execute(UNSETTLED, {"xid": self._at.xid})).fetchone()
        return bool(row and row[0])


POSITION = """
    SELECT (SELECT epoch FROM feedepoch), pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1,
           9223372036854775807
"""
EVENTS_AFTER = """
    SELECT event.xid::text::bigint, event.seq, event.id, event.case_id, event.person_id,
           event.type, event.status, "case".procedure_key, "case".handler_id, "case".department_key
      FROM event JOIN "case" ON "case".id = event.case_id
     WHERE (event.xid, event.seq) > (%(xid)s::text::xid8, %(seq)s)
       AND event.xid < pg_snapshot_xmin(pg_current_snapshot())
       AND {conditions}
     ORDER BY event.xid, event.seq
     LIMIT %(most)s
"""
FLOOR = "SELECT floor_xid::text::bigint FROM feedepoch"
"""Below it events may be missing that are kept no longer: nobody goes on from there as if nothing were."""
NOT_BEYOND = "(event.xid, event.seq) <= (%(until_xid)s::text::xid8, %(until_seq)s)"
UNSETTLED = """
    SELECT EXISTS (SELECT FROM event
                    WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()) AND xid > %(xid)s::text::xid8)
"""
