"""Tuning keeps every trial in the registry, goes on from there, and refuses what can't be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from tests.support.datasets import made_up_classes, made_up_dataset, made_up_spec
from tests.support.sequences import sequence_dataset, sequence_spec
from tests.support.some import some
from treehouse.fit.dataset import Dataset
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings
from treehouse.spec import Bagging, Boosting, Spec
from treehouse.tune import search as searching
from treehouse.tune.gain import gain
from treehouse.tune.search import Study, search
from treehouse.tune.space import CANDIDATE, default_trials, ranges, with_parameters
from treehouse.tune.trials import Trial, ensure_trials, read_trials, tuned_spec, winner, write_trial

_REGISTRY = "treehouse_tune_tests"
Search = Callable[..., Study]


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Rows of 300 days, whose labels are known a week later."""
    data = made_up_dataset(2500)
    time = np.sort(np.random.default_rng(0).integers(0, 300, 2500)).astype(float)
    split = np.where(time >= 240, 3, np.where(time >= 200, 1 + np.arange(2500) % 2, 0))
    return replace(
        data, time=time, known_at=time + 7, split=split.astype(np.int8),
        lineage={"rows": 2500, "fingerprint": 1},
    )  # fmt: skip


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch, data: Dataset) -> Spec:
    """Two candidates of few small trees."""
    monkeypatch.setattr("treehouse.spec.spec.load_contract", lambda _: data.contract)
    monkeypatch.setattr(searching, "spec_hash", lambda _: "code")
    return made_up_spec(
        objectives=("squared_error", "tweedie"),
        boosting=Boosting(trees=40, depth=3, leaves=7, patience=40),
        bagging=Bagging(trees=5, depth=4),
    )


@pytest.fixture
def own(client: Client, settings: Settings) -> Iterator[Settings]:
    """A registry without trials."""
    client.command(f"drop database if exists {_REGISTRY} sync")
    yield replace(settings, registry_database=_REGISTRY)
    client.command(f"drop database if exists {_REGISTRY} sync")


@pytest.fixture
def run(client: Client, own: Settings, spec: Spec, data: Dataset) -> Search:
    """The search over those rows."""

    def call(trials: int, **options: Any) -> Study:
        return search(client, own, spec, data, trials=trials, **options)

    return call


def test_every_trial_is_a_row(client: Client, own: Settings, spec: Spec, run: Search) -> None:
    said: list[tuple[Any, ...]] = []
    study = run(6, report=lambda *told: said.append(told))
    assert read_trials(client, own, "made_up", study.name) == study.trials
    assert [trial.number for trial in study.trials] == list(range(6))
    assert [dict(t.parameters) for t in study.trials if t.is_default] == default_trials(spec)
    complete = [trial for trial in study.trials if trial.state == "complete"]
    assert (study.best, study.default) == winner(study.trials)
    assert all(trial.loss == pytest.approx(np.mean(trial.fold_losses)) for trial in some(complete))
    assert study.trials[0].curve
    assert said[-1][1:] == (5, 6)
    assert "least loss" in said[-1][0]


def test_a_study_goes_on(run: Search) -> None:
    """With more trials; there is nothing left to do with as many."""
    first, second = run(3), run(5)
    assert (first.new, second.new, run(5).new) == (3, 2, 0)
    assert second.trials[:3] == first.trials
    assert len({repr(trial.parameters) for trial in second.trials}) == 5
    assert run(3, seed=2).name != first.name


def test_equal_seeds_give_equal_trials(client: Client, run: Search) -> None:
    first = run(4).trials
    client.command(f"drop database {_REGISTRY} sync")
    for one, other in zip(first, run(4).trials, strict=True):
        assert (one.parameters, one.loss, one.state) == (other.parameters, other.loss, other.state)


