"""From a Treelite model to the arrays of a :class:`Forest`, trees in the trainer's order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treehouse.forest.model import Forest, NodeFlag, PostProcessor
from treehouse.forest.treelite_columns import Columns, sibling_order
from treehouse.project.errors import TreehouseError

#: Treelite's codes of node kinds and comparisons (tree.h, enum TreeNodeType and Operator).
_NUMERIC, _CATEGORICAL = 1, 2
_LESS_THAN, _LESS_OR_EQUAL = 2, 3

_POST = {
    "identity": PostProcessor.IDENTITY,
    "identity_multiclass": PostProcessor.IDENTITY,
    "sigmoid": PostProcessor.SIGMOID,
    "multiclass_ova": PostProcessor.SIGMOID,
    "exponential": PostProcessor.EXPONENTIAL,
    "softmax": PostProcessor.SOFTMAX,
    "signed_square": PostProcessor.SIGNED_SQUARE,
    "hinge": PostProcessor.HINGE,
    "logarithm_one_plus_exp": PostProcessor.LOG1P_EXP,
    "exponential_standard_ratio": PostProcessor.ISOLATION,
}

#: Folds a trainer's comparison into "x <= threshold" over float64.
Fold = Callable[[NDArray[Any]], NDArray[np.float64]]


def _bitsets(
    columns: Columns, nodes: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Words of every categorical node's set, and (first word, number of words) of each."""
    words: list[NDArray[np.uint32]] = []
    where = np.zeros((len(nodes), 2), np.int64)
    seen: dict[bytes, tuple[int, int]] = {}
    first = 0
    for row, node in enumerate(nodes):
        begin, end = columns["category_list_begin"][node], columns["category_list_end"][node]
        listed = columns["category_list"][begin:end].astype(np.int64)
        bits = np.zeros((int(listed.max()) // 32 + 1) * 32 if len(listed) else 32, np.uint8)
        bits[listed] = 1
        packed = np.packbits(bits, bitorder="little")
        key = packed.tobytes()
        if key not in seen:
            seen[key] = (first, len(packed) // 4)
            words.append(packed.view("<u4"))
            first += len(packed) // 4
        where[row] = seen[key]
    return (np.concatenate(words) if words else np.zeros(0, np.uint32)), where


def _check_comparison(columns: Columns, wanted: int) -> None:
    found = columns["cmp"][columns["node_type"] == _NUMERIC]
    if len(found) and not bool(np.all(found == wanted)):
        raise TreehouseError(
            "the model compares in a way that this importer does not know",
            value=sorted(set(found.tolist())),
            expected=f"Treelite comparison code {wanted}",
            fix="report the trainer's name and version",
        )


def _outputs(
    model: Any, columns: Columns
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    """Each tree's output (-1: a leaf vector), the base scores, and the leaf vectors."""
    header = model.get_header_accessor()
    n_target = int(header.get_field("num_target")[0])
    n_class = int(np.max(header.get_field("num_class")))
    n_outputs = n_target * n_class
    # Treelite lends its memory: what is kept must be a copy
    base = np.array(header.get_field("base_scores"), np.float64).reshape(-1)
    shape = np.asarray(header.get_field("leaf_vector_shape"))
    target = np.asarray(header.get_field("target_id"), np.int32)
    klass = np.asarray(header.get_field("class_id"), np.int32)
    if int(np.prod(shape)) == 1:
        output = np.where(target < 0, 0, target) * n_class + np.where(klass < 0, 0, klass)
        return output.astype(np.int32), base, np.zeros((0, n_outputs))
    flat = columns["leaf_vector"].astype(np.float64)
    width = int(np.prod(shape))
    partial = (n_class > 1 and np.any(klass >= 0)) or (n_target > 1 and np.any(target >= 0))
    if width != n_outputs or partial:
        raise TreehouseError(
            "leaf vectors that cover a part of the outputs are not supported",
            value=f"leaf vectors of {width} for {n_outputs} outputs",
            fix="train one model per target",
        )
    return np.full(len(target), -1, np.int32), base, flat.reshape(-1, width)


def from_treelite(
    model: Any,
    features: tuple[str, ...],
    *,
    fold: Fold,
    less_or_equal: bool,
    trainer: str,
    cover_field: str = "data_count",
    leaf_values: NDArray[np.float64] | None = None,
    leaf_vectors: NDArray[np.float64] | None = None,
    **rules: Any,
) -> Forest:
    """Translate a Treelite model.

    Args:
        model: a ``treelite.Model``.
        features: the name of each of the model's features, in its order.
        fold: the trainer's thresholds to float64 thresholds of "x <= threshold".
        less_or_equal: whether the trainer compares with <= (else with <).
        trainer: name and version, for people.
        cover_field: Treelite's field with the training weight of each node.
        leaf_values, leaf_vectors: the trainer's own value of each node, or float64[nodes,
            outputs], where Treelite rounds them otherwise.
        rules: fields of Forest that the trainer fixes (summing, base first, ...).

    Raises:
        TreehouseError: the model holds something that the scorer has no answer for.
    """
    header = model.get_header_accessor()
    columns = Columns(model, cover_field)
    _check_comparison(columns, _LESS_OR_EQUAL if less_or_equal else _LESS_THAN)
    order = sibling_order(columns, columns["node_type"] != 0)
    new_index = np.zeros(len(columns["cmp"]), np.int64)
    new_index[order] = np.arange(len(order))
    kind = columns["node_type"][order]
    inner, is_set = kind != 0, kind == _CATEGORICAL
    leaf, numeric = ~inner, kind == _NUMERIC

    values = np.zeros(len(order))
    leaf_values = columns["leaf_value"] if leaf_values is None else leaf_values
    values[leaf] = leaf_values[order][leaf]
    values[numeric] = fold(columns["threshold"][order][numeric])
    flags = np.where(leaf, NodeFlag.LEAF, 0).astype(np.uint8)
    for flag, where in (
        (NodeFlag.DEFAULT_LEFT, inner & (columns["default_left"][order] != 0)),
        (NodeFlag.CATEGORICAL, is_set),
        (NodeFlag.INVERTED, is_set & (columns["category_list_right_child"][order] != 0)),
    ):
        flags[where] |= np.uint8(flag)
    own = np.arange(len(order))
    left = np.where(inner, new_index[np.where(inner, columns["cleft"][order], 0)], own)

    extra = np.zeros((len(order), 2), np.int64)
    words, extra[is_set] = _bitsets(columns, order[is_set])
    tree_output, base, vectors = _outputs(model, columns)
    if len(vectors):
        extra[leaf, 0] = columns["leaf_vector_begin"][order][leaf] // vectors.shape[1]
    if len(vectors) and leaf_vectors is not None:
        vectors = leaf_vectors[order][leaf]
        extra[leaf, 0] = np.arange(len(vectors))
    name = str(header.get_field("postprocessor"))
    parameter = header.get_field("ratio_c" if name.endswith("ratio") else "sigmoid_alpha")
    averaged = bool(header.get_field("average_tree_output")[0])
    settings: dict[str, Any] = {
        "post": _POST[name],
        "post_parameter": float(parameter[0]),
        "divisor": float(len(columns.counts)) if averaged else 1.0,
        "base": base,
        **rules,
    }
    return Forest(
        features=features,
        values=values,
        feature=np.where(inner, columns["split_index"][order], 0).astype(np.int32),
        left=left.astype(np.int32),
        flags=flags,
        roots=columns.starts,
        tree_output=tree_output,
        extra=extra,
        words=words,
        leaf_vectors=vectors,
        cover=columns["cover"][order],
        trainer=trainer,
        **settings,
    )
