"""`bench prefetch`: a small one, by its command."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Cli


@pytest.mark.exhaustive
def test_arms_are_measured_on_the_same_plan(run_cli: Cli) -> None:
    done = run_cli(
        "bench", "prefetch", "--minutes", "4", "--scale", "1", "--sessions", "100",
        "--arm", "nothing kept", "--arm", "prefetch", "--json",
    )  # fmt: skip
    nothing, ahead = json.loads(done.stdout)
    assert nothing["queries"] == ahead["queries"] > 0
    assert (nothing["hit_share"], nothing["stored"], nothing["ratio"]) == (0, 0, 1)
    assert ahead["hit_share"] > 0
    assert ahead["stored"] > 0
    assert 0 <= ahead["wasted_share"] <= 1
    assert ahead["most_behind_s"] <= 3600


def test_an_unknown_arm_is_refused(run_cli: Cli) -> None:
    done = run_cli("bench", "prefetch", "--arm", "luck", "--json", check=False)
    assert done.returncode == 2
    assert "nothing kept" in json.loads(done.stdout)["expected"]
