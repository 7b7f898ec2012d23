"""The statistics of experiments: SciPy's and statsmodels' numbers, and the rates they promise.

The rates come from a thousand experiments in one query, over the macro that serves the results.
Their bands hold with 99.9 %, so that a right rate fails one run in a thousand; seeds are fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from clickhouse_connect.driver.client import Client
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportions_ztest

from treehouse.clickhouse.ddl import MACROS, render

_MACROS = MACROS / "statistics" / "experiments.sql"
_TIGHT = {"rtol": 1e-9, "atol": 1e-12}
_ALPHAS = [0.1, 0.05, 0.01]
_ONES = "1. as denominator, 1. as pre_denominator, 0 as outcomes_not_finite"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def place(client: Client) -> Iterator[Client]:
    """A database for the units and definitions of a test."""
    client.command("create database if not exists treehouse_statistics engine = Atomic")
    yield client
    client.command("drop database treehouse_statistics sync")


def define(place: Client, experiments: str = "select '1' as experiment", **changes: str) -> None:
    """The same definition for all experiments of a query."""
    columns = {
        "variants": "['control', 'treatment']", "weights": "[0.5, 0.5]",
        "direction": "'increase'", "alpha": "0.05", "power": "0.8", "minimum_lift": "0.05",
        "planned_units": "toUInt64(1000)", "method": "'always_valid'",
    } | changes  # fmt: skip
    values = ", ".join(f"{value} as {name}" for name, value in columns.items())
    create(place, "definitions", f"select experiment, {values} from ({experiments})")


def create(place: Client, table: str, query: str) -> None:
    place.command(
        f"create or replace table treehouse_statistics.{table} "
        f"engine = MergeTree order by tuple() as {query}"
    )


def statistics() -> str:
    """The macro over the test's own tables, as a subquery."""
    sql = render(
        _MACROS, "experiment_statistics",
        "treehouse_statistics.units", "treehouse_statistics.definitions", _ALPHAS,
    )  # fmt: skip
    return f"({sql})"


def results(place: Client) -> dict[tuple[str, str], Row]:
    """Rows of one experiment, by estimate and variant."""
    rows = place.query(f"select * from {statistics()}").named_results()
    return {(row["estimate"], row["variant"]): row for row in rows}


def units(place: Client, kind: str, columns: dict[str, Sequence[Any]]) -> None:
    """One row a unit, with what is left open filled in."""
    count = len(columns["variant"])
    columns = {"pre_outcome": [0.0] * count, "denominator": [1.0] * count,
               "pre_denominator": [1.0] * count} | columns  # fmt: skip
    create(
        place, "units",
        "select '' as experiment, '' as metric, '' as kind, '' as unit, '' as variant, "
        "0. as outcome, 0. as denominator, 0. as pre_outcome, 0. as pre_denominator, "
        "toUInt64(0) as outcomes_not_finite limit 0",
    )  # fmt: skip
    names = list(columns)
    place.insert(
        "units",
        [
            ["1", "m", kind, str(i), *values]
            for i, values in enumerate(zip(*columns.values(), strict=True))
        ],
        column_names=["experiment", "metric", "kind", "unit", *names],
        database="treehouse_statistics",
    )


@pytest.fixture(scope="module")
def sample() -> dict[str, np.ndarray]:
    """Skewed money of three variants of different sizes, and money from before."""
    random = np.random.default_rng(7)
    variant = random.choice(["control", "a", "b"], 900, p=[0.5, 0.3, 0.2])
    before = random.gamma(0.5, 20, 900)
    outcome = before * 0.7 + random.gamma(0.4, 25, 900) + (variant == "a") * 4
    return {"variant": variant, "pre_outcome": before, "outcome": outcome}


THREE = {"variants": "['control', 'a', 'b']", "weights": "[0.5, 0.3, 0.2]"}


@pytest.mark.parametrize("alpha", _ALPHAS)
def test_means_are_scipys(place: Client, sample: dict[str, np.ndarray], alpha: float) -> None:
    units(place, "mean", sample)  # type: ignore[arg-type]
    define(place, **THREE, alpha=str(alpha))
    found = results(place)
    control = sample["outcome"][sample["variant"] == "control"]
    for name in ("a", "b"):
        treated = sample["outcome"][sample["variant"] == name]
        row = found["unadjusted", name]
        welch = stats.ttest_ind(treated, control, equal_var=False)
        low, high = welch.confidence_interval(1 - alpha)
        mann_whitney = stats.mannwhitneyu(treated, control, method="asymptotic")
        expected = {
            "units": len(treated), "mean": treated.mean(), "deviation": treated.std(ddof=1),
            "difference": treated.mean() - control.mean(), "p_value": welch.pvalue,
            "difference_low": low, "difference_high": high,
            "mann_whitney_p_value": mann_whitney.pvalue,
            "lift": treated.mean() / control.mean() - 1,
        }  # fmt: skip
        for column, value in expected.items():
            np.testing.assert_allclose(row[column], value, err_msg=column, **_TIGHT)


