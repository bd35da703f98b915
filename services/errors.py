"""Every way Mainstay fails, as one tree.

    MainstayError
    ├── InvalidRequest              400  the caller sent something we cannot act on; `param` names the field
    │   ├── UnsupportedParameter    400  understood, but not offered
    │   ├── RequestTooLarge         413
    │   ├── UnsupportedMediaType    415
    │   └── UnknownModel            404  no graph of that name
    ├── Unauthenticated             401
    ├── IdentityUnavailable         503  no token can be checked: the identity provider's keys cannot be had
    ├── PermissionDenied            403
    ├── NotFound                    404  absent, or another tenant's: the two look the same
    ├── MethodNotAllowed            405
    ├── ThreadBusy                  409  one turn at a time per thread
    ├── IdempotencyMismatch         422  the key was used for another request
    ├── ContentBlocked              400  a guardrail refused the text
    ├── GuardrailUnavailable        503  the guard fails closed
    ├── RateLimitExceeded           429  the caller's quota of requests or tokens; says when to come back
    ├── ConcurrencyLimitExceeded    429  the caller has as many runs at work as the plan allows at once
    ├── BudgetExceeded              429  what is left of a budget does not cover the next model call
    ├── Overloaded                  503  our own capacity; says when to come back
    ├── AgentLost                   503  the replica that ran the run died
    │   ├── RunSuperseded           503  another replica has taken the run over
    │   ├── EventsMissing           503  the run goes on, and its reader is sent to its log
    │   └── AnswerRestarted         503  the answer comes anew, which the client's protocol has no words for
    ├── RunQuarantined              500  the run has ended several replicas, and is not tried again
    ├── DeadlineExceeded            504  the run's own time limit
    ├── StepLimitExceeded           500  the graph took more steps than its limit
    ├── StoreUnavailable            503  Postgres cannot be reached
    ├── SchemaMismatch              503  Postgres is at another revision than this code
    ├── ModelError                  502  something between us and a model
    │   ├── ModelUnavailable        503  every provider that could answer is taken out of service; says when to come back
    │   ├── NoCapableModel          502  no configured provider can do what the call needs (tools, JSON)
    │   ├── ModelUnreachable        502  connection refused, or reset before the answer
    │   │   ├── ModelNameUnresolved 502  DNS does not know the provider's host
    │   │   └── ModelTlsFailed      502  the provider's certificate is not to be trusted, or it does not speak TLS
    │   ├── ModelServerError        502  5xx, 408
    │   ├── ModelThrottled          503  429; says when to come back
    │   ├── ModelQuotaExhausted     502  429 that waiting does not cure
    │   ├── ModelAuthRejected       502  401 or 403 for *our* key
    │   ├── ModelMissing            502  404: the provider has no such model, or no such address
    │   ├── UnpricedModel           502  the price list does not name the model, and says that such are refused
    │   ├── ModelRejectedRequest    502  400, 413, 422: the call itself is wrong
    │   ├── ContextTooLong          400  the conversation does not fit the model
    │   ├── ModelTimeout            504  no content in time: first token, between tokens, in total
    │   ├── ModelStreamBroken       502  truncated, malformed, not an event stream, or an error in the stream
    │   └── ModelOutputTooLarge     502  more bytes or tokens than the cap
    │       └── ModelOutputLoops    502  the same piece over and over
    ├── ConfigurationError          500  settings that cannot work; says which key and what to write
    └── InternalError               500  a bug; the details are in the log, never in the answer

Each class carries its `code` (stable, for programs), its HTTP `status`, and whether the same request may be sent again
(`retryable`). An instance may add `retry_after_s` and `param`. Between processes an error travels as the `Failure` value,
because foreign exceptions do not survive pickling and stack traces must not reach a client.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as data: what a client is told, an event carries and a row stores.

    `retry_after_s` is in seconds, None where waiting does not help or the time is unknown.
    """

    code: str
    message: str
    status: int
    retryable: bool = False
    retry_after_s: float | None = None
    param: str | None = None


