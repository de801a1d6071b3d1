"""Loket as a client of ACM/IDM: its key, its proof in each request, its tokens for the systems behind ACM."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from authlib.oauth2.rfc7523.assertion import private_key_jwt_sign
from authlib.oauth2.rfc7523.client import ASSERTION_TYPE
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from loket import settings
from loket.errors import Unavailable
from loket.systems import calls
from loket.trust import authorities

TIMEOUT_SECONDS = 10.0
ASSERTION_LIFETIME = timedelta(seconds=60)
"""ACM refuses client assertions that live longer than 600 s."""
RENEWED_BEFORE_EXPIRY = timedelta(seconds=180)


class MachineTokens(httpx2.Auth):
    """Loket's own access token for one system, asked when first needed; hand it to a client as `auth=`.

    A token is kept until 180 s before it ends, and for at least half its life; it is asked once, however many
    calls wait for it. On a 401 the call is made once more with a new token; what then still is a 401 is for
    the caller to judge.
    Recognises a repeat: `none`; a token too many harms nobody.
    """

    def __init__(self, section: settings.AcmIdm, *, token_url: str, scope: str) -> None:
        """Raises `SettingsError` when the private key cannot be read."""
        self._client_id = section.client_id
        self._key = read_key(section.private_key_file)
        self._token_url = token_url
        self._scope = scope
        self._client = httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False, verify=authorities())
        self._one_at_a_time = asyncio.Lock()
        self._token: str | None = None
        self._renew_at = 0.0

    async def aclose(self) -> None:
        await self._client.aclose()

    async def token(self) -> str:
        """The token to show now.

        Raises:
            Unavailable: ACM does not answer, or answers with a 5xx.
            Declined: ACM does not give Loket this scope.
        """
        async with self._one_at_a_time:
            if self._token is None or time.monotonic() >= self._renew_at:
                self._token, lifetime = await self._renew()
                self._renew_at = time.monotonic() + max(
                    lifetime - RENEWED_BEFORE_EXPIRY.total_seconds(), lifetime / 2
                )
            return self._token

    def invalidate(self, token: str | None = None) -> None:
        """Forget the token; when one is named, only if it is still the present one."""
        if token is None or token == self._token:
            self._token = None

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        token = await self.token()
        request.headers["Authorization"] = f"Bearer {token}"
        answer = yield request
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            self.invalidate(token)
            request.headers["Authorization"] = f"Bearer {await self.token()}"
            yield request

    async def _renew(self) -> tuple[str, float]:
        form = {"grant_type": "client_credentials", "scope": self._scope}
        form |= client_authentication(self._key, self._client_id, self._token_url)
        answer = await ask(self._client, self._client.build_request("POST", self._token_url, data=form))
        token, lifetime = text_in(answer, "access_token"), answer.get("expires_in", 0)
        if token is None or not isinstance(lifetime, int | float):
            raise Unavailable("acmidm", "the answer holds no access token")
        return token, float(lifetime)


def read_key(file: str) -> RSAKey:
    """Loket's private key (PEM, RSA of 2048 bits or more); its `kid` is the RFC 7638 thumbprint.

    Raises:
        SettingsError: there is no such file, or no RSA key in it.
    """
    try:
        key = RSAKey.import_key(Path(file).read_bytes())
    except (OSError, JoseError, ValueError) as fault:
        raise settings.SettingsError(f"LOKET_ACMIDM_PRIVATE_KEY_FILE: {file!r}: {fault}") from fault
    if not key.is_private:
        raise settings.SettingsError(f"LOKET_ACMIDM_PRIVATE_KEY_FILE: {file!r} holds a public key only")
    key.ensure_kid()
    return key


def public_jwks(private_key_file: str) -> dict[str, Any]:
    """The public half of Loket's key as a JWK set: what ACM is given when Loket is registered there.

    Raises:
        SettingsError: there is no such file, or no RSA key in it.
    """
    public = read_key(private_key_file).as_dict(private=False)
    return {"keys": [{**public, "use": "sig", "alg": "RS256"}]}


def client_authentication(key: RSAKey, client_id: str, token_url: str) -> dict[str, str]:
    """Form fields that prove who asks (private_key_jwt, RFC 7523).

    Authlib's `PrivateKeyJWT` lets an assertion live for 3600 s (ACM: 600 at most) and, once given claims of
    its own, repeats their jti, which a strict server takes for a replay. Its signing function, called with a
    fresh jti and our own lifetime, does neither.
    """
    assertion = private_key_jwt_sign(
        key,
        client_id,
        token_url,
        claims={"jti": str(uuid4())},
        header={"kid": key.kid},
        expires_in=int(ASSERTION_LIFETIME.total_seconds()),
    )
    return {"client_id": client_id, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}


async def ask(client: httpx2.AsyncClient, request: httpx2.Request) -> dict[str, Any]:
    """The JSON object that ACM answers with.

    Raises:
        Unavailable: ACM does not answer, answers with a 5xx, or with something else.
        Declined: it refuses.
    """
    answer = calls.json_object(await calls.call("acmidm", client, request))
    if not answer:
        raise Unavailable("acmidm", "the answer is not a JSON object")
    return answer


def text_in(claims: Mapping[str, Any], name: str) -> str | None:
    """The claim `name`, where it is a text with something in it."""
    value = claims.get(name)
    return value if isinstance(value, str) and value else None
