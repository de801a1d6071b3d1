"""Who follows the same and is shown the same of it: what happens is read, finished and written once for all.

Before anything is sent it is asked anew whether each of them still is who they were, and the statement that
reads an event has the row policies in it: what is not for them is not in what is sent. Who takes no more is
dropped with what waited for them, and comes back with the cursor of the last event that they had.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from loket import feed
from loket.api.outlets import Gone, Outlet, begin
from loket.database import NOT_NOW
from loket.errors import ErrorCode, Refused
from loket.feed import Feed
from loket.interests import Cursor, Happening, Interest

logger = logging.getLogger(__name__)
T = TypeVar("T")

PENDING = 3 * feed.BATCH
"""Events that an audience has heard and not told yet: the feed waits for it long before."""
AT_ONCE = 50
"""Events that one statement reads."""
TURN = 100
"""Subscribers told before the process does something else."""
OUTBOX_BYTES = 1_000_000
"""Of events that wait for one subscriber."""
RETRY_SECONDS = 0.5
"""Between attempts to read an event while the database is away."""
ENOUGH = 0.5
"""Of what may wait for somebody: beyond it the next events wait too."""
BRAKE_SECONDS = 0.02
"""So long an audience waits, and again, for who has many events in hand and still gets on."""
PATIENCE = 1_500
"""How often it waits so, until nobody has too many in hand any more."""
STALLED = 3
"""After so many times without getting on somebody is waited for no more."""

Printed = dict[Hashable, Sequence[bytes | None]]
"""The payload of each event by who is shown it; under None what is the same for all of an audience."""


class Press(Protocol):
    """Makes payloads of events, for viewers who may see the same of them."""

    async def printed(self, events: Sequence[Happening], contexts: dict[Hashable, Any]) -> Printed:
        """With one statement; None for an event that is not for them."""


@dataclass(frozen=True, slots=True)
class Follow:
    """What a subscription to the feed asks. `fallen`: who of these is not who they were, and why."""

    feed: Feed
    interest: Interest
    after: Cursor | None
    fallen: Callable[[AbstractSet[Any]], Awaitable[Mapping[Any, Refused]]]

    def __aiter__(self) -> Any:  # noqa: ANN401  # for who knows no audiences
        return self.feed.subscribe(self.interest, self.after)


class Follower:
    """One subscriber of an audience."""

    __slots__ = (
        *("_audience", "_lost", "_outbox", "_outlet", "_weight"),
        *("context", "extensions", "since", "task"),
    )

    def __init__(self, audience: "Audience", context: Any, outlet: Outlet, since: Cursor) -> None:  # noqa: ANN401  # the application's
        self._audience = audience
        self._outlet = outlet
        self._outbox: deque[tuple[bytes, str]] | None = None
        """What waits until what is being sent is sent; None when nothing is."""
        self._weight = 0
        self._lost: Exception | None = None
        self.context = context
        self.since = since
        self.extensions = b""
        """For the first answer alone."""
        self.task: asyncio.Task[None] | None = None
        """That sends what could not be sent at once."""

    @property
    def who(self) -> str:
        return cast("str", self.context.actor_key)

    @property
    def waiting(self) -> float:
        """Of what may wait for it, the part that does."""
        return max(len(self._outbox or ()) / feed.BUFFER, self._weight / OUTBOX_BYTES)

    async def catch_up(self, after: Cursor, until: Cursor) -> None:
        """Tell what happened before it came, then what waits since.

        Raises:
            Refused: CURSOR_EXPIRED, a restore began another epoch meanwhile.
        """
        async for page in self._audience.feed.replay(self._audience.interest, after, until):
            for start in range(0, len(page), AT_ONCE):
                batch = page[start : start + AT_ONCE]
                bodies = await self._audience.printed_for(self, batch)
                if bodies is None:
                    return
                if self._lost is not None:
                    await self._empty()
                    return
                for one, body in zip(batch, bodies, strict=True):
                    if body is not None:
                        await self._outlet.send(self._first(body), str(one.cursor))
        await self._empty()

    def begin_late(self) -> None:
        """What is told from now on waits until it has caught up."""
        self._outbox = deque()

    def tell(self, body: bytes, cursor: str) -> None:
        """Send it now, or as soon as the other side takes it."""
        if self._lost is not None:
            return
        if self._outbox is not None:
            self._outbox.append((body, cursor))
            self._weight += len(body)
            if len(self._outbox) > feed.BUFFER or self._weight > OUTBOX_BYTES:
                self.lose(Refused(ErrorCode.FELL_BEHIND))
            return
        try:
            rest = begin(self._outlet.send(self._first(body), cursor))
        except Gone:
            self.leave()
            return
        if rest is not None:
            self._outbox = deque()
            self.task = asyncio.create_task(self._send_rest(rest))

    def lose(self, why: Exception) -> None:
        """Tell it that it hears nothing more, and forget what waits for it."""
        self._audience.leave(self)
        self._lost, self._weight = why, 0
        if self._outbox is not None:
            self._outbox.clear()
        else:
            self._outbox = deque()
            self.task = asyncio.create_task(self._send_rest(None))

    def dismiss(self, why: Refused) -> None:
        """Nothing more for it: it is not who it was, or that can not be known now."""
        if why.code is ErrorCode.SYSTEM_UNAVAILABLE:
            self.lose(why)
        else:
            self.leave()
            self._outlet.forbid()

    async def end(self, fault: Exception) -> None:
        self._audience.leave(self)
        try:
            await self._outlet.end(fault)
        except Gone:
            return

    def leave(self) -> None:
        """Nothing of it stays behind."""
        self._audience.leave(self)
        if self._outbox is not None:
            self._outbox.clear()
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()

    def _first(self, body: bytes) -> bytes:
        if self.extensions:
            body, self.extensions = body[:-1] + self.extensions + b"}", b""
        return body

    async def _send_rest(self, rest: Awaitable[None] | None) -> None:
        try:
            if rest is not None:
                await rest
            await self._empty()
        except Gone:
            self.leave()
        finally:
            self.task = None

    async def _empty(self) -> None:
        """Send what waits; it may have waited for long."""
        if self._outbox and (why := await self._audience.fallen(self)):
            self.dismiss(why)
        while self._outbox:
            body, cursor = self._outbox.popleft()
            self._weight -= len(body)
            await self._outlet.send(self._first(body), cursor)
        self._outbox, self._weight = None, 0
        if self._lost is not None:
            await self.end(self._lost)


class Audience:
    """Followers to whom the same may be told. It listens to the feed while there are any."""

    __slots__ = (
        *("_all", "_fallen", "_followers", "_key", "_patience", "_pending", "_press", "_printing"),
        *("_telling", "feed", "interest"),
    )

    def __init__(self, all: dict[Hashable, "Audience"], key: Hashable, follow: Follow, press: Press) -> None:
        self._all = all
        self._key = key
        self._press = press
        self._fallen = follow.fallen
        self._followers: dict[Follower, None] = {}
        self._patience = PATIENCE
        self._pending: deque[Happening] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._printing: dict[Hashable, asyncio.Future[Printed]] | None = None
        self.feed = follow.feed
        self.interest = follow.interest
        all[key] = self
        self.feed.attach(self)

    def join(self, follower: Follower) -> None:
        self._followers[follower] = None

    def leave(self, follower: Follower) -> None:
        self._followers.pop(follower, None)
        if not self._followers:
            self.feed.detach(self)
            if self._all.get(self._key) is self:
                del self._all[self._key]

    # ------------------------------------------------------------------ as the feed has it

    @property
    def subscribers(self) -> int:
        return len(self._followers)

    @property
    def backlog(self) -> int:
        return len(self._pending or ())

    def hear(self, one: Happening) -> bool:
        if self._pending is None:
            self._pending = deque()
        if len(self._pending) >= PENDING:
            return False
        self._pending.append(one)
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())
        return True

    def lose(self, code: ErrorCode) -> None:
        self._pending = None
        if self._telling is not None:
            self._telling.cancel()
        for one in tuple(self._followers):
            one.lose(Refused(code))

    # ------------------------------------------------------------------ telling

    async def _tell(self) -> None:
        try:
            while self._pending and self._followers:
                batch = [self._pending.popleft() for _ in range(min(AT_ONCE, len(self._pending)))]
                await self._tell_all(batch)
        except Exception as fault:
            logger.exception("an event could not be told")
            for one in tuple(self._followers):
                one.lose(fault)
        finally:
            self._telling = self._pending = None

    async def _tell_all(self, batch: list[Happening]) -> None:
        followers = tuple(self._followers)
        printed = await self._printed(batch, {one.who: one.context for one in followers})
        fallen = await _patiently(partial(self._fallen, {one.context.standing for one in followers}))
        common = printed.get(None)
        told = [(one.cursor, str(one.cursor)) for one in batch]
        for number, follower in enumerate(followers, 1):
            if follower not in self._followers:
                continue
            if follower.context.standing in fallen:
                follower.dismiss(fallen[follower.context.standing])
                continue
            bodies = common if common is not None else printed[follower.who]
            for (cursor, text), body in zip(told, bodies, strict=True):
                if body is not None and cursor > follower.since:
                    follower.tell(body, text)
            if number % TURN == 0:
                await asyncio.sleep(0)
        await self._brake()

    async def _brake(self) -> None:
        """In a burst those who read do not fall behind because it is faster to tell than to hear."""
        behind, stalled = self._furthest_behind(), 0
        if behind <= ENOUGH:
            self._patience = PATIENCE
        while behind > ENOUGH and stalled < STALLED and self._patience > 0:
            self._patience -= 1
            await asyncio.sleep(BRAKE_SECONDS)
            before, behind = behind, self._furthest_behind()
            stalled = 0 if behind < before else stalled + 1

    def _furthest_behind(self) -> float:
        return max((one.waiting for one in self._followers), default=0.0)

    async def _printed(self, batch: Sequence[Happening], contexts: dict[Hashable, Any]) -> Printed:
        async def act() -> Printed:
            async with self.feed.reads:
                return await self._press.printed(batch, contexts)

        return await _patiently(act)

    async def printed_for(
        self, follower: Follower, batch: Sequence[Happening]
    ) -> Sequence[bytes | None] | None:
        """For one who replays; those who are at the same place at once share it.

        None: it may be told nothing more.
        """
        if self._printing is None:
            self._printing = {}
        printing, key = self._printing, (batch[0].cursor, batch[-1].cursor, len(batch))
        coming = printing.get(key)
        if coming is None:
            coming = asyncio.ensure_future(self._printed(batch, {follower.who: follower.context}))
            printing[key] = coming
            coming.add_done_callback(lambda _: printing.pop(key, None))
        found = await asyncio.shield(coming)
        if None not in found and follower.who not in found:
            found = await self._printed(batch, {follower.who: follower.context})
        if why := await self.fallen(follower):
            follower.dismiss(why)
            return None
        return found[None if None in found else follower.who]

    async def fallen(self, follower: Follower) -> Refused | None:
        """Why nothing more may be told to this one."""
        standing = follower.context.standing
        return (await _patiently(partial(self._fallen, {standing}))).get(standing)


async def _patiently(act: Callable[[], Awaitable[T]]) -> T:
    """A database that is away is waited for, as the feed does."""
    while True:
        try:
            return await act()
        except NOT_NOW as fault:
            logger.warning("what happened can not be told now; trying again: %s", fault)
            await asyncio.sleep(RETRY_SECONDS)


class Audiences:
    """All of a schema, by what they follow and what they are shown of it."""

    def __init__(self) -> None:
        self._open: dict[Hashable, Audience] = {}

    def join(
        self,
        shown: Hashable,
        follow: Follow,
        press: Press,
        context: Any,  # noqa: ANN401  # the application's
        outlet: Outlet,
    ) -> tuple[Follower, Callable[[], Awaitable[None]] | None]:
        """A new follower, and what has it catch up where it is late: nothing is told before that is done.

        `shown` is equal for those who may be shown the same.

        Raises:
            Refused: CURSOR_EXPIRED.
        """
        after, live_from = follow.after, follow.feed.here(follow.after)
        key = (id(follow.feed), follow.interest, shown)
        audience = self._open.get(key) or Audience(self._open, key, follow, press)
        follower = Follower(audience, context, outlet, max(live_from, after) if after else live_from)
        audience.join(follower)
        if after is None or after >= live_from:
            return follower, None
        follower.begin_late()
        return follower, lambda: follower.catch_up(after, live_from)
