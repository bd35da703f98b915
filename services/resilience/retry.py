"""How often a failed call is tried again, how long it waits before, and how much all retries together may cost.

Retries are made at one layer only, before the first byte has gone to the client. The budget keeps them from making an
outage worse, by two rules that must both allow a retry:

- A bucket of tokens, as in the AWS SDKs (their size is 500; Marc Brooker, Timeouts, retries and backoff with jitter,
  Amazon Builders' Library): a retry costs five tokens, ten after a timeout, and every success brings one back. A full
  bucket is twenty retries; after that, with nothing succeeding, there are none.
- A share of the requests of the last minute (Google, Site Reliability Engineering, ch. 21: at most one in ten), yet
  at least three a minute, or a quiet replica could never retry at all (Envoy's `min_retry_concurrency` is 3 for the
  same reason).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from services.errors import ConfigurationError
from services.resilience.window import RollingWindow

BUCKETS = 60
"""Steps in which a request leaves the window."""

MAX_DOUBLINGS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Attempts of one call, the waits between them, and the budget of one provider in one replica. Times are seconds.

    Raises ConfigurationError for numbers of zero or less, and for a share of more than one.
    """

    attempts_per_provider: int = 2
    attempts_in_all: int = 3
    base_s: float = 0.25
    """No more than this before the first retry; doubled with every further one."""
    max_s: float = 4.0
    bucket_size: int = 100
    """In tokens; the bucket is full at first."""
    cost: int = 5
    timeout_cost: int = 10
    """After a timeout: the provider has worked for it, and the caller has waited."""
    refund: int = 1
    """For every success, retried or not."""
    share: float = 0.1
    """Retries per request, over `share_window_s`."""
    share_window_s: float = 60.0
    min_retries: int = 3
    """So many are within the share in every window, however few requests there were."""

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"retry.{name} must be more than 0.", param=f"retry.{name}")
        if self.share > 1:
            raise ConfigurationError("retry.share must be a share of one.", param="retry.share")


def backoff_s(attempt: int, policy: RetryPolicy, random: Callable[[], float]) -> float:
    """Return the seconds to wait after so many failed attempts, one or more: full jitter, from 0 to a doubling bound.

    Callers that failed together come back spread over the whole time (Marc Brooker, Exponential Backoff and Jitter,
    AWS 2015). `random` gives a float from 0 to 1.
    """
    doublings = min(max(0, attempt - 1), MAX_DOUBLINGS)
    return min(policy.max_s, policy.base_s * 2.0**doublings) * random()


class RetryBudget:
    """What the retries to one provider may cost in one replica.

    Weakness: replicas do not know of each other. An outage costs up to twenty retries in each of them, and three a
    minute are free of the share in each.
    """

    def __init__(
        self,
        policy: RetryPolicy = RetryPolicy(),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._tokens = policy.bucket_size
        bucket_s = policy.share_window_s / BUCKETS
        self._requests = RollingWindow(policy.share_window_s, bucket_s)
        self._retries = RollingWindow(policy.share_window_s, bucket_s)

    def requested(self) -> None:
        """A request goes to the provider: once for each, however often it is tried."""
        self._requests.at(self._clock()).add(calls=1)

    def succeeded(self) -> None:
        """An attempt, whether the first or a retry, went well."""
        self._tokens = min(self._policy.bucket_size, self._tokens + self._policy.refund)

    def spend(self, *, timeout: bool) -> bool:
        """Pay for one retry and return True, or return False: then there must be none.

        `timeout` says that the attempt before ended in one.
        """
        cost = self._policy.timeout_cost if timeout else self._policy.cost
        now = self._clock()
        # Asking for the bucket of now drops those that are too old for the totals.
        self._requests.at(now)
        bucket = self._retries.at(now)
        allowed = max(self._policy.min_retries, self._policy.share * self._requests.total.calls)
        if cost > self._tokens or self._retries.total.calls + 1 > allowed:
            return False
        self._tokens -= cost
        bucket.add(calls=1)
        return True
