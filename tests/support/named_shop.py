"""A small shop whose dashboard asks named queries with parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import literal
from treehouse.platform.result_cache.config import ResultCache
from treehouse.platform.result_cache.fill import upkeep
from treehouse.project.settings import Settings

SHOP = "treehouse_shop"
_WHERE = (
    f"from {SHOP}.orders where at >= {{since:DateTime('UTC')}} "
    "and ({country:String} = '' or country = {country:String})"
)
GIVEN: dict[str, Any] = {
    "database": "treehouse_results",
    "tables": {f"{SHOP}.orders": 600},
    "dashboards": {},
    "users": {},
    "store_ms": 1,
    "most_bytes": 10_000_000,
    "most_seconds": 60,
    "pass_seconds": 60,
    "queries": {
        "total": {
            "sql": f"select count() as n {_WHERE}", "dashboard": "sales", "panel": "total",
        },
        "by_country": {
            "sql": f"select country, count() as n {_WHERE} group by country",
            "dashboard": "sales", "panel": "by_country",
        },
    },
}  # fmt: skip
SINCE = "2026-06-01 00:00:00"
OPENED = {"country": "", "since": SINCE}
DRILLED = {"country": "it's \\ JP", "since": SINCE}


def empty_shop(client: Client, columns: str) -> None:
    """Orders of these columns and of that storage, without a row, and no store."""
    for database in (SHOP, "treehouse_results", "treehouse_results_own"):
        client.command(f"drop database if exists {database} sync")
    client.command(f"create database {SHOP} engine = Atomic")
    client.command(f"create table {SHOP}.orders {columns}")


def open_named_shop(client: Client, settings: Settings) -> ResultCache:
    """Three orders, an empty store, and the views."""
    columns = "(at DateTime('UTC'), country LowCardinality(String))"
    empty_shop(client, f"{columns} engine = MergeTree order by at")
    client.command(f"insert into {SHOP}.orders select '2026-06-02 00:00:00', 'JP' from numbers(3)")
    cache = ResultCache.configured(GIVEN)
    upkeep(client, settings, cache)
    return cache


def ask(client: Client, name: str, arguments: Mapping[str, str], **comment: str) -> Any:
    """Rows of a named query, asked through its view; `comment` is the log_comment."""
    named = ", ".join(f"{parameter} = {literal(value)}" for parameter, value in arguments.items())
    return client.query(
        f"select * from treehouse_results.{name}({named})",
        settings={"log_comment": json.dumps(comment)} if comment else {},
    ).result_rows
