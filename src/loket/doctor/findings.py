"""What an examination says: part by part, in plain words, with what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    WELL = "WELL"
    REMARK = "REMARK"
    """Works, and somebody should know."""
    WRONG = "WRONG"


@dataclass(frozen=True)
class Finding:
    part: str
    health: Health
    said: str
    mend: str = ""
    """What to do; empty where nothing is to be done."""


def well(part: str, said: str) -> Finding:
    return Finding(part, Health.WELL, said)


def remark(part: str, said: str, mend: str = "") -> Finding:
    return Finding(part, Health.REMARK, said, mend)


def wrong(part: str, said: str, mend: str) -> Finding:
    return Finding(part, Health.WRONG, said, mend)


def lines(findings: Iterable[Finding]) -> Iterable[str]:
    """For people: what is wrong is marked, and what to do stands under it."""
    marks = {Health.WELL: " ", Health.REMARK: "·", Health.WRONG: "!"}
    before = ""
    for one in findings:
        yield f"{marks[one.health]} {one.part if one.part != before else '':<13} {one.said}"
        if one.mend:
            yield f"{'':<15} → {one.mend}"
        before = one.part


def duration(seconds: float) -> str:
    """Roughly, as people say it."""
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
