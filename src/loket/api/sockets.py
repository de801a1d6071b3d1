"""GraphQL over WebSockets: the protocol graphql-transport-ws, under the same limits as HTTP.

Who connects is asked once, in `connection_init`; when that expires, or somebody signs out, the socket is
closed, and the client comes back with a new token and the cursor of the last event that it saw. Queries and
mutations pass too.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from graphql import GraphQLError, OperationType
from starlette.websockets import WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import (
    NonJsonMessageReceived,
    NonTextMessageReceived,
    WebSocketDisconnected,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)

from loket.api.engine import Answer
from loket.errors import ErrorCode, Refused

PING_SECONDS = 20.0
UNAUTHORIZED, FORBIDDEN, BAD_REQUEST, TOO_BIG = 4401, 4403, 4400, 1009
NUL = "\\u0000"


class Socket(ASGIWebSocketAdapter):
    """Messages as text; none is larger than a body may be."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        most = self.view.schema.limits.body_bytes  # type: ignore[attr-defined]  # our schema
        try:
            while self.ws.application_state is not WebSocketState.DISCONNECTED:
                text = await self.ws.receive_text()
                if len(text) > most:
                    await self.close(TOO_BIG, f"A message has at most {most} characters.")
                    return
                if NUL in text:
                    raise NonJsonMessageReceived
                try:
                    yield orjson.loads(text)
                except orjson.JSONDecodeError as fault:
                    if not ignore_parsing_errors:
                        raise NonJsonMessageReceived from fault
        except KeyError as fault:
            raise NonTextMessageReceived from fault
        except WebSocketDisconnect:
            return

    async def send_text(self, text: str) -> None:
        if self.ws.application_state is WebSocketState.DISCONNECTED:
            raise WebSocketDisconnected
        try:
            await self.ws.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as fault:  # starlette's word for a closed socket
            raise WebSocketDisconnected from fault

    async def close(self, code: int, reason: str) -> None:
        if self.ws.application_state is not WebSocketState.DISCONNECTED:
            with suppress(WebSocketDisconnect, RuntimeError):
                await self.ws.close(code=code, reason=reason[:120])


