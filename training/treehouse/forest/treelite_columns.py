"""A Treelite model's fields end to end, and the order in which our forest keeps its nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_PER_NODE = (
    "node_type",
    "cleft",
    "cright",
    "split_index",
    "default_left",
    "leaf_value",
    "threshold",
    "cmp",
    "category_list_right_child",
)
_RANGES = (
    ("category_list", "category_list_begin", "category_list_end"),
    ("leaf_vector", "leaf_vector_begin", "leaf_vector_end"),
)
_CHILDREN = ("cleft", "cright")


class Columns:
    """Every tree's fields end to end, child and range indices made global."""

    def __init__(self, model: Any, cover_field: str) -> None:
        trees = [model.get_tree_accessor(i) for i in range(model.num_tree)]
        self.counts = np.array([int(t.get_field("num_nodes")[0]) for t in trees], np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        self.columns: dict[str, NDArray[Any]] = {}
        for name in _PER_NODE:
            shift = self.starts[:-1] if name in _CHILDREN else None
            self.columns[name] = self._joined(trees, name, shift)
        for values, begin, end in _RANGES:
            parts = [np.asarray(t.get_field(values)) for t in trees]
            shift = np.concatenate([[0], np.cumsum([len(p) for p in parts])])[:-1]
            self.columns[values] = np.concatenate(parts) if parts else np.zeros(0)
            self.columns[begin] = self._joined(trees, begin, shift)
            self.columns[end] = self._joined(trees, end, shift)
        cover = [np.asarray(t.get_field(cover_field), np.float64) for t in trees]
        total = int(self.starts[-1])
        joined = np.concatenate(cover) if cover else np.zeros(0)
        self.columns["cover"] = joined if len(joined) == total else np.zeros(total)

    def _joined(self, trees: list[Any], name: str, shift: NDArray[Any] | None) -> NDArray[Any]:
        parts = [np.asarray(t.get_field(name)) for t in trees]
        if shift is not None:
            parts = [p.astype(np.int64) + s for p, s in zip(parts, shift, strict=True)]
        return np.concatenate(parts)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]


def sibling_order(columns: Columns, inner: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The old index of each new node: tree by tree, siblings side by side, and after a pair of
    siblings first what lies below the one that more training rows reach: walks stay near."""
    left, right, cover = columns["cleft"], columns["cright"], columns["cover"]
    levels = [columns.starts[:-1]]
    while len(levels[-1]):
        parents = levels[-1][inner[levels[-1]]]
        levels.append(np.stack([left[parents], right[parents]], axis=1).ravel())
    below = np.zeros(len(inner), np.int64)
    for nodes in reversed(levels):
        parents = nodes[inner[nodes]]
        below[parents] = 2 + below[left[parents]] + below[right[parents]]
    place = np.zeros(len(inner), np.int64)
    block = np.zeros(len(inner), np.int64)
    place[levels[0]] = levels[0]
    block[levels[0]] = levels[0] + 1
    for nodes in levels:
        parents = nodes[inner[nodes]]
        start, one, two = block[parents], left[parents], right[parents]
        place[one], place[two] = start, start + 1
        left_first = cover[one] >= cover[two]
        block[one] = start + 2 + np.where(left_first, 0, below[two])
        block[two] = start + 2 + np.where(left_first, below[one], 0)
    order = np.zeros(len(inner), np.int64)
    order[place] = np.arange(len(inner))
    return order
