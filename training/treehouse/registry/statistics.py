"""What a version saw when it was trained, one row a column: what monitoring compares with.

The engine computes them over the training set. Quantiles are exact: the training set was small
enough to be fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier, literal, row_hash
from treehouse.fit.splits import fitted_rows, lineage_splits
from treehouse.project.contract import Contract
from treehouse.registry.scorer_call import Scored

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

UNFITTED = ("calibration", "test")
"""Splits that no tree was fitted to or stopped by, but where it was fitted anew to the first: what
a prediction looks like in use."""
_EXPLAINED_ROWS = 2000
_CATEGORIES = 1000


def write_statistics(
    client: Client, settings: Settings, contract: Contract, header: dict[str, Any], version: int
) -> None:
    """One row in `statistics` for each feature, the label and each head of a version.

    Args:
        client: Of an engine that holds the training set and the model file.
        settings: Where they are.
        contract: Names the label and the key of the training set.
        header: What the bundle says of itself; `bundle` is its id in the engine.
        version: Its number.
    """
    registry = identifier(settings.registry_database)
    importance = _importance(client, settings, contract, header)
    for query in (
        _numeric_sql(settings, contract, header),
        *([_categorical_sql(settings, contract, header)] if _texts(contract, header) else ()),
    ):
        client.command(
            f"insert into {registry}.statistics (model, version, {', '.join(_COLUMNS)}, importance)"
            f" select {literal(contract.use_case)}, {version}, {', '.join(_COLUMNS)}, "
            "arraySum(arrayMap((of, share) -> if(role = 'feature' and of = name, share, 0), "
            f"{{features:Array(String)}}, {{shares:Array(Float64)}})) from ({query})",
            parameters={"features": list(importance), "shares": list(importance.values())},
        )


_COLUMNS = (
    "role", "name", "kind", "rows", "nulls", "mean", "deviation", "quantiles", "edges", "shares",
    "categories",
)  # fmt: skip


def _numeric_sql(settings: Settings, contract: Contract, header: dict[str, Any]) -> str:
    """Rows for numeric features, label and heads.

    Bins end at the deciles. Where the least value is as frequent as a tenth of the rows, as zero
    often is, it has a bin of its own.
    """
    table = _rows(settings, contract, header)
    seen = [("feature", name) for name in header["inputs"]["numeric"]]
    seen += [("feature", name) for name in contract.of_kind("series")]
    seen += [] if _names_classes(header) else [("label", contract.label)]
    columns = [*seen, *(("prediction", name) for name in header["heads"])]
    values = [f"toFloat64(ifNull({_latest(contract, name)}, nan))" for _, name in seen]
    answers = Scored.of_header(header).answers()
    names = ", ".join(f"({literal(role)}, {literal(name)})" for role, name in columns)
    return f"""
    with cells as (
        select treehouse_cell.1 as number, treehouse_cell.2 as value
        from (
            select arrayJoin(arrayZip(
                range(1, {len(seen) + 1}), [{", ".join(values)}]
            )) as treehouse_cell
            from {table} where split = 'train'
            union all
            select arrayJoin(arrayZip(
                range({len(seen) + 1}, {len(columns) + 1}), arraySlice({answers}, 2)
            )) as treehouse_cell
            from {table} where split in ({", ".join(map(literal, UNFITTED))})
        )
    ),
    summaries as (
        select
            number,
            count() as rows,
            countIf(isNaN(value)) as nulls,
            if(nulls = rows, null, avgIf(value, isFinite(value))) as mean,
            stddevSampIf(value, isFinite(value)) as deviation,
            quantilesExactInclusiveIf({", ".join(f"{i / 100}" for i in range(101))})(
                value, isFinite(value)
            ) as quantiles,
            arrayFilter(x -> x > quantiles[1], quantiles) as above,
            arrayMap(i -> quantiles[i], range(11, 101, 10)) as deciles,
            arraySort(arrayDistinct(arrayConcat(
                arrayFilter(x -> x > quantiles[1], deciles),
                if(deciles[1] = quantiles[1], arraySlice(above, 1, 1), [])
            ))) as edges
        from cells
        group by number
    ),
    bins as (
        select number, mapFromArrays(groupArray(bin), groupArray(rows)) as counts
        from (
            select number, arrayCount(edge -> edge <= value, edges) as bin, count() as rows
            from cells
            inner join summaries on cells.number = summaries.number
            where not isNaN(value)
            group by number, bin
        )
        group by number
    )
    select
        [{names}][number] as of,
        of.1 as role,
        of.2 as name,
        'numeric' as kind,
        rows,
        nulls,
        if(isFinite(summaries.mean), summaries.mean, null) as mean,
        if(isFinite(summaries.deviation), summaries.deviation, null) as deviation,
        if(summaries.mean is null, [], summaries.quantiles) as quantiles,
        edges,
        if(nulls = rows, [], arrayMap(
            bin -> counts[bin] / (rows - nulls), range(toUInt32(length(edges) + 1))
        )) as shares,
        emptyArrayString() as categories
    from summaries
    left join bins on summaries.number = bins.number
    """


def _categorical_sql(settings: Settings, contract: Contract, header: dict[str, Any]) -> str:
    """Rows for categorical features, and a label that names classes: the most frequent categories,
    and all others as one."""
    table = _rows(settings, contract, header)
    cells = ", ".join(
        f"({literal(name)}, ifNull(toString({_latest(contract, name)}), ''))"
        for name in _texts(contract, header)
    )
    return f"""
    with counts as (
        select treehouse_cell.1 as name, treehouse_cell.2 as category, count() as rows
        from (
            select arrayJoin([{cells}]) as treehouse_cell from {table} where split = 'train'
        )
        group by name, category
    ),
    ordered as (
        select
            name,
            sum(counts.rows) as rows,
            sumIf(counts.rows, category = '') as nulls,
            arraySlice(
                arraySort(
                    pair -> (-toInt64(pair.1), pair.2),
                    groupArrayIf((counts.rows, category), category != '')
                ),
                1, {_CATEGORIES}
            ) as pairs
        from counts
        group by name
    )
    select
        if(name = {literal(contract.label)}, 'label', 'feature') as role,
        name,
        'categorical' as kind,
        rows,
        nulls,
        cast(null, 'Nullable(Float64)') as mean,
        cast(null, 'Nullable(Float64)') as deviation,
        emptyArrayFloat64() as quantiles,
        emptyArrayFloat64() as edges,
        if(rows = nulls, [], arrayMap(
            part -> part / (rows - nulls),
            arrayPushBack(pairs.1, toUInt64(rows - nulls - arraySum(pairs.1)))
        )) as shares,
        pairs.2 as categories
    from ordered
    """


def _importance(
    client: Client, settings: Settings, contract: Contract, header: dict[str, Any]
) -> dict[str, float]:
    """Feature to its mean absolute contribution, over some training rows; they sum to 1.

    Empty for a model that has no contributions: one without trees.
    """
    if not header["explained"]:
        return {}
    inputs = header["inputs"]
    names = [*inputs["numeric"], *inputs["categorical"]]
    contributions = Scored.of_header(header).contributions()
    order = row_hash(map(identifier, (*contract.keys, contract.time)))
    sums = client.query(
        f"select sumForEach(arrayMap(c -> abs(c), arraySlice({contributions}, 2))) "
        f"from (select * from {_rows(settings, contract, header)} where split = 'train' "
        f"order by {order} limit {_EXPLAINED_ROWS})"
    ).result_rows[0][0]
    total = sum(sums) or 1.0
    return {name: value / total for name, value in zip(names, sums, strict=True)}


def _rows(settings: Settings, contract: Contract, header: dict[str, Any]) -> str:
    """SQL of the training set; 'train' are all rows that the version was fitted to."""
    return fitted_rows(training_set(settings, contract), lineage_splits(header))


def training_set(settings: Settings, contract: Contract) -> str:
    """The training set's name as SQL."""
    return f"{identifier(settings.database)}.{identifier(contract.use_case + '_training_set')}"


def training_columns(client: Client, settings: Settings, use_case: str) -> set[str]:
    """Names of its columns; none where the engine does not hold it."""
    rows = client.query(
        "select name from system.columns where database = {d:String} and table = {t:String}",
        parameters={"d": settings.database, "t": f"{use_case}_training_set"},
    ).result_rows
    return {name for (name,) in rows}


def _texts(contract: Contract, header: dict[str, Any]) -> list[str]:
    """What is counted by category: features, tokens of sequences, a label that names classes."""
    label = [contract.label] if _names_classes(header) else []
    return [*header["inputs"]["categorical"], *contract.of_kind("tokens"), *label]


def _latest(contract: Contract, name: str) -> str:
    """A column as SQL; of a sequence its last element."""
    is_sequence = name in (*contract.of_kind("tokens"), *contract.of_kind("series"))
    return identifier(name) + "[-1]" * is_sequence


def _names_classes(header: dict[str, Any]) -> bool:
    return bool(header["info"]["metrics"].get("task") == "classes")
