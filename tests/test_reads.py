"""One statement per answer, only what the viewer may see, and the same answer whichever way it is made."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest
import pytest_asyncio
import strawberry
from graphql import (
    REMOVE,
    ArgumentNode,
    FieldDefinitionNode,
    FieldNode,
    IntValueNode,
    ListValueNode,
    StringValueNode,
    Visitor,
    build_ast_schema,
    parse,
    print_ast,
    print_schema,
    visit,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import nodes, queries
from sqlalchemy import insert
from strawberry import ID

import toys
from loket.api.engine import Schema
from loket.api.limits import Limits
from loket.api.mapping import SchemaRefused
from loket.api.reads import Connection, Node, anyone, column, entity, many, newest, one, orders
from loket.api.roots import root
from loket.database import Database
from loket.ids import encode_id

GENEROUS = Limits(
    depth=60,
    fields=20_000,
    tokens=50_000,
    text=500_000,
    root_fields=500,
    repeats=100,
    budget=10**9,
    budgets={},
)
SCHEMA = toys.schema(GENEROUS)
STAFF = toys.staff("social", "environment")


@pytest_asyncio.fixture(scope="module")
async def office(module_database_url: str) -> AsyncIterator[Database]:
    async with Database(module_database_url, name="toys") as database:
        await toys.fill(database)
        yield database


async def ask(
    office: Database,
    query: str,
    viewer: toys.Viewer = STAFF,
    variables: dict[str, Any] | None = None,
    *,
    compiled: bool = True,
) -> dict[str, Any]:
    answer = await SCHEMA.answer(
        query, context=toys.Context(viewer, office), variables=variables, compiled=compiled
    )
    found: dict[str, Any] = orjson.loads(answer.body)
    return found


async def data(
    office: Database, query: str, viewer: toys.Viewer = STAFF, **variables: object
) -> dict[str, Any]:
    found = await ask(office, query, viewer, variables)
    assert "errors" not in found, found["errors"]
    return dict(found["data"])


# --- the compiled answer is the executed answer -----------------------------------------------


class _Fitting(Visitor):
    """Makes generated arguments such that most of them find something."""

    def __init__(self, cursors: list[str]) -> None:
        super().__init__()
        self._cursors = cursors
        self._seen = 0

    def enter_field(self, node: FieldNode, *_rest: object) -> FieldNode:
        kept: list[ArgumentNode] = []
        both: set[str] = set()
        for argument in node.arguments or ():
            name, value = argument.name.value, argument.value
            self._seen += 1
            if name in {"first", "last"}:
                if both & {"first", "last"}:
                    continue
                size = abs(int(getattr(value, "value", 3) or 3)) % 6 + 1
                value = IntValueNode(value=str(size))
            elif name in {"after", "before"}:
                if not self._cursors:
                    continue
                value = StringValueNode(value=self._cursors[self._seen % len(self._cursors)])
            elif name == "id":
                value = StringValueNode(value=self._id())
            elif name == "ids":
                value = ListValueNode(
                    values=tuple(StringValueNode(value=self._id(step)) for step in range(3))
                )
            elif name == "reference":
                value = StringValueNode(value=f"D-{self._seen % 30:03}")
            elif name == "times":
                value = IntValueNode(value=str(self._seen % 4 - 1))
            both.add(name)
            kept.append(replace(argument, value=value))
        return replace(node, arguments=tuple(kept))

    def _id(self, step: int = 0) -> str:
        turn = (self._seen + step) % 5
        if turn == 0:
            return "nonsense"
        if turn == 1:
            return encode_id("Person", toys.PEOPLE[self._seen % 4])
        return encode_id("Dossier", toys.DOSSIERS[(self._seen * 7 + step) % 25])


class _Quiet(Visitor):
    """Leaves out the fields that sleep or fail."""

    def enter_field_definition(self, node: FieldDefinitionNode, *_rest: object) -> object:
        return REMOVE if node.name.value in {"slow", "broken"} else None


QUIET = build_ast_schema(visit(parse(print_schema(SCHEMA._schema)), _Quiet()))
TEXTS = st.sampled_from(["hello", "it's", "%", "a\\b", "é"]).map(nodes.String)
DOCUMENTS = queries(
    QUIET,
    custom_scalars={
        "DateTime": st.sampled_from(["2026-11-01T10:00:00Z", "2026-11-05T00:00:00+01:00"]).map(nodes.String),
        "Date": st.just("2026-11-01").map(nodes.String),
        "Decimal": st.sampled_from(["0", "12.50"]).map(nodes.String),
        "Cursor": st.just("x").map(nodes.String),
        "JSON": TEXTS,
        "CurrencyCode": st.just("EUR").map(nodes.String),
    },
)
VIEWERS = [
    STAFF,
    toys.staff("social", language="en"),
    toys.citizen(toys.PEOPLE[1], language="en"),
    toys.citizen(toys.PEOPLE[3]),
    toys.ANONYMOUS,
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=DOCUMENTS, viewer=st.sampled_from(VIEWERS), page=st.booleans())
async def test_a_compiled_answer_equals_the_executed_one(
    office: Database, document: str, viewer: toys.Viewer, page: bool
) -> None:
    known = await ask(office, "{ dossiers(first: 4, orderBy: OLDEST) { edges { cursor } } }")
    cursors = [edge["cursor"] for edge in known["data"]["dossiers"]["edges"]] if page else []
    fitting = print_ast(visit(parse(document), _Fitting(cursors)))
    compiled = await ask(office, fitting, viewer)
    executed = await ask(office, fitting, viewer, compiled=False)
    for answer in (compiled, executed):
        for fault in answer.get("errors", ()):
            assert fault["extensions"]["code"] != "INTERNAL", fault
        _forget_snapshots(answer.get("data"))
    assert orjson.dumps(compiled.get("data")) == orjson.dumps(executed.get("data"))
    assert compiled.get("errors") == executed.get("errors")


def _forget_snapshots(value: object) -> None:
    """`Me.cursor` grows while the tests write."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and inner.isdigit():
                value[key] = "0"
            _forget_snapshots(inner)
    elif isinstance(value, list):
        for inner in value:
            _forget_snapshots(inner)


