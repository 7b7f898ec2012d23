"""What becomes of a model file while scorers use it, and what may lie in its place."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.support.network_pipe import NetworkWorker, bundle_of
from tests.support.network_pipe import block as network_block
from tests.support.networks import lstm, random_batch
from tests.support.scorer_pipe import Scorer, answers, block
from treehouse.bundle import Bundle, Inputs, bundle_id, e
from treehouse.project.errors import TreehouseError
from udfs.network.models import Store


def version(number: int) -> bytes:
    """A model that answers its version and `number` times its input."""
    heads = {"v": e.feature("x") * float(number)}
    return Bundle("m", number, "c", Inputs(("x",)), (), heads).to_bytes()


@pytest.fixture
def own(scorer: Scorer, tmp_path: Path) -> Scorer:
    """The scorer with a folder that no other test uses."""
    return Scorer(scorer.binary, tmp_path)


@contextmanager
def running(own: Scorer) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(own.binary), "--files", str(own.folder)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        yield process
        process.stdin.close()


def ask(process: subprocess.Popen[bytes], number: int) -> list[float]:
    """What a running scorer answers for x = 2."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(block([number], [[2.0]], [[]]))
    process.stdin.flush()
    head = process.stdout.read(24)
    rest = process.stdout.read(int.from_bytes(head[16:], "little"))
    (row,) = answers(head + rest)
    return [float(value) for value in row]


CHANGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: os.truncate(path, 0),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "overwritten by another version": lambda path: path.write_bytes(version(2)),
    "overwritten by zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "appended to": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "removed": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_under_a_scorer_changes_no_answer(own: Scorer, change: str) -> None:
    number = own.publish(version(1))
    path = own.folder / f"{number:016x}.bundle"
    with running(own) as process:
        assert ask(process, number) == [1.0, 2.0]
        CHANGES[change](path)
        assert ask(process, number) == [1.0, 2.0]
        other = own.publish(version(3))
        assert ask(process, other) == [3.0, 6.0]
    assert process.returncode == 0


@pytest.mark.parametrize("change", CHANGES)
def test_a_new_scorer_refuses_a_file_that_is_not_what_its_name_says(
    own: Scorer, change: str
) -> None:
    number = own.publish(version(1))
    CHANGES[change](own.folder / f"{number:016x}.bundle")
    done = own.run(block([number], [[2.0]], [[]]))
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"{number:016x}.bundle" in done.stderr.decode()
    assert "treehouse sync" in done.stderr.decode()


