"""The training set as arrays. Categories are encoded, and baselines computed, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError
from numpy.typing import NDArray

from treehouse.bundle.sections import text_of
from treehouse.clickhouse.client import identifier, literal, row_hash
from treehouse.fit.baselines import label_sql, rule_columns
from treehouse.fit.checks import check_columns, check_rows, check_spec, with_known_truth
from treehouse.fit.deviance import deviance_scale
from treehouse.fit.history import check_windows, read_windows
from treehouse.fit.splits import OWN_SPLIT, SPLITS, fitted_rows
from treehouse.project.contract import Contract
from treehouse.project.errors import TreehouseError, first_line

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings
    from treehouse.spec import Spec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dataset:
    """Rows of a training set, ordered by key.

    Attributes:
        contract: Whose features these are.
        matrix: float64[rows, features] in the contract's order, without sequences; categories as
            codes, missing values as NaN.
        categories: Feature to its categories; a code is a position in them. Those of the
            training rows only: what is new later is missing, as it is in serving.
        label: float64[rows]; of classes, the number of the class.
        split: int8[rows], a position in SPLITS.
        extra: Further float64[rows] columns: baselines, cohort number, best possible.
        lineage: Times, row count and fingerprint of the training rows.
        weight: float64[rows], what a row counts, or None where all count alike.
        also: Further labels by name, float64[rows], NaN where there is none.
        time: float64[rows], seconds since 1970: when the row was known.
        known_at: float64[rows], seconds since 1970: when its label was known.
        sequences: The same rows with all features, as networks take them, where the contract has
            sequences; else None.
        without_truth: Why the spec's `best_possible` was left out, or "".
        windows: Vars that say what features and label mean, as the rows were built by them.
    """

    contract: Contract
    matrix: Floats
    categories: Mapping[str, tuple[str, ...]]
    label: Floats
    split: NDArray[np.int8]
    extra: Mapping[str, Floats]
    lineage: Mapping[str, Any]
    weight: Floats | None = None
    also: Mapping[str, Floats] = field(default_factory=dict)
    time: Floats = field(default_factory=lambda: np.zeros(0))
    known_at: Floats = field(default_factory=lambda: np.zeros(0))
    sequences: pa.RecordBatch | None = None
    without_truth: str = ""
    windows: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in the order of the matrix's columns."""
        return matrix_features(self.contract)

    @property
    def scale(self) -> float:
        """Of the deviance of a value, as the training rows say."""
        return deviance_scale(self.label[self.rows("train")])

    def rows(self, *splits: str) -> NDArray[np.bool_]:
        """bool[rows]: which rows belong to one of the splits."""
        return np.isin(self.split, [SPLITS.index(name) for name in splits])

    def column(self, name: str) -> Floats:
        """float64[rows] of one feature."""
        values: Floats = self.matrix[:, self.names.index(name)]
        return values

    def batch(self, rows: NDArray[np.bool_] | slice = slice(None)) -> pa.RecordBatch:
        """Some of the rows as networks take them; None where the contract has no sequences."""
        if self.sequences is None or isinstance(rows, slice):
            return self.sequences
        return self.sequences.filter(pa.array(rows))

    def only(self, rows: NDArray[np.bool_], **changes: Any) -> Dataset:
        """Some of the rows, and other values of fields of theirs."""
        parts = {
            name: getattr(self, name)[rows]
            for name in ("matrix", "label", "split", "time", "known_at")
            if len(getattr(self, name))
        }
        mappings = {
            name: {key: values[rows] for key, values in getattr(self, name).items()}
            for name in ("extra", "also")
        }
        weight = None if self.weight is None else self.weight[rows]
        kept = {"weight": weight, "sequences": self.batch(rows)}
        return replace(self, **{**parts, **mappings, **kept, **changes})

    def for_label(self, name: str) -> Dataset:
        """The rows with a further label, which takes the label's place; none counts more."""
        known = np.isfinite(self.also[name])
        return self.only(known, label=self.also[name][known], weight=None, also={})


