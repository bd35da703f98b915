"""The composition root: the only file that knows every name.

`build_app` runs where Serve builds the application and only validates and binds; the `_open_*` functions run in the replicas,
on the loop that will use what they open. Settings travel; secrets do not: each replica resolves the names of the
environment variables that the settings hold.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from uuid_utils.compat import uuid7

from configs.settings import ProviderSettings, Settings, load
from deployments.agent import AgentParts, AgentReplica
from deployments.evaluator import EvaluatorParts, EvaluatorReplica
from deployments.guardrail import GuardrailReplica
from deployments.http.app import HttpServices, create_app
from deployments.ingress import IngressParts, IngressReplica
from deployments.knobs import LivePrompts
from deployments.metrics import RayMeter
from deployments.remote import RemoteAgent, RemoteGuard, RemoteSamples
from deployments.reporter import RunReporter
from evaluation.criteria import CRITERIA
from evaluation.evaluator import Evaluator
from evaluation.judge import ModelJudge
from graphs.build import build, build_tools, check_prompts
from graphs.spec import GraphOptions
from graphs.tools import TOOLS
from graphs.tools.resources import ToolResources
from services.errors import ConfigurationError, StoreUnavailable
from services.guardrails.chain import build_chain
from services.llm import PROVIDERS
from services.llm.gateway import Gateway
from services.llm.types import ChatProvider, ProviderSpec
from services.runs.engine import EngineLimits, RunEngine
from services.runs.service import RunService
from services.runs.sweep import sweep_forever
from services.runs.types import Graph
from services.security.authenticator import Authenticator
from services.storage.api_keys import ApiKeyRepository
from services.storage.checkpointer import AsyncpgSaver
from services.storage.database import Database
from services.storage.documents import DocumentRepository
from services.storage.migrate import require_head
from services.storage.runs import RunRepository
from services.storage.scores import ScoreRepository
from services.storage.threads import ThreadRepository

Handle = DeploymentHandle[Any]

SWEEP_EVERY_S = 60.0
SWEEP_MARGIN_S = 60.0
"""A run is taken for lost when it is still live this long after it must have ended."""


class AppArgs(BaseModel):
    """The `args` of the application in serve_config.yaml.

    `overlays` name files in configs/, laid over default.yaml in order; `settings` are laid over them all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    overlays: tuple[str, ...] = ("production",)
    settings: dict[str, Any] = {}


def build_app(args: AppArgs) -> Application:
    """Return the application. Raises ConfigurationError, with every wrong key, before anything is started."""
    settings = load(args.overlays, args.settings)
    _check_names(settings)
    guardrail = serve.deployment(name="guardrail")(GuardrailReplica).bind(settings.guardrail.rules)
    evaluator = serve.deployment(name="evaluator")(EvaluatorReplica).bind(partial(_open_evaluator, settings))
    agent = serve.deployment(name="agent")(AgentReplica).bind(partial(_open_agent, settings), guardrail, evaluator)
    ingress = serve.deployment(name="ingress")(serve.ingress()(IngressReplica))
    return ingress.bind(partial(_open_ingress, settings), agent, guardrail)


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


async def _open_ingress(settings: Settings, agent: Handle, guardrail: Handle) -> IngressParts:
    database = await _open_database(settings, "ingress")
    run_store = RunRepository(database)
    runs = RunService(
        agent=RemoteAgent(agent),
        runs=run_store,
        guard=RemoteGuard(guardrail, timeout_s=settings.guardrail.timeout_s),
        graphs=settings.graphs,
        max_run_s=settings.runs.max_run_s,
        new_id=uuid7,
    )
    services = HttpServices(
        runs=runs,
        run_store=run_store,
        threads=ThreadRepository(database),
        authenticator=Authenticator(
            ApiKeyRepository(database),
            settings.security.key_pepper.resolve(os.environ),
            cache_s=settings.security.key_cache_s,
            clock=time.monotonic,
        ),
        graphs={name: graph.description for name, graph in settings.graphs.items()},
        default_graph=settings.default_graph,
        readiness=partial(_readiness, database),
        new_id=uuid7,
    )
    return IngressParts(app=create_app(services, settings.http), runs=runs, database=database)


