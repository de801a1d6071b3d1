"""Tells subscribers elsewhere of events, each in order from its own place in the feed on; at least once.

A worker claims who has something to hear by a lease and a token, as it does with lanes, posts one event after
the other, and moves the subscriber's place when it was taken. Killed in between, another repeats that one
event with the same id. Whoever does not answer is tried again later and later, and holds up nobody else.

After a restore the feed is of another epoch: a subscriber goes on a little before the last event that it was
told of, so it hears some again and misses none that is still there.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from loket import announcements, webhooks
from loket.app import Loket
from loket.database import EVENTS, clock
from loket.interests import Cursor
from loket.records import ActorKind, EffectKind, WebhookPause, WebhookSubscription
from loket.systems.webhooks import Answer, Line, Webhooks, signed
from loket.work import the_system

logger = logging.getLogger(__name__)

AT_ONCE = 64
"""Subscribers that one worker tells at the same time."""
LEASE = timedelta(seconds=30)
"""Longer than one call and what is written of it."""
TURN_SECONDS = 20.0
"""After so long whoever has much to hear lets the others go first."""
BATCH = 500
POLL_SECONDS = 1.0
DRAIN_SECONDS = 5.0
SWEEP_SECONDS = 60.0
GIVE_UP_AFTER = timedelta(hours=48)
LONGEST_WAIT = timedelta(minutes=15)
LONGEST_ASKED = timedelta(hours=1)
"""The longest Retry-After that is believed."""
CALLS_KEPT = 10_000
"""Of each subscription, the last ones."""
CALLS_LIFE = timedelta(days=30)
REPEATED = 10_000
"""After a restore: so many events before the last one that it was told of. Those that were written out of
order lie much closer together: the database ends a forgotten transaction after 30 seconds."""
MAILBOX = "Beheer"
"""Whose mailbox (LOKET_DEPARTMENT_MAILBOXES) hears that a subscriber was given up."""


@dataclass(frozen=True)
class Turn:
    """A subscriber while it is ours to tell, as it is in the database now."""

    id: UUID
    token: UUID
    url: str
    secret: str
    types: Sequence[str]
    procedures: Sequence[str]
    place: Cursor
    failures: int
    failing_for: timedelta
    sight: announcements.Sight | None
    """None: whoever subscribed may see nothing (any more)."""
    epoch: int
    """Of the feed."""
    at: datetime
    """When this was read, on the database's clock: a subscriber refuses what is signed five minutes off."""