KITCHEN_SINK = """
query Everything($n: Int = 3, $with: Boolean!, $filter: DossierFilter) {
  __typename
  mine: me { kind dossiers(first: $n) { totalCount nodes { reference } } }
  dossiers(first: $n, orderBy: BY_DEPARTMENT, filter: $filter) {
    __typename total: totalCount
    pageInfo { __typename hasNextPage hasPreviousPage startCursor endCursor }
    edges { __typename cursor node { ...Whole } }
    nodes { ref: reference a: notes(first: 1) { ...Words } b: notes(last: 2, orderBy: NEWEST) { ...Words } }
  }
  node(id: "NODE") { __typename id ... on Dossier { reference notes(first: 1) { totalCount } } }
  nodes(ids: ["PERSON", "x", "NODE"]) { id ... on Node { __typename } ... on Person { name masked } }
}
fragment Whole on Dossier {
  __typename id reference status stage exact weight urgent answers submittedAt title department
  amount { __typename amount currency } lines { __typename product quantity price }
  person { id name bornOn masked } handler { name @skip(if: $with) bornOn @include(if: $with) }
  lastNote { text at dossier { reference } } firstNotes { number text at }
  actions { __typename name enabled why: reason } shout loud: shout(times: 3)
  notes(first: 2, filter: { text: "e" }) { totalCount nodes { number } }
}
fragment Words on NoteConnection { nodes { text } }
""".replace("NODE", encode_id("Dossier", toys.DOSSIERS[4])).replace(
    "PERSON", encode_id("Person", toys.PEOPLE[1])
)


