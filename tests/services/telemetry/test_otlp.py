"""What a collector is sent: OpenTelemetry's spans, by its own SDK."""

import gzip
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from services.telemetry import genai
from services.telemetry.otlp import OtlpSink
from services.telemetry.spans import Kind
from services.telemetry.tracing import Tracer
from tests.services.runs.fakes import a_run
from tests.services.telemetry.traced import NOTHING_BUT

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def exported(sampled: bool) -> tuple[ReadableSpan, ...]:
    """What is exported of a run in which a call failed, and another was cancelled."""
    exporter, run = InMemorySpanExporter(), a_run()
    tracer = Tracer("agent", [OtlpSink(SimpleSpanProcessor(exporter), source="agent")], NOTHING_BUT)
    trace = tracer.go_on(f"00-{TRACE}-{CALLER}-{'01' if sampled else '00'}", run_id=run.id, attempt=1)
    root = trace.begin("invoke_agent react", {genai.RUN_ID: run.id, genai.RESPONSE_FINISH_REASONS: ("stop",)})
    trace.begin("chat a", {genai.REQUEST_STREAM: True}, kind=Kind.CLIENT).end("model_error")
    trace.begin("chat b", {}, kind=Kind.CLIENT).end("cancelled")
    trace.event("happened", {genai.RUN_ID: run.id})
    root.end()
    trace.keep()
    tracer.end(trace)
    return exporter.get_finished_spans()


def test_spans_are_exported_as_they_are() -> None:
    """Ids, parents, kinds, times, attributes, events, and how they ended."""
    root, failed, cancelled = exported(sampled=True)
    assert root.context is not None
    assert root.parent is not None
    assert (f"{root.context.trace_id:032x}", f"{root.parent.span_id:016x}") == (TRACE, CALLER)
    assert (root.kind, failed.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    assert [span.parent.span_id for span in (failed, cancelled) if span.parent] == [root.context.span_id] * 2
    assert (root.status.status_code, failed.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
    assert cancelled.status.status_code is StatusCode.UNSET
    assert (failed.attributes or {})[genai.ERROR_TYPE] == "model_error"
    assert isinstance((root.attributes or {})[genai.RUN_ID], str)
    assert [event.name for event in root.events] == ["happened"]
    assert (root.start_time or 0) < (failed.start_time or 0) < (failed.end_time or 0) <= (root.end_time or 0)
    assert root.resource.attributes["service.name"] == "mainstay-agent"


def test_what_was_kept_after_all_is_exported_too() -> None:
    """The SDK drops what is not marked as sampled."""
    assert len(exported(sampled=False)) == 3


class _Collector(BaseHTTPRequestHandler):
    bodies: "queue.Queue[tuple[str, bytes]]"

    def do_POST(self) -> None:
        self.bodies.put((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_a_collector_is_sent_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """By OTLP over HTTP, to where the environment says, and what is left when the replica stops."""
    handler = type("Collector", (_Collector,), {"bodies": queue.Queue()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        sink = OtlpSink.open("agent")
        tracer = Tracer("agent", [sink], NOTHING_BUT)
        trace = tracer.go_on(f"00-{TRACE}-{CALLER}-01", run_id=a_run().id)
        trace.begin("invoke_agent react", {}).end()
        tracer.end(trace)
        sink.close()
        server.shutdown()
    path, body = handler.bodies.get_nowait()
    [resource] = ExportTraceServiceRequest.FromString(gunzipped(body)).resource_spans
    [span] = resource.scope_spans[0].spans
    assert path == "/v1/traces"
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("invoke_agent react", TRACE, CALLER)


def gunzipped(body: bytes) -> bytes:
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