def test_holm_is_statsmodels(place: Client, sample: dict[str, np.ndarray]) -> None:
    units(place, "mean", sample)  # type: ignore[arg-type]
    define(place, **THREE)
    found = results(place)
    for estimate in ("unadjusted", "cuped"):
        rows = [found[estimate, name] for name in ("a", "b")]
        for raw in ("p_value", "always_valid_p_value"):
            holm = multipletests([row[raw] for row in rows], method="holm")[1]
            np.testing.assert_allclose([row[f"{raw}_holm"] for row in rows], holm, **_TIGHT)


def test_cuped_is_the_regression_on_variant_and_past(
    place: Client, sample: dict[str, np.ndarray]
) -> None:
    units(place, "mean", sample)  # type: ignore[arg-type]
    define(place, **THREE)
    found = results(place)
    variant, before, outcome = sample["variant"], sample["pre_outcome"], sample["outcome"]
    design = np.column_stack([np.ones(len(before)), variant == "a", variant == "b", before])
    slopes = sm.OLS(outcome, design.astype(float)).fit().params
    adjusted = outcome - slopes[3] * (before - before.mean())
    for i, name in enumerate(("a", "b"), start=1):
        row = found["cuped", name]
        np.testing.assert_allclose(row["cuped_theta"], slopes[3], **_TIGHT)
        np.testing.assert_allclose(row["difference"], slopes[i], **_TIGHT)
        welch = stats.ttest_ind(
            adjusted[variant == name], adjusted[variant == "control"], equal_var=False
        )
        np.testing.assert_allclose(row["p_value"], welch.pvalue, **_TIGHT)
        assert row["standard_error"] < 0.9 * found["unadjusted", name]["standard_error"]


def test_rates_are_statsmodels(place: Client) -> None:
    random = np.random.default_rng(3)
    variant = random.choice(["control", "treatment"], 800)
    outcome = (random.random(800) < np.where(variant == "control", 0.1, 0.15)).astype(float)
    units(place, "rate", {"variant": variant, "outcome": outcome})
    define(place)
    row = results(place)["unadjusted", "treatment"]
    counts = [outcome[variant == name].sum() for name in ("treatment", "control")]
    sizes = [int((variant == name).sum()) for name in ("treatment", "control")]
    expected = proportions_ztest(counts, sizes)[1]
    np.testing.assert_allclose(row["proportions_z_p_value"], expected, **_TIGHT)


def test_ratios_have_the_delta_methods_error(place: Client) -> None:
    random = np.random.default_rng(4)
    variant = random.choice(["control", "treatment"], 600)
    sessions = random.poisson(3, 600) + 0.0
    money = sessions * random.gamma(1, 2, 600)
    units(place, "ratio", {"variant": variant, "outcome": money, "denominator": sessions})
    define(place)
    row = results(place)["unadjusted", "treatment"]
    ratios, variances = {}, {}
    for name in ("control", "treatment"):
        n, d = money[variant == name], sessions[variant == name]
        ratios[name] = n.sum() / d.sum()
        covariance = np.cov(n, d)
        variances[name] = (
            covariance[0, 0] - 2 * ratios[name] * covariance[0, 1]
            + ratios[name] ** 2 * covariance[1, 1]
        ) / d.mean() ** 2 / len(n)  # fmt: skip
    np.testing.assert_allclose(row["mean"], ratios["treatment"], **_TIGHT)
    error = np.sqrt(sum(variances.values()))
    np.testing.assert_allclose(row["standard_error"], error, **_TIGHT)


def test_intervals_of_the_lift_are_the_delta_methods(
    place: Client, sample: dict[str, np.ndarray]
) -> None:
    units(place, "mean", sample)  # type: ignore[arg-type]
    define(place, **THREE)
    row = results(place)["unadjusted", "a"]
    treated, control = (sample["outcome"][sample["variant"] == name] for name in ("a", "control"))
    error = np.sqrt(
        treated.var(ddof=1) / len(treated) / control.mean() ** 2
        + treated.mean() ** 2 * control.var(ddof=1) / len(control) / control.mean() ** 4
    )
    welch = stats.ttest_ind(treated, control, equal_var=False)
    critical = stats.t.ppf(0.975, welch.df)
    lift = treated.mean() / control.mean() - 1
    np.testing.assert_allclose(row["lift_low"], lift - critical * error, **_TIGHT)
    np.testing.assert_allclose(row["lift_high"], lift + critical * error, **_TIGHT)


