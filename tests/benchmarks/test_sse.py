"""Reading stamps out of server-sent events, whatever the server made of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import stamps
from benchmarks.sse import StampReader

LETTERS = [stamps.encode(moment) for moment in range(5)]
TEXT = "The^{}~{} sun~{} set~{}".format(*(letters.decode() for letters in LETTERS[:4]))
OURS = (
    f'id: 1-1\nevent: run_started\ndata: {{"run_id": "r"}}\n\n'
    f'id: 1-2\nevent: text_delta\ndata: {{"text": "{TEXT[:13]}"}}\n\n'
    f'id: 1-3\nevent: text_delta\ndata: {{"text": "{TEXT[13:]}"}}\n\n'
    f'id: 1-4\nevent: run_completed\ndata: {{"text": "{TEXT}"}}\n\n'
    "data: [DONE]\n\n"
).encode()
OPENAIS = (
    'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\r\n\r\n'
    f'data: {{"choices":[{{"index":0,"delta":{{"content":"{TEXT}"}}}}]}}\r\n\r\n'
    'data: {"choices":[],"usage":{}}\r\n\r\ndata: [DONE]\r\n\r\n'
).encode()


@given(body=st.sampled_from([OURS, OPENAIS]), cuts=st.lists(st.integers(min_value=0, max_value=400)))
def test_every_stamp_is_found_once_however_the_bytes_are_cut(body: bytes, cuts: list[int]) -> None:
    """Both formats give the same stamps, split over reads and over deltas, and a repeated text counts once."""
    reader, found = StampReader(), []
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, end in itertools.pairwise(edges):
        found += reader.feed(body[start:end])
    assert found == LETTERS[1:4]
    assert (reader.arrived, reader.first_sent, reader.tokens) == (LETTERS[0], LETTERS[1], 3)
    assert reader.done
    assert reader.error is None


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"event: run_failed\ndata: {}\n\n", "event:run_failed"),
        (b'event: error\ndata: {"type": "error"}\n\n', "event:error"),
        (b'data: {"error": {"message": "x"}}\n\n', "in_stream"),
        (b'data: {"id": \n\n', "malformed"),
        (b"event: error\n\ndata: 3\n\n", None),
        (b": ping\n\n", None),
    ],
)
def test_errors_in_the_stream_have_a_kind(body: bytes, error: str | None) -> None:
    """An error event, an error object and a broken chunk are told apart; a comment and an event without data are none."""
    reader = StampReader()
    assert reader.feed(body) == []
    assert reader.error == error
