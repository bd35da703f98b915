"""One turn that nobody asked for, so that the first user does not wait for a model to read its instructions.

For a model that keeps its prompt cache between calls, as the embedded one does: on two cores it reads 400 tokens of system
prompt and tool schemas in ten seconds, once. The turn goes through the graph itself, so what is read is what will be asked.
"""

import logging
from collections.abc import Mapping
from uuid import UUID

from services.errors import MainstayError
from services.guard import Guard
from services.llm.gateway import Gateway
from services.runs.buffer import EventBuffer
from services.runs.deadline import Deadline
from services.runs.types import Graph, RunContext
from services.types import Claim, EventId, Message, ModelOptions, Progress, Run, RunStatus, Usage

logger = logging.getLogger(__name__)

GREETING = "hello"


async def warm_up(
    name: str, graph: Graph, gateway: Gateway, guard: Guard, prompts: Mapping[str, str], *, within_s: float
) -> None:
    """Run one short turn of `graph` that is neither recorded nor shown. A failure is logged and changes nothing."""
    deadline = Deadline.after(within_s)
    buffer = EventBuffer(attempt=1, window_s=lambda: 0.0, max_chars=1)
    buffer.close()
    nobody = UUID(int=0)
    run = Run(
        id=nobody,
        thread_id=nobody,
        tenant_id="",
        user_id="",
        graph=name,
        status=RunStatus.RUNNING,
        messages=(Message(role="user", content=GREETING),),
        ephemeral=True,
        attempt=1,
        options=ModelOptions(max_output_tokens=1),
    )
    context = RunContext(
        run=run,
        claim=Claim(run=run, remaining_s=within_s),
        model=gateway.bind(buffer, deadline),
        events=buffer,
        guard=guard,
        deadline=deadline,
        prompts=prompts,
        progress=lambda: Progress(event_id=EventId(attempt=1, seq=0), usage=Usage(), said=""),
    )
    try:
        await graph.invoke(context)
    except MainstayError as error:
        logger.warning("the warm-up of %s failed: %s", name, error)
