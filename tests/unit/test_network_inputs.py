"""From rows to a network's arrays."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from tests.support.datasets import CONTRACT
from tests.support.network_pipe import bundle_of
from tests.support.networks import INPUTS, MLP_INPUTS, VOCABULARY, mlp
from treehouse.bundle import Network
from treehouse.network import (
    NetworkInputs,
    Scaling,
    Series,
    Tokens,
    batch_of,
    batch_of_matrix,
    fit_scaling,
    fit_vocabulary,
    rows_of,
)
from treehouse.project.errors import TreehouseError
from udfs.network.rows import Rows, names_of


def rows(inputs: NetworkInputs, **columns: list[list[object]]) -> Rows:
    return Rows(batch_of(**columns), names_of(inputs), "test")


def test_numbers_are_scaled_limited_and_never_missing() -> None:
    inputs = NetworkInputs(
        {"x": Scaling(10, 2), "y": Scaling(0, 1, is_log=True, missing=-3, limit=5)}
    )
    values = [[12, np.e - 1], [np.nan, np.nan], [np.inf, -np.inf], [1e300, 1 - np.e]]
    found = inputs.arrays(rows(inputs, numeric=values), ["numeric"])["numeric"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[1, 1], [0, -3], [10, -5], [10, -1]], rtol=1e-6)


def test_order_is_the_networks_own_and_not_the_bundles() -> None:
    own = NetworkInputs({"b": Scaling(), "a": Scaling()})
    there = Rows(batch_of(numeric=[[1.0, 2.0, 3.0]]), names_of(NetworkInputs(
        {"a": Scaling(), "x": Scaling(), "b": Scaling()})), "test")  # fmt: skip
    assert own.arrays(there, ["numeric"])["numeric"].tolist() == [[3, 1]]


def test_categories_and_their_one_hot_codes() -> None:
    inputs = NetworkInputs({"x": Scaling()}, {"c": ("DE", "ÜÑ"), "d": ("1",)})
    found = inputs.arrays(
        rows(inputs, numeric=[[0.5]] * 3, categorical=[["DE", "1"], ["ÜÑ", "2"], ["", ""]]),
        ["categorical", "dense"],
    )
    assert found["categorical"].tolist() == [[1, 1], [2, 0], [0, 0]]
    assert found["dense"].tolist() == [[0.5, 1, 0, 1], [0.5, 0, 1, 0], [0.5, 0, 0, 0]]


def test_sequences_keep_their_last_values_at_the_end() -> None:
    inputs = NetworkInputs(
        tokens={"t": Tokens(("a", "b"), 3), "u": Tokens(("z",), 1)},
        series={"s": Series(3, Scaling(1, 2))},
    )
    tokens = [[["a"], ["z", "q"]], [["b", "a", "b", "?", "a"], ["z"]], [[], []]]
    series = [[[5.0, np.nan]], [[9.0, 1.0, 3.0, 5.0]], [[]]]
    found = inputs.arrays(rows(inputs, tokens=tokens, series=series), ["t", "u", "s"])
    assert found["t"].tolist() == [[0, 0, 2], [3, 1, 2], [0, 0, 0]]
    assert found["u"].tolist() == [[1], [2], [0]]
    assert found["s"].tolist() == [[0, 2, 0], [0, 1, 2], [0, 0, 0]]


def test_a_slice_of_a_block_is_its_rows() -> None:
    inputs = NetworkInputs(
        {"x": Scaling()}, {"c": ("0", "1")}, {"t": Tokens(("0", "1", "2"), 2)}, {"s": Series(2)}
    )
    batch = batch_of(
        numeric=[[float(i)] for i in range(9)],
        categorical=[[str(i % 3)] for i in range(9)],
        tokens=[[[str(j) for j in range(i % 4)]] for i in range(9)],
        series=[[[float(j) for j in range(i)]] for i in range(9)],
    )
    whole = inputs.arrays(Rows(batch, names_of(inputs), "test"), inputs.array_names)
    for part in (batch.slice(4, 3), batch.take(pa.array([4, 5, 6]))):
        found = inputs.arrays(Rows(part, names_of(inputs), "test"), inputs.array_names)
        for name, values in found.items():
            np.testing.assert_array_equal(values, whole[name][4:7], err_msg=name)


def test_json_keeps_everything_and_its_order() -> None:
    inputs = NetworkInputs(
        {"b": Scaling(1, 2, True, 3, 4), "a": Scaling()},
        {"z": ("y", "x"), "c": ()},
        {"t": Tokens(("b", "a"), 3)},
        {"s": Series(2, Scaling(5))},
    )
    again = NetworkInputs.from_json(json.loads(json.dumps(inputs.as_json(), sort_keys=True)))
    assert again == inputs
    assert list(again.numeric) == ["b", "a"]
    assert list(again.categorical) == ["z", "c"]


def test_a_matrix_for_training_is_what_rows_are_in_serving() -> None:
    names = [f.name for f in CONTRACT.features]
    categories = dict.fromkeys(CONTRACT.of_kind("categorical"), ("one", "two"))
    matrix = np.random.default_rng(0).normal(size=(50, len(names)))
    for name in categories:
        matrix[:, names.index(name)] = np.random.default_rng(1).choice([0, 1, np.nan], 50)
    inputs = NetworkInputs(dict.fromkeys(CONTRACT.of_kind("numeric"), Scaling()), categories)
    found = inputs.arrays(rows_of(batch_of_matrix(CONTRACT, matrix, categories), CONTRACT),
                          ["numeric", "categorical"])  # fmt: skip
    columns = [names.index(name) for name in inputs.numeric]
    np.testing.assert_array_equal(found["numeric"], matrix[:, columns].astype(np.float32))
    codes = matrix[:, [names.index(name) for name in categories]]
    np.testing.assert_array_equal(found["categorical"], np.nan_to_num(codes + 1))


def test_what_the_training_rows_teach() -> None:
    scaling = fit_scaling(np.array([1.0, 3.0, np.nan, np.inf]))
    assert (scaling.center, scaling.scale) == (2.0, 1.0)
    assert fit_scaling(np.array([7.0, 7.0])) == Scaling(7.0, 1.0)
    assert fit_scaling(np.array([np.nan])) == Scaling()
    assert fit_scaling(np.expm1([1.0, 3.0]), is_log=True).center == pytest.approx(2.0)
    tokens = pa.array(["b", "a", "", "b", "c", "a", "", ""])
    assert fit_vocabulary(tokens, 2) == ("a", "b")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (NetworkInputs({"height": Scaling()}), "takes numeric inputs that the bundle does not"),
        (NetworkInputs(tokens={"gaps": Tokens((), 3)}), "takes tokens inputs"),
        (NetworkInputs(tokens={"recent": Tokens(VOCABULARY, 0)}), "recent keeps none"),
    ],
)
def test_a_bundle_refuses_what_it_could_not_bind(inputs: NetworkInputs, message: str) -> None:
    with pytest.raises(TreehouseError, match=message):
        bundle_of(Network(b"", inputs, ("p",), ("answer",))).to_bytes()


def test_outputs_are_names_of_their_own() -> None:
    for name in ("age", "country", "recent"):
        taken = Network(mlp().graph, MLP_INPUTS, ("x", name), ("answer",))
        assert name in (*INPUTS.names, *INPUTS.tokens)
        with pytest.raises(TreehouseError, match="named twice"):
            bundle_of(taken).to_bytes()
