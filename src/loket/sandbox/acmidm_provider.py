"""What ACM/IDM in small knows: its clients, its key, whom it gave a token, and what it says of them."""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from loket.sandbox.acmidm_clients import Clients
from loket.sandbox.personas import Citizen, Worker, person
from loket.sandbox.state import State
from loket.sandbox.system import Config

TOKEN_SECONDS = 8 * 3600
ID_TOKEN_SECONDS = 3600
CITIZEN_SCOPES = "openid profile rrn"
WORKER_SCOPES = "openid profile vo loket"
NO_CLAIMS = {
    "openid", "profile", "rrn", "vo", "DosisImport", "Notificaties", "Documentendienst", "loket_advies",
}  # fmt: skip
"""Scopes that are not an application's: any other `<app>` gives `<app>_rol_3d`."""


class Provider:
    """The provider's knowledge: its clients, its key, and the codes and tokens that it gave out."""

    def __init__(self, config: Config, state: State) -> None:
        self.config = config
        self.state = state
        self.issuer = config.url("acmidm") + "/op"
        self.token_url = self.issuer + "/v1/token"
        self.clients = Clients(config.section("acmidm").get("clients", ()), state, self.token_url)

    @cached_property
    def key(self) -> RSAKey:
        return _signing_key(self.state)

    def grant(
        self, client_id: str, scope: str, *, persona: str | None = None, audience: str | None = None
    ) -> str:
        """A new opaque access token; `persona` None: the client's own."""
        token = secrets.token_urlsafe(32)
        now = int(time.time())
        holder = person(persona) if persona else None
        self.state.put(
            "token",
            token,
            {
                "client_id": client_id,
                "scope": scope,
                "persona": persona,
                "sub": subject(holder) if holder else client_id,
                "aud": audience or client_id,
                "iat": now,
                "exp": now + TOKEN_SECONDS,
            },
        )
        return token

    def claims(self, persona: str | None, scope: str) -> dict[str, Any]:
        """What the scopes say of a persona."""
        holder = person(persona) if persona else None
        if holder is None:
            return {}
        scopes = scope.split()
        found: dict[str, Any] = {"sub": subject(holder)}
        if "profile" in scopes:
            found |= {"given_name": holder.given_name, "family_name": holder.family_name}
        if "rrn" in scopes:
            found["rrn"] = holder.insz
        if "vo" in scopes:
            found |= self._capacity(holder)
        if isinstance(holder, Worker):
            roles = [f"{role}:{self.config.municipality.kbo}" for role in holder.roles]
            found |= {f"{scope_}_rol_3d": roles for scope_ in scopes if scope_ not in NO_CLAIMS}
        return found

    def _capacity(self, holder: Citizen | Worker) -> dict[str, str]:
        if isinstance(holder, Citizen):
            return {"vo_doelgroepcode": "BUR", "vo_doelgroepnaam": "Burger"}
        return {
            "vo_id": subject(holder),
            "vo_doelgroepcode": "LB",
            "vo_doelgroepnaam": "Lokale besturen",
            "vo_orgcode": self.config.municipality.kbo,
            "vo_orgnaam": self.config.municipality.name,
            "vo_email": f"{holder.mailbox}@lindebeke.example",
        }

    def id_token(self, code: Mapping[str, Any], access_token: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": code["client_id"],
            "azp": code["client_id"],
            "iat": now,
            "exp": now + ID_TOKEN_SECONDS,
            "at_hash": _half_hash(access_token),
            **self.claims(code["persona"], code["scope"]),
        }
        claims |= {name: code[name] for name in ("nonce", "acr") if code.get(name)}
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key, algorithms=["RS256"])


def token_for(config: Config, state: State, holder: Citizen | Worker) -> str:
    """A token as this person would get by signing in, without signing in; the same one for an hour."""
    given = state.get("given", holder.key) or {"token": ""}
    live = state.get("token", given["token"])
    if live and live["exp"] > time.time() + TOKEN_SECONDS - 3600:
        return str(given["token"])
    scope = WORKER_SCOPES if isinstance(holder, Worker) else CITIZEN_SCOPES
    clients = config.section("acmidm").get("clients") or [{"client_id": "loket"}]
    token = Provider(config, state).grant(clients[0]["client_id"], scope, persona=holder.key)
    state.put("given", holder.key, {"token": token})
    return token


def holder_of(config: Config, authorization: str) -> dict[str, Any] | None:
    """What an API learns of an `Authorization` header: the live token's client, scope and persona."""
    scheme, _, token = authorization.partition(" ")
    known = config.states["acmidm"].get("token", token.strip()) if scheme.lower() == "bearer" else None
    return known if known and known["exp"] > time.time() else None


def subject(holder: Citizen | Worker) -> str:
    """The PersoonsID that ACM gives a person; says nothing of their national number."""
    digest = hashlib.sha256(f"PersoonsID {holder.key}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:20]).decode().rstrip("=")


def _half_hash(token: str) -> str:
    digest = hashlib.sha256(token.encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def _signing_key(state: State) -> RSAKey:
    kept = state.get("key", "signing")
    if kept is None:
        key = RSAKey.generate_key(2048, auto_kid=True)
        state.put("key", "signing", dict(key.as_dict(private=True)))
        return key
    return RSAKey.import_key(kept)
