"""The settings of an application: what an operator writes in YAML, checked as a whole before anything starts.

`load` reads `default.yaml`, lays the named overlays over it in order, and validates the result. Nothing here reads the
environment: a value that differs between machines, and every secret, is an `EnvRef`, the *name* of a variable that each
replica resolves for itself, so that no secret is ever an argument that Ray stores.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, IPvAnyNetwork, ValidationError, model_validator

from configs.alerts import AlertSettings
from configs.judge import JudgeSettings
from configs.quotas import BudgetSettings, LimitSettings, PriceListSettings
from configs.sampling import SamplingSettings
from configs.section import EnvRef, Name, Port, PositiveSeconds, Section, SettingsError
from configs.telemetry import LogSettings, TracingSettings

CONFIGS = Path(__file__).parent


class ProviderSettings(Section):
    """One model behind one endpoint. Providers are tried in the order they are listed."""

    name: Name
    kind: str = Field(description="a key of services.llm.PROVIDERS")
    model: str | EnvRef
    base_url: str | EnvRef | None = None
    api_key: EnvRef | None = None
    arguments: Mapping[str, Any] = Field(default_factory=dict, description="handed to the provider as they are")
    max_output_tokens: int = Field(default=4_096, ge=1)
    max_connections: int = Field(default=2_000, ge=1, description="open connections to this provider, per replica")
    connect_timeout_s: PositiveSeconds = 5.0
    first_token_timeout_s: PositiveSeconds = Field(default=20.0, description="reasoning models need more")
    inter_token_timeout_s: PositiveSeconds = 15.0
    answer_timeout_s: PositiveSeconds = Field(
        default=300.0, description="for a whole answer, however steadily it comes"
    )
    tools: bool = Field(default=True, description="whether the model can call tools")
    json_mode: bool = Field(default=True, description="whether it can be held to JSON")
    context_tokens: int | None = Field(default=None, ge=1, description="its window; unset: nothing is known")
    breaker: Mapping[str, Any] = Field(
        default_factory=dict, description="fields of services.resilience.BreakerPolicy; overlaid live by user_config"
    )
    concurrency: Mapping[str, Any] = Field(
        default_factory=dict, description="fields of services.resilience.LimitPolicy, per replica"
    )


class HistorySettings(Section):
    """How much of a thread a graph's models are shown."""

    max_tokens: int | None = Field(
        default=None,
        ge=256,
        description="what a call may send; unset: what the smallest window of its providers has room for, if known",
    )
    summarise: bool = Field(default=True, description="whether a model call notes what no longer fits")


class FetchSettings(Section):
    """What the tool `fetch` may ask for."""

    allow_hosts: tuple[str, ...] = Field(default=(), description="unless empty, no other; *.example.com: all below it")
    allow_ports: tuple[Port, ...] = (443,)
    allow_http: bool = Field(
        default=False, description="whether pages may be http as well; add the port to allow_ports"
    )
    allow_private: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="networks such as 10.20.0.0/16 that may be asked though they are not public"
    )
    timeout_s: float = Field(default=10.0, gt=0, le=20, description="for one page with its redirects")
    max_bytes: int = Field(default=1_048_576, ge=1_024, le=8 * 1_048_576, description="of one page")
    max_redirects: int = Field(default=5, ge=0, le=20, description="on the page's own site; to others none is followed")
    max_connections: int = Field(default=32, ge=1, le=1_000, description="pages at once, per replica")


class ToolSettings(Section):
    fetch: FetchSettings = FetchSettings()


class GraphSettings(Section):
    """A served agent: clients choose it by its key, as their `model`."""

    kind: Name = Field(description="a key of graphs.GRAPHS")
    description: str
    tools: tuple[Name, ...] = ()
    approve: tuple[Name, ...] = Field(default=(), description="those of its tools whose every call a person approves")
    allow_targets: Mapping[Name, tuple[str, ...]] = Field(
        default_factory=dict,
        description="by tool: what a tainted turn may reach too; *.example.com, *@example.com or folder/* for all below it",
    )
    hold: Literal["ask", "refuse"] = Field(
        default="ask", description="what becomes of a call to any other: a person is asked, or it is not made"
    )
    mark_outside: bool = Field(
        default=False,
        description="whether text from outside is shown with its spaces marked; small models cannot read it",
    )
    providers: tuple[Name, ...] = Field(
        default=(), description="which are asked, in this order; unset: all, as they are listed"
    )
    prompts: Mapping[str, str] = Field(default_factory=dict, description="by role; overlaid live by user_config")
    history: HistorySettings = HistorySettings()
    max_tool_rounds: int = Field(default=4, ge=0, le=64)
    max_steps: int = Field(default=40, ge=2, le=500, description="graph steps, LangGraph's recursion limit")


