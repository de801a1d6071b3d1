"""What an applicant filled in, checked against the form: every fault at once, with its place, in plain words.

A form is JSON Schema 2020-12. Patterns run on a linear-time engine and the input is bounded before anything
is checked, so no answer can keep the process busy. Messages never repeat what was typed.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import phonenumbers
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from stdnum.be import vat
from stdnum.exceptions import ValidationError as StdnumError

from loket import formfields
from loket.definition import Definition, Form
from loket.errors import ErrorCode
from loket.expressions import cel
from loket.numbers import national_number
from loket.sepa import Unpayable, check_iban

MAX_DEPTH = 8
MAX_VALUES = 1_000
MAX_TEXT = 5_000
"""Characters in one answer or field name, whatever the schema allows."""
SHOWN = 60
"""Characters of a field name that a fault repeats."""
_OTHER = 1_000


@dataclass(frozen=True)
class FieldFault:
    """One thing that is wrong; `path` leads to the field: ["delivery", "street"]."""

    path: list[str]
    code: ErrorCode
    message: str


def validate_answers(
    definition: Definition, answers: object, language: str, *, complete: bool = True
) -> list[FieldFault]:
    """Every fault of `answers`, in the order of the form; empty when there is none.

    With `complete=False` (a draft being saved) what is still missing is no fault. What stands in a part of
    the form that is not asked now is none either: `asked` leaves it out.
    """
    too_large = _out_of_bounds(answers)
    if too_large is not None:
        return [_fault(too_large, ErrorCode.TOO_LARGE, "size", language, limit=str(MAX_VALUES))]
    answers = asked(definition.form, answers)
    found: dict[tuple[tuple[str, ...], str], FieldFault] = {}
    for path, keyword, schema, values in _faults(definition.form, answers):
        if keyword in _ABSENCE and not complete:
            continue
        code = ErrorCode.REQUIRED if keyword in _ABSENCE else ErrorCode.VALIDATION
        own = schema.get("x-message") if keyword not in _ABSENCE else None
        if isinstance(own, Mapping) and own.get("nl"):
            fault = FieldFault(list(path), code, str(own.get(language) or own["nl"]))
        else:
            fault = _fault(path, code, keyword, language, **values)
        found.setdefault((path, keyword), fault)
    unnamed = _unnamed_buyer(definition, answers) if complete else None
    if unnamed is not None:
        fault = _fault(unnamed, ErrorCode.REQUIRED, "dependentRequired", language)
        found.setdefault((unnamed, "required"), fault)
    return sorted(found.values(), key=lambda fault: _position(definition.form.json_schema, fault.path))


def asked(form: Form, answers: Any) -> Any:  # noqa: ANN401  # JSON
    """The answers without those of parts that are not asked, by what the others say."""
    return formfields.asked(form.json_schema, answers, _apart_in(form.json_schema))


def answered(answers: object, pointer: str) -> object:
    """What was answered at a JSON pointer; None where nothing was."""
    for step in pointer.strip("/").split("/"):
        answers = answers.get(step) if isinstance(answers, Mapping) else None
    return answers


def _unnamed_buyer(definition: Definition, answers: object) -> tuple[str, ...] | None:
    """Where the name is missing of an organisation that gave its number."""
    buyer = definition.payment.buyer if definition.payment else None
    if buyer is None or not str(answered(answers, buyer.enterprise_number) or "").strip():
        return None
    named = str(answered(answers, buyer.name) or "").strip()
    return None if named else tuple(buyer.name.strip("/").split("/"))


def form_in(form: Form, language: str) -> dict[str, Any]:
    """The JSON Schema with its texts in `language`, where the definition has them."""
    schema = copy.deepcopy(form.json_schema)
    for pointer, text in form.translations.get(language, {}).items():  # type: ignore[call-overload]  # any language
        *parents, last = pointer.strip("/").split("/")
        target: Any = schema
        for step in parents:
            target = target[int(step)] if isinstance(target, list) else target[step]
        target[int(last) if isinstance(target, list) else last] = text
    return schema


def _out_of_bounds(answers: object) -> tuple[str, ...] | None:
    """Where the answers are deeper, longer or more than anybody fills in."""
    seen = 0
    open_ends: list[tuple[tuple[str, ...], object]] = [((), answers)]
    while open_ends:
        path, value = open_ends.pop()
        seen += 1
        if seen > MAX_VALUES or len(path) > MAX_DEPTH or (isinstance(value, str) and len(value) > MAX_TEXT):
            return path[:MAX_DEPTH]
        if isinstance(value, Mapping):
            if len(value) > MAX_VALUES or any(len(str(key)) > MAX_TEXT for key in value):
                return path
            open_ends += [((*path, str(key)[:SHOWN]), one) for key, one in value.items()]
        elif isinstance(value, list):
            if len(value) > MAX_VALUES:
                return path
            open_ends += [((*path, str(index)), one) for index, one in enumerate(value)]
    return None


Found = tuple[tuple[str, ...], str, Mapping[str, Any], dict[str, str]]
"""Path, keyword, the schema that was broken, and what the message needs."""


def _faults(form: Form, answers: object) -> Iterator[Found]:
    checker = _Validator(form.json_schema, format_checker=FORMATS, registry=_ALONE)
    for error in checker.iter_errors(answers):
        yield from _unfold(error, (), form.json_schema)


def _apart_in(schema: Mapping[str, Any]) -> formfields.Holds:
    """How far an answer is from a part of the form: first by what can only be meant otherwise."""
    checker = _Validator(schema, format_checker=FORMATS, registry=_ALONE)

    def apart(part: object, answer: object) -> int:
        return _distance(list(checker.evolve(schema=part).iter_errors(answer)))

    return apart


def _distance(errors: list[ValidationError]) -> int:
    """Another value than the one that tells alternatives apart weighs more than all that is missing."""
    return sum(_OTHER if one.validator in {"const", "enum", "not"} else 1 for one in errors)


def _unfold(error: ValidationError, above: tuple[str, ...], form: Mapping[str, Any]) -> Iterator[Found]:
    """One error of the library as faults of fields; for alternatives, those of the nearest one."""
    path = (*above, *(str(step)[:SHOWN] for step in error.relative_path))
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    value: Any = error.instance
    expected: Any = error.validator_value
    keyword = str(error.validator)
    match keyword:
        case "required":
            for name in expected:
                if name not in value:
                    yield (*path, name), keyword, schema, {}
        case "dependentRequired":
            for trigger, names in expected.items():
                for name in names if trigger in value else ():
                    if name not in value:
                        yield (*path, name), keyword, schema, {}
        case "additionalProperties" | "unevaluatedProperties":
            known = schema.get("properties", {})
            if keyword == "unevaluatedProperties":
                known = formfields.active(form, schema, value, _apart_in(form))
            for name in value:
                if name not in known:
                    yield (*path, str(name)[:SHOWN]), keyword, schema, {}
        case "anyOf" | "oneOf" if error.context:
            branches: dict[object, list[ValidationError]] = {}
            for one in error.context:
                branches.setdefault(one.relative_schema_path[0], []).append(one)
            choices = [one.get("const") for one in expected if isinstance(one, Mapping)]
            if None not in choices:
                yield path, "enum", schema, {"limit": ", ".join(str(one) for one in choices[:12])}
                return
            for one in min(branches.values(), key=_distance):
                yield from _unfold(one, path, form)
        case "minLength" if value == "":
            yield path, "empty", schema, {}
        case _:
            yield path, keyword, schema, _values(keyword, error)


def _values(keyword: str, error: ValidationError) -> dict[str, str]:
    expected: Any = error.validator_value
    match keyword:
        case "enum":
            return {"limit": ", ".join(str(one) for one in expected[:12])}
        case "type":
            return {"kind": expected if isinstance(expected, str) else "any"}
        case "format":
            return {"kind": str(expected)}
        case "minLength" | "maxLength":
            return {"limit": str(expected), "actual": str(len(str(error.instance)))}
        case "const":
            return {"kind": "true" if expected is True else "any"}
        case _:
            return {"limit": str(expected)} if isinstance(expected, int | float | str) else {}


def _position(schema: Mapping[str, Any], path: list[str]) -> tuple[int, ...]:
    """The order of the fields in the form, so that faults read from top to bottom."""
    order: list[int] = []
    here: list[Any] = [schema]
    for step in path:
        known: dict[str, list[Mapping[str, Any]]] = {}
        for one in here:
            for name, several in formfields.fields_of(schema, one).items():
                known.setdefault(name, []).extend(several)
        order.append(
            list(known).index(step) if step in known else int(step) if step.isdigit() else len(known)
        )
        items = [formfields.resolved(schema, one["items"]) for one in here if "items" in one]
        here = known.get(step, []) or [one for one in items if isinstance(one, Mapping)]
    return tuple(order)


# --- formats ----------------------------------------------------------------------------------

FORMATS = FormatChecker(formats=())
"""The formats that a form may use; each is really checked."""

NATIONAL_NUMBER = "national-number"
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_E164 = re.compile(r"\+[1-9]\d{6,14}")


def _format(name: str) -> Callable[[Callable[[str], bool]], Callable[[str], bool]]:
    def register(check: Callable[[str], bool]) -> Callable[[str], bool]:
        FORMATS.checks(name)(lambda value: not isinstance(value, str) or check(value))
        return check

    return register


@_format("email")
def is_email(text: str) -> bool:
    return len(text) <= 254 and _EMAIL.fullmatch(text) is not None and ".." not in text and ".@" not in text


@_format("date")
def is_day(text: str) -> bool:
    """A day that exists, written 2026-11-27."""
    if _DAY.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@_format("phone")
def is_phone(text: str) -> bool:
    """E.164: +32470123456, of a length that exists in that country."""
    if _E164.fullmatch(text) is None:
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(text, None))
    except phonenumbers.NumberParseException:
        return False


@_format("iban")
def is_iban(text: str) -> bool:
    """An account that a SEPA transfer reaches, as the one who pays it checks it."""
    try:
        check_iban(text)
    except Unpayable:
        return False
    return True


@_format("enterprise-number")
def is_enterprise_number(text: str) -> bool:
    """A number of the Crossroads Bank for Enterprises (KBO), with or without points; or nothing at all."""
    return not text.strip() or enterprise_number(text) is not None


def enterprise_number(text: str) -> str | None:
    """Ten bare digits, of which the last two check the others; None for what is no such number."""
    try:
        return str(vat.validate(text))
    except StdnumError:
        return None


@_format(NATIONAL_NUMBER)
def is_national_number(text: str) -> bool:
    """A number of the National Register or the Crossroads Bank, with or without points; or nothing at all."""
    return not text.strip() or national_number(text) is not None


# --- patterns ---------------------------------------------------------------------------------


_MATCHER = cel.compile("text.matches(pattern)")


def matches(text: str, pattern: str) -> bool:
    """Whether `pattern` occurs in `text`, in linear time (Rust's regular expressions: no look-around).

    Raises:
        ValueError: the pattern is not one.
    """
    try:
        return bool(_MATCHER.execute({"text": text, "pattern": pattern}))
    except RuntimeError as fault:
        raise ValueError(str(fault)) from fault


def _pattern(
    _validator: object, pattern: str, instance: object, _schema: object
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not matches(instance, pattern):
        yield ValidationError("does not match")


_Validator = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]  # its stubs
_ALONE: Registry[Any] = Registry()
"""What a form can refer to beside itself: nothing; the library's own would fetch it."""

# --- wording ----------------------------------------------------------------------------------

_ABSENCE = frozenset({"required", "dependentRequired", "empty"})

_MESSAGES: dict[str, tuple[str, str]] = {
    "required": ("Vul dit in.", "Please fill this in."),
    "dependentRequired": ("Vul dit ook in.", "Please fill this in too."),
    "empty": ("Vul dit in.", "Please fill this in."),
    "size": (
        "Dit is te groot: een formulier heeft hoogstens {limit} velden.",
        "This is too large: a form has at most {limit} fields.",
    ),
    "enum": ("Kies een van deze: {limit}.", "Choose one of these: {limit}."),
    "const/true": ("Vink dit aan om verder te gaan.", "Tick this to go on."),
    "minLength": (
        "Gebruik minstens {limit} tekens (nu {actual}).",
        "Use at least {limit} characters (now {actual}).",
    ),
    "maxLength": (
        "Gebruik hoogstens {limit} tekens (nu {actual}).",
        "Use at most {limit} characters (now {actual}).",
    ),
    "pattern": ("Dit heeft niet de juiste vorm.", "This does not have the right form."),
    "minimum": ("Dit moet minstens {limit} zijn.", "This must be at least {limit}."),
    "maximum": ("Dit mag hoogstens {limit} zijn.", "This must be at most {limit}."),
    "exclusiveMinimum": ("Dit moet meer dan {limit} zijn.", "This must be more than {limit}."),
    "exclusiveMaximum": ("Dit moet minder dan {limit} zijn.", "This must be less than {limit}."),
    "multipleOf": ("Dit moet een veelvoud van {limit} zijn.", "This must be a multiple of {limit}."),
    "minItems": ("Geef er minstens {limit}.", "Give at least {limit}."),
    "maxItems": ("Geef er hoogstens {limit}.", "Give at most {limit}."),
    "uniqueItems": ("Hier staat iets dubbel.", "Something stands here twice."),
    "additionalProperties": ("Het formulier kent dit veld niet.", "The form does not know this field."),
    "unevaluatedProperties": ("Het formulier kent dit veld niet.", "The form does not know this field."),
    "type/string": ("Dit moet tekst zijn.", "This must be text."),
    "type/integer": ("Dit moet een geheel getal zijn.", "This must be a whole number."),
    "type/number": ("Dit moet een getal zijn.", "This must be a number."),
    "type/boolean": ("Kies ja of nee.", "Choose yes or no."),
    "type/array": ("Dit moet een lijst zijn.", "This must be a list."),
    "type/object": ("Dit moet een groep velden zijn.", "This must be a group of fields."),
    "format/email": (
        "Dit is geen e-mailadres. Voorbeeld: an@voorbeeld.be.",
        "This is not an e-mail address. Example: an@example.com.",
    ),
    "format/date": (
        "Dit is geen datum. Schrijf jaar-maand-dag, zoals 2026-11-27.",
        "This is not a date. Write year-month-day, like 2026-11-27.",
    ),
    "format/phone": (
        "Dit is geen telefoonnummer. Schrijf het met de landcode, zoals +32470123456.",
        "This is not a phone number. Write it with the country code, like +32470123456.",
    ),
    "format/iban": (
        "Dit is geen geldig rekeningnummer (IBAN). Kijk de cijfers na.",
        "This is not a valid account number (IBAN). Please check the digits.",
    ),
    "format/national-number": (
        "Dit is geen geldig rijksregisternummer. Schrijf het zoals 85.07.30-033.28 en kijk de cijfers na.",
        "This is not a valid national number. Write it like 85.07.30-033.28 and please check the digits.",
    ),
    "format/enterprise-number": (
        "Dit is geen geldig ondernemingsnummer. Schrijf het zoals 0207.500.123 en kijk de cijfers na.",
        "This is not a valid enterprise number. Write it like 0207.500.123 and please check the digits.",
    ),
}
_OTHERWISE = ("Deze waarde past hier niet.", "This value does not fit here.")


def _fault(path: tuple[str, ...], code: ErrorCode, keyword: str, language: str, **values: str) -> FieldFault:
    key = f"{keyword}/{values['kind']}" if "kind" in values else keyword
    texts = _MESSAGES.get(key) or _MESSAGES.get(keyword) or _OTHERWISE
    return FieldFault(list(path), code, texts[language == "en"].format_map(values))
