"""What each fact is that a condition can read: which members it has, which type, which words it can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from datetime import date
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from loket.formfields import fields_of
from loket.proofreading.ruletypes import Sort
from loket.rules import ANSWERS, CO_APPLICANT, SPOKEN, Facts, SocialStatusAnswer


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


Kind = Any
"""A type of a fact: a record class, str, list[…], `Named`, `Word`, or a JSON Schema (a mapping)."""


@dataclass(frozen=True)
class Named:
    """A map whose keys the procedure names; `said` is all that its values can be."""

    keys: Sequence[str]
    of: Kind
    said: Sequence[str] = ()


@dataclass(frozen=True)
class Word:
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


class Kinds:
    """The types of the facts, with the form's for `application`."""

    def __init__(self, form: Mapping[str, Any], names: Names, answer: Asked | None) -> None:
        self.form = form
        self.roots: dict[str, Kind] = {**get_type_hints(Facts), "application": form}
        for fact in self.roots:
            if (keys := names.behind(fact)) is not None:
                self.roots[fact] = Named(keys, _VALUES.get(fact, str), SPOKEN.get(fact, ()))
        self.roots["channel"] = Word(_CHANNELS)
        self.roots["co_applicant"] = Word(CO_APPLICANT)
        if not names.co_applicant:
            del self.roots["co_applicant"]
        if answer is not None:
            self.roots["answer"] = ANSWERS[answer.service]
            self.statuses = Named(answer.statuses, bool)

    def members(self, kind: Kind) -> dict[str, Kind] | None:
        """What stands behind a dot; None when anything may."""
        kind = self._resolved(kind)
        if isinstance(kind, Word):
            return {}
        if isinstance(kind, Named):
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
        if isinstance(kind, Named):
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
        if isinstance(kind, Word):
            return Sort.TEXT
        if isinstance(kind, Named) or (isinstance(kind, type) and is_dataclass(kind)):
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
        if isinstance(kind, Word):
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
