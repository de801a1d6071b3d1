"""The map checked against the schema and the tables, when the application starts.

What could go wrong later for one client is refused here for all: a type without a policy, a column that does
not exist or may be NULL where the schema promises a value, a root field that nobody thought about.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from sqlalchemy import Boolean, Date, DateTime, Enum, Integer, LargeBinary, Numeric, String, Table, Uuid
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine
from strawberry.types.field import StrawberryField

from loket.api.reads import (
    CONDITION,
    POLICY,
    SOURCE,
    ById,
    Column,
    Computed,
    Condition,
    Connection,
    Edge,
    Entity,
    Expression,
    Identity,
    Listed,
    Many,
    One,
    PageInfo,
    Part,
    Parts,
    Source,
)

BACKREF = "strawberry-definition"
_quoting = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # theirs


class SchemaRefused(Exception):
    """The schema cannot be served; the message lists every reason."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__("\n".join(reasons))


@dataclass(frozen=True, slots=True)
class Mapped:
    """A field of the schema and what stands behind it. `target` is the type of the rows that it leads to."""

    source: Source
    field: GraphQLField
    python_name: str
    target: str | None


@dataclass(frozen=True, slots=True)
class Map:
    schema: GraphQLSchema
    entities: Mapping[str, Entity]
    fields: Mapping[tuple[str, str], Mapped]
    filters: Mapping[str, Mapping[str, Condition]]
    """Per input type: GraphQL field name → condition."""

    def implementers(self, interface: str) -> list[str]:
        """The mapped types that implement `interface`."""
        kind = cast("GraphQLInterfaceType", self.schema.type_map[interface])
        return [one.name for one in self.schema.get_possible_types(kind) if one.name in self.entities]


def link(schema: GraphQLSchema) -> Map:
    """The map of `schema`.

    Raises:
        SchemaRefused: naming every fault at once.
    """
    entities, fields, filters = _entities(schema), _fields(schema), _filters(schema)
    found = Map(schema, entities, fields, filters)
    reasons = [*_open_roots(schema), *_undocumented(schema)]
    for (kind, name), mapped in fields.items():
        reasons += [f"{kind}.{name}: {reason}" for reason in _check(found, kind, mapped)]
    reasons += [
        f"{kind}.{name}: no column, expression or relation stands behind it"
        for kind in entities
        for name in cast("GraphQLObjectType", schema.type_map[kind]).fields
        if (kind, name) not in fields
    ]
    if reasons:
        raise SchemaRefused(sorted(reasons))
    return found


def origin(kind: object) -> type[Any] | None:
    """The Python class of a GraphQL type."""
    definition = getattr(kind, "extensions", {}).get(BACKREF)
    return getattr(definition, "origin", None)


def _entities(schema: GraphQLSchema) -> dict[str, Entity]:
    return {
        name: found
        for name, kind in schema.type_map.items()
        if is_object_type(kind) and (found := vars(origin(kind) or object).get("__entity__")) is not None
    }


def _fields(schema: GraphQLSchema) -> dict[tuple[str, str], Mapped]:
    fields = {}
    for kind in schema.type_map.values():
        if not isinstance(kind, GraphQLObjectType):
            continue
        for name, field in kind.fields.items():
            definition = field.extensions.get(BACKREF)
            source = definition.metadata.get(SOURCE) if isinstance(definition, StrawberryField) else None
            if source is not None:
                fields[kind.name, name] = Mapped(source, field, definition.python_name, _target(field.type))
    return fields


def _target(kind: GraphQLOutputType) -> str | None:
    """The type of the rows of a field: of a connection, that of its nodes."""
    named = get_named_type(kind)
    if is_connection(named):
        named = get_named_type(cast("GraphQLObjectType", named).fields["nodes"].type)
    return None if is_leaf_type(named) else str(named.name)


def is_connection(kind: object) -> bool:
    found = origin(kind)
    return isinstance(found, type) and issubclass(found, Connection)


def is_paging(kind: object) -> bool:
    """Whether a type only carries rows: a connection, an edge, a page's place."""
    found = origin(kind)
    return isinstance(found, type) and issubclass(found, Connection | Edge | PageInfo)


def _filters(schema: GraphQLSchema) -> dict[str, dict[str, Condition]]:
    filters = {}
    for name, kind in schema.type_map.items():
        if isinstance(kind, GraphQLInputObjectType):
            conditions = {
                field_name: found
                for field_name, field in kind.fields.items()
                if (found := getattr(field.extensions.get(BACKREF), "metadata", {}).get(CONDITION))
            }
            if conditions:
                filters[name] = conditions
    return filters


