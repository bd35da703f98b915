"""The end of a start: one screen for a person, one private file for tools."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What was started. `api_key` is set when it was made in this start or given; it is stored nowhere else."""

    url: str
    model: str
    api_key: str | None
    dashboard: str
    token_path: str
    root_pid: int
    profile: str
    seconds: float


def write(ready: Ready, path: Path) -> None:
    """Write the file for tools, readable by its owner alone."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(ready), file)
    draft.rename(path)


def screen(ready: Ready, *, key_is_new: bool) -> str:
    """Return the ready message."""
    key = ready.api_key or "$MAINSTAY_API_KEY"
    if key_is_new:
        key_line = f"{key}   (shown this once: keep it; `make key` makes another)"
    elif ready.api_key:
        key_line = "the one in MAINSTAY_API_KEY"
    else:
        key_line = "the one of the first start; `make key` makes another"
    body = '{"messages": [{"role": "user", "content": "what is 1234 * 5678?"}]}'
    return f"""
Mainstay is ready after {ready.seconds:.0f} s ({ready.profile} profile).

  URL        {ready.url}
  Model      {ready.model}
  API key    {key_line}
  Try it     curl -N {ready.url}/chat/stream -H "Authorization: Bearer {key}" -H 'Content-Type: application/json' -d '{body}'
  Dashboard  {ready.dashboard}   (asks for a token: cat {ready.token_path})

Ctrl-C stops everything; so does `make down` in another terminal.
"""
