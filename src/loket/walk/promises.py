"""What a definition promises to be told: read from its own file, as a civil servant would read it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from loket.walk.known import SHIPPED

Json = dict[str, Any]
Moment = str | tuple[str, ...]
"""An event, or events that come together: then one message may speak for another."""

TO_OTHERS = frozenset({"CO_APPLICANT_ASKED", "CO_APPLICANT_REMINDED"})
"""Events of which somebody else is told than who applied."""


class NotThere(Exception):
    """No file in the folders of definitions has this procedure in this version."""


@dataclass(frozen=True)
class Promises:
    """Of which events DOSIS hears and the citizen is told, and what each benefit is worth."""

    codes: Mapping[str, str]
    """Event → what DOSIS calls it."""
    messages: Mapping[str, Json]
    benefits: Mapping[str, Json]
    body: str
    """Which body decides."""
    appeal: tuple[str, ...]
    """What each letter with a decision must say of it, in Dutch: with whom, how and until when."""

    papers: Mapping[str, str]
    """Check → the document that may stand in for it."""

    definition: Json = field(default_factory=dict)
    """All of it, as it was written."""

    @classmethod
    def of(
        cls, procedure: str, version: int | None = None, folders: Sequence[Path] = (SHIPPED,)
    ) -> "Promises":
        """Of the definition in these folders; without `version` that of the file that bears its name.

        Raises:
            NotThere: no file has it.
        """
        told = _read(_file_of(procedure, version, tuple(folders)))
        return cls(
            {event: str(row["code"]) for event, row in told["dosis"].items()},
            told["texts"]["messages"],
            {str(one["key"]): one for one in told.get("benefits", ())},
            str(told.get("decision", {}).get("by", "")),
            tuple(" ".join(dutch(told["appeal"][part]).split()) for part in ("body", "form", "term")),
            {one["key"]: one["documents"][0] for one in told.get("checks", ()) if one.get("documents")},
            told,
        )

    def goes_over(self, event: str, channel: str) -> bool:
        """Whether the message about an event goes over a channel, for who hears over it."""
        return channel in self.messages[event].get("channels", (channel,))

    def heeds(self, event: str) -> bool:
        """Whether anybody outside hears of such an event."""
        return event in self.codes or event in self.messages

    def statuses(self, happened: Sequence[Moment]) -> list[str]:
        """Those of the events that go to DOSIS."""
        return [event for event in flat(happened) if event in self.codes]

    def told(self, happened: Sequence[Moment]) -> list[str]:
        """Those of the events that the citizen gets a message about."""
        return [event for moment in happened for event in self._due(moment)]

    def amount(self, benefits: Sequence[str], day: date) -> Decimal:
        """What these benefits come to, in EUR."""
        total = Decimal(0)
        for key in benefits:
            rows = [one for one in self.benefits[key]["amounts"] if one["from"] <= day]
            total += Decimal(str(rows[-1]["amount"]))
        return total.quantize(Decimal("0.01"))

    def _due(self, moment: Moment) -> list[str]:
        events = [event for event in flat([moment]) if event in self.messages and event not in TO_OTHERS]
        replaced = {other for event in events for other in self.messages[event].get("replaces", ())}
        due: list[str] = []
        for event in events:
            joins = self.messages[event].get("joins", ())
            if event not in replaced and not any(other in joins for other in due):
                due.append(event)
        return due


def dutch(text: object) -> str:
    """A text of a definition: a plain one is Dutch, else it says so."""
    return str(text["nl"] if isinstance(text, dict) else text)


def _file_of(procedure: str, version: int | None, folders: tuple[Path, ...]) -> Path:
    named = re.compile(rf"^key: *[\"']?{re.escape(procedure)}[\"']?\s*(#.*)?$", re.MULTILINE)
    numbered = re.compile(rf"^version: *{version}\s*(#.*)?$", re.MULTILINE)
    for folder in reversed(folders):
        for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem != procedure):
            text = path.read_text("utf-8")
            if named.search(text) and (version is None or numbered.search(text)):
                return path
    where = ", ".join(str(folder) for folder in folders)
    raise NotThere(f"no file in {where} has {procedure} version {version}")


@cache
def _read(path: Path) -> Json:
    told: Json = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
    return told


def flat(happened: Sequence[Moment]) -> Iterator[str]:
    for moment in happened:
        yield from (moment,) if isinstance(moment, str) else moment