@pytest.mark.parametrize("viewer", VIEWERS)
@pytest.mark.parametrize("with_", [True, False])
async def test_everything_at_once_is_the_same_both_ways(
    office: Database, viewer: toys.Viewer, with_: bool
) -> None:
    variables = {"with": with_, "filter": {"status": ["OPEN"], "atLeast": "5.00"}}
    compiled = await ask(office, KITCHEN_SINK, viewer, variables)
    executed = await ask(office, KITCHEN_SINK, viewer, variables, compiled=False)
    assert "errors" not in compiled
    assert orjson.dumps(compiled) == orjson.dumps(executed)


async def test_an_object_of_more_than_fifty_fields_keeps_their_order(office: Database) -> None:
    names = [f"r{number}" for number in range(70)]
    query = f'{{ dossier(reference: "D-001") {{ {" ".join(f"{name}: reference" for name in names)} }} }}'
    schema = toys.schema(Limits(aliases=100))
    answer = await schema.answer(query, context=toys.Context(STAFF, office))
    assert list(orjson.loads(answer.body)["data"]["dossier"]) == names


# --- one statement ----------------------------------------------------------------------------

PAGE = """query ($n: Int!) { dossiers(first: $n) { totalCount nodes {
  reference person { name } handler { name } lastNote { text } lines { product }
  notes(first: 5) { nodes { text dossier { person { name } } } } actions { name }
} } }"""


@pytest.mark.parametrize(
    "asked", ["hasPreviousPage", "hasNextPage", "startCursor", "endCursor", "__typename"]
)
@pytest.mark.parametrize("compiled", [True, False])
async def test_where_a_page_stands_is_told_by_itself(office: Database, asked: str, *, compiled: bool) -> None:
    whole = (
        "{ dossiers(first: 3) { pageInfo { hasPreviousPage hasNextPage startCursor endCursor __typename } } }"
    )
    alone = f"{{ dossiers(first: 3) {{ pageInfo {{ {asked} }} }} }}"
    told = (await ask(office, alone, compiled=compiled))["data"]["dossiers"]["pageInfo"]
    assert told == {asked: (await ask(office, whole))["data"]["dossiers"]["pageInfo"][asked]}


@pytest.mark.parametrize("compiled", [True, False])
async def test_a_page_of_any_size_is_one_statement(office: Database, compiled: bool) -> None:
    for size in (1, 10, 25):
        with office.count() as statements:
            found = await ask(office, PAGE, variables={"n": size}, compiled=compiled)
        assert len(found["data"]["dossiers"]["nodes"]) == size
        assert len(statements) == 1


async def test_several_root_fields_are_one_statement_and_one_snapshot(office: Database) -> None:
    with office.count() as statements:
        await data(office, '{ me { cursor } dossiers { totalCount } a: dossier(reference: "D-001") { id } }')
    assert len(statements) == 1


async def test_a_page_size_is_a_literal_and_every_other_value_a_parameter(office: Database) -> None:
    query = """query ($n: Int!, $text: String!) { dossiers(first: $n) { nodes {
      notes(filter: { text: $text }) { nodes { text } } } } }"""
    text = "'); DROP TABLE toy_note; --"
    with office.count() as statements:
        await data(office, query, n=7, text=text)
    assert "LIMIT 8" in statements[0]
    assert "DROP" not in statements[0]
    assert "$" in statements[0]


async def test_totals_are_counted_only_when_asked(office: Database) -> None:
    with office.count() as statements:
        await data(office, "{ dossiers(first: 1) { nodes { id } } }")
        await data(office, "{ dossiers { totalCount } }")
    plain, counted = statements
    assert "count(*)" not in plain
    assert "count(*)" in counted
    assert "LIMIT" not in counted


async def test_an_operation_without_rows_asks_no_database(office: Database) -> None:
    with office.count() as statements:
        found = await data(office, "{ __typename recipes { key title } }")
    assert found == {
        "__typename": "Query",
        "recipes": [{"key": "bin", "title": "A bin"}, {"key": "tree", "title": "A tree"}],
    }
    assert list(statements) == []


