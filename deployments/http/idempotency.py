"""The header `Idempotency-Key`: a client that did not hear our answer sends its request again, and gets the run of the first.

As in the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header-07): the same key with
another request is a 422. A key counts for the user who sent it.
"""

import hashlib
from dataclasses import replace

import orjson
from starlette.datastructures import Headers

from services.errors import InvalidRequest
from services.types import IdempotencyKey, JsonObject, RunRequest

HEADER = "idempotency-key"
MAX_KEY_CHARS = 255


def idempotency_key(headers: Headers, path: str, body: JsonObject, request: RunRequest) -> IdempotencyKey | None:
    """Return the key that a request came with, and the digest of what it asks for; None without one. Raises InvalidRequest.

    What it asks for is its body, and its thread, which a protocol may have from elsewhere.
    """
    key = headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_CHARS or not (key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"The header Idempotency-Key must be 1 to {MAX_KEY_CHARS} printable ASCII characters, such as a UUID.",
            param=HEADER,
        )
    asked = orjson.dumps([path, request.thread_id, request.ephemeral, body], option=orjson.OPT_SORT_KEYS)
    return IdempotencyKey(key=key, digest=hashlib.sha256(asked).digest())


def with_key(request: RunRequest, key: IdempotencyKey | None) -> RunRequest:
    """Return the request with its key."""
    return request if key is None else replace(request, submission=replace(request.submission, idempotency=key))
