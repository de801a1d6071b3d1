"""Signing in with ACM/IDM ("Toegangsbeheer Vlaanderen"), and who stands behind the tokens that it gives.

Paths below the issuer as published: authenticatie.vlaanderen.be/docs/…/oauth/technische-info/discovery-url/.
Authlib and joserfc know the vocabulary, the assertions and the checks; the transport is httpx2, as in every
other adapter (Authlib's own clients want httpx or requests).
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import httpx2
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from loket import settings
from loket.errors import Declined, Unavailable
from loket.systems.acmidm_client import TIMEOUT_SECONDS, ask, client_authentication, read_key, text_in
from loket.trust import authorities

CLOCK_SKEW = timedelta(seconds=30)
KEYS_LIFETIME = timedelta(hours=1)
"""How long ACM's public keys are believed; a key withdrawn there is trusted here no longer than this."""
INTROSPECTIONS_KEPT = 10_000

_INSZ = re.compile(r"\d{11}")


class Kind(StrEnum):
    """For whom somebody signs in: ACM's target groups BUR and LB; or a machine that speaks for a body."""

    CITIZEN = "CITIZEN"
    STAFF = "STAFF"
    SERVICE = "SERVICE"


@dataclass(frozen=True)
class SignIn:
    """Who signed in, as ACM says it.

    `organisation` is the KBO number under which a member of staff signed in; `roles` are the names of the
    roles that hold for our own municipality, and empty for anybody else's. `expires_at`: until when ACM
    vouches for this.
    """

    subject: str
    kind: Kind
    insz: str | None = field(repr=False)
    given_name: str | None = field(repr=False)
    family_name: str | None = field(repr=False)
    organisation: str | None
    roles: tuple[str, ...]
    acr: str | None
    expires_at: datetime


@dataclass(frozen=True)
class TokenFacts(SignIn):
    """What stands behind an access token that ACM called active."""

    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Known:
    """What ACM said of a token; both times as time.time() has them."""

    facts: TokenFacts
    until: float
    renew_at: float


