"""What is measured beside the model: the best possible, and groups of the rows of sequences."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.datasets import (
    HEADS,
    made_up_classes,
    made_up_dataset,
    made_up_spec,
    with_contract,
)
from treehouse.bundle import e
from treehouse.fit.candidate import Candidate
from treehouse.fit.dataset import Dataset
from treehouse.fit.measure import measure

_NOBODY: Any = None


def measured(data: Dataset, heads: tuple[str, ...], **changes: Any) -> dict[str, Any]:
    """By a model that answers `early` for everything."""
    data = replace(data, contract=replace(data.contract, heads=heads))
    spec = with_contract(made_up_spec(baselines={"mine": "1"}, **changes), data)
    answers = {name: e.feature("early") for name in heads}
    candidate = Candidate("made up", (), (e.feature("early"),))
    data.extra["mine"] = np.ones(len(data.label))
    return measure(_NOBODY, _NOBODY, spec, data, candidate, answers)


def test_every_row_is_one_answer_the_mean_or_the_median() -> None:
    data = made_up_dataset(400)
    test = data.rows("test")
    extra = {"best_mean": data.label + 2, "best_median": data.label - 1}
    found = measured(replace(data, extra=dict(extra)), HEADS["value"])
    for name, error in (("best_possible", 2), ("best_possible_typical", 1)):
        assert found[name]["rmse"] == found[name]["mae"] == pytest.approx(error)
    found = measured(replace(data, extra={}), HEADS["value"])
    assert "best_possible" not in found
    assert found["rows"] == found["interval"]["rows"] == test.sum()
    assert found["interval"]["calibration_rows"] == data.rows(*made_up_spec().calibrated_on).sum()
    wrong = {"best_mean": np.where(test, np.nan, 1.0)}
    assert "best_possible" not in measured(replace(data, extra=extra | wrong), HEADS["value"])
    some = extra["best_mean"].copy()
    some[np.flatnonzero(test)[0]] = np.nan
    unknown = extra | {"best_mean": some}
    assert "best_possible" not in measured(replace(data, extra=unknown), HEADS["value"])
    elsewhere = extra | {"best_mean": np.where(test, extra["best_mean"], np.nan)}
    assert "best_possible" in measured(replace(data, extra=elsewhere), HEADS["value"])


def test_cohorts_are_those_of_the_test_rows() -> None:
    data = made_up_dataset(400)
    found = measured(replace(data, extra={"cohort": np.arange(400.0)}), HEADS["value"])
    test, early = data.rows("test"), data.column("early")
    expected = np.abs(early - data.label)[test].sum() / data.label[test].sum()
    assert found["model"]["cohort_mape"] == pytest.approx(expected)


def test_the_best_probability_is_measured_by_weight() -> None:
    data = made_up_classes("probability", 400)
    weight = np.arange(1.0, 401.0)
    data = replace(data, weight=weight, extra={"best_mean": np.full(400, 0.25)})
    found = measured(data, HEADS["probability"], task="probability")["best_possible"]
    test = data.rows("test")
    expected = np.average((data.label[test] - 0.25) ** 2, weights=weight[test])
    assert found["brier"] == pytest.approx(expected)


def test_the_best_decisions_cost_the_least() -> None:
    """Of shares .5, .3, .2 the third class is decided for, as another would cost 9."""
    data = made_up_classes("classes", 400)
    shares = zip(HEADS["classes"][1:], (0.5, 0.3, 0.2), strict=True)
    data = replace(data, extra={f"best_{name}": np.full(400, share) for name, share in shares})
    data = replace(data, matrix=np.column_stack([np.ones(400), data.matrix[:, 1:]]))
    cost = ((0, 1, 1), (1, 0, 1), (9, 9, 0))
    found = measured(data, HEADS["classes"], task="classes", cost=cost)
    label = data.label[data.rows("test")]
    assert found["best_possible"]["cost"] == pytest.approx((label != 2).mean())
    assert found["model"]["accuracy"] == pytest.approx((label == 1).mean())


def test_sequences_are_measured_by_group_and_beside_what_was_not_taken() -> None:
    """Labels 1 and 2 in turn: the model says 1 first, the rule 2, what was not taken both."""
    data = made_up_dataset(400)
    label = np.where(np.arange(400) % 2, 1.0, 2.0)
    extra = {"rule 1": np.full(400, 2.0), "rule 2": np.full(400, 3.0)}
    groups = {"group odd": label == 1, "group nobody": np.zeros(400)}
    data = replace(data, label=label, extra=extra | groups)
    test = data.rows("test")
    ones = np.ones(int(test.sum()))
    answers = {"next_1": ones, "next_2": 3 * ones, "share_1": 0.6 * ones, "share_2": 0.1 * ones}
    both = answers | {"next_2": 2 * ones, "share_2": 0.3 * ones}
    chosen: Any = SimpleNamespace(answers=lambda *_: answers)
    other: Any = SimpleNamespace(name="chain", network_outputs=lambda *_: both)
    spec: Any = SimpleNamespace(
        task="sequence", places=2, groups=("odd", "nobody"), baselines={"rule": "1"},
        fitted_baselines={},
    )  # fmt: skip
    data = replace(data)
    object.__setattr__(data, "batch", lambda *_: None)
    found = measure(_NOBODY, _NOBODY, spec, data, chosen, {}, (other,))
    odd = (label[test] == 1).mean()
    assert found["model"]["recall_1"] == pytest.approx(odd)
    assert found["model"]["log_loss"] is not None
    assert found["baselines"]["rule"]["recall_1"] == pytest.approx(1 - odd)
    assert found["baselines"]["rule"]["log_loss"] is None
    assert found["baselines"]["chain (not taken)"]["recall_3"] == 1
    assert set(found["groups"]) == {"odd"}
    group = found["groups"]["odd"]
    assert group["rows"] == (label[test] == 1).sum()
    assert (group["model"]["recall_1"], group["baselines"]["rule"]["recall_1"]) == (1, 0)
