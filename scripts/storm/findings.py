"""What a judge looked at, and what was wrong with it.

Each thing that is looked at is counted: of a judge that looked at nothing, 'nothing wrong' means nothing.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

GROUPS = {
    "whole": "what was acknowledged is there whole, no half case, no number twice",
    "told": "what must be told was told: in order, at least once, repeats only around a blow",
    "money": "what was paid and paid out is the same everywhere, to the cent",
    "states": "no state, slot, timer or chain that may not be",
    "seen": "subscribers saw every event of theirs once, in order",
    "pace": "no system was called faster than agreed, and nothing lies waiting",
}
SHOWN = 5
"""Violations of one kind that are printed; the others are counted."""


@dataclass(frozen=True)
class Violation:
    group: str
    what: str
    case: str
    """Its reference, or what else names it."""
    evidence: Json


@dataclass
class Findings:
    violations: list[Violation] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def of(self, group: str) -> "Bench":
        return Bench(self, group)


@dataclass(frozen=True)
class Bench:
    """Where one group is judged."""

    findings: Findings
    group: str

    def checked(self, what: str, number: int = 1) -> None:
        """So many of them were looked at; 0 says that there were none to look at."""
        self.findings.counts[self.group][what] += number

    def wrong(self, what: str, case: object = "", **evidence: object) -> None:
        self.findings.violations.append(Violation(self.group, what, str(case), evidence))

    def unless(self, holds: object, what: str, case: object = "", **evidence: object) -> None:
        if not holds:
            self.wrong(what, case, **evidence)


@dataclass(frozen=True)
class Verdict:
    violations: list[Violation]
    counts: dict[str, dict[str, int]]
    seconds: float

    @property
    def empty(self) -> list[str]:
        """What there was nothing of to look at."""
        return [
            f"{group}: {what}"
            for group, of in self.counts.items()
            for what, number in of.items()
            if not number
        ]

    def text(self) -> str:
        """For people: what was looked at, and what was found wrong."""
        lines: list[str] = []
        for group, means in GROUPS.items():
            counts = self.counts.get(group, {})
            found = [one for one in self.violations if one.group == group]
            lines.append(f"{group}: {len(found)} violations ({means})")
            told = ", ".join(f"{number} {what}" for what, number in counts.items())
            lines.append(f"    looked at {told or 'nothing'}")
            lines += _listed(found)
        lines.append(f"{len(self.violations)} violations; judged in {self.seconds:.1f} s")
        return "\n".join(lines)

    def json(self) -> Json:
        return {
            "violations": [vars(one) for one in self.violations],
            "counts": self.counts,
            "seconds": round(self.seconds, 2),
        }


def _listed(found: list[Violation]) -> list[str]:
    kinds: dict[str, list[Violation]] = defaultdict(list)
    for one in found:
        kinds[one.what].append(one)
    lines = []
    for what, of in kinds.items():
        lines.append(f"  {len(of)} × {what}")
        for one in of[:SHOWN]:
            told = ", ".join(f"{name} {value}" for name, value in one.evidence.items())
            lines.append(f"      {one.case}: {told}"[:400])
    return lines
