"""What replicas tell of their work, as the settings say."""

import sys
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from configs.section import EnvRef, SettingsError
from configs.settings import load
from deployments.composition.telemetry import COLLECTOR, check_exporter, secrets_of
from deployments.knobs import IngressKnobs
from services.errors import ConfigurationError

NO_SECRETS = {"OPENAI_MODEL", "OPENAI_BASE_URL"}


def variables(value: object) -> Iterator[str]:
    """The names of all environment variables in settings."""
    if isinstance(value, EnvRef):
        yield value.env
    elif isinstance(value, BaseModel):
        for _, item in value:
            yield from variables(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from variables(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from variables(item)


def test_every_secret_is_known_to_the_log() -> None:
    """Each variable that settings may name is a secret, or known not to be one: whoever adds another says which."""
    embedding = {"model": "m", "base_url": "http://e", "api_key": {"env": "EMBEDDING_KEY"}}
    own = {"memory": {"embedding": embedding}, "limits": {"redis_url": {"env": "REDIS_URL"}}}
    settings = load(["production"], own)
    named = set(variables(settings))
    known = secrets_of(settings, {name: f"the value of {name}" for name in named})
    assert {value.removeprefix("the value of ") for value in known} == named - NO_SECRETS
    assert secrets_of(settings, {}) == []


def test_a_provider_that_is_told_of_traces_is_there() -> None:
    with pytest.raises(SettingsError, match="tell_providers"):
        load([], {"tracing": {"tell_providers": ["nobody"]}})


@pytest.mark.parametrize("rate", [-0.1, 1.1, "all"])
def test_the_live_rate_is_a_share(rate: object) -> None:
    assert IngressKnobs.parse({"trace_rate": 0.5}).trace_rate == 0.5
    with pytest.raises(ConfigurationError, match="trace_rate"):
        IngressKnobs.parse({"trace_rate": rate})


def test_a_collector_without_an_exporter_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that cannot be made is restarted for ever."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    check_exporter({})
    for name in COLLECTOR:
        with pytest.raises(ConfigurationError, match=r"mainstay\[otlp\]"):
            check_exporter({name: "http://localhost:4318"})
