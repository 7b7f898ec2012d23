"""Files that are there whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from training.errors import TreehouseError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever reads a part of it; its folder is made where missing.

    Raises:
        TreehouseError: It can't be written; what was there still is.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise TreehouseError(
            "A file could not be written.",
            value=f"{path}: {error.strerror}",
            expected="free space, and a folder that this user may write to",
            fix="./treehouse doctor tells of space; --out and TREEHOUSE_HOME name other places",
        ) from error
