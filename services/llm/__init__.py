"""Models: the gateway, and the registry of providers it can be built from.

- `gateway`: what a run sees of it all. Begin here. `route` is one provider with everything that guards it, `fail_over` the
  way of a call through the routes, `attempt` one call of one of them, `verdicts` what its failure says of the provider.
- `validator` and `patience`: what may pass, and how long it may take. `capability`: who can take a call at all.
- `openai`, `langchain`, `embedded`: the providers. `answer`, `sse`, `finish`, `http_errors`, `retry_after`: how what they
  send is read.
"""

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
