"""The accounting package's journal and trial balance: what Loket booked, and what the package knows itself.

`/sim/trial-balance` has the balances by account. Its own knowledge are transfers that came in, refunds and
payouts that it carried out: of these Loket books nothing here.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox import accounting_budget
from loket.sandbox.accounting_notation import euro
from loket.sandbox.contract import Json
from loket.sandbox.page import fold, join, table, tag
from loket.sandbox.state import State

SHOWN = 60
"""Rows of the journal on the desk."""
TYPES = {
    "INVOICE": "Factuur",
    "COSTS": "Kosten",
    "CREDIT_NOTE": "Creditnota",
    "PAYMENT": "Betaling",
    "REFUND_DUE": "Terug te betalen",
    "REFUND": "Terugbetaling",
    "WRITE_OFF": "Oninbaar",
    "WRITE_OFF_REVERSED": "Toch inbaar",
    "CHARGEBACK": "Teruggehaald",
    "CHARGEBACK_REVERSED": "Toch niet teruggehaald",
}
_MONEY = {"MODULE", "BANK", "CASH"}
_SIDES: dict[str, tuple[set[str], set[str]]] = {
    "INVOICE": ({"RECEIVABLE"}, {"REVENUE", "VAT"}),
    "COSTS": ({"RECEIVABLE"}, {"COSTS"}),
    "CREDIT_NOTE": ({"REVENUE", "VAT", "COSTS"}, {"RECEIVABLE"}),
    "PAYMENT": (_MONEY, {"RECEIVABLE"}),
    "REFUND_DUE": ({"RECEIVABLE"}, {"REFUNDABLE"}),
    "REFUND": ({"REFUNDABLE"}, _MONEY),
    "WRITE_OFF": ({"LOSS"}, {"RECEIVABLE"}),
    "WRITE_OFF_REVERSED": ({"RECEIVABLE"}, {"LOSS"}),
    "CHARGEBACK": ({"RECEIVABLE"}, {"MODULE"}),
    "CHARGEBACK_REVERSED": ({"MODULE"}, {"RECEIVABLE"}),
}
"""What may stand on the debit and on the credit side of each type."""
_CLASSES = {
    "RECEIVABLE": "4",
    "REVENUE": "47",
    "VAT": "4",
    "COSTS": "7",
    "BANK": "5",
    "MODULE": "45",
    "CASH": "5",
    "REFUNDABLE": "4",
    "LOSS": "6",
}
"""Of which class of the chart (MAR) each is: 4 debts and claims, 5 money, 6 expenses, 7 income."""
_OWN_CODES = {"BANK": "5500000", "RECEIVABLE": "4000000", "REFUNDABLE": "4890000", "SUSPENSE": "4990000"}
"""Until an entry says which accounts the municipality uses."""


# --- what a bookkeeper refuses ----------------------------------------------------------------


def faults(entry: Json, closed: list[str]) -> list[tuple[str, str]]:
    """Where the postings of an entry cannot be booked: pointer and reason."""
    found = []
    amount = Decimal(entry["amount"])
    for side in ("debit", "credit"):
        total = posted(entry, side)
        if total != amount:
            found.append(("/postings", f"{side} telt op tot {total}, niet tot {amount}"))
    for number, posting in enumerate(entry["postings"]):
        found += [(f"/postings/{number}", fault) for fault in _of_posting(entry, posting, closed)]
    vat = sum((Decimal(line["vat"]["amount"]) for line in entry["lines"] if "vat" in line), Decimal())
    if entry["lines"] and vat != _net(entry, "VAT"):
        found.append(("/postings", f"btw van de lijnen is {vat}, geboekt is {_net(entry, 'VAT')}"))
    return found


def posted(entry: Json, side: str, account: str | None = None) -> Decimal:
    """What an entry has on one side, on one account or on all."""
    found = (one for one in entry["postings"] if account in (None, one["account"]))
    return sum((Decimal(one.get(side, "0")) for one in found), Decimal())


def _net(entry: Json, account: str) -> Decimal:
    return abs(posted(entry, "debit", account) - posted(entry, "credit", account))


def _of_posting(entry: Json, posting: Json, closed: list[str]) -> list[str]:
    account, code, key = posting["account"], posting["code"], posting.get("budgetKey")
    side = "debit" if "debit" in posting else "credit"
    found = []
    if account not in _SIDES[entry["type"]][side == "credit"]:
        found.append(f"{account} staat niet op {side} van {entry['type']}")
    elif code[0] not in _CLASSES[account]:
        found.append(f"rekening {code} is geen rekening voor {account}")
    if Decimal(posting[side]) == 0:
        found.append("een boeking is nul")
    if (account == "REVENUE") != (key is not None):
        found.append("een budgetsleutel staat bij opbrengsten, en alleen daar")
    if key is not None:
        found += accounting_budget.unknown(key, closed)
        if key.get("account", code) != code:
            found.append(f"rekening {code} is niet die van de budgetsleutel")
    elif code in closed:
        found.append(f"rekening {code} is afgesloten")
    return found


# --- the books --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """One line of the journal; `amount` above zero is debit, below is credit."""

    on: str
    voucher: str
    what: str
    account: str
    code: str
    amount: Decimal
    said: str = ""


def balances(state: State) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    """Debit and credit by code and account, in the order of the chart."""
    found: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for one in journal(state):
        debit, credit = found.get((one.code, one.account), (Decimal(), Decimal()))
        found[one.code, one.account] = (
            debit + max(one.amount, Decimal()),
            credit - min(one.amount, Decimal()),
        )
    return dict(sorted(found.items()))


def journal(state: State) -> list[Side]:
    """All that is booked, by day; rejected entries are not in the books."""
    kept = [one for one in state.all("entry") if one["status"] == "BOOKED"]
    told = [side for one in kept for side in _told(one)]
    codes = _OWN_CODES | {one.account: one.code for one in told if one.account in _OWN_CODES}
    own = [*_transfers(state, kept, codes), *_executed(kept, codes), *_payouts(state, codes)]
    return sorted([*told, *own], key=lambda one: one.on)


def _told(kept: Json) -> Iterator[Side]:
    entry = kept["entry"]
    for one in entry["postings"]:
        amount = Decimal(one.get("debit", "0")) - Decimal(one.get("credit", "0"))
        what = f"{TYPES[entry['type']]} {entry['number']}"
        said = one.get("description", "")
        yield Side(entry["bookedOn"], kept["voucher"], what, one["account"], one["code"], amount, said)


def _transfers(state: State, kept: list[Json], codes: dict[str, str]) -> Iterator[Side]:
    """What came in by transfer, unless Loket had it of the bank and told it."""
    by_loket = Counter(
        (one["entry"]["reference"], one["entry"]["amount"])
        for one in kept
        if one["entry"]["type"] == "PAYMENT" and one["entry"]["paymentMethod"] == "TRANSFER"
    )
    owed = {one["entry"]["reference"] for one in kept if one["entry"]["type"] == "INVOICE"}
    for one in state.all("transfer"):
        name = (one["reference"], one["amount"])
        if by_loket[name] > 0:
            by_loket[name] -= 1
            continue
        other = "RECEIVABLE" if one["reference"] in owed else "SUSPENSE"
        yield from _moved(one["valueDate"], one["paymentId"], "BANK", other, Decimal(one["amount"]), codes)


def _executed(kept: list[Json], codes: dict[str, str]) -> Iterator[Side]:
    for one in kept:
        if one.get("executedOn"):
            amount = Decimal(one["entry"]["amount"])
            yield from _moved(one["executedOn"], one["voucher"], "REFUNDABLE", "BANK", amount, codes)


def _payouts(state: State, codes: dict[str, str]) -> Iterator[Side]:
    for kept in state.all("payout"):
        if kept["status"] not in ("EXECUTED", "RETURNED"):
            continue
        order, voucher = kept["order"], kept["order"]["endToEndId"]
        left = [
            Side(kept["executedOn"], voucher, "Uitbetaling", "BANK", codes["BANK"], -Decimal(order["amount"]))
        ]
        for line in order["lines"]:
            premium = order["kind"] == "PREMIUM"
            account = "GRANTS" if premium else "REFUNDABLE"
            code = line["budgetKey"]["account"] if premium else codes[account]
            left.append(
                Side(kept["executedOn"], voucher, "Uitbetaling", account, code, Decimal(line["amount"]))
            )
        yield from left
        if kept["status"] == "RETURNED":
            for one in left:
                yield Side(kept["returnedOn"], voucher, "Kwam terug", one.account, one.code, -one.amount)


def _moved(
    on: str, voucher: str, to: str, out_of: str, amount: Decimal, codes: dict[str, str]
) -> Iterator[Side]:
    yield Side(on, voucher, "Eigen kennis", to, codes[to], amount)
    yield Side(on, voucher, "Eigen kennis", out_of, codes[out_of], -amount)


# --- shown ------------------------------------------------------------------------------------


def routes(state: State) -> list[Route]:
    async def trial_balance(_: Request) -> Response:
        return JSONResponse(
            [
                {"code": code, "account": account, "debit": str(debit), "credit": str(credit)}
                for (code, account), (debit, credit) in balances(state).items()
            ]
        )

    return [Route("/sim/trial-balance", trial_balance)]


def section(state: State) -> Markup:
    """Journal and trial balance at the desk."""
    books = journal(state)
    rows = [
        (one.on, one.voucher, one.what, f"{one.code} {one.account}", *_columns(one.amount), one.said)
        for one in reversed(books[-SHOWN:])
    ]
    head = ["Datum", "Stuk", "Wat", "Rekening", "Debet", "Credit", "Omschrijving"]
    return join(
        [
            Markup("<h3>Proef- en saldibalans</h3>"),
            _trial_balance(state),
            fold("Dagboek", table(head, rows, empty="Nog niets geboekt.")),
        ]
    )


def _trial_balance(state: State) -> Markup:
    found = balances(state)
    rows: list[tuple[Markup | str, ...]] = [
        (code, account, euro(str(debit)), euro(str(credit)), *_columns(debit - credit))
        for (code, account), (debit, credit) in found.items()
    ]
    debit = sum((one for one, _ in found.values()), Decimal())
    credit = sum((one for _, one in found.values()), Decimal())
    if rows:
        equal = tag("in evenwicht", "good") if debit == credit else tag("niet in evenwicht", "bad")
        rows.append(
            ("", Markup("<b>Totaal</b> {}").format(equal), euro(str(debit)), euro(str(credit)), "", "")
        )
    head = ["Rekening", "", "Debet", "Credit", "Saldo debet", "Saldo credit"]
    return table(head, rows, empty="Nog niets geboekt.")


def _columns(amount: Decimal) -> tuple[str, str]:
    """Debit and credit of an amount that is one of both."""
    return (euro(str(amount)), "") if amount > 0 else ("", euro(str(-amount)) if amount else "")