def test_another_versions_sound_file_is_refused_by_check_too(own: Scorer) -> None:
    path = own.folder / f"{bundle_id(version(1)):016x}.bundle"
    path.write_bytes(version(2))
    command = [str(own.binary), "--check", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "its hash is not its name" in done.stderr
    path.rename(own.folder / "free name")
    subprocess.run([*command[:2], str(own.folder / "free name")], check=True)


@pytest.mark.parametrize("size", [0, 1, 54, 55, 56, 63, 64, 65, 118, 119, 120, 127, 128, 5000])
def test_the_hash_is_that_of_the_library(own: Scorer, size: int) -> None:
    """Info of any length moves the end of the file over all places in a block of the hash."""
    for step in range(0, 64, 9):
        info = {"text": "x" * (size + step)}
        inputs = Inputs(("x" * (1 + step),))
        heads = {"v": e.feature("x" * (1 + step))}
        assert own.score(Bundle("m", 1, "c", inputs, (), heads, info), np.ones((1, 1))) == 1.0


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    """A socket: its name is too long for the folder, so it is bound elsewhere and moved."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"{short}/s")
        shutil.move(f"{short}/s", path)


def looping(path: Path) -> None:
    path.symlink_to(path)


def linked_pipe(path: Path) -> None:
    pipe(path.with_name("p"))
    path.symlink_to("p")


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


IN_ITS_PLACE: dict[str, Callable[[Path], object]] = {
    "a pipe": pipe,
    "a folder": Path.mkdir,
    "a socket": listening,
    "a loop of links": looping,
    "a device without end": lambda path: path.symlink_to("/dev/zero"),
    "a link to a pipe": linked_pipe,
    "a huge file of nothing": huge,
}


@pytest.mark.parametrize("what", IN_ITS_PLACE)
def test_what_is_no_file_is_refused_at_once(own: Scorer, what: str) -> None:
    number = bundle_id(version(1))
    path = own.folder / f"{number:016x}.bundle"
    IN_ITS_PLACE[what](path)
    done = own.run(block([number], [[2.0]], [[]]))
    assert done.returncode == 1
    assert path.name in done.stderr.decode()
    command = [str(own.binary), "--check", str(path)]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 1


@pytest.mark.parametrize("what", IN_ITS_PLACE)
def test_the_network_worker_refuses_it_too(tmp_path: Path, what: str) -> None:
    path = tmp_path / f"{7:016x}.bundle"
    IN_ITS_PLACE[what](path)
    with pytest.raises(TreehouseError, match=path.name):
        Store(tmp_path).get(7)


def test_a_network_worker_answers_on_when_its_file_changes(tmp_path: Path) -> None:
    worker = NetworkWorker(tmp_path)
    number = worker.publish(bundle_of(lstm()))
    store = Store(worker.files)
    batch = random_batch(3)
    before = store.get(number).answer(batch)
    os.truncate(worker.files / f"{number:016x}.bundle", 0)
    np.testing.assert_array_equal(store.get(number).answer(batch), before)
    done = worker.run(network_block([number], batch.slice(0, 1)))
    assert done.returncode == 1
    assert b"sync" in done.stderr


def shared_memory(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Inode of each memory of models that a process has mapped, by its name."""
    lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    fields = [line.split(maxsplit=5) for line in lines if "memfd:treehouse-" in line]
    return {name: inode for _, _, _, _, inode, name in fields}


def test_scorers_share_the_memory_of_a_model(own: Scorer) -> None:
    number = own.publish(version(1))
    with running(own) as first, running(own) as second, running(own) as third:
        assert ask(first, number) == ask(second, number) == [1.0, 2.0]
        assert len(shared_memory(first)) == 1
        assert shared_memory(first) == shared_memory(second)
        assert first.stdin is not None
        first.stdin.close()  # the one that has read the file ends: the other keeps it
        first.wait()
        assert ask(second, number) == ask(third, number) == [1.0, 2.0]
        assert len(shared_memory(third)) == 1
    assert not list((own.folder / ".loaded").glob("*.new"))


def test_a_link_to_other_memory_is_not_followed(own: Scorer) -> None:
    """Left by an earlier container, or put there: only memory of this name and sealed counts."""
    number = own.publish(version(1))
    link = own.folder / ".loaded" / f"{number:016x}.memory"
    link.parent.mkdir()
    wrong = own.folder / "other"
    wrong.write_bytes(version(2))
    unsealed = os.memfd_create(f"treehouse-{number:016x}")
    os.write(unsealed, version(2))
    pipe(own.folder / "pipe")
    for target in (wrong, f"/proc/{os.getpid()}/fd/{unsealed}", own.folder / "pipe", "/dev/zero"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with running(own) as process:
            assert ask(process, number) == [1.0, 2.0]
    os.close(unsealed)


def test_links_of_ended_scorers_are_cleared_away(own: Scorer) -> None:
    number = own.publish(version(1))
    with running(own) as process:
        assert ask(process, number) == [1.0, 2.0]
    link = own.folder / ".loaded" / f"{number:016x}.memory"
    assert link.is_symlink()
    command = [str(own.binary), "loaded", "--files", str(own.folder)]
    request = (1).to_bytes(8, "little") * 3 + b"\1"
    subprocess.run(command, input=request, capture_output=True, check=True, timeout=60)
    assert not link.is_symlink()
