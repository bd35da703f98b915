"""Everything that can go wrong between us and a provider's HTTP endpoint, as errors of our own tree.

A message is read by clients and stored: it names the provider as configured and the HTTP status, nothing that the provider
or the network said. That goes to the log, shortened and without the key.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
import orjson

from services.errors import (
    ContextTooLong,
    ModelAuthRejected,
    ModelError,
    ModelMissing,
    ModelNameUnresolved,
    ModelQuotaExhausted,
    ModelRejectedRequest,
    ModelServerError,
    ModelStreamBroken,
    ModelThrottled,
    ModelTimeout,
    ModelTlsFailed,
    ModelUnreachable,
)
from services.llm.retry_after import retry_after_s

logger = logging.getLogger(__name__)

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
    except aiohttp.ClientConnectorDNSError as error:
        logger.warning("%s: its host name cannot be resolved: %.300s", provider, error)
        raise ModelNameUnresolved(f"{provider} cannot be reached: its host name is not known.") from error
    except aiohttp.ClientConnectorCertificateError as error:
        logger.warning("%s: its TLS certificate is not trusted: %s", provider, error.certificate_error)
        raise ModelTlsFailed(f"{provider} cannot be reached: its TLS certificate is not trusted.") from error
    except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch) as error:
        logger.warning("%s: no TLS connection: %.300s", provider, error)
        raise ModelTlsFailed(f"{provider} cannot be reached: no TLS connection could be made.") from error
    except aiohttp.ClientPayloadError as error:
        raise ModelStreamBroken(f"{provider}: the connection closed in the middle of the answer.") from error
    except aiohttp.ServerTimeoutError as error:
        raise ModelTimeout(f"{provider}: no connection in time.") from error
    except (aiohttp.ClientConnectionError, aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, OSError) as error:
        logger.warning("%s cannot be reached: %s: %.300s", provider, type(error).__name__, error)
        raise ModelUnreachable(f"{provider} cannot be reached.") from error
    except aiohttp.ClientError as error:
        logger.warning("%s: not a readable HTTP answer: %s: %.300s", provider, type(error).__name__, error)
        raise ModelStreamBroken(f"{provider}: not a readable HTTP answer.") from error


def error_from_status(
    provider: str, status: int, headers: Mapping[str, str], body: bytes, *, secret: str = ""
) -> ModelError:
    """Return the error that a non-200 answer stands for. What the provider says of it is logged, without `secret`."""
    code, said = _read(body)
    logger.warning("%s: HTTP %d: %s", provider, status, quoted(said, secret))
    if status in (401, 403):
        return ModelAuthRejected(
            f"{provider} refused our API key (HTTP {status}). Check the key it is configured with."
        )
    if status == 402 or code in _QUOTA_CODES:
        return ModelQuotaExhausted(f"{provider} says that our quota with it is used up (HTTP {status}).")
    if status == 429:
        text = f"{provider} is taking no more of our requests for now (HTTP 429). Try again later."
        return ModelThrottled(text, retry_after_s=retry_after_s(headers))
    if code in _CONTEXT_CODES:
        return ContextTooLong("The conversation is too long for the model. Start a new thread or shorten the message.")
    if status == 404 or 300 <= status < 400:
        logger.error("%s has no such model or address (HTTP %d): check its model and base_url", provider, status)
        return ModelMissing(f"{provider} does not have the model it is configured with (HTTP {status}).")
    if status == 408 or status >= 500:
        return ModelServerError(f"{provider} failed (HTTP {status}).", retry_after_s=retry_after_s(headers))
    return ModelRejectedRequest(
        f"{provider} rejected the request (HTTP {status}). Check its messages and parameters; the details are in our log."
    )


def error_in_stream(provider: str, error: object, *, secret: str = "") -> ModelError:
    """Return the error for an error object that arrived inside a stream that began with status 200; see above."""
    said = error.get("message") if isinstance(error, Mapping) else error
    logger.warning("%s: error in the stream: %s", provider, quoted(str(said), secret))
    return ModelStreamBroken(f"{provider} reported an error in the middle of its answer.")


def quoted(said: str, secret: str) -> str:
    """Return a stranger's text as it may stand in a log: in one line, shortened, without the key."""
    return repr((said.replace(secret, "***") if secret else said)[:MAX_QUOTED_CHARS])


def _read(body: bytes) -> tuple[str | None, str]:
    """Return the error code and the message of an error body in OpenAI's form, or of whatever else it is."""
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, body.decode("utf-8", "replace").strip() or "(empty body)"
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if not isinstance(error, dict):
        return None, str(error)
    code = error.get("code") or error.get("type")
    return (str(code) if code is not None else None), str(error.get("message", error))
