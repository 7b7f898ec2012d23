"""Every trainer's model answers in the scorer what its own library answers, for every task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray

from tests.support.datasets import HEADS, made_up_classes, made_up_dataset, made_up_spec
from tests.support.scorer_pipe import Scorer
from treehouse.bundle import Bundle, Inputs
from treehouse.fit import trainers
from treehouse.fit.candidate import Candidate
from treehouse.fit.candidates import fit_candidates, wanted
from treehouse.fit.dataset import Dataset
from treehouse.fit.golden import golden_rows
from treehouse.fit.heads import make_heads
from treehouse.forest import compile_forest
from treehouse.project.errors import TreehouseError
from treehouse.spec import Bagging, Boosting, Spec

Floats = NDArray[np.float64]
_BOOSTING = Boosting(trees=12, depth=4, leaves=12, l2=1.0)
_BAGGING = Bagging(trees=8, depth=6, rows_per_leaf=5)
CASES = [
    *(("value", trainer, "squared_error") for trainer in trainers.TRAINERS),
    *(("value", "xgboost", name) for name in ("tweedie", "two_part", "paced_tweedie")),
    *(("probability", trainer, "log_loss") for trainer in trainers.TRAINERS),
    *(("classes", trainer, "log_loss") for trainer in trainers.TRAINERS),
]


@pytest.fixture(scope="module")
def sets() -> dict[str, Dataset]:
    """Rows of each task."""
    classes = {task: made_up_classes(task) for task in ("probability", "classes")}
    return {"value": made_up_dataset(3000), **classes}


@pytest.fixture
def make_spec(monkeypatch: pytest.MonkeyPatch, sets: dict[str, Dataset]) -> Any:
    """A small spec of a task, whose contract is made up too."""

    def make(task: str, trainer: str, objective: str = "log_loss", **changes: Any) -> Spec:
        monkeypatch.setattr("treehouse.spec.spec.load_contract", lambda _: sets[task].contract)
        return made_up_spec(
            task=task, trainers=(trainer,), objectives=(objective,), pace="early",
            boosting=_BOOSTING, bagging=_BAGGING, **changes,
        )  # fmt: skip

    return make


def bundle_of(spec: Spec, data: Dataset) -> tuple[Bundle, Candidate]:
    (candidate,) = fit_candidates(spec, data)
    heads, _ = make_heads(spec, data, candidate)
    bundle = Bundle(
        model="made_up",
        version=1,
        contract=data.contract.hash,
        inputs=Inputs(data.contract.of_kind("numeric"), dict(data.categories)),
        forests=tuple(compile_forest(model, data.names) for model in candidate.models),
        heads={name: heads[name] for name in HEADS[spec.task]},
        explained=candidate.explained,
    )
    return bundle, candidate


@pytest.mark.parametrize(("task", "trainer", "objective"), CASES)
def test_golden_rows_agree(
    scorer: Scorer,
    sets: dict[str, Dataset],
    make_spec: Any,
    task: str,
    trainer: str,
    objective: str,
) -> None:
    """Rows at thresholds, an ulp beside them and half way between two float32, missing, unseen."""
    data = sets[task]
    bundle, candidate = bundle_of(make_spec(task, trainer, objective), data)
    golden = golden_rows(bundle, data, candidate, rows=1500)
    found = scorer.score(bundle, np.array(golden["numeric"]), golden["categorical"])
    answers = np.array(golden["answers"])
    assert np.isfinite(answers).all()
    assert np.ptp(answers[:, 0]) > 0
    # exp(), log1p() and the logistic function of two C libraries differ by up to 2 ulp
    scale = np.abs(answers).max(axis=1, keepdims=True)
    assert (np.abs(found - answers) <= 1e-12 * scale).all()
    if task == "classes":
        np.testing.assert_array_equal(found[:, 0], answers[:, 0])
        np.testing.assert_allclose(answers[:, 1:].sum(axis=1), 1.0)


@pytest.mark.parametrize("trainer", trainers.TRAINERS)
def test_models_learn(sets: dict[str, Dataset], make_spec: Any, trainer: str) -> None:
    """Each is better than the mean on rows that it has not seen."""
    data = sets["probability"]
    (candidate,) = fit_candidates(make_spec("probability", trainer), data)
    test = data.rows("test")
    found = candidate.predict(data, test)[:, 0]
    ones, zeros = found[data.label[test] == 1], found[data.label[test] == 0]
    assert ones.mean() > zeros.mean() + 0.1
    assert trainers.trees(candidate.models[0]) <= 12


@pytest.mark.parametrize("trainer", trainers.TRAINERS)
def test_weights_count(sets: dict[str, Dataset], make_spec: Any, trainer: str) -> None:
    """Where ones count thrice, answers rise to the share of ones by weight."""
    data = sets["probability"]
    weighted = replace(data, weight=np.where(data.label == 1, 3.0, 1.0))
    spec, rows = make_spec("probability", trainer), data.rows("calibration")
    for given in (data, weighted):
        (candidate,) = fit_candidates(spec, given)
        heads, _ = make_heads(spec, given, candidate)
        found = candidate.answers({"value": heads["value"]}, data.matrix[rows], data.names)["value"]
        weight = None if given.weight is None else given.weight[rows]
        share = np.average(data.label[rows], weights=weight)
        assert np.average(found, weights=weight) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("trainer", ["xgboost", "random_forest", "extra_trees"])
def test_infinities_are_refused_by_name(
    sets: dict[str, Dataset], make_spec: Any, trainer: str
) -> None:
    data = sets["value"]
    matrix = data.matrix.copy()
    matrix[3, 0] = np.inf
    with pytest.raises(TreehouseError, match="float32") as refused:
        fit_candidates(make_spec("value", trainer, "squared_error"), replace(data, matrix=matrix))
    assert refused.value.value == "early"


def test_xgboost_splits_categories_as_sets(sets: dict[str, Dataset], make_spec: Any) -> None:
    (candidate,) = fit_candidates(make_spec("value", "xgboost", "squared_error"), sets["value"])
    model: xgb.Booster = candidate.models[0]
    assert model.feature_types == ["q", "q", "c"]
    assert any("f2:{" in tree for tree in model.get_dump())


def test_a_spec_names_trainers_and_objectives(make_spec: Any) -> None:
    spec = replace(make_spec("value", "lightgbm"), objectives=(), trainers=trainers.TRAINERS)
    found = wanted(spec)
    assert ("random_forest", "squared_error") in found
    assert ("random_forest", "tweedie") not in found
    assert len(found) == 4 + 2 * 3
