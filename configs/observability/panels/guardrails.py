"""What is held back, refused and denied."""

from configs.observability.dashboards import Dashboard, Panel
from configs.observability.queries import quantile, rate

GUARDRAILS = Dashboard(
    uid="mainstay-guardrails",
    title="Mainstay: guardrails",
    panels=(
        Panel(
            title="Verdicts of the guard",
            description="On input and on tool results; an error code where there was no verdict.",
            queries={"{{stage}} {{verdict}}": rate("guard_verdicts", "stage, verdict")},
            unit="reqps",
            stacked=True,
        ),
        Panel(
            title="Rules behind verdicts",
            description="What flagged, redacted or blocked.",
            queries={"{{rule}}": rate("guard_verdicts", "rule", '{rule!="none"}')},
            unit="reqps",
        ),
        Panel(
            title="Time of a check, 95 %",
            description="As whoever asks sees it.",
            queries={"{{stage}}": "mainstay:guard_check_seconds:p95_5m"},
            unit="s",
        ),
        Panel(
            title="Runs with something withheld",
            description="By rule of the output screen, and whether it redacted or ended the answer.",
            queries={"{{rule}} {{action}}": rate("runs_withheld", "rule, action")},
            unit="reqps",
        ),
        Panel(
            title="Characters taken back",
            description="Shown ahead of their verdict, and retracted.",
            queries={"{{rule}}": rate("output_retracted_chars", "rule")},
        ),
        Panel(
            title="Verdicts of semantic checks",
            description="On sentences of answers.",
            queries={"{{check}} {{verdict}}": rate("semantic_verdicts", "check, verdict")},
            unit="reqps",
        ),
        Panel(
            title="Slowest sentence of a run, 95 %",
            description="The longest that a semantic check took for one sentence.",
            queries={"{{check}}": quantile(0.95, "semantic_check_seconds", "check")},
            unit="s",
        ),
        Panel(
            title="Refused keys and tokens",
            description="Requests that got a 401, by reason.",
            queries={"{{reason}}": rate("access_refused", "reason")},
            unit="reqps",
        ),
        Panel(
            title="Denied permissions",
            description="Requests that got a 403, by permission.",
            queries={"{{permission}}": rate("permissions_denied", "permission")},
            unit="reqps",
        ),
        Panel(
            title="Refusals missing in the audit trail",
            description="Too many kinds of them at once.",
            queries={"missing": "sum(rate(ray_mainstay_audit_events_dropped_total[$__rate_interval]))"},
            unit="reqps",
        ),
        Panel(
            title="Fetches of the identity provider's keys",
            description="By what came of them.",
            queries={"{{outcome}}": rate("key_set_fetches", "outcome")},
            unit="reqps",
        ),
    ),
)
