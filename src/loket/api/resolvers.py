"""Where a field finds its value: in a row, under its response key; in the rows that a payload names; else as
strawberry has it.
"""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    get_named_type,
)
from strawberry.execution import optimized_is_awaitable

from loket.api import mapping
from loket.api.compiler import ByName
from loket.api.mapping import Map
from loket.api.reads import Ref
from loket.api.rendering import KIND

ResolveInfo = GraphQLResolveInfo[Any]
Read = Callable[[ResolveInfo, Ref | list[Ref]], Awaitable[Any]]
"""From the rows that a payload names to what is asked of them."""


def install(schema: GraphQLSchema, map: Map, read: Read) -> None:
    """Let every field read rows as well as Python objects, and let payloads name rows."""
    roots = {schema.mutation_type, schema.subscription_type}
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLEnumType):
            kind.coerce_output_value = ByName(kind)  # type: ignore[method-assign, assignment]  # a row holds the name
        elif isinstance(kind, GraphQLInterfaceType):
            _tell_rows(kind)
        elif isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            if kind.name in map.entities or mapping.is_paging(kind):
                kind.is_type_of = None
            if kind is schema.subscription_type:
                continue
            for definition in kind.fields.values():
                target = get_named_type(definition.type).name
                if target in map.entities and kind.name not in map.entities:
                    definition.resolve = _resolve_named(definition, read)
                elif kind not in roots:
                    definition.resolve = _resolve_row(definition)


def _tell_rows(kind: GraphQLInterfaceType) -> None:
    original = kind.resolve_type

    def resolve_type(value: Any, info: ResolveInfo, abstract: Any) -> Any:  # noqa: ANN401  # a resolver
        if type(value) is dict and KIND in value:
            return value[KIND]
        return original(value, info, abstract) if original else None

    kind.resolve_type = resolve_type


def _resolve_row(definition: GraphQLField) -> Callable[..., Any]:
    """A field of a row stands under its response key; of anything else as strawberry has it."""
    original = definition.resolve

    def resolve(source: Any, info: ResolveInfo, **arguments: Any) -> Any:  # noqa: ANN401  # a resolver
        if type(source) is dict and info.path.key in source:
            return source[info.path.key]
        return original(source, info, **arguments) if original else None

    return resolve


def _resolve_named(definition: GraphQLField, read: Read) -> Callable[..., Any]:
    """What else a field gives passes as it is; where it gives references, the rows are read."""
    from_row = _resolve_row(definition)

    async def read_named(value: Any, info: ResolveInfo) -> Any:  # noqa: ANN401  # a resolver
        if isawaitable(value):
            value = await value
        if isinstance(value, Ref) or (isinstance(value, list) and value and isinstance(value[0], Ref)):
            return await read(info, value)
        return value

    def resolve(source: Any, info: ResolveInfo, **arguments: Any) -> Any:  # noqa: ANN401  # a resolver
        value = from_row(source, info, **arguments)
        if isinstance(value, Ref | list) or optimized_is_awaitable(value):
            return read_named(value, info)
        return value

    return resolve
