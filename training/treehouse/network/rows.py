"""Rows for training as the worker sees them in serving: the same arrays, so the same code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treehouse.bundle.sections import bytes_of
from treehouse.clickhouse.client import identifier
from treehouse.project.contract import Contract
from udfs.network.rows import ARROW_TYPES, COLUMNS, Names, Rows

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_ELEMENT = {
    "numeric": "ifNull(toFloat64({}), nan)",
    "categorical": "ifNull(toString({}), '')",
    "tokens": "arrayMap(v -> ifNull(toString(v), ''), {})",
    "series": "arrayMap(v -> ifNull(toFloat64(v), nan), {})",
}
_TYPES = {
    "numeric": "Array(Float64)",
    "categorical": "Array(String)",
    "tokens": "Array(Array(String))",
    "series": "Array(Array(Float64))",
}


def contract_names(contract: Contract) -> Names:
    """The contract's features by the column that brings them."""
    return {column: contract.of_kind(column) for column in COLUMNS}


def read_batch(client: Client, contract: Contract, source: str) -> tuple[pa.RecordBatch, pa.Table]:
    """Rows of a table that has the contract's columns.

    Args:
        client: Where the table is.
        contract: Whose features are read.
        source: What follows `from`; its `where`, `order by` and `limit` too.

    Returns:
        The columns `numeric`, `categorical`, `tokens` and `series`; and a table of all other
        columns of the source, its rows in the same order.
    """
    features = ", ".join(identifier(feature.name) for feature in contract.features)
    arrays = ", ".join(
        f"cast([{', '.join(_ELEMENT[column].format(identifier(name)) for name in names)}], "
        f"'{_TYPES[column]}') as {column}"
        for column, names in contract_names(contract).items()
    )
    table = client.query_arrow(f"select {arrays}, * except ({features}) from {source}")
    columns = [_whole(table.column(column)).cast(ARROW_TYPES[column]) for column in COLUMNS]
    return pa.record_batch(columns, names=list(COLUMNS)), table.drop_columns(list(COLUMNS))


def batch_of_matrix(
    contract: Contract,
    matrix: NDArray[np.float64],
    categories: Mapping[str, tuple[str, ...]],
) -> pa.RecordBatch:
    """Rows of a training matrix (treehouse.fit.dataset.Dataset), for networks over tables.

    Args:
        contract: Whose features the columns are, in its order; it has no sequences.
        matrix: float64[rows, features]; categories as codes, NaN where missing.
        categories: Feature to its categories.
    """
    names = [feature.name for feature in contract.features]
    numeric = matrix[:, [names.index(name) for name in contract.of_kind("numeric")]]
    strings, codes = [""], np.zeros((len(matrix), len(contract.of_kind("categorical"))), np.int64)
    for i, name in enumerate(contract.of_kind("categorical")):
        column = matrix[:, names.index(name)]
        codes[:, i] = np.where(np.isnan(column), 0, len(strings) + np.nan_to_num(column))
        strings += categories[name]
    none = np.zeros((len(matrix), 0))
    columns = [
        _lists(pa.array(numeric.ravel()), numeric.shape),
        _lists(
            pa.array(map(bytes_of, strings), pa.binary()).take(pa.array(codes.ravel())),
            codes.shape,
        ),
        _lists(pa.array([], ARROW_TYPES["tokens"].value_type), none.shape),
        _lists(pa.array([], ARROW_TYPES["series"].value_type), none.shape),
    ]
    return pa.record_batch(columns, names=list(COLUMNS))


def rows_of(batch: pa.RecordBatch, contract: Contract) -> Rows:
    """What :meth:`NetworkInputs.arrays` takes."""
    return Rows(batch, contract_names(contract), contract.use_case)


def _lists(values: pa.Array, shape: tuple[int, ...]) -> pa.Array:
    rows, width = shape
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * width, pa.int32()), values)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
