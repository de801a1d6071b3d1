"""How many SQL statements a page of cases takes: as many for 100 as for 10, and few."""

import json
from typing import Any

import httpx2

from benchmark.operations import QUEUE
from benchmark.town import Caller, Town
from loket.app import Loket
from loket.settings import Settings
from loket.web import web

SIZES = (10, 100)
MOST = 3


async def count(town: Town) -> dict[str, dict[int, int]]:
    """Per caller: statements by size of the page, with applicant, handler, last event, invoice and delivery.

    Asked of a Loket in this process, whose database counts what it is asked.
    """
    found: dict[str, dict[int, int]] = {}
    loket = Loket(Settings.from_environment(town.environment))
    async with loket, httpx2.AsyncClient(transport=httpx2.ASGITransport(app=web(loket))) as client:
        for name, caller in (("handler", town.handler), ("citizen", town.regulars[0])):
            await _ask(client, caller, SIZES[0])  # who carries this token is asked once
            found[name] = {}
            for size in SIZES:
                with loket.database.count() as statements:
                    got = await _ask(client, caller, size)
                found[name][size] = len(statements)
                if got != size and caller.is_staff:
                    raise RuntimeError(f"asked for {size} cases, got {got}")
    return found


def is_well(found: dict[str, dict[int, int]]) -> bool:
    return all(len(set(one.values())) == 1 and max(one.values()) <= MOST for one in found.values())


async def _ask(client: httpx2.AsyncClient, caller: Caller, size: int) -> int:
    """How many cases came."""
    answer = await client.post(
        "http://loket/graphql",
        content=json.dumps(
            {
                "query": QUEUE.replace("first: 50", f"first: {size}"),
                "variables": {"status": ["AWAITING_PAYMENT", "COMPLETED"]},
            }
        ),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {caller.token}"},
    )
    told: Any = answer.json()
    if told.get("errors"):
        raise RuntimeError(json.dumps(told["errors"])[:1000])
    return len(told["data"]["cases"]["nodes"])
