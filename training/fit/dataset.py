"""The training set as arrays. Categories are encoded, and baselines computed, in SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.contract import Contract
from training.engine import identifier, literal
from training.errors import TreehouseError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.settings import Settings
    from training.spec import Spec

Floats = NDArray[np.float64]
SPLITS = ("train", "validation", "calibration", "test")
_FEWEST_ROWS = 50
_NUMBER = re.compile(r"(LowCardinality\()?(Nullable\()?(U?Int\d+|B?Float\d+|Decimal\(.*\)|Bool)\)*")


@dataclass(frozen=True)
class Dataset:
    """Rows of a training set, ordered by key.

    Attributes:
        contract: Whose features these are.
        matrix: float64[rows, features] in the contract's order; categories as codes, missing
            values as NaN.
        categories: Feature to its categories; a code is a position in them. Those of the
            training rows only: what is new later is missing, as it is in serving.
        label: float64[rows].
        split: int8[rows], a position in SPLITS.
        extra: Further float64[rows] columns: baselines, cohort number, best possible.
        lineage: Times, row count and fingerprint of the training rows.
    """

    contract: Contract
    matrix: Floats
    categories: Mapping[str, tuple[str, ...]]
    label: Floats
    split: NDArray[np.int8]
    extra: Mapping[str, Floats]
    lineage: Mapping[str, Any]

    def rows(self, *splits: str) -> NDArray[np.bool_]:
        """bool[rows]: which rows belong to one of the splits."""
        return np.isin(self.split, [SPLITS.index(name) for name in splits])

    def column(self, name: str) -> Floats:
        """float64[rows] of one feature."""
        values: Floats = self.matrix[:, [f.name for f in self.contract.features].index(name)]
        return values


def load_dataset(client: Client, settings: Settings, spec: Spec) -> Dataset:
    """Read a use case's training set.

    Raises:
        TreehouseError: It is not there, too small, or its label is constant.
    """
    contract = spec.contract
    table = f"{identifier(settings.database)}.{identifier(contract.use_case + '_training_set')}"
    _check_columns(client, settings, contract)
    _check_rows(client, table, contract)
    categories = {
        name: _categories(client, table, name) for name in contract.of_kind("categorical")
    }
    features = [_feature_sql(f.name, f.kind, categories) for f in contract.features]
    extra = _extra_sql(spec)
    columns = [
        *features,
        f"toFloat64({identifier(contract.label)})",
        f"toFloat64(indexOf([{', '.join(map(literal, SPLITS))}], split) - 1)",
        *extra.values(),
    ]
    source = f"(select * from {table} where split in ({', '.join(map(literal, SPLITS))}))"
    if spec.best_possible:
        source += (
            f" as t left join ({spec.best_possible}) as truth on t.{contract.keys[0]} = truth.key"
        )
    order = ", ".join(map(identifier, (*contract.keys, contract.time)))
    data = _read(client, columns, source, order)
    n = len(features)
    return Dataset(
        contract=contract,
        matrix=np.ascontiguousarray(data[:, :n]),
        categories=categories,
        label=data[:, n].copy(),
        split=data[:, n + 1].astype(np.int8),
        extra={name: data[:, n + 2 + i].copy() for i, name in enumerate(extra)},
        lineage=_lineage(client, table, contract),
    )


def _read(client: Client, columns: list[str], source: str, order: str) -> Floats:
    """float64[rows, columns], one column at a time in memory twice at the most."""
    named = ", ".join(f"{sql} as c{i}" for i, sql in enumerate(columns))
    result = client.query(
        f"select * from (select {named} from {source} order by {order})",
        column_oriented=True,
        use_none=False,
    )
    return np.column_stack([np.asarray(c, dtype=np.float64) for c in result.result_columns])


def _feature_sql(name: str, kind: str, categories: Mapping[str, tuple[str, ...]]) -> str:
    column = identifier(name)
    if kind == "numeric":
        return f"ifNull(toFloat64({column}), nan)"
    table = categories[name]
    if not table:
        return "toFloat64(nan)"
    values = ", ".join(map(literal, table))
    return (
        f"transform(ifNull(toString({column}), ''), [{values}], "
        f"arrayMap(code -> toFloat64(code), range({len(table)})), toFloat64(nan))"
    )


def _extra_sql(spec: Spec) -> dict[str, str]:
    mean = f"avgIf({spec.contract.label}, split = 'train') over ()"
    extra = {name: f"toFloat64(ifNotFinite({sql}, {mean}))" for name, sql in spec.baselines.items()}
    if spec.cohort:
        extra["cohort"] = f"toFloat64(dense_rank() over (order by {', '.join(spec.cohort)}))"
    if spec.best_possible:
        extra |= {"best_mean": "toFloat64(truth.mean)", "best_median": "toFloat64(truth.median)"}
    return extra


def _categories(client: Client, table: str, name: str) -> tuple[str, ...]:
    rows = client.query(
        f"select arraySort(groupUniqArray(toString({identifier(name)}))) from {table} "
        f"where split = 'train' and ifNull(toString({identifier(name)}), '') != ''"
    ).result_rows
    return tuple(rows[0][0])


def _check_columns(client: Client, settings: Settings, contract: Contract) -> None:
    name = f"{contract.use_case}_training_set"
    rows = client.query(
        "select name, type from system.columns where database = {d:String} and table = {t:String}",
        parameters={"d": settings.database, "t": name},
    ).result_rows
    found = {str(column): str(type_name) for column, type_name in rows}
    wanted = [f.name for f in contract.features]
    wanted += [*contract.keys, contract.time, contract.label, "split"]
    missing = [column for column in wanted if column not in found]
    if missing:
        raise TreehouseError(
            f"{name} lacks columns of the contract." if found else f"{name} is not there.",
            value="missing: " + ", ".join(missing) if found else None,
            expected=contract.text,
            fix="run ./treehouse build",
        )
    kinds = {f.name: f.kind for f in contract.features} | {contract.label: "numeric"}
    wrong = [
        f"{column} {found[column]}" for column in kinds if not _fits(found[column], kinds[column])
    ]
    if wrong:
        raise TreehouseError(
            f"{name} has columns of other types than the contract.",
            value=", ".join(wrong),
            expected="numbers where the contract says numeric, strings where categorical: "
            + contract.text,
            fix="run ./treehouse build; if it stays so, mend the data_type in "
            f"models/{contract.use_case}/{contract.use_case}.yml or cast in the model",
        )


def _fits(type_name: str, kind: str) -> bool:
    """Whether a ClickHouse type holds what a feature of this kind is made of."""
    if kind == "categorical":
        return "String" in type_name
    return _NUMBER.fullmatch(type_name) is not None


def _check_rows(client: Client, table: str, contract: Contract) -> None:
    label = identifier(contract.label)
    counts = client.query(
        f"select countIf(split = 'train'), countIf(split = 'validation'), "
        f"countIf(split = 'calibration'), countIf(split = 'test'), "
        f"uniqIf({label}, split = 'train'), "
        f"countIf(not ifNull(isFinite(toFloat64({label})), 0)) from {table}"
    ).result_rows[0]
    few = [f"{s}: {n}" for s, n in zip(SPLITS, counts, strict=False) if n < _FEWEST_ROWS]
    if few:
        raise TreehouseError(
            f"The training set of {contract.use_case} has too few rows.",
            value=", ".join(few),
            expected=f"at least {_FEWEST_ROWS} in each split, of rows whose horizon has passed",
            fix="load more history (./treehouse load or simulate), then ./treehouse build",
        )
    if counts[4] < 2:
        raise TreehouseError(
            f"The label of {contract.use_case} is the same in every training row.",
            value=f"{contract.label} has {counts[4]} distinct values",
            expected="a label that varies",
            fix="check that the source's amounts were loaded: ./treehouse status",
        )
    if counts[5]:
        raise TreehouseError(
            f"The label of {contract.use_case} is not a number in some rows.",
            value=f"{counts[5]} rows",
            expected=f"finite values of {contract.label}",
            fix=f'./treehouse sql "select * from {table.replace("`", "")} where not '
            f'ifNull(isFinite({contract.label}), 0)", then mend the model or the source',
        )


def _lineage(client: Client, table: str, contract: Contract) -> dict[str, Any]:
    time = identifier(contract.time)
    columns = ", ".join(identifier(f.name) for f in contract.features)
    first, last, rows, fingerprint = client.query(
        f"select min(toDateTime64({time}, 3, 'UTC')), max(toDateTime64({time}, 3, 'UTC')), "
        "count(), "
        f"groupBitXor(cityHash64({columns}, {identifier(contract.label)}, "
        f"{', '.join(map(identifier, contract.keys))})) from {table} where split = 'train'"
    ).result_rows[0]
    return {"from": first, "to": last, "rows": rows, "fingerprint": fingerprint}
