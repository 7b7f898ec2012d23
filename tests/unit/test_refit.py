"""The model that answers: fitted to all but the test rows, calibrated on rows it has not seen."""

from __future__ import annotations

import math
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from tests.support.datasets import made_up_classes, made_up_dataset, made_up_spec, with_contract
from tests.support.referees import trees
from treehouse.fit import trainers
from treehouse.fit.boosters import parameters
from treehouse.fit.candidate import Candidate
from treehouse.fit.candidates import choose, fit_candidates
from treehouse.fit.dataset import Dataset
from treehouse.fit.heads import make_heads
from treehouse.fit.measure import measure
from treehouse.fit.refit import cross_fit, refit
from treehouse.fit.splits import SPLITS
from treehouse.spec import Boosting, Spec

Floats = NDArray[np.float64]
_EARLIER = ("train", "validation", "calibration")


def chosen_of(spec: Spec, data: Dataset) -> Candidate:
    return choose(spec, fit_candidates(spec, data), data)[0]


def garbled(data: Dataset, split: str) -> Dataset:
    """Other labels in one split."""
    rows = data.rows(split)
    most = data.label.max()
    wrong = (data.label + 1) % (most + 1) if most <= 2 else 3 * data.label + 7
    return replace(data, label=np.where(rows, wrong, data.label))


def test_lightgbm_is_fitted_to_all_but_the_test_rows() -> None:
    data = made_up_dataset()
    spec = made_up_spec(objectives=("squared_error",))
    chosen = chosen_of(spec, data)
    final, _, _ = refit(spec, data, chosen)
    rows = data.rows(*_EARLIER)
    own = lgb.train(
        parameters(spec.boosting) | {"objective": "regression"},
        lgb.Dataset(data.matrix[rows], data.label[rows], categorical_feature=[2]),
        num_boost_round=chosen.models[0].best_iteration,
    )
    found = trainers.outputs(final.models[0], data.matrix)[:, 0]
    np.testing.assert_array_equal(found, own.predict(data.matrix))


def test_xgboost_keeps_the_rounds_that_were_chosen() -> None:
    data = made_up_classes("probability")
    spec = made_up_spec(task="probability", trainers=("xgboost",))
    chosen = chosen_of(spec, data)
    final, _, _ = refit(spec, data, chosen)
    assert final.models[0].num_boosted_rounds() == chosen.models[0].num_boosted_rounds() > 1
    rows = data.rows(*_EARLIER)
    seen = xgb.DMatrix(
        data.matrix[rows], data.label[rows], feature_names=list(data.names),
        feature_types=["q", "q", "c"], enable_categorical=True,
    )  # fmt: skip
    # The first tree's root counts the rows' second derivatives at the mean, p (1 - p) each.
    share = data.label[rows].mean()
    cover = final.models[0].trees_to_dataframe().query("Tree == 0 and Node == 0")["Cover"].item()
    sampled = spec.boosting.row_share * seen.num_row() * share * (1 - share)
    assert cover == pytest.approx(sampled, rel=0.05)


def test_a_forest_is_fitted_to_all_but_the_test_rows() -> None:
    data = made_up_classes("probability")
    spec = made_up_spec(task="probability", trainers=("random_forest",))
    spec = replace(spec, bagging=replace(spec.bagging, trees=5))
    final, _, _ = refit(spec, data, chosen_of(spec, data))
    rows, bagging = data.rows(*_EARLIER), spec.bagging
    own = RandomForestClassifier(
        n_estimators=5, max_depth=bagging.depth, min_samples_leaf=bagging.rows_per_leaf,
        max_features=bagging.column_share, random_state=bagging.seed,
    ).fit(data.matrix[rows], data.label[rows])  # fmt: skip
    found = trainers.outputs(final.models[0], data.matrix)
    np.testing.assert_allclose(found, own.predict_proba(data.matrix), rtol=1e-12)


