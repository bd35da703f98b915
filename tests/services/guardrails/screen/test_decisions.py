"""What is on record of the output guard's decisions: everything but the texts."""

from dataclasses import replace

import orjson
import pytest
from langchain_core.messages import AIMessage

from services.guard import Action
from services.guardrails.screen.decisions import version_of
from services.guardrails.screen.output import OutputScreen
from services.guardrails.screen.policy import OutputPolicy
from services.guardrails.semantic.tier import Mode
from services.llm.types import ModelCall, TextSink
from services.runs.types import GraphResult, RunContext
from services.types import Message
from tests.services.guardrails.semantic.fakes import FakeCheck, tier_of
from tests.services.runs.engine_world import CALL, World
from tests.services.runs.fakes import a_run

CARD = "4111 1111 1111 1111"
TEXT = f"Pay with {CARD} or {CARD}, as you like it. The heron is a bird that nobody speaks of. "
RELEASED = "Pay with [redacted: card number] or [redacted: card number], as you like it."


async def recorded(text: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Have a run's model say a text after it has read what came from outside, and return what is logged of that."""

    async def say(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.text(text)
        return AIMessage(content=text, response_metadata={"finish_reason": "stop"})

    async def ask(context: RunContext) -> GraphResult:
        answer = await context.model.generate(replace(CALL, tainted=True))
        return GraphResult(messages=(Message(role="assistant", content=answer.text),))

    world = World(ask, run=a_run(attempt=1, flagged=True))
    world.provider.script = say
    world.engine._screen = OutputScreen(semantic=lambda: tier_of(FakeCheck(), mode=Mode.AUTO))
    with caplog.at_level("INFO", logger="services.guardrails.screen.decisions"):
        await world.events()
    return [record.getMessage() for record in caplog.records if record.name == "services.guardrails.screen.decisions"]


async def test_one_line_for_each_run_that_had_something(caplog: pytest.LogCaptureFixture) -> None:
    """The rules and how often, the checks' verdicts and times, how much was read and released, and what the turn was."""
    [line] = await recorded(TEXT, caplog)
    said = orjson.loads(line.removeprefix("output guard: "))
    assert said["rules"] == {"personal.card:redact": 2, "semantic.fake:block": 1}
    assert said["verdicts"] == {"fake:allow": 1, "fake:block": 1}
    assert said["longest_check_s"].keys() == {"fake"}
    assert (said["chars_in"], said["chars_out"], said["retracted_chars"]) == (len(TEXT), len(RELEASED), 0)
    assert (said["graph"], said["attempt"]) == ("react", 1)
    assert "tenant_id" not in said  # a line says by itself for whom it is, and does not name them
    assert (said["flagged"], said["tainted"]) == (True, True)
    assert said["guard"] == version_of(OutputPolicy())


async def test_it_has_no_text(caplog: pytest.LogCaptureFixture) -> None:
    """Neither what was withheld nor what was around it."""
    [line] = await recorded(TEXT, caplog)
    assert not [word for word in ("4111", "heron", "Pay") if word in line]


async def test_an_ordinary_run_leaves_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """There was nothing to decide."""
    assert await recorded("It is a fine day, and will be one tomorrow.", caplog) == []


def test_the_version_is_that_of_the_policy() -> None:
    """It changes with what is looked for and what becomes of it, and does not help to guess a canary."""
    plain = version_of(OutputPolicy())
    assert plain == version_of(OutputPolicy())
    assert plain not in (version_of(OutputPolicy(emails=Action.REDACT)), version_of(OutputPolicy(cards=Action.BLOCK)))
    one, other = (version_of(OutputPolicy(canaries=(text,))) for text in ("heron-4471", "stork-4471"))
    assert one == other != plain
