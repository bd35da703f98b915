"""What a webhook says, how it is signed, and that docs/webhooks.md tells both right."""

import base64
import hashlib
import hmac
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.errors import ConfigurationError, Failure
from services.runs.webhook_message import MAX_INTERRUPTS_BYTES, WebhookSigner, message_body, message_id, signature
from services.types import Interruption, Message, Run, RunStatus, Usage

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLDER = "whsec_" + base64.b64encode(bytes(range(24))).decode()
DOCUMENT = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()

ENDED = Run(
    id=UUID("019c9a2e-7d30-7a51-9c1b-3f0f6f2b8d11"),
    thread_id=UUID("019c9a2e-7d2f-7c04-8a53-0d4be0a4f7aa"),
    tenant_id="acme",
    user_id="alice",
    graph="react",
    status=RunStatus.COMPLETED,
    messages=(Message(role="user", content="a secret question"),),
    metadata={"order": "A-17"},
    finished_at=datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC),
    finish_reason="stop",
    usage=Usage(input_tokens=812, output_tokens=96, model_calls=2, cost_micros=478),
)


def data_of(run: Run) -> Any:
    return json.loads(message_body(run))["data"]


def code(name: str) -> str:
    """The block of the document that begins with this file's name."""
    [block] = re.findall(rf"```python\n# {re.escape(name)}[^\n]*\n(.*?)```", DOCUMENT, re.DOTALL)
    return str(block)


def documented() -> Callable[..., bool]:
    """The function by which the document has a receiver verify what comes: it shares no line with ours."""
    names: dict[str, Any] = {}
    exec(code("verify.py"), names)
    verify: Callable[..., bool] = names["is_ours"]
    return verify


def test_the_body_is_the_documents() -> None:
    """The example of the document is what this run's end says, field for field."""
    [example] = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    assert json.loads(message_body(ENDED)) == json.loads(example)
    assert b"secret" not in message_body(ENDED)


def test_every_end_has_its_type() -> None:
    """Each terminal status is a type of its own, and the document has a row for each."""
    for status in (status for status in RunStatus if status.ended):
        said = json.loads(message_body(replace(ENDED, status=status)))
        assert said["type"] == f"run.{status}"
        assert f"| `run.{status}` | `{status}` |" in DOCUMENT


def test_a_failure_is_said_as_everywhere() -> None:
    """The error has the fields that `GET /runs/{id}` shows, and no more."""
    failure = Failure(
        code="model_timeout", message="No answer.", status=504, retryable=True, retry_after_s=2.0, param="p"
    )
    assert data_of(replace(ENDED, status=RunStatus.FAILED, failure=failure))["error"] == {
        "code": "model_timeout",
        "message": "No answer.",
        "retryable": True,
        "retry_after_s": 2.0,
    }


def test_questions_are_said_while_they_are_short() -> None:
    """An interrupted run says what it asks, or null where that is too long; another run has no such field."""
    asked = Interruption(id="q1", value={"action": "send_mail", "args": {"to": "bob"}})
    interrupted = replace(ENDED, status=RunStatus.INTERRUPTED, interrupts=(asked,))
    assert data_of(interrupted)["interrupts"] == [{"id": "q1", "value": asked.value}]
    long = replace(asked, value="x" * MAX_INTERRUPTS_BYTES)
    assert data_of(replace(interrupted, interrupts=(asked, long)))["interrupts"] is None
    assert "interrupts" not in data_of(ENDED)


def test_the_id_is_the_runs_and_cannot_be_taken_for_two() -> None:
    """The specification joins id and time by a full stop, so an id must hold none."""
    assert message_id(ENDED.id) == f"msg_{ENDED.id}"
    assert "." not in message_id(ENDED.id)


def test_the_specifications_example_is_signed_alike() -> None:
    """A known answer, of the specification's own library: another key, id or time gives another."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    id_, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(key, id_, 1614265330, body) == expected
    assert signature(key, id_, 1614265331, body) != expected


def test_the_documents_code_verifies() -> None:
    """What we sign is ours by the document's code and the tenant's secret; what was altered, is old or another's is not."""
    signer, verify, body = WebhookSigner(SECRET), documented(), message_body(ENDED)
    headers = dict(signer.headers("acme", message_id(ENDED.id), 1_000, body))
    secret = signer.secret_of("acme")
    assert verify(secret, headers, body, 1_000)
    assert verify(secret, headers, body, 1_299)
    assert not verify(secret, headers, body, 1_301)
    assert not verify(secret, headers, body, 699)
    assert not verify(secret, headers, body + b" ", 1_000)
    assert not verify(secret, {**headers, "webhook-id": "msg_other"}, body, 1_000)
    assert not verify(secret, {**headers, "webhook-timestamp": "1001"}, body, 1_000)
    assert not verify(signer.secret_of("evil"), headers, body, 1_000)
    assert not verify(SECRET, headers, body, 1_000)


def test_a_tenants_secret_is_printed_by_the_documents_code() -> None:
    """The operator gets each tenant's secret without ours being shown, by a command that the document prints."""
    command = [sys.executable, "-c", code("tenant_secret.py"), "acme"]
    environ = {"MAINSTAY_WEBHOOK_SECRET": f"{SECRET} {OLDER}"}
    printed = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()
    assert printed == WebhookSigner(SECRET).secret_of("acme")
    assert (
        base64.b64decode(printed.removeprefix("whsec_")) == hmac.new(bytes(range(32)), b"acme", hashlib.sha256).digest()
    )


def test_a_secret_is_replaced_without_a_gap() -> None:
    """With two secrets a message is verified by what either made for the tenant; new ones come of the first."""
    both, body, verify = WebhookSigner(f"{SECRET} {OLDER}"), b"{}", documented()
    headers = both.headers("acme", "msg_1", 1_000, body)
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (SECRET, OLDER):
        assert verify(WebhookSigner(secret).secret_of("acme"), headers, body, 1_000)
    assert both.secret_of("acme") == WebhookSigner(SECRET).secret_of("acme")


def test_the_documents_secret_is_one() -> None:
    """What the document's command makes is taken."""
    [command] = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    _, *arguments = shlex.split(command)
    made = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout.strip()
    WebhookSigner(made)


@pytest.mark.parametrize(
    "secrets",
    ["", " ", "hunter2hunter2", "whsec_", "whsec_????????", "whsec_" + "QUJD" * 4, "whsec_" + "QUJD" * 30, "whsec_é",
     SECRET.removeprefix("whsec_"), f"{SECRET} hunter2hunter2", SECRET[:-1]],
)  # fmt: skip
def test_what_is_no_secret_is_refused(secrets: str) -> None:
    """Anything but `whsec_` and base64 of 24 to 64 bytes, and the refusal shows nothing of it."""
    with pytest.raises(ConfigurationError) as caught:
        WebhookSigner(secrets)
    assert "hunter2" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_signer_shows_no_secret() -> None:
    """What a log or a traceback prints of it is its type."""
    assert SECRET.removeprefix("whsec_") not in repr(WebhookSigner(SECRET))
