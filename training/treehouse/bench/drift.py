"""`bench drift`: all of a model's features against stored statistics, beside the bare means."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treehouse.clickhouse.client import connect_embedded, run_script
from treehouse.monitor.measure import macros
from treehouse.monitor.state import ensure_monitoring
from treehouse.project.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.console import Report

FEATURES = tuple(f"f{i}" for i in range(15))


def run(
    settings: Settings, counts: tuple[int, ...], rounds: int = 3, report: Report | None = None
) -> list[dict[str, Any]]:
    """Time drift_query() over tables of 15 numeric features and the prediction, a sum of two.

    Returns:
        A record for each count and contender: median ns_per_row, ratio to the means alone.
    """
    records = []
    with tempfile.TemporaryDirectory(prefix="treehouse-bench-") as folder:
        own = replace(settings, home=Path(folder), target="embedded")
        client = connect_embedded(own)
        _prepare(client, own)
        for rows in counts:
            if report:
                report(f"{rows:,} rows", None, None)
            _fill(client, rows)
            records += _measured(client, own, rows, rounds)
        client.close()
    return records


def _measured(client: Client, settings: Settings, rows: int, rounds: int) -> list[dict[str, Any]]:
    what = {
        "model": "bench",
        "features": [{"name": name, "kind": "numeric"} for name in FEATURES],
        "head": "value",
        "contract": "",
        "registry": settings.registry_database,
    }
    means = ", ".join(f"avg({name})" for name in FEATURES)
    contenders = {
        "drift": str(macros().drift_query(what, "default.bench", 1)),
        "means alone": f"select {means} from default.bench",
    }
    seconds = {name: _median(client, query, rounds) for name, query in contenders.items()}
    return [
        {
            "bench": "drift",
            "shape": f"{rows} rows x {len(FEATURES)} features",
            "contender": name,
            "rows": rows,
            "threads": os.cpu_count(),
            "ns_per_row": round(taken / rows * 1e9, 1),
            "ratio": round(taken / seconds["drift"], 3),
            "seconds": round(taken, 2),
        }
        for name, taken in seconds.items()
    ]


def _median(client: Client, query: str, rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        client.query(query)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _prepare(client: Client, settings: Settings) -> None:
    """Statistics as of 100,000 rows of the same distributions, and a model of the engine's own."""
    ensure_monitoring(client, settings)
    client.command(f"create function predict_bench as ({', '.join(FEATURES)}) -> f0 + f1")
    _fill(client, 100_000)
    percents = ", ".join(f"{i / 100}" for i in range(101))
    columns = [*((name, "feature", name) for name in FEATURES), ("f0 + f1", "prediction", "value")]
    run_script(
        client,
        (
            f"insert into {settings.registry_database}.statistics (model, version, role, name, "
            "kind, rows, mean, deviation, quantiles, edges, shares) "
            f"select 'bench', 1, '{role}', '{name}', 'numeric', count(), avg({sql}), "
            f"stddevSamp({sql}), quantilesExactInclusive({percents})({sql}) as points, "
            "arrayMap(i -> points[i], range(11, 101, 10)), arrayWithConstant(10, 0.1) "
            "from default.bench"
            for sql, role, name in columns
        ),
    )


def _fill(client: Client, rows: int) -> None:
    columns = ", ".join(f"randNormal({i}, {1 + i}) as {name}" for i, name in enumerate(FEATURES))
    client.command(
        "create or replace table default.bench engine = MergeTree order by tuple() as "
        f"select {columns} from numbers({rows})"
    )
