"""The gates of what holds in sum: the interval's coverage, and the total of the predictions.

Both are as measured at the fit, on test rows: parity has shown that the engine answers the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from scipy.stats import betabinom, norm

from treehouse.registry.outcome import Outcome

if TYPE_CHECKING:
    from treehouse.spec.gates import Gates


def judge_sums(header: Mapping[str, Any], gates: Gates) -> Iterator[Outcome]:
    """A row for the coverage of an interval that is answered, and one for a known bias."""
    metrics = header["info"]["metrics"]
    if {"low", "high"} & set(header["heads"]) and "calibration_rows" in metrics.get("interval", {}):
        yield _coverage(metrics["interval"], gates)
    if metrics["model"].get("bias_error") is not None:
        yield _bias(metrics["model"], gates)


def _coverage(interval: Mapping[str, Any], gates: Gates) -> Outcome:
    """The labels outside are no more than chance allows, of test and calibration rows alike.

    Of n new labels an interval that is calibrated on m rows to miss a share a of them misses a
    beta-binomial number, with parameters n, a (m + 1) and (1 - a) (m + 1) (Angelopoulos, Bates: A
    gentle introduction to conformal prediction, 2021, section 3 and appendix C). More inside than
    asked for is no fault: where most labels are zero no interval holds fewer.
    """
    rows = interval["rows"]
    missed = round(rows * (1 - interval["coverage"])) / rows
    asked, calibrated = 1 - interval["target"], interval["calibration_rows"] + 1
    law = betabinom(rows, asked * calibrated, (1 - asked) * calibrated)
    most = float(law.ppf((1 + gates.confidence) / 2)) / rows
    return Outcome(
        "coverage",
        missed,
        most + gates.uncovered,
        f"{1 - missed:.2%} of {rows:,} labels are inside an interval made for {1 - asked:.6g}; "
        f"chance explains no less than {1 - most:.2%}",
    )


def _bias(model: Mapping[str, Any], gates: Gates) -> Outcome:
    """The near end of the interval of the bias is no further off than allowed."""
    bias = model["bias"]
    reach = float(norm.ppf((1 + gates.confidence) / 2)) * model["bias_error"]
    return Outcome(
        "bias",
        max(abs(bias) - reach, 0.0),
        gates.bias,
        f"the sum of the predictions is off by {bias:+.1%} of the labels' "
        f"({gates.confidence:.0%}: {bias - reach:+.1%} to {bias + reach:+.1%}), "
        f"at most {gates.bias:.0%} for certain",
    )
