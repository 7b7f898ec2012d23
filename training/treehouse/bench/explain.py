"""`bench explain`: Shapley contributions of each input, against the trainers' own `pred_contrib`.

One core and one thread each, in turns; the medians of the rounds are compared. Ours is the kernel
behind treehouse_explain(), without parsing and pipes.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from treehouse.bench import models
from treehouse.bench.scorer import Ours, clock, fitting_rows, pinned, records_of
from treehouse.forest import compile_forest

Record = dict[str, Any]
SHAPES = ("small", "large", "xgboost", "categorical")
#: Explaining costs a hundred times what scoring does.
_ROWS = 1_000


def contributions(shape: models.Shape) -> Callable[[models.Floats], Any]:
    """The library's own contributions, with one thread."""
    if shape.library == "xgboost":
        import xgboost as xgb

        return lambda x: shape.model.predict(xgb.DMatrix(x, nthread=1), pred_contribs=True)
    return lambda x: shape.model.predict(x, pred_contrib=True, num_threads=1)


def measure(name: str, rounds: int = 5) -> list[Record]:
    """Records of one shape: a batch of rows, then single rows."""
    shape = models.make(name)
    features = tuple(f"x{i}" for i in range(models.N_FEATURES))
    forest = compile_forest(shape.model, features)
    own = contributions(shape)
    rows = models.rows(_ROWS, 1, shape.categorical)
    records: list[Record] = []
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(forest, Path(folder))
        for count in (_ROWS, 1):
            alone = count == 1
            sample = rows[:50] if alone else rows
            theirs = fitting_rows(own, rows, alone)
            times: dict[str, list[float]] = {"treehouse": [], f"{shape.library} pred_contrib": []}
            for _ in range(rounds):
                found = ours.seconds_per_row(sample, 2, count, "explain")
                times["treehouse"].append(statistics.median(found[1:]))
                times[f"{shape.library} pred_contrib"].append(clock(alone)(own, theirs))
            records += records_of("explain", name, count, times)
    return records


def run(shapes: Iterable[str] = SHAPES, rounds: int = 5) -> list[Record]:
    """Measure the shapes on one core."""
    with pinned():
        return [record for shape in shapes for record in measure(shape, rounds)]
