"""What is to be fitted, whichever library fits it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treehouse.fit.dataset import Dataset

Floats = NDArray[np.float64]
Progress = Callable[[str, int | None, int | None], None]
Watch = Callable[[int, Floats], None]


@dataclass(frozen=True)
class Job:
    """What is to be fitted.

    Attributes:
        trainer: One of TRAINERS.
        objective: "squared_error", "tweedie", "gamma", "binary" or "classes".
        target: float64[rows], of all rows of the data.
        only: bool[rows], or None: which rows count at all.
        offset: float64[rows], or None: where the margins begin.
        rounds: Rounds of boosting to fit, or None: as many as the validation rows ask for.
        watch: Called with the tree's number and the outputs so far on the validation rows; it may
            raise to stop the fitting.
    """

    trainer: str
    objective: str
    target: Floats
    only: NDArray[np.bool_] | None = None
    offset: Floats | None = None
    rounds: int | None = None
    watch: Watch | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        """What boosting is fitted to and, where the number of rounds is open, what ends it."""
        return ("train",) if self.rounds else ("train", "validation")

    def rows(self, data: Dataset, split: str) -> NDArray[np.bool_]:
        """bool[rows]: the rows of a part that count."""
        rows = data.rows(split)
        return rows if self.only is None else rows & self.only

    def tell(self, progress: Progress, done: int | None, total: int | None) -> None:
        """Report how far the fitting is; of trees, every twentieth."""
        if done is None or done % 20 == 0:
            progress(f"fit {self.trainer} {self.objective}", done, total)


@dataclass(frozen=True)
class Listener:
    """Who hears how the fitting goes.

    Attributes:
        progress: For people.
        loss: Called with the tree's number and the task's loss so far on the validation rows; it
            may raise to stop the fitting. Candidates of two models, and forests, don't call it.
    """

    progress: Progress | None = None
    loss: Callable[[int, float], None] | None = None
