"""What the tests of bad input share: good bodies to spoil, and the form of every refusal."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.deployments.http.fakes import Rig

CHAT, COMPLETIONS, QUEUED, WAITED = "/chat/stream", "/v1/chat/completions", "/runs", "/runs/wait"
BOTH = pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
OWN = pytest.mark.parametrize("path", [CHAT, QUEUED, WAITED])
USER = {"role": "user", "content": "Say hello."}
GOOD: dict[str, Any] = {"model": "react", "messages": [USER]}
JSON = {"content-type": "application/json"}
LIMIT = 65_536


def check(response: httpx.Response, status: int, param: str | None, code: str) -> None:
    """Assert the envelope: the status, the field and the code that it names, a sentence, and the request's id."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-should-retry"] == "false"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "retryable", "retry_after_s", "next", "request_id"}
    assert (error["param"], error["code"]) == (param, code)
    assert error["message"].endswith(".")
    assert error["next"] == "change"
    assert error["request_id"] == response.headers["x-request-id"]


async def post(rig: Rig, path: str, content: bytes, headers: Mapping[str, str] = JSON) -> httpx.Response:
    async with rig.client() as client:
        return await client.post(path, content=content, headers=headers)
