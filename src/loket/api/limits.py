"""How much one document may ask, decided before anything runs.

Three looks, each cheap enough for what it protects: at the text, without parsing (10,000 aliases are refused
in microseconds); at the syntax tree, with fragments spread out, before validation, whose rules are quadratic;
and at the cost, which is how many fields an answer can hold, against a budget by kind of viewer.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_list_type,
    is_non_null_type,
)

from loket.api.mapping import is_connection
from loket.api.reads import DEFAULT_PAGE, LARGEST_PAGE

TOO_COMPLEX = "DOCUMENT_TOO_COMPLEX"
LIST_LENGTH = 5
"""What a list without pages is taken to hold."""
COUNT_COST = 50
"""What it costs to count a whole list."""

_TOKEN = re.compile(
    r'"""(?:\\"""|[^"]|"(?!""))*+"""|"(?:\\.|[^"\\\n\r])*+"?|#[^\n\r]*+|\.\.\.|[_A-Za-z][_0-9A-Za-z]*+'
    r"|-?[0-9][0-9.eE+-]*+|[^\s,\ufeff]"
)
_OPEN, _CLOSE = frozenset("{[("), frozenset("}])")


@dataclass(frozen=True)
class Limits:
    """Bounds of a document. Lengths in characters or bytes, `seconds` for a whole request."""

    body_bytes: int = 1_000_000
    """Of a request: variables carry answers of forms and whole definitions."""
    text: int = 32_000
    tokens: int = 3_000
    depth: int = 20
    """Nested selections, fragments spread out. GraphiQL's introspection needs 15."""
    nesting: int = 40
    """Braces, brackets and parentheses within each other."""
    aliases: int = 60
    alias_length: int = 60
    root_fields: int = 20
    directives: int = 60
    directives_per_field: int = 4
    fragments: int = 80
    spreads: int = 300
    repeats: int = 12
    """How often one selection may name the same field: merging them is quadratic."""
    fields: int = 1_500
    """With every fragment spread out."""
    variables: int = 60
    values: int = 10_000
    """In all variables of a request: entries of lists and objects."""
    operations: int = 20
    introspections: int = 4
    """`__schema` and `__type` of an operation: each can list the whole schema."""
    budgets: Mapping[str, int] = field(
        default_factory=lambda: {"ANONYMOUS": 5_000, "CITIZEN": 20_000, "STAFF": 100_000, "SERVICE": 100_000}
    )
    """The cost that a document may have, by `viewer.kind`."""
    budget: int = 5_000
    """For any other kind of viewer."""
    seconds: float = 20.0

    def budget_of(self, kind: str) -> int:
        return self.budgets.get(kind, self.budget)


def too_complex(message: str, **extensions: object) -> GraphQLError:
    return GraphQLError(message, extensions={"code": TOO_COMPLEX, **extensions})


# --- the text ---------------------------------------------------------------------------------


def check_text(text: str, limits: Limits) -> None:
    """Count tokens, nesting, aliases, directives and spreads without parsing.

    Raises:
        GraphQLError: DOCUMENT_TOO_COMPLEX.
    """
    if len(text) > limits.text:
        raise too_complex(f"The document is longer than {limits.text} characters.")
    depth = round_depth = aliases = directives = spreads = 0
    for count, match in enumerate(_TOKEN.finditer(text), 1):
        if count > limits.tokens:
            raise too_complex(f"The document has more than {limits.tokens} tokens.")
        sign = match[0]
        if sign in _OPEN:
            depth += 1
            round_depth += sign == "("
            if depth > limits.nesting:
                raise too_complex(f"The document nests deeper than {limits.nesting}.")
        elif sign in _CLOSE:
            depth -= 1
            round_depth -= sign == ")"
        elif sign == ":":
            aliases += round_depth == 0
        elif sign == "@":
            directives += 1
        elif sign == "...":
            spreads += 1
    for name, number, limit in (
        ("aliases", aliases, limits.aliases),
        ("directives", directives, limits.directives),
        ("fragment spreads", spreads, limits.spreads),
    ):
        if number > limit:
            raise too_complex(f"The document has more than {limit} {name}.")


def check_values(variables: Mapping[str, Any], limits: Limits) -> None:
    """Count what the variables hold, before each value is coerced.

    Raises:
        GraphQLError: DOCUMENT_TOO_COMPLEX.
    """
    count = 0
    open_ends: list[Collection[Any]] = [variables.values()]
    while open_ends:
        inside = open_ends.pop()
        count += len(inside)
        if count > limits.values:
            raise too_complex(f"The variables hold more than {limits.values} values.")
        for one in inside:
            if isinstance(one, dict):
                open_ends.append(one.values())
            elif isinstance(one, list):
                open_ends.append(one)


# --- the tree ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Size:
    fields: int = 0
    depth: int = 0


