"""What an operation can cost: how many fields its answer can hold, by the sizes of the pages that it asks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_list_type,
    is_non_null_type,
)

from loket.api.mapping import is_connection
from loket.api.reads import DEFAULT_PAGE, LARGEST_PAGE

LIST_LENGTH = 5
"""What a list without pages is taken to hold."""
COUNT_COST = 50
"""What it costs to count a whole list."""

Times = int | Callable[[Mapping[str, Any]], int]
"""How often something comes: a number, or what the variables say."""


@dataclass(slots=True)
class Cost:
    """A sum: what is certain, and parts that come a number of times each."""

    fixed: int = 0
    parts: list[tuple[Times, "Cost"]] = field(default_factory=list)

    def __call__(self, variables: Mapping[str, Any]) -> int:
        """The cost with `variables` as the client sent them."""
        return self.fixed + sum(
            (times if isinstance(times, int) else times(variables)) * part(variables)
            for times, part in self.parts
        )

    def add(self, times: Times, part: "Cost") -> None:
        """Add `part` so often, at once where both are certain."""
        if isinstance(times, int) and not part.parts:
            self.fixed += times * part.fixed
        elif times == 1:
            self.fixed += part.fixed
            self.parts += part.parts
        else:
            self.parts.append((times, part))


def cost_of(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
) -> Cost:
    """What an operation can cost: one per field, times the size of each page above it."""
    root = schema.get_root_type(operation.operation)
    defaults = {
        one.variable.name.value: one.default_value
        for one in operation.variable_definitions or ()
        if one.default_value
    }
    return _Costs(schema, fragments, defaults).of(root, [operation.selection_set])


class _Costs:
    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        defaults: Mapping[str, ValueNode],
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._defaults = defaults

    def of(self, kind: Any, selections: Iterable[SelectionSetNode], page: Times = 1) -> Cost:  # noqa: ANN401  # any composite type
        total = Cost()
        for selection_set in selections:
            for one in selection_set.selections:
                if isinstance(one, FieldNode):
                    self._field(total, kind, one, page)
                else:
                    fragment = (
                        self._fragments.get(one.name.value) if isinstance(one, FragmentSpreadNode) else one
                    )
                    condition = getattr(fragment, "type_condition", None)
                    inner = self._schema.type_map.get(condition.name.value) if condition else kind
                    inside = getattr(fragment, "selection_set", None)
                    if inside is not None:
                        total.add(1, self.of(inner, [inside], page))
        return total

    def _field(self, total: Cost, kind: Any, node: FieldNode, page: Times) -> None:  # noqa: ANN401  # as above
        name = node.name.value
        definition: GraphQLField | None = getattr(kind, "fields", {}).get(name)
        if definition is None:
            total.fixed += 1 + _count(node.selection_set)
            return
        if is_connection(kind):
            total.fixed += COUNT_COST if name == "totalCount" else 0
            times = page if name in {"nodes", "edges"} else 1
        else:
            times = self._length(definition, node)
        total.fixed += 1
        if node.selection_set is not None:
            target = get_named_type(definition.type)
            size = self._page(node) if is_connection(target) else 1
            total.add(times, self.of(target, [node.selection_set], size))

    def _page(self, node: FieldNode) -> Times:
        given = {one.name.value: one.value for one in node.arguments or ()}
        for name in ("first", "last"):
            value = given.get(name)
            if isinstance(value, IntValueNode):
                return _bounded(int(value.value))
            if isinstance(value, VariableNode):
                return self._variable(value.name.value, _bounded)
        return DEFAULT_PAGE

    def _length(self, definition: GraphQLField, node: FieldNode) -> Times:
        kind = definition.type.of_type if is_non_null_type(definition.type) else definition.type
        if not is_list_type(kind):
            return 1
        for one in node.arguments or ():
            if one.name.value == "ids":
                if isinstance(one.value, ListValueNode):
                    return len(one.value.values)
                if isinstance(one.value, VariableNode):
                    return self._variable(one.value.name.value, _length)
        return LIST_LENGTH

    def _variable(self, name: str, read: Callable[[Any], int]) -> Times:
        default = self._defaults.get(name)
        otherwise = int(default.value) if isinstance(default, IntValueNode) else DEFAULT_PAGE

        def times(variables: Mapping[str, Any]) -> int:
            value = variables.get(name)
            return read(otherwise if value is None else value)

        return times


def _bounded(value: object) -> int:
    return min(max(value, 1), LARGEST_PAGE) if isinstance(value, int) else LARGEST_PAGE


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else 1


def _count(selection_set: SelectionSetNode | None) -> int:
    """Fields of a selection whose types are not followed: introspection, and what validation will refuse."""
    if selection_set is None:
        return 0
    return sum(1 + _count(getattr(one, "selection_set", None)) for one in selection_set.selections)
