"""Server-Sent Events: answers one after another in a response that stays open."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from loket.api.engine import Answer

EVENT_STREAM = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
"""Between comments on a silent stream, so that proxies leave it open."""


class EventStream(Response):
    """Server-Sent Events, as graphql-sse has them, with an `id` for what can be resumed.

    Ends when the client goes, when what it signed in with expires, and soon after it signed out.
    """

    def __init__(
        self,
        events: AsyncGenerator[Answer, None],
        until: datetime | None,
        lasts: Callable[[], Awaitable[bool]],
        look_seconds: float,
        leave: Callable[[], None],
    ) -> None:
        """`leave` is called when it ends."""
        super().__init__(
            headers={
                "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
                "Cache-Control": "no-cache, no-transform",
                "X-Accel-Buffering": "no",
            }
        )
        del self.headers["content-length"]
        self._events = events
        self._until = until
        self._lasts = lasts
        self._look_seconds = look_seconds
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._stream(receive, send)
        finally:
            self._leave()

    async def _stream(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        gone = asyncio.ensure_future(_disconnected(receive))
        coming: asyncio.Future[Answer] | None = None
        looked_at = time.monotonic()
        try:
            while not gone.done():
                if time.monotonic() - looked_at > self._look_seconds:
                    looked_at = time.monotonic()
                    if not await self._lasts():
                        await self._send(send, _event(None))
                        break
                if coming is None:
                    coming = asyncio.ensure_future(anext(self._events))
                either: list[asyncio.Future[Any]] = [coming, gone]
                await asyncio.wait(either, timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    answer, coming = await _result(coming), None
                    await self._send(send, _event(answer))
                    if answer is None:
                        break
                elif self._patience() == 0:
                    await self._send(send, _event(None))
                    break
                elif not gone.done():
                    await self._send(send, b": still here\n\n")
        finally:
            for task in (gone, coming):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError, StopAsyncIteration):
                        await task
            await self._events.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _patience(self) -> float:
        if self._until is None:
            return min(HEARTBEAT_SECONDS, self._look_seconds)
        left = (self._until - datetime.now(UTC)).total_seconds()
        return min(max(left, 0), HEARTBEAT_SECONDS, self._look_seconds)

    async def _send(self, send: Send, body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _result(coming: "asyncio.Future[Answer]") -> Answer | None:
    try:
        return await coming
    except StopAsyncIteration:
        return None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(answer: Answer | None) -> bytes:
    """One event; a stream ends with `complete`. Browsers drop events without data, so it has some."""
    if answer is None:
        return b"event: complete\ndata: \n\n"
    head = b"" if answer.cursor is None else b"id: " + answer.cursor.encode() + b"\n"
    body = answer.body
    if b"\n" in body or b"\r" in body:
        body = orjson.dumps(orjson.loads(body))
    return head + b"event: next\ndata: " + body + b"\n\n"