def check_tree(document: DocumentNode, limits: Limits) -> None:
    """Bound fields and depth with every fragment spread out, and what makes validation slow.

    Raises:
        GraphQLError: DOCUMENT_TOO_COMPLEX; also for fragments that go round in a circle.
    """
    fragments = {
        one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)
    }
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    if len(fragments) > limits.fragments:
        raise too_complex(f"The document has more than {limits.fragments} fragments.")
    if len(operations) > limits.operations:
        raise too_complex(f"The document has more than {limits.operations} operations.")
    tree = _Tree(fragments, limits)
    total = 0
    for operation in operations:
        if len(operation.variable_definitions or ()) > limits.variables:
            raise too_complex(f"An operation has more than {limits.variables} variables.")
        size = tree.size(operation.selection_set)
        roots = tree.names(operation.selection_set)
        if sum(roots.values()) > limits.root_fields:
            raise too_complex(f"An operation has more than {limits.root_fields} root fields.")
        if tree.introspections(operation.selection_set) > limits.introspections:
            raise too_complex(f"An operation has more than {limits.introspections} introspections.")
        if size.depth > limits.depth:
            raise too_complex(f"The document is deeper than {limits.depth}.")
        total += size.fields
        if total > limits.fields:
            raise too_complex(f"The document selects more than {limits.fields} fields.")


class _Tree:
    """Sizes of selections; each fragment is measured once, however often it is spread."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode], limits: Limits) -> None:
        self._fragments = fragments
        self._limits = limits
        self._sizes: dict[str, _Size] = {}
        self._names: dict[str, Counter[str]] = {}
        self._introspections: dict[str, int] = {}
        self._open: set[str] = set()

    def size(self, selection_set: SelectionSetNode) -> _Size:
        found = _Size()
        for one in selection_set.selections:
            if len(one.directives or ()) > self._limits.directives_per_field:
                raise too_complex(f"A field has more than {self._limits.directives_per_field} directives.")
            inner = self._inner(one)
            own = isinstance(one, FieldNode)
            found.fields += inner.fields + own
            found.depth = max(found.depth, inner.depth + own)
        self._check_names(selection_set)
        return found

    def _inner(self, one: SelectionNode) -> _Size:
        if isinstance(one, FieldNode) and one.alias and len(one.alias.value) > self._limits.alias_length:
            raise too_complex(f"An alias is longer than {self._limits.alias_length} characters.")
        if isinstance(one, FragmentSpreadNode):
            return self._fragment(one.name.value)
        inside: SelectionSetNode | None = getattr(one, "selection_set", None)
        return self.size(inside) if inside else _Size()

    def _fragment(self, name: str) -> _Size:
        if name in self._open:
            raise too_complex(f"The fragment {name} spreads itself.")
        if name not in self._sizes:
            fragment = self._fragments.get(name)
            if fragment is None:
                return _Size()
            self._open.add(name)
            self._sizes[name] = self.size(fragment.selection_set)
            self._open.discard(name)
        return self._sizes[name]

    def _check_names(self, selection_set: SelectionSetNode) -> None:
        names = self.names(selection_set)
        if names and max(names.values()) > self._limits.repeats:
            raise too_complex(f"A selection names one field more than {self._limits.repeats} times.")

    def names(self, selection_set: SelectionSetNode) -> Counter[str]:
        """How often each response key stands in one selection, its fragments included."""
        found: Counter[str] = Counter()
        for one in selection_set.selections:
            if isinstance(one, FieldNode):
                found[one.alias.value if one.alias else one.name.value] += 1
            elif isinstance(one, FragmentSpreadNode):
                found += self._spread_names(one.name.value)
            else:
                found += self.names(one.selection_set)  # type: ignore[attr-defined]  # an inline fragment
        return found

    def introspections(self, selection_set: SelectionSetNode) -> int:
        """How often the schema itself is asked for, fragments spread out; run after `size` saw no circle."""
        found = 0
        for one in selection_set.selections:
            if isinstance(one, FieldNode):
                found += one.name.value in {"__schema", "__type"}
            elif isinstance(one, FragmentSpreadNode):
                found += self._spread_introspections(one.name.value)
            else:
                found += self.introspections(one.selection_set)  # type: ignore[attr-defined]  # an inline fragment
        return found

    def _spread_introspections(self, name: str) -> int:
        if name not in self._introspections:
            fragment = self._fragments.get(name)
            self._introspections[name] = (
                0 if fragment is None else self.introspections(fragment.selection_set)
            )
        return self._introspections[name]

    def _spread_names(self, name: str) -> Counter[str]:
        if name not in self._names:
            fragment = self._fragments.get(name)
            self._names[name] = Counter()
            if fragment is not None:
                self._names[name] = self.names(fragment.selection_set)
        return self._names[name]


# --- the cost ---------------------------------------------------------------------------------

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
