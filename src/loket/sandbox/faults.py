"""Every system can be told to fail: refuse, break, hang, be slow, lose its answer, act twice, babble.

`/sim/faults` sets it, `/sim/received` shows what came in. Requests under `/sim/` are neither faulted
nor recorded.
"""

import asyncio
import random
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from loket.sandbox.state import BODY_KEPT, State, stamp

Mode = Literal["refuse", "error", "timeout", "slow", "lose_answer", "duplicate", "malformed"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Fault:
    """How a system misbehaves.

    refuse       answers `status` (403) without acting
    error        answers `status` (503) without acting
    timeout      holds the line for `seconds` (60), then hangs up without acting
    slow         waits `seconds` (2), then acts as usual
    lose_answer  acts, then hangs up without a word
    duplicate    acts twice on one request; sends what it sends by itself (a hook) twice
    malformed    acts, and answers with half of its answer

    `count` is how many times (None: until cleared), `path` a prefix of the request's path, or of
    `hook:<type>` for what the system sends by itself, `probability` from 0 to 1.
    """

    mode: Mode
    seconds: float | None = None
    count: int | None = None
    path: str = ""
    status: int | None = None
    probability: float = 1.0

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Fault":
        """Raises `ValueError` for what is not a fault."""
        unknown = set(document) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        if document.get("mode") not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}")
        fault = cls(**document)
        if not 0 <= fault.probability <= 1:
            raise ValueError("probability must lie between 0 and 1")
        if fault.status is not None and not 400 <= fault.status <= 599:
            raise ValueError("status must be an error: 400 to 599")
        return fault

    @property
    def wait_seconds(self) -> float:
        if self.seconds is not None:
            return self.seconds
        return {"timeout": 60.0, "slow": 2.0}.get(self.mode, 0.0)


class Faults:
    """The faults that one system was told to have; kept in its state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def listed(self) -> list[Fault]:
        return [Fault.of(document) for document in self._state.all("fault")]

    def add(self, fault: Fault) -> None:
        self._state.append("fault", asdict(fault))

    def clear(self) -> None:
        self._state.delete("fault")

    def take(self, path: str, *modes: Mode) -> Fault | None:
        """The first fault that strikes now, counted down. `modes`: only those that the caller can act out."""
        for key, document in self._state.items("fault"):
            fault = Fault.of(document)
            if (modes and fault.mode not in modes) or not path.startswith(fault.path):
                continue
            if fault.probability < 1 and random.random() >= fault.probability:  # noqa: S311  # not a secret
                continue
            if fault.count is not None and fault.count <= 1:
                self._state.delete("fault", key)
            elif fault.count is not None:
                self._state.put("fault", key, document | {"count": fault.count - 1})
            return fault
        return None


def sim_routes(state: State) -> list[Route]:
    """The switches and the record of one system, under `/sim/`."""
    faults = Faults(state)

    async def switches(request: Request) -> Response:
        if request.method == "DELETE":
            faults.clear()
        elif request.method == "POST":
            try:
                faults.add(Fault.of(await request.json()))
            except (ValueError, TypeError, AttributeError) as wrong:
                return JSONResponse({"title": str(wrong), "status": 400}, 400)
        return JSONResponse(
            [asdict(fault) for fault in faults.listed()], 201 if request.method == "POST" else 200
        )

    async def received(request: Request) -> Response:
        if request.method == "DELETE":
            state.forget_requests()
        last = int(request.query_params.get("last", "1000"))
        return JSONResponse(state.received(request.query_params.get("path", ""), last))

    return [
        Route("/sim/faults", switches, methods=["GET", "POST", "DELETE"]),
        Route("/sim/received", received, methods=["GET", "DELETE"]),
    ]


class Front:
    """Stands before a system's app: writes down each request, and strikes where a fault says so."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state
        self._faults = Faults(state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sim/"):
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        body = await _body(receive)
        fault = self._faults.take(scope["path"])
        request = _written_down(scope, body) | {"fault": fault and fault.mode, "status": None}
        answer: list[Message] | None = None
        try:
            answer = await self._answer(scope, body, fault)
            request["status"] = answer[0]["status"] if answer else None
        finally:
            self._state.record(request | {"ms": round((time.monotonic() - began) * 1000, 1)})
        if answer is None:
            await _hang_up(scope, receive)
            return
        for message in answer:
            await send(message)

    async def _answer(self, scope: Scope, body: bytes, fault: Fault | None) -> list[Message] | None:
        """The messages to send, or None: hang up."""
        if fault is None:
            return await _run(self._app, scope, body)
        if fault.mode in ("refuse", "error"):
            status = fault.status or (403 if fault.mode == "refuse" else 503)
            problem = JSONResponse({"title": "Told to fail", "status": status}, status)
            return await _run(problem, scope, body)
        if fault.mode in ("timeout", "slow"):
            await asyncio.sleep(fault.wait_seconds)
            return None if fault.mode == "timeout" else await _run(self._app, scope, body)
        answer = await _run(self._app, scope, body)
        if fault.mode == "duplicate":
            return await _run(self._app, scope, body)
        return _halved(answer) if fault.mode == "malformed" else None


def _written_down(scope: Scope, body: bytes) -> dict[str, Any]:
    return {
        "at": stamp(),
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode("latin-1"),
        "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        "body": body.decode("utf-8", "replace")[:BODY_KEPT],
    }


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _run(app: ASGIApp, scope: Scope, body: bytes) -> list[Message]:
    """What `app` answers, gathered; answers in the sandbox are small and never stream."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return unread.pop() if unread else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(dict(scope), receive, send)
    return sent


def _halved(answer: list[Message]) -> list[Message]:
    whole = b"".join(message.get("body", b"") for message in answer[1:])
    headers = [(name, value) for name, value in answer[0]["headers"] if name != b"content-length"]
    start = {**answer[0], "headers": [*headers, (b"content-length", b"%d" % (len(whole) // 2))]}
    return [start, {"type": "http.response.body", "body": whole[: len(whole) // 2]}]


_lines: dict[tuple[Any, Any], asyncio.Transport] = {}
"""Open connections by (our address, theirs). ASGI has no word for hanging up on a caller."""


class Line(HttpToolsProtocol):
    """uvicorn's protocol, which also remembers its connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        _lines[(self.server, self.client)] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        _lines.pop((self.server, self.client), None)
        super().connection_lost(exc)


async def _hang_up(scope: Scope, receive: Receive) -> None:
    transport = _lines.get((scope.get("server"), scope.get("client")))
    if transport is not None:
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass
