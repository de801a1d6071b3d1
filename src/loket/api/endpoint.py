"""`/graphql` over HTTP: requests as the GraphQL-over-HTTP specification has them, and streams of events.

Sockets are in `sockets`. What is refused here is refused before anybody is asked who the caller is.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson
from graphql import GraphQLError, OperationType
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.asgi import GraphQL as StrawberryGraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from loket.api.documents import Document
from loket.api.engine import Answer, Context
from loket.api.faults import not_now, refusal
from loket.api.live import LiveSchema
from loket.api.seats import Seats
from loket.api.sockets import Handler, Pulse, Socket, address_of
from loket.api.streams import EVENT_STREAM, EventStream
from loket.database import NOT_NOW
from loket.errors import ErrorCode, Refused

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
NUL = b"\\u0000"

logger = logging.getLogger(__name__)

MakeContext = Callable[[HTTPConnection, Mapping[str, Any] | None], Awaitable[Context]]
"""Who asks: from a request, or from a socket and the payload of its `connection_init`.

It raises `Refused` with SIGN_IN_REQUIRED for credentials that are wrong or have expired.
"""
Page = Callable[[Request], Response | None]


class Malformed(Exception):
    """A request that holds no GraphQL request."""

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, code: str = "BAD_REQUEST"
    ) -> None:
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of a request."""

    query: str
    variables: Mapping[str, Any] | None
    operation_name: str | None