class AcmIdm:
    """Sign-in of citizens and staff, and the tokens that they carry.

    Recognises a repeat: `none`. A code works once; every other call only reads.
    """

    def __init__(self, section: settings.AcmIdm, *, kbo: str, redirect_uri: str) -> None:
        """`kbo`: whose roles count. `redirect_uri`: exactly as registered with ACM.

        Raises:
            SettingsError: the private key cannot be read.
        """
        self._section = section
        self._kbo = kbo
        self._redirect_uri = redirect_uri
        self._key = read_key(section.private_key_file)
        self._token_url = f"{section.issuer}/v1/token"
        self._client = httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False, verify=authorities())
        self._keys: KeySet | None = None
        self._keys_read_at = 0.0
        self._known: dict[bytes, _Known] = {}
        self._asking: dict[bytes, asyncio.Task[TokenFacts | None]] = {}

    async def aclose(self) -> None:
        await self._client.aclose()

    def authorization_url(
        self, state: str, nonce: str, code_verifier: str, *, audience: Kind, language: str = "nl"
    ) -> str:
        """Where the browser goes to sign in. `code_verifier`: 43–128 characters, kept until the return."""
        scopes = self._section.citizen_scopes if audience is Kind.CITIZEN else self._section.staff_scopes
        challenge = create_s256_code_challenge(code_verifier)  # type: ignore[no-untyped-call]  # stubs leave it open
        parameters = {
            "response_type": "code",
            "client_id": self._section.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "ui_locales": language,
        }
        return add_params_to_uri(f"{self._section.issuer}/v1/auth", parameters)

    def logout_url(self, *, return_to: str, state: str | None = None) -> str:
        """Where the browser goes to end its session at ACM; `return_to` must be registered with ACM.

        Other open applications stay signed in: ACM does not tell them.
        """
        parameters = {"client_id": self._section.client_id, "post_logout_redirect_uri": return_to}
        if state is not None:
            parameters["state"] = state
        return add_params_to_uri(f"{self._section.issuer}/v1/logout", parameters)

    async def exchange(self, code: str, code_verifier: str, nonce: str) -> SignIn:
        """Turn the code of the return address into the person who signed in.

        Raises:
            Unavailable: ACM does not answer, or answers with a 5xx.
            Declined: the code was used or is too old, the ID token is not ACM's own and for this sign-in, or
                it names nobody whom we serve. Signing in again may help.
        """
        answer = await self._post(
            self._token_url,
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._redirect_uri,
                "code_verifier": code_verifier,
            },
        )
        access_token, id_token = text_in(answer, "access_token"), text_in(answer, "id_token")
        if access_token is None or id_token is None:
            raise Unavailable("acmidm", "the answer holds no tokens")
        claims = await self._verified(id_token, nonce=nonce, access_token=access_token)
        if not claims.keys() & {"rrn", self._section.role_claim}:
            claims = {**await self._userinfo(access_token, claims["sub"]), **claims}
        person = self._person(claims, expires_at=_instant(claims["exp"]))
        if person is None:
            raise Declined("acmidm", "signed in, but neither as a citizen nor for a local government")
        return SignIn(**person)

    async def introspect(self, token: str) -> TokenFacts | None:
        """Who carries this access token; None when it is not active, not meant for us, or nobody's we know.

        Asked once per token and `introspection_cache_seconds`, however many requests wait for it. In the last
        third of that time ACM is asked anew while what it said still holds, so that whoever goes on working
        does not wait for it.

        Raises:
            Unavailable: ACM does not answer, or answers with a 5xx.
            Declined: ACM does not accept Loket itself as a client.
        """
        key = hashlib.sha256(token.encode()).digest()
        known = self._known.get(key)
        now = time.time()
        if known is not None and now < known.until:
            if now > known.renew_at:
                self._ask(token, key)
            return known.facts
        # One request that is cancelled must not take the answer away from the others.
        return await asyncio.shield(self._ask(token, key))

    def _ask(self, token: str, key: bytes) -> asyncio.Task[TokenFacts | None]:
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._introspect(token, key))
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._asked(done, key))
        return asking

    def _asked(self, done: asyncio.Task[TokenFacts | None], key: bytes) -> None:
        del self._asking[key]
        if not done.cancelled():
            done.exception()  # who waits gets it as well; where nobody does, what was known holds to its end

    async def _introspect(self, token: str, key: bytes) -> TokenFacts | None:
        claims = await self._post(
            f"{self._section.issuer}/v1/introspect", {"token": token, "token_type_hint": "access_token"}
        )
        self._known.pop(key, None)
        expiry = claims.get("exp")
        if claims.get("active") is not True or not self._is_for_us(claims):
            return None
        if not isinstance(expiry, int | float) or expiry <= time.time():
            return None
        scopes = frozenset((text_in(claims, "scope") or "").split())
        holder = self._service(claims, scopes, expires_at=_instant(expiry))
        holder = holder or self._person(claims, expires_at=_instant(expiry))
        if holder is None:
            return None
        facts = TokenFacts(**holder, scopes=scopes)
        while len(self._known) >= INTROSPECTIONS_KEPT:
            del self._known[next(iter(self._known))]
        now, kept = time.time(), self._section.introspection_cache_seconds
        self._known[key] = _Known(facts, min(expiry, now + kept), now + kept * 2 / 3)
        return facts

    def _is_for_us(self, claims: Mapping[str, Any]) -> bool:
        """A token that another application got for itself is not a way in here.

        ACM leaves `aud` out when a client asked without audience: the token is then for that client.
        """
        audience = claims.get("aud", claims.get("client_id"))
        audiences = audience if isinstance(audience, list) else [audience]
        issuer = self._section.issuer
        return self._section.client_id in audiences and claims.get("iss", issuer) == issuer

    async def _verified(self, id_token: str, *, nonce: str, access_token: str) -> dict[str, Any]:
        try:
            token = await self._decoded(id_token)
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": self._section.issuer},
                    "aud": {"essential": True, "value": self._section.client_id},
                    "nonce": {"essential": True, "value": nonce},
                },
                params={"client_id": self._section.client_id, "access_token": access_token},
            )
            claims.validate(leeway=int(CLOCK_SKEW.total_seconds()))
        except (JoseError, ValueError) as fault:
            raise Declined("acmidm", f"the ID token is not valid: {fault}") from fault
        return dict(claims)

    async def _decoded(self, id_token: str) -> jwt.Token:
        try:
            return jwt.decode(id_token, await self._key_set(), algorithms=["RS256"])
        except InvalidKeyIdError:
            # ACM has changed its keys since we read them.
            return jwt.decode(id_token, await self._key_set(fresh=True), algorithms=["RS256"])

    async def _key_set(self, *, fresh: bool = False) -> KeySet:
        old = time.monotonic() - self._keys_read_at > KEYS_LIFETIME.total_seconds()
        if self._keys is None or old or fresh:
            answer = await self._get(f"{self._section.issuer}/v1/keys")
            try:
                self._keys = KeySet.import_key_set({"keys": answer.get("keys", [])})
            except (JoseError, ValueError, TypeError, AttributeError) as fault:
                raise Unavailable("acmidm", "the answer holds no usable keys") from fault
            self._keys_read_at = time.monotonic()
        return self._keys

    async def _userinfo(self, access_token: str, subject: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {access_token}"}
        claims = await self._get(f"{self._section.issuer}/v1/userinfo", headers)
        if claims.get("sub") != subject:
            raise Declined("acmidm", "userinfo speaks of somebody else than the ID token")
        return claims

    def _service(
        self, claims: Mapping[str, Any], scopes: frozenset[str], *, expires_at: datetime
    ) -> dict[str, Any] | None:
        """The fields of a `SignIn` for a client's own token (client credentials); None for anybody else's.

        Such a token names no person: its subject is the client itself.
        """
        client_id, subject = text_in(claims, "client_id"), text_in(claims, "sub")
        if client_id is None or subject not in {None, client_id} or "rrn" in claims:
            return None
        if not self._section.service_accounts.bodies_of(client_id):
            return None
        if self._section.service_scope not in scopes:
            return None
        nothing = dict.fromkeys(("insz", "given_name", "family_name", "organisation", "acr"))
        told = {"subject": client_id, "kind": Kind.SERVICE, "roles": (), "expires_at": expires_at}
        return nothing | told

    def _person(self, claims: Mapping[str, Any], *, expires_at: datetime) -> dict[str, Any] | None:
        """The fields of a `SignIn`; None for whom we do not serve (companies, the Flemish government)."""
        subject, group = text_in(claims, "sub"), claims.get("vo_doelgroepcode")
        if subject is None:
            return None
        roles = roles_at(claims.get(self._section.role_claim), self._kbo)
        insz = text_in(claims, "rrn")
        if insz is not None and not _INSZ.fullmatch(insz):
            insz = None
        if group == "LB" or (group is None and roles):
            kind = Kind.STAFF
        elif group in {None, "BUR"} and insz is not None:
            kind, roles = Kind.CITIZEN, ()
        else:
            return None
        return {
            "subject": subject,
            "kind": kind,
            "insz": insz,
            "given_name": text_in(claims, "given_name"),
            "family_name": text_in(claims, "family_name"),
            "organisation": text_in(claims, "vo_orgcode") if kind is Kind.STAFF else None,
            "roles": roles,
            "acr": text_in(claims, "acr"),
            "expires_at": expires_at,
        }

    async def _get(self, url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
        return await ask(self._client, self._client.build_request("GET", url, headers=headers))

    async def _post(self, url: str, form: dict[str, str]) -> dict[str, Any]:
        proof = client_authentication(self._key, self._section.client_id, self._token_url)
        return await ask(self._client, self._client.build_request("POST", url, data={**form, **proof}))


def roles_at(claim: object, kbo: str) -> tuple[str, ...]:
    """The names of the roles that hold for organisation `kbo`, in the order in which ACM gives them.

    A value of the claim is `Role:Organisation`, or `Role:Organisation1, Organisation2` where somebody holds
    one role for several.
    """
    values = claim if isinstance(claim, list) else [claim]
    roles: dict[str, None] = {}
    for value in values:
        role, colon, organisations = value.rpartition(":") if isinstance(value, str) else ("", "", "")
        if colon and role and kbo in {one.strip() for one in organisations.split(",")}:
            roles[role.strip()] = None
    return tuple(roles)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
