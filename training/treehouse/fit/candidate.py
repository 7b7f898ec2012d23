"""A candidate: fitted models and formulas over what they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treehouse.bundle import Expression, Network
from treehouse.bundle.evaluation import apply
from treehouse.bundle.expressions import Op
from treehouse.bundle.networks import output_names
from treehouse.fit import trainers
from treehouse.fit.dataset import Dataset
from treehouse.fit.job import Job

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_] | slice


@dataclass(frozen=True)
class Candidate:
    """A fitted way to answer.

    Attributes:
        name: Trainer and objective.
        models: What was fitted.
        parts: What it answers before any calibration, over the models' answers and the inputs:
            the value; or of each class (of a probability, the second alone) what `is_share` says.
        explained: What explanations explain, as in the bundle.
        is_share: Whether the parts of a classifier are shares of 1; else they are log odds.
        networks: Whose outputs the formulas read as inputs, by name.
        reference: float64[rows, outputs of all networks], by the library that fitted them.
        jobs: What each model was fitted to.
        uncalibrated: The parts of a value before their sum was put right.
    """

    name: str
    models: tuple[Any, ...]
    parts: tuple[Expression, ...]
    explained: Mapping[tuple[int, int], float] = field(default_factory=dict)
    is_share: bool = False
    networks: tuple[Network, ...] = ()
    reference: Callable[[pa.RecordBatch], Floats] | None = None
    jobs: tuple[Job, ...] = ()
    uncalibrated: tuple[Expression, ...] = ()

    def predict(self, data: Dataset, rows: Rows = slice(None)) -> Floats:
        """float64[rows, parts] by the trainer's own library."""
        heads = {str(i): part for i, part in enumerate(self.parts)}
        return np.column_stack([*self.over(heads, data, rows).values()])

    def over(
        self, heads: Mapping[str, Expression], data: Dataset, rows: Rows = slice(None)
    ) -> dict[str, Floats]:
        """float64[rows] for each head over the models, for some rows of the data."""
        return self.answers(heads, data.matrix[rows], data.names)

    def answers(
        self,
        heads: Mapping[str, Expression],
        matrix: Floats,
        features: tuple[str, ...],
        batch: pa.RecordBatch | None = None,
    ) -> dict[str, Floats]:
        """float64[rows] for each head over these models, which predict once for all of them.

        Networks need the same rows as a batch.
        """
        outputs = _Answers(trainers.outputs, self.models, matrix)
        margins = _Answers(trainers.margins, self.models, matrix)
        inputs = {name: matrix[:, i] for i, name in enumerate(features)}
        if batch is not None:
            inputs |= self._network_answers(batch)
        return {
            name: np.broadcast_to(apply(head, outputs, inputs, margins), len(matrix)).copy()
            for name, head in heads.items()
        }

    def network_outputs(self, data: Dataset, rows: Rows = slice(None)) -> dict[str, Floats]:
        """float64[rows] for each output of the networks, by the library that fitted them."""
        return self._network_answers(data.batch(rows))

    def _network_answers(self, batch: pa.RecordBatch) -> dict[str, Floats]:
        if self.reference is None:
            return {}
        names = output_names(self.networks)
        return dict(zip(names, self.reference(batch).T, strict=True))

    def answering(self, *parts: Expression) -> Candidate:
        """The same models under other formulas."""
        return replace(self, parts=parts)

    def after(self, others: int) -> Candidate:
        """The same behind other models in a bundle: its formulas name later forests."""
        return replace(self, parts=tuple(_shifted(part, others) for part in self.parts))


class _Answers(dict[int, Floats]):
    """What each model answers, asked for when a formula first needs it."""

    def __init__(
        self, ask: Callable[[Any, Floats], Floats], models: tuple[Any, ...], matrix: Floats
    ) -> None:
        super().__init__()
        self._ask, self._models, self._matrix = ask, models, matrix

    def __missing__(self, forest: int) -> Floats:
        self[forest] = self._ask(self._models[forest], self._matrix)
        return self[forest]


def _shifted(expression: Expression, by: int) -> Expression:
    args = tuple(_shifted(arg, by) for arg in expression.args)
    if expression.op in (Op.OUTPUT, Op.MARGIN):
        forest, output = expression.where
        return replace(expression, where=(forest + by, output))
    return replace(expression, args=args)
