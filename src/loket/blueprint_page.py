"""The live blueprint as a page for staff, in the form of the original document: `/blueprint/<procedure>`.

Plain HTML made on the server, without JavaScript; the one style sheet stands in the page and is allowed by
its hash. Whoever is not signed in goes to ACM/IDM first; for whoever may not read it there is no such page.
"""

import base64
import hashlib
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from loket import blueprint, identity
from loket.app import Loket
from loket.blueprint import Blueprint, Figures
from loket.blueprint_words import WORDS
from loket.definition import Definition, Phase, Text
from loket.errors import Failed, Refused
from loket.records import Feeling
from loket.terms import BRUSSELS
from loket.work import Actor

STYLE = (Path(__file__).parent / "blueprint_page.css").read_text("utf-8")
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Vary": "Accept-Language, Authorization, Cookie",
}
FACES = {Feeling.HAPPY: "M8 14q4 5 8 0", Feeling.NEUTRAL: "M8 15.5h8", Feeling.UNHAPPY: "M8 17q4 -5 8 0"}
"""The mouth of each, as a path in a face of 24 by 24."""


def routes(loket: Loket) -> list[Route]:
    def door(
        answer: Callable[[Loket, Request, Actor], Coroutine[Any, Any, Response]],
    ) -> Callable[..., Any]:
        async def endpoint(request: Request) -> Response:
            try:
                found = await identity.actor_of(loket, request.headers)
            except Refused:
                return _nothing(loket, request, 401)
            except Failed:
                return _nothing(loket, request, 503)
            if found is None:
                back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                there = urlencode({"audience": "staff", "return": back})
                return RedirectResponse(f"/auth/login?{there}", 303, headers={"Cache-Control": "no-store"})
            language = found.actor.language if found.actor.language in WORDS else "nl"
            return await answer(loket, request, replace(found.actor, language=language))

        return endpoint

    return [
        Route("/blueprint", door(_index), methods=["GET"]),
        Route("/blueprint/{procedure}", door(_blueprint), methods=["GET"]),
    ]


async def _index(loket: Loket, request: Request, actor: Actor) -> Response:
    """The procedures whose blueprint this member of staff may read."""
    keys = sorted({key for key, _ in loket.procedures})
    mine = [one for key in keys if (one := _readable(loket, key, actor)) is not None]
    if not mine:
        return _nothing(loket, request, 404)
    say = _words(actor.language)
    items = "".join(
        f'<li><a href="/blueprint/{escape(one.key)}">{escape(one.title.get(actor.language))}</a>'
        f" <span>{escape(one.department.get(actor.language))}</span></li>"
        for one in mine
    )
    return _page(loket, actor.language, say["blueprints"], f'<ul class="index">{items}</ul>')


async def _blueprint(loket: Loket, request: Request, actor: Actor) -> Response:
    definition = _readable(loket, request.path_params["procedure"], actor)
    if definition is None:
        return _nothing(loket, request, 404)
    say = _words(actor.language)
    period = _Period.asked(request)
    today = datetime.now(BRUSSELS).date()
    found = await blueprint.read(loket.database, definition, period.first, period.last, today=today)
    title = f"{say['blueprint']}: {definition.title.get(actor.language)}"
    body = "".join(
        (
            _about(found, actor.language),
            _chooser(period, say),
            _whole(found.whole, actor.language),
            _table(found, actor.language),
            _source(found, say),
        )
    )
    return _page(loket, actor.language, title, body, 400 if period.faulty else 200)


def _readable(loket: Loket, key: str, actor: Actor) -> Definition | None:
    definition = blueprint.holding(loket.procedures, key, datetime.now(BRUSSELS).date())
    return definition if definition is not None and blueprint.may_read(actor, definition) else None


@dataclass(frozen=True)
class _Period:
    first: date | None = None
    last: date | None = None
    faulty: bool = False

    @classmethod
    def asked(cls, request: Request) -> "_Period":
        """What the form says; all time where it makes no sense."""
        try:
            days = [request.query_params.get(name, "").strip() for name in ("from", "to")]
            first, last = (date.fromisoformat(one) if one else None for one in days)
        except ValueError:
            return cls(faulty=True)
        if first is not None and last is not None and last < first:
            return cls(faulty=True)
        return cls(first, last)


# --- parts of the page ------------------------------------------------------------------------


def _about(found: Blueprint, language: str) -> str:
    definition, say = found.definition, _words(language)
    said = [definition.department.get(language), f"{say['version']} {definition.version}"]
    return f'<p class="about">{escape(" · ".join(said))}</p>'


