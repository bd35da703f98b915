"""The rules and configurations of Prometheus and Alertmanager, as their own tools see them, and what every alert must have."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.errors import ERRORS
from tests.prometheus import program

ROOT = Path(__file__).parents[3]
OBSERVABILITY = ROOT / "configs" / "observability"
CASES = [Path(__file__).with_name(name) for name in ("alerts.yaml", "slow_alerts.yaml")]


def rules(kind: str) -> Iterator[dict[str, Any]]:
    """Yield the rules of a kind, `alert` or `record`."""
    for path in sorted((OBSERVABILITY / "rules").glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from (rule for rule in group["rules"] if kind in rule)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_else(cases: Path) -> None:
    """What `promtool test rules` says of the two situations of each alert."""
    run(program("promtool"), "test", "rules", str(cases))


def test_every_alert_has_both_situations() -> None:
    """One in which it fires and one in which it does not."""
    expected: dict[str, set[bool]] = {}
    for path in CASES:
        for case in yaml.safe_load(path.read_text())["tests"]:
            [tested] = case["promql_expr_test"]
            [name] = re.findall(r'alertname="(\w+)"', tested["expr"])
            expected.setdefault(name, set()).add(bool(tested["exp_samples"]))
    assert expected == {rule["alert"]: {True, False} for rule in rules("alert")}


def test_the_configurations_are_valid() -> None:
    """For the versions that the build machine has."""
    run(program("promtool"), "check", "config", "--lint=all", "--lint-fatal", str(OBSERVABILITY / "prometheus.yaml"))
    run(program("amtool"), "check-config", str(OBSERVABILITY / "alertmanager.yaml"))


@pytest.mark.parametrize("alert", [*rules("alert")], ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_to_be_done(alert: dict[str, Any]) -> None:
    """How urgent it is, what it is about, and where its runbook stands, which is there and has all three parts."""
    assert alert["labels"]["severity"] in {"page", "ticket"}
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    name = alert["alert"]
    assert notes["runbook_url"] == f"docs/operations.md#{name.lower()}"
    sections = re.split(r"^### ", (ROOT / "docs" / "operations.md").read_text(), flags=re.MULTILINE)
    [runbook] = [section for section in sections if section.startswith(f"{name}\n")]
    for part in ("**Means**", "**Look at**", "**Do**"):
        assert part in runbook, f"{name}: {part}"


def test_only_what_callers_cause_is_left_out_of_availability() -> None:
    """Every code that does not count says so by its status: the request has to change, not we."""
    statuses = {error.code: error.status for error in ERRORS}
    left_out = {
        code
        for rule in rules("record")
        if rule["record"].startswith("mainstay:bad_runs:")
        for code in re.findall(r'code!~"([^"]+)"', rule["expr"])[0].split("|")
    }
    assert left_out
    assert all(400 <= statuses[code] < 500 for code in left_out)


def test_windows_differ_in_their_length_only() -> None:
    """A change of one of the seven rules of an objective is a change of all."""
    for objective in ("bad_runs", "slow_first_texts"):
        found = [
            (rule["record"].rpartition("rate")[2], rule["expr"])
            for rule in rules("record")
            if rule["record"].startswith(f"mainstay:{objective}:")
        ]
        assert [window for window, _ in found] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
        assert len({expression.replace(f"[{window}]", "[]") for window, expression in found}) == 1
