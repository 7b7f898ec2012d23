"""The tables of the simulated shop: hot and cold ones, partitioned by day and by month."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from clickhouse_connect.driver.client import Client

DATABASE = "treehouse_workload"
HISTORY_DAYS = 60  # of the tables by day, before the start
HISTORY_MONTHS = 24  # of the tables by month

# Rows are functions of their number: equal arguments give equal tables.
_COLUMNS = {
    "visits": (
        "at DateTime('UTC'), customer UInt32, page LowCardinality(String), "
        "country LowCardinality(String), device LowCardinality(String), seconds UInt16",
        "cityHash64(number, 1) % 20000, ['home', 'list', 'item', 'cart', 'pay', 'help']"
        "[cityHash64(number, 2) % 6 + 1], ['DE', 'FR', 'US', 'JP', 'BR', 'IN', 'GB', 'ES']"
        "[toUInt8(sqrt(cityHash64(number, 3) % 64)) + 1], ['phone', 'desktop', 'tablet']"
        "[cityHash64(number, 4) % 3 + 1], cityHash64(number, 5) % 600",
    ),
    "orders": (
        "at DateTime('UTC'), customer UInt32, product UInt16, country LowCardinality(String), "
        "amount_usd Decimal(18, 2), is_returned Bool",
        "cityHash64(number, 1) % 20000, toUInt16(sqrt(cityHash64(number, 2) % 250000)), "
        "['DE', 'FR', 'US', 'JP', 'BR', 'IN', 'GB', 'ES']"
        "[toUInt8(sqrt(cityHash64(number, 3) % 64)) + 1], "
        "toDecimal64(cityHash64(number, 4) % 30000 / 100, 2), cityHash64(number, 5) % 20 = 0",
    ),
    "stock": (
        "at DateTime('UTC'), product UInt16, warehouse LowCardinality(String), pieces Int32",
        "cityHash64(number, 1) % 500, ['north', 'south', 'east', 'west']"
        "[cityHash64(number, 2) % 4 + 1], toInt32(cityHash64(number, 3) % 1000)",
    ),
    "tickets": (
        "at DateTime('UTC'), customer UInt32, topic LowCardinality(String), hours_open Float32",
        "cityHash64(number, 1) % 20000, ['delivery', 'refund', 'login', 'other']"
        "[cityHash64(number, 2) % 4 + 1], cityHash64(number, 3) % 4000 / 10",
    ),
}
_BY_MONTH = ("stock", "tickets")
_ROWS_AN_HOUR = {"visits": 400, "orders": 60}
_ROWS_A_MONTH = 4_000
PRODUCTS = 500


def create_shop(client: Client, start: datetime, scale: float = 1.0) -> None:
    """Make the tables anew, with the history up to `start`, which is when it comes in.

    `scale` is a factor of the rows, but for those of products.
    """
    comment = {"log_comment": json.dumps({"at": start.isoformat()})}
    client.command(f"drop database if exists {DATABASE} sync")
    client.command(f"create database {DATABASE} engine = Atomic")
    for table, (columns, _) in _COLUMNS.items():
        unit = "toYYYYMM" if table in _BY_MONTH else "toYYYYMMDD"
        order = "(country, at)" if "country" in columns else "at"
        client.command(
            f"create table {DATABASE}.{table} ({columns}) engine = MergeTree "
            f"partition by {unit}(at) order by {order}"
        )
    client.command(
        f"create table {DATABASE}.products (product UInt16, name String, category String) "
        "engine = MergeTree order by product"
    )
    client.command(
        f"insert into {DATABASE}.products select number, concat('product ', toString(number)), "
        f"['shoes', 'shirts', 'hats', 'bags', 'toys'][number % 5 + 1] from numbers({PRODUCTS})",
        settings=comment,
    )
    for table, rows in _ROWS_AN_HOUR.items():
        hours = HISTORY_DAYS * 24
        begin = start - timedelta(hours=hours)
        client.command(_insert(table, begin, hours, rows * scale, 3600), settings=comment)
    seconds = 30 * 86_400
    for table in _BY_MONTH:
        first = start - timedelta(seconds=seconds * HISTORY_MONTHS)
        client.command(
            _insert(table, first, HISTORY_MONTHS, _ROWS_A_MONTH * scale, seconds), settings=comment
        )


def ingest(until: datetime, hours: int = 1, scale: float = 1.0) -> list[str]:
    """Statements that insert the rows of the hours before `until`."""
    begin = until - timedelta(hours=hours)
    return [
        _insert(table, begin, hours, rows * scale, 3600) for table, rows in _ROWS_AN_HOUR.items()
    ]


def _insert(table: str, begin: datetime, periods: int, rows_each: float, seconds: int) -> str:
    """Rows evenly over `periods` of `seconds` each, from `begin` on; at night there are fewer."""
    rows = max(1, round(rows_each))
    first = int(begin.timestamp()) // seconds * rows
    offset = f"intDiv((number - {first}) * {seconds}, {rows})"
    return (
        f"insert into {DATABASE}.{table} "
        f"select toDateTime({int(begin.timestamp())}, 'UTC') + {offset} as at, "
        f"{_COLUMNS[table][1]} "
        f"from numbers({first}, {periods * rows}) "
        f"where toHour(at) between 7 and 23 or cityHash64(number, 9) % 4 = 0"
    )
