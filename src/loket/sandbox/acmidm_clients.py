"""The applications that ACM/IDM knows, and how each proves to be itself."""

import base64
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse

from loket.sandbox.state import State

ASSERTION_SECONDS = 600
"""The longest life of a client assertion, from `iat` to `exp`."""
SKEW_SECONDS = 30
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class OAuthError(Exception):
    """The answer that RFC 6749 has for what went wrong."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.answer = JSONResponse({"error": error, "error_description": description}, status)
        self.error = error


@dataclass(frozen=True)
class Client:
    """An application as its integration file describes it."""

    client_id: str
    redirect_uris: tuple[str, ...]
    scopes: frozenset[str]
    keys: KeySet | None
    secret: str | None
    logout_uris: tuple[str, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Client":
        return cls(
            document["client_id"],
            tuple(document.get("redirect_uris", ())),
            frozenset(document.get("scopes", ())),
            KeySet.import_key_set(document["jwks"]) if document.get("jwks") else None,
            document.get("client_secret"),
            tuple(document.get("post_logout_redirect_uris", ())),
        )


class Clients:
    """All applications; remembers the assertions that were used."""

    def __init__(self, documents: Iterable[Mapping[str, Any]], state: State, token_url: str) -> None:
        self._clients = {client.client_id: client for client in map(Client.of, documents)}
        self._state = state
        self._token_url = token_url

    def get(self, client_id: str) -> Client | None:
        return self._clients.get(client_id)

    def behind(self, request: Request, form: FormData) -> Client:
        """The client that this request proves to come from.

        Raises:
            OAuthError: invalid_client, with what is wrong with the assertion or the secret.
        """
        if "client_assertion" in form:
            return self._by_assertion(form)
        client_id, secret = _secret_of(request, form)
        client = self._clients.get(client_id)
        if client is None or client.secret is None or not secrets.compare_digest(client.secret, secret):
            raise OAuthError("invalid_client", "client authentication failed", 401)
        return client

    def _by_assertion(self, form: FormData) -> Client:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise OAuthError("invalid_client", f"client_assertion_type must be {ASSERTION_TYPE}", 401)
        text = str(form["client_assertion"])
        client = self._named_in(text)
        if form.get("client_id", client.client_id) != client.client_id:
            raise OAuthError("invalid_client", "client_id is not the assertion's", 401)
        try:
            token = jwt.decode(text, client.keys or KeySet([]), algorithms=["RS256"])
        except (JoseError, ValueError) as wrong:
            raise OAuthError(
                "invalid_client", f"assertion is not signed with a known key: {wrong}", 401
            ) from wrong
        fault = self._fault_in(token.header, token.claims, client)
        if fault:
            raise OAuthError("invalid_client", fault, 401)
        self._state.put("jti", f"{client.client_id} {token.claims['jti']}", {"exp": token.claims["exp"]})
        return client

    def _named_in(self, text: str) -> Client:
        """The client that an assertion says to be; not yet believed."""
        try:
            body = text.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            return self._clients[claims["sub"]]
        except (IndexError, ValueError, KeyError, TypeError) as wrong:
            raise OAuthError("invalid_client", "assertion names no known client", 401) from wrong

    def _fault_in(self, header: Mapping[str, Any], claims: Mapping[str, Any], client: Client) -> str | None:
        now = time.time()
        issued, expires, jti = claims.get("iat"), claims.get("exp"), claims.get("jti")
        audiences = claims.get("aud")
        if "kid" not in header:
            return "kid is missing"
        if claims.get("iss") != client.client_id or claims.get("sub") != client.client_id:
            return "iss and sub must both be the client_id"
        if self._token_url not in ([audiences] if isinstance(audiences, str) else audiences or []):
            return f"aud must be {self._token_url}"
        if not isinstance(issued, int) or not isinstance(expires, int):
            return "iat and exp must be there, in seconds"
        if issued > now + SKEW_SECONDS:
            return "iat lies in the future"
        if expires <= now - SKEW_SECONDS:
            return "assertion has expired"
        if expires - issued > ASSERTION_SECONDS:
            return f"exp lies more than {ASSERTION_SECONDS} seconds after iat"
        if not isinstance(jti, str) or not jti:
            return "jti is missing"
        if self._state.get("jti", f"{client.client_id} {jti}") is not None:
            return "jti was used before"
        return None


def _secret_of(request: Request, form: FormData) -> tuple[str, str]:
    header = request.headers.get("authorization", "")
    if header.lower().startswith("basic "):
        try:
            name, _, secret = base64.b64decode(header[6:]).decode().partition(":")
        except ValueError:
            return "", ""
        return name, secret
    return str(form.get("client_id", "")), str(form.get("client_secret", ""))
