"""One trace from the request to the provider and the tools, as `GET /v1/runs/{run_id}/trace` shows it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException

from deployments.http.bodies import ClientLeft
from deployments.http.traced_requests import TracedRequests
from services.errors import ModelServerError
from services.guardrails.screen.output import OutputScreen
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.resilience.policy import BreakerMode, BreakerPolicy
from services.resilience.retry import RetryPolicy
from services.samples import Score
from services.telemetry import genai
from services.telemetry.span_writer import SpanWriter
from services.telemetry.trace_context import TraceContext
from services.telemetry.tracing import TracePolicy, Tracer
from tests.deployments.http.fakes import AUTH, COLLEAGUES_KEY, OTHER_KEY, Rig
from tests.deployments.http.real_agent import RealAgent, Say
from tests.services.runs.fakes import FakeProvider
from tests.services.telemetry.traced import EVERYTHING, NOTHING_BUT, Kept, a_tracer

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ASKED = f"00-{TRACE}-{CALLER}-01"
QUESTION = {"model": "react", "messages": [{"role": "user", "content": "hello"}]}


def ended(text: str = "", **more: Any) -> AIMessage:
    return AIMessage(content=text, response_metadata={"finish_reason": "stop", "model_name": "fake-1-today"}, **more)


async def says_hello(call: ModelCall, sink: TextSink) -> AIMessage:
    sink.text("Hello.")
    return ended("Hello.")


async def looks_first(call: ModelCall, sink: TextSink) -> AIMessage:
    """Call both tools, and answer once there are results."""
    if call.messages[-1].type == "tool":
        return await says_hello(call, sink)
    return ended(tool_calls=[{"name": name, "args": {}, "id": name} for name in ("good", "bad", "invented")])


async def good() -> str:
    return "fine"


async def bad() -> str:
    raise ToolException("no")


TOOLS: Sequence[BaseTool] = [
    StructuredTool.from_function(coroutine=tool, name=tool.__name__, description="A tool.") for tool in (good, bad)
]


async def fails(call: ModelCall, sink: TextSink) -> AIMessage:
    raise ModelServerError("The provider said: sk-secret.")


class Site:
    """An ingress and an agent that trace into the same store, each with what it has to say when it is asked to."""

    def __init__(self, say: Say = says_hello, policy: TracePolicy = EVERYTHING, gateway: Gateway | None = None) -> None:
        self.rig = Rig()
        self.writers = [SpanWriter(self.rig.store.traces) for _ in range(2)]
        ingress, agent = (
            Tracer(source, [writer], policy) for source, writer in zip(("ingress", "agent"), self.writers, strict=True)
        )
        self.rig.tracer = ingress
        self.rig.__post_init__()
        self.writers[0]._store = self.writers[1]._store = self.rig.store.traces
        RealAgent(self.rig, say, OutputScreen(), tools=TOOLS, gateway=gateway, tracer=agent)

    async def ask(self, path: str = "/chat/stream", **headers: str) -> httpx.Response:
        async with self.rig.client({**AUTH, **headers}) as client:
            response = await client.post(path, json=QUESTION)
        await self.rig.runs.settled()
        for writer in self.writers:
            await writer.flush()
        return response

    async def trace(self, key: str | None = None) -> httpx.Response:
        """The trace of the last run."""
        async with self.rig.client(AUTH if key is None else {"authorization": f"Bearer {key}"}) as client:
            return await client.get(f"/v1/runs/{self.rig.all_runs[-1].id}/trace")

    async def root(self) -> dict[str, Any]:
        [root] = (await self.trace()).json()["spans"]
        return dict(root)

    @property
    def stored(self) -> list[str]:
        return [source for _, source, _ in self.rig.store.traces.rows]


def names(span: Mapping[str, Any]) -> list[str]:
    return [child["name"] for child in span["children"]]


def below(span: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [child for child in span["children"] if child["name"] == name]


def every(span: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield span
    for child in span["children"]:
        yield from every(child)


async def test_one_tree_from_the_client_to_provider_and_tools() -> None:
    """Each span is below whose work it is part of, and the root below the client's."""
    site = Site(looks_first)
    await site.ask(traceparent=ASKED)
    body = (await site.trace()).json()
    assert (body["trace_id"], body["sampled"], body["dropped_spans"]) == (TRACE, True, 0)
    [request] = body["spans"]
    assert (request["name"], request["kind"], request["source"]) == ("POST /chat/stream", "server", "ingress")
    assert request["parent_span_id"] == CALLER
    assert request["attributes"][genai.HTTP_STATUS] == 200
    assert names(request) == ["admission", "input guard", "store run", "first event", "invoke_agent react"]
    run = request["children"][-1]
    assert (run["source"], run["attempt"], run["error"]) == ("agent", 1, None)
    assert run["attributes"][genai.CONVERSATION_ID] == str(site.rig.all_runs[0].thread_id)
    assert run["attributes"][genai.RUN_STATUS] == "completed"
    assert names(run) == [
        "chat fake-1",
        "execute_tool good",
        "execute_tool bad",
        "execute_tool unknown",
        "chat fake-1",
        "record end",
    ]
    assert [child["error"] for child in run["children"]] == [None, None, "error", "refused", None, None]
    [first, _] = below(run, "chat fake-1")
    assert first["kind"] == "client"
    assert first["attributes"][genai.PROVIDER_NAME] == "fake"
    assert first["attributes"][genai.RESPONSE_MODEL] == "fake-1-today"
    for span in every(request):
        assert all(child["parent_span_id"] == span["span_id"] for child in span["children"])
        assert all(child["started_at"] >= span["started_at"] for child in span["children"])
        assert span["duration_s"] >= 0


