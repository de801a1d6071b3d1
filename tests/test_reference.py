"""The definition language as others read it: the reference, its examples, and the schema for editors."""

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter
from ruamel.yaml import YAML

import loket.definition
from loket import docstrings, procedure_schema, publishing, reference
from loket.definition import PLACEHOLDERS, Definition
from loket.lifecycle import EFFECT_EVENTS, EventType

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / reference.FOLDER
PAGE = (ROOT / reference.PAGE).read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
SHIPPED = [*sorted(FOLDER.glob("*.yaml")), Path(__file__).with_name("unknown.yaml")]
SCHEMA = json.loads((ROOT / reference.SCHEMA).read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)


def blocks(page: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def read(text: str) -> Any:  # noqa: ANN401  # what stands in a file
    return YAML(typ="safe", pure=True).load(text)


def as_an_editor_reads_it(value: Any) -> Any:  # noqa: ANN401  # what stands in a file
    """YAML as an editor's server has it: days are text."""
    if isinstance(value, dict):
        return {key: as_an_editor_reads_it(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_an_editor_reads_it(one) for one in value]
    return value.isoformat() if isinstance(value, date) else value


# --- the page ---------------------------------------------------------------------------------


def test_the_reference_is_what_the_code_says() -> None:
    assert reference.written(PAGE) == PAGE, "run `loket reference --write`"
    assert procedure_schema.text() == (ROOT / reference.SCHEMA).read_text("utf-8"), (
        "run `loket reference --write`"
    )


def test_a_page_that_is_behind_is_brought_up_to_date() -> None:
    old = PAGE.replace("| `version` |", "| `versie` |")
    assert old != PAGE == reference.written(old)


def test_every_table_stands_in_the_page_once() -> None:
    marks = re.findall(r"<!-- written: (.+?) -->", PAGE)
    assert sorted(marks) == sorted(reference.tables())


def parts(value: object) -> Iterator[BaseModel]:
    """A part of a definition, and all parts within it."""
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from parts(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from parts(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from parts(one)


def examples() -> Iterator[object]:
    """Each part of the page's examples, read as publishing reads it."""
    fields = Definition.model_fields
    for block in blocks(PAGE):
        for key, value in read(block).items():
            kind: Any = fields[key].annotation
            if fields[key].metadata:
                kind = Annotated[kind, *fields[key].metadata]
            yield key
            yield TypeAdapter(kind).validate_python(value)


def test_every_key_has_an_example_that_can_be_read() -> None:
    found = list(examples())
    used = {("Definition", key) for key in found if isinstance(key, str)}
    for value in found:
        used |= {(type(one).__name__, name) for one in parts(value) for name in one.model_fields_set}
    for name in loket.definition.__all__:
        part = getattr(loket.definition, name)
        if isinstance(part, type) and issubclass(part, BaseModel) and part is not loket.definition.Shape:
            missing = [key for key in part.model_fields if (name, key) not in used]
            assert not missing, f"the page has no example of {missing} of {name}"


def test_every_event_placeholder_and_fact_is_explained() -> None:
    for event in set(EventType) - EFFECT_EVENTS:
        assert f"| `{event}` |" in PAGE
    for name in PLACEHOLDERS:
        assert f"| `{{{name}}}` |" in PAGE
    for fact in ("applicant.address.nis", "household.children[…].age", "answer.household_income"):
        assert f"| `{fact}` |" in PAGE


@pytest.mark.parametrize(("page", "folder"), [(PAGE, FOLDER), (README, ROOT)], ids=["reference", "README"])
def test_no_link_leads_nowhere(page: str, folder: Path) -> None:
    def anchors(text: str) -> set[str]:
        heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}

    for path, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)#?([^)\s]*)\)", page):
        target = folder / path if path else folder
        assert target.exists(), path
        if anchor:
            there = target.read_text("utf-8") if path else page
            assert anchor in anchors(there), f"{path}#{anchor}"


# --- the procedure in the README --------------------------------------------------------------


def test_the_procedure_in_the_readme_is_whole() -> None:
    (whole,) = [block for block in blocks(README) if block.startswith("key: ")]
    definition = publishing.parse(whole, "nest-box.yaml")
    assert len(whole.splitlines()) <= 120
    assert not list(VALIDATOR.iter_errors(as_an_editor_reads_it(read(whole))))
    assert [str(stage) for stage in definition.stages] == ["screening", "decision"]


def test_the_faults_in_the_readme_are_those_that_are_found() -> None:
    (whole,) = [block for block in blocks(README) if block.startswith("key: ")]
    told = re.findall(r"^procedures/nest-box.yaml:(\d+):(\d+): (.+)$", README, re.MULTILINE)
    wrong = whole.replace("applicant.address.nis", "applicant.address.nes").replace(
        "dosis:\n", "dosis:\n  PAID: {code: Betaald, phase: Uitvoering}\n"
    )
    with pytest.raises(publishing.DefinitionError) as refused:
        publishing.parse(wrong, "procedures/nest-box.yaml")
    assert [(str(one.line), str(one.column), one.reason) for one in refused.value.faults] == told


# --- the schema for editors -------------------------------------------------------------------


def test_the_schema_is_one_and_explains_every_key() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    shapes = {"whole": SCHEMA, **SCHEMA["$defs"]}
    keys = {name: shape["properties"] for name, shape in shapes.items() if "properties" in shape}
    assert len(keys) > 45
    for name, properties in keys.items():
        for key, one in properties.items():
            assert one.get("description"), f"{name}.{key}"


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_what_is_shipped_fits_the_schema_and_names_it(path: Path) -> None:
    text = path.read_text("utf-8")
    faults = [error.message for error in VALIDATOR.iter_errors(as_an_editor_reads_it(read(text)))]
    assert faults == []
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named is not None, f"{path.name} does not begin with the line by which editors find the schema"
    assert (path.parent / named[1]).resolve() == (ROOT / reference.SCHEMA).resolve()


BROKEN = {
    "unknown word": ("reference_prefix: CB", "reference_prefix: CB\ncolour: blue"),
    "missing word": ("reference_prefix: CB", ""),
    "unknown word within": ("keep_days: 30", "keep_weeks: 4"),
    "not a number": ("version: 1", "version: one"),
    "out of bounds": ("alarm_days: 5", "alarm_days: -5"),
    "unknown stage": ("stages: [screening, decision, payment", "stages: [screening, decision, paying"),
    "unknown event": ("    REFUNDED:\n", "    REFUNDD:\n"),
    "unknown source": ("source: contact.email", "source: contact.mail"),
    "unknown code": ("code: Ingediend", "code: Binnen"),
    "no Dutch": ("title: {nl: Compostbak of compostvat kopen, en:", "title: {fr: Compostbac, en:"),
    "an amount in words": ("amount: 40.00", "amount: forty"),
    "no prefix": ("reference_prefix: CB", "reference_prefix: cb"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_editor_underlines_what_has_the_wrong_shape(name: str) -> None:
    text = (FOLDER / "compost-bin.yaml").read_text("utf-8")
    old, new = BROKEN[name]
    assert old in text
    wrong = read(text.replace(old, new, 1))
    assert list(VALIDATOR.iter_errors(as_an_editor_reads_it(wrong)))


def test_docstrings_of_parents_are_read_too() -> None:
    said = docstrings.of_attributes(loket.definition.DefaultNotice)
    assert "after the due date" in said["after_days"]
    assert "registered letter" in said["registered"]
