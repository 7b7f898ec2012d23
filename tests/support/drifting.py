"""A model `toy` with the statistics of its training, and windows of rows that drift or don't.

Rows are functions of their number and a seed, computed by the engine: equal seeds, equal rows.
"""

from __future__ import annotations

from typing import Any

from clickhouse_connect.driver.client import Client

from treehouse.monitor.measure import macros

REGISTRY = "treehouse_registry"
NUMERIC = ("normal", "skewed", "flag", "count", "gaps", "constant")
TOY: dict[str, Any] = {
    "model": "toy",
    "features": [
        *({"name": name, "kind": "numeric"} for name in NUMERIC),
        {"name": "category", "kind": "categorical"},
    ],
    "head": "value",
    "contract": "of the toy",
    "registry": REGISTRY,
}
COLUMNS = {
    "normal": "{normal}",
    "skewed": "-log({u2})",
    "flag": "toUInt8({u3} < 0.15)",
    "count": "toUInt16(-3 * log({u4}))",
    "gaps": "if({u5} < 0.1, null, exp({normal}))",
    "constant": "7.",
    "category": "['a', 'b', 'c', 'd', 'e', '', 'g'][1 + toUInt32(least(6, -1.4 * log({u6})))]",
}


def rows(n: int, seed: int, **changes: str) -> str:
    """A relation of n rows; `changes` replaces the SQL of columns: normal="{normal} + 0.5"."""
    uniform = {
        f"u{i}": f"((bitShiftRight(cityHash64(number, {seed}, {i}), 11) + 0.5) / 9007199254740992)"
        for i in range(8)
    }
    normal = f"(sqrt(-2 * log({uniform['u0']})) * cos(2 * pi() * {uniform['u1']}))"
    columns = ", ".join(
        f"{sql.format(normal=normal, **uniform)} as {name}"
        for name, sql in (COLUMNS | changes).items()
    )
    return f"(select {columns} from numbers({n}))"


def train(client: Client, n: int, seed: int = 1, **changes: str) -> None:
    """The function predict_toy, and statistics of n rows as version 1, in place of any before."""
    names = ", ".join(COLUMNS)
    client.command(f"create or replace function predict_toy as ({names}) -> 2 * normal + skewed")
    client.command(
        f"alter table {REGISTRY}.statistics delete where model = 'toy' settings mutations_sync = 1"
    )
    client.command(
        "create or replace table default.toy_training engine = MergeTree order by tuple() as "
        f"select *, predict_toy({names}) as value from {rows(n, seed, **changes)}"
    )
    for role, name in [*(("feature", name) for name in NUMERIC), ("prediction", "value")]:
        client.command(_numeric(role, name))
    client.command(_CATEGORICAL)


_INTO = (
    f"insert into {REGISTRY}.statistics (model, version, role, name, kind, rows, nulls, mean, "
    "deviation, quantiles, edges, shares, categories, importance) "
)
_CATEGORICAL = f"""{_INTO}
with counts as (select category, count() as n from default.toy_training group by category),
    (select arraySlice(arraySort(p -> (-p.1, p.2), groupArrayIf((toInt64(n), category),
        category != '')), 1, 1000) from counts) as pairs,
    (select sumIf(n, category != '') from counts) as known
select 'toy', 1, 'feature', 'category', 'categorical', sum(n), sumIf(n, category = ''), null,
    null, [], [], arrayMap(n -> n / known, arrayPushBack(pairs.1, known - arraySum(pairs.1))),
    pairs.2, 0.1
from counts"""


def _numeric(role: str, name: str) -> str:
    shares = ", ".join(f"{i / 100}" for i in range(101))
    return f"""{_INTO}
    with cells as (select toFloat64(ifNull({name}, nan)) as x from default.toy_training),
        (select quantilesExactInclusive({shares})(x) from cells where isFinite(x)) as q,
        if(isNaN(q[1]), [], q) as points,
        arraySort(arrayDistinct(arrayMap(i -> points[i], range(11, 101, 10)))) as found,
        if(empty(points), [], found) as edges,
        (select groupArray(1 + arrayCount(e -> e <= x, edges)) from cells where not isNaN(x))
            as bins
    select 'toy', 1, '{role}', '{name}', 'numeric', count(), countIf(isNaN(x)),
        avgOrNullIf(x, isFinite(x)), stddevSampOrNullIf(x, isFinite(x)), points, edges,
        if(empty(points), [], arrayMap(
            i -> countEqual(bins, i) / length(bins), range(1, length(edges) + 2)
        )), [], 0.1
    from cells"""


def drift(client: Client, relation: str, version: int = 1) -> dict[str, dict[str, Any]]:
    """What the monitor measures over a relation, by column."""
    query = str(macros().drift_query(TOY, relation, version))
    return {row["name"]: row for row in client.query(query).named_results()}
