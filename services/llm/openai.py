"""Any OpenAI-compatible chat-completions spec.

ChatOpenAI does what it is good at, the conversion of messages and tools into a request body; the stream is our own: raw
HTTP chunks, parsed with orjson, text straight to the run's sink. That costs about 2 us per token where the SDK and
LangChain's chunks cost 240 (docs/performance.md).
"""

import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
import orjson
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

from services.errors import ModelOutputTooLarge, ModelStreamBroken
from services.llm.answer import AnswerBuilder
from services.llm.first_token import ALTERNATIVES, ODDS, odds_in
from services.llm.http_errors import error_from_status, error_in_stream, translated
from services.llm.sse import EventStreamDecoder
from services.llm.types import ModelCall, ProviderSpec, TextSink

logger = logging.getLogger(__name__)

MAX_ERROR_BODY_BYTES = 65_536

MAX_STREAM_BYTES = 67_108_864
"""Of one answer with everything round its content, which is a hundred times it or more for short pieces."""

_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What reading JSON of another shape than the API's raises; pydantic's ValidationError is a ValueError."""


class OpenAIProvider:
    """Implements `ChatProvider` for an OpenAI-compatible spec. Open and close it on the loop that uses it."""

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._defaults: Mapping[str, Any] = spec.arguments
        self._converter = ChatOpenAI(
            model=spec.model, api_key=lambda: spec.api_key, base_url=spec.base_url, max_retries=0
        )
        self._url = f"{spec.base_url.rstrip('/')}/chat/completions"
        self._session = _open_session(spec)

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def model(self) -> str:
        return self._spec.model

    async def aclose(self) -> None:
        await self._session.close()

    async def generate(self, call: ModelCall, sink: TextSink) -> AIMessage:
        """Stream one answer; see `ChatProvider`. On cancellation the connection is closed, which stops the provider."""
        body = orjson.dumps(self._payload(call))
        told = call.traceparent if self._spec.told_of_traces else None
        with translated(self.name):
            return await self._stream(body, AnswerBuilder(sink), sink, {} if told is None else {"traceparent": told})

    async def first_token(self, call: ModelCall, sink: TextSink) -> AIMessage:
        """Answer with one token and its log-probabilities; see `services.llm.first_token`. Not a stream."""
        payload = {**self._payload(call), "max_completion_tokens": 1, "logprobs": True, "top_logprobs": ALTERNATIVES}
        del payload["stream"], payload["stream_options"]
        with translated(self.name):
            async with self._session.post(
                self._url, data=orjson.dumps(payload), allow_redirects=False, trace_request_ctx=sink
            ) as response:
                await self._check_status(response)
                body = await read_up_to(MAX_ERROR_BODY_BYTES, response.content)
        answer = AnswerBuilder(sink)
        try:
            whole = orjson.loads(body)
            answer.feed(whole)
            message = answer.message()
            message.response_metadata[ODDS] = odds_in(whole)
        except _UNREADABLE:
            raise ModelStreamBroken(f"{self.name}: the answer has an unexpected shape.") from None
        return message

    async def _stream(
        self, body: bytes, answer: AnswerBuilder, sink: TextSink, headers: Mapping[str, str]
    ) -> AIMessage:
        decoder = EventStreamDecoder()
        received = 0
        # A redirect would send the conversation, and our key, to an address that nobody configured.
        async with self._session.post(
            self._url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=sink
        ) as response:
            await self._check_head(response)
            async for chunk in response.content.iter_any():
                received += len(chunk)
                if received > MAX_STREAM_BYTES:
                    raise ModelOutputTooLarge(f"{self.name} sent more than {MAX_STREAM_BYTES} bytes for one answer.")
                for payload in decoder.feed(chunk):
                    if payload == b"[DONE]":
                        return self._whole(answer)
                    self._take(payload, decoder, answer)
                await sink.drain()
        return self._whole(answer)

    async def _check_status(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 200:
            body = await read_up_to(MAX_ERROR_BODY_BYTES, response.content)
            raise error_from_status(self.name, response.status, response.headers, body, secret=self._spec.api_key)

    async def _check_head(self, response: aiohttp.ClientResponse) -> None:
        await self._check_status(response)
        if response.content_type != "text/event-stream":
            logger.warning("%s answered with %.100r, not with an event stream", self.name, response.content_type)
            raise ModelStreamBroken(f"{self.name} did not answer with an event stream (HTTP 200).")

    def _take(self, payload: bytes, decoder: EventStreamDecoder, answer: AnswerBuilder) -> None:
        """Feed one payload to the answer."""
        try:
            chunk = orjson.loads(payload)
            if decoder.error_event or chunk.get("error"):
                raise error_in_stream(self.name, chunk.get("error") or chunk, secret=self._spec.api_key)
            answer.feed(chunk)
        except orjson.JSONDecodeError:
            raise ModelStreamBroken(f"{self.name}: a chunk of the stream is not valid JSON.") from None
        except _UNREADABLE:
            raise ModelStreamBroken(f"{self.name}: a chunk of the stream has an unexpected shape.") from None

    def _whole(self, answer: AnswerBuilder) -> AIMessage:
        try:
            return answer.message()
        except _UNREADABLE:
            raise ModelStreamBroken(f"{self.name}: the answer has an unexpected shape.") from None

    def _payload(self, call: ModelCall) -> dict[str, Any]:
        options = call.options
        extra: dict[str, Any] = {
            "temperature": options.temperature,
            "top_p": options.top_p,
            "seed": options.seed,
            "stop": list(options.stop) or None,
            "max_completion_tokens": self._spec.output_limit(options),
            "response_format": call.response_format,
        }
        if call.tools:
            extra["tools"] = list(call.tools)
            extra["tool_choice"] = _tool_choice(call.tool_choice)
        # LangChain's own conversion; the method is what ChatOpenAI itself calls, and a contract test pins it.
        payload: dict[str, Any] = self._converter._get_request_payload(list(call.messages))  # noqa: SLF001
        payload.update(self._defaults)
        payload.update({key: value for key, value in extra.items() if value is not None})
        payload["stream"] = True
        payload["stream_options"] = {"include_usage": True}
        return payload


class Readable(Protocol):
    """A body as it comes in: `read` returns what is there, up to `n` bytes, and nothing at the end."""

    async def read(self, n: int) -> bytes: ...


async def read_up_to(limit: int, content: Readable) -> bytes:
    """Return the whole body, or its first `limit` bytes. One `read` may return half of it, and half a JSON says nothing."""
    body = b""
    while len(body) < limit and (part := await content.read(limit - len(body))):
        body += part
    return body


def _tool_choice(choice: str) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


async def _sent(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    sink: TextSink = context.trace_request_ctx
    sink.sent()


def _open_session(spec: ProviderSpec) -> aiohttp.ClientSession:
    # Only when the body goes out does the provider have the call: not while a connection is awaited or made.
    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(_sent)
    return aiohttp.ClientSession(
        trace_configs=[trace],
        connector=aiohttp.TCPConnector(limit=spec.max_connections, ttl_dns_cache=60),
        # Only the connection is limited here; how long an answer may take is the gateway's to say.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=spec.connect_timeout_s),
        headers={"authorization": f"Bearer {spec.api_key}", "content-type": "application/json"},
    )
