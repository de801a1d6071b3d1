"""The map from the schema to SQL: what stands behind each field, and which rows a viewer may see.

A type is declared once, with its table, its policy and its fields; `plans` makes one SQL statement out of it.

    @entity(records.Case, policy=seen_by_applicant_or_department)
    class Case(Node):
        \"\"\"What the municipality handles, from submission on.\"\"\"

        reference: str = column("The public reference.")
        applicant: Person | None = one("Who applied.", on="person_id")
        timeline: Connection[CaseEvent] = many("What happened.", on="case_id", orders=TIMELINE_ORDER)

SQL is written in templates: `{t}` is the row's table, `{parent}` the row that it hangs on, `{value}` what an
argument says and `{viewer.name}` an attribute of the viewer. Each of the last two becomes a parameter of the
statement, never a part of it. Literal braces are doubled. Names that SQL reserves are quoted by the author.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, Self, TypeVar, cast, dataclass_transform
from uuid import UUID

import strawberry
from sqlalchemy import Table
from strawberry import UNSET
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from loket.api.naming import Field, described, document, interface, output
from loket.api.scalars import Cursor

T = TypeVar("T")
Type = Any
"""An annotation, such as `int | None`, or a class of records."""

DEFAULT_PAGE = 20
"""Items of a page when neither `first` nor `last` says."""
LARGEST_PAGE = 100

SOURCE = "loket.source"
POLICY = "loket.policy"
CONDITION = "loket.condition"

EVERYBODY = "TRUE"
NOBODY = "FALSE"
"""Conditions of row policies."""

RowPolicy = Callable[[Any], str]
"""From the viewer's scope to the condition on a row, as a template with `{t}` and `{viewer.…}`."""
Allowed = Callable[[Any], bool]
"""From the viewer's scope to whether a field is there at all."""


def anyone(_scope: object) -> bool:
    """The policy of a field that is for everybody; its rows may still be nobody's."""
    return True


# --- what a field stands for ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What stands behind a field. To whom it is not `allowed` gets null, or an empty list."""

    allowed: Allowed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Source):
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression(Source):
    sql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Source):
    """The global id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Source):
    """An object out of columns of the same row; null where `unless` holds."""

    fields: Mapping[str, str]
    unless: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Source):
    """A list of objects out of a JSON array; `{t}` in `fields` is an element."""

    array: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed(Source):
    """Finished in Python from `needs`."""

    function: Callable[..., Any]
    needs: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """An argument that finds a row. `by_id` reads it as a global id of that type."""

    kind: Any
    text: str
    sql: str
    by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class One(Source):
    on: str | None
    where: str | None
    order: str | None
    lookups: Mapping[str, Lookup]
    with_parent: bool


@dataclass(frozen=True, slots=True)
class Order:
    """Columns by which a list comes, all in one direction; the key is added, so no two rows are equal."""

    columns: tuple[str, ...]
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Orders:
    """The orders that a list offers; the first one is taken where the client says nothing."""

    kind: type[Enum] | None
    choices: Mapping[str, Order]


@dataclass(frozen=True, slots=True, kw_only=True)
class Many(Source):
    """A connection."""

    on: str | None
    where: str | None
    filter: type[Any] | None
    orders: Orders
    with_parent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Source):
    """A short list, whole."""

    on: str | None
    where: str | None
    order: str
    at_most: int
    with_parent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ById(Source):
    """Objects of any type by global id; `several` for a list of them."""

    several: bool


@dataclass(frozen=True, slots=True)
class Condition:
    sql: str
    by_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """The rows behind a type. Without a table there is one row, the viewer's own world."""

    table: Table | None
    policy: RowPolicy
    key: str
    text_key: bool = False
    within: str | None = None
    """A column by which its table is kept in parts: whoever names a row says this of it too."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A row to be read where a payload or an event is answered: its type and key.

    `cursor` is the place in the stream of events, for clients that resume.
    """

    kind: str
    key: UUID | str | int
    cursor: str | None = field(default=None, compare=False)
    within: UUID | None = field(default=None, compare=False)
    """What the row has in the column `Entity.within`, so that one part is read and not all."""


# --- declaring a type -------------------------------------------------------------------------


@dataclass_transform(kw_only_default=True, field_specifiers=(described, strawberry.field, StrawberryField))
def entity(
    record: Type, *, policy: RowPolicy, key: str = "id", within: str | None = None
) -> Callable[[type[T]], type[T]]:
    """A type that is read from `record`: a SQLModel class, a table, or None for the viewer's own world.

    `policy` gives, for a viewer's scope, the condition that rows must meet. `key` is the column that tells
    rows apart, a uuid, a text or a number; `within` see `Entity`.
    """
    table = record if record is None or isinstance(record, Table) else record.__table__

    def declare(cls: type[T]) -> type[T]:
        made = output(cls)
        made.__entity__ = Entity(table, policy, key, within=within)  # type: ignore[attr-defined]  # read when the schema is built
        return made

    return declare


