"""Numbers for people, and places on a chart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def amount(value: float | None, unit: str = "number") -> str:
    """A value in its unit ("usd", "seconds", "share" or "number"), short."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if unit == "share":
        return percent(value)
    size = abs(value)
    if size >= 1e6:
        text = f"{size / 1e6:,.1f}M"
    elif size >= 1000 or (size >= 100 and unit == "usd"):
        text = f"{size:,.0f}"
    else:
        text = f"{size:,.2f}" if unit == "usd" else f"{size:.3g}"
    sign = MINUS if value < 0 and text.strip("0.") else ""
    after = "\N{NO-BREAK SPACE}s" if unit == "seconds" else ""
    return sign + ("$" if unit == "usd" else "") + text + after


def percent(value: float | None, signed: bool = False) -> str:
    """A share in percent; a decimal where whole percents would hide what there is."""
    if value is None or not math.isfinite(value):
        return NOTHING
    points = 100 * value
    digits = 1 if 0 < abs(points) < 10 or 90 < points < 100 else 0
    text = f"{abs(points):,.{digits}f}\N{NO-BREAK SPACE}%"
    sign = MINUS if points < 0 else "+" if signed and points > 0 else ""
    return sign + text


def figure(value: float | None) -> str:
    """A plain number, short."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", MINUS)
    if 0 < abs(value) < 0.001:
        return "<\N{NO-BREAK SPACE}0.001"
    return (f"{value:.3f}" if abs(value) < 1 else f"{value:.3g}").replace("-", MINUS)


def tick(value: float, unit: str = "number") -> str:
    """A value beside an axis: shorter still."""
    if unit == "share":
        return f"{100 * value:.3g} %"
    size = abs(value)
    power, letter = next(
        (
            (p, s)
            for p, s in ((1e9, "B"), (1e6, "M"), (1e3, "k"))
            if size >= 10 * p or size >= p > 1e3
        ),
        (1.0, ""),
    )
    sign = MINUS if value < 0 else ""
    return f"{sign}{'$' if unit == 'usd' else ''}{size / power:,.6g}{letter}"


def day(time: date | None) -> str:
    """A date: 23 Nov 2026."""
    return f"{time.day} {time:%b %Y}" if time else NOTHING


def minute(time: datetime | None) -> str:
    """A date with its time of day, UTC."""
    return f"{day(time)}, {time:%H:%M}" if time else NOTHING


@dataclass(frozen=True)
class Scale:
    """From values to places: `low` is at `start`, `high` at `end`, in the units of the drawing.

    `kind` is linear, log, or root: square roots, so that small values beside large ones are seen.
    """

    low: float
    high: float
    start: float
    end: float
    kind: str = "linear"

    def __call__(self, value: float) -> float:
        """The place of a value, kept within the ends."""
        low, high, at = (self._bend(v) for v in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 2)

    def _bend(self, value: float) -> float:
        if self.kind == "log":
            return math.log10(max(value, 1e-300))
        return math.sqrt(max(value, 0.0)) if self.kind == "root" else value

    @property
    def ticks(self) -> list[float]:
        """Round values between the ends, about five."""
        if self.kind == "log":
            powers = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
            return [10.0**p for p in powers]
        if self.kind == "root":
            return sorted(
                {float(f"{self.high * (i / 5) ** 2:.1g}") for i in range(5)} | {self.high}
            )
        step = _step(self.high - self.low)
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 10) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def linear(values: Any, start: float, end: float, zero: bool = True) -> Scale:
    """A scale that holds all values and ends at round ones; from zero on unless told not to."""
    known = [float(v) for v in values if v is not None and math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    low = min(low, 0.0) if zero else low
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-200):
        high = low + max(abs(low), 1.0)
    step = _step(high - low)
    return Scale(math.floor(low / step) * step, math.ceil(high / step - 1e-9) * step, start, end)


def root(values: Any, start: float, end: float) -> Scale:
    """A scale of square roots from zero on; linear for what is negative or not skewed."""
    plain = linear(values, start, end)
    known = sorted(v for v in values if v is not None and math.isfinite(v))
    if plain.low < 0 or not known or known[len(known) // 2] * 10 > plain.high:
        return plain
    return Scale(0.0, plain.high, start, end, "root")


def logarithmic(values: Any, start: float, end: float) -> Scale:
    """A scale of the positive values, from a power of ten to a power of ten."""
    known = [float(v) for v in values if v is not None and v > 0 and math.isfinite(v)] or [1.0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    return Scale(10.0**low, 10.0 ** max(high, low + 1), start, end, "log")


def _step(span: float) -> float:
    """A round step that divides a span into about five."""
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next((power * m for m in (1, 2, 2.5, 5) if rough <= power * m * 1.0001), power * 10)
