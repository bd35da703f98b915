"""The embedded model as a judge, in a few cases; docs/evaluation.md has all of them."""

import json
import os
from pathlib import Path

import pytest

from deployments.launch import calibrate, weights
from deployments.launch.console import Console
from evaluation.calibration.hostile import attempts

TRIED = ("h01", "h42")
"""An order and a forged verdict."""


@pytest.mark.embedded
def test_the_embedded_judge_is_not_moved_without_a_mark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One command starts it, asks it by its log-probabilities, and says what moved; its verdicts are numbers of its own."""
    if weights.cached(weights.cache_dir(os.environ)) is None and not os.environ.get("MODEL_PATH"):
        pytest.skip("no embedded model in the cache: `make serve` fetches it, or name one in MODEL_PATH")
    data, journal = tmp_path / "hostile.jsonl", tmp_path / "journal.jsonl"
    chosen = [one for one in attempts() if one.id in TRIED]
    data.write_text("".join(json.dumps({name: getattr(one, name) for name in one.__slots__}) + "\n" for one in chosen))
    given = ["hostile", "--data", str(data), "--criterion", "accuracy", "--journal", str(journal)]
    assert calibrate.main(given, os.environ, Console()) == 0
    said = capsys.readouterr().out
    assert "| all | 2 |" in said
    assert "Moved and not marked: none." in said
    values = [json.loads(line)["value"] for line in journal.read_text().splitlines()]
    assert len(values) == 2 * 3
    assert all(value is not None and 0.0 < value < 10.0 for value in values)
