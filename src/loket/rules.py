"""Rules in CEL over a documented set of facts: yes, no, or REFER to a person.

A rule never guesses. A fact that is missing is absent, so a rule that needs it ends in REFER; so does a rule
that reads facts without a source behind them (MAGDA was down, the form was filled in by hand). What is not
known yet (a check that runs or failed, advice that is awaited, a claim that could not be made) is tried with
each value that it can still get: only an answer that is the same whatever comes is an answer. So no rule,
however it is written, refuses or grants because a source was silent.

A rule cannot run long: its text is at most 600 characters, `factcheck` lets it go over at most two lists of
facts, no list is longer than `MAX_LIST`, no more than `MAX_WORLDS` combinations are tried, and the patterns
of `matches` take linear time.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from functools import lru_cache
from itertools import islice, product
from typing import Any

from loket.definition import Rule, Text
from loket.expressions import cel

MAX_LIST = 100
"""Entries of one list or map among the facts; with more, a person looks."""
MAX_WORLDS = 256
"""Combinations of what is not known yet, that are tried; with more, a person looks."""
REFER = "REFER"


# --- the facts --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Address:
    """Domicile according to the National Register."""

    street: str | None = None
    """Name of the street."""
    number: str | None = None
    """House number."""
    box: str | None = None
    """Box number, where there is one."""
    postal_code: str | None = None
    """Four digits."""
    city: str | None = None
    """Name of the municipality."""
    nis: str | None = None
    """NIS code of the municipality of domicile, five digits."""


@dataclass(frozen=True)
class Applicant:
    sourced: bool = False
    """True when the facts below come from MAGDA; else rules that read them refer."""
    age: int | None = None
    """In whole years, on `today`."""
    deceased: bool | None = None
    """Whether the register reports a death."""
    address: Address = Address()
    """Where they are domiciled."""
    resident_since: date | None = None
    """Since when they live at this address."""
    resident_on_reference_date: bool | None = None
    """Domiciled in the municipality on `reference_date`. Unknown where they moved after it: the register
    tells the present address only."""


@dataclass(frozen=True)
class Child:
    """A son or daughter in the household, in whole years."""

    age: int | None = None
    """On `today`."""
    age_on_reference_date: int | None = None
    """On `reference_date`."""


@dataclass(frozen=True)
class Household:
    """The persons with the same domicile who form one household, according to the National Register."""

    sourced: bool = False
    """True when the facts below come from MAGDA; else rules that read them refer."""
    members: int | None = None
    """How many, the applicant included."""
    ordered_this_year: Mapping[str, int] = field(default_factory=dict)
    """Per product of the catalogue, 0 included: units in other cases of this calendar year, those refused or
    stopped left out."""
    ordered_ever: Mapping[str, int] = field(default_factory=dict)
    """The same, of all years."""
    children: Sequence[Child] | None = None
    """Sons and daughters younger than 26, where the applicant is the household's reference person or the
    partner of that person; else there are none."""
    dependants: float | None = None
    """How many of `children` were younger than 18 on `reference_date`; multiplies with `tables`.

    Assumed to be the dependent children (kinderen ten laste) of a regulation: who really depends on whom
    stands on an assessment that is a year or two older.
    """


@dataclass(frozen=True)
class CartLine:
    product: str
    """Key of the product."""
    quantity: int
    """How many."""
    options: Mapping[str, int] = field(default_factory=dict)
    """Option key → how many on this line."""


@dataclass(frozen=True)
class Quota:
    """Whether the cart and what the household ordered before stay within the catalogue's maximum."""

    sourced: bool = False
    """True when the household is known from MAGDA; else rules that read it refer."""
    within_maximum: bool | None = None
    """Whether they do."""


@dataclass(frozen=True)
class Municipality:
    nis: str
    """NIS code, five digits."""
    name: str = ""
    """As it is set."""
    postal_code: str = ""
    """Four digits."""


