"""LightGBM: bit-equal raw scores, and outputs within two ulp of its own C library's exp."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.rows import hard_rows
from tests.support.scorer_pipe import Scorer
from treehouse.bundle import Bundle, Inputs, e
from treehouse.forest import Forest, compile_forest
from treehouse.project.errors import TreehouseError

Floats = NDArray[np.float64]
FEATURES = ("a", "b", "country", "c", "hour")
COUNTRIES = tuple(f"country {i}" for i in range(40))

OBJECTIVES: dict[str, dict[str, Any]] = {
    "regression": {},
    "binary": {"objective": "binary"},
    "multiclass": {"objective": "multiclass", "num_class": 3},
    "multiclassova": {"objective": "multiclassova", "num_class": 3},
    "tweedie": {"objective": "tweedie"},
    "poisson": {"objective": "poisson"},
    "gamma": {"objective": "gamma"},
    "quantile": {"objective": "quantile", "alpha": 0.7},
    "cross_entropy": {"objective": "cross_entropy"},
    "cross_entropy_lambda": {"objective": "cross_entropy_lambda"},
    "reg_sqrt": {"reg_sqrt": True},
    "dart": {"boosting": "dart", "drop_rate": 0.5},
    "random forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    "random forest, multiclass": {
        "boosting": "rf",
        "bagging_freq": 1,
        "bagging_fraction": 0.5,
        "objective": "multiclass",
        "num_class": 3,
    },
    "no missing values": {"use_missing": False},
    "one-hot categories": {"max_cat_to_onehot": 64},
    "many bins": {"max_bin": 4000, "min_data_in_bin": 1},
    "extra trees": {"extra_trees": True},
    "more leaves than a byte counts": {"num_leaves": 400, "min_data_in_leaf": 1},
}


def training_rows(rng: np.random.Generator, count: int = 3000) -> tuple[Floats, Floats]:
    """Features with gaps and a category of 40 values, and a target that depends on both."""
    rows = rng.normal(size=(count, 5))
    rows[:, 2] = rng.integers(0, 40, count)
    rows[:, 4] = rng.integers(0, 24, count)
    target = rows[:, 0] + (rows[:, 2] % 3 == 1) * rows[:, 1] + rng.normal(size=count) * 0.1
    rows[rng.random(rows.shape) < 0.05] = np.nan
    return rows, target


def shaped(target: Floats, objective: str) -> Floats:
    """The target as the objective wants it."""
    if objective == "binary":
        return (target > 0).astype(np.float64)
    if objective.startswith("multiclass"):
        return np.digitize(target, [-1, 1]).astype(np.float64)
    if objective.startswith("cross_entropy"):
        return 1 / (1 + np.exp(-target))
    return np.abs(target) + 0.01 if objective in ("tweedie", "poisson", "gamma") else target


def train(parameters: dict[str, Any], rounds: int = 40) -> lgb.Booster:
    rows, target = training_rows(np.random.default_rng(7))
    settings = {
        "num_leaves": 31,
        "verbose": -1,
        "num_threads": 1,
        "min_data_per_group": 5,
        "cat_smooth": 1,
    }
    data = lgb.Dataset(
        rows,
        shaped(target, parameters.get("objective", "regression")),
        categorical_feature=[2],
    )
    return lgb.train({**settings, "cat_l2": 1, **parameters}, data, rounds)


def bundle_of(forest: Forest) -> Bundle:
    """Margins, then outputs; `country` is a category, the rest are numbers."""
    n = forest.n_outputs
    heads = {f"margin {k}": e.margin(0, k) for k in range(n)}
    heads |= {f"output {k}": e.out(0, k) for k in range(n)}
    numeric = tuple(name for name in forest.features if name != "country")
    categorical = {"country": COUNTRIES} if "country" in forest.features else {}
    return Bundle("parity", 1, "c", Inputs(numeric, categorical), (forest,), heads)


def hard_test_rows(forest: Forest, count: int = 4000) -> tuple[Floats, list[list[str]]]:
    """Rows for the trainer, and their country as the scorer gets it: unseen and empty too."""
    rng = np.random.default_rng(11)
    rows = hard_rows(forest, rng, count)
    codes = rng.integers(-1, 45, count)
    rows[:, 2] = np.where((codes < 0) | (codes >= 40), np.nan, codes)
    return rows, [["" if c < 0 else f"country {c}"] for c in codes]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_scores_equal_lightgbm(scorer: Scorer, name: str) -> None:
    booster = train(OBJECTIVES[name])
    forest = compile_forest(booster, FEATURES)
    rows, countries = hard_test_rows(forest)
    found = scorer.score(bundle_of(forest), rows[:, [0, 1, 3, 4]], countries)
    n = forest.n_outputs
    raw = booster.predict(rows, raw_score=True).reshape(len(rows), n)
    # LightGBM's raw score of a random forest is the sum; ours is the mean, as its output is
    np.testing.assert_array_equal(found[:, :n], raw / forest.divisor)
    # exp and log1p differ between C libraries by at most an ulp each
    np.testing.assert_array_max_ulp(found[:, n:], booster.predict(rows).reshape(-1, n), maxulp=2)


def test_category_as_a_number_is_truncated_as_lightgbm_does(scorer: Scorer) -> None:
    booster = train({})
    forest = compile_forest(booster, FEATURES)
    rows = hard_rows(forest, np.random.default_rng(3), 2000)
    rows[:, 2] = np.random.default_rng(4).uniform(-3, 45, len(rows))
    rows[:8, 2] = [-0.0, -0.5, -1.0, 1e9, 2147483648.0, -np.inf, 0.99, 39.999]
    heads = {"raw": e.margin()}
    bundle = Bundle("numbers", 1, "c", Inputs(FEATURES), (forest,), heads)
    found = scorer.score(bundle, rows)[:, 0]
    np.testing.assert_array_equal(found, booster.predict(rows, raw_score=True))


def test_best_iteration_is_used_as_predict_does(scorer: Scorer) -> None:
    rows, target = training_rows(np.random.default_rng(1))
    booster = lgb.train({"verbose": -1}, lgb.Dataset(rows[:, :2], target), 20)
    booster.best_iteration = 7  # as early stopping leaves it
    forest = compile_forest(booster, ("a", "b"))
    assert forest.n_trees == 7
    found = scorer.score(bundle_of(forest), rows[:, :2])
    np.testing.assert_array_equal(found[:, 0], booster.predict(rows[:, :2]))


def test_estimators_and_one_leaf_trees(scorer: Scorer) -> None:
    rows, target = training_rows(np.random.default_rng(1), 200)
    stumped = lgb.LGBMRegressor(n_estimators=3, min_child_samples=200, verbose=-1)
    stumped.fit(rows[:, :2], target)
    forest = compile_forest(stumped, ("a", "b"))
    assert forest.n_nodes == forest.n_trees
    found = scorer.score(bundle_of(forest), rows[:, :2])
    np.testing.assert_array_equal(found[:, 0], stumped.booster_.predict(rows[:, :2]))


@pytest.mark.parametrize("name", ["linear_tree", "zero_as_missing"])
def test_what_has_no_exact_translation_is_refused_by_name(name: str) -> None:
    rows, target = training_rows(np.random.default_rng(1), 500)
    data = lgb.Dataset(rows, target, params={name: True})
    booster = lgb.train({name: True, "verbose": -1}, data, 3)
    with pytest.raises(TreehouseError, match=name):
        compile_forest(booster, FEATURES)


def test_wrong_number_of_names_is_refused() -> None:
    with pytest.raises(TreehouseError, match="another number of features"):
        compile_forest(train({}, 1), FEATURES[:3])


def test_unknown_models_are_refused() -> None:
    with pytest.raises(TreehouseError, match="no importer"):
        compile_forest(object(), ("a",))
