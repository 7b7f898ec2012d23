"""The scorer's figures as bars, for the README: nanoseconds a row, logarithmic."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from treehouse.bench.extra import missing
from treehouse.project.errors import TreehouseError

Record = dict[str, Any]
_OURS = "#d97706"
_COLOURS = {
    "treehouse": _OURS,
    "onnxruntime": "#475569",
    "treelite gtil": "#94a3b8",
    "tl2cgen": "#cbd5e1",
}
_LIBRARY = "#2563eb"


def check_plot(path: Path) -> None:
    """Before anything is measured: a plot of this name can be drawn here.

    Raises:
        TreehouseError: Another suffix, or matplotlib is not installed.
    """
    if path.suffix not in (".svg", ".png"):
        raise TreehouseError(
            "The plot's file name does not say what it is.",
            value=str(path),
            expected="a name that ends in .svg or .png",
            fix=f"--plot {path.stem}.svg",
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing("matplotlib", error) from error


def draw(records: list[Record], path: Path, machine: str) -> None:
    """A panel of batches and one of single rows; a group of bars for each shape."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = sorted({r["rows"] for r in records}, reverse=True)
    longest = max(sum(r["rows"] == count for r in records) for count in counts)
    figure = Figure(figsize=(6.5 * len(counts), 1.4 + 0.3 * longest), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, count in zip(figure.subplots(1, len(counts), squeeze=False)[0], counts, strict=True):
        _panel(axes, [r for r in records if r["rows"] == count])
        axes.set_title(f"batches of {count:,} rows" if count > 1 else "single rows", loc="left")
    figure.suptitle(f"Time to score a row, one thread  ({machine}, {date.today()})", fontsize=11)
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, dpi=130, metadata=metadata)


def _panel(axes: Any, records: list[Record]) -> None:
    place, places, labels = 0.0, [], []
    for shape in dict.fromkeys(r["shape"] for r in records):
        group = sorted((r for r in records if r["shape"] == shape), key=lambda r: r["ns_per_row"])
        for record in group:
            value, name = record["ns_per_row"], record["contender"]
            axes.barh(place, value, height=0.85, color=_COLOURS.get(name, _LIBRARY))
            ratio = "" if name == "treehouse" else f"  {record['ratio']:,.3g}x"
            axes.text(value * 1.1, place, f"{_time(value)}{ratio}", va="center", fontsize=8)
            places.append(place)
            labels.append(f"{shape}: {name}" if record is group[0] else name)
            place += 1
        place += 0.8
    axes.set_xscale("log")
    axes.set_xlim(right=max(r["ns_per_row"] for r in records) * 12)
    axes.set_yticks(places, labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("nanoseconds a row (logarithmic)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)


def _time(ns: float) -> str:
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"
