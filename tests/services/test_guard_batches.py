"""Checks that cross to the guardrail together: who waits for whom, and that nobody answers for another."""

import asyncio
import contextvars
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.errors import Failure, GuardrailUnavailable, MainstayError, Overloaded
from services.guard import ALLOWED, Action, Stage, Verdict
from services.guard_batches import MAX_BATCH, MAX_BATCH_CHARS, SHORT_CHARS, Asked, BatchingGuard

Said = Sequence[Verdict | Failure]
LONG = "x" * (SHORT_CHARS + 1)
BUSY = Overloaded("All replicas are busy.", retry_after_s=2.0)

whose = contextvars.ContextVar("whose", default="nobody's")


@dataclass(slots=True)
class Call:
    """A call on its way, until `answer` or `said` ends it."""

    asked: Sequence[Asked]
    context: str
    said: asyncio.Future[Said] = field(default_factory=asyncio.Future)

    @property
    def texts(self) -> list[str]:
        return [text for asked in self.asked for text in asked.texts]

    async def answer(self) -> None:
        """Answer each of the checks with its own verdict."""
        self.said.set_result([a_verdict(asked) for asked in self.asked])
        await soon()


@dataclass(slots=True)
class Carrier:
    calls: list[Call] = field(default_factory=list)

    async def check_each(self, asked: Sequence[Asked]) -> Said:
        self.calls.append(Call(asked, whose.get()))
        return await self.calls[-1].said


class Stuck(Carrier):
    """Does not end a call that is cancelled either."""

    async def check_each(self, asked: Sequence[Asked]) -> Said:
        try:
            return await super().check_each(asked)
        except asyncio.CancelledError:
            await asyncio.Event().wait()
            raise


class World:
    """A guard over calls that are answered by hand."""

    def __init__(self, carrier: Carrier | None = None, *, timeout_s: float = 30.0) -> None:
        self.carrier = carrier or Carrier()
        self.guard = BatchingGuard(self.carrier, timeout_s=timeout_s)

    @property
    def sent(self) -> list[list[str]]:
        return [call.texts for call in self.carrier.calls]

    async def ask(self, *texts: str, stage: Stage = Stage.INPUT) -> asyncio.Task[Verdict]:
        """Ask about the texts of one request, and see to it that they are sent if they need not wait."""
        checking = asyncio.create_task(self.guard.check(texts, stage))
        await soon()
        return checking


def a_verdict(asked: Asked) -> Verdict | Failure:
    text = asked.texts[0]
    if text == "broken":
        return GuardrailUnavailable("No verdict.").to_failure()
    return Verdict(action=Action.BLOCK if text == "bad" else Action.FLAG, rule=f"{asked.stage}: {text}")


