"""What the demo fills the sources with: a simulated platform, and a real purchase log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import identifier, literal
from treehouse.platform.tiering.volumes import use_volumes
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.console import Report
    from treehouse.project.settings import Settings
    from treehouse.spec import Spec

Rows = dict[str, int]


def fill_sources(
    client: Client, settings: Settings, spec: Spec, options: Mapping[str, Any], report: Report
) -> Rows:
    """Load what the demo of a spec takes; rows of each table.

    Raises:
        TreehouseError: The spec names data that is not here.
    """
    if not spec.demo:
        return {}
    if spec.demo not in FILLERS:
        raise TreehouseError(
            f"The demo does not have the data of {spec.use_case}.",
            value=spec.demo,
            expected=" or ".join(FILLERS),
            fix=f"correct `demo` in training/specs/{spec.use_case}.py, or leave it out",
        )
    return FILLERS[spec.demo](client, settings, options, report)


def simulated_platform(
    client: Client, settings: Settings, options: Mapping[str, Any], report: Report
) -> Rows:
    """Fill events and installs by simulation; rows of each table. `options`: users."""
    from treehouse.simulation.app import simulate

    result = simulate(
        client,
        settings,
        users=options["users"],
        progress=lambda done, total: report("users", done, total),
    )
    return {"installs": result.installs, "events": result.events}


def real_purchases(
    client: Client, settings: Settings, _: Mapping[str, Any], report: Report
) -> Rows:
    """Fill purchases with the CDNOW log; what became of its rows."""
    from treehouse.ingest.cdnow import load_cdnow

    result = load_cdnow(client, settings, progress=report)
    return {
        "purchases": result.loaded + result.duplicate,
        "purchases_loaded": result.loaded,
        "purchases_duplicate": result.duplicate,
        "purchases_quarantined": result.quarantined,
    }


def shop_workload(client: Client, settings: Settings, _: Mapping[str, Any], report: Report) -> Rows:
    """Ask what the people of a simulated shop ask, on tables in three volumes where there are such.

    What an earlier demo left is not run again.
    """
    from treehouse.platform.query_log.collect import ensure_engine_tables
    from treehouse.simulation.shop.plan import Options
    from treehouse.simulation.shop.run import run_workload
    from treehouse.simulation.shop.shop import DATABASE

    ensure_engine_tables(client, settings)
    queries = f"{identifier(settings.raw_database)}.engine_queries"
    counted = f"select count() from {queries} where has(databases, {literal(DATABASE)})"
    there = client.query(counted).result_rows[0][0]
    if not there:
        plan = Options(
            hours=24 * 56, sessions=8, people=15, wall_minutes=1440, panels=1, meetings=0,
            load_hours=24,
        )  # fmt: skip
        run_workload(
            settings, plan, clients=2, replace=True,
            progress=lambda done, total: report("statements", done, total),
        )  # fmt: skip
        use_volumes(client, DATABASE)
        there = client.query(counted).result_rows[0][0]
    return {"queries": there}


FILLERS: dict[str, Callable[[Client, Settings, Mapping[str, Any], Report], Rows]] = {
    "simulated_platform": simulated_platform,
    "real_purchases": real_purchases,
    "shop_workload": shop_workload,
}
"""By the name that `demo` of a spec has."""
