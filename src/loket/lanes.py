"""Who may carry out what now: lanes and systems, as all workers share them.

A lane is claimed by moving its `due_at` ahead by a lease and giving it a token. While a worker lives it
renews the lease; when it dies the lane comes due by itself. Every outcome is written under the token, so a
worker that was frozen and wakes up late can not overwrite what another did meanwhile.

Whoever needs several locks takes them in this order: case, lane, effect, system.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import orjson
from sqlalchemy import Update, delete, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from loket import months
from loket.records import Lane
from loket.work import NOT_HELD_BACK, SYSTEM_OF

LEASE = timedelta(seconds=30)
"""How long a claimed lane is left alone; after that its worker is taken for dead."""
SYSTEMS = frozenset(SYSTEM_OF.values())
RATE_PER_SECOND = 100.0
BURST = 50
"""For a system of which we know no limit; a row of `systemstate` can say otherwise."""
PER_SYSTEM = 8
"""The most lanes of one system in one worker: one that hangs must leave room for the others."""
CIRCUIT_FAILURES = 5
"""So many failures in a row, and a system is left alone for a while; then one lane finds out."""
CIRCUIT_LONGEST = timedelta(seconds=20)


@dataclass(frozen=True)
class Claim:
    key: str
    system: str
    token: UUID


class LostLease(Exception):
    """Another worker has the lane now."""


async def claim(session: AsyncSession, most: int, busy: Mapping[str, int]) -> list[Claim]:
    """Take up to `most` lanes that are due; `busy`: how many this worker has already, by system."""
    given = {"most": most, "busy": orjson.dumps(busy).decode(), "lease": LEASE}
    rows = await session.execute(CLAIM, given | {"per_system": PER_SYSTEM, "failing": CIRCUIT_FAILURES})
    return [Claim(key, system, token) for key, system, token in rows]


async def seconds_until_due(session: AsyncSession) -> float | None:
    """When something comes due by itself; None when nothing will."""
    seconds: float | None = await session.scalar(NEXT_DUE)
    return seconds


async def hold(session: AsyncSession, claim: Claim, *, answered: bool = False) -> datetime:
    """Lock the lane and renew its lease; answers the database's time then. Raises `LostLease`.

    `answered`: the system did its part, so that the lane is not one that waits after a failure.
    """
    given = {"key": claim.key, "token": claim.token, "lease": LEASE, "answered": answered}
    now = await session.scalar(HOLD, given)
    if now is None:
        raise LostLease(claim.key)
    return cast(datetime, now)


async def let_go(
    session: AsyncSession, claim: Claim, due_at: datetime | None, *, failed: bool = False
) -> None:
    """Let another look at the lane that we hold from `due_at` on; None: not before somebody wakes it.

    `failed`: it waits because a call failed, and goes on as soon as the system answers again.
    """
    free = _of(claim).values(due_at=due_at, token=None)
    await session.execute(free.values(failures=col(Lane.failures) + 1) if failed else free)


async def end(session: AsyncSession, claim: Claim) -> None:
    """Nothing is left in the lane that we hold."""
    await session.execute(delete(Lane).where(col(Lane.key) == claim.key, col(Lane.token) == claim.token))


def _of(claim: Claim) -> Update:
    ours = update(Lane).where(col(Lane.key) == claim.key, col(Lane.token) == claim.token)
    return ours.execution_options(synchronize_session=False)  # no session keeps a lane


def since(claim: Claim) -> UUID:
    """No effect of the lane has a lower id (`Work.leave`): its key begins with the case's, or its own.

    So its head is looked for in the months since, not in all that there are.
    """
    return months.since(UUID(claim.key.partition(":")[0]))


async def wait_for_turn(session: AsyncSession, system: str) -> datetime | None:
    """Count one call to `system`. Answers when to look again where it may not be made now."""
    granted, look_again_at = (await session.execute(TAKE_TURN, {"name": system})).one()
    return None if granted else look_again_at


async def failed(session: AsyncSession, system: str, rest_seconds: float | None) -> None:
    """A call got no answer, or a 'not now'. `rest_seconds`: the system asked to be left alone so long."""
    given = {"name": system, "most": CIRCUIT_FAILURES, "longest": CIRCUIT_LONGEST, "rest": rest_seconds}
    await session.execute(FAILED, given | {"rate": RATE_PER_SECOND, "burst": BURST})


async def succeeded(session: AsyncSession, system: str) -> None:
    """The system answers: after an outage nobody waits out a pause that was meant for it.

    A rest that it asked for meanwhile stands: this call began before.
    """
    failures = await session.scalar(ANSWERS_AGAIN, {"name": system})
    if failures is not None and failures >= CIRCUIT_FAILURES:
        await session.execute(WAKE, {"name": system})


async def sweep(session: AsyncSession) -> int:
    """Give every effect that waits a lane that will be looked at; answers how many had lost theirs.

    By the order of the locks none is ever lost; this is the net under it, and under whoever mends rows
    by hand.
    """
    await session.execute(KNOWN_SYSTEMS, {"names": sorted(SYSTEMS), "rate": RATE_PER_SECOND, "burst": BURST})
    return len((await session.execute(SWEEP, {"not_held_back": sorted(NOT_HELD_BACK)})).all())


CLAIM = text("""
    WITH due AS MATERIALIZED (
        SELECT lane.key, lane.due_at
          FROM systemstate AS state
         CROSS JOIN LATERAL (
               SELECT key, due_at FROM lane
                WHERE lane.system = state.name AND lane.due_at <= now()
                ORDER BY lane.due_at
                LIMIT greatest(0, least(
                          :most,
                          CASE WHEN state.failures >= :failing THEN 1 ELSE :per_system END
                          - coalesce((CAST(:busy AS jsonb) ->> state.name)::int, 0),
                          1 + floor(state.burst - state.rate_per_second
                              * greatest(0, extract(epoch FROM state.next_at - clock_timestamp())))::int))
                  FOR UPDATE SKIP LOCKED) AS lane
         WHERE NOT state.paused AND (state.open_until IS NULL OR state.open_until <= clock_timestamp())),
    soonest AS (SELECT key FROM due ORDER BY due_at LIMIT :most)
    UPDATE lane SET due_at = clock_timestamp() + :lease, token = gen_random_uuid()
      FROM soonest
     WHERE lane.key = soonest.key
    RETURNING lane.key, lane.system, lane.token
