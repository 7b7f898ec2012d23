"""Which rows decide what in a fit: the labels of one split are garbled, and what moves has read
them. And every metric is what a referee library makes of the test rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.datasets import made_up_classes, made_up_dataset, made_up_spec, with_contract
from tests.support.referees import check_metrics, trees
from tests.support.some import some
from treehouse.bundle import Expression
from treehouse.fit.candidate import Candidate
from treehouse.fit.candidates import choose, fit_candidates
from treehouse.fit.dataset import SPLITS, Dataset
from treehouse.fit.heads import make_heads
from treehouse.fit.measure import measure
from treehouse.spec import Spec

TASKS = ("value", "probability", "classes")
TRAINERS = ("lightgbm", "xgboost", "random_forest")


def made_up(task: str, rows: int = 1500) -> tuple[Spec, Dataset]:
    """A spec of every trainer, and rows with two baselines."""
    data = made_up_dataset(rows) if task == "value" else made_up_classes(task, rows)
    spec = made_up_spec(task=task, trainers=TRAINERS, baselines={"constant": "1", "early": "early"})
    spec = replace(
        spec,
        boosting=replace(spec.boosting, trees=12, patience=4),
        bagging=replace(spec.bagging, trees=4, depth=4),
    )
    early = data.column("early")
    rule = early if task == "value" else (early > 1).astype(np.float64)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, rows) if task != "value" else None
    extra = {"constant": np.full(rows, data.label.mean().round(0)), "early": rule}
    return with_contract(spec, data), replace(data, extra=extra, weight=weight)


def garbled(data: Dataset, split: str) -> Dataset:
    """The labels of one split in another order."""
    label, rows = data.label.copy(), data.split == SPLITS.index(split)
    label[rows] = label[rows][::-1]
    return replace(data, label=label)


def formulas(heads: dict[str, Expression]) -> dict[str, str]:
    """Heads to compare."""
    return {name: repr(head) for name, head in heads.items()}


def fit(task: str, split: str = "") -> tuple[Spec, Dataset, list[Candidate]]:
    """All candidates, with one split's labels garbled or none."""
    spec, data = made_up(task)
    data = garbled(data, split) if split else data
    return spec, data, fit_candidates(spec, data)


@pytest.fixture(scope="module", params=TASKS)
def honest(request: pytest.FixtureRequest) -> tuple[Spec, Dataset, list[Candidate]]:
    """Fitted to the labels as they are."""
    return fit(request.param)


def test_test_labels_move_nothing_but_metrics(honest: Any) -> None:
    spec, data, candidates = honest
    _, changed, others = fit(spec.task, "test")
    assert [trees(c) for c in candidates] == [trees(c) for c in others]
    assert [repr(c.parts) for c in candidates] == [repr(c.parts) for c in others]
    chosen, choice = choose(spec, candidates, data)
    again, choice_again = choose(spec, others, changed)
    assert choice == choice_again
    heads, notes = make_heads(spec, data, chosen)
    heads_again, notes_again = make_heads(spec, changed, again)
    assert formulas(heads) == formulas(heads_again)
    assert notes == notes_again


def test_calibration_labels_fit_no_tree_but_the_heads(honest: Any) -> None:
    spec, data, candidates = honest
    _, changed, others = fit(spec.task, "calibration")
    assert [trees(c) for c in candidates] == [trees(c) for c in others]
    first = candidates[0]
    heads, _ = make_heads(spec, data, first)
    assert formulas(heads) != formulas(make_heads(spec, changed, first)[0])


def test_validation_labels_choose_and_say_when_to_stop(honest: Any) -> None:
    spec, data, candidates = honest
    _, changed, others = fit(spec.task, "validation")
    for ours, theirs in zip(candidates, others, strict=True):
        for a, b in zip(trees(ours), trees(theirs), strict=True):
            shared = min(len(a), len(b))
            assert shared > 0
            assert a[:shared] == b[:shared]
    _, choice = choose(spec, candidates, data)
    _, choice_garbled = choose(spec, candidates, changed)
    assert all(choice[name]["loss"] != choice_garbled[name]["loss"] for name in some(choice))


def test_only_calibration_labels_make_the_heads(honest: Any) -> None:
    """The heads of a fitted candidate are made of the calibration rows alone."""
    spec, data, candidates = honest
    heads = formulas(make_heads(spec, data, candidates[0])[0])
    for split in ("train", "validation", "test"):
        changed, _ = make_heads(spec, garbled(data, split), candidates[0])
        assert formulas(changed) == heads, split


def test_training_labels_fit_the_trees(honest: Any) -> None:
    spec, _, candidates = honest
    _, _, others = fit(spec.task, "train")
    assert all(trees(a) != trees(b) for a, b in some(zip(candidates, others, strict=True)))


def test_the_least_validation_loss_is_chosen(honest: Any) -> None:
    spec, data, candidates = honest
    chosen, choice = choose(spec, candidates, data)
    assert len(choice) == len(candidates) > 1
    assert choice[chosen.name]["loss"] == min(entry["loss"] for entry in choice.values())


def test_metrics_are_the_referees(honest: Any) -> None:
    spec, data, candidates = honest
    chosen, _ = choose(spec, candidates, data)
    heads, _ = make_heads(spec, data, chosen)
    found = measure(None, None, spec, data, chosen, heads)  # type: ignore[arg-type]
    test = data.split == SPLITS.index("test")
    assert found["rows"] == test.sum() > 0
    check_metrics(spec, data, found, chosen.answers(heads, data.matrix[test], data.names))
    assert set(found["baselines"]) == set(spec.baselines)
    for name, measured in found["baselines"].items():
        check_metrics(spec, data, {"model": measured}, {"value": data.extra[name][test]})
