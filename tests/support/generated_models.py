"""Generated models for property tests: data of every scale, and every trainer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import xgboost as xgb
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)

Floats = NDArray[np.float64]
_COLUMNS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "few": lambda rng, n: rng.integers(-2, 3, n).astype(float),
    "constant": lambda _, n: np.full(n, 3.0),
    "huge": lambda rng, n: rng.normal(size=n) * 1e30,
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-36,
    "denormal": lambda rng, n: rng.integers(-50, 50, n) * 5e-324,
    "near float32": lambda rng, n: 1 + rng.integers(0, 40, n) * 2.0**-26,
    "heavy": lambda rng, n: np.exp(rng.normal(size=n) * 5),
}


@dataclass(frozen=True)
class Generated:
    """A fitted model and what its own library answers."""

    model: Any
    features: tuple[str, ...]
    #: float64[rows, outputs]: margins, or outputs where the library has no margins
    own: Callable[[Floats], Floats]
    #: the library takes rows with infinities, or with NaN
    takes_infinite: bool
    takes_nan: bool
    exact_margin: bool = True
    categorical: tuple[int, ...] = ()


@st.composite
def training_data(draw: st.DrawFn) -> tuple[Floats, Floats, np.random.Generator]:
    """Rows, a target, and the generator that goes on from there."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([1, 30, 300, 900]))
    width = draw(st.sampled_from([1, 2, 5, 12, 70, 1500]))
    kinds = draw(st.lists(st.sampled_from(sorted(_COLUMNS)), min_size=1, max_size=6))
    if width > 100:
        count = min(count, 100)
    rows = np.stack([_COLUMNS[kinds[i % len(kinds)]](rng, count) for i in range(width)], axis=1)
    ranks = np.argsort(np.argsort(rows, axis=0), axis=0) / max(1, count)
    target = ranks[:, 0] + ranks[:, -1] * ranks[:, width // 2] + rng.normal(size=count) * 0.1
    return rows, target, rng


def _lightgbm(draw: st.DrawFn, rows: Floats, target: Floats, rng: np.random.Generator) -> Generated:
    settings = {
        "verbose": -1,
        "num_threads": 1,
        "num_leaves": draw(st.sampled_from([2, 3, 31, 127, 256, 500])),
        "max_depth": draw(st.sampled_from([-1, 1, 4, 7])),
        "min_data_in_leaf": draw(st.sampled_from([1, 5])),
        "min_data_in_bin": 1,
        "max_bin": draw(st.sampled_from([15, 255, 1000])),
        "extra_trees": draw(st.booleans()),
        "use_missing": draw(st.booleans()),
        "boosting": draw(st.sampled_from(["gbdt", "dart"])),
        "max_cat_to_onehot": draw(st.sampled_from([1, 4, 100])),
        "min_data_per_group": 1,
        "cat_smooth": 0,
        "cat_l2": 0,
    }
    rows = np.where(rng.random(rows.shape) < draw(st.sampled_from([0, 0.2])), np.nan, rows)
    categorical: tuple[int, ...] = ()
    if draw(st.booleans()):
        categorical = (0,)
        rows[:, 0] = rng.integers(0, draw(st.sampled_from([3, 40, 600])), len(rows))
    data = lgb.Dataset(rows, target, categorical_feature=list(categorical), free_raw_data=False)
    trees = draw(st.sampled_from([1, 3, 20]))
    booster = lgb.train(settings, data, trees)
    return Generated(
        booster,
        _names(rows),
        lambda x: booster.predict(x, raw_score=True, num_threads=1).reshape(len(x), -1),
        takes_infinite=True,
        takes_nan=True,
        categorical=categorical,
    )


def _xgboost(draw: st.DrawFn, rows: Floats, target: Floats, rng: np.random.Generator) -> Generated:
    settings = {
        "nthread": 1,
        "max_depth": draw(st.sampled_from([1, 3, 8, 12])),
        "min_child_weight": 0,
        "tree_method": draw(st.sampled_from(["hist", "exact"])),
        "base_score": 0.25,
        "verbosity": 0,
        **draw(st.sampled_from([{}, {"booster": "dart", "rate_drop": 0.2}])),
    }
    rows = np.where(rng.random(rows.shape) < draw(st.sampled_from([0, 0.2])), np.nan, rows)
    booster = xgb.train(settings, xgb.DMatrix(rows, target), draw(st.sampled_from([1, 3, 20])))
    return Generated(
        booster,
        _names(rows),
        lambda x: (
            booster.predict(xgb.DMatrix(x), output_margin=True)
            .astype(np.float64)
            .reshape(len(x), -1)
        ),
        takes_infinite=False,
        takes_nan=True,
    )


def _scikit(draw: st.DrawFn, rows: Floats, target: Floats, rng: np.random.Generator) -> Generated:
    leaf = draw(st.sampled_from([1, 5]))
    trees = draw(st.sampled_from([1, 4, 15]))
    kind = draw(st.sampled_from(["rf", "classifier", "extra", "gb", "hgb", "isolation"]))
    shared = {"n_estimators": trees, "random_state": int(rng.integers(1000))}
    models: dict[str, Callable[[], Any]] = {
        "rf": lambda: RandomForestRegressor(min_samples_leaf=leaf, **shared),
        "classifier": lambda: RandomForestClassifier(min_samples_leaf=leaf, **shared),
        "extra": lambda: ExtraTreesRegressor(min_samples_leaf=leaf, **shared),
        "gb": lambda: GradientBoostingRegressor(min_samples_leaf=leaf, **shared),
        "hgb": lambda: HistGradientBoostingRegressor(min_samples_leaf=leaf, max_iter=trees),
        "isolation": lambda: IsolationForest(**shared),
    }
    gaps = kind in ("rf", "classifier", "extra", "hgb") and draw(st.booleans())
    if gaps:
        rows = np.where(rng.random(rows.shape) < 0.1, np.nan, rows)
    label = np.digitize(target, [0.4, 0.9]) if kind == "classifier" else target
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model = models[kind]()
        model.fit(rows) if kind == "isolation" else model.fit(rows, label)

    def own(x: Floats) -> Floats:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "classifier":
                return model.predict_proba(x)
            if kind == "isolation":
                return -model.score_samples(x).reshape(-1, 1)
            return model.predict(x).reshape(len(x), -1)

    return Generated(
        model,
        _names(rows),
        own,
        takes_infinite=False,
        takes_nan=kind not in ("gb", "isolation"),
        exact_margin=kind != "isolation",
    )


def _names(rows: Floats) -> tuple[str, ...]:
    return tuple(f"f{i}" for i in range(rows.shape[1]))


@st.composite
def models(draw: st.DrawFn) -> Generated:
    """A fitted model of any trainer."""
    rows, target, rng = draw(training_data())
    trainer = draw(st.sampled_from(["lightgbm", "xgboost", "scikit"]))
    if trainer != "lightgbm" and len(rows) < 30:
        rows, target = np.repeat(rows, 30, axis=0), np.repeat(target, 30) + np.arange(30)
    makers = {"lightgbm": _lightgbm, "xgboost": _xgboost, "scikit": _scikit}
    return makers[trainer](draw, rows, target, rng)
