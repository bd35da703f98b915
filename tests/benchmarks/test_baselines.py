"""The two baselines serve the same answer as the upstream gives."""

from aiohttp.test_utils import TestClient, TestServer
from httpx import ASGITransport, AsyncClient

from benchmarks.baselines.passthrough import build
from benchmarks.baselines.usual import build_app
from benchmarks.sse import StampReader
from benchmarks.targets import chat_body
from benchmarks.upstream import Directive, Upstream

QUESTION = chat_body(Directive(tokens=6, stamp=True).in_message())


def assert_six_tokens(body: bytes) -> None:
    reader = StampReader()
    assert len(reader.feed(body)) == 6
    assert reader.done
    assert reader.error is None
    assert reader.arrived is not None


async def test_the_pass_through_changes_nothing(upstream: Upstream) -> None:
    """Every byte of the upstream's body arrives, over one pooled connection."""
    async with TestClient(TestServer(await build(upstream.url))) as client:
        for _ in range(2):
            reply = await client.post("/chat/completions", json=QUESTION)
            assert reply.headers["content-type"].startswith("text/event-stream")
            assert_six_tokens(await reply.read())
    assert len({seen.connection for seen in upstream.seen.requests}) == 1
    assert upstream.seen.last.body == QUESTION


async def test_the_usual_server_streams_the_graph(upstream: Upstream) -> None:
    """All tokens come through FastAPI, LangGraph and ChatOpenAI, over one pooled connection."""
    async with AsyncClient(transport=ASGITransport(build_app(upstream.url)), base_url="http://usual") as client:
        for _ in range(2):
            reply = await client.post("/chat/stream", json=QUESTION)
            assert reply.status_code == 200
            assert_six_tokens(reply.content)
    assert len({seen.connection for seen in upstream.seen.requests}) == 1
    assert upstream.seen.last.body["messages"] == QUESTION["messages"]
