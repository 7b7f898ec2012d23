"""What is particular to a use case's model; everything else is shared.

A spec is a file `training/specs/<use_case>.py` that holds `SPEC = Spec(...)`. No list names it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from training.contract import Contract, load_contract

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from training.console import Report
    from training.fit.dataset import Dataset, Floats
    from training.settings import Settings


@dataclass(frozen=True)
class Boosting:
    """LightGBM's parameters under its own meanings; the defaults are the usual starting point."""

    trees: int = 1000
    """At most; early stopping takes what the validation rows ask for. More is slower to score."""
    learning_rate: float = 0.05
    """Lower needs more trees and is a little more accurate."""
    depth: int = 7
    """Most splits on a path. The scorer is fastest up to 8."""
    leaves: int = 127
    """Most leaves of a tree; 2^depth at the most."""
    rows_per_leaf: int = 20
    """Fewest training rows of a leaf. Higher is smoother."""
    row_share: float = 0.8
    """Share of the rows that each tree sees."""
    column_share: float = 0.8
    """Share of the features that each tree sees."""
    patience: int = 50
    """Trees without improvement on the validation rows before fitting stops."""
    seed: int = 7
    """Of every random choice: equal data and spec give an equal model."""


@dataclass(frozen=True)
class Spec:
    """One use case's model.

    Attributes:
        about: One sentence for people.
        known: Feature that holds the part of the label that has already come, or "": only the
            rest is predicted, and the known part is added.
        pace: Feature with a naive forecast of the rest of the label, or "": the objective
            "paced_tweedie" corrects it by trees, so that the answer grows with it beyond what the
            training rows hold.
        label_floor: Lowest answer that makes sense, or None.
        objectives: What is tried; the best on the validation rows is kept.
        boosting: Parameters of all candidates.
        baselines: Name to SQL expression over the training set (window functions over the rows
            of `split = 'train'` take the place of fitting).
        fitted_baselines: Name to a function that answers float64[rows] for all rows.
        cohort: SQL expressions that make a cohort, for the error of sums over cohorts.
        best_possible: SQL that answers (key, mean, median) of the true distribution on
            simulated data, or "".
        coverage: Share of the labels that the interval is to hold.
        interval_bins: Groups by predicted value with an interval of their own. More is sharper
            and needs more calibration rows: at least 50 a bin.
        demo: Fills the sources for `treehouse demo`.
    """

    use_case: str
    about: str
    demo: Callable[[Client, Settings, Mapping[str, Any], Report], dict[str, Any]]
    known: str = ""
    pace: str = ""
    label_floor: float | None = None
    objectives: tuple[str, ...] = ("squared_error", "tweedie", "two_part", "paced_tweedie")
    boosting: Boosting = field(default_factory=Boosting)
    baselines: Mapping[str, str] = field(default_factory=dict)
    fitted_baselines: Mapping[str, Callable[[Client, Settings, Dataset], Floats]] = field(
        default_factory=dict
    )
    cohort: tuple[str, ...] = ()
    best_possible: str = ""
    coverage: float = 0.9
    interval_bins: int = 20

    @property
    def contract(self) -> Contract:
        """The feature contract, from the use case's YAML."""
        return load_contract(self.use_case)


@cache
def specs() -> dict[str, Spec]:
    """Every spec found in `training/specs/`, by use case."""
    from training import specs as package

    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        spec: Spec = importlib.import_module(f"{package.__name__}.{module.name}").SPEC
        found[spec.use_case] = spec
    return dict(sorted(found.items()))


def load_spec(use_case: str) -> Spec:
    """The spec of one use case.

    Raises:
        TreehouseError: There is no such use case, or it has no spec.
    """
    found = specs()
    if use_case not in found:
        load_contract(use_case)  # says what there is, and suggests
        from training.errors import TreehouseError

        raise TreehouseError(
            "This use case has a contract but no spec.",
            value=use_case,
            fix=f"write training/specs/{use_case}.py; training/specs/purchase_value.py is short",
        )
    return found[use_case]
