"""A simulated OpenAI-compatible upstream: it answers, and misbehaves, exactly as each request asks it to.

    async with Upstream() as upstream:
        client = AsyncOpenAI(base_url=upstream.url, api_key="any")
        question = 'hi [[simulate {"tokens": 64, "fault": "cut"}]]'
        await client.chat.completions.create(model="m", messages=[{"role": "user", "content": question}])
        seen = await upstream.seen.until(lambda seen: seen.ended == 1)

or, as a process of its own: `python -m benchmarks.upstream --port 0 --port-file F`.
"""

from benchmarks.upstream.directive import Directive, DirectiveError
from benchmarks.upstream.faults import FAULTS, Fault
from benchmarks.upstream.record import Outcome, Record, SeenRequest
from benchmarks.upstream.request import ChatRequest
from benchmarks.upstream.server import Script, Upstream, in_turn

__all__ = [
    "FAULTS",
    "ChatRequest",
    "Directive",
    "DirectiveError",
    "Fault",
    "Outcome",
    "Record",
    "Script",
    "SeenRequest",
    "Upstream",
    "in_turn",
]
