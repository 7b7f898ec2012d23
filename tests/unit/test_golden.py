"""Golden rows stand where an evaluator goes wrong, with the trainer's own answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.datasets import CATEGORIES, CONTRACT, made_up_dataset, made_up_spec
from treehouse.bundle import Bundle, Inputs, e
from treehouse.fit.candidate import Candidate
from treehouse.fit.candidates import fit_candidates
from treehouse.fit.dataset import Dataset
from treehouse.fit.golden import golden_rows
from treehouse.forest import compile_forest

Floats = NDArray[np.float64]
NAMES = tuple(feature.name for feature in CONTRACT.features)
ROWS = 512


@pytest.fixture(scope="module")
def data() -> Dataset:
    return made_up_dataset()


@pytest.fixture(scope="module")
def chosen(data: Dataset) -> Candidate:
    return fit_candidates(made_up_spec(objectives=("two_part",)), data)[0]


@pytest.fixture(scope="module")
def bundle(chosen: Candidate) -> Bundle:
    return Bundle(
        model="made_up",
        version=1,
        contract=CONTRACT.hash,
        inputs=Inputs(CONTRACT.of_kind("numeric"), CATEGORIES),
        forests=tuple(compile_forest(booster, NAMES) for booster in chosen.models),
        heads={"value": chosen.parts[0], "double": chosen.parts[0] * e.const(2.0)},
    )


@pytest.fixture(scope="module")
def golden(bundle: Bundle, data: Dataset, chosen: Candidate) -> dict[str, Any]:
    return golden_rows(bundle, data, chosen, rows=ROWS)


def split_values(chosen: Candidate, name: str) -> set[float]:
    found: set[float] = set()
    for booster in chosen.models:
        table = booster.trees_to_dataframe()
        column = f"Column_{NAMES.index(name)}"  # fitted without our names
        numeric = table[(table["split_feature"] == column) & (table["decision_type"] == "<=")]
        found |= {float(value) for value in numeric["threshold"]}
    return found


def test_shape(golden: dict[str, Any]) -> None:
    assert np.shape(golden["numeric"]) == (ROWS, 2)
    assert np.shape(golden["categorical"]) == (ROWS, 1)
    assert np.shape(golden["answers"]) == (ROWS, 2)


@pytest.mark.parametrize("name", ["early", "days"])
def test_thresholds_and_both_neighbours_are_there(
    golden: dict[str, Any], chosen: Candidate, name: str
) -> None:
    known = np.array(sorted(split_values(chosen, name)))
    values = np.array(golden["numeric"])[:, NAMES.index(name)]
    for wanted in (known, np.nextafter(known, np.inf), np.nextafter(known, -np.inf)):
        assert np.isin(wanted, values).any()


def test_extremes_and_missing_values_are_there(golden: dict[str, Any]) -> None:
    values = np.array(golden["numeric"]).ravel()
    assert np.isnan(values).any()
    assert {np.inf, -np.inf, 0.0, 5e-324, 1e300} <= set(values.tolist())
    assert (np.signbit(values) & (values == 0)).any()


def test_categories_are_there_and_so_are_empty_and_unseen_ones(golden: dict[str, Any]) -> None:
    texts = {row[0] for row in golden["categorical"]}
    assert {*CATEGORIES["country"], ""} < texts
    assert len(texts - {*CATEGORIES["country"], ""}) == 1


def test_a_quarter_is_as_it_came(golden: dict[str, Any], data: Dataset) -> None:
    known = {tuple(row) for row in np.nan_to_num(data.matrix[:, :2], nan=-1.0).tolist()}
    rows = np.nan_to_num(np.array(golden["numeric"])[: ROWS // 4], nan=-1.0)
    assert {tuple(row) for row in rows.tolist()} <= known


def test_answers_are_the_trainers(golden: dict[str, Any], chosen: Candidate) -> None:
    codes = {name: float(code) for code, name in enumerate(CATEGORIES["country"])}
    country = [codes.get(row[0], np.nan) for row in golden["categorical"]]
    matrix = np.column_stack([np.array(golden["numeric"]), country])
    value = chosen.answers({"value": chosen.parts[0]}, matrix, NAMES)["value"]
    np.testing.assert_array_equal(golden["answers"], np.column_stack([value, 2 * value]))


def test_equal_inputs_give_equal_rows(
    golden: dict[str, Any], bundle: Bundle, data: Dataset, chosen: Candidate
) -> None:
    again = golden_rows(bundle, data, chosen, rows=ROWS)
    for part in ("numeric", "categorical", "answers"):
        np.testing.assert_array_equal(again[part], golden[part])


def test_rows_survive_the_bundle(golden: dict[str, Any], bundle: Bundle) -> None:
    """NaN, infinities and signed zeros too."""
    whole = Bundle(**{**bundle.__dict__, "info": {"golden": golden}})
    read = Bundle.read_header(whole.to_bytes())["info"]["golden"]
    for part in ("numeric", "answers"):
        there, back = np.array(golden[part]), np.array(read[part], dtype=np.float64)
        np.testing.assert_array_equal(there.view(np.int64) | np.isnan(there),
                                      back.view(np.int64) | np.isnan(back))  # fmt: skip
    assert read["categorical"] == golden["categorical"]
