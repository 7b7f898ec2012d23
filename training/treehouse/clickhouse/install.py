"""What an operator puts on a ClickHouse server once: the scorer, its declaration, a role."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import shlex
import shutil
import sys
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from treehouse.clickhouse.roles import ROLES
from treehouse.project.errors import TreehouseError
from treehouse.project.files import make_folder
from treehouse.project.settings import ROOT
from udfs.build import BINARY, build
from udfs.network import pack

DATA = Path("var/lib/clickhouse")
CONFIG = Path("etc/clickhouse-server")
#: Where the server's own Python environment for networks belongs.
NETWORK_PYTHON = Path("/opt/treehouse/bin/python")
_UDFS = ROOT / "udfs"
_HEAD = """\
{ # The last line closes this brace: a shell runs all or, where a part is missing, nothing.
# Treehouse on a ClickHouse server: once, as root, on each node. Nothing needs a restart.
# The folders are those of the stock packages and of the stock image. The scorer looks for model
# files in ../user_files/treehouse beside its own folder: keep user_scripts_path and
# user_files_path side by side. The programs stand at the end. What is there stays until every
# file is written beside its place and has the right hash; the last line that it says is
# "Treehouse is installed."
set -eu
umask 022
staged=.treehouse-install.$$
clean() {
    status=$?
    [ $status = 0 ] || echo "Treehouse is not installed: see the error above." >&2
    %(clean)s
    exit $status
}
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# Writes a file beside its place: folder, name, mode, SHA-256; its content comes from stdin.
stage() {
    mkdir -p "$1"
    [ ! -d "$1/$2" ] || { echo "$1/$2 is a folder" >&2; exit 1; }
    cat > "$1/$2$staged"
    chmod "$3" "$1/$2$staged"
    found=$(sha256sum < "$1/$2$staged")
    [ "${found%%%% *}" = "$4" ] || { echo "$1/$2 was not written as it should be" >&2; exit 1; }
}
"""
_TAIL = """\
# Models with neural networks also need a Python of the server's own (3.11 or newer); tree models
# don't:
#   python3 -m venv {venv}
#   {venv}/bin/pip install {packages}
# Then, as an administrator of ClickHouse, a user for Treehouse:
#   CREATE USER treehouse IDENTIFIED BY '...';
#   GRANT treehouse TO treehouse;   (docs/roles.md: roles for others)
# And from here:
#   CLICKHOUSE_URL=http://treehouse:...@host:8123 ./treehouse --target server doctor
"""


@dataclass(frozen=True)
class InstallFile:
    """One file of the install.

    Attributes:
        purpose: What the file is for, in a few words.
        source: Where it is in this checkout.
        destination: Where the server looks for it.
        mode: Its permissions: readable by the server's user whoever copies it.
    """

    purpose: str
    source: Path
    destination: Path
    mode: int = 0o644

    @property
    def is_text(self) -> bool:
        """Whether the content can be shown."""
        return self.source.suffix == ".xml"

    @property
    def is_current(self) -> bool:
        """Whether the destination holds this content already."""
        return (
            self.destination.is_file()
            and self.destination.read_bytes() == self.source.read_bytes()
            and self.destination.stat().st_mode & 0o777 == self.mode
        )


def install_plan(root: Path = Path("/")) -> list[InstallFile]:
    """The files of the install and where they go.

    Args:
        root: Root folder of the machine or container that runs the server.
    """
    return [
        InstallFile(
            "the scorer: one static program for every tree model",
            build(),
            root / DATA / "user_scripts" / "treehouse-scorer",
            0o755,
        ),
        InstallFile(
            "the worker for neural networks",
            pack.write(BINARY.with_name(pack.NAME), [NETWORK_PYTHON, sys.executable]),
            root / DATA / "user_scripts" / pack.NAME,
            0o755,
        ),
        InstallFile(
            "the declaration of treehouse_score() and its like",
            _UDFS / "treehouse_function.xml",
            root / CONFIG / "treehouse_function.xml",
        ),
        InstallFile(
            "the roles: what Treehouse's user, analysts, dashboards and trainers may do",
            ROLES,
            root / CONFIG / "users.d" / "treehouse.xml",
        ),
    ]


def render_print(plan: Sequence[InstallFile]) -> str:
    """The install as a shell script that needs no file of this machine: programs stand in it, last.

    A checkout is where the operator is, not where the server is.
    """
    tail = _TAIL.format(venv=NETWORK_PYTHON.parent.parent, packages=network_packages())
    texts = [_as_command(file) for file in plan if file.is_text]
    programs = [_as_command(file) for file in plan if not file.is_text]
    places = [shlex.quote(str(file.destination)) for file in plan]
    head = _HEAD % {"clean": "rm -f " + " ".join(f'{place}"$staged"' for place in places)}
    moves = [f'mv -f {place}"$staged" {place}' for place in places]
    end = ["sync", *moves, 'echo "Treehouse is installed."', "exit 0", "}\n"]
    return "\n".join([head, *texts, tail, *programs, "# All is there: into place.", *end])


def _as_command(file: InstallFile) -> str:
    """The lines of shell that write a file beside its place."""
    content = file.source.read_bytes()
    purpose = f"# {file.purpose[0].upper()}{file.purpose[1:]}"
    folder, name = (shlex.quote(part) for part in os.path.split(file.destination))
    hash_of = hashlib.sha256(content).hexdigest()
    stage = f"stage {folder} {name} {file.mode:04o} {hash_of}"
    if file.is_text:
        return f"{purpose}.\n{stage} <<'END'\n{content.decode().removesuffix(chr(10))}\nEND\n"
    packed = base64.encodebytes(gzip.compress(content, mtime=0)).decode()
    return f"{purpose}, packed by gzip.\nbase64 -d <<'END' | gunzip | {stage}\n{packed}END\n"


def network_packages() -> str:
    """What the worker for neural networks imports, in the ranges of pyproject.toml, for pip."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return " ".join(
        shlex.quote(requirement)
        for requirement in wanted
        if Requirement(requirement).name in ("numpy", "onnxruntime", "pyarrow")
    )


def apply(plan: Sequence[InstallFile]) -> list[InstallFile]:
    """Copy what is not there yet or differs: all of it is written beside its place, then renamed.

    Returns:
        The files that were written.

    Raises:
        TreehouseError: A file can't be written; what was there still is.
    """
    wanted = [file for file in plan if not file.is_current]
    place = Path()
    try:
        for file in wanted:
            place = file.destination
            make_folder(place.parent)
            shutil.copyfile(file.source, _beside(file))
            _beside(file).chmod(file.mode)
        for file in wanted:
            place = file.destination
            _beside(file).replace(place)
    except OSError as error:
        raise TreehouseError(
            "A file of the install could not be written.",
            value=f"{place}: {error.strerror}",
            expected="folders that this user may write to, and room on the disk",
            fix="run it as root, or hand the output of ./treehouse install --print to somebody "
            "who may",
        ) from error
    finally:
        for file in wanted:
            with suppress(OSError):
                _beside(file).unlink()
    return wanted


def _beside(file: InstallFile) -> Path:
    """Where a file is written before it is renamed; no name that the server reads."""
    return file.destination.with_name(f".{file.destination.name}.{os.getpid()}.new")
