"""The shapes of the scorer's benchmark: one fitted model each, trained here and now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
N_FEATURES = 15
N_TRAINING_ROWS = 20_000
N_CATEGORICAL = 5


@dataclass(frozen=True)
class Shape:
    """A fitted model and how its own library predicts rows with one thread."""

    name: str
    model: Any
    #: float64[rows, features] to the library's raw or final answers
    predict: Callable[[Floats], Any]
    #: for Treelite GTIL: the model as Treelite imports it
    treelite_model: Callable[[], Any]
    categorical: tuple[int, ...] = ()
    library: str = "lightgbm"


def rows(count: int, seed: int, categorical: tuple[int, ...] = ()) -> Floats:
    """Normal features, and categories of 12 to 200 values where asked for."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(count, N_FEATURES))
    for place, feature in enumerate(categorical):
        found[:, feature] = rng.integers(0, 12 + 47 * place, count)
    return found


def target(features: Floats, categorical: tuple[int, ...] = ()) -> Floats:
    """Something with interactions, so that deep trees find work."""
    x = features
    value = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + np.abs(x[:, 3]) * x[:, 4]
    for feature in categorical:
        value = value + np.sin(x[:, feature] * 1.7)
    return value + np.random.default_rng(9).normal(size=len(x)) * 0.5


def _lightgbm(name: str, trees: int, leaves: int, **settings: Any) -> Shape:
    import lightgbm as lgb
    import treelite

    categorical = tuple(settings.pop("categorical", ()))
    features = rows(N_TRAINING_ROWS, 0, categorical)
    label = target(features, categorical)
    if settings.get("num_class"):
        label = np.digitize(label, [-1, 1]).astype(np.float64)
    data = lgb.Dataset(features, label, categorical_feature=list(categorical))
    defaults = {"verbose": -1, "learning_rate": 0.05, "num_leaves": leaves, "min_data_in_leaf": 5}
    booster = lgb.train({**defaults, **settings}, data, trees)
    return Shape(
        name,
        booster,
        lambda x: booster.predict(x, num_threads=1),
        lambda: treelite.frontend.from_lightgbm(booster),
        categorical,
    )


def _xgboost() -> Shape:
    import treelite
    import xgboost as xgb

    features = rows(N_TRAINING_ROWS, 0)
    settings = {"max_depth": 8, "eta": 0.05, "nthread": 2}
    booster = xgb.train(settings, xgb.DMatrix(features, target(features)), 500)
    booster.set_param({"nthread": 1})
    return Shape(
        "xgboost",
        booster,
        booster.inplace_predict,
        lambda: treelite.frontend.from_xgboost(booster),
        library="xgboost",
    )


def _scikit(name: str, model: Any) -> Shape:
    import treelite

    features = rows(N_TRAINING_ROWS, 0)
    isolation = name == "isolation_forest"
    model.fit(features) if isolation else model.fit(features, target(features))
    model.n_jobs = 1
    predict = model.score_samples if isolation else model.predict
    return Shape(
        name,
        model,
        predict,
        lambda: treelite.sklearn.import_model(model),
        library="scikit-learn",
    )


def make(name: str) -> Shape:
    """Train one of :data:`NAMES`."""
    from sklearn.ensemble import IsolationForest, RandomForestRegressor

    makers: dict[str, Callable[[], Shape]] = {
        "small": lambda: _lightgbm("small", 100, 31),
        "large": lambda: _lightgbm("large", 1000, 127, max_depth=7),
        "xgboost": _xgboost,
        "random_forest": lambda: _scikit(
            "random_forest", RandomForestRegressor(300, n_jobs=2, random_state=0)
        ),
        "multiclass": lambda: _lightgbm("multiclass", 200, 31, objective="multiclass", num_class=3),
        "isolation_forest": lambda: _scikit(
            "isolation_forest", IsolationForest(n_estimators=200, random_state=0)
        ),
        "categorical": lambda: _lightgbm(
            "categorical", 300, 63, categorical=tuple(range(10, 10 + N_CATEGORICAL))
        ),
    }
    return makers[name]()


NAMES = (
    "small",
    "large",
    "xgboost",
    "random_forest",
    "multiclass",
    "isolation_forest",
    "categorical",
)
