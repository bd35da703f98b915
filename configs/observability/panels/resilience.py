"""Providers, tools, and what stands between them and a run."""

from configs.observability.dashboards import Dashboard, Panel
from configs.observability.queries import quantile, rate

RESILIENCE = Dashboard(
    uid="mainstay-resilience",
    title="Mainstay: resilience",
    panels=(
        Panel(
            title="Breakers",
            description="0 closed, 1 half-open, 2 open: the worst of all replicas.",
            queries={"{{breaker}}": "max by (breaker) (ray_mainstay_breaker_state)"},
            unit="none",
        ),
        Panel(
            title="Changes of breakers",
            description="By the state that they came to, in ten minutes.",
            queries={
                "{{breaker}} {{state}}": "sum by (breaker, state) (increase(ray_mainstay_breaker_changes_total[10m]))"
            },
        ),
        Panel(
            title="Model calls by outcome",
            description="Attempts at providers: ok, an error code, or stopped.",
            queries={"{{provider}} {{outcome}}": rate("model_calls", "provider, outcome")},
            unit="reqps",
            stacked=True,
        ),
        Panel(
            title="Retries",
            description="Calls that were sent to the same provider again.",
            queries={"{{provider}}": rate("model_retries", "provider")},
            unit="reqps",
        ),
        Panel(
            title="Fail-overs",
            description="Calls that came to a provider because those before it failed or were out of service.",
            queries={"{{provider}}": rate("model_fail_overs", "provider")},
            unit="reqps",
        ),
        Panel(
            title="Places at providers",
            description="Calls that may await their first content at once, over all replicas.",
            queries={"{{provider}}": "sum by (provider) (ray_mainstay_model_limit_calls)"},
        ),
        Panel(
            title="First content of a call, 95 %",
            description="From sending a call to its first content, by provider.",
            queries={"{{provider}}": quantile(0.95, "model_first_content_seconds", "provider")},
            unit="s",
        ),
        Panel(
            title="Time between tokens, 95 %",
            description="The mean of each call, by provider.",
            queries={"{{provider}}": quantile(0.95, "model_inter_token_seconds", "provider")},
            unit="s",
        ),
        Panel(
            title="Work refused for overload",
            description="By priority: the judge's work goes first.",
            queries={"{{priority}}": rate("requests_shed", "priority")},
            unit="reqps",
            stacked=True,
        ),
        Panel(
            title="Tool calls by outcome",
            description="Calls that models asked for.",
            queries={"{{tool}} {{outcome}}": rate("tool_calls", "tool, outcome")},
            unit="reqps",
            stacked=True,
        ),
        Panel(
            title="Tools' rate of success",
            description="Share of the last five minutes' calls that gave a result, the worst of all replicas.",
            queries={"{{tool}}": "min by (tool) (ray_mainstay_tool_call_success_rate)"},
            unit="percentunit",
        ),
        Panel(
            title="Duration of tool calls, 95 %",
            description="From a call's start to its result.",
            queries={"{{tool}}": quantile(0.95, "tool_call_duration_seconds", "tool")},
            unit="s",
        ),
    ),
)
