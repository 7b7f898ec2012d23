"""A Markov chain of order 1 as a network: what follows each token is a row of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.bundle.networks import Network
from training.errors import TreehouseError
from training.network.graph import ANSWER, build
from udfs.network.inputs import FIRST_TOKEN

if TYPE_CHECKING:
    from udfs.network.inputs import NetworkInputs


def from_table(
    inputs: NetworkInputs, sequence: str, table: NDArray[np.float64], outputs: tuple[str, ...]
) -> Network:
    """A network that answers the table's row of a sequence's last token, exactly.

    Args:
        inputs: Holds the sequence among its tokens.
        sequence: Its name.
        table: float64[2 + vocabulary, outputs], a row for each code: first that of an empty
            sequence, then that of a token outside the vocabulary.
        outputs: A name for each column.

    Raises:
        TreehouseError: The table has another shape.
    """
    tokens = inputs.tokens[sequence]
    wanted = (FIRST_TOKEN + len(tokens.vocabulary), len(outputs))
    if table.shape != wanted:
        raise TreehouseError(
            "The table of a network has another shape than its names.",
            value=table.shape,
            expected=f"{wanted}: 2 rows and one for each token, a column for each output",
        )
    graph = build(
        [
            ("Gather", [sequence, "last"], ["code"], {"axis": 1}),
            ("Gather", ["table", "code"], ["answer"], {"axis": 0}),
        ],
        {sequence: (np.int64, tokens.length)},
        {"last": np.array(tokens.length - 1), "table": table.astype(np.float64)},
        (np.float64, len(outputs)),
    )
    return Network(graph, inputs, outputs, (ANSWER,))
