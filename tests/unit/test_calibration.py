"""Probabilities hold after calibration, and decisions are those of the least expected cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from tests.support.datasets import HEADS, made_up_dataset, made_up_spec, with_contract
from treehouse.bundle import e, evaluate
from treehouse.fit.calibration import (
    calibrated_probability,
    calibrated_shares,
    entropies,
    exceeds_error,
    sharpness,
    sharpness_by_entropy,
)
from treehouse.fit.candidate import Candidate
from treehouse.fit.classification import log_odds, raw_shares
from treehouse.fit.dataset import Dataset
from treehouse.fit.heads import cheapest, make_heads
from treehouse.fit.splits import SPLITS

Floats = NDArray[np.float64]
_ROWS = 6000


def told(odds: Floats, label: Floats) -> Dataset:
    """Rows whose first feature is what a model answers; all calibrate."""
    data = made_up_dataset(len(label))
    matrix = np.column_stack([odds, data.matrix[:, 1:]])
    split = np.full(len(label), SPLITS.index("calibration"), dtype=np.int8)
    return replace(data, matrix=matrix, label=label, split=split)


def answering(is_share: bool = False) -> Candidate:
    """A model that answers its first feature."""
    return Candidate("made up", (), (e.feature("early"),), is_share=is_share)


@pytest.fixture(scope="module")
def odds() -> Floats:
    return np.random.default_rng(3).normal(-1.0, 2.0, _ROWS)


def outcome(probability: Floats, seed: int = 4) -> Floats:
    return (np.random.default_rng(seed).random(len(probability)) < probability).astype(float)


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("calibrated", lambda s: expit(s)),
        ("too sure", lambda s: expit(0.4 * s - 0.5)),
        ("bent", lambda s: expit(3 * np.log1p(np.exp(s)) - 2)),
        ("bent below", lambda s: expit(2 - 3 * np.log1p(np.exp(-s)))),
        ("steps", lambda s: np.where(s < -2, 0.05, np.where(s < 0, 0.5, 0.6))),
    ],
)
def test_probabilities_hold(odds: Floats, name: str, truth: Any) -> None:
    expected = truth(odds)
    data = told(odds, outcome(expected))
    curve, losses = calibrated_probability(answering(), data)
    found = evaluate(curve, inputs={"early": odds})
    assert np.mean(np.abs(found - expected)) < 0.02
    assert set(losses) == {"none", "platt", "beta", "isotonic"}
    taken = next(iter(losses))
    assert losses[taken] < min(losses.values()) + 0.001
    assert (taken == "none") == (name == "calibrated")
    expected_method = {"steps": "isotonic", "bent": "beta", "bent below": "beta"}
    assert taken == expected_method.get(name, taken)


def rare(rows: int, seed: int, slope: float, level: float) -> tuple[Dataset, Floats]:
    """About 6 % of ones; log odds of a model, and the truth, which is a line over them."""
    rng = np.random.default_rng(seed)
    told_odds = rng.normal(-3.4, 1.3, rows)
    expected = expit(slope * told_odds + level)
    return told(told_odds, (rng.random(rows) < expected).astype(float)), expected


def test_rare_outcomes_that_hold_are_left_as_they_are() -> None:
    """Of 562 rows with some 35 ones chance finds a curve for one in twenty at most."""
    taken = []
    for seed in range(20):
        _, losses = calibrated_probability(answering(), rare(562, seed, 1.0, 0.0)[0])
        assert "isotonic" not in losses, "of so few ones it learns their order"
        taken.append(next(iter(losses)))
    assert taken.count("none") >= 19


def test_rare_outcomes_that_do_not_hold_are_put_right() -> None:
    """A model that is twice as sure as it may be: the curve is nearer to the truth, every time."""
    for seed in range(8):
        data, expected = rare(2500, seed, 0.5, -0.8)
        curve, losses = calibrated_probability(answering(), data)
        assert next(iter(losses)) != "none"
        odds = data.column("early")
        found = evaluate(curve, inputs={"early": odds})
        before, after = (np.mean((answer - expected) ** 2) for answer in (expit(odds), found))
        assert after < before / 2


def test_a_gain_must_exceed_its_error_by_hand() -> None:
    """Mean 1; of gains 0 and 2 the error is 1 / sqrt(2), of -2 and 4 it is 3 / sqrt(2)."""
    ones = np.ones(2)
    assert exceeds_error(np.array([0.0, 2.0]), ones)
    assert not exceeds_error(np.array([-2.0, 4.0]), ones)
    assert not exceeds_error(np.zeros(2), ones)
    assert not exceeds_error(np.array([0.0, -2.0]), ones)
    # Weights 3 and 1: mean 0.5, error sqrt(1.5^2 + 1.5^2) / 4 = 0.53.
    assert not exceeds_error(np.array([0.0, 2.0]), np.array([3.0, 1.0]))


def test_shares_are_calibrated_too(odds: Floats) -> None:
    """A forest's share may be 0 or 1, and is neither in the answer."""
    share = np.clip(np.round(expit(odds), 1), 0, 1)
    data = told(share, outcome(expit(0.5 * odds)))
    curve, losses = calibrated_probability(answering(is_share=True), data)
    found = evaluate(curve, inputs={"early": share})
    assert next(iter(losses)) != "none"
    assert ((found > 0) & (found < 1)).all()
    assert np.mean(found) == pytest.approx(data.label.mean(), abs=0.01)


