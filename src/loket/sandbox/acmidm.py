"""ACM/IDM in small: an OpenID provider that asks which persona one is, where the real one asks for an eID.

As strict as the real one is known to be: ungranted scopes are refused before anyone signs in, redirect
addresses match exactly, codes work once and for a minute, client assertions live ten minutes at most and are
never seen twice.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from loket.sandbox.acmidm_clients import Client, OAuthError
from loket.sandbox.acmidm_provider import TOKEN_SECONDS, Provider, holder_of, token_for
from loket.sandbox.page import button, join, page, table
from loket.sandbox.personas import Citizen, Worker, citizens, everyone, person, workers
from loket.sandbox.staffing import WORD
from loket.sandbox.state import State
from loket.sandbox.system import Config, System

CODE_SECONDS = 60


def app(config: Config, state: State) -> Starlette:
    provider = Provider(config, state)

    async def discovery(request: Request) -> Response:
        return JSONResponse(_discovery(provider.issuer))

    async def keys(request: Request) -> Response:
        return JSONResponse({"keys": [provider.key.as_dict(private=False, alg="RS256", use="sig")]})

    async def auth(request: Request) -> Response:
        form = await request.form() if request.method == "POST" else None
        asked = {
            name: str(value) for name, value in (form if form is not None else request.query_params).items()
        }
        return _authorize(
            provider, asked, asked.pop("persona", None), cancelled=asked.pop("cancel", None) is not None
        )

    async def token(request: Request) -> Response:
        form = await request.form()
        client = provider.clients.behind(request, form)
        grant = form.get("grant_type")
        if grant == "authorization_code":
            answer = _exchange(provider, client, form)
        elif grant == "client_credentials":
            answer = _own_token(provider, client, form)
        else:
            raise OAuthError("unsupported_grant_type", "authorization_code or client_credentials")
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    async def userinfo(request: Request) -> Response:
        known = holder_of(config, request.headers.get("authorization", ""))
        if known is None or known["persona"] is None or "openid" not in known["scope"].split():
            return JSONResponse(
                {"error": "invalid_token"}, 401, {"www-authenticate": 'Bearer error="invalid_token"'}
            )
        return JSONResponse(provider.claims(known["persona"], known["scope"]))

    async def introspect(request: Request) -> Response:
        form = await request.form()
        provider.clients.behind(request, form)
        known = holder_of(config, f"Bearer {form.get('token', '')}")
        return JSONResponse(_introspected(provider, known) if known else {"active": False})

    async def logout(request: Request) -> Response:
        return _log_out(provider, dict(request.query_params))

    async def sim_token(request: Request) -> Response:
        persona = request.query_params.get("persona", "")
        holder = person(persona)
        if holder is None:
            return JSONResponse({"title": f"geen persona {persona}", "status": 404}, 404)
        return JSONResponse({"access_token": token_for(config, state, holder), "expires_in": TOKEN_SECONDS})

    async def sim_personas(request: Request) -> Response:
        return JSONResponse([_described(config, one) for one in everyone()])

    async def sim_auto(request: Request) -> Response:
        if request.method == "POST":
            state.put("switch", "auto", {"on": bool((await request.json()).get("on", True))})
        return JSONResponse(state.get("switch", "auto") or {"on": False})

    async def sim_revoke(request: Request) -> Response:
        """Every access token is worthless from now on; a client must fetch a new one."""
        gone = state.delete("token")
        form = "application/x-www-form-urlencoded" in request.headers.get("content-type", "")
        return RedirectResponse(config.desk_url("acmidm"), 303) if form else JSONResponse({"revoked": gone})

    return Starlette(
        routes=[
            Route("/op/.well-known/openid-configuration", discovery),
            Route("/op/v1/keys", keys),
            Route("/op/v1/auth", auth, methods=["GET", "POST"]),
            Route("/op/v1/token", token, methods=["POST"]),
            Route("/op/v1/userinfo", userinfo, methods=["GET", "POST"]),
            Route("/op/v1/introspect", introspect, methods=["POST"]),
            Route("/op/v1/logout", logout),
            Route("/sim/token", sim_token),
            Route("/sim/personas", sim_personas),
            Route("/sim/auto", sim_auto, methods=["GET", "POST"]),
            Route("/sim/revoke", sim_revoke, methods=["POST"]),
        ],
        exception_handlers={OAuthError: _refused},
    )


async def _refused(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, OAuthError)
    return fault.answer


def _discovery(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/v1/auth",
        "token_endpoint": f"{issuer}/v1/token",
        "userinfo_endpoint": f"{issuer}/v1/userinfo",
        "introspection_endpoint": f"{issuer}/v1/introspect",
        "jwks_uri": f"{issuer}/v1/keys",
        "end_session_endpoint": f"{issuer}/v1/logout",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
        ],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
    }


def _authorize(
    provider: Provider, asked: dict[str, str], persona: str | None, *, cancelled: bool
) -> Response:
    """The chooser, or the way back to the client with a code or an error.

    An unknown client or redirect address is never redirected to: it gets a page.
    """
    client = provider.clients.get(asked.get("client_id", ""))
    if client is None:
        return _plain(
            "Onbekende toepassing", f"Er is geen integratie met client_id “{asked.get('client_id', '')}”."
        )
    if asked.get("redirect_uri") not in client.redirect_uris:
        return _plain(
            "Ongeldig adres", "De redirect_uri van de toepassing staat niet in haar integratiedossier."
        )
    fault = _fault_in_request(client, asked)
    if fault:
        return _back(asked, {"error": fault[0], "error_description": fault[1]})
    if cancelled:
        return _back(asked, {"error": "access_denied", "error_description": "The user cancelled"})
    if persona is None and (provider.state.get("switch", "auto") or {}).get("on"):
        persona = asked.get("login_hint")
    if persona is None and asked.get("prompt") == "none":
        return _back(asked, {"error": "login_required", "error_description": "No one is signed in"})
    if persona is None or person(persona) is None:
        return _chooser(asked, unknown=persona)
    code = secrets.token_urlsafe(32)
    kept = {
        name: asked.get(name) for name in ("client_id", "redirect_uri", "scope", "nonce", "code_challenge")
    }
    method = asked.get("code_challenge_method", "plain")
    acr = asked.get("acr_values", "").split(" ")[0]
    provider.state.put(
        "code",
        code,
        kept | {"persona": persona, "at": time.time(), "code_challenge_method": method, "acr": acr},
    )
    return _back(asked, {"code": code})


def _fault_in_request(client: Client, asked: Mapping[str, str]) -> tuple[str, str] | None:
    scopes = asked.get("scope", "").split()
    ungranted = [scope for scope in scopes if scope not in client.scopes]
    if asked.get("response_type") != "code":
        return "unsupported_response_type", "only code"
    if "openid" not in scopes:
        return "invalid_scope", "openid is mandatory"
    if ungranted:
        return "invalid_scope", f"not granted to this client: {' '.join(ungranted)}"
    if asked.get("code_challenge_method", "plain") not in ("plain", "S256"):
        return "invalid_request", "code_challenge_method must be plain or S256"
    if "code_challenge_method" in asked and "code_challenge" not in asked:
        return "invalid_request", "code_challenge is missing"
    if asked.get("response_mode", "query") not in ("query", "fragment", "form_post"):
        return "invalid_request", "response_mode must be query, fragment or form_post"
    return None


def _back(asked: Mapping[str, str], answer: dict[str, str]) -> Response:
    answer |= {"state": asked["state"]} if "state" in asked else {}
    mode = asked.get("response_mode", "query")
    if mode == "form_post":
        form = button(asked["redirect_uri"], "Verder naar de toepassing", answer)
        return page("Aangemeld", Markup("<main><h1>Aangemeld</h1>{}</main>").format(form), kind="card")
    scheme, host, path, query, _ = urlsplit(asked["redirect_uri"])
    added = urlencode([*parse_qsl(query, keep_blank_values=True), *answer.items()])
    if mode == "fragment":
        return RedirectResponse(urlunsplit((scheme, host, path, query, urlencode(answer))), 303)
    return RedirectResponse(urlunsplit((scheme, host, path, added, "")), 303)


def _chooser(asked: Mapping[str, str], *, unknown: str | None) -> Response:
    """The page where the real ACM asks for an eID: a plain form that posts `persona`."""
    hidden = join(
        Markup('<input type="hidden" name="{}" value="{}">').format(name, value)
        for name, value in asked.items()
    )
    staff = "vo" in asked["scope"].split()
    people: tuple[Citizen | Worker, ...] = workers() if staff else citizens()
    hinted = asked.get("login_hint")
    choices = join(
        Markup('<button name="persona" value="{}"{}><b>{}</b><small>{}</small></button>').format(
            one.key, Markup(" autofocus") if one.key == hinted else "", one.name, one.note
        )
        for one in people
    )
    wrong = (
        Markup('<p class="tag bad">Er is geen persona “{}”.</p>').format(unknown) if unknown else Markup("")
    )
    body = Markup(
        "<main><p class='over'>Toegangsbeheer Vlaanderen · zandbak</p><h1>{}</h1>"
        "<p>In het echt meldt u zich hier aan met uw eID, itsme of een andere digitale sleutel. "
        "Hier kiest u wie u bent.</p>"
        '{}<form method="post" action="/op/v1/auth" class="people">{}{}</form>'
        '<form method="post" action="/op/v1/auth" class="inline">{}<label>Een ander: '
        '<input name="persona" placeholder="{}" value="{}" size="40" required></label>'
        '<button>Aanmelden</button></form><form method="post" action="/op/v1/auth" class="inline">{}'
        '<button name="cancel" value="1" class="quiet">Annuleren</button></form></main>'
    ).format(
        "Als wie werkt u?" if staff else "Wie bent u?", wrong, hidden, choices, hidden,
        f"{WORD}:LoketAdviseur:Technische dienst" if staff else "burger-1 tot burger-99999",
        hinted if hinted and all(one.key != hinted for one in people) else "", hidden,
    )  # fmt: skip
    return page("Aanmelden", body, kind="card")


def _plain(title: str, text: str) -> Response:
    return page(
        title, Markup("<main><h1>{}</h1><p>{}</p></main>").format(title, text), kind="card", status=400
    )


def _exchange(provider: Provider, client: Client, form: FormData) -> dict[str, Any]:
    """A code against tokens. A code that comes twice takes back the token it first gave."""
    key = str(form.get("code", ""))
    code = provider.state.get("code", key)
    if code is None or code["client_id"] != client.client_id:
        raise OAuthError("invalid_grant", "unknown code")
    if code.get("token"):
        provider.state.delete("token", code["token"])
        raise OAuthError("invalid_grant", "code was used before; its token is revoked")
    if time.time() - code["at"] > CODE_SECONDS:
        raise OAuthError("invalid_grant", "code has expired")
    if form.get("redirect_uri") != code["redirect_uri"]:
        raise OAuthError("invalid_grant", "redirect_uri is not that of the authorization request")
    if not _verifies(code, str(form.get("code_verifier", ""))):
        raise OAuthError("invalid_grant", "code_verifier does not fit the code_challenge")
    token = provider.grant(client.client_id, code["scope"], persona=code["persona"])
    provider.state.put("code", key, code | {"token": token})
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": TOKEN_SECONDS,
        "scope": code["scope"],
        "id_token": provider.id_token(code, token),
    }


def _verifies(code: Mapping[str, Any], verifier: str) -> bool:
    challenge = code.get("code_challenge")
    if challenge is None:
        return True
    if code["code_challenge_method"] == "plain":
        return secrets.compare_digest(challenge, verifier)
    digest = hashlib.sha256(verifier.encode()).digest()
    return secrets.compare_digest(challenge, base64.urlsafe_b64encode(digest).decode().rstrip("="))


def _own_token(provider: Provider, client: Client, form: FormData) -> dict[str, Any]:
    scope = str(form.get("scope", ""))
    ungranted = [one for one in scope.split() if one not in client.scopes]
    if not scope or ungranted:
        raise OAuthError(
            "invalid_scope", f"not granted to this client: {' '.join(ungranted) or '(none asked)'}"
        )
    audience = form.get("audience") or form.get("resource")
    token = provider.grant(client.client_id, scope, audience=str(audience) if audience else None)
    return {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "scope": scope}


def _introspected(provider: Provider, known: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: known[name] for name in ("client_id", "exp", "iat", "scope", "sub", "aud")}
    claims = provider.claims(known["persona"], known["scope"])
    return {"active": True, "iss": provider.issuer, "token_type": "bearer", **shown, **claims}


def _log_out(provider: Provider, asked: Mapping[str, str]) -> Response:
    """The provider keeps no session of its own: everyone chooses anew each time."""
    target = asked.get("post_logout_redirect_uri")
    if target is None:
        return page("Afgemeld", Markup("<main><h1>U bent afgemeld</h1></main>"), kind="card")
    client = provider.clients.get(asked.get("client_id", ""))
    if client is None:
        return _plain("Afmelden", "Met een post_logout_redirect_uri moet een geldig client_id komen.")
    allowed = client.logout_uris or tuple(_origin(uri) for uri in client.redirect_uris)
    if (target if client.logout_uris else _origin(target)) not in allowed:
        return _plain("Afmelden", "De post_logout_redirect_uri is niet van deze toepassing.")
    state = urlencode({"state": asked["state"]}) if "state" in asked else ""
    scheme, host, path, query, _ = urlsplit(target)
    return RedirectResponse(urlunsplit((scheme, host, path, "&".join(filter(None, (query, state))), "")), 303)


def _origin(url: str) -> str:
    scheme, host, *_ = urlsplit(url)
    return f"{scheme}://{host}"


def _described(config: Config, one: Citizen | Worker) -> dict[str, Any]:
    shown = {"key": one.key, "name": one.name, "insz": one.insz, "note": one.note}
    if isinstance(one, Citizen):
        return shown | {"kind": "citizen", "email": one.email, "phone": one.phone, "state": one.state}
    return shown | {"kind": "worker", "roles": [f"{role}:{config.municipality.kbo}" for role in one.roles]}


def _section(config: Config, state: State) -> Markup:
    clients = config.section("acmidm").get("clients", ())
    rows = [
        (one["client_id"], ", ".join(one.get("redirect_uris", ())), " ".join(one.get("scopes", ())))
        for one in clients
    ]
    live = [one for one in state.all("token") if one["exp"] > time.time()]
    return Markup("{}<div>{} {}</div>").format(
        table(("Toepassing", "Terug naar", "Scopes"), rows, empty="Er is geen toepassing ingesteld."),
        Markup("{} geldige toegangstokens.").format(len(live)),
        button(config.url("acmidm") + "/sim/revoke", "Maak alle tokens ongeldig", kind="quiet"),
    )


SYSTEM = System(name="acmidm", title="ACM/IDM", offset=1, app=app, section=_section)
