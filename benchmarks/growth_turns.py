"""Turns as production stores them, for `benchmarks.growth`: created, claimed, logged in batches, checkpointed and finished."""

import itertools
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from uuid_utils.compat import uuid7

from services.events import RunCompleted, RunEvent, RunStarted, TextDelta, ToolFinished, ToolStarted
from services.runs.checkpoints import ChannelValue, Kept, KeptCheckpoint
from services.runs.effects import EffectCall, EffectOutcome
from services.runs.event_codec import encode
from services.runs.log_writer import LogRow
from services.storage.checkpointer import AsyncpgSaver
from services.storage.database import Database
from services.storage.effects import EffectRepository
from services.storage.owned_runs import OwnedRunRepository
from services.storage.run_checkpoints import RunCheckpointRepository
from services.storage.runs import RunRepository
from services.types import Claim, EventId, Message, Progress, Run, RunOutcome, RunStatus, ToolCall, Usage

TURNS_PER_THREAD = 10
DELTAS = 64
BATCHES = 15
_LEASE = UUID(int=1)
_QUESTION = "How long is the warranty of the coffee machine that I bought in March, and what does it cover?"
_RESULT = "The warranty of every appliance is two years from the day of the sale. It covers parts and labour. " * 4
_WORDS = (
    *("the", "warranty", "of", "a", "machine", "is", "two", "years", "from", "its", "sale", "and", "covers", "parts"),
    *("labour", "shipping", "not", "damage", "by", "water", "unless", "repair", "fails", "twice", "then", "refund"),
)
_SPENT = Usage(input_tokens=420, output_tokens=DELTAS, model_calls=1)


async def stateless_turn(database: Database, number: int) -> None:
    """A turn of a protocol whose client sends its history along: nothing of it is checkpointed."""
    await _turn(database, number, ephemeral=True, deltas=DELTAS, batches=BATCHES)


async def chat_turn(database: Database, number: int) -> None:
    """A turn without tools, one of ten in its thread."""
    await _turn(database, number, deltas=DELTAS, batches=BATCHES)


async def tool_turn(database: Database, number: int) -> None:
    """A turn that calls one tool with an effect, one of ten in its thread."""
    await _turn(database, number, deltas=DELTAS, batches=BATCHES, tool=True)


async def log_only(database: Database, number: int) -> None:
    """A long answer, for what its log takes."""
    await _turn(database, number, ephemeral=True, deltas=300, batches=60)


