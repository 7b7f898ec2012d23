"""What each feature and label is, said a second time in plain Python.

A module for each use case, `tests/definitions/<use_case>.py`, holds `DEFINITION`. The conformance
test builds its worlds with the real models and compares every row and column with it; it refuses a
feature or label that no definition names. Write it from the descriptions in the YAML, over the raw
rows, one row at a time, and not from the SQL.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from tests.support.worlds import Raw, Row, World
from treehouse.project.errors import TreehouseError


@dataclass(frozen=True)
class Counted:
    """A world so small that its answers are counted by hand.

    Attributes:
        raw: Rows of each source.
        features: Rows of the features: the keys, the time, and what was counted of the rest.
        training_set: The same of the training set.
    """

    raw: Raw
    features: tuple[Row, ...] = ()
    training_set: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Half:
    """The split of a row that chooses: of all units one half validates and the other calibrates.

    Attributes:
        unit: Whose rows are all of the same half.
    """

    unit: Any


@dataclass(frozen=True)
class Definition:
    """The tables of a use case, said a second time.

    Attributes:
        make: Raw rows of a random world. Its edges matter more than its size: moments on and next
            to every boundary, missing and repeated rows, whoever has none.
        features: All rows that `<use_case>_features` must hold, with every column of the contract.
        training_set: All rows of `<use_case>_training_set`: keys, time, labels, weight, when
            they were known, and the split, which is a `Half` where it chooses.
        counted: Worlds counted by hand.
        others: All rows, whole, of other models that the two are made of, by name.
        variables: Vars of the project that differ in these worlds, so that they can be small.
        within: How far a column may be off, in its own unit; 1e-9 of the value unless named.
    """

    make: Callable[[random.Random], Raw]
    features: Callable[[World], Iterable[Row]]
    training_set: Callable[[World], Iterable[Row]]
    counted: tuple[Counted, ...]
    others: dict[str, Callable[[World], Iterable[Row]]] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    within: dict[str, float] = field(default_factory=dict)

    def rows(self, part: str, world: World) -> list[Row]:
        """All rows of `features` or `training_set`."""
        return list((self.features if part == "features" else self.training_set)(world))


def has_definition(use_case: str) -> bool:
    """Whether a use case has one."""
    return find_spec(f"{__name__}.{use_case}") is not None


def load_definition(use_case: str) -> Definition:
    """That of a use case.

    Raises:
        TreehouseError: It has none; says what to write, and where.
    """
    if not has_definition(use_case):
        raise TreehouseError(
            "Nothing but its own SQL says what the features and labels of a use case are.",
            value=use_case,
            expected=f"DEFINITION = Definition(...) in tests/definitions/{use_case}.py",
            fix="see tests/definitions/__init__.py, and purchase_value.py beside it for an example",
        )
    found: Definition = importlib.import_module(f"{__name__}.{use_case}").DEFINITION
    return found
