"""How long history is kept: months are made ahead, finished effects put away, what is past its time dropped.

A month is dropped whole or not at all. One of events only when every case of it is closed that long and
nothing can come of it any more: no deadline, no open task or effect, nothing that still holds. All events of
a case lie in one month, so the chain of no other case is touched. What the figures of the live blueprint took
from it is set aside first: they can be counted anew without it.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Container
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from loket import figures, happenings, months
from loket.database import Database, clock
from loket.months import Part
from loket.settings import Retention

logger = logging.getLogger(__name__)

LOOK = timedelta(hours=1)
"""How often it is looked for what can be put away or dropped."""
CASES = 500
"""Of whom figures are set aside at once."""
ANSWERED = timedelta(days=30)
"""How long an idempotency key holds."""
ANSWERS = 1_000
"""Of these, forgotten at once."""
TIMEOUT_MS = 600_000
"""For who looks through a month: nobody waits for it."""


class Keeper:
    """Beside a worker; any number over one database."""

    def __init__(
        self,
        database: Database,
        retention: Retention,
        procedures: figures.Procedures,
        unreadable: Container[tuple[str, int]] = (),
    ) -> None:
        self._database = database
        self._retention = retention
        self._procedures = procedures
        self._unreadable = unreadable
        self._look_at = datetime.min.replace(tzinfo=UTC)

    async def tend(self, now: datetime | None = None) -> None:
        """Make the months ahead; now and then look for what can be put away or dropped.

        By the database's clock: a machine whose own is a year ahead must drop nothing.
        """
        if now is None:
            async with self._database.transaction() as session:
                now = await clock(session)
        try:
            await self._make(now.date())
            if now >= self._look_at:
                self._look_at = now + LOOK
                await self._put_away(now)
                await self._drop_effects(now)
                await self._drop_events(now)
                await self._forget_answers(now)
        except OperationalError as fault:
            if not months.is_busy(fault):
                raise
            self._look_at = now
            logger.info("history could not be tended: somebody holds it; later")

    async def _make(self, today: date) -> None:
        async with self._database.transaction() as session:
            wanted = await (await session.connection()).run_sync(months.missing, today)
        for part in wanted:
            async with self._database.transaction() as session:
                await (await session.connection()).run_sync(months.make, part)
            logger.info("made %s", part.name)

    async def _put_away(self, now: datetime) -> None:
        if not self._retention.archive_months:
            return
        until = months.month_of(now.date(), -self._retention.archive_months)
        async with self._database.transaction() as session:
            await _patient(session)
            found = await (await session.connection()).run_sync(months.finished, until, now)
        for part in found:
            async with self._database.transaction() as session:
                if await (await session.connection()).run_sync(months.put_away, part):
                    logger.info("put %s away", part.name)

    async def _drop_effects(self, now: datetime) -> None:
        """Of the archive, those of cases that are closed so long; of no case, by their month alone."""
        if not self._retention.effects_months:
            return
        cutoff = months.month_of(now.date(), -self._retention.effects_months)
        async with self._database.transaction() as session:
            await _patient(session)
            found = await _parts(session, "effectarchive", cutoff)
            ripe = [
                one
                for one in found
                if not await session.scalar(text(STILL_TOLD.format(part=one.name)), {"cutoff": cutoff})
            ]
        for part in ripe:
            async with self._database.transaction() as session:
                await _lock_soon(session)
                for attempts in await _parts(session, "attemptarchive", cutoff):
                    if attempts.until == part.until:
                        await session.execute(text(f"DROP TABLE {attempts.name}"))
                await session.execute(text(f"DROP TABLE IF EXISTS {part.name}"))
            logger.info("dropped %s", part.name)

    async def _drop_events(self, now: datetime) -> None:
        if not self._retention.events_months:
            return
        cutoff = months.month_of(now.date(), -self._retention.events_months)
        async with self._database.transaction() as session:
            found = await _parts(session, "event", cutoff)
        for part in found:
            async with self._database.transaction() as session:
                if await self._drop_if_done(session, part, now, cutoff):
                    logger.info("dropped %s", part.name)

    async def _forget_answers(self, now: datetime) -> None:
        """What was answered under an idempotency key: nobody asks again so late, and names are in it."""
        number = ANSWERS
        while number == ANSWERS:
            async with self._database.transaction() as session:
                gone = await session.execute(FORGET_ANSWERS, {"before": now - ANSWERED, "most": ANSWERS})
                number = len(gone.all())

    async def _drop_if_done(self, session: AsyncSession, part: Part, now: datetime, cutoff: date) -> bool:
        await _patient(session)
        if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(:turn)"), {"turn": figures.TURN}):
            return False  # somebody counts just now
        await _lock_soon(session)
        await session.execute(text(f"LOCK TABLE {part.name} IN SHARE MODE"))  # nothing is added meanwhile
        given = {
            "since": part.since or UUID(int=0),
            "until": part.until,
            "cutoff": cutoff,
            "today": now.date(),
        }
        if await session.scalar(
            text(STILL_NEEDED.format(part=part.name)), given | {"follower": figures.NAME}
        ):
            return False
        await self._set_aside(session, part)
        await session.execute(text(RAISE_FLOOR.format(part=part.name)))
        await session.execute(text(f"DROP TABLE {part.name}"))
        return True

    async def _set_aside(self, session: AsyncSession, part: Part) -> None:
        """Keep what the figures have of these events, for whoever counts anew.

        Written when all is read: whoever writes holds back the feed until the commit.
        """
        sums: defaultdict[figures.Key, Counter[str]] = defaultdict(Counter)
        after = UUID(int=0)
        next_cases = text(NEXT_CASES.format(part=part.name))
        while cases := list(await session.scalars(next_cases, {"after": after, "most": CASES})):
            read = await happenings.of_cases(session, cases)
            known = [one for one in read if one.procedure not in self._unreadable]
            for key, numbers in figures.fold(self._procedures, known, {}).figures.items():
                sums[key].update(numbers)
            after = cases[-1]
        await figures.add(session, sums, aside=True)


async def _parts(session: AsyncSession, table: str, cutoff: date) -> list[Part]:
    """Months of `table` that ended before `cutoff`."""
    found = await (await session.connection()).run_sync(months.parts, table)
    return [one for one in found if one.ends_on <= cutoff]


async def _patient(session: AsyncSession) -> None:
    await session.execute(text(f"SET LOCAL statement_timeout = {TIMEOUT_MS}"))


async def _lock_soon(session: AsyncSession) -> None:
    """Locks within a moment from here on, or not at all."""
    await session.execute(text(f"SET LOCAL lock_timeout = {months.LOCK_MS}"))


STILL_TOLD = """
    SELECT EXISTS (SELECT FROM {part} AS effect JOIN "case" ON "case".id = effect.case_id
                    WHERE "case".closed_at IS NULL OR "case".closed_at >= :cutoff)
