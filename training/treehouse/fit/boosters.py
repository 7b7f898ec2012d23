"""LightGBM and XGBoost: a spec's parameters in their own names, and how they are fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from treehouse.fit.dataset import Dataset
from treehouse.fit.deviance import TWEEDIE_POWER
from treehouse.fit.job import Job, Progress, Watch
from treehouse.spec import Boosting, Spec

Floats = NDArray[np.float64]

_LIGHTGBM: dict[str, dict[str, Any]] = {
    "squared_error": {"objective": "regression"},
    "tweedie": {"objective": "tweedie", "tweedie_variance_power": TWEEDIE_POWER},
    "gamma": {"objective": "gamma"},
    "binary": {"objective": "binary"},
    "classes": {"objective": "multiclass"},
}
_XGBOOST: dict[str, dict[str, Any]] = {
    "squared_error": {"objective": "reg:squarederror"},
    "tweedie": {"objective": "reg:tweedie", "tweedie_variance_power": TWEEDIE_POWER},
    "gamma": {"objective": "reg:gamma"},
    "binary": {"objective": "binary:logistic"},
    "classes": {"objective": "multi:softprob"},
}
_METRICS = {
    "squared_error": "rmse",
    "tweedie": f"tweedie-nloglik@{TWEEDIE_POWER}",
    "gamma": "gamma-nloglik",
    "binary": "logloss",
    "classes": "mlogloss",
}


def parameters(boosting: Boosting) -> dict[str, Any]:
    """LightGBM's own names for a spec's parameters."""
    return {
        "learning_rate": boosting.learning_rate,
        "max_depth": boosting.depth,
        "num_leaves": boosting.leaves,
        "min_data_in_leaf": boosting.rows_per_leaf,
        "bagging_fraction": boosting.row_share,
        "bagging_freq": 1,
        "feature_fraction": boosting.column_share,
        "lambda_l2": boosting.l2,
        "seed": boosting.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }


def fit_lightgbm(spec: Spec, data: Dataset, job: Job, progress: Progress | None) -> lgb.Booster:
    boosting = spec.boosting
    sets: list[lgb.Dataset] = []
    for split in job.splits:
        rows = job.rows(data, split)
        sets.append(
            lgb.Dataset(
                data.matrix[rows],
                job.target[rows],
                weight=None if data.weight is None else data.weight[rows],
                categorical_feature=[  # by place: it takes few characters in a name
                    i for i, f in enumerate(data.contract.features) if f.kind == "categorical"
                ],
                reference=sets[0] if sets else None,
                init_score=None if job.offset is None else job.offset[rows],
                free_raw_data=False,
            )
        )
    own = parameters(boosting) | _LIGHTGBM[job.objective]
    if job.objective == "classes":
        own["num_class"] = len(spec.classes)
    most = job.rounds or boosting.trees
    callbacks: list[Callable[..., Any]] = [lgb.log_evaluation(0)]
    if len(sets) > 1:
        callbacks.append(
            lgb.early_stopping(boosting.patience, first_metric_only=True, verbose=False)
        )
    if progress:
        callbacks.append(lambda env: job.tell(progress, env.iteration, most))
    return lgb.train(
        own,
        sets[0],
        num_boost_round=most,
        valid_sets=sets[1:],
        callbacks=callbacks,
        feval=_seen(job.watch, False) if job.watch else None,
    )


def fit_xgboost(spec: Spec, data: Dataset, job: Job, progress: Progress | None) -> xgb.Booster:
    boosting = spec.boosting
    kinds = ["c" if f.kind == "categorical" else "q" for f in data.contract.features]
    sets = []
    for split in job.splits:
        rows = job.rows(data, split)
        sets.append(
            xgb.DMatrix(
                data.matrix[rows],
                job.target[rows],
                weight=None if data.weight is None else data.weight[rows],
                base_margin=None if job.offset is None else job.offset[rows],
                feature_types=kinds,
                enable_categorical=True,
            )
        )
    most = job.rounds or boosting.trees
    callbacks: list[xgb.callback.TrainingCallback] = []
    if len(sets) > 1:
        callbacks.append(
            xgb.callback.EarlyStopping(
                rounds=boosting.patience, metric_name=_METRICS[job.objective]
            )
        )
    if progress:
        callbacks.append(_Told(progress, job, most))
    found = xgb.train(
        _xgboost_parameters(spec, job, float(job.target[job.rows(data, "train")].mean())),
        sets[0],
        num_boost_round=most,
        evals=[(rows, "validation") for rows in sets[1:]],
        custom_metric=_seen(job.watch) if job.watch else None,
        callbacks=callbacks,
        verbose_eval=False,
    )
    return found if job.rounds else found[: found.best_iteration + 1]


def _xgboost_parameters(spec: Spec, job: Job, mean: float) -> dict[str, Any]:
    """XGBoost's own names. It counts a leaf's rows, and its penalty, in second derivatives of the
    loss: a row's at the mean label makes both mean the same for every objective."""
    boosting, k = spec.boosting, max(len(spec.classes), 2)
    row = {
        "tweedie": mean ** (2 - TWEEDIE_POWER),
        "binary": mean * (1 - mean),
        "classes": 2 / k * (1 - 1 / k),
    }.get(job.objective, 1.0)
    own = _XGBOOST[job.objective] | {
        "eta": boosting.learning_rate,
        "max_depth": boosting.depth,
        "max_leaves": boosting.leaves,
        "grow_policy": "lossguide",
        "min_child_weight": boosting.rows_per_leaf * row,
        "subsample": boosting.row_share,
        "colsample_bytree": boosting.column_share,
        "lambda": boosting.l2 * row,
        "tree_method": "hist",
        "eval_metric": _METRICS[job.objective],
        "seed": boosting.seed,
        "verbosity": 0,
    }
    if job.objective == "classes":
        own["num_class"] = k
    if job.offset is not None:
        own["base_score"] = 1.0  # the link of which is 0: the offset is all there is
    return own


def xgboost_rows(model: xgb.Booster, matrix: Floats) -> xgb.DMatrix:
    return xgb.DMatrix(
        matrix,
        feature_names=model.feature_names,
        feature_types=model.feature_types,
        enable_categorical=True,
    )


class _Told(xgb.callback.TrainingCallback):
    """Progress of XGBoost."""

    def __init__(self, progress: Progress, job: Job, total: int) -> None:
        super().__init__()
        self._progress, self._job, self._total = progress, job, total

    def after_iteration(self, _: Any, epoch: int, __: Any) -> bool:
        self._job.tell(self._progress, epoch, self._total)
        return False


def _seen(watch: Watch, *more: bool) -> Callable[[Floats, Any], tuple[Any, ...]]:
    """A metric that only looks on; LightGBM wants to know as well whether higher is better."""
    calls = iter(range(10**9))

    def metric(predicted: Floats, _: Any) -> tuple[Any, ...]:
        watch(next(calls), np.asarray(predicted, dtype=np.float64))
        return "seen", 0.0, *more

    return metric
