"""Rules in CEL over a documented set of facts: yes, no, or REFER to a person.

A rule never guesses. A fact that is missing is absent, so a rule that needs it ends in REFER; so does a rule
that reads facts without a source behind them (MAGDA was down, the form was filled in by hand). A rule cannot
run long: its text is at most 600 characters, `factcheck` lets it go over at most two lists of facts, no list
is longer than `MAX_LIST`, and the patterns of `matches` take linear time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from functools import lru_cache
from typing import Any

import cel

from loket.definition import Rule, Text

MAX_LIST = 100
"""Entries of one list or map among the facts; with more, a person looks."""
REFER = "REFER"


# --- the facts --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Address:
    """Domicile according to the National Register."""

    street: str | None = None
    number: str | None = None
    box: str | None = None
    postal_code: str | None = None
    city: str | None = None
    nis: str | None = None
    """NIS code of the municipality of domicile, five digits."""


@dataclass(frozen=True)
class Applicant:
    sourced: bool = False
    """True when the facts below come from MAGDA; else rules that read them refer."""
    age: int | None = None
    """In whole years, on `today`."""
    deceased: bool | None = None
    address: Address = Address()


@dataclass(frozen=True)
class Household:
    """The persons with the same domicile who form one household, according to the National Register."""

    sourced: bool = False
    members: int | None = None
    """How many, the applicant included."""
    ordered_this_year: Mapping[str, int] = field(default_factory=dict)
    """Per product of the catalogue, 0 included: units in other cases of this calendar year, those refused or
    stopped left out."""
    ordered_ever: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CartLine:
    product: str
    quantity: int
    options: Mapping[str, int] = field(default_factory=dict)
    """Option key → how many on this line."""


@dataclass(frozen=True)
class Quota:
    """Whether the cart and what the household ordered before stay within the catalogue's maximum."""

    sourced: bool = False
    within_maximum: bool | None = None


@dataclass(frozen=True)
class Municipality:
    nis: str
    name: str = ""
    postal_code: str = ""


@dataclass(frozen=True)
class Facts:
    """All that a rule can read. What is None is unknown: absent for the rule."""

    municipality: Municipality
    today: date
    """Day of evaluation in Belgium; in CEL a timestamp at midnight UTC."""
    channel: str
    """ONLINE or COUNTER."""
    application: Mapping[str, Any] = field(default_factory=dict)
    """The answers, in the shape of the form."""
    applicant: Applicant = Applicant()
    household: Household = Household()
    cart: Sequence[CartLine] = ()
    quota: Quota = Quota()
    sources_complete: bool = False
    """True when every source that was asked has answered."""


SOURCED = frozenset({"applicant", "household", "quota"})
"""Facts that count only with a source behind them."""


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
    outcome, why = _ask(rule, facts)
    return Verdict(outcome, rule.key, rule.title, rule.message, rule.fact, rule.legal, why)


def evaluate_all(rules: Sequence[Rule], facts: Facts) -> list[Verdict]:
    return [evaluate(rule, facts) for rule in rules]


def conclude(verdicts: Sequence[Verdict]) -> Outcome:
    """One clear no decides; else one doubt refers; else all are met."""
    outcomes = {verdict.outcome for verdict in verdicts}
    return next((one for one in (Outcome.NOT_MET, Outcome.REFER) if one in outcomes), Outcome.MET)


def _ask(rule: Rule, facts: Facts) -> tuple[Outcome, str]:
    try:
        program = compiled(rule.when)
        unsourced = [
            name for name in sorted(SOURCED & set(program.variables())) if not getattr(facts, name).sourced
        ]
        if unsourced:
            return Outcome.REFER, f"no source for: {', '.join(unsourced)}"
        answer = program.execute(context(facts))
    except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError) as fault:
        return Outcome.REFER, f"could not be evaluated: {type(fault).__name__}: {fault}"[:300]
    if answer is True:
        return Outcome.MET, ""
    if answer is False:
        return Outcome.NOT_MET, ""
    return Outcome.REFER, "the rule asks for a person" if answer == REFER else "the rule gave no yes or no"


@lru_cache(maxsize=1024)
def compiled(expression: str) -> cel.Program:
    """Raises `ValueError` where the expression is not CEL."""
    return cel.compile(expression)


def context(facts: Facts) -> dict[str, Any]:
    """The facts as CEL variables.

    Raises:
        ValueError: a list or map is longer than `MAX_LIST`.
    """
    return {one.name: _present(getattr(facts, one.name)) for one in fields(facts)}


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
