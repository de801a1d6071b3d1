"""How an accounting package connects: what Loket books becomes moves in a Tryton server, over JSON-RPC.

An example for whoever writes such a connector, and a proof that the contract's postings are whole. It reads
the booked entries of the sandbox's accounting package, books each as a move, and compares the trial
balances.

    python scripts/tryton_bridge.py --entries http://127.0.0.1:8106 --tryton http://127.0.0.1:18120/gem

The password of Tryton's `admin` stands in TRYTON_PASSWORD. README.md says how to install such a server.
"""

import argparse
import base64
import os
import sys
from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any

import httpx2

Json = dict[str, Any]
TYPES: dict[str, Json] = {
    "4": {"statement": "balance"},
    "5": {"statement": "balance", "assets": True},
    "6": {"statement": "income", "expense": True},
    "7": {"statement": "income", "revenue": True},
}
"""What the first digit of the chart (MAR) is to Tryton."""
SECONDS = 120.0
"""A first call loads half of Tryton."""


class Tryton:
    """A server, signed in, with one company whose chart holds the accounts that were asked for."""

    def __init__(self, url: str, password: str) -> None:
        self._client = httpx2.Client(base_url=f"{url}/rpc/", trust_env=False, timeout=SECONDS)
        user, session, *_ = self._call("common.db.login", "admin", {"password": password}, "nl")
        token = base64.b64encode(f"admin:{user}:{session}".encode()).decode()
        self._client.headers["Authorization"] = f"Session {token}"
        self._context: Json = {}
        self._user: int = user
        self._company = self._the_company()
        self._context = {"company": self._company, "companies": [self._company]}
        self._journal = self._one("account.journal", "Loket", {"type": "general"})
        self._periods: dict[int, int] = {}
        self._accounts: dict[str, int] = {}

    def book(self, entry: Json) -> str:
        """The number of the move that holds an entry of the contract; booked before, it is the same one."""
        known = self._rpc("account.move", "search", [["description", "=", entry["id"]]])
        if known:
            return self._number(known[0])
        on = date.fromisoformat(entry["bookedOn"])
        lines = [
            {
                "account": self._account(one["code"]),
                "debit": _decimal(one.get("debit", "0")),
                "credit": _decimal(one.get("credit", "0")),
                "description": one.get("description") or f"{entry['type']} {entry['number']}",
            }
            for one in entry["postings"]
        ]
        move = {
            "company": self._company,
            "journal": self._journal,
            "period": self._period(on.year),
            "date": _day(on),
            "description": entry["id"],
            "lines": [["create", lines]],
        }
        (id,) = self._rpc("account.move", "create", [move])
        self._rpc("account.move", "post", [id])
        return self._number(id)

    def balances(self) -> dict[str, Decimal]:
        """Debit less credit of all posted lines, by account."""
        fields = ["account.code", "debit", "credit"]
        posted = [["move.state", "=", "posted"]]
        found = self._rpc("account.move.line", "search_read", posted, 0, None, None, fields)
        return summed(
            (one["account."]["code"], _plain(one["debit"]) - _plain(one["credit"])) for one in found
        )

    # --- what must be there once --------------------------------------------------------------

    def _the_company(self) -> int:
        found: list[int] = self._rpc("company.company", "search", [])
        if not found:
            euro: Json = {
                "name": "Euro",
                "code": "EUR",
                "symbol": "€",
                "rounding": _decimal("0.01"),
                "digits": 2,
            }
            rate = {"date": _day(date(2000, 1, 1)), "rate": _decimal("1")}
            (currency,) = self._rpc("currency.currency", "create", [euro | {"rates": [["create", [rate]]]}])
            (party,) = self._rpc("party.party", "create", [{"name": "Gemeente Lindebeke"}])
            found = self._rpc("company.company", "create", [{"party": party, "currency": currency}])
        self._rpc("res.user", "write", [self._user], {"companies": [["add", found]], "company": found[0]})
        return found[0]

    def _period(self, year: int) -> int:
        """One period a year, with the year around it."""
        if year not in self._periods:
            name, span = (
                str(year),
                {"start_date": _day(date(year, 1, 1)), "end_date": _day(date(year, 12, 31))},
            )
            (kind,) = self._rpc("ir.sequence.type", "search", [["name", "=", "Account Move"]])
            sequence = self._one("ir.sequence.strict", f"Loket {name}", {"sequence_type": kind})
            own: Json = {"company": self._company, **span}
            fiscal = self._one("account.fiscalyear", name, own | {"move_sequence": sequence})
            self._periods[year] = self._one(
                "account.period", name, {"fiscalyear": fiscal, "type": "standard", **span}
            )
        return self._periods[year]

    def _account(self, code: str) -> int:
        if code not in self._accounts:
            own: Json = {"company": self._company}
            kind = self._one("account.account.type", f"Klasse {code[0]}", own | TYPES[code[0]])
            name = f"Rekening {code}"
            self._accounts[code] = self._one("account.account", name, own | {"code": code, "type": kind})
        return self._accounts[code]

    def _one(self, model: str, name: str, values: Json) -> int:
        """The record with this name, made where it is not there yet."""
        found: list[int] = self._rpc(model, "search", [["name", "=", name]])
        if not found:
            found = self._rpc(model, "create", [{"name": name, **values}])
        return found[0]

    def _number(self, move: int) -> str:
        (row,) = self._rpc("account.move", "read", [move], ["number"])
        return str(row["number"])

    # --- calling ------------------------------------------------------------------------------

    def _rpc(self, model: str, method: str, *arguments: object) -> Any:  # noqa: ANN401  # JSON
        return self._call(f"model.{model}.{method}", *arguments, self._context)

    def _call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401  # JSON
        answer = self._client.post("", json={"id": 0, "method": method, "params": arguments})
        answer.raise_for_status()
        told = answer.json()
        if isinstance(told, dict):
            if told.get("error"):
                raise RuntimeError(f"{method}: {told['error'][:2]}")
            return told["result"]
        return told


