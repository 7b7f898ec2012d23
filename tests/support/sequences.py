"""A made-up training set of sequences: the next token depends on the last two, by known chances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.datasets import made_up_spec
from treehouse.fit.dataset import Dataset
from treehouse.fit.splits import SPLITS
from treehouse.network import batch_of
from treehouse.project.contract import Contract, Feature
from treehouse.spec import Recurrent, Spec

Floats = NDArray[np.float64]
PLACES = 3
CONTRACT = Contract(
    use_case="made_up",
    features=(
        Feature("hour", "UInt8"),
        Feature("role", "String"),
        Feature("recent", "Array(String)"),
        Feature("gaps", "Array(Float64)"),
    ),
    heads=("value", *(f"{kind}_{i + 1}" for kind in ("next", "share") for i in range(PLACES))),
    keys=("id",),
    time="at",
    label="label",
    has_networks=True,
)
LABELS = 2**52 + np.arange(6.0)
"""Whole numbers that float32 can't hold."""


class SequenceSpec(Spec):
    """A spec whose contract is the one above."""

    @property
    def contract(self) -> Contract:
        """The made-up contract."""
        return CONTRACT


def sequence_spec(**changes: Any) -> SequenceSpec:
    """A spec of few epochs."""
    plain = made_up_spec(task="sequence", trainers=("markov",))
    fields = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    fields["recurrent"] = Recurrent(
        epochs=40, width=32, embedding=16, length=4, dropout=0.0, learning_rate=0.003
    )
    return SequenceSpec(**(fields | changes))


def chances(seed: int = 0) -> Floats:
    """float64[labels, labels, labels]: of each label, after the last but one and the last."""
    drawn: Floats = np.random.default_rng(seed).dirichlet(np.full(len(LABELS), 0.3), (6, 6))
    return drawn


def sequence_dataset(rows: int = 6000, seed: int = 0) -> Dataset:
    """One long sequence, each row with its latest four tokens."""
    rng, chance = np.random.default_rng(seed), chances()
    states = [0, 1]
    for _ in range(rows + 3):
        states.append(int(rng.choice(len(LABELS), p=chance[states[-2], states[-1]])))
    tokens = [str(int(LABELS[state])) for state in states]
    hours = rng.integers(0, 24, rows).astype(np.float64)
    batch = batch_of(
        numeric=hours[:, None].tolist(),
        categorical=[["viewer"]] * rows,
        tokens=[[tokens[i : i + 4]] for i in range(rows)],
        series=[[[0.0, *rng.exponential(30, 3)]] for _ in range(rows)],
    )
    return Dataset(
        contract=CONTRACT,
        matrix=np.column_stack([hours, np.zeros(rows)]),
        categories={"role": ("viewer",)},
        label=LABELS[states[4 : rows + 4]],
        split=np.sort(rng.choice(len(SPLITS), rows, p=[0.6, 0.15, 0.1, 0.15])).astype(np.int8),
        extra={},
        lineage={},
        sequences=batch,
    )


def with_tokens(data: Dataset, *tokens: str) -> Dataset:
    """One row, whose latest tokens these are."""
    batch = batch_of(numeric=[[1.0]], categorical=[[""]], tokens=[[[*tokens]]], series=[[[]]])
    return replace(data, sequences=batch)
