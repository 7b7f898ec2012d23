"""What a version must keep to be published; a field of the spec."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gates:
    """Bounds of the gates of a publish."""

    size_bytes: int = 256 * 2**20
    """Largest model file. Scorers share its pages; a larger one takes longer to send and load."""
    row_us: float = 100.0
    """Most microseconds a row takes in a batch of 10,000. A thousand trees take about one."""
    call_ms: float = 100.0
    """Most milliseconds of a query that asks for one row, with the way there and back."""
    confidence: float = 0.95
    """Of the intervals of loss differences. Higher lets more through on few test rows."""
    worse_by: float = 0.0
    """Share by which the loss may certainly exceed the champion's. Refused is a version whose
    whole interval lies above: on few rows that needs a large difference."""
    uncovered: float = 0.0
    """Share of the labels that may certainly lie outside of the interval beyond those that
    `coverage` allows, on the test rows. More inside than asked for is always allowed."""
    bias: float = 0.25
    """How far the sum of the predictions may certainly be from the sum of the labels, as a share
    of the latter. Lower where sums are what counts, as in budgets; infinite where only ranks do."""
    proven: bool = False
    """Whether the whole interval must lie below each baseline's loss, and not only its middle.
    Where most labels are zero that takes thousands of test rows."""