@dataclass(frozen=True)
class Facts:
    """All that a rule can read. What is None is unknown: absent for the rule."""

    municipality: Municipality
    """Whose procedure it is."""
    today: date
    """Day of evaluation in Belgium; in CEL a timestamp at midnight UTC."""
    channel: str
    """ONLINE or COUNTER."""
    application: Mapping[str, Any] = field(default_factory=dict)
    """The answers, in the shape of the form."""
    applicant: Applicant = Applicant()
    """Who applied, as the National Register knows them."""
    household: Household = Household()
    """With whom they live."""
    cart: Sequence[CartLine] = ()
    """What was ordered, a line per product."""
    quota: Quota = Quota()
    """Whether that stays within what one may order."""
    sources_complete: bool = False
    """True when every source that was asked has answered."""
    reference_date: date | None = None
    """The day on which the conditions are looked at; in CEL a timestamp at midnight UTC."""
    window_open: bool | None = None
    """Whether it was handed in while applications were taken; unknown where the procedure has no window."""
    tables: Mapping[str, float] = field(default_factory=dict)
    """Of each table the number that holds on `reference_date`."""
    checks: Mapping[str, str] = field(default_factory=dict)
    """Of each check that was asked: MET or NOT_MET. A rule sees REPLACED (by a document) as MET; RUNNING and
    UNKNOWN are not known yet. One that was not asked is absent."""
    advices: Mapping[str, str] = field(default_factory=dict)
    """Of each adviser who was asked: POSITIVE, NEGATIVE, CONDITIONAL or NO_REACTION; REQUESTED and REMINDED
    are not known yet."""
    claims: Mapping[str, str] = field(default_factory=dict)
    """Of each benefit that is asked: FREE when this application has it for the year, TAKEN when another has;
    ABSENT is not known yet."""
    co_applicant: str | None = None
    """CONFIRMED, REFUSED or LAPSED; absent where nobody was asked, and until they answered."""
    duplicates: Mapping[str, bool] = field(default_factory=dict)
    """Of each likeness that is looked for: whether another case is like this one. Absent in a draft, and
    while something of it is not known (the household, the domicile, an answer that was not given)."""
    documents: Mapping[str, int] = field(default_factory=dict)
    """Of each kind of document that the procedure names, 0 included: how many files were sent in."""


# fmt: off
SPOKEN: dict[str, tuple[str, ...]] = {
    "checks":  ("MET", "NOT_MET"),
    "advices": ("POSITIVE", "NEGATIVE", "CONDITIONAL", "NO_REACTION"),
    "claims":  ("FREE", "TAKEN"),
}
# fmt: on
"""What a rule can read of each; any other state is one of these that is not known yet."""
_AS_MET = "REPLACED"
CO_APPLICANT = ("CONFIRMED", "REFUSED", "LAPSED")
"""What a co-applicant can have said."""

SOURCED = frozenset({"applicant", "household", "quota"})
"""Facts that count only with a source behind them."""


# --- what a source answered -------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class SocialStatusAnswer:
    """Of `service: social_status`, for the day that the check names."""

    statuses: Mapping[str, bool]
    """Per name that was asked: whether it applied."""


@dataclass(frozen=True, repr=False)
class TaxAnswer:
    """Of `service: tax_assessment`: the taxable income of one year, in euro; never kept.

    Only who is on the same assessment counts: of two who live together without being taxed together, the
    other's income is not in it.
    """

    found: bool
    """False when there is no assessment of that year (yet); then there are no incomes."""
    year: int
    """The income year."""
    household_income: float | None = None
    """Of the taxpayer and the partner on the same assessment together."""
    taxpayer_income: float | None = None
    """Of the taxpayer alone."""
    partner_income: float | None = None
    """Of the partner alone."""


@dataclass(frozen=True, repr=False)
class HandicapAnswer:
    """Of `service: handicap_file`: what was recognised on the day that the check names, at its highest."""

    found: bool
    """False when there is no file, or nothing in it held on that day."""
    age: int | None = None
    """Of whom it is about, in whole years on that day."""
    points: int | None = None
    """On the scale for adults; 0 where there are none."""
    reduced_earnings: bool | None = None
    """Whether an adult can earn at most a third."""
    pillar_1: int | None = None
    """First pillar (pijler) of the scale for children, in points."""
    pillar_2: int | None = None
    """Second pillar, in points."""
    pillar_3: int | None = None
    """Third pillar, in points."""
    pillars: int | None = None
    """All three together; 0, as each of them, where there are none."""


Answer = SocialStatusAnswer | TaxAnswer | HandicapAnswer
ANSWERS: dict[str, type[Answer]] = {
    "social_status": SocialStatusAnswer,
    "tax_assessment": TaxAnswer,
    "handicap_file": HandicapAnswer,
}
"""By service, what `met` of a check reads as `answer`."""


# --- evaluation -------------------------------------------------------------------------------


class Outcome(StrEnum):
    MET = "MET"
    NOT_MET = "NOT_MET"
    REFER = "REFER"


@dataclass(frozen=True)
class Verdict:
    """What a rule said; `message`, `fact` and `legal` are the rule's own, for a motivated refusal."""

    outcome: Outcome
    rule_key: str
    title: Text
    message: Text
    fact: Text
    legal: Text
    why: str = ""
    """With REFER: what kept the rule from answering (for the handler, English)."""


def evaluate(rule: Rule, facts: Facts) -> Verdict:
    """Ask one rule. Never raises: what goes wrong is REFER."""
    ruling = weigh(rule.when, facts)
    return Verdict(ruling.outcome, rule.key, rule.title, rule.message, rule.fact, rule.legal, ruling.why)


def evaluate_all(rules: Sequence[Rule], facts: Facts) -> list[Verdict]:
    return [evaluate(rule, facts) for rule in rules]


