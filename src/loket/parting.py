"""However long a process would still like to stay: once it was told to end, it ends."""

import signal

SECONDS = 12
"""Longer than everything that may be under way is waited for."""


def begin() -> None:
    """From now on it has `SECONDS`; then the system ends it, whatever hangs.

    A task can swallow its cancellation (asyncio.wait_for before Python 3.12 can), and an
    event loop waits for its tasks without end. Where nobody looks after the process any more, it would stay.
    """
    signal.alarm(SECONDS)
