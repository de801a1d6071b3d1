"""How much one document may ask, decided before anything runs.

Three looks, each cheap enough for what it protects: at the text, without parsing (10,000 aliases are refused
in microseconds); at the syntax tree, with fragments spread out, before validation, whose rules are quadratic;
and at the cost (`costs`), against a budget by kind of viewer.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

TOO_COMPLEX = "DOCUMENT_TOO_COMPLEX"

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
