"""The judge that the settings ask for: a model, and a way to ask it."""

from collections.abc import Callable

from configs.providers import ProviderSettings
from configs.settings import Settings
from evaluation import judges
from evaluation.asking import Asking
from evaluation.criteria.types import Judge
from services.errors import ConfigurationError
from services.limits.purse import Purse
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.telemetry.metrics import Meter

SMALL = "embedded"
"""The kind of provider that is too small to grade and to reason."""


def judge_provider(settings: Settings) -> ProviderSettings:
    """Return the provider that judges."""
    named = {provider.name: provider for provider in settings.providers}
    return named[settings.evaluator.provider or settings.providers[0].name]


def open_judge(settings: Settings, route: Route, meter: Meter, purse: Callable[[], Purse]) -> tuple[Gateway, Judge]:
    """Return the judge over a route to its provider, and the gateway below it, which is to be closed.

    `purse` pays for one question. Raises ConfigurationError where the provider cannot be asked in the style chosen.
    """
    return judges.open_judge(route, asking_of(settings), meter=meter, purse=purse)


def asking_of(settings: Settings) -> Asking:
    """Return how the judge is asked."""
    asked = settings.evaluator.judge
    return Asking(
        style="one_token" if _in_one_token(settings) else "structured",
        max_chars=asked.max_chars,
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        timeout_s=settings.evaluator.judge_timeout_s,
    )


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