def _decimal(amount: str) -> Json:
    return {"__class__": "Decimal", "decimal": amount}


def _plain(amount: Json) -> Decimal:
    return Decimal(amount["decimal"])


def _day(on: date) -> Json:
    return {"__class__": "date", "year": on.year, "month": on.month, "day": on.day}


def summed(amounts: Any) -> dict[str, Decimal]:  # noqa: ANN401  # pairs
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for code, amount in amounts:
        sums[code] += amount
    return dict(sorted(sums.items()))


def main() -> int:
    """Exit code 1 where the trial balances differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", required=True, help="the sandbox's accounting package")
    parser.add_argument("--tryton", required=True, help="server and database")
    told = parser.parse_args()
    found = httpx2.get(f"{told.entries}/sim/entries", trust_env=False).raise_for_status().json()
    entries = [one["entry"] for one in found if one["status"] == "BOOKED"]
    tryton = Tryton(told.tryton, os.environ["TRYTON_PASSWORD"])
    for entry in entries:
        sys.stdout.write(
            f"{entry['type']:<20} {entry['number']:<36} {entry['amount']:>10}  {tryton.book(entry)}\n"
        )
    ours = summed(
        (one["code"], Decimal(one.get("debit", "0")) - Decimal(one.get("credit", "0")))
        for entry in entries
        for one in entry["postings"]
    )
    theirs = tryton.balances()
    sys.stdout.write(f"\n{'':<10} {'Loket':>12} {'Tryton':>12}\n")
    for code in sorted({*ours, *theirs}):
        sys.stdout.write(f"{code:<10} {ours.get(code, Decimal()):>12} {theirs.get(code, Decimal()):>12}\n")
    equal = ours == theirs and sum(theirs.values()) == 0
    sys.stdout.write("\nThe trial balances agree.\n" if equal else "\nThe trial balances differ.\n")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
