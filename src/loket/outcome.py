"""How carrying out an effect ends well. What does not end well is a `Failed`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from loket.work import Work


@dataclass(frozen=True)
class Done:
    """The other side has it. `then` writes down what that changes, with the effect's own end."""

    receipt: dict[str, Any] = field(default_factory=dict)
    then: Callable[[Work], Awaitable[None]] | None = None
