"""What became of the version, made ready to be drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treehouse.experiments.results import interval
from treehouse.project import scales
from treehouse.project.scales import NOTHING, figure, percent
from treehouse.report import life, summary
from treehouse.report.subject import Subject

if TYPE_CHECKING:
    from treehouse.monitor.state import Alert

_ALERTS = 12
_PAST = {
    "promote": "promoted",
    "rollback": "rolled back to",
    "retire": "retired",
    "collect": "cleared away",
}


def drift_view(found: dict[str, Any]) -> dict[str, Any]:
    """Columns with their shift in words, and which of them moved."""
    rows = found["columns"]
    for row in rows:
        shift = row["mean_shift"]
        row["shift"] = NOTHING if shift is None else f"{shift:+.2f} sd".replace("-", scales.MINUS)
    moved = [row["name"] for row in rows if (row["psi"] or 0) > 0.1]
    lead = f"{len(moved)} of {len(rows)} columns differ from the training: {', '.join(moved[:5])}."
    if not moved:
        lead = f"None of {len(rows)} columns differs from the training to speak of."
    top = max([row["psi"] or 0 for row in rows] + [0.25])
    return found | {"lead": lead, "top": top}


def alerts_view(found: list[Alert]) -> dict[str, Any]:
    """All that are open, and as many rows as are shown."""
    return {"open": [a for a in found if a.state != "resolved"], "rows": found[:_ALERTS]}


def matured_view(subject: Subject) -> dict[str, Any]:
    """Matured cohorts, in the unit of what was measured."""
    rows = life.quality(subject)
    metric = summary.METRICS.get(rows[0]["measure"])

    def show(value: float | None) -> str:
        return metric.show(value, subject.unit) if metric else figure(value)

    for row in rows:
        row["loss"], row["before"] = show(row["loss"]), show(row["holdout_loss"])
        row["off"] = NOTHING
        if row["calibration"] is not None:
            row["off"] = percent(row["calibration"] - 1, signed=True)
        row["interval"] = f"{show(row['loss_low'])} to {show(row['loss_high'])}"
    return {"rows": rows, "measure": metric.label if metric else rows[0]["measure"]}


def experiments_view(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What was said of each experiment, and its rows as text."""
    moods = {"better": "good", "worse": "bad"}
    rows = []
    for one in found:
        read = one["results"]
        for row in read.chosen:
            low, high = interval(row, read.method)
            rows.append(
                {key: row[key] for key in ("experiment", "metric", "variant", "verdict")}
                | {
                    "units": f"{row['units']:,}",
                    "mean": figure(row["mean"]),
                    "lift": percent(row["lift"], signed=True),
                    "interval": NOTHING
                    if low is None
                    else f"{percent(low, signed=True)} to {percent(high, signed=True)}",
                    "mood": moods.get(row["verdict"], "plain"),
                }
            )
    said = [
        {"name": one["experiment"], "is_over": one["is_over"], "verdicts": one["results"].verdicts,
         "warnings": one["results"].health["warnings"]}
        for one in found
    ]  # fmt: skip
    return {"said": said, "rows": rows}


def serving_view(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The week in a sentence, and its days as text."""
    calls, failures = (sum(row[key] for row in rows) for key in ("calls", "failures"))
    lead = (
        f"{calls:,} queries within 7 days, {failures:,} of which failed "
        f"({percent(failures / calls)}), by the engine's own log."
    )
    columns = ("Day", "Queries", "Failed", "Rows read", "Typical ms", "Slowest 1 % ms")
    cells = [
        (scales.day(r["day"]), f"{r['calls']:,}", f"{r['failures']:,}", f"{r['rows_read']:,}",
         figure(r["p50_ms"]), figure(r["p99_ms"]))
        for r in rows
    ]  # fmt: skip
    return {"lead": lead, "columns": columns, "rows": cells}


def history_view(subject: Subject) -> dict[str, Any]:
    """Versions, decisions, and the lanes of the chart of who answered."""
    found = life.history(subject)
    keys = [key for key in ("rmse", "gini", "auc", "log_loss") if key in _metrics_of(found)][:2]
    for version in found["versions"]:
        version["cells"] = [
            summary.METRICS[key].show(version["metrics"].get(key), subject.unit) for key in keys
        ]
    for event in found["events"]:
        which = f"version {event['version']}" if event["version"] else "none"
        event["what"] = f"{_PAST.get(event['action'], event['action'])} {which}"
    found["columns"] = [summary.METRICS[key] for key in keys]
    return found | _spans(subject, found)


def _metrics_of(history: dict[str, Any]) -> set[str]:
    return {key for version in history["versions"] for key in version["metrics"]}


def _spans(subject: Subject, history: dict[str, Any]) -> dict[str, Any]:
    """Lanes of the chart of which version answered when, the newest first."""
    reign = [part for part in history["reign"] if part["version"]]
    if not reign:
        return {"spans": [], "height": 0}
    first, now = reign[0]["from"], history["now"]
    place = scales.Scale(first.timestamp(), now.timestamp(), 84, 432)
    spans = []
    for lane, version in enumerate(sorted({part["version"] for part in reign}, reverse=True)[:10]):
        parts = []
        for part in reign:
            if part["version"] == version:
                x, end = place(part["from"].timestamp()), place((part["to"] or now).timestamp())
                parts.append({"x": x, "width": max(end - x, 2)})
        spans.append(
            {"label": f"version {version}", "title": f"version {version}", "y": 14 + 26 * lane,
             "parts": parts, "from": scales.day(first),
             "is_champion": version == subject.version.version and subject.version.is_champion}
        )  # fmt: skip
    return {"spans": spans, "height": 32 + 26 * len(spans)}
