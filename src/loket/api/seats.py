"""How many connections a caller may keep open in a process: a client gone astray opens them without end."""

from collections import Counter
from collections.abc import Callable


class Seats:
    """Counts what is open, by who has it. `most`: 0 for no limit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    def take(self, holder: str) -> Callable[[], None] | None:
        """A seat, and how it is left, once; None where this holder has all that they may."""
        if self.most and self._taken[holder] >= self.most:
            return None
        self._taken[holder] += 1
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._taken[holder] -= 1
                if not self._taken[holder]:
                    del self._taken[holder]

        return leave
