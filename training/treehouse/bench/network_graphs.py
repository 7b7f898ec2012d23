"""Networks of a given size, for benchmarks and tests: no training, no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from treehouse.network.graph import build

Weights = Mapping[str, NDArray[np.float32]]


def random_weights(seed: int, **shapes: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    """A matrix of each shape, scaled so that sums stay of the order of 1."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 1 / np.sqrt(shape[-1]), shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def mlp_graph(weights: Weights) -> bytes:
    """tanh(dense w1) w2, as ONNX; w1: [inputs, hidden], w2: [hidden, outputs]."""
    return build(
        [
            ("MatMul", ["dense", "w1"], ["z"], {}),
            ("Tanh", ["z"], ["h"], {}),
            ("MatMul", ["h", "w2"], ["answer"], {}),
        ],
        {"dense": (np.float32, len(weights["w1"]))},
        weights,
        (np.float32, weights["w2"].shape[1]),
    )


def lstm_graph(weights: Weights, length: int) -> bytes:
    """The last state of an LSTM over `table[recent]` and `gaps`, times `out`, as ONNX.

    Args:
        weights: table [codes, width]; w [1, 4 hidden, width + 1] and r [1, 4 hidden, hidden], the
            gates in ONNX's order i, o, f, c; out [hidden, outputs].
        length: Of both sequences.
    """
    hidden, outputs = weights["out"].shape
    return build(
        [
            ("Gather", ["table", "recent"], ["embedded"], {}),
            ("Unsqueeze", ["gaps", "last"], ["gap"], {}),
            ("Concat", ["embedded", "gap"], ["steps"], {"axis": 2}),
            ("Transpose", ["steps"], ["x"], {"perm": [1, 0, 2]}),
            ("LSTM", ["x", "w", "r"], ["", "state"], {"hidden_size": hidden}),
            ("Squeeze", ["state", "first"], ["h"], {}),
            ("MatMul", ["h", "out"], ["answer"], {}),
        ],
        {"recent": (np.int64, length), "gaps": (np.float32, length)},
        {**weights, "last": np.array([2]), "first": np.array([0])},
        (np.float32, outputs),
    )
