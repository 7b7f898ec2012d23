"""What an experiment is, and which definitions make sense."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

from treehouse.project.errors import TreehouseError
from treehouse.project.names import check_words
from treehouse.project.settings import project_vars, read_yaml

METHODS = ("always_valid", "fixed")
DIRECTIONS = ("increase", "decrease")
_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)
_USABLE = "up to 100 letters, digits, _, - and ."
_Problem = tuple[bool, str, object, str]  # is it one, what, value, expected


@dataclass(frozen=True)
class Definition:
    """An experiment before it starts.

    Attributes:
        experiment: Its name; once used, for ever.
        variants: Their names, the control first.
        weights: Share of the participants in each variant; they sum to 1. () for equal ones.
        share: Of all units, how many take part; may grow later.
        salt: Makes the assignment independent of other experiments; its name if empty.
        model: Use case, or "" for a plain product experiment.
        versions: The model's version for each variant; 0 is the champion.
        is_shadow: The last version scores everything and decides nothing.
        metrics: Of the var experiment_metrics; the first one is primary.
        direction: "increase" or "decrease": what is better.
        pre_days: Days before the exposure that reduce variance (CUPED); 0 for none.
        alpha: False positives that are accepted: a level of the var experiment_alphas.
        power: Chance of finding a lift of `minimum_lift`.
        minimum_lift: The smallest relative change worth finding.
        planned_units: In all variants together. An always valid interval is tightest there.
        method: "always_valid": may be looked at any time. "fixed": narrower, but only for one
            look, at `planned_units`.
        description: What is tried, and why it should help.
    """

    experiment: str
    variants: tuple[str, ...] = ("control", "treatment")
    weights: tuple[float, ...] = ()
    share: float = 1.0
    salt: str = ""
    model: str = ""
    versions: tuple[int, ...] = ()
    is_shadow: bool = False
    metrics: tuple[str, ...] = ()
    direction: str = "increase"
    pre_days: int = 14
    alpha: float = 0.05
    power: float = 0.8
    minimum_lift: float = 0.05
    planned_units: int = 10_000
    method: str = "always_valid"
    description: str = ""

    def completed(self) -> Definition:
        """With what follows from the rest: equal weights, the name as salt."""
        count = max(len(self.variants), 1)
        return dataclasses.replace(
            self,
            weights=self.weights or (1 / count,) * count,
            salt=self.salt or self.experiment,
        )


def read_definition(path: Path) -> dict[str, Any]:
    """The fields of a definition in a YAML file.

    Raises:
        TreehouseError: It can't be read, or has a field that there is not.
    """
    try:
        content = read_yaml(path)
    except OSError as error:
        raise TreehouseError("The file could not be read.", value=f"{path}: {error}") from error
    check_words(content, "definition", str(path))
    known = {field.name for field in fields(Definition)}
    unknown = set(content) - known if isinstance(content, dict) else {repr(content)}
    if unknown:
        raise TreehouseError(
            "The file is no definition of an experiment.",
            value=", ".join(sorted(map(str, unknown))),
            expected="any of: " + ", ".join(sorted(known)),
        )
    return {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}


def check(definition: Definition) -> Definition:
    """The completed definition, if it makes sense.

    Raises:
        TreehouseError: It does not; the message says where and what would.
    """
    whole = definition.completed()
    _refuse(_assignment(whole), _model(whole), _metrics(whole), _statistics(whole))
    return whole


def check_plan(definition: Definition) -> Definition:
    """The same for what is only planned: variants and statistics make sense."""
    whole = definition.completed()
    _refuse(_assignment(whole), _statistics(whole))
    return whole


def _refuse(*parts: Iterator[_Problem]) -> None:
    for is_wrong, what, value, expected in chain(*parts):
        if is_wrong:
            raise TreehouseError(what, value=value, expected=expected)


def _assignment(whole: Definition) -> Iterator[_Problem]:
    variants, weights = whole.variants, whole.weights
    yield (
        not _NAME.fullmatch(whole.experiment), "An experiment's name is not usable.",
        repr(whole.experiment), _USABLE,
    )  # fmt: skip
    yield (
        len(variants) < 2, "An experiment needs something to compare with.",
        ", ".join(variants), "a control and at least one treatment",
    )  # fmt: skip
    yield (
        len({*variants}) < len(variants) or not all(map(_NAME.fullmatch, variants)),
        "The variants' names are not usable.", ", ".join(variants), f"different names of {_USABLE}",
    )  # fmt: skip
    yield (
        len(weights) != len(variants), "There must be one weight for each variant.",
        len(weights), str(len(variants)),
    )  # fmt: skip
    yield (
        not all(weight > 0 for weight in weights) or not math.isclose(sum(weights), 1),
        "The weights must be above 0 and sum to 1.",
        f"{', '.join(map(str, weights))}: {sum(weights):g}", "for example 0.5, 0.5",
    )  # fmt: skip
    yield (
        not 0 < whole.share <= 1, "The share of the units is out of range.", whole.share,
        "above 0, at most 1",
    )  # fmt: skip


def _model(whole: Definition) -> Iterator[_Problem]:
    given = f"model {whole.model!r}, versions {list(whole.versions)}"
    yield (
        bool(whole.model) != bool(whole.versions)
        or len(whole.versions) not in (0, len(whole.variants)),
        "A model's experiment needs the model, and a version for each variant.", given,
        "for example --model ltv --version treatment=4; the others get the champion",
    )  # fmt: skip
    yield (
        whole.is_shadow
        and (not whole.model or len(whole.variants) != 2 or not whole.versions[-1]),
        "A challenger in the shadow is one version of one model.", given,
        "for example --shadow --model ltv --version treatment=4",
    )  # fmt: skip


def _metrics(whole: Definition) -> Iterator[_Problem]:
    there = ", ".join(project_vars()["experiment_metrics"])
    yield (
        not whole.metrics and not whole.is_shadow, "An experiment needs a metric.", None,
        f"--metric, one of: {there}",
    )  # fmt: skip
    unknown = [name for name in whole.metrics if name not in project_vars()["experiment_metrics"]]
    yield (
        bool(unknown), "There is no such metric.", ", ".join(unknown),
        f"one of: {there}; see the var experiment_metrics in dbt_project.yml",
    )  # fmt: skip
    yield (
        whole.direction not in DIRECTIONS, "There is no such direction.", whole.direction,
        " or ".join(DIRECTIONS),
    )  # fmt: skip


def _statistics(whole: Definition) -> Iterator[_Problem]:
    alphas = project_vars()["experiment_alphas"]
    yield (
        whole.alpha not in alphas, "There is no such level.", whole.alpha,
        f"one of {alphas}: the var experiment_alphas in dbt_project.yml",
    )  # fmt: skip
    yield (
        not 0 < whole.power < 1, "The power is out of range.", whole.power, "between 0 and 1",
    )  # fmt: skip
    yield (
        not 0 < whole.minimum_lift < math.inf, "The smallest lift is out of range.",
        whole.minimum_lift, "above 0, for example 0.05 for 5 %",
    )  # fmt: skip
    yield (
        whole.planned_units < 2, "There are too few planned units.", whole.planned_units,
        "2 or more",
    )  # fmt: skip
    yield (
        not 0 <= whole.pre_days <= 3650, "The days before the exposure are out of range.",
        whole.pre_days, "0 to 3650",
    )  # fmt: skip
    yield (
        whole.method not in METHODS, "There is no such method.", whole.method,
        " or ".join(METHODS),
    )  # fmt: skip
