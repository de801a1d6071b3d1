"""From a selection to one SQL statement that returns the answer's JSON.

A plan belongs to one operation, one scope of viewers and one outcome of its @skip and @include. `bind` puts
the variables in: values become parameters, and what changes the statement itself (page sizes, orders, which
filters are given) is its shape, for which the text is made once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.values import VariableValues
from strawberry.types.field import StrawberryField

from loket.api.kept import Kept
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
from loket.api.rendering import Binding, Finishing, Rendering, Row, Shape, Site, build_object, plain
from loket.api.rows import ByKeys, Found, ListOf, OneOf, Rows

STATEMENTS = 5_000
STATEMENT_CHARACTERS = 20_000_000
"""Of all kept statements together."""


# --- from a document to the tree --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Document:
    """What selections refer to: fragments, and the outcome of the variables in @skip and @include."""

    fragments: Mapping[str, FragmentDefinitionNode]
    flags: Mapping[str, bool]

    def collect(
        self, schema: GraphQLSchema, kind: GraphQLObjectType, selections: Iterable[SelectionSetNode]
    ) -> dict[str, list[FieldNode]]:
        """The selected fields of `kind` by response key, in the order of execution."""
        grouped: dict[str, list[FieldNode]] = {}
        self._collect(schema, kind, selections, grouped, set())
        return grouped

    def _collect(
        self,
        schema: GraphQLSchema,
        kind: GraphQLObjectType,
        selections: Iterable[SelectionSetNode],
        grouped: dict[str, list[FieldNode]],
        seen: set[str],
    ) -> None:
        for selection_set in selections:
            for one in selection_set.selections:
                if not self._included(one):
                    continue
                if isinstance(one, FieldNode):
                    key = one.alias.value if one.alias else one.name.value
                    grouped.setdefault(key, []).append(one)
                elif isinstance(one, InlineFragmentNode):
                    if one.type_condition is None or _fits(schema, kind, one.type_condition.name.value):
                        self._collect(schema, kind, [one.selection_set], grouped, seen)
                elif isinstance(one, FragmentSpreadNode) and one.name.value not in seen:
                    seen.add(one.name.value)
                    fragment = self.fragments[one.name.value]
                    if _fits(schema, kind, fragment.type_condition.name.value):
                        self._collect(schema, kind, [fragment.selection_set], grouped, seen)

    def _included(self, selection: SelectionNode) -> bool:
        for directive in selection.directives or ():
            name = directive.name.value
            if name in {"skip", "include"} and directive.arguments:
                value = directive.arguments[0].value
                if isinstance(value, VariableNode):
                    known = self.flags[value.name.value]
                else:
                    known = cast("BooleanValueNode", value).value
                if known is (name == "skip"):
                    return False
        return True


def _fits(schema: GraphQLSchema, kind: GraphQLObjectType, condition: str) -> bool:
    if kind.name == condition:
        return True
    other = schema.type_map[condition]
    return is_abstract_type(other) and schema.is_sub_type(other, kind)


def _inside(nodes: Iterable[FieldNode]) -> list[SelectionSetNode]:
    return [node.selection_set for node in nodes if node.selection_set]


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

    def by_keys(self, target: str, nodes: Sequence[FieldNode], *, several: bool) -> Object:
        """The rows of `target` that a payload names, selected as in `nodes`."""
        top = Object()
        rows, _ = self._rows(target)
        top.members.append(("rows", ByKeys(self.object(target, nodes), rows, several=several)))
        top.close()
        return top

    def object(self, kind: str, nodes: Iterable[FieldNode]) -> Object:
        made = Object()
        graphql = cast("GraphQLObjectType", self._map.schema.type_map[kind])
        for key, group in self._document.collect(self._map.schema, graphql, _inside(nodes)).items():
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
        for key, group in self._document.collect(self._map.schema, kind, _inside(nodes)).items():
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
            for key, group in self._document.collect(self._map.schema, kind, _inside(nodes)).items():
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
        for key, group in self._document.collect(self._map.schema, connection, _inside(nodes)).items():
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
        groups = self._document.collect(self._map.schema, kind, _inside(nodes)).items()
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


# --- plans ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Statement:
    text: str
    parameters: Sequence[object]


Statements = Kept[Any, Statement]
"""Of all plans, by plan and shape."""


def statements() -> Statements:
    return Kept(STATEMENTS, STATEMENT_CHARACTERS)


@dataclass(slots=True)
class Bound:
    """A plan with the values of one request. `failures`: root fields whose arguments cannot be."""

    statement: Statement
    values: dict[Any, Any]
    parameters: list[Any]
    failures: dict[str, GraphQLError]


class Plan:
    """`complete`: every root field is in the map. `direct`: no execution is needed after finishing."""

    def __init__(self, top: Object, statements: Statements, *, complete: bool, direct: bool) -> None:
        self.complete = complete
        self.direct = direct
        self.finished = top.finished
        self.keys = [key for key, _ in top.members]
        fixed = {key: piece.value for key, piece in top.members if isinstance(piece, Fixed)}
        self.known = fixed if len(fixed) == len(top.members) else None
        """The whole answer, where no row is asked for."""
        self._top = top
        self._statements = statements

    def bind(self, variables: VariableValues, viewer: Any, keys: Any = None) -> Bound:  # noqa: ANN401  # the viewer is the application's
        """The statement and its parameters; `keys` for a plan of named rows."""
        binding = Binding(variables, viewer)
        failures: dict[str, GraphQLError] = {}
        for key, piece in self._top.members:
            if piece.bound:
                try:
                    piece.bind(binding)
                except GraphQLError as fault:
                    failures[key] = fault
        shape = (self, tuple(binding.shapes.items()), tuple(failures))
        statement = self._statements.get(shape)
        if statement is None:
            statement = self._render(binding.shapes, failures)
            self._statements.put(shape, statement, len(statement.text))
        binding.values["", "keys"] = keys
        values = binding.values
        parameters = [
            plain(getattr(viewer, one)) if isinstance(one, str) else values[one]
            for one in statement.parameters
        ]
        return Bound(statement, values, parameters, failures)

    def finish(self, data: Row, bound: Bound, viewer: object) -> bool:
        """Finish what PostgreSQL answered. False: an error stands in it, so it must be executed."""
        finishing = Finishing(viewer, bound.values)
        for key, piece in self._top.members:
            if piece.finished and key not in bound.failures:
                piece.finish(data, key, (), finishing)
        return not finishing.faulty

    def prepare(self, data: Row, bound: Bound) -> None:
        """Make finished `data` the root value of an execution."""
        data.update(bound.failures)
        for key, piece in self._top.members:
            if isinstance(piece, Found) and key not in bound.failures:
                piece.mark(data, key, bound.values)

    def _render(self, shapes: Mapping[int, Shape], failures: Mapping[str, object]) -> Statement:
        rendering = Rendering(shapes)
        pairs = [
            (key, "NULL" if key in failures else piece.render(rendering, ""))
            for key, piece in self._top.members
        ]
        return Statement(f"SELECT {build_object(pairs)} AS answer", rendering.parameters)
