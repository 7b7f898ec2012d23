"""A small LightGBM model as one SQL expression: nested conditions, a contender of `bench sql`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def trees_in_sql(booster: Any, columns: Sequence[str]) -> str:
    """The sum of all trees as nested `if`, for numeric splits without missing values."""
    trees = booster.dump_model()["tree_info"]
    return " + ".join(f"({_node(tree['tree_structure'], columns)})" for tree in trees)


def _node(node: dict[str, Any], columns: Sequence[str]) -> str:
    if "leaf_value" in node:
        return repr(float(node["leaf_value"]))
    column, threshold = columns[node["split_feature"]], float(node["threshold"])
    left, right = (_node(node[f"{side}_child"], columns) for side in ("left", "right"))
    return f"if({column} <= {threshold!r}, {left}, {right})"
