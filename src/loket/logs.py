"""What a process says of itself: one JSON object a line on standard error, without personal data.

The lines of one request carry its id, which the caller gets as X-Request-Id; so do those of the effects that
follow from it, in whatever process. Where a caller gave an id of its own, the trace's stands beside it.
"""

import asyncio
import contextlib
import logging
import re
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import BinaryIO

import orjson

from loket import tracing

TOGETHER_SECONDS = 0.1
"""How long a line that tells of nothing wrong may wait, so that lines are written together."""

request_id: ContextVar[str] = ContextVar("request_id", default="")
_VALUES = re.compile(r"^(DETAIL:|CONTEXT:|\[parameters:).*$", re.MULTILINE)
"""Where PostgreSQL and SQLAlchemy repeat the row that went wrong: it holds somebody's data."""


class JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = tracing.current.get()
        asked = request_id.get() or (trace.id if trace is not None else "")
        if asked:
            line["request"] = asked
        if trace is not None and trace.id != asked:
            line["trace"] = trace.id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = _VALUES.sub("(left out)", self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()


class Lines(logging.Handler):
    """Writes the lines of an event loop together; a warning at once, with all that came before it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._kept: list[str] = []
        self._due: float | None = None
        """When what is kept will be written; time.monotonic()."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._kept.append(self.format(record))
            if record.levelno > logging.INFO or not self._may_wait():
                self.flush()
        except Exception:  # noqa: BLE001  # as every handler: a log must not break what it tells of
            self.handleError(record)

    def _may_wait(self) -> bool:
        if self._due is not None:
            return time.monotonic() < self._due  # of a loop that has ended nobody comes any more
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        loop.call_later(TOGETHER_SECONDS, self.flush)
        self._due = time.monotonic() + TOGETHER_SECONDS
        return True

    def flush(self) -> None:
        with self.lock or contextlib.nullcontext():
            kept, self._kept, self._due = self._kept, [], None
            if kept:
                self._stream.write("".join(f"{line}\n" for line in kept).encode())
                self._stream.flush()


def configure() -> None:
    """For a whole process: all loggers, warnings of Python's own included."""
    # what no line of ours shows need not be looked up for each (see "Optimization" in logging's manual)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001  # as that manual says
    handler = Lines(sys.stderr.buffer)
    handler.setFormatter(JsonLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # each call to another system is an attempt in the database already
    for noisy in ("httpx2", "httpcore2", "httpx", "httpcore", "twilio", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)
