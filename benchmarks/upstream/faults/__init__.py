"""How an upstream breaks: one entry per fault. Adding a fault is adding an entry; the tests run each of them because it
is listed. A slow head, a slow first token and slow tokens are no faults but times of a directive."""

from benchmarks.upstream.directive import Directive, DirectiveError
from benchmarks.upstream.faults import content, status, stream
from benchmarks.upstream.faults.fault import END, Fault, for_ever, go_on, instead, then
from benchmarks.upstream.reply import DONE_EVENT, EVENT_STREAM, End, Framing

FAULTS: dict[str, Fault] = {
    # It says no.
    "status_400": Fault(says="bad request", alter=status.refused(400, message="Bad request")),
    "context_length": Fault(
        says="400: the conversation is too long",
        alter=status.refused(
            400, message="This model's maximum context length is 8192 tokens.", code="context_length_exceeded"
        ),
    ),
    "status_401": Fault(
        says="wrong key", alter=status.refused(401, message="Incorrect API key provided", code="invalid_api_key")
    ),
    "status_403": Fault(
        says="key without permission",
        alter=status.refused(
            403, message="Country not supported", kind="request_forbidden", code="unsupported_country"
        ),
    ),
    "status_404": Fault(
        says="no such model", alter=status.refused(404, message="The model does not exist", code="model_not_found")
    ),
    "status_408": Fault(says="took too long", alter=status.refused(408, message="Request timed out", kind="timeout")),
    "status_413": Fault(says="too large, in a gateway's HTML", alter=status.from_gateway(413)),
    "status_422": Fault(says="unprocessable, in FastAPI's words", alter=status.from_framework(422)),
    "status_429": Fault(says="throttled, Retry-After in seconds", alter=status.throttled(status.in_seconds)),
    "status_429_date": Fault(says="throttled, Retry-After as a date", alter=status.throttled(status.as_date)),
    "status_429_ms": Fault(says="throttled, retry-after-ms", alter=status.throttled(status.in_milliseconds)),
    "status_429_reset": Fault(says="throttled, x-ratelimit-reset-*", alter=status.throttled(status.as_reset)),
    "status_429_bare": Fault(
        says="throttled, without a word on how long",
        alter=status.refused(429, kind="requests", code="rate_limit_exceeded", message="Rate limit reached."),
    ),
    "quota": Fault(
        says="429 that no retry will cure",
        alter=status.refused(
            429,
            kind="insufficient_quota",
            code="insufficient_quota",
            message="You exceeded your current quota, please check your plan and billing details.",
        ),
    ),
    "status_500": Fault(
        says="internal error", alter=status.refused(500, message="The server had an error", kind="server_error")
    ),
    "status_502": Fault(says="bad gateway, in HTML", alter=status.from_gateway(502)),
    "status_503": Fault(
        says="overloaded", alter=status.refused(503, message="The engine is overloaded", kind="server_error")
    ),
    "status_503_wait": Fault(
        says="overloaded, with Retry-After",
        alter=status.refused(503, message="Try again in {wait}.", kind="server_error", wait=status.in_seconds),
    ),
    "status_504": Fault(says="gateway timeout, in HTML", alter=status.from_gateway(504)),
    "status_529": Fault(
        says="overloaded, as Anthropic says it",
        alter=status.refused(529, message="Overloaded", kind="overloaded_error"),
    ),
    "status_301": Fault(says="moved to `location`", alter=status.redirected(301)),
    "status_307": Fault(says="moved to `location`, POST again there", alter=status.redirected(307)),
    # It does not get as far as a head.
    "hang": Fault(says="accepts and never answers", alter=instead((0.0, End.STALL), silent=True), endless=True),
    "close_before_head": Fault(says="FIN without an answer", alter=instead((0.0, End.FIN), silent=True)),
    "reset_before_head": Fault(says="RST without an answer", alter=instead((0.0, End.RST), silent=True)),
    # It stops, drips or breaks off.
    "no_first_token": Fault(says="a head, then nothing, for ever", alter=instead((0.0, End.STALL)), endless=True),
    "cut": Fault(says="ends in order, without finish_reason and [DONE]", alter=then((1.0, End.COMPLETE_FIN))),
    "cut_unframed": Fault(says="FIN without the body's end", alter=then((1.0, End.FIN))),
    "cut_close": Fault(says="FIN where only FIN ends the body", alter=then((1.0, End.FIN), framing=Framing.CLOSE)),
    "torn": Fault(says="FIN inside a chunk", alter=then((1.0, End.TORN))),
    "reset": Fault(says="RST", alter=then((1.0, End.RST))),
    "stall": Fault(says="sends nothing more, open for ever", alter=then((1.0, End.STALL)), endless=True),
    "pings": Fault(says="only comments, for ever", alter=for_ever(stream.PING, every_s=stream.PACE_S), endless=True),
    "ping_drip": Fault(
        says="only comments, a byte at a time",
        alter=for_ever(*(bytes((value,)) for value in stream.PING), every_s=stream.PACE_S),
        endless=True,
    ),
    "drip": Fault(says="an event that never ends, a byte at a time", alter=go_on(stream.dripped), endless=True),
    "empty_deltas": Fault(
        says="deltas without content, for ever",
        alter=for_ever(stream.EMPTY_DELTA, every_s=stream.PACE_S),
        endless=True,
    ),
    "no_done": Fault(says="finish_reason without [DONE]", alter=stream.without_done),
    "no_finish_reason": Fault(says="[DONE] without finish_reason", alter=then((1.0, DONE_EVENT), (0.0, End.DONE))),
    # It says something else.
    "empty": Fault(says="200 with an empty body", alter=content.body(b"", content_type=EVENT_STREAM)),
    "html": Fault(says="200 with a page of HTML", alter=content.body(content.PAGE, content_type="text/html")),
    "other_form": Fault(says="200 with JSON for a stream, a stream for JSON", alter=content.other_form),
    "error_200": Fault(says="200 with an error object", alter=content.error_with_200),
    "error_data": Fault(
        says="an error object in the stream, then the end", alter=then((1.0, content.IN_STREAM_ERROR), END)
    ),
    "error_event": Fault(
        says="an `error` event in the stream, then the end", alter=then((1.0, content.ERROR_EVENT), END)
    ),
    "malformed": Fault(
        says="a chunk that is no JSON, then [DONE]",
        alter=then((1.0, b'data: {"id": \n\n'), (1.0, DONE_EVENT), (0.0, End.DONE)),
    ),
    "other_shape": Fault(
        says="a chunk that is JSON of another shape, then [DONE]",
        alter=then((1.0, b"data: [1,2]\n\n"), (1.0, DONE_EVENT), (0.0, End.DONE)),
    ),
    "not_utf8": Fault(says="a chunk that is no UTF-8, then [DONE]", alter=go_on(content.not_utf8)),
    "long_line": Fault(says="one line of 64 MiB, then the end", alter=go_on(content.long_line)),
    "flood": Fault(says="text without end, as fast as it is read", alter=go_on(content.flood), endless=True),
    "repetition": Fault(says="the same words without end", alter=go_on(content.repetition), endless=True),
    "length": Fault(says="an answer that the token limit cut", ask=content.shortened("length")),
    "content_filter": Fault(says="an answer that a filter cut", ask=content.shortened("content_filter")),
}


def fault_of(directive: Directive) -> Fault | None:
    """The fault that a directive names; DirectiveError when there is none of that name."""
    if directive.fault is None:
        return None
    if directive.fault not in FAULTS:
        raise DirectiveError(f"no fault {directive.fault!r}; there are: {', '.join(FAULTS)}")
    return FAULTS[directive.fault]