def load_dataset(client: Client, settings: Settings, spec: Spec) -> Dataset:
    """Read a use case's training set.

    Raises:
        TreehouseError: It is not there, too small, or its label is constant.
    """
    contract = spec.contract
    table = f"{identifier(settings.database)}.{identifier(contract.use_case + '_training_set')}"
    check_spec(spec)
    check_columns(client, settings, spec)
    windows = read_windows(client, settings, spec.use_case)
    check_windows(spec.use_case, windows)
    check_rows(client, settings, spec, label_sql(spec), SPLITS)
    spec, without_truth = with_known_truth(client, table, spec)
    categories = {
        name: _categories(client, table, name) for name in contract.of_kind("categorical")
    }
    time = identifier(contract.time)
    columns = {
        "label": label_sql(spec),
        "split": f"toFloat64(indexOf([{', '.join(map(literal, SPLITS))}], {OWN_SPLIT}) - 1)",
        "time": _seconds(time),
        "known_at": _seconds(identifier(contract.known_at) if contract.known_at else time),
        "weight": f"toFloat64({identifier(contract.weight)})" if contract.weight else "1.",
    }
    extra = _extra_sql(spec)
    fitted = fitted_rows(table, spec.fitted)
    source = f"(select * from {fitted} where split in ({', '.join(map(literal, SPLITS))}))"
    if spec.best_possible:
        source += (
            f" as t left join (select *, toString(key) as treehouse_key, 1 as treehouse_known"
            f" from ({spec.best_possible})) as truth"
            f" on toString(t.{identifier(contract.keys[0])}) = truth.treehouse_key"
        )
    order = ", ".join(map(identifier, (*contract.keys, contract.time)))
    kinds = {feature.name: feature.kind for feature in contract.features}
    names = matrix_features(contract)
    features = [_feature_sql(table, name, kinds[name], categories.get(name, ())) for name in names]
    also = [f"ifNull(toFloat64({identifier(name)}), nan)" for name in spec.also]
    try:
        data = _read(client, [*features, *columns.values(), *extra.values(), *also], source, order)
    except ClickHouseError:
        _check_extra(client, source, spec, extra)
        raise
    n = len(features)
    rest = dict(zip([*columns, *extra, *spec.also], data[:, n:].T.copy(), strict=True))
    _check_baselines(spec, rest)
    return Dataset(
        contract=contract,
        matrix=np.ascontiguousarray(data[:, :n]),
        categories=categories,
        label=rest["label"],
        split=rest["split"].astype(np.int8),
        extra={name: rest[name] for name in extra},
        lineage=lineage(client, table, spec, spec.fitted),
        weight=rest["weight"] if contract.weight else None,
        also={name: rest[name] for name in spec.also},
        time=rest["time"],
        known_at=rest["known_at"],
        sequences=_read_sequences(client, contract, source, order),
        without_truth=without_truth,
        windows=windows,
    )


def matrix_features(contract: Contract) -> tuple[str, ...]:
    """The features that are a number or a category, in the contract's order."""
    return tuple(f.name for f in contract.features if f.kind in ("numeric", "categorical"))


def _read_sequences(
    client: Client, contract: Contract, source: str, order: str
) -> pa.RecordBatch | None:
    if len(matrix_features(contract)) == len(contract.features):
        return None
    from treehouse.network.rows import read_batch  # brings ONNX, which only sequences need

    named = ", ".join(identifier(feature.name) for feature in contract.features)
    rows = f"(select {named}, {order} from {source} order by {order})"
    return read_batch(client, contract, rows)[0]


def _seconds(time: str) -> str:
    return f"toUnixTimestamp64Milli(toDateTime64({time}, 3, 'UTC')) / 1000"


def _read(client: Client, columns: list[str], source: str, order: str) -> Floats:
    """float64[rows, columns], one column at a time in memory twice at the most."""
    named = ", ".join(f"{sql} as treehouse_{i}" for i, sql in enumerate(columns))
    result = client.query(
        f"select * from (select {named} from {source} order by {order})",
        column_oriented=True,
        use_none=False,
    )
    return np.column_stack([np.asarray(c, dtype=np.float64) for c in result.result_columns])


