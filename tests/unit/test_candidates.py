"""Every objective's answer is its boosters' own arithmetic, and the best one is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import mean_tweedie_deviance

from tests.support.datasets import made_up_dataset, made_up_spec
from treehouse.bundle import e
from treehouse.fit import trainers
from treehouse.fit.boosters import parameters
from treehouse.fit.candidate import Candidate
from treehouse.fit.candidates import choose, fit_candidates
from treehouse.fit.dataset import Dataset
from treehouse.fit.deviance import mean_deviance
from treehouse.fit.job import Job, Listener
from treehouse.fit.regression import calibration_factor, fit, unit_of
from treehouse.project.errors import TreehouseError
from treehouse.spec import Boosting

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return made_up_dataset()


@pytest.fixture(scope="module")
def fitted(data: Dataset) -> dict[str, Candidate]:
    """Every objective, with nothing known and nothing paced but paced_tweedie itself."""
    return {
        c.name.removeprefix("lightgbm "): c
        for c in fit_candidates(made_up_spec(pace="early"), data)
    }


def raw(candidate: Candidate, number: int, data: Dataset) -> Floats:
    return np.asarray(candidate.models[number].predict(data.matrix), dtype=np.float64)


def expected_answers(data: Dataset, rest: Floats, known: Floats | float = 0.0) -> Floats:
    """What is known, and the rest with its sum put right on the rows that were not fitted."""
    rows = data.rows("validation", "calibration")
    factor = calibration_factor((data.label - known)[rows], rest[rows])
    return known + factor * rest


def test_every_objective_is_fitted(fitted: dict[str, Candidate], data: Dataset) -> None:
    assert list(fitted) == ["squared_error", "tweedie", "two_part", "paced_tweedie"]
    without_pace = fit_candidates(made_up_spec(objectives=("tweedie", "paced_tweedie")), data)
    assert [candidate.name for candidate in without_pace] == ["lightgbm tweedie"]


def test_answers_are_the_boosters_own(fitted: dict[str, Candidate], data: Dataset) -> None:
    for name in ("squared_error", "tweedie"):
        found = fitted[name].predict(data)[:, 0]
        np.testing.assert_array_equal(found, expected_answers(data, raw(fitted[name], 0, data)))
    two = fitted["two_part"]
    probability, amount = raw(two, 0, data), raw(two, 1, data)
    assert ((probability > 0) & (probability < 1)).all()
    found = two.predict(data)[:, 0]
    np.testing.assert_array_equal(found, expected_answers(data, probability * amount))


def test_two_parts_are_fitted_on_what_they_are_about(
    fitted: dict[str, Candidate], data: Dataset
) -> None:
    """The first is the share of payers; the second, the mean of those who pay."""
    train = data.rows("train")
    payers = train & (data.label > 0)
    probability, amount = (raw(fitted["two_part"], n, data) for n in (0, 1))
    assert probability[train].mean() == pytest.approx(payers.sum() / train.sum(), rel=0.05)
    # A log link that stops early predicts too little in sum, for which there is the calibration.
    assert amount[payers].mean() == pytest.approx(data.label[payers].mean(), rel=0.3)


def test_paced_answers_are_pace_times_correction(
    fitted: dict[str, Candidate], data: Dataset
) -> None:
    candidate = fitted["paced_tweedie"]
    start = data.label[data.rows("train")].mean()
    offset = start + np.maximum(np.nan_to_num(data.column("early")), 0.0)
    found = candidate.predict(data)[:, 0]
    np.testing.assert_array_equal(found, expected_answers(data, offset * raw(candidate, 0, data)))
    margin = np.asarray(candidate.models[0].predict(data.matrix, raw_score=True))
    rest = np.exp(np.log(offset) + margin)
    np.testing.assert_allclose(found, expected_answers(data, rest), rtol=1e-12)


def test_paced_trees_were_fitted_with_the_offset(data: Dataset) -> None:
    """The trees correct the pace: without it as offset they would answer the value, times pace."""
    boosting = Boosting(trees=60, learning_rate=0.3, depth=4, leaves=15, patience=60)
    spec = made_up_spec(pace="early", objectives=("paced_tweedie",), boosting=boosting)
    found = fit_candidates(spec, data)[0].predict(data)[:, 0]
    early = data.column("early")
    for part in (early == 0, (early > 0) & (early < 3), early > 6):
        rows = data.rows("train") & part
        assert found[rows].mean() == pytest.approx(data.label[rows].mean(), rel=0.25)


def test_paced_answers_grow_beyond_the_training_rows(fitted: dict[str, Candidate]) -> None:
    whales = np.array([[1e4, 3.0, 1.0], [2e4, 3.0, 1.0], [np.nan, 3.0, 1.0], [-5.0, 3.0, 1.0]])
    few = replace(made_up_dataset(4), matrix=whales)
    first, second, missing, negative = fitted["paced_tweedie"].predict(few)[:, 0]
    assert second == pytest.approx(2 * first, rel=1e-3)
    assert np.isfinite(missing)
    assert 0 < negative < first


def test_the_pace_means_the_same_to_trees_and_answers(data: Dataset) -> None:
    """What is missing or below 0 counts as 0 to both."""
    pace = np.where(np.arange(len(data.label)) % 5 == 0, np.nan, data.column("early") - 1)
    data = replace(data, matrix=np.column_stack([pace, data.matrix[:, 1:]]))
    spec = made_up_spec(pace="early", objectives=("paced_tweedie",))
    (candidate,) = fit_candidates(spec, data)
    start = data.label[data.rows("train")].mean() + np.maximum(np.nan_to_num(pace), 0.0)
    found = candidate.predict(data)[:, 0]
    np.testing.assert_array_equal(found, expected_answers(data, start * raw(candidate, 0, data)))
    own = trainers.fit(spec, data, Job("lightgbm", "tweedie", data.label, offset=np.log(start)))
    assert candidate.models[0].model_to_string() == own.model_to_string()


@pytest.mark.parametrize("objective", ["tweedie", "two_part"])
def test_where_nothing_explains_the_labels_the_mean_is_answered(
    data: Dataset, objective: str
) -> None:
    """Before any calibration: a share times a mean of those that have some is the mean of all."""
    nothing = replace(data, matrix=np.full_like(data.matrix, np.nan))
    (candidate,) = fit_candidates(made_up_spec(objectives=(objective,)), nothing)
    models = range(len(candidate.models))
    found = np.prod([raw(candidate, n, nothing) for n in models], axis=0)
    mean = data.label[data.rows("train")].mean()
    assert found * unit_of(made_up_spec(), data) == pytest.approx(mean, rel=1e-3)


def test_all_training_rows_decide_whether_one_part_is_enough(data: Dataset) -> None:
    label = np.where(data.rows("train"), data.label + 1, data.label)
    spec = made_up_spec(objectives=("two_part",))
    (candidate,) = fit_candidates(spec, replace(data, label=label))
    assert len(candidate.models) == 1


def test_the_unit_is_by_the_mean_of_the_training_rows(data: Dataset) -> None:
    label = np.where(data.rows("train"), 1.0, 1e9)
    label[np.flatnonzero(data.rows("train"))[0]] = 5000.0
    assert unit_of(made_up_spec(), replace(data, label=label)) == 1.0
    assert unit_of(made_up_spec(), replace(data, label=40 * label)) == 1024.0


def test_what_a_tree_adds_is_told_in_the_unit_of_the_label(data: Dataset) -> None:
    """A margin's own for logarithms; else what the outputs are multiplied by."""
    large = replace(data, label=3000 * data.label)
    square, two = fit_candidates(made_up_spec(objectives=("squared_error", "two_part")), large)
    assert two.explained == {(0, 0): 1.0, (1, 0): 1.0}
    (share,) = square.explained.values()
    assert list(square.explained) == [(0, 0)]
    expected = expected_answers(large, share * raw(square, 0, large))
    np.testing.assert_allclose(square.predict(large)[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("changes", [{}, {"known": "early"}, {"label_floor": 1e4}])
def test_a_listener_hears_the_loss_on_the_validation_rows(data: Dataset, changes: Any) -> None:
    """Of what the trees so far answer, with what is known and not under the floor."""
    data = replace(data, label=3000 * data.label, weight=np.arange(1.0, len(data.label) + 1))
    heard: list[float] = []
    spec = made_up_spec(**changes)
    listener = Listener(loss=lambda _, loss: heard.append(loss))
    model: Any = fit(spec, data, "lightgbm", "squared_error", listener).models[0]
    rows = data.rows("validation")
    known = data.column("early")[rows] if spec.known else 0.0
    for number in (1, model.best_iteration):
        answers = known + unit_of(spec, data) * model.predict(
            data.matrix[rows], num_iteration=number
        )
        answers = answers if spec.label_floor is None else np.maximum(answers, spec.label_floor)
        assert data.weight is not None
        expected = mean_deviance(data.label[rows], answers, data.scale, data.weight[rows])
        assert heard[number - 1] == pytest.approx(expected)


def test_calibration_by_hand() -> None:
    """Sums 12 over 8: 1/2 too little. The error of 4 rows that all are 3/2 of theirs is 0."""
    predicted = np.array([1.0, 2.0, 2.0, 3.0])
    assert calibration_factor(1.5 * predicted, predicted) == pytest.approx(1.5)
    assert calibration_factor(predicted, predicted) == 1.0
    assert calibration_factor(predicted, np.zeros(4)) == 1.0
    assert calibration_factor(-1.5 * predicted, -predicted) == pytest.approx(1.5)
    # Where both signs meet, the sum is put right by no factor.
    signed = np.array([-2.0, -2.0, 2.0, 3.0])
    assert calibration_factor(1.5 * signed, signed) == 1.0
    mostly = np.array([2.0, 2.0, 2.0, -1.0])  # 5 of 7
    assert calibration_factor(1.5 * mostly, mostly) == 1.0
    # Residuals -1, 1, 1, -1 around 3/2: error 2 / 8, so 1/2 shrinks by 1 - (1/2)^2.
    actual = 1.5 * predicted + np.array([-1.0, 1.0, 1.0, -1.0])
    assert calibration_factor(actual, predicted) == pytest.approx(1 + 0.5 * 0.75)
    # Residuals of 4 drown it: error 1.
    actual = 1.5 * predicted + 4 * np.array([-1.0, 1.0, 1.0, -1.0])
    assert calibration_factor(actual, predicted) == 1.0


@pytest.mark.parametrize("name", ["squared_error", "tweedie", "two_part", "paced_tweedie"])
def test_what_is_known_is_added_and_never_undercut(data: Dataset, name: str) -> None:
    spec = made_up_spec(known="early", pace="early", objectives=(name,))
    (candidate,) = fit_candidates(spec, data)
    found, known = candidate.predict(data)[:, 0], data.column("early")
    rest = [raw(candidate, n, data) for n in range(len(candidate.models))]
    if name == "paced_tweedie":
        start = np.maximum(data.label - known, 0)[data.rows("train")].mean()
        rest[0] = (start + known) * rest[0]
    expected = expected_answers(data, np.prod(rest, axis=0), known)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    if name != "squared_error":
        assert (found >= known).all()


def test_the_floor_is_the_least_answer(data: Dataset) -> None:
    shifted = replace(data, label=data.label - 3.0)
    free, floored = (
        fit_candidates(made_up_spec(objectives=("squared_error",), label_floor=floor), shifted)[0]
        for floor in (None, 0.0)
    )
    below = free.predict(data)[:, 0]
    assert (below < 0).any()
    np.testing.assert_array_equal(floored.predict(data)[:, 0], np.maximum(below, 0.0))


def test_equal_data_and_spec_give_an_equal_model(data: Dataset) -> None:
    spec = made_up_spec(objectives=("tweedie",))
    texts = [fit_candidates(spec, data)[0].models[0].model_to_string() for _ in range(2)]
    assert texts[0] == texts[1]


def test_validation_rows_stop_the_fitting() -> None:
    """Labels that nothing explains: more trees only learn noise."""
    noise = made_up_dataset(1500)
    noise = replace(noise, label=np.random.default_rng(1).exponential(1.0, 1500))
    spec = made_up_spec(
        objectives=("squared_error",), boosting=Boosting(trees=200, patience=5, depth=4, leaves=15)
    )
    (candidate,) = fit_candidates(spec, noise)
    assert candidate.models[0].best_iteration < 100


def test_choose_takes_the_least_loss(data: Dataset) -> None:
    rows = data.rows("validation")
    label = data.label[rows]
    booster = lgb.train(
        parameters(Boosting()) | {"objective": "regression"},
        lgb.Dataset(data.matrix, data.label),
        num_boost_round=1,
    )
    constants = {"far": 100.0, "near": float(label.mean()), "zero": 0.0}
    candidates = [Candidate(n, (booster,), (e.const(value),)) for n, value in constants.items()]
    chosen, scores = choose(made_up_spec(), candidates, data)
    assert chosen.name == "near"
    assert list(scores) == list(constants)
    scale = data.label[data.rows("train")].mean() / 100
    for name, value in constants.items():
        moved = np.full(len(label), value + scale)
        expected = mean_tweedie_deviance(label + scale, moved, power=1.3)
        assert scores[name]["loss"] == pytest.approx(expected)
        assert scores[name]["trees"] == 1.0


def test_progress_is_reported(data: Dataset) -> None:
    seen: list[Any] = []
    fit_candidates(made_up_spec(objectives=("tweedie",)), data, lambda *args: seen.append(args))
    assert seen[0] == ("fit lightgbm tweedie", 0, 40)


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"trainers": ("lightgbm", "catboost")}, "catboost"),
        ({"objectives": ("log_loss",)}, "log_loss"),
        ({"trainers": ("random_forest",), "objectives": ("tweedie",)}, "random_forest: tweedie"),
    ],
)
def test_what_no_trainer_has_is_refused(data: Dataset, changes: Any, value: str) -> None:
    with pytest.raises(TreehouseError) as refused:
        fit_candidates(made_up_spec(**changes), data)
    assert refused.value.value == value
    assert refused.value.expected
    assert "training/specs/made_up.py" in str(refused.value.fix)
