"""The PromQL that panels have in common.

Rates are over `$__rate_interval`, which Grafana makes fit the scrape interval. Nothing uses a histogram's `_sum`: Ray fills it
with the middles of buckets.
"""

from collections.abc import Mapping


def rate(metric: str, by: str, labels: str = "") -> str:
    """Return how much a counter of ours grows a second, by some of its labels."""
    return f"sum by ({by}) (rate(ray_mainstay_{metric}_total{labels}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "") -> str:
    """Return what this share of a histogram's observations does not exceed."""
    grouped = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, sum by ({grouped}) (rate(ray_mainstay_{metric}_bucket[$__rate_interval])))"


def quantiles(metric: str) -> Mapping[str, str]:
    """Return the usual quantiles of a histogram, by their names."""
    return {f"p{round(100 * share)}": quantile(share, metric) for share in (0.5, 0.95, 0.99)}
