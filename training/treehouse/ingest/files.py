"""The files of an origin: which they are, and how they are packed."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from treehouse.project.errors import TreehouseError

#: How a packed file begins, whatever it is called; the names are the engine's.
_BEGINNINGS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\x04\x22\x4d\x18": "lz4",
}
_ARCHIVES = {b"PK\x03\x04": "zip, or of a spreadsheet", b"\xfd7zX": "xz", b"7z\xbc\xaf": "7z"}
_SUFFIXES = (".gz", ".zst", ".zstd", ".bz2", ".lz4")


def files(origin: str) -> list[Path]:
    """The files of an origin, each once: itself, those below a folder, or those of a pattern.

    What exists under the very name is meant, even if the name looks like a pattern. Of a folder,
    names that begin with a dot or an underscore are left out.

    Raises:
        TreehouseError: There is none, or one is a pipe, a device or the like.
    """
    path = Path(origin).expanduser()
    if path.is_dir():
        found = [p for p in path.rglob("*") if not _is_hidden(p.relative_to(path))]
    elif path.exists():
        found = [path]
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]
    found = [p for p in found if not p.is_dir()]
    if not found:
        raise TreehouseError(
            "There is nothing to load there.",
            value=origin,
            expected="a file, a folder, a pattern such as data/*.parquet, or table:database.name",
        )
    for other in found:
        if not other.is_file():
            raise TreehouseError(
                "This is not a file that can be read more than once.",
                value=other,
                expected="a regular file: its first line is read before the rest",
                fix="write it to a file first, and load that",
            )
    return [p.absolute() for p in sorted({p.resolve(): p for p in sorted(found)}.values())]


def encoding(path: Path) -> str:
    """How a file is packed, by its first bytes: as the engine calls it, "none" if it is not.

    Raises:
        TreehouseError: It is of a kind that has to be unpacked first.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start in _ARCHIVES:
        raise TreehouseError(
            f"The file is an archive of {_ARCHIVES[start]}.",
            value=path,
            expected="a file that is plain or packed with gzip, zstd, bzip2 or lz4",
            fix="unpack it, or save the spreadsheet as CSV",
        )
    return next((name for bytes_, name in _BEGINNINGS.items() if start.startswith(bytes_)), "none")


def suffix(path: Path) -> str:
    """What the name says of the format, in lower case: `.csv` of X.CSV.GZ."""
    lower = Path(path.name.lower())
    return (lower.with_suffix("") if lower.suffix in _SUFFIXES else lower).suffix


@contextmanager
def plain_path(path: Path) -> Iterator[str]:
    """Another path to the same file, in which the engine finds no meaning.

    It would take braces, stars and question marks for a pattern, ` :: ` for an archive, folders
    called column=value for columns, and the end of the name for how the file is packed.
    """
    with TemporaryDirectory(prefix="treehouse-") as folder:
        link = Path(folder) / "rows"
        link.symlink_to(path.resolve())
        yield str(link)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)
