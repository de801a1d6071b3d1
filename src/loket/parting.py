"""However long a process would still like to stay: once it was told to end, it ends."""

import faulthandler

SECONDS = 12
"""Longer than everything that may be under way is waited for."""


def begin() -> None:
    """From now on it has `SECONDS`; then it ends with exit code 1, whatever hangs, and says where it hung.

    A task can swallow its cancellation (asyncio.wait_for before Python 3.12 can), and an
    event loop waits for its tasks without end. Where nobody looks after the process any more, it would stay.
    The watch is a thread of its own: a signal does not end the first process of a container.
    """
    faulthandler.dump_traceback_later(SECONDS, exit=True)
