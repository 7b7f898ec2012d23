"""What one gate of a publish found."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What one gate found.

    Attributes:
        gate: Its name.
        value: What was measured; NaN where it could not be, which never passes.
        bound: The most that it may be.
        detail: The same for people, with what it was compared with.
    """

    gate: str
    value: float
    bound: float
    detail: str

    @property
    def passed(self) -> bool:
        """Whether the value keeps the bound."""
        return self.value <= self.bound

    def __str__(self) -> str:
        over = "" if math.isnan(self.value) else f" (over by {self.value - self.bound:.3g})"
        return f"{self.gate}: {self.detail}" + ("" if self.passed else over)
