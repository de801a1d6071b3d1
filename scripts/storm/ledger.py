"""What clients were told during a storm, and what was done to the town: one line of JSON for each.

The judge reads three accounts of the same thing: Loket's rows, the sandbox's records, and this.
A line is written before the next thing is done, so that it is there whatever ends afterwards.

    begun         seed, minutes, api, workers, database, home, url, desk
    asked         call, who, field, key, variables        a mutation that goes out for the first time
    unanswered    call, why                               a try of it of which nobody knows what came
    answered      call, who, field, key, data, codes      data: the payload; codes: of its `errors`, [] = done
    faulted       call, field, key, status, errors        errors at the top of the answer, or another status
    case          id, reference, procedure, who, insz     a case that a citizen was told of
    outside       system, method, path, fields, status    what somebody did at the sandbox, answered
    checkout      case, invoice, url                      a payment page somebody was sent to
    paid          case, url                               a payment page said that it was paid
    ended         case, status, wished, seconds           a story that ended, and how it was meant to
    broke         case, at, why                           a story that could not go on
    raced         race, asked, won, told                  many at once: how many, how many succeeded, codes
    connected     subscriber, about, connection, after    `connection` counts from 1; `after`: the cursor;
                                                          `about`: case REFERENCE, citizen WHO, staff WHO,
                                                          who has `sees`: the procedures of their departments
    seen          subscriber, connection, event           event: id, cursor, type, status, reference
    cut           subscriber, connection, why
    struck        blow, target, pid, system, fault, seconds   see BLOWS
    calm                                                  all faults cleared, everybody lives
    quiet         seconds                                 nothing under way any more, this long after `calm`

`who` is a persona of the sandbox; `call` is the number of a wish: its repeats carry the same key and number.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import orjson

Json = dict[str, Any]

BLOWS = ("kill", "terminate", "stop", "continue", "spoil", "mend", "start")
"""kill: SIGKILL; terminate: pg_terminate_backend; stop, continue: SIGSTOP, SIGCONT; spoil, mend: a fault of a
system of the sandbox; start: the harness started a process again."""


@dataclass(frozen=True)
class Line:
    at: datetime
    kind: str
    facts: Json

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  # any JSON
        return self.facts[name]

    def get(self, name: str, otherwise: object = None) -> Any:  # noqa: ANN401  # any JSON
        return self.facts.get(name, otherwise)


class Ledger:
    """Kept by one process; every line is with the system when `write` comes back."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self.counts: dict[str, int] = defaultdict(int)
        self._out = file.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()

    def write(self, kind: str, **facts: object) -> None:
        self.counts[kind] += 1
        line = {"at": time.time(), "kind": kind, **facts}
        self._out.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE, default=str))


@dataclass
class Journal:
    """A ledger that was read again."""

    lines: list[Line] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> Self:
        return cls(list(_lines(file)))

    def of(self, *kinds: str) -> list[Line]:
        return [one for one in self.lines if one.kind in kinds]

    def acknowledged(self, name: str | None = None) -> list[Line]:
        """The mutations that were answered without an error, of one field perhaps, in order."""
        return [
            one for one in self.of("answered") if not one["codes"] and (name is None or one["field"] == name)
        ]

    def seen(self) -> dict[str, list[Line]]:
        """What each subscriber saw, in the order in which it came, over all its connections."""
        found: dict[str, list[Line]] = defaultdict(list)
        for one in self.of("seen"):
            found[one["subscriber"]].append(one)
        return dict(found)

    def blows(self, *blows: str) -> list[Line]:
        return [one for one in self.of("struck") if one["blow"] in blows]

    def calm_at(self) -> datetime | None:
        """When all was mended; None in the ledger of a run that was broken off."""
        return next((one.at for one in reversed(self.lines) if one.kind == "calm"), None)


def _lines(file: Path) -> Iterator[Line]:
    with file.open("rb") as kept:
        for text in kept:
            if not text.endswith(b"\n"):
                return  # the writer was killed in the middle of it
            facts = orjson.loads(text)
            yield Line(datetime.fromtimestamp(facts.pop("at"), UTC), facts.pop("kind"), facts)
