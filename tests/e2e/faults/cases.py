"""What a provider's fault is for a client: one entry each, which a test proves and docs/resilience.md shows."""

from dataclasses import dataclass

from benchmarks.upstream import FAULTS, Directive


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault of the first provider while the second is healthy. `rows` are those of the fault matrix it belongs to.

    `code` None means that the client gets a whole answer, from the second provider. With a code it gets a failure after the
    text that was shown. `attempts` are those that the first and the second provider saw.
    """

    fault: str
    rows: str
    after: int = 0
    code: str | None = None
    attempts: tuple[int, int]
    breaker: str = "closed"
    retry_after_s: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.fault}-after-{self.after}" if self.code else self.fault

    @property
    def directive(self) -> Directive:
        """The fault, long enough that it strikes in the middle."""
        return Directive(
            fault=self.fault, after=self.after, tokens=200, token_s=0.005, retry_after_s=self.retry_after_s
        )

    @property
    def says(self) -> str:
        """The fault in words."""
        when = f", after {self.after} pieces of text" if self.code else ""
        return f"{FAULTS[self.fault].says}{when}"


def _replaced(fault: str, rows: str, *, first: int = 2, breaker: str = "closed") -> Case:
    """Fails before the first text: the second provider answers."""
    return Case(fault=fault, rows=rows, attempts=(first, 1), breaker=breaker)


def _broken(fault: str, rows: str, code: str) -> Case:
    """Fails after text was shown: nothing is restarted."""
    return Case(fault=fault, rows=rows, after=3, code=code, attempts=(1, 0))


CASES = [
    # Before the first text.
    _replaced("hang", "4", first=1),
    _replaced("no_first_token", "4", first=1),
    _replaced("pings", "2, 4", first=1),
    _replaced("drip", "2, 4", first=1),
    _replaced("close_before_head", "3"),
    _replaced("reset_before_head", "3"),
    _replaced("status_500", "14"),
    _replaced("status_503", "14"),
    _replaced("status_529", "14"),
    _replaced("status_503_wait", "14", first=1),
    _replaced("status_404", "22", first=1),
    _replaced("status_401", "22", first=1, breaker="open"),
    _replaced("status_429", "15", first=1),
    _replaced("status_429_date", "15", first=1),
    _replaced("status_429_ms", "15", first=1),
    _replaced("status_429_reset", "15", first=1),
    _replaced("quota", "15", first=1, breaker="open"),
    _replaced("empty", "25"),
    _replaced("html", "25"),
    _replaced("error_200", "25"),
    _replaced("error_event", "25"),
    # After three pieces of text.
    _broken("cut", "1", "model_stream_broken"),
    _broken("no_finish_reason", "1", "model_stream_broken"),
    _broken("stall", "2", "model_timeout"),
    _broken("pings", "2", "model_timeout"),
    _broken("drip", "2", "model_timeout"),
    _broken("reset", "3", "model_stream_broken"),
    _broken("torn", "3", "model_stream_broken"),
    _broken("flood", "24", "model_output_too_large"),
    _broken("repetition", "24", "model_output_loops"),
    _broken("malformed", "25", "model_stream_broken"),
    _broken("not_utf8", "25", "model_stream_broken"),
    _broken("long_line", "25", "model_output_too_large"),
    _broken("error_data", "25", "model_stream_broken"),
    _broken("error_event", "25", "model_stream_broken"),
]
