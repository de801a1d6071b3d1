"""The schema that answers: documents bounded and kept, reads as one statement, errors fit to be shown.

A query whose root fields all stand in the map is answered from PostgreSQL's JSON, its bytes untouched where
Python has nothing to finish. Everything else is executed by graphql-core, over the same rows.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, NoReturn, Protocol, TypeGuard, TypeVar, cast

import orjson
import strawberry
from graphql import (
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    OperationType,
    execute,
    get_variable_values,
)
from graphql.execution.values import VariableValues
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.scalar import ScalarDefinition

from loket import counting, tracing
from loket.api import mapping, plans, resolvers, selections
from loket.api.compiler import Compiler
from loket.api.documents import Document, Documents, Operation
from loket.api.faults import formatted, input_fault, presentable, wrong_kind
from loket.api.kept import Kept
from loket.api.limits import Limits, check_values, too_complex
from loket.api.plans import Plan
from loket.api.reads import Ref
from loket.api.rendering import plain
from loket.api.resolvers import ResolveInfo
from loket.api.scalars import SCALARS
from loket.errors import UnknownVersion

_is_awaitable = cast("Callable[[Any], TypeGuard[Awaitable[Any]]]", optimized_is_awaitable)
T = TypeVar("T")

PLANS = 1_000
"""Kept of all operations, by scope of viewers and outcome of @skip and @include."""


class Viewer(Protocol):
    """Who asks. Every other attribute is for the templates of the map.

    `scope` is all that row policies and field policies may look at: equal scopes share their plans.
    """

    @property
    def scope(self) -> Any: ...  # noqa: ANN401  # the application's, hashable

    @property
    def kind(self) -> str:
        """For the budget: ANONYMOUS, CITIZEN, STAFF or SERVICE."""

    @property
    def signed_in(self) -> bool: ...

    @property
    def language(self) -> str: ...


class Reader(Protocol):
    async def fetch_json(self, query: str, params: list[Any], /) -> bytes | None:
        """The one JSON value that `query` gives; parameters are numbered $1, $2…"""


class Context(Protocol):
    """What the engine needs of the application's. `last_event_id` is set for a stream that resumes."""

    viewer: Any
    reader: Any
    last_event_id: str | None

    @property
    def queries(self) -> Reader:
        """What reads for queries, where that is another than `reader`."""

    async def informed(self, act: Callable[[], Awaitable[T]]) -> T:
        """What `act` answers; done again once what it did not know yet is known (`UnknownVersion`)."""


@dataclass(slots=True)
class Answer:
    """What goes back: `data` as JSON, or None where nothing was executed."""

    data: bytes | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    extensions: dict[str, Any] = field(default_factory=dict)
    cursor: str | None = None
    """The place in the stream of events after this one."""
    written: bytes | None = None
    """The whole of it, where it was written for many."""

    @property
    def body(self) -> bytes:
        if self.written is not None:
            return self.written
        parts = []
        if self.data is not None:
            parts.append(b'"data":' + self.data)
        if self.errors:
            parts.append(b'"errors":' + orjson.dumps(self.errors))
        if self.extensions:
            parts.append(b'"extensions":' + orjson.dumps(self.extensions))
        return b"{" + b",".join(parts) + b"}"


@dataclass(frozen=True, slots=True)
class Running:
    """One operation under way, handed to the resolvers that read rows."""

    document: Document
    operation: Operation
    variables: VariableValues
    context: Any

    @property
    def flags(self) -> dict[str, bool]:
        return {name: bool(self.variables.coerced.get(name)) for name in self.operation.switches}


