"""Puts an engine back to how it was before Treehouse first used it."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client
from dbt.adapters.clickhouse.dbclient import _ensured_databases

from treehouse.clickhouse.client import identifier

_DATABASES = "name = 'simulation_truth' or name like 'treehouse%'"
_FUNCTIONS = (
    r"origin = 'SQLUserDefined' and (name like 'predict\_%' "
    "or name in ('variant', 'experiment_version', 'tier_decision', 'cache_decision'))"
)


def treehouse_databases(client: Client) -> list[str]:
    """The databases that Treehouse made, in any earlier run too."""
    rows = client.query(f"select name from system.databases where {_DATABASES}").result_rows
    return [row[0] for row in rows]


def drop_everything(client: Client) -> None:
    """Drop Treehouse's databases and SQL functions; model files stay, SQL can't remove them.

    dbt remembers for a whole process which databases are there, on whatever engine: it forgets.
    """
    _ensured_databases.clear()
    functions = client.query(f"select name from system.functions where {_FUNCTIONS}").result_rows
    for (name,) in functions:
        client.command(f"drop function {identifier(name)}")
    for name in treehouse_databases(client):
        client.command(
            f"drop database {identifier(name)} sync",
            settings={"check_table_dependencies": 0, "check_referential_table_dependencies": 0},
        )


def forget_queries(client: Client) -> None:
    """Empty the engine's logs of queries and parts; on a server, only its admin may."""
    client.command("system flush logs")
    for log in ("query_log", "part_log"):
        client.command(f"truncate table if exists system.{log}")
