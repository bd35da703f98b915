"""Mainstay's own protocol without a stream: `POST /runs` queues a run and returns at once, `POST /runs/wait` waits for its end.

The body is that of `/chat/stream`. What becomes of a queued run is found at `GET /runs/{run_id}`, read from
`GET /runs/{run_id}/stream`, or told to its webhook.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import orjson
from pydantic import Field

from deployments.protocols.chat_stream import interrupts_json, usage_json
from deployments.protocols.run_body import RunBody
from deployments.protocols.types import Answer, ClientProtocol, Queued, Rules, Turn, Whole
from deployments.protocols.validation import validate
from services.events import RunInterrupted
from services.types import JsonObject, OnDisconnect, Run, RunStatus


class QueuedRunBody(RunBody):
    priority: int = Field(default=5, ge=0, le=9, description="of your tenant's runs in the queue the lowest goes first")


class WaitedRunBody(RunBody):
    on_disconnect: Literal["cancel", "continue"] = "cancel"


def parse_queued(body: JsonObject, headers: Mapping[str, str], rules: Rules) -> Turn:
    """Return the background run that a body of `/runs` asks for. Raises InvalidRequest."""
    checked = validate(QueuedRunBody, body)
    request = checked.to_request(rules, on_disconnect=OnDisconnect.CONTINUE, background=True)
    return Turn(request=replace(request, priority=checked.priority), reply=Queued(render_queued))


def parse_waited(body: JsonObject, headers: Mapping[str, str], rules: Rules) -> Turn:
    """Return the turn that a body of `/runs/wait` asks for. Raises InvalidRequest."""
    checked = validate(WaitedRunBody, body)
    request = checked.to_request(rules, on_disconnect=OnDisconnect(checked.on_disconnect))
    return Turn(request=request, reply=Whole(render_answer))


def render_queued(run: Run) -> bytes:
    """Return where a run can be found."""
    return orjson.dumps({"run_id": run.id, "thread_id": run.thread_id, "model": run.graph, "status": run.status})


def render_answer(run: Run, created: int, answer: Answer) -> bytes:
    """Return how a run ended, with its answer."""
    ending = answer.ending
    ended: JsonObject = {"status": RunStatus.COMPLETED, "finish_reason": None, "interrupts": []}
    if isinstance(ending, RunInterrupted):
        ended |= {"status": RunStatus.INTERRUPTED, "interrupts": interrupts_json(ending.interrupts)}
    else:
        ended["finish_reason"] = ending.finish_reason
    where = {"run_id": run.id, "thread_id": run.thread_id, "model": run.graph}
    spent = {"usage": usage_json(ending.usage), "duration_s": ending.duration_s}
    return orjson.dumps({**where, "text": answer.text, **ended, **spent})


QUEUED = ClientProtocol(
    path="/runs",
    summary="Queue a turn to run in the background",
    body=QueuedRunBody,
    parse=parse_queued,
    status=202,
)
WAITED = ClientProtocol(
    path="/runs/wait", summary="Run one turn and wait for its end", body=WaitedRunBody, parse=parse_waited
)
