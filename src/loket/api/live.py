"""Subscriptions: what a stream of events is answered with, for one subscriber or for all who follow the same.

What a subscription of the feed of cases asks is handed to `audiences`; any other stream of rows or objects is
answered event by event.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from inspect import isawaitable
from typing import Any, cast

import orjson
from graphql import (
    ExecutionResult,
    Executor,
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    OperationType,
    create_source_event_stream,
)
from strawberry.execution import optimized_is_awaitable

from loket.api import selections
from loket.api.audiences import Audiences, Follow, Follower, Printed
from loket.api.documents import Document
from loket.api.engine import Answer, Context, Running, Schema
from loket.api.faults import formatted, presentable, wrong_kind
from loket.api.outlets import Gone, Outlet
from loket.api.plans import Bound, Plan
from loket.api.reads import Ref
from loket.api.rendering import plain
from loket.interests import Happening

IMPERSONAL = frozenset(
    {
        *("kind", "language", "loket", "scope", "signed_in", "today"),
        *("advises", "advises_for", "at_the_counter", "bodies", "bounds", "departments", "keeps_books_of"),
        *("answers_of", "answers_shown", "faults_of", "file_link", "roles_at", "with_documents"),
    }
)
"""What is equal for viewers of one audience: who looks at nothing else of them, makes the same for all."""

CatchUp = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Opened:
    """A subscription that was let in. `extensions` go with its first answer."""

    running: Running
    key: str
    nodes: list[FieldNode]
    source: Any
    """A `Follow`, or a stream of rows or objects."""
    variables: Mapping[str, Any] | None
    operation_name: str | None
    extensions: dict[str, Any]


def why(fault: Exception, nodes: list[FieldNode], language: str) -> Answer:
    """The last answer of a stream that ends by `fault`."""
    located = GraphQLError(str(fault), nodes, original_error=fault)
    return Answer(errors=[presentable(located, language)])


class LiveSchema(Schema):
    """The schema, with what can be followed."""

    def __init__(self, *positional: Any, **named: Any) -> None:  # noqa: ANN401  # the engine's
        super().__init__(*positional, **named)
        self._reading: dict[Any, asyncio.Future[bytes | None]] = {}
        self._audiences = Audiences()

    async def open(
        self,
        document: Document,
        *,
        context: Context,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
    ) -> Opened | Answer:
        """What a subscription asks to follow, or the answer that refuses it."""
        started = self.start(document, context, variables, operation_name)
        if isinstance(started, Answer):
            return started
        running, extensions = started
        if running.operation.kind is not OperationType.SUBSCRIPTION:
            return Answer(errors=[formatted(wrong_kind("This is no subscription."))])
        executor = Executor.build(
            self._schema,
            document.tree,
            context_value=context,
            raw_variable_values=dict(variables or {}),
            operation_name=operation_name,
            is_awaitable=cast("Any", optimized_is_awaitable),
            hide_suggestions=True,
        )
        assert isinstance(executor, Executor)
        kind = cast("GraphQLObjectType", self._schema.subscription_type)
        selected = selections.Document(document.fragments, running.flags).collect(
            self._schema, kind, [running.operation.node.selection_set]
        )
        key, nodes = next(iter(selected.items()))
        source = create_source_event_stream(executor)
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            return Answer(errors=[presentable(one, context.viewer.language) for one in source.errors or ()])
        return Opened(running, key, nodes, source, variables, operation_name, extensions)

    def follow(self, opened: Opened, outlet: Outlet) -> tuple[Follower, CatchUp | None]:
        """Have what happens told to `outlet` from now on; what is late catches up by the second.

        Raises:
            Refused: CURSOR_EXPIRED.
        """
        context = opened.running.context
        press = _Press(self, opened)
        follower, catch_up = self._audiences.join(press.shown(), opened.source, press, context, outlet)
        follower.extensions = b',"extensions":' + orjson.dumps(opened.extensions)
        return follower, catch_up

    async def events(
        self,
        document: Document,
        *,
        context: Context,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
    ) -> AsyncGenerator[Answer, None]:
        """The answers of a subscription. What the viewer may not (or no longer) see is left out."""
        opened = await self.open(
            document, context=context, variables=variables, operation_name=operation_name
        )
        if isinstance(opened, Answer):
            yield opened
            return
        async with aclosing(self.answers(opened)) as answers:
            async for answer in answers:
                yield answer

    async def answers(self, opened: Opened) -> AsyncGenerator[Answer, None]:
        """The answers of what was let in, one by one."""
        follows = isinstance(opened.source, Follow)
        stream = self._followed(opened) if follows else self._each(opened)
        try:
            async with aclosing(stream) as answers:
                async for answer in answers:
                    yield answer
        except Exception as fault:  # noqa: BLE001  # the stream ends with what may be said of it
            yield why(fault, opened.nodes, opened.running.context.viewer.language)

    async def _followed(self, opened: Opened) -> AsyncGenerator[Answer, None]:
        line = _Line()
        follower, catch_up = self.follow(opened, line)
        catching_up = None if catch_up is None else asyncio.ensure_future(line.fed(catch_up))
        try:
            while (heard := await line.heard.get()) is not None:
                if isinstance(heard, Exception):
                    raise heard
                yield heard
        finally:
            follower.leave()
            if catching_up is not None:
                catching_up.cancel()

    async def _each(self, opened: Opened) -> AsyncGenerator[Answer, None]:
        extensions = opened.extensions
        async with aclosing(cast("AsyncGenerator[Any, None]", opened.source)) as source:
            async for event in source:
                answer = await opened.running.context.informed(partial(self._event, opened, event))
                if answer is not None:
                    answer.extensions |= extensions
                    extensions = {}
                    yield answer

    async def _event(self, opened: Opened, event: Any) -> Answer | None:  # noqa: ANN401  # what is yielded
        """The answer for one event; None where it is not for this viewer."""
        running, nodes = opened.running, opened.nodes
        cursor = getattr(event, "cursor", None)
        if not isinstance(event, Ref):
            return await self.executed(opened, running, event, cursor)
        plan = self._ref_plan(running, event.kind, nodes, several=False)
        bound = self.bound(plan, running, plain(event.key), plain(event.within))
        read = await self._read_shared(running, bound)
        if read is None:
            return None
        data = orjson.loads(read)
        if data["rows"] is None:
            return None
        row = data["rows"]
        if plan.finished:
            fine = plan.finish(data, bound, running.context.viewer)
            if not (plan.direct and fine):
                return await self.executed(opened, running, row, cursor)
        return Answer(orjson.dumps({opened.key: row}), cursor=cursor)

    def event_plan(self, running: Running, nodes: list[FieldNode]) -> Plan:
        """Of several events of the feed."""
        return self._ref_plan(running, "CaseEvent", nodes, several=True, placed=True)

    def bound(self, plan: Plan, running: Running, keys: Any, within: Any) -> Bound:  # noqa: ANN401  # of rows
        bound = plan.bind(running.variables, running.context.viewer, keys, within)
        for fault in bound.failures.values():
            raise fault
        return bound

    async def executed(
        self,
        opened: Opened,
        running: Running,
        root: Any,  # noqa: ANN401  # a row or an object
        cursor: str | None = None,
    ) -> Answer:
        result = await self._execute(running, root, opened.variables, opened.operation_name)
        answer = self._presented(result, running.context.viewer.language)
        answer.cursor = cursor
        return answer

    async def _read_shared(self, running: Running, bound: Bound) -> bytes | None:
        """One event's row; subscribers who ask the same of the same event at once share the statement."""
        key = (bound.statement.text, repr(bound.parameters))
        reading = self._reading.get(key)
        if reading is None:
            reading = asyncio.ensure_future(
                running.context.reader.fetch_json(bound.statement.text, bound.parameters)
            )
            self._reading[key] = reading
            reading.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(reading)


