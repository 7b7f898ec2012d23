"""PyTorch modules as ONNX. PyTorch is an extra: nothing else of the project needs it."""

from __future__ import annotations

import inspect
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle.networks import Network
from treehouse.network.parity import compare
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    from udfs.network.inputs import Arrays, NetworkInputs
    from udfs.network.rows import Rows


def import_torch() -> Any:
    """PyTorch.

    Raises:
        TreehouseError: It is not installed; the message names the extra.
    """
    try:
        import onnxscript  # noqa: F401 - what torch.onnx.export needs
        import torch
    except ImportError as error:
        raise TreehouseError(
            "Fitting this network needs PyTorch.",
            value=error,
            expected="the packages of the extra `torch`; serving needs none of them",
            fix=".venv/bin/pip install -e '.[torch]'",
        ) from error
    return torch


def from_torch(module: Any, inputs: NetworkInputs, outputs: tuple[str, ...], rows: Rows) -> Network:
    """A fitted torch.nn.Module.

    Args:
        module: Its `forward` takes some of `inputs.array_names` by these names, batch first, and
            answers one tensor [rows] or [rows, k], or several of them.
        inputs: How rows become those arrays.
        outputs: A name for each number that it answers for a row.
        rows: To compare its answers with PyTorch's own.

    Raises:
        TreehouseError: PyTorch is not installed, it can't be exported, or it answers differently.
    """
    torch = import_torch()
    module = module.eval()
    wanted = _arguments(module, inputs)
    arrays = inputs.arrays(rows, wanted)
    expected = torch_answers(module, arrays)
    names = tuple(f"answer{i}" for i in range(len(expected)))
    graph = _export(torch, module, arrays, names)
    network = Network(graph, inputs, outputs, names)
    compare(network, rows, np.concatenate([part.reshape(rows.count, -1) for part in expected], 1))
    return network


def torch_answers(module: Any, arrays: Arrays) -> list[NDArray[np.float64]]:
    """What a module answers for these arrays, by PyTorch."""
    torch = import_torch()
    with torch.no_grad():
        found = module(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    parts = found if isinstance(found, tuple | list) else (found,)
    return [part.numpy().astype(np.float64) for part in parts]


def _arguments(module: Any, inputs: NetworkInputs) -> list[str]:
    wanted = list(inspect.signature(module.forward).parameters)
    unknown = [name for name in wanted if name not in inputs.array_names]
    if unknown:
        raise TreehouseError(
            "The module's forward() takes arguments that are none of the network's inputs.",
            value=", ".join(unknown),
            expected="some of: " + ", ".join(inputs.array_names),
        )
    return wanted


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its progress and what is deprecated within itself."""
    told = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(told), redirect_stderr(told):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        yield


def _export(torch: Any, module: Any, arrays: Arrays, answers: tuple[str, ...]) -> bytes:
    """The module as ONNX with any number of rows, weights inside."""
    # Two rows: with one, the exporter takes their number for a constant.
    two = {name: np.resize(array, (2, *array.shape[1:])) for name, array in arrays.items()}
    example = {name: torch.from_numpy(array) for name, array in two.items()}
    rows = torch.export.Dim("rows", min=1)
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                kwargs=example,
                input_names=list(example),
                output_names=list(answers),
                dynamic_shapes={name: {0: rows} for name in example},
                dynamo=True,
            )
    except Exception as error:
        raise TreehouseError(
            "This PyTorch module can't be turned into a network.",
            value=f"{type(module).__name__}: {str(error).splitlines()[0]}",
            expected="a module that torch.onnx.export(..., dynamo=True) takes",
        ) from error
    graph: bytes = program.model_proto.SerializeToString()
    return graph
