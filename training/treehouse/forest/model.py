"""The logical forest: flat arrays of nodes, exact in the trainer's own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


class PostProcessor(IntEnum):
    """What turns a forest's margins into its outputs; the numbers are part of the file format."""

    IDENTITY = 0
    SIGMOID = 1
    EXPONENTIAL = 2
    SOFTMAX = 3
    SIGNED_SQUARE = 4
    HINGE = 5
    LOG1P_EXP = 6
    ISOLATION = 7


class NodeFlag(IntEnum):
    """Bits of :attr:`Forest.flags`; the numbers are part of the file format."""

    LEAF = 1
    DEFAULT_LEFT = 2
    CATEGORICAL = 4
    INVERTED = 8


@dataclass(frozen=True)
class Forest:
    """An ensemble of binary trees over named features.

    A row goes left at a numeric node if ``x <= threshold`` in float64, whatever the trainer's
    input type is: its rounding is folded into the thresholds (:mod:`treehouse.forest.exact`).
    NaN goes left only where ``DEFAULT_LEFT`` is set. At a categorical node it goes left if the
    category is in the node's set (``INVERTED``: if it is not).

    Siblings lie side by side: the right child of node ``i`` is ``left[i] + 1``. Trees lie one
    after the other, each with its root first; a child's index is larger than its parent's.
    """

    features: tuple[str, ...]
    #: float64[n_nodes]: the threshold of a numeric node, the value of a leaf of scalar trees.
    values: Floats
    #: int32[n_nodes]: which feature a node tests; 0 for leaves.
    feature: Ints
    #: int32[n_nodes]: index of the left child; of a leaf its own, so that a walk may go on.
    left: Ints
    #: uint8[n_nodes]: bits of NodeFlag.
    flags: NDArray[np.uint8]
    #: int64[n_trees + 1]: where each tree's nodes begin.
    roots: NDArray[np.int64]
    #: int32[n_trees]: the output that a scalar tree adds to; -1 for trees with leaf vectors.
    tree_output: Ints
    #: float64[n_outputs]: added to the sums, before the trees if `base_first`.
    base: Floats
    #: int64[n_nodes, 2]: first word and number of words of a categorical node's set in `words`,
    #: or the row in `leaf_vectors` of a leaf of a vector tree in column 0.
    extra: NDArray[np.int64]
    #: uint32[...]: bitsets of categories, 32 to a word, lowest bit first.
    words: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    #: float64[n_vectors, n_outputs]
    leaf_vectors: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    #: float64[n_nodes]: training rows (or their weight) that reached the node; for TreeSHAP.
    cover: Floats = field(default_factory=lambda: np.zeros(0))
    #: the sums are kept and rounded in float32, as XGBoost does.
    sum_float32: bool = False
    base_first: bool = False
    #: the sums are divided by this; 1 where the ensemble adds.
    divisor: float = 1.0
    post: PostProcessor = PostProcessor.IDENTITY
    #: slope of the sigmoid, or the ratio of an isolation forest.
    post_parameter: float = 1.0
    #: categories are truncated towards zero: (-1, 0) is category 0 (LightGBM), else it is none.
    truncate_negative: bool = False
    #: "lightgbm 4.7.0", for people.
    trainer: str = ""
    #: the type that the trainer rounds its inputs to: "float64" or "float32".
    input_dtype: str = "float64"

    @property
    def n_trees(self) -> int:
        return len(self.roots) - 1

    @property
    def n_outputs(self) -> int:
        return len(self.base)

    @property
    def n_nodes(self) -> int:
        return len(self.values)

    @property
    def n_leaves(self) -> int:
        return int(np.count_nonzero(self.flags & NodeFlag.LEAF))

    def is_leaf(self) -> NDArray[np.bool_]:
        """bool[n_nodes]."""
        leaf: NDArray[np.bool_] = (self.flags & NodeFlag.LEAF) != 0
        return leaf

    def depths(self) -> Ints:
        """int32[n_nodes]: the distance of each node from its tree's root."""
        depth = np.zeros(self.n_nodes, np.int32)
        front = self.roots[:-1]
        inner = ~self.is_leaf()
        level = 0
        while len(front):
            depth[front] = level
            parents = front[inner[front]]
            lefts = self.left[parents].astype(np.int64)
            front = np.concatenate([lefts, lefts + 1])
            level += 1
        return depth
