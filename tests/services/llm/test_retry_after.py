"""How long a provider asks us to wait, in each form that providers use."""

import pytest

from services.llm.retry_after import MAX_RETRY_AFTER_S, retry_after_s

NOON = "Sun, 22 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1e9"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "inf"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 99:28:00 GMT"}, None),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT", "date": NOON}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT", "date": NOON}, 0.0),
        ({"x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-requests": "20ms", "x-ratelimit-reset-tokens": "8.64s"}, 8.64),
        ({"x-ratelimit-reset-requests": "1h2m3s", "x-ratelimit-remaining-requests": "4"}, None),
        ({"x-ratelimit-reset-requests": "later"}, None),
    ],
    ids=str,
)
def test_every_form(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds, a date read against the answer's own clock, and OpenAI's durations."""
    assert retry_after_s(headers) == seconds


def test_a_date_without_the_answers_clock_is_read_against_ours() -> None:
    """A date far ahead is a long wait, one in the past none."""
    assert retry_after_s({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}) == MAX_RETRY_AFTER_S
    assert retry_after_s({"retry-after": "Sat, 01 Jan 2000 00:00:00 GMT"}) == 0.0
