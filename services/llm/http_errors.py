"""Everything that can go wrong between us and a provider's HTTP endpoint, as errors of our own tree."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
import orjson

from services.errors import (
    ContextTooLong,
    ModelAuthRejected,
    ModelError,
    ModelQuotaExhausted,
    ModelRejectedRequest,
    ModelServerError,
    ModelStreamBroken,
    ModelThrottled,
    ModelTimeout,
    ModelUnreachable,
)

MAX_QUOTED_CHARS = 300

_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "credit_balance_too_low"})
_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})


@contextmanager
def translated(provider: str) -> Iterator[None]:
    """Turn aiohttp's exceptions, around the call and around the stream, into ModelErrors.

    A timeout of ours (`asyncio.timeout`) is not translated here: only its owner knows which limit it was.
    """
    try:
        yield
    except asyncio.CancelledError:
        raise
    except aiohttp.ClientConnectorCertificateError as error:
        raise ModelUnreachable(
            f"{provider}: its TLS certificate is not trusted ({error.certificate_error})."
        ) from error
    except aiohttp.ClientPayloadError as error:
        raise ModelStreamBroken(f"{provider}: the connection closed in the middle of the answer.") from error
    except aiohttp.ServerTimeoutError as error:
        raise ModelTimeout(f"{provider}: no connection in time.") from error
    except (aiohttp.ClientConnectionError, aiohttp.InvalidURL, OSError) as error:
        raise ModelUnreachable(f"{provider}: cannot be reached ({type(error).__name__}: {error}).") from error
    except aiohttp.ClientError as error:
        raise ModelStreamBroken(f"{provider}: not a readable HTTP answer ({type(error).__name__}).") from error


def error_from_status(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """Return the error that a non-200 answer stands for, with what the provider says of it, shortened."""
    code, said = _read(body)
    text = f"{provider}: HTTP {status}: {said}"
    if status in (401, 403):
        return ModelAuthRejected(
            f"{provider} refused our API key (HTTP {status}). Check the key it is configured with."
        )
    if code in _QUOTA_CODES:
        return ModelQuotaExhausted(text)
    if status == 429:
        return ModelThrottled(text, retry_after_s=retry_after_s(headers))
    if code in _CONTEXT_CODES:
        return ContextTooLong("The conversation is too long for the model. Start a new thread or shorten the message.")
    if status == 408 or status >= 500:
        return ModelServerError(text, retry_after_s=retry_after_s(headers))
    return ModelRejectedRequest(text)


def error_in_stream(provider: str, error: object) -> ModelError:
    """Return the error for an error object that arrived inside a stream that began with status 200."""
    said = error.get("message") if isinstance(error, Mapping) else error
    return ModelStreamBroken(f"{provider}: error in the stream: {str(said)[:MAX_QUOTED_CHARS]}")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a provider asks us to wait (`retry-after-ms`, or `retry-after` in seconds), if it says so."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * scale)
        except (KeyError, ValueError):
            continue
    return None


def _read(body: bytes) -> tuple[str | None, str]:
    """Return the error code and the message of an error body in OpenAI's form, or of whatever else it is."""
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, body[:MAX_QUOTED_CHARS].decode("utf-8", "replace").strip() or "(empty body)"
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if not isinstance(error, dict):
        return None, str(error)[:MAX_QUOTED_CHARS]
    code = error.get("code") or error.get("type")
    return (str(code) if code is not None else None), str(error.get("message", error))[:MAX_QUOTED_CHARS]
