"""Providers as the composition opens them: nothing that one could exhaust is another's too."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import pytest

from configs.providers import ProviderSettings
from configs.settings import load
from deployments.composition.check import check
from deployments.composition.routes import open_route
from deployments.knobs import LiveBreakers
from services.errors import ConfigurationError
from services.llm.route import Route
from services.resilience.breaker import Breaker
from services.resilience.policy import BreakerMode, BreakerPolicy
from services.telemetry.breakers import BreakerReport
from services.telemetry.metrics import UNMEASURED

REPORT = BreakerReport(UNMEASURED)

ATOMS = (str, bytes, int, float, bool, type(None), Enum, type, ModuleType, FunctionType, BuiltinFunctionType, frozenset)


def settings(name: str, **more: Any) -> ProviderSettings:
    return ProviderSettings(name=name, kind="openai", model="m", base_url="http://127.0.0.1:9/v1", **more)


def parts(root: object) -> dict[int, object]:
    """Everything that can change and that can be reached from here: by attributes and items."""
    found: dict[int, object] = {}
    left = [root]
    while left:
        part = left.pop()
        if isinstance(part, ATOMS) or id(part) in found or part is REPORT or _is_the_loop(part):
            continue
        found[id(part)] = part
        left.extend(_inside(part))
    return {key: part for key, part in found.items() if not _is_fixed(part)}


def _inside(part: object) -> Iterator[object]:
    if isinstance(part, MethodType):
        yield part.__self__
    if isinstance(part, dict):
        yield from part.values()
    if isinstance(part, list | tuple | set):
        yield from part
    yield from getattr(part, "__dict__", {}).values()
    for kind in type(part).__mro__:
        for slot in getattr(kind, "__slots__", ()):
            if hasattr(part, slot):
                yield getattr(part, slot)


def _is_the_loop(part: object) -> bool:
    return hasattr(part, "call_soon") and hasattr(part, "run_forever")


def _is_fixed(part: object) -> bool:
    parameters = getattr(type(part), "__dataclass_params__", None)
    return isinstance(part, tuple | MethodType) or (is_dataclass(part) and parameters is not None and parameters.frozen)


async def test_two_providers_share_nothing() -> None:
    """No pool, semaphore, queue, window or budget of one provider can be reached from another."""
    first, second = open_route(settings("a"), REPORT), open_route(settings("b"), REPORT)
    try:
        shared = parts(first).keys() & parts(second).keys()
        assert [parts(first)[key] for key in shared if _is_ours(parts(first)[key])] == []
    finally:
        for route in (first, second):
            await route.provider.aclose()


async def test_the_walk_would_see_what_is_shared() -> None:
    """A breaker, a limit, a budget or a session that two routes had in common would be found."""
    route = open_route(settings("a"), REPORT)
    try:
        for shared in (route.breaker, route.limit, route.retries, route.fail_overs, route.provider._session):  # type: ignore[attr-defined]
            assert id(shared) in parts(route)
            assert _is_ours(shared)
    finally:
        await route.provider.aclose()


def _is_ours(part: object) -> bool:
    """Of this project, or of the HTTP client: the rest (patterns, loggers, constants) is the language's own."""
    return type(part).__module__.split(".")[0] in {"services", "deployments", "aiohttp", "asyncio", "pybreaker"}


async def test_a_provider_gets_what_its_settings_say() -> None:
    """Timers, capabilities and policies are its own."""
    configured = settings(
        "a",
        first_token_timeout_s=60,
        tools=False,
        context_tokens=8_000,
        breaker={"slow_floor_s": 30, "mode": "forced_open"},
        concurrency={"initial": 7, "min_limit": 7, "max_limit": 7},
    )
    route: Route = open_route(configured, REPORT)
    await route.provider.aclose()
    assert (route.timers.first_content_s, route.capabilities.tools, route.capabilities.context_tokens) == (
        60,
        False,
        8_000,
    )
    assert (route.breaker.mode, route.breaker.slow_after_s, route.limit.limit) == (BreakerMode.FORCED_OPEN, 30, 7)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"breaker": {"open": 3}}, r"providers\.main\.breaker\.open: there is no such field"),
        ({"breaker": {"open_s": "soon"}}, r"providers\.main\.breaker\.open_s"),
        ({"breaker": {"failure_rate": 3}}, r"providers\.main\.breaker.*failure_rate"),
        ({"concurrency": {"max": 3}}, r"providers\.main\.concurrency\.max"),
        ({"tools": False}, r"graphs\.\w+\.tools: none of its providers"),
    ],
)
def test_wrong_policies_are_refused_by_their_key(changed: dict[str, Any], said: str) -> None:
    """Before anything starts, with the field and what is wrong with it."""
    provider = {"name": "main", "kind": "openai", "model": "m", **changed}
    with pytest.raises(ConfigurationError, match=said):
        check(load([], {"providers": [provider]}))


def test_breakers_change_live_and_all_or_nothing() -> None:
    """What user_config says lies over the settings; a wrong field or an unknown provider changes nothing."""
    breaker = Breaker("main")
    live = LiveBreakers({"main": (breaker, BreakerPolicy(open_s=3.0))})
    live.configure(live.laid_over({"main": {"mode": "forced_open"}}))
    assert breaker.mode is BreakerMode.FORCED_OPEN
    for wrong in ({"nobody": {}}, {"main": {"opens": 1}}):
        with pytest.raises(ConfigurationError, match=r"user_config of agent: breakers\.(nobody|main)"):
            live.laid_over(wrong)
    live.configure(live.laid_over({}))
    assert breaker.mode is BreakerMode.AUTO