def test_few_outcomes_are_left_as_they_are(odds: Floats) -> None:
    label = np.zeros(_ROWS)
    label[:24] = 1
    curve, losses = calibrated_probability(answering(), told(odds, label))
    assert list(losses) == ["none"]
    np.testing.assert_allclose(evaluate(curve, inputs={"early": odds}), expit(odds))


@pytest.mark.parametrize("rarer", [0.0, 1.0])
def test_the_rarer_outcome_decides_what_is_tried(rarer: float) -> None:
    """From 25 on the curves of few parameters, from 250 on isotonic regression, too."""
    odds = np.random.default_rng(3).normal(-1.0, 2.0, 600)
    for count, tried in (
        (24, set()),
        (25, {"platt", "beta"}),
        (249, {"platt", "beta"}),
        (250, {"platt", "beta", "isotonic"}),
    ):
        label = np.where(np.arange(600) < count, rarer, 1 - rarer)
        _, losses = calibrated_probability(answering(), told(odds, label))
        assert set(losses) == {"none", *tried}
        assert losses["none"] == pytest.approx(log_loss(label, expit(odds)))


def test_no_step_is_surer_than_its_rows() -> None:
    """Laplace's rule of succession: of n rows no share is less than 1 / (n + 2)."""
    odds = np.repeat([-2.0, -1.0, 0.0, 1.0, 2.0], 300)
    label = np.concatenate([np.zeros(300), np.tile([0.0, 1.0], 450), np.ones(300)])
    curve, losses = calibrated_probability(answering(), told(odds, label))
    assert next(iter(losses)) == "isotonic"
    found = evaluate(curve, inputs={"early": np.array([-2.0, 0.0, 2.0])})
    assert found == pytest.approx([1 / 1502, 0.5, 1501 / 1502])


def test_classes_that_hold_take_no_temperature() -> None:
    taken = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logs = rng.normal(0, 2, (300, 3))
        shares = softmax(logs, axis=1).cumsum(axis=1)
        label = (shares < rng.random((300, 1))).sum(axis=1).clip(max=2).astype(float)
        split = np.full(300, SPLITS.index("calibration"), np.int8)
        data = replace(made_up_dataset(300), matrix=logs, label=label, split=split)
        candidate = Candidate("made up", (), tuple(e.feature(name) for name in data.names))
        taken.append(calibrated_shares(candidate, data)[1])
    assert taken.count(1.0) >= 18


def test_temperature_is_found() -> None:
    rng = np.random.default_rng(5)
    logs = rng.normal(0, 2, (_ROWS, 3))
    shares = softmax(0.5 * logs, axis=1)
    label = np.array([rng.choice(3, p=row) for row in shares], dtype=float)
    data = made_up_dataset(_ROWS)
    data = replace(
        data, matrix=logs, label=label, split=np.full(_ROWS, SPLITS.index("calibration"), np.int8)
    )
    candidate = Candidate("made up", (), tuple(e.feature(name) for name in data.names))
    found, sharpness = calibrated_shares(candidate, data)
    assert sharpness == pytest.approx(0.5, abs=0.05)
    inputs = {name: logs[:, i] for i, name in enumerate(data.names)}
    again = replace(candidate, parts=found)
    answers = np.column_stack([evaluate(s, inputs=inputs) for s in raw_shares(again)])
    assert np.abs(answers - shares).max() < 0.05
    np.testing.assert_allclose(answers.sum(axis=1), 1.0)