# --- pages ------------------------------------------------------------------------------------

WALK = """query ($first: Int, $after: Cursor, $last: Int, $before: Cursor, $by: DossierOrder) {
  dossiers(first: $first, after: $after, last: $last, before: $before, orderBy: $by) {
    nodes { reference } edges { cursor node { reference } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@pytest.mark.parametrize("by", ["NEWEST", "OLDEST", "BY_DEPARTMENT", "BY_WEIGHT"])
async def test_pages_forward_and_backward_meet_every_row_once(office: Database, by: str) -> None:
    whole = (await data(office, WALK, first=100, by=by))["dossiers"]
    expected = [node["reference"] for node in whole["nodes"]]
    assert len(set(expected)) == 25
    assert not whole["pageInfo"]["hasNextPage"]
    assert not whole["pageInfo"]["hasPreviousPage"]
    forward: list[str] = []
    page: dict[str, Any] = {"pageInfo": {"hasNextPage": True, "endCursor": None}}
    while page["pageInfo"]["hasNextPage"]:
        page = (await data(office, WALK, first=4, after=page["pageInfo"]["endCursor"], by=by))["dossiers"]
        assert page["pageInfo"]["hasPreviousPage"] is bool(forward)
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]
        forward += [node["reference"] for node in page["nodes"]]
    assert forward == expected
    backward: list[str] = []
    page = {"pageInfo": {"hasPreviousPage": True, "startCursor": None}}
    while page["pageInfo"]["hasPreviousPage"]:
        page = (await data(office, WALK, last=4, before=page["pageInfo"]["startCursor"], by=by))["dossiers"]
        assert page["pageInfo"]["hasNextPage"] is bool(backward)
        assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]
        backward = [node["reference"] for node in page["nodes"]] + backward
    assert backward == expected


async def test_an_empty_page_has_no_cursors(office: Database) -> None:
    found = await data(office, WALK, toys.citizen(toys.PEOPLE[3]), first=3)
    assert found["dossiers"] == {
        "nodes": [],
        "edges": [],
        "pageInfo": {
            "hasNextPage": False,
            "hasPreviousPage": False,
            "startCursor": None,
            "endCursor": None,
        },
    }


OF_SOME = """query ($first: Int, $after: Cursor, $status: [ToyStatus!], $by: DossierOrder) {
  dossiers(first: $first, after: $after, orderBy: $by, filter: {status: $status}) {
    totalCount nodes { reference status } pageInfo { hasNextPage hasPreviousPage endCursor } } }"""


@pytest.mark.parametrize("viewer", [STAFF, toys.staff("social"), toys.citizen(toys.PEOPLE[1])])
@pytest.mark.parametrize("by", ["NEWEST", "OLDEST", "BY_WEIGHT"])
@pytest.mark.parametrize("status", [["OPEN", "CLOSED", "OPEN"], ["OPEN"], []])
async def test_a_page_of_several_statuses_is_in_one_order(
    office: Database, viewer: toys.Viewer, by: str, status: list[str]
) -> None:
    every = await data(office, OF_SOME, viewer, first=100, by=by)
    expected = [one for one in every["dossiers"]["nodes"] if one["status"] in status]
    forward: list[Any] = []
    page: dict[str, Any] = {"pageInfo": {"hasNextPage": True, "endCursor": None}}
    while page["pageInfo"]["hasNextPage"]:
        cursor = page["pageInfo"]["endCursor"]
        asked = {"first": 3, "after": cursor, "by": by, "status": status}
        page = (await data(office, OF_SOME, viewer, **asked))["dossiers"]
        assert page["totalCount"] == len(expected)
        assert page["pageInfo"]["hasPreviousPage"] is bool(forward)
        forward += page["nodes"]
    assert forward == expected
    assert expected or not status


async def _cursor(office: Database) -> str:
    found = await data(office, "{ dossiers(first: 1, orderBy: OLDEST) { edges { cursor } } }")
    return str(found["dossiers"]["edges"][0]["cursor"])


async def test_a_cursor_of_another_list_order_or_hand_is_refused(office: Database) -> None:
    cursor = await _cursor(office)
    ask_notes = 'query ($c: Cursor) { dossier(reference: "D-003") { notes(after: $c) { nodes { id } } } }'
    changed = cursor[:-4] + ("A" if cursor[-4] != "A" else "B") + cursor[-3:]
    attempts = [
        (ask_notes, {"c": cursor}),
        (WALK, {"after": cursor, "by": "NEWEST"}),
        (WALK, {"after": changed, "by": "OLDEST"}),
        (WALK, {"before": "nonsense", "by": "OLDEST"}),
        (WALK, {"after": "Ym9ndXM", "by": "OLDEST"}),
    ]
    for query, variables in attempts:
        found = await ask(office, query, variables=variables)
        assert found["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT", variables
        assert "does not belong to this list" in found["errors"][0]["message"]


@pytest.mark.parametrize(
    "variables", [{"first": 0}, {"first": 101}, {"last": -1}, {"first": 1, "last": 1}, {"last": 2**31 - 1}]
)
async def test_an_impossible_page_is_refused(office: Database, variables: dict[str, int]) -> None:
    found = await ask(office, WALK, variables=variables)
    assert found["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert found["errors"][0]["path"] == ["dossiers"]


async def test_filters_find_and_null_asks_nothing(office: Database) -> None:
    query = (
        "query ($f: DossierFilter) { dossiers(first: 100, filter: $f) { nodes { reference } totalCount } }"
    )
    expected: dict[str, tuple[Any, Any]] = {
        "status": (["CLOSED"], lambda number: number % 3 == 0),
        "applicant": (encode_id("Person", toys.PEOPLE[1]), lambda number: number % 3 == 1),
        "submittedFrom": ("2026-11-10T00:00:00Z", lambda number: number // 2 >= 9),
        "atLeast": ("20", lambda number: number % 4 and number * 5 / 4 >= 20),
        "urgent": (True, lambda number: number % 6 == 0),
    }
    for name, (value, rule) in expected.items():
        found = (await data(office, query, f={name: value}))["dossiers"]
        wanted = {f"D-{number:03}" for number in range(25) if rule(number)}
        assert {node["reference"] for node in found["nodes"]} == wanted, name
        assert found["totalCount"] == len(wanted)
    for nothing in (None, {}, {"status": None}):
        assert (await data(office, query, f=nothing))["dossiers"]["totalCount"] == 25
    for name, value in (
        ("applicant", "x"),
        ("applicant", encode_id("Dossier", toys.PEOPLE[1])),
        ("status", []),
    ):
        assert (await data(office, query, f={name: value}))["dossiers"]["totalCount"] == 0


async def test_a_nul_character_is_refused_before_postgresql_sees_it(office: Database) -> None:
    found = await ask(
        office, "query ($r: String!) { dossier(reference: $r) { id } }", variables={"r": "a\0b"}
    )
    assert found["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


# --- what a viewer may not see does not exist -------------------------------------------------

DOORS = """query ($reference: String!, $id: ID!) {
  dossier(reference: $reference) { id } dossierById(id: $id) { id }
  node(id: $id) { id } nodes(ids: [$id]) { id }
  dossiers(first: 100) { nodes { reference } totalCount } persons { nodes { id } totalCount } me { kind } }"""


@pytest.mark.parametrize(
    "viewer", [toys.ANONYMOUS, toys.citizen(toys.PEOPLE[3]), toys.staff(), toys.staff("other")]
)
async def test_no_door_leads_to_a_row_of_somebody_else(office: Database, viewer: toys.Viewer) -> None:
    there = {"reference": "D-001", "id": encode_id("Dossier", toys.DOSSIERS[1])}
    missing = {"reference": "D-999", "id": encode_id("Dossier", UUID(int=1))}
    found = await data(office, DOORS, viewer, **there)
    assert found == await data(office, DOORS, viewer, **missing)
    assert found["dossier"] is found["dossierById"] is found["node"] is None
    assert found["nodes"] == [None]
    assert found["dossiers"] == {"nodes": [], "totalCount": 0}


async def test_relations_keep_the_policy_of_where_they_lead(office: Database) -> None:
    an = toys.citizen(toys.PEOPLE[0])
    found = await data(
        office, '{ dossier(reference: "D-006") { notes { nodes { text } } firstNotes { text } } }', an
    )
    assert [note["text"] for note in found["dossier"]["notes"]["nodes"]] == [
        "hello",
        "100 %",
        "it's {braces}",
        "two\nlines",
        "bye",
    ]
    other = """{ dossier(reference: "D-003") {
      person { dossiers { nodes { reference } } } handler { dossiers { nodes { id } } } } }"""
    found = await data(office, other, an)
    assert len(found["dossier"]["person"]["dossiers"]["nodes"]) == 9
    assert found["dossier"]["handler"]["dossiers"]["nodes"] == []


async def test_a_field_that_is_not_for_the_viewer_is_null_or_empty(office: Database) -> None:
    query = (
        '{ dossier(reference: "D-001") { department person { bornOn } } persons { totalCount nodes { id } } }'
    )
    seen = await data(office, query)
    assert seen["dossier"] == {"department": "environment", "person": {"bornOn": "1981-01-31"}}
    hidden = await data(office, query, toys.citizen(toys.PEOPLE[1]))
    assert hidden == {
        "dossier": {"department": None, "person": {"bornOn": None}},
        "persons": {"totalCount": 0, "nodes": []},
    }


async def test_plans_of_one_scope_never_serve_another_viewer(office: Database) -> None:
    query = "{ dossiers(first: 100) { totalCount } }"
    totals = [
        (await data(office, query, viewer))["dossiers"]["totalCount"]
        for viewer in (
            toys.citizen(toys.PEOPLE[0]),
            toys.citizen(toys.PEOPLE[3]),
            STAFF,
            toys.staff("social"),
            toys.ANONYMOUS,
        )
    ]
    assert totals == [9, 0, 25, 13, 0]


# --- by global id -----------------------------------------------------------------------------


async def test_nodes_come_in_the_order_of_their_ids(office: Database) -> None:
    ids = [
        encode_id("Person", toys.PEOPLE[2]),
        "",
        encode_id("Dossier", toys.DOSSIERS[5]),
        encode_id("Person", toys.DOSSIERS[5]),
        encode_id("Recipe", "bin"),
        encode_id("Person", toys.PEOPLE[2]),
    ]
    found = await data(
        office, "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Dossier { reference } } }", ids=ids
    )
    carla = {"id": ids[0]}
    assert found["nodes"] == [carla, None, {"id": ids[2], "reference": "D-005"}, None, None, carla]


async def test_too_many_ids_are_refused(office: Database) -> None:
    found = await ask(
        office, "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", variables={"ids": ["x"] * 101}
    )
    assert found["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


# --- computed fields --------------------------------------------------------------------------


async def test_a_computed_field_that_fails_is_its_own_error(office: Database) -> None:
    query = """{ dossier(reference: "D-001") { reference shout(times: 2000) }
      other: dossier(reference: "D-002") { id } }"""
    found = await ask(office, query)
    assert found["data"]["dossier"] is None
    assert found["data"]["other"] is not None
    fault = found["errors"][0]
    assert fault["message"] == "Internal error"
    assert fault["path"] == ["dossier", "shout"]
    assert len(fault["extensions"]["traceId"]) == 32
    found = await ask(office, '{ dossier(reference: "D-001") { shout(times: -1) } }')
    assert found["errors"][0]["extensions"]["code"] == "VALIDATION"
    assert found["errors"][0]["message"] == "Ongeldige waarde: negative"


# --- what is refused when the schema is built -------------------------------------------------


def test_a_root_field_without_a_policy_is_refused() -> None:
    @strawberry.type(description="Open.")
    class Open:
        secret: toys.Person | None = one("Somebody.", by={})

        said: str = strawberry.field(description="Said.")

    with pytest.raises(SchemaRefused) as refused:
        Schema(Open)
    assert "Open.secret: declares no policy" in refused.value.reasons
    assert "Open.said: declares no policy" in refused.value.reasons


def test_a_type_without_a_policy_is_refused() -> None:
    with pytest.raises(TypeError):
        entity(toys.persons)  # type: ignore[call-arg]  # that is the point

    @strawberry.type(description="No rows behind it.")
    class Loose:
        name: str = strawberry.field(description="A name.")

    @strawberry.type(description="What can be read.")
    class Query:
        loose: Loose | None = one("One.", policy=anyone)

    with pytest.raises(SchemaRefused, match="Loose is no entity: it has no table and no policy"):
        Schema(Query)


def test_a_map_that_does_not_fit_its_table_is_refused_with_every_reason() -> None:
    @entity(toys.dossiers, policy=toys.own_or_department)
    class Ill(Node):
        """Wrongly mapped."""

        nothing: str = column("No such column.")
        amount: str = column("May be NULL.")
        weight: strawberry.scalars.JSON | None = strawberry.field(description="No source.")
        person: toys.Person = one("Hidden by its policy.", on="person_id")
        handler: toys.Person = one("May be NULL.", on="handler_id", with_parent=True)
        nowhere: toys.Person | None = one("No such column.", on="nobody_id")
        notes: Connection[toys.Note] = many(
            "By a column that may be NULL.",
            on="dossier_id",
            orders=orders("IllOrder", "Ill.", BY_NOBODY=(newest("nobody"), "No such.")),
        )
        department: str = column("Not for all.", allowed=toys.only_staff)

    @strawberry.type(description="What can be read.")
    class Query:
        ill: Ill | None = one("One.", policy=anyone)

    with pytest.raises(SchemaRefused) as refused:
        Schema(Query)
    assert refused.value.reasons == sorted(
        [
            "Ill.nothing: table has no column nothing",
            "Ill.amount: table.amount may be NULL, so its type must say so",
            "Ill.weight: no column, expression or relation stands behind it",
            "Ill.person: the viewer may not be allowed to see it, so its type must be nullable",
            "Ill.handler: handler_id may be NULL, so its type must say so",
            "Ill.nowhere: no column nobody_id to follow",
            "Ill.notes: orders by nobody, which toy_note does not have",
            "Ill.department: is not there for everybody, so it must be nullable",
        ]
    )


def test_a_schema_with_a_word_left_undescribed_is_refused() -> None:
    @strawberry.type
    class Query:
        @root(policy=anyone)
        def said(self, how: ID) -> str:
            """Said."""
            return how

    with pytest.raises(SchemaRefused) as refused:
        Schema(Query)
    assert refused.value.reasons == ["Query.said(how): has no description", "Query: has no description"]


async def test_rows_written_meanwhile_do_not_disturb_a_walk(office: Database) -> None:
    query = """query ($after: Cursor) {
      persons(first: 2, after: $after) { nodes { name } pageInfo { endCursor } } }"""
    first = (await data(office, query))["persons"]
    async with office.transaction() as session:
        connection = await session.connection()
        await connection.execute(insert(toys.persons).values(id=UUID(int=5), name="Aaron"))
    try:
        second = (await data(office, query, after=first["pageInfo"]["endCursor"]))["persons"]
    finally:
        async with office.transaction() as session:
            connection = await session.connection()
            await connection.execute(toys.persons.delete().where(toys.persons.c.name == "Aaron"))
    assert [node["name"] for node in first["nodes"] + second["nodes"]] == [
        "An",
        "Bert",
        'Carla "C" \u2028',
        "Dirk",
    ]
