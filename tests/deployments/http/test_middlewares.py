"""What every answer has in common: an id, headers for browsers, CORS by configuration, and 500s that tell nothing."""

import logging
from typing import Any
from uuid import UUID

import httpx
import pytest

from configs.http import HttpSettings
from services.errors import StoreUnavailable
from services.telemetry.log_context import log_context
from tests.deployments.http.fakes import AUTH, Rig

ORIGIN = "https://app.example"


@pytest.mark.parametrize("given", ["abc-123", "A.b_c:9", "x" * 128])
async def test_a_sound_request_id_is_the_clients(given: str) -> None:
    """What a client calls its request is what the answer calls it."""
    async with Rig().client() as client:
        response = await client.get("/v1/models", headers={"x-request-id": given})
    assert response.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", [b"", b"two words", b"x" * 129, b"a\x1b[31m", "é".encode(), b'{"a":1}'])
async def test_another_request_id_is_replaced(given: bytes) -> None:
    """What could forge a log line, or is endless, is not echoed: a UUID takes its place."""
    async with Rig().client() as client:
        response = await client.get("/v1/models", headers={b"x-request-id": given})
    assert UUID(response.headers["x-request-id"])


async def test_two_request_ids_are_none() -> None:
    """Which of them would count is nobody's guess."""
    async with Rig().client() as client:
        response = await client.get("/healthz", headers=[("x-request-id", "a"), ("x-request-id", "b")])
    assert UUID(response.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/nowhere", "/threads/x"])
async def test_browsers_are_told_to_trust_nothing(path: str) -> None:
    """Answers and errors alike carry the headers; JSON is not cached."""
    async with Rig().client() as client:
        headers = (await client.get(path)).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


async def _preflight(rig: Rig, origin: str) -> httpx.Response:
    asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    async with rig.client(headers={}) as client:
        return await client.options("/chat/stream", headers=asked)


async def test_cors_is_off_unless_configured() -> None:
    """Without origins a preflight is a request like any other: it needs a key, and nothing is allowed."""
    response = await _preflight(Rig(), ORIGIN)
    assert response.status_code == 401
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_configured_origins_may_ask() -> None:
    """A listed origin passes its preflight without a key, and may read our headers; another may not."""
    rig = Rig(settings=HttpSettings(cors_origins=(ORIGIN,)))
    allowed, refused = await _preflight(rig, ORIGIN), await _preflight(rig, "https://evil.example")
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "access-control-allow-origin" not in refused.headers
    async with rig.client(headers={"origin": ORIGIN}) as client:
        unauthenticated = await client.get("/threads")
    assert unauthenticated.headers["access-control-allow-origin"] == ORIGIN
    assert "x-run-id" in unauthenticated.headers["access-control-expose-headers"]


class Heard(logging.Handler):
    """Hears lines as a formatter does: with what they are about."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, log_context().request_id, (record.exc_info or [None])[0]))


async def test_a_bug_is_a_500_without_details() -> None:
    """The answer has the request id and nothing else; the log has that id and the traceback."""
    rig, heard = Rig(), Heard()
    logger = logging.getLogger("deployments.http.failures")
    logger.addHandler(heard)

    async def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("password=hunter2")

    rig.run_store.create = broken  # type: ignore[method-assign]
    async with rig.client() as client:
        for path, body in (("/chat/stream", {}), ("/v1/chat/completions", {"model": "react"})):
            question = body | {"messages": [{"role": "user", "content": "Hi"}]}
            response = await client.post(path, json=question, headers={"x-request-id": "find-me"})
            assert response.status_code == 500
            assert response.json()["error"]["code"] == "internal_error"
            assert "hunter2" not in response.text
            assert (response.headers["x-request-id"], response.headers["x-should-retry"]) == ("find-me", "false")
            assert response.headers["x-content-type-options"] == "nosniff"
    logger.removeHandler(heard)
    assert heard.lines == [(logging.ERROR, "find-me", ZeroDivisionError)] * 2


async def test_probes_need_no_key_and_tell_little() -> None:
    """Liveness depends on nothing; readiness names what is missing, not why."""
    rig = Rig(checks={"database": False, "agent": True})
    async with rig.client(headers={}) as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
        assert (await client.head("/healthz")).status_code == 200
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert ready.status_code == 503
    assert ready.json()["status"] == "unavailable"
    assert ready.json()["checks"] == {"database": "unavailable", "agent": "ok"}
    rig.checks = {"database": True}
    async with rig.client(headers={}) as client:
        assert (await client.get("/readyz")).json() == {
            "status": "ok",
            "checks": {"database": "ok"},
            "breakers": {"openai": {"closed": 2, "open": 1}},
        }


async def test_a_key_that_cannot_be_checked_is_a_503() -> None:
    """Without its store nobody is let in, and the client is told to come back."""
    rig = Rig()

    class Broken:
        async def authenticate(self, presented: str) -> None:
            raise StoreUnavailable("The database cannot be reached.", retry_after_s=2.0)

    access = next(entry for entry in rig.app.user_middleware if "authenticator" in entry.kwargs)
    access.kwargs["authenticator"] = Broken()
    async with rig.client() as client:
        response = await client.get("/threads")
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")


async def test_a_websocket_is_refused() -> None:
    """There is none, and the check of keys does not depend on that."""
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    headers = [(name.encode(), value.encode()) for name, value in AUTH.items()]
    await Rig().app({"type": "websocket", "path": "/chat/stream", "headers": headers}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
