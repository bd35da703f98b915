"""Tools that do something to the world: recorded before and after, never repeated by us unless that is harmless."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from graphs.build import build
from graphs.runner import GraphRunner
from graphs.spec import GraphOptions
from graphs.tools.care import ToolCare, ToolLimits
from graphs.tools.declaration import Repeat
from graphs.tools.effects import idempotency_key, keyed
from graphs.tools.execution import ToolExecution
from graphs.tools.outcomes import Outcome
from services.errors import ConfigurationError, RunSuperseded, StoreUnavailable
from services.events import ToolFinished
from services.runs.effects import Begun, EffectCall, EffectOutcome, Entry, Ruling
from services.storage.memory_effects import MemoryEffects
from services.types import Fence, Run
from tests.graphs.durable import Site, idle
from tests.graphs.fakes import STORED, RecordingToolObserver, Stuck, Turn, acting, calls, says, tool_of, turn

MAIL = ("probe", {"to": "alice"})
AWAY = StoreUnavailable("The database cannot be reached.")
DONE = says("It is done.")


@dataclass
class Ledger:
    """A ledger in memory that says what is asked of it, and can be away."""

    happened: list[str]
    memory: MemoryEffects = field(default_factory=lambda: MemoryEffects(STORED.get))
    errors: dict[str, Exception] = field(default_factory=dict)
    before: dict[str, Callable[[], Awaitable[Any]]] = field(default_factory=dict)

    async def _at(self, what: str) -> None:
        self.happened.append(what)
        if what in self.before:
            await self.before[what]()
        if what in self.errors:
            raise self.errors[what]

    async def begin(self, fence: Fence, call: EffectCall, *, again: bool = False) -> Begun | Entry:
        await self._at("begin")
        return await self.memory.begin(fence, call, again=again)

    async def done(self, fence: Fence, call_id: str, outcome: EffectOutcome) -> None:
        await self._at("done")
        await self.memory.done(fence, call_id, outcome)

    async def recall(self, run: Run, call_ids: Collection[str]) -> Mapping[str, Entry]:
        await self._at("recall")
        return await self.memory.recall(run, call_ids)

    async def rule(self, fence: Fence, rulings: Sequence[Ruling]) -> None:
        await self._at("rule")
        await self.memory.rule(fence, rulings)


class Office:
    """An agent with a tool that has an effect. `happened` is what was done, `keys` what the service knows the calls by."""

    def __init__(self, effect: Repeat = "once", act: Callable[[str], Awaitable[str]] | None = None) -> None:
        self.effect: Repeat = effect
        self.happened: list[str] = []
        self.keys: list[str] = []
        self.act = act
        self.ledger, self.site, self.observer = Ledger(self.happened), Site(), RecordingToolObserver()
        self.limits = ToolLimits(timeout_s=5.0)

    def replica(self) -> GraphRunner:
        async def probe(to: str) -> str:
            self.happened.append(f"mail to {to}")
            self.keys.append(idempotency_key())
            return f"sent to {to}" if self.act is None else await self.act(to)

        care = ToolCare(ledger=self.ledger, observer=self.observer, limits=self.limits)
        tool = acting(tool_of(probe), self.effect)
        return build("react", GraphOptions(tool_care=care), [tool], self.site.checkpointing)

    async def killed_while_sending(self, **options: Any) -> Turn:
        """A turn whose replica dies with the mail on its way, or sent: nobody knows."""
        stuck, turned = Stuck(), turn(calls(MAIL, text="I write."), **options)
        usual, self.act = self.act, lambda to: stuck.wait()
        running = asyncio.create_task(self.replica().invoke(turned.context))
        await stuck.reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        self.act = usual
        self.happened.clear()
        self.observer.called.clear()
        return turned


async def test_an_effect_has_its_intent_before_it_and_its_outcome_after_it() -> None:
    """The ledger knows of the call before the tool does, and the model's turn comes after it is told how it ended."""
    office = Office()
    turned = turn(calls(MAIL), DONE)
    await office.replica().invoke(turned.context)
    assert office.happened == ["begin", "mail to alice", "done"]
    assert office.keys[0].startswith(f"{turned.context.run.id}:")


async def test_every_call_has_a_key_of_its_own() -> None:
    """Two calls of one answer and one of the next are three to the service, though models repeat their ids."""
    office = Office()
    await office.replica().invoke(turn(calls(MAIL, MAIL), calls(MAIL), DONE).context)
    assert len(set(office.keys)) == 3


