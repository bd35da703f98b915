"""The registry of criteria: what an ended run is asked. The first five need a judge, the others are code."""

from collections.abc import Callable, Mapping

from evaluation.criteria.accuracy import accuracy
from evaluation.criteria.begging import Begging
from evaluation.criteria.groundedness import groundedness
from evaluation.criteria.helpfulness import helpfulness
from evaluation.criteria.instruction_following import instruction_following
from evaluation.criteria.measured import Latency, Length, ToolSuccess
from evaluation.criteria.refusal import Refusal
from evaluation.criteria.safety import safety
from evaluation.criteria.types import Criterion

CRITERIA: Mapping[str, Callable[[], Criterion]] = {
    "accuracy": accuracy,
    "helpfulness": helpfulness,
    "safety": safety,
    "groundedness": groundedness,
    "instruction_following": instruction_following,
    "latency": Latency,
    "tool_success": ToolSuccess,
    "length": Length,
    "refusal": Refusal,
    "begging": Begging,
}
