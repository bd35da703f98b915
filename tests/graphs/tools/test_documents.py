"""The sample handbook: how it is split, and that what people ask is found in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from graphs.build import build_tools
from graphs.tools.care import ToolCare
from graphs.tools.documents import HANDBOOK, read_documents
from graphs.tools.execution import ToolExecution
from graphs.tools.resources import ToolResources
from services.errors import ConfigurationError
from services.storage.database import Database
from services.storage.documents import DocumentRepository
from tests.graphs.fakes import calls, turn


def test_a_file_is_split_at_its_headings(tmp_path: Path) -> None:
    """Each section is a document, titled by file and section; a `#` in code is no heading, a repeated heading is kept."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "guide.md").write_text(
        "Preface.\n# The Guide\nIntro.\n## First step\nDo it.\n```\n# not a heading\n```\n## First step\nAgain.\n### Empty\n"
    )
    (tmp_path / "plain-notes.md").write_text("Just text.")
    assert [(d.path, d.title, d.text) for d in read_documents(tmp_path)] == [
        ("plain-notes.md", "Plain notes", "Just text."),
        ("sub/guide.md", "Guide", "Preface."),
        ("sub/guide.md#2", "The Guide", "Intro."),
        ("sub/guide.md#first-step", "The Guide: First step", "Do it.\n```\n# not a heading\n```"),
        ("sub/guide.md#first-step-2", "The Guide: First step", "Again."),
    ]


def test_a_folder_without_documents_is_refused(tmp_path: Path) -> None:
    """A wrong folder is a clear error, not an agent that knows nothing."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match="no Markdown files"):
            read_documents(folder)
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigurationError, match=r"latin\.md is not UTF-8"):
        read_documents(tmp_path)


def test_the_handbook_is_small() -> None:
    """A few passages of the sample fit the context of a very small model, and each can be addressed."""
    documents = read_documents(HANDBOOK)
    assert len({document.path for document in documents}) == len(documents) > 20
    assert max(len(document.text) for document in documents) < 500


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(migrated_database_url)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.mark.postgres
async def test_what_people_ask_is_found(database: Database) -> None:
    """The first passages for a question's words hold its answer."""
    repository = DocumentRepository(database)
    await repository.replace(read_documents(HANDBOOK))
    execution = ToolExecution(build_tools(["search_documents"], ToolResources(documents=repository)), ToolCare())
    asked = {
        "refund money back": "within 14 days",
        "How long is the warranty on espresso machines?": "3 years",
        "opening hours Saturday": "10:00 to 14:00",
        "shipping cost": "4.90 euros",
        "express delivery": "14.90 euros",
        "descale how often": "Every 3 months",
        "cancel subscription": "at any time",
        "water filter": "HF-2",
        "student discount": "15 percent",
    }
    answers = await execution.run([calls(*[("search_documents", {"query": query}) for query in asked])], turn().context)
    missed = [q for (q, part), answer in zip(asked.items(), answers, strict=True) if part not in str(answer.content)]
    assert missed == []
