"""A configured model as a judge."""

from collections.abc import Callable

from langchain_core.messages import HumanMessage, SystemMessage

from services.llm.types import ChatProvider, ModelCall
from services.runs.deadline import Deadline
from services.types import ModelOptions

MAX_VERDICT_TOKENS = 16


class _Discard:
    """A sink for text that nobody reads as it comes."""

    def sent(self) -> None: ...

    def text(self, delta: str) -> None: ...

    def reasoning(self, delta: str) -> None: ...

    def tool_call(self, chars: int) -> None: ...

    async def drain(self) -> None: ...


class ModelJudge:
    """Asks one provider, with greedy decoding and a short answer. Raises its ModelError or DeadlineExceeded."""

    def __init__(
        self, provider: ChatProvider, *, timeout_s: float, deadline: Callable[[float], Deadline] = Deadline.after
    ) -> None:
        self._provider = provider
        self._timeout_s = timeout_s
        self._deadline = deadline

    @property
    def model(self) -> str:
        return self._provider.model

    async def ask(self, instruction: str, material: str) -> str:
        """Return the judge's words."""
        call = ModelCall(
            messages=[SystemMessage(instruction), HumanMessage(material)],
            options=ModelOptions(temperature=0.0, max_output_tokens=MAX_VERDICT_TOKENS),
        )
        answer = await self._provider.generate(call, _Discard(), self._deadline(self._timeout_s))
        return answer.text
