"""scikit-learn's neural networks as ONNX, by the library that scikit-learn's makers keep."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle.networks import Network
from treehouse.network.graph import OPSET
from treehouse.network.parity import compare
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    from udfs.network.inputs import NetworkInputs
    from udfs.network.rows import Rows


def from_sklearn(
    model: Any, inputs: NetworkInputs, outputs: tuple[str, ...], rows: Rows
) -> Network:
    """A fitted scikit-learn estimator, such as MLPClassifier, MLPRegressor or a linear model.

    Args:
        model: Fitted on `inputs.arrays(rows, ["dense"])["dense"]`.
        inputs: How rows become that array.
        outputs: A name for each class of a classifier, whose probabilities are answered, or for
            each target of a regressor.
        rows: To compare its answers with scikit-learn's own.

    Raises:
        TreehouseError: An estimator that skl2onnx can't convert, or one that answers differently.
    """
    from skl2onnx import to_onnx

    dense = inputs.arrays(rows, ["dense"])["dense"]
    is_classifier = hasattr(model, "predict_proba")
    options = {id(model): {"zipmap": False}} if is_classifier else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = to_onnx(model, dense[:1], options=options, target_opset=OPSET)
    except Exception as error:
        raise TreehouseError(
            "This scikit-learn model can't be turned into a network.",
            value=f"{type(model).__name__}: {error}",
            expected="a fitted estimator that skl2onnx converts",
        ) from error
    graph.graph.input[0].name, old = "dense", graph.graph.input[0].name
    for node in graph.graph.node:
        node.input[:] = ["dense" if name == old else name for name in node.input]
    answer = "probabilities" if is_classifier else graph.graph.output[0].name
    network = Network(graph.SerializeToString(), inputs, outputs, (answer,))
    compare(network, rows, _answers(model, dense))
    return network


def _answers(model: Any, dense: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64[rows, outputs] by scikit-learn itself."""
    found = model.predict_proba(dense) if hasattr(model, "predict_proba") else model.predict(dense)
    return np.asarray(found, np.float64).reshape(len(dense), -1)
