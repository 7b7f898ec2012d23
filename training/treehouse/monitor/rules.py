"""What of a measurement is worth an alert, by the spec's `Watch`; each finding says so in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import log, sqrt
from statistics import NormalDist
from typing import Any

from treehouse.monitor.state import Finding
from treehouse.project.scales import amount, percent
from treehouse.spec.watch import Watch

Row = Mapping[str, Any]
_ORDER = ("serving", "quality", "volume", "prediction", "missing", "unseen", "drift", "freshness")
"""Kinds of findings, by what they may cost."""
_SMALL_SHIFT = 0.05
"""Standard deviations below which a mean has not moved to speak of."""


def findings(
    model: str, watch: Watch, measured: Mapping[str, Sequence[Row]], unit: str = "number"
) -> list[Finding]:
    """Everything wrong in one measurement, errors first, and of these what weighs most.

    Args:
        model: Name of the use case.
        watch: Its thresholds.
        measured: Rows of `health`, `drift`, `effects`, `quality` and `serving`, as measure()
            answers them.
        unit: Of the answers, as label_unit() has it; "class" for numbers of classes.
    """
    found: list[Finding] = []
    for row in measured["health"]:
        found += _health(model, watch, row)
    effects = {row["name"]: row for row in measured["effects"]}
    for row in measured["drift"]:
        if row["rows"] < watch.min_rows:
            continue
        if row["role"] == "prediction":
            found += _answers(model, watch, row, effects.get(""), unit)
        elif row["name"] in effects:
            found += _column(model, watch, row, effects[row["name"]], unit)
    if measured["quality"]:
        found += _quality(model, watch, max(measured["quality"], key=lambda r: r["cohort_to"]))
    for row in measured["serving"]:
        found += _serving(model, watch, row)
    return sorted(found, key=weight)


def weight(finding: Finding) -> tuple[str, int, float]:
    """What to sort findings and alerts by, the worst first."""
    kind = finding.kind
    rank = _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
    return finding.severity, rank, -abs(finding.value or 0.0)  # a row of the table may have none


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
    published = row.get("published_at")
    was_old = published is not None and _utc(newest) < _utc(published) - timedelta(days=bound)
    if days > bound and not was_old:
        text = f"the newest row is of {newest:%Y-%m-%d}, {days:,.0f} days ago"
        yield Finding(model, version, "freshness", "newest row", "warn", days, bound, text)


def _column(model: str, watch: Watch, row: Row, effect: Row, unit: str) -> Iterator[Finding]:
    """A column that has changed, and the answers by it: certainly, and by enough to matter."""
    share = _certain_share(watch, effect)
    if not share or (change := _change(watch, row)) is None:
        return
    kind, text = change
    bounds = (watch.effect_warn, watch.effect_error)
    text += f"; by it the answers {_moved(effect, unit)} on average"
    yield from _graded(model, row["version"], kind, row["name"], abs(share), bounds, text)


def _answers(
    model: str, watch: Watch, row: Row, effect: Row | None, unit: str
) -> Iterator[Finding]:
    """Answers that are higher or lower than to the rows of the training, or spread otherwise."""
    version, name = row["version"], row["name"]
    share = _certain_share(watch, effect) if effect else 0.0
    if effect and abs(share) >= watch.effect_warn:
        bounds = (watch.effect_warn, watch.effect_error)
        text = f"the answers {_moved(effect, unit)} on average, compared with the training"
        yield from _graded(model, version, "prediction", name, abs(share), bounds, text)
        return
    if row["p_distribution"] is None or row["p_distribution"] > watch.alpha:
        return
    # Rows of one unit tell no more than one of them: what chance does among so few is left out.
    units = row["rows"] * (effect["units"] / effect["rows"] if effect else 1)
    chance = sqrt(log(2 / watch.alpha) / 2 / units)  # Dvoretzky, Kiefer, Wolfowitz, Massart
    by_ks = (max((row["kolmogorov_smirnov"] or 0.0) - chance, 0), (watch.ks_warn, watch.ks_error))
    noise = row["psi_noise"] * row["rows"] / units * _chi_square_bound(row["degrees"], watch.alpha)
    by_psi = (max(row["psi"] - noise, 0.0), (watch.psi_warn, watch.psi_error))
    value, bounds = max(by_psi, by_ks, key=lambda v: v[0] / v[1][1])
    text = f"the answers are spread otherwise than on the holdout: stability index {row['psi']:.2f}"
    yield from _graded(model, version, "prediction", name, value, bounds, text)


def _chi_square_bound(degrees: int, alpha: float) -> float:
    """What chi-square exceeds with the chance alpha, over its mean (Wilson and Hilferty, 1931)."""
    part = 2 / (9 * max(degrees, 1))
    return (1 - part + NormalDist().inv_cdf(1 - alpha) * sqrt(part)) ** 3


def _certain_share(watch: Watch, effect: Row) -> float:
    """The change of the answers as a share of their size; 0 where chance may explain it."""
    is_certain = effect["p"] <= watch.alpha and effect["usual"] > 0
    return float(effect["effect"] / effect["usual"]) if is_certain else 0.0


def _moved(effect: Row, unit: str) -> str:
    """How far the answers have moved, in words and in their unit."""
    share = percent(abs(effect["effect"]) / effect["usual"])
    if unit == "class":  # numbers of classes have no direction
        return f"moved by {share}"
    size = f" ({amount(abs(effect['effect']), unit)})" if unit in ("usd", "seconds") else ""
    return f"are {share} {'higher' if effect['effect'] > 0 else 'lower'}{size}"


def _change(watch: Watch, row: Row) -> tuple[str, str] | None:
    """What has changed about a column, as the kind of an alert and in words; None for little."""
    more = (row["missing_share"] or 0.0) - row["reference_missing_share"]
    if abs(more) >= watch.missing_warn:
        return "missing", (
            f"{'more' if more > 0 else 'fewer'} are missing: {percent(row['missing_share'])}, "
            f"{percent(row['reference_missing_share'])} in the training"
        )
    if (row["unseen_share"] or 0.0) - (row["reference_unseen_share"] or 0.0) >= watch.unseen_warn:
        return "unseen", (
            f"{percent(row['unseen_share'])} are categories that the training did not have"
        )
    has_moved = (row["psi"] or 0.0) - (row["psi_noise"] or 0.0) >= watch.psi_warn
    if not has_moved and (row["kolmogorov_smirnov"] or 0.0) < watch.ks_warn:
        return None
    shift = row["mean_shift"]
    if row["kind"] == "categorical":
        return "drift", "its categories are mixed otherwise than in the training"
    if shift is None or abs(shift) < _SMALL_SHIFT:
        return "drift", "its values are spread otherwise than in the training"
    direction = "higher" if shift > 0 else "lower"
    return "drift", f"{direction} than in the training by {abs(shift):.2g} standard deviations"


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