class Subscribers:
    """Beside a worker's lanes: `run` until it is cancelled; any number over one database."""

    def __init__(self, loket: Loket) -> None:
        self._loket = loket
        self._webhooks = Webhooks(loket.settings.webhooks, production=loket.settings.production)
        self._busy: set[asyncio.Task[None]] = set()
        self._awake = asyncio.Event()
        self._stopping = False
        self._swept_at = float("-inf")

    async def run(self) -> None:
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                try:
                    await self._take_up()
                    await self._sweep()
                except Exception:
                    logger.exception("subscribers could not be looked up; trying again")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._awake.wait()
                self._awake.clear()
        finally:
            self._stopping = True
            listening.cancel()
            if self._busy:
                await asyncio.wait(self._busy, timeout=DRAIN_SECONDS)
            for task in self._busy:
                task.cancel()  # its lease will run out, and another repeats what was in hand
            await asyncio.gather(listening, *self._busy, return_exceptions=True)

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._loket.database.listen([EVENTS])) as wake_ups:
            async for _ in wake_ups:
                self._awake.set()

    async def _take_up(self) -> None:
        free = AT_ONCE - len(self._busy)
        if free <= 0:
            return
        async with self._loket.database.transaction() as session:
            claimed = (await session.execute(CLAIM, {"most": free, "lease": LEASE})).all()
        for id, token in claimed:
            task = asyncio.create_task(self._serve(id, token), name=f"subscriber {id}")
            self._busy.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        self._awake.set()

    async def _sweep(self) -> None:
        """Forget calls that are old, or of which there are many."""
        if time.monotonic() - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        async with self._loket.database.transaction() as session:
            before = await clock(session) - CALLS_LIFE
            await session.execute(FORGET, {"kept": CALLS_KEPT, "before": _first_id(before)})
            await session.execute(FORGET_ENDED, {"before": before})

    # ── one subscriber ────────────────────────────────────────────────────────────────────────────────

    async def _serve(self, id: UUID, token: UUID) -> None:
        """Tell one subscriber, until it knows all, does not take one, or has had its turn."""
        ends_at = time.monotonic() + TURN_SECONDS
        try:
            async with self._loket.database.transaction() as session:
                turn = await _turn(session, self._loket, id, token)
                if turn is not None and turn.place.epoch != turn.epoch:
                    turn = await _after_a_restore(session, self._loket, turn)
            if turn is None:
                return
            async with self._webhooks.line(turn.url) as line:
                while turn is not None:
                    turn = await self._read_on(turn, line, ends_at)
        except Exception:
            logger.exception("subscriber %s: its lease will run out and it is tried again", id)

    async def _read_on(self, turn: Turn, line: Line, ends_at: float) -> Turn | None:
        """Tell of the next events; None where that is all for now."""
        if turn.sight is None:
            await self._pause(turn, WebhookPause.NOT_ALLOWED, "the role for it was taken away")
            return None
        async with self._loket.database.reader() as reader:
            batch = await announcements.after(
                reader, turn.place, turn.sight, types=turn.types, procedures=turn.procedures, most=BATCH
            )
            dropped = await announcements.is_dropped(reader, turn.place)
        if dropped:
            await self._pause(turn, WebhookPause.CURSOR_EXPIRED, "what came next is no longer kept")
            return None
        place = turn.place
        for one in batch:
            if one.wanted:
                if self._stopping or time.monotonic() > ends_at:
                    await self._let_go(turn, place)
                    return None
                body = orjson.dumps(one.document | {"source": self._loket.settings.public_url})
                headers = signed(turn.secret, str(one.id), turn.at, body) | {
                    "Content-Type": announcements.MEDIA_TYPE
                }
                answer = await line.post(body, headers)
                after = await self._settle(turn, one, answer)
                if after is None or after.sight != turn.sight:
                    return after
                turn = after
            place = one.cursor
        if len(batch) < BATCH:
            await self._let_go(turn, place)
            return None
        return await self._moved(turn, place)

    # ── what is written of it, each time only while it is still ours to tell ──────────────────────────

    async def _settle(self, turn: Turn, one: announcements.Told, answer: Answer) -> Turn | None:
        """Write down how a call ended; the subscriber as it is after it, None where it must wait."""
        call = {
            "id": uuid7(),
            "of": turn.id,
            "event": one.id,
            "type": one.type,
            "attempt": turn.failures + 1,
            "at": turn.at,
            "took": answer.duration_ms,
            "status": answer.http_status,
            "error": answer.error,
        }
        given_up = turn.failing_for >= GIVE_UP_AFTER
        async with self._loket.database.transaction() as session:
            if answer.taken:
                written = await session.execute(TAKEN, _at(turn, one.cursor))
            else:
                waits = {"wait": wait_before_retry(turn.failing_for, answer), "error": answer.error}
                written = await session.execute(NOT_TAKEN, _at(turn, turn.place) | waits)
            if written.first() is None:
                return None
            await session.execute(CALLED, call)
            if answer.taken:
                return await _turn(session, self._loket, turn.id, turn.token)
            if not (answer.gone or given_up):
                await session.execute(RELEASE, {"id": turn.id})
                return None
        why = WebhookPause.GONE if answer.gone else WebhookPause.UNREACHABLE
        await self._pause(turn, why, answer.error)
        return None

    async def _pause(self, turn: Turn, why: WebhookPause, error: str) -> None:
        """Tell it nothing more until somebody resumes it; who keeps Loket running hears so by e-mail."""
        async with self._loket.work(the_system("Webhooks")) as work:
            found = await work.session.get(WebhookSubscription, turn.id, with_for_update=True)
            if found is None or found.token != turn.token:
                return
            webhooks.stop(found, why)
            found.last_error = error
            to = self._loket.settings.department_mailboxes.of(MAILBOX)
            if to:
                await work.leave(EffectKind.STAFF_EMAIL, {"to": to, "webhook_id": str(turn.id)})

    async def _moved(self, turn: Turn, place: Cursor) -> Turn | None:
        async with self._loket.database.transaction() as session:
            if (await session.execute(MOVE, _at(turn, place))).first() is None:
                return None
            return await _turn(session, self._loket, turn.id, turn.token)

    async def _let_go(self, turn: Turn, place: Cursor) -> None:
        async with self._loket.database.transaction() as session:
            if (await session.execute(MOVE, _at(turn, place))).first() is not None:
                await session.execute(RELEASE_NOW, {"id": turn.id})


def wait_before_retry(failing_for: timedelta, answer: Answer) -> timedelta:
    """A fifth of the time that it fails, within a second and a quarter of an hour; or what it asked for."""
    wait = min(max(failing_for / 5, timedelta(seconds=1)), LONGEST_WAIT) * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
    asked = min(timedelta(seconds=answer.retry_after_seconds or 0), LONGEST_ASKED)
    return max(wait, asked * random.uniform(1.0, 1.1))  # noqa: S311  # no secret


async def _turn(session: AsyncSession, loket: Loket, id: UUID, token: UUID) -> Turn | None:
    row = (await session.execute(TURN, {"id": id, "token": token})).one_or_none()
    if row is None:
        return None
    return Turn(
        id=id,
        token=token,
        url=row.url,
        secret=loket.vault.open(bytes(row.secret_sealed)),
        types=row.types,
        procedures=row.procedures,
        place=Cursor(row.epoch, row.xid, row.seq),
        failures=row.failures,
        failing_for=row.failing_for,
        sight=announcements.sight_of(loket, ActorKind(row.owner_kind), row.owner_id, row.roles or ()),
        epoch=row.feed_epoch,
        at=row.at,
    )


