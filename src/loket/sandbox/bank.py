"""The municipality's bank in small: citizens pay by transfer, and the bank writes the day's statement.

    POST /sim/bank/transfers    {"amount": "60.00", "reference": "+++…+++" or "text": "…", "payer": persona,
                                or "payerName" and "payerIban"; "valueDate"; of money that leaves "out": true;
                                "endToEndId", "returnCode"}        → the movement
    GET  /sim/bank/transfers    all movements, oldest first
    POST /sim/bank/statements   {"form": "coda" (or "camt02", "camt08"), "drop": true to put it in the folder
                                that Loket watches}                → number, name, form, lines, and `content`:
                                the file in base64, as `bankStatementImport` takes it
    GET  /sim/bank/statements   all statements, oldest first
    GET  /sim/bank/statements/{number}/{form}    the file

All at the desk's address. A statement holds what moved since the one before, and begins with its closing
balance: the transfers told here, and those that the accounting package knows of (`/sim/transfer` there, and
the payouts that it had executed or that came back), as they went over the same account.
"""

import base64
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox import bank_files
from loket.sandbox.accounting import AMOUNT, IBAN, is_structured
from loket.sandbox.accounting_notation import euro, today
from loket.sandbox.orders import Wrong, carried_out, told
from loket.sandbox.page import join, moment, table
from loket.sandbox.personas import Citizen, person
from loket.sandbox.state import State, stamp
from loket.sandbox.system import Config

Json = dict[str, Any]

OWN = "BE71096123456769"
FIRST_BALANCE = "250000.00"
SHOWN = 25
SUFFIX = {"coda": "cod", "camt02": "xml", "camt08": "xml"}


