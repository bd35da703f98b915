"""The embedded model: llama.cpp's own OpenAI-compatible server on loopback, started by `make serve`.

It differs from any other endpoint only in what is asked of it: greedy decoding, because a model this small wanders, and the
prompt cache, because the system prompt is most of what it reads.
"""

from dataclasses import replace

from services.llm.openai import OpenAIProvider
from services.llm.types import ProviderSpec

DEFAULTS = {"temperature": 0.0, "cache_prompt": True}


def embedded(spec: ProviderSpec) -> OpenAIProvider:
    """Return the provider for a llama.cpp server."""
    return OpenAIProvider(replace(spec, arguments={**DEFAULTS, **spec.arguments}))
