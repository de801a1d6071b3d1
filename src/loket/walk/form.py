"""Filling in any procedure's form: what is asked is read from its JSON Schema, as a website would.

What somebody knows by heart comes first, by the name of the field; then what the form itself gives as its one
value, its default or an example; then something that fits: of the right type and format, within its bounds.
Parts that depend on other answers (`if`, `dependentRequired`, `oneOf`) are filled in where these ask it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from jsonschema import Draft202012Validator

from loket.walk.patterns import example

Json = dict[str, Any]

MOST_ROUNDS = 12
"""How often answers may call for more questions."""
FIRST_DAY = 60
"""A day that is asked lies so many days ahead; each that is asked later lies one further."""
BIRTH = ("birth", "geboorte")
"""In the name of a field: a day in the past is asked."""
_BY_TYPE: Mapping[str, object] = {"boolean": True, "null": None}


class Unfillable(Exception):
    """Nothing is known that fits a field; the message names it."""


@dataclass
class Memory:
    """What somebody can write down without looking it up."""

    by_name: Mapping[str, Any] = field(default_factory=dict)
    by_format: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    _days: int = 0

    def day(self) -> str:
        """Each day that is asked comes after the one before: a first day before a last day."""
        self._days += 1
        return f"{datetime.now(UTC).date() + timedelta(days=FIRST_DAY + self._days - 1)}"


def missing_answers(schema: Json, answers: object, memory: Memory) -> Json:
    """A merge patch with what is required and not there.

    Raises:
        Unfillable: nothing fits a field that must be filled in.
    """
    whole, patch = _copied(answers) if isinstance(answers, dict) else {}, Json()
    for _ in range(MOST_ROUNDS):
        found = _object(Sheet(schema, memory), schema, whole, "")
        if not found:
            break
        whole, patch = merged(whole, found), merged(patch, found)
    return patch


def merged(target: object, patch: Json) -> Json:
    """As a merge patch does, but that nothing is taken away."""
    whole = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        whole[name] = merged(whole.get(name), value) if isinstance(value, dict) else value
    return whole


def leaves(answers: Json, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where something was answered that is no group."""
    found: list[tuple[str, ...]] = []
    for name, value in answers.items():
        here = (*above, name)
        found += leaves(value, here) if isinstance(value, dict) else [here]
    return found


@dataclass(frozen=True)
class Sheet:
    """A form, and who fills it in."""

    schema: Json
    memory: Memory

    def resolved(self, part: Json) -> Json:
        """What a reference within the schema stands for."""
        while "$ref" in part:
            target: Any = self.schema
            for step in part["$ref"].removeprefix("#").strip("/").split("/"):
                target = target[step.replace("~1", "/").replace("~0", "~")] if step else target
            part = {**target, **{name: value for name, value in part.items() if name != "$ref"}}
        return part

    def holds(self, part: Json, value: object) -> bool:
        """Whether a value is as this part of the schema says; formats are not looked at."""
        shared = {name: self.schema[name] for name in ("$defs", "definitions") if name in self.schema}
        return bool(Draft202012Validator({**shared, **part}).is_valid(value))

    def in_force(self, part: Json, value: object) -> Json:
        """The part with all that its conditions add for this value, as one schema."""
        part = self.resolved(part)
        more = [*part.get("allOf", ())]
        if "if" in part:
            more.append(part.get("then" if self.holds(part["if"], value) else "else", {}))
        answered = value if isinstance(value, dict) else {}
        more += [one for name, one in part.get("dependentSchemas", {}).items() if name in answered]
        more += [
            {"required": names}
            for name, names in part.get("dependentRequired", {}).items()
            if name in answered
        ]
        for choice in ("oneOf", "anyOf"):
            if choices := [
                one for one in part.get(choice, ()) if isinstance(one, dict) and "const" not in one
            ]:
                more.append(next((one for one in choices if self.holds(one, value)), choices[0]))
        for one in more:
            part = _both(part, self.in_force(one, value))
        return part


def _both(part: Json, more: Json) -> Json:
    whole = {**part, **more}
    whole["required"] = [*part.get("required", ()), *more.get("required", ())]
    inner = {**part.get("properties", {})}
    for name, one in more.get("properties", {}).items():
        inner[name] = {**inner.get(name, {}), **one}
    if inner:
        whole["properties"] = inner
    return whole