class RunSettings(Section):
    max_run_s: PositiveSeconds = 600.0
    orphan_grace_s: float = Field(default=5.0, ge=0, le=600)
    max_buffered_chars: int = Field(default=65_536, ge=1_024, description="unread text per stream before it waits")
    max_flush_window_s: float = Field(default=0.1, ge=0, le=1)
    flushes_per_s: float = Field(default=1_000.0, gt=0, description="what the window aims at, per agent replica")
    first_batch_wait_s: float = Field(
        default=0.25,
        ge=0,
        le=5,
        description="a run that fails sooner, with nothing shown, is an HTTP status and no event",
    )
    warm_up_s: float = Field(
        default=0.0, ge=0, le=600, description="time for a turn of the default graph when a replica starts; 0 for none"
    )
    background_slots: int = Field(
        default=4, ge=0, le=1_000, description="background runs that an agent replica has at work at once"
    )
    queue_ttl_s: float = Field(
        default=86_400.0, ge=60, description="a background run that no agent has taken for so long has failed"
    )


class EmbeddingSettings(Section):
    """A model behind OpenAI's `/embeddings`, for memories that are found by their meaning. Postgres then needs pgvector."""

    model: str | EnvRef
    base_url: str | EnvRef
    api_key: EnvRef | None = None
    dimensions: int | None = Field(default=None, ge=1, le=16_000, description="asked for, where a model offers several")
    timeout_s: PositiveSeconds = Field(default=5.0, description="remembering and recalling wait for it")


class MemorySettings(Section):
    """What agents remember of a user beyond a thread."""

    max_items: int = Field(default=1_000, ge=1, le=10_000, description="of one user")
    max_value_bytes: int = Field(default=16_384, ge=256, le=131_072, description="of one memory, as JSON")
    ttl_days: float | None = Field(
        default=None, gt=0, le=3_650, description="how long one is kept that nobody reads; unset: until it is erased"
    )
    embedding: EmbeddingSettings | None = None


class HttpSettings(Section):
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=64 * 1_048_576)
    max_messages: int = Field(default=512, ge=1)
    max_message_chars: int = Field(default=32_768, ge=1, description="of one message")
    heartbeat_s: PositiveSeconds = 15.0
    write_timeout_s: PositiveSeconds = Field(
        default=30.0, description="a client that reads nothing for so long has left"
    )
    cors_origins: tuple[str, ...] = ()


class DatabaseSettings(Section):
    url: EnvRef = EnvRef(env="DATABASE_URL")
    pool_size: int = Field(default=3, ge=1, le=200, description="connections per replica")
    """A statement takes under a millisecond, so a few are plenty; all replicas together must fit Postgres. What the maxima of
    ingress, agent and evaluator in serve_config.yaml make of it, with one more for each agent, stays at 90 or below, of the
    97 that Postgres by default leaves to applications; a rollout may start a quarter more replicas and takes what is left."""
    pool_timeout_s: PositiveSeconds = 5.0
    command_timeout_s: PositiveSeconds = 10.0


OutputAction = Literal["allow", "redact", "block"]


class SemanticSettings(Section):
    """What sentences of an answer mean is judged, by `checks`: a check's name and its knobs, in order. May change live."""

    enabled: bool = False
    mode: Literal["auto", "sync", "async"] = Field(
        default="auto",
        description="sync: a sentence is shown once it is judged; async: at once, and taken back if need be",
    )
    checks: dict[Name, dict[str, Any]] = Field(default={}, description="each may have a deadline_s, 2 if unset")
    provider: Name | None = Field(
        default=None, description="the provider that the check `judge` asks; the first if unset"
    )
    budget: BudgetSettings = Field(default=BudgetSettings(), description="for a month of judging, which no tenant pays")


class OutputSettings(Section):
    """What becomes of what a run is about to say: `redact` puts a notice in its place, `block` ends the answer there."""

    secrets: OutputAction = "redact"
    cards: OutputAction = "redact"
    ibans: OutputAction = "redact"
    ssns: OutputAction = "redact"
    emails: OutputAction = "allow"
    phones: OutputAction = "allow"
    ips: OutputAction = "allow"
    images: OutputAction = Field(default="redact", description="from hosts that nobody named")
    links: OutputAction = Field(default="allow", description="to hosts that nobody named")
    prompt: OutputAction = Field(default="redact", description="eight words of the instructions in a row")
    canary: OutputAction = "block"
    canaries: tuple[str, ...] = Field(default=(), description="texts that stand in a prompt so as never to be said")
    allow_texts: tuple[str, ...] = Field(
        default=(), description="items that may be said; @example.com: any address there"
    )
    allow_hosts: tuple[str, ...] = Field(default=(), description="of images and links; *.example.com: all below it")
    semantic: SemanticSettings = SemanticSettings()