""")
"""Of each system that may be asked now, the lanes that are due longest. No backlog is walked through: not of
a system that is down, nor of one that is slow."""

HOLD = text("""
    WITH held AS MATERIALIZED (
        SELECT key FROM lane WHERE key = :key AND token = :token FOR NO KEY UPDATE)
    UPDATE lane
       SET due_at = clock_timestamp() + :lease, failures = CASE WHEN :answered THEN 0 ELSE failures END
      FROM held
     WHERE lane.key = held.key
    RETURNING clock_timestamp()
""")
"""First the lock, then the time: an UPDATE alone keeps the time at which it began to wait."""

NEXT_DUE = text("""
    SELECT extract(epoch FROM min(at) - clock_timestamp())::float8 FROM (
        SELECT lane.due_at AS at
          FROM systemstate AS state
         CROSS JOIN LATERAL (
               SELECT due_at FROM lane WHERE lane.system = state.name AND lane.due_at > now()
                ORDER BY lane.due_at LIMIT 1) AS lane
         WHERE NOT state.paused
         UNION ALL
        SELECT greatest(open_until, next_at - make_interval(secs => burst / rate_per_second))
          FROM systemstate WHERE NOT paused) AS soon
     WHERE at > now()
""")

TAKE_TURN = text("""
    WITH taken AS (
        UPDATE systemstate
           SET next_at = greatest(next_at, clock_timestamp()) + make_interval(secs => 1 / rate_per_second)
         WHERE name = :name AND NOT paused AND (open_until IS NULL OR open_until <= clock_timestamp())
           AND greatest(next_at, clock_timestamp())
               <= clock_timestamp() + make_interval(secs => burst / rate_per_second)
        RETURNING 1)
    SELECT EXISTS (SELECT FROM taken) OR NOT EXISTS (SELECT FROM systemstate WHERE name = :name),
           coalesce((SELECT greatest(next_at - make_interval(secs => burst / rate_per_second),
                                     clock_timestamp() + interval '50 milliseconds')
                       FROM systemstate WHERE name = :name), clock_timestamp())
""")
"""One rate limit per system over all workers (GCRA): may a call be made now; if not, when to look again."""

FAILED = text("""
    INSERT INTO systemstate (name, paused, rate_per_second, burst, failures)
    VALUES (:name, false, :rate, :burst, 1)
    ON CONFLICT (name) DO UPDATE
       SET failures = systemstate.failures + 1,
           open_until = greatest(
               systemstate.open_until,
               clock_timestamp() + make_interval(secs => CAST(:rest AS float8)),
               CASE WHEN systemstate.failures + 1 >= :most
                    THEN clock_timestamp()
                         + least(:longest, make_interval(secs => systemstate.failures - :most + 2))
               END)
""")

ANSWERS_AGAIN = text("""
    WITH before AS (SELECT failures FROM systemstate WHERE name = :name AND failures > 0 FOR UPDATE)
    UPDATE systemstate AS state SET failures = 0
      FROM before
     WHERE state.name = :name
    RETURNING before.failures
""")

WAKE = text("""
    WITH waiting AS MATERIALIZED (
        SELECT key FROM lane
         WHERE system = :name AND token IS NULL AND failures > 0 AND due_at > now()
           FOR UPDATE SKIP LOCKED),
    woken AS (UPDATE lane SET due_at = now() FROM waiting WHERE lane.key = waiting.key)
    UPDATE effect SET retry_at = NULL
      FROM waiting
     WHERE effect.lane = waiting.key AND effect.state = 'PENDING' AND effect.attempts > 0
""")

KNOWN_SYSTEMS = text("""
    INSERT INTO systemstate (name, paused, rate_per_second, burst, failures)
    SELECT name, false, :rate, :burst, 0 FROM unnest(CAST(:names AS text[])) AS name
    ON CONFLICT DO NOTHING
""")

SWEEP = text("""
    INSERT INTO lane (key, system, due_at, failures)
    SELECT head.lane, head.system, greatest(head.retry_at, now()), 0
      FROM (SELECT DISTINCT ON (lane) lane, system, state, retry_at
              FROM effect
             WHERE state = 'PENDING'
                OR state IN ('PARKED', 'IN_DOUBT') AND system <> ALL (CAST(:not_held_back AS text[]))
             ORDER BY lane, seq) AS head
     WHERE head.state = 'PENDING'
       AND NOT EXISTS (SELECT FROM lane WHERE lane.key = head.lane AND lane.due_at IS NOT NULL)
    ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at WHERE lane.due_at IS NULL
    RETURNING key
""")