def test_always_valid_interval_and_p_value_agree(
    place: Client, sample: dict[str, np.ndarray]
) -> None:
    """At the alpha that is the p-value, the interval ends at 0."""
    units(place, "mean", sample)  # type: ignore[arg-type]
    define(place, **THREE)
    row = results(place)["unadjusted", "a"]
    n = row["units"] + results(place)["unadjusted", "control"]["units"]
    spent = -2 * np.log(0.05 / 2)
    mixture = n * (spent + np.log(spent + 1)) / 1000
    z = row["difference"] / row["standard_error"]
    p = min(1, np.sqrt(mixture + 1) * np.exp(-(z**2) * mixture / (mixture + 1) / 2))
    np.testing.assert_allclose(row["always_valid_p_value"], p, **_TIGHT)
    assert p < 1
    margin = row["standard_error"] * np.sqrt(
        (mixture + 1) / mixture * (np.log(mixture + 1) - 2 * np.log(p))
    )
    np.testing.assert_allclose(abs(row["difference"]), margin, **_TIGHT)
    assert row["always_valid_low"] < row["difference_low"]
    assert row["always_valid_high"] > row["difference_high"]


def test_chi_square_is_scipys(place: Client) -> None:
    statistics_, degrees = np.meshgrid([0, 1e-3, 0.5, 1, 3.84, 10, 50, 300, 1200], range(1, 40))
    call = render(_MACROS, "chi_square_p_value", "pair.1", "toUInt32(pair.2)")
    pairs = list(zip(statistics_.ravel().tolist(), degrees.ravel().tolist(), strict=True))
    found = place.query(
        f"select {call} from (select arrayJoin({pairs}) as pair)"
    ).result_columns[0]  # fmt: skip
    expected = stats.chi2.sf(statistics_.ravel(), degrees.ravel())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)


def test_normal_quantiles_are_scipys(place: Client) -> None:
    alphas = [0.5, 0.2, 0.1, 0.05, 0.01, 1e-4]
    call = render(_MACROS, "normal_quantile", "alpha")
    found = place.query(f"select {call} from (select arrayJoin({alphas}) as alpha)")
    expected = stats.norm.isf(np.array(alphas) / 2)
    np.testing.assert_allclose(found.result_columns[0], expected, **_TIGHT)


def band(experiments: int, rate: float) -> tuple[float, float]:
    """Where so many of them lie with 99.9 %."""
    low, high = stats.binom.interval(0.999, experiments, rate)
    return float(low), float(high)


_PAST = "exp(sqrt(-2 * log(u1)) * cos(2 * pi() * u2))"  # log-normal, from two uniform numbers
_UNIFORM = ", ".join(
    f"(sipHash64(number, {i}) + 0.5) / 18446744073709551616. as u{i}" for i in range(1, 5)
)


def simulate(place: Client, experiments: int, each: int, lift: float = 0.0) -> None:
    """Skewed outcomes that go with their past; seeds are the numbers."""
    create(
        place, "units",
        f"select toString(intDiv(number, {each})) as experiment, 'm' as metric, 'mean' as kind, "
        "toString(number) as unit, if(sipHash64(number, 9) % 2, 'treatment', 'control') as variant,"
        f"{_PAST} as pre_outcome, pre_outcome - 2 * log(u3) "
        f"+ if(variant = 'treatment', {lift} * (exp(0.5) + 2), 0) as outcome, {_ONES} "
        f"from (select number, {_UNIFORM} from numbers({experiments * each}))",
    )  # fmt: skip


def test_a_thousand_a_a_tests_keep_their_rate(place: Client) -> None:
    simulate(place, 1000, 400)
    define(place, "select toString(number) as experiment from numbers(1000)")
    rows = place.query(
        "select estimate, countIf(p_value <= 0.05) as welch, "
        "countIf(mann_whitney_p_value <= 0.05) as mann_whitney, "
        "countIf(always_valid_p_value <= 0.05) as always_valid, "
        "countIf(difference_low > 0 or difference_high < 0) as outside, count() as tests "
        f"from {statistics()} where not is_control group by estimate"
    )
    low, high = band(1000, 0.05)
    found = list(rows.named_results())
    assert {row["estimate"] for row in found} == {"unadjusted", "cuped"}
    for row in found:
        assert row["tests"] == 1000
        assert low <= row["welch"] <= high, row
        assert low <= row["mann_whitney"] <= high, row
        assert row["outside"] == row["welch"]
        assert row["always_valid"] <= high, row


