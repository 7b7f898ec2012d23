"""scikit-learn: forests and boosting read float32 inputs, histogram boosting float64.

Sums start at zero (boosting: at the prior) and go tree after tree, as the ensembles' own
``predict`` does with one job; with more, its own order of summing is not fixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import treelite
from numpy.typing import NDArray

from treehouse.forest.exact import float32_at_most
from treehouse.forest.from_treelite import from_treelite
from treehouse.forest.importers import check_feature_count
from treehouse.forest.model import Forest, PostProcessor
from treehouse.project.errors import TreehouseError

_FLOAT32 = {"RandomForest", "ExtraTrees", "GradientBoosting", "IsolationForest"}
_KNOWN = (*sorted(_FLOAT32), "HistGradientBoosting")


def import_sklearn(model: Any, features: tuple[str, ...]) -> Forest:
    """A fitted ensemble. Outputs: the value, the class probabilities (all classes for forests and
    for three or more classes, else the second class), or the anomaly score, which is
    ``-score_samples``."""
    import sklearn.utils.validation

    family = _family(model)
    sklearn.utils.validation.check_is_fitted(model)
    check_feature_count(model.n_features_in_, features)
    rules: dict[str, Any] = {"cover_field": "data_count"}
    if family == "IsolationForest":
        rules |= _isolation_rules(model)
    elif hasattr(model, "n_classes_") and family in ("RandomForest", "ExtraTrees"):
        # Treelite normalises the shares of a leaf once more, which rounds
        values = [estimator.tree_.value for estimator in model.estimators_]
        rules["leaf_vectors"] = np.concatenate([v.reshape(len(v), -1) for v in values])
    elif family in ("GradientBoosting", "HistGradientBoosting"):
        rules |= {"base_first": True, **_boosting_rules(model, family)}
    single = family in _FLOAT32
    return from_treelite(
        _to_treelite(model),
        features,
        fold=float32_at_most if single else lambda thresholds: thresholds.astype(np.float64),
        less_or_equal=True,
        trainer=f"scikit-learn {sklearn.__version__} {type(model).__name__}",
        input_dtype="float32" if single else "float64",
        **rules,
    )


def _family(model: Any) -> str:
    for cls in type(model).__mro__:
        name = cls.__name__.removesuffix("Regressor").removesuffix("Classifier")
        if name in _KNOWN:
            return name
    raise TreehouseError(
        "this scikit-learn model is not supported",
        value=type(model).__name__,
        expected=", ".join(_KNOWN),
    )


def _to_treelite(model: Any) -> treelite.Model:
    try:
        return treelite.sklearn.import_model(model)
    except NotImplementedError as error:
        raise TreehouseError(
            f"Treelite can't read this {type(model).__name__}",
            value=error,
            fix="train with the default init, and pass categories as numbers",
        ) from error


def _boosting_rules(model: Any, family: str) -> dict[str, Any]:
    if family == "GradientBoosting":
        exponential = getattr(model, "loss", "") == "exponential"
        # scikit-learn's ExponentialLoss: p = expit(2 * raw)
        return {"post_parameter": 2.0} if exponential else {}
    if any(model.is_categorical_ if model.is_categorical_ is not None else ()):
        raise TreehouseError(
            "HistGradientBoosting with native categories is not supported: Treelite does not keep "
            "the rule for unknown categories",
            fix="train without categorical_features, or with LightGBM or XGBoost",
        )
    return {}


def _isolation_rules(model: Any) -> dict[str, Any]:
    """Leaf values and divisor with the roundings of `IsolationForest._compute_score_samples`."""
    lengths = zip(model._decision_path_lengths, model._average_path_length_per_tree, strict=True)
    leaves = [np.asarray(depth) + np.asarray(average) - 1.0 for depth, average in lengths]
    samples = float(model._max_samples)
    divisor = len(model.estimators_) * _average_path_length(samples)
    if divisor == 0:
        raise TreehouseError(
            "an isolation forest of single rows scores every row alike", fix="raise max_samples"
        )
    return {
        "leaf_values": np.concatenate(leaves).astype(np.float64),
        "post": PostProcessor.ISOLATION,
        "post_parameter": 1.0,
        "divisor": divisor,
    }


def _average_path_length(samples: float) -> float:
    """Liu, Ting, Zhou, "Isolation Forest" (2008), equation 1, as scikit-learn computes it."""
    if samples <= 1:
        return 0.0
    if samples == 2:
        return 1.0
    one: NDArray[np.float64] = np.array([samples])
    length = 2.0 * (np.log(one - 1.0) + np.euler_gamma) - 2.0 * (one - 1.0) / one
    return float(length[0])
