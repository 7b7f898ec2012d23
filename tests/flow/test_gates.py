"""The gates of a publish: what is judged, what is refused, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.conftest import Engine
from tests.flow.conftest import ON_EMBEDDED, House
from tests.support.small_bundle import FEATURE, USE_CASE, write_bundle
from tests.support.small_training_set import TABLE, TEST_ROWS, make_training_set
from treehouse.project.errors import TreehouseError
from treehouse.registry import publish as publishing
from treehouse.registry.gates import write_gates
from treehouse.registry.holdout import CHAMPION, compare
from treehouse.registry.outcome import Outcome
from treehouse.registry.promotions import Version, promote, versions
from treehouse.registry.publish import publish
from treehouse.registry.scorer_call import Scored
from treehouse.spec import load_spec
from treehouse.spec.gates import Gates

SPEC = load_spec(USE_CASE)
GATES = [
    "contract", "parity", "size", "batch time", "call time", "metrics", "training set",
    *(f"beats {name}" for name in (*SPEC.baselines, *SPEC.fitted_baselines)),
]  # fmt: skip
NOT_WORSE = "not worse than the champion"


@pytest.fixture(scope="module")
def fingerprint(built: Engine) -> Iterator[int]:
    """Of the training set, which the engine holds as long as these tests run."""
    yield make_training_set(built.client)
    built.client.command(f"drop table {TABLE} sync")


@pytest.fixture
def judged(house: House, fingerprint: int) -> Callable[..., Version]:
    """Publishes a bundle that was fitted to the training set, through all gates."""

    def run(factor: float, *, force: str = "", **changes: Any) -> Version:
        path = write_bundle(house.folder, factor, **{"fingerprint": fingerprint} | changes)
        client, settings = house.engine.client, house.engine.settings
        return publish(client, settings, USE_CASE, path, force=force)[0]

    return run


def gates(house: House, version: int) -> list[tuple[Any, ...]]:
    """Gate, whether it passed, whether it was forced, and the detail."""
    return house.query(
        "select gate, passed, forced, detail from treehouse_registry.gates "
        f"where version = {version} order by at, step"
    )


def refusal(publish_it: Callable[..., Version], factor: float, **changes: Any) -> str:
    """What a refused publish says."""
    with pytest.raises(TreehouseError, match="is not published: refused by") as refused:
        publish_it(factor, **changes)
    return str(refused.value)


def test_a_sound_version_passes_every_gate(house: House, judged: Callable[..., Version]) -> None:
    version = judged(3)
    assert [row[:3] for row in gates(house, 1)] == [(gate, True, False) for gate in GATES]
    assert (f"{version.holdout_from:%F}", version.holdout_rows) == ("1998-01-01", TEST_ROWS)
    assert dict(version.features) == {f.name: f.kind for f in SPEC.contract.features}
    assert house.query("select reason from treehouse_registry.events") == [("",)]
    promote(house.engine.client, house.engine.settings, USE_CASE, 1)
    judged(3.001)
    assert [row[:3] for row in gates(house, 2)] == [
        (gate, True, False) for gate in (*GATES, NOT_WORSE)
    ]


@ON_EMBEDDED
def test_a_refusal_says_which_gate_and_by_how_much(
    house: House, judged: Callable[..., Version]
) -> None:
    said = refusal(judged, 0.001)
    assert "by 2 of 10 gates" in said
    assert "beats cohort mean: loss " in said
    assert "over by " in said
    assert f'./treehouse publish {USE_CASE} --force "why"' in said
    assert (house.count("versions"), house.count("events"), house.count("statistics")) == (0, 0, 0)
    assert {row[0] for row in gates(house, 0) if not row[1]} == {
        "beats cohort mean",
        "beats recent spend x multiplier",
    }
    assert not any(row[2] for row in gates(house, 0))


def test_a_reason_forces_it_and_is_kept(house: House, judged: Callable[..., Version]) -> None:
    version = judged(0.001, force="to show how it is done")
    assert house.query("select action, version, reason from treehouse_registry.events") == [
        ("publish", version.version, "to show how it is done")
    ]
    assert [row[0] for row in gates(house, 1) if row[2]] == [
        "beats cohort mean",
        "beats recent spend x multiplier",
    ]
    assert house.query("select count() from treehouse_registry.gates where forced = passed") == [
        (0,)
    ]


def test_a_worse_challenger_is_refused(house: House, judged: Callable[..., Version]) -> None:
    promote(house.engine.client, house.engine.settings, USE_CASE, judged(3).version)
    said = refusal(judged, 6)
    assert f"{NOT_WORSE}: loss " in said
    assert "of version 1 on 200 rows: +" in said
    assert [v.version for v in versions(house.engine.client, house.engine.settings)] == [1]


@ON_EMBEDDED
def test_a_version_of_another_label_is_no_silent_successor(
    house: House, judged: Callable[..., Version]
) -> None:
    """Its loss is no better or worse, but of something else: a person says that it is meant."""
    short, long = ({"purchase_value_horizon_months": months} for months in ("1", "3"))
    promote(house.engine.client, house.engine.settings, USE_CASE, judged(3, windows=long).version)
    said = refusal(judged, 3.001, windows=short)
    assert "by 1 of " in said
    told = "purchase_value_horizon_months is 1, and 3 of version 1, which answers"
    assert f"same label: {told}" in said
    assert NOT_WORSE not in said
    judged(3.001, windows=short, force="a month is what we bid by")
    assert [row[0] for row in gates(house, 2) if row[2]] == ["same label"]
    assert judged(3.002, windows=long).version == 3


@ON_EMBEDDED
def test_rows_that_the_champion_may_have_seen_are_named(
    house: House, judged: Callable[..., Version]
) -> None:
    client, settings = house.engine.client, house.engine.settings
    promote(client, settings, USE_CASE, judged(3).version)
    try:
        earlier = make_training_set(client, test_day="1997-09-01")
        judged(3.001, fingerprint=earlier)
    finally:
        make_training_set(client)
    assert gates(house, 2)[-1][0] == NOT_WORSE
    assert gates(house, 2)[-1][3].endswith("It has seen some of these rows, for none are later")


@ON_EMBEDDED
def test_bounds_of_the_spec_hold(
    house: House, judged: Callable[..., Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    tight = replace(SPEC, gates=Gates(size_bytes=10, row_us=1e-6, call_ms=1e-6))
    monkeypatch.setattr(publishing, "load_spec", lambda _: tight)
    said = refusal(judged, 3)
    for line in ("bytes, at most 10 (over by ", "us a row, at most 1e-06", "ms a call, at most"):
        assert line in said
    assert house.count("versions") == 0


@ON_EMBEDDED
def test_what_does_not_hold_in_sum_is_refused(
    house: House, judged: Callable[..., Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interval for 90 % that held 82 %, and predictions whose sum is 40 % off."""
    patient = replace(SPEC, gates=Gates(row_us=1e6, call_ms=1e6))
    monkeypatch.setattr(publishing, "load_spec", lambda _: patient)
    interval = {"target": 0.9, "coverage": 0.82, "rows": 2000, "calibration_rows": 2000}
    model = {"deviance": 1.0, "bias": -0.4, "bias_error": 0.05}
    said = refusal(judged, 3, measured={"interval": interval, "model": model})
    assert "by 2 of 12 gates" in said
    assert "coverage: 82.00% of 2,000 labels are inside an interval made for 0.9" in said
    assert "bias: the sum of the predictions is off by -40.0% of the labels'" in said
    judged(3, measured={"interval": interval | {"coverage": 0.98}, "model": model | {"bias": 0.1}})
    assert {"coverage", "bias"} < {row[0] for row in gates(house, 1) if row[1]}


