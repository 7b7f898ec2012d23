"""Reconciling: what materialized views keep, against a rebuild from what came in.

A view sees each insert once. An insert that was retried, one whose view failed, rows that were
deleted or attached: all of these make its aggregate states differ from the rows. The views' own
text says what the states should be, so nothing here knows their columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier, literal, row_hash
from treehouse.clickhouse.turns import alone
from treehouse.ingest.sources import Source, column_in_table, ensure_raw, read_sources, writing
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

_EXAMPLES = 5
_ATTEMPTS = 3


@dataclass(frozen=True)
class Difference:
    """One column of one table on one day that is not what the rows say.

    Attributes:
        table: Where: a view's table, or a source that has ids more than once.
        day: Value of the table's Date key; empty where it has none.
        column: Which column.
        kept: Its sum over that day as it is; for an id, the number of rows.
        expected: The same as it should be; for an id, the number of distinct ones.
        rows: How many keys differ in it.
        examples: Some of those keys.
        repaired: Whether it was put right.
    """

    table: str
    day: str
    column: str
    kept: str
    expected: str
    rows: int
    examples: tuple[str, ...]
    repaired: bool = False


@dataclass(frozen=True)
class _States:
    """A table of aggregate states and the views that fill it.

    Attributes:
        database: Where it is.
        name: Its name.
        keys: Sorting key.
        values: SQL of each other column's final value, over a group of one key.
        day: The key that is a Date, or a constant.
        selects: The queries of the views.
    """

    database: str
    name: str
    keys: tuple[str, ...]
    values: dict[str, str]
    day: str
    selects: tuple[str, ...]

    def table(self, prefix: str = "") -> str:
        """Its qualified name, or that of a table beside it."""
        return f"{identifier(self.database)}.{identifier(prefix + self.name)}"

    def final(self, prefix: str = "", where: str = "1") -> str:
        """Query of the final values, one row a key."""
        keys = ", ".join(map(identifier, self.keys))
        values = "".join(f", {sql} as _{i}" for i, sql in enumerate(self.values.values()))
        return f"select {keys}{values} from {self.table(prefix)} where {where} group by {keys}"


def reconcile(client: Client, settings: Settings, *, repair: bool = False) -> list[Difference]:
    """Compare every view's states with a rebuild, and count ids that a source has twice.

    Args:
        client: Of the settings' target.
        settings: Its databases.
        repair: Whether to put the rebuild in place of states that differ, at once for every
            reader. Ids that are there twice stay: they are their inserter's.

    Raises:
        TreehouseError: Rows kept arriving during each attempt.
    """
    if repair:
        turns = [writing(settings, source) for source in read_sources(settings)]
        with alone(client, settings, *turns):
            return _reconcile(client, settings, repair=True)
    return _reconcile(client, settings, repair=False)


def _reconcile(client: Client, settings: Settings, *, repair: bool) -> list[Difference]:
    ensure_raw(client, settings)
    sources = list(read_sources(settings).values())
    found = [twice for source in sources if (twice := _twice(client, source))]
    for states in _views(client, settings.database):
        found += _compare(client, states, sources, repair)
    return found


def _views(client: Client, database: str) -> list[_States]:
    """The tables of aggregate states that incremental views of a database fill."""
    rows = client.query(
        "select create_table_query, as_select from system.tables "
        f"where engine = 'MaterializedView' and database = {literal(database)} order by name"
    ).result_rows
    selects: dict[str, list[str]] = {}
    for create, select in rows:
        target = re.search(r"^CREATE MATERIALIZED VIEW \S+ TO (\S+) ", create)
        if target:  # neither refreshable, nor with a table of its own
            selects.setdefault(target[1], []).append(select)
    return [
        states
        for target, queries in selects.items()
        if (states := _states(client, target, tuple(queries)))
    ]


def _states(client: Client, target: str, selects: tuple[str, ...]) -> _States | None:
    """What there is to know of a view's table; None where it holds no aggregate states."""
    database, name = (part.strip("`") for part in target.split(".", 1))
    columns = client.query(
        "select name, type, is_in_sorting_key from system.columns "
        f"where database = {literal(database)} and table = {literal(name)} order by position"
    ).result_rows
    values = {column: _final(column, kind) for column, kind, is_key in columns if not is_key}
    if not any("AggregateFunction(" in kind for _, kind, _ in columns):
        return None
    return _States(
        database=database,
        name=name,
        keys=tuple(column for column, _, is_key in columns if is_key),
        values=values,
        day=next((identifier(c) for c, kind, is_key in columns if is_key and kind == "Date"), "''"),
        selects=selects,
    )


