"""Thresholds of the monitor: the field `watch` of a spec."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Watch:
    """When a model's state is worth an alert.

    A change must be certain (`alpha`) *and* large: with many rows any change is certain, with few
    rows large ones come by chance. Of a column, large is what it does to the answers.
    """

    alpha: float = 0.01
    """Chance that a run raises any alert about columns that have not changed: the p-values are
    corrected for all tests of the run. Lower is quieter, and needs more rows to see a change."""
    effect_warn: float = 0.05
    """Mean change of the answers, as a share of their usual size: by one column, or by all."""
    effect_error: float = 0.2
    """As effect_warn, for an alert that fails the run."""
    psi_warn: float = 0.1
    """Population stability index, beyond its mean without a change, from which a column has moved
    and answers are spread otherwise. A mean that moves by a third of a standard deviation gives
    0.1, by half of one 0.24."""
    psi_error: float = 0.2
    """As psi_warn, of the answers, for an alert that fails the run."""
    ks_warn: float = 0.1
    """Largest difference of the distribution functions; sees what stays within a bin."""
    ks_error: float = 0.15
    """A mean that moves by half a standard deviation gives 0.2."""
    missing_warn: float = 0.05
    """Change of the share of missing values from which an alert tells of that."""
    unseen_warn: float = 0.01
    """Share of categories that the training did not have, beyond the share that it pooled, from
    which an alert tells of that."""
    volume_low: float = 0.5
    """Rows over those of the usual window: fewer is an error, as a source may have stopped."""
    volume_high: float = 2.0
    """More than this is a warning."""
    stale_after_days: float | None = 14.0
    """Age of the newest row that is a warning, but where it was as old when the version was
    published; None for data that ends by itself."""
    quality_error: float = 0.2
    """How much worse than on the holdout the loss of the newest cohort may be, as a share, by the
    near end of its interval."""
    calibration_error: float = 0.25
    """How far the sum of the predictions may be from the sum of the labels, as a share, by the
    near end of its interval."""
    min_rows: int = 50
    """Rows of a window, or of a cohort, below which nothing is said of its columns."""
    failed_share: float = 0.01
    """Share of the calls within a day that may fail while they run."""
    failed_calls: int = 3
    """Failed calls within a day below which nothing is said of their share."""
    quiet_runs: int = 3
    """Runs without the cause before an alert resolves itself, so that it does not flap."""
