"""Lines in the log: JSON for programs, text for people, and in neither a tenant's name, a secret, or somebody else's line.

`JsonLines` writes one object a line: `time` (UTC), `level`, `logger`, `message`, `deployment`, `replica`; for whom the work was
done: `run`, `thread`, `tenant`, `request`, `trace`; then whatever the line was given as `extra`. No text is trusted: it is
escaped as JSON, or loses its control characters, and what looks like a credential in it is replaced.
"""

import hashlib
import hmac
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from services.guardrails.screen.hold_back import HoldBack, RuleSet
from services.guardrails.screen.rules import Rule
from services.guardrails.screen.secrets import SECRETS
from services.telemetry.log_context import log_context
from services.telemetry.texts import encodable
from services.telemetry.tracebacks import told

OURS = ("configs", "deployments", "evaluation", "graphs", "services")
"""The loggers below which all of our lines are written."""
MAX_MESSAGE_CHARS = 16_000
_MIN_SECRET_CHARS = 8
_MIN_FORMAT_CHARS = 15
"""No format of a credential is shorter: the shortest is `bearer ` with eight characters."""
_HIDDEN = "***"
_DIGITS = 16
_CACHED = 1_024
_SHORT_CHARS = 64
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "tenant_id", "user_id"}
_PLAIN = frozenset({type(None), bool, int, float})
_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s'\",;]{8,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNESCAPED = re.compile(r"[\x7f-\x9f\u2028\u2029]")
"""Of these, what JSON leaves as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which replica writes."""

    deployment: str
    replica: str


class Pseudonyms:
    """Names by which logs tell tenants and users apart, and not who they are: HMAC-SHA-256 under a key, 64 bits of it."""

    def __init__(self, key: str) -> None:
        self._key = hmac.digest(key.encode(), b"mainstay log pseudonyms", hashlib.sha256)
        self._known: dict[str, str] = {}

    def of(self, name: str) -> str:
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _CACHED:
                self._known.clear()
            known = hmac.digest(self._key, name.encode(errors="surrogatepass"), hashlib.sha256).hex()[:_DIGITS]
            self._known[name] = known
        return known

    def of_user(self, tenant_id: str, user_id: str) -> str:
        return self.of(f"{tenant_id}\x00{user_id}")


class Hiding:
    """Takes credentials out of a text: `secrets`, which are ours, and whatever has the format of one (see
    `services.guardrails.screen.secrets`).
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        # One that is shorter could be a word, and would tell by its absence.
        known = sorted({secret for secret in secrets if len(secret) >= _MIN_SECRET_CHARS}, key=len, reverse=True)
        self._ours = re.compile("|".join(map(re.escape, known))) if known else None
        self._rules = RuleSet(SECRETS)
        self._clean: set[str] = set()
        """Short texts that had nothing in them: of most lines all, again and again."""

    def __call__(self, text: str) -> str:
        if len(text) < _MIN_SECRET_CHARS or text in self._clean:
            return text
        shown = self._looked_at(text)
        if shown == text and len(text) <= _SHORT_CHARS:
            if len(self._clean) >= _CACHED:
                self._clean.clear()
            self._clean.add(text)
        return shown

    def _looked_at(self, text: str) -> str:
        if self._ours is not None:
            text = self._ours.sub(_HIDDEN, text)
        if len(text) < _MIN_FORMAT_CHARS:
            return text
        text = _BEARER.sub(rf"\1{_HIDDEN}", text)
        screen = HoldBack(self._rules, "", _ignored)
        return screen.feed(text) + screen.finish()


def _ignored(rule: Rule) -> None:
    """Every line that holds one says so by the notice in its place."""


class _Lines(logging.Formatter):
    """With `words`, exceptions that are not ours say what they say, which may be somebody's prompt."""

    def __init__(self, pseudonyms: Pseudonyms, hiding: Hiding, *, words: bool = False) -> None:
        super().__init__()
        self._pseudonyms = pseudonyms
        self._hiding = hiding
        self._words = words
        self._time = _Clock()

    def _message(self, record: logging.LogRecord) -> str:
        return self._hiding(record.getMessage()[:MAX_MESSAGE_CHARS])

    def _error(self, record: logging.LogRecord) -> str:
        if record.exc_info and record.exc_info[1] is not None:
            return self._hiding(told(record.exc_info[1], words=self._words)[-MAX_MESSAGE_CHARS:])
        return ""

    def _about(self, record: logging.LogRecord) -> Iterator[tuple[str, str]]:
        """For whom the work was done that the line is about."""
        context = log_context()
        if context.run_id is not None:
            yield "run", str(context.run_id)
        if context.thread_id is not None:
            yield "thread", str(context.thread_id)
        tenant_id = getattr(record, "tenant_id", None) or context.tenant_id
        if tenant_id:
            yield "tenant", self._pseudonyms.of(tenant_id)
        if user_id := getattr(record, "user_id", None):
            yield "user", self._pseudonyms.of_user(tenant_id, user_id)
        if context.request_id:
            yield "request", context.request_id
        if context.trace_id:
            yield "trace", context.trace_id

    def _shown(self, value: Any) -> Any:
        """A value that was given to a line, as JSON may have it."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, str):
            return encodable(self._hiding(value[:MAX_MESSAGE_CHARS]))
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, Mapping):
            return {str(name): self._shown(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._shown(item) for item in value]
        return type(value).__name__


class JsonLines(_Lines):
    """One JSON object a line."""

    def __init__(self, origin: Origin, pseudonyms: Pseudonyms, hiding: Hiding, *, words: bool = False) -> None:
        super().__init__(pseudonyms, hiding, words=words)
        self._origin = {"deployment": origin.deployment, "replica": origin.replica}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self._time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": encodable(self._message(record)),
            **self._origin,
        }
        line.update(self._about(record))
        for name, value in record.__dict__.items():
            if name not in _STANDARD and name not in line and name[0] != "_":  # Ray marks records for itself
                line[name] = self._shown(value)
        if error := self._error(record):
            line["exception"] = encodable(error)
        return _UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(line).decode())


class TextLines(_Lines):
    """A line of text. What follows it of an exception is set in, so that no text can begin a line."""

    def format(self, record: logging.LogRecord) -> str:
        about = "".join(f" {name}={_flat(value)}" for name, value in self._about(record))
        line = f"{record.levelname} {self._time(record)} {record.name}:{about} {_flat(self._message(record))}"
        if error := self._error(record):
            line += "".join(f"\n    {_flat(part)}" for part in error.splitlines())
        return line


class _Clock:
    """Writes times; the second is the same for many lines."""

    def __init__(self) -> None:
        self._second = -1
        self._written = ""

    def __call__(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            written = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second, self._written = second, written
        return f"{self._written}.{int(record.msecs):03d}+00:00"


def _flat(text: str) -> str:
    """Return the text without what could begin a line, or move a terminal's cursor."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def write_to(*handlers: logging.Handler, level: str) -> None:
    """Have all our lines from this level on written by these handlers, and by nobody else."""
    for name in OURS:
        logger = logging.getLogger(name)
        for old in logger.handlers:
            old.close()
        logger.handlers = [*handlers]
        logger.setLevel(level)
        logger.propagate = False
