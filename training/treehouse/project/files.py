"""Files that are there whole or not at all, and that nobody else may read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from treehouse.project.errors import TreehouseError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OURS = (
    "config.xml", "data", "dbt", "lock", "prefetch.lock", "reports", "trained", "user_files",
    "user_scripts", "volumes",
)  # fmt: skip
"""What lies in a home folder: nothing else in it is touched, for it may be somebody's own."""


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_USERS_UMASK = _umask()


def keep_private(home: Path) -> None:
    """From now on, what this process writes is its user's alone; so is what lies in its home.

    A home folder that others may read, as older releases left it, is mended once.
    """
    os.umask(_OTHERS)
    with suppress(OSError):  # not there, or somebody else's: who writes into it will say so
        if not home.stat().st_mode & _OTHERS:
            return
        for name in _OURS:
            _close(home / name)
            for folder, folders, files in os.walk(home / name):
                for inside in (*folders, *files):
                    _close(Path(folder) / inside)
        _close(home)  # last: a run that was stopped before begins again


def _close(path: Path) -> None:
    """Take the rights of all others; links lead out of the home folder, and stay as they are."""
    with suppress(OSError):
        found = path.lstat().st_mode
        if not stat.S_ISLNK(found) and found & _OTHERS:
            path.chmod(stat.S_IMODE(found) & ~_OTHERS)


def make_folder(path: Path) -> None:
    """A folder and those above it where they are missing, as open as the user's own are."""
    mask = os.umask(_USERS_UMASK)
    try:
        path.mkdir(parents=True, exist_ok=True)
    finally:
        os.umask(mask)


def write_whole(path: Path, content: bytes | Iterable[bytes], *, shared: bool = False) -> None:
    """Write a file so that nobody ever reads a part of it; its folder is made where missing.

    Args:
        path: Where to.
        content: What to; where it comes in parts and fails between them, nothing is written.
        shared: For a place that the user chose: as open as the user's own files are. Else nobody
            else may read it.

    Raises:
        TreehouseError: It can't be written; what was there still is.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        if shared:
            make_folder(path.parent)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)  # it may be of a stopped run, and readable for others
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
        if shared:
            fresh.chmod(0o666 & ~_USERS_UMASK)
        fresh.replace(path)
    except BaseException as error:
        with suppress(OSError):
            fresh.unlink()
        if not isinstance(error, OSError):
            raise
        raise TreehouseError(
            "A file could not be written.",
            value=f"{path}: {error.strerror}",
            expected="free space, and a folder that this user may write to",
            fix="./treehouse doctor tells of space; --out and TREEHOUSE_HOME name other places",
        ) from error
