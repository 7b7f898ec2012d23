"""Small networks, with the same formulas in double precision beside them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treehouse.bench.network_graphs import lstm_graph, mlp_graph, random_weights
from treehouse.bundle import Inputs, Network
from treehouse.network import NetworkInputs, Scaling, Series, Tokens, batch_of
from udfs.network.rows import Rows, names_of

Floats = NDArray[np.float64]
VOCABULARY = tuple(f"query {i}" for i in range(30))
LENGTH, HIDDEN, WIDTH = 6, 8, 4
CATEGORIES = ("DE", "US", "ÜÑ")

MLP_INPUTS = NetworkInputs(
    numeric={"amount": Scaling(3.0, 1.5, is_log=True), "age": Scaling(40.0, 20.0, missing=-1.0)},
    categorical={"country": CATEGORIES},
)
LSTM_INPUTS = NetworkInputs(
    tokens={"recent": Tokens(VOCABULARY, LENGTH)},
    series={"gaps": Series(LENGTH, Scaling(2.0, 1.0, is_log=True))},
)
#: What both together take.
INPUTS = Inputs(("age", "amount"), {"country": CATEGORIES}, ("recent",), ("gaps",))


MLP_WEIGHTS = random_weights(1, w1=(5, HIDDEN), w2=(HIDDEN, 2))
LSTM_WEIGHTS = random_weights(
    2,
    table=(len(VOCABULARY) + 2, WIDTH),
    w=(1, 4 * HIDDEN, WIDTH + 1),
    r=(1, 4 * HIDDEN, HIDDEN),
    out=(HIDDEN, 1),
)


def mlp() -> Network:
    """Two outputs."""
    return Network(mlp_graph(MLP_WEIGHTS), MLP_INPUTS, ("mlp_a", "mlp_b"), ("answer",))


def mlp_in_double(dense: NDArray[np.float32]) -> Floats:
    """float64[rows, 2]."""
    w1, w2 = (MLP_WEIGHTS[name].astype(np.float64) for name in ("w1", "w2"))
    found: Floats = np.tanh(dense.astype(np.float64) @ w1) @ w2
    return found


def lstm() -> Network:
    """One output."""
    return Network(lstm_graph(LSTM_WEIGHTS, LENGTH), LSTM_INPUTS, ("lstm",), ("answer",))


def lstm_in_double(recent: NDArray[np.int64], gaps: NDArray[np.float32]) -> Floats:
    """float64[rows, 1], by the equations of the ONNX operator (gates i, o, f, c)."""
    table, w, r, out = (value.astype(np.float64) for value in LSTM_WEIGHTS.values())

    def sigmoid(x: Floats) -> Floats:
        y: Floats = 1 / (1 + np.exp(-x))
        return y

    state = cell = np.zeros((len(recent), HIDDEN))
    for t in range(LENGTH):
        x = np.column_stack([table[recent[:, t]], gaps[:, t]])
        i, o, f, c = np.split(x @ w[0].T + state @ r[0].T, 4, axis=1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(c)
        state = sigmoid(o) * np.tanh(cell)
    answer: Floats = state @ out
    return answer


def random_batch(rows: int, seed: int = 0) -> pa.RecordBatch:
    """Rows for INPUTS: missing and infinite numbers, unseen categories and tokens, sequences of
    every length from none to more than are kept."""
    rng = np.random.default_rng(seed)
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, 5e-324]
    numeric = rng.normal(40, 30, (rows, 2))
    hit = rng.random((rows, 2)) < 0.2
    numeric[hit] = rng.choice(odd, hit.sum())
    lengths = rng.integers(0, 2 * LENGTH + 1, rows)
    return batch_of(
        numeric=numeric.tolist(),
        categorical=[[c] for c in rng.choice([*CATEGORIES, "", "unseen"], rows)],
        tokens=[[[f"query {i}" for i in rng.integers(0, 40, n)]] for n in lengths],
        series=[[rng.exponential(60.0, n).tolist()] for n in lengths],
    )


def rows_of(batch: pa.RecordBatch) -> Rows:
    """The same as the worker's code sees them."""
    return Rows(batch, names_of(INPUTS), "test")


def reference(batch: pa.RecordBatch) -> Floats:
    """float64[rows, 3]: what both networks answer, in double precision."""
    rows = rows_of(batch)
    dense = MLP_INPUTS.arrays(rows, ["dense"])["dense"]
    sequences = LSTM_INPUTS.arrays(rows, ["recent", "gaps"])
    return np.column_stack([mlp_in_double(dense), lstm_in_double(**sequences)])
