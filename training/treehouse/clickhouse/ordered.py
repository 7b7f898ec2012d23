"""Logs whose last row decides: time goes on in them, whatever the clocks of engines do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


def next_time(client: Client, table: str, column: str = "at", **key: object) -> datetime:
    """When a row is written that is to come after all others of its key.

    The engine's clock, or a microsecond after the newest row where the clock went back or was
    ahead before. Two writers of one key must not ask at the same time: they take turns (turns.py).

    Args:
        client: Of the engine.
        table: Qualified name, as SQL.
        column: A DateTime64(6, 'UTC') that orders it.
        key: Columns with the value that the rows share; none for the whole table.
    """
    where = " and ".join(f"{name} = {{{name}:String}}" for name in key) or "1"
    at: datetime = client.query(
        "select greatest(now64(6, 'UTC'), (select ifNull(max(t." + column + "), "
        "toDateTime64(0, 6, 'UTC')) + toIntervalMicrosecond(1) "
        f"from {table} as t where {where}))",
        parameters=dict(key),
    ).result_rows[0][0]
    return utc(at)


def utc(at: datetime) -> datetime:
    """A time as the driver hands it over, with its zone: else it takes it for local time."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)
