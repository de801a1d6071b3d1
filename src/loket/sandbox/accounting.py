"""The municipality's accounting package in small: books, knows transfers, tells Loket.

`/sim/transfer` is a citizen paying at the bank; `/sim/entries/{id}/reject` and `…/execute` a clerk's work.
Payouts are in `accounting_payouts`, postings and trial balance in `accounting_journal`.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox import accounting_budget, accounting_journal, accounting_payouts
from loket.sandbox.accounting_journal import TYPES
from loket.sandbox.accounting_notation import euro, instant, today
from loket.sandbox.accounting_payouts import Payouts
from loket.sandbox.callbacks import Callbacks, callbacks_table, loket_signature
from loket.sandbox.contract import Contract, Door, Json, Problem, notice
from loket.sandbox.orders import Wrong, carried_out, refused, told
from loket.sandbox.page import button, fold, join, moment, table, tag
from loket.sandbox.state import State, now, stamp
from loket.sandbox.system import Config, System

AMOUNT = re.compile(r"[0-9]{1,10}\.[0-9]{2}")
IBAN = "BE68539007547034"
"""Where a transfer comes from when nobody says."""
SHOWN = 40
"""Rows on the desk."""
_WITH_LINES = frozenset({"INVOICE", "CREDIT_NOTE"})
_WITH_METHOD = frozenset({"PAYMENT", "REFUND_DUE", "REFUND"})


class Ledger:
    """Entries as booked, transfers as they came, and the notices to Loket."""

    def __init__(self, config: Config, state: State) -> None:
        self.config = config
        self.state = state
        section = config.section("accounting")
        self._hook_url: str = section.get("hook_url", "")
        self.callbacks = Callbacks(
            config.desk_url("accounting"),
            state,
            loket_signature(section.get("hook_secret", "")),
            heard=lambda status: status == 204,
            final=(400,),
        )

    def book(self, request: Request, entry: Json) -> tuple[int, Json]:
        """Book one entry, or find it booked. Raises `Problem`."""
        if entry["id"] != request.path_params["id"]:
            fault = {"pointer": "/id", "detail": "not the id of the path"}
            raise Problem(400, "malformed", "The request does not follow the contract", errors=[fault])
        earlier = self.state.get("entry", entry["id"])
        if earlier is not None and earlier["status"] == "BOOKED":
            if earlier["entry"] != entry:
                raise Problem(409, "entry-exists", "The entry was booked with another content")
            return 200, _booked(earlier)
        self._check(entry)
        number = self.state.count("entry") + 1
        voucher = f"{entry['journal']}-{entry['bookedOn'][:4]}-{number:06}"
        kept = {
            "entry": entry,
            "status": "BOOKED",
            "bookedAt": instant(),
            "voucher": earlier["voucher"] if earlier else voucher,
            "reason": None,
        }
        self.state.put("entry", entry["id"], kept)
        if entry["type"] in ("INVOICE", "CREDIT_NOTE"):
            self.state.put("number", _number(entry), {"entry": entry["id"]})
        if entry["type"] == "INVOICE":
            self.state.put("invoice", entry["number"], {"reference": entry["reference"]})
        return 201, _booked(kept)

    def entry(self, request: Request, _: Json) -> tuple[int, Json]:
        kept = self.state.get("entry", request.path_params["id"])
        if kept is None:
            raise Problem(404, "entry-unknown", "No entry with this id")
        return 200, _booked(kept)

    def transfer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """A citizen pays at the bank; the package finds the money in its statement and tells Loket.

        Raises:
            Wrong: no amount such as 60.00.
        """
        amount = str(order.get("amount", ""))
        if not AMOUNT.fullmatch(amount) or Decimal(amount) == 0:
            raise Wrong("amount: such as 60.00")
        written = str(order.get("reference") or order.get("remittance") or "")
        digits = re.sub(r"[+*/ .]", "", written)
        arrived = {
            "paymentId": f"CODA-{now():%Y%j}-{self.state.count('transfer') + 1:05}",
            "reference": digits if is_structured(digits) else None,
            "amount": amount,
            "currency": "EUR",
            "valueDate": str(order.get("valueDate") or today()),
            "payerName": str(order.get("payerName") or order.get("payer") or "ONBEKENDE BETALER"),
            "payerIban": str(order.get("payerIban") or IBAN),
            "remittance": str(order.get("remittance") or written),
        }
        self.state.put("transfer", arrived["paymentId"] or "", arrived | {"at": stamp()})
        self.tell("payment.registered", arrived)
        return arrived

    def reject(self, kept: Json, reason: str) -> Json:
        """An entry turns out wrong after it was booked."""
        kept = kept | {"status": "REJECTED", "reason": reason}
        self.state.put("entry", kept["entry"]["id"], kept)
        self.tell("entry.rejected", {"entryId": kept["entry"]["id"], "reason": reason})
        return kept

    def execute(self, kept: Json) -> Json:
        """Money of a REFUND_DUE entry goes back to the citizen. Raises `Wrong`."""
        entry = kept["entry"]
        if entry["type"] != "REFUND_DUE" or kept["status"] != "BOOKED":
            raise Wrong("only a booked REFUND_DUE can be executed", 409)
        if kept.get("executedOn"):
            raise Wrong("executed before", 409)
        kept = kept | {"executedOn": today()}
        self.state.put("entry", entry["id"], kept)
        data = {name: entry[name] for name in ("reference", "amount", "currency")}
        self.tell("refund.executed", {"entryId": entry["id"], **data, "executedOn": kept["executedOn"]})
        return kept

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        if self._hook_url:
            self.callbacks.send(self._hook_url, kind, notice(kind, data))

    def _check(self, entry: Json) -> None:
        """What a bookkeeper refuses although it is well formed. Raises `Problem`."""
        faults = [{"pointer": pointer, "detail": detail} for pointer, detail in self._faults(entry)]
        if faults:
            raise Problem(422, "unbookable", "The entry cannot be booked", faults[0]["detail"], faults)
        if entry["type"] not in _WITH_LINES:
            return
        taken = self.state.get("number", _number(entry))
        if taken is not None and taken["entry"] != entry["id"]:
            raise Problem(409, "entry-exists", f"{entry['journal']} {entry['number']} is another entry")

    def _faults(self, entry: Json) -> list[tuple[str, str]]:
        kind, amount = entry["type"], Decimal(entry["amount"])
        lines = sum((Decimal(line["amount"]) for line in entry["lines"]), Decimal())
        faults = []
        if amount == 0:
            faults.append(("/amount", "bedrag is nul"))
        if not is_structured(entry["reference"]):
            faults.append(("/reference", "gestructureerde mededeling klopt niet (modulo 97)"))
        if kind not in _WITH_LINES and entry["lines"]:
            faults.append(("/lines", "alleen een factuur of creditnota heeft lijnen"))
        costs = accounting_journal.posted(entry, "debit", "COSTS") if kind == "CREDIT_NOTE" else Decimal()
        if kind in _WITH_LINES and lines + costs != amount:
            faults.append(("/lines", f"lijnen tellen op tot {lines + costs}, niet tot {amount}"))
        faults += accounting_journal.faults(entry, accounting_budget.closed_in(self.state))
        for number, line in enumerate(entry["lines"]):
            found = accounting_budget.unknown(line["budgetKey"], [])
            faults += [(f"/lines/{number}/budgetKey", fault) for fault in found]
        if kind == "INVOICE" and entry.get("dueOn", "") < entry["bookedOn"]:
            faults.append(("/dueOn", "een factuur heeft een vervaldag op of na de boekdatum"))
        if kind != "INVOICE" and "dueOn" in entry:
            faults.append(("/dueOn", "alleen een factuur heeft een vervaldag"))
        if kind in _WITH_METHOD and "paymentMethod" not in entry:
            faults.append(("/paymentMethod", "betaalwijze ontbreekt"))
        if kind not in _WITH_METHOD and "paymentMethod" in entry:
            faults.append(("/paymentMethod", "alleen een betaling of terugbetaling heeft een betaalwijze"))
        if kind != "INVOICE":
            invoice = self.state.get("invoice", entry.get("invoiceNumber", ""))
            if invoice is None:
                faults.append(("/invoiceNumber", f"factuur {entry.get('invoiceNumber')} is niet geboekt"))
            elif kind == "PAYMENT" and invoice["reference"] != entry["reference"]:
                faults.append(("/reference", "niet de mededeling van de factuur"))
        return faults


def app(config: Config, state: State) -> Starlette:
    ledger = Ledger(config, state)
    door = Door(state, config.section("accounting").get("token", ""), Contract("accounting.openapi.yaml"))
    payouts = Payouts(state, ledger.tell, config.desk_url("accounting"))
    return Starlette(
        routes=[
            Route("/v1/entries/{id}", door.guarded(ledger.book, schema="Entry"), methods=["PUT"]),
            Route("/v1/entries/{id}", door.guarded(ledger.entry), methods=["GET"]),
            Route("/v1/payouts/{id}", door.guarded(payouts.order, schema="PayoutOrder"), methods=["PUT"]),
            Route("/v1/payouts/{id}", door.guarded(payouts.payout), methods=["GET"]),
            Route("/v1/payouts/{id}", door.guarded(payouts.recall), methods=["DELETE"]),
            *_sim_routes(ledger),
            *payouts.routes(),
            *accounting_journal.routes(state),
            *ledger.callbacks.routes(),
        ],
        lifespan=ledger.callbacks.running,
        exception_handlers={Wrong: refused},
    )


def _sim_routes(ledger: Ledger) -> list[Route]:
    state = ledger.state

    def known(request: Request) -> Json:
        kept = state.get("entry", request.path_params["id"])
        if kept is None:
            raise Wrong("no such entry", 404)
        return kept

    async def entries(request: Request) -> Response:
        reference = request.query_params.get("reference")
        found = [one for one in state.all("entry") if reference in (None, one["entry"]["reference"])]
        return JSONResponse(found)

    async def transfers(_: Request) -> Response:
        return JSONResponse(state.all("transfer"))

    async def transfer(request: Request) -> Response:
        return carried_out(
            request, ledger.config.desk_url("accounting"), ledger.transfer(await told(request))
        )

    async def reject(request: Request) -> Response:
        reason = str((await told(request)).get("reason") or "Ramingsnummer is afgesloten")
        return carried_out(
            request, ledger.config.desk_url("accounting"), ledger.reject(known(request), reason)
        )

    async def execute(request: Request) -> Response:
        return carried_out(request, ledger.config.desk_url("accounting"), ledger.execute(known(request)))

    return [
        Route("/sim/entries", entries),
        Route("/sim/transfers", transfers),
        Route("/sim/transfer", transfer, methods=["POST"]),
        Route("/sim/entries/{id}/reject", reject, methods=["POST"]),
        Route("/sim/entries/{id}/execute", execute, methods=["POST"]),
    ]


def section(config: Config, state: State) -> Markup:
    url = config.url("accounting")
    kept = state.all("entry")
    paid: dict[str, Decimal] = {}
    for one in kept:
        if one["entry"]["type"] in ("PAYMENT", "CREDIT_NOTE"):
            number = one["entry"].get("invoiceNumber", "")
            paid[number] = paid.get(number, Decimal()) + Decimal(one["entry"]["amount"])
    rows = [_row(url, one, paid) for one in reversed(kept[-SHOWN:])]
    transfers = [
        (moment(one["at"]), one["payerName"], one["remittance"], euro(one["amount"]), one["paymentId"])
        for one in reversed(state.all("transfer")[-SHOWN:])
    ]
    form = Markup(
        '<form method="post" action="{}/sim/transfer">'
        '<label>Mededeling <input name="reference" placeholder="+++090/9337/55493+++" required></label> '
        '<label>Bedrag <input name="amount" placeholder="60.00" size="8" required></label> '
        '<label>Betaler <input name="payerName" placeholder="PEETERS AN"></label> '
        "<button>Overschrijven</button></form>"
    ).format(url)
    head = ["Geboekt", "Soort", "Nummer", "Tegenpartij", "Mededeling", "Bedrag", "Stand", ""]
    return join(
        [
            table(head, rows, empty="Nog niets geboekt."),
            Markup("<h3>Overschrijvingen</h3>"),
            form,
            table(["Ontvangen", "Betaler", "Mededeling", "Bedrag", "Nummer"], transfers, empty="Nog geen."),
            accounting_payouts.section(state, url),
            accounting_journal.section(state),
            fold("Meldingen aan Loket", callbacks_table(state, url)),
        ]
    )


def _row(url: str, kept: Json, paid: Mapping[str, Decimal]) -> tuple[Markup | str | None, ...]:
    entry = kept["entry"]
    shown = [tag(kept["status"], "good" if kept["status"] == "BOOKED" else "bad")]
    if entry["type"] == "INVOICE":
        left = Decimal(entry["amount"]) - paid.get(entry["number"], Decimal())
        shown.append(tag(f"open {euro(str(left))}", "wait") if left > 0 else tag("voldaan", "good"))
    if kept.get("executedOn"):
        shown.append(tag(f"uitgevoerd {kept['executedOn']}", "good"))
    orders = []
    if entry["type"] == "REFUND_DUE" and kept["status"] == "BOOKED" and not kept.get("executedOn"):
        orders.append(button(f"{url}/sim/entries/{entry['id']}/execute", "Terugstorten"))
    if kept["status"] == "BOOKED":
        orders.append(button(f"{url}/sim/entries/{entry['id']}/reject", "Afkeuren", kind="danger"))
    return (
        moment(kept["bookedAt"]),
        TYPES[entry["type"]],
        f"{entry['journal']} {entry['number']}",
        entry["counterparty"]["name"],
        _printed(entry["reference"]),
        euro(entry["amount"]),
        join(shown),
        join(orders),
    )


def is_structured(digits: str) -> bool:
    """Twelve digits, the last two of which are the first ten modulo 97, or 97."""
    return bool(re.fullmatch(r"[0-9]{12}", digits)) and int(digits[10:]) == (int(digits[:10]) % 97 or 97)


def _booked(kept: Json) -> Json:
    answer = {"id": kept["entry"]["id"], "status": kept["status"]}
    if kept["status"] == "REJECTED":
        return answer | {"reason": kept["reason"]}
    return answer | {"bookedAt": kept["bookedAt"], "voucher": kept["voucher"]}


def _number(entry: Json) -> str:
    return f"{entry['journal']}/{entry['number']}"


def _printed(digits: str) -> str:
    return f"+++{digits[:3]}/{digits[3:7]}/{digits[7:]}+++"


SYSTEM = System(name="accounting", title="Boekhouding", offset=6, app=app, section=section)
