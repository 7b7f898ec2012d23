"""dbt on the embedded engine: dbt-clickhouse with another way to make its client.

ClickHouse/dbt-clickhouse#693 proposes a `driver: chdb` of its own; should it ship, this goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt.adapters.base import AdapterPlugin
from dbt.adapters.clickhouse import ClickHouseAdapter, ClickHouseConnectionManager
from dbt.adapters.clickhouse.credentials import ClickHouseCredentials
from dbt.adapters.clickhouse.httpclient import ChHttpClient

from treehouse.clickhouse.client import connect_embedded
from treehouse.project.settings import Settings


@dataclass
class ChdbCredentials(ClickHouseCredentials):
    """dbt-clickhouse's credentials without a network. Where the data is: TREEHOUSE_HOME."""

    database_engine: str | None = "Atomic"

    @property
    def type(self) -> str:
        return "chdb"

    def _connection_keys(self) -> tuple[str, ...]:
        return ("schema",)


class ChdbClient(ChHttpClient):
    """One handle of the engine for one dbt thread."""

    def _create_client(self, _: ChdbCredentials) -> Any:
        # The engine has no sessions, and drops query ids: queries are found by their comment.
        settings = {k: v for k, v in self._conn_settings.items() if k != "session_id"}
        self.tag = self._conn_settings["session_id"]
        return connect_embedded(
            Settings.from_environment("embedded"), settings | {"log_comment": self.tag}
        )

    @staticmethod
    def _inject_query_id(kwargs: dict[str, Any]) -> None:
        kwargs.pop("query_id", None)


class ChdbConnectionManager(ClickHouseConnectionManager):
    """Opens handles instead of connections."""

    TYPE = "chdb"

    @classmethod
    def open(cls, connection: Any) -> Any:
        if connection.state != "open":
            connection.handle = ChdbClient(connection.credentials)
            connection.state = "open"
        return connection

    def cancel(self, connection: Any) -> None:
        client = connect_embedded(Settings.from_environment("embedded"))
        client.command(
            "kill query where Settings['log_comment'] = {tag:String} async",
            parameters={"tag": connection.handle.tag},
        )
        client.close()


class ChdbAdapter(ClickHouseAdapter):
    """dbt-clickhouse's adapter on the embedded engine."""

    ConnectionManager = ChdbConnectionManager


Plugin = AdapterPlugin(
    adapter=ChdbAdapter,
    credentials=ChdbCredentials,
    include_path=str(Path(__file__).parent / "include"),
    dependencies=["clickhouse"],
)
