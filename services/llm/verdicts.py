"""What a failed model call says about its provider: the one table between our errors and the breaker."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.errors import (
    ContextTooLong,
    ModelAuthRejected,
    ModelError,
    ModelMissing,
    ModelOutputLoops,
    ModelOutputTooLarge,
    ModelQuotaExhausted,
    ModelRejectedRequest,
    ModelServerError,
    ModelStreamBroken,
    ModelThrottled,
    ModelTimeout,
    ModelUnreachable,
)
from services.resilience.breaker import Permit
from services.resilience.limit import AdaptiveLimit
from services.resilience.policy import FailureKind

FAILURES: Mapping[type[ModelError], FailureKind | None] = {
    ModelUnreachable: FailureKind.TRANSIENT,
    ModelServerError: FailureKind.TRANSIENT,
    ModelTimeout: FailureKind.TRANSIENT,
    ModelStreamBroken: FailureKind.TRANSIENT,
    ModelQuotaExhausted: FailureKind.QUOTA,
    ModelAuthRejected: FailureKind.AUTH,
}
"""What takes a provider out of service when it adds up. Subclasses count as what they are a kind of."""

NEUTRAL: frozenset[type[ModelError]] = frozenset(
    {ModelRejectedRequest, ModelMissing, ModelOutputTooLarge, ContextTooLong}
)
"""What says nothing about a provider's health: the call, or its configuration, was wrong. A client can ask for an answer
without end, or for the same word a hundred times; that must not take a provider away from the others."""

REPEATABLE: tuple[type[ModelError], ...] = (ModelUnreachable, ModelServerError, ModelStreamBroken, ModelThrottled)
"""What the same provider may be asked again after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What calls say about a provider's health: which errors take it out of service, and whether an answer that has begun
    counts as a success or only a `whole` one.
    """

    failures: Mapping[type[ModelError], FailureKind | None] = field(default_factory=lambda: FAILURES)
    whole: bool = False

    def give(self, error: ModelError, permit: Permit, limit: AdaptiveLimit) -> None:
        """Tell the breaker, and of a 429 the limit, what a call ended with."""
        if isinstance(error, ModelThrottled):
            permit.throttled(error.retry_after_s)
            limit.decrease()
            return
        kind = next((self.failures[cause] for cause in type(error).__mro__ if cause in self.failures), None)
        if kind is not None:
            permit.failed(kind, retry_after_s=error.retry_after_s)


OF_CLIENTS = Verdicts()
OF_OUR_OWN = Verdicts(
    failures={**FAILURES, ModelOutputTooLarge: FailureKind.TRANSIENT, ModelOutputLoops: None}, whole=True
)
"""Of calls that no client words, for short answers. The provider is told how much it may say, and a text can make it repeat
itself but not say more than that: an answer without end is its own doing, and its beginning proves nothing."""
