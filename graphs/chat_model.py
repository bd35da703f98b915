"""The run's model as an ordinary LangChain chat model, for code that was written for one.

It goes through the same gateway as everything else: fail-over, deadline, billing and the client's stream included.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict

from graphs.messages import settled
from services.llm.types import ModelCall
from services.runs.types import RunContext


class RunChatModel(BaseChatModel):
    """Make one per node call: `RunChatModel(context=runtime.context)`. It is cheap, and belongs to that run alone.

    `source` and `silent` are as in `ChatModel.generate`. Async only. `astream` yields the whole answer as one piece, since
    the client's stream is fed by the gateway, not by the graph.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    context: Any  # a RunContext; pydantic would otherwise try to validate the protocols inside it
    source: str | None = None
    silent: bool = False

    @property
    def _llm_type(self) -> str:
        return "mainstay"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | Mapping[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=schemas, tool_choice=_choice(tool_choice), **kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        context: RunContext = self.context
        options = context.run.options
        call = ModelCall(
            messages=messages,
            tools=kwargs.get("tools") or (),
            tool_choice=kwargs.get("tool_choice") or "auto",
            options=options if stop is None else replace(options, stop=tuple(stop)),
        )
        answer = await context.model.generate(call, source=self.source, silent=self.silent)
        return ChatResult(generations=[ChatGeneration(message=settled(answer))])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("A run cannot be blocked or cancelled in a thread: call `await model.ainvoke(...)`.")


def _choice(asked: str | Mapping[str, Any] | bool | None) -> str:
    """LangChain's and OpenAI's ways of saying it, as `ModelCall.tool_choice` has it."""
    match asked:
        case None | False:
            return "auto"
        case True | "any":
            return "required"
        case str():
            return asked
        case _:
            return str(asked.get("function", {}).get("name") or asked.get("name") or "auto")
