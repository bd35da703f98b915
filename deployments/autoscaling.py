"""How many replicas: by the work they have, whether or not Serve sees it.

The policy of the whole application (`autoscaling_policy` in serve_config.yaml). It is named there, and not under a
deployment, because Serve reads that name in the process that builds the application, which has our code; a deployment's is
read by the command line and the dashboard too. Serve pickles this module by value: it may import nothing of ours.
"""

from collections.abc import Mapping
from typing import Any

from ray.serve.config import AutoscalingContext

UNSEEN_WORK = "unseen_work"
"""What a replica reports in `record_autoscaling_stats`: runs without a reader, queued samples, checks that
share a call. Serve counts calls only.
"""


def by_work(contexts: Mapping[Any, AutoscalingContext]) -> tuple[dict[Any, float], dict[Any, dict[str, Any]]]:
    """Return (ongoing requests + unseen work) / target_ongoing_requests for each deployment, and no state.

    Serve rounds up and applies the delays and bounds of each deployment's autoscaling_config.
    """
    return {deployment: _replicas(context) for deployment, context in contexts.items()}, {}


def _replicas(context: AutoscalingContext) -> float:
    if context.config is None or context.current_num_replicas == 0:
        return float(context.target_num_replicas)
    unseen = (context.aggregated_metrics or {}).get(UNSEEN_WORK, {})
    target: float = context.config.target_ongoing_requests
    return (context.total_num_requests + sum(unseen.values())) / target
