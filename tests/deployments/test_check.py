"""Settings that no replica could start with are refused where the application is built, with the key."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from configs.settings import load
from deployments.composition.check import check
from deployments.composition.graphs import prompt_roles
from services.errors import ConfigurationError

CHAT_MODEL = "langchain_core.language_models.fake_chat_models:FakeListChatModel"


def langchain(**arguments: str) -> Mapping[str, Any]:
    return {"providers": [{"name": "other", "kind": "langchain", "model": "m", "arguments": arguments}]}


@pytest.mark.parametrize("overlay", ["local", "openai", "production"])
def test_what_ships_can_be_built(overlay: str) -> None:
    """Every overlay passes, without a variable of its environment being set."""
    check(load([overlay]))
    check(load([overlay], langchain(**{"class": CHAT_MODEL})))


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"graphs": {"supervisor": {"tools": []}}}, "graphs.supervisor.tools"),
        ({"graphs": {"react": {"tools": ["calculator", "calculator"]}}}, "graphs.react.tools"),
        ({"graphs": {"react": {"tools": ["nobody"]}}}, "graphs.react.tools"),
        ({"graphs": {"react": {"kind": "nobody"}}}, "graphs.react.kind"),
        ({"graphs": {"react": {"allow_targets": {"clock": ["x"]}}}}, "graphs.react.allow_targets"),
        ({"graphs": {"react": {"allow_targets": {"fetch": ["x"]}}}}, "graphs.react.allow_targets"),
        ({"graphs": {"react": {"prompts": {"sytem": "x"}}}}, "graphs.react.prompts.sytem"),
        ({"evaluator": {"criteria": ["nobody"]}}, "evaluator.criteria"),
        ({"alerts": {"unsafe": {"criterion": "saftey"}}}, "alerts.unsafe.criterion: 'saftey'"),
        ({"alerts": {"unsafe": {"lasts_s": 600}}}, "alerts.unsafe.criterion: 'safety' is never asked"),
        ({"alerts": {"unsafe": {"criterion": "begging"}}}, "alerts.unsafe.criterion: 'begging' is never asked"),
        (
            {"alerts": {"unsafe": {"lowest": 1.0, "highest": 0.5}}, "evaluator": {"criteria": ["safety"]}},
            "alerts.unsafe.lowest",
        ),
        ({"guardrail": {"rules": ["nobody"]}}, "nobody"),
        ({"providers": [{"name": "p", "kind": "nobody", "model": "m"}]}, "providers.p.kind"),
        (langchain(), "providers.other.arguments.class"),
        (langchain(**{"class": "no.colon"}), "providers.other.arguments.class"),
        (langchain(**{"class": "not_installed:Chat"}), "providers.other.arguments.class"),
        (langchain(**{"class": CHAT_MODEL + "Typo"}), "providers.other.arguments.class"),
    ],
)
def test_what_cannot_be_built_is_named(overrides: Mapping[str, Any], named: str) -> None:
    """A wrong name, a graph that does not fit its tools, and a chat model that is not installed."""
    with pytest.raises(ConfigurationError, match=re.escape(named)):
        check(load([], overrides))


def test_unsafe_answers_alert_where_they_are_asked_for() -> None:
    """By any criterion that is judged."""
    unsafe = {"criterion": "accuracy", "lowest": 0.0, "highest": 2.0}
    check(load([], {"evaluator": {"criteria": ["accuracy"]}, "alerts": {"unsafe": unsafe}}))


def test_an_agent_may_be_given_the_web() -> None:
    """With the hosts that it may ask in any turn."""
    check(load([], {"graphs": {"react": {"tools": ["fetch"], "allow_targets": {"fetch": ["*.example.com"]}}}}))


def test_a_graph_knows_its_roles() -> None:
    """Those it needs and those it may have: what a live prompt may change."""
    assert prompt_roles(load([]))["react"] == ("system", "final", "summary")
