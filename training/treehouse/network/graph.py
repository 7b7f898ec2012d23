"""ONNX graphs from their nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

#: Of 2022: read by every ONNX Runtime of the supported range, and written by skl2onnx.
OPSET, IR_VERSION = 17, 9
ANSWER = "answer"


def build(
    nodes: Sequence[tuple[str, list[str], list[str], dict[str, Any]]],
    inputs: Mapping[str, tuple[type, int]],
    constants: Mapping[str, NDArray[Any]],
    answer: tuple[type, int],
) -> bytes:
    """A serialised model that answers one matrix, named "answer".

    Args:
        nodes: Operator, names of its inputs and of its outputs ("" for none), attributes.
        inputs: Name to element type and columns; rows are free.
        constants: Name to value.
        answer: Its element type and columns.
    """
    graph = helper.make_graph(
        [helper.make_node(name, i, o, **attributes) for name, i, o, attributes in nodes],
        "network",
        [_value(name, *shape) for name, shape in inputs.items()],
        [_value(ANSWER, *answer)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    content: bytes = model.SerializeToString()
    return content


def _value(name: str, element: type, columns: int) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(element))
    return helper.make_tensor_value_info(name, kind, ["rows", columns])
