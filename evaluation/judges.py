"""A judge over a route to a model, made in one way for replicas and commands: a calibration is of what judges production."""

from collections.abc import Callable
from dataclasses import replace

from evaluation.asking import Asking
from evaluation.criteria.types import Judge
from evaluation.judge import ModelJudge
from evaluation.one_token import OneTokenJudge
from evaluation.structured import StructuredJudge
from services.limits.purse import BOTTOMLESS, Purse
from services.llm.first_token import first_tokens
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.verdicts import OF_OUR_OWN
from services.telemetry.metrics import UNMEASURED, Meter

JUDGE = "judge"
"""Under this name it pays, as nobody's user, and is measured, as no graph's."""


def open_judge(
    route: Route,
    asking: Asking,
    *,
    meter: Meter = UNMEASURED,
    purse: Callable[[], Purse] = lambda: BOTTOMLESS,
) -> tuple[Gateway, Judge]:
    """Return the judge, and the gateway below it, which is to be closed. `purse` pays for one question.

    A judge that answers without end is taken out of service as one that is down: to read that takes a processor from live
    turns.

    Raises ConfigurationError where the route's provider gives no first tokens and the style needs them.
    """
    one_token = asking.style == "one_token"
    ours = replace(route, verdicts=OF_OUR_OWN)
    gateway = Gateway([first_tokens(ours) if one_token else ours], meter=meter, graph=JUDGE)
    model = ModelJudge(gateway, timeout_s=asking.timeout_s, purse=purse, temperature=asking.temperature)
    if one_token:
        return gateway, OneTokenJudge(model, max_chars=asking.max_chars)
    return gateway, StructuredJudge(model, max_chars=asking.max_chars, max_tokens=asking.max_tokens)