class Handler(BaseGraphQLTransportWSHandler[Any, Any]):
    """One connection."""

    def __init__(self, *positional: Any, **named: Any) -> None:  # noqa: ANN401  # strawberry's signature
        super().__init__(*positional, **named)
        self._timers: list[asyncio.Task[None]] = []

    @property
    def _endpoint(self) -> Any:  # noqa: ANN401  # endpoint.Endpoint, which imports this module
        return self.view

    async def handle(self) -> None:
        self._endpoint.connections.add(self)
        try:
            await super().handle()
        finally:
            self._endpoint.connections.discard(self)

    async def shutdown(self) -> None:
        for timer in self._timers:
            timer.cancel()
        for timer in self._timers:
            with suppress(asyncio.CancelledError):
                await timer
        await super().shutdown()

    async def handle_message(self, message: Any) -> None:  # noqa: ANN401  # any JSON
        """Raises nothing: what is no message of the protocol closes the socket."""
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            await self.handle_invalid_message("A message is an object with a type")
            return
        if message["type"] in {"subscribe", "complete"} and not isinstance(message.get("id"), str):
            await self.handle_invalid_message("This message needs an id")
            return
        await super().handle_message(cast("Any", message))

    async def handle_connection_init(self, message: Any) -> None:  # noqa: ANN401  # checked here
        if self.connection_timed_out:
            return
        if self.connection_init_timeout_task:
            self.connection_init_timeout_task.cancel()
        if self.connection_init_received:
            await self.websocket.close(4429, "Too many initialisation requests")
            return
        self.connection_init_received = True
        payload = message.get("payload") or {}
        if not isinstance(payload, dict):
            await self.websocket.close(BAD_REQUEST, "The payload of connection_init is an object")
            return
        if not await self._sign_in(payload):
            return
        await self.send_message({"type": "connection_ack"})
        self.connection_acknowledged = True
        self._timers.append(asyncio.create_task(self._ping()))
        self._timers.append(asyncio.create_task(self._look(payload)))
        if self.context.expires_at is not None:
            self._timers.append(asyncio.create_task(self._expire(self.context.expires_at)))

    async def _sign_in(self, payload: Mapping[str, Any]) -> bool:
        socket = cast("Socket", self.websocket)
        try:
            self.context = await self._endpoint.make_context(socket.ws, payload)
        except Refused as fault:
            wrong = fault.code in {ErrorCode.SIGN_IN_REQUIRED, ErrorCode.EXPIRED}
            await socket.close(UNAUTHORIZED if wrong else FORBIDDEN, "Unauthorized" if wrong else "Forbidden")
            return False
        if not self.context.viewer.signed_in:
            await socket.close(UNAUTHORIZED, "Unauthorized")
            return False
        return True

    async def _ping(self) -> None:
        with suppress(WebSocketDisconnected):
            while True:
                await asyncio.sleep(PING_SECONDS)
                await self.send_message({"type": "ping"})

    async def _look(self, payload: Mapping[str, Any]) -> None:
        socket = cast("Socket", self.websocket)
        while True:
            await asyncio.sleep(self._endpoint.look_seconds)
            if not await self._endpoint.lasts(socket.ws, payload):
                await socket.close(FORBIDDEN, "You have signed out")
                return

    async def _expire(self, at: datetime) -> None:
        await asyncio.sleep(max((at - datetime.now(UTC)).total_seconds(), 0))
        await self.websocket.close(FORBIDDEN, "What you signed in with has expired")

    # ------------------------------------------------------------------ operations

    async def handle_subscribe(self, message: Any) -> None:  # noqa: ANN401  # checked here
        payload = message.get("payload")
        fits = (
            isinstance(payload, dict)
            and isinstance(payload.get("query"), str)
            and isinstance(payload.get("variables"), dict | None)
            and isinstance(payload.get("operationName"), str | None)
        )
        if not fits:
            await self.handle_invalid_message("The payload of subscribe is a GraphQL request")
            return
        await super().handle_subscribe(message)

    async def run_operation(self, operation: Operation[Any, Any]) -> None:
        try:
            async with aclosing(self._answers(operation)) as answers:
                async for answer in answers:
                    if answer.data is None:
                        await self._send(operation, "error", orjson.dumps(answer.errors))
                        return
                    await self._send(operation, "next", answer.body)
            await self._send(operation, "complete", None)
        except WebSocketDisconnected:
            return
        finally:
            self.operations.pop(operation.id, None)

    async def _answers(self, operation: Operation[Any, Any]) -> AsyncGenerator[Answer, None]:
        schema = self._endpoint.schema
        document = schema.document(operation.query)
        if isinstance(document, Answer):
            yield document
            return
        given = {
            "context": self.context,
            "variables": operation.variables,
            "operation_name": operation.operation_name,
        }
        try:
            kind = document.operation(operation.operation_name).kind
        except GraphQLError:
            kind = OperationType.QUERY
        if kind is not OperationType.SUBSCRIPTION:
            yield await schema.answer(operation.query, **given)
            return
        async with aclosing(schema.events(document, **given)) as events:
            async for answer in events:
                yield answer

    async def _send(self, operation: Operation[Any, Any], kind: str, payload: bytes | None) -> None:
        if operation.completed:
            return
        if kind != "next":
            operation.completed = True
            self.operations.pop(operation.id, None)
        parts = [b'{"id":', orjson.dumps(operation.id), b',"type":"', kind.encode(), b'"']
        if payload is not None:
            parts += [b',"payload":', payload]
        await cast("Socket", self.websocket).send_text(b"".join([*parts, b"}"]).decode())
