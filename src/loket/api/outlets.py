"""Where the answers to one subscriber go, and how they are sent without a task for each."""

import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Protocol


class Gone(Exception):
    """Nobody reads any more what is sent."""


class Outlet(Protocol):
    """Where the answers to one subscriber go."""

    async def send(self, body: bytes, cursor: str) -> None:
        """Waits while the other side takes no more. Raises `Gone`."""

    async def end(self, fault: Exception) -> None:
        """The last word: why nothing more comes. Raises `Gone`."""

    def forbid(self) -> None:
        """Who follows is not who they were: they must sign in anew."""


def begin(sending: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """Run it up to where it would wait; the rest is for a task, which most never need."""
    try:
        waited = sending.send(None)
    except StopIteration:
        return None
    return _rest(sending, waited)


@types.coroutine
def _rest(sending: Coroutine[Any, Any, None], waited: Any) -> Generator[Any, Any, None]:  # noqa: ANN401  # of the event loop
    try:
        while True:
            try:
                yield waited
            except BaseException as fault:  # noqa: BLE001  # it is for who waits within
                waited = sending.throw(fault)
            else:
                waited = sending.send(None)
    except StopIteration:
        return
