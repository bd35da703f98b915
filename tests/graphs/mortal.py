"""A replica that dies at a given moment, and the world outside, which keeps what it has done."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any
from uuid import UUID, uuid4

from langchain_core.tools import BaseTool, StructuredTool

from graphs.build import build, build_tools
from graphs.runner import GraphRunner
from graphs.saver import Checkpointing
from graphs.spec import GraphOptions
from graphs.tools.care import ToolCare
from graphs.tools.declaration import Repeat
from graphs.tools.effects import idempotency_key
from services.events import RunEvent, TextDelta, ToolFinished
from services.runs.checkpoints import Kept
from services.runs.effects import Begun, EffectCall, EffectOutcome, Entry, Ruling
from services.runs.types import GraphResult
from services.storage.checkpointer_memory import MemoryCheckpoints
from services.storage.memory_effects import MemoryEffects
from services.types import EventId, Fence, Interruption, Run, RunStatus
from tests.graphs.durable import idle
from tests.graphs.fakes import NOON, STORED, RecordingEvents, Reply, acting, resources, turn


class Killed(Exception):
    """The replica does nothing any more."""


@dataclass
class Fate:
    """Counts the moments that others could notice, and ends at one of them: from there on there is nothing but Killed."""

    dies_at: int | None = None
    passed: int = 0
    dead: bool = False

    def moment(self) -> None:
        if not self.dead:
            self.passed += 1
            self.dead = self.passed == self.dies_at
        if self.dead:
            raise Killed


@dataclass
class MortalEvents(RecordingEvents):
    fate: Fate = field(default_factory=Fate)

    def emit(self, event: RunEvent) -> None:
        if not self.fate.dead:
            super().emit(event)
        self.fate.moment()


@dataclass
class MortalStore:
    """Takes its time, so that a run which does not wait for it is well ahead."""

    world: "World"

    async def save(self, fence: Fence, kept: Kept) -> None:
        fate = self.world.fate
        fate.moment()
        await idle(50)
        fate.moment()
        await self.world.memory.save(fence, kept)
        fate.moment()


@dataclass
class MortalEffects:
    world: "World"

    async def begin(self, fence: Fence, call: EffectCall, *, again: bool = False) -> Begun | Entry:
        self.world.fate.moment()
        begun = await self.world.ledger.begin(fence, call, again=again)
        self.world.fate.moment()
        return begun

    async def done(self, fence: Fence, call_id: str, outcome: EffectOutcome) -> None:
        self.world.fate.moment()
        await self.world.ledger.done(fence, call_id, outcome)
        self.world.fate.moment()

    async def recall(self, run: Run, call_ids: Collection[str]) -> Mapping[str, Entry]:
        self.world.fate.moment()
        return await self.world.ledger.recall(run, call_ids)

    async def rule(self, fence: Fence, rulings: Sequence[Ruling]) -> None:
        self.world.fate.moment()
        await self.world.ledger.rule(fence, rulings)
        self.world.fate.moment()


@dataclass
class Ending:
    """What an attempt came to: its result, unless it died, and how many moments it lived."""

    run: Run
    result: GraphResult | None
    moments: int


@dataclass
class World:
    """What outlives every replica: the store, the ledger, the logs, and the mails that were sent, each with its key.

    `asked` are the calls that a person was asked about.
    """

    model: Reply
    kind: str = "react"
    effect: Repeat = "once"
    approve: tuple[str, ...] = ()
    memory: MemoryCheckpoints = field(default_factory=lambda: MemoryCheckpoints(STORED.get))
    ledger: MemoryEffects = field(default_factory=lambda: MemoryEffects(STORED.get))
    logs: dict[UUID, list[tuple[EventId, RunEvent]]] = field(default_factory=dict)
    sent: list[tuple[str, str]] = field(default_factory=list)
    asked: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def mails(self) -> list[str]:
        """The mails that were received: a service that is told a key sends one mail for each."""
        received = dict(self.sent).values() if self.effect == "idempotent" else [mail for _, mail in self.sent]
        return sorted(received)

    def __post_init__(self) -> None:
        self.fate = Fate()
        self._replicas = cycle((self._replica(), self._replica()))

    def _replica(self) -> GraphRunner:
        async def send_mail(to: str) -> str:
            fate = self.fate
            await asyncio.sleep(0)
            fate.moment()
            self.sent.append((idempotency_key(), to))
            fate.moment()
            return f"sent to {to}"

        mail = StructuredTool.from_function(coroutine=send_mail, name="send_mail", description="Send a mail.")
        tools: list[BaseTool] = [*build_tools(["calculator", "clock"], resources())]
        if self.kind not in ("plan_execute", "supervisor"):
            tools.append(acting(mail, self.effect))
        options = GraphOptions(approve=self.approve, tool_care=ToolCare(ledger=MortalEffects(self)))
        return build(self.kind, options, tools, Checkpointing(saver=self.memory, store=MortalStore(self)))

    async def attempt(self, run: Run | None = None, *, dies_at: int | None = None, **options: Any) -> Ending:
        """Execute the next attempt of a run, or a new one; its readers drop what is void, and see the rest."""
        self.fate = fate = Fate(dies_at)
        if run is not None:
            run = replace(run, attempt=run.attempt + 1)
            options |= {"run": run, "progress": self.memory.progress.get(run.id)}
        turned = turn(self.model, looping=True, events=MortalEvents(fate=fate), **options)
        run, progress = turned.context.run, turned.context.claim.progress
        log = self.logs.setdefault(run.id, [])
        log[:] = [(at, event) for at, event in log if progress is not None and at <= progress.event_id]
        try:
            result = await next(self._replicas).invoke(turned.context)
        except Killed:
            result = None
        assert (result is None) is fate.dead
        log += [(EventId(attempt=run.attempt, seq=seq), event) for seq, event in enumerate(turned.events.events)]
        return Ending(run=run, result=result, moments=fate.passed)

    async def to_the_end(self, deaths: Sequence[int | None] = (), **options: Any) -> Ending:
        """Let replicas die one after the other, decide what is asked, and return how it ended in the end.

        What nobody knows is decided as it is: a person looks whether the mail was sent.
        """
        self.sent.clear()
        self.asked.clear()
        waiting = iter(deaths)
        ending = await self.attempt(dies_at=next(waiting, None), **options)
        while ending.result is None or ending.result.interrupts:
            run = ending.run
            if ending.result is not None:
                run = self.decided(run, self.judged(ending.result.interrupts))
            ending = await self.attempt(run, dies_at=next(waiting, None))
        return ending

    def judged(self, questions: Sequence[Interruption]) -> list[Mapping[str, Any]]:
        decisions: list[Mapping[str, Any]] = []
        for request in [request for question in questions for request in question.value["action_requests"]]:
            self.asked.append(request)
            sent = any(mail == request["args"]["to"] for _, mail in self.sent)
            known = "description" not in request or not sent
            decisions.append({"type": "approve"} if known else {"type": "respond", "message": "It was sent."})
        return decisions

    def decided(self, asking: Run, decisions: Sequence[Mapping[str, Any]]) -> Run:
        """The run that goes on with an interrupted one, before its first attempt."""
        STORED[asking.id] = replace(asking, status=RunStatus.INTERRUPTED, finished_at=NOON)
        return replace(asking, id=uuid4(), messages=(), decisions=tuple(decisions), attempt=0)

    def seen(self, run: Run) -> list[str]:
        """What a client has of a run that has ended, in an order of its own: tools that work at once end in any."""
        events = [event for _, event in self.logs[run.id]]
        return sorted(
            repr(replace(event, duration_s=0.0) if isinstance(event, ToolFinished) else event) for event in events
        )

    def said(self, run: Run) -> list[str]:
        """The text that a client has of a run, in order."""
        return [event.text for _, event in self.logs[run.id] if isinstance(event, TextDelta)]
