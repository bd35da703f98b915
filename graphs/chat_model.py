"""The run's model as an ordinary LangChain chat model, for code that was written for one.

It goes through the same gateway as everything else: fail-over, deadline, billing and the client's stream included.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_function, convert_to_openai_tool
from pydantic import BaseModel, ConfigDict

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

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["function_calling", "json_mode", "json_schema"] = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """As LangChain's OpenAI models have it. The two JSON methods are for providers that can be held to JSON; in
        `json_mode` the prompt has to ask for it, and needs no schema.
        """
        if method == "function_calling":
            if schema is None:
                raise ValueError("with_structured_output needs a schema, except with method='json_mode'.")
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        asked = {"type": "json_object"} if method == "json_mode" else _json_schema(schema, strict)
        answer = self.bind(response_format=asked, **kwargs)
        parser: Runnable[Any, Any] = JsonOutputParser()
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            parser = PydanticOutputParser(pydantic_object=schema)
        return _beside_raw(answer, parser) if include_raw else answer | parser

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
            response_format=_response_format(kwargs.get("response_format")),
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


def _response_format(asked: Mapping[str, Any] | type | None) -> Mapping[str, Any] | None:
    return _json_schema(asked, None) if isinstance(asked, type) else asked


def _json_schema(schema: dict[str, Any] | type | None, strict: bool | None) -> Mapping[str, Any]:
    """OpenAI's response format for a schema, which may be any of the forms that a tool's may be, or already be one."""
    if schema is None:
        raise ValueError("method='json_schema' needs a schema.")
    if isinstance(schema, dict) and schema.get("type") == "json_schema":
        return schema
    function = convert_to_openai_function(schema, strict=strict)
    described = {"name": function["name"], "schema": function["parameters"]}
    if function.get("description"):
        described["description"] = function["description"]
    return {"type": "json_schema", "json_schema": described if strict is None else {**described, "strict": strict}}


def _beside_raw(answer: Runnable[Any, AIMessage], parser: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """LangChain's `include_raw`: the message, what was read in it, and the error of an answer that could not be read."""
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unreadable = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=answer) | parsed.with_fallbacks([unreadable], exception_key="parsing_error")
