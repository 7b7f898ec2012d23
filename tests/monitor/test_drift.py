"""Measures against SciPy's, and every kind of column and window that could mislead them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from scipy import stats
from scipy.spatial.distance import jensenshannon

from tests.support.cleaning import drop_everything
from tests.support.drifting import REGISTRY, drift, rows, train
from treehouse.monitor.measure import macros
from treehouse.monitor.state import ensure_monitoring
from treehouse.project.settings import Settings

ALPHA = 0.01


@pytest.fixture(scope="module")
def toy(settings: Settings, client: Client) -> Client:
    """The embedded engine, whose toy was trained on 5,000 rows: the same SQL runs everywhere."""
    drop_everything(client)
    ensure_monitoring(client, settings)
    train(client, 5000)
    return client


def column(toy: Client, relation: str, name: str) -> np.ndarray:
    """float64[rows] of a column that is there."""
    result = toy.query(f"select toFloat64({name}) from {relation} where {name} is not null")
    return np.array([row[0] for row in result.result_rows])


def statistics(toy: Client, name: str) -> dict[str, Any]:
    query = f"select * from {REGISTRY}.statistics where model = 'toy' and name = '{name}'"
    return next(iter(toy.query(query).named_results()))


@pytest.mark.parametrize("name", ["normal", "skewed", "count", "flag"])
def test_numeric_measures_equal_scipys(toy: Client, name: str) -> None:
    """Over the stored bins; the distances within what percentiles can tell."""
    relation = rows(800, 9, normal="{normal} + 0.3", skewed="1.4 * -log({u2})")
    found = drift(toy, relation)[name]
    now, before = column(toy, relation, name), column(toy, "default.toy_training", name)
    edges = [-np.inf, *statistics(toy, name)["edges"], np.inf]
    o, r = (np.histogram(x, edges)[0].astype(float) for x in (now, before))
    o, r = o[o + r > 0], r[o + r > 0]
    p, q = ((x + 0.5) / (x.sum() + 0.5 * len(x)) for x in (o, r))
    assert found["psi"] == pytest.approx(np.sum((p - q) * np.log(p / q)), rel=1e-9)
    assert found["jensen_shannon"] == pytest.approx(jensenshannon(p, q, base=2) ** 2, rel=1e-9)
    chi_square, _, degrees, _ = stats.chi2_contingency([o, r], correction=False)
    assert (found["chi_square"], found["degrees"]) == (pytest.approx(chi_square, rel=1e-9), degrees)
    exact = stats.ks_2samp(now, before).statistic
    assert exact - 0.011 <= found["kolmogorov_smirnov"] <= exact + 1e-9
    distance = stats.wasserstein_distance(now, before) / np.std(before, ddof=1)
    assert found["wasserstein"] == pytest.approx(distance, abs=0.03)
    assert found["mean_shift"] == pytest.approx((now.mean() - before.mean()) / before.std(ddof=1))


def test_categories_equal_scipys(toy: Client) -> None:
    relation = rows(900, 11, category="['a', 'b', 'c', 'd', '', 'new'][1 + intDiv(6 * {u6}, 1)]")
    found = drift(toy, relation)["category"]
    stored = statistics(toy, "category")
    counts = dict(toy.query(f"select category, count() from {relation} group by 1").result_rows)
    known = 900 - counts[""]
    m = stored["rows"] - stored["nulls"]
    seen = [counts.get(c, 0) for c in stored["categories"]]
    o = np.array([*seen, counts["new"]], dtype=float)
    r = np.array(stored["shares"]) * m
    assert r[:-1].min() >= 30  # none so rare that it is pooled
    p, q = ((x + 0.5) / (x.sum() + 0.5 * len(x)) for x in (o, r))
    assert found["psi"] == pytest.approx(np.sum((p - q) * np.log(p / q)), rel=1e-9)
    assert found["chi_square"] == pytest.approx(
        stats.chi2_contingency([o, r], correction=False).statistic, rel=1e-9
    )
    assert found["unseen_share"] == pytest.approx(counts["new"] / known)
    assert found["missing_share"] == pytest.approx(counts[""] / 900)
    assert max(found["p_distribution"], found["p_unseen"], found["p_missing"]) < ALPHA


def test_tail_of_chi_square_equals_scipys(toy: Client) -> None:
    tail = macros().chi_square_tail("x", "k")
    found = toy.query(
        f"select x, k, {tail} from (select arrayJoin([0., 0.5, 3, 20, 90, 700]) as x, "
        "toUInt32(arrayJoin(range(1, 61))) as k)"
    ).result_rows
    assert len(found) == 6 * 60
    for x, k, p in found:
        assert p == pytest.approx(stats.chi2.sf(x, k), rel=1e-9, abs=1e-290)


def test_tail_of_rare_events_is_a_bound(toy: Client) -> None:
    """Never below the exact chance, nor so far above it that nothing would be found."""
    tail = macros().rare_tail("k", "n", "t", "a")
    cases = [(k, n, t, 10000) for n in (50, 500) for t in (1, 10, 300) for k in range(min(n, t))]
    found = toy.query(
        f"select k, n, t, a, {tail} from values('k Float64, n Float64, t Float64, a Float64', "
        f"{', '.join(map(str, cases))})"
    ).result_rows
    assert len(found) == len(cases)
    for k, n, t, a, bound in found:
        exact = stats.hypergeom(int(a), int(t), int(n))
        chance = exact.sf(k - 1) if k / n > t / a else exact.cdf(k)
        assert bound >= chance * (1 - 1e-9)
        assert math.log(max(chance, 1e-200)) >= 1.3 * math.log(max(bound, 1e-200)) - 4


def alarms(found: dict[str, dict[str, Any]]) -> set[str]:
    """Columns of which a p-value is below ALPHA, however small the change."""
    tests = ("p_distribution", "p_missing", "p_unseen")
    return {n for n, row in found.items() if any((row[t] or 1.0) <= ALPHA for t in tests)}


def test_stationary_windows_hardly_raise_an_alarm(toy: Client) -> None:
    """Each of 25 windows may with a chance of 1 %; three would happen once in 500 seeds."""
    raised = [k for k in range(25) if alarms(drift(toy, rows(300, 100 + k)))]
    assert len(raised) < 3


def test_half_a_deviation_is_found_in_a_small_window(toy: Client) -> None:
    for k in range(5):
        moved = drift(toy, rows(300, 100 + k, normal="{normal} + 0.5"))
        assert alarms(moved) >= {"normal"}


@pytest.mark.exhaustive
def test_fewer_than_5_of_100_stationary_windows_raise_an_alarm(toy: Client) -> None:
    raised = [k for k in range(100) if alarms(drift(toy, rows(300, 100 + k)))]
    assert len(raised) < 5


def false_alarms(toy: Client, trained: int, n: int, windows: int) -> int:
    train(toy, trained)
    raised = [k for k in range(windows) if alarms(drift(toy, rows(n, 1000 + k)))]
    train(toy, 5000)
    return len(raised)


@pytest.mark.slow
def test_false_alarms_stay_rare(toy: Client) -> None:
    """In the smallest windows; the chance of 4 or more of 30 at the nominal 1 % is 2 in 10,000."""
    assert false_alarms(toy, 300, 60, windows=30) < 4


@pytest.mark.exhaustive
@pytest.mark.parametrize("trained", [300, 20000])
@pytest.mark.parametrize("n", [60, 1000, 5000])
def test_false_alarms_stay_rare_in_windows_of_any_size(toy: Client, trained: int, n: int) -> None:
    """The chance of 10 or more of 200 windows at the nominal 1 % is 5 in 100,000."""
    assert false_alarms(toy, trained, n, windows=200) < 10


def test_a_shift_within_a_bin_is_found(toy: Client) -> None:
    """Zeros that become 0.2 stay between the edges 0 and 1."""
    found = drift(toy, rows(400, 3, flag="toUInt8({u3} < 0.15) + 0.2"))["flag"]
    assert found["kolmogorov_smirnov"] > 0.5
    assert found["p_distribution"] < ALPHA


def test_half_a_deviation_exceeds_the_thresholds_of_an_error(toy: Client) -> None:
    found = drift(toy, rows(3000, 5, normal="{normal} + 0.5"))["normal"]
    assert found["psi"] > 0.2
    assert found["kolmogorov_smirnov"] > 0.15
    assert found["impact"] == pytest.approx(0.1 * (found["psi"] - found["psi_noise"]))


def test_an_empty_window_is_told_as_such(toy: Client) -> None:
    found = drift(toy, rows(0, 1))
    assert len(found) == 8
    for row in found.values():
        assert row["rows"] == 0
        assert {row["psi"], row["p_distribution"], row["missing_share"], row["impact"]} == {None}


def test_a_window_of_nulls_misses_everything(toy: Client) -> None:
    found = drift(toy, rows(200, 2, gaps="cast(null, 'Nullable(Float64)')", category="''"))
    for name in ("gaps", "category"):
        assert found[name]["missing_share"] == 1
        assert found[name]["p_missing"] < 1e-9
        assert found[name]["psi"] is None


def test_a_training_of_nulls_compares_what_is_missing(toy: Client) -> None:
    train(toy, 500, gaps="cast(null, 'Nullable(Float64)')", category="''")
    found = drift(toy, rows(200, 2))
    for name in ("gaps", "category"):
        assert found[name]["reference_missing_share"] == 1
        assert found[name]["p_missing"] < 1e-9
        assert found[name]["psi"] is None
    train(toy, 5000)


def test_a_constant_feature_is_quiet_until_it_moves(toy: Client) -> None:
    assert drift(toy, rows(200, 2))["constant"]["p_distribution"] == 1
    for moved in ("6.", "7.001", "if({u7} < 0.5, 7., 8.)"):
        found = drift(toy, rows(200, 2, constant=moved))["constant"]
        assert found["p_distribution"] < ALPHA
        assert found["kolmogorov_smirnov"] > 0.3


def test_infinite_values_are_values(toy: Client) -> None:
    """They fill the outer bins, and leave the mean alone."""
    found = drift(toy, rows(200, 2, skewed="if({u7} < 0.5, inf, -inf)"))["skewed"]
    assert found["missing_share"] == 0
    assert found["mean"] is None
    assert found["kolmogorov_smirnov"] > 0.4
    assert found["p_distribution"] < ALPHA
    assert math.isfinite(found["psi"])


def test_more_categories_than_are_stored_are_one(toy: Client) -> None:
    """Thousands of categories, of which 1,000 are stored: what is not is nothing new."""
    many = "toString(toUInt64(pow({u6}, -2)))"
    train(toy, 20000, category=many)
    assert len(statistics(toy, "category")["categories"]) == 1000
    same = drift(toy, rows(2000, 5, category=many))["category"]
    assert same["reference_unseen_share"] > 0.01
    assert same["p_unseen"] is None
    assert same["p_distribution"] > ALPHA
    moved = drift(toy, rows(2000, 5, category="toString(toUInt64(pow({u6}, -1.5)))"))["category"]
    assert moved["p_distribution"] < ALPHA
    train(toy, 5000)


def test_a_long_tail_brings_new_categories_without_a_change(toy: Client) -> None:
    tail = "toString(toUInt64(1 / {u6}))"
    train(toy, 5000, category=tail)
    for seed in range(20, 30):
        same = drift(toy, rows(2000, seed, category=tail))["category"]
        assert same["unseen_share"] > 0
        assert min(same["p_unseen"], same["p_distribution"]) > ALPHA
    new = drift(toy, rows(2000, 5, category=f"if({{u7}} < 0.05, 'new', {tail})"))["category"]
    assert max(new["p_unseen"], new["p_distribution"]) < ALPHA
    train(toy, 5000)


def test_a_version_without_statistics_has_no_rows(toy: Client) -> None:
    assert drift(toy, rows(200, 2), version=7) == {}


def test_the_prediction_is_measured_as_well(toy: Client) -> None:
    found = drift(toy, rows(1000, 4, normal="{normal} + 0.5"))["value"]
    assert found["role"] == "prediction"
    assert found["importance"] == 1
    assert found["p_distribution"] < ALPHA
