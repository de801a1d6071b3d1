"""What the accounting package knows of budget keys (BBC): which are there, and which are closed.

`/sim/budget` shows the accounts on which nothing may be booked any more; put `{"closed": ["6491000"]}` there.
"""

import re
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.contract import Json
from loket.sandbox.orders import Wrong, told
from loket.sandbox.state import State

PARTS = {
    "year": re.compile("20[0-9]{2}"),
    "account": re.compile("[0-7][0-9]{2,7}"),
    "policyItem": re.compile("[0-9]{4}-[0-9]{2}"),
    "action": re.compile("[A-Z0-9-]{1,20}"),
    "estimate": re.compile("[A-Z0-9-]{1,20}"),
}
"""How the parts of a key look: an account is one of the classes 0 to 7 of the chart (MAR)."""


def faults(order: Json, closed: list[str]) -> list[tuple[str, str]]:
    """Where a bookkeeper cannot book the lines of a payout: pointer and reason."""
    lines: list[Json] = order["lines"]
    found = [
        (f"/lines/{number}/budgetKey", fault)
        for number, line in enumerate(lines)
        for fault in unknown(line["budgetKey"], closed)
    ]
    keys = [sorted(line["budgetKey"].items()) for line in lines]
    if any(keys.index(key) != number for number, key in enumerate(keys)):
        found.append(("/lines", "twee lijnen met dezelfde budgetsleutel"))
    total = sum((Decimal(line["amount"]) for line in lines), Decimal())
    if total != Decimal(order["amount"]):
        found.append(("/lines", f"lijnen tellen op tot {total}, niet tot {order['amount']}"))
    if any(Decimal(line["amount"]) == 0 for line in lines):
        found.append(("/lines", "een lijn is nul"))
    return found


def unknown(key: dict[str, Any], closed: list[str]) -> list[str]:
    """Why a bookkeeper does not know a key, or not any more."""
    wrong = [name for name, value in key.items() if name not in PARTS or not PARTS[name].fullmatch(value)]
    if "account" not in key or wrong:
        return [f"onbekende budgetsleutel: {', '.join(wrong) or 'zonder algemene rekening'}"]
    return [f"rekening {key['account']} is afgesloten"] if key["account"] in closed else []


def closed_in(state: State) -> list[str]:
    accounts: list[str] = (state.get("budget", "closed") or {}).get("accounts", [])
    return accounts


def routes(state: State) -> list[Route]:
    async def budget(request: Request) -> Response:
        if request.method != "GET":
            closed = (await told(request)).get("closed")
            if not isinstance(closed, list) or not all(isinstance(one, str) for one in closed):
                raise Wrong("closed: a list of accounts")
            state.put("budget", "closed", {"accounts": closed})
        return JSONResponse({"closed": closed_in(state)})

    return [Route("/sim/budget", budget, methods=["GET", "PUT", "POST"])]
