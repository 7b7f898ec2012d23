"""The results of an experiment for a terminal: warnings, then the verdict, then the numbers."""

from __future__ import annotations

from typing import Any

from treehouse.experiments.results import Results, interval, p_value
from treehouse.project import console

_COLUMNS = ("metric", "variant", "units", "mean", "lift", "low", "high", "p", "verdict")


def show_results(found: Results) -> None:
    """Warnings, one sentence for each treatment, and the table of all metrics."""
    health = found.health
    for warning in health["warnings"]:
        console.out.print(f"[bold red]warning:[/] {console.cell(warning)}.")
    for verdict in found.verdicts:
        console.out.print(verdict, style="bold", markup=False)
    stopped = f", stopped {health['stopped_at']:%Y-%m-%d}" if health["stopped_at"] else ""
    console.show_table(
        _COLUMNS,
        [_cells(row, found.method) for row in found.chosen],
        title=f"{health['experiment']}: {health['state']} since {health['started_at']:%Y-%m-%d}"
        f"{stopped}, {health['units']:,} of {health['planned_units']:,} planned units, "
        f"{found.method.replace('_', ' ')}",
    )


def _cells(row: dict[str, Any], method: str) -> list[Any]:
    shares = (row["lift"], *interval(row, method))
    return [
        row["metric"] + (" (cuped)" if row["estimate"] == "cuped" else ""),
        row["variant"],
        row["units"],
        row["mean"],
        *(None if share is None else f"{share:+.2%}" for share in shares),
        p_value(row, method),
        row["verdict"],
    ]
