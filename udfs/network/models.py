"""The networks of a model file, opened at first use, and a bounded number of files at a time."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pyarrow as pa
from numpy.typing import NDArray

from treehouse.bundle.container import MAGIC, Kind, Reader, load_json
from treehouse.project.errors import TreehouseError
from udfs.network.inputs import NetworkInputs
from udfs.network.rows import Names, Rows

Floats = NDArray[np.float64]
_FATAL = 4
_ADVICE = "./treehouse sync brings back what the registry has"


class NetworkSession:
    """One network, ready to answer.

    Args:
        graph: The ONNX model.
        inputs: How rows become what the graph takes.
        answers: The graph's outputs that are asked for, in order.
        width: How many numbers these are for a row.
        threads: Of ONNX Runtime within an operator.
    """

    def __init__(
        self, graph: bytes, inputs: NetworkInputs, answers: list[str], width: int, threads: int = 1
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL  # what it says on stderr would fail the query
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._inputs, self._answers, self._width = inputs, answers, width
        self._wanted = [taken.name for taken in self._session.get_inputs()]

    def answer(self, rows: Rows) -> Floats:
        """float64[rows, width].

        Raises:
            TreehouseError: The graph answers another number of values.
        """
        found = self._session.run(self._answers, self._inputs.arrays(rows, self._wanted))
        parts = [np.asarray(part, np.float64).reshape(rows.count, -1) for part in found]
        answer: Floats = np.concatenate(parts, axis=1)
        if answer.shape[1] != self._width:
            raise TreehouseError(
                f"a network answers {answer.shape[1]} values a row, its bundle names {self._width}"
            )
        return answer


def _read(path: Path) -> bytes:
    """All of a model file; pipes and devices are not waited for, nor files that only look large."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise TreehouseError(f"cannot open model file {path}: not a file; {_ADVICE}")
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise _damaged(path)
            return MAGIC + file.read()
    except OSError as error:
        raise TreehouseError(
            f"cannot open model file {path}: {error.strerror}; {_ADVICE}"
        ) from None


def _damaged(path: Path) -> TreehouseError:
    return TreehouseError(f"model file {path} is damaged: its hash is not its name; {_ADVICE}")


class Model:
    """The networks of one model file; none, if it holds only forests.

    Raises:
        TreehouseError: The file is not there, or is not what its name says.
    """

    def __init__(self, path: Path, threads: int) -> None:
        data = _read(path)
        if hashlib.sha256(data).hexdigest()[:16] != path.stem:
            raise _damaged(path)
        reader = Reader(data)
        manifest: dict[str, Any] = load_json(reader.section(Kind.NETWORKS, 0))
        self.label = str(path)
        self._networks: list[NetworkSession] = []
        self._names: Names = {}
        if not manifest:
            return
        self.label = f"{path} ({manifest['model']} version {reader.version})"
        self._names = {column: tuple(names) for column, names in manifest["inputs"].items()}
        for i, network in enumerate(manifest["networks"]):
            self._networks.append(self._open(reader.section(Kind.GRAPH, i), network, threads))

    def _open(self, graph: bytes, network: dict[str, Any], threads: int) -> NetworkSession:
        inputs, width = NetworkInputs.from_json(network["inputs"]), len(network["outputs"])
        try:
            return NetworkSession(graph, inputs, network["answers"], width, threads)
        except Exception as error:
            raise TreehouseError(f"model file {self.label}: {error}") from error

    def answer(self, batch: pa.RecordBatch) -> Floats:
        """float64[rows, outputs of all networks]."""
        if not self._networks:
            return np.empty((batch.num_rows, 0))
        rows = Rows(batch, self._names, self.label)
        return np.concatenate([network.answer(rows) for network in self._networks], axis=1)


class Store:
    """The open model files of a process; the least recently used one goes first."""

    def __init__(self, folder: Path, threads: int = 1, limit: int = 8) -> None:
        self._folder, self._threads, self._limit = folder, threads, limit
        self._models: OrderedDict[int, Model] = OrderedDict()

    def get(self, bundle: int) -> Model:
        """The model whose file is named by this id."""
        if bundle not in self._models:
            path = self._folder / f"{bundle:016x}.bundle"
            self._models[bundle] = Model(path, self._threads)
            if len(self._models) > self._limit:
                self._models.popitem(last=False)
        self._models.move_to_end(bundle)
        return self._models[bundle]
