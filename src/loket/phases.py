"""In which phase of its blueprint a case is: the one place that reads it off the case's events.

A phase lists events, stages, or both. An event that changes the status brings the case to the phase that
lists it, else to the phase of its stage; a fact that changes no status only brings it forward, to a phase
that lists it: a late advice or a letter does not take a case back. An end leaves the phase where it stood.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from loket.definition import Definition
from loket.lifecycle import EFFECT_EVENTS, FINAL, EventType, Stage, Status

WHOLE = ""
"""In the place of a phase's key: the case as a whole, from submission to its end."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, as much of it as phases need."""

    type: EventType
    stage: Stage
    """After it."""
    status: Status
    """After it."""
    previous: Status | None
    at: datetime

    @property
    def changed_status(self) -> bool:
        return self.previous != self.status


@dataclass(slots=True)
class Visit:
    """The last time that a case was in a phase."""

    entered_at: datetime
    left_at: datetime | None = None
    """None: it is there now."""


class Course:
    """The phases that one case went through so far, and the one that it is in."""

    def __init__(self, definition: Definition, visits: dict[str, Visit] | None = None) -> None:
        self.definition = definition
        self.visits = {} if visits is None else visits
        """By key of the phase; the case as a whole under `WHOLE`."""

    @property
    def place(self) -> str | None:
        """The phase that the case is in; None when it has ended, or is only just handed in."""
        return next((key for key, one in self.visits.items() if key != WHOLE and one.left_at is None), None)

    def take(self, event: Happened, started_at: datetime) -> list[tuple[str, Visit | None]]:
        """Go on with `event`. `started_at`: when the application was begun.

        Answers what it moved: a phase with the visit that ended, or with None where one began.
        """
        moved: list[tuple[str, Visit | None]] = []
        if event.type in EFFECT_EVENTS:
            return moved
        if event.changed_status:
            if event.previous is None or event.previous in FINAL:
                self._enter(WHOLE, event.at, moved)
            if event.previous is None and (drafts := drafts_of(self.definition)) is not None:
                self._enter(drafts, min(started_at, event.at), moved)
                self._leave(drafts, event.at, moved)
            else:
                self._go(self._target(event), event.at, moved)
            if event.status in FINAL:
                if (here := self.place) is not None:
                    self._leave(here, event.at, moved)
                if WHOLE in self.visits:
                    self._leave(WHOLE, event.at, moved)
        elif (listed := listing(self.definition, event.type)) is not None and self._is_ahead(listed):
            self._go(listed, event.at, moved)
        return moved

    def _target(self, event: Happened) -> str:
        listed = listing(self.definition, event.type)
        if listed is None and event.status in FINAL and (here := self.place) is not None:
            return here
        return listed or self.definition.phase_of(event.stage).key

    def _is_ahead(self, key: str) -> bool:
        here = self.place
        order = [phase.key for phase in self.definition.phases]
        return here is not None and order.index(key) > order.index(here)

    def _go(self, key: str, at: datetime, moved: list[tuple[str, Visit | None]]) -> None:
        here = self.place
        if here == key:
            return
        if here is not None:
            self._leave(here, at, moved)
        self._enter(key, at, moved)

    def _enter(self, key: str, at: datetime, moved: list[tuple[str, Visit | None]]) -> None:
        self.visits.pop(key, None)  # so that they stand in the order in which they were entered
        self.visits[key] = Visit(at)
        moved.append((key, None))

    def _leave(self, key: str, at: datetime, moved: list[tuple[str, Visit | None]]) -> None:
        visit = self.visits[key]
        if visit.left_at is None:
            visit.left_at = max(at, visit.entered_at)
            moved.append((key, visit))


def course_of(definition: Definition, started_at: datetime, events: Iterable[Happened]) -> Course:
    """The whole course of a case, out of all its events in order."""
    course = Course(definition)
    for event in events:
        course.take(event, started_at)
    return course


def listing(definition: Definition, type: EventType) -> str | None:
    """The phase that lists an event; None when none does."""
    return next((phase.key for phase in definition.phases if type in phase.events), None)


def drafts_of(definition: Definition) -> str | None:
    """The phase that begins with the draft, and ends when it is handed in."""
    return next((phase.key for phase in definition.phases if phase.drafts), None)


def belonging(definition: Definition, type: EventType, stage: Stage) -> str:
    """The phase to which what follows from an event belongs, wherever the case is meanwhile.

    `stage`: the one in which it happened.
    """
    drafts = drafts_of(definition) if type is EventType.SUBMITTED else None
    return drafts or listing(definition, type) or definition.phase_of(stage).key


def last_place(course: Course) -> str | None:
    """Where the case is, or was at its end."""
    here = course.place
    if here is not None:
        return here
    left = [(one.left_at, number, key) for number, (key, one) in enumerate(_phases(course)) if one.left_at]
    return max(left)[2] if left else None


def _phases(course: Course) -> Iterable[tuple[str, Visit]]:
    return ((key, one) for key, one in course.visits.items() if key != WHOLE)
