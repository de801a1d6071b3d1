"""The web application: every door behind one set of manners."""

import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loket import blueprint_page, counting, files, hooks, logs, probes, signin, tracing
from loket.api import schema
from loket.app import Loket
from loket.database import NOT_NOW
from loket.errors import Failed
from loket.identity import allowed_origins, is_secure
from loket.pulse import Pulse
from loket.records import ProcessKind
from loket.settings import Settings, SettingsError
from loket.tracing import UNTOLD

access = logging.getLogger("loket.access")
logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}
"""For every answer that does not say otherwise itself."""
HSTS_SECONDS = 31_536_000
RETRY_SECONDS = 5


def asgi() -> Starlette:
    """What uvicorn starts; settings come from the environment. Raises `SettingsError`."""
    logs.configure()
    tracing.start("api")
    return web(Loket(Settings.from_environment()))


def web(loket: Loket) -> Starlette:
    """All doors of `loket`, which is opened and closed with the application.

    Raises:
        SettingsError: in production, addresses that are not https; or a scanner that is none.
    """
    return assemble(loket, schema.routes(loket))


def assemble(loket: Loket, api: Sequence[BaseRoute]) -> Starlette:
    """`api`: the routes of the GraphQL schema."""
    settings = loket.settings
    if settings.production and not is_secure(settings):
        raise SettingsError("LOKET_PUBLIC_URL must be https in production: a cookie travels over it")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        def look() -> None:
            counting.subscribed(loket.feed.subscribers)

        pulse = Pulse(loket.database, ProcessKind.API, look=look)
        async with loket, loket.procedures.running(), loket.feed.running(), pulse.beating():
            yield
        tracing.stop()

    return _Doors(
        routes=[
            Route("/", _home),
            *api,
            *signin.routes(loket),
            *hooks.routes(loket),
            *files.routes(loket),
            *blueprint_page.routes(loket),
            *probes.routes(loket),
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=sorted(allowed_origins(settings)),
                allow_methods=["GET", "POST", "PUT"],
                allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
                expose_headers=["X-Request-Id"],
                allow_credentials=True,
            ),
        ],
        lifespan=lifespan,
        secure=is_secure(settings),
    )


class _Doors(Starlette):
    """Starlette with our manners around all of it, its own last resort included."""

    def __init__(self, *, secure: bool, routes: Sequence[BaseRoute], **rest: Any) -> None:  # noqa: ANN401  # Starlette's
        self._secure = secure
        super().__init__(routes=routes, **rest)

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = ExceptionMiddleware(self.router)
        for middleware in reversed(self.user_middleware):
            app = middleware.cls(app, *middleware.args, **middleware.kwargs)
        return Manners(app, secure=self._secure, doors=_own_doors(self.routes))


Doors = Mapping[tuple[str, str], Route | WebSocketRoute]
"""By kind of connection and path."""


def _own_doors(routes: Sequence[BaseRoute]) -> Doors:
    """Routes without parameters to an application of its own, which answers every method itself."""
    found: dict[tuple[str, str], Route | WebSocketRoute] = {}
    for route in reversed(routes):
        if isinstance(route, Route) and route.methods is None and not route.param_convertors:
            found["http", route.path] = route
        elif isinstance(route, WebSocketRoute) and not route.param_convertors:
            found["websocket", route.path] = route
    return found


async def _home(_: Request) -> Response:
    return RedirectResponse("/graphql", 303)


class Manners:
    """Around every request: its id in and out, security headers, one line in the log, no trace to the caller.

    The line names the route's template and never the address itself: that may hold a token.
    What a page of no other origin asks of one of `doors` goes there straight, past all that would let it by;
    and so does a socket, which looks at its origin itself: each of thousands would hold on to all of that.
    """

    def __init__(self, app: ASGIApp, *, secure: bool, doors: Doors) -> None:
        self._app = app
        self._doors = doors
        always = SECURITY_HEADERS | (
            {"Strict-Transport-Security": f"max-age={HSTS_SECONDS}; includeSubDomains"} if secure else {}
        )
        self._headers = [(name.lower().encode(), value.encode()) for name, value in always.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        asked = origin = traceparent = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                asked = value
            elif name == b"origin":
                origin = value
            elif name == b"traceparent":
                traceparent = value
        given = asked.decode("latin-1") if _REQUEST_ID.fullmatch(asked) else ""
        with tracing.within(tracing.begun(traceparent.decode("latin-1"), given)) as trace:
            request_id = given or trace.id
            token = logs.request_id.set(request_id)
            try:
                await self._answer(scope, receive, send, request_id, is_foreign=bool(origin))
            finally:
                logs.request_id.reset(token)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, *, is_foreign: bool
    ) -> None:
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                headers = list(message.get("headers", ()))
                said = {name for name, _ in headers}
                headers += [one for one in self._headers if one[0] not in said]
                headers.append((b"x-request-id", request_id.encode()))
                message["headers"] = headers
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        kind = scope["type"]
        door = None if is_foreign and kind == "http" else self._doors.get((kind, scope["path"]))
        method = scope.get("method", "SOCKET")
        # a socket lasts for hours: each operation over it is a span of its own
        is_short = scope["type"] == "http"
        with tracing.span(method, "server", http__request__method=method) if is_short else UNTOLD as span:
            try:
                if door is None:
                    await self._app(scope, receive, answer)
                else:
                    scope["route"] = door
                    await door.app(scope, receive, answer)
            except Exception as fault:
                if status or scope["type"] != "http":
                    logger.exception("a request broke off")
                else:
                    await _trouble(fault, request_id)(scope, receive, answer)
            finally:
                route = getattr(scope.get("route"), "path", "(none)")
                span.rename(f"{method} {route}")
                span.say("http__route", route)
                span.say("http__response__status_code", status)
                counting.requested(route, status)
                line = {
                    "request": request_id,
                    "method": method,
                    "route": route,
                    "status": status,
                    "ms": round((time.perf_counter() - began) * 1000, 1),
                }
                access.info("%s %s %s", method, route, status, extra={"fields": line})


def _trouble(fault: Exception, request_id: str) -> Response:
    """What went wrong is for the log; the caller learns whether to come again, and the id to ask about."""
    if isinstance(fault, (Failed, *NOT_NOW)):
        logger.error("not now: %s", type(fault).__name__, exc_info=fault)
        told = {"title": "Loket kan dit nu niet doen. Probeer het later opnieuw.", "status": 503}
        headers = {"Retry-After": str(RETRY_SECONDS)}
    else:
        logger.error("our own mistake", exc_info=fault)
        told, headers = {"title": "Er ging iets mis in Loket.", "status": 500}, {}
    return JSONResponse(
        told | {"trace": request_id},
        int(str(told["status"])),
        {"Cache-Control": "no-store", **headers},
        media_type="application/problem+json",
    )