async def soon() -> None:
    """Let everything happen that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_alone_goes_at_once() -> None:
    """And so does the next one, once there is no call on its way any more."""
    world = World()
    for text in "ab":
        checking = await world.ask(text)
        assert world.sent[-1] == [text]
        await world.carrier.calls[-1].answer()
        assert checking.done()
    assert len(world.sent) == 2


async def test_those_that_come_meanwhile_go_together_once() -> None:
    """Each has its own verdict, by its own texts and stage."""
    world = World()
    await world.ask("a")
    checking = [await world.ask("b"), await world.ask("c", "d", stage=Stage.TOOL_RESULT), await world.ask("e")]
    assert world.sent == [["a"]]
    await world.carrier.calls[0].answer()
    assert world.sent == [["a"], ["b", "c", "d", "e"]]
    await world.carrier.calls[1].answer()
    assert [(await one).rule for one in checking] == ["input: b", "tool_result: c", "input: e"]
    assert len(world.sent) == 2


async def test_what_is_said_of_one_is_not_said_of_another() -> None:
    """Neither a block nor a check that came to no verdict."""
    world = World()
    await world.ask("a")
    bad, broken, fine = await world.ask("bad"), await world.ask("broken"), await world.ask("fine")
    await world.carrier.calls[0].answer()
    await world.carrier.calls[1].answer()
    assert ((await bad).action, (await fine).rule) == (Action.BLOCK, "input: fine")
    with pytest.raises(GuardrailUnavailable, match="No verdict"):
        await broken


@pytest.mark.parametrize(
    "texts",
    [(LONG,), ("short", LONG), ("x" * SHORT_CHARS,) * 7, ("x",) * (MAX_BATCH + 1)],
    ids=["long", "one long", "much in all", "many"],
)
async def test_what_takes_long_goes_by_itself_at_once(texts: tuple[str, ...]) -> None:
    """It neither waits nor is waited for: a long text, or more texts than are sent together."""
    world = World()
    await world.ask("a")
    await world.ask("waits")
    long = await world.ask(*texts)
    assert world.sent == [["a"], list(texts)]
    await world.carrier.calls[1].answer()
    assert long.done()
    assert len(world.sent) == 2
    await world.ask(LONG)
    await world.carrier.calls[0].answer()
    assert world.sent[3:] == [["waits"]]


async def test_behind_a_long_one_nobody_waits() -> None:
    """A short one that comes while only long ones are on their way goes at once."""
    world = World()
    await world.ask(LONG)
    await world.ask("a")
    assert world.sent == [[LONG], ["a"]]


async def test_a_full_call_goes_without_waiting() -> None:
    """So that Serve sees what there is to do; whichever call returns takes along those that wait."""
    world = World()
    await world.ask("a")
    full = [str(number) for number in range(MAX_BATCH)]
    for text in full:
        assert world.sent == [["a"]]
        await world.ask(text)
    assert world.sent == [["a"], full]
    await world.ask("b")
    assert len(world.sent) == 2
    await world.carrier.calls[1].answer()
    assert world.sent[2:] == [["b"]]


async def test_a_call_takes_only_so_many_characters() -> None:
    """What has no room waits for the next one, and those before it go."""
    world = World()
    await world.ask("a")
    fit = MAX_BATCH_CHARS // SHORT_CHARS
    for number in range(fit + 1):
        assert world.sent == [["a"]]
        await world.ask(str(number).ljust(SHORT_CHARS))
    assert [len(texts) for texts in world.sent] == [1, fit]
    await world.carrier.calls[0].answer()
    assert [len(texts) for texts in world.sent] == [1, fit, 1]


async def test_one_that_is_cancelled_while_it_waits_is_not_sent() -> None:
    """And where nobody else waits, nothing is."""
    world = World()
    await world.ask("a")
    gone, stays = await world.ask("gone"), await world.ask("stays")
    gone.cancel()
    await world.carrier.calls[0].answer()
    assert world.sent == [["a"], ["stays"]]
    alone = await world.ask("alone")
    alone.cancel()
    await world.carrier.calls[1].answer()
    assert stays.done()
    assert len(world.sent) == 2


async def test_a_call_that_one_leaves_goes_on_for_the_others() -> None:
    """They have their verdicts all the same."""
    world = World()
    await world.ask("a")
    gone, stays = await world.ask("gone"), await world.ask("stays")
    await world.carrier.calls[0].answer()
    gone.cancel()
    await soon()
    await world.carrier.calls[1].answer()
    assert (await stays).rule == "input: stays"
    assert gone.cancelled()


async def test_a_call_that_all_have_left_is_cancelled() -> None:
    """Not before the last of them; what waits for it is sent then."""
    world = World()
    await world.ask("a")
    both = [await world.ask("b"), await world.ask("c")]
    await world.carrier.calls[0].answer()
    await world.ask("waits")
    for one in both:
        assert world.sent == [["a"], ["b", "c"]]
        one.cancel()
        await soon()
    assert world.carrier.calls[1].said.cancelled()
    assert world.sent[2:] == [["waits"]]


@pytest.mark.parametrize(
    ("end", "raised"),
    [(BUSY, Overloaded), (ValueError("a bug"), GuardrailUnavailable), ([ALLOWED], GuardrailUnavailable)],
    ids=["busy", "bug", "too few"],
)
async def test_a_call_that_fails_does_so_for_all_of_it_and_nobody_after(
    end: Exception | Said, raised: type[MainstayError]
) -> None:
    """Without a verdict for each there is none for any."""
    world = World()
    await world.ask("a")
    checking = [await world.ask("b"), await world.ask("c")]
    await world.carrier.calls[0].answer()
    after = await world.ask("after")
    call = world.carrier.calls[1]
    if isinstance(end, Exception):
        call.said.set_exception(end)
    else:
        call.said.set_result(end)
    for one in checking:
        with pytest.raises(raised) as error:
            await one
        assert error.value.retry_after_s
    await world.carrier.calls[2].answer()
    assert (await after).rule == "input: after"


async def test_a_call_that_is_cut_off_is_no_verdict() -> None:
    """Nobody cancelled the check, so that it must not look as if somebody had."""
    world = World()
    checking = await world.ask("a")
    world.carrier.calls[0].said.cancel()
    with pytest.raises(GuardrailUnavailable, match="cut off"):
        await checking


async def test_the_time_counts_from_when_it_was_asked() -> None:
    """A wait for a call is part of it, even if that call never ends."""
    world = World(Stuck(), timeout_s=0.01)
    checking = [await world.ask("a"), await world.ask("waits"), await world.ask(LONG)]
    for one in checking:
        with pytest.raises(GuardrailUnavailable, match="in time") as error:
            await one
        assert error.value.retry_after_s
    assert world.sent == [["a"], [LONG]]


async def test_a_call_without_an_answer_does_not_stand_in_the_way() -> None:
    """It is given up with the last check of it."""
    world = World(timeout_s=0.01)
    with pytest.raises(GuardrailUnavailable):
        await (await world.ask("a"))
    await world.ask("next")
    assert world.sent == [["a"], ["next"]]


async def test_a_call_is_nobodys() -> None:
    """Serve cancels with a request what was started in its context."""
    world = World()
    whose.set("a request's")
    await world.ask("a")
    await world.ask("b")
    await world.ask(LONG)
    await world.carrier.calls[0].answer()
    assert [call.context for call in world.carrier.calls] == ["nobody's"] * 3
