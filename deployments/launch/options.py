"""Where the launcher keeps things and what the environment asked of it."""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from deployments.launch.errors import LaunchFailed

REPOSITORY = Path(__file__).resolve().parents[2]
_TEMPORARY_PATH_MAX = 8  # what HAProxy's and Ray's sockets below it leave of 97 and 107 bytes
Profile = Literal["plain", "production"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One launch. `home` holds what must survive (database, secrets), `scratch` what need not (sockets, Ray's session).

    `scratch` is short because the paths of Unix sockets are limited to 107 bytes.
    """

    home: Path
    scratch: Path
    profile: Profile
    port: int
    dashboard_port: int
    cpus: int | None
    beside_other_ray: bool
    replicas: int | None = None
    """The least replicas of ingress and agent; as serve_config.yaml has it if unset."""
    settings_path: Path | None = None
    """Settings of the operator's own, laid over everything else."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Options":
        """Read MAINSTAY_HOME, PROFILE, MAINSTAY_PORT, ... Raises LaunchFailed, naming the variable."""
        home = home_dir(environ)
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:8]
        profile = environ.get("PROFILE") or "plain"
        if profile not in {"plain", "production"}:
            raise LaunchFailed(f"PROFILE={profile} is not a profile", "use PROFILE=plain or PROFILE=production")
        return cls(
            home=home,
            scratch=_temporary_dir() / f"mainstay-{os.geteuid()}-{digest}",
            profile=cast(Profile, profile),
            port=_number(environ, "MAINSTAY_PORT", 8000, 65_535),
            dashboard_port=_number(environ, "MAINSTAY_DASHBOARD_PORT", 8265, 65_535),
            cpus=_number(environ, "MAINSTAY_CPUS", 2, 4_096) if environ.get("MAINSTAY_CPUS") else None,
            replicas=_number(environ, "MAINSTAY_REPLICAS", 1, 1_024) if environ.get("MAINSTAY_REPLICAS") else None,
            beside_other_ray=environ.get("MAINSTAY_BESIDE_OTHER_RAY") == "1",
            settings_path=Path(chosen).expanduser().absolute()
            if (chosen := environ.get("MAINSTAY_SETTINGS"))
            else None,
        )

    @property
    def postgres_dir(self) -> Path:
        """The embedded database's data."""
        return self.home / "postgres"

    @property
    def haproxy_dir(self) -> Path:
        """HAProxy's sockets, in a folder per node: with its 56 characters HAProxy's limit is 97."""
        return self.scratch.parent / f"ms-haproxy-{os.geteuid()}"

    @property
    def ready_path(self) -> Path:
        """Written when the application serves, for tools; private, because it may hold an API key."""
        return self.home / "ready.json"

    @property
    def lock_path(self) -> Path:
        """Held by the one launcher of this home, and names it."""
        return self.home / "launcher.json"

    def make_folders(self) -> None:
        """Make both folders. Raises LaunchFailed where that is not possible or not safe."""
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o711)
            for folder in (self.scratch, self.haproxy_dir):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise LaunchFailed(
                f"{error.filename} cannot be made ({error.strerror})", "set MAINSTAY_HOME to a folder of your own"
            ) from error
        for folder in (self.scratch, self.haproxy_dir):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                raise LaunchFailed(f"{folder} belongs to another user", "remove it, or set TMPDIR to another folder")

    def secret(self, name: str) -> str:
        """Return a secret of this installation, made at its first use and kept in a file that only we can read."""
        path = self.home / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text().strip()
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        return path.read_text()


def home_dir(environ: Mapping[str, str]) -> Path:
    """Return MAINSTAY_HOME, or the application data folder: /var/lib/mainstay for root, else XDG_DATA_HOME/mainstay.

    Root's is not below a home folder: the database runs as another user, which cannot and should not enter one.
    """
    if chosen := environ.get("MAINSTAY_HOME"):
        return Path(chosen).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/mainstay")
    base = environ.get("XDG_DATA_HOME") or ""
    root = Path(base) if os.path.isabs(base) else Path(environ.get("HOME") or Path.home()) / ".local" / "share"
    return root / "mainstay"


def _temporary_dir() -> Path:
    """Return the temporary folder, or /tmp where its path is so long that Ray's sockets below it would not fit."""
    folder = tempfile.gettempdir()
    return Path(folder if len(os.fsencode(folder)) <= _TEMPORARY_PATH_MAX else "/tmp")  # noqa: S108


def _number(environ: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise LaunchFailed(f"{name}={text} is not a number from 1 to {most}", f"set it, or unset it for {default}")
    return int(text)
