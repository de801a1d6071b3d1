"""DOSIS in small: receives each status of a dossier, checks it at once, processes it a moment later.

Order is the sender's duty: what comes with an older `WijzigingsDatum` than the newest of its dossier is kept,
marked as out of order. What the citizen sees of it in Mijn Burgerprofiel is at `/sim/mbp/{insz}`.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loket.sandbox.acmidm_provider import holder_of
from loket.sandbox.page import join, moment, table, tag
from loket.sandbox.personas import Citizen, is_insz
from loket.sandbox.state import State, stamp
from loket.sandbox.system import Config, System

SCOPE = "DosisImport"
PROCESSING_SECONDS = 0.1
"""Until then a result is 404; `dosis.processing_seconds` of the configuration replaces it."""
SOURCES = ("urn://lindebeke/loket",)
"""The sources that the client is linked to; `dosis.sources` of the configuration replaces them."""
BRUSSELS = ZoneInfo("Europe/Brussels")
PHASES = ("Samenstelling", "Behandeling", "Beslissing", "Beroep", "Uitvoering", "Afgerond")
# fmt: off
CODES = (
    "Geinitieerd", "Aangevraagd", "Ingediend", "DossierOnvolledig", "DossierVolledig", "Ontvankelijk",
    "OnOntvankelijk", "InBehandeling", "KlaarVoorBeslissing", "InWacht", "Beslist", "Goedgekeurd",
    "DeelsGoedgekeurd", "Geweigerd", "Stopgezet", "Stopzetting", "KlaarVoorBetaling", "Betaald",
    "DeelsUitbetaald", "Uitgevoerd", "ErkendVergund", "Aktename", "Gepland", "InOpenbaarOnderzoek",
    "VoorlopigVastgesteld", "DefinitiefVastgesteld", "GerechtelijkIngeleid",
)
# fmt: on
REQUIRED = (
    "Identificatie.Bron",
    "Identificatie.DossierNummer",
    "UploadId",
    "Naam",
    "WijzigingsDatum",
    "Status.VlaamsCode",
    "Status.VlaamsFase",
    "Producten",
    "Agenten",
)

Json = Any
"""Whatever a body may hold; it is checked here."""
Problem = tuple[str, str]
"""The field and what is wrong with it."""


def app(config: Config, state: State) -> Starlette:
    settings = config.section("dosis")
    delay = float(settings.get("processing_seconds", PROCESSING_SECONDS))
    sources = tuple(settings.get("sources", SOURCES))

    def barred(request: Request, source: str | None = None) -> Response | None:
        """Why this caller is not served: no live token (401), or not linked to the source (403)."""
        holder = holder_of(config, request.headers.get("authorization", ""))
        if holder is None:
            return JSONResponse({"code": "401", "message": "Token ontbreekt of is niet meer geldig"}, 401)
        if SCOPE not in holder["scope"].split():
            return JSONResponse({"code": "403", "message": f"Scope {SCOPE} ontbreekt"}, 403)
        if source is not None and source not in sources:
            return JSONResponse({"code": "403", "message": f"Geen toegang tot de bron {source}"}, 403)
        return None

    async def push(request: Request) -> Response:
        try:
            dossier = orjson.loads(await request.body())
        except orjson.JSONDecodeError as wrong:
            return barred(request) or _invalid([("", f"geen JSON: {wrong}")])
        refused = barred(request)
        if refused is not None:
            return refused
        problems = list(_problems(dossier))
        source = _at(dossier, "Identificatie.Bron")
        if isinstance(source, str) and (refused := barred(request, source)):
            return refused
        if problems:
            return _invalid(problems)
        _keep(state, dossier, delay)
        return JSONResponse({"Status": "OK", "UploadId": dossier["UploadId"]})

    async def results(request: Request) -> Response:
        asked = request.query_params
        if refused := barred(request, asked.get("bron")):
            return refused
        found = [
            one
            for one in state.listed("dossier", f"{asked.get('bron')} {asked.get('dossierNummer')}", "upload")
            if _is_processed(one)
        ]
        return JSONResponse([_processed(one) for one in found]) if found else Response(status_code=404)

    async def result(request: Request) -> Response:
        if refused := barred(request):
            return refused
        one = state.get("upload", request.query_params.get("uploadId", ""))
        return JSONResponse(_processed(one)) if one and _is_processed(one) else Response(status_code=404)

    async def faulty(request: Request) -> Response:
        source = request.query_params.get("bron")
        found = [one for one in state.all("upload") if one.get("faults") and _source(one)[0] == source]
        return barred(request, source) or JSONResponse([_processed(one) for one in found])

    async def forget(request: Request) -> Response:
        asked = request.query_params
        if refused := barred(request, asked.get("bron")):
            return refused
        number = f"{asked.get('bron')} {asked.get('dossierNummer')}"
        found = state.listed("dossier", number, "upload")
        for one in found:
            state.delete("upload", str(one["dossier"]["UploadId"]))
        state.delete("dossier", number)
        state.delete("newest", number)
        return Response(status_code=200 if found else 404)

    async def known_sources(request: Request) -> Response:
        return barred(request) or JSONResponse(list(sources))

    async def validation(request: Request) -> Response:
        return barred(request) or JSONResponse({"Codes": list(CODES), "Fases": list(PHASES)})

    async def fail(request: Request) -> Response:
        key = request.path_params["id"]
        one = state.get("upload", key)
        if one is None:
            return Response(status_code=404)
        reason = str((await request.json()).get("reason") or "Verwerking mislukt")
        state.put("upload", key, one | {"faults": [reason]})
        return JSONResponse({"faults": [reason]})

    async def profile(request: Request) -> Response:
        return JSONResponse(timeline(state, request.path_params["insz"]))

    return Starlette(
        routes=[
            Route("/api/v1/dosis/dossiers", push, methods=["POST"]),
            Route("/api/v2/dosis/dossiers", push, methods=["POST"]),
            Route("/api/v1/dosis/dossiers", forget, methods=["DELETE"]),
            Route("/api/v1/dosis/resultaten", results),
            Route("/api/v1/dosis/resultaten/perUploadId", result),
            Route("/api/v1/dosis/resultaten/fouten", faulty),
            Route("/api/v1/dosis/instellingen/validatie", validation),
            Route("/api/v2/dosis/bronnen/uris", known_sources),
            Route("/sim/mbp/{insz}", profile),
            Route("/sim/uploads/{id}/fail", fail, methods=["POST"]),
        ]
    )


def timeline(state: State, insz: str) -> list[dict[str, Any]]:
    """What Mijn Burgerprofiel shows this person: the statuses of all their dossiers, in order of arrival.

    `OutOfOrder`: an earlier arrival of the same dossier carried a later `WijzigingsDatum`.
    """
    return [
        {
            "Bron": one["dossier"]["Identificatie"]["Bron"],
            "DossierNummer": one["dossier"]["Identificatie"]["DossierNummer"],
            "Naam": one["dossier"]["Naam"],
            "UploadId": one["dossier"]["UploadId"],
            "WijzigingsDatum": one["dossier"]["WijzigingsDatum"],
            "Status": one["dossier"]["Status"],
            "Doorverwijzing": one["dossier"].get("Doorverwijzing"),
            "ReceivedAt": one["received_at"],
            "OutOfOrder": one["out_of_order"],
            "Repeats": one["repeats"],
        }
        for one in state.listed("of", insz, "upload")
    ]


def _keep(state: State, dossier: dict[str, Any], delay: float) -> None:
    """Take a status in; an `UploadId` that was here before changes nothing."""
    key = str(dossier["UploadId"])
    known = state.get("upload", key)
    if known is not None:
        state.put("upload", key, known | {"repeats": known["repeats"] + 1})
        return
    changed = _instant(dossier["WijzigingsDatum"])
    number = " ".join(_source({"dossier": dossier}))
    newest = state.get("newest", number)
    late = newest is not None and changed < datetime.fromisoformat(newest["at"])
    if not late:
        state.put("newest", number, {"at": changed.isoformat()})
    state.put(
        "upload",
        key,
        {
            "dossier": dossier,
            "received_at": stamp(),
            "ready_at": time.time() + delay,
            "out_of_order": late,
            "repeats": 0,
        },
    )
    state.list_under("dossier", number, key)
    for agent in dossier["Agenten"]:
        state.list_under("of", agent["Identificatie"], key)


def _problems(dossier: Json) -> Iterator[Problem]:
    if not isinstance(dossier, dict):
        yield "", "een dossier is een object"
        return
    for path in REQUIRED:
        if _at(dossier, path) in (None, "", []):
            yield path, "verplicht veld ontbreekt"
    code, phase = _at(dossier, "Status.VlaamsCode"), _at(dossier, "Status.VlaamsFase")
    if code and code not in CODES:
        yield "Status.VlaamsCode", f"onbekende code {code}"
    if phase and phase not in PHASES:
        yield "Status.VlaamsFase", f"onbekende fase {phase}"
    changed = dossier.get("WijzigingsDatum")
    if changed and not _is_instant(changed):
        yield "WijzigingsDatum", "geen datum en tijd"
    products = dossier.get("Producten")
    if products and (not isinstance(products, list) or len(products) != 1):
        yield "Producten", "er moet precies één product zijn"
    elif products and not str(_at(products[0], "Id") or "").isdigit():
        yield "Producten[0].Id", "geen productnummer"
    yield from _problems_of_action(_at(dossier, "Status.Actie"))
    yield from _problems_of_agents(dossier.get("Agenten"))


def _problems_of_action(action: Json) -> Iterator[Problem]:
    if action is None:
        return
    if not isinstance(_at(action, "ActieNodig"), bool):
        yield "Status.Actie.ActieNodig", "waar of onwaar"
    elif action["ActieNodig"] and not action.get("Actie"):
        yield "Status.Actie.Actie", "verplicht wanneer er een actie nodig is"


def _problems_of_agents(agents: Json) -> Iterator[Problem]:
    for index, agent in enumerate(agents if isinstance(agents, list) else []):
        number = _at(agent, "Identificatie")
        if not isinstance(number, str) or not is_insz(number):
            yield f"Agenten[{index}].Identificatie", "geen geldig INSZ"
        rights = _at(agent, "Toegangsrechten")
        codes = [_at(right, "Code") for right in rights] if isinstance(rights, list) else []
        if codes != ["Raadpleger"]:
            yield f"Agenten[{index}].Toegangsrechten", "een burger heeft het recht Raadpleger"


def _invalid(problems: list[Problem]) -> Response:
    errors = [
        {"code": "1100", "message": text, "description": f"{field}: {text}", "field": field}
        for field, text in problems
    ]
    return JSONResponse(
        {
            "code": "2001",
            "message": "Validatiefouten",
            "description": "Het bericht is geweigerd",
            "errors": errors,
        },
        400,
    )


def _processed(upload: dict[str, Any]) -> dict[str, Any]:
    """What became of an upload; it may be told to fail at this (`/sim/uploads/{id}/fail`)."""
    faults = upload.get("faults", [])
    return {
        "Identificatie": upload["dossier"]["Identificatie"],
        "UploadId": upload["dossier"]["UploadId"],
        "Bestand": None,
        "TijdstipVerwerking": datetime.fromtimestamp(upload["ready_at"], UTC).isoformat(),
        "Succes": not faults,
        "Fout": faults[0] if faults else None,
        "Fouten": [{"Omschrijving": one} for one in faults],
        "VerwerktVoorOpvraging": True,
    }


def _is_processed(upload: dict[str, Any]) -> bool:
    return bool(upload["ready_at"] <= time.time())


def _source(upload: dict[str, Any]) -> tuple[str, str]:
    identification = upload["dossier"]["Identificatie"]
    return str(identification["Bron"]), str(identification["DossierNummer"])


def _at(document: Json, path: str) -> Json:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _is_instant(text: Json) -> bool:
    try:
        _instant(text)
    except (TypeError, ValueError):
        return False
    return True


def _instant(text: str) -> datetime:
    """Without a zone it is Belgian time."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=BRUSSELS)


