"""A provider that always gives the same answer: for demonstrations and for load tests without a model."""

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from services.llm.types import ModelCall, ProviderSpec, TextSink


class CannedProvider:
    """Implements `ChatProvider`. `arguments.answer` is what it says, word by word."""

    def __init__(self, spec: ProviderSpec) -> None:
        self.name = spec.name
        self.model = spec.model
        self._answer = str(spec.arguments.get("answer", "Hello."))

    async def generate(self, call: ModelCall, sink: TextSink) -> AIMessage:
        words = self._answer.split(" ")
        for number, word in enumerate(words):
            sink.text(word if number == 0 else f" {word}")
            await sink.drain()
        usage = UsageMetadata(input_tokens=0, output_tokens=len(words), total_tokens=len(words))
        return AIMessage(content=self._answer, usage_metadata=usage, response_metadata={"finish_reason": "stop"})

    async def aclose(self) -> None:
        """There is nothing to close."""
