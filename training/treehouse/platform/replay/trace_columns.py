"""The columns of a trace: found by their names, read by the engine, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from numpy.typing import NDArray

from treehouse.clickhouse.client import identifier
from treehouse.platform.query_log.files import header, opened
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import Settings

_EXPECTED = {"time": "a number of seconds, or a date and time", "operation": "read or write"}
_KEYS = ("object", "partition", "version")  # hashes; all else is a number


@contextmanager
def trace_relation(
    client: Client,
    settings: Settings,
    path: Path | None,
    view: str,
    wanted: Mapping[str, Sequence[str]],
    optional: Sequence[str],
) -> Iterator[tuple[str, dict[str, str]]]:
    """A trace as SQL, and its columns by our names, quoted; all are text."""
    if path is None:
        relation = f"{identifier(settings.database)}.{identifier(view)}"
        try:
            there = [row[0] for row in client.query(f"describe table {relation}").result_rows]
        except ClickHouseError as error:
            raise TreehouseError(
                "There is no collected trace.",
                value=str(error).splitlines()[0],
                fix="./treehouse workload run && ./treehouse build --select +stg_query_trace "
                "+stg_partition_trace, or give a --trace",
            ) from error
        names = _names(there, wanted, optional, view)
        texts = ", ".join(f"toString({name}) as {name}" for name in names.values())
        yield f"(select {texts} from (select * from {relation} order by time))", names
        return
    names = _names(header(path), wanted, optional, str(path))
    own = {name.strip("`"): "String" for name in names.values()}
    with opened(client, settings, path, own) as relation:
        yield relation, names


def _names(
    there: Sequence[str],
    wanted: Mapping[str, Sequence[str]],
    optional: Sequence[str],
    where: str,
) -> dict[str, str]:
    """The trace's own names by ours."""
    by_lower = {name.lower().strip(): name for name in reversed(there)}
    found = {}
    for name, aliases in {**wanted, **{name: (name,) for name in optional}}.items():
        own = next((by_lower[alias] for alias in aliases if alias in by_lower), None)
        if own is not None:
            found[name] = identifier(own)
        elif name in wanted:
            raise TreehouseError(
                f"The trace has no column {name}.",
                value=f"{where} with the columns {', '.join(there)}",
                expected=f"{', '.join(wanted)}; for {name} also one of {', '.join(aliases)}",
            )
    return found


def seconds(name: str) -> str:
    """SQL of a time as seconds: a number as it is, else a date and time in UTC."""
    return (
        f"ifNull(toFloat64OrNull({name}), "
        f"toFloat64(parseDateTime64BestEffortOrNull({name}, 6, 'UTC')))"
    )


def fetch(client: Client, relation: str, columns: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """The columns as arrays, in the trace's own order; what can't be read is NaN."""
    selected = ", ".join(
        f"{sql} as {identifier('_' + name)}" if name in _KEYS
        else f"ifNull(toFloat64({sql}), nan) as {identifier('_' + name)}"
        for name, sql in columns.items()
    )  # fmt: skip
    # One thread: rows come in the file's order.
    table = client.query_arrow(f"select {selected} from {relation}", settings={"max_threads": 1})
    if not table.num_rows:
        raise TreehouseError("The trace is empty.", expected="at least one request")
    return {name: table.column(i).to_numpy() for i, name in enumerate(columns)}


def check(columns: Mapping[str, NDArray[Any]]) -> None:
    """Refuse what is no number, below 0, or not in the order of time.

    Raises:
        TreehouseError: With the first request that is wrong.
    """
    for name, values in columns.items():
        if name in _KEYS:
            continue
        bad = ~np.isfinite(values) | ((values < 0) & (name != "time"))
        if bad.any():
            row = int(bad.argmax())
            raise TreehouseError(
                f"A {name} of the trace is not one.",
                value=f"{values[row]} in request {row + 1} ({int(bad.sum())} such)",
                expected=_EXPECTED.get(name, "a number, 0 or more"),
            )
    steps = np.diff(columns["time"])
    if (steps < 0).any():
        row = int((steps < 0).argmax()) + 1
        raise TreehouseError(
            "The trace is not in the order of time.",
            value=f"request {row + 1} is {-steps[row - 1]:g} s before request {row}",
            fix="sort it by time",
        )
