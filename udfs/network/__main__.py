"""treehouse-network: the program that the engine starts for treehouse_network()."""

from __future__ import annotations

import argparse
import io
import os
import pkgutil
import re
import sys
from contextlib import suppress
from importlib.abc import MetaPathFinder
from pathlib import Path

_BUFFER_BYTES = 1 << 20
# Controls, and what turns the direction of text; as udfs/scorer/text.cpp has them.
_STEERS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/'\"():]+/)+")


def main() -> None:
    """Serve until the engine closes the pipe; one line on stderr says what went wrong."""
    arguments = _parser().parse_args()
    source, target, errors = _own_pipes()

    def refuse(error: Exception) -> None:
        text = told(error, arguments.files)
        os.write(errors, f"treehouse-network: {text}\n".encode(errors="replace"))

    sys.meta_path.insert(0, _WithoutPandas())
    try:
        from udfs.network.models import Store
        from udfs.network.worker import serve
    except ImportError as error:
        refuse(error)
        target.write(pkgutil.get_data("udfs.network", "empty.arrow") or b"")
        target.flush()
        sys.exit(1)
    try:
        answered = serve(source, target, Store(arguments.files, arguments.threads), refuse)
    except BrokenPipeError:  # the query was cancelled
        os._exit(1)
    sys.exit(not answered)


def told(error: Exception, files: Path) -> str:
    """An error on one line, for whoever asks a query: a model's names may hold anything, and where
    the server keeps its data and its Python is nothing for them."""
    text = str(error).replace(str(files), "/".join(("...", *files.parts[-2:])))
    text = _STEERS.sub("?", " ".join(text.split()))
    return _FOLDERS.sub(".../", text) or type(error).__name__


class _WithoutPandas(MetaPathFinder):
    """pyarrow loads pandas wherever it is installed: 50 MB, a third of a second, and no use."""

    def find_spec(self, name: str, *_: object) -> None:
        """Nothing, and no other finder is asked."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="treehouse-network", description=__doc__)
    parser.add_argument(
        "--threads", type=int, default=1, help="of one process; more processes scale better"
    )
    beside = Path(os.path.abspath(sys.argv[0])).parent.parent / "user_files" / "treehouse"
    parser.add_argument("--files", type=Path, default=beside, help="folder of the model files")
    return parser


def _own_pipes() -> tuple[io.BufferedReader, io.BufferedWriter, int]:
    """Where blocks come from, where answers go, and where errors go.

    Libraries may write to stdout and stderr; either would spoil an answer, so both lead nowhere.
    The engine starts us with copies of its clients' sockets: held here, a connection that the
    engine has closed would look open to its client, whose next query would wait for ever.
    """
    source, target, errors = (os.dup(fd) for fd in (0, 1, 2))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        if int(name) not in (0, 1, 2, source, target, errors):
            with suppress(OSError):  # the listing itself
                os.close(int(name))
    return (
        io.BufferedReader(io.FileIO(source), _BUFFER_BYTES),
        io.BufferedWriter(io.FileIO(target, "w"), _BUFFER_BYTES),
        errors,
    )


if __name__ == "__main__":
    main()
