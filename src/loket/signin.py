"""Signing in at ACM/IDM and out again, for browsers: `/auth/login`, `/auth/callback`, `/auth/logout`.

The state of a sign-in and the token of a session are kept as hashes only, and work once and in one browser.
"""

import html
import secrets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import delete
from sqlmodel import col
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from loket.app import Loket
from loket.errors import Declined, Failed, Refused
from loket.identity import (
    LONGEST_TOKEN,
    actor_behind,
    cookie_name,
    is_secure,
    language_of,
    origin_allowed,
    origin_of,
    safe_return,
)
from loket.records import ActorKind, SignInAttempt, WebSession
from loket.settings import Settings
from loket.systems.acmidm import Kind, SignIn
from loket.vault import token_hash

SESSION_LIFE = timedelta(hours=8)
"""The longest that a cookie session lasts; it ends sooner when ACM vouches for less."""
ATTEMPT_LIFE = timedelta(minutes=10)
_AUDIENCES = {"citizen": Kind.CITIZEN, "staff": Kind.STAFF}


def routes(loket: Loket) -> list[Route]:
    def door(answer: Callable[[Loket, Request], Coroutine[Any, Any, Response]]) -> Callable[..., Any]:
        async def endpoint(request: Request) -> Response:
            try:
                return await answer(loket, request)
            except _NotSignedIn as fault:
                return _page(loket, "Aanmelden is niet gelukt", fault.text, fault.status)

        return endpoint

    return [
        Route("/auth/login", door(_log_in), methods=["GET"]),
        Route("/auth/callback", door(_come_back), methods=["GET"]),
        Route("/auth/logout", door(_ask_to_log_out), methods=["GET"]),
        Route("/auth/logout", door(_log_out), methods=["POST"]),
    ]


class _NotSignedIn(Exception):
    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text
        super().__init__(text)


async def _log_in(loket: Loket, request: Request) -> Response:
    """`/auth/login?return=…&audience=citizen|staff`: off to ACM/IDM."""
    asked = request.query_params
    audience = _AUDIENCES.get(asked.get("audience", "citizen"))
    return_to = safe_return(loket.settings, asked.get("return") or loket.settings.website_url)
    if audience is None or return_to is None:
        raise _NotSignedIn(400, "De link waarmee u hier kwam, is niet volledig of niet van ons.")
    state, nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    browser = _cookie(request, _attempt_cookie(loket.settings)) or secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    async with loket.database.transaction() as session:
        await session.execute(delete(SignInAttempt).where(col(SignInAttempt.expires_at) <= now))
        await session.execute(delete(WebSession).where(col(WebSession.expires_at) <= now))
        session.add(
            SignInAttempt(
                state_hash=_state_hash(state, browser),
                nonce=nonce,
                code_verifier=verifier,
                audience=audience,
                return_to=return_to,
                expires_at=now + ATTEMPT_LIFE,
            )
        )
    language = language_of(request.headers)
    there = loket.systems.acmidm.authorization_url(
        state, nonce, verifier, audience=audience, language=language
    )
    response = _redirect(there)
    _set_cookie(loket.settings, response, _attempt_cookie(loket.settings), browser, ATTEMPT_LIFE)
    return response


async def _come_back(loket: Loket, request: Request) -> Response:
    """`/auth/callback?code=…&state=…`: who came back from ACM/IDM gets a session."""
    attempt = await _use_attempt(loket, request)
    code = request.query_params.get("code")
    if code is None:
        raise _NotSignedIn(400, "U hebt het aanmelden afgebroken.")
    try:
        sign_in = await loket.systems.acmidm.exchange(code, attempt.code_verifier, attempt.nonce)
    except Declined as fault:
        raise _NotSignedIn(400, "Toegangsbeheer Vlaanderen heeft uw aanmelding niet bevestigd.") from fault
    except Failed as fault:
        raise _NotSignedIn(503, "Toegangsbeheer Vlaanderen antwoordt nu niet.") from fault
    if sign_in.kind != attempt.audience:
        raise _NotSignedIn(403, "U hebt zich in een andere hoedanigheid aangemeld dan hier gevraagd wordt.")
    token, expires_at = await _open_session(loket, sign_in, replaces=_session_token(loket, request))
    response = _redirect(attempt.return_to)
    _set_cookie(loket.settings, response, cookie_name(loket.settings), token, expires_at - datetime.now(UTC))
    return response


async def _use_attempt(loket: Loket, request: Request) -> SignInAttempt:
    """The sign-in that began in this browser with this state; it works once."""
    state = request.query_params.get("state", "")
    browser = _cookie(request, _attempt_cookie(loket.settings)) or ""
    async with loket.database.transaction() as session:
        found = await session.scalars(
            delete(SignInAttempt)
            .where(col(SignInAttempt.state_hash) == _state_hash(state, browser))
            .returning(SignInAttempt)
        )
        attempt = found.one_or_none()
    if attempt is None or attempt.expires_at <= datetime.now(UTC):
        raise _NotSignedIn(400, "Deze aanmelding is verlopen, of begon in een ander venster.")
    return attempt


