"""What may go out of an agent replica, as the settings say."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from configs.guardrail import OutputSettings, SemanticSettings
from evaluation.judge import ModelJudge
from services.errors import ConfigurationError
from services.guard import Action
from services.guardrails.screen.output import OutputScreen
from services.guardrails.screen.policy import OutputPolicy
from services.guardrails.semantic.tier import MAX_DEADLINE_S, Mode, SemanticTier, build_tier
from services.guardrails.semantic.types import Ask
from services.limits.purse import Purse
from services.llm.gateway import Gateway
from services.resilience.priority import Priority
from services.telemetry.metrics import UNMEASURED, Meter

OUTPUT_JUDGE = "output_judge"
"""Who pays for the judge of sentences: a name that no user of a tenant has, as the evaluator's judge has one."""

_LIVE = ("enabled", "mode", "checks")


class LiveSemantics:
    """The semantic tier of a replica: that of the settings, under that of the knobs. A run keeps the one it began with."""

    def __init__(self, settings: SemanticSettings, ask: Ask, meter: Meter) -> None:
        self._settings = settings
        self._ask = ask
        self._meter = meter
        self._current = self.laid_over({})

    def laid_over(self, changed: Mapping[str, Any]) -> SemanticTier | None:
        """Return the tier with the changed settings, None where it is off. Raises ConfigurationError, naming the key."""
        at = "user_config of agent: semantic" if changed else "guardrail.output.semantic"
        for key in changed:
            if key not in _LIVE:
                raise ConfigurationError(f"{at}.{key}: what may change live is {', '.join(_LIVE)}.")
        try:
            settings = SemanticSettings.model_validate({**self._settings.model_dump(), **changed})
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigurationError(f"{at}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        if not settings.enabled:
            return None
        if not settings.checks:
            raise ConfigurationError(f"{at}.checks: name at least one, or set enabled to false.")
        return build_tier(settings.checks, Mode(settings.mode), self._ask, self._meter)

    def configure(self, tier: SemanticTier | None) -> None:
        """Judge runs that begin from now on by this tier."""
        self._current = tier

    def __call__(self) -> SemanticTier | None:
        return self._current


def judge_of(gateway: Gateway, purse: Callable[[], Purse]) -> Ask:
    """Return how a model is asked about a sentence, by the one provider of `gateway`: as work that somebody waits for."""
    return ModelJudge(gateway, timeout_s=MAX_DEADLINE_S, purse=purse, priority=Priority.RESUME).ask


def check_semantics(settings: SemanticSettings) -> None:
    """Raise ConfigurationError where the tier could not be built, whether it is on or not."""

    async def nobody(instruction: str, material: str) -> str:
        return ""

    build_tier(settings.checks, Mode(settings.mode), nobody, UNMEASURED)
    LiveSemantics(settings, nobody, UNMEASURED)


def output_screen(settings: OutputSettings, meter: Meter, semantics: Callable[[], SemanticTier | None]) -> OutputScreen:
    """Return the screen of every run of a replica."""
    chosen: dict[str, Any] = {
        name: Action(value) if isinstance(value, str) else value for name, value in settings if name != "semantic"
    }
    return OutputScreen(OutputPolicy(**chosen), semantic=semantics, meter=meter)
