"""The reference of the definition language: its tables, written from the same source that reads the files.

The page is `procedures/README.md`, beside the files that it explains. Its prose and its examples are written
by hand; each table stands between two marks, and is filled in here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from loket import docstrings, procedure_schema, rules
from loket.definition import (
    ALWAYS,
    DOSIS_CODES,
    DOSIS_PHASES,
    LINKS,
    PLACEHOLDERS,
    PREFILL_SOURCES,
)
from loket.forms import FORMATS
from loket.lifecycle import ENTRY, EventType, Stage
from loket.proofreading import factcheck
from loket.proofreading.form import KEYWORDS
from loket.proofreading.grant import ONLY_WITH
from loket.proofreading.happenings import needed_by

FOLDER = Path("src/loket/procedures")
PAGE, SCHEMA = FOLDER / "README.md", FOLDER / "procedure.schema.json"
_BLOCK = re.compile(r"<!-- written: (?P<name>[^>]+?) -->\n.*?<!-- end -->", re.DOTALL)


def files() -> dict[Path, str]:
    """The page and the schema for editors, as they are now."""
    return {PAGE: written(PAGE.read_text("utf-8")), SCHEMA: procedure_schema.text()}


def written(page: str) -> str:
    """`page` with each of its tables as it is now.

    Raises:
        KeyError: a mark names no table.
    """
    shapes = _shapes()

    def fill(found: re.Match[str]) -> str:
        name = found["name"]
        lines = _keys(shapes[name]) if name in shapes else _TABLES[name]()
        return "\n".join([f"<!-- written: {name} -->", *lines, "<!-- end -->"])

    return _BLOCK.sub(fill, page)


def tables() -> set[str]:
    """The names that the page's marks must have, once each."""
    return {*_shapes(), *_TABLES}


def _shapes() -> dict[str, dict[str, Any]]:
    """Per part of a file its JSON Schema."""
    whole = procedure_schema.schema()
    found = {name: one for name, one in whole["$defs"].items() if "properties" in one}
    return {"whole": whole, "Text": whole["$defs"]["Text"]["anyOf"][1], **found}


# --- keys -------------------------------------------------------------------------------------


def _keys(shape: Mapping[str, Any]) -> Iterator[str]:
    if "description" in shape:
        yield from (str(shape["description"]), "")
    yield from ("| key | what | if left out | meaning |", "|---|---|---|---|")
    required = shape.get("required", ())
    for name, one in shape["properties"].items():
        missing = "**required**" if name in required else _default(one)
        yield f"| `{name}` | {_what(one)} | {missing} | {_cell(one['description'])} |"


def _default(one: Mapping[str, Any]) -> str:
    value = one.get("default")
    match value:
        case None | [] | {}:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case float() if value.is_integer():
            return f"`{int(value)}`"
        case list():
            return ", ".join(f"`{item}`" for item in value)
        case dict():
            return "its own defaults"
        case _:
            return f"`{value}`"


_PATTERNS = {
    r"^(/[^/~]+)+$": "place in the answers, as `/applicant/name`",
    r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$": "name",
    r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$": "name, with `_`",
    r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$": "day of every year, as `12-31`",
}


def _what(one: Mapping[str, Any]) -> str:
    """A type, as a person would say it."""
    match one:
        case {"$ref": str(reference)}:
            return _link(reference.rpartition("/")[2])
        case {"const": word}:
            return f"`{word}`"
        case {"enum": [*words]} | {"oneOf": [*words]}:
            named = [str(word["const"] if isinstance(word, dict) else word) for word in words]
            return " · ".join(f"`{word}`" for word in named) if len(named) <= 9 else "one of the list below"
        case {"anyOf": [*kinds]}:
            return " or ".join(_what(kind) for kind in kinds)
        case {"type": "array", "items": items}:
            some = _what(items).replace("whole number", "whole numbers")
            return f"list of {some}{' (at least one)' if one.get('minItems') else ''}"
        case {"type": "object", "additionalProperties": dict(items)}:
            return f"per name: {_what(items)}"
        case {"type": "object", "properties": rows}:
            return f"per [event](#events): {_what(rows['SUBMITTED'])}" if "SUBMITTED" in rows else _ends(rows)
        case {"type": "object"}:
            return "a group"
        case {"type": "boolean"}:
            return "`true` · `false`"
        case {"type": "integer"}:
            return f"whole number{_bounds(one)}"
        case {"type": "number"}:
            return f"number{_bounds(one)}"
        case {"format": "date"}:
            return "day, as `2026-01-31`"
        case {"pattern": str(pattern)}:
            return _PATTERNS.get(pattern) or f"text like `{_cell(pattern)}`"
        case {"maxLength": 600}:
            return "[condition](#conditions)"
        case _:
            return "plain text"


def _ends(rows: Mapping[str, Any]) -> str:
    ((first, one),) = list(rows.items())[:1]
    assert first
    return f"per end ({', '.join(f'`{row}`' for row in rows)}): {_what(one)}"


def _link(name: str) -> str:
    if name in {"Stage", "EventType", "Text"}:
        words = {"Stage": "[stage](#stages)", "EventType": "[event](#events)", "Text": "[text](#text)"}
        return words[name]
    shape = procedure_schema.schema()["$defs"][name]
    return f"[{name}](#{name.lower()})" if "properties" in shape else _what(shape)


def _bounds(one: Mapping[str, Any]) -> str:
    low = one.get("minimum", one.get("exclusiveMinimum"))
    if "exclusiveMinimum" in one and one.get("type") == "integer":
        low = one["exclusiveMinimum"] + 1
    high = one.get("maximum")
    match low, high:
        case None, None:
            return ""
        case low, None:
            return f" from {low:g}"
        case low, high:
            return f" {low:g}–{high:g}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# --- what rules can read ----------------------------------------------------------------------


