"""Definitions of experiments that make sense, and the sentences about what came out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from treehouse.experiments.definition import Definition, check, read_definition
from treehouse.experiments.results import Results, sentence
from treehouse.project.errors import TreehouseError

_GOOD = Definition("button", metrics=("revenue",))


def test_what_is_left_open_follows() -> None:
    whole = check(_GOOD)
    assert whole.weights == (0.5, 0.5)
    assert whole.salt == "button"
    three = check(replace(_GOOD, variants=("a", "b", "c"), salt="s"))
    assert three.weights == (1 / 3,) * 3
    assert three.salt == "s"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": ("control",)}, "something to compare with"),
        ({"variants": ()}, "something to compare with"),
        ({"variants": ("a", "a")}, "names are not usable"),
        ({"variants": ("a", "")}, "names are not usable"),
        ({"experiment": "my test"}, "name is not usable"),
        ({"experiment": ""}, "name is not usable"),
        ({"weights": (0.5, 0.4)}, "sum to 1"),
        ({"weights": (1.5, -0.5)}, "above 0"),
        ({"weights": (0.5, float("nan"))}, "above 0"),
        ({"weights": (1.0,)}, "one weight for each"),
        ({"share": 0.0}, "share"),
        ({"share": 1.1}, "share"),
        ({"alpha": 0.07}, "no such level"),
        ({"power": 1.0}, "power"),
        ({"minimum_lift": 0.0}, "smallest lift"),
        ({"planned_units": 1}, "planned units"),
        ({"pre_days": -1}, "days before"),
        ({"direction": "up"}, "direction"),
        ({"method": "bayes"}, "method"),
        ({"metrics": ()}, "needs a metric"),
        ({"metrics": ("nope",)}, "no such metric"),
        ({"model": "ltv"}, "a version for each variant"),
        ({"versions": (0, 1)}, "a version for each variant"),
        ({"model": "ltv", "versions": (1,)}, "a version for each variant"),
        ({"is_shadow": True}, "one version of one model"),
        ({"is_shadow": True, "model": "ltv", "versions": (1, 0)}, "one version of one model"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TreehouseError, match=message) as refused:
        check(replace(_GOOD, **changes))
    assert refused.value.expected


def test_a_file_holds_the_same_fields(tmp_path: Path) -> None:
    path = tmp_path / "button.yml"
    path.write_text("metrics: [revenue, payers]\nshare: 0.1\nvariants: [old, new]\n")
    assert check(Definition("button", **read_definition(path))).metrics == ("revenue", "payers")
    path.write_text("metric: revenue\n")
    with pytest.raises(TreehouseError, match="no definition") as refused:
        read_definition(path)
    assert refused.value.value == "metric"
    for broken in ("- a\n", "", "a: [\n"):
        path.write_text(broken)
        with pytest.raises(TreehouseError):
            read_definition(path)
    with pytest.raises(TreehouseError, match="could not be read"):
        read_definition(tmp_path / "missing.yml")


_HEALTH = {"has_sample_ratio_mismatch": False, "units": 900, "planned_units": 1000}
_ROW = {
    "variant": "new", "metric": "revenue", "is_primary": True, "is_control": False,
    "estimate": "unadjusted", "verdict": "better", "lift": 0.1, "lift_low": 0.05,
    "lift_high": 0.15, "p_value_holm": 0.001, "always_valid_lift_low": 0.02,
    "always_valid_lift_high": 0.18, "always_valid_p_value_holm": 0.02, "difference": 3.0,
    "minimum_detectable_lift": 0.07,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "method", "said"),
    [
        ({}, "always_valid", "new is better: revenue +10.0% (+2.0% to +18.0%), p = 0.02."),
        ({}, "fixed", "new is better: revenue +10.0% (+5.0% to +15.0%), p = 0.001."),
        ({"verdict": "undecided"}, "fixed", "find 7.0% or more"),
        ({"verdict": "waiting"}, "fixed", "wait; 900 of 1,000 planned units"),
        ({"verdict": "no data"}, "fixed", "nobody saw it yet"),
        ({"verdict": "too few units"}, "fixed", "too few units"),
        ({"verdict": "no variance"}, "fixed", "the same for every unit"),
        ({"lift": None, "lift_low": None, "lift_high": None}, "fixed", "revenue +3, p = 0.001"),
    ],
)
def test_sentences(changes: dict[str, Any], method: str, said: str) -> None:
    assert said in sentence(_ROW | changes, _HEALTH, method)


def test_no_verdict_on_a_broken_assignment() -> None:
    health = _HEALTH | {"has_sample_ratio_mismatch": True}
    assert "no verdict" in sentence(_ROW, health, "fixed")


def test_the_narrower_estimate_is_shown_for_each_metric() -> None:
    rows = [
        _ROW,
        _ROW | {"estimate": "cuped"},
        _ROW | {"metric": "payers", "is_primary": False},
    ]
    chosen = Results(_HEALTH | {"method": "fixed"}, rows).chosen
    assert [(row["metric"], row["estimate"]) for row in chosen] == [
        ("revenue", "cuped"),
        ("payers", "unadjusted"),
    ]
    assert len(Results(_HEALTH | {"method": "fixed"}, rows).verdicts) == 1