class Bank:
    """The account, as the bank keeps it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._section = config.section("bank")
        self.state: State = config.states["desk"]

    def transfer(self, order: Json) -> Json:
        """Money comes, or leaves. Raises `Wrong`."""
        amount = str(order.get("amount", ""))
        if not AMOUNT.fullmatch(amount) or Decimal(amount) == 0:
            raise Wrong("amount: such as 60.00")
        digits = re.sub(r"[+*/ .]", "", str(order.get("reference") or ""))
        if digits and not is_structured(digits):
            raise Wrong("reference: a structured communication; put what is none in text")
        name, iban = _payer(order)
        leaves = str(order.get("out", "")).lower() in {"true", "1", "on"}
        return self._moved(
            {
                "amount": f"-{amount}" if leaves else amount,
                "valueDate": str(order.get("valueDate") or today()),
                "name": name,
                "iban": iban,
                "reference": digits,
                "text": str(order.get("text") or ""),
                "endToEndId": str(order.get("endToEndId") or ""),
                "returnCode": str(order.get("returnCode") or ""),
            }
        )

    def statement(self, order: Json) -> Json:
        """Write a statement of what moved since the last one. Raises `Wrong`."""
        form = str(order.get("form") or "coda")
        if form not in bank_files.FORMS:
            raise Wrong(f"form: {', '.join(bank_files.FORMS)}")
        for movement in self._known_to_accounting():
            if self.state.add("bank-known", movement.pop("key"), {}):
                self._moved(movement)
        earlier = self.state.all("bank-statement")
        listed = sum(len(one["movements"]) for one in earlier)
        kept = {
            "number": len(earlier) + 1,
            "at": stamp(),
            "form": form,
            "opensOn": earlier[-1]["closesOn"] if earlier else today(),
            "closesOn": today(),
            "opening": earlier[-1]["closing"] if earlier else FIRST_BALANCE,
            "movements": self.state.all("bank-movement")[listed:],
        }
        kept["closing"] = str(self.sheet(kept).closing)
        self.state.put("bank-statement", str(kept["number"]), kept)
        answer = self.shown(kept)
        if str(order.get("drop", "")).lower() in {"true", "1", "on"}:
            self._drop(answer["name"], self.file(kept, form))
        return answer

    def shown(self, kept: Json) -> Json:
        """What a script gets of a statement."""
        content = self.file(kept, kept["form"])
        return {
            "number": kept["number"],
            "form": kept["form"],
            "name": f"LINDEBEKE-{kept['closesOn']}-{kept['number']:03}.{SUFFIX[kept['form']]}",
            "lines": len(kept["movements"]),
            "opening": kept["opening"],
            "closing": kept["closing"],
            "content": base64.b64encode(content).decode("ascii"),
        }

    def file(self, kept: Json, form: str) -> bytes:
        try:
            return bank_files.written(form, [self.sheet(kept)])
        except ValueError as fault:
            raise Wrong(str(fault)) from fault

    def sheet(self, kept: Json) -> bank_files.Sheet:
        return bank_files.Sheet(
            iban=self._section.get("iban", OWN),
            number=kept["number"],
            opens_on=date.fromisoformat(kept["opensOn"]),
            closes_on=date.fromisoformat(kept["closesOn"]),
            opening=Decimal(kept["opening"]),
            lines=tuple(_line(one, date.fromisoformat(kept["closesOn"])) for one in kept["movements"]),
        )

    def _moved(self, movement: Json) -> Json:
        number = self.state.count("bank-movement") + 1
        kept = movement | {"bankReference": f"LNDB{number:017}", "at": stamp()}
        self.state.append("bank-movement", kept)
        return kept

    def _known_to_accounting(self) -> Iterator[Json]:
        books = self._config.states["accounting"]
        for one in books.all("transfer"):
            given = one["reference"] or ""
            yield {
                "key": one["paymentId"], "amount": one["amount"], "valueDate": one["valueDate"],
                "name": one["payerName"], "iban": one["payerIban"], "reference": given,
                "text": "" if given else one["remittance"], "endToEndId": "", "returnCode": "",
            }  # fmt: skip
        for one in books.all("payout"):
            order = one["order"]
            there = {
                "name": order["creditor"]["name"], "iban": order["creditor"]["iban"], "reference": "",
                "text": order.get("remittance", ""), "endToEndId": order["endToEndId"], "returnCode": "",
            }  # fmt: skip
            if one.get("executedOn"):
                yield there | {"key": f"{order['id']} out", "amount": f"-{order['amount']}",
                               "valueDate": one["executedOn"]}  # fmt: skip
            if one.get("returnedOn"):
                yield there | {"key": f"{order['id']} back", "amount": one["returnedAmount"],
                               "valueDate": one["returnedOn"], "returnCode": one["reasonCode"]}  # fmt: skip

    def _drop(self, name: str, content: bytes) -> None:
        """Into the folder that Loket watches: under its own name only when it is whole."""
        place = self._section.get("folder")
        if not place:
            raise Wrong("no folder is watched: LOKET_BANK_STATEMENT_FOLDER", 409)
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{name}"
        fresh.write_bytes(content)
        fresh.rename(folder / name)


def account_of(citizen: Citizen) -> str:
    """The account of a persona, for ever the same."""
    number = int(f"539{citizen.insz[-7:]}")
    account = f"{number:010}{number % 97 or 97:02}"
    return f"BE{98 - int(account + '111400') % 97:02}{account}"


def _payer(order: Json) -> tuple[str, str]:
    if key := order.get("payer"):
        found = person(str(key))
        if not isinstance(found, Citizen):
            raise Wrong("payer: no such citizen")
        return found.name, account_of(found)
    return str(order.get("payerName") or "ONBEKENDE BETALER"), str(order.get("payerIban") or IBAN)


def _line(movement: Json, booked_on: date) -> bank_files.Line:
    return bank_files.Line(
        amount=Decimal(movement["amount"]),
        booked_on=booked_on,
        value_on=date.fromisoformat(movement["valueDate"]),
        name=movement["name"],
        iban=movement["iban"],
        reference=movement["reference"],
        text=movement["text"],
        bank_reference=movement["bankReference"],
        end_to_end_id=movement["endToEndId"],
        return_code=movement["returnCode"],
    )


# --- at the desk -----------------------------------------------------------------------------------


def routes(config: Config) -> list[Route]:
    bank = Bank(config)
    back_to = f"{config.urls['desk']}/bank"

    async def transfers(request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse(bank.state.all("bank-movement"))
        return carried_out(request, back_to, bank.transfer(await told(request)))

    async def statements(request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse([bank.shown(one) for one in bank.state.all("bank-statement")])
        return carried_out(request, back_to, bank.statement(await told(request)))

    async def file(request: Request) -> Response:
        kept = bank.state.get("bank-statement", request.path_params["number"])
        form = request.path_params["form"]
        if kept is None or form not in bank_files.FORMS:
            raise Wrong("no such statement", 404)
        name = f"uittreksel-{kept['number']:03}-{form}.{SUFFIX[form]}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(bank.file(kept, form), media_type="application/octet-stream", headers=headers)

    return [
        Route("/sim/bank/transfers", transfers, methods=["GET", "POST"]),
        Route("/sim/bank/statements", statements, methods=["GET", "POST"]),
        Route("/sim/bank/statements/{number}/{form}", file),
    ]


def page(config: Config) -> Markup:
    """The bank's counter: pay, and have the statement made."""
    state = config.states["desk"]
    watched = bool(config.section("bank").get("folder"))
    movements = [
        (moment(one["at"]), one["name"], Markup("<code>{}</code>").format(one["iban"]),
         one["reference"] or one["text"], _euro(one["amount"]))
        for one in reversed(state.all("bank-movement", SHOWN))
    ]  # fmt: skip
    sheets = [
        (str(one["number"]), moment(one["at"]), str(len(one["movements"])), _euro(one["opening"]),
         _euro(one["closing"]), _links(one["number"]))
        for one in reversed(state.all("bank-statement", SHOWN))
    ]  # fmt: skip
    drop = Markup(
        '<label><input type="checkbox" name="drop" value="true" checked> in de bewaakte map</label>'
    )
    return join(
        [
            Markup(
                "<h1>Bank</h1><p>De rekening van de gemeente. Schrijf over als burger, laat dan het"
                " uittreksel van de dag maken: voor Loket in de bewaakte map, of om zelf binnen te"
                " brengen.</p>"
                '<form method="post" action="/sim/bank/transfers" class="inline">'
                '<label>Bedrag <input name="amount" placeholder="60.00" size="8" required></label>'
                '<label>Gestructureerd <input name="reference" placeholder="+++090/9337/55493+++"></label>'
                '<label>of vrije tekst <input name="text"></label>'
                '<label>Betaler <input name="payer" placeholder="an, burger-7"></label>'
                "<button>Overschrijven</button></form>"
                '<form method="post" action="/sim/bank/statements" class="inline">'
                '<label>Vorm <select name="form"><option value="coda">CODA</option>'
                '<option value="camt08">camt.053.001.08</option>'
                '<option value="camt02">camt.053.001.02</option>'
                "</select></label>{}<button>Maak het uittreksel</button></form>"
            ).format(drop if watched else ""),
            Markup("<h2>Uittreksels</h2>"),
            table(("Nummer", "Gemaakt", "Lijnen", "Begin", "Einde", ""), sheets),
            Markup("<h2>Verrichtingen</h2>"),
            table(("Wanneer", "Tegenpartij", "Rekening", "Mededeling", "Bedrag"), movements),
        ]
    )


def _links(number: int) -> Markup:
    return Markup(" ").join(
        Markup('<a href="/sim/bank/statements/{}/{}">{}</a>').format(number, form, form)
        for form in bank_files.FORMS
    )


def _euro(amount: str) -> str:
    return f"-{euro(amount[1:])}" if amount.startswith("-") else euro(amount)
