"""Lines in the log: what is in them, for whom, and what never is."""

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, ValidationError

from services.errors import ModelServerError
from services.runs.engine import RunTimes
from services.runs.run_lines import RunLines
from services.telemetry.log_context import LogContext, empty_context, log_context, work_for, work_for_run
from services.telemetry.log_file import LineFile
from services.telemetry.logs import OURS, Hiding, JsonLines, Origin, Pseudonyms, TextLines, write_to
from services.types import Message, RunOutcome, RunStatus, Usage
from tests.services.runs.fakes import a_run

KEY = "sk-proj-abcdEFGH1234abcdEFGH1234abcdEFGH1234abcdEFGH1234abcdEFGH1234"
OURS_SECRET = "correct horse battery staple"
ORIGIN = Origin(deployment="agent", replica="r1")
logger = logging.getLogger("services.telemetry.test")


class Written(logging.Handler):
    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def only(self) -> dict[str, Any]:
        [line] = self.lines
        assert "\n" not in line
        return dict(orjson.loads(line))


@pytest.fixture
def nobody() -> Iterator[None]:
    """Loggers as they were, and nobody worked for."""
    before = {name: logging.getLogger(name) for name in OURS}
    kept = {name: (found.handlers, found.level, found.propagate) for name, found in before.items()}
    work_for(LogContext())
    yield
    for name, (handlers, level, propagate) in kept.items():
        before[name].handlers, before[name].propagate = handlers, propagate
        before[name].setLevel(level)
    work_for(LogContext())


@pytest.fixture
def json(nobody: None) -> Written:
    written = Written(JsonLines(ORIGIN, Pseudonyms("pepper"), Hiding([OURS_SECRET])))
    write_to(written, level="DEBUG")
    return written


@pytest.fixture
def text(nobody: None) -> Written:
    written = Written(TextLines(Pseudonyms("pepper"), Hiding([OURS_SECRET])))
    write_to(written, level="DEBUG")
    return written


def test_a_line_says_who_wrote_it_and_for_whom(json: Written) -> None:
    """Its run, thread, request and trace by their ids, its tenant by a name that says nothing."""
    run = a_run(request_id="req-1")
    work_for(LogContext.of(run, "7" * 32))
    logger.warning("provider %s failed", "openai", extra={"code": "model_error", "after_s": 1.5})
    line = json.only
    assert line.pop("time").endswith("+00:00")
    tenant = line.pop("tenant")
    assert len(tenant) == 16
    assert "acme" not in json.lines[0]
    assert line == {
        "level": "WARNING",
        "logger": "services.telemetry.test",
        "message": "provider openai failed",
        "deployment": "agent",
        "replica": "r1",
        "run": str(run.id),
        "thread": str(run.thread_id),
        "request": "req-1",
        "trace": "7" * 32,
        "code": "model_error",
        "after_s": 1.5,
    }


def test_nobody_s_line_is_for_nobody(json: Written) -> None:
    logger.info("hello")
    assert json.only.keys() == {"time", "level", "logger", "message", "deployment", "replica"}


def test_a_line_s_own_words_do_not_replace_ours(json: Written) -> None:
    """Whatever a line is given, who wrote it and for whom stays."""
    work_for(LogContext(request_id="req-1"))
    given = {"level": "x", "request": "x", "time": "x", "odd": object(), "many": {"a": [1, None]}, "_of_a_library": 1}
    logger.info("hello", extra=given)
    line = json.only
    assert "_of_a_library" not in line
    assert (line["level"], line["request"], line["odd"], line["many"]) == ("INFO", "req-1", "object", {"a": [1, None]})


def test_pseudonyms_are_by_the_key() -> None:
    """The same for the same tenant everywhere, another one under another key, and users are told apart by tenant."""
    one, other = Pseudonyms("pepper"), Pseudonyms("salt")
    assert one.of("acme") == Pseudonyms("pepper").of("acme") != other.of("acme")
    assert one.of_user("acme", "ann") != one.of_user("other", "ann")


