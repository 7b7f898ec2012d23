"""Where the engine's logs are, and how they read as relations whatever the release has of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from treehouse.clickhouse.client import identifier, literal
from treehouse.project.settings import Settings, profile

# What is read of each, with types. An older release, or an export, may lack some of them.
QUERY_LOG = {
    "hostname": "String",
    "type": "String",
    "event_time": "DateTime64(6)",
    "event_time_microseconds": "DateTime64(6)",
    "query_start_time_microseconds": "DateTime64(6)",
    "query_duration_ms": "UInt64",
    "read_rows": "UInt64",
    "read_bytes": "UInt64",
    "written_rows": "UInt64",
    "result_rows": "UInt64",
    "result_bytes": "UInt64",
    "memory_usage": "UInt64",
    "current_database": "String",
    "query": "String",
    "query_kind": "String",
    "databases": "Array(String)",
    "tables": "Array(String)",
    "columns": "Array(String)",
    "partitions": "Array(String)",
    "exception_code": "Int32",
    "is_initial_query": "UInt8",
    "is_internal": "UInt8",
    "user": "String",
    "initial_user": "String",
    "query_id": "String",
    "initial_query_id": "String",
    "log_comment": "String",
}
PART_LOG = {
    "hostname": "String",
    "event_type": "String",
    "event_time": "DateTime64(6)",
    "event_time_microseconds": "DateTime64(6)",
    "query_id": "String",
    "database": "String",
    "table": "String",
    "partition_id": "String",
    "part_name": "String",
    "rows": "UInt64",
    "size_in_bytes": "UInt64",
    "disk_name": "String",
    "error": "UInt16",
}
PARTS = {
    "hostname": "String",
    "active": "UInt8",
    "database": "String",
    "table": "String",
    "partition_id": "String",
    "disk_name": "String",
    "rows": "UInt64",
    "bytes_on_disk": "UInt64",
    "data_uncompressed_bytes": "UInt64",
    "modification_time": "DateTime",
}


@dataclass(frozen=True)
class Logs:
    """Where the logs are.

    Attributes:
        database: Database of query_log, part_log and parts.
        cluster: All of its nodes are read; empty for this node alone.
    """

    database: str = "system"
    cluster: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Logs:
        """The engine's own, on the cluster that profiles.yml names for the target, if any."""
        return cls(cluster=str(profile(settings.target).get("cluster") or ""))

    def relation(self, client: Client, table: str, columns: Mapping[str, str]) -> str | None:
        """A log as a relation with all of `columns`, or None where the engine does not have it.

        An upgrade renames a log to query_log_0 and so on; those are read too.
        """
        there = client.query(
            "select name from system.columns where database = {database:String} "
            "and table = {table:String}",
            parameters={"database": self.database, "table": table},
        ).result_rows
        if not there:
            return None
        source = f"merge({literal(self.database)}, {literal(f'^{table}(_[0-9]+)?$')})"
        if self.cluster:
            source = f"clusterAllReplicas({literal(self.cluster)}, {source})"
        defaults = {"hostname": "hostName()"}
        return completed(source, {name for (name,) in there}, columns, defaults)

    def flush(self, client: Client) -> None:
        """Have this node write what its logs still hold in memory; others do so in seconds."""
        client.command("system flush logs")


def completed(
    source: str, there: Collection[str], columns: Mapping[str, str], defaults: Mapping[str, str]
) -> str:
    """A relation with all of `columns`; what is not there has a default of SQL, or is empty."""
    selected = []
    for name, kind in columns.items():
        empty = f"defaultValueOfTypeName({literal(kind)})"
        value = f"{defaults.get(name, empty)} as " if name not in there else ""
        selected.append(value + identifier(name))
    return f"(select {', '.join(selected)} from {source})"
