"""Does a rule speak only of facts that exist? Asked when a procedure is published, before any case meets it.

CEL itself notices a wrong name only when evaluation comes across it, which may be years later in a branch
that is seldom taken. So every name is looked up in the documented facts, and every rule is tried on samples.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from datetime import date
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from loket.definition import Rule
from loket.rules import (
    REFER,
    Address,
    Applicant,
    CartLine,
    Facts,
    Household,
    Municipality,
    Quota,
    compiled,
    context,
)

MAX_LOOPS = 2
"""How often one rule may go over a list (all, exists, exists_one, filter, map)."""

_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_METHODS = frozenset(
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
_FUNCTIONS = frozenset({"has", "size", "int", "double", "string", "timestamp", "duration"})
_WORDS = frozenset({"true", "false", "null", "in"})
_TOKEN = re.compile(
    r"""\s+|//[^\n]*
    |(?P<string>[rRbB]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"))
    |(?P<number>\d[\w.]*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<mark>&&|\|\||[<>=!]=|.)""",
    re.VERBOSE | re.DOTALL,
)


def faults_of(rule: Rule, form: Mapping[str, Any], products: Sequence[str]) -> list[str]:
    """What is wrong with a rule, before anybody meets it; `form` is the JSON Schema of the answers,
    `products` are the keys of the catalogue.

    Names and members are compared with the documented facts, branch by branch; types are tried out on facts
    that are fully filled in, several times with other values.
    """
    try:
        program = compiled(rule.when)
    except ValueError as fault:
        return [f"not CEL: {_brief(fault)}"]
    faults = _Walk(rule.when, _Kinds(form)).faults()
    if faults:
        return faults
    for facts in samples(form, products):
        try:
            answer = program.execute(context(facts))
        except LookupError:
            continue  # an answer that may be left out: the rule refers then
        except (ValueError, TypeError, ArithmeticError, RuntimeError) as fault:
            return [f"fails on complete facts: {_brief(fault)}"]
        if not isinstance(answer, bool) and answer != REFER:
            return [f"answers {type(answer).__name__} {str(answer)[:40]!r}, not true, false or '{REFER}'"]
    return []


def _brief(fault: Exception) -> str:
    return " ".join(str(fault).split())[:240]


Kind = Any
"""A type of a fact: a record class, str, list[…], dict[str, …], or a JSON Schema (a mapping)."""


class _Kinds:
    """The types of the facts, with the form's for `application`."""

    def __init__(self, form: Mapping[str, Any]) -> None:
        self.form = form
        self.roots: dict[str, Kind] = {**get_type_hints(Facts), "application": form}

    def members(self, kind: Kind) -> dict[str, Kind] | None:
        """What stands behind a dot; None when anything may."""
        kind = self._resolved(kind)
        if isinstance(kind, type) and is_dataclass(kind):
            return dict(get_type_hints(kind))
        if isinstance(kind, Mapping):
            return self._properties(kind)
        origin: object = get_origin(kind)
        return None if kind is None or origin is Mapping else {}

    def element(self, kind: Kind) -> Kind:
        kind = self._resolved(kind)
        if isinstance(kind, Mapping):
            return kind.get("items", {})
        arguments = get_args(kind)
        if len(arguments) == 1:
            return arguments[0]
        return arguments[1] if len(arguments) == 2 else None

    def loops(self, kind: Kind) -> Kind:
        """What a loop variable is: entries of a list, keys of a map."""
        kind = self._resolved(kind)
        return self.element(kind) if isinstance(kind, Mapping) or len(get_args(kind)) != 2 else str

    def _resolved(self, kind: Kind) -> Kind:
        if isinstance(kind, UnionType):
            return next(one for one in get_args(kind) if one is not NoneType)
        if isinstance(kind, Mapping) and isinstance(kind.get("$ref"), str):
            target: Any = self.form
            for step in str(kind["$ref"]).lstrip("#/").split("/"):
                target = target.get(step, {}) if isinstance(target, Mapping) else {}
            return target
        return kind

    def _properties(self, schema: Mapping[str, Any]) -> dict[str, Kind] | None:
        """Also those that only an alternative has; None for a schema that says nothing about them."""
        found: dict[str, Kind] = dict(schema.get("properties", {}))
        for word in ("allOf", "anyOf", "oneOf"):
            for branch in schema.get(word, ()):
                found |= self.members(branch) or {}
        for word in ("if", "then", "else"):
            found = {**(self.members(schema[word]) or {}), **found} if word in schema else found
        if found:
            return found
        return {} if schema.get("type") not in {None, "object"} or "enum" in schema else None


class _Walk:
    """One pass over an expression's names: which facts, members, methods and functions do not exist."""

    def __init__(self, expression: str, kinds: _Kinds) -> None:
        self._tokens = [(one.lastgroup, one.group()) for one in _TOKEN.finditer(expression) if one.lastgroup]
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
            if text in _MACROS:
                self._faults.append(f"'.{text}(…)' goes over a fact, not over something computed")
            elif text not in _METHODS:
                self._faults.append(f"unknown method '{text}'")
        elif self._look() == "(":
            if text not in _FUNCTIONS:
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
        while self._look() in {".", "["}:
            name = self._look(1)
            if self._look() == "[":
                self._at += 1
                self._until("]")
                kind, path = self._kinds.element(kind), f"{path}[…]"
            elif self._look(2) == "(":
                self._at += 2
                if name in _MACROS:
                    self._loops += 1
                    self._bound[self._look(1)] = self._kinds.loops(kind)
                elif name not in _METHODS:
                    self._faults.append(f"unknown method '{name}'")
                return
            else:
                self._at += 2
                members = self._kinds.members(kind)
                if members is not None and name not in members:
                    there = ", ".join(sorted(members)) or "no members"
                    self._faults.append(f"'{path}' has no '{name}'; it has: {there}")
                    return
                kind, path = (members or {}).get(name), f"{path}.{name}"


# --- facts to try a rule on -------------------------------------------------------------------


def samples(form: Mapping[str, Any], products: Sequence[str]) -> list[Facts]:
    """Complete facts of the right types, several times with other values, to try rules on."""
    ordered = dict.fromkeys(products, 1)
    resident = Facts(
        municipality=Municipality("13999", "Gemeente Lindebeke", "2999"),
        today=date(2026, 11, 27),
        channel="ONLINE",
        application=_filled_in(form, yes=True),
        applicant=Applicant(True, 40, False, Address("Dorpsstraat", "1", "A", "2999", "Lindebeke", "13999")),
        household=Household(True, 2, ordered, ordered),
        cart=tuple(CartLine(product, 1) for product in products),
        quota=Quota(True, True),
        sources_complete=True,
    )
    elsewhere = replace(
        resident,
        channel="COUNTER",
        application=_filled_in(form, yes=False),
        applicant=Applicant(True, 17, True, Address("Markt", "2", "B", "2400", "Mol", "13025")),
        quota=Quota(True, False),
        sources_complete=False,
    )
    return [resident, elsewhere, replace(resident, cart=()), replace(elsewhere, applicant=resident.applicant)]


def _filled_in(form: Mapping[str, Any], *, yes: bool) -> Mapping[str, Any]:
    answers = _answers(form, form, yes=yes)
    return answers if isinstance(answers, Mapping) else {}


def _answers(schema: Mapping[str, Any], root: Mapping[str, Any], *, yes: bool, depth: int = 0) -> object:
    """Something that fits `schema`: every property filled in, booleans `yes`."""
    if depth > 8:
        return {}
    if isinstance(schema.get("$ref"), str):
        target: Any = root
        for step in str(schema["$ref"]).lstrip("#/").split("/"):
            target = target.get(step, {}) if isinstance(target, Mapping) else {}
        return _answers(target, root, yes=yes, depth=depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0 if yes else -1]
    for branch in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        if "const" in branch:
            return branch["const"]
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        return {name: _answers(one, root, yes=yes, depth=depth + 1) for name, one in properties.items()}
    match schema.get("type"):
        case "boolean":
            return yes
        case "integer":
            return int(schema.get("minimum", 1))
        case "number":
            return float(schema.get("minimum", 1))
        case "array":
            return [_answers(schema.get("items", {}), root, yes=yes, depth=depth + 1)]
        case "object":
            return {}
        case _:
            return "x"
