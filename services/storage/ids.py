"""Ids that sort by the time they were made."""

import os
import time
from uuid import UUID


def uuid7() -> UUID:
    """Return a new version 7 UUID (RFC 9562): milliseconds since 1970, a 12-bit fraction of one, 62 random bits."""
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8)) >> 2
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)
