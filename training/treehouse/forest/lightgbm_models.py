"""LightGBM: every objective and boosting type, native categories, both missing-value rules.

The decision rules are those of LightGBM's `include/LightGBM/tree.h` (NumericalDecision,
CategoricalDecision) and of `src/c_api.cpp`, which drops inputs of at most 1e-35 before predicting.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import treelite

from treehouse.forest.exact import lightgbm_zero
from treehouse.forest.from_treelite import from_treelite
from treehouse.forest.importers import check_feature_count, check_trees
from treehouse.forest.model import Forest
from treehouse.project.errors import TreehouseError

_MISSING_MASK, _MISSING_ZERO = 0b1100, 0b0100


def import_lightgbm(model: Any, features: tuple[str, ...]) -> Forest:
    """A fitted Booster or LGBMModel, up to its best iteration, as ``predict`` would use it."""
    import lightgbm

    booster = model if isinstance(model, lightgbm.Booster) else model.booster_
    check_feature_count(booster.num_feature(), features)
    check_trees(booster.num_trees())
    text = booster.model_to_string()
    _refuse_unsupported(text)
    forest_model = _parse(text)
    averaged = bool(forest_model.get_header_accessor().get_field("average_tree_output")[0])
    per_iteration = booster.num_model_per_iteration()
    rules: dict[str, Any] = {}
    if averaged:
        rules["divisor"] = float(max(1, forest_model.num_tree // per_iteration))
    if slope := _slope(booster, text):
        rules["post_parameter"] = slope
    return from_treelite(
        forest_model,
        features,
        fold=lightgbm_zero,
        less_or_equal=True,
        trainer=f"lightgbm {lightgbm.__version__}",
        truncate_negative=True,
        **rules,
    )


def _slope(booster: Any, text: str) -> float | None:
    """The objective's `sigmoid` in double precision; None where it has none.

    Treelite rounds it to float32, and LightGBM's own text to 6 digits: a booster that was fitted
    in this process still has the parameter, one that was read from a text has the rounded one.
    What fits the booster's answers better is it.
    """
    written = re.search(r"^objective=.* sigmoid:(\S+)", text, re.MULTILINE)
    if not written:
        return None
    known = {float(written[1])}
    with suppress(TypeError, ValueError, KeyError):
        known.add(float(booster.params["sigmoid"]))
    rows = np.random.default_rng(1).normal(size=(64, booster.num_feature()))
    margins = np.asarray(booster.predict(rows, raw_score=True), np.float64)
    own = np.asarray(booster.predict(rows), np.float64)

    def error(slope: float) -> float:
        with np.errstate(over="ignore"):
            return float(np.abs(1 / (1 + np.exp(-slope * margins)) - own).max())

    return min(known, key=error)


def _parse(text: str) -> treelite.Model:
    with tempfile.TemporaryDirectory(prefix="treehouse-") as folder:
        path = Path(folder) / "model.txt"
        path.write_text(text)
        return treelite.frontend.load_lightgbm_model(path)


def _refuse_unsupported(text: str) -> None:
    """Treelite imports `zero_as_missing` wrongly without a word, so look at the nodes."""
    if re.search(r"^is_linear=1", text, re.MULTILINE):
        raise TreehouseError(
            "linear_tree is not supported: leaves must hold constants",
            fix="train with linear_tree=False",
        )
    if re.search(r"^num_class=(?!1$)", text, re.MULTILINE) and not re.search(
        r"^objective=multiclass", text, re.MULTILINE
    ):
        raise TreehouseError(
            "a model of several classes with an objective of its own is not supported",
            value=next(iter(re.findall(r"^objective=.*", text, re.MULTILINE)), "no objective"),
            fix="train with objective='multiclass' or 'multiclassova', or one model per class",
        )
    for line in re.findall(r"^decision_type=(.+)$", text, re.MULTILINE):
        missing = np.array(line.split(), np.int64) & _MISSING_MASK
        if bool(np.any(missing == _MISSING_ZERO)):
            raise TreehouseError(
                "zero_as_missing is not supported",
                fix="train with zero_as_missing=False and pass NaN where a value is missing",
            )
