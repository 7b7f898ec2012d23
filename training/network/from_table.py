"""A Markov chain as a network: what follows each token, or each two, is a row of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.bundle.networks import Network
from training.errors import TreehouseError
from training.network.graph import ANSWER, build
from udfs.network.inputs import FIRST_TOKEN

if TYPE_CHECKING:
    from udfs.network.inputs import NetworkInputs


def from_table(
    inputs: NetworkInputs,
    sequence: str,
    table: NDArray[np.float64],
    outputs: tuple[str, ...],
    pairs: NDArray[np.int64] | None = None,
) -> Network:
    """A network that answers the table's row of a sequence's last token, or last two, exactly.

    Args:
        inputs: Holds the sequence among its tokens.
        sequence: Its name.
        table: float64[2 + vocabulary, outputs], a row for each code: first that of an empty
            sequence, then that of a token outside the vocabulary.
        outputs: A name for each column.
        pairs: int64[codes, codes]: for the last token but one and the last, the table's row; the
            table may then have more rows than there are codes. By default the last token's own.

    Raises:
        TreehouseError: The table has another shape.
    """
    tokens = inputs.tokens[sequence]
    codes = FIRST_TOKEN + len(tokens.vocabulary)
    wanted = (codes if pairs is None else len(table), len(outputs))
    if table.shape != wanted or (pairs is not None and pairs.shape != (codes, codes)):
        raise TreehouseError(
            "The table of a network has another shape than its names.",
            value=table.shape,
            expected=f"{wanted}: 2 rows and one for each token, a column for each output",
        )
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]]
    constants: dict[str, NDArray[Any]] = {"table": table.astype(np.float64)}
    if pairs is None:
        nodes = [("Gather", [sequence, "last"], ["row"], {"axis": 1})]
        constants["last"] = np.array(tokens.length - 1)
    else:
        nodes = [
            ("Gather", [sequence, "last_two"], ["pair"], {"axis": 1}),
            ("GatherND", ["pairs", "pair"], ["row"], {}),
        ]
        constants["last_two"] = np.array([tokens.length - 2, tokens.length - 1])
        constants["pairs"] = pairs.astype(np.int64)
    graph = build(
        [*nodes, ("Gather", ["table", "row"], ["answer"], {"axis": 0})],
        {sequence: (np.int64, tokens.length)},
        constants,
        (np.float64, len(outputs)),
    )
    return Network(graph, inputs, outputs, (ANSWER,))
