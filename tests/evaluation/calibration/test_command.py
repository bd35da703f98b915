"""`python -m evaluation.calibration` from its arguments to its table, against an endpoint that gives odds."""

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evaluation.calibration.__main__ import main, parser
from evaluation.calibration.record import PUBLISHED, read_calibrations


class Odds(BaseHTTPRequestHandler):
    """Finds that an answer with "right" in it is, in either order."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        yes = 0.9 if "right" in asked["messages"][-1]["content"] else 0.2
        odds = [{"token": "Yes", "logprob": math.log(yes)}, {"token": "No", "logprob": math.log(1 - yes)}]
        choice = {
            "message": {"role": "assistant", "content": "Yes"},
            "finish_reason": "length",
            "logprobs": {"content": [{**odds[0], "top_logprobs": odds}]},
        }
        body = json.dumps({"choices": [choice], "model": asked["model"]}).encode()
        self.send_response(200 if self.headers["authorization"] == "Bearer sk-judge" else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Nothing is said of requests."""


@pytest.fixture
def arguments(tmp_path: Path) -> Iterator[list[str]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odds)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    key, data = tmp_path / "key", tmp_path / "ours.jsonl"
    key.write_text("sk-judge\n")
    rows = [
        {"id": text, "question": "?", "answer": text, "labels": {"accuracy": label}}
        for text, label in (("right", 9), ("wrong", 2))
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    url = f"http://127.0.0.1:{server.server_port}/v1"
    yield ["handbook", "--data", str(data), "--base-url", url, "--model", "tiny", "--key-file", str(key)]
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_prints_a_table_and_publishes_it(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --write FILE the figures are where whoever shows scores looks them up, and without FILE among those shipped."""
    published = tmp_path / "calibrations.json"
    assert main([*arguments, "--write", str(published), "--style", "one_token"]) == 0
    assert parser().parse_args([*arguments, "--write"]).write == PUBLISHED
    printed = capsys.readouterr().out
    assert "| accuracy (rubric 1) | ours | 2 | 0 | 100 % | 1.00 |" in printed
    assert "Marked as speaking to a judge: 0 of 2 answers." in printed
    [one] = read_calibrations(published)
    assert (one.judge_model, one.n, one.kappa) == ("tiny/one_token", 2, 1.0)


def test_what_is_left_over_and_what_is_wrong_have_a_status(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 where the time was too short, 1 with one line where a file is missing or the endpoint refuses."""
    assert main([*arguments, "--style", "one_token", "--for-s", "-1"]) == 2
    assert main([*arguments, "--data", str(tmp_path / "absent")]) == 1
    assert main(["llmbar", *arguments[3:]]) == 1
    (tmp_path / "key").write_text("wrong")
    assert main([*arguments, "--style", "one_token"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if line.startswith("calibration: ")]) == 3