def _object(sheet: Sheet, part: Json, answers: Json, place: str) -> Json:
    """What is missing of a group, as a patch of it."""
    group = sheet.in_force(part, answers)
    required = {*group.get("required", ())}
    patch: Json = {}
    for name, one in group.get("properties", {}).items():
        wanted = sheet.resolved(one) if isinstance(one, dict) else {}
        here = f"{place}/{name}"
        if "properties" in sheet.in_force(wanted, answers.get(name)):
            if name in required or name in answers:
                inner = _object(sheet, wanted, answers.get(name) or {}, here)
                if inner or name not in answers:
                    patch[name] = inner
        elif name in answers:
            continue
        elif name in required or "const" in wanted or "default" in wanted:
            patch[name] = _value(sheet, wanted, name, here)
    for name in sorted(required - set(group.get("properties", {})) - set(answers)):
        patch[name] = _value(sheet, {}, name, f"{place}/{name}")
    return patch


def fitting(sheet: Sheet, part: Json, name: str) -> list[object]:
    """What would be filled in there, were it asked; nothing where nothing is known that fits."""
    try:
        return [_value(sheet, part, name, name)]
    except Unfillable:
        return []


def _value(sheet: Sheet, part: Json, name: str, place: str) -> object:
    """What is filled in where something is asked."""
    part = sheet.in_force(part, None)
    for own in ("const", "default"):
        if own in part:
            return part[own]
    known = sheet.memory.by_name.get(name)
    # a number in the form of a national number is nobody's house
    if known is not None and part.get("format") not in sheet.memory.by_format and sheet.holds(part, known):
        return known
    for many in ("examples", "enum"):
        if part.get(many):
            return part[many][0]
    choices = [one["const"] for one in [*part.get("oneOf", ()), *part.get("anyOf", ())] if "const" in one]
    if choices:
        return choices[0]
    kind = part.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return _object(sheet, part, {}, place)
    if kind == "array":
        return _list(sheet, part, name, place)
    if kind in ("integer", "number"):
        return _number(part, whole=kind == "integer")
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    return _text(sheet.memory, part, name, place)


def _list(sheet: Sheet, part: Json, name: str, place: str) -> list[object]:
    """As many as must be there, each another one where the form gives a choice."""
    wanted, items = part.get("minItems", 0), sheet.in_force(part.get("items", {}), None)
    choices = [*items.get("enum", ()), *(one["const"] for one in items.get("oneOf", ()) if "const" in one)]
    found = choices[: max(wanted, 1)]
    while len(found) < wanted:
        one = _value(sheet, items, name, f"{place}/{len(found)}")
        if part.get("uniqueItems") and one in found:
            one = f"{one} {len(found) + 1}" if isinstance(one, str) else len(found) + 1
        found.append(one)
    return found


def _number(part: Json, *, whole: bool) -> float | int:
    """The least that is allowed from 1 on; 1 where nothing is said."""
    step: float = part.get("multipleOf", 1)
    usual = 0 if part.get("maximum", 1) < 1 else 1
    least: float = part["minimum"] if "minimum" in part else part.get("exclusiveMinimum", usual)
    number: float = -(-least // step) * step
    if number == part.get("exclusiveMinimum"):
        number += step
    return int(number) if whole or number == int(number) else number


def _text(memory: Memory, part: Json, name: str, place: str) -> str:
    written = str(part.get("format", ""))
    if written in memory.by_format:
        return memory.by_format[written]()
    if written == "date":
        past = any(word in name.casefold() for word in BIRTH)
        return "1980-05-17" if past else memory.day()
    shortest, longest = part.get("minLength", 0), part.get("maxLength", 5000)
    if "pattern" in part:
        found = example(part["pattern"], shortest=shortest)
        if found is None:
            raise Unfillable(f"{place} asks for {part['pattern']}: give it an example in the form (examples)")
        return found
    text = f"{part.get('title') or name}: in orde"
    return text.ljust(shortest, ".")[:longest]


def _copied(answers: Json) -> Json:
    return {name: _copied(one) if isinstance(one, dict) else one for name, one in answers.items()}
