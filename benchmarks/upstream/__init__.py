"""A simulated OpenAI-compatible upstream: it answers, and misbehaves, exactly as each request asks it to.

    async with Upstream() as upstream:
        client = AsyncOpenAI(base_url=upstream.url, api_key="any")
        question = 'hi [[simulate {"tokens": 64, "fault": "cut"}]]'
        await client.chat.completions.create(model="m", messages=[{"role": "user", "content": question}])
        seen = await upstream.seen.until(lambda seen: seen.ended == 1)

or, as a process of its own: `python -m benchmarks.upstream --port 0 --port-file F`, steered over HTTP (`GET /_seen`,
`DELETE /_seen`, `PUT /_default`, `PUT /_schedule`). Outages are a `Schedule`; what fails before HTTP is `Upstream(tls=...)`,
`refused_url()`, `unresolvable_url()` and `over_tls(url)`. Anything between client and upstream breaks with
`benchmarks.fault_proxy`.
"""

from benchmarks.upstream.addresses import over_tls, refused_url, unresolvable_url
from benchmarks.upstream.certificates import CERTIFICATES
from benchmarks.upstream.directive import Directive, DirectiveError
from benchmarks.upstream.faults import FAULTS
from benchmarks.upstream.faults.fault import Fault
from benchmarks.upstream.record import ClosedBy, Outcome, Record, SeenConnection, SeenRequest
from benchmarks.upstream.request import ChatRequest
from benchmarks.upstream.schedule import Phase, Schedule
from benchmarks.upstream.server import Script, Upstream, in_turn

__all__ = [
    "CERTIFICATES",
    "FAULTS",
    "ChatRequest",
    "ClosedBy",
    "Directive",
    "DirectiveError",
    "Fault",
    "Outcome",
    "Phase",
    "Record",
    "Schedule",
    "Script",
    "SeenConnection",
    "SeenRequest",
    "Upstream",
    "in_turn",
    "over_tls",
    "refused_url",
    "unresolvable_url",
]