async def _after_a_restore(session: AsyncSession, loket: Loket, turn: Turn) -> Turn | None:
    """Its place in the feed of the new epoch: by the number of its last event, which a restore keeps."""
    logger.warning("the feed is of another epoch: subscriber %s hears some events again", turn.id)
    first = (await session.execute(AFTER_RESTORE, {"seq": turn.place.seq - REPEATED})).one_or_none()
    place = Cursor(turn.epoch, first.xid, first.seq - 1) if first else Cursor(turn.epoch, 0, 0)
    if (await session.execute(MOVE, _at(turn, place))).first() is None:
        return None
    return await _turn(session, loket, turn.id, turn.token)


def _first_id(at: datetime) -> UUID:
    """The lowest UUIDv7 of a moment (RFC 9562: milliseconds in the first 48 bits)."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def _at(turn: Turn, place: Cursor) -> dict[str, Any]:
    return {
        "id": turn.id,
        "token": turn.token,
        "epoch": place.epoch,
        "xid": place.xid,
        "seq": place.seq,
        "lease": LEASE,
    }


CLAIM = text("""
    WITH last AS MATERIALIZED (
        SELECT xid::text::bigint AS xid, seq, (SELECT epoch FROM feedepoch) AS epoch
          FROM event
         WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY event.xid DESC, seq DESC LIMIT 1),
    due AS (
        SELECT s.id
          FROM webhooksubscription s CROSS JOIN last
         WHERE s.state = 'ACTIVE' AND s.due_at <= now()
           AND (s.epoch <> last.epoch OR (s.xid, s.seq) < (last.xid, last.seq))
         ORDER BY s.due_at
         LIMIT (SELECT CAST(:most AS bigint))
           FOR UPDATE OF s SKIP LOCKED)
    UPDATE webhooksubscription AS s
       SET due_at = clock_timestamp() + :lease, token = gen_random_uuid()
      FROM due
     WHERE s.id = due.id
    RETURNING s.id, s.token
""")
"""Who may be told now, and has not heard the last event: whoever has, costs nothing.

PostgreSQL makes one plan whatever the limit is, because it can't reckon with it: planning over every month of
events takes longer than the statement.
"""
TURN = text("""
    SELECT s.url, s.secret_sealed, s.types, s.procedures, s.epoch, s.xid, s.seq, s.failures, s.owner_kind,
           s.owner_id, staff.roles, feedepoch.epoch AS feed_epoch,
           clock_timestamp() AS at, coalesce(clock_timestamp() - s.failing_since, interval '0') AS failing_for
      FROM feedepoch CROSS JOIN webhooksubscription s
      LEFT JOIN staff ON s.owner_kind = 'STAFF' AND staff.id = s.owner_id
     WHERE s.id = :id AND s.token = :token AND s.state = 'ACTIVE'
""")
_OURS = "WHERE id = :id AND token = :token AND state = 'ACTIVE' RETURNING id"
MOVE = text(f"""
    UPDATE webhooksubscription
       SET epoch = :epoch, xid = :xid, seq = :seq, due_at = clock_timestamp() + :lease
     {_OURS}
""")  # noqa: S608  # our own words
TAKEN = text(f"""
    UPDATE webhooksubscription
       SET epoch = :epoch, xid = :xid, seq = :seq, due_at = clock_timestamp() + :lease,
           failures = 0, failing_since = NULL, last_error = '', told = told + 1, told_at = clock_timestamp()
     {_OURS}
""")  # noqa: S608  # our own words
NOT_TAKEN = text(f"""
    UPDATE webhooksubscription
       SET due_at = clock_timestamp() + :wait, failures = failures + 1, last_error = :error,
           failing_since = coalesce(failing_since, clock_timestamp())
     {_OURS}
""")  # noqa: S608  # our own words
RELEASE = text("UPDATE webhooksubscription SET token = NULL WHERE id = :id")
RELEASE_NOW = text("UPDATE webhooksubscription SET token = NULL, due_at = clock_timestamp() WHERE id = :id")
CALLED = text("""
    INSERT INTO webhookcall (id, subscription_id, event_id, event_type, attempt, started_at, duration_ms,
                             http_status, error)
    VALUES (:id, :of, :event, :type, :attempt, :at, :took, :status, :error)
""")
AFTER_RESTORE = text(
    "SELECT xid::text::bigint AS xid, seq FROM event WHERE seq > :seq ORDER BY event.xid, seq LIMIT 1"
)
FORGET = text("""
    WITH edge AS (
        SELECT s.id, (SELECT c.id FROM webhookcall c WHERE c.subscription_id = s.id
                       ORDER BY c.id DESC OFFSET :kept LIMIT 1) AS beyond
          FROM webhooksubscription s)
    DELETE FROM webhookcall USING edge
     WHERE webhookcall.subscription_id = edge.id
       AND webhookcall.id <= greatest(edge.beyond, CAST(:before AS uuid))
""")
FORGET_ENDED = text("""
    DELETE FROM webhooksubscription AS s
     WHERE state = 'ENDED' AND ended_at < :before
       AND NOT EXISTS (SELECT FROM webhookcall WHERE subscription_id = s.id)
""")
