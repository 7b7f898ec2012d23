"""The storage policy that the embedded engine brings, and tables that change over to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

POLICY = "tiered"


def use_volumes(client: Client, database: str) -> int:
    """Give the tables of a database the policy `tiered`, where the engine has it.

    Returns:
        How many tables changed over.
    """
    found = client.query(
        "select name from system.tables where database = {database:String} "
        "and storage_policy = 'default' and engine like '%MergeTree' and {policy:String} in "
        "(select policy_name from system.storage_policies)",
        parameters={"database": database, "policy": POLICY},
    ).result_rows
    for (table,) in found:
        client.command(
            f"alter table {identifier(database)}.{identifier(table)} "
            f"modify setting storage_policy = '{POLICY}'"
        )
    return len(found)
