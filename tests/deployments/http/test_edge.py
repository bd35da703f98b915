"""The middleware before Serve: which headers a client may not send, and how many."""

from typing import Any

import pytest

from deployments.edge import MAX_HEADER_BYTES, MAX_HEADERS, middlewares

Headers = list[tuple[bytes, bytes]]


async def _pass(headers: Headers, answered: Headers | None = None) -> tuple[Headers | None, list[Any]]:
    """Send a request through the edge; return the headers behind it (None if refused) and what was answered."""
    seen: list[Headers] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": answered or []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        raise AssertionError("the edge reads no body")

    async def send(message: Any) -> None:
        sent.append(message)

    wrapped: Any = app
    for entry in middlewares():
        wrapped = entry.cls(wrapped, *entry.args, **entry.kwargs)
    await wrapped({"type": "http", "method": "GET", "path": "/", "headers": headers}, receive, send)
    return (seen[0] if seen else None), sent


@pytest.mark.parametrize(
    "name",
    [
        b"x-request-timeout-seconds",
        b"X-Request-Timeout-Seconds",
        b"x-request-disconnect-disabled",
        b"x-serve-router-anything",
        b"serve_multiplexed_model_id",
        b"serve-multiplexed-model-id",
        b"x-session-id",
    ],
)
async def test_serves_own_headers_do_not_pass(name: bytes) -> None:
    """What would lift a limit, or choose a replica, is removed, however it is spelt; the rest stays in order."""
    kept = [(b"host", b"x"), (b"authorization", b"Bearer k"), (b"x-thread-id", b"new")]
    behind, _ = await _pass([*kept, (name, b"?1")])
    assert behind == kept


async def test_headers_are_limited_in_number_and_size() -> None:
    """At the limits a request passes; beyond either it is a 431 that nobody behind sees."""
    many: Headers = [(b"a", b"")] * MAX_HEADERS
    large: Headers = [(b"a", b"x" * (MAX_HEADER_BYTES - 1))]
    assert (await _pass(many))[0] == many
    assert (await _pass(large))[0] == large
    for headers in ([*many, (b"b", b"")], [*large, (b"b", b"")]):
        behind, sent = await _pass(headers)
        assert behind is None
        assert sent[0]["status"] == 431
        assert b'"code":"headers_too_large"' in sent[1]["body"]


@pytest.mark.parametrize(("given", "passes"), [([b"abc"], True), ([b"a b"], False), ([b"a", b"b"], False)])
async def test_only_a_sound_request_id_passes(given: list[bytes], passes: bool) -> None:
    """Serve takes what it finds for its own id, so only one well-formed id gets to it."""
    headers = [(b"x-request-id", value) for value in given]
    assert (await _pass(headers))[0] == (headers if passes else [])


async def test_an_answer_has_one_request_id() -> None:
    """Serve adds an id to answers that have one; the client sees the application's."""
    _, sent = await _pass([], [(b"x-request-id", b"ours"), (b"x-other", b"1"), (b"X-Request-ID", b"serves")])
    assert sent[0]["headers"] == [(b"x-other", b"1"), (b"x-request-id", b"ours")]
