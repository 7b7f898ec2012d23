"""The worker as one file that starts itself: a line of shell, then a zip archive of its modules.

Python runs an archive whatever stands in front of it (PEP 441), and the shell never gets that far.
"""

from __future__ import annotations

import io
import shlex
import zipfile
from collections.abc import Sequence
from pathlib import Path

from udfs.network.rows import empty_answer

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "treehouse-network"
_MODULES = (
    "training/treehouse/project/errors.py",
    "training/treehouse/bundle/container.py",
    "udfs/network/inputs.py",
    "udfs/network/models.py",
    "udfs/network/rows.py",
    "udfs/network/worker.py",
    "udfs/network/__main__.py",
)
#: Left empty: the ones of the project import the trainers.
_PACKAGES = ("treehouse", "treehouse/project", "treehouse/bundle", "udfs", "udfs/network")
_START = b"from udfs.network.__main__ import main\n\nmain()\n"
_SHELL = """\
#!/bin/sh
for python in {interpreters}; do
    [ -x "$python" ] && exec "$python" -I "$0" "$@"
done
echo "{name}: there is no Python at {interpreters}: see ./treehouse install --print" >&2
printf '{empty}'
exit 1
"""


def packed(interpreters: Sequence[str | Path]) -> bytes:
    """The program's content; equal sources give equal bytes.

    Args:
        interpreters: Paths of Python with onnxruntime, numpy and pyarrow; the first that is
            there runs the worker.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as content:
        for name, text in _files():
            content.writestr(zipfile.ZipInfo(name), text)  # dated 1980, whenever it is packed
    named = " ".join(shlex.quote(str(path)) for path in interpreters)
    empty = "".join(f"\\{byte:03o}" for byte in empty_answer())
    shell = _SHELL.format(interpreters=named, name=NAME, empty=empty)
    return shell.encode() + archive.getvalue()


def _files() -> list[tuple[str, bytes]]:
    packages = [(f"{package}/__init__.py", b"") for package in _PACKAGES]
    modules = [
        (module.removeprefix("training/"), (ROOT / module).read_bytes()) for module in _MODULES
    ]
    empty = ("udfs/network/empty.arrow", empty_answer())
    return [("__main__.py", _START), *packages, *modules, empty]


def write(path: Path, interpreters: Sequence[str | Path]) -> Path:
    """Write the program where it differs from what is there; replaced whole or not at all."""
    content = packed(interpreters)
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_bytes(content)
        fresh.chmod(0o755)
        fresh.replace(path)
    return path
