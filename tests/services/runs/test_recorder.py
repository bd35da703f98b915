"""How a run's end gets into the store, whatever the store does."""

import asyncio
from collections.abc import Sequence

import pytest

from services.errors import AgentLost, RunSuperseded, StoreUnavailable
from services.events import RunCancelled
from services.runs.log_writer import LogRow
from services.runs.logged_run import row_of
from services.runs.recorder import RunRecorder
from services.types import Claim, Fence, Interruption, Message, RunOutcome, RunStatus, Usage
from tests.services.runs.fakes import FakeOwnedRuns, a_checkpoint, a_run
from tests.services.runs.turns import some_turns, until

ANSWERED = RunOutcome(
    status=RunStatus.COMPLETED,
    messages=(Message(role="assistant", content="hi"),),
    usage=Usage(output_tokens=1, model_calls=1),
    finish_reason="stop",
)

ASKED = RunOutcome(
    status=RunStatus.INTERRUPTED,
    messages=(),
    usage=Usage(output_tokens=1, model_calls=1),
    interrupts=(Interruption(id="1", value="May I?"),),
)


class World:
    """A recorder whose pauses end when a test says so."""

    def __init__(self, *, tries: int = 1) -> None:
        run = a_run()
        self.runs = FakeOwnedRuns(run)
        self.claim: Claim = self.runs.take_over(run.id)
        self.pauses: list[float] = []
        self.go_on = asyncio.Event()
        self._waiting = False
        self.recorder = RunRecorder(self.runs, tries=tries, retry_s=1.0, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._waiting = True
        await self.go_on.wait()
        self._waiting = False
        self.go_on.clear()

    async def passes_pauses(self, count: int) -> None:
        """Let so many more pauses begin, and end."""
        for _ in range(count):
            await until(lambda: self._waiting)
            self.go_on.set()
            await some_turns()

    def rows(self, outcome: RunOutcome) -> Sequence[LogRow]:
        """A log whose only event tells of the outcome's status."""
        return [row_of(self.fence, 0, [RunCancelled(reason=outcome.status, usage=Usage(), duration_s=0.0)])]

    @property
    def fence(self) -> Fence:
        return self.claim.fence

    @property
    def logged(self) -> list[str]:
        return [event.reason for _, event in self.runs.log(self.fence.run_id) if isinstance(event, RunCancelled)]


async def test_the_last_checkpoint_goes_with_each_try_until_the_run_has_failed() -> None:
    """A run that has failed for want of a store has no answer for its thread to remember."""
    world = World(tries=2)
    world.runs.finish_failures = [StoreUnavailable("away")] * 2
    last = a_checkpoint()
    recording = asyncio.create_task(world.recorder.record(world.claim, ANSWERED, world.rows, last))
    await world.passes_pauses(2)
    recorded = await recording
    await until(lambda: not world.recorder.unsettled)
    assert recorded.outcome.status is RunStatus.FAILED
    assert world.runs.kept == [last, last, None]


async def test_an_end_is_stored_with_its_rows() -> None:
    """What is to be told is what was said."""
    world = World()
    recorded = await world.recorder.record(world.claim, ANSWERED, world.rows)
    assert (recorded.outcome, recorded.logged) == (ANSWERED, True)
    assert world.runs.outcomes == {world.fence.run_id: ANSWERED}
    assert world.logged == ["completed"]


async def test_a_store_that_is_back_in_time_is_waited_for() -> None:
    """A database that is restarted costs the client a moment, and no answer."""
    world = World(tries=3)
    world.runs.finish_failures = [StoreUnavailable("away")] * 2
    recording = asyncio.create_task(world.recorder.record(world.claim, ANSWERED, world.rows))
    await world.passes_pauses(2)
    assert (await recording).outcome == ANSWERED
    assert world.logged == ["completed"]
    assert list(world.recorder.unsettled) == []


@pytest.mark.parametrize("ending", [ANSWERED, ASKED])
async def test_an_answer_that_cannot_be_stored_in_time_has_failed(ending: RunOutcome) -> None:
    """It is told as unsaved, and what is told is what is stored, however long that takes, with what the run had said."""
    world = World(tries=3)
    world.runs.finish_failures = [StoreUnavailable("away")] * 6
    recording = asyncio.create_task(world.recorder.record(world.claim, ending, world.rows))
    await world.passes_pauses(2)
    recorded = await recording
    outcome = recorded.outcome
    assert (outcome.status, outcome.finish_reason, outcome.interrupts) == (RunStatus.FAILED, None, ())
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.retryable) == ("store_unavailable", False)
    assert (outcome.usage, outcome.messages) == (ending.usage, ending.messages)
    assert recorded.logged
    assert list(world.recorder.unsettled) == [world.fence.run_id]
    await world.passes_pauses(4)
    assert world.runs.outcomes == {world.fence.run_id: outcome}
    assert world.logged == ["failed"]
    assert list(world.recorder.unsettled) == []
    assert world.pauses == [1.0] * 6


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
async def test_any_other_end_is_told_at_once(status: RunStatus) -> None:
    """There is no answer to lose, and the end is told as it will be stored."""
    world = World(tries=3)
    ending = RunOutcome(status=status, messages=(), usage=Usage(), failure=AgentLost("away").to_failure())
    world.runs.finish_failures = [StoreUnavailable("away")]
    assert (await world.recorder.record(world.claim, ending, world.rows)).outcome == ending
    await world.passes_pauses(1)
    assert world.runs.outcomes == {world.fence.run_id: ending}
    assert world.logged == [status.value]


