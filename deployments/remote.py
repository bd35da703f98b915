"""Serve handles seen as the plain protocols that the rest of Mainstay knows: the Carriers of runs and of checks, SampleSink.

The one place where Ray's exceptions become ours. A handle's stream that is left must be cancelled, or it goes on (Serve does
not notice by itself), and what must outlive the request is sent from a task with an empty context by its caller.
"""

import asyncio
import contextvars
import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from services.errors import AgentLost, Failure, GuardrailUnavailable, MainstayError, Overloaded, error_from_failure
from services.guard import Verdict
from services.guard_batches import Asked
from services.resilience.priority import Priority
from services.runs.multiplex import Frame
from services.samples import Drop, Sample
from services.telemetry.metrics import REQUESTS_SHED, SAMPLES_DROPPED, Meter
from services.types import RunTicket

logger = logging.getLogger(__name__)

Handle = DeploymentHandle[Any]


BREAKERS_TIMEOUT_S = 5.0
BUSY_RETRY_S = 1.0


class RemoteAgent:
    """Implements `services.runs.multiplex.Carrier` over the agent deployment. Counts the turns that no replica has room for."""

    def __init__(self, handle: Handle, meter: Meter) -> None:
        self._execute = _method(handle, "execute", stream=True)
        self._meter = meter

    async def execute(self, ticket: RunTicket) -> AsyncGenerator[Frame, None]:
        with _translated(AgentLost("The agent stopped in the middle of the run.")):
            response: Any = self._execute.remote(ticket)  # with stream=True, a generator
            over = False
            try:
                async for item in response:
                    if not isinstance(item, Frame):
                        raise error_from_failure(item)
                    yield item
                over = True
            except BackPressureError:
                self._meter.record(REQUESTS_SHED, 1.0, {"priority": Priority.NEW_TURN.name.lower()})
                raise
            finally:
                if not over:  # of one that is, the agent would have to take note of the cancelling all the same
                    response.cancel()


class RemoteBreakers:
    """What the agent replicas' breakers say, counted by name and state.

    The replicas are asked at most once in `max_age_s`, for anybody may ask us. Whoever asks waits for `patience_s` at most,
    and else gets what was last known: a probe of `/readyz` gives up after a second, and this decides nothing.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        max_age_s: float = 1.0,
        patience_s: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handle = handle
        self._max_age_s = max_age_s
        self._patience_s = patience_s
        self._clock = clock
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")
        self._states: Mapping[str, Mapping[str, int]] = {}

    async def __call__(self) -> Mapping[str, Mapping[str, int]]:
        if self._asking is None and self._clock() - self._asked_at >= self._max_age_s:
            # In an empty context: what is started in a request's context, Serve cancels with the request.
            loop = asyncio.get_running_loop()
            self._asking = loop.create_task(self._ask(), context=contextvars.Context())
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=self._patience_s)
        return self._states

    async def _ask(self) -> None:
        try:
            asked = self._handle.broadcast("breakers")
            replicas = await asked.results_async(timeout_s=BREAKERS_TIMEOUT_S, return_exceptions=True)
        except (RayError, RayServeException, TimeoutError) as error:
            logger.warning("the agents do not say in which state their breakers are: %s", type(error).__name__)
        else:
            states: dict[str, Counter[str]] = defaultdict(Counter)
            for breakers in replicas:
                for breaker in () if isinstance(breakers, BaseException) else breakers:
                    states[breaker.name][breaker.state.value] += 1
            self._states = states
        finally:
            self._asked_at = self._clock()
            self._asking = None


class RemoteGuardrail:
    """Implements `services.guard_batches.Carrier` over the guardrail deployment."""

    def __init__(self, handle: Handle) -> None:
        self._check_each = _method(handle, "check_each")

    async def check_each(self, asked: Sequence[Asked]) -> Sequence[Verdict | Failure]:
        with _translated(GuardrailUnavailable("The guardrail cannot be reached.", retry_after_s=BUSY_RETRY_S)):
            response: Any = self._check_each.remote(asked)
            try:
                said: Sequence[Verdict | Failure] = await response
            except asyncio.CancelledError:
                response.cancel()  # else it waits on in the handle for a replica to come
                raise
        return said


class RemoteSamples:
    """Implements `services.samples.SampleSink` over the evaluator deployment: sent and forgotten.

    At most `max_sending` are on their way at once, each for `timeout_s` at most; beyond that samples are dropped and counted.
    So an evaluator that is slow, flooded or gone costs samples, and a bounded amount of memory and work.
    """

    def __init__(self, handle: Handle, meter: Meter, *, max_sending: int = 32, timeout_s: float = 5.0) -> None:
        self._offer = _method(handle, "offer")
        self._meter = meter
        self._max_sending = max_sending
        self._timeout_s = timeout_s
        self._sending: set[asyncio.Task[None]] = set()

    def offer(self, sample: Sample) -> None:
        if len(self._sending) >= self._max_sending:
            self._dropped(Drop.SENDING)
            return
        task = asyncio.get_running_loop().create_task(self._send(sample))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, sample: Sample) -> None:
        response: Any = None
        try:
            async with asyncio.timeout(self._timeout_s):
                response = self._offer.remote(sample)
                await response
        except (RayError, RayServeException):
            self._dropped(Drop.UNREACHABLE)
        except TimeoutError:
            response.cancel()  # else it waits on in the handle for a replica to come
            self._dropped(Drop.UNREACHABLE)

    def _dropped(self, reason: Drop) -> None:
        self._meter.record(SAMPLES_DROPPED, 1.0, {"reason": reason})


def _method(handle: Handle, name: str, *, stream: bool = False) -> Handle:
    """Return the handle of one method. What crosses it are values of importable classes, so C's plain pickle does."""
    return handle.options(
        method_name=name, stream=stream, request_serialization="pickle", response_serialization="pickle"
    )


@contextmanager
def _translated(lost: MainstayError) -> Iterator[None]:
    """Turn Ray's exceptions into ours: no room is Overloaded, everything else is `lost`."""
    try:
        yield
    except BackPressureError as error:
        raise Overloaded("All replicas are busy.", retry_after_s=error.retry_after_s or BUSY_RETRY_S) from error
    except (RayError, RayServeException, TimeoutError) as error:
        raise lost from error