class GuardrailSettings(Section):
    rules: tuple[Name, ...] = ("length", "injection")
    timeout_s: PositiveSeconds = 2.0
    output: OutputSettings = OutputSettings()


class EvaluatorSettings(Section):
    criteria: tuple[Name, ...] = Field(
        default=("helpfulness",), description="with safety as well, unsafe answers alert: alerts.unsafe"
    )
    queue_size: int = Field(default=256, ge=1)
    concurrency: int = Field(default=1, ge=1, le=64)
    judge_timeout_s: PositiveSeconds = 30.0
    provider: Name | None = Field(default=None, description="the provider that judges; the first one if unset")
    judge: JudgeSettings = JudgeSettings()
    calibrations: str | None = Field(
        default=None,
        min_length=1,
        description="a file of `make calibrate ... --write FILE`, shown beside scores; its path is from where the code is",
    )
    sampling: SamplingSettings = SamplingSettings()
    budget: BudgetSettings = Field(default=BudgetSettings(), description="for a month of judging, which no tenant pays")


Text = Annotated[str, Field(min_length=1, max_length=2_048)]
Claim = Text | Annotated[tuple[Text, ...], Field(min_length=1, max_length=8)]
"""A claim's name, or the way to it through nested objects: [realm_access, roles]."""


class JwtSettings(Section):
    """The identity provider whose access tokens are taken as well as API keys. docs/http.md says what one must have."""

    issuer: Text | EnvRef
    audience: Text | EnvRef
    jwks_url: Text | EnvRef = Field(description="where its public keys are")
    allow_http: bool = Field(
        default=False, description="whether that may be http, for an address that nobody else hears"
    )
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"], ...
    ] = Field(default=("RS256", "ES256", "EdDSA"), min_length=1)
    tenant_claim: Claim = "tenant"
    user_claim: Claim = "sub"
    role_claim: Claim | None = None
    roles: Mapping[str, Literal["user", "operator", "admin"]] = Field(
        default_factory=dict, description="by a value of role_claim; whoever has none of them is a user"
    )
    scopes_claim: Claim | None = Field(default=None, description="where set, a token has only the permissions in it")
    leeway_s: float = Field(default=30.0, ge=0, le=300, description="how far the two clocks may be apart")
    max_lifetime_s: PositiveSeconds = Field(default=86_400.0, description="from iat to exp of a token")
    keys_ttl_s: PositiveSeconds = Field(default=300.0, description="how long a withdrawn key may still be accepted")
    keys_cooldown_s: PositiveSeconds = Field(default=10.0, description="between two fetches, whatever tokens say")
    keys_stale_s: float = Field(
        default=3_600.0, ge=0, le=7 * 86_400, description="beyond keys_ttl_s while the provider is away"
    )
    keys_timeout_s: float = Field(default=5.0, gt=0, le=60)

    @model_validator(mode="after")
    def _holds_together(self) -> "JwtSettings":
        if self.roles and self.role_claim is None:
            raise ValueError("roles needs role_claim: the claim whose values they are by")
        if self.keys_cooldown_s > self.keys_ttl_s:
            raise ValueError("keys_cooldown_s must not be longer than keys_ttl_s")
        if isinstance(self.jwks_url, str) and not self.allow_http and not self.jwks_url.startswith("https://"):
            raise ValueError("jwks_url must begin with https://")
        return self


class SecuritySettings(Section):
    key_pepper: EnvRef = EnvRef(env="MAINSTAY_KEY_PEPPER")
    key_cache_s: float = Field(default=15.0, ge=0, le=300, description="how long a revoked key may still be accepted")
    jwt: JwtSettings | None = None


class WebhookSettings(Section):
    secret: EnvRef = EnvRef(env="MAINSTAY_WEBHOOK_SECRET", default="")
    """`whsec_` and base64 of 24 to 64 random bytes; several with spaces between while one replaces another. While there is
    none no webhook is taken or sent."""
    allow_hosts: tuple[str, ...] = Field(default=(), description="unless empty, no other; *.example.com: all below it")
    allow_ports: tuple[Port, ...] = (443, 8443)
    allow_http: bool = Field(default=False, description="whether URLs may be http as well; add the port to allow_ports")
    allow_private: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="networks such as 10.20.0.0/16 that may be called though they are not public"
    )
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="for one attempt, from the lookup to the answer")
    attempts: int = Field(default=6, ge=1, le=20)
    retry_base_s: PositiveSeconds = Field(
        default=120.0, description="at most so long to the second attempt; doubled for each further one"
    )
    retry_max_s: PositiveSeconds = 3_600.0
    concurrency: int = Field(default=32, ge=1, le=1_000, description="attempts at once, per replica")
    per_tenant: int = Field(default=8, ge=1, le=1_000, description="of these")


KeptSeconds = Annotated[float, Field(ge=3_600, le=10 * 366 * 86_400)]
"""How long something is kept. What is kept for less than an hour would be gone before everybody had read it."""


