"""A model that follows a script, and recorders for what a graph does: the run's context without a network or a clock."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool

from graphs import GRAPHS
from graphs.build import build, build_tools
from graphs.provenance import incoming
from graphs.runner import GraphRunner
from graphs.saver import Checkpointing
from graphs.spec import GraphOptions
from graphs.tools.care import ToolCalled, ToolCare, ToolLimits
from graphs.tools.declaration import Declaration, Repeat, declared
from graphs.tools.execution import ToolExecution
from graphs.tools.resources import ToolResources
from services.events import RunEvent, TextDelta
from services.guard import ALLOWED, Guard, Stage, Verdict
from services.llm.types import ModelCall
from services.runs.deadline import Deadline
from services.runs.types import RunContext
from services.security.addresses import AddressPolicy
from services.security.pages import Page, PageUnavailable
from services.storage.checkpointer_memory import MemoryCheckpoints
from services.storage.memories_in_memory import InMemoryMemories
from services.types import Claim, EventId, Message, ModelOptions, Progress, Run, RunStatus, Usage

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PROMPTS: Mapping[str, str] = {role: f"You are the {role}." for spec in GRAPHS.values() for role in spec.prompts}

STORED: dict[UUID, Run] = {}
"""The runs of all turns, as the store has them: whether one may still write depends on it."""

Reply = AIMessage | Callable[[ModelCall], Any]


def says(text: str, finish_reason: str = "stop") -> AIMessage:
    """An answer of plain text."""
    return AIMessage(content=text, response_metadata={"finish_reason": finish_reason})


def calls(*asked: tuple[str, Mapping[str, Any]], text: str = "") -> AIMessage:
    """An answer that asks for tools: (name, arguments) each, with ids c0, c1, …"""
    tool_calls = [{"name": name, "args": dict(args), "id": f"c{n}"} for n, (name, args) in enumerate(asked)]
    return AIMessage(content=text, tool_calls=tool_calls, response_metadata={"finish_reason": "tool_calls"})


@dataclass
class RecordingEvents:
    """An event sink that keeps everything."""

    events: list[RunEvent] = field(default_factory=list)

    def emit(self, event: RunEvent) -> None:
        self.events.append(event)

    async def drain(self) -> None:
        return

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass(frozen=True)
class Asked:
    """One call the model received."""

    call: ModelCall
    source: str | None
    silent: bool

    @property
    def tool_names(self) -> list[str]:
        return [tool["function"]["name"] for tool in self.call.tools]

    @property
    def texts(self) -> list[tuple[str, str]]:
        return [(message.type, str(message.content)) for message in self.call.messages]


@dataclass
class ScriptedModel:
    """Answers with the script's replies in turn, the last one again and again if `looping`. A function is called first."""

    script: Sequence[Reply]
    events: RecordingEvents
    looping: bool = False
    asked: list[Asked] = field(default_factory=list)

    async def generate(self, call: ModelCall, *, source: str | None = None, silent: bool = False) -> AIMessage:
        self.asked.append(Asked(call, source, silent))
        index = len(self.asked) - 1
        assert self.looping or index < len(self.script), (
            f"the model was called {index + 1} times: {self.asked[-1].texts}"
        )
        reply = self.script[min(index, len(self.script) - 1)]
        if not isinstance(reply, AIMessage):
            reply = reply(call)
            if asyncio.iscoroutine(reply):
                reply = await reply
        assert isinstance(reply, AIMessage)
        if reply.content and not silent:
            self.events.emit(TextDelta(text=str(reply.content), source=source))
        return reply


class AllowAllGuard:
    """A guard that lets everything through."""

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        return ALLOWED