@ON_EMBEDDED
def test_without_baselines_the_mean_is_to_be_beaten(
    house: House, judged: Callable[..., Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = Gates(row_us=1e6, call_ms=1e6)
    plain = replace(SPEC, baselines={}, fitted_baselines={}, gates=bounds)
    monkeypatch.setattr(publishing, "load_spec", lambda _: plain)
    judged(3)
    assert [row[:2] for row in gates(house, 1)][-1] == ("beats constant", True)
    assert "beats constant: loss " in refusal(judged, 0.001)


@ON_EMBEDDED
def test_a_metric_that_is_no_number_is_refused(judged: Callable[..., Version]) -> None:
    assert "metrics: mae of the test rows not finite (over by 1)" in refusal(
        judged, 3, mae=float("nan")
    )


@ON_EMBEDDED
def test_trees_too_deep_to_explain_are_told_at_publish(
    house: House, judged: Callable[..., Version]
) -> None:
    said = refusal(judged, 3, depth=1100)
    assert "explanations: a tree of depth 1100 over 1 features is too deep to explain" in said
    assert judged(3, depth=1100, force="nobody asks why").version == 1
    assert "explanations" in {gate for gate, passed, *_ in gates(house, 1) if not passed}
    assert judged(3.001, depth=90, force="a tie").version == 2
    assert ("explanations", True) in {row[:2] for row in gates(house, 2)}


@ON_EMBEDDED
@pytest.mark.parametrize("answer", ["inf", "nan"])
def test_an_answer_that_is_no_number_is_refused(
    house: House, judged: Callable[..., Version], answer: str
) -> None:
    assert f"beats cohort mean: loss {answer} against" in refusal(judged, float(answer))
    assert house.count("versions") == 0


@ON_EMBEDDED
def test_another_training_set_is_refused(house: House, judged: Callable[..., Version]) -> None:
    assert "was built anew since the fit: train once more" in refusal(judged, 3, fingerprint=8)
    forced = judged(3, fingerprint=8, force="the same rows, but for one")
    assert forced.holdout_rows == 0
    assert house.count("statistics") == 0, "they would be of other rows than the fitted ones"


@ON_EMBEDDED
def test_without_its_training_set_nothing_is_compared(
    house: House, judged: Callable[..., Version]
) -> None:
    client = house.engine.client
    client.command(f"drop table {TABLE} sync")
    try:
        assert "is not in this engine: not judged" in refusal(judged, 3)
        assert judged(3, force="judged elsewhere").holdout_rows == 0
    finally:
        make_training_set(client)
    assert [row[:2] for row in gates(house, 1)] == [
        (gate, gate != "training set") for gate in GATES[: GATES.index("training set") + 1]
    ]


@ON_EMBEDDED
def test_one_gate_alone_is_written(house: House) -> None:
    engine = house.engine
    header = {"model": USE_CASE, "bundle": 7}
    outcome = Outcome("size", 3.0, 2.0, "three bytes")
    write_gates(engine.client, engine.settings, header, [outcome], version=5)
    assert gates(house, 5) == [("size", False, False, "three bytes")]


def test_the_comparison_is_scipys(house: House, judged: Callable[..., Version]) -> None:
    client, settings = house.engine.client, house.engine.settings
    scored = [Scored.of_version(judged(factor)) for factor in (3, 2)]
    assert scored[0] is not None
    found = compare(client, settings, SPEC, scored[0], scored[1], confidence=0.9)[CHAMPION]
    rows = house.query(f"select {FEATURE}, future_amount from {TABLE} where split = 'test'")
    amount, label = np.array(rows, dtype=np.float64).T
    mean = house.query(f"select avg(future_amount) from {TABLE} where split = 'train'")[0][0]
    scale = mean / 100

    def loss(factor: float) -> Any:
        y, m = label + scale, factor * amount + scale
        return 2 * (y**0.7 / (-0.3 * 0.7) - y * m**-0.3 / -0.3 + m**0.7 / 0.7)

    ours, theirs = loss(3), loss(2)
    interval = stats.ttest_1samp(ours - theirs, 0).confidence_interval(0.9)
    assert found.rows == TEST_ROWS
    assert (found.ours, found.theirs) == pytest.approx((ours.mean(), theirs.mean()), rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


@ON_EMBEDDED
def test_statistics_are_numpys(house: House, judged: Callable[..., Version]) -> None:
    judged(3)
    rows = house.query(
        "select role, name, rows, nulls, mean, deviation, quantiles, edges, shares, importance "
        "from treehouse_registry.statistics where model = 'purchase_value' and version = 1"
    )
    found = {row[:2]: row[2:] for row in rows}
    assert {name for role, name in found if role == "feature"} == {
        f.name for f in SPEC.contract.features
    }
    assert {name for role, name in found if role == "prediction"} == set(SPEC.contract.heads)
    values = np.array(
        house.query(f"select {FEATURE} from {TABLE} where split = 'train'"), dtype=np.float64
    )[:, 0]
    rows_, nulls, mean, deviation, quantiles, edges, shares, importance = found["feature", FEATURE]
    assert (rows_, nulls, importance) == (300, 0, 0)
    assert (mean, deviation) == pytest.approx((values.mean(), values.std(ddof=1)), rel=1e-12)
    assert quantiles == pytest.approx(np.quantile(values, np.linspace(0, 1, 101)), rel=1e-12)
    assert edges == pytest.approx(np.quantile(values, np.linspace(0.1, 0.9, 9)), rel=1e-12)
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=10)
    assert shares == pytest.approx(counts / len(values), rel=1e-12)
    assert found["feature", "largest_gap_days"][:2] == (300, 150)
    assert found["feature", "largest_gap_days"][5:7] == ([], [1.0])
    assert found["feature", "visits_6m"][5] == [1, 2], "zeros have a bin of their own"
    assert found["prediction", "value"][0] == 260, "calibration and test"
    assert found["label", "future_amount"][0] == 300