class Endpoint(StrawberryGraphQL[Any, Any]):
    """The ASGI application behind `/graphql`.

    `page` gives what a browser sees, or None where it is not for a browser. `allowed_origins` are those of
    the municipality's websites: from others no cookie is taken and no socket opened. `most_…`: sockets and
    streams that may be open at once, 0 for any number.
    """

    schema: LiveSchema
    graphql_transport_ws_handler_class = Handler
    websocket_adapter_class = Socket
    look_seconds = 60.0
    """How often an open connection is looked at again: whoever signed out hears nothing more after it."""

    def __init__(
        self,
        schema: LiveSchema,
        *,
        context: MakeContext,
        page: Page | None = None,
        allowed_origins: Sequence[str] = (),
        connection_init_seconds: float = 10.0,
        most_subscriptions: int = 10,
        most_of_a_person: int = 0,
        most_of_an_address: int = 0,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=connection_init_seconds),
            max_subscriptions_per_connection=most_subscriptions,
            allowed_origins=allowed_origins,
        )
        self.make_context = context
        self.page = page
        self.connections = Pulse()
        """Sockets that are open now."""
        self.known = Seats(most_of_a_person)
        """Sockets and streams of whoever signed in."""
        self.unknown = Seats(most_of_an_address)
        """Those of an address that did not say (yet) who they are."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def get_context(self, request: Any, response: Any) -> Any:  # noqa: ANN401  # strawberry's signature
        """None: a socket says who it is in its `connection_init`, see `sockets`."""

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)

    def encode_json(self, data: object) -> str | bytes:
        return orjson.dumps(data).decode()

    # ------------------------------------------------------------------ one request

    async def _respond(self, request: Request) -> Response:
        page = self.page(request) if self.page else None
        if page is not None:
            return page
        media = JSON
        try:
            media = negotiate(request.headers.get("accept"))
            asked = await self._read(request)
            document = self.schema.document(asked.query)
            if isinstance(document, Answer):
                return _response(document, media)
            self._check_method(request, document, asked)
            try:
                context = await self.make_context(request, None)
            except NOT_NOW as fault:
                return _response(Answer(b"null", [not_now(fault, "en")]), media)
            if media == EVENT_STREAM:
                context.last_event_id = request.headers.get("last-event-id")
                leave = self._seat(request, context)
                return EventStream(
                    self._events(document, asked, context),
                    _until(context),
                    partial(self.lasts, request, None),
                    self.look_seconds,
                    leave,
                )
            answer = await self.schema.answer(
                asked.query,
                context=context,
                variables=asked.variables,
                operation_name=asked.operation_name,
            )
        except Malformed as fault:
            answer = Answer(errors=[{"message": fault.message, "extensions": {"code": fault.code}}])
            return _response(answer, media, fault.status, fault.headers)
        except Refused as fault:
            status = 401 if fault.code in {ErrorCode.SIGN_IN_REQUIRED, ErrorCode.EXPIRED} else 403
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            answer = Answer(errors=[refusal(fault, "en")])
            return _response(answer, media, status, headers)
        return _response(answer, media)

    async def _read(self, request: Request) -> Asked:
        if request.method == "GET":
            return self._from_parameters(request)
        if request.method != "POST":
            raise Malformed(405, "GraphQL is asked with GET or POST.", {"Allow": "GET, POST"})
        self._check_origin(request)
        media, _, rest = request.headers.get("content-type", "").partition(";")
        if media.strip().lower() != JSON:
            raise Malformed(415, f"Send {JSON}.")
        if "charset" in rest.lower() and "utf-8" not in rest.lower():
            raise Malformed(415, "Send UTF-8.")
        body = await self._body(request)
        if NUL in body:
            raise Malformed(400, "NUL characters are not accepted.")
        try:
            given = orjson.loads(body)
        except orjson.JSONDecodeError as fault:
            raise Malformed(400, "The body is no JSON.") from fault
        return asked_of(given)

    def _from_parameters(self, request: Request) -> Asked:
        given: dict[str, Any] = dict(request.query_params)
        if any("\x00" in text or "\\u0000" in text for text in given.values()):
            raise Malformed(400, "NUL characters are not accepted.")
        for name in ("variables", "extensions"):
            if given.get(name):
                try:
                    given[name] = orjson.loads(given[name])
                except orjson.JSONDecodeError as fault:
                    raise Malformed(400, f"{name} is no JSON.") from fault
            else:
                given.pop(name, None)
        return asked_of(given)

    async def _body(self, request: Request) -> bytes:
        most = self.schema.limits.body_bytes
        if int(request.headers.get("content-length") or 0) > most:
            raise Malformed(413, f"A request has at most {most} bytes.")
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise Malformed(413, f"A request has at most {most} bytes.")
            parts.append(part)
        return b"".join(parts)

    def _check_origin(self, request: Request) -> None:
        """A cookie comes along from any page, so a page of another origin may not use it."""
        origin = request.headers.get("origin")
        if origin is None or "cookie" not in request.headers:
            return
        same = urlsplit(origin).netloc == request.headers.get("host")
        if not same and origin.rstrip("/") not in self.allowed_origins:
            raise Malformed(403, "This origin may not use a signed-in browser.")

    def _check_method(self, request: Request, document: Document, asked: Asked) -> None:
        if request.method == "GET" and _kind(document, asked) is OperationType.MUTATION:
            raise Malformed(405, "Mutations need POST.", {"Allow": "POST"})

    # ------------------------------------------------------------------ streams of events

    def _seat(self, request: Request, context: Context) -> Callable[[], None]:
        """Raises `Malformed` where the caller has as many open as they may."""
        known = context.viewer.signed_in
        seats = self.known if known else self.unknown
        leave = seats.take(_name(context) if known else address_of(request))
        if leave is None:
            message = f"There are {seats.most} connections open of yours."
            raise Malformed(429, message, {"Retry-After": "30"}, "TOO_MANY_CONNECTIONS")
        return leave

    async def lasts(self, connection: HTTPConnection, said: Mapping[str, Any] | None) -> bool:
        """Whether the cookie session of an open connection still is one."""
        if not self.must_look(connection, said):
            return True
        try:
            return bool((await self.make_context(connection, said)).viewer.signed_in)
        except Refused:
            return False
        except Exception:  # the next look may be better: nobody is sent away because something is down
            logger.warning("a connection could not be looked at", exc_info=True)
            return True

    def must_look(self, connection: HTTPConnection, said: Mapping[str, Any] | None) -> bool:
        """Whether an open connection stands by a cookie session: a Bearer token ends by itself."""
        if "authorization" in connection.headers or (said and "authorization" in said):
            return False
        return "cookie" in connection.headers

    async def _events(
        self, document: Document, asked: Asked, context: Context
    ) -> AsyncGenerator[Answer, None]:
        if _kind(document, asked) is not OperationType.SUBSCRIPTION:
            yield await self.schema.answer(
                asked.query,
                context=context,
                variables=asked.variables,
                operation_name=asked.operation_name,
            )
            return
        events = self.schema.events(
            document, context=context, variables=asked.variables, operation_name=asked.operation_name
        )
        async with aclosing(events):
            async for answer in events:
                yield answer


def _kind(document: Document, asked: Asked) -> OperationType | None:
    """What kind of operation is asked; None where there is none of that name."""
    try:
        return document.operation(asked.operation_name).kind
    except GraphQLError:
        return None


def asked_of(given: object) -> Asked:
    """The parameters in a decoded body.

    Raises:
        Malformed: a parameter is missing or of another type than the specification has it.
    """
    if not isinstance(given, dict):
        raise Malformed(400, "A request is one JSON object.")
    query, variables = given.get("query"), given.get("variables")
    name, extensions = given.get("operationName"), given.get("extensions")
    if not isinstance(query, str) or not query:
        raise Malformed(400, "query must be a text.")
    if not isinstance(variables, dict | None):
        raise Malformed(400, "variables must be an object.")
    if not isinstance(name, str | None):
        raise Malformed(400, "operationName must be a text.")
    if not isinstance(extensions, dict | None):
        raise Malformed(400, "extensions must be an object.")
    return Asked(query, variables, name or None)


def negotiate(accept: str | None) -> str:
    """The media type that a client wants most among ours.

    Raises:
        Malformed: 406, none of them will do.
    """
    best, weight = "", 0.0
    for one in (accept or "*/*").split(","):
        name, *parameters = [part.strip().lower() for part in one.split(";")]
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with suppress(ValueError):
                    quality = float(parameter[2:])
        found = {"*/*": JSON, "application/*": JSON}.get(name, name)
        if found in {JSON, GRAPHQL_JSON, EVENT_STREAM} and quality > weight:
            best, weight = found, quality
    if not best:
        raise Malformed(406, f"This gives {GRAPHQL_JSON}, {JSON} or {EVENT_STREAM}.")
    return best


def _response(
    answer: Answer, media: str, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    if status is None:
        status = 400 if answer.data is None and media == GRAPHQL_JSON else 200
    kind = JSON if media == EVENT_STREAM else media
    return Response(
        answer.body,
        status,
        {
            "Content-Type": f"{kind}; charset=utf-8",
            "Cache-Control": "no-store",
            "Vary": "Accept",
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        },
    )


def _name(context: Context) -> str:
    return getattr(context, "actor_key", "")


def _until(context: Context) -> datetime | None:
    return getattr(context, "expires_at", None)
