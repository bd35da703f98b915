"""The guardrail replica: its loop answers while it looks at texts, it has a deadline, and its knobs are live."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from deployments.guardrail import SHORT_CHARS, GuardrailReplica
from services.errors import ConfigurationError, GuardrailUnavailable
from services.guard import ALLOWED, Action, Stage, Verdict
from services.guardrails import GUARDRAILS
from services.guardrails.types import ScreenedText

HOLD = "hold".ljust(SHORT_CHARS + 1)


class Gate:
    """A rule that waits on HOLD until it is `open`, and blocks what says `bad`."""

    name = "gate"
    open = threading.Event()
    entered = threading.Event()
    seen: list[str] = []  # noqa: RUF012  # shared on purpose: the replica makes the rule

    def __init__(self, knobs: Mapping[str, Any]) -> None: ...

    def check(self, text: ScreenedText, stage: Stage) -> Verdict:
        self.seen.append(text.raw)
        if text.raw == HOLD:
            self.entered.set()
            self.open.wait(30)
        return Verdict(action=Action.BLOCK, rule="gate", message="no") if text.raw == "bad" else ALLOWED


@pytest.fixture(autouse=True)
def gate(monkeypatch: pytest.MonkeyPatch) -> type[Gate]:
    monkeypatch.setattr("services.guardrails.chain.GUARDRAILS", {**GUARDRAILS, "gate": Gate})
    Gate.open.clear()
    Gate.entered.clear()
    Gate.seen.clear()
    return Gate


async def entered() -> None:
    await asyncio.get_running_loop().run_in_executor(None, Gate.entered.wait, 30)


async def test_the_loop_answers_while_a_text_is_looked_at() -> None:
    """Health is not a matter of how long a text is."""
    replica = GuardrailReplica(("gate",), timeout_s=30.0)
    checking = asyncio.create_task(replica.check([HOLD], Stage.INPUT))
    await entered()
    await replica.check_health()
    assert not checking.done()
    Gate.open.set()
    assert (await checking).action is Action.ALLOW


async def test_short_texts_take_turns_too() -> None:
    """They are looked at where the loop runs, which answers between them."""
    replica = GuardrailReplica(("gate",), timeout_s=30.0)
    many = asyncio.create_task(replica.check(["a", "b", "c"], Stage.INPUT))
    one = asyncio.create_task(replica.check(["x"], Stage.INPUT))
    await asyncio.gather(many, one)
    assert Gate.seen.index("x") < Gate.seen.index("c")


async def test_the_texts_of_requests_take_turns() -> None:
    """The one text of a request is not behind all those of another that came before it."""
    replica = GuardrailReplica(("gate",), timeout_s=30.0)
    many = asyncio.create_task(replica.check([HOLD, "a", "b"], Stage.INPUT))
    await entered()
    one = asyncio.create_task(replica.check(["x"], Stage.INPUT))
    await asyncio.sleep(0)
    Gate.open.set()
    await asyncio.gather(many, one)
    assert Gate.seen.index("x") < Gate.seen.index("b")


async def test_without_a_verdict_in_time_there_is_none() -> None:
    """It fails closed, and says so by the error that a client may come back from."""
    replica = GuardrailReplica(("gate",), timeout_s=0.01)
    with pytest.raises(GuardrailUnavailable):
        await replica.check([HOLD], Stage.INPUT)
    Gate.open.set()


async def test_nothing_is_looked_at_after_a_block() -> None:
    """The verdict cannot become more severe."""
    replica = GuardrailReplica(("gate",), timeout_s=30.0)
    verdict = await replica.check(["fine", "bad", "late"], Stage.INPUT)
    assert (verdict.action, Gate.seen) == (Action.BLOCK, ["fine", "bad"])


async def test_knobs_are_live_and_a_wrong_one_changes_nothing() -> None:
    """The new chain is there with the next text; a misspelt knob is refused, and the old chain stays."""
    replica = GuardrailReplica(("length", "injection"), timeout_s=30.0)
    question = ["When does the shop open?"]
    assert (await replica.check(question, Stage.INPUT)).action is Action.ALLOW
    replica.reconfigure({"injection": {"flag_at": 0.0}})
    assert (await replica.check(question, Stage.INPUT)).action is Action.FLAG
    with pytest.raises(ConfigurationError, match=r"injection\.flagat"):
        replica.reconfigure({"injection": {"flagat": 0.5}})
    assert (await replica.check(question, Stage.INPUT)).action is Action.FLAG
