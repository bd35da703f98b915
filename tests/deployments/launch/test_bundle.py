import os
import zipfile
from pathlib import Path

from deployments.launch.bundle import bundle


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    """Times and order on the disk do not matter; a changed file changes the name."""
    root = tmp_path / "repo"
    (root / "services").mkdir(parents=True)
    (root / "services" / "a.py").write_text("a = 1\n")
    (root / "serve_config.yaml").write_text("applications: []\n")
    first = bundle(tmp_path / "one", root)
    os.utime(root / "services" / "a.py", (0, 0))
    second = bundle(tmp_path / "two", root)
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    (root / "services" / "a.py").write_text("a = 2\n")
    assert bundle(tmp_path / "one", root).name != first.name


def test_the_bundle_holds_the_code_and_only_that(tmp_path: Path) -> None:
    """What Serve imports is inside, tests and caches are not."""
    with zipfile.ZipFile(bundle(tmp_path)) as archive:
        names = set(archive.namelist())
    expected = {"deployments/app.py", "configs/default.yaml", "serve_config.yaml", "services/errors.py"}
    assert expected <= names
    assert "deployments/launch/templates/qwen_tools.jinja" in names
    assert not [n for n in names if n.startswith(("tests/", "benchmarks/", "build/", ".")) or "__pycache__" in n]
