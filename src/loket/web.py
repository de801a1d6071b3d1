"""The web application: every door behind one set of manners, and what a machine asks about the process."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import psycopg
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from loket import blueprint_page, files, hooks, logs, migrations, signin
from loket.api import schema
from loket.app import Loket
from loket.errors import Failed
from loket.identity import allowed_origins, is_secure
from loket.settings import Settings, SettingsError

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
        async with loket, loket.procedures.running(), loket.feed.running():
            yield

    return _Doors(
        routes=[
            Route("/", _home),
            *api,
            *signin.routes(loket),
            *hooks.routes(loket),
            *files.routes(loket),
            *blueprint_page.routes(loket),
            *_probes(loket),
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


def _own_doors(routes: Sequence[BaseRoute]) -> dict[str, Route]:
    """Routes without parameters to an application of its own, which answers every method itself."""
    return {
        route.path: route
        for route in reversed(routes)
        if isinstance(route, Route) and route.methods is None and not route.param_convertors
    }


async def _home(_: Request) -> Response:
    return RedirectResponse("/graphql", 303)


class Manners:
    """Around every request: its id in and out, security headers, one line in the log, no trace to the caller.

    The line names the route's template and never the address itself: that may hold a token.
    What a page of no other origin asks of one of `doors` goes there straight, past all that would let it by.
    """

    def __init__(self, app: ASGIApp, *, secure: bool, doors: Mapping[str, Route]) -> None:
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
        asked = origin = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                asked = value
            elif name == b"origin":
                origin = value
        request_id = asked.decode("latin-1") if _REQUEST_ID.fullmatch(asked) else uuid7().hex
        token = logs.request_id.set(request_id)
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

        try:
            door = self._doors.get(scope["path"]) if scope["type"] == "http" and not origin else None
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
            route = scope.get("route")
            line = {
                "request": request_id,
                "method": scope.get("method", "SOCKET"),
                "route": getattr(route, "path", "(none)"),
                "status": status,
                "ms": round((time.perf_counter() - began) * 1000, 1),
            }
            access.info("%s %s %s", line["method"], line["route"], status, extra={"fields": line})
            logs.request_id.reset(token)


_NOT_NOW = (Failed, OperationalError, InterfaceError, PoolTimeout, psycopg.OperationalError)


def _trouble(fault: Exception, request_id: str) -> Response:
    """What went wrong is for the log; the caller learns whether to come again, and the id to ask about."""
    if isinstance(fault, _NOT_NOW):
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


# --- what machines ask ------------------------------------------------------------------------


def _probes(loket: Loket) -> list[Route]:
    ready = _Ready(loket)

    async def live(_: Request) -> Response:
        return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(
            await _metrics(loket),
            media_type="text/plain; version=0.0.4; charset=utf-8",
            headers={"Cache-Control": "no-store"},
        )

    return [Route("/livez", live), Route("/readyz", ready.answer), Route("/metrics", metrics)]


class _Ready:
    """Ready when the database answers and has all tables; the tables are looked at until they are there."""

    def __init__(self, loket: Loket) -> None:
        self._loket = loket
        self._migrated = False

    async def answer(self, _: Request) -> Response:
        lacking = await self._lacking()
        return PlainTextResponse(
            f"{lacking or 'ready'}\n", 503 if lacking else 200, {"Cache-Control": "no-store"}
        )

    async def _lacking(self) -> str:
        if not await self._loket.database.ping():
            return "the database does not answer"
        if not self._migrated:
            url = self._loket.database.url.render_as_string(hide_password=False)
            self._migrated = not await asyncio.to_thread(migrations.pending, url)
        return "" if self._migrated else "the database lacks tables: run `loket migrate`"


async def _metrics(loket: Loket) -> str:
    """In Prometheus's text format. Numbers only, of the whole installation except for the subscribers."""
    async with loket.database.reader() as reader:
        effects = await (await reader.execute(OPEN_EFFECTS)).fetchall()
        lanes = await (await reader.execute(LANES)).fetchall()
        timers = await (await reader.execute(TIMERS)).fetchone()
    assert timers is not None
    pending = [row for row in effects if row[1] == "PENDING"]
    parked = [row for row in effects if row[1] != "PENDING"]
    return "".join(
        [
            _metric(
                "loket_effect_oldest_seconds", "Age of the oldest effect still to be carried out.",
                [({"system": row[0]}, row[3]) for row in pending],
            ),
            _metric(
                "loket_effects_pending", "Effects still to be carried out.",
                [({"system": row[0]}, row[2]) for row in pending],
            ),
            _metric(
                "loket_effects_parked", "Effects that wait for a person.",
                [({"system": row[0], "state": row[1]}, row[2]) for row in parked],
            ),
            _metric("loket_lanes", "Lanes with work.", [({"system": row[0]}, row[1]) for row in lanes]),
            _metric(
                "loket_lane_overdue_seconds", "How long a lane waits for a worker to look at it.",
                [({"system": row[0]}, row[2]) for row in lanes],
            ),
            _metric("loket_timer_overdue_seconds", "How late the oldest due timer is.", [({}, timers[0])]),
            _metric("loket_subscribers", "Subscriptions of this process.", [({}, loket.feed.subscribers)]),
        ]
    )  # fmt: skip


def _metric(name: str, help: str, values: Sequence[tuple[dict[str, str], float]]) -> str:
    lines = [f"# HELP {name} {help}", f"# TYPE {name} gauge"]
    for labels, value in values:
        shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{shown}}} {float(value):g}" if shown else f"{name} {float(value):g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


OPEN_EFFECTS = """
    SELECT system, state, count(*), extract(epoch FROM now() - min(created_at))::float8
      FROM effect WHERE state IN ('PENDING', 'PARKED', 'IN_DOUBT')
     GROUP BY system, state ORDER BY system, state
"""
LANES = """
    SELECT system, count(*), greatest(extract(epoch FROM now() - min(due_at)), 0)::float8
      FROM lane WHERE due_at IS NOT NULL GROUP BY system ORDER BY system
"""
TIMERS = """
    SELECT greatest(extract(epoch FROM now() - min(due_at)), 0)::float8 FROM (
        SELECT due_at FROM timer WHERE state = 'ARMED' ORDER BY due_at LIMIT 1) AS oldest
"""
