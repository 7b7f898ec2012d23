"""Staged rows into the tables that keep them, each id once, in passes of bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from treehouse.clickhouse.client import identifier, literal
from treehouse.ingest.progress import Watch
from treehouse.ingest.scratch import number
from treehouse.ingest.sources import Source

_BYTES_PER_ROW = 1024  # a pass's hash tables and their growth, measured with room to spare
# A block of an insert exists several times over, and a view adds its states, whose size the engine
# does not see: 20 million events with a view that keeps sets went through 1 GiB with these.
_BYTES_PER_BLOCK_BYTE = 16
_BYTES_PER_BLOCK_ROW = 8192
_MOST_BLOCK_ROWS = 1 << 20
_PARTITIONS = 2000  # that an insert may touch: logs of decades, in months
_REPEATED = "lower(hex(sipHash128Reference(concat(hex(_key), ' ', toString(_n)))))"


@dataclass(frozen=True)
class Keeper:
    """A table that keeps staged rows.

    Attributes:
        table: Qualified name.
        id: The column whose value is unique there.
        order: Its sorting key, as SQL.
        values: SQL over the staged rows for each column, the id among them.
        bad: Whether it takes the rows that break the contract.
        keep: Which staged rows it takes; `_n` numbers the rows of one key.
        scope: Condition on its rows, to look for ids among.
    """

    table: str
    id: str
    order: str
    values: Mapping[str, str]
    bad: bool
    keep: str = "1"
    scope: str = "1"


def raw_keeper(source: Source) -> Keeper:
    """The source's own table. A row without id gets one from its content and its repetition."""
    values = {c.name: identifier(c.name) for c in source.columns}
    keep, given = "_n = 1", identifier(source.id)
    if source.column(source.id).derived:
        values[source.id] = f"if({given} = '', {_REPEATED}, {given})"
        keep = f"(_n = 1 or {given} = '')"
    order = ", ".join(map(identifier, source.order_by))
    return Keeper(source.qualified, source.id, order, values, bad=False, keep=keep)


def quarantine_keeper(source: Source, table: str, load_id: str) -> Keeper:
    """The quarantine: a row that is loaded again, or by a load that was run again, stays one."""
    values = {
        "source": literal(source.name),
        "load_id": literal(load_id),
        "reason": "_reason",
        "reason_code": "_code",
        "row": "_row",
        "row_id": _REPEATED,
    }
    scope = f"source = {literal(source.name)}"
    return Keeper(table, "row_id", "row_id", values, bad=True, scope=scope)


def merge(
    watch: Watch,
    keeper: Keeper,
    staged: str,
    fresh: str,
    order: str,
) -> tuple[int, int]:
    """Insert the staged rows whose ids the keeper does not have.

    The passes split the keys, which are hashes, into equal ranges: the sets of one pass are
    bounded whatever the size of the load and of the keeper. What they find is inserted in the
    keeper's own order, so that a view that aggregates by its first columns meets each group once.

    Args:
        watch: Of the engine; its settings' memory bound sizes the passes.
        keeper: Where to.
        staged: Qualified name of the staged rows.
        fresh: Qualified name of a table to make, for rows that the keeper lacks.
        order: Columns that say which of several rows with one id is kept.

    Returns:
        Staged rows, and those of them that were inserted.
    """
    client, progress = watch.client, watch.progress
    where = f"_bad = {int(keeper.bad)}"
    total = number(client, f"select count() from {staged} where {where}")
    if not total:
        return 0, 0
    table = keeper.table.replace("`", "")
    client.command(
        f"create or replace table {fresh} as {keeper.table} "
        f"engine = MergeTree order by ({keeper.order})"
    )
    passes = -(-total * _BYTES_PER_ROW // watch.settings.memory_bytes)
    for i in range(passes):
        progress(f"compare with {table}", i * total // passes, total)
        low, high = (i * 2**128 // passes, (i + 1) * 2**128 // passes - 1)
        keys = f"_key between toUInt128('{low}') and toUInt128('{high}')"
        client.command(_pass_sql(keeper, staged, fresh, order, f"{where} and {keys}"))
    inserted = number(client, f"select count() from {fresh}")
    memory = watch.settings.memory_bytes
    columns = ", ".join(map(identifier, keeper.values))
    progress(f"insert into {table}", 0, inserted)
    watch.command(
        f"insert into {table}",
        f"insert into {keeper.table} ({columns}) select {columns} from {fresh} "
        f"order by {keeper.order}",
        {
            "max_partitions_per_insert_block": _PARTITIONS,
            "min_insert_block_size_bytes": memory // _BYTES_PER_BLOCK_BYTE,
            "min_insert_block_size_rows": min(memory // _BYTES_PER_BLOCK_ROW, _MOST_BLOCK_ROWS),
        },
    )
    progress(f"insert into {table}", inserted, inserted)
    return total, inserted


def _pass_sql(keeper: Keeper, staged: str, fresh: str, order: str, where: str) -> str:
    """The statement that finds the rows of some keys that the keeper lacks."""
    values = ", ".join(f"{sql} as {identifier(name)}" for name, sql in keeper.values.items())
    columns = ", ".join(map(identifier, keeper.values))
    id_hash = f"sipHash128({identifier(keeper.id)})"
    numbered = (
        f"select *, row_number() over (partition by _key order by {order}) as _n "
        f"from {staged} where {where}"
    )
    kept = f"select * from ({numbered}) where {keeper.keep}"  # inside: `values` reuse its names
    candidates = f"(select {values} from ({kept}))"
    return (
        f"insert into {fresh} ({columns}) select {columns} from {candidates} "
        f"where {id_hash} not in (select {id_hash} from {keeper.table} where {keeper.scope} "
        f"and {id_hash} in (select {id_hash} from {candidates}))"
    )
