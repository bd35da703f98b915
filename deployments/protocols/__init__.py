"""The client protocols that Mainstay speaks, each a pure mapping in a file of its own."""

from collections.abc import Mapping

from deployments.protocols import chat_completions, chat_stream, runs
from deployments.protocols.types import ClientProtocol

PROTOCOLS: Mapping[str, ClientProtocol] = {
    "chat_stream": chat_stream.PROTOCOL,
    "chat_completions": chat_completions.PROTOCOL,
    "queued_run": runs.QUEUED,
    "waited_run": runs.WAITED,
}
