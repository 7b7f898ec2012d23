"""A trained bundle without training: a formula in place of forests, made in no time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from treehouse.bundle import Bundle, Inputs, e
from treehouse.forest.model import Forest, NodeFlag
from treehouse.project.contract import load_contract

USE_CASE = "purchase_value"
FEATURE = "amount_1m"
ROWS = 32
#: Why it is published although no training set belongs to it.
MADE_UP = "made up for a test"


def small_bundle(
    factor: float,
    *,
    contract: str | None = None,
    model: str = USE_CASE,
    error: float = 0.0,
    fingerprint: int = 7,
    mae: float = 1.0,
    padding: str = "",
    measured: Mapping[str, Any] | None = None,
    windows: dict[str, str] | None = None,
    depth: int = 0,
) -> bytes:
    """What `train` would leave: its first head answers `factor` times the feature amount_1m.

    Args:
        factor: Tells versions apart.
        contract: Another contract than that of the use case.
        model: Another use case than the contract's.
        error: Added to one of the golden answers.
        fingerprint: Of the training set that it says it was fitted to.
        mae: One of its metrics.
        padding: Makes the file larger.
        measured: Further metrics.
        windows: Vars that it says its label and features were built by.
        depth: Of a tree besides, which explains the answers and does not make them; 0 for none.
    """
    wanted = load_contract(USE_CASE)
    numeric = np.random.default_rng(1).gamma(1.0, 20.0, (ROWS, len(wanted.of_kind("numeric"))))
    amount = numeric[:, wanted.of_kind("numeric").index(FEATURE)]
    factors = [factor * (i + 1) for i in range(len(wanted.heads))]
    answers = amount[:, None] * np.array(factors)
    answers[0, 0] += error
    return Bundle(
        model=model,
        version=1,
        contract=contract or wanted.hash,
        inputs=Inputs(wanted.of_kind("numeric"), dict.fromkeys(wanted.of_kind("categorical"), ())),
        forests=(_chain(depth),) if depth else (),
        heads={
            name: e.feature(FEATURE) * share
            for name, share in zip(wanted.heads, factors, strict=True)
        },
        info={
            "spec_hash": "0" * 32,
            "padding": padding,
            "lineage": {
                "rows": ROWS,
                "fingerprint": fingerprint,
                "from": "1997-01-01 00:00:00+00:00",
                "to": "1998-01-01 00:00:00+00:00",
            },
            "libraries": {"numpy": np.__version__},
            "parameters": {"factor": factor} | ({"windows": windows} if windows else {}),
            "metrics": {
                "model": {"mae": mae, "gini": 0.5, "deviance": 1.0},
                "baselines": {"BG/NBD + Gamma-Gamma": {"deviance": 2.0}},
                **(measured or {}),
            },
            "golden": {
                "numeric": numeric.tolist(),
                "categorical": [[] for _ in range(ROWS)],
                "answers": answers.tolist(),
            },
        },
    ).to_bytes()


def write_bundle(folder: Path, factor: float, **changes: Any) -> Path:
    """The same as a file."""
    path = folder / f"{factor}.bundle"
    path.write_bytes(small_bundle(factor, **changes))
    return path


def _chain(depth: int) -> Forest:
    """One tree in which each node has a leaf at its left and goes on at its right."""
    count = 2 * depth + 1
    node = np.arange(count)
    inner = (node % 2 == 0) & (node < count - 1)
    flags = np.where(inner, 0, NodeFlag.LEAF).astype(np.uint8)
    return Forest(
        features=(FEATURE,),
        values=node / count,
        feature=np.zeros(count, np.int32),
        left=np.where(inner, node + 1, node).astype(np.int32),
        flags=flags,
        roots=np.array([0, count]),
        tree_output=np.zeros(1, np.int32),
        base=np.zeros(1),
        extra=np.zeros((count, 2), np.int64),
        cover=(count - node).astype(float),
    )
