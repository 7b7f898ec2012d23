"""Rows as the engine sends them: Arrow columns of arrays, looked into without copying."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treehouse.project.errors import TreehouseError

#: The columns that hold a row's inputs, in the order of the function's arguments.
COLUMNS = ("numeric", "categorical", "tokens", "series")
ARROW_TYPES = {
    "numeric": pa.list_(pa.float64()),
    "categorical": pa.list_(pa.string()),
    "tokens": pa.list_(pa.list_(pa.string())),
    "series": pa.list_(pa.list_(pa.float64())),
}
#: What the engine is sent: for each row what the networks answer.
ANSWER = pa.schema([("outputs", pa.list_(pa.float64()))])
#: Names of the inputs in each of those columns.
Names = dict[str, tuple[str, ...]]
Integers = NDArray[np.int64]


class InputNames(Protocol):
    """Whatever names a model's inputs by kind, such as a bundle's `Inputs`."""

    @property
    def numeric(self) -> Collection[str]: ...
    @property
    def categorical(self) -> Collection[str]: ...
    @property
    def tokens(self) -> Collection[str]: ...
    @property
    def series(self) -> Collection[str]: ...


def names_of(inputs: InputNames) -> Names:
    """The names of each column's inputs."""
    return {column: tuple(getattr(inputs, column)) for column in COLUMNS}


def empty_answer() -> bytes:
    """An answer without rows: of a program that can't answer anything, and has said why."""
    sink = io.BytesIO()
    pa.ipc.new_stream(sink, ANSWER).close()
    return sink.getvalue()


def batch_of(**columns: Sequence[Any]) -> pa.RecordBatch:
    """Rows from Python lists, for golden rows and tests: each column list[rows] of lists.

    A column that is left out brings an empty array for each row.
    """
    count = len(next(iter(columns.values())))
    filled = {name: columns.get(name, [[]] * count) for name in COLUMNS}
    arrays = [pa.array(filled[name], ARROW_TYPES[name]) for name in COLUMNS]
    return pa.record_batch(arrays, names=list(COLUMNS))


@dataclass(frozen=True)
class Sequences:
    """One sequence of every row: its values are `values[starts[r]:ends[r]]`."""

    values: pa.Array
    starts: Integers
    ends: Integers

    def last(self, length: int) -> tuple[Integers, NDArray[np.bool_]]:
        """Where the last `length` values lie, and which of these places hold one.

        Returns:
            positions int64[rows, length] into `values`, a row's last value at the end; and
            bool[rows, length], false before a row's first value.
        """
        positions = self.ends[:, None] + np.arange(-length, 0)
        return positions, positions >= self.starts[:, None]


class Rows:
    """Rows that share a model.

    Args:
        batch: The columns of COLUMNS, each an array of as many elements as there are names.
        names: What these elements are.
        label: The model, for messages.

    Raises:
        TreehouseError: A row brings another number of inputs than the model takes.
    """

    def __init__(self, batch: pa.RecordBatch, names: Names, label: str) -> None:
        self.count: int = batch.num_rows
        self._names = names
        self._columns = {
            column: _elements(batch.column(column), column, len(names[column]), label)
            for column in COLUMNS
        }

    def numeric(self, names: Sequence[str]) -> NDArray[np.float64]:
        """float64[rows, names]."""
        width = len(self._names["numeric"])
        values = self._columns["numeric"].to_numpy(zero_copy_only=False)
        matrix: NDArray[np.float64] = values.reshape(self.count, width)
        return matrix[:, [self._at("numeric", name) for name in names]]

    def categorical(self, name: str) -> pa.Array:
        """The strings of one categorical input, a row each."""
        width = len(self._names["categorical"])
        first = self._at("categorical", name)
        places = np.arange(first, self.count * width, width)
        return self._columns["categorical"].take(pa.array(places))

    def sequences(self, column: str, name: str) -> Sequences:
        """One input of the column `tokens` or `series`."""
        arrays = self._columns[column]
        width, at = len(self._names[column]), self._at(column, name)
        offsets = arrays.offsets.to_numpy().astype(np.int64)
        return Sequences(arrays.values, offsets[:-1][at::width], offsets[1:][at::width])

    def _at(self, column: str, name: str) -> int:
        return self._names[column].index(name)


def _elements(column: pa.Array, name: str, width: int, label: str) -> pa.Array:
    """The elements of all rows end to end, after a look at how many each row brings."""
    offsets = column.offsets.to_numpy()
    brought = np.diff(offsets)
    wrong = brought[brought != width]
    if len(wrong):
        raise TreehouseError(f"{label} takes {width} {name} inputs, a row brings {wrong[0]}")
    return column.values.slice(offsets[0], offsets[-1] - offsets[0])
