"""Traces to a collector by OTLP over HTTP: the one module that imports OpenTelemetry, and only where a collector is configured.

The SDK exports here, and no more: what is a span, whether it is kept, and where it belongs is decided before, by
`services.telemetry.tracing`. The SDK decides about sampling when a span begins, and nobody knows then how a run will end.
Where to, with what headers and how patiently is its exporter's to read, in the variables `OTEL_EXPORTER_OTLP_*`.
"""

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from services.errors import ConfigurationError
from services.telemetry import genai
from services.telemetry.recorded import RecordedSpan, RecordedTrace
from services.telemetry.spans import CANCELLED, Attributes, Kind, Value
from services.telemetry.texts import attribute

_KINDS = {Kind.INTERNAL: SpanKind.INTERNAL, Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT}
_SCOPE = InstrumentationScope("mainstay")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Processor(Protocol):
    """The SDK's `SpanProcessor`, as far as it is used here."""

    def on_end(self, span: ReadableSpan) -> None: ...

    def shutdown(self) -> None: ...


class OtlpSink:
    """Implements `TraceSink`. The SDK's processor has a thread and a bounded queue of its own, and drops what does not fit."""

    def __init__(self, processor: Processor, *, source: str) -> None:
        self._processor = processor
        self._resource = Resource.create({"service.namespace": "mainstay", "service.name": f"mainstay-{source}"})

    @classmethod
    def open(cls, source: str) -> "OtlpSink":
        """Send to where the environment says. Raises ConfigurationError where the exporter is not installed."""
        return cls(BatchSpanProcessor(exporter_class()()), source=source)

    def add(self, trace: RecordedTrace) -> None:
        for span in trace.spans:
            self._processor.on_end(readable(trace, span, self._resource))

    def close(self) -> None:
        """Send what is left. Waits for the collector: call it in a thread."""
        self._processor.shutdown()


def exporter_class() -> Callable[[], SpanExporter]:
    """Return what makes an exporter to where the environment says. Raises ConfigurationError where it is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ConfigurationError(
            "A collector of traces is configured (OTEL_EXPORTER_OTLP_ENDPOINT), and needs the package: "
            "pip install 'mainstay[otlp]'."
        ) from error
    return OTLPSpanExporter


def readable(trace: RecordedTrace, span: RecordedSpan, resource: Resource) -> ReadableSpan:
    """Return a span as the SDK's exporters take it. Whatever is exported counts as sampled."""
    attributes = _plain(span.attributes)
    if span.error is not None:
        attributes[genai.ERROR_TYPE] = span.error
    failed = span.error is not None and span.error != CANCELLED
    return ReadableSpan(
        name=span.name,
        context=_context(trace.trace_id, span.id),
        parent=None if span.parent_id is None else _context(trace.trace_id, span.parent_id),
        resource=resource,
        attributes=attributes,
        events=[Event(event.name, _plain(event.attributes), event.at_ns) for event in span.events or ()],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.error) if failed else Status(StatusCode.UNSET),
        start_time=span.started_ns,
        end_time=span.ended_ns,
        instrumentation_scope=_SCOPE,
    )


def _plain(attributes: Attributes) -> dict[str, AttributeValue]:
    return {name: _value(value) for name, value in attributes.items()}


def _value(value: Value) -> AttributeValue:
    if isinstance(value, str):
        return attribute(value)
    if isinstance(value, bool | int | float):
        return value
    return str(value) if isinstance(value, UUID) else [attribute(item) for item in value]


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
