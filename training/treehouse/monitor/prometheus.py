"""Prometheus' text format: the engine writes it, from the view `prometheus_metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import is_there
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

_HANDLER = """\
<!-- For config.d/ of a ClickHouse server: GET /treehouse/metrics, as the user of the request. -->
<clickhouse>
  <http_handlers>
    <rule>
      <url>/treehouse/metrics</url>
      <methods>GET</methods>
      <handler>
        <type>predefined_query_handler</type>
        <query>{query} format Prometheus</query>
      </handler>
    </rule>
    <defaults/>
  </http_handlers>
</clickhouse>
"""


def read_metrics(client: Client, settings: Settings) -> str:
    """The metrics of the last run, as text.

    Raises:
        TreehouseError: The view is not built.
    """
    if not is_there(client, settings.database, "prometheus_metrics"):
        raise TreehouseError(
            "The view of the metrics is not there.",
            value=f"{settings.database}.prometheus_metrics",
            fix="./treehouse build -s monitoring",
        )
    return client.raw_query(_query(settings), fmt="Prometheus").decode()


def handler_rule(settings: Settings) -> str:
    """The configuration by which a ClickHouse server serves the metrics itself."""
    return _HANDLER.format(query=escape(_query(settings)))


def _query(settings: Settings) -> str:
    """Lines of one metric must stand together."""
    database = identifier(settings.database)
    return (
        "select name, value, help, type, labels "
        f"from {database}.prometheus_metrics order by name, labels"
    )
