"""From a procedure file to a `Definition`: read and checked as a whole, faults named with file and line.

YAML 1.2 in its plain form: no anchors, no tags, every key once; amounts stay exact decimals.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from loket.definition import Definition, VatCategory
from loket.proofreading import proofread
from loket.proofreading.findings import Place, TooLong, patience

MAX_BYTES = 500_000
MAX_DEPTH = 40
MAX_SECONDS = 5.0
"""Of computing, for looking through one text; what is shipped takes less than half a second."""
KEPT = 32
"""Texts whose meaning is kept in memory."""


@dataclass(frozen=True)
class Fault:
    """What is wrong, and where; line and column count from 1."""

    file: str
    line: int
    column: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.reason}"


class DefinitionError(Exception):
    """A procedure file cannot be published; `faults` has all that is wrong with it, from top to bottom."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = sorted(faults, key=lambda fault: (fault.file, fault.line, fault.column))
        super().__init__("\n".join(str(fault) for fault in self.faults))


@dataclass(frozen=True)
class Reading:
    """A file that makes sense: what it says, and where in it each part stands."""

    definition: Definition
    file: str
    places: Mapping[str, tuple[int, int]]
    """Line and column of each part, by its word."""

    @property
    def version(self) -> tuple[str, int]:
        return self.definition.key, self.definition.version

    def fault(self, part: str, reason: str) -> Fault:
        """What is wrong with it for another reason than what stands in it."""
        return Fault(self.file, *self.places.get(part, (1, 1)), reason)


def load(path: Path) -> Definition:
    """Read one file.

    Raises:
        DefinitionError: it cannot be read, or it does not make sense.
    """
    return read_file(path).definition


def read_file(path: Path) -> Reading:
    """As `load`, knowing what stands where."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise DefinitionError([Fault(str(path), 1, 1, f"cannot be read: {fault}")]) from fault
    return read(text, str(path))


def load_all(folders: Iterable[Path]) -> dict[str, list[Definition]]:
    """Every `*.yaml` of `folders`: per key its versions, the one that became valid last first.

    Raises:
        DefinitionError: with the faults of all files together.
    """
    found: dict[str, list[Definition]] = {}
    for one in read_all(path for folder in folders for path in folder.glob("*.yaml")):
        found.setdefault(one.definition.key, []).append(one.definition)
    for versions in found.values():
        versions.sort(key=lambda one: (one.valid_from, one.version), reverse=True)
    return found


def read_all(paths: Iterable[Path]) -> list[Reading]:
    """These files, by name.

    Raises:
        DefinitionError: with the faults of all files together; also for a version that stands in two of them.
    """
    faults: list[Fault] = []
    found: dict[tuple[str, int], Reading] = {}
    for path in sorted(paths):
        try:
            one = read_file(path)
        except DefinitionError as error:
            faults += error.faults
            continue
        other = found.setdefault(one.version, one)
        if other is not one:
            key, version = one.version
            faults.append(Fault(str(path), 1, 1, f"{key} version {version} is also in {other.file}"))
    if faults:
        raise DefinitionError(faults)
    return list(found.values())


def current(versions: Iterable[Definition], on: date) -> Definition | None:
    """The version under which an application that starts on day `on` falls."""
    return next((one for one in versions if one.valid_on(on)), None)


def speaks_of_vat(definition: Definition) -> bool:
    """Whether it sells what is taxed or exempt: such invoices name the seller's VAT number."""
    products = definition.catalogue.products if definition.catalogue else ()
    return any(product.vat.category is not VatCategory.OUTSIDE_SCOPE for product in products)


def parse(text: str, file: str) -> Definition:
    """As `load`, from text; `file` is how faults name it."""
    return read(text, file).definition


def read(text: str, file: str) -> Reading:
    """As `parse`, knowing what stands where. Takes about a second of computing for 100 kB."""
    try:
        definition, places = _understood(text)
    except DefinitionError as error:
        raise DefinitionError([replace(fault, file=file) for fault in error.faults]) from error
    return Reading(definition, file, places)


