"""The map from foreign exceptions to our errors is complete: for the HTTP library, and for the SDK's public exceptions."""

import inspect
import ssl
from typing import Any
from unittest import mock

import aiohttp
import httpx2
import openai
import pytest
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from services.errors import (
    ModelAuthRejected,
    ModelError,
    ModelMissing,
    ModelNameUnresolved,
    ModelQuotaExhausted,
    ModelRejectedRequest,
    ModelServerError,
    ModelStreamBroken,
    ModelThrottled,
    ModelTimeout,
    ModelTlsFailed,
    ModelUnreachable,
)
from services.llm.http_errors import error_from_status, translated
from services.llm.langchain import LangChainProvider
from services.llm.types import ProviderSpec
from tests.services.llm.test_langchain import Scripted

CONNECTION = ConnectionKey("host", 443, True, True, None, None, None)
REQUEST = RequestInfo(URL("https://host/"), "POST", CIMultiDictProxy(CIMultiDict()), URL("https://host/"))
REFUSED = OSError(111, "Connection refused")

_CLIENT_ERRORS: list[tuple[type[BaseException], BaseException, type[ModelError]]] = [
    (aiohttp.ClientError, aiohttp.ClientError("x"), ModelStreamBroken),
    (aiohttp.ClientConnectionError, aiohttp.ClientConnectionError("x"), ModelUnreachable),
    (aiohttp.ClientConnectionResetError, aiohttp.ClientConnectionResetError("x"), ModelUnreachable),
    (aiohttp.ClientConnectorError, aiohttp.ClientConnectorError(CONNECTION, REFUSED), ModelUnreachable),
    (aiohttp.ClientConnectorDNSError, aiohttp.ClientConnectorDNSError(CONNECTION, REFUSED), ModelNameUnresolved),
    (aiohttp.ClientProxyConnectionError, aiohttp.ClientProxyConnectionError(CONNECTION, REFUSED), ModelUnreachable),
    (aiohttp.ClientSSLError, aiohttp.ClientSSLError(CONNECTION, REFUSED), ModelTlsFailed),
    (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorSSLError(CONNECTION, REFUSED), ModelTlsFailed),
    (
        aiohttp.ClientConnectorCertificateError,
        aiohttp.ClientConnectorCertificateError(CONNECTION, ssl.CertificateError("expired")),
        ModelTlsFailed,
    ),
    (aiohttp.ClientHttpProxyError, aiohttp.ClientHttpProxyError(REQUEST, ()), ModelStreamBroken),
    (aiohttp.ClientOSError, aiohttp.ClientOSError(104, "reset"), ModelUnreachable),
    (aiohttp.ClientPayloadError, aiohttp.ClientPayloadError("x"), ModelStreamBroken),
    (aiohttp.ClientResponseError, aiohttp.ClientResponseError(REQUEST, ()), ModelStreamBroken),
    (aiohttp.ContentTypeError, aiohttp.ContentTypeError(REQUEST, ()), ModelStreamBroken),
    (aiohttp.ConnectionTimeoutError, aiohttp.ConnectionTimeoutError(), ModelTimeout),
    (aiohttp.SocketTimeoutError, aiohttp.SocketTimeoutError(), ModelTimeout),
    (aiohttp.ServerTimeoutError, aiohttp.ServerTimeoutError(), ModelTimeout),
    (aiohttp.ServerConnectionError, aiohttp.ServerConnectionError(), ModelUnreachable),
    (aiohttp.ServerDisconnectedError, aiohttp.ServerDisconnectedError(), ModelUnreachable),
    (
        aiohttp.ServerFingerprintMismatch,
        aiohttp.ServerFingerprintMismatch(b"a", b"b", "host", 443),
        ModelTlsFailed,
    ),
    (aiohttp.InvalidURL, aiohttp.InvalidURL("x"), ModelUnreachable),
    (aiohttp.InvalidUrlClientError, aiohttp.InvalidUrlClientError("x"), ModelUnreachable),
    (aiohttp.InvalidUrlRedirectClientError, aiohttp.InvalidUrlRedirectClientError("x"), ModelUnreachable),
    (aiohttp.NonHttpUrlClientError, aiohttp.NonHttpUrlClientError("x"), ModelUnreachable),
    (aiohttp.NonHttpUrlRedirectClientError, aiohttp.NonHttpUrlRedirectClientError("x"), ModelUnreachable),
    (aiohttp.RedirectClientError, aiohttp.RedirectClientError("x"), ModelStreamBroken),
    (aiohttp.TooManyRedirects, aiohttp.TooManyRedirects(REQUEST, ()), ModelStreamBroken),
    (aiohttp.UploadAbortedError, aiohttp.UploadAbortedError(mock.Mock()), ModelStreamBroken),
    (aiohttp.WSServerHandshakeError, aiohttp.WSServerHandshakeError(REQUEST, ()), ModelStreamBroken),
]