def _chooser(period: _Period, say: dict[str, str]) -> str:
    first = period.first.isoformat() if period.first else ""
    last = period.last.isoformat() if period.last else ""
    shown = f"{_day(period.first) or say['beginning']} – {_day(period.last) or say['now']}"
    fault = f'<p class="fault" role="alert">{escape(say["faulty"])}</p>' if period.faulty else ""
    return (
        f'{fault}<form method="get"><p>{escape(say["period"])}: <strong>{escape(shown)}</strong></p>'
        f'<label>{escape(say["from"])} <input type="date" name="from" value="{first}"></label>'
        f'<label>{escape(say["to"])} <input type="date" name="to" value="{last}"></label>'
        f"<button>{escape(say['show'])}</button>"
        f'<a href="/blueprint">{escape(say["others"])}</a></form>'
    )


def _whole(figures: Figures, language: str) -> str:
    """The case as a whole, in one line above the phases."""
    say = _words(language)
    rows = [
        *_cases(figures, language),
        *_took(figures, language),
        *_by_hand(figures, language),
        *_messages(figures, language),
        *_effects(figures, language),
        *_overdue(figures, language),
    ]
    faces = "".join(
        f"<span>{_face(one, say)} {_number(getattr(figures, one.lower()), language)}</span>"
        for one in Feeling
    )
    rows.append((say["experience"], f'<span class="faces">{faces}</span>'))
    title = escape(say["whole"])
    return f'<section class="whole" aria-label="{title}"><h2>{title}</h2>{_figures(rows)}</section>'


