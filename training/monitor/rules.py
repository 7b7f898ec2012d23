"""What of a measurement is worth an alert, by the spec's `Watch`; each finding says so in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from training.monitor.state import Finding
from training.monitor.watch import Watch

Row = Mapping[str, Any]


def findings(model: str, watch: Watch, measured: Mapping[str, Sequence[Row]]) -> list[Finding]:
    """Everything wrong in one measurement, errors first.

    Args:
        model: Name of the use case.
        watch: Its thresholds.
        measured: Rows of `health`, `drift`, `quality` and `serving`, as measure() answers them.
    """
    found: list[Finding] = []
    for row in measured["health"]:
        found += _health(model, watch, row)
    for row in measured["drift"]:
        found += _column(model, watch, row)
    if measured["quality"]:
        found += _quality(model, watch, max(measured["quality"], key=lambda r: r["cohort_to"]))
    for row in measured["serving"]:
        found += _serving(model, watch, row)
    return sorted(found, key=lambda f: (f.severity, f.kind, f.name))


def _health(model: str, watch: Watch, row: Row) -> Iterator[Finding]:
    version, rows, usual = row["version"], row["rows"], row["usual_rows"]
    if usual and (row["p_volume"] <= watch.alpha):
        ratio = rows / usual
        text = f"{rows:,} rows in {row['window_days']} days, usually {usual:,.0f}"
        if ratio < watch.volume_low:
            yield Finding(model, version, "volume", "rows", "error", ratio, watch.volume_low, text)
        elif ratio > watch.volume_high:
            yield Finding(model, version, "volume", "rows", "warn", ratio, watch.volume_high, text)
    if row["future_rows"]:
        text = (
            f"{row['future_rows']:,} rows lie more than a day in the future and are left out: "
            "see to the clock of their source"
        )
        yield Finding(model, version, "freshness", "future", "warn", row["future_rows"], 0, text)
    newest, bound = row["newest_at"], watch.stale_after_days
    if newest is None or bound is None:
        return
    days = (_utc(row["at"]) - _utc(newest)).total_seconds() / 86400
    if days > bound:
        text = f"the newest row is {days:,.0f} days old"
        yield Finding(model, version, "freshness", "newest row", "warn", days, bound, text)


def _column(model: str, watch: Watch, row: Row) -> Iterator[Finding]:
    """Findings about one column, or about the predictions."""
    if row["rows"] < watch.min_rows:
        return
    if row["p_distribution"] is not None and row["p_distribution"] <= watch.alpha:
        yield from _distribution(model, watch, row)
    version, name = row["version"], row["name"]
    if row["p_missing"] <= watch.alpha:
        share, usual = row["missing_share"], row["reference_missing_share"]
        text = f"{share:.1%} are missing; {usual:.1%} were in the training"
        change = abs(share - usual)
        bounds = (watch.missing_warn, watch.missing_error)
        yield from _graded(model, version, "missing", name, change, bounds, text)
    if row["p_unseen"] is not None and row["p_unseen"] <= watch.alpha:
        share = row["unseen_share"] - row["reference_unseen_share"]
        text = f"{row['unseen_share']:.1%} are categories that the training did not have"
        bounds = (watch.unseen_warn, watch.unseen_error)
        yield from _graded(model, version, "unseen", name, share, bounds, text)


def _distribution(model: str, watch: Watch, row: Row) -> Iterator[Finding]:
    kind = "prediction" if row["role"] == "prediction" else "drift"
    ks = row["kolmogorov_smirnov"] or 0.0
    by_psi = (max(row["psi"] - row["psi_noise"], 0.0), (watch.psi_warn, watch.psi_error))
    by_ks = (ks, (watch.ks_warn, watch.ks_error))
    value, bounds = max(by_psi, by_ks, key=lambda v: v[0] / v[1][1])
    measure = "stability index" if (value, bounds) == by_psi else "Kolmogorov-Smirnov"
    shift = row["mean_shift"]
    text = f"{measure} {value:.2f}"
    if shift is not None and abs(shift) >= 0.01:
        text += f"; the mean moved {shift:+.2f} standard deviations"
    yield from _graded(model, row["version"], kind, row["name"], value, bounds, text)


def _quality(model: str, watch: Watch, row: Row) -> Iterator[Finding]:
    """Findings about the newest cohort whose labels have matured."""
    if row["rows"] < watch.min_rows:
        return
    version, cohort = (
        row["version"],
        f"{row['cohort_from']:%Y-%m-%d} to {row['cohort_to']:%Y-%m-%d}",
    )
    loss, low, before = row["loss"], row["loss_low"], row["holdout_loss"]
    if before and low is not None and low > before * (1 + watch.quality_error):
        text = f"{row['measure']} {loss:.3g} on {cohort}, {before:.3g} on the holdout"
        worse, bound = loss / before - 1, watch.quality_error
        yield Finding(model, version, "quality", row["measure"], "error", worse, bound, text)
    if row["calibration"] is None:
        return
    near = max(row["calibration_low"] - 1, 1 - row["calibration_high"])
    if near > watch.calibration_error:
        ratio = row["calibration"]
        text = f"predictions sum to {ratio:.0%} of the labels of {cohort}"
        bound = watch.calibration_error
        yield Finding(model, version, "quality", "calibration", "error", ratio - 1, bound, text)


def _serving(model: str, watch: Watch, row: Row) -> Iterator[Finding]:
    share = row["failures"] / row["calls"] if row["calls"] else 0.0
    if share > watch.failed_share and row["failures"] >= watch.failed_calls:
        text = f"{row['failures']:,} of {row['calls']:,} calls failed within a day"
        version, bound = row["version"], watch.failed_share
        yield Finding(model, version, "serving", "failures", "error", share, bound, text)


def _graded(
    model: str,
    version: int,
    kind: str,
    name: str,
    value: float,
    bounds: tuple[float, float],
    text: str,
) -> Iterator[Finding]:
    """One finding of the severity that the value reaches, or none."""
    warn, error = bounds
    if value >= warn:
        severity, bound = ("error", error) if value >= error else ("warn", warn)
        yield Finding(model, version, kind, name, severity, value, bound, text)


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
