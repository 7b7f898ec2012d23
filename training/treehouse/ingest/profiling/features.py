"""Features that carry nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treehouse.clickhouse.client import identifier
from treehouse.clickhouse.ddl import is_there

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.contract import Contract
    from treehouse.project.settings import Settings


def empty_features(client: Client, settings: Settings, contract: Contract, part: str) -> list[str]:
    """Features that carry nothing: the same in every row, or null in every row.

    Args:
        part: "features", or "training_set", of which the training rows count.
    """
    name = f"{contract.use_case}_{part}"
    features = [f for f in contract.features if f.kind in ("numeric", "categorical")]
    if not features or not is_there(client, settings.database, name):
        return []
    where = "split = 'train'" if part == "training_set" else "1"
    asked = ", ".join(
        f"uniqUpTo(1)(ifNull(toString({identifier(f.name)}), 'null')), "
        f"any(ifNull(toString({identifier(f.name)}), 'null'))"
        for f in features
    )
    count, *found = client.query(
        f"select count(), {asked} from {identifier(settings.database)}.{identifier(name)} "
        f"where {where}"
    ).result_rows[0]
    if count < 2:
        return []
    pairs = zip(features, found[::2], found[1::2], strict=True)
    return [
        f"{f.name} is always {value or 'empty'}" for f, distinct, value in pairs if distinct <= 1
    ]
