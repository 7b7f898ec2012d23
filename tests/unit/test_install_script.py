"""The script of `install --print` does all or nothing, wherever it is cut and whatever fails."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_install import SCORER, installed
from treehouse.clickhouse.install import apply, install_plan, render_print

SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]


def run(
    script: bytes, shell: str = "sh", before: str = "", path: str = ""
) -> subprocess.CompletedProcess[str]:
    """The script through the stdin of a shell, as ssh gives it."""
    name = "busybox sh" if shell == "busybox" else shell
    command = ["sh", "-c", f"{before}exec {name}"]
    found = {"PATH": f"{path}:/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(command, input=script, capture_output=True, timeout=60, env=found)
    return subprocess.CompletedProcess(
        command, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@pytest.fixture
def old(tmp_path: Path) -> dict[str, tuple[bytes, int]]:
    """An earlier install in tmp_path: other content, everywhere."""
    for file in install_plan(tmp_path):
        file.destination.parent.mkdir(parents=True, exist_ok=True)
        file.destination.write_bytes(b"earlier " + file.destination.name.encode())
        file.destination.chmod(0o755)
    return installed(tmp_path)


@pytest.fixture
def script(tmp_path: Path) -> bytes:
    return render_print(install_plan(tmp_path)).encode()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.usefixtures("old")
def test_every_shell_installs_over_an_earlier_install(
    tmp_path: Path, script: bytes, shell: str
) -> None:
    done = run(script, shell)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Treehouse is installed."
    assert installed(tmp_path) == {
        str(file.destination.relative_to(tmp_path)): (file.source.read_bytes(), file.mode)
        for file in install_plan(tmp_path)
    }


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_that_is_cut_anywhere_does_nothing_and_fails(
    tmp_path: Path, old: dict[str, tuple[bytes, int]], script: bytes, shell: str
) -> None:
    ends, at = [], 0
    for line in script.splitlines(keepends=True):
        at += len(line)
        if len(line) != 77:  # base64: the random cuts meet it
            ends += [at - 1, at]
    chosen = random.Random(1)
    cuts = [n for n in {*ends, *chosen.sample(range(1, len(script)), 60)} if n < len(script) - 1]
    assert len(cuts) > 300
    for cut in cuts if shell == SHELLS[0] else chosen.sample(cuts, 60):
        done = run(script[:cut], shell)
        assert done.returncode != 0, cut
        assert "installed." not in done.stdout, cut
        assert installed(tmp_path) == old, cut


def test_a_file_that_does_not_fit_on_the_disk_leaves_everything(
    tmp_path: Path, old: dict[str, tuple[bytes, int]], script: bytes
) -> None:
    """The bound of a file's size stands for the disk: in the scorer, or at once."""
    for blocks in (0, 8, 600):
        done = run(script, before=f"ulimit -f {blocks}; ")
        assert done.returncode != 0, blocks
        assert "Treehouse is not installed" in done.stderr
        assert installed(tmp_path) == old, blocks


@pytest.mark.parametrize(
    ("tool", "failure"),
    [
        *((tool, "exit 1") for tool in ("gunzip", "base64", "sha256sum", "cat", "chmod", "sync")),
        *((tool, "head -c 500") for tool in ("gunzip", "base64", "cat")),
        *((tool, "echo wrong") for tool in ("gunzip", "base64", "sha256sum", "cat")),
        *((tool, "kill $PPID") for tool in ("gunzip", "sha256sum", "sync")),
    ],
)
def test_a_tool_that_fails_or_is_wrong_leaves_everything(
    tmp_path: Path, old: dict[str, tuple[bytes, int]], script: bytes, tool: str, failure: str
) -> None:
    tools = tmp_path.with_name(tmp_path.name + "-tools")
    tools.mkdir()
    (tools / tool).write_text(f"#!/bin/sh\n{failure}\n")
    (tools / tool).chmod(0o755)
    done = run(script, path=str(tools))
    assert done.returncode != 0
    assert installed(tmp_path) == old


def test_a_changed_byte_in_a_program_is_noticed(
    tmp_path: Path, old: dict[str, tuple[bytes, int]], script: bytes
) -> None:
    middle = len(script) // 2
    for position in range(middle, middle + 5):
        changed = bytearray(script)
        changed[position] = ord("A") if changed[position] != ord("A") else ord("B")
        done = run(bytes(changed))
        assert done.returncode != 0
        assert installed(tmp_path) == old


def test_a_folder_in_a_files_place_is_refused(tmp_path: Path, script: bytes) -> None:
    (tmp_path / SCORER).mkdir(parents=True)
    done = run(script)
    assert done.returncode != 0
    assert f"{SCORER} is a folder" in done.stderr
    assert installed(tmp_path) == {}


@pytest.mark.usefixtures("old")
def test_apply_writes_all_or_nothing(tmp_path: Path) -> None:
    plan = install_plan(tmp_path)
    last = plan[-1].destination
    last.unlink()
    last.parent.rmdir()
    last.parent.write_text("a file where a folder should be")
    before = installed(tmp_path)
    with pytest.raises(Exception, match="could not be written"):
        apply(plan)
    assert installed(tmp_path) == before
