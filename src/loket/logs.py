"""What a process says of itself: one JSON object a line on standard error, without personal data.

The lines of one request carry its id, which the caller gets as X-Request-Id.
"""

import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson

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
        asked = request_id.get()
        if asked:
            line["request"] = asked
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = _VALUES.sub("(left out)", self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()


def configure() -> None:
    """For a whole process: all loggers, warnings of Python's own included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # each call to another system is an attempt in the database already
    for noisy in ("httpx2", "httpcore2", "httpx", "httpcore", "twilio", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)
