"""What is known of a procedure beyond its definition: what to fill in so that it goes well, and for whom.

It stands as `walks/KEY.json` beside the procedure's file, and may be left out: then the form is filled in
from its schema alone, by whichever citizen of the sandbox comes next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

Json = dict[str, Any]

SHIPPED = Path(__file__).parent.parent / "procedures"


@dataclass(frozen=True)
class Numbers:
    """Which citizens of the sandbox: those whose number, `times` so much, leaves such a rest when divided."""

    of: int = 1
    times: int = 1
    among: tuple[int, ...] | None = None
    above: int = -1
    up_to: int | None = None

    def __call__(self, number: int) -> bool:
        rest = number * self.times % self.of
        if self.among is not None:
            return rest in self.among
        return self.above < rest and (self.up_to is None or rest <= self.up_to)


@dataclass(frozen=True)
class Known:
    """Of a procedure whose file has nothing beside it, nothing is known."""

    scripts: Literal["", "buying", "premium"] = ""
    """Which scripts were written for it; empty: it is walked by its definition."""
    answers: Json = field(default_factory=dict)
    """Of the form, where the schema alone does not say what goes well."""
    cart: list[Json] | None = None
    """Lines of product, quantity and options; without it, one of the first products."""
    persona: str | None = None
    """The one citizen who can apply; else `entitled` says who."""
    entitled: Numbers = Numbers()
    """Who gets it."""
    companion: str | None = None
    """Who applies with them, where that must be somebody in particular."""
    outsider: str = "dirk"
    """A citizen whom the rules find inadmissible: he lives in another municipality."""


_KNOWN = TypeAdapter(Known)


def known_of(procedure: str, folders: Sequence[Path] = (SHIPPED,)) -> Known:
    path = find_notes(procedure, folders)
    return _KNOWN.validate_json(path.read_bytes()) if path else Known()


def find_notes(procedure: str, folders: Sequence[Path] = (SHIPPED,)) -> Path | None:
    paths = (folder / "walks" / f"{procedure}.json" for folder in reversed(folders))
    return next((path for path in paths if path.is_file()), None)
