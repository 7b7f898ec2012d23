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

from tests.conftest import TARGETS
from tests.support.dying_publisher import POINTS
from tests.support.small_bundle import write_bundle
from treehouse.project.settings import ROOT

pytestmark = pytest.mark.slow

Publisher = Callable[..., dict[str, Any]]
ON_BOTH = pytest.mark.parametrize("publisher", TARGETS, indirect=True)
_PROGRAM = (sys.executable, "-m", "tests.support.dying_publisher")
CHAMPION = (1, [1.0, 10.0])


@pytest.fixture(scope="module")
def publisher(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Publisher:
    """Publishes in a process of its own, and is killed with another bundle if a point is named.

    Version 1 is the champion.
    """
    if request.param == "server":
        server = request.getfixturevalue("server")
        server.client.command("drop database if exists treehouse_registry sync")
    folder = tmp_path_factory.mktemp("killed")
    own = {"TREEHOUSE_HOME": str(folder / "home"), "TREEHOUSE_TARGET": request.param}

    def run(
        action: str, factor: float, point: str = "nowhere", last: float = 1.0
    ) -> dict[str, Any]:
        paths = [str(write_bundle(folder, f)) for f in (factor, last)]
        done = subprocess.run(
            [*_PROGRAM, action, paths[0], point, paths[1]],
            cwd=ROOT,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        died = -signal.SIGKILL if point in POINTS else 0
        assert done.returncode == died, (point, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    run("promote", 1.0)
    return run


@ON_BOTH
def test_the_champion_answers_on_and_the_next_publish_works(
    publisher: Publisher, request: pytest.FixtureRequest
) -> None:
    """What a process was killed with, the next one publishes whole.

    A server keeps what each statement wrote, as the embedded engine does: some points will do.
    """
    on_server = request.node.callspec.params["publisher"] == "server"
    points = ("half a file", "after versions") if on_server else POINTS
    for number, point in enumerate([*points, "nowhere"], 2):
        found = publisher("publish", float(number), point, float(number + 1))
        assert (found["before"], found["answered"]) == CHAMPION, point
        assert (found["champion"], found["answer"]) == CHAMPION, point
        assert found["published"] > 1
        assert found["compared"] > 0


@ON_BOTH
def test_a_promotion_holds_from_its_row_on(publisher: Publisher) -> None:
    """Killed after the row, before the dictionaries were told of it."""
    earlier = publisher("promote", 50.0, "after events", 100.0)
    found = publisher("publish", 101.0)
    assert found["before"] == earlier["published"] + 1
    assert found["answered"] == [found["before"], 1000.0]
