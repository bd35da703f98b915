"""The `guardrail` deployment: verdicts on texts. CPU-bound, so it has replicas of its own and scales by itself."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.errors import GuardrailUnavailable
from services.guard import ALLOWED, Action, Stage, Verdict, worst
from services.guardrails.chain import build_chain

SHORT_CHARS = 600


class GuardrailReplica:
    """`user_config` is a mapping of a rule's name to its knobs; see the rules in services/guardrails/.

    Texts are looked at one by one: the single text of one request does not wait for all those of another. Longer ones than
    SHORT_CHARS are looked at in a thread, so that the loop answers meanwhile; to hand a short one over would cost about as much
    as to look at it. What is not looked at within `timeout_s` has no verdict.
    """

    def __init__(self, rules: tuple[str, ...], timeout_s: float, open_logs: Callable[[], None] = lambda: None) -> None:
        open_logs()
        self._rules = rules
        self._timeout_s = timeout_s
        self._chain = build_chain(rules, {})
        # One: the work holds the interpreter, and a second thread would only have both take twice as long.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="guardrail")

    async def check(self, texts: list[str], stage: Stage) -> Verdict:
        loop, chain, verdict = asyncio.get_running_loop(), self._chain, ALLOWED
        try:
            async with asyncio.timeout(self._timeout_s):
                for text in texts:
                    if len(text) <= SHORT_CHARS:
                        said = chain.judge(text, stage)
                        await asyncio.sleep(0)
                    else:
                        said = await loop.run_in_executor(self._thread, chain.judge, text, stage)
                    verdict = worst(verdict, said)
                    if verdict.action is Action.BLOCK:
                        break
        except TimeoutError:
            raise GuardrailUnavailable("The guardrail did not come to a verdict in time.") from None
        return verdict

    def reconfigure(self, user_config: dict[str, dict[str, Any]]) -> None:
        """Rebuild the chain with new knobs. A wrong one is refused with a message, and the old chain stays."""
        self._chain = build_chain(self._rules, user_config)

    async def check_health(self) -> None:
        """Alive when the loop answers."""