def test_a_tenant_that_a_line_names_is_not_named(json: Written) -> None:
    logger.warning("a budget is used up", extra={"tenant_id": "acme", "user_id": "ann"})
    line = json.only
    assert line["tenant"] == Pseudonyms("pepper").of("acme")
    assert line["user"] == Pseudonyms("pepper").of_user("acme", "ann")
    assert not [word for word in ("acme", "ann", "tenant_id") if f'"{word}"' in json.lines[0]]


FORGED = 'x\n{"level": "ERROR"}\r\x1b[2J\u2028ERROR forged\x85'


def test_nobody_else_can_write_a_line(json: Written, text: Written) -> None:
    """Neither in JSON nor in text, by a message, a field, or an exception."""
    for written in (json, text):
        written.lines.clear()
        write_to(written, level="DEBUG")
        try:
            raise ValueError(FORGED)
        except ValueError:
            logger.exception("it said %s", FORGED, extra={"name_of_it": FORGED})
    assert json.only["name_of_it"] == FORGED
    assert all(line.splitlines() == [line] for line in json.lines)
    [shown] = text.lines
    assert not [line for line in shown.splitlines()[1:] if not line.startswith("    ")]
    assert "\x1b" not in shown


@pytest.mark.parametrize("secret", [KEY, f"Bearer {'x' * 20}", OURS_SECRET, "AKIA3XMPLQ7RT5ZVWYHB"])
def test_a_secret_is_in_no_line(json: Written, text: Written, secret: str) -> None:
    """Not in a message, its values, its fields, a header, or what an exception says; also not at DEBUG."""
    worth = secret.removeprefix("Bearer ")
    for written in (json, text):
        written.lines.clear()
        write_to(written, level="DEBUG")
        logger.error("the provider said: %r", f"Incorrect key: {secret}.", extra={"headers": {"authorization": secret}})
        try:
            raise ModelServerError(f"It was {secret}")
        except ModelServerError:
            logger.exception("failed")
        RunLines().run_ended(
            a_run(messages=(Message(role="user", content=f"My key is {secret}, keep it"),)),
            RunOutcome(status=RunStatus.COMPLETED, messages=(), usage=Usage()),
            RunTimes(duration_s=1.0, first_text_s=None),
        )
        assert len(written.lines) == 4
        assert worth not in "\n".join(written.lines)


def test_what_cannot_be_encoded_is_a_line_all_the_same(json: Written) -> None:
    said, odd = ("half \ud800 a pair %s", ("\udc00",)), {"odd": "\ud800"}
    # By hand: what pytest sees of it goes to another process, and cannot be encoded there either.
    json.handle(logger.makeRecord(logger.name, logging.INFO, __file__, 1, *said, None, extra=odd))
    assert json.only["odd"] == "?"


def test_the_line_of_a_run(json: Written) -> None:
    """How it ended and what it used; what was said only at DEBUG."""
    run = a_run(messages=(Message(role="user", content="a private question"),))
    usage = Usage(input_tokens=7, output_tokens=3, model_calls=1, cost_micros=2)
    answer = (Message(role="assistant", content="a private answer"),)
    outcome = RunOutcome(status=RunStatus.COMPLETED, messages=answer, usage=usage, provider="p", model="m")
    times = RunTimes(duration_s=1.23456, first_text_s=0.5)
    write_to(json, level="INFO")
    RunLines().run_ended(run, outcome, times)
    line = json.only
    assert "private" not in json.lines[0]
    assert (line["message"], line["status"], line["error"]) == ("run ended", "completed", None)
    assert (line["duration_s"], line["first_text_s"], line["input_tokens"]) == (1.2346, 0.5, 7)
    write_to(json, level="DEBUG")
    RunLines().run_ended(run, outcome, times)
    assert orjson.loads(json.lines[-1])["asked"] == ["user: a private question"]