async def _turn(
    database: Database, number: int, *, deltas: int, batches: int, ephemeral: bool = False, tool: bool = False
) -> None:
    """Store one turn by everything that production stores it by."""
    place = 0 if ephemeral else number % TURNS_PER_THREAD
    run = _run(number, place, ephemeral=ephemeral)
    await RunRepository(database).create(run)
    owned = OwnedRunRepository(database)
    claim = await owned.claim(run.id, _LEASE)
    pieces = _pieces(number, deltas)
    events: list[RunEvent] = [RunStarted(run_id=run.id, thread_id=run.thread_id, graph=run.graph)]
    if tool:
        events += await _tool_call(database, claim)
    opening = len(events)
    events += [TextDelta(text=piece) for piece in pieces]
    cuts = [0, *(opening + deltas * batch // batches for batch in range(1, batches + 1))]
    for start, end in itertools.pairwise(cuts):
        await owned.append([_row(claim, start, events[start:end])])
    answer = "".join(pieces)
    if not ephemeral:
        said = [message for turn in range(number - place, number + 1) for message in _said(turn, tool=tool)]
        progress = Progress(event_id=EventId(attempt=1, seq=len(events) - 1), usage=_SPENT, said=answer)
        kept = Kept(checkpoints=[_checkpoint(database, run, place, said)], writes=[], progress=progress)
        await RunCheckpointRepository(database).save(claim.fence, kept)
    ended = RunCompleted(finish_reason="stop", usage=_SPENT, duration_s=1.523)
    outcome = RunOutcome(
        status=RunStatus.COMPLETED,
        messages=(*(_tool_messages() if tool else ()), Message(role="assistant", content=answer)),
        usage=_SPENT,
        provider="openai",
        model="gpt-4.1-mini",
        finish_reason="stop",
    )
    await owned.finish(claim, outcome, [_row(claim, len(events), [ended])])


def _run(number: int, place: int, *, ephemeral: bool) -> Run:
    """Return the run; turns of a thread find it by its number."""
    thread = UUID(int=(number - place) << 64 | 0x7000_8000_0000_0000_0001)
    return Run(
        id=uuid7(),
        thread_id=uuid7() if ephemeral else thread,
        new_thread=place == 0,
        tenant_id="default",
        user_id=f"user-{(number - place) % 97}",
        graph="react",
        status=RunStatus.PENDING,
        messages=(Message(role="user", content=_QUESTION),),
        ephemeral=ephemeral,
        timeout_s=600.0,
    )


def _pieces(number: int, count: int) -> list[str]:
    chosen = random.Random(number)
    return [chosen.choice(_WORDS) + " " for _ in range(count)]


def _row(claim: Claim, first_seq: int, events: Sequence[RunEvent]) -> LogRow:
    return LogRow(fence=claim.fence, first_seq=first_seq, seq=first_seq + len(events) - 1, body=encode(events))


async def _tool_call(database: Database, claim: Claim) -> list[RunEvent]:
    effects, call = EffectRepository(database), EffectCall(id="call_Zk3vYp0s:0", tool="send_mail")
    await effects.begin(claim.fence, call)
    await effects.done(claim.fence, call.id, EffectOutcome(outcome="ok", text=_RESULT))
    arguments = '{"to": "ann@example.com", "text": "The warranty is two years."}'
    return [
        ToolStarted(call_id=call.id, name=call.tool, arguments=arguments),
        ToolFinished(call_id=call.id, name=call.tool, ok=True, result=_RESULT, duration_s=0.213),
    ]


def _tool_messages() -> tuple[Message, ...]:
    call = ToolCall(id="call_Zk3vYp0s:0", name="send_mail", arguments='{"to": "ann@example.com"}')
    return (
        Message(role="assistant", content="", tool_calls=(call,)),
        Message(role="tool", content=_RESULT, tool_call_id=call.id, name=call.name),
    )


def _said(number: int, *, tool: bool) -> list[AnyMessage]:
    """Return what a turn added to its thread, as the graph holds it."""
    called: list[AnyMessage] = []
    if tool:
        call = {"id": "call_Zk3vYp0s:0", "name": "send_mail", "args": {"to": "ann@example.com"}}
        called = [
            AIMessage("", id=str(uuid7()), tool_calls=[call]),
            ToolMessage(_RESULT, tool_call_id="call_Zk3vYp0s:0", name="send_mail"),
        ]
    answer = AIMessage("".join(_pieces(number, DELTAS)), id=str(uuid7()))
    return [HumanMessage(_QUESTION, id=str(uuid7())), *called, answer]


def _checkpoint(database: Database, run: Run, place: int, said: list[AnyMessage]) -> KeptCheckpoint:
    """Return what a thread remembers after its turn number `place`: all of its messages."""
    serialised = AsyncpgSaver(database).serde.dumps_typed
    version = f"{place + 1:032}.{random.random():.16f}"
    versions = {"messages": version, "rounds": version, "branch:to:model": version, "__start__": version}
    checkpoint_id = str(uuid7())
    body = {
        "v": 4,
        "ts": datetime.now(UTC).isoformat(),
        "id": checkpoint_id,
        "channel_versions": versions,
        "versions_seen": {"__input__": {}, "__start__": {"__start__": version}, "model": {"branch:to:model": version}},
        "updated_channels": ["messages", "rounds"],
    }
    return KeptCheckpoint(
        namespace="",
        id=checkpoint_id,
        parent_id=None,
        versions=versions,
        type=serialised(body)[0],
        body=serialised(body)[1],
        metadata={"source": "loop", "step": 3 * place + 2, "parents": {}, "run_id": str(run.id)},
        values=tuple(
            ChannelValue(channel=channel, version=version, type=serialised(value)[0], body=serialised(value)[1])
            for channel, value in (("messages", said), ("rounds", 1))
        ),
    )
