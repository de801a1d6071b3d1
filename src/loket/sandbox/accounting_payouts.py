"""The accounting package's order book of payouts, and the bank behind it.

`/sim/payouts` is the book. `/sim/payouts/{id}/execute`, `…/reject` and `…/return` are the bank's work; `by`
says how Loket hears of it: `json` (a notice of its own), `pain002` (the bank's file) or `silent` (not at all,
until it asks). `/sim/auto` does the same with every new order, at once.
"""

import base64
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox import accounting_budget, payment_files
from loket.sandbox.accounting_notation import euro, instant, today
from loket.sandbox.contract import Json, Problem
from loket.sandbox.orders import Wrong, carried_out, told
from loket.sandbox.page import button, fold, join, moment, table, tag
from loket.sandbox.state import State

Tell = Callable[[str, dict[str, Any]], None]
"""Type and data of a notice to Loket."""

SHOWN = 40
"""Rows on the desk."""
WAYS = ("json", "pain002", "silent")
OUTCOMES = ("execute", "reject", "return", "refuse")
"""What `/sim/auto` may do with an order; `refuse` is the package itself, in its answer to the order."""
NOT_AUTOMATIC: Json = {"on": False, "outcome": "execute", "by": "json", "reasonCode": "AC04"}
_COLOURS = {"ACCEPTED": "wait", "EXECUTED": "good"}
_KINDS = {"PREMIUM": "Premie", "REFUND": "Terugbetaling"}
_WORDS = {"json": "melding", "pain002": "pain.002", "silent": "zwijgend"}