@dataclass
class Stuck:
    """A point that is reached and never left, except by cancellation."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False

    async def wait(self) -> Any:
        self.reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


@dataclass(frozen=True)
class FoundPassage:
    title: str
    path: str
    text: str
    rank: float = 1.0


@dataclass
class FewDocuments:
    """A document search over a handful of passages: every word of the query must occur."""

    passages: Sequence[FoundPassage] = (FoundPassage("Refunds", "refunds.md", "Refunds are paid within 14 days."),)

    async def search(self, query: str, limit: int) -> Sequence[FoundPassage]:
        words = query.lower().split()
        return [p for p in self.passages if all(word in p.text.lower() for word in words)][:limit]


class OnePage:
    """A web of one page."""

    async def get(self, url: str) -> Page:
        AddressPolicy().check(url)
        if url != "https://example.com/":
            raise PageUnavailable("Its host is not known.")
        return Page(url=url, media_type="text/html", charset=None, body=b"<title>Example</title><p>Hello.", whole=True)


def resources() -> ToolResources:
    memories = InMemoryMemories(now=lambda: NOON)
    return ToolResources(documents=FewDocuments(), memories=memories, pages=OnePage(), now=lambda: NOON)


READS = Declaration(effect="read", returns="trusted")


def tool_of(
    function: Callable[..., Awaitable[object]], name: str = "probe", declaration: Declaration = READS
) -> BaseTool:
    """A tool that is one async function."""
    tool = StructuredTool.from_function(coroutine=function, name=name, description="A tool under test.")
    return declared(tool, declaration)


def acting(tool: BaseTool, repeat: Repeat) -> BaseTool:
    """The tool as one that changes something, and whose calls go by the ledger."""
    return declared(tool, Declaration(effect="write", returns="trusted", repeat=repeat))


@dataclass
class RecordingToolObserver:
    """A tool observer that keeps everything."""

    called: list[ToolCalled] = field(default_factory=list)

    def tool_called(self, call: ToolCalled) -> None:
        self.called.append(call)


ALL_TOOLS = ("calculator", "clock", "search_documents")


def memory(**options: Any) -> Checkpointing:
    """Threads that are remembered for as long as this object lives."""
    checkpoints = MemoryCheckpoints(STORED.get)
    return Checkpointing(saver=checkpoints, store=checkpoints, **options)


def make_graph(
    kind: str = "react",
    checkpointing: Checkpointing | None = None,
    tools: Sequence[BaseTool] | None = None,
    **options: Any,
) -> GraphRunner:
    """A graph of that kind with these tools, or with the usual ones, if it takes any."""
    names = () if kind in GRAPHS and not GRAPHS[kind].takes_tools else ALL_TOOLS
    return build(
        kind, GraphOptions(**options), build_tools(names, resources()) if tools is None else tools, checkpointing
    )


@dataclass
class Turn:
    """A run's context with the recorders at hand."""

    context: RunContext
    model: ScriptedModel
    events: RecordingEvents


def turn(
    *script: Reply,
    user: str | Sequence[Message] = "Hello",
    thread_id: UUID | None = None,
    ephemeral: bool = False,
    prompts: Mapping[str, str] = PROMPTS,
    guard: Guard | None = None,
    looping: bool = False,
    remaining_s: float = 60.0,
    options: ModelOptions | None = None,
    run: Run | None = None,
    progress: Progress | None = None,
    events: RecordingEvents | None = None,
) -> Turn:
    """A turn in which the model follows `script`: the first attempt of a new run, unless `run` says which it is."""
    events = events or RecordingEvents()
    model = ScriptedModel(script, events, looping)
    run = run or Run(
        id=uuid4(),
        thread_id=thread_id or uuid4(),
        tenant_id="t",
        user_id="u",
        graph="tested",
        status=RunStatus.RUNNING,
        messages=(Message(role="user", content=user),) if isinstance(user, str) else tuple(user),
        ephemeral=ephemeral,
        options=options or ModelOptions(),
        attempt=1,
    )
    STORED[run.id] = run

    def so_far() -> Progress:
        said = "".join(event.text for event in events.of(TextDelta) if event.source is None)
        last = EventId(attempt=run.attempt, seq=len(events.events) - 1)
        return Progress(event_id=last, usage=Usage(model_calls=len(model.asked)), said=said)

    context = RunContext(
        run=run,
        claim=Claim(run=run, remaining_s=remaining_s, progress=progress),
        model=model,
        events=events,
        guard=guard or AllowAllGuard(),
        deadline=Deadline.after(remaining_s),
        prompts=prompts,
        progress=so_far,
    )
    return Turn(context, model, events)


async def answer_of(
    function: Callable[..., Awaitable[object]] | BaseTool,
    turned: Turn | None = None,
    *,
    limits: ToolLimits | None = None,
    care: ToolCare | None = None,
    **arguments: Any,
) -> ToolMessage:
    """The message that a model reads after one call of a tool named `probe`."""
    tool = function if isinstance(function, BaseTool) else tool_of(function)
    execution = ToolExecution([tool], care or ToolCare(limits=limits or ToolLimits()))
    context = (turned or turn()).context
    asked = incoming(HumanMessage("Hello"), context.run)
    [message] = await execution.run([asked, calls(("probe", arguments))], context)
    assert isinstance(message, ToolMessage)
    return message


def shape(messages: Sequence[BaseMessage | Message]) -> list[str]:
    """The roles of a conversation, with the ids of calls and results: what providers check."""
    described = []
    for message in messages:
        role = message.role if isinstance(message, Message) else message.type
        ids = [
            call.id if isinstance(message, Message) else call["id"]
            for call in getattr(message, "tool_calls", None) or ()
        ]
        answered = getattr(message, "tool_call_id", None)
        described.append(role + (f"({','.join(ids)})" if ids else "") + (f"({answered})" if answered else ""))
    return described
