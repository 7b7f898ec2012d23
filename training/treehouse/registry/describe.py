"""All that the registry knows of one version."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier
from treehouse.registry.gates import read_gates
from treehouse.registry.versions import find_version, versions

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


def look(
    client: Client, settings: Settings, model: str, version: int | None = None
) -> dict[str, Any]:
    """A version's row with its gates, events and, for each column, what it saw.

    Args:
        client: Of the engine.
        settings: Where the registry is.
        model: The use case.
        version: By default, the champion of the present contract, else the newest.

    Raises:
        TreehouseError: There is no such version.
    """
    if version is None:
        known = versions(client, settings, model)
        known.sort(key=lambda v: (not v.is_champion, not v.fits_contract))
        version = known[0].version if known else 0
    found = asdict(find_version(client, settings, model, version))
    found["bundle"] = f"{found['bundle']:016x}"
    found["features"] = [{"name": name, "kind": kind} for name, kind in found["features"]]
    registry = identifier(settings.registry_database)
    of_version = "where model = {model:String} and version = {version:UInt32}"
    parameters = {"model": model, "version": version}
    events = client.query(
        f"select at, action, actor, reason from {registry}.events {of_version} order by at",
        parameters=parameters,
    )
    statistics = client.query(
        "select role, name, rows, nulls / rows as null_share, mean, quantiles[51] as median, "
        f"importance from {registry}.statistics {of_version} "
        "order by role, importance desc, name",
        parameters=parameters,
    )
    return found | {
        "gates": read_gates(client, settings, model, version),
        "events": list(events.named_results()),
        "statistics": list(statistics.named_results()),
    }
