"""What is there: engine, rows of the sources, quarantine, champions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training import console
from training.contract import contracts
from training.engine import identifier
from training.intake.sources import ensure_raw, read_sources
from training.registry import ensure_registry, versions

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.settings import Settings


def read_status(client: Client, settings: Settings) -> dict[str, Any]:
    """Engine, sources (rows and newest time), quarantined rows, and each use case's champion."""
    ensure_raw(client, settings)
    ensure_registry(client, settings)
    published = versions(client, settings)
    return {
        "target": settings.target,
        "engine": client.server_version,
        "home": str(settings.home) if settings.target == "embedded" else None,
        "sources": _sources(client, settings),
        "quarantined": client.query(
            f"select count() from {identifier(settings.raw_database)}.quarantine"
        ).result_rows[0][0],
        "models": [
            {
                "model": name,
                "versions": sum(v.model == name for v in published),
                "champion": next(
                    (v.version for v in published if v.model == name and v.is_champion), None
                ),
                "fits_contract": any(
                    v.is_champion and v.contract == contract.hash
                    for v in published
                    if v.model == name
                ),
            }
            for name, contract in contracts().items()
        ],
    }


def _sources(client: Client, settings: Settings) -> list[dict[str, Any]]:
    found = []
    for source in read_sources(settings).values():
        rows, newest = client.query(
            f"select count(), maxOrNull({identifier(source.time)}) from {source.qualified}"
        ).result_rows[0]
        found.append(
            {"source": source.name, "table": source.qualified, "rows": rows, "newest": newest}
        )
    return found


def show_status(status: dict[str, Any]) -> None:
    """The same for a terminal."""
    where = f" in {status['home']}" if status["home"] else ""
    console.out.print(f"{status['target']} engine: ClickHouse {status['engine']}{where}")
    console.show_table(
        ("source", "table", "rows", "newest (UTC)"),
        [(s["source"], s["table"], s["rows"], s["newest"]) for s in status["sources"]],
    )
    console.out.print(f"Quarantined rows: {status['quarantined']:,}")
    console.show_table(
        ("model", "versions", "champion", "fits the contract"),
        [
            (m["model"], m["versions"], m["champion"], "yes" if m["fits_contract"] else "no")
            for m in status["models"]
        ],
    )
