"""Networks are held to their trainer's own answers, within what float32 allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle.tolerance import NETWORK_TOLERANCE
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    import pyarrow as pa

    from treehouse.bundle.networks import Network
    from udfs.network.rows import Rows

Floats = NDArray[np.float64]
_TIES = 0.01
_WORST = 10 * NETWORK_TOLERANCE
"""Of one row in a hundred: recurrence and exponents add up the rounding of float32."""


def predict(network: Network, rows: Rows) -> Floats:
    """float64[rows, outputs]: what the worker answers, by the worker's own code."""
    from udfs.network.models import NetworkSession

    outputs = len(network.outputs)
    return NetworkSession(network.graph, network.inputs, [*network.answers], outputs).answer(rows)


def differences(ours: NDArray[Any], theirs: NDArray[Any]) -> Floats:
    """float64[rows, outputs]: each difference, relative to the output's largest answer."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    scale = np.maximum(np.abs(theirs).max(axis=0, initial=0.0), np.finfo(np.float32).tiny)
    found: Floats = np.abs(ours - theirs) / scale
    return found


def compare(network: Network, rows: Rows, expected: NDArray[Any]) -> NDArray[np.bool_]:
    """The gate of every network: ONNX Runtime's answers against the trainer's.

    Where a graph answers the most likely classes by number, two whose shares tie within the
    tolerance may change places, in one of a hundred rows at most.

    Args:
        network: What is to be bundled.
        rows: Any rows, at least one.
        expected: float[rows, outputs], by the library that fitted the model.

    Returns:
        bool[rows]: which rows answer alike; all of them but ties. Golden rows are to be of these.

    Raises:
        TreehouseError: More than one row in a hundred differs by more than NETWORK_TOLERANCE, or
            any by more than ten times that.
    """
    ours = predict(network, rows)
    if ours.shape != np.shape(expected):
        raise TreehouseError(
            "A network answers another number of values than its trainer.",
            value=ours.shape,
            expected=str(np.shape(expected)),
        )
    found = differences(ours, expected)
    is_number = (expected == np.rint(expected)).all(axis=0)
    is_alike = np.asarray((found <= NETWORK_TOLERANCE).all(axis=1))
    share_worst = float(found[:, ~is_number].max(initial=0.0))
    if not share_worst <= _WORST or np.mean(~is_alike) > _TIES:
        raise TreehouseError(
            "The answers of a network differ from its trainer's.",
            value=f"in {int(np.sum(~is_alike))} of {len(ours)} rows, by up to "
            f"{float(found.max()):.3g} of the output's largest answer",
            expected=f"at most {NETWORK_TOLERANCE}, in one of a hundred rows {_WORST}",
            fix="put the model into evaluation mode (no dropout); scale its inputs",
        )
    return is_alike


def golden_rows(batch: pa.RecordBatch, answers: NDArray[Any]) -> dict[str, Any]:
    """A bundle's `info["golden"]` from rows and float[rows, heads], the trainer's answers."""
    columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    return {**columns, "answers": np.asarray(answers, np.float64).tolist()}
