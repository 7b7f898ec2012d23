"""The libraries that fit trees, under one interface: fit, and predict as they do themselves.

What a feature is to each: numbers and missing values (NaN) are the same to all. LightGBM and
XGBoost split categories as sets. scikit-learn knows only numbers, so its forests are given the
category's code, its place in the alphabet: a split is then a range of the alphabet, and a category
on its own takes two of them; a missing or unseen one is missing, which they handle. XGBoost and
scikit-learn round every input to float32, which the compiled forest does to the bit.
"""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from treehouse.bundle import Expression, e
from treehouse.fit.boosters import fit_lightgbm, fit_xgboost, xgboost_rows
from treehouse.fit.dataset import Dataset
from treehouse.fit.job import Job, Progress
from treehouse.project.errors import TreehouseError, UnfitError, first_line
from treehouse.spec import Bagging, Spec

Floats = NDArray[np.float64]
FLOAT32_MAX = float(np.finfo(np.float32).max)

BOOSTED = ("lightgbm", "xgboost")
BAGGED = ("random_forest", "extra_trees")
TRAINERS = (*BOOSTED, *BAGGED)

_BAGGED: dict[tuple[str, bool], Any] = {
    ("random_forest", False): RandomForestRegressor,
    ("random_forest", True): RandomForestClassifier,
    ("extra_trees", False): ExtraTreesRegressor,
    ("extra_trees", True): ExtraTreesClassifier,
}


def fit(spec: Spec, data: Dataset, job: Job, progress: Progress | None = None) -> Any:
    """A fitted model, which `outputs`, `margins` and `compile_forest` take.

    Boosting stops early on the rows of `validation`; forests are fitted on `train` alone.

    Raises:
        TreehouseError: A feature holds what the trainer can't read.
        UnfitError: The objective can't be fitted to the labels, or the library refuses.
    """
    if job.trainer != "lightgbm":
        _refuse_infinite(data, job.trainer)
    _refuse_labels(data, job)
    try:
        if job.trainer == "lightgbm":
            return fit_lightgbm(spec, data, job, progress)
        if job.trainer == "xgboost":
            return fit_xgboost(spec, data, job, progress)
        return _fit_bagged(spec.bagging, data, job, progress)
    except (lgb.basic.LightGBMError, xgb.core.XGBoostError, ValueError) as error:
        raise UnfitError(
            f"{job.trainer} could not be fitted to {job.objective}.", value=first_line(error)
        ) from error


def outputs(model: Any, matrix: Floats) -> Floats:
    """float64[rows, outputs] as the library predicts; a forest's classes as probabilities."""
    if isinstance(model, lgb.Booster):
        found = model.predict(matrix)
    elif isinstance(model, xgb.Booster):
        found = model.predict(xgboost_rows(model, matrix))
    else:
        # Summed by one thread, the trees' order is fixed, and with it the last bit.
        model.n_jobs = 1
        found = (model.predict_proba if hasattr(model, "classes_") else model.predict)(matrix)
    return np.asarray(found, dtype=np.float64).reshape(len(matrix), -1)


def margins(model: Any, matrix: Floats) -> Floats:
    """float64[rows, outputs] before the link function; a forest has none, and answers its mean."""
    if isinstance(model, lgb.Booster):
        found = model.predict(matrix, raw_score=True)
    elif isinstance(model, xgb.Booster):
        found = model.predict(xgboost_rows(model, matrix), output_margin=True)
    else:
        return outputs(model, matrix)
    return np.asarray(found, dtype=np.float64).reshape(len(matrix), -1)


def answer(job: Job, forest: int = 0) -> Expression:
    """The mean that a fitted model of one output answers, within a bundle.

    XGBoost applies its link function in float32, in which C libraries differ by an ulp: its exact
    margin is taken, and the link in float64.
    """
    if job.trainer != "xgboost":
        return e.out(forest, int(job.trainer in BAGGED and job.objective == "binary"))
    margin = e.margin(forest)
    if job.objective == "binary":
        return e.sigmoid(margin)
    return margin if job.objective == "squared_error" else e.exp(margin)


def trees(model: Any) -> int:
    """How many trees a fitted model has."""
    if isinstance(model, lgb.Booster):
        return int(model.num_trees())
    if isinstance(model, xgb.Booster):
        return len(model.get_dump())
    return len(model.estimators_)


def rounds(model: Any) -> int | None:
    """How many rounds of boosting a fitted model answers by; a forest has none."""
    if isinstance(model, lgb.Booster):
        return int(model.best_iteration if model.best_iteration > 0 else model.current_iteration())
    return int(model.num_boosted_rounds()) if isinstance(model, xgb.Booster) else None


def takes_infinities(model: Any) -> bool:
    """Whether the library predicts for infinities, and for what float32 does not hold."""
    return isinstance(model, lgb.Booster)


def _fit_bagged(bagging: Bagging, data: Dataset, job: Job, progress: Progress | None) -> Any:
    rows = job.rows(data, "train")
    is_classifier = job.objective in ("binary", "classes")
    if progress:
        job.tell(progress, None, None)
    model = _BAGGED[job.trainer, is_classifier](
        n_estimators=bagging.trees,
        max_depth=bagging.depth,
        min_samples_leaf=bagging.rows_per_leaf,
        max_features=bagging.column_share,
        random_state=bagging.seed,
        n_jobs=-1,
    )
    weight = None if data.weight is None else data.weight[rows]
    return model.fit(data.matrix[rows], job.target[rows], sample_weight=weight)


def _refuse_labels(data: Dataset, job: Job) -> None:
    """What a library would refuse in words of its own, or fit to nothing."""
    for split in job.splits if job.trainer in BOOSTED else ("train",):
        target = job.target[job.rows(data, split)]
        if job.objective in ("tweedie", "gamma") and not (target > 0).any():
            raise UnfitError(
                f"The objective {job.objective} needs labels above 0.",
                value=f"none among the rows of the split {split}",
                fix='leave objectives=("squared_error",) in the spec',
            )
        if split == "train" and job.objective == "binary" and not np.ptp(target):
            raise UnfitError(
                "Whether a label is above 0 can't be learnt where all or none are.",
                value=f"{int(target.sum())} of {len(target)} rows of the split train",
                fix='leave objectives=("squared_error",) in the spec',
            )


def _refuse_infinite(data: Dataset, trainer: str) -> None:
    largest = np.abs(np.nan_to_num(data.matrix, nan=0.0, posinf=np.inf)).max(axis=0)
    if wrong := [data.names[i] for i in np.flatnonzero(largest > FLOAT32_MAX)]:
        raise TreehouseError(
            f"{trainer} can't be fitted on infinities or on what float32 does not hold.",
            value=", ".join(wrong),
            expected=f"features within {FLOAT32_MAX:.3g}, or null",
            fix='mend the features, or leave trainers=("lightgbm",) in the spec',
        )
