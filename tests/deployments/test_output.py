"""From the settings to the output screen."""

from dataclasses import fields
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from configs.guardrail import OutputSettings, SemanticSettings
from deployments.composition.output import LiveSemantics, check_semantics, judge_of, output_screen
from services.errors import ConfigurationError
from services.guard import Action
from services.guardrails.screen.policy import OutputPolicy
from services.guardrails.semantic.tier import Mode, Tally
from services.guardrails.semantic.types import Context
from services.limits.purse import BOTTOMLESS, Purse
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.telemetry.metrics import UNMEASURED
from tests.services.runs.fakes import FakeProvider


def test_the_settings_say_what_the_policy_says() -> None:
    """The same names, and the same defaults."""
    assert OutputSettings.model_fields.keys() - {"semantic"} == {field.name for field in fields(OutputPolicy)}
    assert output_screen(OutputSettings(), UNMEASURED, lambda: None).policy == OutputPolicy()


def test_what_is_set_is_what_holds() -> None:
    """Every action by its name."""
    settings = OutputSettings(secrets="block", emails="redact", images="allow", allow_hosts=("*.example.com",))
    policy = output_screen(settings, UNMEASURED, lambda: None).policy
    assert (policy.secrets, policy.emails, policy.images) == (Action.BLOCK, Action.REDACT, Action.ALLOW)
    assert policy.allow_hosts == ("*.example.com",)


async def nobody(instruction: str, material: str) -> str:
    return "KEEPS"


ON = SemanticSettings(enabled=True, checks={"phrases": {"phrases": ["heron"]}})


def test_the_semantic_tier_is_off_unless_it_is_on() -> None:
    """What is configured beside the switch waits for it."""
    assert LiveSemantics(SemanticSettings(), nobody, UNMEASURED)() is None
    assert LiveSemantics(ON.model_copy(update={"enabled": False}), nobody, UNMEASURED)() is None
    tier = LiveSemantics(ON, nobody, UNMEASURED)()
    assert tier is not None
    assert tier.mode is Mode.AUTO


async def test_the_semantic_tier_changes_live() -> None:
    """Key by key, for runs that begin after it; what is left out is as the settings have it."""
    live = LiveSemantics(ON, nobody, UNMEASURED)
    before = live()
    live.configure(live.laid_over({"mode": "sync", "checks": {"phrases": {"phrases": ["stork"]}}}))
    tier = live()
    assert before is not None
    assert tier is not None
    assert tier.mode is Mode.SYNC
    assert (await tier.judge("A stork.", Context(), Tally())).action is Action.BLOCK
    assert (await tier.judge("A heron.", Context(), Tally())).action is Action.ALLOW
    live.configure(live.laid_over({"enabled": False}))
    assert live() is None


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"mode": "sometimes"}, "mode"),
        ({"budget": {}}, "budget"),
        ({"checks": {}}, "checks"),
        ({"checks": {"vibes": {}}}, "vibes"),
        ({"checks": {"phrases": {"phrases": "heron"}}}, "phrases"),
    ],
)
def test_a_wrong_knob_is_refused(changed: dict[str, Any], key: str) -> None:
    """With the key, and the tier stays as it was."""
    live = LiveSemantics(ON, nobody, UNMEASURED)
    before = live()
    with pytest.raises(ConfigurationError, match=key):
        live.laid_over(changed)
    assert live() is before


def test_settings_that_cannot_work_are_refused_at_the_start() -> None:
    """Also where the tier is off: it could not be switched on live."""
    check_semantics(SemanticSettings())
    check_semantics(ON)
    with pytest.raises(ConfigurationError, match="vibes"):
        check_semantics(SemanticSettings(checks={"vibes": {}}))
    with pytest.raises(ConfigurationError, match="at least one"):
        check_semantics(SemanticSettings(enabled=True))


async def test_the_judge_is_asked_as_work_that_somebody_waits_for() -> None:
    """By the provider that is set, out of the operator's purse, and not as what is shed first."""
    purses: list[int] = []
    asked: list[ModelCall] = []

    async def say(call: ModelCall, sink: TextSink) -> AIMessage:
        asked.append(call)
        sink.text("BREAKS")
        return AIMessage(content="BREAKS", response_metadata={"finish_reason": "stop"})

    def purse() -> Purse:
        purses.append(1)
        return BOTTOMLESS

    ask = judge_of(Gateway([Route.of(FakeProvider(say))]), purse)
    tier = LiveSemantics(SemanticSettings(enabled=True, checks={"judge": {"policy": "No herons."}}), ask, UNMEASURED)()
    assert tier is not None
    assert (await tier.judge("A heron.", Context(), Tally())).rule == "semantic.judge"
    assert (len(purses), len(asked)) == (1, 1)