def _final(column: str, kind: str) -> str:
    """SQL of a state column's final value over a group."""
    simple = re.match(r"SimpleAggregateFunction\((\w+(\([^)]*\))?)", kind)
    if simple:
        return f"{simple[1]}({identifier(column)})"
    merged = re.match(r"AggregateFunction\((\w+)(\([^)]*\))?", kind)
    if merged:
        return f"{merged[1]}Merge{merged[2] or ''}({identifier(column)})"
    return f"any({identifier(column)})"


def _compare(
    client: Client, states: _States, sources: list[Source], repair: bool
) -> list[Difference]:
    for _ in range(_ATTEMPTS):
        before = _counts(client, sources)
        with _rebuilt(client, states) as prefix:
            days = _different_days(client, states, prefix)
            found = _differences(client, states, prefix, days, repair) if days else []
            if _counts(client, sources) == before:
                if found and repair:
                    client.command(f"exchange tables {states.table()} and {states.table(prefix)}")
                return found
    raise TreehouseError(
        f"{states.name} could not be compared: rows kept arriving.",
        expected="sources that stand still for the time of a rebuild",
        fix="pause what inserts, or run it at a quieter hour",
    )


def _counts(client: Client, sources: list[Source]) -> list[int]:
    """Rows of the sources: they change when anything arrives."""
    counts = ", ".join(f"(select count() from {source.qualified})" for source in sources)
    return list(client.query(f"select {counts}").result_rows[0])


@contextmanager
def _rebuilt(client: Client, states: _States) -> Iterator[str]:
    """A table beside the states with what they should be; yields its name's prefix."""
    prefix = "_rebuilt__"
    client.command(f"create or replace table {states.table(prefix)} as {states.table()}")
    try:
        for select in states.selects:
            client.command(f"insert into {states.table(prefix)} {select}")
        yield prefix
    finally:
        client.command(f"drop table if exists {states.table(prefix)}")


def _different_days(client: Client, states: _States, prefix: str) -> list[str]:
    """The days whose keys and final values differ in any way: streamed, in order of the keys."""
    columns = [*map(identifier, states.keys), *(f"_{i}" for i in range(len(states.values)))]
    digest = f"sum({row_hash(columns, 'sipHash64')})"
    digests = [
        f"select toString({states.day}) as day, count() as n, {digest} as digest "
        f"from ({states.final(which)}) group by day"
        for which in ("", prefix)
    ]
    rows = client.query(
        f"select day from ({' union all '.join(digests)}) group by day "
        "having count() != 2 or uniqExact(n, digest) != 1 order by day",
        settings={"optimize_aggregation_in_order": 1},
    ).result_rows
    return [row[0] for row in rows]


def _differences(
    client: Client, states: _States, prefix: str, days: list[str], repaired: bool
) -> list[Difference]:
    """What differs on those days, by column."""
    keys = ", ".join(map(identifier, states.keys))
    others = [identifier(key) for key in states.keys if identifier(key) != states.day]
    key = f"arrayStringConcat([{', '.join(f'toString({name})' for name in others)}], ', ')"
    where = f"toString({states.day}) in ({', '.join(map(literal, days))})"
    sides = " union all ".join(
        f"select *, {side} as _side from ({states.final(which, where)})"
        for side, which in enumerate(("", prefix))
    )
    indices = range(len(states.values))
    pairs = "".join(
        f", anyIf(_{i}, _side = 0) as a{i}, anyIf(_{i}, _side = 1) as b{i}" for i in indices
    )
    columns = "".join(
        f", (toString(sum(a{i})), toString(sum(b{i})), countIf(a{i} != b{i}), "
        f"arraySort(groupArraySampleIf({_EXAMPLES}, 1)({key}, a{i} != b{i})))"
        for i in indices
    )
    rows = client.query(
        f"select toString({states.day}) as day{columns} "
        f"from (select {keys}{pairs} from ({sides}) group by {keys}) group by day order by day"
    ).result_rows
    table = f"{states.database}.{states.name}"
    return [
        Difference(table, day, column, kept, expected, count, tuple(examples), repaired)
        for day, *found in rows
        for column, (kept, expected, count, examples) in zip(states.values, found, strict=True)
        if count
    ]


def _twice(client: Client, source: Source) -> Difference | None:
    """The ids that a source has more than once."""
    column = column_in_table(client, source, source.id)
    if column is None:  # of somebody's own, without ids
        return None
    name = identifier(column)
    rows, distinct, twice, examples = client.query(
        f"select sum(n), count(), countIf(n > 1), groupArrayIf({_EXAMPLES})(id, n > 1) from ("
        f"select count() as n, any({name}) as id from {source.qualified} "
        f"group by sipHash128({name}))"
    ).result_rows[0]
    if not twice:
        return None
    table = f"{source.database}.{source.table}"
    return Difference(table, "", source.id, str(rows), str(distinct), twice, tuple(examples))