async def test_an_effect_waits_for_the_checkpoint_that_holds_its_call() -> None:
    """Whoever takes the run over finds this very call, so the call is stored before anything of it is begun."""
    office = Office()
    office.site.store.open.clear()
    running = asyncio.create_task(office.replica().invoke(turn(calls(MAIL), DONE).context))
    await office.site.store.begun.wait()
    await idle()
    assert office.happened == []
    office.site.store.open.set()
    await running
    assert office.happened == ["begin", "mail to alice", "done"]


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_without_that_checkpoint_nothing_is_begun(ephemeral: bool) -> None:
    """A store that stays away fails the run, in an ephemeral thread too."""
    office = Office()
    office.site.store.errors = [AWAY] * 20
    with pytest.raises(StoreUnavailable):
        await office.replica().invoke(turn(calls(MAIL), ephemeral=ephemeral).context)
    assert office.happened == []


async def test_without_a_ledger_nothing_is_begun() -> None:
    """An intent that cannot be recorded is not carried out: the run fails."""
    office = Office()
    office.ledger.errors = {"begin": AWAY}
    with pytest.raises(StoreUnavailable):
        await office.replica().invoke(turn(calls(MAIL)).context)
    assert office.happened == ["begin"]


async def test_a_run_that_was_taken_over_begins_nothing() -> None:
    """A replica that does not know yet that it has lost its run does nothing to the world any more."""
    office, turned = Office(), turn(calls(MAIL))

    async def take_over() -> None:
        office.site.taken_over(turned)

    office.ledger.before = {"begin": take_over}
    with pytest.raises(RunSuperseded):
        await office.replica().invoke(turned.context)
    assert office.happened == ["begin"]


async def test_an_outcome_that_cannot_be_recorded_does_not_fail_the_run() -> None:
    """The effect has happened and the model is told so; only whoever takes the run over would not know."""
    office = Office()
    office.ledger.errors = {"done": AWAY}
    result = await office.replica().invoke(turn(calls(MAIL), DONE).context)
    assert [message.content for message in result.messages][1:] == ["sent to alice", "It is done."]


async def test_what_has_happened_is_recorded_though_the_run_is_stopped() -> None:
    """A run that is stopped between the effect and its record waits for the record."""
    office, recording, goes_on = Office(), asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        recording.set()
        await goes_on.wait()

    office.ledger.before = {"done": wait}
    turned = turn(calls(MAIL))
    running = asyncio.create_task(office.replica().invoke(turned.context))
    await recording.wait()
    running.cancel()
    await idle()
    assert not running.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    later = office.site.taken_over(turned, DONE)
    await office.replica().invoke(later.context)
    assert office.happened == ["begin", "mail to alice", "done", "recall"]


async def test_a_call_that_was_made_is_not_made_again() -> None:
    """Who takes the run over tells the model what the ledger remembers, and counts the call no second time."""
    office, stuck = Office(), Stuck()

    async def no_more_checkpoints() -> None:
        office.site.store.errors = [AssertionError("a dead replica writes nothing")] * 9

    office.ledger.before = {"done": no_more_checkpoints}
    turned = turn(calls(MAIL), lambda call: stuck.wait())
    running = asyncio.create_task(office.replica().invoke(turned.context))
    await stuck.reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    office.site.store.errors = []
    office.observer.called.clear()
    later = office.site.taken_over(turned, DONE)
    result = await office.replica().invoke(later.context)
    assert office.happened.count("mail to alice") == 1
    assert later.model.asked[0].texts[-1] == ("tool", "sent to alice")
    assert [event.result for event in later.events.of(ToolFinished)] == ["sent to alice"]
    assert result.messages[-1].content == "It is done."
    assert office.observer.called == []


async def test_an_idempotent_call_is_made_again_with_its_key() -> None:
    """Where nobody knows what a call did, a service that knows its key is asked again, and nobody else."""
    office = Office("idempotent")
    turned = await office.killed_while_sending()
    later = office.site.taken_over(turned, DONE)
    result = await office.replica().invoke(later.context)
    assert office.happened == ["recall", "begin", "mail to alice", "done"]
    assert len(office.keys) == 2
    assert len(set(office.keys)) == 1
    assert (result.interrupts, result.messages[-1].content) == ((), "It is done.")


async def test_a_person_is_asked_what_became_of_another_call() -> None:
    """The turn ends with the call and what is to be found out; it is neither repeated nor taken for done."""
    office = Office()
    turned = await office.killed_while_sending()
    result = await office.replica().invoke(office.site.taken_over(turned).context)
    [question] = result.interrupts
    [request] = question.value["action_requests"]
    assert (request["name"], request["args"]) == MAIL
    assert "Nobody knows whether this call took effect" in request["description"]
    assert question.value["review_configs"] == [
        {"action_name": "probe", "allowed_decisions": ["approve", "reject", "respond"]}
    ]
    assert office.happened == ["recall"]


