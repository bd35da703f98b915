"""The `guardrail` deployment: verdicts on texts. CPU-bound, so it has replicas of its own and scales by itself."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deployments.autoscaling import UNSEEN_WORK
from services.errors import Failure, GuardrailUnavailable, MainstayError
from services.guard import ALLOWED, Action, Verdict, worst
from services.guard_batches import RETRY_S, SHORT_CHARS, Asked
from services.guardrails.chain import build_chain

logger = logging.getLogger(__name__)


class GuardrailReplica:
    """Implements `services.guard_batches.Carrier`. `user_config` is a mapping of a rule's name to its knobs; see the rules in
    services/guardrails/.

    Texts are looked at one by one: the single text of one request does not wait for all those of another. Longer ones than
    SHORT_CHARS are looked at in a thread, so that the loop answers meanwhile; to hand a short one over would cost about as much
    as to look at it. What is not looked at within `timeout_s` has no verdict.
    """

    def __init__(self, rules: tuple[str, ...], timeout_s: float, open_logs: Callable[[], None] = lambda: None) -> None:
        open_logs()
        self._rules = rules
        self._timeout_s = timeout_s
        self._chain = build_chain(rules, {})
        self._unseen = 0
        # One: the work holds the interpreter, and a second thread would only have both take twice as long.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="guardrail")

    async def check_each(self, asked: Sequence[Asked]) -> list[Verdict | Failure]:
        """Return a verdict on each request, in order and by its texts alone, or why there is none."""
        self._unseen += len(asked) - 1
        try:
            said = await asyncio.gather(*map(self._check, asked), return_exceptions=True)
        finally:
            self._unseen -= len(asked) - 1
        return [one if isinstance(one, Verdict) else _without_verdict(one) for one in said]

    async def _check(self, asked: Asked) -> Verdict:
        loop, chain, stage, verdict = asyncio.get_running_loop(), self._chain, asked.stage, ALLOWED
        try:
            async with asyncio.timeout(self._timeout_s):
                for text in asked.texts:
                    if len(text) <= SHORT_CHARS:
                        said = chain.judge(text, stage)
                        await asyncio.sleep(0)
                    else:
                        said = await loop.run_in_executor(self._thread, chain.judge, text, stage)
                    verdict = worst(verdict, said)
                    if verdict.action is Action.BLOCK:
                        break
        except TimeoutError:
            raise GuardrailUnavailable(
                "The guardrail did not come to a verdict in time.", retry_after_s=RETRY_S
            ) from None
        return verdict

    def reconfigure(self, user_config: dict[str, dict[str, Any]]) -> None:
        """Rebuild the chain with new knobs. A wrong one is refused with a message, and the old chain stays."""
        self._chain = build_chain(self._rules, user_config)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Report the requests that share a call with another one: Serve counts their call once."""
        return {UNSEEN_WORK: float(self._unseen)}

    async def check_health(self) -> None:
        """Alive when the loop answers."""


def _without_verdict(error: BaseException) -> Failure:
    if not isinstance(error, MainstayError):
        logger.error("a rule of the guardrail failed", exc_info=error)
        error = GuardrailUnavailable("The guardrail failed on it.", retry_after_s=RETRY_S)
    return error.to_failure()
