"""The registry of criteria: what a judged run is asked."""

from collections.abc import Callable, Mapping

from evaluation.criteria.helpfulness import Helpfulness
from evaluation.criteria.types import Criterion

CRITERIA: Mapping[str, Callable[[], Criterion]] = {
    "helpfulness": Helpfulness,
}
