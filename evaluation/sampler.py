"""Which runs are judged: decided by a hash of the run's id, so that every replica and every repetition agrees."""

import hashlib
from uuid import UUID


def sampled(run_id: UUID, rate: float) -> bool:
    """Return whether this run is in a sample of `rate` (0 to 1)."""
    digest = hashlib.blake2b(run_id.bytes, digest_size=8, person=b"sampler").digest()
    return int.from_bytes(digest) < rate * 2**64
