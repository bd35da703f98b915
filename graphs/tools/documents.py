"""Reads a folder of Markdown into the documents that `search_documents` searches. The launcher puts them into the store."""

import re
from collections.abc import Iterator
from pathlib import Path

from services.errors import ConfigurationError
from services.storage.documents import Document

HANDBOOK = Path(__file__).parent / "handbook"
"""A sample: the support handbook of a fictional maker of espresso machines."""

_HEADING = re.compile(r"(?P<level>#{1,6})\s+(?P<title>.*\S)")


def read_documents(folder: Path) -> list[Document]:
    """Make a document of every section of every `.md` file below `folder`, in a stable order.

    Its path is `file.md#section`, relative to the folder; its title names the file's heading and the section's. The store cuts
    long sections at their paragraphs. Raises ConfigurationError when there is no such folder, no such file in it, or one
    that is not UTF-8.
    """
    files = sorted(folder.rglob("*.md")) if folder.is_dir() else []
    if not files:
        raise ConfigurationError(f"There are no Markdown files in {folder}.")
    documents = [document for file in files for document in _split(file, folder)]
    return list({document.path: document for document in documents}.values())


def _split(file: Path, folder: Path) -> Iterator[Document]:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file.name} is not UTF-8 text.") from None
    path = file.relative_to(folder).as_posix()
    subject = file.stem.replace("-", " ").capitalize()
    taken: dict[str, int] = {}
    for level, title, body in _sections(text):
        if level == 1:
            subject = title
        if not body:
            continue
        slug = "-".join(re.findall(r"\w+", title.lower())) if level > 1 else ""
        taken[slug] = taken.get(slug, 0) + 1
        place = slug if taken[slug] == 1 else f"{slug}-{taken[slug]}".lstrip("-")
        yield Document(
            path=f"{path}#{place}" if place else path, title=f"{subject}: {title}" if level > 1 else subject, text=body
        )


def _sections(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield (level, title, body), level 0 for what stands before the first heading. A `#` in a code block is no heading."""
    level, title, body, in_code = 0, "", list[str](), False
    for line in text.splitlines():
        in_code ^= line.startswith("```")
        heading = None if in_code else _HEADING.match(line)
        if heading is None:
            body.append(line)
            continue
        yield level, title, "\n".join(body).strip()
        level, title, body = len(heading["level"]), heading["title"], []
    yield level, title, "\n".join(body).strip()