def _citizen(config: Config, state: State, citizen: Citizen) -> Markup:
    rows = [
        (
            moment(one["WijzigingsDatum"]),
            _linked(one),
            join([tag(one["Status"]["VlaamsCode"], _kind(one)), Markup(" "), one["Status"]["VlaamsFase"]]),
            (one["Status"].get("Actie") or {}).get("Actie") or one["Status"].get("Detail1"),
        )
        for one in reversed(timeline(state, citizen.insz))
    ]
    return Markup("<h3>Mijn Burgerprofiel: status</h3>{}").format(
        table(("Sinds", "Dossier", "Status", "Te doen of toelichting"), rows, empty="Geen dossiers.")
    )


def _kind(one: dict[str, Any]) -> str:
    if one["OutOfOrder"]:
        return "bad"
    return "wait" if (one["Status"].get("Actie") or {}).get("ActieNodig") else "good"


def _linked(one: dict[str, Any]) -> Markup:
    label = f"{one['Naam']} ({one['DossierNummer']})"
    link = str(one["Doorverwijzing"] or "")
    if not link.startswith(("http://", "https://")):
        return Markup("{}").format(label)
    return Markup('<a href="{}">{}</a>').format(link, label)


def _section(config: Config, state: State) -> Markup:
    uploads = state.all("upload")
    late = sum(one["out_of_order"] for one in uploads)
    repeats = sum(one["repeats"] for one in uploads)
    return Markup("<p>{} statussen van {} dossiers ontvangen, {} herhalingen, {}</p>").format(
        len(uploads),
        len({_source(one) for one in uploads}),
        repeats,
        tag(f"{late} buiten volgorde", "bad") if late else "alles in volgorde.",
    )


SYSTEM = System(name="dosis", title="DOSIS", offset=3, app=app, section=_section, citizen=_citizen)
