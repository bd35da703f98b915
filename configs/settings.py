"""The settings of an application: what an operator writes in YAML, checked as a whole before anything starts.

`load` reads `default.yaml`, lays the named overlays over it in order, and validates the result. Nothing here reads the
environment: a value that differs between machines, and every secret, is an `EnvRef`, the *name* of a variable that each
replica resolves for itself, so that no secret is ever an argument that Ray stores.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from configs.alerts import AlertSettings
from configs.database import DatabaseSettings
from configs.evaluator import EvaluatorSettings
from configs.graphs import GraphSettings
from configs.guardrail import GuardrailSettings
from configs.http import HttpSettings
from configs.memory import MemorySettings
from configs.providers import ProviderSettings
from configs.quotas import LimitSettings, PriceListSettings
from configs.retention import RetentionSettings
from configs.runs import RunSettings
from configs.section import Name, Section, SettingsError
from configs.security import SecuritySettings
from configs.telemetry import LogSettings, TracingSettings
from configs.tools import ToolSettings
from configs.webhooks import WebhookSettings

CONFIGS = Path(__file__).parent


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
