"""Settings: what ships is valid, and what is wrong is refused with the key and what to do."""

from pathlib import Path

import pytest

from configs.section import EnvRef, SettingsError
from configs.settings import load, merge, parse


@pytest.mark.parametrize("overlay", ["local", "openai", "production"])
def test_every_shipped_overlay_is_valid(overlay: str) -> None:
    """Each file that an operator can name gives settings that hold together."""
    assert load([overlay]).default_graph in load([overlay]).graphs


def test_an_overlay_changes_its_own_keys_only() -> None:
    """local.yaml sets one round of tools for react and leaves the other graphs alone."""
    assert load(["local"]).graphs["react"].max_tool_rounds == 1
    assert load(["local"]).graphs["supervisor"] == load([]).graphs["supervisor"]


def test_a_misspelt_key_is_named() -> None:
    """An unknown key is an error that says where it stands, not a setting that silently does nothing."""
    with pytest.raises(SettingsError, match=r"runs\.max_runs"):
        load([], {"runs": {"max_runs": 3}})


def test_every_wrong_key_is_told_at_once() -> None:
    """An operator mends the file in one go."""
    with pytest.raises(SettingsError) as caught:
        load([], {"runs": {"max_run_s": -1}, "http": {"max_body_bytes": 1}})
    assert "runs.max_run_s" in str(caught.value)
    assert "http.max_body_bytes" in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"default_graph": "nobody"}, "nobody"),
        ({"evaluator": {"provider": "nobody"}}, "nobody"),
        ({"providers": []}, "providers"),
        ({"graphs": {"react": {"providers": ["nobody"]}}}, r"graphs\.react\.providers"),
    ],
)
def test_names_must_refer_to_something(overrides: dict[str, object], said: str) -> None:
    """A default graph, a judge, a graph's or any other provider that does not exist is found at once."""
    with pytest.raises(SettingsError, match=said):
        load([], overrides)


def test_two_providers_may_not_share_a_name() -> None:
    """A breaker, a price and a metric are found by the provider's name."""
    provider = {"name": "same", "kind": "openai", "model": "m"}
    with pytest.raises(SettingsError, match="share a name"):
        load([], {"providers": [provider, provider]})


def test_a_variable_that_is_not_set_is_named_and_its_value_never_is() -> None:
    """The error says which variable to set, and where."""
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        EnvRef(env="DATABASE_URL").resolve({})
    assert EnvRef(env="A", default="b").resolve({"A": ""}) == "b"
    assert EnvRef(env="A", default="b").resolve({"A": "c"}) == "c"


def test_merge_replaces_lists_and_merges_mappings() -> None:
    """A list in an overlay is the whole list, a mapping only what it names."""
    assert merge({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}}


@pytest.mark.parametrize(("text", "said"), [("a: [", "not valid YAML"), ("- a", "mapping")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    """A broken file is named, with what is wrong in it."""
    (tmp_path / "default.yaml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        load([], folder=tmp_path)


def test_a_missing_overlay_is_named(tmp_path: Path) -> None:
    """A misspelt overlay is told from an empty one."""
    (tmp_path / "default.yaml").write_text("")
    with pytest.raises(SettingsError, match=r"prod\.yaml"):
        load(["prod"], folder=tmp_path)


def test_settings_cannot_be_changed() -> None:
    """Settings are a value: nothing that holds them can alter them for others."""
    settings = load([])
    with pytest.raises(ValueError, match="frozen"):
        settings.default_graph = "other"  # type: ignore[misc]


def test_parse_refuses_what_is_not_settings() -> None:
    """An empty mapping names the keys that are missing."""
    with pytest.raises(SettingsError, match="default_graph"):
        parse({})