# --- what is refused ------------------------------------------------------------------------


def _open_roots(schema: GraphQLSchema) -> list[str]:
    roots = [schema.query_type, schema.mutation_type, schema.subscription_type]
    return [
        f"{root.name}.{name}: declares no policy"
        for root in roots
        if root
        for name, field in root.fields.items()
        if getattr(field.extensions.get(BACKREF), "metadata", {}).get(POLICY) is None
    ]


def _undocumented(schema: GraphQLSchema) -> list[str]:
    bare = []
    for name, kind in schema.type_map.items():
        if name.startswith("__"):
            continue
        if not kind.description:
            bare.append(f"{name}: has no description")
        if isinstance(kind, GraphQLEnumType):
            bare += [
                f"{name}.{one}: has no description" for one, v in kind.values.items() if not v.description
            ]
        for field_name, field in getattr(kind, "fields", {}).items():
            if not field.description:
                bare.append(f"{name}.{field_name}: has no description")
            bare += [
                f"{name}.{field_name}({argument}): has no description"
                for argument, found in getattr(field, "args", {}).items()
                if not found.description
            ]
    return bare


def _check(found: Map, kind: str, mapped: Mapped) -> list[str]:
    source, field = mapped.source, mapped.field
    entity = found.entities.get(kind)
    sure = is_non_null_type(field.type)
    reasons = []
    if source.allowed is not None and sure and not isinstance(source, Many | Listed | ById):
        reasons.append("is not there for everybody, so it must be nullable")
    match source:
        case Column():
            reasons += _check_column(entity, mapped, source.name or mapped.python_name, sure=sure)
        case One() | Many() | Listed():
            reasons += _check_relation(found, entity, mapped, source, sure=sure)
        case Identity():
            reasons += _check_key(entity)
        case Part() | Parts():
            named = cast("GraphQLObjectType", get_named_type(field.type))
            names = {python_name(one) for one in named.fields.values()}
            if names != set(source.fields):
                reasons.append(f"{named.name} has {sorted(names)}, not {sorted(source.fields)}")
            if isinstance(source, Part) and source.unless and sure:
                reasons.append("may be null, so its type must say so")
        case Expression() | Computed() | ById() | _:
            pass
    if isinstance(source, Column | Expression) and wire(field.type, None) is None:
        reasons.append("a list of these has no form in SQL")
    return reasons


def python_name(field: GraphQLField) -> str:
    return cast("StrawberryField", field.extensions[BACKREF]).python_name


def _check_column(entity: Entity | None, mapped: Mapped, name: str, *, sure: bool) -> list[str]:
    if entity is None or entity.table is None:
        return ["has a column, but its type no table"]
    if name not in entity.table.c:
        return [f"{entity.table.name} has no column {name}"]
    column = entity.table.c[name]
    named = get_named_type(mapped.field.type)
    reasons = []
    if sure and column.nullable:
        reasons.append(f"{entity.table.name}.{name} may be NULL, so its type must say so")
    if named.name == "DateTime" and not (isinstance(column.type, DateTime) and column.type.timezone):
        reasons.append(f"{entity.table.name}.{name} is no timestamptz")
    if named.name == "Decimal" and not isinstance(column.type, Numeric):
        reasons.append(f"{entity.table.name}.{name} is no numeric")
    if isinstance(column.type, LargeBinary):
        reasons.append(f"{entity.table.name}.{name} is bytea: finish it in Python")
    return reasons


def _check_key(entity: Entity | None) -> list[str]:
    if entity is None or entity.table is None or entity.key not in entity.table.c:
        return ["its type has no table with that key"]
    if not isinstance(entity.table.c[entity.key].type, Uuid | String):
        return ["a global id needs a key of type uuid or text"]
    return []


