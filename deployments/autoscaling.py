"""How many agent replicas: by the runs they execute, whether or not anybody reads them."""

import math
from typing import Any

from ray.serve.config import AutoscalingContext


def by_runs(ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """Return replicas for (ongoing requests + detached runs) / target_ongoing_requests, and no state.

    Serve's own policy counts requests, and a run whose client has left is none. Serve applies the delays and bounds.
    """
    detached = (ctx.aggregated_metrics or {}).get("detached_runs", {})
    runs = ctx.total_num_requests + sum(detached.values())
    target = 1.0 if ctx.config is None else ctx.config.target_ongoing_requests
    return math.ceil(runs / target), {}
