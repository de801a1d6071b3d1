"""The page where a citizen pays, or does not."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from loket.sandbox.page import button, join, page
from loket.sandbox.system import Config
from loket.sandbox.worldline_bank import Bank, instant


def payer_routes(bank: Bank) -> list[Route]:
    """The page, and what is done on it."""

    async def payment_page(request: Request) -> Response:
        token = bank.state.get("token", request.path_params["token"])
        checkout = bank.checkout(token["checkout"]) if token is not None else None
        if checkout is None:
            return page(
                "Betaling",
                Markup("<main><h1>Deze betaalpagina bestaat niet.</h1></main>"),
                kind="card",
                status=404,
            )
        if request.method == "POST" and checkout["status"] == "IN_PROGRESS":
            form = await request.form()
            after = 10.0 if form.get("action") == "pending" else None
            checkout = bank.act(checkout, str(form.get("action", "")), after)
            if checkout["returnUrl"] is not None and checkout["how"] != "expired":
                return RedirectResponse(return_url(checkout), 303)
        if checkout["status"] != "IN_PROGRESS":
            return page("Betaling", _over(checkout), kind="card")
        return page("Betaling", _choice(bank.config, checkout), kind="card")

    path = "/hostedcheckout/PaymentMethods/Selection/{token}"
    return [Route(path, payment_page, methods=["GET", "POST"])]


def _choice(config: Config, checkout: Mapping[str, Any]) -> Markup:
    until = instant(checkout["expiresAt"]).astimezone(ZoneInfo("Europe/Brussels"))
    others = (
        ("pending", "De bank bevestigt pas straks"),
        ("refuse", "De bank weigert"),
        ("cancel", "Ik annuleer"),
        ("expire", "Ik laat de tijd verstrijken"),
    )
    return Markup(
        "<main><h1>Betaling aan {}</h1><p>Mededeling <strong>{}</strong></p>"
        '<p style="font-size:2rem;margin:.5rem 0"><strong>{}</strong></p>{}'
        "<p><small>Deze pagina blijft open tot {}.</small></p>"
        "<details><summary>Het kan ook anders lopen</summary>{}</details>"
        "<p><small>Oefenomgeving: er wordt geen echt geld overgeschreven.</small></p></main>"
    ).format(
        config.municipality.name,
        checkout["reference"] or "(geen)",
        euro(checkout["amount"]),
        button("", "Betalen met Bancontact", {"action": "pay"}),
        until.strftime("%H:%M"),
        join(button("", label, {"action": action}, kind="quiet") for action, label in others),
    )


def _over(checkout: Mapping[str, Any]) -> Markup:
    text = {
        "pay": "Deze betaling is uitgevoerd.",
        "pending": "Deze betaling wordt verwerkt.",
        "authorise": "Deze betaling is toegestaan.",
        "refuse": "Uw bank heeft deze betaling geweigerd.",
        "cancelled": "U hebt deze betaling geannuleerd.",
        "expired": "De tijd om te betalen is verstreken.",
    }[checkout["how"]]
    back = Markup("")
    if checkout["returnUrl"] is not None:
        back = Markup('<p><a href="{}">Terug naar de gemeente</a></p>').format(return_url(checkout))
    return Markup("<main><h1>{}</h1><p>{}</p>{}</main>").format(text, euro(checkout["amount"]), back)


def return_url(checkout: Mapping[str, Any]) -> str:
    """Where the citizen goes from here, with what tells the merchant which checkout it was."""
    parts = urlsplit(str(checkout["returnUrl"]))
    own = [("RETURNMAC", checkout["returnMac"]), ("hostedCheckoutId", checkout["id"])]
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *own])
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))


def euro(cents: int) -> str:
    """As a citizen reads it: € 1.234,50."""
    whole, rest = divmod(cents, 100)
    return f"€ {whole:,}".replace(",", ".") + f",{rest:02}"
