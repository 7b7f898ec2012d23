"""Explanations: equal to LightGBM's and XGBoost's own contributions, and additive to the margin."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from math import factorial

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray

from tests.support.parity import numeric_bundle
from tests.support.rows import hard_rows
from tests.support.scorer_pipe import Scorer, answers, block
from tests.unit.test_forest_lightgbm import FEATURES, OBJECTIVES, bundle_of, hard_test_rows, train
from tests.unit.test_forest_sklearn import fit
from tests.unit.test_forest_xgboost import train as train_xgboost
from treehouse.bundle import Bundle, Inputs, e
from treehouse.forest import Forest, compile_forest

Floats = NDArray[np.float64]


def explain(
    scorer: Scorer, bundle: Bundle, rows: Floats, strings: list[list[str]] | None = None
) -> Floats:
    """float64[rows, 1 + inputs]: base value, then contributions."""
    number = scorer.publish(bundle)
    texts = strings if strings is not None else [[]] * len(rows)
    done = scorer.run(block([number] * len(rows), rows, texts), "explain")
    assert done.returncode == 0, done.stderr.decode()
    return np.array(answers(done.stdout))


@pytest.mark.parametrize("name", ["regression", "binary", "poisson", "dart", "one-hot categories"])
def test_contributions_equal_lightgbm(scorer: Scorer, name: str) -> None:
    booster = train(OBJECTIVES[name])
    forest = compile_forest(booster, FEATURES)
    rows, countries = hard_test_rows(forest, 300)
    found = explain(scorer, bundle_of(forest), rows[:, [0, 1, 3, 4]], countries)
    # inputs: the numeric ones, then the category; LightGBM: its features, then the base value
    ours = found[:, [1, 2, 5, 3, 4, 0]]
    own = booster.predict(rows, pred_contrib=True)
    np.testing.assert_allclose(ours, own, rtol=1e-6, atol=1e-6)
    margins = booster.predict(rows, raw_score=True)
    np.testing.assert_allclose(found.sum(axis=1), margins, rtol=1e-9, atol=1e-9)


def test_a_row_alone_is_explained_as_in_a_batch(scorer: Scorer) -> None:
    """A row that fills no register has a narrower kernel of its own."""
    forest = compile_forest(train(OBJECTIVES["regression"]), FEATURES)
    rows, countries = hard_test_rows(forest, 33)
    values, bundle = rows[:, [0, 1, 3, 4]], bundle_of(forest)
    batch = explain(scorer, bundle, values, countries)
    for i in (0, 7, 32):
        alone = explain(scorer, bundle, values[i : i + 1], countries[i : i + 1])
        np.testing.assert_allclose(alone[0], batch[i], rtol=1e-12, atol=1e-12)


def test_each_class_of_a_multiclass_model(scorer: Scorer) -> None:
    booster = train(OBJECTIVES["multiclass"])
    forest = compile_forest(booster, FEATURES)
    rows = hard_rows(forest, np.random.default_rng(0), 100)
    own = booster.predict(rows, pred_contrib=True).reshape(len(rows), 3, 6)
    for k in range(3):
        base = numeric_bundle(forest)
        bundle = Bundle("m", 1, "c", base.inputs, (forest,), base.heads, {}, {(0, k): 1.0})
        found = explain(scorer, bundle, rows)
        np.testing.assert_allclose(found[:, [1, 2, 3, 4, 5, 0]], own[:, k], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["squared error", "logistic", "partitions"])
def test_contributions_equal_xgboost(scorer: Scorer, name: str) -> None:
    parameters = {"objective": "binary:logistic"} if name == "logistic" else {}
    booster = train_xgboost(name, parameters)
    forest = compile_forest(booster, FEATURES)
    rows = hard_rows(forest, np.random.default_rng(1), 300, finite=True)
    types = ["q"] * 4 + ["c" if name == "partitions" else "q"]
    if name == "partitions":
        rows[:, 4] = np.random.default_rng(2).integers(0, 35, len(rows))
    data = xgb.DMatrix(rows, feature_types=types, enable_categorical=name == "partitions")
    found = explain(scorer, numeric_bundle(forest), rows)
    own = booster.predict(data, pred_contribs=True)
    # XGBoost sums contributions of about 1 in float32, over 30 trees
    np.testing.assert_allclose(found[:, [1, 2, 3, 4, 5, 0]], own, rtol=1e-6, atol=3e-6)


def shapley_by_definition(forest: Forest, row: Floats) -> Floats:
    """Base value, then contributions, by enumerating all subsets of features (for few)."""
    n = len(forest.features)

    def expected(node: int, known: frozenset[int]) -> float:
        if forest.flags[node] & 1:
            return float(forest.values[node])
        left, feature = int(forest.left[node]), int(forest.feature[node])
        if feature in known:
            x = row[feature]
            stays = forest.flags[node] & 2 if np.isnan(x) else x <= forest.values[node]
            return expected(left if stays else left + 1, known)
        weights = forest.cover[left : left + 2] / forest.cover[left : left + 2].sum()
        return float(weights[0] * expected(left, known) + weights[1] * expected(left + 1, known))

    @cache
    def value(known: frozenset[int]) -> float:
        trees = sum(expected(int(root), known) for root in forest.roots[:-1])
        return float(trees / forest.divisor + forest.base[0])

    found = np.zeros(n + 1)
    found[0] = value(frozenset())
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for subset in combinations(others, size):
                with_i = value(frozenset(subset) | {i})
                found[i + 1] += weight * (with_i - value(frozenset(subset)))
    return found


@pytest.mark.parametrize("name", ["rf", "gb", "hgb", "isolation"])
def test_contributions_are_shapley_values_by_definition(scorer: Scorer, name: str) -> None:
    forest = compile_forest(fit(name), tuple("abcde"))
    rows = hard_rows(forest, np.random.default_rng(3), 4, finite=True)
    found = explain(scorer, numeric_bundle(forest), rows)
    own = np.array([shapley_by_definition(forest, row) for row in rows])
    np.testing.assert_allclose(found, own, rtol=1e-9, atol=1e-9)


def test_a_blend_is_explained_as_the_sum_of_its_forests(scorer: Scorer) -> None:
    one, two = (compile_forest(train(OBJECTIVES[n]), FEATURES) for n in ("regression", "dart"))
    rows = hard_rows(one, np.random.default_rng(0), 40)
    heads = {"v": 0.25 * e.margin(0) + 0.75 * e.margin(1)}
    weights = {(0, 0): 0.25, (1, 0): 0.75}
    bundle = Bundle("blend", 1, "c", Inputs(FEATURES), (one, two), heads, {}, weights)
    found = explain(scorer, bundle, rows)
    parts = [explain(scorer, numeric_bundle(forest), rows) for forest in (one, two)]
    np.testing.assert_allclose(found, 0.25 * parts[0] + 0.75 * parts[1], atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), scorer.score(bundle, rows)[:, 0], atol=1e-9)


def test_a_block_may_mix_bundles_and_none(scorer: Scorer) -> None:
    """As an experiment does: rows of a bundle are explained together, wherever they lie."""
    forests = [compile_forest(train(OBJECTIVES[n]), FEATURES) for n in ("regression", "dart")]
    inputs = (Inputs(FEATURES), Inputs((*FEATURES, "unused")))
    bundles = [
        Bundle("mixed", i + 1, "c", inputs[i], (forest,), {"v": e.margin()})
        for i, forest in enumerate(forests)
    ]
    numbers = [0, *map(scorer.publish, bundles)]
    rows = hard_rows(forests[0], np.random.default_rng(0), 700)
    rows = np.column_stack([rows, rows[:, 0]])
    alone = [
        explain(scorer, b, rows[:, : len(i.numeric)]) for b, i in zip(bundles, inputs, strict=True)
    ]
    which = np.random.default_rng(1).integers(0, 3, len(rows))
    numeric = [row[: 5 + (k == 2)] for row, k in zip(rows.tolist(), which, strict=True)]
    done = scorer.run(block([numbers[k] for k in which], numeric, [()] * len(rows)), "explain")
    for i, (found, k) in enumerate(zip(answers(done.stdout), which, strict=True)):
        expected = alone[k - 1][i] if k else []
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_no_champion_answers_nothing_and_no_forest_is_refused(scorer: Scorer) -> None:
    done = scorer.run(block([0, 0], [(), (1,)], [(), ()]), "explain")
    assert [len(row) for row in answers(done.stdout)] == [0, 0]
    plain = Bundle("plain", 1, "c", Inputs(("x",)), (), {"v": e.feature("x")})
    done = scorer.run(block([scorer.publish(plain)], [(1,)], [()]), "explain")
    assert done.returncode == 1
    assert b"(plain version 1) has no margin to explain" in done.stderr


def test_paths_over_many_features_equal_lightgbm(scorer: Scorer) -> None:
    rng = np.random.default_rng(0)
    rows = np.sort(rng.normal(size=(400, 100)), axis=0)
    target = np.cumsum(rng.random(400))
    settings = {"num_leaves": 300, "min_data_in_leaf": 1, "verbose": -1, "extra_trees": True}
    booster = lgb.train(settings, lgb.Dataset(rows, target), 1)
    forest = compile_forest(booster, tuple(f"x{i}" for i in range(100)))
    found = explain(scorer, numeric_bundle(forest), rows[:20])
    own = booster.predict(rows[:20], pred_contrib=True)
    np.testing.assert_allclose(found[:, 1:], own[:, :-1], atol=1e-6)
