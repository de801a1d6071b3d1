"""What a definition promises to be told: read from its own file, as a civil servant would read it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Json = dict[str, Any]
Moment = str | tuple[str, ...]
"""An event, or events that come together: then one message may speak for another."""

FOLDER = Path(__file__).parent.parent / "procedures"


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

    @classmethod
    def of(cls, procedure: str) -> "Promises":
        """Of the definition that is shipped under this key."""
        told = YAML(typ="safe", pure=True).load((FOLDER / f"{procedure}.yaml").read_text("utf-8"))
        return cls(
            {event: str(row["code"]) for event, row in told["dosis"].items()},
            told["texts"]["messages"],
            {str(one["key"]): one for one in told.get("benefits", ())},
            str(told.get("decision", {}).get("by", "")),
            tuple(" ".join(told["appeal"][part]["nl"].split()) for part in ("body", "form", "term")),
            {one["key"]: one["documents"][0] for one in told.get("checks", ()) if one.get("documents")},
        )

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
        events = [event for event in flat([moment]) if event in self.messages]
        replaced = {other for event in events for other in self.messages[event].get("replaces", ())}
        due: list[str] = []
        for event in events:
            joins = self.messages[event].get("joins", ())
            if event not in replaced and not any(other in joins for other in due):
                due.append(event)
        return due


def flat(happened: Sequence[Moment]) -> Iterator[str]:
    for moment in happened:
        yield from (moment,) if isinstance(moment, str) else moment
