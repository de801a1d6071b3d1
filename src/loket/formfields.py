"""Which fields a form has: also those that stand there only sometimes, and whether they do now.

A form is JSON Schema 2020-12. Parts that depend on an answer stand in `then` and `else`, in
`dependentSchemas`, or in the branches of `oneOf` and `anyOf`. What was answered in a part that is not asked
(any more) is no fault: it is left out.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
Holds = Callable[[object, object], int]
"""Of a schema and an answer: how far they are apart; 0 where it fits."""

_BRANCHES = ("allOf", "anyOf", "oneOf")
_ROUNDS = 8
"""How often an answer that is left out can make another one fall away."""
MAX_DEPTH = 16


def field(form: Schema, pointer: str) -> Schema | None:
    """The schema of the answer at `pointer`, of several declarations together; None where there is no such
    field, whatever is answered.
    """
    here: list[Schema] = [form]
    for step in pointer.strip("/").split("/"):
        here = [one for schema in here for one in fields_of(form, schema).get(step, [])]
    found: dict[str, Any] = {}
    for one in reversed(here):
        found |= one
    return found if here else None


def all_fields(form: Schema) -> Iterator[tuple[str, Schema]]:
    """Every field of the form by its pointer, groups included; one declared twice comes twice."""
    yield from _below(form, form, "", 0)


def fields_of(form: Schema, schema: object, depth: int = 0) -> dict[str, list[Schema]]:
    """By name the fields of a group, in the order of the form, with all that is said of each."""
    found: dict[str, list[Schema]] = {}
    schema = resolved(form, schema)
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return found
    for name, one in schema.get("properties", {}).items():
        if isinstance(said := resolved(form, one), Mapping):
            found.setdefault(name, []).append(said)
    for part in _parts(schema):
        for name, several in fields_of(form, part, depth + 1).items():
            found.setdefault(name, []).extend(several)
    return found


def conditional(schema: Schema) -> bool:
    """Whether a group has parts that are asked only sometimes."""
    return any(word in schema for word in ("if", "dependentSchemas", *_BRANCHES))


def asked(form: Schema, answers: Any, holds: Holds) -> Any:  # noqa: ANN401  # JSON
    """The answers without those of parts that are not asked, by what the others say."""
    for _ in range(_ROUNDS):
        kept = _asked(form, [form], answers, holds)
        if kept == answers:
            break
        answers = kept
    return answers


def active(form: Schema, schema: object, answer: object, holds: Holds) -> dict[str, list[object]]:
    """By name the fields of a group that are asked now, with what is said of each; False forbids it."""
    found: dict[str, list[object]] = {}
    schema = resolved(form, schema)
    if not isinstance(schema, Mapping):
        return found
    for name, one in schema.get("properties", {}).items():
        found.setdefault(name, []).append(one)
    for part in _applying(schema, answer, holds):
        for name, several in active(form, part, answer, holds).items():
            found.setdefault(name, []).extend(several)
    return found


def resolved(form: Schema, schema: object) -> object:
    """What a local reference leads to; else the schema itself."""
    for _ in range(MAX_DEPTH):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str):
            return schema
        schema = follow(form, reference)
    return None


def follow(root: object, pointer: str) -> object:
    """What a local reference or JSON pointer leads to; None where it leads nowhere."""
    here = root
    for step in pointer.removeprefix("#").strip("/").split("/"):
        if isinstance(here, Mapping) and step in here:
            here = here[step]
        elif isinstance(here, list | tuple) and step.isdigit() and int(step) < len(here):
            here = here[int(step)]
        else:
            return None
    return here if pointer.startswith(("#/", "/")) else None


def nearest(branches: list[object], answer: object, holds: Holds) -> list[object]:
    """Of alternatives those that fit; where none does, the one that is meant."""
    apart = [holds(one, answer) for one in branches]
    fitting = [one for one, distance in zip(branches, apart, strict=True) if not distance]
    return fitting or [branches[apart.index(min(apart))]]


def _parts(schema: Schema) -> Iterator[object]:
    """What a group may be more, by its answers."""
    for word in ("then", "else"):
        if word in schema:
            yield schema[word]
    yield from schema.get("dependentSchemas", {}).values()
    for word in _BRANCHES:
        yield from schema.get(word, ())


def _below(form: Schema, schema: Schema, place: str, depth: int) -> Iterator[tuple[str, Schema]]:
    if depth > MAX_DEPTH:
        return
    for name, several in fields_of(form, schema).items():
        for one in several:
            yield f"{place}/{name}", one
            yield from _below(form, one, f"{place}/{name}", depth + 1)


def _applying(schema: Schema, answer: object, holds: Holds) -> Iterator[object]:
    yield from schema.get("allOf", ())
    for word in ("anyOf", "oneOf"):
        if word in schema:
            yield from nearest(list(schema[word]), answer, holds)
    if "if" in schema:
        word = "then" if not holds(schema["if"], answer) else "else"
        if word in schema:
            yield schema[word]
    for name, one in schema.get("dependentSchemas", {}).items():
        if isinstance(answer, Mapping) and name in answer:
            yield one


def _asked(form: Schema, schemas: list[object], answer: Any, holds: Holds) -> Any:  # noqa: ANN401  # JSON
    """`schemas` is all that is said of this answer now."""
    if isinstance(answer, list):
        items = [one.get("items") for one in schemas if isinstance(one, Mapping) and "items" in one]
        return [_asked(form, [resolved(form, one) for one in items], entry, holds) for entry in answer]
    if not isinstance(answer, Mapping):
        return answer
    now: dict[str, list[object]] = {}
    known: set[str] = set()
    for schema in schemas:
        known |= fields_of(form, schema).keys()
        for name, several in active(form, schema, answer, holds).items():
            now.setdefault(name, []).extend(several)
    return {
        name: _asked(form, [resolved(form, one) for one in now.get(name, ())], value, holds)
        for name, value in answer.items()
        if (name in now and False not in now[name]) or (name not in known and name not in now)
    }
