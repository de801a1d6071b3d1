"""How a statement is written, and how the values of one request come into it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast
from uuid import UUID

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLField,
    ListValueNode,
    ObjectValueNode,
    ValueNode,
    VariableNode,
    get_argument_values,
)
from graphql.execution.values import VariableValues

from loket.api.mapping import quote
from loket.ids import read_id

LARGEST_OBJECT = 48
"""Pairs of one json_build_object: PostgreSQL functions take at most 100 arguments."""
NEEDS = "."
"""Where a row carries what its computed fields need; no response key can be this."""
KIND = "@"
"""Where a row that was found by global id carries its type, for an execution that must know."""

Row = dict[str, Any]
Shape = tuple[Any, ...]


class BadArgument(GraphQLError):
    """An argument that the schema allows and the list does not."""

    def __init__(self, message: str, node: FieldNode) -> None:
        super().__init__(message, node, extensions={"code": "BAD_USER_INPUT"})


@dataclass(slots=True)
class Binding:
    """The values of one request, as the nodes of a plan collect them."""

    variables: VariableValues
    viewer: Any
    values: dict[Any, Any] = field(default_factory=dict)
    shapes: dict[int, Shape] = field(default_factory=dict)


@dataclass(slots=True)
class Finishing:
    """What Python needs to finish an answer. `faulty`: a computed field raised; its error stands there."""

    viewer: Any
    values: Mapping[Any, Any]
    faulty: bool = False


class _Viewer:
    """`{viewer.name}` in a template: the number of a parameter."""

    def __init__(self, slot: Callable[[object], str]) -> None:
        self._slot = slot

    def __getattr__(self, name: str) -> str:
        return self._slot(name)


class Rendering:
    """One text of a plan: numbers its parameters and names its tables."""

    def __init__(self, shapes: Mapping[int, Shape]) -> None:
        self.shapes = shapes
        self.parameters: list[object] = []
        self._numbers: dict[object, str] = {}
        self._aliases = 0
        self._viewer = _Viewer(self.slot)

    def slot(self, key: object) -> str:
        """The parameter for `key`: a text is an attribute of the viewer, a pair a value of the binding."""
        if key not in self._numbers:
            self.parameters.append(key)
            self._numbers[key] = f"${len(self.parameters)}"
        return self._numbers[key]

    def alias(self) -> str:
        self._aliases += 1
        return f"t{self._aliases}"

    def fill(self, template: str, **names: str) -> str:
        return template.format(viewer=self._viewer, **names)


# --- sites: where arguments stand -------------------------------------------------------------


class Site:
    """A field with arguments. Where they hold no variable they are read once."""

    def __init__(self, index: int, definition: GraphQLField, node: FieldNode) -> None:
        self.index = index
        self.node = node
        self._definition = definition
        self.fixed: dict[str, Any] | None = None
        if not any(_has_variable(argument.value) for argument in node.arguments or ()):
            self.fixed = get_argument_values(definition, node)

    def arguments(self, variables: VariableValues) -> dict[str, Any]:
        """Coerced, without those that are null.

        Raises:
            GraphQLError: a variable's value does not fit.
        """
        if self.fixed is not None:
            return self.fixed
        return get_argument_values(self._definition, self.node, variables, hide_suggestions=True)


def _has_variable(value: ValueNode) -> bool:
    if isinstance(value, VariableNode):
        return True
    if isinstance(value, ListValueNode):
        return any(_has_variable(one) for one in value.values)
    if isinstance(value, ObjectValueNode):
        return any(_has_variable(one.value) for one in value.fields)
    return False


def plain(value: Any) -> Any:  # noqa: ANN401  # any coerced input
    """`value` as a parameter of a statement.

    Raises:
        ValueError: a text holds a NUL, which PostgreSQL does not store.
    """
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("a NUL character has no place in a text")
        return str(value)
    if isinstance(value, list | tuple | frozenset | set):
        return [plain(one) for one in value]
    return value


def parameter(value: Any, node: FieldNode) -> Any:  # noqa: ANN401  # any coerced input
    try:
        return plain(value)
    except ValueError as fault:
        raise BadArgument(f"{fault}.", node) from fault


def key_of(value: str | list[str] | None, kind: str) -> UUID | list[UUID] | None:
    """The uuid in a global id of `kind`; None where it is none: that finds nothing, as an unknown id does."""
    if isinstance(value, list):
        return [key for one in value if (key := cast("UUID | None", key_of(one, kind))) is not None]
    found = None if value is None else read_id(value)
    return found.key if found is not None and found.kind == kind and isinstance(found.key, UUID) else None


# --- the pieces of SQL ------------------------------------------------------------------------


def select(what: str, source: str, where: str = "", order: str = "", limit: int | None = None) -> str:
    """A subquery. `limit` is a literal: PostgreSQL plans it better than a parameter."""
    parts = [what, "FROM", source]
    if where:
        parts += ["WHERE", where]
    if order:
        parts += ["ORDER BY", order]
    if limit is not None:
        parts += ["LIMIT", str(limit)]
    return f"(SELECT {' '.join(parts)})"


def build_object(pairs: Sequence[tuple[str, str]]) -> str:
    """The JSON object of `pairs` of key and SQL, in that order."""
    if len(pairs) <= LARGEST_OBJECT:
        return "json_build_object(" + ", ".join(f"{quote(key)}, {sql}" for key, sql in pairs) + ")"
    columns = ", ".join(f'{sql} AS "{key}"' for key, sql in pairs)
    return select("row_to_json(o)", f"(SELECT {columns}) AS o")
