"""scikit-learn: sums are equal bit for bit, outputs within two ulp of its own exp and pow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import (
    AdaBoostRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression

from tests.support.parity import margins_and_outputs
from tests.support.rows import hard_rows
from tests.support.scorer_pipe import Scorer
from treehouse.forest import compile_forest
from treehouse.project.errors import TreehouseError

Floats = NDArray[np.float64]
FEATURES = ("a", "b", "c", "d", "e")
_TREES = {"n_estimators": 20, "random_state": 0}
_ROUNDS = {"max_iter": 20, "random_state": 0}

#: Model, kind of target ("real", "positive", "two", "three", "pair"), whether rows have gaps.
CASES: dict[str, tuple[Callable[[], Any], str, bool]] = {
    "rf": (lambda: RandomForestRegressor(**_TREES), "real", False),
    "rf with gaps": (lambda: RandomForestRegressor(**_TREES), "real", True),
    "rf of two targets": (lambda: RandomForestRegressor(**_TREES), "pair", False),
    "rf binary": (lambda: RandomForestClassifier(**_TREES, min_samples_leaf=5), "two", False),
    "rf multi": (lambda: RandomForestClassifier(**_TREES), "three", True),
    "extra": (lambda: ExtraTreesRegressor(**_TREES), "real", True),
    "extra multi": (
        lambda: ExtraTreesClassifier(**_TREES, class_weight="balanced"),
        "three",
        False,
    ),
    "gb": (lambda: GradientBoostingRegressor(**_TREES), "real", False),
    "gb huber": (lambda: GradientBoostingRegressor(**_TREES, loss="huber"), "real", False),
    "gb zero": (lambda: GradientBoostingRegressor(**_TREES, init="zero"), "real", False),
    "gb binary": (lambda: GradientBoostingClassifier(**_TREES), "two", False),
    "gb multi": (lambda: GradientBoostingClassifier(**_TREES), "three", False),
    "gb exponential": (
        lambda: GradientBoostingClassifier(**_TREES, loss="exponential"),
        "two",
        False,
    ),
    "hgb": (lambda: HistGradientBoostingRegressor(**_ROUNDS), "real", True),
    "hgb poisson": (
        lambda: HistGradientBoostingRegressor(**_ROUNDS, loss="poisson"),
        "positive",
        False,
    ),
    "hgb gamma": (lambda: HistGradientBoostingRegressor(**_ROUNDS, loss="gamma"), "positive", True),
    "hgb binary": (lambda: HistGradientBoostingClassifier(**_ROUNDS), "two", True),
    "hgb multi": (lambda: HistGradientBoostingClassifier(**_ROUNDS), "three", False),
    "isolation": (lambda: IsolationForest(**_TREES), "none", False),
    "isolation of some features": (
        lambda: IsolationForest(**_TREES, max_features=0.5, max_samples=50),
        "none",
        False,
    ),
}


def fit(name: str) -> Any:
    make, kind, gaps = CASES[name]
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1500, 5))
    real = rows[:, 0] * rows[:, 1] + 1.3
    targets = {
        "real": real,
        "positive": np.abs(real) + 0.1,
        "two": (real > 1) * 1,
        "three": np.digitize(real, [0.5, 1.5]),
        "pair": np.stack([real, 2 * real + rows[:, 2]], axis=1),
        "none": None,
    }
    if gaps:
        rows[rng.random(rows.shape) < 0.1] = np.nan
    return make().fit(rows, targets[kind])


def own_outputs(model: Any, rows: Floats) -> Floats:
    """What the library answers, float64[rows, outputs]."""
    if isinstance(model, IsolationForest):
        return -model.score_samples(rows).reshape(-1, 1)
    if not hasattr(model, "predict_proba"):
        return model.predict(rows).reshape(len(rows), -1)
    shares = model.predict_proba(rows)
    one_margin = "Boosting" in type(model).__name__ and shares.shape[1] == 2
    return shares[:, 1:] if one_margin else shares


@pytest.mark.parametrize("name", CASES)
@np.errstate(invalid="ignore")  # scikit-learn's check of the rows sums to inf - inf
def test_scores_equal_scikit_learn(scorer: Scorer, name: str) -> None:
    model = fit(name)
    forest = compile_forest(model, FEATURES)
    # scikit-learn refuses infinities; gradient boosting refuses NaN too
    rows = hard_rows(forest, np.random.default_rng(3), 3000, finite=True)
    if isinstance(model, GradientBoostingRegressor | GradientBoostingClassifier):
        rows = np.nan_to_num(rows, nan=0.3)
    margins, outputs = margins_and_outputs(scorer, forest, rows)
    own = own_outputs(model, rows)
    if "Boosting" in type(model).__name__:
        single = type(model).__name__.startswith("Gradient")
        raw = model._raw_predict(rows.astype(np.float32) if single else rows)
        np.testing.assert_array_equal(margins, raw)
    elif not isinstance(model, IsolationForest):
        np.testing.assert_array_equal(outputs, own)
    # sigmoid and exp: 1 ulp each way; softmax through logsumexp or through a sum: 2 more
    np.testing.assert_array_max_ulp(outputs, own, maxulp=4)


def test_models_with_no_exact_translation_are_refused() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 2))
    target = rows[:, 0]
    with pytest.raises(TreehouseError, match="AdaBoostRegressor"):
        compile_forest(AdaBoostRegressor().fit(rows, target), ("a", "b"))
    custom = GradientBoostingRegressor(init=LinearRegression(), n_estimators=2)
    with pytest.raises(TreehouseError, match="GradientBoostingRegressor"):
        compile_forest(custom.fit(rows, target), ("a", "b"))
    categorical = HistGradientBoostingRegressor(categorical_features=[1], max_iter=2)
    rows[:, 1] = np.arange(300) % 5
    with pytest.raises(TreehouseError, match="native categories"):
        compile_forest(categorical.fit(rows, target), ("a", "b"))
    single = IsolationForest(max_samples=1, n_estimators=2).fit(rows)
    with pytest.raises(TreehouseError, match="single rows"):
        compile_forest(single, ("a", "b"))
