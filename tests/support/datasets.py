"""Training sets made of numbers alone, in the shape that load_dataset answers."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from treehouse.fit.dataset import Dataset
from treehouse.fit.splits import SPLITS
from treehouse.project.contract import Contract, Feature
from treehouse.spec import Boosting, Spec

CONTRACT = Contract(
    use_case="made_up",
    features=(
        Feature("early", "Float64"),
        Feature("days", "Nullable(UInt8)"),
        Feature("country", "LowCardinality(String)"),
    ),
    heads=("value", "low", "high", "typical"),
    keys=("id",),
    time="at",
    label="label",
)
HEADS = {
    "value": ("value", "low", "high", "typical"),
    "probability": ("value", "score", "raw"),
    "classes": ("value", "none", "some", "much"),
}
CATEGORIES = {"country": ("AT", "DE", "US")}


def made_up_spec(**changes: object) -> Spec:
    """A spec of few small trees."""
    boosting = Boosting(trees=40, depth=4, leaves=15, patience=10)
    named: dict[str, object] = {
        "use_case": "made_up",
        "about": "Nothing.",
        "demo": lambda *_: {},
        "boosting": boosting,
    }
    return Spec(**(named | changes))  # type: ignore[arg-type]


def made_up_dataset(rows: int = 4000, seed: int = 0) -> Dataset:
    """Mostly zeros with a heavy tail; the label is at least `early`, what has come already."""
    rng = np.random.default_rng(seed)
    pays = rng.random(rows) < 0.4
    early = np.where(pays & (rng.random(rows) < 0.7), rng.lognormal(1.0, 1.0, rows), 0.0)
    days = np.where(rng.random(rows) < 0.2, np.nan, rng.integers(0, 7, rows))
    country = np.where(rng.random(rows) < 0.1, np.nan, rng.integers(0, 3, rows))
    rest = np.where(pays, (0.5 + early) * rng.lognormal(0.0, 0.7, rows), 0.0)
    return Dataset(
        contract=CONTRACT,
        matrix=np.column_stack([early, days, country]),
        categories=CATEGORIES,
        label=early + rest * (1 + (np.nan_to_num(country) == 1)),
        split=rng.choice(len(SPLITS), rows, p=[0.6, 0.15, 0.1, 0.15]).astype(np.int8),
        extra={},
        lineage={},
    )


def made_up_classes(task: str, rows: int = 3000, seed: int = 0) -> Dataset:
    """The same rows with an uncertain outcome: whether anything comes, or how much of it."""
    data = made_up_dataset(rows, seed)
    rest = data.label - data.column("early")
    label = np.digitize(rest, [1e-9] if task == "probability" else [1e-9, 5.0])
    contract = replace(CONTRACT, heads=HEADS[task])
    return replace(data, contract=contract, label=label.astype(np.float64))


def with_contract(spec: Spec, data: Dataset) -> Spec:
    """The spec as if the contract were in a YAML."""

    class Known(type(spec)):  # type: ignore[misc]
        contract = data.contract

    return cast(Spec, Known(**{name: getattr(spec, name) for name in spec.__dataclass_fields__}))
