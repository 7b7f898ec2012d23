"""What rows of a source are like, and what looks wrong in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier
from treehouse.ingest.profiling.checks import warnings_of
from treehouse.ingest.profiling.rows import Rows
from treehouse.ingest.progress import Watch
from treehouse.ingest.reading import Reading
from treehouse.ingest.scratch import Scratch, clear_interrupted
from treehouse.ingest.sources import Column, Source, ensure_raw, find_source
from treehouse.ingest.stage import Stage
from treehouse.ingest.validate import staged_ddl

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

_FEW = 5


@dataclass(frozen=True)
class Profile:
    """What rows of a source are like.

    Attributes:
        source: Its name.
        rows: How many.
        users: Distinct users or customers.
        first: Time of the first row, or None.
        last: Of the last.
        days: Days with any row.
        bad: Rows of a file that break the contract.
        columns: For each column its share of missing values (empty, null or 0), its distinct values
            (about) and the median of numbers that are not 0.
        warnings: What looks wrong, and how to mend it.
    """

    source: str
    rows: int
    users: int
    first: datetime | None
    last: datetime | None
    days: int
    bad: int
    columns: list[dict[str, Any]]
    warnings: list[str]


def profile(
    client: Client,
    settings: Settings,
    source: str,
    origins: Sequence[str] = (),
    reading: Reading | None = None,
) -> Profile:
    """Look at files or a table as `load` would read them, or at what a source holds; nothing is
    loaded.

    Raises:
        TreehouseError: There is no such source, or the origin can't be read.
    """
    contract = find_source(settings, source)
    ensure_raw(client, settings)
    if not origins and _is_of_contract(client, contract):
        return _profile(Rows(client, settings, contract, contract.qualified))
    named = list(origins) or [f"table:{contract.database}.{contract.table}"]
    with _staged(client, settings, contract, named, reading or Reading()) as table:
        found = _profile(
            Rows(client, settings, contract, f"(select * from {table} where not _bad)")
        )
        bad = _bad_rows(client, table)
        warnings = [*map(_quarantined, bad[:_FEW]), *found.warnings]
        return replace(found, bad=sum(rows for rows, *_ in bad), warnings=warnings)


def _is_of_contract(client: Client, contract: Source) -> bool:
    """Whether the table has the contract's columns and types, whatever the scale of amounts."""
    described = client.query(f"describe table {contract.qualified}").result_rows
    types = {row[0]: row[1].partition("(")[0] for row in described}
    return all(types.get(c.name) == c.type.partition("(")[0] for c in contract.columns)


@contextmanager
def _staged(
    client: Client, settings: Settings, contract: Source, origins: Sequence[str], reading: Reading
) -> Iterator[str]:
    """The rows parsed and judged, in a table of their own."""
    scratch = Scratch.new(settings.raw_database, f"profile_{contract.name}")
    table = scratch.table("staged")
    clear_interrupted(client, scratch, lambda *_: None)
    client.command(staged_ddl(contract, table))
    try:
        watch = Watch(client, settings, scratch.prefix, lambda *_: None)
        Stage(watch, contract, scratch, reading).read(origins)
        yield table
    finally:
        scratch.drop(client)


def _bad_rows(client: Client, table: str) -> list[tuple[int, str, str]]:
    """How many break the contract, by code; with the code and one row's reason."""
    rows = client.query(
        f"select count(), _code, any(_reason) from {table} where _bad = 1 "
        "group by _code order by count() desc, _code"
    ).result_rows
    return [(int(count), str(code), str(reason)) for count, code, reason in rows]


def _quarantined(bad: tuple[int, str, str]) -> str:
    rows, code, reason = bad
    fix = (
        "; say how it is written (--date-format, --decimal, ...: ./treehouse load --help)"
        if "unreadable" in code
        else "; if it has another name, --map <theirs>=<ours>"
        if "missing" in code
        else ""
    )
    return f"{rows:,} rows would go to quarantine, such as: {reason}{fix}"


def _profile(rows: Rows) -> Profile:
    time = identifier(rows.source.time)
    count, users, days, first, last = rows.ask(
        f"count(), uniqExact({rows.user}), uniqExact(toDate({time})), min({time}), max({time})"
    )[0]
    if not count:
        return Profile(rows.source.name, 0, 0, None, None, 0, 0, [], [])
    columns = _columns(rows, count)
    warnings = warnings_of(rows, count, columns)
    return Profile(rows.source.name, count, users, first, last, days, 0, columns, warnings)


def _columns(rows: Rows, count: int) -> list[dict[str, Any]]:
    """What each column holds, by one query over the rows."""
    columns = rows.source.columns
    (found,) = rows.ask(", ".join(map(_column_sql, columns)))
    return [
        {
            "column": column.name,
            "missing": missing / count,
            "distinct": distinct,
            "median": middle if middle == middle else None,
        }
        for column, (missing, distinct, middle) in zip(columns, found, strict=True)
    ]


def _column_sql(column: Column) -> str:
    """SQL of a column's missing values, distinct ones and median."""
    name = identifier(column.name)
    is_number = column.type.startswith(("Int", "UInt", "Float", "Decimal"))
    absent = f"{name} = 0" if is_number else f"empty(trimBoth(toString({name})))"
    if column.type.startswith("Map"):
        absent = f"empty({name})"
    median = f"toFloat64(quantileIf(0.5)({name}, {name} != 0))" if is_number else "null"
    return f"(countIf({absent}), uniq({name}), {median})"
