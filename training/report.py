"""A model's metrics for a terminal: against its baselines, by decile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training import console

_COLUMNS = {
    "mae": "MAE $",
    "rmse": "RMSE $",
    "mape_payers": "MAPE payers",
    "gini": "Gini",
    "bias": "bias",
    "cohort_mape": "cohort MAPE",
}


def metric_rows(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Who is compared: the model, its baselines, and the best possible where it is known."""
    rows = [
        (f"model: value ({metrics['chosen']})", metrics["model"]),
        ("model: typical (median)", metrics["typical"]),
        *metrics["baselines"].items(),
    ]
    if "best_possible" in metrics:
        rows.append(("best possible", metrics["best_possible"]))
    return rows


def show_metrics(model: str, metrics: Mapping[str, Any]) -> None:
    """The table of metrics, the interval's coverage, and lift by decile as bars."""
    console.show_table(
        ("", *_COLUMNS.values()),
        [(name, *(row.get(key) for key in _COLUMNS)) for name, row in metric_rows(metrics)],
        title=f"{model}: {metrics['rows']:,} test rows, "
        f"{metrics['model']['zero_share']:.1%} of them zero",
    )
    interval = metrics["interval"]
    console.out.print(
        f"Interval: {interval['coverage']:.1%} of the labels inside "
        f"(target {interval['target']:.0%}), {interval['width']:,.2f} USD wide on average"
    )
    deciles = metrics["model"]["deciles"]
    labels = [f"{10 * (i + 1):>3} %" for i in range(len(deciles))]
    console.out.print("Lift by decile of the prediction, best first (1 = the mean):")
    for line in console.bars([decile["lift"] for decile in deciles], labels):
        console.out.print("  " + line)


def beaten(metrics: Mapping[str, Any]) -> dict[str, dict[str, bool]]:
    """Baseline to whether the model is better in MAE (its typical value), RMSE and Gini."""
    return {
        name: {
            "mae": metrics["typical"]["mae"] < row["mae"],
            "rmse": metrics["model"]["rmse"] < row["rmse"],
            "gini": metrics["model"]["gini"] > row["gini"],
        }
        for name, row in metrics["baselines"].items()
    }
