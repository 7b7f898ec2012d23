"""What is there: engine, rows of the sources, quarantine, champions. Nothing here writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier
from treehouse.ingest.sources import column_in_table, read_sources
from treehouse.project import console
from treehouse.project.contract import contracts
from treehouse.project.errors import TreehouseError
from treehouse.registry.versions import Version, versions

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings


def read_status(client: Client, settings: Settings) -> dict[str, Any]:
    """Engine, sources (rows and newest time), quarantined rows, and each use case's champion.

    What is not there yet is None; `notice` says why there are no models.
    """
    published, notice = _published(client, settings)
    return {
        "target": settings.target,
        "engine": client.server_version,
        "home": str(settings.home) if settings.target == "embedded" else None,
        "sources": _sources(client, settings),
        "quarantined": _quarantined(client, settings),
        "models": [_model([v for v in published if v.model == name], name) for name in contracts()],
        "notice": notice,
    }


def _published(client: Client, settings: Settings) -> tuple[list[Version], str | None]:
    try:
        return versions(client, settings), None
    except TreehouseError as error:
        return [], f"{error.what} {error.fix}"


def _model(of_model: list[Version], name: str) -> dict[str, Any]:
    """The champion of the present contract, else of an older one."""
    answering = sorted(
        (v for v in of_model if v.is_champion), key=lambda v: (v.fits_contract, v.version)
    )
    return {
        "model": name,
        "versions": len(of_model),
        "champion": answering[-1].version if answering else None,
        "fits_contract": bool(answering) and answering[-1].fits_contract,
    }


def _quarantined(client: Client, settings: Settings) -> int | None:
    table = identifier(settings.raw_database) + ".quarantine"
    if not client.query(f"exists table {table}").result_rows[0][0]:
        return None
    return int(client.query(f"select count() from {table}").result_rows[0][0])


def _sources(client: Client, settings: Settings) -> list[dict[str, Any]]:
    found = []
    for source in read_sources(settings).values():
        rows, newest = None, None
        if client.query(f"exists table {source.qualified}").result_rows[0][0]:
            time = column_in_table(client, source, source.time)
            latest = f"maxOrNull({identifier(time)})" if time else "null"
            rows, newest = client.query(
                f"select count(), {latest} from {source.qualified}"
            ).result_rows[0]
        found.append(
            {
                "source": source.name,
                "table": f"{source.database}.{source.table}",
                "rows": rows,
                "newest": newest,
            }
        )
    return found


def show_status(status: dict[str, Any]) -> None:
    """The same for a terminal."""
    where = f" in {console.cell(status['home'])}" if status["home"] else ""
    console.out.print(f"{status['target']} engine: ClickHouse {status['engine']}{where}")
    console.show_table(
        ("source", "table", "rows", "newest (UTC)"),
        [(s["source"], s["table"], s["rows"], s["newest"]) for s in status["sources"]],
    )
    console.out.print(f"Quarantined rows: {console.cell(status['quarantined'])}")
    console.show_table(
        ("model", "versions", "champion", "fits the contract"),
        [
            (m["model"], m["versions"], m["champion"], "yes" if m["fits_contract"] else "no")
            for m in status["models"]
        ],
    )
    if status["notice"]:
        console.out.print(status["notice"], style="yellow", markup=False)
