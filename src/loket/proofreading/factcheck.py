"""Does a rule speak only of facts that exist? Asked when a procedure is published, before any case meets it.

CEL itself notices a wrong name only when evaluation comes across it, which may be years later in a branch
that is seldom taken. So every name is looked up in the documented facts, and every rule is tried on samples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from loket.definition import Rule
from loket.proofreading.factkinds import Asked, Kind, Kinds, Named, Names, Word
from loket.proofreading.factsamples import answered, samples
from loket.proofreading.findings import go_on
from loket.proofreading.ruletypes import TOKEN, faults_in_types
from loket.rules import REFER, compiled, context

MAX_LOOPS = 2
"""How often one rule may go over a list (all, exists, exists_one, filter, map)."""

MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
METHODS = frozenset(
    {
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "getFullYear",
        "getMonth",
        "getDate",
        "getDayOfMonth",
    }
    | {"getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds"}
)
FUNCTIONS = frozenset({"has", "size", "int", "double", "string", "timestamp", "duration"})
_WORDS = frozenset({"true", "false", "null", "in"})


def faults_of(rule: Rule, form: Mapping[str, Any], names: Names) -> list[str]:
    """What is wrong with a rule, before anybody meets it; as `faults_in`."""
    return faults_in(rule.when, form, names)


def faults_in(
    expression: str, form: Mapping[str, Any], names: Names, *, answer: Asked | None = None
) -> list[str]:
    """What is wrong with a condition of a rule, a benefit, a check; `form` is the JSON Schema of the answers.

    Names and members are compared with the documented facts, branch by branch; types are tried out on facts
    that are fully filled in, several times with other values.
    """
    go_on()
    try:
        program = compiled(expression)
    except ValueError as fault:
        return [f"not CEL: {_brief(fault)}"]
    kinds = Kinds(form, names, answer)
    faults = _Walk(expression, kinds).faults() or faults_in_types(expression, kinds)
    if faults:
        return faults
    for facts in samples(form, names):
        for said_by_source in [{}] if answer is None else [{"answer": one} for one in answered(answer)]:
            try:
                said = program.execute(context(facts) | said_by_source)
            except LookupError:
                continue  # something that may be left out: it refers then
            except (ValueError, TypeError, ArithmeticError, RuntimeError) as fault:
                return [f"fails on complete facts: {_brief(fault)}"]
            if not isinstance(said, bool) and said != REFER:
                return [f"answers {type(said).__name__} {str(said)[:40]!r}, not true, false or '{REFER}'"]
    return []


def constant(expression: str) -> bool | None:
    """What a condition without faults always answers, where it reads no fact; None where it reads one."""
    program = compiled(expression)
    said = None if program.variables() else program.execute({})
    return said if isinstance(said, bool) else None


def _brief(fault: Exception) -> str:
    return " ".join(str(fault).split())[:240]


class _Walk:
    """One pass over an expression's names: which facts, members, methods and functions do not exist."""

    def __init__(self, expression: str, kinds: Kinds) -> None:
        self._tokens = [(one.lastgroup, one.group()) for one in TOKEN.finditer(expression) if one.lastgroup]
        self._at = 0
        self._kinds = kinds
        self._bound: dict[str, Kind] = {}
        self._loops = 0
        self._faults: list[str] = []

    def faults(self) -> list[str]:
        self._until("")
        if self._loops > MAX_LOOPS:
            self._faults.append(f"goes over lists {self._loops} times; at most {MAX_LOOPS} is allowed")
        return list(dict.fromkeys(self._faults))

    def _look(self, offset: int = 0) -> str:
        there = self._at + offset
        return self._tokens[there][1] if 0 <= there < len(self._tokens) else ""

    def _until(self, closing: str) -> None:
        """Read names up to the `]` that closes an index, or to the end."""
        while self._at < len(self._tokens):
            group, text = self._tokens[self._at]
            self._at += 1
            if text == closing:
                return
            if text == "[":
                self._until("]")
            elif group == "name" and text not in _WORDS:
                self._name(text, after_dot=self._look(-2) == ".")

    def _name(self, text: str, *, after_dot: bool) -> None:
        if after_dot:  # of something computed: of a literal, of what a method gave
            if text in MACROS:
                self._faults.append(f"'.{text}(…)' goes over a fact, not over something computed")
            elif text not in METHODS:
                self._faults.append(f"unknown method '{text}'")
        elif self._look() == "(":
            if text not in FUNCTIONS:
                self._faults.append(f"unknown function '{text}'")
        elif text in self._bound:
            self._chain(self._bound[text], text)
        elif text in self._kinds.roots:
            self._chain(self._kinds.roots[text], text)
        else:
            self._faults.append(f"unknown fact '{text}'; there are: {', '.join(sorted(self._kinds.roots))}")
            self._chain(None, text)

    def _chain(self, kind: Kind, path: str) -> None:
        """Follow `.member`, `[index]` and at last `.method(` from a fact."""
        if isinstance(kind, Word):
            self._compared(kind.said, path)
        while self._look() in {".", "["}:
            name = self._look(1)
            if self._look() == "[":
                self._at += 1
                self._index(kind, path)
                kind, path = self._kinds.element(kind), f"{path}[…]"
            elif self._look(2) == "(":
                self._at += 2
                if name in MACROS and isinstance(kind, Named):
                    self._faults.append(f"'{path}' is read key by key, not gone over")
                if name in MACROS:
                    self._loops += 1
                    self._bound[self._look(1)] = self._kinds.loops(kind)
                elif name not in METHODS:
                    self._faults.append(f"unknown method '{name}'")
                return
            else:
                self._at += 2
                members = self._kinds.members(kind)
                if members is not None and name not in members:
                    there = ", ".join(sorted(members)) or "no members"
                    self._faults.append(f"'{path}' has no '{name}'; it has: {there}")
                    return
                outer, kind, path = kind, (members or {}).get(name), f"{path}.{name}"
                if isinstance(outer, Named) and outer.said:
                    self._compared(outer.said, path)

    def _index(self, kind: Kind, path: str) -> None:
        """Read `[…]`; of what the procedure names only the keys that it has."""
        group, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if isinstance(kind, Named):
            if group != "string" or kind.said:
                self._faults.append(f"'{path}' is read as {path}.key")
            elif _word(text) not in kind.keys:
                there = ", ".join(sorted(kind.keys)) or "no members"
                self._faults.append(f"'{path}' has no {text}; it has: {there}")
        self._until("]")

    def _compared(self, said: Sequence[str], path: str) -> None:
        """With a word that it can never be, it would be a rule that says always the same."""
        group, text = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else ("", "")
        word = _word(text)
        if self._look() in {"==", "!="} and group == "string" and word not in said:
            self._faults.append(f"'{path}' is never '{word}'; it is one of: {', '.join(said)}")


def _word(literal: str) -> str:
    """What stands between the quotes."""
    return literal.lstrip("rRbB").strip("'\"")