class MainstayError(Exception):
    """The root: whatever Mainstay raises on purpose derives from it."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s

    def to_failure(self) -> Failure:
        """Return this error as data, without its traceback or its cause."""
        return Failure(
            code=self.code,
            message=self.message,
            status=self.status,
            retryable=self.retryable,
            retry_after_s=self.retry_after_s,
            param=self.param,
        )


class InvalidRequest(MainstayError):
    code = "invalid_request"
    status = 400


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"


class RequestTooLarge(InvalidRequest):
    code = "request_too_large"
    status = 413


class UnsupportedMediaType(InvalidRequest):
    code = "unsupported_media_type"
    status = 415


class UnknownModel(InvalidRequest):
    code = "model_not_found"
    status = 404


class Unauthenticated(MainstayError):
    code = "invalid_api_key"
    status = 401


class IdentityUnavailable(MainstayError):
    code = "identity_unavailable"
    status = 503
    retryable = True


class PermissionDenied(MainstayError):
    code = "permission_denied"
    status = 403


class NotFound(MainstayError):
    code = "not_found"
    status = 404


class MethodNotAllowed(MainstayError):
    code = "method_not_allowed"
    status = 405


class ThreadBusy(MainstayError):
    code = "thread_busy"
    status = 409


class IdempotencyMismatch(MainstayError):
    code = "idempotency_mismatch"
    status = 422


class ContentBlocked(MainstayError):
    code = "content_blocked"
    status = 400


class GuardrailUnavailable(MainstayError):
    code = "guardrail_unavailable"
    status = 503
    retryable = True


class RateLimitExceeded(MainstayError):
    code = "rate_limit_exceeded"
    status = 429
    retryable = True


class ConcurrencyLimitExceeded(MainstayError):
    code = "concurrency_limit_exceeded"
    status = 429
    retryable = True


class BudgetExceeded(MainstayError):
    code = "budget_exceeded"
    status = 429


class Overloaded(MainstayError):
    code = "overloaded"
    status = 503
    retryable = True


class AgentLost(MainstayError):
    code = "agent_lost"
    status = 503
    retryable = True


class RunSuperseded(AgentLost):
    code = "run_superseded"


class EventsMissing(AgentLost):
    code = "events_missing"


class AnswerRestarted(AgentLost):
    code = "answer_restarted"


class RunQuarantined(MainstayError):
    code = "run_quarantined"


class DeadlineExceeded(MainstayError):
    code = "deadline_exceeded"
    status = 504


class StepLimitExceeded(MainstayError):
    code = "step_limit_exceeded"
    status = 500


class StoreUnavailable(MainstayError):
    code = "store_unavailable"
    status = 503
    retryable = True


class SchemaMismatch(MainstayError):
    code = "schema_mismatch"
    status = 503


class ModelError(MainstayError):
    code = "model_error"
    status = 502


class ModelUnavailable(ModelError):
    code = "model_unavailable"
    status = 503
    retryable = True


class NoCapableModel(ModelError):
    code = "no_capable_model"


class ModelUnreachable(ModelError):
    code = "model_unreachable"
    retryable = True


class ModelNameUnresolved(ModelUnreachable):
    code = "model_name_unresolved"


class ModelTlsFailed(ModelUnreachable):
    code = "model_tls_failed"


class ModelServerError(ModelError):
    code = "model_server_error"
    retryable = True


class ModelThrottled(ModelError):
    code = "model_throttled"
    status = 503
    retryable = True


class ModelQuotaExhausted(ModelError):
    code = "model_quota_exhausted"


class ModelAuthRejected(ModelError):
    code = "model_auth_rejected"


class ModelMissing(ModelError):
    code = "model_missing"


class UnpricedModel(ModelError):
    code = "unpriced_model"


class ModelRejectedRequest(ModelError):
    code = "model_rejected_request"


class ContextTooLong(ModelError):
    code = "context_too_long"
    status = 400


class ModelTimeout(ModelError):
    code = "model_timeout"
    status = 504
    retryable = True


class ModelStreamBroken(ModelError):
    code = "model_stream_broken"
    retryable = True


class ModelOutputTooLarge(ModelError):
    code = "model_output_too_large"


class ModelOutputLoops(ModelOutputTooLarge):
    code = "model_output_loops"


class ConfigurationError(MainstayError):
    code = "configuration_error"


class InternalError(MainstayError):
    code = "internal_error"


def error_from_failure(failure: Failure) -> MainstayError:
    """Return the error that a failure was made from; a code that this version does not know becomes InternalError."""
    kind = _BY_CODE.get(failure.code, InternalError)
    return kind(failure.message, param=failure.param, retry_after_s=failure.retry_after_s)


def _tree(root: type[MainstayError]) -> list[type[MainstayError]]:
    return [root, *(descendant for child in root.__subclasses__() for descendant in _tree(child))]


ERRORS: tuple[type[MainstayError], ...] = tuple(kind for kind in _tree(MainstayError) if kind is not MainstayError)
"""Every error, for documentation and for the tests that prove that each is mapped."""

_BY_CODE = {kind.code: kind for kind in ERRORS}
