"""XGBoost: float32 inputs, thresholds, leaves and sums; `<` instead of `<=`.

The rules are those of XGBoost's `include/xgboost/tree_model.h`, `src/predictor/predict_fn.h` and
`src/common/categorical.h`; the sums start at the base margin, tree after tree.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import treelite
from numpy.typing import NDArray

from treehouse.forest.exact import float32_below
from treehouse.forest.from_treelite import from_treelite
from treehouse.forest.importers import check_feature_count, check_trees
from treehouse.forest.model import Forest
from treehouse.project.errors import TreehouseError


def import_xgboost(model: Any, features: tuple[str, ...]) -> Forest:
    """A Booster with all its trees, or a fitted XGBModel up to its best iteration.

    That is what each one's ``predict`` uses. The outputs of ``multi:softmax`` are the
    probabilities; its ``predict`` answers the most likely class.
    """
    import xgboost

    booster = model
    if not isinstance(model, xgboost.Booster):
        _check_missing(model)
        booster = model.get_booster()
        best = getattr(model, "best_iteration", None) if model.early_stopping_rounds else None
        if best is not None:
            booster = booster[: best + 1]
    _refuse_unsupported(booster)
    check_trees(booster.num_boosted_rounds())
    check_feature_count(booster.num_features(), features)
    return from_treelite(
        treelite.frontend.from_xgboost(booster),
        features,
        fold=float32_below,
        less_or_equal=False,
        cover_field="sum_hess",
        trainer=f"xgboost {xgboost.__version__}",
        base=_base_margins(booster),
        input_dtype="float32",
        sum_float32=True,
        base_first=True,
    )


def _check_missing(model: Any) -> None:
    if not np.isnan(float(model.missing)):
        raise TreehouseError(
            "a missing value other than NaN is not supported",
            value=model.missing,
            fix="train with missing=float('nan')",
        )


def _refuse_unsupported(booster: Any) -> None:
    settings = json.loads(booster.save_config())["learner"]
    kind = settings["gradient_booster"]["name"]
    if kind not in ("gbtree", "dart"):
        raise TreehouseError(
            "this XGBoost booster is not a tree ensemble",
            value=kind,
            expected="booster='gbtree' or 'dart'",
        )
    if not booster.get_categories().empty():
        raise TreehouseError(
            "categories of a data frame are not supported",
            fix="train on their codes: DMatrix(array, feature_types=['q', 'c', ...], "
            "enable_categorical=True)",
        )


def _base_margins(booster: Any) -> NDArray[np.float64]:
    """The margins of an empty ensemble, as XGBoost itself computes them in float32.

    The first iteration's leaves are set to zero, and XGBoost predicts with what is left. Its own
    link function (a float32 logarithm) is so never guessed.
    """
    import xgboost

    model = json.loads(bytes(booster[0:1].save_raw("json")))
    inner = model["learner"]["gradient_booster"]
    inner = inner.get("gbtree", inner)
    for tree in inner["model"]["trees"]:
        leaves = [i for i, child in enumerate(tree["left_children"]) if child == -1]
        for i in leaves:
            tree["split_conditions"][i] = 0.0
        for name in ("base_weights", "leaf_weights"):  # vector leaves hold their values here
            tree[name] = [0.0] * len(tree.get(name, ()))
    emptied = xgboost.Booster()
    emptied.load_model(bytearray(json.dumps(model).encode()))
    row = xgboost.DMatrix(
        np.zeros((1, booster.num_features()), np.float32),
        feature_names=booster.feature_names,
        feature_types=booster.feature_types,
    )
    margins = emptied.predict(row, output_margin=True)
    return np.array(margins, np.float64).reshape(-1)
