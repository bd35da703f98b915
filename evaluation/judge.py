"""A configured model as somebody who can be asked."""

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from services.limits.purse import BOTTOMLESS, Purse
from services.llm.gateway import Gateway
from services.llm.types import ModelCall
from services.resilience.priority import Priority
from services.runs.deadline import Deadline
from services.types import ModelOptions

MAX_WORD_TOKENS = 16


class _Nobody:
    """A sink for text that nobody reads as it comes."""

    def text(self, delta: str, source: str | None = None) -> None: ...

    def reasoning(self, delta: str, source: str | None = None) -> None: ...

    async def drain(self) -> None: ...

    async def pace(self) -> None: ...


class ModelJudge:
    """Asks the one model of `gateway`, with greedy decoding and a short answer: as the first work to be shed, unless it has
    another `priority`.

    One model, since the scores of two cannot be compared. `purse` pays for one question. `temperature` is None for models
    that refuse to be given one. Raises the model's ModelError, Overloaded, DeadlineExceeded, BudgetExceeded or
    StoreUnavailable.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        timeout_s: float,
        purse: Callable[[], Purse] = lambda: BOTTOMLESS,
        priority: Priority = Priority.EVALUATION,
        temperature: float | None = 0.0,
        deadline: Callable[[float], Deadline] = Deadline.after,
    ) -> None:
        [route] = gateway.routes
        self.model = route.provider.model
        self._gateway = gateway
        self._timeout_s = timeout_s
        self._purse = purse
        self._priority = priority
        self._temperature = temperature
        self._deadline = deadline

    async def ask(self, instruction: str, material: str) -> str:
        """Return the judge's words, few."""
        return (await self.answer(instruction, material, max_tokens=MAX_WORD_TOKENS)).text

    async def answer(
        self, instruction: str, material: str, *, max_tokens: int, response_format: Mapping[str, Any] | None = None
    ) -> AIMessage:
        """Return the judge's whole answer, in `response_format` where there is one."""
        call = ModelCall(
            messages=[SystemMessage(instruction), HumanMessage(material)],
            options=ModelOptions(temperature=self._temperature, max_output_tokens=max_tokens),
            response_format=response_format,
        )
        deadline = self._deadline(self._timeout_s)
        model = self._gateway.bind(_Nobody(), deadline, self._priority, purse=self._purse())
        return await model.generate(call, silent=True)