def test_heads_tell_how_they_were_calibrated(odds: Floats) -> None:
    """Score is the percentage, raw what the model says; the temperature of what is twice as sure
    as it may be is 2."""
    data = told(odds, outcome(expit(0.4 * odds)))
    heads, notes = make_heads(made_up_spec(task="probability"), data, answering())
    value, score, raw = (
        evaluate(heads[name], inputs={"early": odds}) for name in ("value", "score", "raw")
    )
    np.testing.assert_allclose(score, 100 * value)
    np.testing.assert_allclose(raw, expit(odds))
    assert next(iter(notes["calibration"]["log_loss"])) == notes["calibration"]["method"]
    rng = np.random.default_rng(5)
    logs = rng.normal(0, 2, (_ROWS, 3))
    label = (softmax(0.5 * logs, axis=1).cumsum(axis=1) < rng.random((_ROWS, 1))).sum(axis=1)
    contract = replace(data.contract, heads=HEADS["classes"])
    data = replace(data, matrix=logs, label=label.clip(max=2).astype(float), contract=contract)
    spec = with_contract(made_up_spec(task="classes", cost=((0, 1, 1), (1, 0, 1), (1, 1, 0))), data)
    candidate = Candidate("made up", (), tuple(e.feature(name) for name in data.names))
    _, notes = make_heads(spec, data, candidate)
    assert notes["calibration"]["method"] == "temperature"
    assert notes["calibration"]["temperature"] == pytest.approx(2, rel=0.1)


def test_log_odds_of_shares() -> None:
    (odds,) = log_odds(answering(is_share=True))
    found = evaluate(odds, inputs={"early": np.array([0.0, 0.5, 0.9, 1.0])})
    assert found[1] == pytest.approx(0.0)
    assert found[2] == pytest.approx(np.log(9))
    assert found[3] == pytest.approx(-found[0])
    assert np.isfinite(found).all()


@settings(max_examples=60, deadline=None)
@given(classes=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
def test_decisions_cost_the_least(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 6, (classes, classes)).astype(float)
    sizes = rng.random((40, classes))
    sizes[::2] = 1.0  # ties, which the first class wins
    parts = [e.feature(str(i)) for i in range(classes)]
    inputs = {str(i): sizes[:, i] for i in range(classes)}
    found = evaluate(cheapest(parts, costs.tolist()), inputs=inputs)
    expected = sizes @ costs
    chosen = np.broadcast_to(found, 40).astype(int)
    least = expected.min(axis=1)
    np.testing.assert_allclose(expected[np.arange(40), chosen], least, rtol=1e-8, atol=1e-12)
    first = np.argmax(expected <= least[:, None] * (1 + 1e-9), axis=1)
    assert (chosen <= first).all()


def test_sharpness_goes_by_the_entropy() -> None:
    """Labels drawn from shares whose logs are 1.5 times the entropy to the power of -0.4."""
    rng = np.random.default_rng(0)
    logs = rng.normal(0, 1, (20_000, 6)) * rng.uniform(0.2, 4, (20_000, 1))
    shares = softmax(1.5 * entropies(logs) ** -0.4 * logs, axis=1)
    actual = (shares.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1).clip(max=5)
    assert sharpness_by_entropy(logs, actual) == pytest.approx((np.log(1.5), -0.4), abs=0.05)
    assert sharpness_by_entropy(logs[:0], actual[:0]) == (0.0, 0.0)


def test_entropies_by_hand() -> None:
    """Logs of shares 1/2 and 1/2, of 1/4 and 3/4, and of what is certain."""
    logs = np.array([[7.0, 7.0], [0.0, np.log(3)], [50.0, 0.0]])
    quarter = 0.25 * np.log(4) + 0.75 * np.log(4 / 3)
    assert entropies(logs)[:, 0] == pytest.approx([np.log(2), quarter, 0.01])


def test_no_sharpness_goes_without_bounds() -> None:
    """Where all labels are the likeliest, or all the least likely, more would always be better."""
    logs = np.random.default_rng(0).normal(0, 0.1, (300, 3))
    for labels, level in ((logs.argmax(axis=1), 3.0), (logs.argmin(axis=1), -3.0)):
        assert np.log(sharpness(logs, labels.astype(float))) == pytest.approx(level, abs=1e-3)
        assert sharpness_by_entropy(logs, labels)[0] == pytest.approx(level, abs=1e-3)


@pytest.mark.parametrize("slope", [-2.0, 2.0])
def test_the_slope_by_entropy_is_at_most_one(slope: float) -> None:
    rng = np.random.default_rng(0)
    logs = rng.normal(0, 1, (3000, 4)) * rng.uniform(0.2, 2, (3000, 1))
    shares = softmax(entropies(logs) ** slope * logs, axis=1)
    actual = (shares.cumsum(axis=1) < rng.random((3000, 1))).sum(axis=1).clip(max=3)
    assert sharpness_by_entropy(logs, actual)[1] == pytest.approx(np.sign(slope), abs=1e-6)
