"""What proofreading finds, and where: the words that its parts share.

Each check names the parts of a definition that it reads and runs when those have the right shape; it yields
where something is wrong and why. No I/O.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, timedelta
from string import Formatter
from typing import Protocol

from loket.definition import PLACEHOLDERS, Definition, Text

Place = tuple[str | int, ...]
"""The way to a part of the file: ("catalogue", "products", 0, "key")."""
Found = Iterator[tuple[Place, str]]
Check = Callable[[Definition], Found]


class TooLong(Exception):
    """There is more to look through than one text may ask."""


_until: ContextVar[float] = ContextVar("_until", default=float("inf"))


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """So much computing of this thread may be spent within; see `go_on`."""
    before = _until.set(time.thread_time() + seconds)
    try:
        yield
    finally:
        _until.reset(before)


def go_on() -> None:
    """Called before what takes long where it is written so. Raises `TooLong` once patience is over."""
    if time.thread_time() > _until.get():
        raise TooLong


class Checklist:
    """Checks of one subject, in order."""

    def __init__(self) -> None:
        self.checks: list[tuple[frozenset[str], Check]] = []

    def reads(self, *sections: str) -> Callable[[Check], Check]:
        def register(check: Check) -> Check:
            self.checks.append((frozenset(sections), check))
            return check

        return register


class Dated(Protocol):
    """What holds on the days from `valid_from` to `valid_to`, both included."""

    @property
    def valid_from(self) -> date: ...

    @property
    def valid_to(self) -> date | None: ...


def without_gaps(rows: Sequence[Dated], place: Place, what: str, first: date, last: date) -> Found:
    """On each day from `first` to `last` there is exactly one (a price, a figure)."""
    day = timedelta(days=1)
    if rows[0].valid_from > first:
        yield (*place, 0, "from"), f"no {what} from {first} until {rows[0].valid_from - day}"
    for index, one in enumerate(rows):
        if one.valid_to is not None and one.valid_to < one.valid_from:
            yield (*place, index, "to"), "'to' lies before 'from'"
        if index + 1 == len(rows):
            break
        following = rows[index + 1]
        if one.valid_to is None or following.valid_from <= one.valid_to:
            yield (*place, index + 1, "from"), f"two {what}s on {following.valid_from}"
        elif following.valid_from > one.valid_to + day:
            yield (
                (*place, index + 1, "from"),
                f"no {what} from {one.valid_to + day} until {following.valid_from - day}",
            )
    end = rows[-1].valid_to
    if end is not None and end < last:
        yield (*place, len(rows) - 1, "to"), f"no {what} after {end}, while the procedure goes on"


def placeholders(text: Text, place: Place, known: Iterable[str]) -> Found:
    for language, one in text.languages().items():
        try:
            parts = list(Formatter().parse(one))
        except ValueError as fault:
            yield place, f"braces ({language}): {fault}"
            continue
        for _, name, layout, conversion in parts:
            if name is None:
                continue
            if layout or conversion or name not in known:
                there = "is not known" if name not in PLACEHOLDERS else "cannot stand"
                yield (
                    place,
                    f"the placeholder '{{{name}}}' {there} here ({language}); there are: {listed(known)}",
                )


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def unique(keys: Iterable[str], place: Place, word: str, what: str) -> Found:
    seen: set[str] = set()
    for index, key in enumerate(keys):
        if key in seen:
            yield (*place, index, word), f"the {what} '{key}' stands twice"
        seen.add(key)


def must_name(text: Text, place: Place, names: Iterable[str]) -> Found:
    """In every language."""
    for language, one in text.languages().items():
        for name in names:
            if f"{{{name}}}" not in one:
                yield place, f"the text ({language}) must name {{{name}}}"
