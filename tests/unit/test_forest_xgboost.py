"""XGBoost: margins and outputs are equal to the last bit of float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray

from tests.support.parity import margins_and_outputs
from tests.support.rows import hard_rows
from tests.support.scorer_pipe import Scorer
from treehouse.forest import compile_forest
from treehouse.project.errors import TreehouseError

Floats = NDArray[np.float64]
FEATURES = ("a", "b", "c", "d", "category")

CASES: dict[str, dict[str, Any]] = {
    "squared error": {},
    "logistic": {"objective": "binary:logistic"},
    "logistic regression": {"objective": "reg:logistic"},
    "raw logit": {"objective": "binary:logitraw"},
    "hinge": {"objective": "binary:hinge"},
    "poisson": {"objective": "count:poisson"},
    "tweedie": {"objective": "reg:tweedie"},
    "gamma": {"objective": "reg:gamma"},
    "huber": {"objective": "reg:pseudohubererror"},
    "absolute error": {"objective": "reg:absoluteerror"},
    "log error": {"objective": "reg:squaredlogerror"},
    "quantiles": {"objective": "reg:quantileerror", "quantile_alpha": np.array([0.3, 0.7])},
    "softprob": {"objective": "multi:softprob", "num_class": 3},
    "ranking": {"objective": "rank:pairwise"},
    "cox": {"objective": "survival:cox"},
    "dart": {"booster": "dart", "rate_drop": 0.3},
    "dart, softprob": {
        "booster": "dart",
        "rate_drop": 0.3,
        "objective": "multi:softprob",
        "num_class": 3,
    },
    "parallel trees": {"num_parallel_tree": 5, "subsample": 0.5},
    "base score": {"objective": "binary:logistic", "base_score": 0.1},
    "exact": {"tree_method": "exact"},
    "deep": {"max_depth": 0, "grow_policy": "lossguide", "max_leaves": 400},
    "vector leaves": {"multi_strategy": "multi_output_tree", "tree_method": "hist"},
}
CATEGORICAL: dict[str, dict[str, Any]] = {
    "partitions": {"max_cat_to_onehot": 1},
    "one hot": {"max_cat_to_onehot": 100},
}


def training_rows() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 5))
    rows[:, 4] = rng.integers(0, 30, 2000)
    target = rows[:, 0] * rows[:, 1] + 1.3 + (rows[:, 4] % 3 == 1)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows, target


def shaped(target: Floats, name: str, objective: str) -> Floats:
    if name == "vector leaves":
        return np.stack([target, 1 - target], axis=1)
    if objective.startswith(("multi", "rank")):
        return np.digitize(target, [0.5, 1.5]).astype(np.float64)
    if objective in ("binary:logistic", "binary:logitraw", "binary:hinge"):
        return (target > 1).astype(np.float64)
    if objective == "reg:logistic":
        return 1 / (1 + np.exp(-target))
    return target if objective == "reg:squarederror" else np.abs(target) + 0.1


def train(name: str, parameters: dict[str, Any], rounds: int = 30) -> xgb.Booster:
    rows, target = training_rows()
    objective = parameters.get("objective", "reg:squarederror")
    categorical = name in CATEGORICAL
    data = xgb.DMatrix(
        rows,
        shaped(target, name, objective),
        feature_types=["q"] * 4 + ["c" if categorical else "q"],
        enable_categorical=categorical,
    )
    if objective.startswith("rank"):
        data.set_group([20] * 100)
    settings = {"max_depth": 4, "objective": objective, "nthread": 1, **parameters}
    return xgb.train(settings, data, rounds)


@pytest.mark.parametrize("name", [*CASES, *CATEGORICAL])
def test_scores_equal_xgboost(scorer: Scorer, name: str) -> None:
    booster = train(name, (CASES | CATEGORICAL)[name])
    forest = compile_forest(booster, FEATURES)
    rng = np.random.default_rng(5)
    # XGBoost refuses infinities and what float32 can't hold
    rows = hard_rows(forest, rng, 4000, finite=True)
    types = ["q"] * 5
    if name in CATEGORICAL:
        types[4] = "c"
        rows[:, 4] = rng.uniform(-3, 40, len(rows))
        rows[:9, 4] = [np.nan, 0, -0.5, -0.0, 29, 30, 31, 16777216, 2e9]
    margins, outputs = margins_and_outputs(scorer, forest, rows)
    data = xgb.DMatrix(rows, feature_types=types, enable_categorical=name in CATEGORICAL)
    raw = booster.predict(data, output_margin=True).reshape(len(rows), -1)
    np.testing.assert_array_equal(margins, raw.astype(np.float64))
    # expf differs between C libraries by at most one ulp of float32
    found = booster.predict(data).reshape(len(rows), -1)
    np.testing.assert_array_max_ulp(outputs.astype(np.float32), found, maxulp=1)


def test_estimators_use_their_best_iteration(scorer: Scorer) -> None:
    rows, target = training_rows()
    noise = np.random.default_rng(1).normal(size=500)
    model = xgb.XGBRegressor(n_estimators=50, early_stopping_rounds=3, nthread=1)
    model.fit(rows[:1500], target[:1500], eval_set=[(rows[1500:], noise)], verbose=False)
    forest = compile_forest(model, FEATURES)
    assert forest.n_trees == model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    margins, _ = margins_and_outputs(scorer, forest, rows)
    np.testing.assert_array_equal(margins[:, 0].astype(np.float32), model.predict(rows))


def test_a_linear_booster_is_refused_by_name() -> None:
    rows, target = training_rows()
    booster = xgb.train({"booster": "gblinear"}, xgb.DMatrix(rows, target), 2)
    with pytest.raises(TreehouseError, match="gblinear"):
        compile_forest(booster, FEATURES)


def test_a_missing_value_other_than_nan_is_refused() -> None:
    rows, target = training_rows()
    model = xgb.XGBRegressor(n_estimators=2, missing=0.0).fit(np.nan_to_num(rows), target)
    with pytest.raises(TreehouseError, match="missing value other than NaN"):
        compile_forest(model, FEATURES)