async def test_a_run_that_was_taken_over_is_not_recorded() -> None:
    """At once that is an error; later it is the end of trying."""
    world = World()
    world.runs.finish_failures = [StoreUnavailable("away")]
    await world.recorder.record(world.claim, ANSWERED, world.rows)
    world.runs.take_over(world.fence.run_id)
    with pytest.raises(RunSuperseded):
        await world.recorder.record(world.claim, ANSWERED, world.rows)
    world.go_on.set()
    await until(lambda: not world.recorder.unsettled)
    assert (world.runs.outcomes, world.logged) == ({}, [])


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.COMPLETED])
async def test_somebody_elses_end_is_the_one_that_is_told(status: RunStatus) -> None:
    """Unless it is the same: then nobody can tell them apart."""
    world = World()
    world.runs.outcomes[world.fence.run_id] = RunOutcome(status=status, messages=(), usage=Usage())
    recorded = await world.recorder.record(world.claim, ANSWERED, world.rows)
    assert recorded.outcome.status is status
    assert (recorded.outcome.failure is not None) == (status is RunStatus.FAILED)
    assert recorded.logged == (status is RunStatus.COMPLETED)
    assert world.logged == []


async def test_an_end_that_breaks_the_store_is_stored_bare(caplog: pytest.LogCaptureFixture) -> None:
    """A bug costs the answer and the rest of the log, not the end."""
    world = World()
    bug = OverflowError("value out of range")
    world.runs.finish_failures = [bug]
    recorded = await world.recorder.record(world.claim, ANSWERED, world.rows)
    assert recorded.outcome.status is RunStatus.FAILED
    assert not recorded.logged
    assert world.runs.outcomes == {world.fence.run_id: recorded.outcome}
    assert (recorded.outcome.messages, world.logged) == ((), [])
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert record.exc_info[1] is bug


async def test_rows_that_cannot_be_made_are_a_bug_like_any_other() -> None:
    """The run ends all the same."""
    world = World()

    def broken(_: RunOutcome) -> Sequence[LogRow]:
        raise TypeError

    recorded = await world.recorder.record(world.claim, ANSWERED, broken)
    assert world.runs.outcomes == {world.fence.run_id: recorded.outcome}


@pytest.mark.parametrize("second", [OverflowError(), StoreUnavailable("away")])
async def test_a_bare_end_that_is_not_stored_either(second: Exception) -> None:
    """While the store is away it is tried again; where even that breaks it, there is nothing left to try."""
    world = World()
    world.runs.finish_failures = [OverflowError(), second]
    recorded = await world.recorder.record(world.claim, ANSWERED, world.rows)
    assert not recorded.logged
    assert bool(world.recorder.unsettled) == isinstance(second, StoreUnavailable)
    await world.recorder.last_try()
    assert bool(world.runs.outcomes) == isinstance(second, StoreUnavailable)


async def test_the_last_try_does_not_wait_for_the_next_one() -> None:
    """What the store takes is settled, and a store that is still away keeps nobody."""
    world = World()
    world.runs.finish_failures = [StoreUnavailable("away")] * 2
    recorded = await world.recorder.record(world.claim, ANSWERED, world.rows)
    await until(lambda: world.pauses)
    await world.recorder.last_try()
    world.go_on.set()
    await some_turns()
    assert list(world.recorder.unsettled) == [world.fence.run_id]
    assert (world.runs.outcomes, world.pauses) == ({}, [1.0])
    await world.recorder.last_try()
    assert world.runs.outcomes == {world.fence.run_id: recorded.outcome}
    assert list(world.recorder.unsettled) == []
