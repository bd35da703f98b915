"""What it costs a run that it is traced and has its lines in the log: all that both of its processes do for that."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from langchain_core.messages import HumanMessage

from benchmarks.micro.screening import a_run
from benchmarks.micro.timing import Loop, Operation
from services.llm.call_spans import CallSpans
from services.llm.route import Route
from services.llm.types import ChatProvider, ModelCall
from services.runs.engine import RunTimes
from services.runs.run_lines import RunLines
from services.runs.run_spans import RunSpan
from services.telemetry import genai
from services.telemetry.log_context import LogContext, empty_context, work_for, work_for_run
from services.telemetry.logs import OURS, Hiding, JsonLines, Origin, Pseudonyms, write_to
from services.telemetry.recorded import RecordedTrace
from services.telemetry.span_writer import stored
from services.telemetry.spans import Kind
from services.telemetry.tracing import TracePolicy, Tracer
from services.types import Claim, RunOutcome, RunStatus, Usage

TOLD_US = 50.0
"""What a run may cost whose trace nobody keeps: traced in both of its processes, and logged."""

_CALL = ModelCall(messages=[HumanMessage("hello")])
_USED = Usage(input_tokens=100, output_tokens=50, model_calls=1)
_ENDED = RunOutcome(
    status=RunStatus.COMPLETED, messages=(), usage=_USED, provider="bench", model="m", finish_reason="stop"
)


def operations(provider: ChatProvider) -> Sequence[Operation]:
    traced, logged = _traced(provider, 1e-12), _logged()

    async def both(times: int) -> None:
        await traced(times)
        await logged(times)

    return (
        Operation(
            name="trace of a run with two model calls and a tool, dropped at its end", measured=traced, times=100
        ),
        Operation(name="a run's line in the log, as JSON, up to the thread that writes it", measured=logged, times=100),
        Operation(name="both: what an ordinary run costs", measured=both, times=50, limit_us=TOLD_US),
        Operation(name="the trace, kept, and as its store has it", measured=_traced(provider, 1.0), times=50),
        Operation(name="the trace, with tracing off", measured=_traced(provider, 0.0), times=500),
    )


class _Encoding:
    """Implements `TraceSink`: makes of a trace what is stored of it."""

    def add(self, trace: RecordedTrace) -> None:
        stored(trace)


def _traced(provider: ChatProvider, rate: float) -> Loop:
    policy = TracePolicy(sample_rate=rate)
    ingress, agent = (Tracer(source, [_Encoding()], policy) for source in ("ingress", "agent"))
    route, run = Route.of(provider), a_run()

    sampled = "01" if rate == 1.0 else "00"
    traceparent = f"00-{UUID(int=7).hex}-{UUID(int=7).hex[16:]}-{sampled}"
    claims = (Claim(run=replace(run, traceparent=traceparent), remaining_s=1.0), Claim(run=run, remaining_s=1.0))

    async def trace(times: int) -> None:
        for _ in range(times):
            asked = ingress.come_in(None)
            request = asked.begin("POST /chat/stream", {genai.HTTP_ROUTE: "/chat/stream"}, kind=Kind.SERVER)
            asked.of(run.id)
            for part in (genai.ADMISSION, genai.INPUT_GUARD, genai.STORE_RUN, genai.FIRST_EVENT):
                with asked.begin(part, {}):
                    pass
            handed_on = asked.handed_on
            span = RunSpan.begin(agent, claims[handed_on is None])
            calls = CallSpans(trace=span.trace)
            for _ in range(2):
                chat = calls.begin(route, _CALL)
                calls.told(_CALL, chat)
                calls.end(chat, None, None, _USED, 0.2)
            with span.trace.begin("execute_tool clock", {genai.TOOL_NAME: "clock"}):
                pass
            with span.trace.begin(genai.RECORD_END, {}):
                pass
            span.ended(_ENDED)
            request.end()
            ingress.end(asked)

    return trace


class _Lines(logging.Handler):
    """What a `LineFile` does when a line comes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def _written_to(handler: logging.Handler) -> Iterator[None]:
    """Have our lines written by this handler, and afterwards as before: loggers are the whole process's."""
    ours = [logging.getLogger(name) for name in OURS]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in ours]
    write_to(handler, level="INFO")
    try:
        yield
    finally:
        for logger, (handlers, level, propagate) in zip(ours, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


def _logged() -> Loop:
    """With what says for whom it is: in the request, and in both tasks of the run."""
    handler = _Lines()
    hiding = Hiding(["a key that is not simulated"])
    handler.setFormatter(JsonLines(Origin(deployment="agent", replica="abc"), Pseudonyms("a pepper"), hiding))
    run, lines, times_of_it = a_run(), RunLines(), RunTimes(duration_s=1.0, first_text_s=0.2)
    trace_id = UUID(int=7).hex

    async def log(times: int) -> None:
        with _written_to(handler):
            for _ in range(times):
                work_for(LogContext(request_id="a-request", trace_id=trace_id))
                work_for_run(run)
                about = LogContext.of(run, trace_id)
                empty_context(about), empty_context(about)
                lines.run_ended(run, _ENDED, times_of_it)
        handler.lines.clear()

    return log