def conclude(verdicts: Sequence[Verdict]) -> Outcome:
    """One clear no decides; else one doubt refers; else all are met."""
    outcomes = {verdict.outcome for verdict in verdicts}
    return next((one for one in (Outcome.NOT_MET, Outcome.REFER) if one in outcomes), Outcome.MET)


@dataclass(frozen=True)
class Ruling:
    """What a condition came to; `why` as in `Verdict`."""

    outcome: Outcome
    why: str = ""


@dataclass(frozen=True)
class Weighed:
    """A condition that somebody asked, and what it came to."""

    expression: str
    ruling: Ruling


_heard: ContextVar[list[Weighed] | None] = ContextVar("heard", default=None)


@contextmanager
def listening() -> Iterator[list[Weighed]]:
    """All that this task asks of conditions meanwhile, in order: to show what decided."""
    heard: list[Weighed] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def weigh(expression: str, facts: Facts, answer: Answer | None = None) -> Ruling:
    """Ask one condition: of a rule, a check, a benefit. Never raises: what goes wrong is REFER.

    With an `answer`, `why` does not repeat anything that was said while evaluating: it could be an income.
    """
    ruling = _weigh(expression, facts, answer)
    heard = _heard.get()
    if heard is not None:
        heard.append(Weighed(expression, ruling))
    return ruling


def _weigh(expression: str, facts: Facts, answer: Answer | None) -> Ruling:
    try:
        program = compiled(expression)
        unsourced = [
            name for name in sorted(SOURCED & set(program.variables())) if not getattr(facts, name).sourced
        ]
        if unsourced:
            return Ruling(Outcome.REFER, f"no source for: {', '.join(unsourced)}")
        known = context(facts) | ({} if answer is None else {"answer": as_seen(answer)})
        worlds = list(islice(_worlds(facts, set(program.variables())), MAX_WORLDS + 1))
        if len(worlds) > MAX_WORLDS:
            return Ruling(Outcome.REFER, "too much is not known yet")
        rulings = {_ruling(program.execute(known | world)) for world in worlds}
    except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError) as fault:
        said = "" if answer is not None else f": {fault}"
        return Ruling(Outcome.REFER, f"could not be evaluated: {type(fault).__name__}{said}"[:300])
    if len(rulings) > 1:
        return Ruling(Outcome.REFER, f"not known yet: {', '.join(_open(facts, set(program.variables())))}")
    return rulings.pop()


def _ruling(answer: object) -> Ruling:
    if answer is True:
        return Ruling(Outcome.MET)
    if answer is False:
        return Ruling(Outcome.NOT_MET)
    return Ruling(
        Outcome.REFER, "the rule asks for a person" if answer == REFER else "the rule gave no yes or no"
    )


def _worlds(facts: Facts, read: set[str]) -> Iterator[dict[str, Any]]:
    """What a condition that reads `read` can see: a world per value that something unknown can still get."""
    names = [name for name in SPOKEN if name in read]
    unknown = [(name, key) for name in names for key in _unsettled(facts, name)]
    for values in product(*(SPOKEN[name] for name, _ in unknown)):
        world = {name: dict(_settled(facts, name)) for name in names}
        for (name, key), value in zip(unknown, values, strict=True):
            world[name][key] = value
        yield world


def _settled(facts: Facts, name: str) -> Iterator[tuple[str, str]]:
    for key, state in getattr(facts, name).items():
        spoken = "MET" if state == _AS_MET else state
        if spoken in SPOKEN[name]:
            yield key, spoken


def _unsettled(facts: Facts, name: str) -> list[str]:
    settled = {key for key, _ in _settled(facts, name)}
    return [key for key in getattr(facts, name) if key not in settled]


def _open(facts: Facts, read: set[str]) -> list[str]:
    return [f"{name}.{key}" for name in SPOKEN if name in read for key in _unsettled(facts, name)]


@lru_cache(maxsize=1024)
def compiled(expression: str) -> cel.Program:
    """Raises `ValueError` where the expression is not CEL."""
    return cel.compile(expression)


def context(facts: Facts) -> dict[str, Any]:
    """The facts as CEL variables.

    Raises:
        ValueError: a list or map is longer than `MAX_LIST`.
    """
    known = {
        one.name: _present(value) for one in fields(facts) if (value := getattr(facts, one.name)) is not None
    }
    return known | {name: dict(_settled(facts, name)) for name in SPOKEN}


def as_seen(answer: Answer) -> dict[str, Any]:
    """What a source answered, as the CEL variable `answer`."""
    return {
        one.name: _present(value)
        for one in fields(answer)
        if (value := getattr(answer, one.name)) is not None
    }


def _present(value: object) -> object:
    """As CEL wants it, without what is unknown."""
    if is_dataclass(value):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | Sequence) and len(value) > MAX_LIST:
        raise ValueError(f"more than {MAX_LIST} entries")
    if isinstance(value, Mapping):
        return {str(key): _present(one) for key, one in value.items() if one is not None}
    if isinstance(value, Sequence):
        return [_present(one) for one in value]
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    return value
