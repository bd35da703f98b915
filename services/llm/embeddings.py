"""Vectors of texts from any OpenAI-compatible endpoint, for memories that are found by their meaning."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
import orjson

from services.errors import ModelOutputTooLarge, ModelStreamBroken, ModelTimeout
from services.llm.http_errors import error_from_status, translated
from services.llm.openai import MAX_ERROR_BODY_BYTES, read_up_to

MAX_ANSWER_BYTES = 33_554_432
MAX_TEXTS = 64
"""In one request: servers have limits of their own, and none says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSpec:
    """One configured embedding model. `timeout_s` bounds a request, since remembering and recalling wait for it.

    `dimensions` is asked for where it is set, which only some models understand.
    """

    model: str
    base_url: str
    api_key: str = field(default="", repr=False)
    dimensions: int | None = None
    timeout_s: float = 5.0
    max_connections: int = 100


class OpenAIEmbeddings:
    """Implements `services.memories.Embed`. Open and close it on the loop that uses it. Nothing is tried twice."""

    def __init__(self, spec: EmbeddingSpec) -> None:
        self._spec = spec
        self._url = f"{spec.base_url.rstrip('/')}/embeddings"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=spec.max_connections, ttl_dns_cache=60),
            headers={"authorization": f"Bearer {spec.api_key}", "content-type": "application/json"},
        )

    @property
    def name(self) -> str:
        """What vectors of this model are known by: those of other dimensions are not its own."""
        return self._spec.model if self._spec.dimensions is None else f"{self._spec.model}:{self._spec.dimensions}"

    async def __call__(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return a vector for each text. Raises a ModelError."""
        vectors: list[Sequence[float]] = []
        for start in range(0, len(texts), MAX_TEXTS):
            vectors += await self._request(texts[start : start + MAX_TEXTS])
        return vectors

    async def aclose(self) -> None:
        await self._session.close()

    async def _request(self, texts: Sequence[str]) -> list[Sequence[float]]:
        body: dict[str, object] = {"model": self._spec.model, "input": list(texts), "encoding_format": "float"}
        if self._spec.dimensions is not None:
            body["dimensions"] = self._spec.dimensions
        try:
            async with asyncio.timeout(self._spec.timeout_s):
                answer = await self._post(orjson.dumps(body))
        except TimeoutError:
            raise ModelTimeout(f"{self._spec.model} gave no vectors within {self._spec.timeout_s:g} s.") from None
        return self._vectors(answer, len(texts))

    async def _post(self, body: bytes) -> bytes:
        # A redirect would send what users are remembered by, and our key, to an address that nobody configured.
        with translated(self._spec.model):
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                if response.status != 200:
                    said = await read_up_to(MAX_ERROR_BODY_BYTES, response.content)
                    raise error_from_status(
                        self._spec.model, response.status, response.headers, said, secret=self._spec.api_key
                    )
                answer = await read_up_to(MAX_ANSWER_BYTES + 1, response.content)
        if len(answer) > MAX_ANSWER_BYTES:
            raise ModelOutputTooLarge(f"{self._spec.model} sent more than {MAX_ANSWER_BYTES} bytes of vectors.")
        return answer

    def _vectors(self, answer: bytes, count: int) -> list[Sequence[float]]:
        """Read the answer; its parts say which text they are of, and need not be in order."""
        try:
            parts = {
                part["index"]: [float(number) for number in part["embedding"]] for part in orjson.loads(answer)["data"]
            }
            return [parts[index] for index in range(count)]
        except (KeyError, TypeError, ValueError):
            raise ModelStreamBroken(f"{self._spec.model} did not answer with a vector for each text.") from None
