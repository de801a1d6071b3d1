"""Breaks rows on purpose, behind Loket's back: a judge who does not find this finds nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from storm.town import Town

PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Deed:
    what: str
    groups: frozenset[str]
    """In one of these it must be found."""
    statement: str


DEEDS = (
    Deed(
        "an effect that waited is gone",
        frozenset({"whole", "told"}),
        """DELETE FROM effect WHERE id = (
               SELECT id FROM effect WHERE state = 'PENDING' AND attempts = 0 AND kind = 'DOSIS_STATUS'
                ORDER BY seq DESC LIMIT 1)
           RETURNING id::text""",
    ),
    Deed(
        "a payment has another amount",
        frozenset({"money"}),
        """UPDATE payment SET amount = amount + 1 WHERE id = (
               SELECT id FROM payment WHERE status = 'CAPTURED' ORDER BY id LIMIT 1)
           RETURNING id::text""",
    ),
)


async def spoil(town: Town, done: list[Deed], tell: Callable[[str], None]) -> None:
    """Each deed once, as soon as there is something to do it to; `done` has those that were."""
    for deed in DEEDS:
        while True:
            row = await _try(town, deed)
            if row is not None:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        done.append(deed)
        tell(f"sabotage: {deed.what} ({row})")


async def _try(town: Town, deed: Deed) -> str | None:
    try:
        async with await psycopg.AsyncConnection.connect(town.database_url, autocommit=True) as line:
            row = await (await line.execute(deed.statement.encode())).fetchone()
    except psycopg.Error:
        return None  # the database is being killed: it comes back
    return None if row is None else str(row[0])
