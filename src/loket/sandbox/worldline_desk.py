"""What the desk shows of Worldline: payments and refunds, and what the bank makes of them."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from loket.sandbox.callbacks import callbacks_table
from loket.sandbox.page import button, fold, join, moment, table, tag
from loket.sandbox.state import State, now
from loket.sandbox.system import Config
from loket.sandbox.worldline_bank import STANDINGS, instant
from loket.sandbox.worldline_page import euro

SHOWN = 30
"""Rows on the desk."""


def section(config: Config, state: State) -> Markup:
    url = config.url("worldline")
    checkouts = [
        (
            moment(checkout["createdAt"]),
            checkout["reference"],
            euro(checkout["amount"]),
            _fate(url, state, checkout),
            Markup('<a href="{}/hostedcheckout/PaymentMethods/Selection/{}">Betaalpagina</a>').format(
                url, checkout["token"]
            ),
        )
        for checkout in reversed(state.all("checkout")[-SHOWN:])
    ]
    refunds = [
        (
            moment(refund["createdAt"]),
            refund["reference"],
            euro(refund["amount"]),
            tag(STANDINGS[refund["standing"]].status, "good" if refund["standing"] == "refunded" else "wait"),
            join(
                button(f"{url}/sim/refunds/{refund['id']}/settle", label, {"outcome": outcome}, kind="quiet")
                for outcome, label in (("refunded", "Uitvoeren"), ("rejected", "Weigeren"))
                if refund["standing"] == "refund_requested"
            ),
        )
        for refund in reversed(state.all("refund")[-SHOWN:])
    ]
    return join(
        [
            table(["Gemaakt", "Referentie", "Bedrag", "Stand", ""], checkouts, empty="Nog geen betalingen."),
            Markup("<h3>Terugbetalingen</h3>"),
            table(["Gevraagd", "Referentie", "Bedrag", "Stand", ""], refunds, empty="Geen terugbetalingen."),
            fold("Webhooks naar Loket", callbacks_table(state, url)),
        ]
    )


def _fate(url: str, state: State, checkout: Mapping[str, Any]) -> Markup:
    payment = state.get("payment", checkout["paymentId"] or "")
    if payment is None:
        over = checkout["status"] != "IN_PROGRESS" or instant(checkout["expiresAt"]) <= now()
        return tag("CANCELLED_BY_CONSUMER", "bad") if over else tag("IN_PROGRESS", "wait")
    colour = {"captured": "good", "capture_requested": "wait", "authorised": "wait"}.get(
        payment["standing"], "bad"
    )
    standing = STANDINGS[payment["standing"]]
    shown = tag(f"{standing.status} ({standing.code})", colour)
    if payment["standing"] == "captured":
        taken = f"{url}/sim/payments/{payment['id']}/chargeback"
        back = button(taken, "Bank haalt terug", kind="quiet")
        again = button(taken, "Bank geeft weer", {"reversed": "true"}, kind="quiet")
        return join([shown, Markup(" "), back, again])
    if payment["standing"] != "capture_requested":
        return shown
    settle = f"{url}/sim/payments/{payment['id']}/settle"
    outcomes = (("captured", "Bank bevestigt"), ("rejected", "Bank weigert"))
    choice = (button(settle, label, {"outcome": outcome}, kind="quiet") for outcome, label in outcomes)
    return join([shown, Markup(" "), *choice])
