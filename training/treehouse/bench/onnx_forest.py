"""A logical forest as ONNX: ONNX Runtime as a contender.

Numeric forests become a TreeEnsembleRegressor; forests with sets of categories the newer
TreeEnsemble (ai.onnx.ml 5), which has a mode for them (BRANCH_MEMBER). Thresholds become float32,
as these operators have them here, so answers next to a threshold may differ; the work per row is
the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from treehouse.forest import Forest
from treehouse.forest.layout import tree_of_node
from treehouse.forest.model import NodeFlag

_LESS_EQUAL, _MEMBER = 0, 6  # modes of TreeEnsemble
_SUM = 1


def to_onnx(forest: Forest) -> bytes:
    """A serialised model with input x float32[rows, features]; bases are left out."""
    from onnx import TensorProto, helper  # type: ignore[import-not-found,unused-ignore]

    categorical = bool(np.any(forest.flags & NodeFlag.CATEGORICAL))
    node = _with_sets(forest) if categorical else _numeric(forest)
    graph = helper.make_graph(
        [node],
        "forest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(forest.features)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, forest.n_outputs])],
    )
    versions = [
        helper.make_opsetid("ai.onnx.ml", 5 if categorical else 3),
        helper.make_opsetid("", 21),
    ]
    model = helper.make_model(graph, opset_imports=versions, ir_version=10)
    return bytes(model.SerializeToString())


def _with_sets(forest: Forest) -> Any:
    """A TreeEnsemble of inner nodes and leaves, each numbered on its own."""
    from onnx import helper, numpy_helper

    leaf = forest.is_leaf()
    inner = np.flatnonzero(~leaf)
    number = np.where(leaf, np.cumsum(leaf), np.cumsum(~leaf)) - 1
    is_set = (forest.flags[inner] & NodeFlag.CATEGORICAL) != 0
    inverted = (forest.flags[inner] & NodeFlag.INVERTED) != 0
    left = forest.left[inner]
    true, false = np.where(inverted, left + 1, left), np.where(inverted, left, left + 1)
    default_left = (forest.flags[inner] & NodeFlag.DEFAULT_LEFT) != 0
    tensors = {
        "nodes_splits": np.where(is_set, 0, forest.values[inner]).astype(np.float32),
        "nodes_modes": np.where(is_set, _MEMBER, _LESS_EQUAL).astype(np.uint8),
        "leaf_weights": forest.values[leaf].astype(np.float32),
        "membership_values": _members(forest, inner[is_set]),
    }
    return helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=forest.n_outputs,
        aggregate_function=_SUM,
        tree_roots=number[forest.roots[:-1]].tolist(),
        nodes_featureids=forest.feature[inner].tolist(),
        nodes_truenodeids=number[true].tolist(),
        nodes_trueleafs=leaf[true].astype(int).tolist(),
        nodes_falsenodeids=number[false].tolist(),
        nodes_falseleafs=leaf[false].astype(int).tolist(),
        nodes_missing_value_tracks_true=(default_left != inverted).astype(int).tolist(),
        leaf_targetids=forest.tree_output[tree_of_node(forest)[leaf]].tolist(),
        **{name: numpy_helper.from_array(values, name) for name, values in tensors.items()},
    )


def _members(forest: Forest, nodes: Any) -> Any:
    """float32: the categories of each node's set, each set ended by NaN."""
    members: list[float] = []
    for node in nodes:
        first, count = forest.extra[node]
        words = forest.words[first : first + count].astype("<u4").view(np.uint8)
        members += [*np.flatnonzero(np.unpackbits(words, bitorder="little")), np.nan]
    return np.array(members, np.float32)


def _numeric(forest: Forest) -> Any:
    """A TreeEnsembleRegressor."""
    from onnx import helper

    leaf = forest.is_leaf()
    tree = tree_of_node(forest)
    number = np.arange(forest.n_nodes) - forest.roots[tree]
    child = np.where(leaf, 0, forest.left - forest.roots[tree])
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=forest.n_outputs,
        aggregate_function="SUM",
        nodes_treeids=tree.tolist(),
        nodes_nodeids=number.tolist(),
        nodes_featureids=forest.feature.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_values=np.where(leaf, 0, forest.values).astype(np.float32).tolist(),
        nodes_truenodeids=child.tolist(),
        nodes_falsenodeids=np.where(leaf, 0, child + 1).tolist(),
        nodes_missing_value_tracks_true=((forest.flags & NodeFlag.DEFAULT_LEFT) != 0)
        .astype(int)
        .tolist(),
        **_targets(forest, tree[leaf], number[leaf], leaf),
    )


def _targets(forest: Forest, tree: Any, number: Any, leaf: Any) -> dict[str, Any]:
    if len(forest.leaf_vectors):
        width = forest.n_outputs
        return {
            "target_treeids": np.repeat(tree, width).tolist(),
            "target_nodeids": np.repeat(number, width).tolist(),
            "target_ids": np.tile(np.arange(width), len(tree)).tolist(),
            "target_weights": forest.leaf_vectors[forest.extra[leaf, 0]].ravel().tolist(),
        }
    return {
        "target_treeids": tree.tolist(),
        "target_nodeids": number.tolist(),
        "target_ids": forest.tree_output[tree].tolist(),
        "target_weights": forest.values[leaf].tolist(),
    }
