"""What was made lately and may be wanted again: bounded in number and in weight."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The most recently used of something, bounded in number and in weight."""

    def __init__(self, most: int, weight: int | None = None) -> None:
        self._most = most
        self._weight = weight
        self._total = 0
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._items.get(key)
        if found is None:
            return None
        self._items.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        _, replaced = self._items.pop(key, (None, 0))
        self._items[key] = value, weight
        self._total += weight - replaced
        while len(self._items) > self._most or (self._weight is not None and self._total > self._weight):
            _, (_, gone) = self._items.popitem(last=False)
            self._total -= gone

    def __len__(self) -> int:
        return len(self._items)
