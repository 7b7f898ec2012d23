"""Fits every candidate that a spec asks for, and chooses the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from types import ModuleType

from treehouse.fit import classification as classifiers
from treehouse.fit import regression as values
from treehouse.fit import sequences, trainers
from treehouse.fit.candidate import Candidate
from treehouse.fit.dataset import Dataset
from treehouse.fit.job import Listener, Progress
from treehouse.project.errors import TreehouseError, UnfitError
from treehouse.spec import Spec

_TASKS = {
    "value": values,
    "probability": classifiers,
    "classes": classifiers,
    "sequence": sequences,
}
_EXTRAS = {"lstm": ("torch", ("torch", "onnxscript"))}
"""Of trainers that need more than is always installed: the extra, and what it brings."""


def wanted(spec: Spec) -> list[tuple[str, str]]:
    """Every (trainer, objective) that the spec asks for, and that is installed.

    Raises:
        TreehouseError: There is no such trainer or objective, or no trainer has an objective.
    """
    objectives = task_of(spec).OBJECTIVES
    named = spec.objectives or tuple(objectives)
    _check(spec, "objective", named, tuple(objectives))
    known = tuple(dict.fromkeys(name for by in objectives.values() for name in by))
    _check(spec, "trainer", spec.trainers, known)
    absent = left_out(spec)
    found = [
        (trainer, objective)
        for objective in named
        for trainer in spec.trainers
        if trainer not in absent
        and trainer in objectives[objective]
        and (spec.pace or objective != "paced_tweedie")
    ]
    if not found and absent:
        raise TreehouseError(
            f"What fits {spec.use_case} is not installed.",
            value=", ".join(absent),
            fix="; ".join(absent.values()),
        )
    if not found:
        raise TreehouseError(
            f"No trainer of {spec.use_case} has any of its objectives.",
            value=f"{', '.join(spec.trainers)}: {', '.join(named)}",
            expected="; ".join(f"{name}: {', '.join(by)}" for name, by in objectives.items()),
            fix=f"mend `trainers` or `objectives` in training/specs/{spec.use_case}.py",
        )
    return found


def left_out(spec: Spec) -> dict[str, str]:
    """The trainers that the spec asks for but that are not installed, and what installs them."""
    extras = {trainer: _missing_extra(trainer) for trainer in spec.trainers}
    return {
        trainer: f".venv/bin/pip install -e '.[{extra}]'"
        for trainer, extra in extras.items()
        if extra
    }


def _missing_extra(trainer: str) -> str:
    """The extra that a trainer lacks, or ""."""
    extra, packages = _EXTRAS.get(trainer, ("", ()))
    return "" if all(find_spec(package) for package in packages) else extra


def fit_candidates(
    spec: Spec,
    data: Dataset,
    progress: Progress | None = None,
    unfit: dict[str, str] | None = None,
) -> list[Candidate]:
    """Every candidate of the spec, fitted on `train`; boosting stops early on `validation`.

    Args:
        spec: Says which.
        data: All rows.
        progress: For people.
        unfit: Takes those that can't be fitted to these labels, and why.

    Raises:
        UnfitError: None can be fitted.
    """
    listener, found, errors = Listener(progress), [], {}
    for which in wanted(spec):
        try:
            found.append(task_of(spec).fit(spec, data, *which, listener))
        except UnfitError as error:
            errors[" ".join(which)] = error
    if errors and not found:
        raise _none_fitted(spec, errors)
    if unfit is not None:
        unfit |= {name: f"{error.what} Got: {error.value}." for name, error in errors.items()}
    return found


def _none_fitted(spec: Spec, errors: Mapping[str, UnfitError]) -> UnfitError:
    return UnfitError(
        f"No candidate of {spec.use_case} can be fitted to its labels.",
        value="; ".join(f"{name}: {error.what} {error.value}" for name, error in errors.items()),
        fix=next((error.fix for error in errors.values() if error.fix), None),
    )


def choose(
    spec: Spec, candidates: Iterable[Candidate], data: Dataset
) -> tuple[Candidate, dict[str, dict[str, float]]]:
    """The candidate of the least loss on the validation rows, and how each did.

    The loss is the deviance for values, the log loss for all others: both are proper, so
    that the best possible answer has the least.
    """
    rows = data.rows("validation")
    scores, fitted = {}, {}
    for candidate in candidates:
        fitted[candidate.name] = candidate
        scores[candidate.name] = {
            "loss": task_of(spec).loss(spec, candidate, data, rows),
            "trees": float(sum(trainers.trees(model) for model in candidate.models)),
        }
    best = min(scores, key=lambda name: scores[name]["loss"])
    return fitted[best], scores


def task_of(spec: Spec) -> ModuleType:
    """The module of a task: OBJECTIVES, fit() and loss()."""
    return _TASKS[spec.task]


def _check(spec: Spec, what: str, named: tuple[str, ...], known: tuple[str, ...]) -> None:
    if unknown := [name for name in named if name not in known]:
        raise TreehouseError(
            f"There is no such {what} for a {spec.task}.",
            value=", ".join(unknown),
            expected="some of " + ", ".join(known),
            fix=f"mend training/specs/{spec.use_case}.py",
        )
