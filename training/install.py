"""What an operator puts on a ClickHouse server once: the scorer, its declaration, a role."""

from __future__ import annotations

import base64
import gzip
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from training.errors import TreehouseError
from training.settings import ROOT
from udfs.build import BINARY, build
from udfs.network import pack

DATA = Path("var/lib/clickhouse")
CONFIG = Path("etc/clickhouse-server")
#: Where the server's own Python environment for networks belongs.
NETWORK_PYTHON = Path("/opt/treehouse/bin/python")
_UDFS = ROOT / "udfs"
_HEAD = """\
# Treehouse on a ClickHouse server: once, as root, on each node. Nothing needs a restart.
# The folders are those of the stock packages and of the stock image. The scorer looks for model
# files in ../user_files/treehouse beside its own folder: keep user_scripts_path and
# user_files_path side by side. The programs stand at the end.
set -e
"""
_TAIL = """\
# Models with neural networks also need a Python of the server's own (3.11 or newer); tree models
# don't:
#   python3 -m venv {venv}
#   {venv}/bin/pip install {packages}
# Then, as an administrator of ClickHouse, a user for Treehouse:
#   CREATE USER treehouse IDENTIFIED BY '...';
#   GRANT treehouse TO treehouse;
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
            "the role with what Treehouse's user may do",
            _UDFS / "treehouse_role.xml",
            root / CONFIG / "users.d" / "treehouse.xml",
        ),
    ]


def role_grants() -> list[tuple[str, str]]:
    """What the role of the install grants: privilege and place, such as SELECT on treehouse*.*."""
    text = (_UDFS / "treehouse_role.xml").read_text()
    grants = re.findall(r"<query>GRANT (.+) ON (\S+)</query>", text)
    return [(privilege, place) for names, place in grants for privilege in names.split(", ")]


def render_print(plan: Sequence[InstallFile]) -> str:
    """The install as a shell script that needs no file of this machine: programs stand in it, last.

    A checkout is where the operator is, not where the server is.
    """
    tail = _TAIL.format(venv=NETWORK_PYTHON.parent.parent, packages=network_packages())
    texts = [_as_command(file) for file in plan if file.is_text]
    programs = [_as_command(file) for file in plan if not file.is_text]
    return "\n".join([_HEAD, *texts, tail, *programs])


def _as_command(file: InstallFile) -> str:
    """The lines of shell that write a file."""
    install = f"install -D -m {file.mode:04o} /dev/stdin {shlex.quote(str(file.destination))}"
    purpose = f"# {file.purpose[0].upper()}{file.purpose[1:]}"
    if file.is_text:
        return f"{purpose}.\n{install} <<'END'\n{file.source.read_text().rstrip()}\nEND\n"
    packed = base64.encodebytes(gzip.compress(file.source.read_bytes(), mtime=0)).decode()
    return f"{purpose}, packed by gzip.\nbase64 -d <<'END' | gunzip | {install}\n{packed}END\n"


def network_packages() -> str:
    """What the worker for neural networks imports, in the ranges of pyproject.toml, for pip."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return " ".join(
        shlex.quote(requirement)
        for requirement in wanted
        if Requirement(requirement).name in ("numpy", "onnxruntime", "pyarrow")
    )


def apply(plan: Sequence[InstallFile]) -> list[InstallFile]:
    """Copy what is not there yet or differs; a file is replaced whole or not at all.

    Returns:
        The files that were written.

    Raises:
        TreehouseError: A destination can't be written.
    """
    written = []
    for file in plan:
        if file.is_current:
            continue
        fresh = file.destination.with_name(f".{file.destination.name}.new")
        try:
            file.destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.source, fresh)
            fresh.chmod(file.mode)
            fresh.replace(file.destination)
        except OSError as error:
            raise TreehouseError(
                "A file of the install could not be written.",
                value=f"{file.destination}: {error.strerror}",
                expected="folders that this user may write to",
                fix="run it as root, or hand the output of ./treehouse install --print to somebody "
                "who may",
            ) from error
        written.append(file)
    return written