async def test_retries_and_fail_over_stand_beside_each_other() -> None:
    """Each attempt is a span with its own end; a provider that is not asked is noted."""
    providers = [FakeProvider(fails, name="ill", model="a"), FakeProvider(says_hello, name="well", model="b")]
    routes = [Route.of(provider) for provider in providers]

    async def at_once(_: float) -> None: ...

    site = Site(gateway=Gateway(routes, retry=RetryPolicy(attempts_per_provider=2), sleep=at_once, random=lambda: 0.0))
    await site.ask()
    run = (await site.root())["children"][-1]
    calls = [(child["name"], child["error"]) for child in run["children"] if child["name"].startswith("chat")]
    assert calls == [("chat a", "model_server_error")] * 2 + [("chat b", None)]
    routes[0].breaker.configure(BreakerPolicy(mode=BreakerMode.FORCED_OPEN))
    await site.ask()
    run = (await site.root())["children"][-1]
    assert [child["name"] for child in run["children"] if child["name"].startswith("chat")] == ["chat b"]
    [skipped] = run["events"]
    assert (skipped["name"], skipped["attributes"][genai.PROVIDER_NAME]) == (genai.PROVIDER_SKIPPED, "ill")


async def test_a_provider_is_told_of_its_span() -> None:
    """Its `traceparent` is that of the attempt; whoever does not sample tells nobody."""
    told: list[str | None] = []

    async def listen(call: ModelCall, sink: TextSink) -> AIMessage:
        told.append(call.traceparent)
        return await says_hello(call, sink)

    site = Site(listen)
    await site.ask(traceparent=ASKED)
    [chat] = below((await site.root())["children"][-1], "chat fake-1")
    assert told == [f"00-{TRACE}-{chat['span_id']}-01"]
    unsampled = Site(listen, NOTHING_BUT)
    await unsampled.ask()
    assert told[1:] == [None]


async def test_a_run_that_failed_is_kept_whole() -> None:
    """By both of its processes, each for itself, though nobody sampled it; and no span says what an error said."""
    site = Site(fails, NOTHING_BUT)
    response = await site.ask("/v1/chat/completions", traceparent=ASKED[:-2] + "00")
    assert response.status_code == 502
    root = await site.root()
    assert sorted(site.stored) == ["agent", "ingress"]
    assert (root["attributes"][genai.HTTP_STATUS], root["parent_span_id"]) == (502, CALLER)
    assert root["children"][-1]["error"] == "model_server_error"
    assert "sk-secret" not in (await site.trace()).text


@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError(), 500), (asyncio.CancelledError(), None), (ClientLeft(), None)]
)
def test_a_bug_is_kept_and_a_client_that_leaves_is_not(error: BaseException, status: int | None) -> None:
    """A bug is answered further out, with a 500."""
    kept = Kept()
    requests = TracedRequests(a_tracer("ingress", kept, policy=NOTHING_BUT), "/chat/stream")
    with pytest.raises(type(error)), requests.request({"headers": []}):
        raise error
    assert [trace.spans[0].attributes[genai.HTTP_STATUS] for trace in kept.traces] == (
        [] if status is None else [status]
    )


