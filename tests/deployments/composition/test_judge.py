"""Which judge the settings make, and which they cannot."""

import argparse
from dataclasses import replace
from typing import Any

import pytest

from configs.settings import Settings, load
from deployments.composition.check import check
from deployments.composition.judge import asking_of, judge_provider, open_judge
from evaluation.asking import TIMEOUT_S, asking_arguments
from evaluation.asking import asking_of as asking_of_arguments
from services.errors import ConfigurationError
from services.limits.purse import BOTTOMLESS
from services.llm import PROVIDERS
from services.llm.first_token import FirstTokens
from services.llm.route import Route
from services.llm.types import ProviderSpec
from services.telemetry.metrics import UNMEASURED

CHAT_MODEL = "langchain_core.language_models.fake_chat_models:FakeListChatModel"


def settings(kind: str = "openai", **changed: Any) -> Settings:
    provider: dict[str, Any] = {"name": "main", "kind": kind, "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    if kind == "langchain":
        provider["arguments"] = {"class": CHAT_MODEL}
    json_mode = changed.pop("json_mode", True)
    return load([], {"providers": [{**provider, "json_mode": json_mode}], "evaluator": {"judge": changed}})


@pytest.mark.parametrize(
    ("kind", "changed", "name"),
    [
        ("openai", {}, "m/structured"),
        ("embedded", {}, "m/one_token"),
        ("openai", {"json_mode": False}, "m/one_token"),
        ("openai", {"style": "one_token"}, "m/one_token"),
        ("embedded", {"style": "structured"}, "m/structured"),
    ],
)
async def test_any_provider_judges_in_the_style_that_is_set_or_suits_it(
    kind: str, changed: dict[str, Any], name: str
) -> None:
    """The gateway below is asked for first tokens by the one style only."""
    chosen = settings(kind, **changed)
    check(chosen)
    provider = PROVIDERS[judge_provider(chosen).kind](
        ProviderSpec(name="main", model="m", base_url="http://127.0.0.1:9")
    )
    gateway, judge = open_judge(chosen, Route.of(provider), UNMEASURED, lambda: BOTTOMLESS)
    assert judge.name == name
    assert isinstance(gateway.routes[0].provider, FirstTokens) is name.endswith("one_token")
    await gateway.aclose()


@pytest.mark.parametrize(
    ("kind", "changed", "said"),
    [
        ("langchain", {"style": "one_token"}, "main gives no log-probabilities; write structured"),
        ("openai", {"style": "structured", "json_mode": False}, "main has json_mode off; write one_token"),
    ],
)
def test_a_style_that_the_provider_has_not_is_refused_when_the_application_is_built(
    kind: str, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        check(settings(kind, **changed))


def test_commands_ask_a_judge_as_replicas_do_unless_they_are_told() -> None:
    """Only that they wait longer: what is measured of a judge is measured of the one in production."""
    parser = argparse.ArgumentParser()
    asking_arguments(parser, "judge-")
    default = asking_of(settings())
    assert asking_of_arguments(parser.parse_args([]), "judge-") == replace(default, timeout_s=TIMEOUT_S)
    told = ["--judge-max-chars", "6000", "--judge-max-tokens", "64", "--judge-temperature", "none"]
    chosen = asking_of(settings(max_chars=6_000, max_tokens=64, temperature=None))
    assert asking_of_arguments(parser.parse_args(told), "judge-") == replace(chosen, timeout_s=TIMEOUT_S)