async def _open_session(loket: Loket, sign_in: SignIn, *, replaces: str | None) -> tuple[str, datetime]:
    token = secrets.token_urlsafe(32)
    expires_at = min(datetime.now(UTC) + SESSION_LIFE, sign_in.expires_at)
    async with loket.database.transaction() as session:
        try:
            actor = await actor_behind(loket, session, sign_in)
        except Refused as fault:
            raise _NotSignedIn(403, "U hebt geen rol in deze toepassing.") from fault
        if replaces:
            await session.execute(
                delete(WebSession).where(col(WebSession.token_hash) == token_hash(replaces))
            )
        session.add(
            WebSession(
                token_hash=token_hash(token),
                person_id=actor.id if actor.kind is ActorKind.CITIZEN else None,
                staff_id=actor.id if actor.is_staff else None,
                roles=list(sign_in.roles),
                acr=sign_in.acr,
                expires_at=expires_at,
            )
        )
    return token, expires_at


async def _ask_to_log_out(loket: Loket, request: Request) -> Response:
    """A link can be followed unasked, from anywhere: so signing out takes one more press."""
    if _session_token(loket, request) is None:
        return _redirect(loket.settings.website_url)
    form = '<form method="post" action="/auth/logout"><button autofocus>Afmelden</button></form>'
    return _page(loket, "Afmelden", "Wilt u zich afmelden?", 200, form)


async def _log_out(loket: Loket, request: Request) -> Response:
    if not origin_allowed(loket.settings, request.headers):
        raise _NotSignedIn(403, "Afmelden kan alleen op onze eigen pagina's.")
    token = _session_token(loket, request)
    if token is None:
        return _redirect(loket.settings.website_url)
    async with loket.database.transaction() as session:
        await session.execute(delete(WebSession).where(col(WebSession.token_hash) == token_hash(token)))
    response = _redirect(loket.systems.acmidm.logout_url(return_to=loket.settings.website_url))
    _set_cookie(loket.settings, response, cookie_name(loket.settings), "", timedelta(0))
    return response


# --- small things -----------------------------------------------------------------------------


def _attempt_cookie(settings: Settings) -> str:
    """Holds a browser to the sign-ins that it began itself; several windows share it."""
    return "__Host-loket_sign_in" if is_secure(settings) else "loket_sign_in"


def _state_hash(state: str, browser: str) -> bytes:
    return token_hash(f"{state} {browser}")


def _session_token(loket: Loket, request: Request) -> str | None:
    return _cookie(request, cookie_name(loket.settings))


def _cookie(request: Request, name: str) -> str | None:
    value = request.cookies.get(name)
    return value if value and len(value) <= LONGEST_TOKEN else None


def _set_cookie(settings: Settings, response: Response, name: str, value: str, life: timedelta) -> None:
    """Lax, not Strict: it must come along when the browser returns from ACM or from the bank."""
    response.set_cookie(
        name,
        value,
        max_age=int(life.total_seconds()),
        path="/",
        secure=is_secure(settings),
        httponly=True,
        samesite="lax",
    )


def _redirect(url: str) -> Response:
    return RedirectResponse(url, 303, headers={"Cache-Control": "no-store"})


def _page(loket: Loket, title: str, text: str, status: int, form: str = "") -> Response:
    settings = loket.settings
    again = f"/auth/login?{urlencode({'return': settings.website_url})}"
    below = form or (
        f'<p><a href="{html.escape(again)}">Opnieuw aanmelden</a> · '
        f'<a href="{html.escape(settings.website_url)}">Naar de website</a></p>'
    )
    # signing out posts to us and goes on to ACM and the website: browsers hold the whole way to the policy
    after = " ".join(
        sorted(
            {
                "'self'",
                origin_of(settings.website_url),
                origin_of(settings.acmidm.issuer or settings.public_url),
            }
        )
    )
    return HTMLResponse(
        _PAGE.format(title=html.escape(title), text=html.escape(text), below=below,
                     municipality=html.escape(settings.municipality.name)),
        status,
        {
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"default-src 'none'; style-src 'unsafe-inline'; form-action {after}; "
            "frame-ancestors 'none'; base-uri 'none'",
        },
    )  # fmt: skip


_PAGE = """<!doctype html>
<html lang="nl"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} · {municipality}</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1.5rem}}
button{{font:inherit;padding:.5rem 1.25rem}}</style></head>
<body><main><p>{municipality}</p><h1>{title}</h1><p>{text}</p>{below}</main></body></html>
"""
