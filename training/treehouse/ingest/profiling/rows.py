"""Rows to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier
from treehouse.ingest.sources import Source

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


@dataclass(frozen=True)
class Rows:
    """A table, or a query in brackets, with the columns of a source's contract."""

    client: Client
    settings: Settings
    source: Source
    relation: str

    def ask(self, what: str) -> list[tuple[Any, ...]]:
        """Rows of a query over them."""
        found = self.client.query(f"select {what} from {self.relation}")
        return [tuple(row) for row in found.result_rows]

    @property
    def user(self) -> str:
        """Who a row is of, quoted."""
        names = [column.name for column in self.source.columns]
        return identifier(next(name for name in names if name in ("user_id", "customer_id")))
