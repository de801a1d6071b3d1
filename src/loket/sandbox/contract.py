"""The published contracts, held to the letter: sign-in, repeats, bodies, problem details.

The OpenAPI file itself judges what comes in. It is a document that both sides can read, no code of Loket.
"""

import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from loket.sandbox.state import State, now, stamp

FOLDER = Path(__file__).parents[1] / "systems" / "contracts"
PROBLEMS = "https://loket.example/problems/"

Endpoint = Callable[[Request], Awaitable[Response]]
Json = dict[str, Any]
Handler = Callable[[Request, Json], tuple[int, Json | None]]
"""Request and its body (empty where none belongs) → status and document (None: no content). Never waits."""


class Contract:
    """One OpenAPI 3.1 file; its schemas are JSON Schema 2020-12."""

    def __init__(self, file: str) -> None:
        self._document: dict[str, Any] = YAML(typ="safe", pure=True).load(FOLDER / file)

    def faults(self, schema: str, body: object) -> list[dict[str, str]]:
        """Where `body` strays from a schema of the contract: JSON Pointer and what is wrong there."""
        validator = Draft202012Validator(
            {"$ref": f"#/components/schemas/{schema}", "components": self._document["components"]},
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        return [
            {"pointer": "".join(f"/{part}" for part in fault.absolute_path), "detail": fault.message}
            for fault in validator.iter_errors(body)
        ]


@dataclass
class Problem(Exception):
    """A refusal as problem details (RFC 9457); `slug` is the last part of its `type`."""

    status: int
    slug: str
    title: str
    detail: str = ""
    errors: list[dict[str, str]] = field(default_factory=list)

    def response(self) -> Response:
        document: dict[str, Any] = {"type": PROBLEMS + self.slug, "title": self.title, "status": self.status}
        if self.detail:
            document["detail"] = self.detail
        if self.errors:
            document["errors"] = self.errors
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else None
        return JSONResponse(document, self.status, headers, media_type="application/problem+json")


class Door:
    """Where calls of the contract come in."""

    def __init__(self, state: State, token: str, contract: Contract) -> None:
        self._state = state
        self._token = token
        self._contract = contract

    def guarded(self, handler: Handler, *, schema: str | None = None) -> Endpoint:
        """`handler` behind sign-in, its body's schema and, for what changes something, the key."""

        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            try:
                self._signed_in(request)
                if request.method == "GET":
                    status, document = handler(request, {})
                else:
                    status, document = self._once(request, raw, handler, schema)
            except Problem as problem:
                return problem.response()
            return Response(status_code=status) if document is None else JSONResponse(document, status)

        return endpoint

    def _signed_in(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._token or token != self._token:
            raise Problem(401, "sign-in-required", "A valid Bearer token is needed")

    def _once(
        self, request: Request, raw: bytes, handler: Handler, schema: str | None
    ) -> tuple[int, Json | None]:
        """Carry out, or answer as before. Only success is kept: a slot that was full may have room by now."""
        key = request.headers.get("idempotency-key", "")
        if not is_uuid(key):
            raise Problem(400, "malformed", "Idempotency-Key: one UUID for one change")
        asked = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + raw).hexdigest()
        earlier = self._state.get("idempotency", key)
        if earlier is not None:
            if earlier["asked"] != asked:
                raise Problem(
                    409, "idempotency-mismatch", "This Idempotency-Key was used for another request"
                )
            return earlier["status"], earlier["document"]
        status, document = handler(request, self._body(raw, schema) if schema else {})
        self._state.put(
            "idempotency", key, {"asked": asked, "status": status, "document": document, "at": stamp()}
        )
        return status, document

    def _body(self, raw: bytes, schema: str) -> Json:
        try:
            body: Json = json.loads(raw)
        except ValueError as fault:
            raise Problem(400, "malformed", "The body is not JSON", str(fault)) from fault
        faults = self._contract.faults(schema, body)
        if faults:
            raise Problem(400, "malformed", "The request does not follow the contract", errors=faults)
        return body


def is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def notice(kind: str, data: dict[str, Any]) -> bytes:
    """The body of a notice to Loket."""
    told = {
        "id": str(uuid.uuid4()),
        "type": kind,
        "occurredAt": now().isoformat(timespec="seconds"),
        "data": data,
    }
    return json.dumps(told, ensure_ascii=False).encode()
