"""The sizes that are published are those of turns as production stores them."""

import pytest

from benchmarks.growth import TURNS, grown, table


@pytest.mark.postgres
async def test_a_turn_is_weighed(postgres_url: str) -> None:
    """Each kind of turn leaves something where it must, and its log takes a fraction once it is compacted."""
    growths = [await grown(postgres_url, title, turn, 12) for title, turn in TURNS.items()]
    for growth in growths:
        assert growth.compacted["run_events"] < growth.live["run_events"] / 2
        assert growth.compacted["runs"] == growth.live["runs"] > 0
    stateless, chat, tool, _ = growths
    assert not stateless.live["checkpoints"]
    assert chat.live["checkpoint_blobs"] > 0
    assert tool.live["tool_effects"] > 0
    assert "| `run_events` |" in table(growths, 12)
    assert "`leases`" not in table(growths, 12)
