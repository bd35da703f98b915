"""The log of refusals: enough to see an attack, and never more than a line a minute of each kind."""

import logging

import pytest

from services.security.refusals import Reason, RefusalLog


def test_a_flood_is_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The first of each reason at once; the next one after a minute says how many there were meanwhile."""
    now = [0.0]
    log = RefusalLog(lambda: now[0])
    with caplog.at_level(logging.INFO, "services.security.refusals"):
        for second in range(120):
            now[0] = float(second)
            for _ in range(10):
                log.refused(Reason.KEY_UNKNOWN)
        log.refused(Reason.TOKEN_EXPIRED)
    lines = [(record.getMessage(), record.__dict__["reason"], record.__dict__["more"]) for record in caplog.records]
    assert lines == [
        ("somebody was not let in: key_unknown (0 more since the last such line)", "key_unknown", 0),
        ("somebody was not let in: key_unknown (599 more since the last such line)", "key_unknown", 599),
        ("somebody was not let in: token_expired (0 more since the last such line)", "token_expired", 0),
    ]
