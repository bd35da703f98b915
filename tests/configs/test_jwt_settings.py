"""An identity provider in the settings: what would take anybody's tokens, or nobody's, is refused with the key."""

import re
from pathlib import Path

import pytest
import yaml

from configs.section import SettingsError
from configs.security import JwtSettings
from configs.settings import load
from services.telemetry.metrics import METRICS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "identity.md").read_text(encoding="utf-8")

PROVIDER = {"issuer": "https://login.example.com", "audience": "a", "jwks_url": "https://login.example.com/jwks"}


@pytest.mark.parametrize("missing", PROVIDER)
def test_a_provider_needs_all_three(missing: str) -> None:
    """Who issues, for whom, and where the keys are."""
    for value in ({}, {missing: ""}):
        jwt = {name: text for name, text in PROVIDER.items() if name != missing} | value
        with pytest.raises(SettingsError, match=rf"security\.jwt\.{missing}"):
            load([], {"security": {"jwt": jwt}})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("algorithms", ["HS256"]),
        ("algorithms", ["RS256", "none"]),
        ("algorithms", []),
        ("roles", {"admins": "root"}),
        ("tenant_claim", []),
        ("tenant_claim", ""),
        ("user_claim", ["a"] * 9),
        ("leeway_s", 301),
        ("max_lifetime_s", 0),
        ("keys_timeout_s", 61),
        ("audiences", ["a"]),
    ],
)
def test_what_cannot_work_is_named(key: str, value: object) -> None:
    """A shared secret, no signature, no algorithm, a role that does not exist, no claim, clocks far apart, a misspelt key."""
    with pytest.raises(SettingsError, match=rf"security\.jwt\.{key}"):
        load([], {"security": {"jwt": {**PROVIDER, key: value}}})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"roles": {"admins": "admin"}}, "roles needs role_claim"),
        ({"keys_ttl_s": 5}, "keys_cooldown_s must not be longer"),
        ({"jwks_url": "http://login.example.com/jwks"}, "jwks_url must begin with https://"),
        ({"jwks_url": "file:///etc/passwd"}, "jwks_url must begin with https://"),
    ],
)
def test_what_contradicts_itself(changes: dict[str, object], said: str) -> None:
    """Roles by no claim, keys that may not be asked for when their time is over, keys that anybody on the way can change."""
    with pytest.raises(SettingsError, match=said):
        load([], {"security": {"jwt": {**PROVIDER, **changes}}})


def test_http_has_to_be_allowed() -> None:
    """For an address that nobody else hears, such as the loopback."""
    jwt = {**PROVIDER, "jwks_url": "http://127.0.0.1:8080/jwks", "allow_http": True}
    assert load([], {"security": {"jwt": jwt}}).security.jwt is not None


def test_the_document_says_what_the_settings_are() -> None:
    """Its example is taken, every key has its place in it, and the numbers are those that hold; its metrics exist."""
    [example] = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert load([], yaml.safe_load(example)).security.jwt is not None
    for name, field in JwtSettings.model_fields.items():
        if isinstance(field.default, float):
            assert f"| `{name}` | {field.default:g} |" in DOCUMENT
        else:
            assert f"`{name}`" in DOCUMENT, name
    named = re.findall(r"ray_(mainstay_\w+)_total", DOCUMENT)
    assert named
    assert METRICS.keys() >= set(named)
