"""A transition table, and who may take its steps."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

from loket.lifecycle.kinds import EventType, Role, TimerKind

State = TypeVar("State")
Verb = TypeVar("Verb")


@dataclass(frozen=True)
class Step(Generic[State, Verb]):
    """One row: from `state`, `action` leads to `to`, for those in `by`; recorded as `event`."""

    state: State
    action: Verb
    to: State
    by: frozenset[Role]
    event: EventType | None = None


@dataclass(frozen=True)
class Wait(Generic[State]):
    """How a waiting `state` ends when nobody does anything: `timer` fires, then `then` happens."""

    state: State
    timer: TimerKind
    then: str


class TableError(Exception):
    """A transition table contradicts itself."""


@dataclass(frozen=True)
class Machine(Generic[State, Verb]):
    """A transition table.

    Raises:
        TableError: two rows with the same (state, action); a waiting state without an end.
    """

    name: str
    steps: tuple[Step[State, Verb], ...]
    waiting: frozenset[State] = field(default_factory=frozenset)
    waits: tuple[Wait[State], ...] = ()

    def __post_init__(self) -> None:
        seen: set[tuple[State, Verb]] = set()
        for step in self.steps:
            if (step.state, step.action) in seen:
                raise TableError(f"{self.name}: two rows for {step.state}, {step.action}")
            seen.add((step.state, step.action))
        endless = self.waiting - {wait.state for wait in self.waits}
        if endless:
            raise TableError(f"{self.name}: waits without an end: {sorted(map(str, endless))}")

    @cached_property
    def _rows(self) -> dict[tuple[State, Verb], Step[State, Verb]]:
        return {(step.state, step.action): step for step in self.steps}

    def find(self, state: State, action: Verb) -> Step[State, Verb] | None:
        return self._rows.get((state, action))

    def allowed(self, state: State, roles: Iterable[Role]) -> list[Verb]:
        """The actions that somebody with `roles` may take from `state`, in the table's order."""
        mine = frozenset(roles)
        return [step.action for step in self.steps if step.state == state and step.by & mine]

    def states(self) -> set[State]:
        return {step.state for step in self.steps} | {step.to for step in self.steps}


# --- who -------------------------------------------------------------------------------------

SYSTEM = frozenset({Role.SYSTEM})
APPLICANTS = frozenset({Role.APPLICANT, Role.HANDLER})
CO_APPLICANTS = frozenset({Role.CO_APPLICANT})
HANDLERS = frozenset({Role.HANDLER})
RULES = frozenset({Role.HANDLER, Role.SYSTEM})
CITIZENS = frozenset({Role.APPLICANT, Role.HANDLER, Role.SYSTEM})
FIELD_TEAM = frozenset({Role.FIELD_WORKER, Role.SYSTEM})
MONEY = frozenset({Role.FINANCE, Role.SYSTEM})
STAFF = frozenset({Role.HANDLER, Role.OPERATOR})
BACK_OFFICE = frozenset({Role.HANDLER, Role.FINANCE, Role.FIELD_WORKER, Role.SECRETARIAT, Role.OPERATOR})
BODIES = frozenset({Role.HANDLER, Role.SECRETARIAT, Role.SYSTEM})
SECRETARIES = frozenset({Role.SECRETARIAT, Role.SYSTEM})
ORDERERS = frozenset({Role.HANDLER, Role.FINANCE})
BOOKKEEPERS = frozenset({Role.FINANCE})
OPERATORS = frozenset({Role.OPERATOR})
ADVISERS = frozenset({Role.ADVISER, Role.HANDLER, Role.SYSTEM})
