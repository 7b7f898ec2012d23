"""How the boosting libraries are asked: when they stop, and what parameters mean to them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray
from scipy.special import expit

from tests.support.datasets import made_up_classes, made_up_dataset, made_up_spec, with_contract
from treehouse.fit import trainers
from treehouse.fit.dataset import Dataset
from treehouse.fit.job import Job
from treehouse.project.errors import TreehouseError, UnfitError
from treehouse.spec import Bagging, Boosting

Floats = NDArray[np.float64]
_BOOSTED = pytest.mark.parametrize("trainer", trainers.BOOSTED)
_BOOSTING = Boosting(trees=60, learning_rate=0.3, depth=4, leaves=12, patience=7)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return made_up_dataset(1500)


def fitted(data: Dataset, job: Job, boosting: Boosting = _BOOSTING, **changes: Any) -> Any:
    progress = changes.pop("progress", None)
    spec = with_contract(made_up_spec(boosting=boosting, **changes), data)
    return trainers.fit(spec, data, job, progress)


@_BOOSTED
def test_the_round_of_least_validation_error_is_the_last(data: Dataset, trainer: str) -> None:
    """Which is known once as many rounds as the patience have gained nothing."""
    errors: list[float] = []
    actual = data.label[data.rows("validation")]

    def watch(_: int, outputs: Floats) -> None:
        errors.append(float(np.sqrt(np.mean((outputs - actual) ** 2))))

    model = fitted(data, Job(trainer, "squared_error", data.label, watch=watch))
    best = int(np.argmin(errors)) + 1
    assert trainers.rounds(model) == best
    assert len(errors) == best + _BOOSTING.patience


@_BOOSTED
def test_looking_on_changes_nothing(data: Dataset, trainer: str) -> None:
    told: list[tuple[Any, ...]] = []
    job = Job(trainer, "squared_error", data.label)
    watched = replace(job, watch=lambda *_: None)
    alone, seen = fitted(data, job), fitted(data, watched, progress=lambda *now: told.append(now))
    expected = trainers.outputs(alone, data.matrix)
    np.testing.assert_array_equal(trainers.outputs(seen, data.matrix), expected)
    assert told[0] == (f"fit {trainer} squared_error", 0, _BOOSTING.trees)


@_BOOSTED
def test_rounds_that_are_given_are_all_fitted(data: Dataset, trainer: str) -> None:
    told: list[tuple[Any, ...]] = []
    job = Job(trainer, "squared_error", data.label, rounds=9)
    model = fitted(data, job, progress=lambda *now: told.append(now))
    assert trainers.rounds(model) == trainers.trees(model) == 9
    assert [total for *_, total in told] == [9]


@_BOOSTED
def test_margins_are_what_the_link_is_applied_to(data: Dataset, trainer: str) -> None:
    is_any = Job(trainer, "binary", (data.label > 0).astype(float), rounds=3)
    model = fitted(data, is_any)
    found = trainers.outputs(model, data.matrix)
    np.testing.assert_allclose(expit(trainers.margins(model, data.matrix)), found, rtol=1e-5)


@_BOOSTED
def test_an_offset_is_where_the_margins_begin(data: Dataset, trainer: str) -> None:
    """One that is a third of the labels each: the trees bring the factor of three."""
    target = data.label + 1
    job = Job(trainer, "tweedie", target, offset=np.log(target / 3), rounds=40)
    found = trainers.margins(fitted(data, job), data.matrix)
    assert np.exp(found).mean() == pytest.approx(3, rel=0.02)


@_BOOSTED
def test_each_round_draws_rows_of_its_own(data: Dataset, trainer: str) -> None:
    """Where a round changes next to nothing, trees differ by their rows alone."""
    for share, differ in ((0.5, True), (1.0, False)):
        boosting = replace(_BOOSTING, learning_rate=1e-9, row_share=share, column_share=1.0)
        job = Job(trainer, "squared_error", data.label, rounds=2)
        model = fitted(data, job, boosting)
        matrix = np.nan_to_num(data.matrix)
        leaves = (
            model.predict(matrix, pred_leaf=True)
            if isinstance(model, lgb.Booster)
            else model.predict(trainers.xgboost_rows(model, matrix), pred_leaf=True)
        )
        assert (leaves[:, 0] != leaves[:, 1]).any() == differ


@pytest.mark.parametrize("objective", ["squared_error", "tweedie", "gamma", "binary", "classes"])
def test_xgboost_counts_a_leaf_and_its_penalty_in_rows(data: Dataset, objective: str) -> None:
    """The root's cover is the second derivatives of all rows: both are as many rows' of them."""
    task = "classes" if objective == "classes" else "value"
    given = made_up_classes(task, 1500) if task == "classes" else data
    target = {
        "gamma": data.label + 1,
        "binary": (data.label > 5).astype(float),
        "classes": np.arange(1500.0) % 3,  # equal shares, by which it counts
    }.get(objective, given.label)
    boosting = replace(_BOOSTING, rows_per_leaf=7, l2=3.0, row_share=1.0)
    job = Job("xgboost", objective, target, rounds=1)
    model: xgb.Booster = fitted(given, job, boosting, task=task)
    cover = re.search(r"cover=([\d.]+)", model.get_dump(with_stats=True)[0])
    assert cover
    row = float(cover[1]) / data.rows("train").sum()
    booster = json.loads(model.save_config())["learner"]["gradient_booster"]
    told = {
        name: float(booster["tree_train_param"][name]) for name in ("min_child_weight", "lambda")
    }
    assert told == {
        "min_child_weight": pytest.approx(7 * row, rel=0.02),
        "lambda": pytest.approx(3 * row, rel=0.02),
    }


@_BOOSTED
def test_one_label_above_0_is_enough(data: Dataset, trainer: str) -> None:
    """However small it is; where none is, the library would say so in words of its own."""
    small = 0.1 * (data.label > 0)
    fitted(data, Job(trainer, "tweedie", small, rounds=2))
    for objective in ("tweedie", "gamma"):
        with pytest.raises(UnfitError, match="needs labels above 0") as refused:
            fitted(data, Job(trainer, objective, np.zeros(1500)))
        assert refused.value.value == "none among the rows of the split train"
    only_train = np.where(data.rows("train"), small, 0.0)
    with pytest.raises(UnfitError) as refused:
        fitted(data, Job(trainer, "tweedie", only_train))
    assert refused.value.value == "none among the rows of the split validation"
    for target in (np.zeros(1500), np.ones(1500)):
        with pytest.raises(UnfitError, match="all or none") as refused:
            fitted(data, Job(trainer, "binary", target))
        assert refused.value.value == f"{target[data.rows('train')].sum():.0f} of " + (
            f"{data.rows('train').sum()} rows of the split train"
        )
    only_train = np.where(data.rows("train"), small > 0, 1.0)
    assert trainers.rounds(fitted(data, Job(trainer, "binary", only_train)))


def test_what_float32_holds_is_fitted(data: Dataset) -> None:
    """Its largest number is; what is larger by as little as float64 tells is refused."""
    matrix = data.matrix.copy()
    job, few = Job("random_forest", "squared_error", data.label), Bagging(trees=2)
    matrix[3, 0] = trainers.FLOAT32_MAX
    fitted(replace(data, matrix=matrix), job, bagging=few)
    for wrong in (np.nextafter(trainers.FLOAT32_MAX, np.inf), -np.inf):
        matrix[3, 0] = wrong
        with pytest.raises(TreehouseError, match="float32"):
            fitted(replace(data, matrix=matrix), job)
