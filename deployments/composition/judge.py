"""The judge that the settings ask for: a model, and a way to ask it."""

from collections.abc import Callable

from configs.settings import ProviderSettings, Settings
from evaluation.criteria.types import Judge
from evaluation.judge import ModelJudge
from evaluation.one_token import OneTokenJudge
from evaluation.structured import StructuredJudge
from services.errors import ConfigurationError
from services.limits.purse import Purse
from services.llm.first_token import first_tokens
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.telemetry.metrics import Meter

JUDGE = "judge"
"""Under this name it pays, as nobody's user, and is measured, as no graph's."""

SMALL = "embedded"
"""The kind of provider that is too small to grade and to reason."""


def judge_provider(settings: Settings) -> ProviderSettings:
    """Return the provider that judges."""
    named = {provider.name: provider for provider in settings.providers}
    return named[settings.evaluator.provider or settings.providers[0].name]


def judge_gateway(settings: Settings, route: Route, meter: Meter) -> Gateway:
    """Return the gateway to the judge's one route. Raises ConfigurationError where it cannot be asked in the style chosen."""
    return Gateway([first_tokens(route) if _in_one_token(settings) else route], meter=meter, graph=JUDGE)


def judge(settings: Settings, gateway: Gateway, purse: Callable[[], Purse]) -> Judge:
    """Return the judge over a gateway that `judge_gateway` made. `purse` pays for one question."""
    asked = settings.evaluator.judge
    model = ModelJudge(
        gateway, timeout_s=settings.evaluator.judge_timeout_s, purse=purse, temperature=asked.temperature
    )
    if _in_one_token(settings):
        return OneTokenJudge(model, max_chars=asked.max_chars)
    return StructuredJudge(model, max_chars=asked.max_chars, max_tokens=asked.max_tokens)


def check_judge(settings: Settings) -> None:
    """Raise ConfigurationError where the judge's provider cannot be asked in its style."""
    provider = judge_provider(settings)
    if _in_one_token(settings):
        if provider.kind == "langchain":
            raise ConfigurationError(
                f"evaluator.judge.style: provider {provider.name} gives no log-probabilities; write structured."
            )
    elif not provider.json_mode:
        raise ConfigurationError(f"evaluator.judge.style: provider {provider.name} has json_mode off; write one_token.")


def _in_one_token(settings: Settings) -> bool:
    provider, style = judge_provider(settings), settings.evaluator.judge.style
    return style == "one_token" or (style is None and (provider.kind == SMALL or not provider.json_mode))
