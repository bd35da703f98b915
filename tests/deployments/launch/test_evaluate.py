"""`make eval`, as far as it goes without a model: what is wrong is told before anything is started."""

import io
from pathlib import Path

import pytest

from deployments.launch import evaluate
from deployments.launch.console import Console


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--dataset", "none.jsonl"], "none.jsonl"),
        (["--gate", "none.toml"], "none.toml"),
        (["--baseline", "nowhere"], "nowhere"),
        (["--settings", "none.yaml"], "There is no settings file none.yaml"),
        (["--overlay", "none"], "There is no settings file none.yaml"),
        (["--criteria", "niceness"], "there is no criterion 'niceness'"),
        (["--graph", "reakt"], "There is no graph 'reakt'"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(
    given: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model is fetched and no database is made for it."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("something was started")

    monkeypatch.setattr(evaluate, "ModelProcess", started)
    monkeypatch.setattr(evaluate, "EmbeddedPostgres", started)
    said = io.StringIO()
    assert evaluate.main([*given, "--out", str(tmp_path / "out")], {}, Console(stream=said)) == 2
    [line] = said.getvalue().splitlines()
    assert line.startswith("evaluation: ")
    assert complaint in line
    assert not (tmp_path / "out").exists()