async def _readiness(database: Database) -> Mapping[str, bool]:
    try:
        await database.ping()
    except StoreUnavailable:
        return {"database": False}
    return {"database": True}


async def _open_agent(settings: Settings, guardrail: Handle, evaluator: Handle) -> AgentParts:
    database = await _open_database(settings, "agent")
    gateway = Gateway([_open_provider(provider) for provider in settings.providers])
    prompts = LivePrompts({name: graph.prompts for name, graph in settings.graphs.items()})
    reporter = RunReporter(RemoteSamples(evaluator), RayMeter())
    runs = RunRepository(database)
    engine = RunEngine(
        runs=runs,
        graphs=_build_graphs(settings, database),
        gateway=gateway,
        guard=RemoteGuard(guardrail, timeout_s=settings.guardrail.timeout_s),
        observer=reporter,
        prompts=prompts,
        limits=EngineLimits(
            orphan_grace_s=settings.runs.orphan_grace_s,
            max_buffered_chars=settings.runs.max_buffered_chars,
            max_flush_window_s=settings.runs.max_flush_window_s,
            flushes_per_s=settings.runs.flushes_per_s,
        ),
    )
    sweeping = sweep_forever(runs, older_than_s=settings.runs.max_run_s + SWEEP_MARGIN_S, every_s=SWEEP_EVERY_S)
    return AgentParts(
        engine=engine,
        sweeper=asyncio.create_task(sweeping),
        gateway=gateway,
        database=database,
        prompts=prompts,
        reporter=reporter,
        drain_s=settings.runs.max_run_s,
    )


async def _open_evaluator(settings: Settings) -> EvaluatorParts:
    database = await _open_database(settings, "evaluator")
    named = {provider.name: provider for provider in settings.providers}
    provider = _open_provider(named[settings.evaluator.provider or settings.providers[0].name])
    evaluator = Evaluator(
        criteria=[CRITERIA[name]() for name in settings.evaluator.criteria],
        judge=ModelJudge(provider, timeout_s=settings.evaluator.judge_timeout_s),
        scores=ScoreRepository(database),
        queue_size=settings.evaluator.queue_size,
        concurrency=settings.evaluator.concurrency,
    )
    return EvaluatorParts(evaluator=evaluator, provider=provider, database=database)


def _build_graphs(settings: Settings, database: Database) -> Mapping[str, Graph]:
    resources = ToolResources(documents=DocumentRepository(database), now=lambda: datetime.now(UTC))
    checkpointer = AsyncpgSaver(database, history=False)
    return {
        name: build(
            graph.kind,
            GraphOptions(max_tool_rounds=graph.max_tool_rounds, max_steps=graph.max_steps),
            build_tools(graph.tools, resources),
            checkpointer,
        )
        for name, graph in settings.graphs.items()
    }


def _open_provider(settings: ProviderSettings) -> ChatProvider:
    def resolved(value: Any) -> str:
        return "" if value is None else value if isinstance(value, str) else value.resolve(os.environ)

    return PROVIDERS[settings.kind](
        ProviderSpec(
            name=settings.name,
            model=resolved(settings.model),
            base_url=resolved(settings.base_url),
            api_key=resolved(settings.api_key),
            arguments=settings.arguments,
            max_output_tokens=settings.max_output_tokens,
            max_connections=settings.max_connections,
            connect_timeout_s=settings.connect_timeout_s,
            first_token_timeout_s=settings.first_token_timeout_s,
            inter_token_timeout_s=settings.inter_token_timeout_s,
        )
    )


async def _open_database(settings: Settings, deployment: str) -> Database:
    """Open the replica's pool and refuse to serve on another schema than the code's."""
    database = Database.open(
        settings.database.url.resolve(os.environ),
        pool_size=settings.database.pool_size,
        pool_timeout_s=settings.database.pool_timeout_s,
        command_timeout_s=settings.database.command_timeout_s,
        application_name=f"mainstay-{deployment}",
    )
    await require_head(database)
    return database
