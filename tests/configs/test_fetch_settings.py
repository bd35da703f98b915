"""Fetching is as strict as the code that it configures, unless an operator says otherwise."""

from dataclasses import fields

import pytest

from configs.section import SettingsError
from configs.settings import load
from configs.tools import FetchSettings
from services.security.addresses import AddressPolicy
from services.security.pages import FetchLimits


def test_the_settings_say_what_the_code_does() -> None:
    """What an operator leaves out is what the limits have themselves; a page is https on its usual port."""
    settings, limits, addresses = FetchSettings(), FetchLimits(), AddressPolicy()
    for name in (field.name for field in fields(FetchLimits)):
        assert getattr(settings, name) == getattr(limits, name), name
    assert set(settings.allow_ports) == {443} < addresses.ports
    assert (settings.allow_hosts, settings.allow_private) == (addresses.hosts, addresses.allow_private)
    assert not settings.allow_http


@pytest.mark.parametrize(
    ("key", "value"),
    [("allow_private", ["10.0.0.1/8"]), ("timeout_s", 21), ("max_bytes", 10**9), ("max_redirects", -1)],
)
def test_what_cannot_work_is_named(key: str, value: object) -> None:
    """A network with host bits, more time than a tool has, a page that no replica has room for."""
    with pytest.raises(SettingsError, match=rf"tools\.fetch\.{key}"):
        load([], {"tools": {"fetch": {key: value}}})


def test_no_agent_fetches_unless_it_is_given_the_tool() -> None:
    """The graphs that ship do without the web."""
    assert not any("fetch" in graph.tools for graph in load([]).graphs.values())
