"""Models of every odd kind: compiled they answer as their own library does, or TreehouseError says
why not; no other error gets through, and nothing is answered differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from numpy.typing import NDArray
from sklearn import ensemble as sk

from tests.support.parity import margins_and_outputs
from tests.support.scorer_pipe import Scorer
from treehouse.forest import compile_forest
from treehouse.project.errors import TreehouseError

Floats = NDArray[np.float64]
ROWS = 400
_rng = np.random.default_rng(0)
X = _rng.normal(size=(ROWS, 2)).astype(np.float32).astype(np.float64)
VALUE = X[:, 0] + 0.1 * _rng.normal(size=ROWS)
YES = (VALUE > 0).astype(float)
CLASS = np.digitize(VALUE, [-0.5, 0.5])
AMOUNT = np.exp(VALUE)
TWO = np.column_stack([VALUE, AMOUNT])
NAMES = np.array(["a", "b", "c"])[CLASS]
GROUPS = np.repeat(range(4), ROWS // 4)
TEXTS = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(np.where(X[:, 1] > 0, "u", "v"))})
CODES = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical((X[:, 1] > 0).astype(int))})
Make = Callable[[], Any]


def softmax(margins: Floats, _: Any) -> tuple[Floats, Floats]:
    margins = margins.reshape(-1, 3)
    shares = np.exp(margins - margins.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return shares - np.eye(3)[CLASS], shares * (1 - shares)


def squared(margins: Floats, _: Any) -> tuple[Floats, Floats]:
    return margins - VALUE, np.ones(ROWS)


def light(label: Any = VALUE, trees: int = 3, group: Any = None, **parameters: Any) -> Make:
    own = {"verbose": -1, "num_leaves": 7, **parameters}
    return lambda: lgb.train(own, lgb.Dataset(X, label, group=group), trees)


def xgboosted(label: Any = VALUE, trees: int = 3, **parameters: Any) -> Make:
    given = {n: parameters.pop(n) for n in ("qid", "label_lower_bound", "label_upper_bound")
             if n in parameters}  # fmt: skip
    own = {"verbosity": 0, "max_depth": 3, **parameters}
    return lambda: xgb.train(own, xgb.DMatrix(X, label, **given), trees)


COMPILED: dict[str, Make] = {
    "lightgbm, own objective": light(objective=squared),
    "lightgbm, a constant label": light(np.ones(ROWS)),
    "lightgbm, one class": light(np.ones(ROWS), objective="binary"),
    "lightgbm, dart": light(boosting="dart"),
    "lightgbm, forest": light(boosting="rf", bagging_freq=1, bagging_fraction=0.5),
    "lightgbm, lambdarank": light(CLASS, objective="lambdarank", group=[100] * 4),
    "lightgbm, xendcg": light(CLASS, objective="rank_xendcg", group=[100] * 4),
    **{
        f"lightgbm, {name}": light(AMOUNT, objective=name)
        for name in (
            "quantile", "mape", "huber", "fair", "regression_l1", "gamma", "poisson", "tweedie",
        )
    },
    **{
        f"lightgbm, sigmoid {slope}": light(YES, objective="binary", sigmoid=slope)
        for slope in (0.3, 0.5, 0.7, 1.2345678901, 3.3)
    },
    "lightgbm, sigmoid of each class": light(
        CLASS, objective="multiclassova", num_class=3, sigmoid=0.7
    ),
    "lightgbm, cross entropy": light(YES, objective="cross_entropy"),
    "lightgbm, cross entropy lambda": light(YES, objective="cross_entropy_lambda"),
    "lightgbm, reg_sqrt": light(reg_sqrt=True),
    "lightgbm, classifier of names": lambda: lgb.LGBMClassifier(n_estimators=3, verbose=-1).fit(
        X, NAMES
    ),
    "xgboost, own objective": lambda: xgb.train(
        {}, xgb.DMatrix(X, VALUE), 3, obj=lambda margins, data: squared(margins, data)
    ),
    "xgboost, slice": lambda: xgboosted()()[1:2],
    "xgboost, dart": xgboosted(booster="dart", rate_drop=0.5),
    "xgboost, dart of classes": xgboosted(
        CLASS, booster="dart", rate_drop=0.5, objective="multi:softprob", num_class=3
    ),
    "xgboost, two targets": xgboosted(TWO),
    "xgboost, two targets in a tree": xgboosted(TWO, multi_strategy="multi_output_tree"),
    **{
        f"xgboost, {name}": xgboosted(CLASS, objective=name, qid=GROUPS)
        for name in ("rank:ndcg", "rank:pairwise")
    },
    "xgboost, cox": xgboosted(AMOUNT, objective="survival:cox"),
    "xgboost, aft": xgboosted(
        None, objective="survival:aft", label_lower_bound=AMOUNT, label_upper_bound=AMOUNT
    ),
    "xgboost, quantiles": xgboosted(objective="reg:quantileerror", quantile_alpha=[0.3, 0.7]),
    **{
        f"xgboost, {name}": xgboosted(AMOUNT, objective=name)
        for name in (
            "reg:absoluteerror", "reg:pseudohubererror", "reg:gamma", "count:poisson",
            "reg:tweedie", "reg:squaredlogerror",
        )
    },
    **{
        f"xgboost, {name}": xgboosted(YES, objective=name)
        for name in ("reg:logistic", "binary:logistic", "binary:logitraw", "binary:hinge")
    },
    "xgboost, classes": xgboosted(CLASS, objective="multi:softprob", num_class=3),
    "xgboost, forest": lambda: xgb.XGBRFRegressor(n_estimators=3).fit(X, VALUE),
    "xgboost, trees side by side": xgboosted(num_parallel_tree=3),
    "xgboost, base score": xgboosted(base_score=0.3),
    "xgboost, stopped early": lambda: xgb.XGBRegressor(
        n_estimators=30, learning_rate=2.5, early_stopping_rounds=2
    ).fit(X, VALUE, eval_set=[(X, VALUE)], verbose=False),
    "sklearn, two targets": lambda: sk.RandomForestRegressor(5).fit(X, TWO),
    "sklearn, one class": lambda: sk.RandomForestClassifier(5).fit(X, np.ones(ROWS)),
    "sklearn, class names": lambda: sk.RandomForestClassifier(5, random_state=1).fit(X, NAMES),
    "sklearn, quantile": lambda: sk.GradientBoostingRegressor(
        n_estimators=5, loss="quantile"
    ).fit(X, VALUE),
    "sklearn, no prior": lambda: sk.GradientBoostingRegressor(n_estimators=5, init="zero").fit(
        X, VALUE
    ),
    "sklearn, exponential": lambda: sk.GradientBoostingClassifier(
        n_estimators=5, loss="exponential"
    ).fit(X, YES),
    "sklearn, histograms, gamma": lambda: sk.HistGradientBoostingRegressor(
        max_iter=5, loss="gamma"
    ).fit(X, AMOUNT),
    "sklearn, histograms, classes": lambda: sk.HistGradientBoostingClassifier(max_iter=5).fit(
        X, CLASS
    ),
}  # fmt: skip
REFUSED: dict[str, tuple[Make, str]] = {
    "lightgbm, own objective of three classes": (
        light(CLASS, objective=softmax, num_class=3), "objective of its own"
    ),
    "lightgbm, linear": (light(linear_tree=True), "linear_tree"),
    "lightgbm, no tree": (
        lambda: lgb.Booster({"verbose": -1}, lgb.Dataset(X, VALUE)), "no tree"
    ),
    "lightgbm, not fitted": (lambda: lgb.LGBMRegressor(), "not fitted"),
    "xgboost, no tree": (xgboosted(trees=0), "no tree"),
    "xgboost, nothing": (lambda: xgb.Booster(), "could not be read"),
    "xgboost, not fitted": (lambda: xgb.XGBRegressor(), "not fitted"),
    "xgboost, linear": (xgboosted(booster="gblinear"), "not a tree ensemble"),
    "xgboost, text categories": (
        lambda: xgb.XGBRegressor(n_estimators=3, enable_categorical=True).fit(TEXTS, VALUE),
        "categories of a data frame",
    ),
    "xgboost, a data frame's codes": (
        lambda: xgb.XGBRegressor(n_estimators=3, enable_categorical=True).fit(CODES, VALUE),
        "categories of a data frame",
    ),
    "xgboost, zero is missing": (
        lambda: xgb.XGBRegressor(n_estimators=3, missing=0).fit(X, VALUE), "missing value"
    ),
    **{
        f"sklearn, {type(model).__name__} not fitted": (lambda model=model: model, "not fitted")
        for model in (
            sk.RandomForestRegressor(), sk.HistGradientBoostingRegressor(), sk.IsolationForest(),
            sk.GradientBoostingClassifier(),
        )
    },
    "sklearn, a prior of its own": (
        lambda: sk.GradientBoostingRegressor(n_estimators=3, init=sk.RandomForestRegressor(3)).fit(
            X, VALUE
        ),
        "init",
    ),
    "sklearn, native categories": (
        lambda: sk.HistGradientBoostingRegressor(
            max_iter=5, categorical_features="from_dtype"
        ).fit(TEXTS, VALUE),
        "native categories",
    ),
    "sklearn, adaboost": (lambda: sk.AdaBoostRegressor(n_estimators=3).fit(X, VALUE), "not supp"),
    "sklearn, bagging": (lambda: sk.BaggingRegressor(n_estimators=3).fit(X, VALUE), "not supp"),
}  # fmt: skip


def own_answers(model: Any) -> Floats:
    """float64[rows, outputs], by the trainer's library."""
    if isinstance(model, xgb.Booster):
        found = model.predict(xgb.DMatrix(X))
    elif isinstance(model, lgb.Booster):
        found = model.predict(X)
    elif hasattr(model, "predict_proba"):
        found = model.predict_proba(X)
    else:
        found = model.predict(X)
    return np.asarray(found, np.float64).reshape(ROWS, -1)


@pytest.mark.parametrize("name", COMPILED)
def test_what_is_compiled_answers_as_its_library(scorer: Scorer, name: str) -> None:
    """Within 2 ulp of the library's arithmetic: float64, and XGBoost's float32."""
    model = COMPILED[name]()
    forest = compile_forest(model, ("a", "b"))
    _, outputs = margins_and_outputs(scorer, forest, X)
    own = own_answers(model)
    if outputs.shape[1] == 1:
        own = own[:, -1:]
    tolerance = 1e-6 if name.startswith("xgboost") else 4 * np.finfo(float).eps
    np.testing.assert_allclose(outputs, own, rtol=tolerance, atol=1e-300)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name: str) -> None:
    make, why = REFUSED[name]
    model = make()
    with pytest.raises(TreehouseError, match=why):
        compile_forest(model, ("a", "b"))
