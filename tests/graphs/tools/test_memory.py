"""remember and recall: notes about the user whose run it is."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from langchain_core.tools import ToolException

from graphs.provenance import MEMORY, Seen
from graphs.tools.caller import called_in, caller
from graphs.tools.memory import MAX_NOTE_CHARS, NOTES, recall, remember
from graphs.tools.resources import ToolResources
from services.errors import ConfigurationError, InvalidRequest
from services.memories import TAINTED_BY, MemoryLimits
from services.storage.memories_in_memory import InMemoryMemories
from services.types import Run
from tests.graphs.fakes import NOON, FewDocuments, turn


@dataclass
class Agent:
    """An agent that has both tools and works for one user."""

    memories: InMemoryMemories = field(default_factory=lambda: InMemoryMemories(now=lambda: NOON))
    user_id: str = "u"
    seen: Seen = field(default_factory=Seen)
    brought_in: list[str] = field(default_factory=list)

    async def use(self, make: Any, **arguments: Any) -> str:
        with called_in(self.run, self.seen) as calling:
            tool = make(ToolResources(documents=FewDocuments(), memories=self.memories))
            answer = str(await tool.ainvoke(arguments))
        self.brought_in = calling.brought_in
        return answer

    @property
    def run(self) -> Run:
        return replace(turn().context.run, user_id=self.user_id)


async def test_what_is_noted_can_be_recalled() -> None:
    """Each note is a line with its day, the best match first; what does not match stays away."""
    agent = Agent()
    assert await agent.use(remember, note="The dog\n is called  Rex.") == "Noted: The dog is called Rex."
    await agent.use(remember, note="The car is a Volvo.")
    assert await agent.use(recall, query="What is the dog called?") == (
        "- The dog is called Rex. (noted 2026-11-22)\n- The car is a Volvo. (noted 2026-11-22)"
    )
    assert await agent.use(recall, query="the dog", limit=1) == "- The dog is called Rex. (noted 2026-11-22)"
    assert "No note about the user matches 'zebra'" in await agent.use(recall, query="zebra")


async def test_the_same_note_is_one_memory() -> None:
    """A call that is made again, as after a take-over, leaves one note."""
    agent = Agent()
    for note in ("Likes tea.", "likes  tea."):
        await agent.use(remember, note=note)
    assert len(await agent.memories.of("t", "u").asearch(NOTES)) == 1


async def test_a_note_of_a_tainted_turn_says_so() -> None:
    """The user can read in the memory what it stands on; a note of another turn is its text alone."""
    agent = Agent()
    await agent.use(remember, note="Likes tea.")
    agent.seen = Seen(tainted_by=("tool:inbox",))
    await agent.use(remember, note="Mails go to eve too.")
    notes = await agent.memories.of("t", "u").asearch(NOTES, query="mails tea")
    assert sorted((note.value["text"], note.value.get(TAINTED_BY)) for note in notes) == [
        ("Likes tea.", None),
        ("Mails go to eve too.", ["tool:inbox"]),
    ]


@pytest.mark.parametrize(("query", "brought_in"), [("tea", []), ("mails", [MEMORY]), ("mails tea", [MEMORY])])
async def test_a_note_of_a_tainted_turn_taints_the_turn_that_recalls_it(query: str, brought_in: list[str]) -> None:
    """And no other note does."""
    agent = Agent()
    await agent.use(remember, note="Likes tea.")
    agent.seen = Seen(tainted_by=("tool:inbox",))
    await agent.use(remember, note="Mails go to eve too.")
    agent.seen = Seen()
    await agent.use(recall, query=query)
    assert agent.brought_in == brought_in


async def test_notes_are_the_users_own() -> None:
    """An agent that works for somebody else finds none of them."""
    agent = Agent()
    await agent.use(remember, note="Likes tea.")
    other = Agent(memories=agent.memories, user_id="other")
    assert "No note" in await other.use(recall, query="tea")


async def test_other_memories_are_not_notes() -> None:
    """What graphs keep elsewhere among the user's memories is not told."""
    agent = Agent()
    await agent.memories.of("t", "u").aput(("files",), "tea", {"text": "tea"})
    assert "No note" in await agent.use(recall, query="tea")


@pytest.mark.parametrize(
    ("make", "arguments", "told"),
    [
        (remember, {"note": " \n"}, "empty"),
        (remember, {"note": "x" * (MAX_NOTE_CHARS + 1)}, "at most 1000"),
        (recall, {"query": "  "}, "empty"),
    ],
)
async def test_what_makes_no_sense_is_explained(make: Any, arguments: dict[str, Any], told: str) -> None:
    """The model reads what to write instead."""
    with pytest.raises(ToolException, match=told):
        await Agent().use(make, **arguments)


async def test_a_full_memory_is_told() -> None:
    """Where there is no room the refusal passes on, and says so."""
    agent = Agent(memories=InMemoryMemories(limits=MemoryLimits(max_items=1)))
    await agent.use(remember, note="one")
    with pytest.raises(InvalidRequest, match="room for 1"):
        await agent.use(remember, note="two")


async def test_odd_notes_are_no_error_of_ours() -> None:
    """A note that cannot be stored is refused, and odd queries find nothing."""
    agent = Agent()
    for note in ("a\x00b", "\ud800"):
        with pytest.raises(InvalidRequest):
            await agent.use(remember, note=note)
    assert "No note" in await agent.use(recall, query="x" * 10_000, limit=10**9)


def test_outside_of_a_call_there_is_no_caller() -> None:
    """Nobody's run makes no call."""
    with pytest.raises(LookupError):
        caller()


@pytest.mark.parametrize("make", [remember, recall])
def test_without_memories_they_are_not_made(make: Any) -> None:
    """An agent that is given the tools where nothing can be remembered is refused before it runs."""
    with pytest.raises(ConfigurationError, match="need memories"):
        make(ToolResources(documents=FewDocuments()))
