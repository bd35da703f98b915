"""The guardrail through a Serve handle: what is said passes as it is, and what goes wrong on the way is ours."""

import asyncio
from collections.abc import Generator, Sequence
from typing import Any, cast

import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from deployments.remote import Handle, RemoteGuardrail
from services.errors import GuardrailUnavailable, MainstayError, Overloaded
from services.guard import ALLOWED, Stage
from services.guard_batches import Asked

ASKED = (Asked(texts=("hello",), stage=Stage.INPUT), Asked(texts=("a", "b"), stage=Stage.TOOL_RESULT))
SAID = [ALLOWED, GuardrailUnavailable("No verdict.").to_failure()]


class Response:
    """What a handle's method returns: `says` something, raises it, or with None is silent."""

    def __init__(self, says: object) -> None:
        self._says = says
        self.asked: Sequence[Asked] = ()
        self.cancelled = False

    def options(self, *, method_name: str, **_: Any) -> "Response":
        assert method_name == "check_each"
        return self

    def remote(self, asked: Sequence[Asked]) -> "Response":
        self.asked = asked
        return self

    def __await__(self) -> Generator[Any, None, object]:
        if self._says is None:
            yield from asyncio.Event().wait().__await__()
        if isinstance(self._says, BaseException):
            raise self._says
        return self._says

    def cancel(self) -> None:
        self.cancelled = True


async def test_what_is_said_of_each_passes() -> None:
    """In its order, verdicts and failures alike."""
    response = Response(SAID)
    assert await RemoteGuardrail(cast(Handle, response)).check_each(ASKED) == SAID
    assert (response.asked, response.cancelled) == (ASKED, False)


@pytest.mark.parametrize(
    ("refusal", "raised"),
    [
        (RayActorError(), GuardrailUnavailable),
        (BackPressureError(num_queued_requests=9, max_queued_requests=9), Overloaded),
    ],
    ids=["gone", "full"],
)
async def test_what_goes_wrong_is_ours(refusal: BaseException, raised: type[MainstayError]) -> None:
    """No room is another thing than no guardrail; a client may come back from both."""
    with pytest.raises(raised) as error:
        await RemoteGuardrail(cast(Handle, Response(refusal))).check_each(ASKED)
    assert error.value.retry_after_s


async def test_a_call_that_is_cancelled_is_taken_back() -> None:
    """It would wait on in the handle for a replica to come."""
    response = Response(None)
    checking = asyncio.create_task(RemoteGuardrail(cast(Handle, response)).check_each(ASKED))
    await asyncio.sleep(0)
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    assert response.cancelled
