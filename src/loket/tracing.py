"""What belongs to one thing that was asked, over processes and to other systems (W3C Trace Context).

A trace has one id from the request on: it stands in the log, in errors, on events and effects, and goes out
as `traceparent` with every call. That much is always so, and costs next to nothing. Where
OTEL_EXPORTER_OTLP_ENDPOINT is set and the extra `otel` is installed, spans are sent there as well (`spans`).
"""

import importlib.util
import os
import pkgutil
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from uuid_utils import uuid7

WANTED_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own names; that library reads the rest of its variables itself."""
_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SAMPLED = 1

Told = str | int | float | bool
"""What a span may say: nothing that somebody typed, no name or number of a person, no address with a token.
Its name is OpenTelemetry's, with `__` for each dot."""


@dataclass(frozen=True, slots=True)
class Trace:
    id: str
    """32 hexadecimal digits."""
    span: str = ""
    """16 hexadecimal digits: within what the next span lies. Empty: there is none yet."""
    sampled: bool = False

    @property
    def parent(self) -> str:
        """As `traceparent`; without a span one is taken from the id: the header cannot do without."""
        return f"00-{self.id}-{self.span or self.id[16:]}-{int(self.sampled):02x}"

    @property
    def uuid(self) -> UUID:
        return UUID(self.id)


current: ContextVar[Trace | None] = ContextVar("trace", default=None)


class Span(Protocol):
    def say(self, name: str, value: Told, /) -> None: ...

    def rename(self, name: str, /) -> None: ...


class Sender(Protocol):
    def span(self, name: str, kind: str, told: dict[str, Told]) -> AbstractContextManager[Span]: ...

    def stop(self) -> None: ...


class _Untold:
    """A span that nobody gets."""

    def say(self, _name: str, _value: Told, /) -> None:
        return

    def rename(self, _name: str, /) -> None:
        return


_sender: Sender | None = None
UNTOLD: AbstractContextManager[Span] = nullcontext(_Untold())


def begun(traceparent: str | None = None, request_id: str = "") -> Trace:
    """The trace of what comes in: the caller's own, else named after its request id (a UUID), else new."""
    found = _PARENT.fullmatch(traceparent) if traceparent else None
    if found is not None:
        return Trace(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))
    named = request_id.replace("-", "").lower()
    return Trace(named if _TRACE_ID.fullmatch(named) else uuid7().hex)


def parent() -> str | None:
    """What to send along, and to keep with what is left for later; None outside of any trace."""
    trace = current.get()
    return trace.parent if trace is not None else None


def of_this() -> UUID | None:
    """The id of the present trace."""
    trace = current.get()
    return trace.uuid if trace is not None else None


@contextmanager
def within(trace: Trace | None = None) -> Iterator[Trace]:
    """Everything in the block belongs to `trace`; without one to the present trace, or a new one."""
    trace = trace or current.get() or begun()
    token = current.set(trace)
    try:
        yield trace
    finally:
        current.reset(token)


def span(name: str, kind: str = "internal", **told: Told) -> AbstractContextManager[Span]:
    """A part of the present trace, sent when it is over. `kind`: server, client, consumer or internal."""
    return UNTOLD if _sender is None else _sender.span(name, kind, told)


def start(service: str) -> bool:
    """Send spans from now on, where that was asked for. Whether they are.

    Raises:
        ValueError: an address or a header for OpenTelemetry is nonsense.
    """
    global _sender  # noqa: PLW0603  # of the process, as the log is
    if _sender is None and wanted() and installed():
        _sender = pkgutil.resolve_name("loket.spans:Otlp")(service)
    return _sender is not None


def stop() -> None:
    """Send what is left, for a few seconds at most."""
    global _sender  # noqa: PLW0603
    if _sender is not None:
        _sender.stop()
        _sender = None


def wanted() -> bool:
    return any(os.environ.get(name) for name in WANTED_BY)


def installed() -> bool:
    """Whether the extra `otel` is."""
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False
