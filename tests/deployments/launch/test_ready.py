import json
import stat
from pathlib import Path

from deployments.launch.ready import Ready, screen, write


def _ready(api_key: str | None) -> Ready:
    return Ready(
        url="http://127.0.0.1:8000",
        model="some model",
        api_key=api_key,
        dashboard="http://127.0.0.1:8265",
        token_path="/home/x/ray-token",
        root_pid=1,
        profile="plain",
        seconds=12.3,
    )


def test_a_new_key_is_shown_with_a_command_that_uses_it() -> None:
    """The one screen is enough to try it: the command holds the key."""
    text = screen(_ready("ms_new"), key_is_new=True)
    assert "ms_new   (shown this once" in text
    assert 'Bearer ms_new"' in text
    assert len(text.splitlines()) < 20


def test_a_later_start_does_not_show_a_key() -> None:
    """A key that was given is not repeated, and without one the screen says how to make another."""
    assert "make key" in screen(_ready(None), key_is_new=False)
    given = screen(_ready("ms_given"), key_is_new=False)
    assert "MAINSTAY_API_KEY" in given


def test_the_file_for_tools_is_private(tmp_path: Path) -> None:
    """It may hold a key, so only its owner reads it, also when an older one was open to all."""
    path = tmp_path / "ready.json"
    path.write_text("{}")
    path.chmod(0o644)
    write(_ready("ms_new"), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["api_key"] == "ms_new"
