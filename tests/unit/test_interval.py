"""Intervals: what they hold, where their ends are, and that no group of them is empty."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.datasets import made_up_dataset, made_up_spec
from treehouse.bundle import e, evaluate
from treehouse.fit.candidates import fit_candidates
from treehouse.fit.heads import make_heads
from treehouse.fit.interval import Interval, calibrate, refuse_infinite
from treehouse.fit.regression_metrics import coverage
from treehouse.project.errors import TreehouseError

Floats = NDArray[np.float64]


def answers(interval: Interval, predicted: Floats, floor: Floats | None) -> tuple[Floats, ...]:
    """Low, high and typical of each row."""
    least = None if floor is None else e.feature("floor")
    inputs = {"value": predicted} | ({} if floor is None else {"floor": floor})
    value = e.feature("value")
    heads = (*interval.ends(value, least), interval.typical(value, least))
    return tuple(evaluate(head, inputs=inputs) for head in heads)


def population(rng: np.random.Generator, rows: int, pays: float) -> tuple[Floats, Floats, Floats]:
    """Labels that are mostly zero or have a heavy tail, their forecast, and what is known."""
    scale = rng.lognormal(0.0, 1.0, rows)
    paying = rng.random(rows) < pays * scale / (1 + scale)
    known = np.where(paying & (rng.random(rows) < 0.5), scale, 0.0)
    label = known + np.where(paying, scale * rng.lognormal(0.0, 1.5, rows), 0.0)
    return label, known + 2 * pays * scale**1.2, known


@pytest.mark.parametrize("pays", [0.02, 0.2, 0.9])
@pytest.mark.parametrize("bins", [1, 20])
@pytest.mark.parametrize("share", [0.8, 0.9, 0.96, 0.97, 0.99])
@pytest.mark.parametrize("floored", [True, False])
def test_new_labels_are_held(pays: float, bins: int, share: float, floored: bool) -> None:
    """Coverage over many calibrations lies in a binomial band above the target.

    Without a floor, above it is only what the order statistics of groups of 100 round up; where
    the ends are raised to a floor, they hold the labels that lie there too.
    """
    rng = np.random.default_rng(round(1000 * pays) + bins)
    held, rows, repeats = 0.0, 2000, 40
    for _ in range(repeats):
        label, predicted, known = population(rng, rows, pays)
        interval = calibrate(label, predicted, known if floored else None, share, bins)
        label, predicted, known = population(rng, rows, pays)
        low, high, _ = answers(interval, predicted, known if floored else None)
        held += float(np.mean((low <= label) & (label <= high))) / repeats
    # The order statistics of the calibration and the share of new rows inside are both random.
    band = 4 * math.sqrt(2 * share * (1 - share) / (rows * repeats))
    assert share - band <= held
    assert floored or held <= share + 2 * bins / rows + band


def test_each_group_is_held() -> None:
    """Small and large predictions alike, where one width for all would fail both."""
    rng = np.random.default_rng(4)
    predicted = rng.lognormal(0.0, 2.0, 20_000)
    label = predicted * rng.lognormal(0.0, 0.5, 20_000)
    interval = calibrate(label[:10_000], predicted[:10_000], None, 0.9, 10)
    low, high, _ = answers(interval, predicted[10_000:], None)
    inside = (label[10_000:] >= low) & (label[10_000:] <= high)
    for part in np.array_split(np.argsort(predicted[10_000:]), 10):
        # 1000 rows of a group on either side: five standard deviations.
        assert inside[part].mean() == pytest.approx(0.9, abs=5 * math.sqrt(0.09 / 1000 * 2))


def test_ends_are_order_statistics() -> None:
    """n = 59, miss = 0.1: k = floor(0.05 * 60) = 3, so the 3rd smallest and 3rd largest."""
    residual = np.arange(59.0) ** 2
    rng = np.random.default_rng(0)
    predicted = np.full(59, 7.0)
    interval = calibrate(7.0 + rng.permutation(residual), predicted, None, 0.9, 20)
    assert interval.knots == ()
    assert interval.below == (2.0**2,)
    assert interval.above == (56.0**2,)
    assert interval.middle == (29.0**2,)


@pytest.mark.parametrize(
    ("share", "needed"), [(0.5, 3), (0.9, 19), (0.96, 49), (0.97, 66), (0.99, 199), (0.999, 1999)]
)
def test_too_few_rows_have_no_end(share: float, needed: int) -> None:
    """Each tail of m rows is (1 - share) / 2 >= 1 / (m + 1) or there is no such order statistic."""
    label = np.random.default_rng(0).permutation(np.arange(float(needed)))
    enough = calibrate(label, np.zeros(needed), None, share, 20)
    assert (enough.below, enough.above) == ((0.0,), (needed - 1.0,))
    refuse_infinite(enough, needed, share)
    few = calibrate(label[1:], np.zeros(needed - 1), None, share, 20)
    assert (few.below, few.above) == ((-np.inf,), (np.inf,))
    with pytest.raises(TreehouseError) as refused:
        refuse_infinite(few, needed - 1, share)
    assert refused.value.value == f"{needed - 1:,} rows"
    assert refused.value.expected == f"at least {needed:,}"


def test_an_interval_that_is_answered_needs_its_rows() -> None:
    """One that is not, of heads or a further label, is no reason to refuse the model."""
    data = made_up_dataset(2000)
    calibrating = np.flatnonzero(data.rows("calibration"))[150:]
    split = data.split.copy()
    split[calibrating] = 0
    data = replace(data, split=split)
    spec = made_up_spec(coverage=0.99, objectives=("squared_error",))
    (chosen,) = fit_candidates(spec, data)
    with pytest.raises(TreehouseError, match="takes more calibration rows") as refused:
        make_heads(spec, data, chosen)
    assert (refused.value.value, refused.value.expected) == ("150 rows", "at least 199")
    unanswered = replace(data, contract=replace(data.contract, heads=("value",)))
    assert set(make_heads(spec, unanswered, chosen)[0]) >= {"value"}
    assert set(make_heads(replace(spec, label="further"), data, chosen)[0]) >= {"value"}
    assert coverage(np.zeros(2), np.full(2, -np.inf), np.ones(2)) == {"coverage": 1, "width": None}


def test_what_is_known_is_no_floor_where_some_is_paid_back() -> None:
    """Labels below it are held like all others."""
    data = made_up_dataset(6000)
    rng = np.random.default_rng(1)
    back = np.where(rng.random(6000) < 0.08, 0.5, 1.0) * data.column("early")
    for label, is_floor in ((back, False), (data.label, True)):
        paid = replace(data, label=label)
        spec = made_up_spec(known="early", objectives=("squared_error",))
        (chosen,) = fit_candidates(spec, paid)
        heads, _ = make_heads(spec, paid, chosen)
        test = paid.rows("test")
        found = chosen.answers(heads, paid.matrix[test], paid.names)
        assert bool((found["low"] >= paid.column("early")[test]).all()) == is_floor
        assert coverage(label[test], found["low"], found["high"])["coverage"] > 0.87  # type: ignore[operator]


@pytest.mark.parametrize("fewest", [50, 199])
def test_no_group_is_smaller_than_its_quantile_takes(fewest: int) -> None:
    """Also where equal predictions begin just behind a bound."""
    rng = np.random.default_rng(0)
    share = 1 - 2 / (fewest + 1)
    for predicted in (
        np.concatenate([[-2.0, -1.0], np.zeros(1000), np.arange(1.0, 1000.0)]),
        np.concatenate([np.arange(101.0), np.full(900, 101.0), [200.0, 300.0]]),
        rng.integers(0, 9, 2000).astype(float),
        rng.normal(0, 1, 1003),
    ):
        interval = calibrate(rng.normal(0, 1, len(predicted)), predicted, None, share, 20)
        group = np.searchsorted(interval.knots, predicted, side="right")
        assert np.bincount(group).min() >= fewest
        assert np.isfinite([interval.below, interval.above]).all()
    assert len(interval.knots) + 1 == min(20, 1003 // fewest)


def test_a_group_at_its_floor_spends_all_of_the_miss_above() -> None:
    """n = 99 of which 10 are at the floor: k = floor(0.1 * 100) = 10 from above, nothing below."""
    label = np.concatenate([np.zeros(10), np.arange(1.0, 90.0)])
    predicted, floor = np.full(99, 5.0), np.zeros(99)
    interval = calibrate(label, predicted, floor, 0.9, 1)
    assert interval.below == (-np.inf,)
    assert interval.above == (80.0 - 5.0,)
    low, high, _ = answers(interval, predicted[:1], floor[:1])
    assert (low[0], high[0]) == (0.0, 80.0)


def test_few_at_the_floor_keep_both_ends() -> None:
    """n = 99 of which 4 are at the floor, fewer than half of the miss: both tails have k = 5."""
    label = np.concatenate([np.zeros(4), np.arange(1.0, 96.0)])
    interval = calibrate(label, np.zeros(99), np.zeros(99), 0.9, 1)
    assert (interval.below, interval.above) == ((1.0,), (91.0,))


def test_typical_is_the_median_and_the_floor_where_half_are_there() -> None:
    predicted = np.repeat([1.0, 2.0], 60)
    label = np.concatenate([np.zeros(30), np.full(30, 8.0), np.zeros(10), np.full(50, 8.0)])
    known = np.zeros(120)
    interval = calibrate(label, predicted, known, 0.9, 2)
    _, _, typical = answers(interval, np.array([1.0, 2.0]), np.zeros(2))
    assert typical.tolist() == [0.0, 8.0]


def test_typical_grows_with_the_prediction() -> None:
    """Above the floor it is a share of the prediction, that of the least absolute error."""
    predicted = np.linspace(1.0, 100.0, 60)
    interval = calibrate(0.25 * predicted, predicted, np.zeros(60), 0.9, 1)
    given_rows, floor = np.array([10.0, 1000.0]), np.array([0.0, 200.0])
    _, _, typical = answers(interval, given_rows, floor)
    np.testing.assert_allclose(typical, [2.5, 200 + 0.25 * 800])
    # Ratios 4 of small predictions, 1 of large ones, which err by more.
    uneven = np.where(predicted < 40, 4.0, 1.0) * predicted
    _, _, typical = answers(
        calibrate(uneven, predicted, np.zeros(60), 0.9, 1), given_rows, np.zeros(2)
    )
    np.testing.assert_allclose(typical, given_rows)


def test_typical_is_the_weighted_median_of_the_shares_above_the_floor() -> None:
    """Shares of 1, 2, 3 with the predictions as weights; those without any count for nothing."""
    for sizes, expected in (([1.0, 1, 3], 3.0), ([1.0, 2, 1], 2.0), ([0.1, 0.1, 0.3], 3.0)):
        predicted = np.array([*sizes, 0.0, -0.5])
        label = np.array([*(np.array(sizes) * [1, 2, 3]), 9.0, 9.0])
        interval = calibrate(label, predicted, np.zeros(5), 0.9, 1)
        assert interval.middle == (pytest.approx(expected),)


def test_typical_is_the_floor_where_nothing_is_known_of_what_comes() -> None:
    """Neither predictions below the floor nor labels below it lead away from it."""
    floor = np.zeros(60)
    for label, predicted in ((1.0, 0.0), (-1.0, 1.0), (1.0, -1.0)):
        interval = calibrate(np.full(60, label), np.full(60, predicted), floor, 0.9, 1)
        _, _, typical = answers(interval, np.array([2.0, 0.5]), np.zeros(2))
        assert typical.tolist() == [0.0, 0.0]
    growing = calibrate(np.full(60, 3.0), np.full(60, 1.0), floor, 0.9, 1)
    _, _, typical = answers(growing, np.array([0.5, -2.0]), np.zeros(2))
    assert typical.tolist() == [1.5, 0.0]


def test_groups_are_equal_parts_of_50_rows_or_more() -> None:
    for rows, bins, knots in (
        (1000, 4, (250.0, 500.0, 750.0)),
        (100, 2, (50.0,)),
        (99, 2, ()),
        (200, 1, ()),
    ):
        predicted = np.arange(float(rows))
        assert calibrate(predicted, predicted, None, 0.9, bins).knots == knots


def test_half_of_the_miss_at_the_floor_is_enough_for_one_side() -> None:
    """One of 8 rows where 0.25 may be missed: k = floor(0.25 * 9) = 2 from above."""
    label = np.arange(8.0)
    interval = calibrate(label, np.zeros(8), np.zeros(8), 0.75, 1)
    assert (interval.below, interval.above) == ((-np.inf,), (6.0,))


def test_ranks_are_not_rounded_up() -> None:
    """n = 98: k = floor(0.05 * 99) = 4."""
    interval = calibrate(np.arange(98.0), np.zeros(98), None, 0.9, 1)
    assert (interval.below, interval.above) == ((3.0,), (94.0,))


# Few values, many rows each.
ties = (
    st.tuples(*[st.integers(0, 200)] * 4)
    .filter(any)
    .map(lambda counts: np.repeat([0.0, 1.0, 2.5, 40.0], counts).tolist())
)


def test_most_predictions_are_equal() -> None:
    """The quartiles of 250 zeros and 150 ones are 0, 0 and 1: one knot, no empty group."""
    predicted = np.repeat([0.0, 1.0], [250, 150])
    interval = calibrate(predicted + 1.0, predicted, None, 0.9, 4)
    assert interval.knots == (1.0,)
    assert interval.below == interval.above == (1.0, 1.0)
    assert interval.middle_knots == (1.0,)


@settings(max_examples=60, deadline=None)
@given(predicted=ties, bins=st.integers(1, 30), data=st.data())
def test_no_group_is_empty_and_all_numbers_are_usable(
    predicted: list[float], bins: int, data: Any
) -> None:
    given_rows = np.array(predicted)
    seed = data.draw(st.integers(0, 2**32 - 1))
    label = np.random.default_rng(seed).choice([0.0, 1.0, 30.0], len(predicted))
    interval = calibrate(label, given_rows, np.zeros(len(predicted)), 0.9, bins)
    for knots, values in (
        (interval.knots, interval.below),
        (interval.knots, interval.above),
        (interval.middle_knots, interval.middle),
    ):
        assert len(values) == len(knots) + 1
        assert list(knots) == sorted(set(knots))
        assert not np.isnan(values).any()
    group = np.searchsorted(interval.knots, given_rows, side="right")
    assert set(group) == set(range(len(interval.knots) + 1))
    assert len(interval.knots) < bins
    assert len(interval.knots) <= max(len(predicted) // 50 - 1, 0)
    low, high, typical = answers(interval, given_rows, np.zeros(len(predicted)))
    assert (low <= high).all()
    assert (low >= 0).all()
    assert (typical >= 0).all()


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(40, 500),
    share=st.floats(0.5, 0.95),
    bins=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_calibration_rows_are_held(rows: int, share: float, bins: int, seed: int) -> None:
    """On its own rows an interval misses at most the k - 1 beyond each end, in every group."""
    rng = np.random.default_rng(seed)
    predicted, noise = rng.lognormal(0.0, 1.0, rows), rng.standard_t(2, rows)
    label = predicted + noise
    interval = calibrate(label, predicted, None, share, bins)
    low, high, _ = answers(interval, predicted, None)
    group = np.searchsorted(interval.knots, predicted, side="right")
    slack = 1e-9 * (1 + np.abs(label))  # (label - predicted) + predicted is rounded twice
    inside = (label >= low - slack) & (label <= high + slack)
    for number in np.unique(group):
        size = int((group == number).sum())
        k = math.floor((1 - share) / 2 * (size + 1) + 1e-9)
        assert k >= 1
        assert (~inside[group == number]).sum() == 2 * (k - 1)