@lru_cache(maxsize=KEPT)
def _understood(text: str) -> tuple[Definition, dict[str, tuple[int, int]]]:
    """The same text says the same: whoever reads it again need not wait for it. Faults name no file."""
    page = _Page("")
    data = _mapping_in(page, text)
    definition, sections = _shape(data, page)
    try:
        with patience(MAX_SECONDS):
            for place, reason in proofread(definition, sections):
                page.complain(place, reason)
    except TooLong:
        page.complain((), "takes too long to look through: its patterns or its conditions are too heavy")
    if page.faults:
        raise DefinitionError(page.faults)
    return definition.marked(source=text, sha256=_digest(data)), page.parts()


def as_json(definition: Definition) -> str:
    """What it says, for `from_json`: no more than its file says, in the same order; amounts stay exact."""
    said = definition.model_dump(by_alias=True, exclude_unset=True)
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return {_DECIMAL: str(value)}
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a definition holds no {type(value).__name__}")


def _exact(value: dict[str, Any]) -> object:
    return Decimal(value[_DECIMAL]) if value.keys() == {_DECIMAL} else value


_DECIMAL = "$decimal"


def from_json(content: str, *, source: str, sha256: str) -> Definition:
    """What was published, maybe by an older Loket: proofreading was done then.

    Raises:
        DefinitionError: it does not have the shape of a procedure any more.
    """
    try:
        definition = Definition.model_validate(json.loads(content, object_hook=_exact))
    except ValidationError as error:
        reasons = [_reason(one["type"], one["loc"], one["msg"]) for one in error.errors()]
        raise DefinitionError([Fault("", 1, 1, reason) for reason in reasons]) from error
    return definition.marked(source=source, sha256=sha256)


def _mapping_in(page: "_Page", text: str) -> dict[str, Any]:
    data = page.read(text)
    if not page.faults and not isinstance(data, dict):
        page.complain((), "a procedure file is a list of words with values (key: …)")
    if not isinstance(data, dict):
        raise DefinitionError(page.faults)
    page.unread = frozenset(page.complained)
    return data


def _digest(data: dict[str, Any]) -> str:
    content = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _shape(data: dict[str, Any], page: "_Page") -> tuple[Definition, frozenset[str]]:
    """The definition, or as much of it as has the right shape, and which parts those are.

    A fault in one part does not hide what is wrong in another.
    """
    try:
        return Definition.model_validate(data), frozenset(Definition.model_fields)
    except ValidationError as error:
        wrong = set()
        for one in error.errors():
            wrong.add(one["loc"][0] if one["loc"] else "")
            page.complain(one["loc"], _reason(one["type"], one["loc"], one["msg"]))
    sound: dict[str, Any] = {}
    for name, info in Definition.model_fields.items():
        if name in data and name not in wrong:
            kind: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
            sound[name] = TypeAdapter(kind).validate_python(data[name])
        elif name not in data and not info.is_required():
            sound[name] = info.get_default(call_default_factory=True)
    return Definition.model_construct(**sound), frozenset(sound)


_MUST_BE = {
    "string_type": 'must be text: write it in quotes, as "0123"',
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("decimal_type", "decimal_parsing"), "must be a number, with a point: 12.50"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list: [one, another]"),
    **dict.fromkeys(("dict_type", "model_type"), "must be a group of words with values"),
}
"""What is asked, in the words of who writes the file."""


def _reason(kind: str, place: Place, message: str) -> str:
    word = str(place[-1]) if place else ""
    match kind:
        case "extra_forbidden" if word.isdigit():
            return f"'{word}' is not known here; an amount is written with a point: 12.{word}"
        case "missing":
            return f"'{word}' is missing"
        case "extra_forbidden":
            return f"'{word}' is not known here"
        case _:
            # a step in brackets, or of a type, stands in no file: it is one of the kinds that it may be of
            steps = (str(step) for step in place)
            where = ".".join(step for step in steps if "[" not in step and step != "constrained-str")
            return f"{where}: {_MUST_BE.get(kind, f'{message[0].lower()}{message[1:]}')}"


# --- YAML with places -------------------------------------------------------------------------

