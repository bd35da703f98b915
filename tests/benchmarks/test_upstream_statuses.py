"""The simulated upstream: how it refuses."""

from email.utils import parsedate_to_datetime

import orjson
import pytest

from benchmarks.upstream import FAULTS, Directive, Upstream
from benchmarks.upstream.faults.status import openai_duration
from tests.benchmarks.conftest import Heard, RawClient, chat

OPENAI = {
    "status_400": (400, "invalid_request_error", None),
    "context_length": (400, "invalid_request_error", "context_length_exceeded"),
    "status_401": (401, "invalid_request_error", "invalid_api_key"),
    "status_403": (403, "request_forbidden", "unsupported_country"),
    "status_404": (404, "invalid_request_error", "model_not_found"),
    "status_408": (408, "timeout", None),
    "status_429": (429, "requests", "rate_limit_exceeded"),
    "status_429_date": (429, "requests", "rate_limit_exceeded"),
    "status_429_ms": (429, "requests", "rate_limit_exceeded"),
    "status_429_reset": (429, "requests", "rate_limit_exceeded"),
    "status_429_bare": (429, "requests", "rate_limit_exceeded"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "status_500": (500, "server_error", None),
    "status_503": (503, "server_error", None),
    "status_503_wait": (503, "server_error", None),
    "status_529": (529, "overloaded_error", None),
}
OTHERS = {"status_413": 413, "status_422": 422, "status_502": 502, "status_504": 504}
REDIRECTS = {"status_301": 301, "status_307": 307}


def ask(fault: str, **more: object) -> dict[str, object]:
    return chat(Directive.from_json({"fault": fault, **more}).in_message())


def header(heard: Heard, name: str) -> str | None:
    """The first header of that name."""
    lines = heard.raw.split(b"\r\n\r\n", 1)[0].decode().split("\r\n")[1:]
    return next((line.split(": ", 1)[1] for line in lines if line.lower().startswith(f"{name}:")), None)


def test_every_refusal_is_tested_here() -> None:
    """A status that is listed later belongs into one of the tables above."""
    assert {name for name in FAULTS if name.startswith("status_")} <= OPENAI.keys() | OTHERS.keys() | REDIRECTS.keys()


@pytest.mark.parametrize("fault", sorted(OPENAI))
async def test_refusals_carry_openais_error_body(raw: RawClient, fault: str) -> None:
    """Each status comes with the JSON that the SDK turns into its exception, with a type and code of its own."""
    heard = await raw.ask(ask(fault))
    status, kind, code = OPENAI[fault]
    error = orjson.loads(heard.body)["error"]
    assert (heard.status, error["type"], error["code"]) == (status, kind, code)
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("fault", sorted(OTHERS))
async def test_gateways_and_frameworks_have_bodies_of_their_own(raw: RawClient, fault: str) -> None:
    """A proxy's page of HTML and a validator's `detail` hold no error object."""
    heard = await raw.ask(ask(fault))
    assert heard.status == OTHERS[fault]
    if fault == "status_422":
        assert orjson.loads(heard.body)["detail"][0]["msg"] == "Field required"
    else:
        assert header(heard, "content-type") == "text/html"
        assert heard.body.startswith(b"<html>")


@pytest.mark.parametrize("fault", sorted(REDIRECTS))
async def test_a_redirect_leads_where_it_is_told(raw: RawClient, fault: str) -> None:
    """To a host that there is not by default, and to another upstream when a test wants to see who follows."""
    async with Upstream() as elsewhere:
        there = f"{elsewhere.url}/chat/completions"
        heard = await raw.ask(ask(fault, location=there))
        assert (heard.status, header(heard, "location"), heard.body) == (REDIRECTS[fault], there, b"")
        assert elsewhere.seen.accepted == 0
    assert header(await raw.ask(ask(fault)), "location") == "http://elsewhere.invalid/v1/chat/completions"


@pytest.mark.parametrize(
    ("fault", "name", "value"),
    [
        ("status_429", "retry-after", "7"),
        ("status_429_ms", "retry-after-ms", "7000"),
        ("status_429_reset", "x-ratelimit-reset-requests", "7s"),
        ("status_503_wait", "retry-after", "7"),
    ],
)
async def test_throttling_says_when_to_come_back(raw: RawClient, fault: str, name: str, value: str) -> None:
    """The asked seconds stand in one header, in its own unit."""
    heard = await raw.ask(ask(fault, retry_after_s=7))
    assert header(heard, name) == value
    waits = {"retry-after", "retry-after-ms", "x-ratelimit-reset-requests"}
    assert {other for other in waits if header(heard, other)} == {name}


async def test_a_date_is_told_with_the_one_it_counts_from(raw: RawClient) -> None:
    """Retry-After as an HTTP date is the reply's own date and the seconds, rounded up to whole ones."""
    for wait_s, told_s in ((7, 7), (0.2, 1)):
        heard = await raw.ask(ask("status_429_date", retry_after_s=wait_s))
        said = [parsedate_to_datetime(header(heard, name) or "") for name in ("date", "retry-after")]
        assert (said[1] - said[0]).total_seconds() == told_s
        assert (header(heard, "retry-after") or "").endswith(" GMT")


async def test_only_the_limit_that_is_used_up_counts(raw: RawClient) -> None:
    """Among OpenAI's headers the requests are at zero, the tokens are not."""
    heard = await raw.ask(ask("status_429_reset", retry_after_s=360))
    assert header(heard, "x-ratelimit-remaining-requests") == "0"
    assert header(heard, "x-ratelimit-reset-requests") == "6m0s"
    assert int(header(heard, "x-ratelimit-remaining-tokens") or 0) > 0


@pytest.mark.parametrize("fault", ["status_429_bare", "quota", "status_503"])
async def test_some_do_not_say_when(raw: RawClient, fault: str) -> None:
    """No header tells how long to stay away."""
    head = (await raw.ask(ask(fault))).head
    assert "retry" not in head
    assert "ratelimit" not in head


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0s"),
        (0.02, "20ms"),
        (1, "1s"),
        (8.64, "8.64s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3661.5, "1h1m1.5s"),
        (7200, "2h0m0s"),
    ],
)
def test_durations_have_openais_form(seconds: float, said: str) -> None:
    """As Go prints them, without the units that lead with nothing."""
    assert openai_duration(seconds) == said
