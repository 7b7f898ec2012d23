"""What is particular to a use case's model; everything else is shared.

A spec is a file `training/specs/<use_case>.py` that holds `SPEC = Spec(...)`. No list names it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from treehouse.project.contract import Contract, load_contract
from treehouse.project.errors import TreehouseError
from treehouse.project.settings import ROOT
from treehouse.spec.gates import Gates
from treehouse.spec.options import Bagging, Boosting, Chain, Recurrent
from treehouse.spec.watch import Watch

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from treehouse.project.settings import Settings

SPECS = ROOT / "training" / "specs"
_FOR_AN_OLD_IMPORT = "write `from treehouse.spec import Spec`: the package is called treehouse now"
Floats = NDArray[np.float64]
Task = Literal["value", "probability", "classes", "sequence"]
Refit = Literal["cross_fitted", "none"]


class TrainingRows(Protocol):
    """What a fitted baseline sees of the training set (treehouse.fit.dataset.Dataset)."""

    @property
    def label(self) -> Floats:
        """float64[rows]."""

    def rows(self, *splits: str) -> NDArray[np.bool_]:
        """bool[rows]: which rows belong to these splits."""


@dataclass(frozen=True)
class Retrain:
    """When a model is due to be fitted anew, and what becomes of the new version."""

    promote: bool = False
    """Let a version that passes every gate answer at once; otherwise a person promotes it."""
    max_age_days: float = 30.0
    """Days after its publication from which a champion is due. Fewer cost more fits."""
    on_drift: bool = True
    """Whether an open alert makes the model due, whatever its age."""
    min_new_rows: int = 1
    """Training rows later than all of the champion's, without which a due run stops unfitted."""
    schedule: str = "0 4 * * *"
    """When to look whether it is due, as cron has it; `retrain --cron` prints it."""


@dataclass(frozen=True)
class Also:
    """A further label, a value that the head of its name answers from the same features.

    Rows whose label is null are not fitted, nor measured: a time to live is known only of what
    was asked for again.
    """

    objectives: tuple[str, ...] = ("squared_error", "tweedie")
    """As the spec's, of the task "value"."""
    trainers: tuple[str, ...] = ("lightgbm",)
    """As the spec's."""
    label_floor: float | None = 0.0
    """Lowest answer that makes sense, or None."""
    baselines: Mapping[str, str] = field(default_factory=dict)
    """As the spec's."""


