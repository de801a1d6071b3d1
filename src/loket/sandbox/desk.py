"""The desk: one place to look at the outside world, to be someone in it, and to break it.

Plain pages without scripts: who one can be, what a citizen got, and for each system its state, its last
requests and the switches that make it fail. Everything shown is escaped; forms lead back to where they stood.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from loket.sandbox import advisers, bank, post, roles
from loket.sandbox.acmidm_provider import token_for
from loket.sandbox.faults import MODES, Fault, Faults, Mode, sim_routes
from loket.sandbox.orders import Wrong, refused
from loket.sandbox.page import button, fold, join, moment, page, table, tag
from loket.sandbox.personas import Citizen, Worker, citizens, person, workers
from loket.sandbox.staffing import ROLES, WORD
from loket.sandbox.state import State
from loket.sandbox.system import Config, System

SHOWN = 25
"""Requests on one page."""
BODY_SHOWN = 4_000
WORDS: Mapping[Mode, str] = {
    "refuse": "weigert (403)",
    "error": "is stuk (503)",
    "timeout": "antwoordt niet",
    "slow": "is traag",
    "lose_answer": "doet het, maar het antwoord gaat verloren",
    "duplicate": "doet alles twee keer",
    "malformed": "stuurt een half antwoord",
}


def desk(systems: Iterable[System]) -> System:
    """The desk over these systems."""
    shown = tuple(systems)
    return System(
        name="desk", title="Balie", offset=0, app=lambda config, _: _app(config, shown), watched=False
    )


def _app(config: Config, systems: tuple[System, ...]) -> Starlette:
    known = {system.name: system for system in systems}

    async def front(request: Request) -> Response:
        return _page(config, systems, "Zandbak", _front(config, systems), request)

    async def play(request: Request) -> Response:
        return _page(config, systems, "Meespelen", roles.play(config), request)

    async def at_the_bank(request: Request) -> Response:
        return _page(config, systems, "Bank", bank.page(config), request)

    async def advice(request: Request) -> Response:
        if request.method == "GET":
            body = await advisers.question(config, request.query_params.get("token", ""))
        else:
            form = await request.form()
            body = await advisers.advise(config, {name: str(value) for name, value in form.items()})
        return _page(config, systems, "Advies", body, request)

    async def one_citizen(request: Request) -> Response:
        citizen = person(request.path_params["key"])
        if not isinstance(citizen, Citizen):
            return _nothing(config, systems, "Zo iemand woont hier niet.", request)
        return _page(config, systems, citizen.name, _of_citizen(config, systems, citizen), request)

    async def find(request: Request) -> Response:
        return RedirectResponse(f"/burger/{request.query_params.get('wie', '').strip() or '-'}", 303)

    async def one_worker(request: Request) -> Response:
        role, department = (request.query_params.get(name, "").strip() for name in ("rol", "dienst"))
        worker = person(":".join(filter(None, (WORD, role, department))))
        if not isinstance(worker, Worker):
            return _nothing(config, systems, "Zo iemand werkt hier niet.", request)
        body = Markup('<div class="cards">{}</div><dl><dt>Sleutel</dt><dd>{}</dd></dl>')
        shown = body.format(_card(config, worker), worker.key)
        return _page(config, systems, worker.name, shown, request)

    async def one_system(request: Request) -> Response:
        system = known.get(request.path_params["name"])
        if system is None:
            return _nothing(config, systems, "Zo'n systeem is er niet.", request)
        return _page(config, systems, system.title, _of_system(config, system), request)

    async def break_it(request: Request) -> Response:
        system = known.get(request.path_params["name"])
        if system is None:
            return _nothing(config, systems, "Zo'n systeem is er niet.", request)
        faults = Faults(config.states[system.name])
        form = await request.form()
        if form.get("clear"):
            faults.clear()
            return RedirectResponse(f"/systeem/{system.name}", 303)
        try:
            faults.add(_fault_of({name: str(value).strip() for name, value in form.items()}))
        except ValueError as wrong:
            return _nothing(config, systems, f"Zo'n storing bestaat niet: {wrong}.", request, status=400)
        return RedirectResponse(f"/systeem/{system.name}", 303)

    return Starlette(
        routes=[
            Route("/", front),
            Route("/meespelen", play),
            Route("/bank", at_the_bank),
            Route("/advies", advice, methods=["GET", "POST"]),
            Route("/burger", find),
            Route("/burger/{key}", one_citizen),
            Route("/medewerker", one_worker),
            Route("/systeem/{name}", one_system),
            Route("/systeem/{name}/storing", break_it, methods=["POST"]),
            *[Mount(f"/systeem/{system.name}", routes=_sim(config, system)) for system in systems],
            *post.routes(config.states["desk"]),
            *bank.routes(config),
        ],
        exception_handlers={Wrong: refused},
    )


def _sim(config: Config, system: System) -> list[Route]:
    """A system's switches, and its own routes where it speaks no HTTP itself."""
    state = config.states[system.name]
    own = system.routes(config, state) if system.routes is not None else []
    return [*sim_routes(state), *own]


