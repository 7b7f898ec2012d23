"""How rows become what a network computes with: scaling, vocabularies, the last N of a sequence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from udfs.network.rows import Rows

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]
#: Code of a token before a sequence's first, and of one that is not in the vocabulary.
PADDING, UNSEEN = 0, 1
FIRST_TOKEN = 2


@dataclass(frozen=True)
class Scaling:
    """What becomes of a number: (x - center) / scale, within ±limit, as float32."""

    center: float = 0.0
    scale: float = 1.0
    is_log: bool = False
    """Whether sign(x) * log(1 + |x|) takes the place of x: for amounts and times, whose few large
    values would else rule the scale."""
    missing: float = 0.0
    """What NaN becomes; 0 is the center."""
    limit: float = 10.0
    """Infinities and values beyond what training saw end here, in units of `scale`."""


@dataclass(frozen=True)
class Tokens:
    """A sequence of strings: the last `length` of them as codes.

    A code is 2 + the position in the vocabulary; 1 for a string that is not in it; 0 before the
    first of a shorter sequence, so that the last always lies at the end.
    """

    vocabulary: tuple[str, ...]
    length: int


@dataclass(frozen=True)
class Series:
    """A sequence of numbers: the last `length` of them, scaled; 0 before the first."""

    length: int
    scaling: Scaling = field(default_factory=Scaling)


@dataclass(frozen=True)
class NetworkInputs:
    """A network's inputs by name, as :meth:`arrays` gives them to its graph.

    Attributes:
        numeric: Input to its scaling.
        categorical: Input to its categories; a code is 1 + the position, 0 is missing or unseen.
        tokens: Sequences of strings.
        series: Sequences of numbers.
    """

    numeric: Mapping[str, Scaling] = field(default_factory=dict)
    categorical: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tokens: Mapping[str, Tokens] = field(default_factory=dict)
    series: Mapping[str, Series] = field(default_factory=dict)

    @property
    def array_names(self) -> tuple[str, ...]:
        """What a graph may take."""
        return ("numeric", "categorical", "dense", *self.tokens, *self.series)

    @property
    def lengths(self) -> dict[str, int]:
        """How many values of each sequence are kept."""
        tokens = {name: kept.length for name, kept in self.tokens.items()}
        return tokens | {name: kept.length for name, kept in self.series.items()}

    def arrays(self, rows: Rows, wanted: Iterable[str]) -> Arrays:
        """The arrays that a graph takes, by the names of its inputs.

        Args:
            rows: What the caller brought.
            wanted: Some of these names:

                - "numeric": float32[rows, numeric], scaled.
                - "categorical": int64[rows, categorical], codes.
                - "dense": float32[rows, n]: the scaled numbers, then each category's one-hot code
                  (all zero where it is missing or unseen).
                - a sequence's own name: int64[rows, length] codes, float32[rows, length] numbers.
        """
        return {name: self._array(name, rows) for name in wanted}

    def _array(self, name: str, rows: Rows) -> NDArray[Any]:
        if name == "numeric":
            return _scale_columns(rows.numeric(tuple(self.numeric)), [*self.numeric.values()])
        if name == "categorical":
            return self._codes(rows)
        if name == "dense":
            return self._dense(rows)
        if name in self.tokens:
            return self._tokens(name, rows)
        return self._series(name, rows)

    def _codes(self, rows: Rows) -> NDArray[np.int64]:
        columns = [
            _look_up(rows.categorical(name), table, 0) for name, table in self._tables.items()
        ]
        return np.stack(columns, axis=1) if columns else np.zeros((rows.count, 0), np.int64)

    def _dense(self, rows: Rows) -> NDArray[np.float32]:
        parts = [self._array("numeric", rows)]
        for codes, categories in zip(self._codes(rows).T, self.categorical.values(), strict=True):
            parts.append(codes[:, None] == np.arange(1, len(categories) + 1))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def _tokens(self, name: str, rows: Rows) -> NDArray[np.int64]:
        found = rows.sequences("tokens", name)
        positions, is_there = found.last(self.tokens[name].length)
        codes = np.full(positions.shape, PADDING, np.int64)
        strings = found.values.take(pa.array(positions[is_there]))
        codes[is_there] = _look_up(strings, self._vocabularies[name], UNSEEN)
        return codes

    def _series(self, name: str, rows: Rows) -> NDArray[np.float32]:
        found, series = rows.sequences("series", name), self.series[name]
        positions, is_there = found.last(series.length)
        values = np.zeros(positions.shape, np.float32)
        numbers = found.values.to_numpy(zero_copy_only=False)[positions[is_there]]
        values[is_there] = _scale_columns(numbers[:, None], [series.scaling])[:, 0]
        return values

    @cached_property
    def _tables(self) -> dict[str, dict[bytes, int]]:
        return {name: _table(values, 1) for name, values in self.categorical.items()}

    @cached_property
    def _vocabularies(self) -> dict[str, dict[bytes, int]]:
        return {name: _table(t.vocabulary, FIRST_TOKEN) for name, t in self.tokens.items()}

    def as_json(self) -> dict[str, Any]:
        """The same as lists of (name, value): JSON does not keep an object's order."""
        return {kind: [*values.items()] for kind, values in asdict(self).items()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> NetworkInputs:
        """What :meth:`as_json` gave, after a way through JSON."""
        return cls(
            numeric={name: Scaling(**value) for name, value in plain["numeric"]},
            categorical={name: tuple(value) for name, value in plain["categorical"]},
            tokens={
                name: Tokens(tuple(value["vocabulary"]), value["length"])
                for name, value in plain["tokens"]
            },
            series={
                name: Series(value["length"], Scaling(**value["scaling"]))
                for name, value in plain["series"]
            },
        )


def _table(values: Iterable[str], first: int) -> dict[bytes, int]:
    """Codes by the bytes of a text; those that are no UTF-8 come as lone surrogates (PEP 383)."""
    return {value.encode("utf-8", "surrogateescape"): first + i for i, value in enumerate(values)}


def _look_up(strings: pa.Array, table: Mapping[bytes, int], otherwise: int) -> NDArray[np.int64]:
    """The code of each string; distinct ones are looked up once, whatever bytes they hold."""
    distinct = strings.cast(pa.binary()).fill_null(b"").dictionary_encode()
    found = [table.get(value, otherwise) for value in distinct.dictionary.to_pylist()]
    codes: NDArray[np.int64] = np.array(found, np.int64)[distinct.indices.to_numpy()]
    return codes


def _scale_columns(matrix: Floats, scalings: list[Scaling]) -> NDArray[np.float32]:
    """float32[rows, columns], computed in double precision."""
    logs = np.array([s.is_log for s in scalings], bool)
    centers = np.array([s.center for s in scalings])
    scales = np.array([s.scale for s in scalings])
    limits = np.array([s.limit for s in scalings])
    if logs.any():
        matrix = np.where(logs, np.sign(matrix) * np.log1p(np.abs(matrix)), matrix)
    scaled = np.clip((matrix - centers) / scales, -limits, limits)
    scaled = np.where(np.isnan(scaled), [s.missing for s in scalings], scaled)
    return scaled.astype(np.float32)