_WHOLE = re.compile(r"[-+]?[0-9]{1,9}")
_EXACT = re.compile(r"[-+]?\d{1,9}\.\d{1,9}")
"""What is longer is no number that a procedure counts with."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Escaped they pass YAML; no database keeps them and no answer carries them."""
_UNREADABLE = "a character stands in it that nobody can read"
_STANDARD = "tag:yaml.org,2002:"


@dataclass
class _Page:
    """One file: its data, where each part of it stands, and what is wrong."""

    file: str
    faults: list[Fault] = field(default_factory=list)
    complained: set[Place] = field(default_factory=set)
    """Where something is wrong."""
    unread: frozenset[Place] = frozenset()
    """Where what stands could not be read: there is no more to say of it."""
    _places: dict[Place, tuple[int, int]] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)

    def complain(self, place: Place, reason: str) -> None:
        """At `place`, or at the nearest thing around it that stands in the file."""
        if any(place[:length] in self.unread for length in range(1, len(place) + 1)):
            return
        self.complained.add(place)
        while place and place not in self._places:
            place = place[:-1]
        line, column = self._places.get(place, (1, 1))
        self.faults.append(Fault(self.file, line, column, reason))

    def parts(self) -> dict[str, tuple[int, int]]:
        return {str(place[0]): at for place, at in self._places.items() if len(place) == 1}

    def read(self, text: str) -> object:
        if len(text.encode()) > MAX_BYTES:
            self.complain((), f"larger than {MAX_BYTES} bytes")
            return None
        try:
            node = YAML(typ="safe", pure=True).compose(text)
        except MarkedYAMLError as fault:
            mark = fault.problem_mark or fault.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self.faults.append(Fault(self.file, line, column, f"not YAML: {fault.problem or fault.context}"))
            return None
        except YAMLError as fault:
            self.complain((), f"not YAML: {' '.join(str(fault).split())[:200]}")
            return None
        except RecursionError:
            self.complain((), "nested too deep")
            return None
        return self._value(node, ())

    def _value(self, node: Node | None, place: Place) -> object:
        if node is None:
            return None
        self._places.setdefault(place, _at(node))
        if id(node) in self._seen or node.anchor:
            self.complain(place, "anchors and aliases (& and *) are not read here: write it out")
            return None
        self._seen.add(id(node))
        if len(place) > MAX_DEPTH:
            self.complain(place, "nested too deep")
            return None
        if isinstance(node, MappingNode) and node.tag == f"{_STANDARD}map":
            return self._mapping(node, place)
        if isinstance(node, SequenceNode) and node.tag == f"{_STANDARD}seq":
            return [self._value(one, (*place, index)) for index, one in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, place)
        self.complain(place, f"the tag {node.tag} is not read here")
        return None

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.complain(place, "a key must be a word")
                continue
            key = str(key_node.value)
            if _UNSEEN.search(key):
                self.complain(place, _UNREADABLE)
                continue
            there = (*place, key)
            if key in found:
                first = self._places[there][0]
                self.faults.append(
                    Fault(self.file, *_at(key_node), f"'{key}' stands twice (first on line {first})")
                )
                continue
            self._places[there] = _at(key_node)
            found[key] = self._value(value_node, there)
        return found

    def _scalar(self, node: ScalarNode, place: Place) -> object:
        text = str(node.value)
        match str(node.tag).removeprefix(_STANDARD):
            case "str" if _UNSEEN.search(text):
                self.complain(place, _UNREADABLE)
                return None
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" if _WHOLE.fullmatch(text):
                return int(text)
            case "float" if _EXACT.fullmatch(text):
                return Decimal(text)
            case "timestamp" if _DAY.fullmatch(text):
                try:
                    return date.fromisoformat(text)
                except ValueError:
                    self.complain(place, f"{text} is not a day")
                    return None
            case _:
                self.complain(
                    place, f"'{text[:40]}' is not a number, a day (2026-01-31), or text: put text in quotes"
                )
                return None


def _at(node: Node) -> tuple[int, int]:
    mark = node.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
