"""The LANES and WALK sections; read by `udfs/scorer/lanes.cpp` and `walk.cpp`."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle.container import Kind
from treehouse.bundle.ranks import aligned, ranks_section
from treehouse.forest.layout import (
    MAX_LEAVES,
    MAX_RANK,
    MAX_WALK_RANK,
    MISSING_CODE,
    Columns,
    Shape,
    postorder,
    rank_columns,
    tree_of_node,
    tree_shapes,
)
from treehouse.forest.model import Forest, NodeFlag

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_LANE_HEAD = struct.Struct("<IIIIQQQQQQ")
_TREE = np.dtype(
    [("kind", "<u2"), ("count", "<u2"), ("first", "<u4"), ("leaf", "<u4"), ("padded", "<u4")]
)
_NODE = np.dtype([("cut", "<u4"), ("column", "<u4")])
_OP = np.dtype(
    [("column", "<u2"), ("to", "<u2"), ("left", "<u2"), ("right", "<u2"), ("cut", "<u4")]
)
_WALK_NODE = np.dtype([("cut", "<u2"), ("column", "<u2"), ("left", "<u4")])
_LEFT_LEAF, _RIGHT_LEAF, _MAX_WALK_COLUMNS = 0x4000, 0x8000, 0x3FFF
_RAGGED = 255
#: Bytes from one column of ranks to the next: `kChunk` in the scorer.
_STRIDE = 512
_CATEGORICAL_COLUMN = 0x8000
_TEMPORARY = 256


def _sets(forest: Forest, columns: Columns) -> tuple[Ints, Bytes]:
    """For each categorical node its set's number, and uint8[sets, 32]: a bit per local code that
    goes right."""
    nodes = np.flatnonzero((forest.flags & NodeFlag.CATEGORICAL) != 0)
    number = np.zeros(forest.n_nodes, np.int64)
    found: dict[tuple[int, ...], int] = {}
    rows: list[Bytes] = []
    for node in nodes:
        first, count = (int(v) for v in forest.extra[node])
        key = (first, count, int(columns.table[node]), int(forest.flags[node]))
        if key not in found:
            found[key] = len(rows)
            words = forest.words[first : first + count].astype("<u4")
            member = np.unpackbits(words.view(np.uint8), bitorder="little")
            codes = columns.tables[columns.table[node]].keys.astype(np.int64)
            inside = np.zeros(256, np.bool_)
            known = codes < len(member)
            inside[: len(codes)][known] = member[codes[known]] != 0
            inverted = bool(forest.flags[node] & NodeFlag.INVERTED)
            left = inside != inverted
            left[MISSING_CODE] = bool(forest.flags[node] & NodeFlag.DEFAULT_LEFT)
            rows.append(np.packbits(~left, bitorder="little"))
        number[node] = found[key]
    return number, np.array(rows, np.uint8).reshape(-1, 32)


def _complete(
    forest: Forest, columns: Columns, trees: Ints, depth: int
) -> tuple[NDArray[np.void], Ints]:
    """Nodes [trees, 2^depth - 1] in heap order, and the leaf at each end [trees, 2^depth]."""
    leaf = forest.is_leaf()
    nodes = np.zeros((len(trees), 2**depth - 1), _NODE)
    current = forest.roots[trees].reshape(-1, 1)
    for level in range(depth):
        at = slice(2**level - 1, 2 ** (level + 1) - 1)
        biased = (columns.cut[current] ^ 0x80).astype(np.uint32)
        nodes["cut"][:, at] = np.where(leaf[current], 0, biased * np.uint32(0x01010101))
        nodes["column"][:, at] = np.where(leaf[current], 0, columns.column[current] * _STRIDE)
        left = np.where(leaf[current], current, forest.left[current])
        right = np.where(leaf[current], current, forest.left[current] + 1)
        current = np.stack([left, right], axis=2).reshape(len(trees), -1)
    return nodes, current


def _ragged(
    forest: Forest, columns: Columns, trees: Ints, leaf_number: Ints, sets: Ints
) -> NDArray[np.void]:
    """Operations of the given trees, each tree in postorder."""
    depth = forest.depths().astype(np.int64)
    inner = ~forest.is_leaf()
    tree = tree_of_node(forest)
    nodes = np.flatnonzero(inner & np.isin(tree, trees))
    nodes = nodes[np.lexsort((postorder(forest)[nodes], tree[nodes]))]
    side = np.zeros(forest.n_nodes, np.int64)
    side[forest.left[inner] + 1] = 1
    place = 2 * depth + side
    source = np.where(inner, place + _TEMPORARY, leaf_number)
    categorical = (forest.flags[nodes] & NodeFlag.CATEGORICAL) != 0
    ops = np.zeros(len(nodes), _OP)
    ops["column"] = columns.column[nodes] + np.where(categorical, _CATEGORICAL_COLUMN, 0)
    ops["to"] = place[nodes]
    ops["left"] = source[forest.left[nodes]]
    ops["right"] = source[forest.left[nodes] + 1]
    ops["cut"] = np.where(categorical, sets[nodes], columns.cut[nodes] ^ 0x80)
    return ops


def _leaf_tables(
    forest: Forest, ends: list[Ints], first: Ints, padded: Ints
) -> tuple[bytes, bytes]:
    """Leaf values tree after tree, and the same as byte planes for table look-ups."""
    kind = "<f4" if forest.sum_float32 else "<f8"
    total = int(padded.sum())
    values = np.zeros(total, kind)
    planes = np.zeros(total * values.itemsize, np.uint8)
    for size in np.unique(padded):
        trees = np.flatnonzero(padded == size)
        block = np.zeros((len(trees), size), kind)
        for row, tree in enumerate(trees):
            block[row, : len(ends[tree])] = forest.values[ends[tree]]
        where = first[trees][:, None] + np.arange(size)
        values[where] = block
        split = block.view(np.uint8).reshape(len(trees), size, values.itemsize)
        start = (first[trees] * values.itemsize)[:, None] + np.arange(size * values.itemsize)
        planes[start] = split.transpose(0, 2, 1).reshape(len(trees), -1)
    return values.tobytes(), planes.tobytes()


def layout_sections(forest: Forest) -> list[tuple[Kind, bytes]]:
    """Ranks and lanes, or ranks and a walk, or nothing where a forest fits neither."""
    if not forest.n_trees:
        return []
    shape = tree_shapes(forest)
    if len(forest.leaf_vectors) or shape.n_leaves.max() > MAX_LEAVES:
        return _walk_sections(forest)
    lanes = lane_sections(forest, shape)
    return [] if lanes is None else [(Kind.RANKS, lanes[0]), (Kind.LANES, lanes[1])]


def _walk_sections(forest: Forest) -> list[tuple[Kind, bytes]]:
    if bool(np.any(forest.flags & NodeFlag.CATEGORICAL)):
        return []
    columns = rank_columns(forest, MAX_WALK_RANK)
    if columns is None or columns.n_columns > _MAX_WALK_COLUMNS:
        return []
    nodes = np.zeros(forest.n_nodes, _WALK_NODE)
    leaf = forest.is_leaf()
    children = np.where(leaf[:, None], 0, forest.left[:, None] + np.arange(2))
    flags = leaf[children] @ np.array([_LEFT_LEAF, _RIGHT_LEAF])
    nodes["cut"], nodes["column"] = columns.cut, columns.column + flags
    nodes["left"] = forest.left
    payload = forest.extra[:, 0] if len(forest.leaf_vectors) else forest.values.view(np.int64)
    nodes.view("<i8")[leaf] = payload[leaf]
    return [(Kind.RANKS, ranks_section(columns, 2)), (Kind.WALK, nodes.tobytes())]


def lane_sections(forest: Forest, shape: Shape) -> tuple[bytes, bytes] | None:
    """The RANKS and LANES sections, or None where the forest does not fit them."""
    columns = rank_columns(forest, MAX_RANK)
    if columns is None or columns.n_columns >= _CATEGORICAL_COLUMN:
        return None
    return ranks_section(columns, 1), _lanes(forest, columns, shape)


def _lanes(forest: Forest, columns: Columns, shape: Shape) -> bytes:
    tree, leaf = tree_of_node(forest), forest.is_leaf()
    has_sets = np.zeros(forest.n_trees, np.bool_)
    has_sets[tree[(forest.flags & NodeFlag.CATEGORICAL) != 0]] = True
    kind = np.where(has_sets | (shape.complete_depth < 0), _RAGGED, shape.complete_depth)
    before = np.concatenate([[0], np.cumsum(leaf)])
    leaf_number = before[:-1] - before[forest.roots[:-1]][tree]
    set_number, sets = _sets(forest, columns)

    trees = np.zeros(forest.n_trees, _TREE)
    trees["kind"] = kind
    ends = [np.zeros(0, np.int64)] * forest.n_trees
    heaps, first = [], 0
    for depth in np.unique(kind[kind != _RAGGED]):
        members = np.flatnonzero(kind == depth)
        nodes, leaves = _complete(forest, columns, members, int(depth))
        heaps.append(nodes.ravel())
        trees["count"][members] = 2**depth - 1
        trees["first"][members] = first + np.arange(len(members)) * (2**depth - 1)
        first += nodes.size
        for row, member in enumerate(members):
            ends[member] = leaves[row]
    ragged = np.flatnonzero(kind == _RAGGED)
    ops = _ragged(forest, columns, ragged, leaf_number, set_number)
    trees["count"][ragged] = shape.n_inner[ragged]
    trees["first"][ragged] = np.cumsum(shape.n_inner[ragged]) - shape.n_inner[ragged]
    leaf_nodes = np.flatnonzero(leaf)
    for member in ragged:
        ends[member] = leaf_nodes[before[forest.roots[member]] : before[forest.roots[member + 1]]]
    sizes = np.array([len(e) for e in ends])
    trees["padded"] = np.where(sizes <= 64, 64, np.where(sizes <= 128, 128, 256))
    padded = trees["padded"].astype(np.int64)
    trees["leaf"] = np.cumsum(padded) - padded
    values, planes = _leaf_tables(forest, ends, trees["leaf"].astype(np.int64), padded)
    heap = np.concatenate(heaps).tobytes() if heaps else b""
    parts = [trees.tobytes(), heap, ops.tobytes(), sets.tobytes(), values, planes]
    temporaries = int(ops["to"].max()) + 1 if len(ops) else 0
    offset, offsets = len(aligned(bytes(_LANE_HEAD.size))), []
    for part in parts:
        offsets.append(offset)
        offset += len(aligned(part))
    head = _LANE_HEAD.pack(forest.n_trees, len(sets), temporaries, len(ops), *offsets)
    return aligned(head) + b"".join(aligned(part) for part in parts)
