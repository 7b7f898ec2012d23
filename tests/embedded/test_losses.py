"""The losses in SQL against NumPy and scikit-learn, task by task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from sklearn.metrics import log_loss, mean_tweedie_deviance

from treehouse.fit.deviance import deviance_scale, deviances, scale_sql
from treehouse.registry.losses import model_loss, rule_losses
from treehouse.spec import Spec

RNG = np.random.default_rng(11)
LABELS = RNG.gamma(0.5, 4.0, 50) * (RNG.random(50) < 0.3)
VALUES = RNG.gamma(1.0, 1.0, 50) + 0.05
CHANCES = RNG.random(50)
COSTS = ((0.0, 1.0, 5.0), (2.0, 0.0, 1.0), (4.0, 3.0, 0.0))


def spec(task: str) -> Spec:
    """As much of a spec as a loss looks at; the classes are answered in another order."""
    heads = ("value", "b", "a", "c")
    return cast(
        Spec,
        SimpleNamespace(
            task=task,
            contract=SimpleNamespace(heads=heads),
            classes=("a", "b", "c"),
            costs=COSTS,
        ),
    )


def mean(client: Client, sql: str, labels: Any, answers: Any) -> float:
    """The mean of a loss over rows of a label and an array of answers."""
    values = ", ".join(
        f"({label}, {list(map(float, row))})" for label, row in zip(labels, answers, strict=True)
    )
    scale = deviance_scale(labels)
    rows = client.query(
        f"select avg({sql}) from (select label as _label, answers, {scale} as _scale "
        f"from values('label Float64, answers Array(Float64)', {values}))"
    ).result_rows
    return float(rows[0][0])


def test_values_are_judged_by_the_deviance(client: Client) -> None:
    """Of labels above zero, scikit-learn's Tweedie deviance of what is moved up by the scale."""
    found = mean(client, model_loss(spec("value"), "answers"), LABELS, VALUES[:, None])
    scale = LABELS.mean() / 100
    expected = mean_tweedie_deviance(LABELS + scale, VALUES + scale, power=1.3)
    assert found == pytest.approx(expected, rel=1e-9)
    ours, rule = rule_losses(spec("value"), "answers", "answers[2]")
    both = np.column_stack([VALUES, np.zeros(50)])
    assert mean(client, ours, LABELS, both) == pytest.approx(found, rel=1e-12)
    zeros = mean_tweedie_deviance(LABELS + scale, np.full(50, scale), power=1.3)
    assert mean(client, rule, LABELS, both) == pytest.approx(zeros, rel=1e-9)


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12])
def test_values_of_either_sign_are_judged_alike_in_both_languages(
    client: Client, factor: float
) -> None:
    labels, answers = factor * (LABELS - 2), factor * RNG.normal(0, 3, 50)
    found = mean(client, model_loss(spec("value"), "answers"), labels, answers[:, None])
    expected = deviances(labels, answers, deviance_scale(labels)).mean()
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("labels", [LABELS, -LABELS, LABELS - 2, 1e-12 * (LABELS - 2)])
def test_the_scale_is_that_of_the_training_rows(client: Client, labels: Any) -> None:
    values = ", ".join(f"({label}, '{('train', 'test')[i % 2]}')" for i, label in enumerate(labels))
    (found,), *others = client.query(
        f"select distinct {scale_sql('label')} from values('label Float64, split String', {values})"
    ).result_rows
    assert not others
    assert found == pytest.approx(deviance_scale(labels[::2]), rel=1e-12)


def test_probabilities_are_judged_by_the_log_loss(client: Client) -> None:
    happened = (RNG.random(50) < CHANCES).astype(float)
    found = mean(client, model_loss(spec("probability"), "answers"), happened, CHANCES[:, None])
    assert found == pytest.approx(log_loss(happened, np.clip(CHANCES, 0.001, 0.999)), rel=1e-12)
    certain = mean(
        client, model_loss(spec("probability"), "answers"), happened, 1 - happened[:, None]
    )
    assert certain == pytest.approx(-np.log(0.001), rel=1e-12)


def test_classes_are_judged_by_the_log_loss_and_rules_by_the_cost(client: Client) -> None:
    shares = RNG.dirichlet((1, 1, 1), 50)  # of a, b, c
    classes, decided = RNG.integers(0, 3, 50), RNG.integers(0, 3, 50)
    answers = np.column_stack([decided, shares[:, [1, 0, 2]], 2 - decided])
    found = mean(client, model_loss(spec("classes"), "answers"), classes, answers)
    assert found == pytest.approx(-np.log(shares[np.arange(50), classes]).mean(), rel=1e-12)
    costs = np.array(COSTS)
    for sql, wanted in zip(
        rule_losses(spec("classes"), "answers", "answers[5]"), (decided, 2 - decided), strict=True
    ):
        assert mean(client, sql, classes, answers) == pytest.approx(costs[classes, wanted].mean())