@pytest.mark.parametrize(
    ("decision", "happened", "outcome"),
    [
        ({"type": "approve"}, ["recall", "rule", "mail to alice", "done"], Outcome.OK),
        ({"type": "reject"}, ["recall", "rule"], Outcome.REJECTED),
        ({"type": "respond", "message": "She has it."}, ["recall", "rule"], Outcome.ANSWERED),
    ],
    ids=["it had none, call", "it had none, do not call", "it had"],
)
async def test_what_a_person_found_out_is_recorded(
    decision: Mapping[str, Any], happened: list[str], outcome: Outcome
) -> None:
    """The ledger holds what was decided before anything is done about it, and who goes on does not ask again."""
    office = Office()
    asking = office.site.taken_over(await office.killed_while_sending())
    await office.replica().invoke(asking.context)
    office.happened.clear()
    decided = office.site.decided(asking, [decision], DONE)
    result = await office.replica().invoke(decided.context)
    assert office.happened == happened
    assert [called.outcome for called in office.observer.called] == [outcome]
    assert result.messages[-1].content == "It is done."
    [answer] = [message for message in (await office.site.values(decided))["messages"] if message.type == "ai"][:1]
    known = await office.ledger.memory.recall(decided.context.run, [f"{answer.id}:0"])
    assert [entry.outcome.outcome for entry in known.values() if entry.outcome] == [outcome]


async def test_a_persons_word_is_good_for_one_attempt() -> None:
    """A call that was made once more on somebody's word, and lost once more, is asked about once more."""
    office, stuck = Office(), Stuck()
    asking = office.site.taken_over(await office.killed_while_sending())
    await office.replica().invoke(asking.context)
    decided = office.site.decided(asking, [{"type": "approve"}])
    office.act = lambda to: stuck.wait()
    running = asyncio.create_task(office.replica().invoke(decided.context))
    await stuck.reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    office.act = None
    office.happened.clear()
    result = await office.replica().invoke(office.site.taken_over(decided).context)
    assert (len(result.interrupts), office.happened) == (1, ["recall"])


async def test_where_nobody_can_be_asked_the_model_is_told() -> None:
    """In an ephemeral thread the model reads that nobody knows, and the call is not repeated."""
    office = Office()
    turned = await office.killed_while_sending(ephemeral=True)
    later = office.site.taken_over(turned, says("I do not know whether it was sent."))
    result = await office.replica().invoke(later.context)
    assert (office.happened, result.interrupts) == (["recall"], ())
    assert "nobody knows whether it took effect" in later.model.asked[0].texts[-1][1]
    assert [called.outcome for called in office.observer.called] == [Outcome.UNCERTAIN]


async def test_a_call_that_was_cut_off_is_not_called_a_failure() -> None:
    """A tool with an effect that takes too long may have had it: the model is not told to try again."""

    async def never(to: str) -> str:
        await asyncio.Event().wait()
        return ""

    office = Office(act=never)
    office.limits = ToolLimits(timeout_s=0.01, grace_s=0.01)
    turned = turn(calls(MAIL), says("I do not know."))
    await office.replica().invoke(turned.context)
    assert "nobody knows whether it took effect" in turned.model.asked[1].texts[-1][1]
    assert [called.outcome for called in office.observer.called] == [Outcome.TIMEOUT]


async def test_a_call_that_no_checkpoint_holds_is_not_made() -> None:
    """A graph that has tools called for an answer which is not in its state is told so, before anything is done."""
    office = Office()
    execution = ToolExecution([acting(tool_of(Stuck().wait), "once")], ToolCare(ledger=office.ledger))
    with pytest.raises(ConfigurationError, match="not in the graph's state"):
        await execution.run([calls(("probe", {}))], turn().context)
    assert office.happened == []


def test_a_tool_with_an_effect_needs_a_ledger() -> None:
    """An agent that could not record what its tools do is not built."""
    tool = acting(tool_of(Stuck().wait), "idempotent")
    with pytest.raises(ConfigurationError, match="no ledger") as refused:
        build("react", GraphOptions(), [tool])
    assert refused.value.param == "tools"


def test_the_key_is_there_while_a_tool_is_called() -> None:
    """A test of a tool sets it by hand; anywhere else there is none."""
    with keyed("k"):
        assert idempotency_key() == "k"
    with pytest.raises(LookupError):
        idempotency_key()
