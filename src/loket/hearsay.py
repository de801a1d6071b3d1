"""What is said of a body's decision, and whether that is news, the same again, or another word.

Words come from whoever knows, in any order and more than once: nothing in here asks or writes.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from loket import cases
from loket.lifecycle import DecisionStatus
from loket.records import AgendaItem, Decision, Document
from loket.systems.minutes_item import Outcome, judge

YES_OR_NO = frozenset({Outcome.ACCEPTED, Outcome.MODIFIED, Outcome.REFUSED})
STATES = {
    Outcome.ACCEPTED: "accepted",
    Outcome.MODIFIED: "accepted_but_modified",
    Outcome.REFUSED: "refused",
    Outcome.POSTPONED: "delayed",
    Outcome.REMOVED: "removed",
}
"""Where who tells us does not use the package's own words."""
WORDLESS = {Outcome.REFUSED: "Geweigerd.", Outcome.MODIFIED: "Gewijzigd aangenomen."}
"""What stands in the place of words that the body did not give."""


@dataclass(frozen=True)
class Signatory:
    name: str
    function: str
    signed_on: date | None


@dataclass(frozen=True)
class Heard:
    """What became of an item, whoever says it. `content` is the signed decision, which must have `sha256`."""

    result: Outcome
    meeting_on: date | None = None
    meeting_uid: str | None = None
    item_uid: str | None = None
    successor_of: tuple[str, ...] = ()
    """The items that came back as this one, as far as who tells it knows."""
    state: str = ""
    signatories: tuple[Signatory, ...] = ()
    content: bytes | None = None
    sha256: str = ""
    amount: Decimal | None = None
    text: str = ""
    """What the body decided in its own words; empty where it kept the draft's."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    """What a body was heard to say before."""

    result: Outcome
    amount: Decimal | None = None


def is_old_news(item: AgendaItem, facts: Heard) -> bool:
    """Of an item that came back as another: that one counts now, whatever is heard first."""
    known = (None, facts.item_uid, *facts.successor_of)
    if facts.result in YES_OR_NO or facts.item_uid is None or item.item_uid in known:
        return False
    return facts.meeting_on is None or item.meeting_on is None or facts.meeting_on <= item.meeting_on


def is_taken(item: AgendaItem) -> bool:
    """Whether its body said yes or no already, signed or not."""
    return judge(item.state).outcome in YES_OR_NO


def is_of_earlier_meeting(decision: Decision, facts: Heard) -> bool:
    """A postponement before the day on which it was decided: the body dealt with it since."""
    days = facts.meeting_on, decision.decided_on
    return days[0] is not None and days[1] is not None and days[0] < days[1]


def agrees(decision: Decision, facts: Heard, document: Document | None, said: Said) -> bool:
    """Whether what is heard is what was heard before, as far as both say it."""
    result = facts.result is said.result and _same_words(decision.text, facts.text)
    result |= (  # what a handler made of a change
        facts.result is Outcome.REFUSED
        and said.result is Outcome.MODIFIED
        and decision.status is DecisionStatus.REFUSED
    )
    amount = said.amount if decision.status is DecisionStatus.TO_CONFIRM else decision.amount
    sha256 = document.sha256 if document else facts.sha256.lower()
    return result and all(
        (
            None in (facts.meeting_on, decision.decided_on) or facts.meeting_on == decision.decided_on,
            None in (facts.amount, amount) or facts.amount == amount,
            not (sha256 and decision.document_sha256) or sha256 == decision.document_sha256,
        )
    )


def _same_words(one: str, other: str) -> bool:
    """One door tells the motivation and the articles, another the articles alone."""
    a, b = (" ".join(text.split()).casefold() for text in (one, other))
    return one in WORDLESS.values() or not (a and b) or a in b or b in a


def told(facts: Heard) -> dict[str, Any]:
    """The words of `facts`, for events and tasks."""
    said = {
        "result": facts.result,
        "meeting_on": facts.meeting_on.isoformat() if facts.meeting_on else None,
        "amount": str(facts.amount) if facts.amount is not None else None,
        "text": facts.text.strip()[: cases.LONGEST_TEXT],
    }
    return {name: value for name, value in said.items() if value}
