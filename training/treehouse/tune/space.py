"""What is searched: every trainer with every objective that it has, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from treehouse.fit.candidates import task_of, wanted
from treehouse.fit.trainers import BAGGED
from treehouse.spec import Spec

if TYPE_CHECKING:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

CANDIDATE = "candidate"
# Of each family of options: (lowest, highest, on a log scale). Depth ends where the scorer's
# fastest kernel does; a network reads at least as many tokens as the longest chain.
_RANGES: Mapping[str, Mapping[str, tuple[float, float, bool]]] = {
    "boosting": {
        "learning_rate": (0.01, 0.2, True),
        "depth": (2, 8, False),
        "leaves": (4, 127, True),
        "rows_per_leaf": (5, 1000, True),
        "row_share": (0.5, 1.0, False),
        "column_share": (0.3, 1.0, False),
        "l2": (0.0, 30.0, False),
    },
    "bagging": {
        "depth": (4, 14, False),
        "rows_per_leaf": (5, 1000, True),
        "column_share": (0.1, 1.0, False),
    },
    "chain": {"order": (1, 4, False), "prior_rows": (0.1, 30.0, True)},
    "recurrent": {
        "length": (4, 20, True),
        "embedding": (4, 64, True),
        "width": (8, 128, True),
        "dropout": (0.0, 0.6, False),
        "learning_rate": (0.0005, 0.02, True),
    },
}
_FAMILIES = {"markov": "chain", "lstm": "recurrent"} | dict.fromkeys(BAGGED, "bagging")


def default_trials(spec: Spec) -> list[dict[str, Any]]:
    """The spec's own parameters, for each of its candidates: what there is to beat."""
    return [
        {CANDIDATE: f"{trainer} {objective}"}
        | {_key(trainer, name): getattr(_options(spec, trainer), name) for name in _ranges(trainer)}
        for trainer, objective in wanted(spec)
    ]


def candidates(spec: Spec) -> dict[str, CategoricalDistribution]:
    """Every installed trainer with every objective that it has, to choose from."""
    from optuna.distributions import CategoricalDistribution

    objectives = task_of(spec).OBJECTIVES
    trainers = tuple(dict.fromkeys(name for by in objectives.values() for name in by))
    every = replace(spec, trainers=trainers, objectives=tuple(objectives))
    return {CANDIDATE: CategoricalDistribution([" ".join(pair) for pair in wanted(every)])}


def ranges(spec: Spec, candidate: str) -> dict[str, FloatDistribution | IntDistribution]:
    """The ranges of a candidate's parameters, widened to hold the spec's own."""
    from optuna.distributions import FloatDistribution, IntDistribution

    trainer = candidate.split()[0]
    found: dict[str, FloatDistribution | IntDistribution] = {}
    for name, (low, high, is_log) in _ranges(trainer).items():
        own = getattr(_options(spec, trainer), name)
        low, high = min(low, own), max(high, own)
        kind = IntDistribution if isinstance(own, int) else FloatDistribution
        found[_key(trainer, name)] = kind(type(own)(low), type(own)(high), log=is_log)
    return found


def with_parameters(spec: Spec, parameters: Mapping[str, Any]) -> Spec:
    """The spec with one candidate and its parameters."""
    trainer, objective = parameters[CANDIDATE].split()
    own = {name: parameters[_key(trainer, name)] for name in _ranges(trainer)}
    options = replace(_options(spec, trainer), **own)
    return replace(
        spec, trainers=(trainer,), objectives=(objective,), **{_family(trainer): options}
    )


def _ranges(trainer: str) -> Mapping[str, tuple[float, float, bool]]:
    return _RANGES[_family(trainer)]


def _family(trainer: str) -> str:
    return _FAMILIES.get(trainer, "boosting")


def _key(trainer: str, name: str) -> str:
    """LightGBM and XGBoost share what a parameter taught."""
    return f"{_family(trainer)}.{name}"


def _options(spec: Spec, trainer: str) -> Any:
    return getattr(spec, _family(trainer))
