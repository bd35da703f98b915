"""The commands from their arguments to their exit status, and the gate of a prompt change as a build would run it."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.offline import comparison, statistics
from evaluation.offline.command import DATASET, NoJudge, main
from evaluation.offline.dataset import read_dataset
from evaluation.offline.evaluating import PAGE, Plan, evaluate
from evaluation.offline.progress import ProgressBar
from evaluation.offline.results import read_results
from evaluation.offline.runner import Marking
from tests.evaluation.offline.scripted import ScriptedTarget, an_answer, by_the_book

ROOT = Path(__file__).parents[3]
GOOD = "graphs: { react: { prompts: { system: Use a tool. } } }"
BAD = "graphs: { react: { prompts: { system: Be nice. } } }"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Results of an agent that answers by the book, and of one that does not."""
    dataset = read_dataset(DATASET)
    for name, target in (
        ("good", ScriptedTarget(by_the_book)),
        ("bad", ScriptedTarget(lambda case: an_answer(case, "So."))),
    ):
        plan = Plan(dataset=dataset, out=tmp_path / name, name=name)
        asyncio.run(evaluate(plan, target, Marking(criteria=("length",), judge=NoJudge())))
    return tmp_path / "good", tmp_path / "bad"


def test_a_gate_is_an_exit_status(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """0 where it holds, 1 where it does not, and the page beside the results says which rule."""
    good, bad = map(str, folders)
    gate = ["--gate", str(ROOT / "evaluation/gates/prompt.toml")]
    assert main(["gate", good, *gate, "--baseline", good]) == 0
    assert "ok    passed: mean 1.000, at least 0.5" in capsys.readouterr().out
    assert main(["gate", bad, *gate, "--baseline", good]) == 1
    assert "FAIL  passed: difference -1.000" in capsys.readouterr().out
    assert "The gate does not hold." in (folders[1] / PAGE).read_text()
    assert main(["compare", good, bad]) == 0
    assert "passed" in capsys.readouterr().out
    page = folders[0] / "elsewhere.html"
    assert main(["report", good, "--page", str(page)]) == 0
    assert "The gate" not in page.read_text()


def test_what_is_said_shown_and_gated_is_worked_out_once(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One mean and one paired test of each measure, for the terminal, the gate and the page together."""
    good, bad = map(str, folders)
    worked_out: list[str] = []

    def counting(of: Callable[..., object]) -> Callable[..., object]:
        def counted(*given: object, **named: object) -> object:
            worked_out.append(of.__name__)
            return of(*given, **named)

        return counted

    for statistic in (statistics.mean_of, statistics.paired):
        monkeypatch.setattr(comparison, statistic.__name__, counting(statistic))
    assert main(["gate", bad, "--gate", str(ROOT / "evaluation/gates/prompt.toml"), "--baseline", good]) == 1
    measures = len(read_results(folders[0]).conditions.measures)
    assert sorted(worked_out) == ["mean_of"] * measures + ["paired"] * measures


def test_what_cannot_be_run_is_two(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file, a missing gate, another data set, nobody at the address, cases that are left: never 0, never 1."""
    good = str(folders[0])
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert main(["gate", good]) == 2
    assert main(["gate", good, "--gate", str(tmp_path / "none.toml")]) == 2
    nobody = ["run", "--target", "http://127.0.0.1:9", "--out", str(tmp_path / "run")]
    assert main(nobody) == 2
    assert main([*nobody, "--resume", "--for-s", "0"]) == 2
    assert main([*nobody, "--resume", "--key-file", str(tmp_path / "no-key")]) == 2
    assert main([*nobody, "--criteria", "niceness"]) == 2
    said = capsys.readouterr()
    assert "0 of 28 cases are done" in said.out
    assert len([line for line in said.err.splitlines() if line.startswith("evaluation: ")]) == 6
    rows = (folders[0] / "results.jsonl").read_text().splitlines()
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "results.jsonl").write_text("\n".join(rows[:3]) + "\n" + rows[3][:40])
    assert main(["report", str(torn)]) == 2
    (torn / "results.jsonl").write_text(json.dumps({"something": "else"}) + "\n")
    assert main(["report", str(torn)]) == 2
    with pytest.raises(SystemExit) as ended:
        main(["run"])
    assert ended.value.code == 2


def test_the_gate_of_a_prompt_change_is_red_and_green(tmp_path: Path) -> None:
    """`bin/eval-gate` as a build runs it, with an agent that answers by the book if its prompt says so. What was asked of the
    prompt before is not asked again.
    """
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)

    def gate(after: str, out: str) -> "subprocess.CompletedProcess[str]":
        evaluating = f"{sys.executable} -m tests.evaluation.offline.scripted"
        environ = {**os.environ, "EVALUATE": evaluating, "EVAL_OUT": str(tmp_path / out), "PYTHONPATH": str(ROOT)}
        command = [str(ROOT / "bin/eval-gate"), str(tmp_path / "good.yaml"), str(tmp_path / after)]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    green = gate("good.yaml", "green")
    assert (green.returncode, green.stderr.count("28/28")) == (0, 2), green.stdout + green.stderr
    (tmp_path / "red").mkdir()
    (tmp_path / "green" / "before").rename(tmp_path / "red" / "before")
    red = gate("bad.yaml", "red")
    assert red.returncode == 1, red.stdout + red.stderr
    assert "FAIL  passed: difference -1.000" in red.stdout
    assert (tmp_path / "red" / "after" / PAGE).exists()


def test_progress_is_a_line_that_rewrites_itself_on_a_terminal() -> None:
    """And a line for every tenth part elsewhere; the time left is by what this process has done."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now = [0.0]
    terminal, log = Terminal(), io.StringIO()
    bars = [ProgressBar(stream=stream, clock=lambda: now[0]) for stream in (terminal, log)]
    for done in range(5, 41):
        for bar in bars:
            bar(done, 40, int(done > 20))
        now[0] += 2.0
    for bar in bars:
        bar.close()
    assert terminal.getvalue().count("\n") == 1
    assert "[###############...............] 20/40, about 40 s left" in terminal.getvalue()
    assert "21/40, 1 failed" in terminal.getvalue()
    assert [line.split(",")[0] for line in log.getvalue().splitlines()] == [
        *("5/40", "8/40", "12/40", "16/40", "20/40", "24/40", "28/40", "32/40", "36/40", "40/40")
    ]
