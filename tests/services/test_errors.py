"""The error tree: each failure has a code of its own and survives the way between processes."""

import pickle
import re

import pytest

from services import errors
from services.errors import ERRORS, Failure, InternalError, MainstayError, Overloaded, error_from_failure


def test_codes_are_unique() -> None:
    """A client can tell every failure from every other by its code; only a bug shares the root's."""
    codes = [kind.code for kind in ERRORS]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_survives_as_data(kind: type[MainstayError]) -> None:
    """Error to failure to error keeps class, message, field and time, and so does pickling."""
    error = kind("what to do", param="messages.0", retry_after_s=2.5)
    for back in (error_from_failure(error.to_failure()), pickle.loads(pickle.dumps(error))):
        assert type(back) is kind
        assert back.to_failure() == error.to_failure()


def test_an_unknown_code_becomes_an_internal_error() -> None:
    """A replica of another version may send a code that this one does not know."""
    assert isinstance(error_from_failure(Failure(code="new", message="m", status=500)), InternalError)


def test_the_drawing_at_the_top_is_the_tree() -> None:
    """Every class is drawn in the module's docstring with its own status, and nothing else is."""
    drawn = {m[1]: int(m[2]) for m in re.finditer(r"[├└]── (\w+)\s+(\d{3})", errors.__doc__ or "")}
    assert drawn == {kind.__name__: kind.status for kind in ERRORS}


def test_our_own_overload_may_be_retried() -> None:
    """Overload says so and says when."""
    failure = Overloaded("busy", retry_after_s=1.0).to_failure()
    assert (failure.status, failure.retryable, failure.retry_after_s) == (503, True, 1.0)
