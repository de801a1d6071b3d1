"""One API process: uvicorn, and how it takes leave without an error for anybody.

At SIGTERM it takes no new connections; those go to the other processes that have the socket. Streams and
sockets are closed at once, and come back with their cursor. A connection that is kept alive is served once
more, with `Connection: close`; one that stays silent for `IDLE_SECONDS` is closed. Nobody is cut off in the
middle of a request that ends within `DRAIN_SECONDS`.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loket import parting

DRAIN_SECONDS = 9.0
"""How long requests under way may take."""
IDLE_SECONDS = 3.0
"""How long a connection without a request is waited for: its client may just be sending one."""
CLOSE_SECONDS = 1.0
LOOK_SECONDS = 0.05
UNREAD_SECONDS = 60.0
"""What a client does not read waits in the kernel, where nobody else sees it, at most so long."""
RESTART = 1012
"""The code of WebSockets for a server that starts again."""


def serve(
    app: Callable[[], ASGIApp], *, host: str, port: int, fd: int | None, ready: Callable[[], None]
) -> bool:
    """Serve until SIGTERM or SIGINT; whether it came so far as to serve.

    `fd`: a listening socket, in place of host and port. `ready` is called once
    requests are taken.
    """
    leave = Leave(app)
    config = uvicorn.Config(
        leave.loaded,
        factory=True,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,  # triples the memory of an idle subscriber
        server_header=False,
        access_log=False,
        log_config=None,  # the application writes all lines alike
        timeout_graceful_shutdown=int(DRAIN_SECONDS - IDLE_SECONDS),
    )
    server = Server(config, leave, ready)
    listener = config.bind_socket() if fd is None else socket.socket(fileno=fd)
    cut_off_unread(listener)
    server.run([listener])
    return server.started


def cut_off_unread(listener: socket.socket, seconds: float = UNREAD_SECONDS) -> None:
    """Have connections end whose other side is gone or takes nothing for so long: they inherit it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_USER_TIMEOUT", int(seconds * 1000)),
        ("TCP_KEEPIDLE", max(int(seconds / 2), 1)),
        ("TCP_KEEPINTVL", max(int(seconds / 6), 1)),
        ("TCP_KEEPCNT", 3),
    ):
        if hasattr(socket, name):  # the first is Linux's
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Server(uvicorn.Server):
    """uvicorn's, with `Leave` around the application."""

    def __init__(self, config: uvicorn.Config, leave: "Leave", ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._leave = leave
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        parting.begin()
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]  # of answers to come
        for connection in state.connections:
            if _is_busy(connection):
                connection.shutdown()  # after the answer that is under way
        await self._leave.now()
        end = time.monotonic() + IDLE_SECONDS
        while state.connections and time.monotonic() < end and not self.force_exit:  # noqa: ASYNC110  # uvicorn's
            await asyncio.sleep(LOOK_SECONDS)
        await super().shutdown()


def _is_busy(connection: Any) -> bool:  # noqa: ANN401  # uvicorn has a class per protocol
    """Whether it is of HTTP, and a request on it is being answered."""
    cycle = getattr(connection, "cycle", None)
    return cycle is not None and not cycle.response_complete


class Leave:
    """Around an application: ends what would go on for ever, once it is time."""

    def __init__(self, app: Callable[[], ASGIApp]) -> None:
        self._make = app
        self._app: ASGIApp | None = None
        self._leaving = asyncio.Event()
        self._sockets: set[_Socket] = set()

    def loaded(self) -> ASGIApp:
        self._app = self._make()
        return self

    async def now(self) -> None:
        """Close event streams and sockets, those that are still to be opened as well."""
        self._leaving.set()
        closing = [asyncio.ensure_future(one.close()) for one in self._sockets]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)  # a slow one is cut off later

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None
        if scope["type"] == "http" and _is_for_a_stream(scope):
            await self._app(scope, _Stream(receive, self._leaving), send)
        elif scope["type"] == "websocket":
            opened = _Socket(send, self._leaving)
            self._sockets.add(opened)
            try:
                await self._app(scope, receive, opened.send)
            finally:
                self._sockets.discard(opened)
        else:
            await self._app(scope, receive, send)


def _is_for_a_stream(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/event-stream" in value for name, value in scope["headers"])


class _Stream:
    """What a stream receives: its request, and then that its client is gone, once it is time to leave.

    So it says its last word itself, and the client sees a whole answer.
    """

    def __init__(self, receive: Receive, leaving: asyncio.Event) -> None:
        self._receive = receive
        self._leaving = leaving
        self._asked = False

    async def __call__(self) -> Message:
        if not self._asked:
            message = await self._receive()
            self._asked = not message.get("more_body", False)
            return message
        coming = asyncio.ensure_future(self._receive())
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else {"type": "http.disconnect"}
        finally:
            coming.cancel()
            leaving.cancel()


class _Socket:
    """What a WebSocket sends; nothing more after it was closed."""

    __slots__ = ("_accepted", "_closed", "_leaving", "_send")

    def __init__(self, send: Send, leaving: asyncio.Event) -> None:
        self._send = send
        self._leaving = leaving
        self._accepted = self._closed = False

    async def send(self, message: Message) -> None:
        if self._closed:
            return
        self._closed = message["type"] == "websocket.close"
        await self._send(message)
        if message["type"] == "websocket.accept":
            self._accepted = True
            if self._leaving.is_set():
                await self.close()

    async def close(self) -> None:
        if self._accepted:
            with contextlib.suppress(OSError, RuntimeError):  # the client was faster
                await self.send({"type": "websocket.close", "code": RESTART, "reason": "Loket starts again"})
