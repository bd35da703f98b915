"""How many runs there are, how they end, and how long they take."""

from configs.observability.dashboards import Dashboard, Panel
from configs.observability.queries import quantile, quantiles, rate

TRAFFIC = Dashboard(
    uid="mainstay-traffic",
    title="Mainstay: traffic",
    panels=(
        Panel(
            title="Runs by status",
            description="Runs that ended, a second.",
            queries={"{{status}}": rate("runs", "status")},
            unit="reqps",
            stacked=True,
        ),
        Panel(
            title="Runs that failed, by code",
            description="The code is the one that clients get.",
            queries={"{{code}}": rate("runs", "code", '{status="failed"}')},
            unit="reqps",
            stacked=True,
        ),
        Panel(
            title="Runs that count against availability",
            description="Share of runs that failed for a reason of ours, or were refused for lack of room; 0.5 % are allowed.",
            queries={"5 minutes": "mainstay:bad_runs:ratio_rate5m", "1 hour": "mainstay:bad_runs:ratio_rate1h"},
            unit="percentunit",
        ),
        Panel(
            title="Time to first text",
            description="From the start of a run in its replica to the first text of its answer.",
            queries=quantiles("time_to_first_text_seconds"),
            unit="s",
        ),
        Panel(
            title="Time to first text, 95 % by graph",
            description="95 % should begin within 5 s.",
            queries={"{{graph}}": "mainstay:time_to_first_text_seconds:p95_5m"},
            unit="s",
        ),
        Panel(
            title="Duration of runs",
            description="From the start of a run in its replica to the record of its end.",
            queries=quantiles("run_duration_seconds"),
            unit="s",
        ),
        Panel(
            title="Time until an agent has decided, 95 %",
            description="From a graph's question to a model to the first of text or of a tool call, retries included.",
            queries={"{{graph}}": quantile(0.95, "agent_decision_latency_seconds", "graph")},
            unit="s",
        ),
        Panel(
            title="Age of the queue",
            description="For how long the oldest background run has waited.",
            queries={"oldest": "max(ray_mainstay_queue_age_seconds)"},
            unit="s",
        ),
        Panel(
            title="Lag of the event log",
            description="The age of the oldest event that is not stored, of the replica that is furthest behind.",
            queries={"furthest": "max(ray_mainstay_event_log_lag_seconds)"},
            unit="s",
        ),
        Panel(
            title="Requests at the ingress replicas",
            description="Requests and streams that are being served, by deployment: Ray's own count.",
            queries={"{{deployment}}": "sum by (deployment) (ray_serve_replica_processing_queries)"},
        ),
        Panel(
            title="Webhooks",
            description="Attempts to tell of a run's end, by what came of them.",
            queries={"{{outcome}}": rate("webhook_attempts", "outcome")},
            unit="reqps",
            stacked=True,
        ),
        Panel(
            title="Traces dropped",
            description="Parts of traces that were to be kept and are not in the runs' record.",
            queries={"dropped": "sum(rate(ray_mainstay_traces_dropped_total[$__rate_interval]))"},
            unit="reqps",
        ),
        Panel(
            title="Rows let go of",
            description="What was past its time, by kind.",
            queries={"{{kind}}": "sum by (kind) (increase(ray_mainstay_pruned_rows_total[1h]))"},
        ),
    ),
)
