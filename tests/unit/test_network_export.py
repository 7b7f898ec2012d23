"""Networks from scikit-learn and PyTorch answer as those libraries do, or are refused."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

from tests.support.networks import MLP_INPUTS, mlp, mlp_in_double, random_batch, rows_of
from treehouse.bundle.tolerance import NETWORK_TOLERANCE
from treehouse.network import (
    NetworkInputs,
    Series,
    Step,
    Tokens,
    compare,
    from_sklearn,
    from_table,
    from_torch,
    golden_rows,
    predict,
)
from treehouse.project.errors import TreehouseError

ROWS = rows_of(random_batch(400))
DENSE = MLP_INPUTS.arrays(ROWS, ["dense"])["dense"]
LABEL = DENSE[:, 0] + DENSE[:, 2] > 0


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_classifiers_answer_the_probability_of_each_class(precision: type) -> None:
    three = LABEL.astype(int) + (DENSE[:, 1] > 0)
    for target, outputs in ((LABEL, ("no", "yes")), (three, ("a", "b", "c"))):
        model = MLPClassifier((8, 4), max_iter=30, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(DENSE.astype(precision), target)
        network = from_sklearn(model, MLP_INPUTS, outputs, ROWS)
        np.testing.assert_allclose(
            predict(network, ROWS), model.predict_proba(DENSE), atol=NETWORK_TOLERANCE
        )


def test_regressors_and_linear_models() -> None:
    value = DENSE @ np.arange(1.0, 6.0)
    model = MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(DENSE, value)
    assert predict(from_sklearn(model, MLP_INPUTS, ("v",), ROWS), ROWS).shape == (400, 1)
    linear = LogisticRegression().fit(DENSE, LABEL)
    assert predict(from_sklearn(linear, MLP_INPUTS, ("no", "yes"), ROWS), ROWS).shape == (400, 2)


def test_another_answer_than_the_trainers_is_refused() -> None:
    expected = mlp_in_double(DENSE)
    assert compare(mlp(), ROWS, expected).all()
    with pytest.raises(TreehouseError, match=r"in 2 of 400 rows, by up to"):
        compare(mlp(), ROWS, expected + np.eye(400, 2) * 1e-2)
    slightly = np.abs(expected).max() * 3e-5
    assert not compare(mlp(), ROWS, expected + np.eye(400, 2) * slightly).all()  # two rows may
    with pytest.raises(TreehouseError, match="differ from its trainer's"):
        compare(mlp(), ROWS, expected + slightly)
    with pytest.raises(TreehouseError, match="another number of values"):
        compare(mlp(), ROWS, expected[:, :1])
    moved = NetworkInputs(dict(reversed(MLP_INPUTS.numeric.items())), MLP_INPUTS.categorical)
    with pytest.raises(TreehouseError, match="differ from its trainer's"):
        compare(replace(mlp(), inputs=moved), ROWS, expected)


def test_tied_classes_may_change_places_in_a_few_rows() -> None:
    """Outputs that are whole numbers in every row are numbers of classes."""
    network = replace(mlp(), graph=_rounded(mlp().graph))
    expected = np.rint(mlp_in_double(DENSE))
    expected[3, 1] += 1
    is_alike = compare(network, ROWS, expected)
    assert (~is_alike).nonzero()[0].tolist() == [3]
    expected[:5, 1] += 7
    with pytest.raises(TreehouseError, match="in 5 of 400 rows"):
        compare(network, ROWS, expected)


def _rounded(graph: bytes) -> bytes:
    import onnx
    from onnx import helper

    model = onnx.load_from_string(graph)
    model.graph.node[-1].output[0] = "exact"
    model.graph.node.append(helper.make_node("Round", ["exact"], ["answer"]))
    content: bytes = model.SerializeToString()
    return content


def test_what_skl2onnx_does_not_know_is_refused_by_name() -> None:
    class Oracle:
        def predict(self, rows: np.ndarray) -> np.ndarray:
            return rows[:, 0]

    with pytest.raises(TreehouseError, match="Oracle"):
        from_sklearn(Oracle(), MLP_INPUTS, ("v",), ROWS)


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TreehouseError, match=r"\.\[torch\]"):
        from_torch(object(), MLP_INPUTS, ("v",), ROWS)


def test_golden_rows_hold_what_the_engine_is_given() -> None:
    batch = random_batch(3)
    found = golden_rows(batch, np.arange(6.0).reshape(3, 2))
    assert list(found) == ["numeric", "categorical", "tokens", "series", "answers"]
    assert found["answers"] == [[0, 1], [2, 3], [4, 5]]
    assert found["tokens"] == batch.column("tokens").to_pylist()


def test_a_markov_chain_is_a_table_and_its_answers_are_exact() -> None:
    """Among them numbers that name something: every whole number up to 2^53 is a double."""
    table = np.array([[0.0, 2.0**53 - 1], [0.25, 3.0], [0.5, 2.0**53 - 3], [1.0, 7.0]])
    inputs = NetworkInputs(tokens={"recent": Tokens(("query 1", "query 2"), 3)})
    step = Step("recent", -1, np.arange(4)[None])
    network = from_table(inputs, [step], table, ("share", "next"))
    codes = inputs.arrays(ROWS, ["recent"])["recent"][:, -1]
    assert set(codes) == {0, 1, 2, 3}
    np.testing.assert_array_equal(predict(network, ROWS), table[codes])
    with pytest.raises(TreehouseError, match="at least 4 rows of 1 columns"):
        from_table(inputs, [step], table, ("share",))
    with pytest.raises(TreehouseError, match="at least 4 rows of 2 columns"):
        from_table(inputs, [step], table[:2], ("share", "next"))


@pytest.mark.slow
def test_an_lstm_of_pytorch_that_answers_the_next_tokens() -> None:
    torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

    class Next(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(32, 8, padding_idx=0)
            self.lstm = torch.nn.LSTM(9, 16, batch_first=True)
            self.last = torch.nn.Linear(16, 30)
            self.drop = torch.nn.Dropout(0.5)
            # What classes are called: whole numbers of up to 53 bits, which doubles hold.
            self.register_buffer("names", torch.arange(30, dtype=torch.float64) + 2**52)

        def forward(self, recent, gaps):  # type: ignore[no-untyped-def]
            states, _ = self.lstm(torch.cat([self.table(recent), gaps[..., None]], dim=-1))
            shares = torch.softmax(self.last(self.drop(states[:, -1])), dim=-1)
            found = torch.topk(shares, 3)
            return found.values, self.names[found.indices]

    torch.manual_seed(0)
    inputs = NetworkInputs(
        tokens={"recent": Tokens(tuple(f"query {i}" for i in range(30)), 6)},
        series={"gaps": Series(6)},
    )
    names = ("share_1", "share_2", "share_3", "next_1", "next_2", "next_3")
    found = predict(from_torch(Next(), inputs, names, ROWS), ROWS)
    assert (np.diff(found[:, :3], axis=1) <= 0).all()
    assert np.isin(found[:, 3:], np.arange(30) + 2**52).all()
    with pytest.raises(TreehouseError, match="none of the network's inputs"):
        from_torch(Next(), MLP_INPUTS, names, ROWS)
