"""docs/http.md says what the code does: its tables are compared with the code, and its examples are run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import orjson
import pytest

from deployments.http.failures import failure_response
from deployments.protocols import PROTOCOLS
from deployments.protocols.chat_stream import EVENTS
from deployments.protocols.next_step import NextStep, next_step
from deployments.protocols.openai_errors import cancelled, error_type
from deployments.protocols.unsupported import IGNORED, NEUTRAL
from services.errors import Failure, MainstayError
from services.events import RunEvent
from services.types import CancelAction, Multitask
from tests.deployments.http.fakes import Rig

DOCUMENT = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")


def _tree(root: type[MainstayError]) -> Iterator[type[MainstayError]]:
    for child in root.__subclasses__():
        if child.__module__ == "services.errors":
            yield child
            yield from _tree(child)


def _failures() -> list[Failure]:
    return [*(error("x").to_failure() for error in _tree(MainstayError)), cancelled("x")]


def error_table() -> str:
    """Return the table of codes as docs/http.md must hold it."""
    lines = ["| status | code | type | retry | `next` | after text |", "|---|---|---|---|---|---|"]
    for failure in sorted(_failures(), key=lambda failure: (failure.status, failure.code)):
        retry = "yes" if failure.retryable else "no"
        before, after = next_step(failure, partial=False), next_step(failure, partial=True)
        code = f"| {failure.status} | `{failure.code}` | `{error_type(failure.status)}`"
        lines.append(f"{code} | {retry} | `{before}` | `{after}` |")
    return "\n".join(lines)


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    """Each code with its status stands in the document; on a difference, paste what this assertion shows."""
    assert error_table() in DOCUMENT, error_table()


def test_codes_are_one_to_one_with_statuses() -> None:
    """A program may tell an error by its code alone."""
    by_code: dict[str, set[tuple[int, bool]]] = {}
    for failure in _failures():
        by_code.setdefault(failure.code, set()).add((failure.status, failure.retryable))
    assert {code for code, seen in by_code.items() if len(seen) > 1} == set()


@pytest.mark.parametrize("failure", _failures(), ids=lambda failure: failure.code)
def test_every_failure_tells_the_sdk_whether_to_retry(failure: Failure) -> None:
    """The header that the openai SDKs obey says what the error says."""
    response = failure_response(failure)
    assert response.status_code == failure.status
    assert response.headers["x-should-retry"] == str(failure.retryable).lower()
    assert orjson.loads(response.body)["error"]["code"] == failure.code


def test_every_next_step_is_documented() -> None:
    """Each word that a client may be told has its line."""
    for word in get_args(NextStep):
        assert f"| `{word}` | " in DOCUMENT


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_is_documented(event: type[RunEvent]) -> None:
    """Each event of /chat/stream has its line in the table of events."""
    assert f"| `{EVENTS[event][0].decode()}` |" in DOCUMENT


@pytest.mark.parametrize("protocol", [name for name, protocol in PROTOCOLS.items() if protocol.path[:4] != "/v1/"])
def test_every_field_is_documented(protocol: str) -> None:
    """Each field of a body is named, and so is what a strategy and a cancellation may be."""
    for name in (*PROTOCOLS[protocol].body.model_fields, *CancelAction):
        assert f"`{name}`" in DOCUMENT or f"`action={name}`" in DOCUMENT
    for strategy in Multitask:
        assert f"| `{strategy}` | " in DOCUMENT


def test_the_tables_of_openai_parameters_are_the_codes() -> None:
    """What is ignored, and what is refused, is listed by name."""
    ignored = re.search(r"Accepted and ignored: (.+?)\.\n", DOCUMENT, re.DOTALL)
    refused = re.search(r"Refused unless neutral: (.+?)\.\n", DOCUMENT, re.DOTALL)
    assert ignored is not None
    assert refused is not None
    assert set(re.findall(r"`(\w+)`", ignored[1])) == IGNORED
    assert set(re.findall(r"`(\w+)`", refused[1])) == set(NEUTRAL)


async def test_the_examples_work() -> None:
    """Each JSON body that the document shows is accepted by the route that it is shown for."""
    examples = re.findall(r"```json (/\S+)\n(.+?)```", DOCUMENT, re.DOTALL)
    assert {path for path, _ in examples} == {protocol.path for protocol in PROTOCOLS.values()}
    rig = Rig(max_run_s=600.0)
    async with rig.client() as client:
        for path, body in examples:
            response = await client.post(path, content=body, headers={"content-type": "application/json"})
            assert response.status_code in (200, 202), body


async def test_every_route_is_documented() -> None:
    """The table of routes has each path of the OpenAPI document, and the probes."""
    for path, methods in Rig().app.openapi()["paths"].items():
        for method in methods:
            assert f"| `{method.upper()} {path}` |" in DOCUMENT, (method, path)
    assert "| `GET /healthz` |" in DOCUMENT
    assert "| `GET /readyz` |" in DOCUMENT
