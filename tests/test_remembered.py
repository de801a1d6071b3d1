"""What is remembered of an answer, for a wish that comes twice: rows by their keys, never what they hold.

An answer under an idempotency key lies in the open for as long as the key is good: no account number,
national number or token may get there.
"""

from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLNamedType,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    is_interface_type,
)

SCHEMA = build_schema((Path(__file__).parent.parent / "schema.graphql").read_text())
OWN_WAY = {"paymentStart", "bankStatementImport", "procedurePublish"}
"""Answer with an address, and with warnings that are made anew, and remember ids alone; publishing answers
from what is published and remembers nothing."""
WORDS = {"message", "path", "rule"}
"""Of a refusal, one of many in one answer: written by us, and naming nothing that was given."""
PLAIN = {"ID", "Boolean", "Int", "Decimal", "DateTime", "Date"}


def _is_row(kind: GraphQLNamedType) -> bool:
    return isinstance(kind, GraphQLObjectType) and "Node" in {one.name for one in kind.interfaces}


def _remembered(kind: GraphQLNamedType, at: str) -> list[str]:
    """The fields of an answer, rows apart, of which the value itself is kept and could tell something."""
    assert isinstance(kind, GraphQLObjectType) or is_interface_type(kind)
    found: list[str] = []
    for name, field in kind.fields.items():
        of = get_named_type(field.type)
        if _is_row(of) or isinstance(of, GraphQLEnumType) or of.name in PLAIN or name in WORDS:
            continue
        if isinstance(of, GraphQLObjectType) or is_interface_type(of):
            found += _remembered(of, f"{at}.{name}")
        else:
            found.append(f"{at}.{name}: {of.name}")
    return found


def test_an_answer_that_is_remembered_is_of_rows_and_says_nothing_by_itself() -> None:
    assert SCHEMA.mutation_type is not None
    remembering = {
        name: get_named_type(field.type)
        for name, field in SCHEMA.mutation_type.fields.items()
        if "idempotencyKey" in field.args
    }
    assert len(remembering) > 20
    for name in remembering.keys() - OWN_WAY:
        assert _remembered(remembering[name], name) == []
    for name, told in (("paymentStart", "checkoutUrl"), ("bankStatementImport", "warnings")):
        assert _remembered(remembering[name], name) == [f"{name}.{told}: String"]
