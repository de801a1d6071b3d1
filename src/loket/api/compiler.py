"""From a selection to the tree of pieces that answers it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    SelectionSetNode,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from strawberry.types.field import StrawberryField

from loket.api.mapping import (
    BACKREF,
    Map,
    Mapped,
    column_name,
    global_id,
    needed,
    python_name,
    sort_kind,
    wire,
)
from loket.api.pages import Page, PageFacts, PageParts
from loket.api.pieces import Elements, Fixed, Made, Number, Object, PartOf, Piece, Template
from loket.api.reads import (
    EVERYBODY,
    NOBODY,
    ById,
    Column,
    Computed,
    Entity,
    Expression,
    Identity,
    Listed,
    Many,
    One,
    Order,
    Part,
    Parts,
)
from loket.api.rendering import Site
from loket.api.rows import ByKeys, Found, ListOf, OneOf, Rows
from loket.api.selections import Document, inside


class Compiler:
    """Makes the tree of one plan."""

    def __init__(self, found: Map, document: Document, scope: object) -> None:
        self._map = found
        self._document = document
        self._scope = scope
        self._sites = 0
        self.direct = True
        """Whether every computed value gets its final form here, so that nothing is left to execute."""

    def roots(self, kind: GraphQLObjectType, selections: SelectionSetNode) -> tuple[Object, bool]:
        """The root fields that the map knows, and whether that is all of them."""
        top, complete = Object(), True
        for key, nodes in self._document.collect(self._map.schema, kind, [selections]).items():
            name = nodes[0].name.value
            mapped = self._map.fields.get((kind.name, name))
            if mapped is not None:
                top.members.append((key, self._piece(top, kind.name, mapped, nodes)))
            elif name == "__typename":
                top.members.append((key, Fixed(kind.name)))
            else:
                complete = False
        top.close()
        return top, complete

    def by_keys(
        self, target: str, nodes: Sequence[FieldNode], *, several: bool, placed: bool = False
    ) -> Object:
        """The rows of `target` that a payload names, selected as in `nodes`; `placed`: see `ByKeys`."""
        top = Object()
        rows, _ = self._rows(target)
        found = ByKeys(self.object(target, nodes), rows, several=several, placed=placed)
        top.members.append(("rows", found))
        top.close()
        return top

    def object(self, kind: str, nodes: Iterable[FieldNode]) -> Object:
        made = Object()
        graphql = cast("GraphQLObjectType", self._map.schema.type_map[kind])
        for key, group in self._document.collect(self._map.schema, graphql, inside(nodes)).items():
            name = group[0].name.value
            if name == "__typename":
                made.members.append((key, Fixed(kind)))
            else:
                made.members.append((key, self._piece(made, kind, self._map.fields[kind, name], group)))
        made.close()
        return made

    def _piece(self, here: Object, kind: str, mapped: Mapped, nodes: list[FieldNode]) -> Piece:
        source = mapped.source
        hidden = source.allowed is not None and not source.allowed(self._scope)
        if hidden and not isinstance(source, Many | Listed | ById):
            return Fixed(None)
        match source:
            case Column():
                entity = self._map.entities[kind]
                assert entity.table is not None
                name = source.name or mapped.python_name
                return self._leaf(mapped.field.type, f"{{t}}.{column_name(name)}", entity.table.c[name].type)
            case Expression():
                return self._leaf(mapped.field.type, source.sql, None)
            case Identity():
                entity = self._map.entities[kind]
                assert entity.table is not None
                column = entity.table.c[entity.key]
                return Template(global_id(kind, f"{{t}}.{column_name(entity.key)}", column.type))
            case Part():
                return PartOf(self._part(mapped, source.fields, nodes), source.unless)
            case Parts():
                sure = is_non_null_type(mapped.field.type)
                return Elements(self._part(mapped, source.fields, nodes), source.array, sure=sure)
            case Computed():
                return self._made(here, kind, mapped, source, nodes)
            case One():
                return self._one(kind, mapped, source, nodes)
            case Listed():
                rows, _ = self._rows(cast("str", mapped.target), trusted=source.with_parent, hidden=hidden)
                content = self.object(cast("str", mapped.target), nodes)
                return ListOf(content, rows, self._join(kind, source), source)
            case Many():
                return self._page(kind, mapped, source, nodes, hidden=hidden)
            case ById():
                return self._found(mapped, source, nodes, hidden=hidden)
            case _:
                raise AssertionError(source)

    def _leaf(self, kind: GraphQLOutputType, sql: str, column: Any) -> Piece:  # noqa: ANN401  # a column's type
        write = wire(kind, column)
        assert write is not None
        written = write(sql)
        return Number(written) if get_named_type(kind).name == "Float" else Template(written)

    def _part(self, mapped: Mapped, fields: Mapping[str, str], nodes: Iterable[FieldNode]) -> Object:
        made = Object()
        kind = cast("GraphQLObjectType", get_named_type(mapped.field.type))
        for key, group in self._document.collect(self._map.schema, kind, inside(nodes)).items():
            name = group[0].name.value
            if name == "__typename":
                made.members.append((key, Fixed(kind.name)))
            else:
                found = kind.fields[name]
                made.members.append((key, self._leaf(found.type, fields[python_name(found)], None)))
        made.close()
        return made

    def _made(
        self, here: Object, kind: str, mapped: Mapped, source: Computed, nodes: list[FieldNode]
    ) -> Piece:
        table = self._map.entities[kind].table
        needs = {}
        for name, template in source.needs.items():
            if table is not None and template == f"{{t}}.{name}" and name in table.c:
                needs[name] = here.need(needed(table.c[name].type)(f"{{t}}.{column_name(name)}"))
            else:
                needs[name] = here.need(template)
        shape = self._shape(mapped.field.type, nodes)
        if shape is None:
            self.direct = False
        definition = cast("StrawberryField", mapped.field.extensions[BACKREF])
        names = dict(zip(mapped.field.args, (one.python_name for one in definition.arguments), strict=True))
        site = self._site(mapped.field, nodes[0]) if mapped.field.args else None
        return Made(source, needs, shape, site, names)

    def _shape(self, kind: GraphQLOutputType, nodes: Sequence[FieldNode]) -> Callable[[Any], Any] | None:
        """From a Python value of `kind` to its JSON; None where only an execution can tell."""
        if is_non_null_type(kind):
            inner = self._shape(kind.of_type, nodes)
            return None if inner is None else _sure(inner, nodes[0].name.value)
        if is_list_type(kind):
            item = self._shape(kind.of_type, nodes)
            return None if item is None else _optional(lambda value: [item(one) for one in value])
        if is_leaf_type(kind):
            write = kind.coerce_output_value
            return _optional(write.by_name if isinstance(write, ByName) else write)
        if isinstance(kind, GraphQLObjectType) and kind.name not in self._map.entities:
            members = []
            for key, group in self._document.collect(self._map.schema, kind, inside(nodes)).items():
                name = group[0].name.value
                if name == "__typename":
                    members.append((key, _constant(kind.name)))
                    continue
                found = kind.fields[name]
                definition = cast("StrawberryField", found.extensions[BACKREF])
                shape = self._shape(found.type, group)
                if shape is None or definition.base_resolver is not None:
                    return None
                members.append((key, _attribute(definition.python_name, shape)))
            return _optional(lambda value: {key: read(value) for key, read in members})
        return None

    def _one(self, kind: str, mapped: Mapped, source: One, nodes: list[FieldNode]) -> Piece:
        target = cast("str", mapped.target)
        rows, _ = self._rows(target, trusted=source.with_parent)
        site = self._site(mapped.field, nodes[0]) if source.lookups else None
        join = source.where
        if source.on is not None:
            join = f"{{t}}.{rows.key} = {{parent}}.{column_name(source.on)}"
        return OneOf(self.object(target, nodes), rows, join, source, site)

    def _page(
        self, kind: str, mapped: Mapped, source: Many, nodes: list[FieldNode], *, hidden: bool
    ) -> Piece:
        target = cast("str", mapped.target)
        rows, entity = self._rows(target, trusted=source.with_parent, hidden=hidden)
        assert entity.table is not None
        columns = entity.table.c
        sorts = {
            name: [(column_name(one), sort_kind(columns[one].type)) for one in _with_key(order, entity.key)]
            for name, order in source.orders.choices.items()
        }
        filters: Mapping[str, Any] = {}
        if "filter" in mapped.field.args:
            filters = self._map.filters[get_named_type(mapped.field.args["filter"].type).name]
        facts = PageFacts(f"{kind}.{nodes[0].name.value}.", sorts, filters)
        site = self._site(mapped.field, nodes[0])
        connection = cast("GraphQLObjectType", get_named_type(mapped.field.type))
        parts = PageParts()
        for key, group in self._document.collect(self._map.schema, connection, inside(nodes)).items():
            name = group[0].name.value
            parts.members.append((key, name, self._page_member(connection, target, name, group)))
        return Page(parts, rows, self._join(kind, source), source, site, facts)

    def _page_member(
        self, connection: GraphQLObjectType, target: str, name: str, nodes: list[FieldNode]
    ) -> Any:  # noqa: ANN401  # by kind, as PageParts says
        if name == "nodes":
            return self.object(target, nodes)
        if name in {"totalCount", "__typename"}:
            return connection.name
        kind = cast("GraphQLObjectType", get_named_type(connection.fields[name].type))
        groups = self._document.collect(self._map.schema, kind, inside(nodes)).items()
        if name == "pageInfo":
            return [(key, group[0].name.value) for key, group in groups]
        return [
            (key, found, self.object(target, group) if found == "node" else kind.name)
            for key, group in groups
            for found in [group[0].name.value]
        ]

    def _found(self, mapped: Mapped, source: ById, nodes: list[FieldNode], *, hidden: bool) -> Piece:
        interface = get_named_type(mapped.field.type).name
        contents = {}
        for kind in self._map.implementers(interface):
            rows, _ = self._rows(kind, hidden=hidden)
            if rows.table is not None:
                contents[kind] = (self.object(kind, nodes), rows)
        return Found(contents, self._site(mapped.field, nodes[0]), several=source.several)

    def _rows(self, kind: str, *, trusted: bool = False, hidden: bool = False) -> tuple[Rows, Entity]:
        entity = self._map.entities[kind]
        policy = NOBODY if hidden else EVERYBODY if trusted else entity.policy(self._scope)
        cast_to = "" if entity.table is None else sort_kind(entity.table.c[entity.key].type)
        return Rows(entity, policy, cast_to), entity

    def _join(self, kind: str, source: Many | Listed) -> str | None:
        if source.on is None:
            return source.where
        parent = self._map.entities[kind]
        return f"{{t}}.{column_name(source.on)} = {{parent}}.{column_name(parent.key)}"

    def _site(self, definition: GraphQLField, node: FieldNode) -> Site:
        self._sites += 1
        return Site(self._sites, definition, node)


def _with_key(order: Order, key: str) -> tuple[str, ...]:
    return order.columns if key in order.columns else (*order.columns, key)


class ByName:
    """An enum's output: a row already holds the name, Python the member."""

    def __init__(self, kind: GraphQLEnumType) -> None:
        self.by_name = kind.coerce_output_value
        self._names = frozenset(kind.values)

    def __call__(self, value: object) -> str:
        if type(value) is str and value in self._names:
            return value
        return self.by_name(value)


def _optional(shape: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else shape(value)


def _sure(shape: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    def read(value: object) -> object:
        if value is None:
            raise TypeError(f"Cannot return null for non-nullable field {name}.")
        return shape(value)

    return read


def _constant(text: str) -> Callable[[Any], Any]:
    return lambda _value: text


def _attribute(name: str, shape: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: shape(getattr(value, name))
