"""The Notificaties component in small: puts a message in Mijn Burgerprofiel.

Checks what is known to be checked: mandatory keys of the category, 80 KB a value, an expiry still to come.
The inner shapes of `Bestemmelingen` and `Kanalen` are not public; these are the smallest plausible ones.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.acmidm_provider import holder_of
from loket.sandbox.page import fold, join, moment, table
from loket.sandbox.personas import Citizen, is_insz
from loket.sandbox.state import State, stamp
from loket.sandbox.system import Config, System

SCOPE = "Notificaties"
VALUE_BYTES = 80 * 1024
REQUIRED = ("Id", "AanbiederUri", "Bestemmelingen", "Categorie", "Kanalen", "ProductId", "MerkCode")
CATEGORIES = {
    "DossierGerelateerdBerichtWijzigingDossier": ("DossierNummer", "StatusVlaamseCode", "StatusVlaamseFase"),
}
"""The keys without which a bundle of this category is refused."""
CHANNELS = ("Web", "Email", "Mobile")

Json = Any
"""Whatever a body may hold; it is checked here."""
Problem = tuple[str, str]
"""The field and what is wrong with it."""


def app(config: Config, state: State) -> Starlette:
    def barred(request: Request) -> Response | None:
        holder = holder_of(config, request.headers.get("authorization", ""))
        if holder is None:
            return JSONResponse({"code": "401", "message": "Token ontbreekt of is niet meer geldig"}, 401)
        if SCOPE not in holder["scope"].split():
            return JSONResponse({"code": "403", "message": f"Scope {SCOPE} ontbreekt"}, 403)
        return None

    async def notify(request: Request) -> Response:
        if refused := barred(request):
            return refused
        try:
            bundle = orjson.loads(await request.body())
        except orjson.JSONDecodeError as wrong:
            return _invalid([("", f"geen JSON: {wrong}")])
        problems = list(_problems(bundle))
        if problems:
            return _invalid(problems)
        key = str(bundle["Id"])
        if state.add("bundle", key, {"bundle": bundle, "received_at": stamp(), "repeats": 0}):
            for to in bundle["Bestemmelingen"]:
                state.list_under("of", to["Identificatie"], key)
        else:
            known = state.get("bundle", key) or {}
            state.put("bundle", key, known | {"repeats": known["repeats"] + 1})
        return JSONResponse({"Id": key, "Status": "OK"}, 202)

    async def profile(request: Request) -> Response:
        return JSONResponse(messages(state, request.path_params["insz"]))

    return Starlette(
        routes=[
            Route("/api/v2/notificaties", notify, methods=["POST"]),
            Route("/sim/mbp/{insz}", profile),
        ]
    )


def messages(state: State, insz: str) -> list[dict[str, Any]]:
    """The bundles that this person got, oldest first, each with its keys and values as one object."""
    return [
        one["bundle"]
        | {
            "Waarden": {pair["Sleutel"]: pair["Waarde"] for pair in one["bundle"]["SleutelWaardeParen"]},
            "ReceivedAt": one["received_at"],
            "Repeats": one["repeats"],
        }
        for one in state.listed("of", insz, "bundle")
    ]


def _problems(bundle: Json) -> Iterator[Problem]:
    if not isinstance(bundle, dict):
        yield "", "een bundel is een object"
        return
    for name in REQUIRED:
        if bundle.get(name) in (None, "", []):
            yield name, "verplicht veld ontbreekt"
    category = bundle.get("Categorie")
    if category and category not in CATEGORIES:
        yield "Categorie", f"onbekende categorie {category}"
    expires = bundle.get("Vervaldatum")
    if expires is not None and _has_passed(expires):
        yield "Vervaldatum", "is verstreken of geen datum en tijd"
    for index, to in enumerate(_list(bundle.get("Bestemmelingen"))):
        if not isinstance(to, dict) or not is_insz(str(to.get("Identificatie") or "")):
            yield f"Bestemmelingen[{index}].Identificatie", "geen geldig INSZ"
    for index, channel in enumerate(_list(bundle.get("Kanalen"))):
        if not isinstance(channel, dict) or channel.get("Kanaal") not in CHANNELS:
            yield f"Kanalen[{index}].Kanaal", f"een van {', '.join(CHANNELS)}"
    yield from _problems_of_pairs(bundle.get("SleutelWaardeParen"), CATEGORIES.get(str(category), ()))


def _problems_of_pairs(pairs: Json, mandatory: tuple[str, ...]) -> Iterator[Problem]:
    found = set()
    for index, pair in enumerate(_list(pairs)):
        if not isinstance(pair, dict) or not isinstance(pair.get("Waarde"), str) or not pair.get("Sleutel"):
            yield f"SleutelWaardeParen[{index}]", "een sleutel en een tekst"
            continue
        found.add(pair["Sleutel"])
        if len(pair["Waarde"].encode()) > VALUE_BYTES:
            yield f"SleutelWaardeParen[{index}].Waarde", "groter dan 80 KB"
    for name in mandatory:
        if name not in found:
            yield "SleutelWaardeParen", f"de sleutel {name} is verplicht in deze categorie"


def _list(value: Json) -> list[Any]:
    return value if isinstance(value, list) else []


def _has_passed(text: Json) -> bool:
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return True
    return (at if at.tzinfo else at.replace(tzinfo=UTC)) < datetime.now(UTC)


def _invalid(problems: list[Problem]) -> Response:
    errors = [
        {"code": "1100", "message": text, "description": f"{field}: {text}", "field": field}
        for field, text in problems
    ]
    return JSONResponse(
        {
            "code": "2001",
            "message": "Validatiefouten",
            "description": "De bundel is geweigerd",
            "errors": errors,
        },
        400,
    )


def _citizen(config: Config, state: State, citizen: Citizen) -> Markup:
    rows = [
        (
            moment(one["ReceivedAt"]),
            join(
                [
                    one["Waarden"].get("DossierNaam") or one["Waarden"]["DossierNummer"],
                    Markup("<br>"),
                    one["Waarden"].get("Status") or one["Waarden"]["StatusVlaamseCode"],
                ]
            ),
            one["Waarden"].get("StatusDetail1"),
            fold("sleutels", table(("Sleutel", "Waarde"), one["Waarden"].items())),
        )
        for one in reversed(messages(state, citizen.insz))
    ]
    return Markup("<h3>Mijn Burgerprofiel: berichten</h3>{}").format(
        table(("Wanneer", "Bericht", "Toelichting", ""), rows, empty="Geen berichten.")
    )


def _section(config: Config, state: State) -> Markup:
    bundles = state.all("bundle")
    repeats = sum(one["repeats"] for one in bundles)
    return Markup("<p>{} berichten ontvangen, {} herhalingen.</p>").format(len(bundles), repeats)


SYSTEM = System(
    name="notificaties", title="Notificaties", offset=4, app=app, section=_section, citizen=_citizen
)
