"""The parts of a training set, and which of them a model is fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from treehouse.clickhouse.client import identifier, literal

SPLITS = ("train", "validation", "calibration", "test")
OWN_SPLIT = identifier("treehouse_split")
"""Column of `fitted_rows`: the split as the training set has it."""


def fitted_rows(table: str, splits: Sequence[str]) -> str:
    """SQL of the training set in which all rows that a model is fitted to are of split 'train'.

    So a rule that is fitted by windows over `split = 'train'` sees what the model beside it saw.

    Args:
        table: Quoted.
        splits: What the model is fitted to.
    """
    named = ", ".join(map(literal, splits))
    return (
        f"(select * replace (if({OWN_SPLIT} in ({named}), 'train', {OWN_SPLIT}) as split) "
        f"from (select *, toString(split) as {OWN_SPLIT} from {table}))"
    )


def lineage_splits(header: Mapping[str, Any]) -> tuple[str, ...]:
    """What the model of a bundle was fitted to; older ones don't say, and knew one split."""
    return tuple(header["info"]["lineage"].get("splits", "train").split(","))
