"""What a client may do about a failure: one word, the same in every protocol."""

from typing import Literal

from services.errors import Failure

NextStep = Literal["retry", "continue", "wait", "change", "none"]

_CUT_SHORT = frozenset({"deadline_exceeded", "step_limit_exceeded", "model_output_too_large", "model_output_loops"})
"""The answer was too long for a limit: what there is of it can be gone on from, and a smaller question may fit."""
_STOPPED = "run_cancelled"
_BUSY = "thread_busy"
_SPENT = "budget_exceeded"


def next_step(failure: Failure, *, partial: bool) -> NextStep:
    """Return what may help, where `partial` says whether text of the answer was shown before it.

    - `continue`: that text is kept. Send a message to go on from it, or the same one to start over.
    - `wait`: send the same again after `retry_after_s`, or, of a busy thread, when its run has ended.
    - `retry`: send the same again.
    - `change`: the same would fail again; something in the request has to be different.
    - `none`: no request helps. An operator has to act, a budget has to be a new month's, or somebody stopped the run.
    """
    if partial and (failure.retryable or failure.code in _CUT_SHORT or failure.code == _STOPPED):
        return "continue"
    if failure.retry_after_s is not None or failure.code == _BUSY:
        return "wait"
    if failure.retryable:
        return "retry"
    if failure.code in _CUT_SHORT or (failure.status < 500 and failure.code not in (_STOPPED, _SPENT)):
        return "change"
    return "none"
