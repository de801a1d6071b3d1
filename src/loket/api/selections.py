"""What an operation selects, with its fragments put in and its @skip and @include decided."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
)


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


def inside(nodes: Iterable[FieldNode]) -> list[SelectionSetNode]:
    """What is selected inside `nodes`."""
    return [node.selection_set for node in nodes if node.selection_set]
