"""What a fit is judged by from outside: its trees in their library's own words, and its metrics by
referee libraries on rows that are known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray
from sklearn import metrics as referee

from treehouse.fit.candidate import Candidate
from treehouse.fit.dataset import SPLITS, Dataset
from treehouse.spec import Spec

Floats = NDArray[np.float64]


def trees(candidate: Candidate) -> list[list[str]]:
    """Every tree of every model, in its library's own words."""
    return [_trees(model) for model in candidate.models]


def _trees(model: Any) -> list[str]:
    if isinstance(model, lgb.Booster):
        return [json.dumps(tree["tree_structure"]) for tree in model.dump_model()["tree_info"]]
    if isinstance(model, xgb.Booster):
        return list(model.get_dump(with_stats=True))
    return [repr((t.tree_.threshold.tolist(), t.tree_.value.tolist())) for t in model.estimators_]


def check_metrics(
    spec: Spec, data: Dataset, found: Mapping[str, Any], answers: Mapping[str, Floats]
) -> None:
    """Compare what was measured with the referees' figures on the test rows.

    Args:
        found: `model`, and of a value with all its heads `typical` and `interval`.
        answers: float64[test rows] by head; of a rule `value` alone.
    """
    test = data.split == SPLITS.index("test")
    weight = None if data.weight is None else data.weight[test]
    judge = {
        "value": _values, "probability": _probabilities, "classes": _classes,
        "sequence": _sequences,
    }[spec.task]  # fmt: skip
    judge(spec, found["model"], data.label[test], answers, weight)
    if "interval" in found:
        actual = data.label[test]
        inside = (answers["low"] <= actual) & (actual <= answers["high"])
        assert found["interval"]["coverage"] == pytest.approx(inside.mean())
        typical = referee.mean_absolute_error(actual, answers["typical"])
        assert found["typical"]["mae"] == pytest.approx(typical)


def _values(_: Spec, found: dict[str, Any], actual: Floats, answers: Any, __: Any) -> None:
    said = answers["value"]
    assert found["mae"] == pytest.approx(referee.mean_absolute_error(actual, said))
    assert found["rmse"] == pytest.approx(referee.root_mean_squared_error(actual, said))
    assert found["bias"] == pytest.approx(said.sum() / actual.sum() - 1)


def _probabilities(
    _: Spec, found: dict[str, Any], actual: Floats, answers: Any, weight: Floats | None
) -> None:
    said = np.clip(answers["value"], 0, 1)
    for name, judge in {
        "brier": referee.brier_score_loss,
        "auc": referee.roc_auc_score,
        "average_precision": referee.average_precision_score,
    }.items():
        assert found[name] == pytest.approx(judge(actual, said, sample_weight=weight))
    near = np.clip(said, 1e-6, 1 - 1e-6)
    if np.array_equal(near, said):
        assert found["log_loss"] == pytest.approx(
            referee.log_loss(actual, said, sample_weight=weight)
        )


def _classes(
    spec: Spec, found: dict[str, Any], actual: Floats, answers: Any, weight: Floats | None
) -> None:
    said = answers["value"]
    assert found["accuracy"] == pytest.approx(
        referee.accuracy_score(actual, said, sample_weight=weight)
    )
    counts = referee.confusion_matrix(
        actual, said, labels=range(len(spec.classes)), sample_weight=weight
    )
    assert found["cost"] == pytest.approx((counts * np.array(spec.costs)).sum() / counts.sum())
    if len(answers) > 1:
        shares = np.column_stack([answers[name] for name in spec.classes])
        # No share counts as less than a millionth.
        near = np.clip(shares, 1e-6, 1 - 1e-6)
        near /= near.sum(axis=1, keepdims=True)
        assert found["log_loss"] == pytest.approx(
            referee.log_loss(actual, near, labels=range(len(spec.classes)), sample_weight=weight)
        )


def _sequences(_: Spec, found: dict[str, Any], actual: Floats, answers: Any, __: Any) -> None:
    assert found["recall_1"] == pytest.approx(referee.accuracy_score(actual, answers["value"]))