def _facts() -> Iterator[str]:
    yield from _records("", rules.Facts)


def _answers() -> Iterator[str]:
    for service, answer in rules.ANSWERS.items():
        about = " ".join(docstrings.of_class(answer).split())
        yield from (f"**`service: {service}`** {about}", "")
        yield from _records("answer.", answer)
        yield ""


def _records(prefix: str, record: type) -> Iterator[str]:
    yield from ("| fact | type | meaning |", "|---|---|---|")
    yield from _rows(prefix, record)


def _rows(prefix: str, record: type) -> Iterator[str]:
    assert is_dataclass(record)
    said, hints = docstrings.of_attributes(record), get_type_hints(record)
    for one in fields(record):
        kind, inner = _type(hints[one.name])
        yield f"| `{prefix}{one.name}` | {kind} | {_cell(said[one.name])} |"
        if inner is not None:
            behind = "[…]." if kind.startswith("list") else "."
            yield from _rows(f"{prefix}{one.name}{behind}", inner)


_TYPES: dict[object, str] = {
    bool: "`true` · `false`", int: "whole number", float: "number", str: "text", date: "day",
}  # fmt: skip


def _type(hint: Any) -> tuple[str, type | None]:  # noqa: ANN401  # a type
    """In words, and the record that stands behind its dot."""
    if isinstance(hint, UnionType):
        hint = next(one for one in get_args(hint) if one is not NoneType)
    origin: object = get_origin(hint)
    if origin is Mapping:
        return f"per name: {_type(get_args(hint)[1])[0]}", None
    if origin is not None:
        kind, inner = _type(get_args(hint)[0])
        return f"list of {kind}", inner
    if isinstance(hint, type) and is_dataclass(hint):
        return "group", hint
    return _TYPES.get(hint, "anything"), None


def _cel() -> Iterator[str]:
    rows = {
        "operators": ("== != < <= > >=", "&& || !", "+ - * / %", "in", "a ? b : c", "a.b a['b'] a[0]"),
        "functions": tuple(f"{one}(…)" for one in sorted(factcheck.FUNCTIONS)),
        "methods": tuple(f".{one}(…)" for one in sorted(factcheck.METHODS)),
        "over a list": tuple(f".{one}(x, …)" for one in sorted(factcheck.MACROS)),
    }
    yield from ("| | |", "|---|---|")
    for name, words in rows.items():
        yield f"| {name} | {' '.join(f'`{_cell(word)}`' for word in words)} |"


# --- texts, events, lists ---------------------------------------------------------------------


_APPLIES = {
    "decide_by": "while a decision is awaited",
    "items": "with the part `catalogue`",
    **dict.fromkeys(("amount", "invoice_number", "due_on"), "once there is an invoice"),
    **dict.fromkeys(("paid", "costs"), "once there is an invoice, and any of it"),
    **dict.fromkeys(
        ("outstanding", "structured_reference", "iban", "payee", "qr", "link_pay"),
        "while an invoice is to be paid",
    ),
    **dict.fromkeys(("open_before", "cost", "pay_by"), "with `PAYMENT_REMINDED`, `DEFAULT_NOTICE_SENT`"),
    "credited": "with `INVOICE_CREDITED`",
    "charged_back": "with `CHARGED_BACK`",
    "button": "where the message has one",
    "refund": "where money goes back",
    "reason": "with a refusal, and where a person said why",
    **dict.fromkeys(("fact", "legal"), "with a refusal"),
    "choose_by": "while a slot is to be chosen",
    "slot": "once a slot is agreed",
    "previous_slot": "when a slot is changed or lost",
    "address": "with the stage `planning`",
    **dict.fromkeys(("link_slots", "link_answer", "link_review"), "always"),
}
"""Of placeholders that no check ties to events: when they have a value."""


def _placeholders() -> Iterator[str]:
    yield from ("| placeholder | stands for | has a value |", "|---|---|---|")
    for name, meaning in PLACEHOLDERS.items():
        if name in ALWAYS:
            when = "always; also in a subject"
        elif name in ONLY_WITH:
            when = "with " + ", ".join(f"`{one}`" for one in EventType if one in ONLY_WITH[name])
        else:
            when = _APPLIES.get(name, "where it applies")
        yield f"| `{{{name}}}` | {meaning} | {when} |"


def _events() -> Iterator[str]:
    yield from ("| event | when | needs |", "|---|---|---|")
    for name, said in procedure_schema.events().items():
        yield f"| `{name}` | {said} | {needed_by(EventType(name)).replace(chr(39), '`')} |"


def _stages() -> Iterator[str]:
    yield from ("| stage | a case waits in it as | and it began with |", "|---|---|---|")
    for stage in Stage:
        status, event = ENTRY[stage]
        yield f"| `{stage}` | `{status}` | `{event}` |"


def _listed(words: Iterable[str]) -> Callable[[], Iterator[str]]:
    line = " · ".join(f"`{word}`" for word in words)

    def lines() -> Iterator[str]:
        yield line

    return lines


def _sources() -> Iterator[str]:
    yield from ("| source | what |", "|---|---|")
    yield from (f"| `{source}` | {meaning} |" for source, meaning in PREFILL_SOURCES.items())


_TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "facts": _facts,
    "answers": _answers,
    "CEL": _cel,
    "placeholders": _placeholders,
    "links": _listed(sorted(LINKS)),
    "events": _events,
    "stages": _stages,
    "DOSIS codes": _listed(sorted(DOSIS_CODES)),
    "DOSIS phases": _listed(DOSIS_PHASES),
    "sources": _sources,
    "formats": _listed(sorted(FORMATS.checkers)),
    "keywords": _listed(sorted(KEYWORDS)),
}
