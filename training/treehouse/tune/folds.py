"""Forward chaining: each fold is fitted on what was known when its evaluation begins.

The rows before the holdout are ordered by time. Bergmeir, Benitez: On the use of cross-validation
for time series predictor evaluation (2012), section 2; rows whose label was not known when the
evaluation begins are purged, as in Lopez de Prado: Advances in Financial Machine Learning (2018),
section 7.4.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from treehouse.fit.dataset import Dataset
from treehouse.fit.splits import SPLITS
from treehouse.project.errors import TreehouseError

Rows = NDArray[np.bool_]
_FEWEST_ROWS = 100
_FIRST_SHARE = 0.25
"""Share of the rows whose labels are known when the first evaluation begins."""
_STOP_SHARE = 0.2
"""Share of a fold's rows, the newest, that stop and calibrate the fit."""


def forward_folds(data: Dataset, folds: int = 3) -> list[Dataset]:
    """Datasets whose split is the fold's own, the newest first; `test` is what is evaluated.

    Fewer than asked for where the rows have fewer distinct times.

    Raises:
        TreehouseError: The history is too short for a single fold.
    """
    data = data.only(~data.rows("test"))
    known = np.sort(data.known_at)
    begins = data.time >= known[int(_FIRST_SHARE * len(known))]
    starts: list[float] = []
    if begins.any():
        shares = np.arange(folds) / folds
        quantiles = np.quantile(data.time[begins], shares, method="closest_observation")
        starts = np.unique(quantiles).tolist()
    found = [_fold(data, *span) for span in pairwise([*starts, np.inf])]
    usable = [fold for fold in reversed(found) if _is_usable(fold)]
    if not usable:
        raise TreehouseError(
            f"The history of {data.contract.use_case} is too short to tune on.",
            value=f"{len(data.label)} rows before the test",
            expected=f"{_FEWEST_ROWS} rows that come after the labels of a quarter of them",
            fix="load more history, then ./treehouse build",
        )
    return usable


def _fold(data: Dataset, start: float, end: float) -> Dataset:
    evaluated = (data.time >= start) & (data.time < end)
    fitted = data.known_at <= start
    split = np.full(len(data.label), SPLITS.index("train"), dtype=np.int8)
    if fitted.any():
        stop_from = np.quantile(data.time[fitted], 1 - _STOP_SHARE, method="closest_observation")
        stops = fitted & (data.time >= stop_from)
        split[stops] = np.where(
            np.arange(int(stops.sum())) % 2, SPLITS.index("validation"), SPLITS.index("calibration")
        )
        # Where that leaves enough, the labels of the rest were known when the stopping rows came.
        purged = fitted & ~stops & (data.known_at <= stop_from)
        if 2 * purged.sum() >= (fitted & ~stops).sum():
            fitted = purged | stops
    split[evaluated] = SPLITS.index("test")
    chosen = fitted | evaluated
    return data.only(chosen, split=split[chosen])


def _is_usable(fold: Dataset) -> bool:
    """Enough rows in every part, and labels that vary."""
    return all(
        fold.rows(part).sum() >= _FEWEST_ROWS and np.ptp(fold.label[fold.rows(part)]) > 0
        for part in ("train", "validation", "test")
    )