def column(text: str, name: str | None = None, *, allowed: Allowed | None = None) -> Field:
    """A column, of the same name unless `name` says otherwise."""
    return described(text, metadata={SOURCE: Column(name=name, allowed=allowed)})


def expression(text: str, sql: str, *, allowed: Allowed | None = None) -> Field:
    """An SQL expression. For a field that is never null it must never be NULL."""
    return described(text, metadata={SOURCE: Expression(sql=sql, allowed=allowed)})


def part(
    text: str, fields: Mapping[str, str], *, unless: str | None = None, allowed: Allowed | None = None
) -> Field:
    """An object of a plain type whose `fields` (by Python name) are SQL expressions over the same row."""
    return described(text, metadata={SOURCE: Part(fields=fields, unless=unless, allowed=allowed)})


def parts(text: str, array: str, fields: Mapping[str, str], *, allowed: Allowed | None = None) -> Field:
    """The elements of a jsonb array, a template, as objects: `fields={"reason": "{t} ->> 'reason'"}`."""
    return described(text, metadata={SOURCE: Parts(array=array, fields=fields, allowed=allowed)})


def money(text: str, name: str, *, allowed: Allowed | None = None) -> Field:
    """A numeric column as `Money` in euro; null where the column is."""
    return part(
        text,
        {"amount": f"{{t}}.{name}", "currency": "'EUR'"},
        unless=f"{{t}}.{name} IS NULL",
        allowed=allowed,
    )


def one(
    text: str,
    *,
    on: str | None = None,
    where: str | None = None,
    order: str | None = None,
    by: Mapping[str, Lookup] | None = None,
    with_parent: bool = False,
    policy: Allowed | None = None,
) -> Field:
    """A related object, or at the root one object found by its arguments.

    `on` is the column here that holds the other's key; `where` a template instead, over `{t}` (the other) and
    `{parent}`, of whose rows the first in `order` is taken. `with_parent`: whoever sees the parent sees this,
    so the other type's policy is not asked again.
    """
    source = One(on=on, where=where, order=order, lookups=by or {}, with_parent=with_parent, allowed=policy)
    made = described(text, metadata={SOURCE: source, POLICY: policy})
    made.arguments = [_argument(name, lookup.kind, lookup.text) for name, lookup in source.lookups.items()]
    return made


def by_column(name: str, kind: Type, text: str) -> dict[str, Lookup]:
    """The argument `name` that must equal the column `name`."""
    return {name: Lookup(kind=kind, text=text, sql=f"{{t}}.{name} = {{value}}")}


def by_id(kind: str, text: str, *, key: str = "id") -> dict[str, Lookup]:
    """The argument `id`: the global id of an object of `kind`."""
    return {"id": Lookup(kind=strawberry.ID, text=text, sql=f"{{t}}.{key} = {{value}}", by_id=kind)}


def many(
    text: str,
    *,
    on: str | None = None,
    where: str | None = None,
    filter: type[Any] | None = None,  # the word of the schema
    orders: Orders | None = None,
    with_parent: bool = False,
    policy: Allowed | None = None,
) -> Field:
    """A connection. `on` is the other's column that holds the key of this one; see `one` for the rest."""
    source = Many(
        on=on,
        where=where,
        filter=filter,
        orders=orders or OLDEST_KEY,
        with_parent=with_parent,
        allowed=policy,
    )
    made = described(text, metadata={SOURCE: source, POLICY: policy})
    made.arguments = [
        _argument(
            "first",
            int | None,
            f"How many from the start, at most {LARGEST_PAGE}. Without it: {DEFAULT_PAGE}.",
        ),
        _argument("after", Cursor | None, "Only what comes after this cursor."),
        _argument("last", int | None, f"How many from the end, at most {LARGEST_PAGE}; not beside `first`."),
        _argument("before", Cursor | None, "Only what comes before this cursor."),
    ]
    if filter is not None:
        made.arguments.append(_argument("filter", filter | None, "Only what meets all of this."))
    if source.orders.kind is not None:
        made.arguments.append(_argument("order_by", source.orders.kind | None, "In which order."))
    return made


def listed(
    text: str,
    *,
    on: str | None = None,
    where: str | None = None,
    order: str,
    at_most: int = LARGEST_PAGE,
    with_parent: bool = False,
    policy: Allowed | None = None,
) -> Field:
    """A list that is short by its nature (phases, lines), whole: `order` is a template of ORDER BY."""
    source = Listed(on=on, where=where, order=order, at_most=at_most, with_parent=with_parent, allowed=policy)
    return described(text, metadata={SOURCE: source, POLICY: policy})