def test_an_interrupted_study_goes_on(run: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    real = searching._loss

    def interrupted(given: Spec, *rest: Any) -> float:
        if given.objectives == ("tweedie",):  # the second trial
            raise KeyboardInterrupt
        return real(given, *rest)

    monkeypatch.setattr(searching, "_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(4)
    monkeypatch.setattr(searching, "_loss", real)
    study = run(4)
    assert study.new == 3
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]


def test_hopeless_trials_are_pruned(client: Client, own: Settings, spec: Spec, run: Search) -> None:
    """Beside trials whose curves were far better."""
    name = run(1).name
    parameters = default_trials(spec)[0]
    for number in range(1, 8):
        trial = Trial(number, parameters, "complete", False, 1e-3, (1e-3,), {30: 1e-6})
        write_trial(client, own, "made_up", name, trial)
    later = run(14).trials[8:]
    assert len(later) == 6
    for trial in later:
        trainer, objective = trial.parameters[CANDIDATE].split()
        is_watched = trainer in ("lightgbm", "xgboost") and objective != "two_part"
        assert trial.state == ("pruned" if is_watched else "complete"), trial
        assert (trial.loss is None) == is_watched
    assert "pruned" in {trial.state for trial in later}


def test_the_winner_is_what_train_takes(
    client: Client, own: Settings, spec: Spec, data: Dataset, run: Search
) -> None:
    study = run(4)
    tuned, trial = tuned_spec(client, own, spec)
    assert tuned == with_parameters(spec, study.best.parameters)
    assert trial == f"trial {study.best.number} of study {study.name}"
    assert " ".join((*tuned.trainers, *tuned.objectives)) == study.best.parameters[CANDIDATE]
    found = gain(spec, tuned, data)
    for row in some(found.values()):
        assert row["gain"] == pytest.approx(row["default"] - row["tuned"])
        assert row["low"] <= row["gain"] <= row["high"]
    assert gain(spec, spec, data)["squared error of value"]["gain"] == 0.0


@pytest.mark.parametrize("task", ["probability", "classes"])
def test_other_tasks(
    client: Client,
    own: Settings,
    spec: Spec,
    data: Dataset,
    task: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_up = made_up_classes(task, 2500)
    monkeypatch.setattr("treehouse.spec.spec.load_contract", lambda _: made_up.contract)
    given = replace(data, contract=made_up.contract, label=made_up.label)
    other = replace(spec, task=task, objectives=(), trainers=("random_forest",))
    study = search(client, own, other, given, trials=4)
    assert study.trials[0].parameters[CANDIDATE] == "random_forest log_loss"
    assert {trial.parameters[CANDIDATE].split()[1] for trial in study.trials} == {"log_loss"}
    found = gain(other, with_parameters(other, study.best.parameters), given)
    assert set(found) == {"log loss", "Brier" if task == "probability" else "cost"}


def test_sequences(client: Client, own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain's order and smoothing; the network's own parameters where PyTorch is installed."""
    monkeypatch.setattr(searching, "spec_hash", lambda _: "code")
    monkeypatch.setattr("treehouse.fit.candidates.find_spec", lambda _: None)
    made_up = sequence_dataset(3000)
    time = np.arange(3000.0)
    lineage = {"rows": 3000, "fingerprint": 1}
    data = replace(made_up, time=time, known_at=time + 1, lineage=lineage)
    chained = sequence_spec()
    study = search(client, own, chained, data, trials=4)
    own_parameters = {"chain.order": 2, "chain.prior_rows": 1.0}
    assert study.trials[0].parameters == {CANDIDATE: "markov log_loss", **own_parameters}
    assert {trial.state for trial in study.trials} == {"complete"}
    tuned = with_parameters(chained, study.trials[1].parameters)
    assert tuned.chain.order == study.trials[1].parameters["chain.order"]
    assert set(gain(chained, tuned, data)) == {"log loss", "miss"}
    assert set(ranges(chained, "lstm log_loss")) >= {"recurrent.width", "recurrent.length"}


@pytest.mark.parametrize(
    ("folds", "is_taken"),
    [
        ((0.9, 0.9, 0.9), True),
        ((0.7, 0.9, 0.95), True),  # gains 0.15 in the mean, with an error of 0.08
        ((0.5, 1.0, 1.1), False),  # gains 0.13, with an error of 0.18
        ((1.1, 1.1, 1.1), False),
    ],
)
def test_luck_is_not_taken(folds: tuple[float, ...], is_taken: bool) -> None:
    """Beside a better one that did not end, and a default that is worse."""
    trials = [
        Trial(0, {}, "complete", True, 1.0, (1.0, 1.0, 1.0)),
        Trial(1, {}, "complete", True, 2.0, (2.0, 2.0, 2.0)),
        Trial(2, {}, "pruned", False, None, (0.1,)),
        Trial(3, {}, "complete", False, sum(folds) / 3, folds),
    ]
    assert winner(trials) == (trials[3 if is_taken else 0], trials[0])


def test_not_tuned_yet(client: Client, own: Settings, spec: Spec) -> None:
    with pytest.raises(TreehouseError, match="was not tuned") as refused:
        tuned_spec(client, own, spec)
    assert "./treehouse tune made_up" in str(refused.value.fix)


def test_too_little_time(client: Client, own: Settings, run: Search) -> None:
    with pytest.raises(TreehouseError, match="is complete") as refused:
        run(5, timeout=1e-3)
    assert "longer --timeout" in str(refused.value.fix)
    ensure_trials(client, own)
    assert client.query(f"select count() from {_REGISTRY}.trials").result_rows == [(0,)]


def test_all_trials_fail(run: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> float:
        raise ValueError("no such thing")

    monkeypatch.setattr(searching, "_loss", failing)
    with pytest.raises(TreehouseError, match="All 5 trials of made_up failed") as refused:
        run(50)
    assert refused.value.value == "ValueError: no such thing"


def test_optuna_is_an_extra(run: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(TreehouseError, match="needs the package optuna") as refused:
        run(5)
    assert refused.value.fix == "pip install 'treehouse[tune]'"


def test_ranges_hold_the_specs_own_values(spec: Spec) -> None:
    wide = replace(spec, boosting=replace(spec.boosting, depth=12, learning_rate=0.001))
    for parameters in some(default_trials(wide)):
        for name, wanted in ranges(wide, parameters[CANDIDATE]).items():
            assert wanted._contains(wanted.to_internal_repr(parameters[name])), name
        assert with_parameters(wide, parameters).boosting == wide.boosting