def _table(found: Blueprint, language: str) -> str:
    say, phases = _words(language), found.phases
    heads = "".join(
        f'<th scope="col"><span class="title">{escape(phase.title.get(language))}</span>'
        f"{_figures(_cases(figures, language))}</th>"
        for phase, figures in phases
    )
    caption = f"{say['blueprint']}: {found.definition.title.get(language)}. {say['caption']}"
    rows = (
        _row(say["interaction_point"], phases, lambda phase: phase.interaction_point,
             lambda one: _took(one, language), language),
        _row(say["medium"], phases, lambda phase: phase.medium,
             lambda one: _effects(one, language), language),
        *_experience(phases, language),
        _row(say["front_office"], phases, lambda phase: phase.front_office,
             lambda one: _messages(one, language), language),
        _row(say["back_office"], phases, lambda phase: phase.back_office,
             lambda one: [*_by_hand(one, language), *_overdue(one, language)], language),
        _row(say["difference"], phases, lambda phase: phase.difference, lambda _: [], language),
    )  # fmt: skip
    return (
        f'<div class="wide" role="region" aria-label="{escape(say["blueprint"])}" tabindex="0"><table>'
        f"<caption>{escape(caption)}</caption>"
        f'<colgroup><col class="row"><col class="face"><col span="{len(phases)}"></colgroup>'
        f'<thead><tr><th scope="col" colspan="2">{escape(say["phase"])}</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


Phases = tuple[tuple[Phase, Figures], ...]
Rows = list[tuple[str, str]]
"""Name and HTML of figures."""


def _row(
    name: str,
    phases: Phases,
    said: Callable[[Phase], Text | tuple[Text, ...] | None],
    counted: Callable[[Figures], Rows],
    language: str,
) -> str:
    cells = "".join(
        f"<td>{_told(said(phase), language)}{_figures(counted(figures))}</td>" for phase, figures in phases
    )
    return f'<tr><th scope="row" colspan="2">{escape(name)}</th>{cells}</tr>'


def _experience(phases: Phases, language: str) -> Iterable[str]:
    """Three rows, a face each, as on the form."""
    say = _words(language)
    heading = f'<th scope="rowgroup" rowspan="{len(Feeling)}">{escape(say["experience"])}</th>'
    for number, feeling in enumerate(Feeling):
        cells = "".join(f"<td>{_rated(figures, feeling, language)}</td>" for _, figures in phases)
        first = "" if number else heading
        yield f'<tr class="felt">{first}<th scope="row">{_face(feeling, say)}</th>{cells}</tr>'


def _rated(figures: Figures, feeling: Feeling, language: str) -> str:
    share = figures.share_of(feeling)
    if share is None:
        return '<span class="none">–</span>'
    number = _number(getattr(figures, feeling.lower()), language)
    return (
        f'<span class="share">{number} <small>({_percent(share)})</small></span>'
        '<svg class="bar" height="7" aria-hidden="true"><rect class="all" width="100%" height="100%"/>'
        f'<rect width="{share * 100:.1f}%" height="100%"/></svg>'
    )


def _face(feeling: Feeling, say: dict[str, str]) -> str:
    return (
        '<svg class="feeling" width="24" height="24" viewBox="0 0 24 24" role="img"'
        f' aria-label="{escape(say[feeling])}">'
        f"<title>{escape(say[feeling])}</title>"
        '<circle cx="12" cy="12" r="10.5"/><circle class="eye" cx="8.5" cy="9.5" r="1.4"/>'
        f'<circle class="eye" cx="15.5" cy="9.5" r="1.4"/><path d="{FACES[feeling]}"/></svg>'
    )


def _source(found: Blueprint, say: dict[str, str]) -> str:
    at = found.as_of.astimezone(BRUSSELS)
    return f"<footer>{escape(say['as_of'])} {_day(at.date())}, {at:%H:%M}. {escape(say['legend'])}</footer>"


# --- figures in words -------------------------------------------------------------------------


def _cases(figures: Figures, language: str) -> Rows:
    say = _words(language)
    return [
        (say["in"], _number(figures.cases_in, language)),
        (say["out"], _number(figures.cases_out, language)),
        (say["waiting"], _number(figures.waiting, language)),
    ]


def _took(figures: Figures, language: str) -> Rows:
    say = _words(language)
    return [
        (say["median"], _duration(figures.lead_time_median, say)),
        (say["p90"], _duration(figures.lead_time_p90, say)),
    ]


def _by_hand(figures: Figures, language: str) -> Rows:
    say, share = _words(language), figures.automatic_share
    name = say["step" if figures.transitions == 1 else "steps"]
    steps = f" <small>({_number(figures.transitions, language)} {escape(name)})</small>"
    return [(say["automatic"], "–" if share is None else _percent(share) + steps)]


def _messages(figures: Figures, language: str) -> Rows:
    say = _words(language)
    return [
        (say["sent"], _number(figures.messages_sent, language)),
        (say["failed"], _trouble(figures.messages_failed, language)),
    ]


def _effects(figures: Figures, language: str) -> Rows:
    say = _words(language)
    return [
        (say["done"], _number(figures.effects_done, language)),
        (say["retried"], _number(figures.effects_retried, language)),
        (say["parked"], _trouble(figures.effects_parked, language)),
    ]


def _overdue(figures: Figures, language: str) -> Rows:
    return [(_words(language)["overdue"], _trouble(figures.overdue, language))]


def _figures(rows: Rows) -> str:
    if not rows:
        return ""
    told = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f"<dl>{told}</dl>"


def _told(said: Text | tuple[Text, ...] | None, language: str) -> str:
    """What the definition says; where it says it in Dutch only, a screen reader is told so."""
    if said is None:
        return ""
    if isinstance(said, Text):
        return f"<p{_spoken(said, language)}>{escape(said.get(language))}</p>"
    items = "".join(f"<li{_spoken(one, language)}>{escape(one.get(language))}</li>" for one in said)
    return f"<ul>{items}</ul>"


def _spoken(text: Text, language: str) -> str:
    return "" if language in text.languages() else ' lang="nl"'


def _trouble(number: int, language: str) -> str:
    shown = _number(number, language)
    return f'<strong class="bad">{shown}</strong>' if number else shown


def _number(number: int, language: str) -> str:
    return f"{number:,}" if language == "en" else f"{number:,}".replace(",", ".")


def _percent(share: float) -> str:
    """In whole per cents; what is not all is never shown as all, nor a little as nothing."""
    whole = round(share * 100)
    if whole == 100 and share < 1:
        return "&gt; 99 %"
    return "&lt; 1 %" if whole == 0 and share > 0 else f"{whole}\N{NO-BREAK SPACE}%"


def _duration(seconds: float | None, say: dict[str, str]) -> str:
    """In its two largest units, as people say it."""
    if seconds is None:
        return "–"
    left = round(seconds)
    if left < 1:
        return "&lt;\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}s"
    parts: list[tuple[int, str]] = []
    for unit, length in (("d", 86_400), (say["hours"], 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number or parts:
            parts.append((number, unit))
    told = [f"{number}\N{NO-BREAK SPACE}{unit}" for number, unit in parts[:2] if number]
    return escape(" ".join(told))


def _day(day: date | None) -> str:
    return f"{day:%d/%m/%Y}" if day else ""


# --- around it --------------------------------------------------------------------------------


def _nothing(loket: Loket, request: Request, status: int) -> Response:
    """A page that says only that there is nothing to see, and why in general."""
    language = identity.language_of(request.headers)
    say = _words(language)
    title = say[f"status_{status}"]
    return _page(loket, language, title, f"<p>{escape(say[f'why_{status}'])}</p>", status)


def _page(loket: Loket, language: str, title: str, body: str, status: int = 200) -> Response:
    spoken = language if language in WORDS else "nl"
    house = escape(loket.settings.municipality.name)
    return HTMLResponse(
        f'<!doctype html><html lang="{spoken}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · {house}</title><style>{STYLE}</style></head>"
        f'<body><header><p class="house">{house}</p><h1>{escape(title)}</h1></header>'
        f"<main>{body}</main></body></html>",
        status,
        HEADERS,
    )


def _words(language: str) -> dict[str, str]:
    return WORDS.get(language, WORDS["nl"])
