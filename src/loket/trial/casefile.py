"""A case on paper: what is filled in, what everybody else would say, and what must come of it.

It is tried dry (`simulation`): in the API, or from a file that `loket simulate` reads. A word that is not
known here is a fault that names it.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from loket.definition import Definition
from loket.errors import ErrorCode, ManyRefused, Refused
from loket.lifecycle import EventType, Status
from loket.records import Channel, Json
from loket.rules import Outcome

MAX_BYTES = 200_000
"""Of a case file, and of what a client sends of one."""
_Few = Field(max_length=100)
_Word = Annotated[str, Field(max_length=200)]


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class CartLine(Shape):
    """So many of a product."""

    product: _Word
    quantity: Annotated[int, Field(gt=0, le=1000)] = 1
    options: dict[str, int] = Field(default_factory=dict, max_length=100)
    """Option → how many."""


class Filled(Shape):
    """What is handed in."""

    answers: dict[str, Any] = Field(default_factory=dict)
    """What is not said here is filled in: what a source prefills from the facts, the rest by sample."""
    cart: Annotated[tuple[CartLine, ...], _Few] | None = None
    """Not said: one of the first product; none where nothing is sold."""
    documents: Annotated[tuple[_Word, ...], _Few] | None = None
    """Kinds of papers that are sent along. Not said: one of each that can be required."""
    channel: Channel = Channel.ONLINE
    language: Literal["nl", "fr", "en", "de"] = "nl"
    """The citizen's own."""
    submitted_on: date | None = None
    """Not said: today."""
    complete: bool = True
    """Whether a sample stands in for what is not answered."""


class Applicant(Shape):
    """Who asks, as the National Register has them."""

    given_name: _Word = "An"
    family_name: _Word = "Voorbeeld"
    age: Annotated[int, Field(ge=0, le=129)] = 40
    """On the day of submission."""
    nis: Annotated[str, Field(pattern=r"^\d{5}$")] | None = None
    """Municipality of domicile; not said: ours."""
    resident_since: date | None = None
    """At this address; not said: for ten years."""
    deceased: bool = False
    street: _Word = "Dorpsplein"
    number: _Word = "1"
    postal_code: _Word | None = None
    city: _Word | None = None
    email: _Word | None = "an.voorbeeld@example.org"
    phone: _Word | None = "+32470123456"
    by_sms: bool = True
    by_letter: bool = False
    """Asked for letters in the place of e-mails and text messages."""


class Household(Shape):
    members: Annotated[int, Field(ge=1, le=50)] = 1
    """The applicant included; at least as many as there are children and one."""
    children: Annotated[tuple[Annotated[int, Field(ge=0, le=25)], ...], Field(max_length=20)] = ()
    """Their ages on the day of submission."""


class Facts(Shape):
    """What everybody else would say. Not said: an adult resident, and a yes from each who is asked."""

    applicant: Applicant = Applicant()
    household: Household = Household()
    sources: Literal["ANSWER", "DOWN"] = "ANSWER"
    """DOWN: the authentic sources give no answer, and a handler goes on without."""
    ordered_this_year: dict[str, Annotated[int, Field(ge=0, le=1000)]] = Field(
        default_factory=dict, max_length=100
    )
    """By the household, of each product, in other cases."""
    ordered_ever: dict[str, Annotated[int, Field(ge=0, le=1000)]] = Field(
        default_factory=dict, max_length=100
    )
    """At least what was ordered this year."""
    handed_in_before: bool = False
    """Whether the same was handed in an hour earlier, and is open still."""
    claims: dict[str, Literal["FREE", "TAKEN"]] = Field(default_factory=dict, max_length=100)
    """Of a benefit: TAKEN where another case has it for the year."""
    checks: dict[str, Literal["MET", "NOT_MET", "UNKNOWN"]] = Field(default_factory=dict, max_length=100)
    """What each look-up comes to; not said: MET."""
    advices: dict[str, Literal["POSITIVE", "NEGATIVE", "CONDITIONAL", "NO_REACTION"]] = Field(
        default_factory=dict, max_length=100
    )
    """What each adviser says; not said: POSITIVE."""
    admissible: Literal["YES", "NO", "WAIT"] = "YES"
    """What a handler says who is asked."""
    decision: Literal["PROPOSED", "GRANTED", "PARTLY", "REFUSED", "POSTPONED", "WAIT"] = "PROPOSED"
    """PROPOSED: as the rules say; granted where they leave it to a person. POSTPONED: at a later meeting."""
    payment: Literal["PAID", "PART", "UNPAID", "WAIT"] = "PAID"
    """PART: half of it, and no more. UNPAID: the deadlines pass."""
    slot: Literal["CHOSEN", "NOT_CHOSEN", "WAIT"] = "CHOSEN"
    delivery: Literal["DELIVERED", "MISSED", "WAIT"] = "DELIVERED"
    """MISSED: nobody was there the first time."""
    payout: Literal["EXECUTED", "REJECTED", "RETURNED", "WAIT"] = "EXECUTED"
    co_applicant: Literal["CONFIRMED", "REFUSED", "LAPSED", "WAIT"] = "CONFIRMED"
    deadlines: Literal["PASS", "STOP"] | None = None
    """PASS: where nobody acts the deadlines pass, and after the end those that go on. STOP: none passes. Not
    said: they pass where a fact says that somebody does nothing (UNPAID, NOT_CHOSEN, NO_REACTION, LAPSED)."""


