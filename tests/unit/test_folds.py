"""Folds chain forward, and nothing is fitted whose label was not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.datasets import made_up_dataset
from tests.support.some import some
from treehouse.fit.dataset import Dataset
from treehouse.project.errors import TreehouseError
from treehouse.tune.folds import forward_folds

_DAYS = 300


def over_time(horizon: float, rows: int = 6000) -> Dataset:
    """Rows of 300 days in order, the last 60 of them the test."""
    data = made_up_dataset(rows)
    time = np.sort(np.random.default_rng(0).integers(0, _DAYS, rows)).astype(float)
    split = np.where(time >= _DAYS - 60, 3, 0).astype(np.int8)
    return replace(data, time=time, known_at=time + horizon, split=split)


@pytest.mark.parametrize("horizon", [0.0, 7.0, 60.0])
def test_folds_know_only_the_past(horizon: float) -> None:
    data = over_time(horizon)
    folds = forward_folds(data)
    assert len(folds) == 3
    begins = [fold.time[fold.rows("test")].min() for fold in folds]
    assert begins == sorted(begins, reverse=True)
    for fold in folds:
        start = fold.time[fold.rows("test")].min()
        fitted = fold.rows("train", "validation", "calibration")
        assert fold.known_at[fitted].max() <= start
        assert fold.time.max() < _DAYS - 60
        stops = fold.rows("validation", "calibration")
        assert fold.time[fold.rows("train")].max() <= fold.time[stops].min()
        assert 0.1 < stops.sum() / fitted.sum() < 0.6
    evaluated = np.concatenate([fold.time[fold.rows("test")] for fold in folds])
    assert len(evaluated) == (data.time[~data.rows("test")] >= min(begins)).sum()


def test_the_holdout_is_not_there() -> None:
    data = over_time(0.0)
    marked = replace(data, label=np.where(data.rows("test"), 1e9, data.label))
    assert all(fold.label.max() < 1e9 for fold in some(forward_folds(marked)))


def test_snapshots_are_not_cut() -> None:
    """Where rows share few times, a fold holds all rows of a time or none."""
    data = over_time(0.0)
    data = replace(data, time=data.time // 60, known_at=data.time // 60 + 1)
    for fold in forward_folds(data, folds=10):
        for moment in np.unique(fold.time):
            together = fold.rows("test")[fold.time == moment]
            assert together.all() or not together.any()


@pytest.mark.parametrize("horizon", [200.0, 1000.0])
def test_a_short_history_is_refused(horizon: float) -> None:
    with pytest.raises(TreehouseError, match="too short to tune") as refused:
        forward_folds(over_time(horizon))
    assert "load more history" in str(refused.value.fix)
