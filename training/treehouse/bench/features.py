"""`bench features`: from raw events to features and training set, beside the bare aggregation."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import connect_embedded, identifier
from treehouse.clickhouse.dbt import build
from treehouse.project.settings import Settings
from treehouse.simulation.app import simulate

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Record = dict[str, Any]


def run(
    settings: Settings, users: int = 1_000_000, report: Callable[..., None] | None = None
) -> list[Record]:
    """Simulate users in a home folder of its own, and time each stage.

    Returns:
        A record for each stage: ns_per_row and events_per_second over the events, ratio to the
        bare aggregation, peak_bytes of the process that holds the engine.
    """
    with tempfile.TemporaryDirectory(prefix="treehouse-bench-") as folder:
        own = replace(settings, home=Path(folder), target="embedded")
        client = connect_embedded(own)
        stages: dict[str, tuple[float, int]] = {}
        stages["simulate and insert"] = _timed(lambda: _simulate(client, own, users, report))
        build(own, [*_MODELS, "--select", "stg_installs", "user_daily"])  # and its view
        query = _view_query(client, own)
        stages["bare aggregation"] = _timed(
            lambda: client.raw_query(f"select * from ({query})", fmt="Null")
        )
        for stage, models in _STAGES.items():
            arguments = [word for model in models for word in ("--select", model)]
            stages[stage] = _timed(partial(build, own, [*_MODELS, *arguments], report))
        events = client.query(
            f"select count() from {identifier(own.raw_database)}.events"
        ).result_rows[0][0]
        client.close()
    bare = stages["bare aggregation"][0]
    return [
        {
            "bench": "features",
            "shape": f"{users} users",
            "contender": stage,
            "rows": events,
            "threads": os.cpu_count(),
            "ns_per_row": round(seconds / events * 1e9, 1),
            "ratio": round(seconds / bare, 3),
            "seconds": round(seconds, 2),
            "events_per_second": round(events / seconds),
            "peak_bytes": peak,
            "memory_bound": own.memory_bytes,
        }
        for stage, (seconds, peak) in stages.items()
    ]


def _simulate(
    client: Client, settings: Settings, users: int, report: Callable[..., None] | None
) -> None:
    def progress(done: int, total: int) -> None:
        if report:
            report("simulate", done, total)

    simulate(client, settings, users=users, progress=progress)


_MODELS = ("--full-refresh", "--resource-type", "model")
_STAGES = {
    "daily states (dbt)": ("user_daily",),
    "features (dbt)": ("ltv_observation", "ltv_features"),
    "training set (dbt)": ("ltv_training_set",),
}


def _view_query(client: Client, settings: Settings) -> str:
    """The aggregation that the materialized view runs."""
    rows = client.query(
        "select as_select from system.tables "
        "where database = {d:String} and name = 'user_daily_mv'",
        parameters={"d": settings.database},
    ).result_rows
    return str(rows[0][0])


def _timed(work: Callable[[], Any]) -> tuple[float, int]:
    """Seconds, and the most memory that this process held meanwhile in bytes (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return seconds, int(peak[1]) * 1024 if peak else 0
