"""What the walk prints while it goes, and how long each step took."""

import sys
import textwrap
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

WIDTH = 118


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass
class Story:
    """Lines with the seconds since the walk began. A silent story only measures."""

    silent: bool = False
    began: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, float]] = field(default_factory=list)
    """Each step and its seconds, in order."""
    at: str = "nothing yet"
    """The step that is being taken."""

    def tell(self, who: str, text: str) -> None:
        if self.silent:
            return
        first, *rest = textwrap.wrap(text, WIDTH - 22, break_long_words=False) or [""]
        say(f"{self.seconds:8.2f}  {who:<10}  {first}")
        for line in rest:
            say(f"{'':22}{line}")

    def head(self, text: str) -> None:
        if not self.silent:
            say(f"\n{text}")

    def line(self, text: str) -> None:
        if not self.silent:
            say(text)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        """Measure what is done in the block under `name`."""
        self.at = name
        began = time.monotonic()
        yield
        self.steps.append((name, time.monotonic() - began))


def table_of_steps(stories: Sequence[Story]) -> list[str]:
    """How long each step took over many walks: median and 95th percentile, in milliseconds."""
    by_name: dict[str, list[float]] = defaultdict(list)
    for story in stories:
        for name, seconds in story.steps:
            by_name[name].append(seconds)
    widest = max((len(name) for name in by_name), default=4)
    lines = [f"  {'step':<{widest}}  {'times':>5}  {'p50 ms':>8}  {'p95 ms':>8}"]
    for name, took in by_name.items():
        median, worst = (percentile(took, percent) * 1000 for percent in (50, 95))
        lines.append(f"  {name:<{widest}}  {len(took):5}  {median:8.0f}  {worst:8.0f}")
    return lines


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` per cent of the values do not exceed; 0 without values."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * percent // 100) - 1, 0)] if ordered else 0.0


def columns(rows: Sequence[Sequence[str]], tell: Callable[[str], None], indent: str = "  ") -> None:
    """Rows whose columns stand under each other; the last one is as long as it is."""
    if not rows:
        return
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        tell(indent + "  ".join([*cells, row[-1]]).rstrip())
