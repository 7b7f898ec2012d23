"""The engine as a shared library out of a package: for tests, where nothing else is to be had."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@chdb/lib-linux-x64-gnu@26.7.3-stable.1"
PACKAGE_SHA512 = (
    "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=="
)
WITHOUT = "or run the other tests: -m 'not server'"


class ServerUnavailableError(Exception):
    """There is no server for the tests, and why."""


def library_command() -> list[str]:
    """The command that stands for `clickhouse-local`: its arguments follow."""
    entry = Path(__file__).with_name("local_entry.py")
    return [sys.executable, str(entry), str(fetch_library())]


def fetch_library(cache: Path | None = None) -> Path:
    """The engine's shared library, out of the cache or the package, whose hash must be the pinned.

    Args:
        cache: Folder to keep it in; by default under XDG_CACHE_HOME or ~/.cache.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = cache or root / "treehouse"
    name = PACKAGE.rpartition("/")[2].replace("@", "-")
    library = cache / name / "libchdb.so"
    if library.exists():
        return library
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise ServerUnavailableError(
            f"No ClickHouse for the tests: {PACKAGE} is for Linux on x86-64. "
            f"Set CLICKHOUSE_URL, put `clickhouse` on the PATH, {WITHOUT}."
        )
    library.parent.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                _unpack(_download(Path(folder)), library)
    return library


def _download(folder: Path) -> Path:
    """The package's archive, through the package manager and what registry it is set up for."""
    print(f"fetching {PACKAGE} for the tests (170 MB, once)", file=sys.stderr)
    try:
        subprocess.run(
            ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)],
            check=True,
            capture_output=True,
            text=True,
            timeout=1200,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        raise ServerUnavailableError(
            f"No ClickHouse for the tests: npm could not fetch {PACKAGE}.\n{said}\n"
            f"Set CLICKHOUSE_URL, put `clickhouse` on the PATH, install npm, {WITHOUT}."
        ) from error
    return next(folder.glob("*.tgz"))


def _unpack(archive: Path, library: Path, sha512: str = PACKAGE_SHA512) -> None:
    """Check the archive, and put its library in place whole or not at all."""
    with archive.open("rb") as file:
        found = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if found != sha512:
        raise ServerUnavailableError(
            f"{archive.name} is not the package that was pinned.\n"
            f"  sha512:   {found}\n  expected: {sha512}"
        )
    fresh = archive.with_suffix(".so")
    with tarfile.open(archive) as tar, fresh.open("wb") as target:
        member = tar.extractfile("package/libchdb.so")
        if member is None:
            raise ServerUnavailableError(f"{archive.name} holds no libchdb.so.")
        shutil.copyfileobj(member, target, 2**20)
    fresh.replace(library)
