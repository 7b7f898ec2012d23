"""Every feature and every label holds what a second definition, in plain Python, says.

The real models are built by dbt and filled with random small worlds, whose every row is compared.
A use case, feature or label that tests/definitions/ does not define is refused.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from tests.conftest import Engine
from tests.definitions import Definition, Half, has_definition, load_definition
from tests.support.rebuilt import Built, build_once, differences
from tests.support.worlds import Row, World
from treehouse.project.contract import Contract, contracts
from treehouse.project.errors import TreehouseError
from treehouse.spec import specs

SEEDS = range(4)
PARTS = ("features", "training_set")
CHOICE = ("validation", "calibration")

_MANY_UNITS = 10  # of which that all are of one half is as likely as 1 in 500


@pytest.fixture(scope="module")
def definition(contract: Contract) -> Definition:
    """What somebody wrote of the use case; it fails with what to write if nobody did."""
    return load_definition(contract.use_case)


@pytest.fixture(scope="module")
def variables() -> dict[str, object]:
    """Vars of all definitions: the models of all use cases are built at once."""
    merged: dict[str, object] = {}
    for use_case in filter(has_definition, contracts()):
        own = load_definition(use_case).variables
        clash = {name for name in merged.keys() & own.keys() if merged[name] != own[name]}
        assert not clash, f"{use_case} and another definition differ in the vars {clash}"
        merged |= own
    return merged


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest, embedded: Engine, variables: dict[str, object]) -> Built:
    """The features and training sets of every use case that is tested."""
    items = [item for item in request.session.items if item.path == request.path]
    chosen = [item.callspec.params.get("contract") for item in items if hasattr(item, "callspec")]
    use_cases = dict.fromkeys(name for name in chosen if name)
    models = [f"{use_case}_{part}" for use_case in use_cases for part in PARTS]
    return build_once(embedded.client, embedded.settings, models, variables)


def compare(
    built: Built,
    contract: Contract,
    definition: Definition,
    world: World,
    expected: dict[str, Sequence[Row]],
    *,
    whole: bool,
) -> None:
    """Fail with what differs, of every row and column or of those that are expected."""
    built.fill(world, [f"{contract.use_case}_{part}" for part in PARTS])
    keys = list(dict.fromkeys((*contract.keys, contract.time)))
    for part, rows in expected.items():
        columns = dict.fromkeys((*keys, *(column for row in rows for column in row)))
        found = built.rows(f"{contract.use_case}_{part}", columns)
        if not whole:
            wanted = {tuple(row[key] for key in keys) for row in rows}
            found = [row for row in found if tuple(row[key] for key in keys) in wanted or not rows]
        said = differences(found, halved(rows, found, keys), keys, definition.within)
        assert not said, f"{part}: {len(said)} differ\n" + "\n".join(said[:20])
    for model, rows_of in definition.others.items():
        found, rows = built.rows(model), list(rows_of(world))
        said = differences(found, rows, list((rows or found or [{}])[0]), {})
        assert not said, f"{model}: {said}"


def halved(rows: Sequence[Row], found: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """Rows that choose, with the half that the first of their unit is of; many units have both."""
    there = {tuple(row[key] for key in keys): row.get("split") for row in found}
    halves: dict[Any, Any] = {}
    named = []
    for row in rows:
        if isinstance(half := row.get("split"), Half):
            split = there.get(tuple(row[key] for key in keys))
            split = halves.setdefault(half.unit, split if split in CHOICE else CHOICE)
            row = row | {"split": split}
        named.append(row)
    assert len(halves) < _MANY_UNITS or set(halves.values()) == set(CHOICE), halves
    return named


def labels(contract: Contract) -> set[str]:
    """Columns of the training set that somebody learns from, or learns by."""
    spec = specs().get(contract.use_case)
    named = (contract.label, contract.weight, contract.known_at, *(spec.also if spec else ()))
    return {"split", *filter(None, named)}


@cache
def made(use_case: str, seed: int) -> World:
    """The same random world each time."""
    definition = load_definition(use_case)
    return World(definition.make(random.Random(seed)), definition.variables)


@cache
def defined(use_case: str, seed: int, part: str) -> list[Row]:
    """What that world's tables must hold."""
    return load_definition(use_case).rows(part, made(use_case, seed))


def all_rows(use_case: str, part: str) -> list[Row]:
    """The same of all random worlds."""
    return [row for seed in SEEDS for row in defined(use_case, seed, part)]


@pytest.mark.usefixtures("definition")
def test_every_feature_and_label_is_defined(contract: Contract) -> None:
    """And its worlds can tell: it is null where it may be, and differs from all others."""
    wanted = {"features": {f.name for f in contract.features}, "training_set": labels(contract)}
    for part, names in wanted.items():
        rows = all_rows(contract.use_case, part)
        columns = {name: [row.get(name, "undefined") for row in rows] for name in names}
        undefined = sorted(name for name, values in columns.items() if "undefined" in values)
        assert rows, part
        assert not undefined, f"tests/definitions/{contract.use_case}.py must say: {undefined}"
        constant = [name for name, values in columns.items() if len(set(map(repr, values))) < 2]
        assert not constant, f"the worlds of {contract.use_case} do not vary {constant}"
        seen = {}
        for name, values in columns.items():
            twin = seen.setdefault(repr(values), name)
            assert twin == name, f"in the worlds of {contract.use_case}, {name} is always {twin}"
    splits = {row["split"] for row in all_rows(contract.use_case, "training_set")}
    kinds = {"choice" if isinstance(split, Half) else split for split in splits}
    assert kinds >= {"train", "choice", "test"}, f"the worlds of {contract.use_case} lack a split"
    nullable = {f.name for f in contract.features if f.type.startswith("Nullable(")}
    rows = all_rows(contract.use_case, "features")
    never = sorted(name for name in nullable if all(row[name] is not None for row in rows))
    assert not never, f"in the worlds of {contract.use_case}, {never} are never null"


@pytest.mark.parametrize("seed", SEEDS)
def test_random_worlds(built: Built, contract: Contract, definition: Definition, seed: int) -> None:
    world = made(contract.use_case, seed)
    expected = {part: defined(contract.use_case, seed, part) for part in PARTS}
    compare(built, contract, definition, world, expected, whole=True)


def test_worlds_counted_by_hand(built: Built, contract: Contract, definition: Definition) -> None:
    """By the tables, and by the definition too."""
    assert definition.counted
    keys = list(dict.fromkeys((*contract.keys, contract.time)))
    for counted in definition.counted:
        world = World(counted.raw, definition.variables)
        expected = {"features": counted.features, "training_set": counted.training_set}
        compare(built, contract, definition, world, expected, whole=False)
        for part, rows in expected.items():
            wanted = {tuple(row[key] for key in keys) for row in rows}
            defined = [
                row for row in definition.rows(part, world)
                if tuple(row[key] for key in keys) in wanted or not rows
            ]  # fmt: skip
            assert not differences(defined, rows, keys, definition.within)


def test_a_use_case_without_a_definition_is_refused() -> None:
    """In words that say what to write, and where."""
    with pytest.raises(TreehouseError, match=r"tests/definitions/no_such_thing\.py"):
        load_definition("no_such_thing")
