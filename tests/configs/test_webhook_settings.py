"""Webhooks are off until an operator sets a secret, and as strict as the code they configure."""

from dataclasses import fields

import pytest

from configs.section import SettingsError
from configs.settings import load
from configs.webhooks import WebhookSettings
from services.runs.webhooks import WebhookPolicy
from services.security.addresses import AddressPolicy


def test_without_a_secret_there_are_none() -> None:
    """An unset variable is no error: it means that no webhook is taken or sent."""
    assert WebhookSettings().secret.resolve({}) == ""
    assert WebhookSettings().secret.resolve({"MAINSTAY_WEBHOOK_SECRET": "whsec_x"}) == "whsec_x"


def test_the_settings_say_what_the_code_does() -> None:
    """What an operator leaves out is what the policies have themselves."""
    settings, policy, addresses = WebhookSettings(), WebhookPolicy(), AddressPolicy()
    for name in {field.name for field in fields(WebhookPolicy)} & set(WebhookSettings.model_fields):
        assert getattr(settings, name) == getattr(policy, name), name
    assert frozenset(settings.allow_ports) == addresses.ports
    assert (settings.allow_hosts, settings.allow_private) == (addresses.hosts, addresses.allow_private)
    assert not settings.allow_http


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("allow_private", ["10.0.0.1/8"]),
        ("allow_private", True),
        ("allow_ports", [0]),
        ("timeout_s", 61),
        ("attempts", 0),
    ],
)
def test_what_cannot_work_is_named(key: str, value: object) -> None:
    """A network with host bits, `true` for a list of networks, a port that is none, a time limit that is too long."""
    with pytest.raises(SettingsError, match=rf"webhooks\.{key}"):
        load([], {"webhooks": {key: value}})