def computed(
    *needs: str, allowed: Allowed | None = None, **expressions: str
) -> Callable[[Callable[..., Any]], Field]:
    """A field that Python finishes: `def title(row, viewer, **arguments) -> str`, described by its docstring.

    `row` maps each column in `needs` and each template in `expressions` to its JSON: instants, days, uuids
    and exact numbers as text, bytea as hexadecimal digits.
    """

    def declare(function: Callable[..., Any]) -> Field:
        source = Computed(
            function=function,
            needs={name: f"{{t}}.{name}" for name in needs} | expressions,
            allowed=allowed,
        )
        parameters = list(inspect.signature(function).parameters.values())[2:]
        space = function.__globals__
        made = StrawberryField(
            python_name=function.__name__,
            type_annotation=StrawberryAnnotation(function.__annotations__["return"], namespace=space),
            description=document(function),
            metadata={SOURCE: source},
        )
        made.arguments = [
            StrawberryArgument(
                python_name=one.name,
                graphql_name=None,
                type_annotation=StrawberryAnnotation(one.annotation, namespace=space),
                default=one.default,
            )
            for one in parameters
        ]
        return made

    return declare


def object_by_id(*, policy: Allowed) -> Field:
    """The root field `node(id)`."""
    made = described(
        "Any object by its global id; null where it does not exist for you.",
        metadata={SOURCE: ById(several=False, allowed=policy), POLICY: policy},
    )
    made.arguments = [_argument("id", strawberry.ID, "The global id.")]
    return made


def objects_by_id(*, policy: Allowed) -> Field:
    """The root field `nodes(ids)`."""
    made = described(
        f"Objects by global id, in that order, at most {LARGEST_PAGE}; null for what does not exist for you.",
        metadata={SOURCE: ById(several=True, allowed=policy), POLICY: policy},
    )
    made.arguments = [_argument("ids", list[strawberry.ID], "The global ids.")]
    return made


def condition(text: str, sql: str, *, by_id: str | None = None) -> Field:
    """A field of a filter: rows must meet `sql`, with what the client gives as `{value}`; null: no matter."""
    return strawberry.field(default=UNSET, description=text, metadata={CONDITION: Condition(sql, by_id)})


def orders(name: str, text: str, **choices: tuple[Order, str]) -> Orders:
    """The enum `name` of the orders that a list offers, each described; the first is the default."""
    kind = Enum(  # type: ignore[misc]  # the members come as arguments
        name,
        {choice: strawberry.enum_value(choice, description=said) for choice, (_, said) in choices.items()},
    )
    strawberry.enum(kind, name=name, description=text)
    return Orders(kind, {choice: order for choice, (order, _) in choices.items()})


def oldest(*columns: str) -> Order:
    return Order(columns)


def newest(*columns: str) -> Order:
    return Order(columns, descending=True)


OLDEST_KEY = Orders(None, {"": Order(())})
"""By key alone: UUIDv7 keys come in the order in which rows were made."""


def _argument(name: str, kind: Type, text: str) -> StrawberryArgument:
    return StrawberryArgument(
        python_name=name,
        graphql_name=None,
        type_annotation=StrawberryAnnotation(kind),
        description=text,
        default=UNSET,
    )


# --- types that every schema has --------------------------------------------------------------


@interface
class Node:
    """An object with a global id."""

    id: strawberry.ID = described(
        "The global id: opaque, and the same for ever.", metadata={SOURCE: Identity()}
    )

    @classmethod
    def of(cls, key: UUID | str | int, *, cursor: str | None = None, within: UUID | None = None) -> Self:
        """The object with `key`, to be read where a payload or an event is answered."""
        return cast("Self", Ref(cls.__strawberry_definition__.name, key, cursor, within))  # type: ignore[attr-defined]  # strawberry's


@output
class PageInfo:
    """Where a page stands in its list."""

    has_next_page: bool = described("Whether there is more after this page.")
    has_previous_page: bool = described("Whether there is something before this page.")
    start_cursor: Cursor | None = described("The cursor of the first item; null on an empty page.")
    end_cursor: Cursor | None = described("The cursor of the last item; null on an empty page.")


@output
class Edge(Generic[T]):
    """An item of a list and its place."""

    cursor: Cursor = described("The place of this item, for `after` and `before`.")
    node: T = described("The item.")


@output
class Connection(Generic[T]):
    """A page of a list."""

    edges: list[Edge[T]] = described("The items of this page with their cursors.")
    nodes: list[T] = described("The items of this page.")
    page_info: PageInfo = described("Where this page stands.")
    total_count: int = described("How many there are over all pages. Counted only when asked for.")
