"""Baselines in SQL: a spec without any is compared with the best constant of its task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from tests.support.datasets import CONTRACT, HEADS, made_up_spec
from treehouse.fit.baselines import CONSTANT, rule_columns, rules
from treehouse.spec import Also, Spec

_RNG = np.random.default_rng(5)
_ROWS = 300
_SPLITS = np.array(["train", "validation", "test"])[_RNG.integers(0, 3, _ROWS)]
_WEIGHTS = _RNG.integers(1, 9, _ROWS)
_TRAIN = _SPLITS == "train"


@pytest.fixture
def of_task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Spec]:
    def make(task: str, changes: dict[str, Any], **contract: Any) -> Spec:
        heads = HEADS.get(task, ("value", "next_1", "next_2", "share_1", "share_2"))
        changed = replace(CONTRACT, heads=heads, **contract)
        monkeypatch.setattr("treehouse.spec.spec.load_contract", lambda _: changed)
        return made_up_spec(task=task, **changes)

    return make


def answers(client: Client, spec: Spec, labels: Any, label_type: str) -> dict[str, set[Any]]:
    """What each baseline answers, over rows of a label, a weight and a split."""
    values = ", ".join(
        f"({label!r}, {weight}, '{split}')"
        for label, weight, split in zip(labels.tolist(), _WEIGHTS, _SPLITS, strict=True)
    )
    columns = {"label": label_type, "weight": "UInt8", "split": "String"}
    structure = ", ".join(f"{name} {type_name}" for name, type_name in columns.items())
    found = client.query(
        f"select {', '.join(rule_columns(spec).values())} from values('{structure}', {values})"
    ).result_rows
    return {
        name: set(column)
        for name, column in zip(rule_columns(spec), zip(*found, strict=True), strict=True)
    }


@pytest.mark.parametrize("label_type", ["Float64", "Nullable(Float64)", "Decimal(18, 6)"])
def test_a_value_is_compared_with_its_mean(
    client: Client, of_task: Callable[..., Spec], label_type: str
) -> None:
    labels = np.round(_RNG.normal(-3, 5, _ROWS) * 64) / 64  # exact as decimals, too
    (found,) = answers(client, of_task("value", {}), labels, label_type)[CONSTANT]
    assert found == pytest.approx(labels[_TRAIN].mean(), rel=1e-9)


def test_a_probability_is_compared_with_its_share(
    client: Client, of_task: Callable[..., Spec]
) -> None:
    labels = (_RNG.random(_ROWS) < 0.3).astype(int)
    for weight, counted in (("", np.ones(_ROWS)), ("weight", _WEIGHTS)):
        spec = of_task("probability", {}, weight=weight)
        (found,) = answers(client, spec, labels, "UInt8")[CONSTANT]
        expected = np.average(labels[_TRAIN], weights=counted[_TRAIN])
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "cost", [(), ((0, 1, 1), (20, 0, 1), (400, 5, 0)), ((0, 9, 9), (1, 0, 9), (1, 9, 0))]
)
def test_classes_are_compared_with_the_cheapest(
    client: Client, of_task: Callable[..., Spec], cost: Any
) -> None:
    numbers = _RNG.choice(3, _ROWS, p=[0.6, 0.3, 0.1])
    labels = np.array(HEADS["classes"][1:])[numbers]
    spec = of_task("classes", {"cost": cost}, weight="weight")
    counts = np.bincount(numbers[_TRAIN], weights=_WEIGHTS[_TRAIN], minlength=3)
    (found,) = answers(client, spec, labels, "String")[CONSTANT]
    assert found == np.argmin(counts @ np.array(spec.costs))


def test_a_sequence_is_compared_with_what_came_most(
    client: Client, of_task: Callable[..., Spec]
) -> None:
    labels = _RNG.choice([7, 2**40, 9], _ROWS, p=[0.5, 0.3, 0.2])
    found = answers(client, of_task("sequence", {}), labels, "UInt64")
    assert found == {f"{CONSTANT} 1": {7.0}, f"{CONSTANT} 2": {float(2**40)}}


def test_a_further_label_is_compared_with_its_own_mean(
    client: Client, of_task: Callable[..., Spec]
) -> None:
    spec = of_task("probability", {"also": {"weight": Also()}}, weight="weight")
    labels = (_RNG.random(_ROWS) < 0.3).astype(int)
    (found,) = answers(client, spec.for_label("weight"), labels, "UInt8")[f"weight: {CONSTANT}"]
    assert found == pytest.approx(_WEIGHTS[_TRAIN].mean(), rel=1e-12)


def test_named_baselines_stand_alone(of_task: Callable[..., Spec]) -> None:
    spec = of_task("value", {"baselines": {"early": "early"}})
    assert list(rules(spec)) == ["early"]
