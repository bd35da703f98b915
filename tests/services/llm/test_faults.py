"""Every way in which the simulated upstream can break, through the gateway: one code each, and never an answer."""

from collections.abc import AsyncIterator

import pytest
from langchain_core.messages import HumanMessage

from benchmarks.upstream import FAULTS, Directive, Upstream
from services.errors import ModelError
from services.llm.gateway import Gateway
from services.llm.openai import OpenAIProvider
from services.llm.patience import Timers
from services.llm.route import Route
from services.llm.types import ModelCall, ProviderSpec
from services.resilience.retry import RetryPolicy
from services.runs.deadline import Deadline
from services.types import ModelOptions
from tests.services.llm.fakes import Shown

HASTY = Timers(first_content_s=0.4, between_content_s=0.4, whole_answer_s=20.0)

CODES = {
    "status_400": "model_rejected_request",
    "status_413": "model_rejected_request",
    "status_422": "model_rejected_request",
    "context_length": "context_too_long",
    "status_301": "model_missing",
    "status_307": "model_missing",
    "status_404": "model_missing",
    "status_401": "model_auth_rejected",
    "status_403": "model_auth_rejected",
    "quota": "model_quota_exhausted",
    "status_429": "model_throttled",
    "status_429_bare": "model_throttled",
    "status_429_date": "model_throttled",
    "status_429_ms": "model_throttled",
    "status_429_reset": "model_throttled",
    "status_408": "model_server_error",
    "status_500": "model_server_error",
    "status_502": "model_server_error",
    "status_503": "model_server_error",
    "status_503_wait": "model_server_error",
    "status_504": "model_server_error",
    "status_529": "model_server_error",
    "close_before_head": "model_unreachable",
    "reset_before_head": "model_unreachable",
    "hang": "model_timeout",
    "no_first_token": "model_timeout",
    "stall": "model_timeout",
    "pings": "model_timeout",
    "ping_drip": "model_timeout",
    "drip": "model_timeout",
    "empty_deltas": "model_timeout",
    "empty": "model_stream_broken",
    "html": "model_stream_broken",
    "other_form": "model_stream_broken",
    "error_200": "model_stream_broken",
    "cut": "model_stream_broken",
    "cut_unframed": "model_stream_broken",
    "cut_close": "model_stream_broken",
    "torn": "model_stream_broken",
    "reset": "model_stream_broken",
    "no_finish_reason": "model_stream_broken",
    "error_data": "model_stream_broken",
    "error_event": "model_stream_broken",
    "malformed": "model_stream_broken",
    "other_shape": "model_stream_broken",
    "not_utf8": "model_stream_broken",
    "long_line": "model_output_too_large",
    "flood": "model_output_too_large",
    "repetition": "model_output_loops",
}

ANSWERS = {"no_done": "stop", "length": "length", "content_filter": "content_filter"}
"""What looks odd and is an answer all the same, with its finish reason."""


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def route(upstream: Upstream) -> AsyncIterator[Route]:
    spec = ProviderSpec(name="main", model="simulated", base_url=upstream.url, api_key="sk-secret")
    provider = OpenAIProvider(spec)
    yield Route.of(provider, timers=HASTY, max_output_tokens=512)
    await provider.aclose()


def asking(fault: str) -> ModelCall:
    """The fault strikes after three deltas; the answer would have had eight."""
    said = Directive(fault=fault, tokens=8).in_message()
    return ModelCall(messages=[HumanMessage(said)], options=ModelOptions(max_output_tokens=512))


async def test_every_fault_is_in_the_table() -> None:
    """A fault that is added to the simulation fails here, until somebody says what it is for a client."""
    assert set(CODES) | set(ANSWERS) == set(FAULTS)


@pytest.mark.parametrize(("fault", "code"), CODES.items())
async def test_every_fault_has_one_code(route: Route, upstream: Upstream, fault: str, code: str) -> None:
    """No failure looks like an answer, none escapes as a foreign exception, and the connection is given up."""
    gateway = Gateway([route], retry=RetryPolicy(attempts_per_provider=1))
    with pytest.raises(ModelError) as caught:
        await gateway.bind(Shown(), Deadline.after(30.0)).generate(asking(fault))
    assert caught.value.code == code
    assert "sk-secret" not in str(caught.value)
    assert route.limit.in_use == 0
    await upstream.seen.until(lambda seen: seen.open == 0)


@pytest.mark.parametrize(("fault", "reason"), ANSWERS.items())
async def test_what_is_odd_may_be_an_answer(route: Route, fault: str, reason: str) -> None:
    """A stream without [DONE] whose reason came is whole; a cut answer says that it was cut."""
    answer = await Gateway([route]).bind(Shown(), Deadline.after(30.0)).generate(asking(fault))
    assert answer.response_metadata["finish_reason"] == reason
    assert answer.content