def _feature_sql(table: str, name: str, kind: str, categories: tuple[str, ...]) -> str:
    """A feature as a number. A query can be no longer than 256 KiB by default: the engine looks the
    categories up by itself, once, in place of reading them as text."""
    column = identifier(name)
    if kind == "numeric":
        return f"ifNull(toFloat64({column}), nan)"
    if not categories:
        return "toFloat64(nan)"
    known = f"({_distinct_sql(table, name)})"
    return (
        f"transform(ifNull(toString({column}), ''), {known}, "
        f"arrayMap(place -> toFloat64(place - 1), arrayEnumerate({known})), toFloat64(nan))"
    )


def _extra_sql(spec: Spec) -> dict[str, str]:
    """Baselines, the cohort's number, and what is known of the true distribution."""
    extra = rule_columns(spec)
    extra |= {f"group {name}": f"toFloat64({sql})" for name, sql in spec.groups.items()}
    for name in spec.also:
        extra |= rule_columns(spec.for_label(name))
    if spec.cohort:
        extra["cohort"] = f"toFloat64(dense_rank() over (order by {', '.join(spec.cohort)}))"
    truth = {"value": ("mean", "median"), "probability": ("mean",), "classes": spec.classes}
    if spec.best_possible:
        # A row that the truth does not know is matched with the type's defaults, which look known.
        extra |= {
            f"best_{name}": f"if(truth.treehouse_known, ifNull(toFloat64(truth.{name}), nan), nan)"
            for name in truth[spec.task]
        }
    return extra


def _check_extra(client: Client, source: str, spec: Spec, extra: Mapping[str, str]) -> None:
    """Name the SQL of the spec that the engine can't compute; all of it stands in one query."""
    for name, sql in extra.items():
        try:
            client.query(f"select max(hex(computed)) from (select {sql} as computed from {source})")
        except ClickHouseError as error:
            raise TreehouseError(
                f"{name!r} of {spec.use_case} can't be computed.",
                value=first_line(error),
                expected="SQL over the columns of its training set",
                fix=f"mend it in training/specs/{spec.use_case}.py",
            ) from error


def _check_baselines(spec: Spec, columns: Mapping[str, Floats]) -> None:
    """A rule that takes the place of a classifier must name a class in every row."""
    names = spec.baselines if spec.task == "classes" else ()
    if wrong := [name for name in names if (columns[name] < 0).any()]:
        raise TreehouseError(
            f"A baseline of {spec.use_case} answers what is no class.",
            value=", ".join(wrong),
            expected="one of " + ", ".join(spec.classes) + " in every row",
            fix=f"mend `baselines` in training/specs/{spec.use_case}.py",
        )


def _categories(client: Client, table: str, name: str) -> tuple[str, ...]:
    """Read in hexadecimal: the client does so by itself where one is no UTF-8, without a word."""
    known = f"({_distinct_sql(table, name)})"
    rows = client.query(f"select arrayMap(v -> hex(v), {known})").result_rows
    return tuple(text_of(bytes.fromhex(value)) for value in rows[0][0])


def _distinct_sql(table: str, name: str) -> str:
    """The categories of the training rows, in the order of their bytes."""
    value = f"toString({identifier(name)})"
    return (
        f"select arraySort(groupUniqArray({value})) from {table} "
        f"where split = 'train' and ifNull({value}, '') != ''"
    )


def lineage(client: Client, table: str, spec: Spec, splits: Sequence[str]) -> dict[str, Any]:
    """Of the fitted rows: times of the first and last, their number, a hash of all values that a
    fit reads, in any order of the rows.

    Args:
        table: Quoted.
        spec: Names the columns.
        splits: What the model is fitted to.
    """
    contract, time = spec.contract, identifier(spec.contract.time)
    names = [f.name for f in contract.features]
    names += [contract.label, *contract.keys, *filter(None, [contract.weight]), *spec.also]
    first, last, rows, fingerprint = client.query(
        f"select min(toDateTime64({time}, 3, 'UTC')), max(toDateTime64({time}, 3, 'UTC')), "
        f"count(), sum({row_hash(map(identifier, names))}) "
        f"from {table} where split in ({', '.join(map(literal, splits))})"
    ).result_rows[0]
    return {
        "from": first, "to": last, "rows": rows, "fingerprint": fingerprint,
        "splits": ",".join(splits),
    }  # fmt: skip
