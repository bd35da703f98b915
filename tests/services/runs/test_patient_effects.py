"""A ledger that is away for a moment: what is waited for, and that a try whose answer was lost begins nothing twice."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.errors import RunSuperseded, StoreUnavailable
from services.runs.effects import Begun, EffectCall, EffectOutcome, Entry, Ruling
from services.runs.patient_effects import PatientEffects
from services.storage.memory_effects import MemoryEffects
from services.types import Fence, Run, RunStatus
from tests.services.runs.fakes import a_run

MAIL = EffectCall(id="1", tool="mail")
SENT = EffectOutcome(outcome="ok", text="sent")
AWAY = StoreUnavailable("away")


class World:
    """A run, and its ledger: `away` tries fail before it is reached, `deaf` ones after, so that their answer is lost."""

    def __init__(self, *, away: int = 0, deaf: int = 0) -> None:
        self.run: Run = a_run(status=RunStatus.RUNNING, attempt=1)
        self.memory = MemoryEffects(lambda _: self.run)
        self.away, self.deaf = away, deaf
        self.asked: list[str] = []
        self.slept: list[float] = []
        self.ledger = PatientEffects(self, tries=3, retry_s=0.5, sleep=self.sleep)

    @property
    def fence(self) -> Fence:
        return Fence(run_id=self.run.id, attempt=1)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def _at(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        self.asked.append(name)
        if self.away:
            self.away -= 1
            raise AWAY
        answer = await work()
        if self.deaf:
            self.deaf -= 1
            raise AWAY
        return answer

    async def begin(self, fence: Fence, call: EffectCall, *, again: bool = False) -> Begun | Entry:
        found: Begun | Entry = await self._at("begin", lambda: self.memory.begin(fence, call, again=again))
        return found

    async def done(self, *args: Any) -> None:
        await self._at("done", lambda: self.memory.done(*args))

    async def recall(self, *args: Any) -> Any:
        return await self._at("recall", lambda: self.memory.recall(*args))

    async def rule(self, *args: Any) -> None:
        await self._at("rule", lambda: self.memory.rule(*args))


@pytest.mark.parametrize(("away", "deaf"), [(0, 0), (2, 0), (0, 1), (0, 2), (1, 1)])
async def test_a_call_is_begun_though_the_store_was_away(away: int, deaf: int) -> None:
    """Also where an earlier try was recorded and its answer lost: that call is ours, and was not made."""
    world = World(away=away, deaf=deaf)
    assert isinstance(await world.ledger.begin(world.fence, MAIL), Begun)
    assert world.slept == [0.5] * (away + deaf)


async def test_a_call_that_was_begun_before_is_not_begun_again_by_patience() -> None:
    """Whoever asks first is told what the ledger holds, however often it was asked until it answered."""
    world = World()
    await world.memory.begin(world.fence, MAIL)
    found = await world.ledger.begin(world.fence, MAIL)
    assert isinstance(found, Entry)
    assert found.outcome is None


async def test_a_call_that_was_made_is_remembered() -> None:
    """Even by a try that may begin it again."""
    world = World(deaf=1)
    await world.memory.begin(world.fence, MAIL)
    await world.memory.done(world.fence, MAIL.id, SENT)
    found = await world.ledger.begin(world.fence, MAIL)
    assert isinstance(found, Entry)
    assert found.outcome == SENT


@pytest.mark.parametrize("away", [0, 2])
async def test_everything_else_is_waited_for(away: int) -> None:
    world = World()
    await world.ledger.begin(world.fence, MAIL)
    world.away = away
    await world.ledger.done(world.fence, MAIL.id, SENT)
    world.away = away
    assert (await world.ledger.recall(world.run, [MAIL.id]))[MAIL.id].outcome == SENT
    world.away = away
    await world.ledger.rule(world.fence, [Ruling(call=MAIL)])
    assert world.slept == [0.5] * 3 * away


async def test_a_store_that_stays_away_is_an_error() -> None:
    world = World(away=99)
    with pytest.raises(StoreUnavailable):
        await world.ledger.begin(world.fence, MAIL)
    assert (world.asked, world.slept) == (["begin"] * 3, [0.5] * 2)


async def test_a_run_that_was_lost_meanwhile_is_not_tried_again() -> None:
    world = World(away=1)
    with pytest.raises(RunSuperseded):
        await world.ledger.begin(Fence(run_id=world.run.id, attempt=0), MAIL)
    assert world.asked == ["begin"] * 2
