"""What the dashboards show. Ray's own show the rest: requests by route, replicas, autoscaling, event loops, nodes."""

from collections.abc import Sequence

from configs.observability.dashboards import Dashboard
from configs.observability.panels.cost import COST
from configs.observability.panels.guardrails import GUARDRAILS
from configs.observability.panels.quality import QUALITY
from configs.observability.panels.resilience import RESILIENCE
from configs.observability.panels.traffic import TRAFFIC

DASHBOARDS: Sequence[Dashboard] = (TRAFFIC, RESILIENCE, QUALITY, COST, GUARDRAILS)
