"""Does a condition compare like with like? Asked before any case meets it.

CEL finds a number and a text unequal, and says no more of it: such a rule refuses everybody, or nobody. So
each part of an expression gets its type from the documented facts and the form, and parts that can never be
equal, ordered or added up are named. What is not known (an answer that may be anything) is left alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class Sort(StrEnum):
    """What a value is, as a person would say it."""

    YES_OR_NO = "true or false"
    WHOLE = "a whole number"
    NUMBER = "a number with decimals"
    TEXT = "text"
    MOMENT = "a day"
    SPAN = "a length of time"
    LIST = "a list"
    MAP = "a group"
    NOTHING = "nothing"
    ANY = "anything"


Kind = Any
"""What `Kinds` knows a fact by."""


class Kinds(Protocol):
    """The facts that an expression can read."""

    @property
    def roots(self) -> Mapping[str, Kind]: ...

    def members(self, kind: Kind) -> Mapping[str, Kind] | None:
        """What stands behind a dot; None when anything may."""

    def element(self, kind: Kind) -> Kind:
        """What a list holds, or a map behind its keys."""

    def loops(self, kind: Kind) -> Kind:
        """What a loop variable is."""

    def sort(self, kind: Kind) -> Sort: ...

    def said(self, kind: Kind) -> Sequence[object]:
        """All that it can be; empty when that is open."""


def faults_in_types(expression: str, kinds: Kinds) -> list[str]:
    """What can never be; `expression` is valid CEL that names facts which exist."""
    reader = _Reader(expression, kinds)
    answer = reader.expression()
    for one in answer.leaves or (answer,):
        if one.sort not in {Sort.YES_OR_NO, Sort.ANY} and one.literal != "REFER":
            reader.faults.append(f"answers {one}, not true, false or 'REFER'")
    return list(dict.fromkeys(reader.faults))


@dataclass(frozen=True)
class _Part:
    """A part of an expression, as it is written."""

    written: str
    sort: Sort = Sort.ANY
    kind: Kind = None
    literal: object = None
    items: "tuple[_Part, ...] | None" = None
    """Of a list that is written out."""
    leaves: "tuple[_Part, ...]" = ()
    """Of a choice (… ? … : …): what it can come to."""

    def __str__(self) -> str:
        return f"'{self.written}' ({self.sort})" if self.literal is None else f"{self.written} ({self.sort})"


_NUMBERS = frozenset({Sort.WHOLE, Sort.NUMBER})
_ORDERED = frozenset({Sort.TEXT, Sort.MOMENT, Sort.SPAN})
_GIVES: dict[str, Sort] = {
    **dict.fromkeys(("has", "contains", "startsWith", "endsWith", "matches"), Sort.YES_OR_NO),
    **dict.fromkeys(("all", "exists", "exists_one"), Sort.YES_OR_NO),
    **dict.fromkeys(("size", "int"), Sort.WHOLE),
    **dict.fromkeys(("filter", "map"), Sort.LIST),
    "double": Sort.NUMBER,
    "string": Sort.TEXT,
    "timestamp": Sort.MOMENT,
    "duration": Sort.SPAN,
}
"""What functions, methods and macros answer; the others (getFullYear …) a whole number."""
_OF_TEXT = frozenset({"contains", "startsWith", "endsWith", "matches"})
_LOOPS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_TRULY = frozenset({"all", "exists", "exists_one", "filter"})
"""Loops whose condition must be true or false."""
TOKEN = re.compile(
    r"""\s+|//[^\n]*
    |(?P<string>[rRbB]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"))
    |(?P<number>\d[\w.]*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<mark>&&|\|\||[<>=!]=|.)""",
    re.VERBOSE | re.DOTALL,
)


class _Reader:
    """One pass over an expression, by CEL's order of operators."""

    def __init__(self, expression: str, kinds: Kinds) -> None:
        self.faults: list[str] = []
        self._source = expression
        self._tokens = [one for one in TOKEN.finditer(expression) if one.lastgroup]
        self._at = 0
        self._kinds = kinds
        self._bound: dict[str, Kind] = {}

    def _look(self) -> str:
        return self._tokens[self._at].group() if self._at < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str:
        """The next token, where it is one of those."""
        found = self._look()
        if found not in wanted or not found:
            return ""
        self._at += 1
        return found

    def _since(self, start: int) -> str:
        """What was written from token `start` on."""
        last = self._tokens[max(self._at - 1, start)]
        return " ".join(self._source[self._tokens[start].start() : last.end()].split())[:80]

    # --- operators, the loosest first ---

    def expression(self) -> _Part:
        start = self._at
        condition = self._either()
        if not self._take("?"):
            return condition
        self._must_be_true_or_false(condition)
        one = self.expression()
        self._take(":")
        other = self.expression()
        leaves = (*(one.leaves or (one,)), *(other.leaves or (other,)))
        sort = one.sort if one.sort is other.sort else Sort.ANY
        return _Part(self._since(start), sort, leaves=leaves)

    def _either(self) -> _Part:
        return self._joined(self._both, "||")

    def _both(self) -> _Part:
        return self._joined(self._relation, "&&")

    def _joined(self, inner: Callable[[], _Part], operator: str) -> _Part:
        start = self._at
        left = inner()
        if self._look() != operator:
            return left
        self._must_be_true_or_false(left)
        while self._take(operator):
            self._must_be_true_or_false(inner())
        return _Part(self._since(start), Sort.YES_OR_NO)

    def _relation(self) -> _Part:
        start = self._at
        left = self._sum()
        while operator := self._take("==", "!=", "<", "<=", ">", ">=", "in"):
            right = self._sum()
            if operator == "in":
                self._within(left, right)
            elif operator in {"==", "!="}:
                self._equal(left, right)
            else:
                self._in_order(left, right)
            left = _Part(self._since(start), Sort.YES_OR_NO)
        return left

    def _sum(self) -> _Part:
        start = self._at
        left = self._product()
        while operator := self._take("+", "-"):
            right = self._product()
            left = _Part(self._since(start), self._added(left, operator, right))
        return left

    def _product(self) -> _Part:
        start = self._at
        left = self._signed()
        while self._take("*", "/", "%"):
            right = self._signed()
            for one in (left, right):
                self._must_be(one, _NUMBERS, "a number")
            left = _Part(self._since(start), self._alike(left, right))
        return left

    def _signed(self) -> _Part:
        start = self._at
        if self._take("!"):
            self._must_be_true_or_false(self._signed())
            return _Part(self._since(start), Sort.YES_OR_NO)
        if self._take("-"):
            part = self._signed()
            self._must_be(part, _NUMBERS, "a number")
            return _Part(self._since(start), part.sort)
        return self._member()

    # --- facts and literals ---

    def _member(self) -> _Part:
        start = self._at
        part = self._primary()
        while operator := self._take(".", "["):
            if operator == "[":
                self.expression()
                self._take("]")
                part = self._fact(start, self._kinds.element(part.kind) if part.kind is not None else None)
                continue
            name = self._look()
            self._at += 1
            if self._take("("):
                part = self._method(start, part, name)
            else:
                members = self._kinds.members(part.kind) if part.kind is not None else None
                part = self._fact(start, members.get(name) if members else None)
        return part

    def _primary(self) -> _Part:
        start = self._at
        group, text = self._tokens[self._at].lastgroup, self._look()
        self._at += 1
        if text == "(":
            inner = self.expression()
            self._take(")")
            return _Part(f"({inner.written})", inner.sort, inner.kind, leaves=inner.leaves)
        if text == "[":
            items = self._list("]")
            return _Part(self._since(start), Sort.LIST, items=items)
        if text == "{":
            self._list("}")
            return _Part(self._since(start), Sort.MAP)
        if group == "string":
            return _Part(text, Sort.TEXT, literal=_unquoted(text))
        if group == "number":
            return _number(text)
        if text in {"true", "false"}:
            return _Part(text, Sort.YES_OR_NO, literal=text == "true")
        if text == "null":
            return _Part(text, Sort.NOTHING, literal=text)
        if self._take("("):
            self._list(")")
            return _Part(self._since(start), _GIVES.get(text, Sort.ANY))
        if text in self._bound:
            return self._fact(start, self._bound[text])
        return self._fact(start, self._kinds.roots.get(text))

    def _fact(self, start: int, kind: Kind) -> _Part:
        sort = Sort.ANY if kind is None else self._kinds.sort(kind)
        return _Part(self._since(start), sort, kind)

    def _list(self, closing: str) -> tuple[_Part, ...]:
        found: list[_Part] = []
        while self._look() and not self._take(closing):
            found.append(self.expression())
            self._take(",", ":")
        return tuple(found)

    def _method(self, start: int, receiver: _Part, name: str) -> _Part:
        """What stands between the brackets of `receiver.name(` is read up to the `)`."""
        if name in _LOOPS:
            self._bound[self._look()] = (
                self._kinds.loops(receiver.kind) if receiver.kind is not None else None
            )
            _, *bodies = self._list(")")
            if bodies and name in _TRULY:
                self._must_be_true_or_false(bodies[0])
        else:
            self._list(")")
        if name in _OF_TEXT:
            self._must_be(receiver, frozenset({Sort.TEXT}), "text")
        elif name.startswith("get"):
            self._must_be(receiver, frozenset({Sort.MOMENT, Sort.SPAN}), "a day")
        return _Part(self._since(start), _GIVES.get(name, Sort.WHOLE))

    # --- what can never be ---

    def _must_be(self, part: _Part, sorts: frozenset[Sort], wanted: str) -> None:
        if part.sort not in sorts | {Sort.ANY}:
            self.faults.append(f"{part} must be {wanted} here")

    def _must_be_true_or_false(self, part: _Part) -> None:
        self._must_be(part, frozenset({Sort.YES_OR_NO}), Sort.YES_OR_NO)

    def _equal(self, left: _Part, right: _Part) -> None:
        if not _comparable(left, right):
            hint = "; has(…) asks whether it is there" if Sort.NOTHING in {left.sort, right.sort} else ""
            self.faults.append(f"{left} is never equal to {right}{hint}")
            return
        for fact, other in ((left, right), (right, left)):
            self._one_of(fact, other)

    def _one_of(self, fact: _Part, other: _Part) -> None:
        said = self._kinds.said(fact.kind) if fact.kind is not None else ()
        if said and other.literal is not None and other.literal not in said:
            there = ", ".join(str(one) for one in said)
            self.faults.append(f"'{fact.written}' is never {other.written}; it is one of: {there}")

    def _within(self, left: _Part, right: _Part) -> None:
        self._must_be(right, frozenset({Sort.LIST, Sort.MAP}), "a list")
        for one in right.items or ():
            self._equal(left, one)
        if right.kind is not None and right.sort is Sort.LIST:
            kind = self._kinds.element(right.kind)
            held = _Part(f"{right.written}[…]", Sort.ANY if kind is None else self._kinds.sort(kind), kind)
            self._equal(left, held)

    def _in_order(self, left: _Part, right: _Part) -> None:
        if not _comparable(left, right) or not {left.sort, right.sort} <= _NUMBERS | _ORDERED | {Sort.ANY}:
            self.faults.append(f"{left} is neither more nor less than {right}")

    def _added(self, left: _Part, operator: str, right: _Part) -> Sort:
        sorts = (left.sort, right.sort)
        if Sort.ANY in sorts:
            return Sort.ANY
        if set(sorts) <= _NUMBERS:
            return self._alike(left, right)
        known = {
            (Sort.TEXT, "+", Sort.TEXT): Sort.TEXT,
            (Sort.LIST, "+", Sort.LIST): Sort.LIST,
            (Sort.MOMENT, "+", Sort.SPAN): Sort.MOMENT,
            (Sort.SPAN, "+", Sort.MOMENT): Sort.MOMENT,
            (Sort.SPAN, "+", Sort.SPAN): Sort.SPAN,
            (Sort.MOMENT, "-", Sort.SPAN): Sort.MOMENT,
            (Sort.MOMENT, "-", Sort.MOMENT): Sort.SPAN,
            (Sort.SPAN, "-", Sort.SPAN): Sort.SPAN,
        }
        found = known.get((left.sort, operator, right.sort))
        if found is None:
            self.faults.append(f"{left} and {right} do not go together with '{operator}'")
        return found or Sort.ANY

    def _alike(self, left: _Part, right: _Part) -> Sort:
        """CEL calculates with two whole numbers or two with decimals, never with one of each."""
        if {left.sort, right.sort} == _NUMBERS:
            self.faults.append(f"{left} and {right}: write 2.0 for 2, or double(…) around a whole number")
        return left.sort if left.sort is right.sort else Sort.ANY


def _comparable(left: _Part, right: _Part) -> bool:
    sorts = {left.sort, right.sort}
    return Sort.ANY in sorts or len(sorts) == 1 or sorts <= _NUMBERS


def _number(text: str) -> _Part:
    if text.isdigit():
        return _Part(text, Sort.WHOLE, literal=int(text))
    whole = text.lower().startswith("0x") or text[-1] in "uU"
    return _Part(text, Sort.WHOLE if whole else Sort.NUMBER, literal=text if whole else float(text))


def _unquoted(literal: str) -> str:
    """What stands between the quotes; an escaped sign stays as it is written."""
    bare = literal.lstrip("rRbB")
    quote = bare[:3] if bare[:3] in {"'''", '"""'} else bare[:1]
    return bare[len(quote) : -len(quote)]
