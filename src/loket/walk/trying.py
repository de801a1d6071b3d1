"""What to answer so that the rules are met: an applicant who reads the rules does not ask what is refused.

The rules stand in the definition, in CEL. Where what was filled in breaks one, other answers are tried to the
questions that it speaks of: other choices, other numbers, later days; first one at a time, then two together.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

import cel

from loket.walk.form import Memory, Sheet, fitting, merged, missing_answers

Json = dict[str, Any]
Path = tuple[str, ...]

MOST_STEPS = 12
"""How often the answers are made better by one change or two."""
DAYS = (*range(63, 400, 6), *range(3, 63, 6))
"""How far ahead days are tried."""
NUMBERS = (0, 1, 2, 3, 5, 10, 20, 50, 100)
_SPOKEN_OF = re.compile(r"\bapplication((?:\.[A-Za-z_]\w*)+)")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_COUNTED = re.compile(r"(?<![\w.'])\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Desk:
    """Who fills in what: the definition's form and rules, and what sources said of the applicant."""

    definition: Json
    schema: Json
    memory: Memory
    address: Mapping[str, str]
    """The applicant's, as it was filled in from the register."""
    fixed: frozenset[Path]
    """Questions that are answered by a source, or for good."""
    cart: Sequence[Json] = ()
    goals: Mapping[str, bool] = field(default_factory=dict)
    """Other conditions of the definition, and whether they want each to hold."""

    def improved(self, answers: Json) -> Json:
        """The answers, changed until no rule says no to them, as far as that can be."""
        against = self.broken(answers)
        for _ in range(MOST_STEPS):
            others = self._others(answers, against)
            better = next((one for one in others if len(self.broken(one)) < len(against)), None)
            if better is None:
                break
            # another answer may call for more of them
            answers = merged(better, missing_answers(self.schema, better, self.memory))
            against = self.broken(answers)
        return answers

    def broken(self, answers: Json) -> list[str]:
        """The rules that say no, as they are written: once where a person looks, twice what is refused.

        Three times what they want otherwise than it is.
        """
        facts = self.facts(answers)
        found: list[str] = []
        for when in self._rules("screening", "approval"):
            said = _said(when, facts)
            found += [when] * (2 if said is False else int(said == "REFER"))
        for when, wanted in self.goals.items():
            found += [when] * (3 if (_said(when, facts) is True) is not wanted else 0)
        return found

    def _rules(self, *parts: str) -> list[str]:
        rules = self.definition.get("rules") or {}
        return [one["when"] for part in parts for one in rules.get(part, ())]

    # ------------------------------------------------------------------ other answers

    def _others(self, answers: Json, against: Sequence[str]) -> Iterator[Json]:
        """The same answers but for one question that a broken rule speaks of, or two, or all its days."""
        for when in dict.fromkeys(against):
            paths = {tuple(found.strip(".").split(".")) for found in _SPOKEN_OF.findall(when)}
            asked = {path: part for path in sorted(paths - self.fixed) if (part := self._part(path, answers))}
            single = {path: self._choices(part, when, path[-1]) for path, part in asked.items()}
            for path, choices in single.items():
                yield from (self._with(answers, {path: one}) for one in choices)
            days = [path for path, part in asked.items() if part.get("format") == "date"]
            for ahead in DAYS if len(days) > 1 else ():
                dated = zip(_in_order(days, self.schema), itertools.count(ahead), strict=False)
                yield self._with(answers, {path: _day(number) for path, number in dated})
            for (one, ones), (other, others) in itertools.combinations(single.items(), 2):
                pairs = itertools.product(ones[:16], others[:16])
                yield from (self._with(answers, {one: first, other: second}) for first, second in pairs)

    def _choices(self, part: Json, when: str, name: str) -> list[object]:
        """What else can be answered there."""
        consts = [one["const"] for one in part.get("oneOf", ()) if isinstance(one, dict) and "const" in one]
        if known := [*part.get("enum", ()), *consts]:
            return known
        match part.get("type"):
            case "boolean":
                return [True, False]
            case "integer" | "number":
                said = [float(one) for one in _COUNTED.findall(when)]
                tried = {*NUMBERS, *said, *(one + 1 for one in said), *(one - 1 for one in said)}
                low, high = part.get("minimum", 0), part.get("maximum", 10**6)
                return [int(one) if one == int(one) else one for one in sorted(tried) if low <= one <= high]
            case "array":
                items = self._sheet.resolved(part.get("items", {}))
                inner = self._choices(items, when, name) if "properties" not in items else []
                return [*([one] for one in inner), *([inner] if inner else [])]
            case "string" if part.get("format") == "date":
                return [_day(ahead) for ahead in DAYS]
            case "string" if part.get("format") in (None, "time"):
                quoted = ["".join(pair) for pair in _QUOTED.findall(when)]
                texts = [*self.address.values(), *quoted, *fitting(self._sheet, part, name)]
                return [one for one in texts if self._sheet.holds(part, one)]
            case "string":
                return fitting(self._sheet, part, name)
            case _:
                return []

    def _part(self, path: Path, answers: Json) -> Json | None:
        """What the form asks at a place; None where it asks nothing."""
        value: Any = answers
        part = self._sheet.in_force(self.schema, value)
        for step in path:
            if step not in part.get("properties", {}):
                return None
            value = value.get(step) if isinstance(value, dict) else None
            part = self._sheet.in_force(part["properties"][step], value)
        return part if "const" not in part else None

    def _with(self, answers: Json, changes: Mapping[Path, object]) -> Json:
        """With other answers."""
        for path, value in changes.items():
            *groups, last = path
            patch: Json = {last: value}
            for group in reversed(groups):
                patch = {group: patch}
            answers = merged(answers, patch)
        return answers

    @property
    def _sheet(self) -> Sheet:
        return Sheet(self.schema, self.memory)

    # ------------------------------------------------------------------ what is known

    def facts(self, answers: Json) -> Json:
        """As for a grown-up who has lived here for years, and to whom everybody says yes."""
        told, now = self.definition, datetime.now(UTC)
        today = datetime.combine(now.date(), time(), UTC)
        products = [one["key"] for one in (told.get("catalogue") or {}).get("products", ())]
        home = {"nis": NIS, **self.address}
        return {
            "application": answers,
            "municipality": {"nis": NIS, "postal_code": POSTAL_CODE, "name": "Gemeente Lindebeke"},
            "today": today,
            "reference_date": today.replace(month=1, day=1),
            "channel": "ONLINE",
            "applicant": {
                "sourced": True, "age": 40, "address": home, "resident_on_reference_date": home["nis"] == NIS,
                "resident_since": today - timedelta(days=3650),
            },
            "household": {
                "sourced": True, "members": 1, "children": [], "dependants": 0.0,
                "ordered_this_year": dict.fromkeys(products, 0),
                "ordered_ever": dict.fromkeys(products, 0),
            },
            "cart": [{"options": {}, **line} for line in self.cart],
            "quota": {"sourced": True, "within_maximum": True},
            "sources_complete": True,
            "window_open": True,
            "tables": {
                key: float(_holding(rows, now.date())) for key, rows in (told.get("tables") or {}).items()
            },
            "checks": {one["key"]: "MET" for one in told.get("checks", ())},
            "advices": {one["key"]: "POSITIVE" for one in told.get("advisers", ())},
            "claims": {one["key"]: "FREE" for one in told.get("benefits", ())},
            "co_applicant": "CONFIRMED",
            "duplicates": {one["key"]: False for one in told.get("duplicates", ())},
            "documents": {one["key"]: 1 for one in told.get("documents", ())},
        }  # fmt: skip


