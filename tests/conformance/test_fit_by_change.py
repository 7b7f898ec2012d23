"""Which rows decide what, for every spec: the labels of a split are garbled, and what moves has
read them. And each metric is what a referee library makes of the test rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Engine
from tests.support.cleaning import drop_everything, forget_queries
from tests.support.garbled import garble
from tests.support.house import USERS, dbt
from tests.support.referees import check_metrics, trees
from treehouse.fit.candidate import Candidate
from treehouse.fit.candidates import choose, fit_candidates
from treehouse.fit.dataset import SPLITS, Dataset, load_dataset
from treehouse.fit.heads import make_heads
from treehouse.fit.measure import measure
from treehouse.fit.train import train
from treehouse.project.settings import Settings
from treehouse.simulation.demo_data import fill_sources
from treehouse.spec import Spec, specs

Floats = NDArray[np.float64]
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Fitted:
    """What fitting one training set came to."""

    data: Dataset
    candidates: list[Candidate]
    rules: dict[str, Floats]


@pytest.fixture(scope="module")
def world(embedded: Engine) -> Iterator[Engine]:
    """The training set of every spec, out of what the demos load."""
    client, settings = embedded.client, embedded.settings
    forget_queries(client)
    for spec in {spec.demo: spec for spec in specs().values()}.values():
        fill_sources(client, settings, spec, {"users": USERS}, lambda *_: None)
    dbt(settings, "run", *(f"--select=+{name}_training_set" for name in specs()))
    yield embedded
    drop_everything(client)


@pytest.fixture(scope="module")
def short(spec: Spec) -> Spec:
    """The spec with few trees, fitted once."""
    return replace(
        spec,
        refit="none",
        boosting=replace(spec.boosting, trees=30, patience=10),
        bagging=replace(spec.bagging, trees=10, depth=8),
        trainers=tuple(name for name in spec.trainers if name != "lstm"),
    )


@pytest.fixture(scope="module")
def honest(world: Engine, short: Spec) -> Fitted:
    """Fitted to the labels as they are."""
    return fitted(world, world.settings, short)


def fitted(world: Engine, settings: Settings, spec: Spec) -> Fitted:
    """Candidates and rules, before anything is chosen."""
    data = load_dataset(world.client, settings, spec)
    rules = {name: data.extra[name] for name in data.extra if not name.startswith("best_")}
    for name, rule in spec.fitted_baselines.items():
        rules[name] = rule(world.client, settings, data)
    return Fitted(data, fit_candidates(spec, data), rules)


def same_rules(one: Fitted, other: Fitted) -> bool:
    """Whether every baseline says the same in every row, but for the order of sums."""
    assert set(one.rules) == set(other.rules)
    return all(
        np.allclose(one.rules[name], other.rules[name], rtol=1e-9, atol=0, equal_nan=True)
        for name in one.rules
    )


def same_trees(one: Fitted, other: Fitted) -> bool:
    """Whether every candidate has the same trees."""
    pairs = list(zip(one.candidates, other.candidates, strict=True))
    assert pairs
    return all(trees(a) == trees(b) for a, b in pairs)


def same_networks(one: Fitted, other: Fitted) -> bool:
    """Whether every candidate has the same networks, with what calibrates a sequence's shares."""
    graphs = [[[n.graph for n in c.networks] for c in f.candidates] for f in (one, other)]
    return graphs[0] == graphs[1]


def test_nothing_is_made_of_the_test_labels(world: Engine, spec: Spec, short: Spec) -> None:
    short = replace(short, refit=spec.refit)
    honest = fitted(world, world.settings, short)
    settings = garble(world.client, world.settings, short, ["test"])
    changed = fitted(world, settings, short)
    assert not np.array_equal(changed.data.label, honest.data.label)
    assert same_rules(honest, changed)
    assert same_trees(honest, changed)
    assert same_networks(honest, changed)
    one = train(world.client, world.settings, short)
    other = train(world.client, settings, short)
    without = [replace(t.bundle, info={}).to_bytes() for t in (one, other)]
    assert without[0] == without[1]
    assert one.metrics["choice"] == other.metrics["choice"]
    assert one.metrics["model"] != other.metrics["model"]
    assert json.dumps(one.bundle.info["golden"]) == json.dumps(other.bundle.info["golden"])


def test_calibration_labels_fit_no_tree(world: Engine, short: Spec, honest: Fitted) -> None:
    settings = garble(world.client, world.settings, short, ["calibration"])
    changed = fitted(world, settings, short)
    assert same_rules(honest, changed)
    assert same_trees(honest, changed)


def test_validation_labels_only_say_when_to_stop(
    world: Engine, short: Spec, honest: Fitted
) -> None:
    settings = garble(world.client, world.settings, short, ["validation"])
    changed = fitted(world, settings, short)
    assert same_rules(honest, changed)
    for a, b in zip(honest.candidates, changed.candidates, strict=True):
        for ours, theirs in zip(trees(a), trees(b), strict=True):
            shared = min(len(ours), len(theirs))
            assert shared > 0
            assert ours[:shared] == theirs[:shared]


def test_training_labels_fit_all_of_it(world: Engine, short: Spec, honest: Fitted) -> None:
    """That the tests above can see a change at all."""
    settings = garble(world.client, world.settings, short, ["train"])
    changed = fitted(world, settings, short)
    unmoved = [
        name
        for name, sql in short.baselines.items()
        if name in honest.rules and ("label" in sql or short.contract.label in sql)
        and np.array_equal(honest.rules[name], changed.rules[name], equal_nan=True)
    ]  # fmt: skip
    assert unmoved == []
    assert not (same_trees(honest, changed) and same_networks(honest, changed))


def test_metrics_are_the_referees(world: Engine, short: Spec, honest: Fitted) -> None:
    data = honest.data
    chosen, _ = choose(short, honest.candidates, data)
    heads, _ = make_heads(short, data, chosen)
    others = [c for c in honest.candidates if c is not chosen]
    found = measure(world.client, world.settings, short, data, chosen, heads, others)
    test = data.split == SPLITS.index("test")
    assert found["rows"] == test.sum() > 0
    answers = chosen.answers(heads, data.matrix[test], data.names, data.batch(test))
    check_metrics(short, data, found, answers)
    for name in {*short.baselines, *short.fitted_baselines} & set(honest.rules):
        said = {"value": honest.rules[name][test]}
        check_metrics(short, data, {"model": found["baselines"][name]}, said)
