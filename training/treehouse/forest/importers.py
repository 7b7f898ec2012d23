"""Which importer reads which trainer's model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from treehouse.forest.model import Forest
from treehouse.project.errors import TreehouseError, first_line

Importer = Callable[[Any, tuple[str, ...]], Forest]


def _find_importer(booster: object) -> Importer | None:
    """The trainers' packages are imported only when one of their models is given."""
    for cls in type(booster).__mro__:
        package = cls.__module__.partition(".")[0]
        if package == "lightgbm":
            from treehouse.forest.lightgbm_models import import_lightgbm

            return import_lightgbm
        if package == "xgboost":
            from treehouse.forest.xgboost_models import import_xgboost

            return import_xgboost
        if package == "sklearn" and cls.__module__.startswith("sklearn.ensemble"):
            from treehouse.forest.sklearn_models import import_sklearn

            return import_sklearn
    return None


def compile_forest(booster: object, features: Sequence[str]) -> Forest:
    """Translate a fitted model into the logical forest that a bundle stores.

    Args:
        booster: a fitted LightGBM or XGBoost ``Booster`` or estimator, or scikit-learn's
            RandomForest, ExtraTrees, GradientBoosting, HistGradientBoosting or IsolationForest.
        features: a name for each of the model's features, in the model's order; the bundle binds
            them to its inputs by these names.

    Raises:
        TreehouseError: the model is of another kind, was not fitted, has another number of
            features, or holds something with no exact translation (named in the message).
    """
    names = tuple(features)
    importer = _find_importer(booster)
    if importer is None:
        raise TreehouseError(
            "no importer for this kind of model",
            value=f"{type(booster).__module__}.{type(booster).__qualname__}",
            expected="a LightGBM, XGBoost or scikit-learn tree ensemble",
        )
    if len(set(names)) != len(names):
        raise TreehouseError(
            "a feature is named twice",
            value=", ".join(sorted({n for n in names if names.count(n) > 1})),
            expected="one name for each feature of the model",
        )
    try:
        return importer(booster, names)
    except TreehouseError:
        raise
    except Exception as error:  # whatever a library makes of a model that it can't read
        is_unfitted = type(error).__name__ == "NotFittedError"
        raise TreehouseError(
            "the model was not fitted" if is_unfitted else "the model could not be read",
            value=f"{type(booster).__qualname__}: {first_line(error)}",
            expected="a fitted ensemble of at least one tree",
            fix="fit it first" if is_unfitted else "report it with the library's version",
        ) from error


def check_trees(count: int) -> None:
    """Refuse an ensemble without a tree."""
    if count < 1:
        raise TreehouseError("the model has no tree", expected="at least one", fix="fit it first")


def check_feature_count(trained: int, names: tuple[str, ...]) -> None:
    """Refuse a list of names that does not fit the model."""
    if trained != len(names):
        raise TreehouseError(
            "the model was trained on another number of features",
            value=f"{len(names)} names",
            expected=f"{trained} features",
            fix="pass the features in the order in which the model was trained",
        )