class Expected(Shape):
    """What must come of it; what is not said is not looked at."""

    outcome: Status | None = None
    """The status in which the case is in the end."""
    amount: Decimal | None = None
    """EUR: what is to be paid, or what is granted."""
    statuses: tuple[Status, ...] | None = None
    """All through which it goes, in order."""
    events: tuple[EventType, ...] = ()
    """Those that must happen, in this order; others may happen between them."""
    messages: tuple[EventType, ...] | None = None
    """About what the citizen is written to, in order."""
    dosis: tuple[str, ...] | None = None
    """The codes that DOSIS gets, in order."""
    rules: dict[str, Outcome] = Field(default_factory=dict)
    """What rules come to."""


class CaseFile(Shape):
    """A case to be tried, and what is expected of it."""

    title: _Word = ""
    application: Filled = Filled()
    facts: Facts = Facts()
    expect: Expected = Expected()


def read(path: Path) -> CaseFile:
    """A case out of a YAML file.

    Raises:
        ManyRefused: every word that is not known, and every value that cannot be.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    if len(content) > MAX_BYTES:
        _refuse("", f"{path} is larger than {MAX_BYTES} bytes")
    try:
        told = YAML(typ="safe", pure=True).load(content.decode("utf-8"))
    except (YAMLError, UnicodeDecodeError, RecursionError) as fault:
        _refuse("", f"{path} is not YAML: {' '.join(str(fault).split())[:300]}")
    return of(told or {})


def of(told: object) -> CaseFile:
    """A case out of plain data. Raises `ManyRefused`, as `read`."""
    try:
        return CaseFile.model_validate(told)
    except ValidationError as error:
        raise ManyRefused([_fault(one["type"], one["loc"], one["msg"]) for one in error.errors()]) from error


def check(case: CaseFile, definition: Definition) -> None:
    """Do the facts speak of what this procedure has?

    Raises:
        ManyRefused: naming each that does not, and what there is.
    """
    facts = case.facts
    products = [one.key for one in definition.catalogue.products] if definition.catalogue else []
    named: list[tuple[str, Iterable[str], list[str]]] = [
        ("facts.checks", facts.checks, [one.key for one in definition.checks]),
        ("facts.advices", facts.advices, [one.key for one in definition.advisers]),
        ("facts.claims", facts.claims, [one.key for one in definition.benefits]),
        ("facts.ordered_this_year", facts.ordered_this_year, products),
        ("facts.ordered_ever", facts.ordered_ever, products),
        (
            "application.documents",
            case.application.documents or (),
            [one.key for one in definition.documents],
        ),
    ]
    faults = [
        Refused(
            ErrorCode.VALIDATION,
            path=[*place.split("."), one],
            reason=f"the procedure has no '{one}'; it has: {', '.join(known) or 'none'}",
        )
        for place, names, known in named
        for one in names
        if one not in known
    ]
    if faults:
        raise ManyRefused(faults)


def merged(sample: Mapping[str, Any], said: Mapping[str, Any]) -> Json:
    """`sample`, with all that was really said in its place."""
    whole = dict(sample)
    for key, value in said.items():
        inner = whole.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            whole[key] = merged(inner, value)
        else:
            whole[key] = _plain(value)
    return whole


def _plain(value: object) -> object:
    """As JSON has it: YAML reads days and exact amounts too."""
    match value:
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case date() | datetime():
            return value.isoformat()
        case Decimal():
            return float(value)
        case _:
            return value


def _fault(kind: str, place: tuple[str | int, ...], message: str) -> Refused:
    path = [str(step) for step in place]
    if kind == "extra_forbidden":
        known = ", ".join(_words_at(place[:-1]))
        return Refused(
            ErrorCode.VALIDATION, path=path, reason=f"'{path[-1]}' is not known; there are: {known}"
        )
    reason = "must be a list" if kind == "tuple_type" else f"{message[:1].lower()}{message[1:]}"
    return Refused(ErrorCode.VALIDATION, path=path, reason=f"{'.'.join(path)}: {reason}")


def _words_at(place: tuple[str | int, ...]) -> list[str]:
    """What can be said there."""
    shape: Any = CaseFile
    for step in place:
        if isinstance(step, int):
            shape = CartLine
            continue
        shape = shape.model_fields[step].annotation if step in shape.model_fields else CartLine
        if not (isinstance(shape, type) and issubclass(shape, Shape)):
            shape = CartLine
    return list(shape.model_fields)


def _refuse(place: str, reason: str) -> NoReturn:
    raise ManyRefused([Refused(ErrorCode.VALIDATION, path=[place] if place else [], reason=reason)])
