"""Where a replica's lines go: JSON into a file beside Serve's own, and text to stderr.

Serve writes JSON into files only, in a folder that it does not tell; but its logger's handler knows its file. What is in that
folder Ray's dashboard shows, and whoever collects Serve's lines collects ours.
"""

import logging
import logging.handlers
from collections.abc import Collection
from pathlib import Path

from ray import serve

from configs.telemetry import LogSettings
from services.telemetry.log_file import LineFile
from services.telemetry.logs import Hiding, JsonLines, Origin, Pseudonyms, TextLines, write_to

SERVE = "ray.serve"


def log_to_files(settings: LogSettings, *, key: str, secrets: Collection[str]) -> None:
    """Have this replica's own lines written, tenants under names that follow from `key`, and none of these `secrets`."""
    context = serve.get_replica_context()
    origin = Origin(deployment=context.deployment, replica=context.replica_tag)
    pseudonyms, hiding, words = Pseudonyms(key), Hiding(secrets), settings.level == "DEBUG"
    stderr = logging.StreamHandler()
    stderr.setFormatter(TextLines(pseudonyms, hiding, words=words))
    stderr.setLevel(settings.to_stderr)
    handlers: list[logging.Handler] = [stderr]
    if (beside := _file_of_serve()) is not None:
        path = Path(beside.baseFilename).parent / f"mainstay_{origin.deployment}_{origin.replica}.log"
        lines = LineFile(path, max_bytes=beside.maxBytes, kept=beside.backupCount)
        lines.setFormatter(JsonLines(origin, pseudonyms, hiding, words=words))
        handlers.append(lines)
    write_to(*handlers, level=settings.level)


def _file_of_serve() -> logging.handlers.RotatingFileHandler | None:
    """Return the handler that writes Serve's own file of this replica, None where it writes none."""
    for handler in logging.getLogger(SERVE).handlers:
        inner = handler.target if isinstance(handler, logging.handlers.MemoryHandler) else handler
        if isinstance(inner, logging.handlers.RotatingFileHandler):
            return inner
    return None