@pytest.mark.parametrize("task", ["value", "probability", "classes"])
def test_test_labels_move_nothing(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made_up_dataset() if task == "value" else made_up_classes(task)
    monkeypatch.setattr("treehouse.spec.spec.load_contract", lambda _: data.contract)
    spec = made_up_spec(task=task)
    spec = replace(spec, known="early") if task == "value" else spec
    chosen = chosen_of(spec, data)
    one, heads, notes = refit(spec, data, chosen)
    other, same_heads, same_notes = refit(spec, garbled(data, "test"), chosen)
    assert trees(one) == trees(other)
    assert (heads, notes) == (same_heads, same_notes)


@pytest.mark.parametrize("split", ["validation", "calibration"])
@pytest.mark.parametrize("task", ["value", "probability"])
def test_rows_are_calibrated_by_models_that_have_not_seen_them(task: str, split: str) -> None:
    data = made_up_dataset() if task == "value" else made_up_classes(task)
    spec = made_up_spec(task=task)
    chosen, changed, own = chosen_of(spec, data), garbled(data, split), data.rows(split)
    # What the candidate's own jobs hold is changed as well: they are made of the labels.
    other = replace(
        chosen,
        jobs=tuple(
            replace(job, target=np.where(own, changed.label, job.target)) for job in chosen.jobs
        ),
    )
    held = own | data.rows({"validation": "calibration", "calibration": "validation"}[split])
    before = cross_fit(spec, data, chosen).predict(data, held)
    after = cross_fit(spec, changed, other).predict(changed, held)
    np.testing.assert_array_equal(before[own[held]], after[own[held]])
    assert not np.array_equal(before[~own[held]], after[~own[held]])
    assert trees(refit(spec, data, chosen)[0]) != trees(refit(spec, changed, other)[0])


@pytest.mark.parametrize(
    ("how", "splits"), [("cross_fitted", ("validation", "calibration")), ("none", ("calibration",))]
)
def test_the_gate_of_coverage_is_told_how_many_rows_calibrate(
    how: str, splits: tuple[str, ...]
) -> None:
    data = made_up_dataset(1200)
    data = replace(data, extra={"early": data.column("early")})
    spec = made_up_spec(objectives=("squared_error",), refit=how, baselines={"early": "early"})
    spec = with_contract(spec, data)
    final, heads, _ = refit(spec, data, chosen_of(spec, data))
    found = measure(None, None, spec, data, final, heads)  # type: ignore[arg-type]
    rows = np.isin(data.split, [SPLITS.index(name) for name in splits]).sum()
    assert found["interval"]["calibration_rows"] == rows > 0


def test_without_a_refit_the_chosen_model_answers() -> None:
    data, spec = made_up_dataset(), made_up_spec(refit="none")
    chosen = chosen_of(spec, data)
    final, heads, _ = refit(spec, data, chosen)
    assert final is chosen
    assert heads == make_heads(spec, data, chosen)[0]
    assert spec.fitted == ("train",)


def noisy(seed: int, rows: int = 1600) -> Dataset:
    """A line, and noise that grows along it; a third of the rows chooses and calibrates."""
    rng = np.random.default_rng(seed)
    data = made_up_dataset(rows, seed)
    x = rng.uniform(0, 10, rows)
    split = rng.choice(len(SPLITS), rows, p=[0.4, 0.15, 0.15, 0.3]).astype(np.int8)
    return replace(
        data,
        matrix=np.column_stack([x, rng.integers(0, 7, rows), rng.integers(0, 3, rows)]),
        label=x + rng.normal(0, 1 + x, rows),
        split=split,
    )


def held(heads: dict[str, object], candidate: Candidate, data: Dataset) -> float:
    """The share of test labels within the interval."""
    rows = data.rows("test")
    answers = candidate.answers(heads, data.matrix[rows], data.names)  # type: ignore[arg-type]
    label = data.label[rows]
    return float(np.mean((answers["low"] <= label) & (label <= answers["high"])))


@pytest.mark.slow
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_the_interval_holds_what_was_asked_for(coverage: float) -> None:
    """Over many data sets, with trees that learn their own rows by heart: calibrated on those
    rows the interval would hold far less, so the test can fail."""
    spec = made_up_spec(
        objectives=("squared_error",), coverage=coverage, interval_bins=1,
        boosting=Boosting(trees=60, learning_rate=0.2, depth=8, leaves=63, rows_per_leaf=5),
    )  # fmt: skip
    shares, by_heart, repeats = [], [], 25
    for seed in range(repeats):
        data = noisy(seed)
        # Sixty rounds, whatever the validation rows say.
        chosen = chosen_of(replace(spec, boosting=replace(spec.boosting, patience=60)), data)
        chosen.models[0].best_iteration = 60
        final, heads, _ = refit(spec, data, chosen)
        shares.append(held(heads, final, data))
        seen = replace(data, split=np.where(data.split == 1, 2, data.split).astype(np.int8))
        by_heart.append(held(make_heads(spec, seen, final)[0], final, data))
    # Shares of test rows and order statistics of calibration rows, both of about 480.
    band = 4 * math.sqrt(2 * coverage * (1 - coverage) / (480 * repeats))
    assert coverage - band <= np.mean(shares) <= coverage + 0.02 + band
    assert np.mean(by_heart) < coverage - 2 * band
