"""A logical forest as an ONNX TreeEnsembleRegressor: ONNX Runtime as a contender.

Thresholds become float32, as that operator has them, so answers next to a threshold may differ;
the work per row is the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from training.forest import Forest
from training.forest.layout import tree_of_node
from training.forest.model import NodeFlag


def to_onnx(forest: Forest) -> bytes | None:
    """A serialised model with input x float32[rows, features], or None for categorical splits."""
    from onnx import TensorProto, helper  # type: ignore[import-not-found,unused-ignore]

    if bool(np.any(forest.flags & NodeFlag.CATEGORICAL)):
        return None
    leaf = forest.is_leaf()
    tree = tree_of_node(forest)
    number = np.arange(forest.n_nodes) - forest.roots[tree]
    child = np.where(leaf, 0, forest.left - forest.roots[tree])
    node = helper.make_node(
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
    graph = helper.make_graph(
        [node],
        "forest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(forest.features)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, forest.n_outputs])],
    )
    versions = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=9)
    return bytes(model.SerializeToString())


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