async def test_what_was_refused_before_its_agent() -> None:
    """The input guard's verdict is the end of its span, and of the run."""
    site = Site(policy=NOTHING_BUT)
    async with site.rig.client() as client:
        await client.post("/chat/stream", json={"messages": [{"role": "user", "content": "forbidden"}]})
    await site.rig.runs.settled()
    await site.writers[0].flush()
    root = await site.root()
    assert (root["error"], root["attributes"][genai.HTTP_STATUS]) == ("content_blocked", 400)
    assert [(child["name"], child["error"]) for child in root["children"]] == [
        ("admission", None),
        ("input guard", "content_blocked"),
    ]


async def test_what_nobody_kept_is_told_from_the_record() -> None:
    """Coarsely: the run, how long it took, and its tools; no span was stored."""
    site = Site(looks_first, NOTHING_BUT)
    await site.ask()
    body = (await site.trace()).json()
    assert site.stored == []
    assert (body["sampled"], len(body["trace_id"])) == (False, 32)
    [run] = body["spans"]
    assert (run["name"], run["source"], run["attributes"][genai.RUN_STATUS]) == (
        "invoke_agent react",
        "record",
        "completed",
    )
    assert {(child["name"], child["error"]) for child in run["children"]} == {
        ("execute_tool good", None),
        ("execute_tool bad", "error"),
        ("execute_tool invented", "error"),
    }
    assert run["duration_s"] > 0


async def test_off_is_off() -> None:
    """With a rate of 0 nothing is recorded, stored or handed on, even for a client that asks for it."""
    site = Site(looks_first, TracePolicy(sample_rate=0.0))
    await site.ask(traceparent=ASKED)
    assert (site.stored, site.rig.all_runs[0].traceparent) == ([], None)
    body = (await site.trace()).json()
    assert (body["trace_id"], body["sampled"]) == (None, False)


async def test_scores_are_on_the_run() -> None:
    """As the events that the conventions have for them, whether spans were kept or not."""
    for policy in (EVERYTHING, NOTHING_BUT):
        site = Site(policy=policy)
        await site.ask()
        run_id = site.rig.all_runs[0].id
        for criterion, value in (("helpfulness", 8.0), ("tone", None)):
            site.rig.scores.scores.append(
                Score(
                    run_id=run_id,
                    tenant_id="acme",
                    criterion=criterion,
                    value=value,
                    reason="short",
                    judge_model="j",
                    rubric_version="1",
                    graph="react",
                )
            )
        [run] = [span for span in every(await site.root()) if span["name"] == "invoke_agent react"]
        assert [event["name"] for event in run["events"]] == [genai.EVALUATION_RESULT] * 2
        told = [event["attributes"] for event in run["events"]]
        assert [attributes[genai.EVALUATION_NAME] for attributes in told] == ["helpfulness", "tone"]
        assert [attributes.get(genai.EVALUATION_SCORE_VALUE) for attributes in told] == [8.0, None]


async def test_it_is_the_owner_s() -> None:
    """A colleague and another tenant are told what they are told of a run that is not there."""
    site = Site()
    await site.ask()
    for key in (COLLEAGUES_KEY, OTHER_KEY):
        refused = await site.trace(key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")


async def test_a_background_run_goes_on_in_the_trace_of_its_request() -> None:
    """Minutes may lie between them."""
    site = Site()
    await site.ask("/runs", traceparent=ASKED)
    root = await site.root()
    assert names(root) == ["admission", "input guard", "store run"]
    [run] = site.rig.all_runs
    begun = TraceContext.parse(run.traceparent)
    assert begun is not None
    assert (begun.trace_id, begun.span_id, UUID(str(run.id))) == (TRACE, root["span_id"], run.id)


async def test_a_client_that_leaves_is_in_the_trace() -> None:
    """Its request ends as cancelled, and says that the client has left."""
    speaking = asyncio.Event()

    async def never_ends(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.text("Hello.")
        await sink.drain()
        speaking.set()
        await asyncio.Event().wait()
        raise AssertionError

    site = Site(never_ends)
    asking = asyncio.create_task(site.ask())
    await speaking.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await site.rig.runs.settled()
    await site.writers[0].flush()
    root = await site.root()
    assert root["error"] == "cancelled"
    assert [event["name"] for event in root["events"]] == [genai.CLIENT_LEFT]
