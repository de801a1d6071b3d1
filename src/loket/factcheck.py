"""Does a rule speak only of facts that exist? Asked when a procedure is published, before any case meets it.

CEL itself notices a wrong name only when evaluation comes across it, which may be years later in a branch
that is seldom taken. So every name is looked up in the documented facts, and every rule is tried on samples.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from datetime import date
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from loket.definition import Rule
from loket.formfields import fields_of
from loket.rules import (
    ANSWERS,
    CO_APPLICANT,
    REFER,
    SPOKEN,
    Address,
    Answer,
    Applicant,
    CartLine,
    Child,
    Facts,
    HandicapAnswer,
    Household,
    Municipality,
    Quota,
    SocialStatusAnswer,
    TaxAnswer,
    as_seen,
    compiled,
    context,
)
from loket.ruletypes import Sort, faults_in_types

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
_TOKEN = re.compile(
    r"""\s+|//[^\n]*
    |(?P<string>[rRbB]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"))
    |(?P<number>\d[\w.]*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<mark>&&|\|\||[<>=!]=|.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Names:
    """What a procedure names itself, that its rules can read."""

    products: Sequence[str] = ()
    """Keys of the catalogue."""
    tables: Sequence[str] = ()
    checks: Sequence[str] = ()
    advisers: Sequence[str] = ()
    benefits: Sequence[str] = ()
    co_applicant: bool = False
    """Whether somebody else must confirm."""
    duplicates: Sequence[str] = ()
    documents: Sequence[str] = ()

    def behind(self, fact: str) -> Sequence[str] | None:
        """What stands behind the dot; None for a fact whose members are the same everywhere."""
        named = {
            "tables": self.tables, "checks": self.checks, "advices": self.advisers, "claims": self.benefits,
            "duplicates": self.duplicates, "documents": self.documents,
        }  # fmt: skip
        return named.get(fact)


@dataclass(frozen=True)
class Asked:
    """Of a check's `met`: what `answer` is, by its service and the statuses that it asks."""

    service: str
    statuses: Sequence[str] = ()


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
    try:
        program = compiled(expression)
    except ValueError as fault:
        return [f"not CEL: {_brief(fault)}"]
    kinds = _Kinds(form, names, answer)
    faults = _Walk(expression, kinds).faults() or faults_in_types(expression, kinds)
    if faults:
        return faults
    for facts in samples(form, names):
        for answered in [{}] if answer is None else [{"answer": one} for one in _answered(answer)]:
            try:
                said = program.execute(context(facts) | answered)
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


Kind = Any
"""A type of a fact: a record class, str, list[…], `_Named`, `_Word`, or a JSON Schema (a mapping)."""


@dataclass(frozen=True)
class _Named:
    """A map whose keys the procedure names; `said` is all that its values can be."""

    keys: Sequence[str]
    of: Kind
    said: Sequence[str] = ()


@dataclass(frozen=True)
class _Word:
    """A text that is one of a few."""

    said: Sequence[str]


_CHANNELS = ("ONLINE", "COUNTER")
_VALUES: dict[str, Kind] = {"tables": float, "duplicates": bool, "documents": int}
"""What stands behind the keys of a map; text where nothing is said here."""
_SORTS: dict[object, Sort] = {
    bool: Sort.YES_OR_NO, int: Sort.WHOLE, float: Sort.NUMBER, str: Sort.TEXT, date: Sort.MOMENT,
}  # fmt: skip
_OF_ANSWERS = {
    "boolean": Sort.YES_OR_NO, "integer": Sort.WHOLE, "number": Sort.NUMBER, "string": Sort.TEXT,
    "array": Sort.LIST, "object": Sort.MAP,
}  # fmt: skip
"""By the type of JSON Schema."""


class _Kinds:
    """The types of the facts, with the form's for `application`."""

    def __init__(self, form: Mapping[str, Any], names: Names, answer: Asked | None) -> None:
        self.form = form
        self.roots: dict[str, Kind] = {**get_type_hints(Facts), "application": form}
        for fact in self.roots:
            if (keys := names.behind(fact)) is not None:
                self.roots[fact] = _Named(keys, _VALUES.get(fact, str), SPOKEN.get(fact, ()))
        self.roots["channel"] = _Word(_CHANNELS)
        self.roots["co_applicant"] = _Word(CO_APPLICANT)
        if not names.co_applicant:
            del self.roots["co_applicant"]
        if answer is not None:
            self.roots["answer"] = ANSWERS[answer.service]
            self.statuses = _Named(answer.statuses, bool)

    def members(self, kind: Kind) -> dict[str, Kind] | None:
        """What stands behind a dot; None when anything may."""
        kind = self._resolved(kind)
        if isinstance(kind, _Word):
            return {}
        if isinstance(kind, _Named):
            return dict.fromkeys(kind.keys, kind.of)
        if kind is SocialStatusAnswer:
            return {"statuses": self.statuses}
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
        if isinstance(kind, _Named):
            return kind.of
        arguments = get_args(kind)
        if len(arguments) == 1:
            return arguments[0]
        return arguments[1] if len(arguments) == 2 else None

    def loops(self, kind: Kind) -> Kind:
        """What a loop variable is: entries of a list, keys of a map."""
        kind = self._resolved(kind)
        return self.element(kind) if isinstance(kind, Mapping) or len(get_args(kind)) != 2 else str

    def sort(self, kind: Kind) -> Sort:
        """As CEL tells values apart; ANY for an answer that may be of several."""
        kind = self._resolved(kind)
        if isinstance(kind, _Word):
            return Sort.TEXT
        if isinstance(kind, _Named) or (isinstance(kind, type) and is_dataclass(kind)):
            return Sort.MAP
        if isinstance(kind, Mapping):
            values = {_SORTS.get(type(one), Sort.ANY) for one in self.said(kind)}
            return values.pop() if len(values) == 1 else _OF_ANSWERS.get(str(kind.get("type")), Sort.ANY)
        origin: object = get_origin(kind)
        if origin is not None:
            return Sort.MAP if origin is Mapping else Sort.LIST
        return _SORTS.get(kind, Sort.ANY)

    def said(self, kind: Kind) -> Sequence[object]:
        """All that a word can be, or an answer that is chosen from a list; empty when that is open."""
        kind = self._resolved(kind)
        if isinstance(kind, _Word):
            return kind.said
        if not isinstance(kind, Mapping):
            return ()
        if "const" in kind or kind.get("enum"):
            return [kind["const"]] if "const" in kind else list(kind["enum"])
        branches = kind.get("oneOf", ())
        return [one["const"] for one in branches] if all("const" in one for one in branches) else ()

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
        """Also those that are asked only sometimes; None for a schema that says nothing about them."""
        found = fields_of(self.form, schema)
        if found:
            return {name: _together(several) for name, several in found.items()}
        return {} if schema.get("type") not in {None, "object"} or "enum" in schema else None


def _together(several: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """One field of what its declarations say: it may be what any of them lets it be."""
    if len(several) == 1:
        return several[0]
    whole = {word: value for one in reversed(several) for word, value in one.items()}
    whole.pop("const", None)
    choices = whole.pop("enum", None)
    consts = [one["const"] for one in several if "const" in one]
    if choices is not None:
        whole["enum"] = choices
    elif len(consts) == len(several):
        whole["enum"] = consts
    if "properties" in whole:
        whole["allOf"] = list(several)
    return whole


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
        if isinstance(kind, _Word):
            self._compared(kind.said, path)
        while self._look() in {".", "["}:
            name = self._look(1)
            if self._look() == "[":
                self._at += 1
                self._index(kind, path)
                kind, path = self._kinds.element(kind), f"{path}[…]"
            elif self._look(2) == "(":
                self._at += 2
                if name in MACROS and isinstance(kind, _Named):
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
                if isinstance(outer, _Named) and outer.said:
                    self._compared(outer.said, path)

    def _index(self, kind: Kind, path: str) -> None:
        """Read `[…]`; of what the procedure names only the keys that it has."""
        group, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if isinstance(kind, _Named):
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


# --- facts to try a rule on -------------------------------------------------------------------


def samples(form: Mapping[str, Any], names: Names) -> list[Facts]:
    """Complete facts of the right types, several times with other values, to try rules on."""
    ordered = dict.fromkeys(names.products, 1)
    reference, figures = date(2026, 1, 1), dict.fromkeys(names.tables, 1000.0)
    resident = Facts(
        municipality=Municipality("13999", "Gemeente Lindebeke", "2999"),
        today=date(2026, 11, 27),
        channel="ONLINE",
        application=_filled_in(form, yes=True),
        applicant=Applicant(
            True, 40, False, Address("Dorpsstraat", "1", "A", "2999", "Lindebeke", "13999"), reference, True
        ),
        household=Household(True, 3, ordered, ordered, (Child(9, 8),), 1.0),
        cart=tuple(CartLine(product, 1) for product in names.products),
        quota=Quota(True, True),
        sources_complete=True,
        reference_date=reference,
        window_open=True,
        tables=figures,
        checks=dict.fromkeys(names.checks, "MET"),
        advices=dict.fromkeys(names.advisers, "POSITIVE"),
        claims=dict.fromkeys(names.benefits, "FREE"),
        co_applicant="CONFIRMED",
        duplicates=dict.fromkeys(names.duplicates, False),
        documents=dict.fromkeys(names.documents, 1),
    )
    elsewhere = replace(
        resident,
        channel="COUNTER",
        application=_filled_in(form, yes=False),
        applicant=Applicant(
            True, 17, True, Address("Markt", "2", "B", "2400", "Mol", "13025"), reference, False
        ),
        household=Household(True, 1, ordered, ordered, (), 0.0),
        quota=Quota(True, False),
        sources_complete=False,
        window_open=False,
        checks=dict.fromkeys(names.checks, "NOT_MET"),
        advices=dict.fromkeys(names.advisers, "NEGATIVE"),
        claims=dict.fromkeys(names.benefits, "TAKEN"),
        co_applicant="REFUSED",
        duplicates=dict.fromkeys(names.duplicates, True),
        documents=dict.fromkeys(names.documents, 0),
    )
    return [resident, elsewhere, replace(resident, cart=()), replace(elsewhere, applicant=resident.applicant)]


def _answered(asked: Asked) -> list[dict[str, Any]]:
    """What a source can say, as a condition sees it: with all that it has, and with nothing."""
    found: dict[str, list[Answer]] = {
        "social_status": [
            SocialStatusAnswer(dict.fromkeys(asked.statuses, value)) for value in (True, False)
        ],
        "tax_assessment": [TaxAnswer(True, 2024, 30_000.0, 20_000.0, 10_000.0), TaxAnswer(False, 2024)],
        "handicap_file": [HandicapAnswer(True, 9, 9, True, 5, 1, 2, 8), HandicapAnswer(False, 9)],
    }
    return [as_seen(one) for one in found[asked.service]]


def _filled_in(form: Mapping[str, Any], *, yes: bool) -> Mapping[str, Any]:
    answers = _answers(form, form, yes=yes)
    return answers if isinstance(answers, Mapping) else {}


def _answers(schema: Mapping[str, Any], root: Mapping[str, Any], *, yes: bool, depth: int = 0) -> object:
    """Something of the types of `schema`: every field, also what is asked only sometimes; booleans `yes`."""
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
    fields = fields_of(root, schema)
    if fields:
        return {
            name: _answers(several[0 if yes else -1], root, yes=yes, depth=depth + 1)
            for name, several in fields.items()
        }
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
            return "2026-07-01" if schema.get("format") == "date" else "x"