class _Line:
    """An outlet that is read answer by answer."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Answer | Exception | None] = asyncio.Queue(1)

    async def send(self, body: bytes, cursor: str) -> None:
        await self.heard.put(Answer(b"", cursor=cursor, written=body))

    async def end(self, fault: Exception) -> None:
        await self.heard.put(fault)

    def forbid(self) -> None:
        while not self.heard.empty():
            self.heard.get_nowait()
        self.heard.put_nowait(None)

    async def fed(self, catch_up: CatchUp) -> None:
        try:
            await catch_up()
        except Gone:
            return
        except Exception as fault:  # noqa: BLE001  # it is for who reads
            await self.end(fault)


# --- the same for many ------------------------------------------------------------------------


class _Press:
    """Makes the payloads of one selection over events."""

    def __init__(self, schema: LiveSchema, opened: Opened) -> None:
        self._schema = schema
        self._opened = opened

    def shown(self) -> Hashable:
        """Equal for those who may be told the same of an event.

        The very same selection, statement and values, and all that policies and computed fields look at,
        except who somebody is: where the statement asks that, it is among the values.
        """
        running = self._opened.running
        bound = self._bind(running, [])
        actor = running.context.viewer.actor
        own = () if actor is None else (actor.kind, tuple(sorted(actor.departments.items())), actor.bodies)
        return (
            id(running.document),
            id(self._opened.nodes[0]),
            self._opened.key,
            tuple(running.flags.items()),
            bound.statement.text,
            repr(bound.parameters),
            repr(bound.values),
            running.context.viewer.scope,
            running.context.viewer.language,
            own,
        )

    async def printed(self, events: Sequence[Happening], contexts: dict[Hashable, Any]) -> Printed:
        first = next(iter(contexts.values()))
        printed: Printed = await first.informed(partial(self._print, events, contexts))
        return printed

    async def _print(self, events: Sequence[Happening], contexts: dict[Hashable, Any]) -> Printed:
        """What is made without a look at who somebody is, is for everybody: it is made once."""
        running = replace(self._opened.running, context=next(iter(contexts.values())))
        bound = self._bind(running, events)
        read = await running.context.reader.fetch_json(bound.statement.text, bound.parameters)
        printed: Printed = {}
        for who, context in contexts.items():
            bodies, personal = await self._finished(
                replace(running, context=context), bound, read, len(events)
            )
            if not personal:
                return {None: bodies}
            printed[who] = bodies
        return printed

    async def _finished(
        self, running: Running, bound: Bound, read: bytes, number: int
    ) -> tuple[list[bytes | None], bool]:
        """The payloads, and whether they are for this viewer alone."""
        plan, opened = self._plan(running), self._opened
        data = orjson.loads(read)
        glass = _Glass(running.context.viewer)
        fine = not plan.finished or (plan.finish(data, bound, glass) and plan.direct)
        bodies: list[bytes | None] = [None] * number
        for place, row in data["rows"]:
            if fine:
                bodies[place - 1] = b'{"data":' + orjson.dumps({opened.key: row}) + b"}"
            else:
                answer = await self._schema.executed(opened, running, row)
                bodies[place - 1] = answer.body
        return bodies, glass.personal or not fine

    def _plan(self, running: Running) -> Plan:
        return self._schema.event_plan(running, self._opened.nodes)

    def _bind(self, running: Running, events: Sequence[Happening]) -> Bound:
        keys = [plain(one.event_id) for one in events]
        cases = [plain(one.case_id) for one in events]
        return self._schema.bound(self._plan(running), running, keys, cases)


class _Glass:
    """A viewer through which it shows whether something looked at who they are."""

    def __init__(self, viewer: Any) -> None:  # noqa: ANN401  # the application's
        self._viewer = viewer
        self.personal = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # any attribute
        if name not in IMPERSONAL:
            self.personal = True
        return getattr(self._viewer, name)
