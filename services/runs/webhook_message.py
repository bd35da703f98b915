"""What a webhook says, and how it proves whose it is: the Standard Webhooks specification, version 1.0.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from services.errors import ConfigurationError, Failure
from services.types import Run, RunStatus

MAX_INTERRUPTS_BYTES = 16_384
"""The specification advises to keep a body below 20 kB."""

_PREFIX = "whsec_"
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 24, 64


def message_id(run_id: UUID) -> str:
    """Return the id of the message: a run ends once, so it is the same in every attempt to deliver it."""
    return f"msg_{run_id}"


def message_body(run: Run) -> bytes:
    """Return the message that a run has ended, as JSON: that it did and how, never what was said.

    What was said stays where a key is asked for, and can be erased. Only the questions of an interrupted run are there, for
    they are what somebody has to be asked; where they take more than MAX_INTERRUPTS_BYTES, `interrupts` is null.
    """
    data: dict[str, Any] = {
        "run_id": run.id,
        "thread_id": run.thread_id,
        "model": run.graph,
        "status": run.status,
        "finish_reason": run.finish_reason,
        "error": None if run.failure is None else _error(run.failure),
        "usage": asdict(run.usage),
        "metadata": dict(run.metadata),
    }
    if run.status is RunStatus.INTERRUPTED:
        questions = [asdict(question) for question in run.interrupts]
        data["interrupts"] = questions if len(orjson.dumps(questions)) <= MAX_INTERRUPTS_BYTES else None
    ended_at = run.finished_at or datetime.now(UTC)
    return orjson.dumps(
        {"type": f"run.{run.status}", "timestamp": ended_at.astimezone(UTC), "data": data}, option=orjson.OPT_UTC_Z
    )


class WebhookSigner:
    """Signs messages. Each tenant has a secret of its own, made from ours: who can verify cannot forge another's.

    `secrets` is one secret, or several with spaces between while one replaces another: each signs, and the first is the one
    that `secret_of` is made from. A secret is `whsec_` and base64 of 24 to 64 random bytes. Raises ConfigurationError,
    without repeating any of it, for anything else.
    """

    def __init__(self, secrets: str) -> None:
        self._keys = _keys_of(secrets)

    def secret_of(self, tenant_id: str) -> str:
        """Return what a tenant verifies its messages with: `whsec_`, and base64 of HMAC-SHA-256 of its id under our secret."""
        return _PREFIX + base64.b64encode(_tenant_key(self._keys[0], tenant_id)).decode()

    def headers(self, tenant_id: str, id_: str, sent_at: int, body: bytes) -> Mapping[str, str]:
        """Return the headers that go with a message. `sent_at` is the time of this attempt, in Unix seconds."""
        return _headers([_tenant_key(key, tenant_id) for key in self._keys], id_, sent_at, body)


class MessageSigner:
    """Signs messages to the one receiver that `secrets` are shared with; they are written as WebhookSigner's are."""

    def __init__(self, secrets: str) -> None:
        self._keys = _keys_of(secrets)

    def headers(self, id_: str, sent_at: int, body: bytes) -> Mapping[str, str]:
        """Return the headers that go with a message. `sent_at` is the time of this attempt, in Unix seconds."""
        return _headers(self._keys, id_, sent_at, body)


def _headers(keys: Sequence[bytes], id_: str, sent_at: int, body: bytes) -> Mapping[str, str]:
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(signature(key, id_, sent_at, body) for key in keys),
    }


def signature(key: bytes, id_: str, sent_at: int, body: bytes) -> str:
    """Return the signature of a message under one key, in the specification's form `v1,` and base64."""
    signed = b"%s.%d.%s" % (id_.encode(), sent_at, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _tenant_key(key: bytes, tenant_id: str) -> bytes:
    return hmac.digest(key, tenant_id.encode(), hashlib.sha256)


def _keys_of(secrets: str) -> Sequence[bytes]:
    keys = [_key_of(secret) for secret in secrets.split()]
    if not keys:
        raise _wrong_secret()
    return keys


def _key_of(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):  # ValueError where it is not ASCII
        raise _wrong_secret() from None
    if not secret.startswith(_PREFIX) or not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise _wrong_secret()
    return key


def _wrong_secret() -> ConfigurationError:
    return ConfigurationError(
        f"The webhook secret must be {_PREFIX} and base64 of {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} random bytes."
    )


def _error(failure: Failure) -> Mapping[str, Any]:
    """Return a failure as `GET /runs/{id}` shows it."""
    return {
        "code": failure.code,
        "message": failure.message,
        "retryable": failure.retryable,
        "retry_after_s": failure.retry_after_s,
    }