class RetentionSettings(Section):
    """How long what runs leave behind is kept; null is for ever. docs/retention.md says what goes, and what stays."""

    every_s: float = Field(default=3_600.0, ge=60, le=7 * 86_400, description="how often what is past its time goes")
    compact_after_s: KeptSeconds | None = Field(
        default=86_400.0, description="from the end of a run until its log is put together; nothing of it is lost"
    )
    ephemeral_ttl_s: KeptSeconds | None = Field(
        default=7 * 86_400.0, description="from the end of a run without a thread until it goes, all but its bill"
    )
    thread_ttl_s: KeptSeconds | None = Field(default=None, description="how long a thread may lie idle")
    events_ttl_s: KeptSeconds | None = Field(
        default=30 * 86_400.0, description="from the end of a run until its log goes; its messages stay"
    )
    usage_ttl_s: KeptSeconds | None = Field(default=None, description="the age of a bill")
    attempts_ttl_s: KeptSeconds | None = Field(
        default=90 * 86_400.0, description="the age of a record of who was refused; what was done to keys stays"
    )
    alerts_ttl_s: KeptSeconds | None = Field(
        default=90 * 86_400.0, description="from the end of an alert until it goes"
    )
    traces_ttl_s: KeptSeconds | None = Field(default=7 * 86_400.0, description="the age of a run's trace")


class Settings(Section):
    providers: tuple[ProviderSettings, ...] = Field(min_length=1)
    graphs: Mapping[Name, GraphSettings] = Field(min_length=1)
    default_graph: Name
    runs: RunSettings = RunSettings()
    tools: ToolSettings = ToolSettings()
    memory: MemorySettings = MemorySettings()
    http: HttpSettings = HttpSettings()
    database: DatabaseSettings = DatabaseSettings()
    guardrail: GuardrailSettings = GuardrailSettings()
    evaluator: EvaluatorSettings = EvaluatorSettings()
    alerts: AlertSettings = AlertSettings()
    security: SecuritySettings = SecuritySettings()
    webhooks: WebhookSettings = WebhookSettings()
    limits: LimitSettings = LimitSettings()
    prices: PriceListSettings = PriceListSettings()
    retention: RetentionSettings = RetentionSettings()
    tracing: TracingSettings = TracingSettings()
    logs: LogSettings = LogSettings()
    load: Mapping[str, Any] = Field(
        default_factory=dict, description="fields of services.resilience.LoadPolicy: what an overloaded replica refuses"
    )

    @model_validator(mode="after")
    def _names_agree(self) -> "Settings":
        if self.default_graph not in self.graphs:
            raise ValueError(f"default_graph {self.default_graph!r} is not one of graphs: {', '.join(self.graphs)}")
        names = [provider.name for provider in self.providers]
        if len(set(names)) != len(names):
            raise ValueError(f"two providers share a name: {', '.join(names)}")
        for graph, served in self.graphs.items():
            if unknown := [name for name in served.providers if name not in names]:
                raise ValueError(f"graphs.{graph}.providers: {unknown[0]!r} is not one of: {', '.join(names)}")
        if unknown := [name for name in self.tracing.tell_providers if name not in names]:
            raise ValueError(f"tracing.tell_providers: {unknown[0]!r} is not one of: {', '.join(names)}")
        judges = {
            "evaluator": self.evaluator.provider,
            "guardrail.output.semantic": self.guardrail.output.semantic.provider,
        }
        for where, judge in judges.items():
            if judge is not None and judge not in names:
                raise ValueError(f"{where}.provider {judge!r} is not one of providers: {', '.join(names)}")
        return self


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `overlay` over `base`: mappings are merged key by key, anything else (lists too) replaces what was there."""
    merged = dict(base)
    for key, value in overlay.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def read(path: Path) -> dict[str, Any]:
    """Return the plain values of one settings file. Raises SettingsError when there is none, or it is no mapping."""
    try:
        parsed = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"There is no settings file {path.name} in {path.parent}.") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path.name} is not valid YAML: {error}") from None
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise SettingsError(f"{path.name} must hold a mapping at the top.")
    return parsed


def parse(values: Mapping[str, Any]) -> Settings:
    """Validate plain values. Raises SettingsError with one line per wrong key."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors()]
        raise SettingsError("The settings do not hold together:\n" + "\n".join(lines)) from None


def load(
    overlays: Sequence[str] = (), overrides: Mapping[str, Any] | None = None, *, folder: Path = CONFIGS
) -> Settings:
    """Return the settings of `default.yaml` under the named overlays (files beside it), under `overrides`."""
    layers = [read(folder / f"{name}.yaml") for name in ("default", *overlays)]
    return parse(reduce(merge, [*layers, overrides or {}]))