class Payouts:
    """Orders as they came, what became of them, and the notices about it."""

    def __init__(self, state: State, tell: Tell, back_to: str) -> None:
        self.state = state
        self._tell = tell
        self._back_to = back_to

    def order(self, request: Request, order: Json) -> tuple[int, Json]:
        """Put one order in the book, or find it there. Raises `Problem`."""
        if order["id"] != request.path_params["id"]:
            fault = {"pointer": "/id", "detail": "not the id of the path"}
            raise Problem(400, "malformed", "The request does not follow the contract", errors=[fault])
        earlier = self.state.get("payout", order["id"])
        if earlier is not None:
            if earlier["order"] != order:
                raise Problem(409, "payout-exists", "The payout was ordered with another content")
            return 200, _answer(earlier)
        file = self._checked(order)
        kept: Json = {
            "order": order,
            "status": "ACCEPTED",
            "acceptedAt": instant(),
            "messageId": file.message_id,
        }
        auto = self.auto()
        if auto["on"] and auto["outcome"] == "refuse":
            kept |= {"status": "REJECTED", "rejectedOn": today(), "reason": "Het krediet is opgebruikt"}
        self.state.put("payout", order["id"], kept)
        self.state.put("end-to-end", order["endToEndId"], {"payout": order["id"]})
        self.state.put("message", file.message_id, {"payout": order["id"]})
        answer = _answer(kept)
        if auto["on"] and kept["status"] == "ACCEPTED":
            self._by_itself(kept, auto)
        return 201, answer

    def payout(self, request: Request, _: Json) -> tuple[int, Json]:
        return 200, _answer(self._asked(request))

    def recall(self, request: Request, _: Json) -> tuple[int, Json]:
        kept = self._asked(request)
        if kept["status"] in ("EXECUTED", "RETURNED"):
            raise Problem(409, "payout-executed", "The payout was executed")
        if kept["status"] == "ACCEPTED":
            kept = self._keep(kept, status="CANCELLED", cancelledAt=instant())
        return 200, _answer(kept)

    def execute(self, kept: Json, by: str = "json") -> Json:
        """The bank pays. Raises `Wrong`."""
        _still(kept, "ACCEPTED")
        kept = self._keep(kept, status="EXECUTED", executedOn=today())
        order = kept["order"]
        data = {"amount": order["amount"], "currency": "EUR", "executedOn": kept["executedOn"]}
        self._say(kept, by, "payout.executed", data)
        return kept

    def reject(self, kept: Json, code: str, reason: str = "", by: str = "json") -> Json:
        """The bank refuses. Raises `Wrong`."""
        _still(kept, "ACCEPTED")
        why = {"reasonCode": code} | ({"reason": reason} if reason else {})
        kept = self._keep(kept, status="REJECTED", rejectedOn=today(), **why)
        self._say(kept, by, "payout.rejected", why)
        return kept

    def give_back(self, kept: Json, code: str, amount: str = "", by: str = "json") -> Json:
        """The creditor's bank sends the money back, some days later. Raises `Wrong`."""
        _still(kept, "EXECUTED")
        amount = amount or kept["order"]["amount"]
        if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{2}", amount):
            raise Wrong("amount: such as 60.00")
        if not 0 < Decimal(amount) <= Decimal(kept["order"]["amount"]):
            raise Wrong("amount: no more than was paid")
        if by == "pain002":
            raise Wrong("a pain.002 does not tell of returns")
        kept = self._keep(kept, status="RETURNED", returnedOn=today(), returnedAmount=amount, reasonCode=code)
        data = {"reasonCode": code, "amount": amount, "currency": "EUR", "returnedOn": kept["returnedOn"]}
        self._say(kept, by, "payout.returned", data)
        return kept

    def auto(self) -> Json:
        return self.state.get("payout-rule", "auto") or NOT_AUTOMATIC

    def routes(self) -> list[Route]:
        async def listed(_: Request) -> Response:
            return JSONResponse(self.state.all("payout"))

        async def auto(request: Request) -> Response:
            if request.method == "GET":
                return JSONResponse(self.auto())
            self.state.put("payout-rule", "auto", _rule(self.auto() | await told(request)))
            return carried_out(request, self._back_to, self.auto())

        async def act(request: Request) -> Response:
            order = await told(request)
            kept = self.state.get("payout", request.path_params["id"])
            if kept is None:
                raise Wrong("no such payout", 404)
            by, code = _way(order), str(order.get("reasonCode") or "AC04")
            match request.path_params["what"]:
                case "execute":
                    done = self.execute(kept, by)
                case "reject":
                    done = self.reject(kept, code, str(order.get("reason") or ""), by)
                case "return":
                    done = self.give_back(kept, code, str(order.get("amount") or ""), by)
                case other:
                    raise Wrong(f"{other}: execute, reject or return", 404)
            return carried_out(request, self._back_to, done)

        return [
            Route("/sim/payouts", listed),
            Route("/sim/auto", auto, methods=["GET", "PUT", "POST"]),
            *accounting_budget.routes(self.state),
            Route("/sim/payouts/{id}/{what}", act, methods=["POST"]),
        ]

    def _asked(self, request: Request) -> Json:
        kept = self.state.get("payout", request.path_params["id"])
        if kept is None:
            raise Problem(404, "payout-unknown", "No payout with this id")
        return kept

    def _checked(self, order: Json) -> payment_files.PaymentFile:
        """What a bookkeeper refuses although it is well formed. Raises `Problem`."""
        try:
            file = payment_files.read(order["pain001"]["version"], order["pain001"]["content"])
        except ValueError as wrong:
            faults = [("/pain001/content", str(wrong))]
            raise _unpayable(faults) from wrong
        closed = accounting_budget.closed_in(self.state)
        faults = [*_faults(order), *accounting_budget.faults(order, closed)]
        faults += [("/pain001/content", fault) for fault in file.differences(order)]
        if faults:
            raise _unpayable(faults)
        if self.state.get("end-to-end", order["endToEndId"]) is not None:
            raise Problem(409, "end-to-end-id-used", "The EndToEndId belongs to another payout")
        if self.state.get("message", file.message_id) is not None:
            raise Problem(409, "message-id-used", "The file's MsgId was used before")
        return file

    def _by_itself(self, kept: Json, auto: Json) -> None:
        if auto["outcome"] == "reject":
            self.reject(kept, auto["reasonCode"], by=auto["by"])
            return
        kept = self.execute(kept, auto["by"])
        if auto["outcome"] == "return":
            self.give_back(kept, auto["reasonCode"], by="silent" if auto["by"] == "silent" else "json")

    def _keep(self, kept: Json, **changes: str) -> Json:
        kept = kept | changes
        self.state.put("payout", kept["order"]["id"], kept)
        return kept

    def _say(self, kept: Json, by: str, kind: str, data: dict[str, Any]) -> None:
        who = {"payoutId": kept["order"]["id"]}
        if by == "json":
            self._tell(kind, who | data)
        elif by == "pain002":
            report = payment_files.report(kept["order"], kept["messageId"], kept["status"], data)
            self._tell("payout.status", who | {"pain002": base64.b64encode(report).decode()})


def section(state: State, url: str) -> Markup:
    """The order book at the desk."""
    auto = state.get("payout-rule", "auto") or NOT_AUTOMATIC
    now = f"{auto['outcome']} ({_WORDS[auto['by']]})" if auto["on"] else "uit"
    switches = [
        button(f"{url}/sim/auto", "Zet uit", {"on": "false"}, kind="quiet")
        if auto["on"]
        else button(
            f"{url}/sim/auto", "Voer alles meteen uit", {"on": "true", "outcome": "execute", "by": "json"}
        )
    ]
    rows = [_row(url, one) for one in reversed(state.all("payout", SHOWN))]
    head = ["Besteld", "Soort", "Zaak", "Begunstigde", "Bedrag", "Goedgekeurd door", "Stand", ""]
    return join(
        [
            Markup("<h3>Uitbetalingen</h3><p>Automatisch: {} {}</p>").format(now, join(switches)),
            table(head, rows, empty="Nog niets besteld."),
        ]
    )


