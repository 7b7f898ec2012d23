"""What one gate of a publish found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from treehouse.project.errors import TreehouseError


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

    @classmethod
    def unknown(cls, gate: str, detail: str) -> Outcome:
        """Of a gate for which nothing could be measured: refused."""
        return cls(gate, math.nan, 0.0, detail)

    @property
    def passed(self) -> bool:
        """Whether the value keeps the bound."""
        return self.value <= self.bound

    def __str__(self) -> str:
        over = "" if math.isnan(self.value) else f" (over by {self.value - self.bound:.3g})"
        return f"{self.gate}: {self.detail}" + ("" if self.passed else over)


class RefusedError(TreehouseError):
    """A version that gates refuse.

    Args:
        what: As of every error; so are `told`.
        outcomes: What all gates found, those that it passed as well.
    """

    def __init__(self, what: str, outcomes: Sequence[Outcome], **told: Any) -> None:
        self.outcomes = tuple(outcomes)
        self.metrics: dict[str, Any] = {}
        super().__init__(what, **told)

    def as_dict(self) -> dict[str, object]:
        """The same, for `--json`, with every gate and, after a fit, its metrics."""
        gates = [
            {"gate": o.gate, "passed": o.passed, "value": o.value, "bound": o.bound}
            | {"detail": o.detail}
            for o in self.outcomes
        ]
        measured = {"metrics": self.metrics} if self.metrics else {}
        return super().as_dict() | {"gates": gates} | measured
