"""What a process says of itself: one JSON object a line on standard error, without personal data.

But for the last words of one that hung at its end (`parting`), which are the places in the code where it did.

The lines of one request carry its id, which the caller gets as X-Request-Id; so do those of the effects that
follow from it, in whatever process. Where a caller gave an id of its own, the trace's stands beside it.
"""

import asyncio
import contextlib
import logging
import re
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from traceback import TracebackException
from typing import Any, BinaryIO

import orjson

from loket import tracing

TOGETHER_SECONDS = 0.1
"""How long a line that tells of nothing wrong may wait, so that lines are written together."""

request_id: ContextVar[str] = ContextVar("request_id", default="")
_VALUES = re.compile(
    r"^\s*(DETAIL:|CONTEXT:|LINE \d+:|\[parameters:|input_value=).*$"
    r"|'[^'\n]*'|\"[^\"\n]*\"|(?<==)\([^)\n]*\)",
    re.MULTILINE,
)
"""Where a fault repeats what it stumbled over: a row, a parameter, a value. That is somebody's data."""
_PRIVATE = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # an e-mail address
    r"|(?<![\w-])\d{2}[. -]?\d{2}[. -]?\d{2}[. -]?\d{3}[. -]?\d{2}(?![\w-])"  # a national number
    r"|(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![\w-])"  # an account
    r"|(?<![\w-])(?:\+|00)\d[\d ./]{7,14}(?![\w-])"  # a phone number
    # one of this country: nine or ten digits, but no number of an enterprise
    r"|(?<![\w-])(?!\d{4}\.\d{3}\.\d{3})0[1-9](?=(?:[ ./]?\d){7,8}(?![\w/:-]|\.\d))(?:[ ./]?\d{2,3}){3,4}"
)
"""What is somebody's by its look. No line of ours is meant to hold such: this is the net under them."""
LEFT_OUT = "(left out)"


class JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _PRIVATE.sub(LEFT_OUT, record.getMessage()),
        }
        trace = tracing.current.get()
        asked = request_id.get() or (trace.id if trace is not None else "")
        if asked:
            line["request"] = asked
        if trace is not None and trace.id != asked:
            line["trace"] = trace.id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802  # logging's
        """Where it happened, and what kind of fault: of its words only those that are no one's."""
        return "".join(_told(TracebackException(*ei))).rstrip()


def _told(fault: TracebackException) -> Iterator[str]:
    before = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
    if before is not None:
        yield from _told(before)
        yield "\nthen\n\n"
    yield from fault.stack.format()
    for words in fault.format_exception_only():
        yield _PRIVATE.sub(LEFT_OUT, _VALUES.sub(LEFT_OUT, words))
    for one in fault.exceptions or ():
        yield from _told(one)


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
    # a call to another system is an attempt in the database already; uvicorn tells who opened which socket
    for noisy in ("uvicorn.error", "httpx2", "httpcore2", "httpx", "httpcore", "twilio", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)