def peek(place: Client, experiments: int, each: int, looks: int) -> list[Row]:
    """How many of the A/A tests were ever significant, of those looked at again and again."""
    simulate(place, experiments, each)
    create(
        place, "looks",
        f"select * replace(experiment || '/' || toString(look) as experiment) "
        f"from treehouse_statistics.units array join range(1, {looks + 1}) as look "
        f"where toUInt64(unit) % {each} < {each} * look / {looks}",
    )  # fmt: skip
    place.command("exchange tables treehouse_statistics.looks and treehouse_statistics.units")
    define(
        place, "select distinct experiment from treehouse_statistics.units",
        planned_units=f"toUInt64({each})",
    )  # fmt: skip
    rows = place.query(
        "select estimate, countIf(peeked) as peeked, countIf(always_valid) as always_valid from ("
        "select estimate, splitByChar('/', experiment)[1] as test, max(p_value <= 0.05) as peeked, "
        "max(always_valid_p_value <= 0.05) as always_valid "
        f"from {statistics()} where not is_control group by estimate, test) group by estimate"
    )
    return list(rows.named_results())


def check_peeking(rows: list[Row], experiments: int) -> None:
    _, high = band(experiments, 0.05)
    for row in rows:
        assert row["always_valid"] <= high, row
        assert row["peeked"] > high, "looking early at a fixed test is not punished: no test at all"


def test_looking_early_keeps_the_rate_of_what_is_always_valid(place: Client) -> None:
    check_peeking(peek(place, 200, 400, looks=10), 200)


@pytest.mark.exhaustive
def test_looking_early_at_a_thousand_experiments(place: Client) -> None:
    check_peeking(peek(place, 1000, 1000, looks=20), 1000)


@pytest.mark.parametrize("estimate", ["unadjusted", "cuped"])
def test_required_units_have_the_power(place: Client, estimate: str) -> None:
    """Ask a large experiment for the units of a lift of 20 %, then run so many, 500 times."""
    simulate(place, 1, 200_000)
    define(place, "select '0' as experiment", minimum_lift="0.2")
    needed = int(results(place)[estimate, "treatment"]["required_units"])
    simulate(place, 500, needed, lift=0.2)
    define(place, "select toString(number) as experiment from numbers(500)")
    found = place.query(
        f"select countIf(p_value <= 0.05) from {statistics()} "
        f"where not is_control and estimate = '{estimate}'"
    ).result_rows[0][0]
    low, high = band(500, 0.8)
    assert low <= found <= high, needed


def test_nothing_to_compare_is_said(place: Client) -> None:
    cases: dict[str, tuple[list[str], list[float], str]] = {
        "no variance at all": (["control", "treatment"] * 5, [0.0] * 10, "no variance"),
        "a constant": (["control", "treatment"] * 5, [1.5] * 10, "no variance"),
        "one unit": (["control", "control", "treatment"], [1.0, 2.0, 3.0], "too few units"),
        "no control": (["treatment"] * 5, [1.0, 2, 3, 4, 5], "too few units"),
    }
    define(place)
    for name, (variant, outcome, verdict) in cases.items():
        units(place, "mean", {"variant": variant, "outcome": outcome})
        row = results(place)["unadjusted", "treatment"]
        assert row["verdict"] == verdict, name
        for column in ("p_value", "p_value_holm", "always_valid_p_value", "lift_low"):
            assert row[column] is None, (name, column)


def test_one_variant_that_does_not_vary_is_compared(place: Client) -> None:
    outcome = [float(i % 4) if i % 2 else 0.0 for i in range(100)]
    units(place, "mean", {"variant": ["control", "treatment"] * 50, "outcome": outcome})
    define(place)
    assert results(place)["unadjusted", "treatment"]["verdict"] == "better"


def test_a_ratio_of_nothing_is_left_out(place: Client) -> None:
    units(place, "ratio", {"variant": ["control", "treatment"] * 5, "outcome": [0.0] * 10,
                           "denominator": [0.0, 2.0] * 5})  # fmt: skip
    define(place)
    assert [key[1] for key in results(place)] == ["treatment"]


def test_verdicts_follow_direction_and_method(place: Client) -> None:
    random = np.random.default_rng(5)
    variant = ["control", "treatment"] * 500
    outcome = random.normal(10, 1, 1000) + np.tile([0, 1], 500)
    units(place, "mean", {"variant": variant, "outcome": outcome})
    for changes, verdict in (
        ({}, "better"),
        ({"direction": "'decrease'"}, "worse"),
        ({"method": "'fixed'"}, "better"),
        ({"method": "'fixed'", "planned_units": "toUInt64(1001)"}, "waiting"),
    ):
        define(place, **changes)
        found = results(place)
        assert found["unadjusted", "treatment"]["verdict"] == verdict, changes
        assert found["unadjusted", "control"]["verdict"] == "control"
