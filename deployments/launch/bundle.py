"""`make bundle`: the code as one zip for `runtime_env.working_dir`, the same bytes for the same files."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from deployments.launch.options import REPOSITORY

_ROOTS = (
    "configs",
    "deployments",
    "evaluation",
    "graphs",
    "services",
    "serve_config.yaml",
    "pyproject.toml",
    "LICENSE",
)
_SKIPPED_SUFFIXES = {".pyc", ".pyo"}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: the files' own times would change the bytes


def bundle(target_dir: Path, root: Path = REPOSITORY) -> Path:
    """Write build/mainstay-<hash>.zip and return its path. Tests, benchmarks and caches stay out.

    The hash in the name is that of the contents, so a changed bundle is a new address: Ray caches by address.
    """
    files = sorted(_files(root), key=lambda path: path.relative_to(root).as_posix())
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    target_dir.mkdir(parents=True, exist_ok=True)
    target = target_dir / f"mainstay-{digest.hexdigest()[:12]}.zip"
    draft = target.with_suffix(".new")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    draft.rename(target)
    return target


def _files(root: Path) -> Iterator[Path]:
    for name in _ROOTS:
        path = root / name
        if path.is_file():
            yield path
        elif path.is_dir():
            for file in path.rglob("*"):
                hidden = any(part.startswith(".") or part == "__pycache__" for part in file.relative_to(root).parts)
                if file.is_file() and not hidden and file.suffix not in _SKIPPED_SUFFIXES:
                    yield file
