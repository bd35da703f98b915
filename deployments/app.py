"""The composition root: `build_app` runs where Serve builds the application, and only validates and binds.

What each deployment stands on is opened in its replicas, by the functions of `deployments.composition`. Settings travel;
secrets do not: each replica resolves the names of the environment variables that the settings hold.
"""

import os
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application

from configs.settings import load
from deployments.agent import AgentReplica
from deployments.composition import timeouts
from deployments.composition.agent import open_agent
from deployments.composition.check import check
from deployments.composition.evaluator import open_evaluator
from deployments.composition.ingress import open_ingress
from deployments.composition.telemetry import check_exporter, open_logs
from deployments.evaluator import EvaluatorReplica
from deployments.guardrail import GuardrailReplica
from deployments.ingress import IngressReplica


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
    check(settings)
    timeouts.check_environ(settings.runs.max_run_s, os.environ)
    check_exporter(os.environ)
    # A draining replica lets its streams end, and so does every deployment on their path.
    drain_s = timeouts.graceful_shutdown_s(settings.runs.max_run_s)
    guardrail = serve.deployment(name="guardrail")(GuardrailReplica).bind(
        settings.guardrail.rules, settings.guardrail.timeout_s, partial(open_logs, settings)
    )
    evaluator = serve.deployment(name="evaluator")(EvaluatorReplica).bind(partial(open_evaluator, settings))
    agent = serve.deployment(name="agent", graceful_shutdown_timeout_s=drain_s)(AgentReplica).bind(
        partial(open_agent, settings), guardrail, evaluator
    )
    ingress = serve.deployment(name="ingress", graceful_shutdown_timeout_s=drain_s)(serve.ingress()(IngressReplica))
    return ingress.bind(partial(open_ingress, settings), agent, guardrail)
