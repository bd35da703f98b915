"""A deployed Mainstay as a target, played by a server that sends its bytes."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from evaluation.offline.http_target import TRIES, HttpTarget
from evaluation.offline.target import TargetUnusable
from tests.evaluation.offline.scripted import a_case

RUN = "019c9a2e-7d2f-7c04-8a53-0d4be0a4f7aa"
TOOL = {"call_id": "1", "name": "calculator", "ok": True, "result": "6 * 7 = 42", "duration_s": 0.1, "source": None}
COMPLETED = ("run_completed", {"finish_reason": "stop", "usage": {"output_tokens": 9}, "duration_s": 1.5})
Play = Callable[..., Awaitable[HttpTarget]]


class Server:
    """Answers with the statuses and streams that it is given, the last one for ever."""

    def __init__(self, *answers: Any, headers: dict[str, str] | None = None) -> None:
        self.answers = list(answers)
        self.headers = headers or {}
        self.asked: list[tuple[dict[str, Any], str]] = []

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((await request.json(), request.headers.get("authorization", "")))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, tuple):
            status, code = answer
            return web.json_response({"error": {"code": code}}, status=status, headers=self.headers)
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "x-run-id": RUN})
        await response.prepare(request)
        for at, (event, data) in enumerate(answer):
            await response.write(f"id: 1-{at}\nevent: {event}\ndata: {json.dumps(data)}\n\n: keep-alive\n\n".encode())
        return response


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    opened: list[Any] = []

    async def start(server: Server, slept: list[float] | None = None, **options: Any) -> HttpTarget:
        app = web.Application()
        app.router.add_post("/chat/stream", server.chat)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]

        async def sleep(seconds: float) -> None:
            (slept if slept is not None else []).append(seconds)

        target = HttpTarget(f"http://127.0.0.1:{port}/", sleep=sleep, **options)
        opened.append((target, runner))
        return target

    yield start
    for target, runner in opened:
        await target.aclose()
        await runner.cleanup()


async def test_a_turn_is_read_with_its_tools_and_its_times(play: Play) -> None:
    """What a specialist says is not the answer; what was taken back is not in it; a long result is read whole."""
    long = {**TOOL, "result": "x" * 300_000, "ok": False}
    server = Server(
        [
            ("run_started", {"run_id": RUN}),
            ("tool_finished", TOOL),
            ("tool_finished", long),
            ("text_delta", {"text": "thinking", "source": "math"}),
            ("text_delta", {"text": "It is secret and "}),
            ("retract", {"from_char": 6, "to_char": 13, "rule": "r"}),
            ("text_delta", {"text": "surely 42."}),
            ("retract", {"from_char": 10, "to_char": 17, "rule": "r"}),
            COMPLETED,
        ]
    )
    target = await play(server, key="sk-1", graph="react")
    answered = await target.answer(a_case("one"))
    sample = answered.sample
    assert answered.failure == ""
    assert sample.answer == "It is and 42."
    assert [(use.name, use.succeeded) for use in sample.tool_uses] == [("calculator", True), ("calculator", False)]
    assert [len(text) for text in sample.tool_results] == [10, 300_000]
    assert (str(sample.run_id), sample.duration_s, sample.output_tokens) == (RUN, 1.5, 9)
    assert sample.first_text_s is not None
    [(body, key)] = server.asked
    assert key == "Bearer sk-1"
    assert body["model"] == "react"
    assert body["messages"] == [{"role": "user", "content": "one?"}]
    assert "sk-1" not in target.name


@pytest.mark.parametrize(
    ("events", "failure"),
    [
        ([("text_delta", {"text": "half"})], "cut_off"),
        ([("run_failed", {"error": {"code": "model_timeout"}})], "model_timeout"),
        ([("run_cancelled", {"reason": "requested"})], "run_cancelled"),
        ([("run_interrupted", {"interrupts": []})], "run_interrupted"),
        ([("restarted", {"attempt": 2, "from": None}), COMPLETED], "restarted"),
    ],
)
async def test_what_did_not_come_to_an_answer_is_a_failure(play: Play, events: list[Any], failure: str) -> None:
    assert (await (await play(Server(events))).answer(a_case())).failure == failure


async def test_what_is_refused_for_now_is_asked_again_when_it_says(play: Play) -> None:
    """In seconds or as a date, but not in an hour; else at random within a bound that doubles. And not for ever: the last
    refusal is the case's failure.
    """
    slept: list[float] = []
    today = {"date": "Sun, 29 Nov 2026 12:00:00 GMT"}
    for named, waited_s in (("7", 7.0), ("Sun, 29 Nov 2026 12:00:09 GMT", 9.0), ("3600", 120.0)):
        refusals = (429, "rate_limit_exceeded"), (503, "overloaded")
        server = Server(*refusals, [COMPLETED], headers={**today, "retry-after": named})
        assert (await (await play(server, slept)).answer(a_case())).failure == ""
        assert slept == [waited_s, waited_s]
        slept.clear()
    target = await play(Server((503, "overloaded")), slept, random=lambda: 0.5)
    assert (await target.answer(a_case())).failure == "overloaded"
    assert slept == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert len(slept) == TRIES - 1


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_api_key"), (404, "model_not_found")])
async def test_a_key_or_a_graph_that_is_wrong_is_no_case_s_failure(play: Play, status: int, code: str) -> None:
    with pytest.raises(TargetUnusable, match=code):
        await (await play(Server((status, code)))).answer(a_case())


async def test_a_refusal_of_one_case_is_its_failure(play: Play) -> None:
    assert (await (await play(Server((400, "content_blocked")))).answer(a_case())).failure == "content_blocked"


async def test_where_nobody_listens_nothing_can_be_asked() -> None:
    target = HttpTarget("http://127.0.0.1:9")
    with pytest.raises(TargetUnusable, match="cannot be reached"):
        await target.answer(a_case())
    await target.aclose()
