"""Answers that a form takes, made by its schema: for what nobody filled in when a case is tried dry."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from loket import forms
from loket.definition import Definition
from loket.errors import ErrorCode
from loket.records import Json

_ROUNDS = 5
_AHEAD = timedelta(weeks=6)
_A_DAY = "date"
_BY_FORMAT = {
    "date": _A_DAY,
    "email": "an.voorbeeld@example.org",
    "phone": "+32470123456",
    "iban": "BE68539007547034",
    "time": "10:00",
    "uri": "https://www.example.org",
    "enterprise-number": "0207500123",
    "national-number": "85073000160",
}


def sample_answers(definition: Definition, today: date) -> Json:
    """Answers that a form takes as far as its schema says what that is: what must be answered, yes to all.

    A day is one some weeks ahead.
    """
    ahead = today + _AHEAD
    said = _days_said(_sample(definition.form.json_schema, definition.form.json_schema, ""), ahead)
    return said if isinstance(said, dict) else {}


def completed(definition: Definition, answers: Json, today: date) -> Json:
    """`answers` with a sample for what must be answered because of what is answered there."""
    for _ in range(_ROUNDS):
        needed = [
            fault.path
            for fault in forms.validate_answers(definition, answers, "nl")
            if fault.code is ErrorCode.REQUIRED and fault.path
        ]
        schemas = [(path, _schema_at(definition.form.json_schema, path)) for path in needed]
        made = [
            (path, _days_said(_sample(schema, definition.form.json_schema, path[-1]), today + _AHEAD))
            for path, schema in schemas
            if schema is not None
        ]
        if not made:
            break
        for path, value in made:
            answers = _written(answers, path, value)
    return answers


def _schema_at(root: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = root
    for step in path:
        found = _asked(_target(found, root), root, step)
        if found is None:
            return None
    return found


def _asked(
    schema: Mapping[str, Any], root: Mapping[str, Any], step: str, depth: int = 0
) -> Mapping[str, Any] | None:
    """The question `step` of a group, also where a condition of the group asks it."""
    found = schema.get("properties", {}).get(step)
    if isinstance(found, Mapping) or depth > _ROUNDS:
        return found if isinstance(found, Mapping) else None
    parts = [schema.get("then"), schema.get("else"), *schema.get("allOf", ())]
    parts += [*schema.get("dependentSchemas", {}).values()]
    inner = (_asked(_target(one, root), root, step, depth + 1) for one in parts if isinstance(one, Mapping))
    return next((one for one in inner if one is not None), None)


def _target(schema: Mapping[str, Any] | None, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `$ref` points at."""
    target: Any = schema or {}
    if isinstance(target.get("$ref"), str):
        words = target["$ref"].lstrip("#/").split("/")
        target = root
        for word in words:
            target = target.get(word, {}) if isinstance(target, Mapping) else {}
    return target if isinstance(target, Mapping) else {}


def _written(answers: Json, path: Sequence[str], value: object) -> Json:
    head, *rest = path
    inner = answers.get(head)
    return {
        **answers,
        head: _written(inner if isinstance(inner, dict) else {}, rest, value) if rest else value,
    }


def _days_said(answers: object, ahead: date) -> object:
    match answers:
        case Mapping():
            return {key: _days_said(one, ahead) for key, one in answers.items()}
        case list():
            return [_days_said(one, ahead) for one in answers]
        case _ if answers == _A_DAY:
            return ahead.isoformat()
        case _:
            return answers


def _sample(schema: Mapping[str, Any], root: Mapping[str, Any], name: str, depth: int = 0) -> object:
    if depth > 8:
        return None
    if "$ref" in schema:
        return _sample(_target(schema, root), root, name, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if "default" in schema:
        return schema["default"]
    for branch in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        if "const" in branch or "enum" in branch:
            return _sample(branch, root, name, depth + 1)
    match schema.get("type"):
        case "object":
            return _group(schema, root, depth)
        case "array":
            return _several(schema, root, name, depth)
        case "boolean":
            return True
        case "integer":
            return int(schema.get("minimum", schema.get("maximum", 1)))
        case "number":
            return float(schema.get("minimum", schema.get("maximum", 1)))
        case _:
            return _words(schema, name)


def _several(schema: Mapping[str, Any], root: Mapping[str, Any], name: str, depth: int) -> list[object]:
    """As many as there must be, no two alike where they may not be."""
    inner, number = schema.get("items", {}), int(schema.get("minItems", 0))
    branches = [one for one in (*inner.get("oneOf", ()), *inner.get("anyOf", ())) if "const" in one]
    choice = inner.get("enum") or [one["const"] for one in branches]
    if choice:
        return list(choice[:number])
    made = [_sample(inner, root, name, depth + 1) for _ in range(min(number, 20))]
    if schema.get("uniqueItems") and all(isinstance(one, str) for one in made):
        return [f"{one} {index}" for index, one in enumerate(made, 1)]
    return made


def _group(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Json:
    properties = schema.get("properties", {})
    needed = [one for one in schema.get("required", ()) if one in properties]
    return {
        one: value for one in needed if (value := _sample(properties[one], root, one, depth + 1)) is not None
    }


def _words(schema: Mapping[str, Any], name: str) -> str:
    if schema.get("format") in _BY_FORMAT:
        return _BY_FORMAT[schema["format"]]
    if schema.get("pattern"):
        tried = ("2999", "1", "A", "0000000000", "12345", "Voorbeeld", "1-ABC-123", "0470123456")
        found = next((one for one in tried if _fits(one, str(schema["pattern"]))), None)
        if found is not None:
            return found
    text = name.replace("_", " ").capitalize() or "Voorbeeld"
    return text.ljust(int(schema.get("minLength", 0)), ".")[: int(schema.get("maxLength", 200))]


def _fits(text: str, pattern: str) -> bool:
    try:
        return forms.matches(text, pattern)
    except ValueError:
        return False
