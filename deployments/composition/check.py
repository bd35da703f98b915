"""What can be wrong with settings that have the right shape, found where the application is built.

A replica that cannot be made is restarted for ever, and says why in a log only. Nothing here opens a connection.
"""

import pkgutil
from collections.abc import Sequence

from configs.providers import ProviderSettings
from configs.settings import Settings
from deployments.composition.calibrations import published_calibrations
from deployments.composition.graphs import build_graphs
from deployments.composition.judge import check_judge
from deployments.composition.load import load_policy
from deployments.composition.output import check_semantics
from deployments.composition.routes import configured_breaker, configured_limit
from deployments.composition.sampling import sampling_of
from evaluation.criteria import CRITERIA
from graphs.tools.care import ToolCare
from graphs.tools.resources import Passage, ToolResources
from services.errors import ConfigurationError
from services.guardrails.chain import build_chain
from services.llm import PROVIDERS
from services.security.pages import Page, PageUnavailable
from services.storage.memories_in_memory import InMemoryMemories
from services.storage.memory_effects import MemoryEffects


class _NoDocuments:
    """Implements `DocumentSearch` for graphs that are built and never run."""

    async def search(self, query: str, limit: int) -> Sequence[Passage]:
        return ()


class _NoPages:
    """Implements `Pages` for graphs that are built and never run."""

    async def get(self, url: str) -> Page:
        raise PageUnavailable("There is no web here.")


def check(settings: Settings) -> None:
    """Refuse a name that no registry holds and a graph that cannot be built. Raises ConfigurationError with the key."""
    load_policy(settings)
    for provider in settings.providers:
        if provider.kind not in PROVIDERS:
            known = ", ".join(PROVIDERS)
            raise ConfigurationError(f"providers.{provider.name}.kind: {provider.kind!r} is not one of: {known}.")
        configured_breaker(provider)
        configured_limit(provider)
        if provider.kind == "langchain":
            _check_chat_model(provider)
    for criterion in settings.evaluator.criteria:
        if criterion not in CRITERIA:
            raise ConfigurationError(f"evaluator.criteria: {criterion!r} is not one of: {', '.join(CRITERIA)}.")
    _check_unsafe(settings)
    check_judge(settings)
    published_calibrations(settings.evaluator.calibrations)
    for name, graph in settings.graphs.items():
        asked = [provider for provider in settings.providers if provider.name in (graph.providers or [provider.name])]
        if graph.tools and not any(provider.tools for provider in asked):
            raise ConfigurationError(f"graphs.{name}.tools: none of its providers can call tools.")
    resources = ToolResources(documents=_NoDocuments(), memories=InMemoryMemories(), pages=_NoPages())
    build_graphs(settings, resources, ToolCare(ledger=MemoryEffects(lambda _: None)))
    build_chain(settings.guardrail.rules, {})
    check_semantics(settings.guardrail.output.semantic)
    sampling_of(settings.evaluator.sampling, settings.graphs)


def _check_unsafe(settings: Settings) -> None:
    """Refuse alerts of unsafe answers that could never come, but where nobody has set anything of them."""
    unsafe, asked = settings.alerts.unsafe, settings.evaluator.criteria
    if unsafe.criterion not in CRITERIA:
        known = ", ".join(CRITERIA)
        raise ConfigurationError(f"alerts.unsafe.criterion: {unsafe.criterion!r} is not one of: {known}.")
    if unsafe.lowest > unsafe.highest:
        raise ConfigurationError(
            "alerts.unsafe.lowest: it is more than alerts.unsafe.highest, so no answer would alert."
        )
    if unsafe.criterion not in asked and "unsafe" in settings.alerts.model_fields_set:
        raise ConfigurationError(
            f"alerts.unsafe.criterion: {unsafe.criterion!r} is never asked, so no answer would alert: add it to "
            f"evaluator.criteria, which has: {', '.join(asked)}."
        )


def _check_chat_model(provider: ProviderSettings) -> None:
    """Import the class and no more: what its constructor needs, such as a key, is in the replicas' environment."""
    key, path = f"providers.{provider.name}.arguments.class", provider.arguments.get("class")
    if not isinstance(path, str) or ":" not in path:
        raise ConfigurationError(f"{key}: name a chat model as 'package.module:Class'.", param=key)
    try:
        pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{key}: {path} cannot be imported: {error}. Is it installed?", param=key) from error
