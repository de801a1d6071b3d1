"""Is the form of a procedure one that people can fill in? Its schema, what fills itself, its translations."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from loket.definition import PREFILL_SOURCES, Definition
from loket.formfields import conditional, field, fields_of, follow, resolved
from loket.forms import FORMATS, NATIONAL_NUMBER, matches
from loket.proofreading.findings import Checklist, Found, Place, go_on, unique

__all__ = ["FORM", "field"]

FORM = Checklist()

_LISTED = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"properties", "$defs", "dependentSchemas"})
_SINGLE = frozenset(
    {"items", "contains", "if", "then", "else", "not", "propertyNames"}
    | {"additionalProperties", "unevaluatedProperties", "unevaluatedItems"}
)
_OTHER = frozenset(
    {
        "$schema",
        "$ref",
        "$comment",
        "title",
        "description",
        "default",
        "examples",
        "readOnly",
        "writeOnly",
    }
    | {
        "type",
        "enum",
        "const",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "deprecated",
    }
    | {
        "maxLength",
        "minLength",
        "pattern",
        "format",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxContains",
        "minContains",
    }
    | {"maxProperties", "minProperties", "required", "dependentRequired"}
)
KEYWORDS = _LISTED | _NAMED | _SINGLE | _OTHER
"""Keywords that a form may use; `patternProperties` is not among them: a form knows its fields. Nor is `$id`:
what a form refers to stands in it, and nothing of it is fetched."""
MAX_PARTS = 3_000
"""Parts of a form with all that they refer to spread out; a form of a hundred questions has a few hundred."""
_AGAIN = 3
"""How often what stands within `unevaluatedProperties` or `unevaluatedItems` is looked at for one answer."""


def no_schema(definition: Definition) -> Found:
    """Where the form is not JSON Schema at all: then nothing else of it can be read."""
    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(
        definition.form.json_schema
    ):
        yield ("form", "schema", *error.absolute_path), f"not JSON Schema: {error.message[:200]}"
        return
    if not _ends(definition.form.json_schema):
        yield (
            ("form", "schema"),
            f"with all that its parts refer to it has more than {MAX_PARTS} of them, or one refers to itself",
        )


def _ends(form: Mapping[str, Any]) -> bool:
    """Whether a form, its references followed, is of a size that can be gone through for every answer."""
    left = MAX_PARTS
    ahead: list[tuple[object, int]] = [(form, 1)]
    while ahead and left >= 0:
        schema, weight = ahead.pop()
        if not isinstance(schema, Mapping):
            continue
        if "unevaluatedProperties" in schema or "unevaluatedItems" in schema:
            weight *= _AGAIN
        parts = [(one, weight) for _, one in _directly(schema, ())]
        if isinstance(schema.get("$ref"), str):
            parts.append((follow(form, schema["$ref"]), weight))
        left -= weight * len(parts)
        ahead += parts
    return left >= 0


@FORM.reads("form")
def _form(definition: Definition) -> Found:
    schema, base = definition.form.json_schema, ("form", "schema")
    if schema.get("type") != "object" or "properties" not in schema:
        yield base, "a form is an object with properties"
    fields = {name for _, one in _subschemas(schema, base) for name in one.get("properties", {})}
    for place, one in _subschemas(schema, base):
        go_on()
        yield from _subschema(one, place, schema, fields)


def _subschema(schema: Mapping[str, Any], place: Place, root: Mapping[str, Any], fields: set[str]) -> Found:
    for word in schema:
        if word not in KEYWORDS and not word.startswith("x-"):
            yield (*place, word), f"'{word}' is not a keyword of a form"
    if "format" in schema and schema["format"] not in FORMATS.checkers:
        known = ", ".join(sorted(FORMATS.checkers))
        yield (*place, "format"), f"unknown format '{schema['format']}'; there are: {known}"
    if "pattern" in schema:
        try:
            matches("", schema["pattern"])
        except ValueError as fault:
            yield (*place, "pattern"), f"not a pattern: {' '.join(str(fault).split())[:160]}"
    if "$ref" in schema:
        reference = str(schema["$ref"])
        if not reference.startswith("#/") or not isinstance(follow(root, reference), Mapping):
            yield (*place, "$ref"), f"'{reference}' leads nowhere in this form"
    for name in schema.get("required", ()):
        if name not in fields:
            yield (*place, "required"), f"'{name}' is required but is not a field of the form"
    if schema.get("format") == NATIONAL_NUMBER and "items" in place:
        yield (*place, "format"), "a national number is kept sealed, which it is not in a list"
    yield from _sometimes(schema, place, root)


def _sometimes(schema: Mapping[str, Any], place: Place, root: Mapping[str, Any]) -> Found:
    """Parts that are asked by what was answered: two things about them are easily forgotten."""
    own = schema.get("properties", {})
    if schema.get("additionalProperties") is False and conditional(schema):
        there = [name for name in fields_of(root, schema) if name not in own]
        if there:
            yield (
                (*place, "additionalProperties"),
                f"this never takes {', '.join(there)}, which is asked only sometimes:"
                " write unevaluatedProperties: false",
            )
    condition = schema.get("if")
    if isinstance(condition, Mapping):
        for name in condition.get("properties", {}):
            if name not in condition.get("required", ()):
                yield (
                    (*place, "if"),
                    f"this holds also where '{name}' is not answered: add required: [{name}]",
                )


def _subschemas(schema: object, place: Place) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    if not isinstance(schema, Mapping):
        return
    yield place, schema
    for there, one in _directly(schema, place):
        yield from _subschemas(one, there)


def _directly(schema: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, object]]:
    """The parts that stand in a part itself."""
    for word, value in schema.items():
        if word in _SINGLE:
            yield (*place, word), value
        elif word in _LISTED:
            yield from (((*place, word, index), one) for index, one in enumerate(value))
        elif word in _NAMED:
            yield from (((*place, word, name), one) for name, one in value.items())


@FORM.reads("form")
def _prefill(definition: Definition) -> Found:
    form = definition.form
    for index, prefill in enumerate(form.prefill):
        place: Place = ("form", "prefill", index)
        if field(form.json_schema, prefill.field) is None:
            yield (*place, "field"), f"the form has no field {prefill.field}"
        for word, source in (("source", prefill.source), ("fallback", prefill.fallback)):
            if source is not None and source not in PREFILL_SOURCES:
                known = ", ".join(sorted(PREFILL_SOURCES))
                yield (*place, word), f"unknown source '{source}'; there are: {known}"
    yield from unique((one.field for one in form.prefill), ("form", "prefill"), "field", "prefilled field")
    yield from _ui(form.ui, form.json_schema, ("form", "ui"), form.json_schema)
    for language, texts in form.translations.items():
        for pointer in texts:
            if not isinstance(follow(form.json_schema, pointer), str):
                yield ("form", "translations", language, pointer), f"no text stands at {pointer} in the form"


def _ui(ui: Mapping[str, Any], schema: object, place: Place, root: Mapping[str, Any]) -> Found:
    known = fields_of(root, schema)
    for name, one in ui.items():
        if name.startswith("ui:"):
            continue
        if name == "items" and isinstance(schema, Mapping) and "items" in schema:
            yield from _ui(one, resolved(root, schema["items"]), (*place, name), root)
        elif name not in known:
            yield (*place, name), f"the form has no field '{name}' here"
        elif isinstance(one, Mapping):
            yield from _ui(one, {"allOf": known[name]}, (*place, name), root)