def _row(url: str, kept: Json) -> tuple[Markup | str | None, ...]:
    order = kept["order"]
    why = kept.get("reasonCode") or kept.get("reason") or ""
    return (
        moment(kept["acceptedAt"]),
        _KINDS[order["kind"]],
        order["caseReference"],
        Markup("{}<br><code>{}</code>").format(order["creditor"]["name"], order["creditor"]["iban"]),
        join([Markup("{}<br>").format(euro(order["amount"])), _booked(order)]),
        ", ".join(f"{one['name']} ({one['role']})" for one in order["approvals"]),
        join([tag(f"{kept['status']} {why}".strip(), _COLOURS.get(kept["status"], "bad"))]),
        join([*_buttons(f"{url}/sim/payouts/{order['id']}", kept["status"]), _file(order)]),
    )


def _booked(order: Json) -> Markup:
    """On which keys, where the bookkeeper reads them."""
    lines = [
        Markup("{} {}<br>").format(" ".join(line["budgetKey"].values()), euro(line["amount"]))
        for line in order["lines"]
    ]
    return fold("Budgetsleutels", join(lines))


def _buttons(at: str, status: str) -> list[Markup]:
    if status == "ACCEPTED":
        return [
            button(f"{at}/execute", "Uitvoeren"),
            button(f"{at}/execute", "Uitvoeren (pain.002)", {"by": "pain002"}, kind="quiet"),
            button(f"{at}/execute", "Uitvoeren, zwijgend", {"by": "silent"}, kind="quiet"),
            button(f"{at}/reject", "Weigeren: AC01", {"reasonCode": "AC01"}, kind="danger"),
            button(f"{at}/reject", "Weigeren (pain.002)", {"by": "pain002"}, kind="danger"),
        ]
    if status == "EXECUTED":
        return [button(f"{at}/return", "Geld komt terug: AC04", {"reasonCode": "AC04"}, kind="danger")]
    return []


def _file(order: Json) -> Markup:
    file = base64.b64decode(order["pain001"]["content"]).decode("utf-8", "replace")
    return fold(order["pain001"]["version"], Markup("<pre>{}</pre>").format(file))


def _faults(order: Json) -> list[tuple[str, str]]:
    faults = []
    if Decimal(order["amount"]) == 0:
        faults.append(("/amount", "bedrag is nul"))
    if not is_iban(order["creditor"]["iban"]):
        faults.append(("/creditor/iban", "rekeningnummer klopt niet"))
    names = [one["name"] for one in order["approvals"]]
    if names[-1] in names[:-1]:
        faults.append(("/approvals", "wie vroeg kan niet goedkeuren: vier ogen"))
    return faults


def is_iban(text: str) -> bool:
    """Modulo 97 over letters as numbers; for Belgium the length and the account's own check too."""
    if not re.fullmatch("[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", text):
        return False
    number = "".join(str("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(one)) for one in text[4:] + text[:4])
    if int(number) % 97 != 1:
        return False
    account = text[4:]
    return not text.startswith("BE") or (
        re.fullmatch("[0-9]{12}", account) is not None and int(account[10:]) == (int(account[:10]) % 97 or 97)
    )


def _unpayable(faults: list[tuple[str, str]]) -> Problem:
    errors = [{"pointer": pointer, "detail": detail} for pointer, detail in faults]
    return Problem(422, "unpayable", "The payout cannot be ordered", errors[0]["detail"], errors)


def _answer(kept: Json) -> Json:
    order = kept["order"]
    known = {"id": order["id"], "endToEndId": order["endToEndId"], "amount": order["amount"]}
    return known | {name: value for name, value in kept.items() if name not in ("order", "messageId")}


def _still(kept: Json, status: str) -> None:
    if kept["status"] != status:
        raise Wrong(f"it is {kept['status']}, not {status}", 409)


def _way(order: Mapping[str, Any]) -> str:
    by = str(order.get("by") or "json")
    if by not in WAYS:
        raise Wrong(f"by: {', '.join(WAYS)}")
    return by


def _rule(order: Mapping[str, Any]) -> Json:
    if order["outcome"] not in OUTCOMES:
        raise Wrong(f"outcome: {', '.join(OUTCOMES)}")
    on = str(order["on"]).lower() in ("true", "1", "on")
    return {"on": on, "outcome": order["outcome"], "by": _way(order), "reasonCode": str(order["reasonCode"])}