@dataclass(frozen=True)
class Spec:
    """One use case's model.

    Attributes:
        about: One sentence for people.
        task: What the label is. "value": a number; heads value, low, high and typical (the
            median). "probability": whether something happens (0 or 1); heads value (calibrated),
            score (0 to 100) and raw (before calibration). "classes": the name of one of the heads
            after the first, each of which answers its class's probability; value is the number of
            the class, from 0, whose expected cost is least. "sequence": a whole number below
            2^53, whose digits are a token of the feature `recent`; heads value and next_1 (the
            most likely), next_2 and so on, and their probabilities share_1 and so on.
        cost: For "classes": cost[class that is][class decided for], in the order of the heads;
            by default 1 for every mistake.
        known: Feature that holds the part of the label that has already come, or "": only the
            rest is predicted, and the known part is added.
        pace: Feature with a naive forecast of the rest of the label, or "": the objective
            "paced_tweedie" corrects it by trees, so that the answer grows with it beyond what the
            training rows hold.
        label_floor: Lowest answer that makes sense, or None.
        objectives: What is tried, with each trainer that has it; the best on the validation rows
            is kept. By default all that the task has.
        trainers: "lightgbm", "xgboost", "random_forest", "extra_trees"; of sequences "markov" and
            "lstm", which needs the extra `torch` and is left out without it.
        boosting: Parameters of all boosted candidates.
        bagging: Parameters of all forests.
        chain: Parameters of the Markov chain over sequences.
        recurrent: Parameters of the networks over sequences.
        also: Further labels, by the column of the training set, which is the head's name too.
        baselines: Name to SQL expression over the training set (window functions over the rows
            of `split = 'train'` take the place of fitting): a value, a probability, the name of a
            class, or of a sequence an array of labels, the most likely first. By default one
            constant, the best that the training rows know.
        fitted_baselines: Name to a function that answers float64[rows] for all rows.
        cohort: SQL expressions that make a cohort, for the error of sums over cohorts.
        groups: Name to SQL condition over the training set: of a sequence, the rows that are
            measured on their own as well.
        best_possible: SQL that answers what is known of the true distribution on simulated data,
            or "": key, mean and, for values, median; for classes a column named after each.
        coverage: Share of the labels that the interval is to hold.
        interval_bins: Groups by predicted value with an interval of their own. More is sharper
            and needs more calibration rows: at least 50 a bin.
        refit: "cross_fitted": once it is chosen, the model is fitted anew to the validation and
            calibration rows too, and calibrated by two further fits, each of which leaves out one
            of these: the newest rows count, and twice as many calibrate. The labels of these rows
            must be known when the test begins, as those of the training rows. It takes three
            more fits, and what it learns of a change from the training rows to the newer ones is
            no longer in its calibration: where such a change goes on, "none" may be better. That
            answers by the training rows and is calibrated on the calibration rows; for rows like
            these its coverage is a theorem. Sequences are not fitted anew, whatever is said here.
        retrain: When it is due to be fitted anew, and whether the new version answers at once.
        gates: What a version must keep to be published.
        watch: What is worth an alert of the monitor.
        demo: Which of treehouse.simulation.demo_data fills the sources for `treehouse demo`; "":
            the demo leaves this model out.
        label: Set by `for_label` alone: the further label that takes the label's place.
    """

    use_case: str
    about: str
    task: Task = "value"
    cost: tuple[tuple[float, ...], ...] = ()
    known: str = ""
    pace: str = ""
    label_floor: float | None = None
    objectives: tuple[str, ...] = ()
    trainers: tuple[str, ...] = ("lightgbm",)
    boosting: Boosting = field(default_factory=Boosting)
    bagging: Bagging = field(default_factory=Bagging)
    chain: Chain = field(default_factory=Chain)
    recurrent: Recurrent = field(default_factory=Recurrent)
    also: Mapping[str, Also] = field(default_factory=dict)
    baselines: Mapping[str, str] = field(default_factory=dict)
    fitted_baselines: Mapping[str, Callable[[Client, Settings, TrainingRows], Floats]] = field(
        default_factory=dict
    )
    cohort: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    best_possible: str = ""
    coverage: float = 0.9
    interval_bins: int = 20
    refit: Refit = "cross_fitted"
    retrain: Retrain = field(default_factory=Retrain)
    gates: Gates = field(default_factory=Gates)
    watch: Watch = field(default_factory=Watch)
    demo: str = ""
    label: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers; none for other tasks."""
        heads = self.contract.heads[1:] if self.task == "classes" else ()
        return tuple(head for head in heads if head not in self.also)

    @property
    def fitted(self) -> tuple[str, ...]:
        """The splits whose rows the model that answers is fitted to."""
        if self.refit == "none" or self.task == "sequence":
            return ("train",)
        return ("train", "validation", "calibration")

    @property
    def calibrated_on(self) -> tuple[str, ...]:
        """The splits whose rows calibrate: answered by models that have not seen them."""
        return ("calibration",) if "calibration" not in self.fitted else self.fitted[1:]

    @property
    def places(self) -> int:
        """How many of the most likely labels a sequence's model answers; 0 for other tasks."""
        heads = self.contract.heads if self.task == "sequence" else ()
        return sum(head.startswith("next_") for head in heads)

    def for_label(self, name: str) -> Spec:
        """The spec of a further label: a value, from the same features."""
        also = self.also[name]
        refit: Refit = "none" if self.fitted == ("train",) else self.refit
        return replace(
            self, label=name, task="value", refit=refit, cost=(), known="", pace="",
            best_possible="", label_floor=also.label_floor, objectives=also.objectives,
            trainers=also.trainers, also={}, fitted_baselines={}, cohort=(), groups={},
            baselines={f"{name}: {key}": sql for key, sql in also.baselines.items()},
        )  # fmt: skip

    @property
    def costs(self) -> tuple[tuple[float, ...], ...]:
        """cost[class that is][class decided for]; 1 for every mistake if the spec has none.

        Raises:
            TreehouseError: It is not square, or has a negative or infinite cost.
        """
        k = len(self.classes)
        found = self.cost or tuple(tuple(float(i != j) for j in range(k)) for i in range(k))
        if [len(row) for row in found] != [k] * k or not all(
            0 <= cost < float("inf") for row in found for cost in row
        ):
            raise TreehouseError(
                f"The cost matrix of {self.use_case} does not fit its classes.",
                value=found,
                expected=f"{k} rows of {k} costs of at least 0, for " + ", ".join(self.classes),
                fix=f"mend `cost` in training/specs/{self.use_case}.py",
            )
        return found

    @property
    def contract(self) -> Contract:
        """The feature contract, from the use case's YAML."""
        return load_contract(self.use_case)


@cache
def specs() -> dict[str, Spec]:
    """Every spec found in `training/specs/`, by use case.

    Raises:
        TreehouseError: A file there holds no spec.
    """
    files = sorted(path for path in SPECS.glob("*.py") if path.stem.isidentifier())
    return {path.stem: _read_spec(path) for path in files}


def _read_spec(path: Path) -> Spec:
    """The spec of a file; whatever is wrong with that, its author can mend."""
    name, file = path.stem, f"training/specs/{path.name}"
    try:
        spec = _run_file(path).SPEC
    except TreehouseError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f":{frame.lineno}" for frame in frames if frame.filename.endswith(file)]
        raise TreehouseError(
            "A spec could not be read.",
            value=f"{file}{''.join(lines[-1:])}: {type(error).__name__}: {error}",
            expected="SPEC = Spec(...); its fields are in training/treehouse/spec/spec.py",
            fix=_FOR_AN_OLD_IMPORT if "No module named 'training" in str(error) else f"mend {file}",
        ) from error
    if not isinstance(spec, Spec) or spec.use_case != name:
        raise TreehouseError(
            f"{file} holds the spec of another use case.",
            value=getattr(spec, "use_case", spec),
            expected=name,
            fix="mend its `use_case`, or rename the file",
        )
    return spec


def _run_file(path: Path) -> ModuleType:
    """The module of a file that lies in no package, so that any project's file can be read."""
    found = spec_from_file_location(f"_treehouse_spec_{path.stem}", path)
    if found is None or found.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = sys.modules[found.name] = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def load_spec(use_case: str) -> Spec:
    """The spec of one use case.

    Raises:
        TreehouseError: There is no such use case, or it has no spec.
    """
    found = specs()
    if use_case not in found:
        load_contract(use_case)  # says what there is, and suggests
        raise TreehouseError(
            "This use case has a contract but no spec.",
            value=use_case,
            fix=f"write training/specs/{use_case}.py; training/specs/purchase_value.py is short",
        )
    return found[use_case]
