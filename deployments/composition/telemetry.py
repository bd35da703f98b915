"""What a replica tells about its work, as the settings say: its lines in the log, and the traces of its runs."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from configs.section import EnvRef
from configs.settings import Settings
from deployments.logs import log_to_files
from evaluation.criteria.types import Criterion
from evaluation.scoring import Traceparent
from evaluation.traced import TracedCriterion
from services.storage.database import Database
from services.storage.traces import TraceRepository
from services.telemetry.metrics import Meter
from services.telemetry.span_writer import SpanWriter
from services.telemetry.tracing import TracePolicy, Tracer, TraceSink

if TYPE_CHECKING:
    from services.telemetry.otlp import OtlpSink

COLLECTOR = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Where one of these is set, in a replica's environment, traces go to a collector as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """A replica's tracer, and what takes its traces away. Close it."""

    tracer: Tracer
    writer: SpanWriter
    writing: "asyncio.Task[None]"
    exporting: "OtlpSink | None"
    sample_rate: float

    def configure(self, sample_rate: float | None) -> None:
        """Trace this share of the runs from now on; None is what the settings say."""
        self.tracer.sample_rate = self.sample_rate if sample_rate is None else sample_rate

    async def aclose(self) -> None:
        """Store what was traced last, and send it."""
        self.writing.cancel()
        await asyncio.wait([self.writing])
        await self.writer.flush()
        await _close(self.exporting)


def open_tracing(settings: Settings, deployment: str, database: Database, meter: Meter) -> Tracing:
    """Open what the replica traces with. Raises ConfigurationError for a collector without an exporter for it."""
    writer = SpanWriter(TraceRepository(database), meter)
    exporting = _exporting(deployment, os.environ)
    sinks: list[TraceSink] = [writer] if exporting is None else [writer, exporting]
    chosen = settings.tracing
    policy = TracePolicy(
        sample_rate=chosen.sample_rate, max_extra_per_s=chosen.max_extra_per_s, max_spans=chosen.max_spans
    )
    return Tracing(
        tracer=Tracer(deployment, sinks, policy),
        writer=writer,
        writing=asyncio.create_task(writer.write_forever()),
        exporting=exporting,
        sample_rate=chosen.sample_rate,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingTraces:
    """Judging in the traces of the runs that are judged, where there is a collector for those. Close it.

    `traceparent` finds a run's, and is None where nothing is traced.
    """

    traceparent: Traceparent | None
    exporting: "OtlpSink | None"

    def traced(self, criteria: Iterable[Criterion]) -> list[Criterion]:
        if self.exporting is None:
            return [*criteria]
        tracer = Tracer("evaluator", [self.exporting])
        return [TracedCriterion(criterion, tracer) for criterion in criteria]

    async def aclose(self) -> None:
        """Send what was traced last."""
        await _close(self.exporting)


def open_judging_traces(database: Database) -> JudgingTraces:
    """Open what the evaluator traces with. Raises ConfigurationError for a collector without an exporter for it."""
    exporting = _exporting("evaluator", os.environ)
    return JudgingTraces(
        traceparent=None if exporting is None else TraceRepository(database).traceparent, exporting=exporting
    )


def check_exporter(environ: Mapping[str, str]) -> None:
    """Raise ConfigurationError where there is a collector, and nothing that could send to it."""
    if _has_collector(environ):
        from services.telemetry.otlp import exporter_class

        exporter_class()


def _has_collector(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in COLLECTOR)


def _exporting(deployment: str, environ: Mapping[str, str]) -> "OtlpSink | None":
    if not _has_collector(environ):
        return None
    from services.telemetry.otlp import OtlpSink  # imports OpenTelemetry, which nobody else needs

    return OtlpSink.open(deployment)


async def _close(exporting: "OtlpSink | None") -> None:
    if exporting is not None:
        await asyncio.to_thread(exporting.close)


def open_logs(settings: Settings) -> None:
    """Have the replica's lines written. Tenants are in them under names that follow from the pepper of the keys."""
    pepper = settings.security.key_pepper.resolve(os.environ)
    log_to_files(settings.logs, key=pepper, secrets=secrets_of(settings, os.environ))


def secrets_of(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Return every secret that the settings name, and that is set: none of them is ever to be in a line."""
    alerts = settings.alerts
    named = [settings.database.url, settings.security.key_pepper, settings.webhooks.secret, settings.limits.redis_url]
    named += [alerts.webhook_url, alerts.webhook_secret, alerts.alertmanager_url]
    named += [provider.api_key for provider in settings.providers]
    embedding = settings.memory.embedding
    named.append(None if embedding is None else embedding.api_key)
    return [value for ref in named if isinstance(ref, EnvRef) and (value := environ.get(ref.env))]
