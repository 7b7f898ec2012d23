"""The chosen model, fitted anew to every row whose label was known before the test.

Candidates are fitted to the rows of `train`, stopped and compared on those of `validation`. What
that decides stays: the candidate, its parameters, its rounds of boosting. Then its trees are grown
anew from these rows and those of `calibration` together.

Nothing may be calibrated on rows that its own trees have seen. So the same model is fitted twice
more, to all but the validation rows and to all but the calibration rows, and each answers the rows
that it has not seen: cross-conformal prediction (Vovk: Cross-conformal predictors, 2015) with
these two folds, as its author has parted them, and the intervals called CV by Barber, Candes,
Ramdas, Tibshirani (Predictive inference with the jackknife+, 2021). The model that answers has seen
a little more than these two. That its interval holds as much as theirs is therefore no theorem, as
it is for rows set apart, but rests on models of nearly the same rows being nearly the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle import Expression
from treehouse.fit import regression as values
from treehouse.fit import trainers
from treehouse.fit.candidate import Candidate, Rows
from treehouse.fit.dataset import Dataset
from treehouse.fit.heads import Heads, make_heads
from treehouse.fit.job import Progress
from treehouse.fit.splits import SPLITS
from treehouse.spec import Spec

Floats = NDArray[np.float64]
_FOLDS = ("validation", "calibration")


@dataclass(frozen=True)
class CrossFitted(Candidate):
    """A candidate that answers each row of its data by models which have not seen it.

    Attributes:
        fold: int8[rows of the data], a position in SPLITS.
        unseen: By split, the models that were not fitted to its rows.
    """

    fold: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    unseen: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def over(
        self, heads: Mapping[str, Expression], data: Dataset, rows: Rows = slice(None)
    ) -> dict[str, Floats]:
        fold, matrix = self.fold[rows], data.matrix[rows]
        found = {name: np.full(len(fold), np.nan) for name in heads}
        for split, models in self.unseen.items():
            part = fold == SPLITS.index(split)
            own = replace(self, models=models).answers(heads, matrix[part], data.names)
            for name, answers in own.items():
                found[name][part] = answers
        return found


def refit(
    spec: Spec, data: Dataset, chosen: Candidate, progress: Progress | None = None
) -> tuple[Candidate, Heads, dict[str, Any]]:
    """The candidate that answers, its heads, and notes for the metrics.

    Where the spec has no refit it is the chosen one, calibrated on the calibration rows.
    """
    if not set(_FOLDS) <= set(spec.fitted):
        return chosen, *make_heads(spec, data, chosen)
    calibrated: Candidate = cross_fit(spec, data, chosen, progress)
    held_out = _as(data, "calibration", *_FOLDS)
    if spec.task == "value":
        raw = calibrated.answering(*chosen.uncalibrated)
        calibrated = values.calibrated(spec, held_out, raw)
    heads, notes = make_heads(spec, held_out, calibrated)
    models = _fit(spec, _as(data, "train", *spec.fitted), chosen, progress)
    return replace(chosen, models=models, parts=calibrated.parts), heads, notes


def cross_fit(
    spec: Spec, data: Dataset, chosen: Candidate, progress: Progress | None = None
) -> CrossFitted:
    """The candidate fitted to all but the validation rows, and to all but the calibration rows.

    It answers these rows alone.
    """
    unseen = {}
    for fold in _FOLDS:
        others = [split for split in spec.fitted if split != fold]
        unseen[fold] = _fit(spec, _as(data, "train", *others), chosen, progress)
    inherited = {part.name: getattr(chosen, part.name) for part in fields(Candidate)}
    return CrossFitted(**inherited, fold=data.split, unseen=unseen)


def _as(data: Dataset, split: str, *splits: str) -> Dataset:
    """The data with the rows of some splits counted as another's."""
    changed = np.where(data.rows(*splits), SPLITS.index(split), data.split)
    return replace(data, split=changed.astype(np.int8))


def _fit(
    spec: Spec, data: Dataset, chosen: Candidate, progress: Progress | None
) -> tuple[Any, ...]:
    """The candidate's models, fitted to all rows of `train` with the rounds that were chosen."""
    return tuple(
        trainers.fit(spec, data, replace(job, rounds=trainers.rounds(model), watch=None), progress)
        for job, model in zip(chosen.jobs, chosen.models, strict=True)
    )
