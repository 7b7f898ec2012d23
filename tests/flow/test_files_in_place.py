"""What may lie under a model file's name: the doctor tells, sync mends, neither waits for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flow.conftest import House
from treehouse.cli.doctor import diagnose
from treehouse.clickhouse.client import connect
from treehouse.registry.promotions import promote
from treehouse.registry.sync import Synced, sync, wrong_files

pytestmark = pytest.mark.slow


def linked(target: str) -> Callable[[Path, Path], object]:
    return lambda path, _: path.symlink_to(target)


def huge(path: Path, _: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


IN_ITS_PLACE: dict[str, Callable[[Path, Path], Any]] = {
    "another version's sound file": lambda path, other: path.write_bytes(other.read_bytes()),
    "nothing": lambda path, _: path.touch(),
    "a pipe": lambda path, _: os.mkfifo(path),
    "a device without end": linked("/dev/zero"),
    "a huge file of nothing": huge,
    "a folder": lambda path, _: path.mkdir(),
    "a loop of links": lambda path, _: path.symlink_to(path),
}
FOR_A_PERSON = ("a folder", "a loop of links")
"""What SQL can't take away; the person is told."""


def in_time(house: House, work: Callable[[House], Any]) -> Any:
    """A call that may not hang: in a thread with a client of its own."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work(house)), daemon=True)
    thread.start()
    thread.join(120)
    assert results, "it hangs"
    return results[0]


@pytest.mark.parametrize("what", IN_ITS_PLACE)
def test_what_is_not_the_models_file_is_told_and_mended(house: House, what: str) -> None:
    first, second = house.promoted(2), house.promoted(3)
    path = house.model_file(second.bundle)
    sound = path.read_bytes()
    path.unlink()
    IN_ITS_PLACE[what](path, house.model_file(first.bundle))
    try:
        (wrong,) = in_time(house, lambda h: wrong_files(h.engine.client, h.engine.settings))
        assert f"version {second.version}" in wrong
        assert "which answers now" in wrong
        found = {s.version: s for s in in_time(house, mended)}
        assert found[first.version].found == "sound"
        if what in FOR_A_PERSON:
            assert found[second.version].found == "lost"
            assert path.name in found[second.version].problem
        else:
            assert found[second.version].found == "repaired"
            assert path.read_bytes() == sound
            assert not path.is_symlink()
            assert wrong_files(house.engine.client, house.engine.settings) == []
        assert house.answer() == 30
    finally:
        for left in path.parent.glob(f"{path.name}*"):
            left.rmdir() if left.is_dir() and not left.is_symlink() else left.unlink()


def mended(house: House) -> list[Synced]:
    return sync(house.engine.client, house.engine.settings)


def test_the_doctor_says_that_a_file_is_another(house: House) -> None:
    house.promoted(2)
    second, _ = house.publish(3)
    path = house.model_file(second.bundle)

    def files() -> tuple[str, str]:
        checks = {check.name: check for check in diagnose(house.engine.settings)}
        return checks["model files"].status, checks["model files"].found

    assert files()[0] == "ok"
    path.write_bytes(house.model_file(house.promoted(4).bundle).read_bytes())
    status, found = files()
    assert status == "fail"
    assert f"version {second.version}" in found
    assert "another file" in found
    client = connect(house.engine.settings)
    promote(client, house.engine.settings, second.model, second.version)
    client.close()
    assert (files()[0], house.answer()) == ("ok", 30)
