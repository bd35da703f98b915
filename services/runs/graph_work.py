"""The part of a run that its graph does: within its time, and with what its nodes may use."""

import asyncio
import logging
from collections.abc import Mapping

from services.errors import DeadlineExceeded, InternalError, MainstayError, NotFound, RunQuarantined
from services.guard import Guard
from services.runs.deadline import Deadline
from services.runs.execution import Execution
from services.runs.types import Graph, GraphResult, RunContext

logger = logging.getLogger(__name__)

MAX_CRASHES = 3
"""After so many owners lost without any progress a run is taken for their killer."""


class GraphWork:
    """The graphs of a replica, by name."""

    def __init__(self, *, graphs: Mapping[str, Graph], guard: Guard) -> None:
        self._graphs = graphs
        self._guard = guard

    async def do(self, execution: Execution, deadline: Deadline) -> GraphResult:
        """Let the run's graph run, within the deadline. Raises DeadlineExceeded, RunQuarantined, and what the graph raises."""
        run = execution.run
        if execution.claim.crashes >= MAX_CRASHES:
            raise RunQuarantined("The run was given up: it has ended several replicas without making any progress.")
        if run.graph not in self._graphs:
            raise NotFound(f"This replica does not serve the graph {run.graph!r}.")
        context = RunContext(
            run=run,
            claim=execution.claim,
            model=execution.model,
            events=execution.buffer,
            guard=self._guard,
            deadline=deadline,
            prompts=execution.prompts,
            progress=execution.progress,
            log=execution.log,
            screen=execution.screen.kept,
            to_the_end=execution.keep,
            trace=execution.span.trace,
        )
        try:
            async with asyncio.timeout(deadline.remaining_s()) as limit:
                return await self._graphs[run.graph].invoke(context)
        except TimeoutError:
            if not limit.expired():
                raise  # a node's own
            raise DeadlineExceeded("The run reached its time limit.") from None


def error_of(execution: Execution) -> MainstayError | None:
    """Return what the graph failed with, as what a client may be told of it; None where it did not fail by itself."""
    error = None if execution.work.cancelled() else execution.work.exception()
    if error is None or isinstance(error, MainstayError):
        return error
    logger.error("run %s failed in graph %s", execution.id, execution.run.graph, exc_info=error)
    return InternalError("The agent failed. It has been logged.")