"""
STILL_NEEDED = """
    SELECT EXISTS (
               SELECT FROM "case"
                WHERE id >= :since AND id < :until
                  AND (closed_at IS NULL OR closed_at >= :cutoff OR valid_until >= :today
                       OR EXISTS (SELECT FROM timer WHERE case_id = "case".id AND state = 'ARMED')
                       OR EXISTS (SELECT FROM task WHERE case_id = "case".id AND status = 'OPEN')
                       OR EXISTS (SELECT FROM effect WHERE case_id = "case".id
                                     AND state IN ('PENDING', 'PARKED', 'IN_DOUBT'))))
        OR EXISTS (SELECT FROM {part} WHERE occurred_at >= :cutoff)
        OR NOT EXISTS (SELECT FROM follower JOIN feedepoch USING (epoch)
                        WHERE name = :follower
                          AND NOT EXISTS (SELECT FROM {part} AS event
                                           WHERE (event.xid, event.seq) > (follower.xid, follower.seq)))
"""
NEXT_CASES = "SELECT DISTINCT case_id FROM {part} WHERE case_id > :after ORDER BY case_id LIMIT :most"
RAISE_FLOOR = """
    UPDATE feedepoch SET floor_xid = greatest(floor_xid, last.xid)
      FROM (SELECT xid FROM {part} ORDER BY xid DESC LIMIT 1) AS last
"""
FORGET_ANSWERS = text("""
    DELETE FROM idempotentrequest
     WHERE (actor, key) IN (SELECT actor, key FROM idempotentrequest
                             WHERE created_at < :before ORDER BY created_at LIMIT :most
                               FOR UPDATE SKIP LOCKED)
    RETURNING key
""")
