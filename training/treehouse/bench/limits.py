"""How far the kernel is from what the processor could do at most.

Lanes compare every inner node with as many rows at once as a register has bytes; a node takes a
comparison and a blend, and a core starts two such instructions a cycle: the limit is one node for
all lanes in each cycle. A walk compares the nodes of one path only; a step is two loads that depend
on the step before, and a core makes two loads a cycle: with enough walks in flight, one node a
cycle.
Ranking, leaf values and heads are not part of the limit, but of the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from treehouse.forest import Forest
from treehouse.forest.layout import tree_of_node

_LANES = {"avx512": 64, "avx2": 32, "portable": 16}


def cycles_per_ns() -> float | None:
    """The clock that the system reports, in GHz; a turbo may be faster."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    clocks = [float(line.split(":")[1]) for line in text.splitlines() if line.startswith("cpu MHz")]
    return clocks[0] / 1000 if clocks else None


def comparisons(forest: Forest, layout: str) -> float:
    """Nodes that a row is compared with: all of them in lanes, else those of its paths."""
    leaf = forest.is_leaf()
    if layout == "lanes":
        return float(np.count_nonzero(~leaf))
    cover = np.where(leaf, 0, forest.cover)
    roots = forest.cover[forest.roots[:-1]][tree_of_node(forest)]
    return float(np.sum(np.divide(cover, roots, where=roots > 0, out=np.zeros_like(roots))))


def of_the_limit(forest: Forest, ns_per_row: float, kernel: str, layout: str) -> dict[str, Any]:
    """Time per tree, comparisons in a cycle, and which part of the limit that is."""
    found: dict[str, Any] = {"ns_per_tree": round(ns_per_row / max(forest.n_trees, 1), 3)}
    clock = cycles_per_ns()
    if clock is None or kernel not in _LANES or layout not in ("lanes", "walk"):
        return found
    rate = comparisons(forest, layout) / (ns_per_row * clock)
    limit = _LANES[kernel] if layout == "lanes" else 1
    return found | {"per_cycle": round(rate, 2), "of_limit": round(rate / limit, 3)}
