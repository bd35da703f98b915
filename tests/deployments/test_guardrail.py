"""The guardrail replica: its loop answers while it looks at texts, it has a deadline, and its knobs are live."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from deployments.autoscaling import UNSEEN_WORK
from deployments.guardrail import GuardrailReplica
from services.errors import ConfigurationError, Failure, GuardrailUnavailable
from services.guard import ALLOWED, Action, Stage, Verdict
from services.guard_batches import SHORT_CHARS, Asked
from services.guardrails import GUARDRAILS
from services.guardrails.types import ScreenedText

HOLD = "hold".ljust(SHORT_CHARS + 1)


class Gate:
    """A rule that waits on HOLD until it is `open`, blocks what says `bad`, and has a bug."""

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
        if text.raw == "bug":
            raise ZeroDivisionError
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


def asked(*texts: str) -> Asked:
    return Asked(texts=texts, stage=Stage.INPUT)


async def check(replica: GuardrailReplica, *texts: str) -> Verdict:
    """Return the verdict on one request, which has one."""
    [said] = await replica.check_each([asked(*texts)])
    assert isinstance(said, Verdict)
    return said


async def test_the_loop_answers_while_a_text_is_looked_at() -> None:
    """Health is not a matter of how long a text is."""
    replica = GuardrailReplica(("gate",), timeout_s=30.0)
    checking = asyncio.create_task(check(replica, HOLD))
    await entered()
    await replica.check_health()
    assert not checking.done()
    Gate.open.set()
    assert (await checking).action is Action.ALLOW


async def test_short_texts_take_turns_too() -> None:
    """They are looked at where the loop runs, which answers between them."""
    replica = GuardrailReplica(("gate",), timeout_s=30.0)
    many = asyncio.create_task(check(replica, "a", "b", "c"))
    one = asyncio.create_task(check(replica, "x"))
    await asyncio.gather(many, one)
    assert Gate.seen.index("x") < Gate.seen.index("c")


async def test_the_texts_of_requests_take_turns() -> None:
    """The one text of a request is not behind all those of another that came before it."""
    replica = GuardrailReplica(("gate",), timeout_s=30.0)
    many = asyncio.create_task(check(replica, HOLD, "a", "b"))
    await entered()
    one = asyncio.create_task(check(replica, "x"))
    await asyncio.sleep(0)
    Gate.open.set()
    await asyncio.gather(many, one)
    assert Gate.seen.index("x") < Gate.seen.index("b")


async def test_without_a_verdict_in_time_there_is_none() -> None:
    """It fails closed, and says so by the error that a client may come back from; what beside it is done in time has one."""
    replica = GuardrailReplica(("gate",), timeout_s=0.01)
    fine, late = await replica.check_each([asked("fine"), asked(HOLD)])
    assert fine is ALLOWED
    assert isinstance(late, Failure)
    assert (late.code, late.retryable) == (GuardrailUnavailable.code, True)
    Gate.open.set()


async def test_each_request_of_a_call_is_judged_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    """In order: what is blocked, and what a rule breaks at, are one request's and no other's."""
    replica = GuardrailReplica(("gate",), timeout_s=30.0)
    said = await replica.check_each([asked("a"), asked("bad", "late"), asked("bug"), asked("b")])
    assert [one.action if isinstance(one, Verdict) else one.code for one in said] == [
        Action.ALLOW,
        Action.BLOCK,
        GuardrailUnavailable.code,
        Action.ALLOW,
    ]
    assert "late" not in Gate.seen
    assert "ZeroDivisionError" in caplog.text


async def test_each_request_of_a_call_counts_as_work() -> None:
    """Serve counts the call; the replica reports the others while they are looked at."""
    replica = GuardrailReplica(("gate",), timeout_s=30.0)
    checking = asyncio.create_task(replica.check_each([asked(HOLD), asked("a"), asked("b")]))
    await entered()
    assert replica.record_autoscaling_stats() == {UNSEEN_WORK: 2.0}
    Gate.open.set()
    await checking
    assert replica.record_autoscaling_stats() == {UNSEEN_WORK: 0.0}


async def test_nothing_is_looked_at_after_a_block() -> None:
    """The verdict cannot become more severe."""
    replica = GuardrailReplica(("gate",), timeout_s=30.0)
    verdict = await check(replica, "fine", "bad", "late")
    assert (verdict.action, Gate.seen) == (Action.BLOCK, ["fine", "bad"])


async def test_knobs_are_live_and_a_wrong_one_changes_nothing() -> None:
    """The new chain is there with the next text; a misspelt knob is refused, and the old chain stays."""
    replica = GuardrailReplica(("length", "injection"), timeout_s=30.0)
    question = "When does the shop open?"
    assert (await check(replica, question)).action is Action.ALLOW
    replica.reconfigure({"injection": {"flag_at": 0.0}})
    assert (await check(replica, question)).action is Action.FLAG
    with pytest.raises(ConfigurationError, match=r"injection\.flagat"):
        replica.reconfigure({"injection": {"flagat": 0.5}})
    assert (await check(replica, question)).action is Action.FLAG
