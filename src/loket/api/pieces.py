"""The pieces of an answer: each knows the SQL of its value, its arguments, and what Python must finish.

`plans` puts them together from a selection; `pages` has the largest of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
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

from loket.api.mapping import column_name, quote, table_name
from loket.api.naming import GlobalId, read_id
from loket.api.reads import EVERYBODY, LARGEST_PAGE, Computed, Entity, Listed, One

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


# --- the tree ---------------------------------------------------------------------------------


class Piece:
    """A part of an answer. `bound`: it holds arguments; `finished`: Python has work to do on it."""

    bound = False
    finished = False

    def bind(self, binding: Binding) -> None:
        """Put the arguments in here and below into `binding`."""

    def render(self, rendering: Rendering, t: str) -> str:
        """The SQL of this value, in a row of the table named `t`."""
        raise NotImplementedError

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        """Finish `row[key]`."""


class Template(Piece):
    def __init__(self, sql: str) -> None:
        self.sql = sql

    def render(self, rendering: Rendering, t: str) -> str:
        return rendering.fill(self.sql, t=t)


class Fixed(Piece):
    """The same in every row: the name of a type, or null for what is not for the viewer."""

    def __init__(self, value: str | None) -> None:
        self.value = value

    def render(self, rendering: Rendering, t: str) -> str:
        return "NULL" if self.value is None else quote(self.value)


class Number(Template):
    """A Float: PostgreSQL writes 1 where GraphQL writes 1.0."""

    finished = True

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        if row[key] is not None:
            row[key] = float(row[key])


class Made(Piece):
    """A computed field: what it needs comes with the row; the null in its place keeps the order of keys."""

    finished = True

    def __init__(
        self,
        source: Computed,
        needs: Mapping[str, int],
        shape: Callable[[Any], Any] | None,
        site: Site | None,
        names: Mapping[str, str],
    ) -> None:
        self.bound = site is not None
        self._function = source.function
        self._needs = needs
        self._shape = shape
        self._site = site
        self._names = names

    def bind(self, binding: Binding) -> None:
        if self._site is not None:
            given = self._site.arguments(binding.variables)
            binding.values[self._site.index] = {self._names[name]: value for name, value in given.items()}

    def render(self, rendering: Rendering, t: str) -> str:
        return "NULL"

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        given = finishing.values[self._site.index] if self._site else {}
        mine = {name: needs[index] for name, index in self._needs.items()}
        try:
            value = self._function(mine, finishing.viewer, **given)
            row[key] = value if self._shape is None else self._shape(value)
        except Exception as fault:  # noqa: BLE001  # becomes this field's error, as in a resolver
            row[key] = fault
            finishing.faulty = True


class Object(Piece):
    """The selected fields of one type over one row."""

    def __init__(self) -> None:
        self.members: list[tuple[str, Piece]] = []
        self._needs: dict[str, int] = {}

    def need(self, template: str) -> int:
        """The place at which the row carries `template`."""
        return self._needs.setdefault(template, len(self._needs))

    def close(self) -> None:
        """No more members: what must be bound and finished is known."""
        self.bound = any(piece.bound for _, piece in self.members)
        self.finished = bool(self._needs) or any(piece.finished for _, piece in self.members)
        self._binding = [piece for _, piece in self.members if piece.bound]
        self._finishing = [(key, piece) for key, piece in self.members if piece.finished]

    def bind(self, binding: Binding) -> None:
        for piece in self._binding:
            piece.bind(binding)

    def render(self, rendering: Rendering, t: str) -> str:
        pairs = [(key, piece.render(rendering, t)) for key, piece in self.members]
        if self._needs:
            needs = ", ".join(rendering.fill(template, t=t) for template in self._needs)
            pairs.append((NEEDS, f"json_build_array({needs})"))
        return build_object(pairs)

    def finish_row(self, row: Row, finishing: Finishing) -> None:
        needs = row.pop(NEEDS, ())
        for key, piece in self._finishing:
            piece.finish(row, key, needs, finishing)

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        if row[key] is not None:
            self.finish_row(row[key], finishing)


class PartOf(Piece):
    """An object out of the same row."""

    def __init__(self, content: Object, unless: str | None) -> None:
        self.content = content
        self.finished = content.finished
        self._unless = unless

    def render(self, rendering: Rendering, t: str) -> str:
        made = self.content.render(rendering, t)
        if self._unless is None:
            return made
        return f"CASE WHEN {rendering.fill(self._unless, t=t)} THEN NULL ELSE {made} END"

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        self.content.finish(row, key, needs, finishing)


class Elements(Piece):
    """The elements of a JSON array."""

    def __init__(self, content: Object, array: str, *, sure: bool) -> None:
        self.content = content
        self.finished = content.finished
        self._array = array
        self._sure = sure

    def render(self, rendering: Rendering, t: str) -> str:
        array = rendering.fill(self._array, t=t)
        inner = rendering.alias()
        made = self.content.render(rendering, f"{inner}.value")
        listed = f"json_agg({made} ORDER BY {inner}.place)"
        if self._sure:
            listed = f"coalesce({listed}, '[]'::json)"
        else:
            listed = f"CASE WHEN {array} IS NULL THEN NULL ELSE coalesce({listed}, '[]'::json) END"
        return select(
            listed,
            f"jsonb_array_elements(CASE jsonb_typeof({array}) WHEN 'array' THEN {array} END)"
            f" WITH ORDINALITY AS {inner}(value, place)",
        )

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        for one in row[key] or ():
            self.content.finish_row(one, finishing)


class Rows:
    """The rows of an entity that a viewer may see."""

    def __init__(self, entity: Entity, policy: str, key_cast: str) -> None:
        self.table = None if entity.table is None else table_name(entity.table)
        self.key = column_name(entity.key)
        self.key_cast = key_cast
        self.policy = policy

    def source(self, alias: str) -> str:
        return f"(SELECT 1) AS {alias}" if self.table is None else f"{self.table} AS {alias}"

    def where(self, rendering: Rendering, t: str, conditions: Iterable[str]) -> str:
        asked = [one for one in (*conditions, rendering.fill(self.policy, t=t)) if one != EVERYBODY]
        return " AND ".join(f"({one})" for one in asked)


class OneOf(Piece):
    """A related row, or null."""

    def __init__(self, content: Object, rows: Rows, join: str | None, source: One, site: Site | None) -> None:
        self.content = content
        self.bound = content.bound or site is not None
        self.finished = content.finished
        self._rows = rows
        self._join = join
        self._order = source.order
        self._lookups = source.lookups
        self._site = site

    def bind(self, binding: Binding) -> None:
        if self._site is not None:
            given = self._site.arguments(binding.variables)
            for name, lookup in self._lookups.items():
                value = given.get(name)
                if lookup.by_id is not None:
                    value = key_of(value, lookup.by_id)
                binding.values[self._site.index, name] = parameter(value, self._site.node)
        if self.content.bound:
            self.content.bind(binding)

    def render(self, rendering: Rendering, t: str) -> str:
        inner = rendering.alias()
        conditions = [] if self._join is None else [rendering.fill(self._join, t=inner, parent=t)]
        if self._site is not None:
            conditions += [
                rendering.fill(lookup.sql, t=inner, value=rendering.slot((self._site.index, name)))
                for name, lookup in self._lookups.items()
            ]
        where = self._rows.where(rendering, inner, conditions)
        made = self.content.render(rendering, inner)
        source = self._rows.source(inner)
        if self._order is None:
            return select(made, source, where, limit=1)
        order = rendering.fill(self._order, t=inner)
        return select(made, f"{select(f'{inner}.*', source, where, order, 1)} AS {inner}")

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        self.content.finish(row, key, needs, finishing)


class ListOf(Piece):
    """All related rows of a short list."""

    def __init__(self, content: Object, rows: Rows, join: str | None, source: Listed) -> None:
        self.content = content
        self.bound = content.bound
        self.finished = content.finished
        self._rows = rows
        self._join = join
        self._order = source.order
        self._at_most = source.at_most

    def bind(self, binding: Binding) -> None:
        self.content.bind(binding)

    def render(self, rendering: Rendering, t: str) -> str:
        inner = rendering.alias()
        conditions = [] if self._join is None else [rendering.fill(self._join, t=inner, parent=t)]
        page = select(
            f"{inner}.*",
            self._rows.source(inner),
            self._rows.where(rendering, inner, conditions),
            rendering.fill(self._order, t=inner),
            self._at_most,
        )
        made = self.content.render(rendering, inner)
        return select(f"coalesce(json_agg({made}), '[]'::json)", f"{page} AS {inner}")

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        for one in row[key]:
            self.content.finish_row(one, finishing)


class Found(Piece):
    """`node` and `nodes`: objects of any type by global id."""

    def __init__(self, contents: Mapping[str, tuple[Object, Rows]], site: Site, *, several: bool) -> None:
        self.contents = contents
        self.bound = True
        self.finished = any(content.finished for content, _ in contents.values())
        self._site = site
        self._several = several

    def bind(self, binding: Binding) -> None:
        given = self._site.arguments(binding.variables)
        ids = given["ids"] if self._several else [given["id"]]
        if len(ids) > LARGEST_PAGE:
            raise BadArgument(f"At most {LARGEST_PAGE} ids at once.", self._site.node)
        kinds, keys = [], []
        for value in ids:
            found = read_id(value)
            known = found is not None and self._can_be(found)
            kinds.append(found.kind if found is not None and known else "")
            keys.append(str(found.key) if found is not None and known else "")
        index = self._site.index
        binding.shapes[index] = tuple(sorted(set(kinds)))
        binding.values[index, "kinds"] = kinds if self._several else kinds[0]
        binding.values[index, "keys"] = keys if self._several else keys[0]
        for kind in set(kinds) - {""}:
            content, _ = self.contents[kind]
            if content.bound:
                content.bind(binding)

    def _can_be(self, found: GlobalId) -> bool:
        """Whether an object of ours can have this id: of a known type, with a key as that type has them."""
        if found.kind not in self.contents or "\x00" in str(found.key):
            return False
        _, rows = self.contents[found.kind]
        return isinstance(found.key, UUID) is (rows.key_cast == "uuid")

    def render(self, rendering: Rendering, t: str) -> str:
        index = self._site.index
        kinds = [kind for kind in rendering.shapes[index] if kind]
        if not self._several:
            return self._row(rendering, kinds[0], rendering.slot((index, "keys"))) if kinds else "NULL"
        k = rendering.alias()
        source = (
            f"unnest({rendering.slot((index, 'kinds'))}::text[], {rendering.slot((index, 'keys'))}::text[])"
            f" WITH ORDINALITY AS {k}(kind, key, place)"
        )
        cases = " ".join(
            f"WHEN {quote(kind)} THEN {self._row(rendering, kind, f'{k}.key')}" for kind in kinds
        )
        made = f"CASE {k}.kind {cases} END" if cases else "NULL::json"
        return select(f"coalesce(json_agg({made} ORDER BY {k}.place), '[]'::json)", source)

    def _row(self, rendering: Rendering, kind: str, key: str) -> str:
        content, rows = self.contents[kind]
        t = rendering.alias()
        where = rows.where(rendering, t, [f"{t}.{rows.key} = {key}::text::{rows.key_cast}"])
        return select(content.render(rendering, t), rows.source(t), where)

    def _each(self, row: Row, key: str, values: Mapping[Any, Any]) -> Iterable[tuple[str, Row]]:
        kinds = values[self._site.index, "kinds"]
        found = row[key] if self._several else [row[key]]
        return (
            (kind, one)
            for kind, one in zip(kinds if self._several else [kinds], found, strict=True)
            if one is not None
        )

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        for kind, one in self._each(row, key, finishing.values):
            content, _ = self.contents[kind]
            if content.finished:
                content.finish_row(one, finishing)

    def mark(self, row: Row, key: str, values: Mapping[Any, Any]) -> None:
        """Tell each row its type."""
        for kind, one in self._each(row, key, values):
            one[KIND] = kind


class ByKeys(Piece):
    """Rows that a payload or an event names by key: one, or those of a list that the viewer may see."""

    def __init__(self, content: Object, rows: Rows, *, several: bool) -> None:
        self.content = content
        self.bound = content.bound
        self.finished = content.finished
        self._rows = rows
        self._several = several

    def bind(self, binding: Binding) -> None:
        self.content.bind(binding)

    def render(self, rendering: Rendering, t: str) -> str:
        inner = rendering.alias()
        slot, key = rendering.slot(("", "keys")), f"{inner}.{self._rows.key}"
        if not self._several:
            where = self._rows.where(rendering, inner, [f"{key} = {slot}::{self._rows.key_cast}"])
            return select(self.content.render(rendering, inner), self._rows.source(inner), where)
        k = rendering.alias()
        source = (
            f"unnest({slot}::{self._rows.key_cast}[]) WITH ORDINALITY AS {k}(key, place)"
            f" JOIN {self._rows.source(inner)} ON {key} = {k}.key"
        )
        made = self.content.render(rendering, inner)
        where = self._rows.where(rendering, inner, [])
        return select(f"coalesce(json_agg({made} ORDER BY {k}.place), '[]'::json)", source, where)

    def finish(self, row: Row, key: str, needs: Sequence[Any], finishing: Finishing) -> None:
        for one in (row[key] or ()) if self._several else filter(None, [row[key]]):
            self.content.finish_row(one, finishing)


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


def key_of(value: str | list[str] | None, kind: str) -> UUID | list[UUID] | None:
    """The uuid in a global id of `kind`; None where it is none: that finds nothing, as an unknown id does."""
    if isinstance(value, list):
        return [key for one in value if (key := cast("UUID | None", key_of(one, kind))) is not None]
    found = None if value is None else read_id(value)
    return found.key if found is not None and found.kind == kind and isinstance(found.key, UUID) else None


def parameter(value: Any, node: FieldNode) -> Any:  # noqa: ANN401  # any coerced input
    try:
        return plain(value)
    except ValueError as fault:
        raise BadArgument(f"{fault}.", node) from fault
