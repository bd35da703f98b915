"""What a client may do about each failure."""

from dataclasses import replace

import pytest

from deployments.protocols.next_step import next_step
from deployments.protocols.openai_errors import cancelled
from services.errors import ERRORS, Failure

FAILURES = {kind.code: kind("x").to_failure() for kind in ERRORS} | {"run_cancelled": cancelled("x")}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_each_word_keeps_its_promise(failure: Failure) -> None:
    """Nothing but what may be sent again says retry, and only after text is there something to continue."""
    before, after = next_step(failure, partial=False), next_step(failure, partial=True)
    assert before != "continue"
    assert (before == "retry") == failure.retryable
    assert after in {"continue", before}
    assert next_step(replace(failure, retry_after_s=2.0), partial=False) == "wait"


@pytest.mark.parametrize(
    ("code", "before", "after"),
    [
        ("model_stream_broken", "retry", "continue"),
        ("agent_lost", "retry", "continue"),
        ("answer_restarted", "retry", "continue"),
        ("deadline_exceeded", "change", "continue"),
        ("model_output_too_large", "change", "continue"),
        ("run_cancelled", "none", "continue"),
        ("invalid_request", "change", "change"),
        ("content_blocked", "change", "change"),
        ("context_too_long", "change", "change"),
        ("thread_busy", "wait", "wait"),
        ("idempotency_mismatch", "change", "change"),
        ("model_auth_rejected", "none", "none"),
        ("run_quarantined", "none", "none"),
        ("internal_error", "none", "none"),
    ],
)
def test_what_helps_before_and_after_text_was_shown(code: str, before: str, after: str) -> None:
    """One of each kind: an accident, a limit, a decision, the client's part, and ours."""
    failure = FAILURES[code]
    assert (next_step(failure, partial=False), next_step(failure, partial=True)) == (before, after)


def test_an_answer_that_could_not_be_saved_is_nothing_to_go_on_from() -> None:
    """The store's failure after the last word is not retryable: the text was shown, and is not kept yet."""
    unsaved = replace(FAILURES["store_unavailable"], retryable=False)
    assert next_step(unsaved, partial=True) == "none"


def test_what_was_shown_counts_more_than_when_to_come_back() -> None:
    """A throttled model after half an answer: there is something to continue, and `retry_after_s` says when."""
    assert next_step(replace(FAILURES["model_throttled"], retry_after_s=2.0), partial=True) == "continue"