def _fault_of(form: Mapping[str, str]) -> Fault:
    numbers: dict[str, Any] = {
        "seconds": float(form["seconds"]) if form.get("seconds") else None,
        "count": int(form["count"]) if form.get("count") else None,
        "status": int(form["status"]) if form.get("status") else None,
        "probability": float(form.get("percent") or "100") / 100,
    }
    return Fault.of({"mode": form.get("mode"), "path": form.get("path", "")} | numbers)


def _page(
    config: Config, systems: tuple[System, ...], title: str, body: Markup, request: Request, status: int = 200
) -> Response:
    here = request.url.path
    links = [
        ("/", "Overzicht"),
        ("/meespelen", "Meespelen"),
        ("/bank", "Bank"),
        *((f"/systeem/{system.name}", system.title) for system in systems),
    ]
    navigation = join(
        Markup('<a href="{}"{}>{}</a>').format(
            href, Markup(' aria-current="page"') if href == here else "", label
        )
        for href, label in links
    )
    live = "live" in request.query_params
    again = Markup('<a href="{}">{}</a>').format(
        here if live else f"{here}?live", "Stop verversen" if live else "Ververs vanzelf"
    )
    whole = Markup(
        '<header><p><a href="/"><b>Zandbak van {}</b></a> <span>de buitenwereld in het klein</span></p>'
        '<p>{} <a href="{}/graphql">Loket</a></p></header><nav>{}</nav><main>{}</main>'
    ).format(config.municipality.name, again, config.loket_url, navigation, body)
    return page(title, whole, status=status, refresh_seconds=3 if live else None)


def _nothing(
    config: Config, systems: tuple[System, ...], text: str, request: Request, status: int = 404
) -> Response:
    return _page(config, systems, "Niet gevonden", Markup("<h1>{}</h1>").format(text), request, status)


def _front(config: Config, systems: tuple[System, ...]) -> Markup:
    return Markup(
        "<h1>Wie bent u?</h1>"
        "<p>Meld u aan bij Loket als een van hen, of kopieer een token voor GraphiQL en scripts. Of "
        '<a href="/meespelen">speel mee</a>: zetel in het college, geef advies, betaal uit, bezorg post.</p>'
        "<h2>Burgers</h2><div class='cards'>{}</div>"
        '<form action="/burger" class="inline"><label>Een ander <input name="wie" '
        'placeholder="burger-1 tot burger-99999" required></label>'
        '<button class="quiet">Bekijk</button></form>'
        "<h2>Medewerkers</h2><div class='cards'>{}</div>{}"
        "<h2>Systemen</h2>{}<h2>Wat er net binnenkwam</h2>{}"
    ).format(
        join(_card(config, one) for one in citizens()),
        join(_card(config, one) for one in workers()),
        _another_worker(),
        _overview(config, systems),
        _latest(config, systems),
    )


def _another_worker() -> Markup:
    """Whoever a procedure of one's own needs: a role, and a department as the procedure names it."""
    roles = join(Markup('<option value="{}">{}</option>').format(role, told) for role, told in ROLES.items())
    return Markup(
        '<form action="/medewerker" class="inline"><label>Een ander <select name="rol">{}</select></label>'
        '<label>van <input name="dienst" placeholder="Technische dienst, of leeg: alle diensten"></label>'
        '<button class="quiet">Bekijk</button></form>'
    ).format(roles)


def _card(config: Config, one: Citizen | Worker) -> Markup:
    kind = "citizen" if isinstance(one, Citizen) else "staff"
    name = Markup("{}").format(one.name)
    if isinstance(one, Citizen):
        name = Markup('<a href="/burger/{}">{}</a>').format(one.key, one.name)
    roles = join(tag(role) for role in one.roles) if isinstance(one, Worker) else Markup("")
    return Markup('<article><h3>{}</h3><p class="note">{}</p><p>{}</p>{}</article>').format(
        name, one.note, roles, _sign_in(config, one, kind)
    )


def _sign_in(config: Config, one: Citizen | Worker, kind: str) -> Markup:
    token = token_for(config, config.states["acmidm"], one)
    hint = quote(one.key, safe="")
    link = f"{config.loket_url}/auth/login?audience={kind}&return=/graphql&login_hint={hint}"
    return Markup(
        '<p><a class="button" href="{}">Aanmelden</a></p>'
        "<details><summary>Token</summary><code class='copy'>Bearer {}</code></details>"
    ).format(link, token)


def _overview(config: Config, systems: tuple[System, ...]) -> Markup:
    rows = []
    for system in systems:
        state = config.states[system.name]
        faults = Faults(state).listed()
        mood = join(tag(WORDS[fault.mode], "bad") for fault in faults) or tag("werkt", "good")
        last = state.received(last=1)
        rows.append(
            (
                Markup('<a href="/systeem/{}">{}</a>').format(system.name, system.title),
                Markup("<code>{}</code>").format(config.url(system.name)),
                mood,
                moment(last[0]["at"]) if last else "",
                _quick(system, broken=bool(faults)),
            )
        )
    return table(("Systeem", "Adres", "Stand", "Laatste verzoek", ""), rows)


