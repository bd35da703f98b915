"""What the judge makes of finished runs."""

from services.telemetry.metrics.meter import Metric

SAMPLES_DROPPED = Metric(
    name="mainstay_samples_dropped",
    kind="counter",
    description="Samples that were never scored: the evaluator's queue was full, or their scores could not be stored.",
)
