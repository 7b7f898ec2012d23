"""A model's metrics for a terminal: against its baselines, by decile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from treehouse.project import console
from treehouse.project.scales import amount
from treehouse.report.summary import METRICS
from treehouse.spec.units import SYMBOLS

_COLUMNS = {
    "value": {
        "rmse": "RMSE{unit}",
        "mae": "MAE{unit}",
        "mape_payers": "MAPE payers",
        "gini": "Gini",
        "bias": "bias",
        "cohort_mape": "cohort MAPE",
    },
    "probability": {
        "log_loss": "log loss",
        "brier": "Brier",
        "auc": "AUC",
        "average_precision": "average precision",
        "calibration_error": "calibration error",
        "bias": "bias",
        "lift_1": "lift 1 %",
        "lift_5": "lift 5 %",
        "lift_10": "lift 10 %",
    },
    "classes": {"cost": "cost", "accuracy": "accuracy", "log_loss": "log loss"},
    "sequence": {
        "recall_1": "recall at 1",
        "recall_3": "at 3",
        "recall_5": "at 5",
        "mrr": "MRR",
        "log_loss": "log loss",
        "calibration_error": "calibration error",
    },
}
_COMPARED = {
    "value": ("rmse", "gini"),
    "probability": ("log_loss", "brier", "auc"),
    "classes": ("cost",),
    "sequence": ("recall_1", "recall_3", "recall_5"),
}
"""What the answer of predict_<use_case> is to be better in than the baselines."""
_OF_TYPICAL = "mae of typical"
_WHICH = (
    "value is the mean, for sums, bids and budgets: RMSE, Gini and bias judge it. "
    "typical is the median, for one row: MAE judges it."
)


def metric_rows(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Who is compared: the model, its baselines, and the best possible where it is known."""
    rows = [(f"model: value ({metrics['chosen']})", metrics["model"])]
    for name, title in (("typical", "typical (median)"), ("uncalibrated", "before calibration")):
        if name in metrics:
            rows.append((f"model: {title}", metrics[name]))
    rows += metrics["baselines"].items()
    if "best_possible" in metrics:
        rows.append(("best possible", metrics["best_possible"]))
    if "best_possible_typical" in metrics:
        rows.append(("best possible: typical", metrics["best_possible_typical"]))
    return rows


def show_metrics(model: str, metrics: Mapping[str, Any]) -> None:
    """The table of metrics, what is particular to the task, and lift by decile as bars."""
    task = metrics["task"]
    unit = SYMBOLS.get(metrics.get("unit", ""), "")
    columns = {
        key: title.format(unit=f" {unit}" if unit else "") for key, title in _COLUMNS[task].items()
    }
    rows = [(name, dict(row)) for name, row in metric_rows(metrics)]
    if task == "classes":
        for name in metrics["model"]["recall"]:
            columns[f"recall {name}"] = f"recall {name}"
        rows = [
            (name, row | {f"recall {of}": share for of, share in row["recall"].items()})
            for name, row in rows
        ]
    console.show_table(
        ("", *columns.values()),
        [(name, *(row.get(key) for key in columns)) for name, row in rows],
        title=f"{model}: {metrics['rows']:,} test rows{_share(metrics)}",
    )
    if "typical" in metrics:
        console.out.print(_WHICH)
    for title in ("label", "history"):
        if text := metrics.get(title):
            console.out.print(f"{title.capitalize()}: {escape(text)}")
    if metrics.get("interval", {}).get("width") is not None:
        interval = metrics["interval"]
        console.out.print(
            f"Interval: {interval['coverage']:.1%} of the labels inside "
            f"(target {interval['target']:.6g}), "
            f"{amount(interval['width'], metrics.get('unit', 'number'))} wide on average"
        )
    if "calibration" in metrics:
        console.out.print(f"Calibrated by: {metrics['calibration']['method']}")
    _show_lift(metrics["model"].get("deciles", []))
    for trainer, command in metrics.get("left_out", {}).items():
        console.out.print(
            f"[yellow]{trainer} is not installed and was not tried:[/] {escape(command)}"
        )
    if empty := metrics.get("carry_nothing"):
        told = f"{', '.join(empty)}. Why: ./treehouse profile events, installs or purchases"
        console.out.print(f"[yellow]Carry nothing:[/] {escape(told)}")
    for name, why in metrics.get("not_fitted", {}).items():
        console.out.print(f"[yellow]{escape(name)} was left out:[/] {escape(why)}")
    show_groups(model, metrics)
    for name, further in metrics.get("also", {}).items():
        show_metrics(f"{model}: {name}", further)


def show_groups(model: str, metrics: Mapping[str, Any]) -> None:
    """The model in each group of rows, and the best baseline where one is compared with."""
    if not metrics.get("groups"):
        return
    columns, compared = _COLUMNS[metrics["task"]], _COMPARED[metrics["task"]]
    titles = [
        title for key in columns for title in (columns[key], *["best baseline"][: key in compared])
    ]
    rows = [
        (name, group["rows"], *(cell for key in columns for cell in _beside(group, key, compared)))
        for name, group in metrics["groups"].items()
    ]
    console.show_table(("", "rows", *titles), rows, title=f"{model} by group of the test rows")


def _beside(group: Mapping[str, Any], key: str, compared: tuple[str, ...]) -> list[Any]:
    """A metric of the model and, where it is compared, the best among the baselines."""
    if key not in compared:
        return [group["model"][key]]
    others = (row[key] for row in group["baselines"].values())
    return [group["model"][key], min(others, key=METRICS[key].loss, default=None)]


def _share(metrics: Mapping[str, Any]) -> str:
    model = metrics["model"]
    if "zero_share" in model:
        return f", {model['zero_share']:.1%} of them zero"
    return f", {model['base_rate']:.1%} of them yes" if "base_rate" in model else ""


def _show_lift(deciles: list[Mapping[str, float]]) -> None:
    if not deciles:
        return
    labels = [f"{10 * (i + 1):>3} %" for i in range(len(deciles))]
    console.out.print("Lift by decile of the prediction, best first (1 = the mean):")
    for line in console.bars([decile["lift"] for decile in deciles], labels):
        console.out.print("  " + line)


def beaten(metrics: Mapping[str, Any]) -> dict[str, dict[str, bool]]:
    """Baseline to whether the model is better, by metric: each answer by what it is made for."""
    found: dict[str, dict[str, bool]] = {}
    for name, row in metrics["baselines"].items():
        found[name] = {}
        for metric in _COMPARED[metrics["task"]]:
            ours, theirs = metrics["model"][metric], row[metric]
            if ours is not None and theirs is not None:
                loss = METRICS[metric].loss
                found[name][metric] = loss(ours) < loss(theirs)
        if "typical" in metrics:
            found[name][_OF_TYPICAL] = metrics["typical"]["mae"] < row["mae"]
    return found