async def test_whom_work_is_for_goes_along(nobody: None) -> None:
    """With what a request starts, into an empty context too, and not back."""
    run = a_run()
    work_for(LogContext(request_id="req-1", trace_id="t"))
    context = empty_context()
    context.run(work_for_run, run)
    assert log_context() == LogContext(request_id="req-1", trace_id="t")
    inside = context.run(log_context)
    assert (inside.run_id, inside.tenant_id, inside.request_id, inside.trace_id) == (run.id, "acme", "req-1", "t")
    assert len(context) == 1


def test_lines_reach_their_file(tmp_path: Path, nobody: None) -> None:
    """A serious one at once, with those before it, the others soon or at the end; and the file begins anew when it is full."""
    path, written = tmp_path / "lines.log", threading.Event()

    class Heard(LineFile):
        def flush(self) -> None:
            super().flush()
            written.set()

    file = Heard(path, max_bytes=2_000, kept=2, every_s=3_600.0)
    file.setFormatter(JsonLines(ORIGIN, Pseudonyms("pepper"), Hiding()))
    write_to(file, level="INFO")
    logger.info("one")
    assert path.read_text() == ""
    logger.error("two")
    assert written.wait(10.0)
    assert [orjson.loads(line)["message"] for line in path.read_text().splitlines()] == ["one", "two"]
    for number in range(50):
        logger.error("again %d", number)
        file.flush()
    logger.info("last")
    file.close()
    assert orjson.loads(path.read_text().splitlines()[-1])["message"] == "last"
    assert len(list(tmp_path.iterdir())) == 3
    assert all(found.stat().st_size <= 2_000 for found in tmp_path.iterdir())


def test_a_line_that_cannot_be_written_fails_nobody(
    tmp_path: Path, nobody: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a full disk, or with arguments that do not fit: it is lost, stderr says so, and what comes next is written."""
    full = LineFile(Path("/dev/full"), max_bytes=0, kept=0, every_s=3_600.0)
    full.setFormatter(JsonLines(ORIGIN, Pseudonyms("pepper"), Hiding()))
    write_to(full, level="INFO")
    logger.error("no room")
    full.flush()
    logger.info("too large", extra={"number": 2**80})
    full.close()
    assert "lines of the log are lost" in capsys.readouterr().err
    file = LineFile(tmp_path / "lines.log", max_bytes=0, kept=0, every_s=3_600.0)
    file.setFormatter(JsonLines(ORIGIN, Pseudonyms("pepper"), Hiding()))
    write_to(file, level="INFO")
    logger.info("too large", extra={"number": 2**80})
    logger.info("fits")
    file.close()
    assert [orjson.loads(line)["message"] for line in (tmp_path / "lines.log").read_text().splitlines()] == ["fits"]


def test_what_the_disk_takes_in_parts_is_written_whole(
    tmp_path: Path, nobody: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is nearly full takes a part of a write, and says how much."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda to, text: write(to, text[:7]))
    file = LineFile(tmp_path / "lines.log", max_bytes=0, kept=0, every_s=3_600.0)
    file.setFormatter(JsonLines(ORIGIN, Pseudonyms("pepper"), Hiding()))
    write_to(file, level="INFO")
    logger.info("in parts")
    file.close()
    assert [orjson.loads(line)["message"] for line in (tmp_path / "lines.log").read_text().splitlines()] == ["in parts"]


def test_an_exception_says_where_and_not_what(json: Written) -> None:
    """Its words may be somebody's prompt; ours are nobody's, and at DEBUG they are all there."""

    class Asked(BaseModel):
        number: int

    def fail(prompt: str = "my private prompt") -> None:
        try:
            Asked.model_validate({"number": prompt})
        except ValidationError as error:
            raise ModelServerError("The provider failed.") from error

    try:
        fail()
    except ModelServerError:
        logger.exception("failed")
    said = json.only["exception"]
    assert "private" not in said
    assert "ValidationError" in said
    assert "in fail" in said
    assert said.splitlines()[-1].endswith("ModelServerError: The provider failed.")
    json.setFormatter(JsonLines(ORIGIN, Pseudonyms("pepper"), Hiding(), words=True))
    try:
        fail()
    except ModelServerError:
        logger.exception("failed")
    assert "my private prompt" in orjson.loads(json.lines[-1])["exception"]
