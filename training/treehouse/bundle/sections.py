"""The sections of a bundle as bytes: names, category tables, forests."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from treehouse.bundle.container import Kind
from treehouse.bundle.lanes import layout_sections
from treehouse.forest.model import Forest, NodeFlag
from treehouse.project.errors import TreehouseError

_LENGTH = struct.Struct("<I")
_TABLE = struct.Struct("<IIII")
_FOREST = struct.Struct("<IIIIIIIIdddQQQ48x")
_MASK64 = 2**64 - 1
_HASH_FACTOR = 0x9E3779B97F4A7C15

NODE = np.dtype([("value", "<f8"), ("test", "<u4"), ("left", "<u4")])
_MAX_FEATURES = 2**24
_MAX_NODES = 2**31


def strings(values: Sequence[str]) -> bytes:
    """Each string as its length in bytes (u32) and its UTF-8."""
    encoded = [v.encode() for v in values]
    return b"".join(_LENGTH.pack(len(v)) + v for v in encoded)


def read_strings(data: bytes) -> list[str]:
    """The inverse of :func:`strings`."""
    found, position = [], 0
    while position < len(data):
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        found.append(data[position : position + length].decode())
        position += length
    return found


def hash_bytes(data: bytes) -> int:
    """The hash of the category tables, 64 bits; `hash_bytes` in `udfs/scorer/categories.hpp`."""
    h = (len(data) * _HASH_FACTOR) & _MASK64
    for i in range(0, len(data), 8):
        h = ((h ^ int.from_bytes(data[i : i + 8], "little")) * _HASH_FACTOR) & _MASK64
        h ^= h >> 32
    return h


def category_table(categories: Sequence[str]) -> bytes:
    """Strings and an open-addressed hash table of their codes, at most half full."""
    encoded = [bytes_of(c) for c in categories]
    if len(set(encoded)) != len(encoded):
        raise TreehouseError("a category is listed twice", value=list(categories)[:20])
    bits = max(1, (2 * len(encoded)).bit_length())
    size = 1 << bits
    slots = [0] * size
    for code, value in enumerate(encoded):
        slot = hash_bytes(value) & (size - 1)
        while slots[slot]:
            slot = (slot + 1) & (size - 1)
        slots[slot] = code + 1
    ends = np.concatenate([[0], np.cumsum([len(v) for v in encoded])])
    longest = max((len(v) for v in encoded), default=0)
    head = _TABLE.pack(len(encoded), bits, int(ends[-1]), longest)
    return (
        head + np.array(slots, "<u4").tobytes() + ends.astype("<u4").tobytes() + b"".join(encoded)
    )


def read_category_table(data: bytes) -> list[str]:
    """The categories in the order of their codes."""
    count, bits, _, _ = _TABLE.unpack_from(data)
    start = _TABLE.size + (4 << bits)
    ends = np.frombuffer(data, "<u4", count + 1, start).tolist()
    blob = data[start + 4 * (count + 1) :]
    return [text_of(blob[a:b]) for a, b in pairwise(ends)]


def text_of(category: bytes) -> str:
    """A category as Python's text; bytes that are no UTF-8 become lone surrogates (PEP 383)."""
    return category.decode("utf-8", "surrogateescape")


def bytes_of(category: str) -> bytes:
    """The inverse of :func:`text_of`."""
    return category.encode("utf-8", "surrogateescape")


def _nodes(forest: Forest) -> NDArray[np.void]:
    nodes = np.zeros(forest.n_nodes, NODE)
    nodes["value"] = forest.values
    flags = forest.flags.astype(np.uint32)
    nodes["test"] = forest.feature.astype(np.uint32) | (flags << np.uint32(24))
    nodes["left"] = forest.left
    sets = (forest.flags & NodeFlag.CATEGORICAL) != 0
    bits = nodes["value"].view("<u8")
    bits[sets] = forest.extra[sets, 0].astype(np.uint64) | (
        forest.extra[sets, 1].astype(np.uint64) << np.uint64(32)
    )
    if len(forest.leaf_vectors):
        leaf = forest.is_leaf()
        bits[leaf] = forest.extra[leaf, 0].astype(np.uint64)
    return nodes


def forest_sections(forest: Forest, bound: Sequence[int]) -> list[tuple[Kind, bytes]]:
    """Every section of one forest.

    Args:
        forest: the logical forest.
        bound: for each of its features the index of the input that feeds it.
    """
    if len(forest.features) >= _MAX_FEATURES or forest.n_nodes >= _MAX_NODES:
        raise TreehouseError(
            "the forest is too large for the file format",
            value=f"{len(forest.features)} features, {forest.n_nodes} nodes",
            expected=f"below {_MAX_FEATURES} features and {_MAX_NODES} nodes",
        )
    flags = forest.sum_float32 * 1 + forest.base_first * 2 + forest.truncate_negative * 4
    flags += (len(forest.leaf_vectors) > 0) * 8
    head = _FOREST.pack(
        len(forest.features),
        forest.n_outputs,
        forest.n_trees,
        flags,
        int(forest.post),
        0,
        0,
        0,
        forest.divisor,
        forest.post_parameter,
        0.0,
        forest.n_nodes,
        len(forest.words),
        len(forest.leaf_vectors),
    )
    trees = np.concatenate([forest.roots, forest.tree_output]).astype("<i4")
    return [
        (Kind.FOREST, head),
        (Kind.BINDING, np.asarray(bound, "<u4").tobytes()),
        (Kind.BASE, forest.base.astype("<f8").tobytes()),
        (Kind.TREES, trees.tobytes()),
        (Kind.NODES, _nodes(forest).tobytes()),
        (Kind.WORDS, forest.words.astype("<u4").tobytes()),
        (Kind.VECTORS, forest.leaf_vectors.astype("<f8").tobytes()),
        (Kind.COVER, forest.cover.astype("<f8").tobytes()),
        *layout_sections(forest),
    ]
