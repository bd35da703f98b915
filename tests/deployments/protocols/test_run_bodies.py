"""What Mainstay's own bodies ask for, and the documents that answer those that are not streamed."""

from typing import Any
from uuid import UUID

import orjson
import pytest

from deployments.protocols import PROTOCOLS
from deployments.protocols.types import Answer, Queued, Rules, Streamed, Turn, Whole
from services.errors import InvalidRequest
from services.events import RunCompleted, RunInterrupted
from services.types import Multitask, OnDisconnect, Submission, Usage
from tests.deployments.protocols.samples import ASK, QUESTION, RULES, RUN, RUN_ID, THREAD_ID, USAGE

OWN = pytest.mark.parametrize("protocol", ["chat_stream", "queued_run", "waited_run"])
IN_THREAD = ASK | {"thread_id": str(THREAD_ID)}


def parse(protocol: str, body: dict[str, Any], rules: Rules = RULES) -> Turn:
    return PROTOCOLS[protocol].parse(body, {}, rules)


def refused(protocol: str, body: dict[str, Any]) -> str | None:
    with pytest.raises(InvalidRequest) as caught:
        parse(protocol, body)
    return caught.value.param


@pytest.mark.parametrize(
    ("protocol", "kind", "policy", "background", "priority"),
    [
        ("chat_stream", Streamed, OnDisconnect.CANCEL, False, 0),
        ("waited_run", Whole, OnDisconnect.CANCEL, False, 0),
        ("queued_run", Queued, OnDisconnect.CONTINUE, True, 5),
        ("chat_completions", Whole, OnDisconnect.CANCEL, False, 0),
    ],
)
def test_each_route_has_its_way_to_run(
    protocol: str, kind: type, policy: OnDisconnect, background: bool, priority: int
) -> None:
    """Streamed, waited for, or in the background, where nobody can hang up; as a rule a busy thread is a refusal."""
    turn = parse(protocol, ASK)
    request = turn.request
    assert isinstance(turn.reply, kind)
    assert (request.on_disconnect, request.background, request.priority) == (policy, background, priority)
    assert request.submission == Submission(multitask=Multitask.REJECT)
    assert request.decisions is None


@pytest.mark.parametrize("strategy", Multitask)
@OWN
def test_every_strategy_can_be_asked_for(protocol: str, strategy: Multitask) -> None:
    """By its own name."""
    body = IN_THREAD | {"multitask_strategy": strategy.value}
    assert parse(protocol, body).request.submission.multitask is strategy


@pytest.mark.parametrize("priority", [0, 9])
def test_the_bounds_of_a_priority_can_be_asked_for(priority: int) -> None:
    """The lowest goes first; what is beyond is refused."""
    assert parse("queued_run", ASK | {"priority": priority}).request.priority == priority
    assert refused("queued_run", ASK | {"priority": 10 if priority else -1}) == "priority"


@pytest.mark.parametrize("protocol", ["chat_stream", "waited_run"])
def test_a_run_that_is_read_may_continue_without_its_reader(protocol: str) -> None:
    """On request."""
    request = parse(protocol, ASK | {"on_disconnect": "continue"}).request
    assert request.on_disconnect is OnDisconnect.CONTINUE


@OWN
def test_a_webhook_passes_the_check_of_addresses(protocol: str) -> None:
    """It is asked of every body, and what it refuses is refused."""
    asked: list[str | None] = []

    def check(url: str | None) -> None:
        asked.append(url)
        if url == "https://169.254.169.254/":
            raise InvalidRequest("no", param="webhook_url")

    rules = Rules(default_graph="react", max_messages=9, max_message_chars=99, max_run_s=60.0, check_webhook=check)
    assert parse(protocol, ASK, rules).request.submission.webhook_url is None
    taken = parse(protocol, ASK | {"webhook_url": "https://hooks.example/"}, rules)
    assert taken.request.submission.webhook_url == "https://hooks.example/"
    with pytest.raises(InvalidRequest):
        parse(protocol, ASK | {"webhook_url": "https://169.254.169.254/"}, rules)
    assert asked == [None, "https://hooks.example/", "https://169.254.169.254/"]


@OWN
def test_decisions_take_the_place_of_messages(protocol: str) -> None:
    """In their order and as they were sent, without what was left out; an empty list of messages is none."""
    decisions = [
        {"type": "approve"},
        {"type": "edit", "edited_action": {"name": "f", "args": {"x": [1, None]}}},
        {"type": "reject", "message": "no"},
        {"type": "respond", "message": "42"},
    ]
    without: list[dict[str, Any]] = [{}, {"messages": []}, {"messages": None}]
    for messages in without:
        request = parse(protocol, {"thread_id": str(THREAD_ID), "decisions": decisions, **messages}).request
        assert (request.messages, request.thread_id) == ((), THREAD_ID)
        assert request.decisions is not None
        assert list(request.decisions) == decisions


@OWN
def test_decisions_need_their_thread_and_no_messages(protocol: str) -> None:
    """What is decided goes on with a run that asked; with messages it is not clear what is wanted."""
    approved = {"decisions": [{"type": "approve"}]}
    assert refused(protocol, IN_THREAD | approved) == "decisions"
    assert refused(protocol, approved) == "thread_id"
    assert refused(protocol, {"thread_id": str(THREAD_ID)}) == "messages"


def test_a_queued_run_to_the_byte() -> None:
    """Where it can be found, and how it stands."""
    reply = parse("queued_run", ASK).reply
    assert isinstance(reply, Queued)
    assert reply.render(RUN) == (
        b'{"run_id":"00000000-0000-0000-0000-000000000001","thread_id":"00000000-0000-0000-0000-000000000002",'
        b'"model":"react","status":"running"}'
    )


def test_a_waited_run_to_the_byte() -> None:
    """Completed or interrupted, with the same fields."""
    reply = parse("waited_run", ASK).reply
    assert isinstance(reply, Whole)
    completed = RunCompleted(finish_reason="length", usage=USAGE, duration_s=1.5)
    assert reply.render(RUN, 1, Answer(text="Four", reasoning="hm", ending=completed)) == (
        b'{"run_id":"00000000-0000-0000-0000-000000000001","thread_id":"00000000-0000-0000-0000-000000000002",'
        b'"model":"react","text":"Four","status":"completed","finish_reason":"length","interrupts":[],'
        b'"usage":{"input_tokens":7,"output_tokens":3,"cached_tokens":2,"reasoning_tokens":1,"model_calls":1,'
        b'"estimated":false},"duration_s":1.5}'
    )
    interrupted = RunInterrupted(interrupts=(QUESTION,), usage=Usage(), duration_s=0.5)
    document = orjson.loads(reply.render(RUN, 1, Answer(text="", reasoning="", ending=interrupted)))
    assert (document["status"], document["finish_reason"]) == ("interrupted", None)
    assert document["interrupts"] == [{"id": "i2", "value": QUESTION.value}]
    assert UUID(document["run_id"]) == RUN_ID
