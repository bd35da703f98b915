"""Models: the gateway, and the registry of providers it can be built from."""

from collections.abc import Callable, Mapping

from services.llm.embedded import embedded
from services.llm.langchain import LangChainProvider
from services.llm.openai import OpenAIProvider
from services.llm.types import ChatProvider, ProviderSpec

PROVIDERS: Mapping[str, Callable[[ProviderSpec], ChatProvider]] = {
    "openai": OpenAIProvider,
    "langchain": LangChainProvider,
    "embedded": embedded,
}