class Schema(strawberry.Schema):
    """strawberry's schema, with the map, the limits and the cache of documents.

    Raises:
        SchemaRefused: a root field or a type has no policy, a field no source or no description.
    """

    def __init__(
        self,
        query: type,
        mutation: type | None = None,
        subscription: type | None = None,
        *,
        types: Iterable[type] = (),
        scalars: Mapping[object, ScalarDefinition] | None = None,
        limits: Limits | None = None,
    ) -> None:
        config = StrawberryConfig(scalar_map={**SCALARS, **(scalars or {})}, disable_field_suggestions=True)
        super().__init__(query, mutation, subscription, types=types, config=config)
        self.limits = limits or Limits()
        self.map = mapping.link(self._schema)
        self.documents = Documents(self._schema, self.limits)
        self._plans: Kept[Any, tuple[object, Plan]] = Kept(PLANS)
        self._statements = plans.statements()
        self._introspection: Kept[tuple[str, str | None], bytes] = Kept(20)
        resolvers.install(self._schema, self.map, self._read_named)

    # ------------------------------------------------------------------ one answer

    def document(self, text: str) -> Document | Answer:
        """The document of `text`, or the answer that refuses it. Asks nothing of anybody."""
        found = self.documents.get(text)
        if isinstance(found, Document):
            return found
        return Answer(errors=[formatted(fault) for fault in found])

    async def answer(
        self,
        text: str,
        *,
        context: Context,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        compiled: bool = True,
    ) -> Answer:
        """Answer a query or a mutation. `compiled=False` has every query executed, for comparison."""
        document = self.document(text)
        if isinstance(document, Answer):
            return document
        started = self.start(document, context, variables, operation_name)
        if isinstance(started, Answer):
            return started
        running, extensions = started
        if running.operation.kind is OperationType.SUBSCRIPTION:
            return Answer(errors=[formatted(wrong_kind("Subscribe over a socket or an event stream."))])
        kind, began = running.operation.kind.value, time.perf_counter()
        with tracing.span(f"{kind} {_field_of(running.operation)}"):
            try:
                async with asyncio.timeout(self.limits.seconds):
                    answer = await self._informed(
                        running,
                        lambda: self._answer(running, variables, operation_name, text, compiled=compiled),
                    )
            except TimeoutError:
                fault = GraphQLError("This took too long.", extensions={"code": "TIMEOUT"})
                answer = Answer(b"null", [formatted(fault)])
        codes = [str(fault["extensions"]["code"]) for fault in answer.errors]
        counting.answered(kind, time.perf_counter() - began, extensions["cost"]["requested"], codes)
        answer.extensions |= extensions
        return answer

    def start(
        self,
        document: Document,
        context: Context,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
    ) -> tuple[Running, dict[str, Any]] | Answer:
        """Choose the operation, hold its cost against the viewer's budget and coerce its variables."""
        try:
            operation = document.operation(operation_name)
            check_values(variables or {}, self.limits)
            cost = operation.cost(variables or {})
            budget = self.limits.budget_of(context.viewer.kind)
            extensions = {"cost": {"requested": cost, "budget": budget}}
            if cost > budget:
                raise too_complex(f"The document costs {cost}, more than {budget}.", cost=cost, budget=budget)
        except GraphQLError as fault:
            return Answer(errors=[formatted(fault)])
        coerced = get_variable_values(
            self._schema,
            operation.node.variable_definitions or (),
            dict(variables or {}),
            max_errors=20,
            hide_suggestions=True,
        )
        if isinstance(coerced, list):
            return Answer(errors=[formatted(input_fault(fault)) for fault in coerced], extensions=extensions)
        return Running(document, operation, coerced, context), extensions

    async def _informed(self, running: Running, act: Callable[[], Awaitable[Answer]]) -> Answer:
        """What `act` answers; a query is answered again once what it did not know yet is known.

        A mutation does that itself, before anything of it is kept.
        """
        if running.operation.kind is OperationType.MUTATION:
            return await act()
        try:
            answer: Answer = await running.context.informed(act)
        except UnknownVersion as fault:
            located = GraphQLError(str(fault), original_error=fault)
            return Answer(b"null", [presentable(located, running.context.viewer.language)])
        return answer

    async def _answer(
        self,
        running: Running,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        text: str,
        *,
        compiled: bool,
    ) -> Answer:
        root: dict[str, Any] = {}
        if running.operation.introspective and (known := self._introspection.get((text, operation_name))):
            return Answer(known)
        if running.operation.kind is OperationType.QUERY:
            plan = self._plan(running)
            if plan.known is not None:
                root = dict(plan.known)
                if compiled and plan.complete:
                    return Answer(orjson.dumps(root))
            else:
                bound = plan.bind(running.variables, running.context.viewer)
                try:
                    read = await running.context.queries.fetch_json(bound.statement.text, bound.parameters)
                except Exception as fault:  # noqa: BLE001  # every root field that reads fails by it
                    root = dict.fromkeys(plan.keys, fault)
                else:
                    whole = compiled and plan.complete and not bound.failures
                    if whole and not plan.finished:
                        return Answer(read)
                    root = orjson.loads(cast("bytes", read))
                    fine = plan.finish(root, bound, running.context.viewer)
                    if whole and plan.direct and fine:
                        return Answer(orjson.dumps(root))
                    plan.prepare(root, bound)
        result = await self._execute(running, root, variables, operation_name)
        answer = self._presented(result, running.context.viewer.language)
        if running.operation.introspective and not answer.errors and answer.data:
            self._introspection.put((text, operation_name), answer.data)
        return answer

    async def _execute(
        self, running: Running, root: object, variables: Mapping[str, Any] | None, operation_name: str | None
    ) -> ExecutionResult:
        result = execute(
            self._schema,
            running.document.tree,
            root_value=root,
            context_value=running.context,
            variable_values=dict(variables or {}),
            operation_name=operation_name,
            executor_class=StrawberryGraphQLCoreExecutionContext,
            is_awaitable=_is_awaitable,
            hide_suggestions=True,
            operation_extensions={"running": running},
        )
        done = await result if isawaitable(result) else result
        if running.operation.kind is not OperationType.MUTATION:
            for fault in done.errors or ():
                if isinstance(fault.original_error, UnknownVersion):
                    raise fault.original_error
        return done

    def _presented(self, result: ExecutionResult, language: str) -> Answer:
        errors = [presentable(fault, language) for fault in result.errors or ()]
        return Answer(orjson.dumps(result.data), errors)

    # ------------------------------------------------------------------ plans

    def _plan(self, running: Running) -> Plan:
        def make(compiler: Compiler) -> Plan:
            kind = cast("GraphQLObjectType", self._schema.query_type)
            top, complete = compiler.roots(kind, running.operation.node.selection_set)
            return Plan(top, self._statements, complete=complete, direct=compiler.direct)

        return self._kept_plan(running, running.operation, "", make)

    def _ref_plan(
        self, running: Running, kind: str, nodes: list[FieldNode], *, several: bool, placed: bool = False
    ) -> Plan:
        def make(compiler: Compiler) -> Plan:
            top = compiler.by_keys(kind, nodes, several=several, placed=placed)
            return Plan(top, self._statements, complete=True, direct=compiler.direct)

        return self._kept_plan(running, nodes[0], f"{kind}*{several}*{placed}", make)

    def _kept_plan(self, running: Running, node: object, what: str, make: Callable[[Compiler], Plan]) -> Plan:
        """The plan of `node` for this viewer's scope; a kept one belongs to this very node."""
        flags = running.flags
        scope = running.context.viewer.scope
        key = (id(node), what, scope, tuple(flags.values()))
        found = self._plans.get(key)
        if found is not None and found[0] is node:
            return found[1]
        plan = make(Compiler(self.map, selections.Document(running.document.fragments, flags), scope))
        self._plans.put(key, (node, plan))
        return plan

    async def _read_named(self, info: ResolveInfo, value: Ref | list[Ref]) -> Any:  # noqa: ANN401  # rows
        """The rows that a payload names; read again once what they did not know yet is known."""
        running: Running = info.operation_extensions["running"]  # type: ignore[attr-defined]  # strawberry's info
        return await running.context.informed(lambda: self._read_refs(running, value, info.field_nodes))

    async def _read_refs(self, running: Running, value: Ref | list[Ref], nodes: list[FieldNode]) -> Any:  # noqa: ANN401  # rows
        """The rows that a payload names, read for the selection in `nodes`."""
        several = isinstance(value, list)
        refs = value if isinstance(value, list) else [value]
        if not refs:
            return []
        plan = self._ref_plan(running, refs[0].kind, nodes, several=several)
        keys = [plain(one.key) for one in refs]
        within = [plain(one.within) for one in refs]
        bound = plan.bind(
            running.variables,
            running.context.viewer,
            keys if several else keys[0],
            within if several else within[0],
        )
        for fault in bound.failures.values():
            raise fault
        read = await running.context.reader.fetch_json(bound.statement.text, bound.parameters)
        data = orjson.loads(cast("bytes", read))
        plan.finish(data, bound, running.context.viewer)
        return data["rows"]

    async def execute(self, *_arguments: Any, **_named: Any) -> NoReturn:  # noqa: ANN401  # strawberry's
        """Not served: it knows no limits. Use `answer`."""
        raise TypeError("documents are answered by `answer` and `live.events`, which bound them")

    stream = subscribe = execute


def _field_of(operation: Operation) -> str:
    """The first field that is asked: an operation's own name may be anything that a client thought of."""
    first = operation.node.selection_set.selections[0]
    return first.name.value if isinstance(first, FieldNode) else "…"