CLIENT_ERRORS = {kind: (error, expected) for kind, error, expected in _CLIENT_ERRORS}

REQUEST_OF_SDK = httpx2.Request("POST", "https://host/")


def sdk_status(kind: type[openai.APIStatusError], status: int) -> openai.APIStatusError:
    return kind("said", response=httpx2.Response(status, request=REQUEST_OF_SDK), body=None)


SDK_ERRORS: dict[type[BaseException], tuple[BaseException, type[ModelError]]] = {
    openai.OpenAIError: (openai.OpenAIError("x"), ModelStreamBroken),
    openai.APIError: (openai.APIError("x", REQUEST_OF_SDK, body=None), ModelStreamBroken),
    openai.APIStatusError: (sdk_status(openai.APIStatusError, 418), ModelRejectedRequest),
    openai.APITimeoutError: (openai.APITimeoutError(REQUEST_OF_SDK), ModelTimeout),
    openai.APIConnectionError: (openai.APIConnectionError(request=REQUEST_OF_SDK), ModelUnreachable),
    openai.APIResponseValidationError: (
        openai.APIResponseValidationError(httpx2.Response(200, request=REQUEST_OF_SDK), None),
        ModelStreamBroken,
    ),
    openai.BadRequestError: (sdk_status(openai.BadRequestError, 400), ModelRejectedRequest),
    openai.AuthenticationError: (sdk_status(openai.AuthenticationError, 401), ModelAuthRejected),
    openai.OAuthError: (
        openai.OAuthError(response=httpx2.Response(401, request=REQUEST_OF_SDK), body=None),
        ModelAuthRejected,
    ),
    openai.PermissionDeniedError: (sdk_status(openai.PermissionDeniedError, 403), ModelAuthRejected),
    openai.NotFoundError: (sdk_status(openai.NotFoundError, 404), ModelMissing),
    openai.ConflictError: (sdk_status(openai.ConflictError, 409), ModelRejectedRequest),
    openai.UnprocessableEntityError: (sdk_status(openai.UnprocessableEntityError, 422), ModelRejectedRequest),
    openai.RateLimitError: (sdk_status(openai.RateLimitError, 429), ModelThrottled),
    openai.InternalServerError: (sdk_status(openai.InternalServerError, 500), ModelServerError),
}
"""What a chat completion can raise, and what becomes of it."""

NOT_OF_CHAT = {
    "LengthFinishReasonError",  # raised by the SDK's `parse` alone, as the next is
    "ContentFilterFinishReasonError",
    "InvalidWebhookSignatureError",
    "WebSocketQueueFullError",
    "WebSocketConnectionClosedError",
}


def public_exceptions(module: Any) -> set[type[BaseException]]:
    named = (getattr(module, name) for name in module.__all__)
    return {item for item in named if inspect.isclass(item) and issubclass(item, BaseException)}


def test_every_exception_of_the_http_library_is_in_the_table() -> None:
    """A new version that adds one makes this fail, until somebody says what it means."""
    client_errors = {kind for kind in public_exceptions(aiohttp) if issubclass(kind, aiohttp.ClientError)}
    assert client_errors == set(CLIENT_ERRORS)


@pytest.mark.parametrize("kind", CLIENT_ERRORS, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_http_library_is_one_of_ours(kind: type[BaseException]) -> None:
    """Around the call and around the stream, nothing of aiohttp's gets out."""
    error, expected = CLIENT_ERRORS[kind]
    assert type(error) is kind
    with pytest.raises(ModelError) as caught, translated("main"):
        raise error
    assert type(caught.value) is expected


STATUSES = {
    301: ModelMissing,
    402: ModelQuotaExhausted,
    403: ModelAuthRejected,
    404: ModelMissing,
    408: ModelServerError,
    409: ModelRejectedRequest,
    413: ModelRejectedRequest,
    503: ModelServerError,
    529: ModelServerError,
}


@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
def test_every_status_is_one_of_ours(status: int, expected: type[ModelError]) -> None:
    """A status without a known body still has one meaning."""
    assert type(error_from_status("main", status, {}, b"")) is expected


def test_every_exception_of_the_sdk_is_in_the_table() -> None:
    """Those that a chat completion cannot raise are named."""
    known = {kind.__name__ for kind in SDK_ERRORS} | NOT_OF_CHAT
    assert {kind.__name__ for kind in public_exceptions(openai)} == known


@pytest.mark.parametrize("kind", SDK_ERRORS, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_sdk_is_one_of_ours(kind: type[BaseException]) -> None:
    """By its HTTP status where it has one, else by its name."""
    error, expected = SDK_ERRORS[kind]
    provider = LangChainProvider(ProviderSpec(name="main", model="m", api_key="k"), Scripted())
    assert type(provider._translated(error)) is expected  # type: ignore[arg-type]
