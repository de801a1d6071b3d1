"""Filling in any procedure's form: what is asked is read from its JSON Schema, as a website would."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def missing_answers(schema: Json, answers: object, by_heart: Mapping[str, Any]) -> Json:
    """A merge patch with what is required and not there: the one value allowed, the default, or `by_heart`.

    That is by the name of the field.
    """
    return _object(schema, answers, by_heart, schema.get("$defs", {}))


def _object(schema: Json, answers: object, by_heart: Mapping[str, Any], shared: Json) -> Json:
    given = answers if isinstance(answers, dict) else {}
    patch: Json = {}
    for name, part in schema.get("properties", {}).items():
        wanted = _resolved(part, shared)
        required = name in schema.get("required", [])
        if "properties" in wanted:
            inner = _object(wanted, given.get(name), by_heart, shared) if required or name in given else {}
            if inner or (required and name not in given):
                patch[name] = inner
        elif name not in given and ("const" in wanted or "default" in wanted):
            patch[name] = wanted.get("const", wanted.get("default"))
        elif name not in given and required:
            patch[name] = by_heart[name]
    return patch


def _resolved(part: Json, shared: Json) -> Json:
    reference = part.get("$ref", "")
    return {**shared[reference.rpartition("/")[2]], **part} if reference else part
