"""A Markov chain as a network: tokens and categories lead to a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle.networks import Network
from treehouse.network.graph import ANSWER, build
from treehouse.project.errors import TreehouseError

if TYPE_CHECKING:
    from udfs.network.inputs import NetworkInputs


@dataclass(frozen=True)
class Step:
    """One code more that is looked at.

    Attributes:
        array: The input that holds it: "categorical", or the name of a sequence.
        column: Where; -1 is a sequence's last.
        following: int64[rows so far, codes]: for the row that was reached and the code, the next
            row. The first step starts at row 0.
    """

    array: str
    column: int
    following: NDArray[np.int64]


def from_table(
    inputs: NetworkInputs,
    steps: Sequence[Step],
    table: NDArray[np.float64],
    outputs: tuple[str, ...],
) -> Network:
    """A network that answers a row of a table, exactly.

    Args:
        inputs: Holds what the steps look at.
        steps: One at least; each leads from a row of the table to another, or leaves it there.
        table: float64[rows, outputs].
        outputs: A name for each column.

    Raises:
        TreehouseError: The table has another shape than its names, or a step leads out of it.
    """
    last = max(int(step.following.max()) for step in steps)
    if table.ndim != 2 or table.shape[1] != len(outputs) or last >= len(table):
        raise TreehouseError(
            "The table of a network has another shape than its names and steps.",
            value=table.shape,
            expected=f"at least {last + 1} rows of {len(outputs)} columns",
        )
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
    constants: dict[str, NDArray[Any]] = {"table": table.astype(np.float64)}
    widths = {name: kept.length for name, kept in inputs.tokens.items()}
    widths["categorical"] = len(inputs.categorical)
    for i, step in enumerate(steps):
        constants |= {
            f"column{i}": np.array(step.column % widths[step.array]),
            f"codes{i}": np.array(step.following.shape[1]),
            f"following{i}": step.following.astype(np.int64).ravel(),
        }
        nodes.append(("Gather", [step.array, f"column{i}"], [f"code{i}"], {"axis": 1}))
        at = f"code{i}"
        if i:
            at = f"at{i}"
            nodes.append(("Mul", [f"row{i - 1}", f"codes{i}"], [f"start{i}"], {}))
            nodes.append(("Add", [f"start{i}", f"code{i}"], [at], {}))
        nodes.append(("Gather", [f"following{i}", at], [f"row{i}"], {"axis": 0}))
    graph = build(
        [*nodes, ("Gather", ["table", f"row{len(steps) - 1}"], [ANSWER], {"axis": 0})],
        {step.array: (np.int64, widths[step.array]) for step in steps},
        constants,
        (np.float64, len(outputs)),
    )
    return Network(graph, inputs, outputs, (ANSWER,))
