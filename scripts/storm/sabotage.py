"""Breaks rows on purpose, behind Loket's back: a judge who does not find this finds nothing."""

import asyncio
from collections.abc import Callable

import psycopg

from storm.town import Town

Broken = list[str]
PATIENCE_SECONDS = 120.0

# fmt: off
DEEDS: tuple[tuple[str, str], ...] = (
    ("an effect that waited is gone",
     "DELETE FROM effect WHERE id = (SELECT id FROM effect WHERE state = 'PENDING' AND attempts = 0"
     " AND kind = 'DOSIS_STATUS' ORDER BY seq DESC LIMIT 1) RETURNING id::text"),
    ("a payment has another amount",
     "UPDATE payment SET amount = amount + 1 WHERE id = (SELECT id FROM payment WHERE status = 'PAID'"
     " ORDER BY id LIMIT 1) RETURNING id::text"),
)
# fmt: on


async def spoil(town: Town, tell: Callable[[str], None]) -> Broken:
    """Each deed once, as soon as there is something to do it to; what was done."""
    done: Broken = []
    for what, statement in DEEDS:
        end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while asyncio.get_running_loop().time() < end:
            try:
                async with await psycopg.AsyncConnection.connect(town.database_url, autocommit=True) as line:
                    row = await (await line.execute(statement.encode())).fetchone()
            except psycopg.Error as fault:
                tell(f"sabotage: {fault}".strip())
                row = None
            if row is not None:
                done.append(f"{what} ({row[0]})")
                tell(f"sabotage: {done[-1]}")
                break
            await asyncio.sleep(0.05)
    return done
