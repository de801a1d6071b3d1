"""GraphQL over WebSockets: the protocol graphql-transport-ws, under the same limits as HTTP.

Who connects is asked once, in `connection_init`; when that expires, or somebody signs out, the socket is
closed, and the client comes back with a new token and the cursor of the last event that it saw. Queries and
mutations pass too.

Thousands of sockets wait for something to happen: an idle one has no task or timer but that which reads it.
One pulse looks after all of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from graphql import GraphQLError, OperationType
from starlette.requests import HTTPConnection
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

from loket.api.audiences import Follow, Follower
from loket.api.engine import Answer
from loket.api.live import Opened, why
from loket.api.outlets import Gone, begin
from loket.errors import ErrorCode, Refused

PING_SECONDS = 20.0
PING = '{"type":"ping"}'
BEATS = 500
"""Sockets looked after before the process does something else."""
UNAUTHORIZED, FORBIDDEN, BAD_REQUEST, TOO_BIG, TOO_MANY = 4401, 4403, 4400, 1009, 4429
"""Clients of graphql-ws do not come back by themselves after the first and the last of them."""
NUL = "\\u0000"


def address_of(connection: HTTPConnection) -> str:
    """Whence it comes; of several behind one router the same."""
    return connection.client.host if connection.client is not None else ""


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


class Pulse:
    """Looks after all sockets of an endpoint, for as long as there are any."""

    def __init__(self) -> None:
        self._handlers: set[Handler] = set()
        self._beating: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._handlers)

    def add(self, handler: "Handler") -> None:
        self._handlers.add(handler)
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat(handler.beat_seconds), name="pulse of sockets")

    def discard(self, handler: "Handler") -> None:
        self._handlers.discard(handler)
        if not self._handlers and self._beating is not None:
            self._beating.cancel()
            self._beating = None

    async def _beat(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            now = asyncio.get_running_loop().time()
            for number, handler in enumerate(tuple(self._handlers), 1):
                handler.beat(now)
                if number % BEATS == 0:
                    await asyncio.sleep(0)


class Handler(BaseGraphQLTransportWSHandler[Any, Any]):
    """One connection."""

    def __init__(self, *positional: Any, **named: Any) -> None:  # noqa: ANN401  # strawberry's signature
        super().__init__(*positional, **named)
        self.opened_at = asyncio.get_running_loop().time()
        self._pinged_at = self._looked_at = self.opened_at
        self._said: Mapping[str, Any] | None = None
        """Of `connection_init`, where it must be looked at again."""
        self._aside: asyncio.Task[None] | None = None
        """What a beat began and could not end at once."""
        self._leave: Callable[[], None] | None = None
        """The seat that it has: at first of its address, then of whoever signed in."""

    @property
    def _endpoint(self) -> Any:  # noqa: ANN401  # endpoint.Endpoint, which imports this module
        return self.view

    @property
    def beat_seconds(self) -> float:
        patience = self.connection_init_wait_timeout.total_seconds()
        return min(1.0, patience / 2, float(self._endpoint.look_seconds) / 2)

    async def handle(self) -> None:
        self._leave = self._endpoint.unknown.take(address_of(cast("Socket", self.websocket).ws))
        if self._leave is None:
            await self.websocket.close(
                TOO_MANY, "Too many connections of one address do not say who they are"
            )
            return
        self._endpoint.connections.add(self)
        try:
            await super().handle()
        finally:
            self._endpoint.connections.discard(self)
            self._leave()

    def on_request_accepted(self) -> None:
        """The pulse waits for `connection_init`, for all sockets together."""

    async def shutdown(self) -> None:
        tasks = [self._aside, *(one.task for one in self.operations.values())]
        for id in list(self.operations):
            await self.cleanup_operation(id)
        for task in tasks:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def cleanup_operation(self, operation_id: str) -> None:
        """End what the client needs no more. Not awaited: who reads the socket must not wait for it."""
        operation: Any = self.operations.pop(operation_id, None)
        if isinstance(operation, Follower):
            operation.leave()
        elif operation is not None and operation.task is not None:
            operation.task.cancel()

    # ------------------------------------------------------------------ the pulse

    def beat(self, now: float) -> None:
        """Once in a while: has it said who it is, is it still, and is anybody there?"""
        if not self.connection_init_received:
            if now - self.opened_at >= self.connection_init_wait_timeout.total_seconds():
                self.connection_timed_out = True
                self._begin(self.websocket.close(4408, "Connection initialisation timeout"))
        elif self.connection_acknowledged and self._aside is None:
            expires_at = self.context.expires_at
            if expires_at is not None and expires_at <= datetime.now(UTC):
                self._begin(self.websocket.close(FORBIDDEN, "What you signed in with has expired"))
            elif self._said is not None and now - self._looked_at >= self._endpoint.look_seconds:
                self._looked_at = now
                self._begin(self._look(self._said))
            elif now - self._pinged_at >= PING_SECONDS:
                self._pinged_at = now
                self._begin(cast("Socket", self.websocket).send_text(PING))

    def forbid(self) -> None:
        self._begin(self.websocket.close(FORBIDDEN, "You are no longer signed in as before"))

    def _begin(self, doing: Coroutine[Any, Any, None]) -> None:
        try:
            rest = begin(doing)
        except WebSocketDisconnected:
            return
        if rest is not None:
            self._aside = asyncio.create_task(self._finish(rest))

    async def _finish(self, rest: Awaitable[None]) -> None:
        with suppress(WebSocketDisconnected):
            await rest
        self._aside = None

    async def _look(self, said: Mapping[str, Any]) -> None:
        socket = cast("Socket", self.websocket)
        if not await self._endpoint.lasts(socket.ws, said):
            await socket.close(FORBIDDEN, "You have signed out")

    # ------------------------------------------------------------------ messages

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
        if self.connection_init_received:
            await self.websocket.close(TOO_MANY, "Too many initialisation requests")
            return
        self.connection_init_received = True
        payload = message.get("payload") or {}
        if not isinstance(payload, dict):
            await self.websocket.close(BAD_REQUEST, "The payload of connection_init is an object")
            return
        if not await self._sign_in(payload):
            return
        self._looked_at = self._pinged_at = asyncio.get_running_loop().time()
        await self.send_message({"type": "connection_ack"})
        self.connection_acknowledged = True

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
        leave = self._endpoint.known.take(self.context.actor_key)
        if leave is None:
            await socket.close(TOO_MANY, f"You have {self._endpoint.known.most} connections open already")
            return False
        assert self._leave is not None
        self._leave()
        self._leave = leave
        if self._endpoint.must_look(socket.ws, payload):
            self._said = payload
        return True

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
        line = Line(self, operation.id)
        try:
            opened = await self._opened(operation)
            if isinstance(opened, Opened) and isinstance(opened.source, Follow):
                await self._follow(operation, opened, line)
                return
            async with aclosing(self._answers(operation, opened)) as answers:
                async for answer in answers:
                    if answer.data is None:
                        await line.refuse(answer)
                        return
                    await line.send(answer.body, "")
            await line.complete()
        except Gone:
            return
        finally:
            if self.operations.get(operation.id) is operation:
                del self.operations[operation.id]

    async def _opened(self, operation: Operation[Any, Any]) -> Opened | Answer | None:
        """What a subscription follows, or why it may not; None for another kind of operation."""
        schema = self._endpoint.schema
        document = schema.document(operation.query)
        if isinstance(document, Answer):
            return document
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
            return None
        return cast("Opened | Answer", await schema.open(document, **given))

    async def _answers(
        self, operation: Operation[Any, Any], opened: Opened | Answer | None
    ) -> AsyncGenerator[Answer, None]:
        schema = self._endpoint.schema
        if isinstance(opened, Answer):
            yield opened
        elif opened is None:
            yield await schema.answer(
                operation.query,
                context=self.context,
                variables=operation.variables,
                operation_name=operation.operation_name,
            )
        else:
            async with aclosing(schema.answers(opened)) as answers:
                async for answer in answers:
                    yield answer

    async def _follow(self, operation: Operation[Any, Any], opened: Opened, line: "Line") -> None:
        """Has caught up and follows live when this returns; a follower is in the place of its operation."""
        line.opened = opened.nodes
        try:
            follower, catch_up = self._endpoint.schema.follow(opened, line)
        except Exception as fault:  # noqa: BLE001  # the client hears what may be said of it
            await line.end(fault)
            return
        if self.operations.get(operation.id) is not operation:
            follower.leave()
            return
        self.operations[operation.id] = follower
        if catch_up is not None:
            follower.task = asyncio.current_task()
            try:
                await catch_up()
            except Gone:
                raise
            except Exception as fault:  # noqa: BLE001  # as above
                await follower.end(fault)
            finally:
                follower.task = None


class Line:
    """Where the answers to one operation of a connection go: its id around bytes that many may share."""

    __slots__ = ("_handler", "_id", "opened")

    def __init__(self, handler: Handler, id: str) -> None:
        self._handler = handler
        self._id = id
        self.opened: Any = None

    async def send(self, body: bytes, cursor: str) -> None:
        await self._send(b'{"id":%b,"type":"next","payload":%b}' % (orjson.dumps(self._id), body))

    async def refuse(self, answer: Answer) -> None:
        self._handler.operations.pop(self._id, None)
        told = orjson.dumps(answer.errors)
        await self._send(b'{"id":%b,"type":"error","payload":%b}' % (orjson.dumps(self._id), told))

    async def complete(self) -> None:
        self._handler.operations.pop(self._id, None)
        await self._send(b'{"id":%b,"type":"complete"}' % orjson.dumps(self._id))

    async def end(self, fault: Exception) -> None:
        language = self._handler.context.viewer.language
        await self.refuse(why(fault, self.opened, language))

    def forbid(self) -> None:
        self._handler.forbid()

    async def _send(self, message: bytes) -> None:
        try:
            await cast("Socket", self._handler.websocket).send_text(message.decode())
        except WebSocketDisconnected as fault:
            raise Gone from fault