def _check_relation(
    found: Map, entity: Entity | None, mapped: Mapped, source: One | Many | Listed, *, sure: bool
) -> list[str]:
    target = found.entities.get(mapped.target or "")
    if target is None:
        return [f"{mapped.target} is no entity: it has no table and no policy"]
    reasons = []
    if isinstance(source, Many) != is_connection(get_named_type(mapped.field.type)):
        reasons.append("a connection is declared with many(), and many() gives a connection")
    listed = cast("GraphQLNonNull[Any]", mapped.field.type).of_type if sure else None
    if isinstance(source, Listed) and not is_list_type(listed):
        reasons.append("a list is never null: declare it list[…]")
    if isinstance(source, Many) and not sure:
        reasons.append("a connection is never null")
    if source.on is not None:
        here, there = (entity, target) if isinstance(source, One) else (target, entity)
        if here is None or here.table is None or source.on not in here.table.c:
            reasons.append(f"no column {source.on} to follow")
        elif there is None or there.table is None:
            reasons.append("follows a column to a type without a table")
        elif isinstance(source, One) and sure and here.table.c[source.on].nullable:
            reasons.append(f"{source.on} may be NULL, so its type must say so")
    if isinstance(source, One) and sure and target.table is not None:
        if not source.with_parent:
            reasons.append("the viewer may not be allowed to see it, so its type must be nullable")
        if source.on is None:
            reasons.append("may not exist, so its type must be nullable")
    if isinstance(source, Many) and target.table is not None:
        for order in source.orders.choices.values():
            for name in order.columns:
                if name not in target.table.c:
                    reasons.append(f"orders by {name}, which {target.table.name} does not have")
                elif target.table.c[name].nullable:
                    reasons.append(f"orders by {name}, which may be NULL")
    return reasons


# --- from a column to what leaves -------------------------------------------------------------

Wire = Callable[[str], str]
"""From an SQL expression to one whose JSON is the value as clients get it."""


def wire(kind: GraphQLOutputType, column: TypeEngine[Any] | None) -> Wire | None:
    """How a value of `kind` is written by SQL; `column` is the type of its column where it has one.

    None where there is no way: a list whose items would each need work.
    """
    nullable = kind.of_type if is_non_null_type(kind) else kind
    if is_list_type(nullable):
        item = get_named_type(nullable)
        plain = item.name in {"String", "Int", "Boolean", "ID", "JSON"} or (
            isinstance(item, GraphQLEnumType) and all(n == v.value for n, v in item.values.items())
        )
        return (lambda sql: sql) if plain else None
    if isinstance(nullable, GraphQLEnumType):
        return _enum_wire(nullable)
    match getattr(nullable, "name", ""):
        case "DateTime":
            return lambda sql: f"to_char({sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        case "Int" | "Float" | "Boolean" | "JSON" | "Date":
            return lambda sql: sql
        case _ if isinstance(column, String) and not isinstance(column, Enum):
            return lambda sql: sql
        case _:
            return lambda sql: f"({sql})::text"


def _enum_wire(kind: GraphQLEnumType) -> Wire:
    """Rows hold an enum's value, clients get its name."""
    names = {value.value: name for name, value in kind.values.items()}
    if all(value == name for value, name in names.items()):
        return lambda sql: f"({sql})::text"
    if all(str(value).upper() == name for value, name in names.items()):
        return lambda sql: f"upper(({sql})::text)"
    cases = " ".join(f"WHEN {quote(str(value))} THEN {quote(name)}" for value, name in names.items())
    return lambda sql: f"CASE ({sql})::text {cases} END"


def needed(column: TypeEngine[Any] | None) -> Wire:
    """How a column comes to a computed field: exact numbers as text, instants as clients get them."""
    if isinstance(column, Numeric):
        return lambda sql: f"({sql})::text"
    if isinstance(column, DateTime):
        return lambda sql: f"to_char({sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    if isinstance(column, LargeBinary):
        return lambda sql: f"encode({sql}, 'hex')"
    return lambda sql: sql


def global_id(kind: str, sql: str, column: TypeEngine[Any]) -> str:
    """`ids.encode_id` in SQL."""
    if isinstance(column, Uuid):
        raw = f"{quote(kind + ':')}::bytea || uuid_send({sql})"
    else:
        raw = f"convert_to({quote(kind + '/')} || {sql}, 'UTF8')"
    return base64url(raw)


def base64url(raw: str) -> str:
    """The bytea expression `raw` in base64url; `encode` breaks its lines and pads."""
    return f"translate(encode({raw}, 'base64'), E'+/=\\n', '-_')"


def sort_kind(column: TypeEngine[Any]) -> str:
    """The SQL type in which a cursor's value is compared with its column."""
    match column:
        case Uuid():
            return "uuid"
        case DateTime():
            return "timestamptz"
        case Date():
            return "date"
        case Numeric():
            return "numeric"
        case Integer():
            return "bigint"
        case Boolean():
            return "boolean"
        case String():
            return "text"
        case _:
            return str(column.compile(dialect=postgresql.dialect())).lower()  # type: ignore[no-untyped-call]  # theirs


def table_name(table: Table) -> str:
    return _quoting.format_table(table)


def column_name(name: str) -> str:
    return _quoting.quote(name)


def quote(text: str) -> str:
    """`text` as an SQL literal: for names of the schema and keys of a document, never for values."""
    return "'" + text.replace("'", "''") + "'"
