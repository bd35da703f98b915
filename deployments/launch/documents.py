"""The folder of Markdown that agents search, put into the database when it has changed.

MAINSTAY_DOCUMENTS names the folder. Without it the embedded database gets the sample handbook, and a database of the
user's own is left alone.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from deployments.launch.options import REPOSITORY, Options
from services.storage.database import Database
from services.storage.documents import DocumentRepository

_HANDBOOK = REPOSITORY / "graphs" / "tools" / "handbook"


def folder_of(environ: Mapping[str, str], *, embedded: bool) -> Path | None:
    """Return the folder to load, None where there is nothing to do."""
    if named := environ.get("MAINSTAY_DOCUMENTS"):
        return Path(named).expanduser()
    return _HANDBOOK if embedded else None


async def load(url: str, folder: Path) -> int:
    """Make the folder's sections the shared documents; return how many. Raises ConfigurationError for no Markdown."""
    from graphs.tools.documents import read_documents  # brings LangGraph along, which takes seconds to import

    found = read_documents(folder)
    database = Database.open(url, pool_size=1, application_name="mainstay-documents")
    try:
        await DocumentRepository(database).replace(found)
    finally:
        await database.close()
    return len(found)


async def load_if_changed(url: str, folder: Path, options: Options) -> bool:
    """Load into the embedded database unless it holds just these texts; return whether it was done."""
    marker, wanted = options.home / "documents.sha256", fingerprint(folder, options.postgres_dir)
    if marker.exists() and marker.read_text() == wanted:
        return False
    await load(url, folder)
    marker.write_text(wanted)
    return True


def fingerprint(folder: Path, data_dir: Path) -> str:
    """Return a digest of the texts, the reader and the database: one that was made anew holds nothing yet."""
    digest = hashlib.sha256(str((data_dir / "PG_VERSION").stat().st_mtime_ns).encode())
    for path in sorted([*folder.rglob("*.md"), REPOSITORY / "graphs" / "tools" / "documents.py"]):
        digest.update(f"\0{path}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
