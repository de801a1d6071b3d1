"""The JSON Schema of a procedure file, for editors: what they complete, explain and underline.

It has the shape alone; whether a procedure makes sense as a whole is told by `publishing`.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

import loket.api.enums  # noqa: F401  # describes the events and the ends
from loket import definition, docstrings
from loket.definition import DOSIS_CODES, DOSIS_PHASES, PREFILL_SOURCES, Definition, Text
from loket.lifecycle import EFFECT_EVENTS, FINAL, EventType, Stage, Status

_WORDS: dict[tuple[str, str], Mapping[str, str]] = {
    ("DosisRow", "code"): dict.fromkeys(sorted(DOSIS_CODES), ""),
    ("DosisRow", "phase"): dict.fromkeys(DOSIS_PHASES, ""),
    ("Prefill", "source"): PREFILL_SOURCES,
    ("Prefill", "fallback"): PREFILL_SOURCES,
}
"""Words that a check looks up, where the shape leaves them open; with their meaning."""


def text() -> str:
    """As it stands in the file beside the shipped procedures."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


@cache
def schema() -> dict[str, Any]:
    """Of a whole procedure file; to be read, not to be changed."""
    made = Definition.model_json_schema(by_alias=True, schema_generator=_Numbers)
    shapes: dict[str, Any] = made.pop("$defs")
    shapes["Definition"] = made
    shapes = {name: _tidy(shape) for name, shape in shapes.items()}
    for name, shape in shapes.items():
        model = getattr(definition, name, None)
        if isinstance(model, type) and issubclass(model, BaseModel):
            _describe(shape, model)
    for enum in (definition.DecidingBody, definition.MessageChannel, definition.VatCategory):
        shapes[enum.__name__] = _one_of(docstrings.of_attributes(enum), enum)
    shapes["Stage"] = _one_of({}, Stage)
    shapes["EventType"] = _one_of(events(), EventType)
    _named(shapes["Texts"]["properties"]["messages"], "Message", events())
    _named(shapes["Definition"]["properties"]["dosis"], "DosisRow", events())
    _named(shapes["Definition"]["properties"]["retention"], "Retention", ends())
    del shapes["Status"]
    shapes["Text"] = {
        "description": docstrings.of_class(Text),
        "anyOf": [{"type": "string", "minLength": 1}, shapes["Text"]],
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A procedure of Loket"}
    return {**head, **shapes.pop("Definition"), "$defs": dict(sorted(shapes.items()))}


def events() -> dict[str, str]:
    """What each event says happened, as clients of the API read it."""
    return {word: said for word, said in _described(EventType).items() if word not in EFFECT_EVENTS}


def ends() -> dict[str, str]:
    """What each end of a case means, as clients of the API read it."""
    return {word: said for word, said in _described(Status).items() if word in FINAL}


def _described(enum: type[StrEnum]) -> dict[str, str]:
    known: Any = enum
    return {one.name: str(one.description) for one in known.__strawberry_definition__.values}


class _Numbers(GenerateJsonSchema):
    """Exact decimals, written as plain numbers."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        bounds = {"minimum": schema.get("ge"), "maximum": schema.get("le")}
        return {"type": "number", **{name: float(at) for name, at in bounds.items() if at is not None}}


def _tidy(shape: Any) -> Any:  # noqa: ANN401  # JSON
    """Without what an editor need not say: titles made of names, `null` for what is left out."""
    if isinstance(shape, list):
        return [_tidy(one) for one in shape]
    if not isinstance(shape, dict):
        return shape
    if "properties" in shape:
        named = {name: _tidy(one) for name, one in shape["properties"].items()}
        rest = {key: one for key, one in shape.items() if key not in {"properties", "title"}}
        return {**_tidy(rest), "properties": named}
    tidied = {key: _tidy(one) for key, one in shape.items() if key != "title"}
    if tidied.get("default", ...) is None:
        del tidied["default"]
    if tidied.get("type") == "number" and "default" in tidied:
        tidied["default"] = float(tidied["default"])
    kinds = [one for one in tidied.get("anyOf", ()) if one != {"type": "null"}]
    return {**kinds[0], **{k: v for k, v in tidied.items() if k != "anyOf"}} if len(kinds) == 1 else tidied


def _describe(shape: dict[str, Any], model: type[BaseModel]) -> None:
    if described := docstrings.of_class(model):
        shape["description"] = described
    said = docstrings.of_attributes(model)
    for name, info in model.model_fields.items():
        place = shape["properties"][info.alias or name]
        place["description"] = said[name]
        words = _WORDS.get((model.__name__, name))
        if words:
            place |= _one_of(words, words)


def _one_of(meanings: Mapping[str, str], words: Any) -> dict[str, Any]:  # noqa: ANN401  # keys, or an enum
    """Each word with what it means, as an editor shows it beside."""
    named = [(str(one), meanings.get(one.name if isinstance(one, StrEnum) else one, "")) for one in words]
    if not any(meaning for _, meaning in named):
        return {"enum": [word for word, _ in named]}
    return {"oneOf": [{"const": word, "description": meaning} for word, meaning in named]}


def _named(place: dict[str, Any], shape: str, rows: Mapping[str, str]) -> None:
    """An editor completes properties; it does not complete names that only have a pattern."""
    for word in ("propertyNames", "additionalProperties"):
        place.pop(word)
    named = {name: {"$ref": f"#/$defs/{shape}", "description": said} for name, said in rows.items()}
    place |= {"properties": named, "additionalProperties": False}
