"""How a forest is laid out for the scorer's fast kernels; chosen once, stored in the file.

Lanes: each feature is replaced by its rank among the thresholds that the forest compares it with
(exact: ``x <= t[k]`` if and only if ``rank(x) < k + 1``, rank counting the thresholds below x).
Ranks fit a byte, so 32 or 64 rows fill a register, and a tree becomes a sequence of compares and
blends without branch or gather. Every column of ranks exists up to twice: a missing value ranks
below every threshold in one and above in the other, and a node takes the column that sends a
missing value its way.

Walk: trees too large for that are walked row by row over 8-byte nodes with 16-bit ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treehouse.forest.model import Forest, NodeFlag

Ints = NDArray[np.int64]

#: Largest tree of the lanes: leaf numbers and ranks are bytes.
MAX_LEAVES = 256
MAX_RANK = 255
#: Category codes 254 and 255 of a column stand for "none of the listed" and "missing".
OTHER_CODE, MISSING_CODE = 254, 255
#: Thresholds per feature that 16-bit ranks can tell apart.
MAX_WALK_RANK = 65534
#: A tree is completed to its depth if that adds at most this share of nodes.
_MAX_PADDING = 1.8
_MAX_COMPLETE_DEPTH = 8


@dataclass(frozen=True)
class Table:
    """What one feature's values are looked up in, from a tree on until the next table."""

    feature: int
    first_tree: int
    #: sorted thresholds; for a category the listed codes
    keys: NDArray[np.float64]
    categorical: bool
    #: columns for a missing value ranked below and above; -1 where unused
    columns: tuple[int, int]


@dataclass(frozen=True)
class Columns:
    """Tables, and for each node its column and its key's position (inner nodes only)."""

    tables: tuple[Table, ...]
    n_columns: int
    column: Ints
    table: Ints
    #: numeric nodes: rank(x) < cut goes left
    cut: Ints


def tree_of_node(forest: Forest) -> Ints:
    """int64[n_nodes]."""
    return np.repeat(np.arange(forest.n_trees), np.diff(forest.roots))


def _epochs(trees: Ints, keys: NDArray[np.float64], limit: int) -> list[int] | None:
    """First trees of runs whose distinct keys stay within the limit; None if one tree breaks it."""
    if len(np.unique(keys)) <= limit:
        return [0]
    order = np.argsort(trees, kind="stable")
    trees, keys = trees[order], keys[order]
    bounds = np.flatnonzero(np.diff(trees, prepend=-1))
    starts, seen = [0], np.zeros(0)
    for begin, end in zip(bounds, [*bounds[1:], len(trees)], strict=True):
        own = np.unique(keys[begin:end])
        if len(own) > limit:
            return None
        merged = np.union1d(seen, own)
        if len(merged) > limit:
            starts.append(int(trees[begin]))
            merged = own
        seen = merged
    return starts


def _listed_codes(forest: Forest, nodes: Ints) -> tuple[Ints, NDArray[np.float64]]:
    """The codes in each categorical node's set, and which of `nodes` each belongs to."""
    owners, codes = [], []
    for node in nodes:
        first, count = forest.extra[node]
        words = forest.words[first : first + count].astype("<u4")
        listed = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
        codes.append(listed)
        owners.append(np.full(len(listed), node))
    if not codes:
        return np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate(owners), np.concatenate(codes).astype(np.float64)


def rank_columns(forest: Forest, limit: int) -> Columns | None:
    """Tables and columns with at most `limit` thresholds each, or None where that can't be."""
    inner = np.flatnonzero(~forest.is_leaf())
    trees = tree_of_node(forest)
    default_left = (forest.flags & NodeFlag.DEFAULT_LEFT) != 0
    categorical = (forest.flags & NodeFlag.CATEGORICAL) != 0
    impossible = np.isnan(forest.values) & ~categorical & ~forest.is_leaf()
    if bool(np.any(impossible & default_left)):
        return None  # nothing but a missing value goes left: no rank says that
    tables: list[Table] = []
    column = np.zeros(forest.n_nodes, np.int64)
    table = np.zeros(forest.n_nodes, np.int64)
    cut = np.zeros(forest.n_nodes, np.int64)
    n_columns = 0
    for feature in np.unique(forest.feature[inner]):
        for is_set in (False, True):
            nodes = inner[(forest.feature[inner] == feature) & (categorical[inner] == is_set)]
            if not len(nodes):
                continue
            if is_set:
                owners, keys = _listed_codes(forest, nodes)
                starts = _epochs(trees[owners], keys, min(limit, OTHER_CODE))
                columns = (n_columns, n_columns + 1)
                n_columns += 2
                column[nodes] = columns[0]
            else:
                owners, keys = nodes, forest.values[nodes]
                owners, keys = owners[~np.isnan(keys)], keys[~np.isnan(keys)]
                starts = _epochs(trees[owners], keys, limit)
                used = (bool(default_left[nodes].any()), not default_left[nodes].all())
                columns = (
                    n_columns if used[0] else -1,
                    n_columns + used[0] if used[1] else -1,
                )
                n_columns += sum(used)
                column[nodes] = np.where(default_left[nodes], columns[0], columns[1])
            if starts is None:
                return None
            for first, last in zip(starts, [*starts[1:], forest.n_trees], strict=True):
                known = np.unique(keys[(trees[owners] >= first) & (trees[owners] < last)])
                mine = nodes[(trees[nodes] >= first) & (trees[nodes] < last)]
                if not is_set:
                    cut[mine] = np.searchsorted(known, forest.values[mine]) + 1
                    cut[mine[np.isnan(forest.values[mine])]] = 0
                table[mine] = len(tables)
                tables.append(Table(int(feature), first, known, is_set, columns))
    tables_in_order = sorted(range(len(tables)), key=lambda i: tables[i].first_tree)
    place = np.argsort(tables_in_order)
    return Columns(
        tuple(tables[i] for i in tables_in_order),
        n_columns,
        column,
        place[table] if len(tables) else table,
        cut,
    )


@dataclass(frozen=True)
class Shape:
    """Per tree: how the lanes evaluate it."""

    #: int64[n_trees]: depth of a completed tree; -1 for one that is evaluated as it is
    complete_depth: Ints
    n_inner: Ints
    n_leaves: Ints


def tree_shapes(forest: Forest) -> Shape:
    """Which trees are worth completing to their depth."""
    trees = tree_of_node(forest)
    inner = ~forest.is_leaf()
    n_inner = np.bincount(trees[inner], minlength=forest.n_trees)
    depth = np.zeros(forest.n_trees, np.int64)
    np.maximum.at(depth, trees, forest.depths())
    padded = 2.0 ** np.minimum(depth, 60) - 1
    fits = (depth <= _MAX_COMPLETE_DEPTH) & (padded <= _MAX_PADDING * n_inner)
    return Shape(np.where(fits, depth, -1), n_inner, n_inner + 1)


def postorder(forest: Forest) -> Ints:
    """int64[n_nodes]: for inner nodes, their place in their tree's postorder, left child first."""
    inner = ~forest.is_leaf()
    size = inner.astype(np.int64)
    depth = forest.depths()
    by_level = [np.flatnonzero((depth == level) & inner) for level in range(depth.max() + 1)]
    for nodes in reversed(by_level):
        size[nodes] += size[forest.left[nodes]] + size[forest.left[nodes] + 1]
    start = np.zeros(forest.n_nodes, np.int64)
    for nodes in by_level:
        left = forest.left[nodes]
        start[left] = start[nodes]
        start[left + 1] = start[nodes] + size[left]
    return start + size - 1
