"""What came of answers that were asked in advance: models/prefetch/prefetch_answers.sql."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import is_there
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


def history(client: Client, settings: Settings, limit: int) -> list[dict[str, Any]]:
    """Every answer, the newest first: name, user, stored_at, cost_ms, times_read, outcome, ..."""
    return read_model(client, settings, "prefetch_answers", "stored_at", limit)


def read_model(
    client: Client, settings: Settings, model: str, order: str, limit: int
) -> list[dict[str, Any]]:
    """Rows of one of the views in models/prefetch/, those of the highest `order` first.

    Raises:
        TreehouseError: It is not built.
    """
    if not is_there(client, settings.database, model):
        raise TreehouseError(
            "The models of prefetch are not built.",
            value=f"{settings.database}.{model} is missing",
            fix="./treehouse build --select +path:models/prefetch",
        )
    result = client.query(
        f"select * from {identifier(settings.database)}.{identifier(model)} "
        f"order by {identifier(order)} desc limit {{n:UInt32}}",
        parameters={"n": limit},
    )
    return list(result.named_results())
