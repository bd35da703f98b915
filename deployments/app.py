"""The composition root: `build_app` runs where Serve builds the application, and only validates and binds.

What each deployment stands on is opened in its replicas, by the functions of `deployments.composition`. Settings travel;
secrets do not: each replica resolves the names of the environment variables that the settings hold.
"""

from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application

from configs.settings import Settings, load
from deployments.agent import AgentReplica
from deployments.composition.agent import open_agent
from deployments.composition.evaluator import open_evaluator
from deployments.composition.ingress import open_ingress
from deployments.evaluator import EvaluatorReplica
from deployments.guardrail import GuardrailReplica
from deployments.ingress import IngressReplica
from evaluation.criteria import CRITERIA
from graphs.build import check_prompts
from graphs.tools import TOOLS
from services.errors import ConfigurationError
from services.guardrails.chain import build_chain
from services.llm import PROVIDERS


class AppArgs(BaseModel):
    """The `args` of the application in serve_config.yaml.

    `overlays` name files in configs/, laid over default.yaml in order; `settings` are laid over them all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    overlays: tuple[str, ...] = ("production",)
    settings: dict[str, Any] = {}


def build_app(args: AppArgs) -> Application:
    """Return the application. Raises SettingsError or ConfigurationError before anything is started."""
    settings = load(args.overlays, args.settings)
    _check_names(settings)
    guardrail = serve.deployment(name="guardrail")(GuardrailReplica).bind(settings.guardrail.rules)
    evaluator = serve.deployment(name="evaluator")(EvaluatorReplica).bind(partial(open_evaluator, settings))
    agent = serve.deployment(name="agent")(AgentReplica).bind(partial(open_agent, settings), guardrail, evaluator)
    ingress = serve.deployment(name="ingress")(serve.ingress()(IngressReplica))
    return ingress.bind(partial(open_ingress, settings), agent, guardrail)


def _check_names(settings: Settings) -> None:
    """Refuse a name that no registry holds, here rather than in a replica that would be restarted for ever."""
    for provider in settings.providers:
        if provider.kind not in PROVIDERS:
            known = ", ".join(PROVIDERS)
            raise ConfigurationError(f"providers.{provider.name}.kind: {provider.kind!r} is not one of: {known}.")
    for criterion in settings.evaluator.criteria:
        if criterion not in CRITERIA:
            raise ConfigurationError(f"evaluator.criteria: {criterion!r} is not one of: {', '.join(CRITERIA)}.")
    for name, graph in settings.graphs.items():
        check_prompts(graph.kind, graph.prompts)
        for tool in graph.tools:
            if tool not in TOOLS:
                raise ConfigurationError(f"graphs.{name}.tools: {tool!r} is not one of: {', '.join(TOOLS)}.")
    build_chain(settings.guardrail.rules, {})
