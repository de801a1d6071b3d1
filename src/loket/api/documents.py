"""Documents, parsed, bounded and validated once, and kept.

What is refused is kept too, apart from what is good, so that neither crowds out the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    BooleanValueNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    parse,
    specified_rules,
    validate,
    visit,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from loket.api.costs import Cost, cost_of
from loket.api.kept import Kept
from loket.api.limits import Limits, check_text, check_tree

RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
MOST_ERRORS = 20
DOCUMENTS = 300
DOCUMENT_CHARACTERS = 500_000
"""Of all kept documents together: a tree takes about a hundred times its text."""
REFUSED = 200


@dataclass(slots=True, eq=False)
class Operation:
    """One operation of a document. `switches`: the variables in @skip and @include."""

    node: OperationDefinitionNode
    cost: Cost
    switches: tuple[str, ...]
    introspective: bool

    @property
    def kind(self) -> OperationType:
        return self.node.operation


@dataclass(slots=True)
class Document:
    """A document that may be executed."""

    tree: DocumentNode
    fragments: Mapping[str, FragmentDefinitionNode]
    operations: Mapping[str | None, Operation]

    def operation(self, name: str | None) -> Operation:
        """The operation of that name, or the only one.

        Raises:
            GraphQLError: there is none, or the document has several and no name was given.
        """
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        found = self.operations.get(name) if name is not None else None
        if found is None:
            message = "The document has no operation of that name." if name else "Which operation? Name it."
            raise GraphQLError(message, extensions={"code": "OPERATION_NOT_FOUND"})
        return found


class Documents:
    """All documents of late, by their text."""

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits
        self._good: Kept[str, Document] = Kept(DOCUMENTS, DOCUMENT_CHARACTERS)
        self._bad: Kept[str, list[GraphQLError]] = Kept(REFUSED, DOCUMENT_CHARACTERS)

    def get(self, text: str) -> Document | list[GraphQLError]:
        """The document of `text`, or why it is refused."""
        found = self._good.get(text) or self._bad.get(text)
        if found is not None:
            return found
        made = self._make(text)
        if isinstance(made, Document):
            self._good.put(text, made, len(text))
        elif len(text) <= self._limits.text:
            self._bad.put(text, made, len(text))
        return made

    def _make(self, text: str) -> Document | list[GraphQLError]:
        try:
            check_text(text, self._limits)
            tree = parse(text)
            check_tree(tree, self._limits)
        except GraphQLError as fault:
            return [_coded(fault, "GRAPHQL_PARSE_FAILED")]
        except RecursionError:
            return [
                GraphQLError("The document nests too deeply.", extensions={"code": "DOCUMENT_TOO_COMPLEX"})
            ]
        faults = validate(self._schema, tree, RULES, max_errors=MOST_ERRORS, hide_suggestions=True)
        if faults:
            return [_coded(fault, "GRAPHQL_VALIDATION_FAILED") for fault in faults]
        fragments = {
            one.name.value: one for one in tree.definitions if isinstance(one, FragmentDefinitionNode)
        }
        switches = _Switches()
        visit(tree, switches)
        if switches.nul:
            return [GraphQLError("NUL characters are not accepted.", extensions={"code": "BAD_USER_INPUT"})]
        operations = {
            one.name.value if one.name else None: Operation(
                one, cost_of(self._schema, one, fragments), tuple(sorted(switches.names)), _introspective(one)
            )
            for one in tree.definitions
            if isinstance(one, OperationDefinitionNode)
        }
        return Document(tree, fragments, operations)


def _coded(fault: GraphQLError, code: str) -> GraphQLError:
    fault.extensions = {"code": code} | (fault.extensions or {})
    return fault


def _introspective(operation: OperationDefinitionNode) -> bool:
    """Whether it asks of the schema alone, so that everybody gets the same answer."""
    return not operation.variable_definitions and all(
        isinstance(one, FieldNode)
        and one.name.value in {"__schema", "__type", "__typename"}
        and not one.directives
        for one in operation.selection_set.selections
    )


class _Switches(Visitor):
    """Which variables decide what is selected; and whether a text holds a NUL, which no database takes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.nul = False

    def enter_string_value(self, node: Any, *_rest: object) -> None:  # noqa: ANN401  # a visitor's method
        self.nul = self.nul or "\x00" in node.value

    def enter_directive(self, node: Any, *_rest: object) -> None:  # noqa: ANN401  # a visitor's method
        if node.name.value in {"skip", "include"}:
            for argument in node.arguments or ():
                if isinstance(argument.value, VariableNode):
                    self.names.add(argument.value.name.value)
                else:
                    assert isinstance(argument.value, BooleanValueNode)
