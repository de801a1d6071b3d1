"""Sends spans to OpenTelemetry's collector, over OTLP/HTTP. Loaded only where that is asked for."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import StatusCode

from loket import tracing
from loket.tracing import Told, Trace

STOP_MILLISECONDS = 2_000
_KINDS = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}


class Otlp:
    """Where to, how often and how much: by OpenTelemetry's own variables (OTEL_…)."""

    def __init__(self, service: str, exporter: SpanExporter | None = None) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.namespace": "loket", "service.name": service}),
            id_generator=_OurIds(),
            shutdown_on_exit=False,
        )
        self._processor = BatchSpanProcessor(exporter or OTLPSpanExporter())
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("loket")

    def span(self, name: str, kind: str, told: dict[str, Told]) -> AbstractContextManager["OtlpSpan"]:
        return self._spanned(name, _KINDS[kind], told)

    def stop(self) -> None:
        self._processor.force_flush(STOP_MILLISECONDS)
        self._provider.shutdown()

    @contextmanager
    def _spanned(self, name: str, kind: SpanKind, told: dict[str, Told]) -> Iterator["OtlpSpan"]:
        said = {_dotted(one): value for one, value in told.items()}
        with tracing.within() as trace:
            mine = self._tracer.start_span(name, _above(trace), kind, attributes=said)
            known = mine.get_span_context()
            token = tracing.current.set(
                Trace(trace.id, otel.format_span_id(known.span_id), known.trace_flags.sampled)
            )
            try:
                yield OtlpSpan(mine)
            except BaseException as fault:
                mine.set_status(StatusCode.ERROR)
                # its kind alone: what it says may hold somebody's data
                mine.set_attribute("error.type", type(fault).__name__)
                raise
            finally:
                tracing.current.reset(token)
                mine.end()


class OtlpSpan:
    def __init__(self, span: otel.Span) -> None:
        self._span = span

    def say(self, name: str, value: Told, /) -> None:
        self._span.set_attribute(_dotted(name), value)

    def rename(self, name: str, /) -> None:
        self._span.update_name(name)


class _OurIds(RandomIdGenerator):
    """A trace is named before its first span begins: what it is called stands in the log as well."""

    def generate_trace_id(self) -> int:
        trace = tracing.current.get()
        return int(trace.id, 16) if trace is not None else super().generate_trace_id()


def _dotted(name: str) -> str:
    return name.replace("__", ".")


def _above(trace: Trace) -> Context:
    """OpenTelemetry's context for a span of `trace`: nothing of its own notion of what is going on."""
    if not trace.span:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    known = SpanContext(int(trace.id, 16), int(trace.span, 16), is_remote=True, trace_flags=flags)
    return otel.set_span_in_context(otel.NonRecordingSpan(known), Context())
