"""Whenever the publisher is killed, the champion answers on and the next publish works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.dying_publisher import POINTS
from tests.support.small_bundle import write_bundle
from training.settings import ROOT

Publisher = Callable[[str, str, float], dict[str, Any] | None]


# A server keeps what each statement wrote, as the embedded engine does: some points will do.
_CASES = [
    *(pytest.param("embedded", point, marks=pytest.mark.embedded) for point in POINTS),
    *(
        pytest.param("server", point, marks=pytest.mark.server)
        for point in ("half a file", "after versions")
    ),
]


@pytest.fixture(scope="module")
def publisher(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Publisher:
    """Publishes in a process of its own; None if that was killed. Version 1 is the champion."""
    if request.param == "server":
        server = request.getfixturevalue("server")
        server.client.command("drop database if exists treehouse_registry sync")
    folder = tmp_path_factory.mktemp("killed")
    own = {"TREEHOUSE_HOME": str(folder / "home"), "TREEHOUSE_TARGET": request.param}

    def run(action: str, point: str, factor: float) -> dict[str, Any] | None:
        path = write_bundle(folder, factor)
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.dying_publisher", action, point, str(path)],
            cwd=ROOT,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode == -signal.SIGKILL:
            return None
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    assert run("promote", "nowhere", 1.0)
    return run


@pytest.mark.parametrize(("publisher", "point"), _CASES, indirect=["publisher"])
def test_the_champion_answers_on_and_the_next_publish_works(
    publisher: Publisher, point: str
) -> None:
    factor = 2.0 + POINTS.index(point)
    assert publisher("publish", point, factor) is None
    found = publisher("publish", "nowhere", factor)
    assert found is not None
    assert (found["before"], found["answered"]) == (1, [1.0, 10.0])
    assert (found["champion"], found["answer"]) == (1, [1.0, 10.0])
    assert found["published"] > 1
    assert found["compared"] > 0


@pytest.mark.parametrize(
    "publisher",
    [
        pytest.param("embedded", marks=pytest.mark.embedded),
        pytest.param("server", marks=pytest.mark.server),
    ],
    indirect=True,
)
def test_a_promotion_holds_from_its_row_on(publisher: Publisher) -> None:
    """Killed after the row, before the dictionaries were told of it."""
    assert publisher("promote", "after events", 100.0) is None
    found = publisher("publish", "nowhere", 101.0)
    assert found is not None
    assert found["before"] == found["published"] - 1
    assert found["answered"] == [found["before"], 1000.0]