def _quick(system: System, *, broken: bool) -> Markup:
    action = f"/systeem/{system.name}/storing"
    if broken:
        return button(action, "Herstel", {"clear": "1"})
    return button(action, "Maak stuk", {"mode": "error"}, kind="quiet")


def _latest(config: Config, systems: tuple[System, ...]) -> Markup:
    found = [
        (request, system) for system in systems for request in config.states[system.name].received(last=15)
    ]
    found.sort(key=lambda pair: str(pair[0]["at"]), reverse=True)
    return _requests([(request, system.title) for request, system in found[:15]])


def _of_citizen(config: Config, systems: tuple[System, ...], citizen: Citizen) -> Markup:
    facts = (
        ("Rijksregisternummer", Markup("<code class='copy'>{}</code>").format(citizen.insz)),
        ("Adres", f"{citizen.street} {citizen.number}, {citizen.postal_code} {citizen.city}"),
        ("E-mail", citizen.email or "geen"),
        ("Gsm", citizen.phone or "geen"),
        ("Sleutel", citizen.key),
    )
    drawn = {
        system.name: Markup("<section>{}</section>").format(
            system.citizen(config, config.states[system.name], citizen)
        )
        for system in systems
        if system.citizen is not None
    }
    known = drawn.pop("magda", Markup(""))
    letters = post.box(post.letters_to(config.states["desk"], citizen))
    drawn["post"] = Markup("<section><h3>Brievenbus</h3>{}</section>").format(letters)
    return Markup('<h1>{}</h1><p class="note">{}</p><dl>{}</dl>{}<h2>Wat {} ontving</h2>{}{}').format(
        citizen.name,
        citizen.note,
        join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in facts),
        _sign_in(config, citizen, "citizen"),
        citizen.given_name,
        join(drawn.values()),
        Markup("<h2>Wat de overheid weet</h2>{}").format(known) if known else "",
    )


def _of_system(config: Config, system: System) -> Markup:
    state = config.states[system.name]
    own = system.section(config, state) if system.section is not None else Markup("")
    requests = [(request, "") for request in reversed(state.received(last=SHOWN))]
    return Markup(
        "<h1>{}</h1><p><code>{}</code></p>{}<h2>Storingen</h2>{}<h2>Laatste verzoeken</h2>{}"
    ).format(system.title, config.url(system.name), own, _switches(system, state), _requests(requests))


def _switches(system: System, state: State) -> Markup:
    action = f"/systeem/{system.name}/storing"
    present = Faults(state).listed()
    listed = join(Markup("<li>{}</li>").format(_told(fault)) for fault in present)
    now = Markup('<ul class="bad">{}</ul>{}').format(listed, button(action, "Herstel alles", {"clear": "1"}))
    choices = join(Markup('<option value="{}">{}</option>').format(mode, WORDS[mode]) for mode in MODES)
    return Markup(
        '{}<form method="post" action="{}" class="inline"><label>{} <select name="mode">{}</select></label>'
        '<label>aantal keer <input name="count" type="number" min="1" placeholder="altijd"></label>'
        '<label>seconden <input name="seconds" type="number" min="0" step="0.1" '
        'placeholder="vanzelf"></label>'
        '<label>kans <input name="percent" type="number" min="1" max="100" placeholder="100"> %</label>'
        '<label>alleen pad <input name="path" placeholder="alles"></label>'
        '<button class="quiet">Zet aan</button></form>'
    ).format(now if present else Markup("<p>Geen: alles werkt.</p>"), action, system.title, choices)


def _told(fault: Fault) -> str:
    parts = [WORDS[fault.mode]]
    if fault.seconds is not None:
        parts.append(f"{fault.seconds:g} seconden")
    if fault.count is not None:
        parts.append(f"nog {fault.count} keer")
    if fault.probability < 1:
        parts.append(f"kans {fault.probability:.0%}")
    if fault.path:
        parts.append(f"alleen {fault.path}")
    return ", ".join(parts)


def _requests(found: list[tuple[dict[str, Any], str]]) -> Markup:
    """Requests with the system that got them; without its name where that goes without saying."""
    rows = [
        (
            moment(request["at"]),
            *([title] if title else []),
            Markup("<code>{} {}</code>").format(request["method"], request["path"]),
            _outcome(request),
            f"{request['ms']:g} ms" if request.get("ms") is not None else "",
            fold("inhoud", Markup("<pre>{}</pre>").format(request["body"][:BODY_SHOWN]))
            if request["body"]
            else "",
        )
        for request, title in found
    ]
    system = ["Systeem"] if any(title for _, title in found) else []
    head = ("Wanneer", *system, "Verzoek", "Antwoord", "Duur", "")
    return table(head, rows, empty="Nog geen verzoeken.")


def _outcome(request: Mapping[str, Any]) -> Markup:
    status = request["status"]
    shown = tag("geen", "bad") if status is None else tag(str(status), "bad" if status >= 400 else "good")
    fault = request.get("fault")
    return join([shown, Markup(" "), tag(WORDS[fault], "wait")]) if fault else shown