NIS, POSTAL_CODE = "13999", "2999"
"""Of the sandbox's municipality."""


def refuses_outsiders(definition: Json) -> bool:
    """Whether a rule finds who lives elsewhere inadmissible, whatever was answered."""
    elsewhere = {"street": "Markt", "number": "8", "postal_code": "2400", "city": "Mol", "nis": "13025"}
    facts = Desk(definition, {}, Memory(), elsewhere, frozenset()).facts({})
    rules = (definition.get("rules") or {}).get("screening", ())
    return any(_said(one["when"], facts) is False for one in rules)


def _said(when: str, facts: Json) -> object:
    """What a rule comes to; None where it speaks of what is not known yet."""
    try:
        return _program(when).execute(facts)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return None


@cache
def _program(when: str) -> cel.Program:
    return cel.compile(when)


def _day(ahead: int) -> str:
    return f"{datetime.now(UTC).date() + timedelta(days=ahead)}"


def _in_order(paths: Sequence[Path], schema: Json) -> list[Path]:
    """As they are asked: a first day before a last one."""
    asked = str(schema)
    return sorted(paths, key=lambda path: asked.find(f"'{path[-1]}':"))


def _holding(rows: Sequence[Json], day: date) -> float:
    return next((float(one["value"]) for one in reversed(rows) if one["from"] <= day), 0.0)
